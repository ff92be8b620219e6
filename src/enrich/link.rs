//! A worker's connection to one server, opened when needed, with the patience it has for it.

use redis::Value;

use crate::config::plan::RetryPlan;

use super::fault::LookupFault;
use super::patience::ServerPatience;
use super::server::RedisServer;
use super::socket::{ExchangeLimits, RedisSocket};

/// Most keys in one round trip.
pub(super) const KEYS: usize = 512;

/// One worker's way to one server.
pub(super) struct ServerLink {
    socket: Option<RedisSocket>,
    /// When the server may be asked again.
    pub(super) patience: ServerPatience,
    /// The last fault, while it lasts.
    pub(super) fault: Option<LookupFault>,
    keys: usize,
}

impl ServerLink {
    /// Not connected yet.
    pub(super) fn new(retry: &RetryPlan) -> Self {
        Self { socket: None, patience: ServerPatience::new(retry), fault: None, keys: KEYS }
    }

    /// How many keys the next round trip may ask for.
    pub(super) fn keys(&self) -> usize {
        self.keys
    }

    /// The next round trip asks for half of `asked`: the last one took too long or brought too much.
    pub(super) fn ask_for_less(&mut self, asked: usize) {
        self.keys = (asked / 2).max(1);
    }

    /// One round trip: `replies` answers, each through `read`, into `answers` (cleared first).
    ///
    /// A connection kept from an earlier call may have been closed since, by the server's idle timeout or its restart.
    /// When such a one breaks, the request goes out once more on a new one: reads may be repeated.
    ///
    /// # Errors
    /// The fault. The connection is closed then.
    pub(super) fn ask<T>(
        &mut self,
        server: &RedisServer,
        request: &[u8],
        replies: usize,
        limits: &ExchangeLimits,
        read: impl Fn(Value) -> Result<T, LookupFault>,
        answers: &mut Vec<T>,
    ) -> Result<(), LookupFault> {
        let mut once = |socket: RedisSocket| {
            answers.clear();
            socket.exchange(request, replies, limits, |reply| {
                answers.push(read(error_free(reply)?)?);
                Ok(())
            })
        };
        let kept = self.socket.take().map(&mut once);
        let outcome = match kept {
            Some(Err(LookupFault::Down(_))) | None => server.connect().and_then(once),
            Some(outcome) => outcome,
        };
        self.socket = Some(outcome?);
        self.keys = self.keys.saturating_mul(2).min(KEYS);
        Ok(())
    }
}

fn error_free(reply: Value) -> Result<Value, LookupFault> {
    if let Value::ServerError(error) = reply {
        return Err(LookupFault::of_reply(error.code(), error.details().unwrap_or_default()));
    }
    Ok(reply)
}
