//! What an answer does to a lane: settle, send again, split, halt. Pure.

use std::collections::{BTreeMap, VecDeque};

use crate::model::{Exit, Halt, Reject, RejectReason, StepName};
use crate::mutants::{self, Mutant};
use crate::telemetry::labelled::ItemErrors;

use super::alike::{self, RefusalShape};
use super::answer::{self, ItemFault, ServerError};
use super::body::slice;
use super::chain::{ChainLink, OpState};
use super::lane::{Bulk, Lane, Trial};
use super::op::{Op, OpEnd, Pace};
use super::refused::RefusedItems;
use super::verdict::{ItemVerdict, RequestReply, RequestVerdict, Trouble, judge_item, judge_request, retry_message};

/// Sendings of one item, or one request, that stay unknown before the pipeline halts.
const UNKNOWN_SENDINGS: u32 = 8;
/// Sendings of a request answered by a plain 500, or an error of a type nobody knows, before it is bisected; and of a
/// record alone before it is found guilty.
const SENDINGS_BEFORE_BISECT: u32 = 4;
/// Sendings of a request of one or two records answered by a plain 500 before the pipeline halts: too few to tell a bad
/// record from a bad server.
const SENDINGS_OF_FEW: u32 = 10;
/// Sendings of a request answered by 429 before it is sent in smaller parts.
const BUSY_SENDINGS: u32 = 8;
/// Requests up to this size are not made smaller because of 429.
const NEVER_TOO_LARGE_BYTES: usize = 1 << 20;
/// A request of at least this many records, all guilty, is no accident of the data.
const SYSTEMIC: usize = 3;

/// Sendings of records that are refused alike and too few to tell whose fault it is: with the second come others.
const SENDINGS_IN_DOUBT: u32 = 2;

enum Judged {
    Final(OpEnd),
    Again,
}

#[derive(Default)]
struct Notes {
    overload: bool,
    retried: bool,
    alert: Option<String>,
    halt: Option<Halt>,
    /// All were refused alike, too few to tell whose fault it is.
    doubt: bool,
    refused: Option<RefusedItems>,
}

impl Lane {
    /// Takes the answer to the current request.
    pub fn answered(&mut self, reply: &RequestReply) -> Pace {
        let Some(bulk) = self.current.take() else { return Pace::Go };
        match reply {
            RequestReply::Timeout => {
                self.repeat(bulk, Trouble::Timeout, "the server did not answer within request_timeout".to_owned())
            }
            RequestReply::Broken(cause) => self.repeat(bulk, Trouble::Connection, cause.clone()),
            RequestReply::Moved(redirect) => {
                self.current = Some(bulk);
                Pace::Halt(Halt { exit: Exit::Protocol, message: redirect.clone() })
            }
            RequestReply::Answer { status, body, retry_after: _ } => {
                match judge_request(*status, body, self.rules.terms) {
                    RequestVerdict::Items => self.items(bulk, body),
                    RequestVerdict::Retry(trouble) => {
                        self.repeat(bulk, trouble, retry_message(*status, body, self.rules.terms))
                    }
                    RequestVerdict::RetryThenBisect(error) => self.retry_then_bisect(bulk, *status, &error),
                    RequestVerdict::Bisect(error) => self.bisect(bulk, *status, &error, true),
                    RequestVerdict::Halve => self.halve(bulk),
                    RequestVerdict::Refused(message) => {
                        self.current = Some(bulk);
                        Pace::Refused(message)
                    }
                    RequestVerdict::Unknown(message) => self.retry_bounded(bulk, UNKNOWN_SENDINGS, message),
                    RequestVerdict::Halt(halt) => {
                        self.current = Some(bulk);
                        Pace::Halt(halt)
                    }
                }
            }
        }
    }

    /// The same request once more, byte for byte unless something of it is fenced.
    fn repeat(&mut self, mut bulk: Bulk, trouble: Trouble, message: String) -> Pace {
        bulk.failures += 1;
        let may_be_too_large = bulk.ops.len() > 1 && bulk.body.len() > NEVER_TOO_LARGE_BYTES;
        if trouble == Trouble::Overload && may_be_too_large && bulk.failures >= BUSY_SENDINGS {
            // Servers bound the bytes they work on: a request above that bound is refused with 429 for ever.
            self.cap_bytes((bulk.body.len() / 2).max(NEVER_TOO_LARGE_BYTES));
            self.break_up_chains(&bulk.chained);
            self.put_first(bulk.ops.into(), bulk.trial);
        } else {
            self.current = Some(bulk);
        }
        Pace::Whole { trouble, message }
    }

    fn retry_bounded(&mut self, bulk: Bulk, sendings: u32, message: String) -> Pace {
        if bulk.failures + 1 < sendings {
            return self.repeat(bulk, Trouble::Unclear, message);
        }
        let message = format!("{message}; sent {} times; look at the server's log and start again", bulk.failures + 1);
        self.current = Some(bulk);
        Pace::Halt(Halt { exit: Exit::Temporary, message })
    }

    /// A single record is guilty only of what a server itself says of it, several times, while others are taken: a
    /// status alone may be the server's own bad moment, or a proxy's.
    fn retry_then_bisect(&mut self, bulk: Bulk, status: u16, error: &ServerError) -> Pace {
        let message = format!("the server answered {status} to a bulk request: {}: {}", error.kind, error.reason);
        let alone = bulk.trial && bulk.ops.len() == 1;
        if alone && error.kind.is_empty() {
            self.retry_bounded(bulk, SENDINGS_OF_FEW, message)
        } else if alone && bulk.failures + 1 < SENDINGS_BEFORE_BISECT {
            self.repeat(bulk, Trouble::Unclear, message)
        } else if bulk.trial {
            self.bisect(bulk, status, error, false)
        } else if bulk.ops.len() < SYSTEMIC {
            self.retry_bounded(bulk, SENDINGS_OF_FEW, message)
        } else if bulk.failures + 1 < SENDINGS_BEFORE_BISECT {
            self.repeat(bulk, Trouble::Unclear, message)
        } else {
            self.bisect(bulk, status, error, false)
        }
    }

    /// Halves a request one line of which spoils all; a single record is guilty.
    fn bisect(&mut self, bulk: Bulk, status: u16, error: &ServerError, certain: bool) -> Pace {
        if bulk.ops.len() == 1 {
            return self.found_guilty(bulk, status, error);
        }
        if !bulk.trial {
            self.trial = Some(Trial { total: bulk.ops.len(), good: false, certain, guilty: Vec::new() });
        }
        self.break_up_chains(&bulk.chained);
        let mut first: VecDeque<Op> = bulk.ops.into();
        let second = first.split_off(first.len() / 2);
        self.put_first(second, true);
        self.put_first(first, true);
        Pace::Split
    }

    fn found_guilty(&mut self, bulk: Bulk, status: u16, error: &ServerError) -> Pace {
        let detail = format!("{}: {}", error.kind, error.reason);
        let reject = refusal(RejectReason::Refused, status, detail);
        for op in bulk.ops {
            match &mut self.trial {
                Some(trial) if bulk.trial && !trial.good => trial.guilty.push((op, reject.clone())),
                Some(_) | None => self.end(op, OpEnd::Rejected(Box::new(reject.clone()))),
            }
        }
        self.free_chains(&bulk.chained);
        self.finish_trial().map_or(Pace::Split, Pace::Halt)
    }

    /// 413: the same records in smaller requests; a single one is too large for good.
    fn halve(&mut self, bulk: Bulk) -> Pace {
        if bulk.ops.len() > 1 {
            self.cap_bytes(bulk.body.len() / 2);
            self.break_up_chains(&bulk.chained);
            self.put_first(bulk.ops.into(), bulk.trial);
            return Pace::Split;
        }
        let detail = format!(
            "the server, or a proxy in front of it, takes no request of {} bytes (413): raise its limit \
             (`http.max_content_length`, nginx's `client_max_body_size`)",
            bulk.body.len()
        );
        let reject = refusal(RejectReason::TooLarge, 413, detail);
        for op in bulk.ops {
            self.end(op, OpEnd::Rejected(Box::new(reject.clone())));
        }
        if let (true, Some(trial)) = (bulk.trial, &mut self.trial) {
            trial.total = trial.total.saturating_sub(1);
        }
        self.free_chains(&bulk.chained);
        self.finish_trial().map_or(Pace::Split, Pace::Halt)
    }

    /// A trial ends with its last part: were all its records guilty, the fault is not theirs.
    fn finish_trial(&mut self) -> Option<Halt> {
        if self.under_trial() {
            return None;
        }
        let trial = self.trial.take()?;
        let all = !trial.good && trial.guilty.len() == trial.total;
        if all && (trial.total >= SYSTEMIC || !trial.certain) {
            let detail = trial.guilty.first().map_or("", |(_, reject)| reject.detail.as_str());
            let message = format!(
                "the server refused every one of {} records sent alone ({detail}): this is not one bad record; \
                 check the sink's index, action and server against the records",
                trial.total
            );
            let exit = if trial.certain { Exit::Protocol } else { Exit::Temporary };
            // They stay unresolved: nothing of them is settled or dead-lettered.
            self.put_first(trial.guilty.into_iter().map(|(op, _)| op).collect(), false);
            return Some(Halt { exit, message });
        }
        self.file(trial.guilty);
        None
    }

    /// A trial may end because its last parts were fenced; a systemic fault will show again.
    pub(super) fn finish_trial_after_fence(&mut self) {
        if self.under_trial() {
            return;
        }
        if let Some(trial) = self.trial.take() {
            self.put_first(trial.guilty.into_iter().map(|(op, _)| op).collect(), false);
        }
    }

    fn under_trial(&self) -> bool {
        self.segments.iter().any(|segment| segment.trial) || self.current.as_ref().is_some_and(|bulk| bulk.trial)
    }

    fn file(&mut self, guilty: Vec<(Op, Reject)>) {
        for (op, reject) in guilty {
            self.end(op, OpEnd::Rejected(Box::new(reject)));
        }
    }

    /// What waited behind chains with nothing left to send again goes on.
    fn free_chains(&mut self, ids: &[u64]) {
        let freed: VecDeque<Op> = ids.iter().flat_map(|id| self.chains.dissolve(*id)).collect();
        self.put_first(freed, false);
    }

    /// The rest of chains that are partly in a request about to be split comes after its parts.
    fn break_up_chains(&mut self, ids: &[u64]) {
        let rest: VecDeque<Op> = ids.iter().flat_map(|id| self.chains.break_up(*id)).collect();
        self.put_first(rest, false);
    }

    fn items(&mut self, bulk: Bulk, body: &[u8]) -> Pace {
        let faults = match answer::read(body, bulk.ops.len()) {
            Ok(_) if mutants::on(Mutant::ErrorsReadAsSuccess) => Vec::new(),
            Ok(faults) => faults,
            Err(unreadable) => return self.repeat(bulk, Trouble::Unclear, unreadable.to_string()),
        };
        let mut notes = Notes::default();
        if faults.is_empty() && self.chains.is_empty() {
            for op in bulk.ops {
                self.end(op, OpEnd::Delivered);
            }
        } else {
            match self.look(&bulk.ops, &faults) {
                RefusalShape::Records => {}
                RefusalShape::Doubt => notes.doubt = !bulk.trial,
                RefusalShape::Halt(halt) => notes.halt = Some(halt),
            }
            self.settle_in_order(bulk.ops, &faults, bulk.body.len(), &mut notes);
            self.free_chains(&bulk.chained);
        }
        if let (true, Some(trial)) = (bulk.trial, &mut self.trial) {
            trial.good = true;
            let guilty = std::mem::take(&mut trial.guilty);
            self.file(guilty);
        }
        let systemic = if bulk.trial { self.finish_trial() } else { None };
        match notes.halt.or(systemic) {
            Some(halt) => Pace::Halt(halt),
            None if notes.retried => Pace::Residue { overload: notes.overload, alert: notes.alert },
            None => Pace::Go,
        }
    }

    /// Whether an index refuses everything: none of what it refused is rejected then.
    fn look(&self, ops: &[Op], faults: &[ItemFault]) -> RefusalShape {
        let terms = self.rules.terms;
        if terms.fixed_index && faults.len() < ops.len() {
            return RefusalShape::Records;
        }
        let is_refused = |fault: &&ItemFault| {
            ops.get(fault.index).is_some_and(|op| {
                matches!(judge_item(fault, op.item.action, op.item.versioned, terms), ItemVerdict::Reject(_))
            })
        };
        let refused: Vec<&ItemFault> = faults.iter().filter(is_refused).collect();
        alike::look(ops.len(), &refused, |at| alike::index_in(slice(&self.held, &ops[at])), terms)
    }

    /// Settles what may be settled; the rest goes into chains, in order.
    fn settle_in_order(&mut self, ops: Vec<Op>, faults: &[ItemFault], body_bytes: usize, notes: &mut Notes) {
        let mut unsettled: BTreeMap<u64, Vec<ChainLink>> = BTreeMap::new();
        let mut faults = faults.iter().peekable();
        for (index, op) in ops.into_iter().enumerate() {
            let fault = faults.next_if(|fault| fault.index == index);
            let judged = fault.map_or(Judged::Final(OpEnd::Delivered), |fault| self.judge(fault, &op, notes));
            if let (Judged::Again, Some(fault)) = (&judged, fault) {
                self.note_refused(fault, &op, &mut notes.refused);
            }
            let earlier = unsettled.get_mut(&op.item.id_hash);
            match (judged, earlier) {
                (Judged::Final(end), None) => self.end(op, end),
                (Judged::Final(end), Some(_)) if mutants::on(Mutant::SettleAheadOfAnEarlier) => self.end(op, end),
                (Judged::Final(end), Some(links)) => links.push(ChainLink { op, standing: OpState::Final(end) }),
                (Judged::Again, Some(links)) => links.push(ChainLink { op, standing: OpState::Again }),
                (Judged::Again, None) => {
                    unsettled.insert(op.item.id_hash, vec![ChainLink { op, standing: OpState::Again }]);
                }
            }
        }
        self.compact(&mut unsettled, body_bytes);
        notes.retried = !unsettled.is_empty();
        for (id_hash, links) in unsettled {
            self.chains.put_back(id_hash, links);
        }
        self.choose_witness(notes.refused.take());
    }

    /// Few left of a large body: they get a small one of their own, so that the large one can go.
    fn compact(&mut self, unsettled: &mut BTreeMap<u64, Vec<ChainLink>>, body_bytes: usize) {
        let bytes: usize = unsettled.values().flatten().map(|link| link.op.item.bytes()).sum();
        if bytes == 0 || bytes * 2 > body_bytes {
            return;
        }
        let mut copy = Vec::with_capacity(bytes);
        let mut ops: Vec<Op> = Vec::new();
        for link in unsettled.values().flatten() {
            let start = copy.len() as u32;
            copy.extend_from_slice(slice(&self.held, &link.op));
            let mut op = link.op;
            op.item.start = start;
            op.item.end = copy.len() as u32;
            ops.push(op);
        }
        self.rehold(&mut ops, copy.into());
        for (link, op) in unsettled.values_mut().flatten().zip(ops) {
            link.op = op;
        }
    }

    fn judge(&mut self, fault: &ItemFault, op: &Op, notes: &mut Notes) -> Judged {
        if let Some(error) = &fault.error {
            let kind = ItemErrors::known(&error.kind);
            *self.effects.item_errors.entry((fault.status, kind)).or_default() += 1;
        }
        let error = fault.error.clone().unwrap_or_default();
        match judge_item(fault, op.item.action, op.item.versioned, self.rules.terms) {
            ItemVerdict::Delivered => Judged::Final(OpEnd::Delivered),
            ItemVerdict::Superseded => Judged::Final(OpEnd::Superseded),
            ItemVerdict::Redirected(aside) => Judged::Final(OpEnd::Redirected(aside)),
            ItemVerdict::Retry { overload } => {
                notes.overload |= overload;
                Judged::Again
            }
            ItemVerdict::Hold(alert) => {
                notes.alert = Some(alert);
                Judged::Again
            }
            ItemVerdict::Halt(halt) => {
                notes.halt = Some(halt);
                Judged::Again
            }
            // The index is at fault, not this record.
            ItemVerdict::Reject(_) if notes.halt.is_some() => Judged::Again,
            ItemVerdict::Reject(_) if notes.doubt && op.attempts < SENDINGS_IN_DOUBT => Judged::Again,
            ItemVerdict::Reject(reason) => {
                let detail = format!("{}: {}", error.kind, error.reason);
                Judged::Final(OpEnd::Rejected(Box::new(refusal(reason, fault.status, detail))))
            }
            ItemVerdict::Unknown => {
                if op.attempts >= UNKNOWN_SENDINGS {
                    let message = format!(
                        "the server answered {} ({}: {}) to one item {} times; this is no answer we know: \
                         look at the server's log and start again",
                        fault.status, error.kind, error.reason, op.attempts
                    );
                    notes.halt = Some(Halt { exit: Exit::Temporary, message });
                }
                Judged::Again
            }
        }
    }
}

fn refusal(reason: RejectReason, status: u16, detail: String) -> Reject {
    let step: StepName = "sink".into();
    Reject { status: Some(status), ..Reject::new(reason, &step, detail) }
}
