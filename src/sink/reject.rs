//! What becomes of rejected records: stop, drop, or a dead letter; and the breaker.
//!
//! | `on_reject` | a reject | settled |
//! |---|---|---|
//! | `stop` | halts the pipeline with the record's coordinates | never: the record is read again after the restart |
//! | `drop` | is counted | at once, as dropped |
//! | `dead_letter` | goes to the dead-letter thread | as dead-lettered, once its letter was acknowledged |
//!
//! After a halt, by `stop`, by the breaker or by the sink, further rejects are counted and left unsettled, and the
//! halt's message says how many were settled before: a letter of a batch that is not wholly resolved is written again
//! by the next start.

mod breaker;
mod redact;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::config::plan::{OnReject, PipelinePlan};
use crate::model::{Exit, Halt, Originals, Outcome, OwnedRecord, Part, Place, Reject, Rejected, Report, ReportSender};
use crate::telemetry::handles::Handles;

use super::dead_letter::{self, Letter};
use breaker::{Breaker, Side, Trip};
use redact::redact;

/// Time between two lines of the log about records that were put aside.
const LINES_APART: Duration = Duration::from_secs(60);

/// Where rejects go. Shared by a pipeline's intake, lanes and delivery reports.
pub struct Rejects {
    policy: Policy,
    breaker: Mutex<Breaker>,
    most_in_a_row: u32,
    count_redirected: bool,
    aside: Seldom,
    filing: Mutex<Filing>,
    /// Its budget bounds the queue of waiting dead letters.
    pipeline: Arc<Handles>,
    reports: ReportSender,
}

/// Whether rejects are still settled, and how many were.
#[derive(Debug, Default)]
struct Filing {
    ended: bool,
    filed: u64,
}

/// A line of the log that is written at most once a minute.
#[derive(Default)]
struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    fn is_due(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.duration_since(last) >= LINES_APART);
        if due {
            *last = Some(now);
        }
        due
    }
}

enum Policy {
    Stop,
    Drop,
    DeadLetter(Mutex<Option<DeadLetterThread>>),
}

/// The way to the dead-letter thread. The queue is bounded by the byte budget every letter is charged to: while it is
/// spent the source drains nothing.
struct DeadLetterThread {
    letters: flume::Sender<Letter>,
    thread: JoinHandle<()>,
}

impl Rejects {
    /// Opens the desk of a pipeline; with dead letters, their producer or file and their thread.
    ///
    /// # Errors
    /// The dead-letter file cannot be opened, or the dead-letter producer's properties are refused: a message for
    /// people.
    pub fn open(plan: &PipelinePlan, pipeline: Arc<Handles>, reports: ReportSender) -> Result<Arc<Self>, String> {
        let policy = match &plan.on_reject {
            OnReject::Stop => Policy::Stop,
            OnReject::Drop => Policy::Drop,
            target @ (OnReject::DeadLetterKafka { .. } | OnReject::DeadLetterFile { .. }) => {
                let (letters, waiting) = flume::unbounded();
                let thread = dead_letter::start(target, plan.memory.0, waiting, pipeline.clone(), reports.clone())?;
                Policy::DeadLetter(Mutex::new(Some(DeadLetterThread { letters, thread })))
            }
        };
        let breaker = Mutex::new(Breaker::new(plan.breaker));
        Ok(Arc::new(Self {
            policy,
            breaker,
            most_in_a_row: plan.breaker.in_a_row,
            count_redirected: plan.breaker.count_redirected,
            aside: Seldom::default(),
            filing: Mutex::default(),
            pipeline,
            reports,
        }))
    }

    /// Whether [`Rejects::file`] needs the original record (`on_reject: dead_letter`).
    #[must_use]
    pub fn needs_original(&self) -> bool {
        matches!(self.policy, Policy::DeadLetter(_))
    }

    /// Rejects in a row of one partition that trip the breaker; 0: none do.
    #[must_use]
    pub fn most_in_a_row(&self) -> u32 {
        self.most_in_a_row
    }

    /// Takes in what preprocess made of a batch: `kept` records go on to the sink, `rejects` are filed. Called by the
    /// sink's intake, once a batch, in sequence.
    pub fn admit(&self, kept: u32, rejects: Vec<Rejected>, originals: Option<&Arc<dyn Originals>>) {
        self.breaker().passed(Side::Preprocess, kept);
        for Rejected { place, reject } in rejects {
            let original = self.original(place, originals);
            self.judge(Side::Preprocess, place, reject, original);
        }
    }

    /// Files one record the sink rejected: counts it by reason, lets the breaker judge, then settles it as dropped,
    /// hands it to the dead-letter thread (which settles it once acknowledged), or halts the pipeline. Blocks only as
    /// [`ReportSender::send`] does.
    pub fn file(&self, place: Place, reject: Reject, original: Option<OwnedRecord>) {
        let side = if reject.attempts == 0 { Side::Preprocess } else { Side::Sink };
        self.judge(side, place, reject, original);
    }

    /// Tells the breaker how many records the sink acknowledged.
    pub fn passed(&self, records: u32) {
        self.breaker().passed(Side::Sink, records);
    }

    /// Hears of a record the sink's servers took and put aside: it is settled all the same. It counts for the breaker
    /// where `count_redirected` says so, and is named in the log, at most once a minute.
    pub fn redirected(&self, place: Place, where_it_is: &str) {
        let name = || self.record_name(place);
        if self.aside.is_due(Instant::now()) {
            let pipeline = &*self.pipeline.name;
            tracing::warn!(pipeline, "{} was taken by the server and {where_it_is}; more like it are counted", name());
        }
        if !self.count_redirected {
            self.breaker().passed(Side::Sink, 1);
            return;
        }
        let trip = self.breaker().rejected(Side::Sink, place.ticket.slot, place.offset);
        if let Some(trip) = trip {
            self.halt(|| self.trip_message(trip, place, &format!("it was taken by the server and {where_it_is}")));
        }
    }

    /// The original record, where the desk needs it and the batch kept it.
    #[must_use]
    pub fn original(&self, place: Place, originals: Option<&Arc<dyn Originals>>) -> Option<OwnedRecord> {
        if self.needs_original() { originals.and_then(|originals| originals.copy(place.index)) } else { None }
    }

    /// Waits until every dead letter is written or, once the process aborts, given up. Called after the sink has ended
    /// and while the source still takes reports.
    pub fn close(&self) {
        if let Policy::DeadLetter(office) = &self.policy {
            let office = office.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(DeadLetterThread { letters, thread }) = office {
                drop(letters);
                if thread.join().is_err() {
                    tracing::error!(pipeline = %self.pipeline.name, "the dead-letter thread panicked");
                }
            }
        }
    }

    fn judge(&self, side: Side, place: Place, mut reject: Reject, original: Option<OwnedRecord>) {
        self.pipeline.metrics.reject(reject.reason).add(1);
        reject.detail = redact(&reject.detail);
        let trip = self.breaker().rejected(side, place.ticket.slot, place.offset);
        if let Some(trip) = trip {
            self.halt(|| self.trip_message(trip, place, &reject.to_string()));
        }
        if !matches!(self.policy, Policy::Stop) && !self.may_file() {
            return;
        }
        match &self.policy {
            Policy::Stop => self.halt(|| self.stop_message(place, &reject)),
            Policy::Drop => {
                self.reports.send(Report::Settled(vec![Part::one(&place, Outcome::Dropped)]));
            }
            Policy::DeadLetter(office) => self.post(office, place, reject, original),
        }
    }

    fn post(
        &self,
        office: &Mutex<Option<DeadLetterThread>>,
        place: Place,
        reject: Reject,
        original: Option<OwnedRecord>,
    ) {
        let Some(original) = original else {
            self.take_back();
            self.halt(|| {
                format!(
                    "{} was rejected ({reject}), but its original bytes were not kept, so no dead letter can be written. \
                     Nothing was skipped. This is a bug: please report it",
                    self.record_name(place)
                )
            });
            return;
        };
        let charge = self.pipeline.budget.charge(original.bytes() + reject.detail.len());
        let letter = Letter { place, reject, original, charge };
        // A closed office leaves the record unsettled: it is read again after the restart.
        let ended = {
            let office = office.lock().unwrap_or_else(PoisonError::into_inner);
            office.as_ref().is_some_and(|office| office.letters.send(letter).is_err())
        };
        if ended {
            self.take_back();
            self.halt(|| {
                "the dead-letter thread has ended, so rejected records cannot be kept. Nothing was skipped. See the log \
                 for why it ended"
                    .to_owned()
            });
        }
    }

    /// Halts the pipeline, once.
    fn halt(&self, message: impl FnOnce() -> String) {
        let (first, account) = self.end();
        if first {
            let message = message() + &account;
            self.reports.send(Report::Halt(Halt { exit: Exit::Rejected, message }));
        }
    }

    /// The pipeline halts for another reason: nothing more is settled here. What the halt's message must say of what
    /// was.
    #[must_use]
    pub fn end_filing(&self) -> String {
        self.end().1
    }

    /// Ends the filing: whether it had not ended, and what became of rejects until then.
    fn end(&self) -> (bool, String) {
        let (first, filed) = {
            let mut filing = self.filing();
            (!std::mem::replace(&mut filing.ended, true), filing.filed)
        };
        let account = match &self.policy {
            Policy::Drop | Policy::DeadLetter(_) if filed == 0 => String::new(),
            Policy::Stop => String::new(),
            Policy::Drop => format!(". Before that, this run rejected and dropped {filed} records"),
            Policy::DeadLetter(_) => format!(
                ". Before that, this run rejected {filed} records into dead letters; those behind the committed offset are \
                 rejected again, with another letter, at each start until the cause is mended"
            ),
        };
        (first, account)
    }

    fn may_file(&self) -> bool {
        let mut filing = self.filing();
        filing.filed += u64::from(!filing.ended);
        !filing.ended
    }

    /// What was to be settled cannot be.
    fn take_back(&self) {
        let mut filing = self.filing();
        filing.filed = filing.filed.saturating_sub(1);
    }

    fn filing(&self) -> std::sync::MutexGuard<'_, Filing> {
        self.filing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record_name(&self, place: Place) -> String {
        let name = self.pipeline.table.name(place.ticket.slot).map_or_else(|| "?".to_owned(), ToString::to_string);
        let item = if place.item.is_whole() { String::new() } else { format!(" item {}", place.item) };
        format!("record {name} offset {}{item}", place.offset)
    }

    fn stop_message(&self, place: Place, reject: &Reject) -> String {
        format!(
            "pipeline {} stopped: {} was rejected: {reject}. `on_reject` is `stop`, so nothing was skipped and its offset \
             is not committed. Correct the step or the producer, or set `on_reject: {{ dead_letter: … }}` to keep such \
             records aside, or `on_reject: drop`; then start again",
            self.pipeline.name,
            self.record_name(place),
        )
    }

    fn trip_message(&self, trip: Trip, place: Place, reject: &str) -> String {
        let what = match trip {
            Trip::Ratio { rejects, records } => format!("{rejects} of the last {records} records were rejected"),
            Trip::InARow { rejects } => format!("{rejects} records in a row of one partition were rejected"),
        };
        format!(
            "pipeline {} stopped by its breaker: {what}, the last one {}: {reject}. That looks like a systemic fault (a \
             mapping, a schema, a wrong pointer) rather than single bad records. Unresolved records are not committed. \
             Correct the cause, or raise `breaker`, then start again",
            self.pipeline.name,
            self.record_name(place),
        )
    }
}

#[cfg(test)]
pub(crate) mod tests;
