//! Before a pipeline starts: every server it needs must answer once, within `startup.timeout`.

use std::time::{Duration, Instant};

use crate::config::plan::{Downstream, KafkaConnection, PipelinePlan};
use crate::enrich::{Lookups, NotReady};
use crate::model::{Exit, Halt, Stop};
use crate::sink::elasticsearch::{Cluster, Unidentified};
use crate::source::probe::{self, NoAnswer};
use crate::telemetry::health::{Component, Health};

/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(500);
/// Bound of one attempt.
const ATTEMPT: Duration = Duration::from_secs(3);

/// One attempt's outcome.
enum StartAttempt {
    Answered,
    Waiting(String),
    Never(Halt),
}

/// Waits for the servers of one pipeline.
///
/// # Errors
/// Exit 69 when one stays unreachable, or the exit code of an answer that waiting will not change.
pub(super) fn await_servers(
    plan: &PipelinePlan,
    lookups: Option<&Lookups>,
    runtime: &tokio::runtime::Handle,
    wait: &Wait<'_>,
) -> Result<(), Halt> {
    let kafka = |connection| move || kafka(connection, &plan.name);
    let source = format!("Kafka ({})", plan.source.connection.name);
    wait.until_answered(Component::Source, &source, kafka(&plan.source.connection))?;
    if wait.bounded
        && let Err(why) = probe::partitions(&plan.source, ATTEMPT)
    {
        let message = format!("pipeline {}: nothing to read to the end of: {why}", plan.name);
        return Err(Halt { exit: Exit::Protocol, message });
    }
    if let Some(connection) = plan.on_reject.cluster() {
        wait.until_answered(Component::Sink, &format!("Kafka ({})", connection.name), kafka(connection))?;
    }
    if let Some(lookups) = lookups {
        wait.until_answered(Component::Enrich, "Redis", || match lookups.probe() {
            Ok(()) => StartAttempt::Answered,
            Err(NotReady::Waiting(why)) => StartAttempt::Waiting(why),
            Err(NotReady::Halt(halt)) => StartAttempt::Never(halt),
        })?;
    }
    match plan.sink.server() {
        Downstream::Kafka(connection) => {
            wait.until_answered(Component::Sink, &format!("Kafka ({})", connection.name), kafka(connection))
        }
        Downstream::Elasticsearch(connection) => {
            let cluster =
                Cluster::new(connection).map_err(|fault| Halt { exit: Exit::Config, message: fault.to_string() })?;
            wait.until_answered(Component::Sink, &format!("Elasticsearch ({})", connection.name), || {
                match runtime.block_on(cluster.identify()) {
                    // A forbidden version probe does not stop ingest; a forbidden bulk request will.
                    Ok(_) | Err(Unidentified::Unclear(_)) => StartAttempt::Answered,
                    Err(Unidentified::Unreachable(why)) => StartAttempt::Waiting(why),
                    Err(Unidentified::Refused(why)) => {
                        StartAttempt::Never(Halt { exit: Exit::Permission, message: why })
                    }
                }
            })
        }
    }
}

/// Asks a Kafka cluster once. Credentials it refuses now it will refuse later.
fn kafka(connection: &KafkaConnection, pipeline: &str) -> StartAttempt {
    match probe::answers(connection, ATTEMPT) {
        Ok(()) => StartAttempt::Answered,
        Err(NoAnswer::Unreachable(why)) => StartAttempt::Waiting(why),
        Err(NoAnswer::Impossible(why)) => {
            let message = format!("pipeline {pipeline}: Kafka ({}): no client can be made: {why}", connection.name);
            StartAttempt::Never(Halt { exit: Exit::Config, message })
        }
        Err(NoAnswer::Refused(why)) => {
            let message = format!(
                "pipeline {pipeline}: Kafka ({}) refuses our credentials: {why}. Correct them, then start again",
                connection.name
            );
            StartAttempt::Never(Halt { exit: Exit::Permission, message })
        }
    }
}

/// Who waits, and how long.
pub(super) struct Wait<'a> {
    pub(super) pipeline: &'a str,
    /// Where the server waited for is named, for `/status`.
    pub(super) health: &'a Health,
    pub(super) stop: &'a Stop,
    pub(super) deadline: Instant,
    /// A bounded run of a topic that is not there would end at once and look like success.
    pub(super) bounded: bool,
}

impl Wait<'_> {
    fn until_answered(
        &self,
        component: Component,
        server: &str,
        attempt: impl Fn() -> StartAttempt,
    ) -> Result<(), Halt> {
        let mut told = false;
        loop {
            match attempt() {
                StartAttempt::Answered => {
                    if told {
                        self.health.clear(component);
                    }
                    return Ok(());
                }
                StartAttempt::Never(halt) => return Err(halt),
                StartAttempt::Waiting(why) => {
                    if Instant::now() >= self.deadline || self.stop.is_draining() {
                        let pipeline = self.pipeline;
                        let message =
                            format!("pipeline {pipeline}: {server} did not answer within startup.timeout: {why}");
                        return Err(Halt { exit: Exit::Unavailable, message });
                    }
                    if !told {
                        self.health.raise(component, format!("{server} does not answer yet: {why}"));
                        told = true;
                    }
                    std::thread::park_timeout(AGAIN);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_server_waited_for_is_named_until_it_answers() {
        let (health, stop) = (Health::new(), Stop::default());
        let deadline = Instant::now() + Duration::from_secs(60);
        let wait = Wait { pipeline: "index", health: &health, stop: &stop, deadline, bounded: false };
        let asked = Cell::new(0);
        let answer = wait.until_answered(Component::Sink, "Elasticsearch (search)", || {
            asked.set(asked.get() + 1);
            if asked.get() == 1 {
                return StartAttempt::Waiting("refused".into());
            }
            let faults = health.faults();
            assert_eq!(faults[0].0, Component::Sink);
            assert_eq!(faults[0].1.message, "Elasticsearch (search) does not answer yet: refused");
            StartAttempt::Answered
        });
        assert_eq!((answer, asked.get()), (Ok(()), 2));
        assert!(health.faults().is_empty(), "over");
    }

    #[test]
    fn a_server_that_never_answers_ends_the_start() {
        let (health, stop) = (Health::new(), Stop::default());
        let wait = Wait { pipeline: "index", health: &health, stop: &stop, deadline: Instant::now(), bounded: false };
        let answer =
            wait.until_answered(Component::Source, "Kafka (upstream)", || StartAttempt::Waiting("refused".into()));
        let halt = answer.expect_err("nobody answers");
        assert_eq!(halt.exit, Exit::Unavailable);
        assert!(halt.message.contains("index") && halt.message.contains("Kafka (upstream)"), "{}", halt.message);
    }
}
