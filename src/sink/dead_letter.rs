//! The dead-letter thread: writes rejected records to a topic or a file and settles each once that is acknowledged.
//!
//! A fault holds in place: the same letters are tried again for as long as it takes, with a named fault in `/status`,
//! and nothing rewinds. A letter that is too large for its topic is found by writing it alone, for a broker judges
//! batches; it holds like any fault, or goes without its value where the user chose that (`on_too_large`). Letters of a
//! fenced epoch that were not sent yet are dropped: their records come again. Letters written above the committed
//! position are remembered, so a rewind does not write them twice.

pub mod envelope;
mod file;
mod memory;
mod topic;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::config::plan::{OnReject, OnTooLarge};
use crate::model::{Backoff, Charge, Outcome, OwnedRecord, Part, Place, Reject, Report, ReportSender};
use crate::mutants::{self, Mutant};
use crate::telemetry::handles::Handles;
use crate::telemetry::health::Component;

use envelope::Omitted;
use file::LetterFile;
use memory::Memory;
use topic::LetterTopic;

/// Letters written together.
const GROUP_LETTERS: usize = 512;
/// Bytes of letters written together, unless a single one is larger.
const GROUP_BYTES: usize = 1 << 20;
/// Between two attempts that wrote nothing.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
/// How often a wait looks whether the process aborts.
const GLANCE: Duration = Duration::from_millis(50);

/// A rejected record on its way to the dead letters.
pub(super) struct Letter {
    /// Which record.
    pub(super) place: Place,
    /// Why it was rejected; its detail is redacted.
    pub(super) reject: Reject,
    /// The record as it was read.
    pub(super) original: OwnedRecord,
    /// Its bytes of the budget, given back when the letter is done.
    #[expect(dead_code, reason = "held for its drop")]
    pub(super) charge: Charge,
}

/// What became of letters that were written together.
pub(super) struct WriteAttempt {
    /// Which were acknowledged.
    pub(super) done: Vec<bool>,
    /// Whether the broker called one of the others, or the batch it travelled in, too large.
    pub(super) too_large: bool,
    /// Why the others were not.
    pub(super) fault: Option<String>,
}

enum LetterTarget {
    Topic(Box<LetterTopic>),
    File(LetterFile),
}

/// Opens the target and starts the thread. It ends when `waiting` is disconnected and empty, or when the process
/// aborts.
///
/// # Errors
/// The target cannot be opened: a message for people.
pub(super) fn start(
    target: &OnReject,
    memory_bytes: usize,
    waiting: flume::Receiver<Letter>,
    pipeline: Arc<Handles>,
    reports: ReportSender,
) -> Result<JoinHandle<()>, String> {
    let (target, on_too_large) = match target {
        OnReject::DeadLetterKafka { connection, topic, on_too_large } => {
            pipeline.health.needs(Component::DeadLetter);
            let target = LetterTopic::open(connection, topic, memory_bytes, pipeline.clone())?;
            (LetterTarget::Topic(Box::new(target)), *on_too_large)
        }
        OnReject::DeadLetterFile { path } => (LetterTarget::File(LetterFile::open(path)?), OnTooLarge::Hold),
        OnReject::Stop | OnReject::Drop => return Err("no dead letters are configured".to_owned()),
    };
    let writer = Writer { waiting, target, on_too_large, memory: Memory::default(), pipeline, reports };
    std::thread::Builder::new()
        .name("dead-letter".into())
        .spawn(move || writer.run())
        .map_err(|error| format!("the dead-letter thread could not be started: {error}"))
}

struct Writer {
    waiting: flume::Receiver<Letter>,
    target: LetterTarget,
    on_too_large: OnTooLarge,
    memory: Memory,
    pipeline: Arc<Handles>,
    reports: ReportSender,
}

impl Writer {
    fn run(mut self) {
        while let Some(group) = self.next_group() {
            let group = self.settle_known(group);
            if mutants::on(Mutant::DeadLetterBeforeItsAck) {
                self.settle(&group);
            }
            self.write_all(group);
        }
        match self.target {
            LetterTarget::Topic(topic) => topic.close(),
            LetterTarget::File(_) => {}
        }
    }

    /// The letters that wait, at least one; `None` when there will be no more or the process aborts.
    fn next_group(&mut self) -> Option<Vec<Letter>> {
        loop {
            if let LetterTarget::Topic(topic) = &mut self.target {
                topic.greet(Instant::now());
            }
            match self.waiting.recv_timeout(GLANCE) {
                Ok(first) => {
                    let mut bytes = first.original.bytes();
                    let mut group = vec![first];
                    while group.len() < GROUP_LETTERS
                        && bytes < GROUP_BYTES
                        && let Ok(letter) = self.waiting.try_recv()
                    {
                        bytes += letter.original.bytes();
                        group.push(letter);
                    }
                    return Some(group);
                }
                Err(flume::RecvTimeoutError::Timeout) if !self.pipeline.stop.is_aborting() => {}
                Err(_) => return None,
            }
        }
    }

    /// Settles letters written before a rewind; returns the others.
    fn settle_known(&self, group: Vec<Letter>) -> Vec<Letter> {
        let (known, fresh): (Vec<_>, Vec<_>) = group.into_iter().partition(|letter| self.memory.holds(letter));
        self.settle(&known);
        fresh
    }

    /// Writes letters until all are written, fenced, or the process aborts.
    fn write_all(&mut self, mut letters: Vec<Letter>) {
        let mut failures = 1;
        loop {
            letters.retain(|letter| self.is_wanted(letter));
            if letters.is_empty() {
                return;
            }
            let mut attempt = self.attempt(&letters);
            if attempt.too_large {
                attempt = self.write_each(&letters, attempt.done);
            }
            let WriteAttempt { done: written, fault, .. } = attempt;
            let (done, left) = split(letters, &written);
            for letter in &done {
                self.memory.add(letter);
            }
            self.settle(&done);
            letters = left;
            match fault {
                None => self.pipeline.health.clear(Component::DeadLetter),
                Some(fault) => {
                    self.pipeline.health.raise(Component::DeadLetter, fault);
                    self.rest(BACKOFF.after(failures));
                    failures = if done.is_empty() { failures.saturating_add(1) } else { 1 };
                }
            }
            if self.pipeline.stop.is_aborting() {
                return;
            }
        }
    }

    fn attempt(&mut self, letters: &[Letter]) -> WriteAttempt {
        match &mut self.target {
            LetterTarget::Topic(topic) => topic.write(letters),
            LetterTarget::File(file) => file.write(letters, &self.pipeline.name),
        }
    }

    /// Writes those that are not `done` one by one, until one fails for another reason than its size.
    fn write_each(&mut self, letters: &[Letter], mut done: Vec<bool>) -> WriteAttempt {
        let mut fault = None;
        for (letter, done) in letters.iter().zip(&mut done).filter(|(_, done)| !**done) {
            let mut alone = self.attempt(std::slice::from_ref(letter));
            if alone.too_large {
                match self.on_too_large {
                    OnTooLarge::Hold => {}
                    OnTooLarge::OmitValue => alone = self.write_shortened(letter, alone),
                }
            }
            *done = alone.done.iter().all(|done| *done);
            let stop = alone.fault.is_some() && !alone.too_large;
            fault = fault.or(alone.fault);
            if stop || self.pipeline.stop.is_aborting() {
                break;
            }
        }
        WriteAttempt { done, too_large: false, fault }
    }

    /// Writes a letter that is too large without its value or, when that is still too large, without anything but where
    /// the record stands and why it was rejected. Returns the last attempt, `refused` being the first.
    fn write_shortened(&mut self, letter: &Letter, refused: WriteAttempt) -> WriteAttempt {
        let mut last = refused;
        for omitted in [Omitted::Value, Omitted::All] {
            if !last.too_large {
                break;
            }
            let original = envelope::without(&letter.original, omitted);
            let reject = letter.reject.clone();
            last = self.attempt(&[Letter { place: letter.place, reject, original, charge: Charge::none() }]);
            if last.fault.is_none() {
                let OwnedRecord { topic, partition, offset, .. } = &letter.original;
                tracing::warn!(
                    pipeline = %self.pipeline.name,
                    "the dead letter of {topic}[{partition}] offset {offset} was too large ({} bytes) and was written \
                     without its {}; the original is only in its topic",
                    letter.original.bytes(),
                    omitted.name()
                );
            }
        }
        last
    }

    fn is_wanted(&self, letter: &Letter) -> bool {
        let ticket = letter.place.ticket;
        self.pipeline.table.is_current(ticket.slot, ticket.epoch)
    }

    fn settle(&self, letters: &[Letter]) {
        let mut parts: Vec<Part> = Vec::new();
        for letter in letters {
            let one = Part::one(&letter.place, Outcome::DeadLettered);
            if !parts.iter_mut().any(|part| part.absorb(&one)) {
                parts.push(one);
            }
        }
        if !parts.is_empty() {
            self.reports.send(Report::Settled(parts));
        }
    }

    fn rest(&self, wait: Duration) {
        let end = Instant::now() + wait;
        while !self.pipeline.stop.is_aborting()
            && let Some(left) = end.checked_duration_since(Instant::now())
            && !left.is_zero()
        {
            std::thread::park_timeout(left.min(GLANCE));
        }
    }
}

fn split(letters: Vec<Letter>, written: &[bool]) -> (Vec<Letter>, Vec<Letter>) {
    let mut flags = written.iter();
    letters.into_iter().partition(|_| flags.next().copied().unwrap_or(false))
}
