//! A worker's access to the look-ups: answers the unique keys of a batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Value;

use crate::config::plan::OnLookupError;
use crate::model::{Exit, Halt};
use crate::telemetry::metrics::{LookupResult, StageName};

use super::cache::CachedKey;
use super::fault::{LookupFault, Next, next};
use super::link::ServerLink;
use super::lookups::{AnswerSource, GLANCE, Keyed, Lookups};
use super::reply::{KeyAnswer, of_fields, of_hash};
use super::table::Table;
use super::{Found, LookupStop};

/// A round trip's request is closed when it has reached this many bytes.
const REQUEST_BYTES: usize = 1024 * 1024;

/// Where a key's answer goes.
struct KeyQuestion<'a> {
    number: usize,
    keys: &'a [&'a [u8]],
    still_wanted: &'a dyn Fn() -> bool,
}

#[derive(Default)]
struct LookupScratch {
    missing: Vec<usize>,
    request: Vec<u8>,
    answers: Vec<KeyAnswer>,
}

/// A worker's access to the look-ups; owns its connections, one a server, opened when first needed.
pub struct Enricher {
    lookups: Arc<Lookups>,
    links: Vec<ServerLink>,
    scratch: LookupScratch,
}

/// What an attempt ended in.
enum LookupAttempt {
    /// So many of the missing keys are answered.
    Answered(usize),
    /// Ask again.
    Again,
    /// Redis does not answer and the look-up goes without.
    Without,
}

impl Enricher {
    /// Access for one worker.
    #[must_use]
    pub fn new(lookups: Arc<Lookups>) -> Self {
        let links = (0..lookups.server_count()).map(|_| ServerLink::new(&lookups.retry)).collect();
        Self { lookups, links, scratch: LookupScratch::default() }
    }

    /// Answers `keys` (unique, already rendered) of look-up number `lookup`, in order, into `found` (cleared first).
    /// `still_wanted` is asked between attempts, at least every 50 ms while waiting; when it says no, or the process
    /// aborts, the call ends with [`LookupStop::Interrupted`]. A single attempt takes at most the connection's timeout
    /// for connecting, login and answer each.
    ///
    /// # Errors
    /// See [`LookupStop`].
    pub(crate) fn resolve(
        &mut self,
        lookup: usize,
        keys: &[&[u8]],
        still_wanted: &dyn Fn() -> bool,
        found: &mut Vec<Found>,
    ) -> Result<(), LookupStop> {
        found.clear();
        let lookups = self.lookups.clone();
        let question = KeyQuestion { number: lookup, keys, still_wanted };
        match lookups.source(lookup) {
            None => found.resize(keys.len(), Found::Miss),
            Some(AnswerSource::Memory(table)) => {
                found.extend(
                    keys.iter().map(|key| table.get(*key).map_or(Found::Miss, |json| Found::Json(json.clone()))),
                );
            }
            Some(AnswerSource::Table(table)) => from_table(&lookups, table, &question, found)?,
            Some(AnswerSource::Keyed(keyed)) => {
                let mut scratch = std::mem::take(&mut self.scratch);
                from_cache(&lookups, keyed, keys, found, &mut scratch.missing);
                let outcome = self.fetch(&lookups, keyed, &question, &mut scratch, found);
                self.scratch = scratch;
                outcome?;
            }
        }
        Ok(())
    }

    fn fetch(
        &mut self,
        lookups: &Lookups,
        keyed: &Keyed,
        question: &KeyQuestion<'_>,
        scratch: &mut LookupScratch,
        found: &mut [Found],
    ) -> Result<(), LookupStop> {
        let mut answered = 0;
        while answered < scratch.missing.len() {
            let link = &mut self.links[keyed.server];
            match attempt(lookups, keyed, link, question, scratch, answered)? {
                LookupAttempt::Answered(more) => {
                    let places = &scratch.missing[answered..answered + more];
                    remember(lookups, keyed, question, places, &mut scratch.answers, found);
                    answered += more;
                }
                LookupAttempt::Again => {}
                LookupAttempt::Without => {
                    let rest = &scratch.missing[answered..];
                    lookups.pipeline.metrics.lookup(LookupResult::Failed).add(rest.len() as u64);
                    for place in rest {
                        found[*place] = Found::Unavailable;
                    }
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Answers what the cache knows; lists the places of the rest, which hold [`Found::Miss`] until then.
fn from_cache(lookups: &Lookups, keyed: &Keyed, keys: &[&[u8]], found: &mut Vec<Found>, missing: &mut Vec<usize>) {
    missing.clear();
    let mut cache = keyed.cache.turn(Instant::now());
    for (place, key) in keys.iter().enumerate() {
        found.push(match cache.get(key) {
            Some(CachedKey::Found(json)) => Found::Json(json),
            Some(CachedKey::Missing) => Found::Miss,
            None => {
                missing.push(place);
                Found::Miss
            }
        });
    }
    drop(cache);
    lookups.pipeline.metrics.lookup(LookupResult::Cached).add((keys.len() - missing.len()) as u64);
}

fn from_table(
    lookups: &Lookups,
    table: &Table,
    question: &KeyQuestion<'_>,
    found: &mut Vec<Found>,
) -> Result<(), LookupStop> {
    let entries = loop {
        if let Some(entries) = table.current() {
            break entries;
        }
        match table.on_error {
            OnLookupError::Keep => {
                found.resize(question.keys.len(), Found::Unavailable);
                lookups.pipeline.metrics.lookup(LookupResult::Failed).add(question.keys.len() as u64);
                return Ok(());
            }
            OnLookupError::Stop => {
                let fault = LookupFault::Down("the table could not be read yet".to_owned());
                return Err(halt(lookups, question.number, &fault, Exit::Temporary));
            }
            OnLookupError::Retry => {
                lookups.raise_if_silent(question.number, "the table was not read yet");
                pause(lookups, GLANCE, question)?;
            }
        }
    };
    let mut hits = 0;
    for key in question.keys {
        found.push(entries.get(key).map_or(Found::Miss, |json| {
            hits += 1;
            Found::Json(json.clone())
        }));
    }
    lookups.pipeline.metrics.lookup(LookupResult::Cached).add(hits);
    lookups.pipeline.metrics.lookup(LookupResult::Missed).add(question.keys.len() as u64 - hits);
    Ok(())
}

/// One attempt for the next part of the missing keys, after whatever wait the last fault asks for.
fn attempt(
    lookups: &Lookups,
    keyed: &Keyed,
    link: &mut ServerLink,
    question: &KeyQuestion<'_>,
    scratch: &mut LookupScratch,
    answered: usize,
) -> Result<LookupAttempt, LookupStop> {
    if let Some(wait) = link.patience.wait(Instant::now()) {
        match link.fault.as_ref().map(|fault| next(fault, keyed.on_error, Duration::ZERO)) {
            Some(Next::GoWithout) => return Ok(LookupAttempt::Without),
            Some(Next::Wait) | None => pause(lookups, wait, question)?,
            Some(Next::Halt(_)) => {}
        }
    }
    if !wanted(lookups, question) {
        return Err(LookupStop::Interrupted);
    }
    let asked = encode(keyed, question.keys, &scratch.missing[answered..], link.keys(), &mut scratch.request);
    let server = lookups.server(keyed.server);
    let read = |reply: Value| if keyed.fields.is_empty() { of_hash(reply) } else { of_fields(&keyed.fields, reply) };
    let start = Instant::now();
    let outcome = link.ask(server, &scratch.request, asked, &server.limits(), read, &mut scratch.answers);
    let took = start.elapsed();
    lookups.pipeline.metrics.lookup_micros.observe(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    match outcome {
        Ok(()) => {
            lookups.pipeline.metrics.busy(StageName::Lookup).add(nanos);
            succeeded(lookups, link, question.number, took > server.limits().total / 2);
            Ok(LookupAttempt::Answered(asked))
        }
        Err(fault) => {
            lookups.pipeline.metrics.blocked(StageName::Lookup).add(nanos);
            failed(lookups, keyed, link, question.number, fault, asked, &mut scratch.answers)
        }
    }
}

fn succeeded(lookups: &Lookups, link: &mut ServerLink, number: usize, slow: bool) {
    link.patience.succeeded();
    link.fault = None;
    if slow {
        lookups.raise(number, "answers come slowly: a round trip took more than half of the connection's timeout");
    } else {
        lookups.clear(number);
    }
}

fn failed(
    lookups: &Lookups,
    keyed: &Keyed,
    link: &mut ServerLink,
    number: usize,
    fault: LookupFault,
    asked: usize,
    answers: &mut Vec<KeyAnswer>,
) -> Result<LookupAttempt, LookupStop> {
    if fault == LookupFault::TooLarge {
        if asked == 1 {
            answers.clear();
            answers.push(KeyAnswer::too_large());
            return Ok(LookupAttempt::Answered(1));
        }
        link.ask_for_less(asked);
        return Ok(LookupAttempt::Again);
    }
    if matches!(fault, LookupFault::TimedOut(_)) {
        link.ask_for_less(asked);
    }
    let lasted = link.patience.failed(&fault, Instant::now(), fastrand::f64());
    lookups.raise(number, fault.message());
    let outcome = match next(&fault, keyed.on_error, lasted) {
        Next::Wait => Ok(LookupAttempt::Again),
        Next::GoWithout => Ok(LookupAttempt::Without),
        Next::Halt(exit) => Err(halt(lookups, number, &fault, exit)),
    };
    link.fault = Some(fault);
    outcome
}

fn halt(lookups: &Lookups, number: usize, fault: &LookupFault, exit: Exit) -> LookupStop {
    LookupStop::Halt(Halt { exit, message: format!("{}: {}", lookups.place(number), fault.message()) })
}

/// Writes the commands for the first of `missing` into `request`: at most `most` keys and [`REQUEST_BYTES`], but at
/// least one. Returns how many.
fn encode(keyed: &Keyed, keys: &[&[u8]], missing: &[usize], most: usize, request: &mut Vec<u8>) -> usize {
    request.clear();
    let mut asked = 0;
    for place in missing.iter().take(most) {
        if asked > 0 && request.len() + keys[*place].len() > REQUEST_BYTES {
            break;
        }
        let mut command = redis::cmd(if keyed.fields.is_empty() { "HGETALL" } else { "HMGET" });
        command.arg(keys[*place]);
        if !keyed.fields.is_empty() {
            command.arg(&keyed.fields);
        }
        command.write_packed_command(request);
        asked += 1;
    }
    asked
}

/// Puts the answers in their places and into the cache. An unusable one is remembered as a miss, so that it is not
/// fetched again with every batch.
fn remember(
    lookups: &Lookups,
    keyed: &Keyed,
    question: &KeyQuestion<'_>,
    places: &[usize],
    answers: &mut Vec<KeyAnswer>,
    found: &mut [Found],
) {
    let (mut hits, mut unusable) = (0, 0);
    let mut cache = keyed.cache.turn(Instant::now());
    for (place, answer) in places.iter().zip(answers.drain(..)) {
        let text = match answer {
            KeyAnswer::Found(text) => {
                hits += 1;
                Some(text)
            }
            KeyAnswer::Missing => None,
            KeyAnswer::Unusable(why) => {
                unusable += 1;
                lookups.warn_unusable(question.number, why);
                None
            }
        };
        if let CachedKey::Found(json) = cache.put(question.keys[*place], text.as_deref()) {
            found[*place] = Found::Json(json);
        }
    }
    drop(cache);
    lookups.pipeline.metrics.lookup(LookupResult::Found).add(hits);
    lookups.pipeline.metrics.lookup(LookupResult::Unusable).add(unusable);
    lookups.pipeline.metrics.lookup(LookupResult::Missed).add(places.len() as u64 - hits - unusable);
}

fn wanted(lookups: &Lookups, question: &KeyQuestion<'_>) -> bool {
    !lookups.pipeline.stop.is_aborting() && (question.still_wanted)()
}

/// Waits, looking every [`GLANCE`] whether anybody still waits for the answer.
fn pause(lookups: &Lookups, wait: Duration, question: &KeyQuestion<'_>) -> Result<(), LookupStop> {
    let start = Instant::now();
    let mut outcome = Ok(());
    while start.elapsed() < wait {
        if !wanted(lookups, question) {
            outcome = Err(LookupStop::Interrupted);
            break;
        }
        std::thread::park_timeout(GLANCE.min(wait.saturating_sub(start.elapsed())));
    }
    lookups
        .pipeline
        .metrics
        .blocked(StageName::Lookup)
        .add(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
    outcome
}
