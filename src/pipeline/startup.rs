//! Before a pipeline starts: every server it needs must answer once, within `startup.timeout`.

use std::time::{Duration, Instant};

use crate::config::plan::{OnReject, PipelinePlan, SinkPlan};
use crate::enrich::{Lookups, NotReady};
use crate::model::{Exit, Halt, Stop};
use crate::sink::elasticsearch::{Cluster, Unidentified};
use crate::source::probe;

/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(500);
/// Bound of one attempt.
const ATTEMPT: Duration = Duration::from_secs(3);

/// One attempt's outcome.
enum Attempt {
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
    stop: &Stop,
    deadline: Instant,
) -> Result<(), Halt> {
    let name = &plan.name;
    let kafka =
        |connection| move || probe::answers(connection, ATTEMPT).map_or_else(Attempt::Waiting, |()| Attempt::Answered);
    until_answered(
        name,
        &format!("Kafka ({})", plan.source.connection.name),
        stop,
        deadline,
        kafka(&plan.source.connection),
    )?;
    if let OnReject::DeadLetterKafka { connection, .. } = &plan.on_reject {
        until_answered(name, &format!("Kafka ({})", connection.name), stop, deadline, kafka(connection))?;
    }
    if let Some(lookups) = lookups {
        until_answered(name, "Redis", stop, deadline, || match lookups.probe() {
            Ok(()) => Attempt::Answered,
            Err(NotReady::Waiting(why)) => Attempt::Waiting(why),
            Err(NotReady::Halt(halt)) => Attempt::Never(halt),
        })?;
    }
    match &plan.sink {
        SinkPlan::Kafka(sink) => {
            until_answered(name, &format!("Kafka ({})", sink.connection.name), stop, deadline, kafka(&sink.connection))
        }
        SinkPlan::Elasticsearch(sink) => {
            let cluster = Cluster::new(&sink.connection)
                .map_err(|fault| Halt { exit: Exit::Config, message: fault.to_string() })?;
            until_answered(name, &format!("Elasticsearch ({})", sink.connection.name), stop, deadline, || {
                match runtime.block_on(cluster.identify()) {
                    Ok(_) | Err(Unidentified::Unclear(_)) => Attempt::Answered,
                    Err(Unidentified::Unreachable(why)) => Attempt::Waiting(why),
                    // A forbidden version probe does not stop ingest; a forbidden bulk request will.
                    Err(Unidentified::Refused(why)) if why.contains("401") => {
                        Attempt::Never(Halt { exit: Exit::Permission, message: why })
                    }
                    Err(Unidentified::Refused(_)) => Attempt::Answered,
                }
            })
        }
    }
}

fn until_answered(
    pipeline: &str,
    server: &str,
    stop: &Stop,
    deadline: Instant,
    attempt: impl Fn() -> Attempt,
) -> Result<(), Halt> {
    let mut told = false;
    loop {
        match attempt() {
            Attempt::Answered => return Ok(()),
            Attempt::Never(halt) => return Err(halt),
            Attempt::Waiting(why) => {
                if Instant::now() >= deadline || stop.is_draining() {
                    let message = format!("pipeline {pipeline}: {server} did not answer within startup.timeout: {why}");
                    return Err(Halt { exit: Exit::Unavailable, message });
                }
                if !told {
                    tracing::warn!(pipeline, "{server} does not answer yet: {why}");
                    told = true;
                }
                std::thread::park_timeout(AGAIN);
            }
        }
    }
}
