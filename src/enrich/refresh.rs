//! The thread that reads tables again.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::model::{Exit, Halt};

use super::fault::LookupFault;
use super::link::ServerLink;
use super::lookups::{AnswerSource, GLANCE, Lookups};
use super::table::Table;

/// A table whose reading failed is read again after this long, or its interval if that is shorter.
const REREAD: Duration = Duration::from_secs(5);

impl Lookups {
    /// Starts the thread that reads tables again, if there are tables. It ends within 100 ms, or one reading (30 s), of
    /// stop or of the last owner of `self` going away; join it after that.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn spawn_refresh(self: &Arc<Self>) -> Result<Option<JoinHandle<()>>, Halt> {
        if !self.steps.iter().any(|step| matches!(step.source, AnswerSource::Table(_))) {
            return Ok(None);
        }
        let lookups = Arc::downgrade(self);
        let started = std::thread::Builder::new().name("enrich-tables".to_owned()).spawn(move || refresh(&lookups));
        started.map(Some).map_err(|error| Halt {
            exit: Exit::Failure,
            message: format!("cannot start the thread that reads tables again: {error}"),
        })
    }
}

/// The loop of the thread that reads tables again.
fn refresh(lookups: &Weak<Lookups>) {
    let mut due: HashMap<usize, Instant> = HashMap::new();
    let mut links: HashMap<usize, ServerLink> = HashMap::new();
    while let Some(lookups) = lookups.upgrade().filter(|lookups| !lookups.pipeline.stop.is_draining()) {
        for (number, step) in lookups.steps.iter().enumerate() {
            let AnswerSource::Table(table) = &step.source else { continue };
            let interval = table.refresh.max(GLANCE);
            let at = due
                .entry(number)
                .or_insert_with(|| table.current().map_or_else(Instant::now, |entries| entries.read_at + interval));
            if Instant::now() < *at {
                continue;
            }
            let link = links.entry(table.server).or_insert_with(|| ServerLink::new(&lookups.retry));
            let outcome = lookups.read_table(number, table, link);
            *at = Instant::now() + if outcome.is_ok() { interval } else { interval.min(REREAD) };
            if let Err(fault) = outcome {
                lookups.raise(number, &stale(table, fault));
            }
        }
        drop(lookups);
        std::thread::park_timeout(GLANCE);
    }
}

fn stale(table: &Table, fault: LookupFault) -> String {
    let fault = table_fault(table, fault);
    table.current().map_or_else(
        || format!("the table cannot be read: {}", fault.message()),
        |entries| {
            let age = entries.read_at.elapsed().as_secs();
            format!("the table cannot be read again: {}; the one read {age} s ago is used", fault.message())
        },
    )
}

/// A fault as it reads for a table: too large names the setting, and is wrong for ever.
pub(super) fn table_fault(table: &Table, fault: LookupFault) -> LookupFault {
    match fault {
        LookupFault::TooLarge => LookupFault::Wrong(format!(
            "the table is larger than `cache.bytes` ({} bytes); raise it, or use a keyed look-up",
            table.bytes()
        )),
        other @ (LookupFault::TimedOut(_)
        | LookupFault::Down(_)
        | LookupFault::Refused(_)
        | LookupFault::Wrong(_)
        | LookupFault::Odd(_)) => other,
    }
}
