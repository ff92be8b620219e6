//! A server as a test sees it: an endpoint, and the faults that can be put on it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::ServiceError;
use super::port::Port;
use super::process::Server;

/// A running server: started by this process, or given by the environment.
pub struct Service {
    endpoint: String,
    origin: Origin,
}

enum Origin {
    /// Ours to break. The ports stay reserved while it is down.
    Started { server: Box<Mutex<Server>>, _ports: Vec<Port> },
    /// Somebody else's.
    Environment,
}

impl Service {
    /// Wraps a server that was started here.
    pub(super) fn started(endpoint: String, server: Server, ports: Vec<Port>) -> Service {
        Service { endpoint, origin: Origin::Started { server: Box::new(Mutex::new(server)), _ports: ports } }
    }

    /// Wraps an endpoint from the environment.
    #[must_use]
    pub fn given(endpoint: String) -> Service {
        Service { endpoint, origin: Origin::Environment }
    }

    /// Where clients connect to: `host:port` for Kafka (a list when given by the environment), `http://host:port` for
    /// Elasticsearch, `redis://host:port` for Redis. It stays the same over restarts.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Starts it after [`Service::stop`] or [`Service::kill9`], with the data it had, and waits until it is ready.
    ///
    /// # Errors
    /// It ended or was not ready within 300 s; it was given by the environment.
    pub fn start(&self) -> Result<(), ServiceError> {
        self.ours("started")?.start()
    }

    /// Ends it in good order (SIGTERM; after 30 s SIGKILL). The data stay.
    ///
    /// # Errors
    /// It was given by the environment.
    pub fn stop(&self) -> Result<(), ServiceError> {
        self.ours("stopped")?.stop();
        Ok(())
    }

    /// Kills it with signal 9. The data stay as they are.
    ///
    /// # Errors
    /// It was given by the environment.
    pub fn kill9(&self) -> Result<(), ServiceError> {
        self.ours("killed")?.kill9();
        Ok(())
    }

    /// [`Service::stop`], then [`Service::start`].
    ///
    /// # Errors
    /// As those two.
    pub fn restart(&self) -> Result<(), ServiceError> {
        let mut server = self.ours("restarted")?;
        server.stop();
        server.start()
    }

    /// Freezes it (SIGSTOP): connections stay open and are never answered.
    ///
    /// # Errors
    /// It was given by the environment.
    pub fn pause(&self) -> Result<(), ServiceError> {
        self.ours("paused")?.pause();
        Ok(())
    }

    /// Ends a freeze (SIGCONT).
    ///
    /// # Errors
    /// It was given by the environment.
    pub fn resume(&self) -> Result<(), ServiceError> {
        self.ours("resumed")?.resume();
        Ok(())
    }

    /// Id of its first process, to measure it by; `None` when it is down or not ours. The id is also the id of the
    /// process group, in which the 8.x launcher and its server are two.
    pub fn process_id(&self) -> Option<u32> {
        self.ours("measured").ok()?.process_id()
    }

    /// Everything it has written to its output, for a failing test's message; empty when it is not ours.
    pub fn log(&self) -> String {
        let path = self.ours("read").ok().map(|server| server.log());
        path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
    }

    fn ours(&self, action: &'static str) -> Result<MutexGuard<'_, Server>, ServiceError> {
        match &self.origin {
            // A panic of another test while it held the lock leaves a server that is up or down: both are handled.
            Origin::Started { server, .. } => Ok(server.lock().unwrap_or_else(PoisonError::into_inner)),
            Origin::Environment => Err(ServiceError::NotOurs { endpoint: self.endpoint.clone(), action }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Service;

    #[test]
    fn a_given_server_is_never_touched() {
        let service = Service::given("far:9092".to_owned());
        for refused in [service.stop(), service.kill9(), service.restart(), service.pause(), service.start()] {
            let text = refused.unwrap_err().to_string();
            assert!(text.starts_with("far:9092 was given by the environment"), "{text}");
        }
        assert_eq!(service.process_id(), None);
        assert_eq!(service.endpoint(), "far:9092");
    }
}
