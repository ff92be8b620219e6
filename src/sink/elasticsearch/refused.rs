//! Items that are refused again and again: which one stands for all of them, for how long, and what is said of it.
//! Pure.
//!
//! Of the items a lane must send again one is the witness: the one that was sent most often. While it is not taken it
//! stays the witness, whatever is taken beside it; then another one takes its place and the time begins anew.

use std::time::{Duration, Instant};

use crate::model::Place;

use super::alike::index_in;
use super::answer::{ItemFault, ServerError};
use super::body::slice;
use super::lane::Lane;
use super::op::Op;
use super::target::{TargetFault, Terms};

/// An item that is refused for this long is named.
const NAMED_AFTER: Duration = Duration::from_secs(5);

/// The witness of a lane, and what the server said of it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedItems {
    /// Which operation.
    pub place: Place,
    /// The hash of its id.
    pub id_hash: u64,
    /// Sendings.
    pub attempts: u32,
    /// The index its action line names; empty where the request does.
    pub index: String,
    /// What the server said, and what to do.
    pub said: String,
}

/// What the server said of an item, and what to do about it where that is known.
#[must_use]
pub fn said(status: u16, error: Option<&ServerError>, terms: Terms) -> String {
    let Some(error) = error else { return format!("{status} without an error object") };
    let remedy = match TargetFault::of(error, terms) {
        Some(fault) => fault.remedy(),
        None if error.kind == "version_conflict_engine_exception" => {
            "somebody else changes these documents at the same time: raise `retry_on_conflict`, or keep to one writer"
        }
        None if status == 429 => "give the servers time, or more of them; smaller requests (`batch`) may pass",
        None => "look at the server's log",
    };
    format!("{status} {}: {}; {remedy}", error.kind, error.reason)
}

impl Lane {
    /// Who is refused again and again, while anything waits to be sent again.
    #[must_use]
    pub fn refused(&self) -> Option<&RefusedItems> {
        self.refused.as_ref().filter(|_| !self.chains.is_empty())
    }

    /// An operation of an answer must be sent again: whether it is the witness, or a better one than `best`.
    pub(super) fn note_refused(&self, fault: &ItemFault, op: &Op, best: &mut Option<RefusedItems>) {
        let is_witness = |place: Place| self.refused.as_ref().is_some_and(|refused| refused.place == place);
        let place = op.item.place;
        if best
            .as_ref()
            .is_none_or(|best| is_witness(place) || (best.attempts < op.attempts && !is_witness(best.place)))
        {
            *best = Some(RefusedItems {
                place,
                id_hash: op.item.id_hash,
                attempts: op.attempts,
                index: index_in(slice(&self.held, op)).to_owned(),
                said: said(fault.status, fault.error.as_ref(), self.rules.terms),
            });
        }
    }

    /// Chooses the witness after an answer, of which `best` is the best.
    pub(super) fn choose_witness(&mut self, best: Option<RefusedItems>) {
        let known = self.refused.take().filter(|known| self.chains.holds(known.id_hash, known.place));
        self.refused = match (known, best) {
            (Some(known), Some(best)) if best.place == known.place => Some(best),
            (Some(known), _) => Some(known),
            (None, best) => best,
        };
    }
}

/// How long the witness of one lane has been refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct RefusedFor(Option<(Place, Instant)>);

impl RefusedFor {
    /// Takes in who the witness is now; what is to be named of it. `index` is where all records of the sink go.
    pub fn look(&mut self, now: Instant, refused: Option<&RefusedItems>, index: &str) -> Option<String> {
        let Some(refused) = refused else {
            self.0 = None;
            return None;
        };
        let since = match self.0 {
            Some((place, since)) if place == refused.place => since,
            Some(_) | None => now,
        };
        self.0 = Some((refused.place, since));
        let index = if refused.index.is_empty() { index } else { &refused.index };
        (now.saturating_duration_since(since) >= NAMED_AFTER).then(|| {
            format!(
                "the server refuses items for the index {index} again and again: {}; they are sent again until it takes them, \
                 and records behind them are not committed",
                refused.said
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Epoch, ItemPath, Offset, PartitionId, Ticket, TicketId};
    use crate::sink::elasticsearch::fixtures::TERMS;

    fn refused(offset: i64, index: &str) -> RefusedItems {
        let ticket = Ticket { id: TicketId(1), slot: PartitionId(0), epoch: Epoch(1) };
        let error = ServerError { kind: "null_pointer_exception".into(), reason: "no".into() };
        RefusedItems {
            place: Place { ticket, offset: Offset(offset), item: ItemPath::WHOLE, index: 0 },
            id_hash: 0,
            attempts: 1,
            index: index.to_owned(),
            said: said(500, Some(&error), TERMS),
        }
    }

    #[test]
    fn a_witness_is_named_after_five_seconds_and_the_next_one_begins_anew() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut clock = RefusedFor::default();
        assert_eq!(clock.look(at(0), Some(&refused(1, "")), "items"), None);
        assert_eq!(clock.look(at(4_999), Some(&refused(1, "")), "items"), None);
        let named = clock.look(at(5_000), Some(&refused(1, "")), "items").expect("named");
        for part in ["index items", "500 null_pointer_exception: no", "sent again", "server's log"] {
            assert!(named.contains(part), "{part}: {named}");
        }
        let other = clock.look(at(5_001), Some(&refused(1, "logs")), "items").expect("still named");
        assert!(other.contains("index logs"), "{other}");
        assert_eq!(clock.look(at(5_002), Some(&refused(2, "")), "items"), None, "the first was taken");
        assert!(clock.look(at(10_002), Some(&refused(2, "")), "items").is_some());
        assert_eq!(clock.look(at(10_003), None, "items"), None);
        assert_eq!(clock.look(at(10_004), Some(&refused(2, "")), "items"), None);
    }

    #[test]
    fn what_is_known_of_an_error_is_said_with_it() {
        let of = |status, kind: &str, reason: &str| {
            said(status, Some(&ServerError { kind: kind.into(), reason: reason.into() }), TERMS)
        };
        let flood = "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark];";
        for (said, part) in [
            (of(429, "cluster_block_exception", flood), "free disk space"),
            (of(409, "version_conflict_engine_exception", "conflict"), "somebody else"),
            (of(429, "es_rejected_execution_exception", "busy"), "time"),
            (of(429, "", "busy"), "429"),
            (said(503, None, TERMS), "503 without an error object"),
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
