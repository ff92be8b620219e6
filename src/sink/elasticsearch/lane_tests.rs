//! A lane against a random fake server: order per id, exactly one end per record, the fence, the charges.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use super::batch::{Chunk, HeldBytes, OpenBatch};
use super::bulk::{BulkItem, ItemAction};
use super::fixtures::{TERMS, item};
use super::lane::{Lane, LaneRules, Ready};
use super::op::Pace;
use super::verdict::RequestReply;
use crate::model::{Budget, Epoch, Outcome, PartitionId, Ticket, TicketId, Wake};

const SLOTS: u64 = 2;

/// One record of the input: its id and its offset in its partition (slot = id mod SLOTS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Input {
    id: u64,
    offset: i64,
}

struct World {
    random: fastrand::Rng,
    lane: Lane,
    budget: Arc<Budget>,
    inputs: Vec<Input>,
    epochs: [u64; SLOTS as usize],
    next_epoch: u64,
    /// Offsets read so far, by slot: the next input to push.
    pushed: [usize; SLOTS as usize],
    settled: BTreeMap<Input, &'static str>,
    poison: BTreeSet<Input>,
    refused: BTreeSet<Input>,
    /// Highest settled offset by id in the present epoch.
    highest: BTreeMap<u64, i64>,
    /// What the server applied last, by id.
    documents: BTreeMap<u64, i64>,
    sendings: BTreeMap<(Input, u64), u32>,
    largest: usize,
    rules: LaneRules,
    patient: f64,
}

fn rules(records: usize) -> LaneRules {
    LaneRules { records, bytes: 900, linger: Duration::ZERO, terms: TERMS, needs_original: false }
}

fn entry(input: Input, epoch: u64) -> String {
    let filler = "x".repeat((input.offset % 7) as usize * 9);
    format!("{{\"index\":{{\"_id\":\"{}\"}}}}\n{{\"o\":{},\"e\":{epoch},\"f\":\"{filler}\"}}\n", input.id, input.offset)
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let budget = Budget::new(1 << 30, Arc::new(Wake::default()));
        let ids = random.u64(2..9);
        let count = random.i64(1..70);
        let inputs: Vec<Input> = (0..count).map(|offset| Input { id: random.u64(0..ids), offset }).collect();
        let mut some = |share: f64, most: usize| -> BTreeSet<Input> {
            inputs.iter().copied().filter(|_| random.f64() < share).take(most).collect()
        };
        // Fewer than the three that would make an all-guilty request.
        let (poison, refused) = (some(0.15, 2), some(0.1, 100));
        let largest = if random.bool() { usize::MAX } else { random.usize(250..900) };
        let rules = rules(random.usize(2..9));
        Self {
            lane: Lane::new(rules, budget.charge(0)),
            rules,
            patient: random.f64() * 0.8 + 0.1,
            budget,
            inputs,
            epochs: [1, 2],
            next_epoch: 3,
            pushed: [0; SLOTS as usize],
            settled: BTreeMap::new(),
            poison,
            refused,
            highest: BTreeMap::new(),
            documents: BTreeMap::new(),
            sendings: BTreeMap::new(),
            largest,
            random,
        }
    }

    fn slot(input: Input) -> usize {
        (input.id % SLOTS) as usize
    }

    /// Pushes some of the next inputs of one partition, as one batch.
    fn push(&mut self) {
        let slot = self.random.usize(0..SLOTS as usize);
        let of_slot: Vec<Input> = self.inputs.iter().copied().filter(|input| Self::slot(*input) == slot).collect();
        let from = self.pushed[slot];
        let until = (from + self.random.usize(1..12)).min(of_slot.len());
        self.pushed[slot] = until;
        let (mut payload, mut items) = (Vec::new(), Vec::new());
        for (index, input) in of_slot[from..until].iter().enumerate() {
            let epoch = self.epochs[slot];
            let ticket = Ticket { id: TicketId(epoch * 1000), slot: PartitionId(slot as u32), epoch: Epoch(epoch) };
            let start = payload.len();
            payload.extend_from_slice(entry(*input, epoch).as_bytes());
            items.push(BulkItem {
                id_hash: input.id,
                ..item(ticket, input.offset, index as u32, start..payload.len(), ItemAction::Index)
            });
        }
        let now = Instant::now();
        let batch = OpenBatch::new(&items, None, self.budget.charge(items.len()), 0, now, now, None);
        let payload = HeldBytes::new(Bytes::from(payload.clone()), self.budget.charge(payload.len()));
        self.lane.push(Chunk { batch, payload, items });
    }

    /// The source rewinds a partition: new epoch, and everything from the lowest unsettled offset is read again.
    fn rewind(&mut self) {
        let slot = self.random.usize(0..SLOTS as usize);
        self.epochs[slot] = self.next_epoch;
        self.next_epoch += 1;
        let of_slot: Vec<Input> = self.inputs.iter().copied().filter(|input| Self::slot(*input) == slot).collect();
        let lowest = of_slot[..self.pushed[slot]].iter().position(|input| !self.settled.contains_key(input));
        let from = lowest.unwrap_or(self.pushed[slot]);
        for input in &of_slot[from..] {
            self.settled.remove(input);
        }
        self.pushed[slot] = from;
        self.highest.retain(|id, _| (*id % SLOTS) as usize != slot);
        for input in &of_slot[..from] {
            self.highest.insert(input.id, input.offset);
        }
    }

    fn take_effects(&mut self) {
        self.take_effects_and(false);
    }

    /// `fenced_meanwhile`: parts of an older epoch may come out of an answer; the ledger ignores them, and so do we.
    fn take_effects_and(&mut self, fenced_meanwhile: bool) {
        let effects = self.lane.take_effects();
        let delivered: u32 = effects.parts.iter().map(|part| part.records).sum();
        assert_eq!(delivered as usize, effects.delivered.len());
        assert!(effects.parts.iter().all(|part| part.outcome == Outcome::Delivered));
        let ended = effects.refusals.iter().map(|refusal| (refusal.place, "rejected"));
        let ended: Vec<_> = ended.chain(effects.delivered.iter().map(|place| (*place, "delivered"))).collect();
        let mut now: Vec<Input> = Vec::new();
        for (place, how) in ended {
            let input = self.inputs[place.offset.0 as usize];
            if self.epochs[Self::slot(input)] != place.ticket.epoch.0 {
                assert!(fenced_meanwhile, "settled in an old epoch");
                continue;
            }
            self.settle(input, how);
            now.push(input);
        }
        for input in now {
            let earlier = self.inputs.iter().filter(|other| other.id == input.id && other.offset < input.offset);
            for other in earlier {
                assert!(self.settled.contains_key(other), "{input:?} settled while {other:?} is open");
            }
        }
    }

    fn settle(&mut self, input: Input, how: &'static str) {
        assert_eq!(self.settled.insert(input, how), None, "{input:?} ended twice");
        assert_eq!(how == "rejected", !self.is_good(&input), "{input:?} ended as {how}");
        let highest = self.highest.entry(input.id).or_insert(input.offset);
        *highest = (*highest).max(input.offset);
        if how == "delivered" {
            assert!(self.documents.get(&input.id).is_some_and(|at| *at >= input.offset), "{input:?} is not there");
        }
    }

    fn apply(&mut self, input: Input) {
        if let Some(highest) = self.highest.get(&input.id) {
            assert!(input.offset > *highest, "{input:?} lands after {highest} was settled");
        }
        self.documents.insert(input.id, input.offset);
    }

    fn send(&mut self) {
        let epochs = self.epochs;
        let with_residue = self.random.f64() < self.patient;
        let fence = move |ticket: Ticket| epochs[ticket.slot.0 as usize] == ticket.epoch.0;
        let Some(request) = self.lane.next(with_residue, &fence) else { return self.take_effects() };
        self.take_effects();
        let sent = self.read_body(&request.body);
        assert_eq!(sent.len(), request.records as usize);
        assert!(sent.len() <= self.rules.records && (request.body.len() <= self.rules.bytes || sent.len() == 1));
        if self.random.f64() < 0.1 {
            // The fence moves while the request is in flight.
            self.rewind();
            let epochs = self.epochs;
            self.lane.purge(true, &move |ticket: Ticket| epochs[ticket.slot.0 as usize] == ticket.epoch.0);
            self.take_effects();
        }
        let reply = self.serve(&sent, request.body.len());
        let pace = self.lane.answered(&reply);
        assert!(!matches!(pace, Pace::Halt(_)), "{pace:?}");
        self.take_effects_and(epochs != self.epochs);
    }

    /// Checks every entry byte for byte, the order by id, and the fence.
    fn read_body(&mut self, body: &Bytes) -> Vec<Input> {
        let text = std::str::from_utf8(body).expect("UTF-8");
        let mut lines = text.lines();
        let mut sent: Vec<Input> = Vec::new();
        while let (Some(action), Some(body)) = (lines.next(), lines.next()) {
            let value: serde_json::Value = serde_json::from_str(body).expect("a body line");
            let input = self.inputs[value["o"].as_u64().expect("offset") as usize];
            let epoch = value["e"].as_u64().expect("epoch");
            assert_eq!(format!("{action}\n{body}\n"), entry(input, epoch));
            assert_eq!(self.epochs[Self::slot(input)], epoch, "fenced, yet sent");
            let before = sent.iter().rev().find(|other| other.id == input.id);
            assert!(before.is_none_or(|other| other.offset < input.offset), "out of order in one request");
            *self.sendings.entry((input, epoch)).or_default() += 1;
            sent.push(input);
        }
        sent
    }

    fn serve(&mut self, sent: &[Input], bytes: usize) -> RequestReply {
        let answer = |status, body: String| RequestReply::Answer { status, retry_after: None, body: Bytes::from(body) };
        if self.random.u32(0..12) == 0 {
            // A proxy in between changes its mind.
            self.largest = self.random.usize(150..900);
        }
        if bytes > self.largest && sent.len() > 1 {
            return answer(413, String::new());
        }
        // Applied although the client never learns of it. What was fenced meanwhile is of no interest here.
        let trouble = self.random.u32(0..20);
        let spoiled = sent.iter().any(|input| self.poison.contains(input));
        if spoiled {
            if trouble == 0 {
                // 9.x may have written a part.
                self.apply_some(&sent[..sent.len() / 2]);
            }
            let kind = r#"{"error":{"type":"x_content_parse_exception","reason":"bad"},"status":400}"#;
            return answer(400, kind.to_owned());
        }
        match trouble {
            0 => RequestReply::Timeout,
            1 => {
                self.apply_some(sent);
                RequestReply::Timeout
            }
            2 => RequestReply::Broken("reset".to_owned()),
            3 => answer(503, "<html>".to_owned()),
            4 => {
                self.apply_some(sent);
                answer(200, "{\"errors\":false,\"items\":[".to_owned())
            }
            _ => {
                let mut items = Vec::new();
                for input in sent {
                    let error = |status, kind| {
                        format!(
                            "{{\"index\":{{\"status\":{status},\"error\":{{\"type\":\"{kind}\",\"reason\":\"r\"}}}}}}"
                        )
                    };
                    items.push(if trouble > 12 && self.random.u32(0..4) == 0 {
                        error(429, "es_rejected_execution_exception")
                    } else if self.refused.contains(input) {
                        error(400, "mapper_parsing_exception")
                    } else {
                        self.apply_some(&[*input]);
                        "{\"index\":{\"status\":200}}".to_owned()
                    });
                }
                answer(200, format!("{{\"errors\":true,\"items\":[{}]}}", items.join(",")))
            }
        }
    }

    fn apply_some(&mut self, sent: &[Input]) {
        for input in sent.iter().filter(|input| self.is_good(input)).copied().collect::<Vec<_>>().iter() {
            let slot = Self::slot(*input);
            // Sent before the fence moved: such effects may precede what the new epoch sends again.
            let stale = !self.sendings.contains_key(&(*input, self.epochs[slot]));
            if stale {
                self.documents.insert(input.id, input.offset);
            } else {
                self.apply(*input);
            }
        }
    }

    fn run(mut self) {
        for _ in 0..self.random.usize(0..60) {
            match self.random.u32(0..10) {
                0..4 => self.push(),
                4 if self.random.bool() => self.rewind(),
                _ => self.send(),
            }
            if self.random.u32(0..5) == 0 {
                let epochs = self.epochs;
                self.lane.purge(false, &move |ticket: Ticket| epochs[ticket.slot.0 as usize] == ticket.epoch.0);
                self.take_effects();
            }
        }
        let mut turns = 0;
        while self.settled.len() < self.inputs.len() {
            self.push();
            self.send();
            turns += 1;
            assert!(turns < 20_000, "no end: {} of {}", self.settled.len(), self.inputs.len());
        }
        let epochs = self.epochs;
        self.lane.purge(false, &move |ticket: Ticket| epochs[ticket.slot.0 as usize] == ticket.epoch.0);
        let now = Instant::now();
        assert_eq!(self.lane.ready(now, now, true), Ready::Idle);
        assert!(self.lane.is_empty());
        for input in &self.inputs {
            let last_good = self.inputs.iter().rev().find(|other| other.id == input.id && self.is_good(other));
            if let Some(last) = last_good {
                assert_eq!(
                    self.documents.get(&input.id),
                    Some(&last.offset),
                    "the last good write of {} lasts",
                    input.id
                );
            }
        }
        assert_eq!(self.budget.used(), 0, "every charge came back");
    }

    fn is_good(&self, input: &Input) -> bool {
        !self.poison.contains(input) && !self.refused.contains(input)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn order_and_exactly_one_end_under_any_faults(seed in any::<u64>()) {
        World::new(seed).run();
    }
}

#[test]
fn a_request_refused_as_busy_for_ever_is_sent_in_smaller_parts() {
    let budget = Budget::new(1 << 30, Arc::new(Wake::default()));
    let mut lane = Lane::new(LaneRules { bytes: 8 << 20, ..rules(1000) }, budget.charge(0));
    let ticket = Ticket { id: TicketId(1), slot: PartitionId(0), epoch: Epoch(1) };
    let entry = format!("{{\"delete\":{{\"_id\":\"{}\"}}}}\n", "x".repeat(100_000));
    let payload = Bytes::from(entry.repeat(40));
    let span = |index: usize| index * entry.len()..(index + 1) * entry.len();
    let items: Vec<BulkItem> =
        (0..40).map(|index| item(ticket, index as i64, index as u32, span(index), ItemAction::Delete)).collect();
    let now = Instant::now();
    let batch = OpenBatch::new(&items, None, budget.charge(0), 0, now, now, None);
    lane.push(Chunk { batch, payload: HeldBytes::new(payload, budget.charge(0)), items });
    let busy = RequestReply::Answer { status: 429, retry_after: None, body: Bytes::new() };
    let mut sizes = Vec::new();
    for _ in 0..40 {
        let request = lane.next(true, &|_| true).expect("a request");
        sizes.push(request.records);
        assert!(matches!(lane.answered(&busy), Pace::Whole { .. }));
    }
    assert_eq!(sizes[..8], [40; 8], "a busy server gets the same request again");
    assert!(sizes[8] <= 20 && sizes[16] <= 10, "{sizes:?}");
    assert_eq!(sizes[39], 10, "about 1 MiB is never too large");
    while let Some(request) = lane.next(true, &|_| true) {
        let items = vec!["{\"delete\":{\"status\":200}}"; request.records as usize].join(",");
        let body = Bytes::from(format!("{{\"errors\":false,\"items\":[{items}]}}"));
        lane.answered(&RequestReply::Answer { status: 200, retry_after: None, body });
    }
    let offsets: Vec<i64> = lane.take_effects().delivered.iter().map(|place| place.offset.0).collect();
    assert_eq!(offsets, (0..40).collect::<Vec<_>>(), "all, in order");
}

/// Records of one id, each of a ticket of its own.
struct OneId {
    lane: Lane,
    budget: Arc<Budget>,
}

impl OneId {
    fn new() -> Self {
        let budget = Budget::new(1 << 30, Arc::new(Wake::default()));
        Self { lane: Lane::new(rules(100), budget.charge(0)), budget }
    }

    fn push(&mut self, slot: u32, offset: i64) {
        let ticket = Ticket { id: TicketId(offset as u64), slot: PartitionId(slot), epoch: Epoch(1) };
        let payload = entry(Input { id: 0, offset }, 1).into_bytes();
        let items = vec![item(ticket, offset, 0, 0..payload.len(), ItemAction::Index)];
        let now = Instant::now();
        let batch = OpenBatch::new(&items, None, self.budget.charge(1), 0, now, now, None);
        let payload = HeldBytes::new(Bytes::from(payload), self.budget.charge(1));
        self.lane.push(Chunk { batch, payload, items });
    }

    /// Sends, with these partitions fenced; the offsets sent.
    fn send(&mut self, fenced: &[u32]) -> Vec<i64> {
        let request = self.lane.next(true, &|ticket| !fenced.contains(&ticket.slot.0));
        let body = request.map(|request| request.body).unwrap_or_default();
        let lines = std::str::from_utf8(&body).expect("UTF-8").lines().skip(1).step_by(2);
        lines
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["o"].as_i64().expect("o"))
            .collect()
    }

    /// Answers item by item; the offsets settled.
    fn answer(&mut self, statuses: &[u16]) -> Vec<i64> {
        let error = r#","error":{"type":"es_rejected_execution_exception","reason":"r"}"#;
        let item =
            |status: &u16| format!(r#"{{"index":{{"status":{status}{}}}}}"#, if *status == 429 { error } else { "" });
        let items: Vec<_> = statuses.iter().map(item).collect();
        let body = Bytes::from(format!(r#"{{"errors":true,"items":[{}]}}"#, items.join(",")));
        self.lane.answered(&RequestReply::Answer { status: 200, retry_after: None, body });
        self.settled()
    }

    fn settled(&mut self) -> Vec<i64> {
        self.lane.take_effects().delivered.iter().map(|place| place.offset.0).collect()
    }
}

/// Race: an acknowledged item behind a retried one of the same id.
#[test]
fn an_acknowledged_item_is_sent_again_behind_a_retried_one_of_its_id() {
    let mut one = OneId::new();
    one.push(0, 0);
    one.push(0, 1);
    assert_eq!(one.send(&[]), [0, 1]);
    assert_eq!(one.answer(&[429, 200]), [0i64; 0], "the second waits for the first");
    one.push(0, 2);
    assert_eq!(one.send(&[]), [0, 1], "both again, in order; the third waits behind them");
    assert_eq!(one.answer(&[200, 429]), [0], "only the answer to the last sending counts");
    assert_eq!(one.send(&[]), [1]);
    assert_eq!(one.answer(&[200]), [1]);
    assert_eq!(one.send(&[]), [2]);
    assert_eq!(one.answer(&[200]), [2]);
    assert!(one.lane.is_empty() && one.budget.used() == 0);
}

/// Race: a chain of one id whose first item is fenced. Its successor, acknowledged behind it, must not wait for ever.
#[test]
fn a_chain_whose_first_item_is_fenced_settles_its_acknowledged_successor() {
    let mut one = OneId::new();
    one.push(0, 0);
    one.push(1, 1);
    assert_eq!(one.send(&[]), [0, 1]);
    assert_eq!(one.answer(&[429, 200]), [0i64; 0]);
    one.push(1, 2);
    let fenced = [0];
    one.lane.purge(false, &|ticket| !fenced.contains(&ticket.slot.0));
    assert_eq!(one.settled(), [1], "judged by the answer to its last sending, without another one");
    assert_eq!(one.send(&fenced), [2]);
    assert_eq!(one.answer(&[200]), [2]);
    assert!(one.lane.is_empty() && one.budget.used() == 0, "{} bytes", one.budget.used());
}
