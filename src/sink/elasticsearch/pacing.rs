//! When a lane may send next, and what an answer changes about that. Pure: time and chance are arguments.
//!
//! [`Pacing`] is the state of one lane; the [`GiveUpClock`] all lanes of a sink share is handed in. `drive` gives it
//! the clock and what servers answer; the simulation drives the same code with a clock and a server of its own.

use std::time::{Duration, Instant};

use crate::config::plan::RetryPlan;
use crate::model::{Backoff, Exit, Halt};

use super::lane::{Lane, Ready};
use super::op::Pace;
use super::patience::{GiveUpClock, is_probed};
use super::verdict::{RequestReply, Trouble};

/// How long anything waits before the fence, the stop switch and the clocks are looked at again.
pub const TICK: Duration = Duration::from_millis(250);

/// Whether a lane sends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextSend {
    /// It does.
    Now,
    /// It does not.
    NotBefore {
        /// When to look again at the latest; sooner when more comes in.
        at: Instant,
        /// Whether the lane holds something that may not be sent, rather than having nothing to send.
        held: bool,
    },
}

/// An answer, and what the lane made of it.
#[derive(Debug, Clone, Copy)]
pub struct LaneAnswer<'a> {
    /// What came back.
    pub reply: &'a RequestReply,
    /// What the lane does next.
    pub pace: &'a Pace,
    /// Whether the lane has something to send again.
    pub has_residue: bool,
}

/// What is said of a lane's fault after an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultChange {
    /// The same as before.
    Kept,
    /// The lane has no fault.
    Cleared,
    /// The lane has this fault.
    Named(String),
}

/// What an answer changes outside its lane.
#[derive(Debug, PartialEq, Eq)]
pub struct Consequences {
    /// The servers did their work: the component is reached.
    pub reached: bool,
    /// The servers had been failing and answer again: every waiting lane looks again.
    pub wakes_all: bool,
    /// Nothing was answered for `retry.in_place`: the source must be told, and [`GiveUpClock::announced`] called after.
    pub gives_up: bool,
    /// The lane's fault.
    pub fault: FaultChange,
    /// The pipeline cannot go on.
    pub halt: Option<Halt>,
}

/// See the module.
#[derive(Debug)]
pub struct Pacing {
    retry: RetryPlan,
    /// Nothing is sent before this.
    hold_until: Option<Instant>,
    /// Whether a probe, or servers that answer others, may end the hold early.
    probed: bool,
    /// Whether the request being sent is the probe.
    probing: bool,
    /// What must be sent again is not sent before this.
    residue_due: Instant,
    /// Failures in a row, of whole requests or of residues.
    failures: u32,
    /// When the fence was looked at last without sending.
    swept: Instant,
}

impl Pacing {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new(retry: RetryPlan, now: Instant) -> Self {
        Self { retry, hold_until: None, probed: false, probing: false, residue_due: now, failures: 0, swept: now }
    }

    /// Whether the lane sends now, while it has nothing in flight. `barred`: no lane may send anything; `flush`: no
    /// more comes in, so nothing waits for it.
    pub fn next_send(
        &mut self,
        now: Instant,
        lane: &Lane,
        barred: bool,
        flush: bool,
        patience: &mut GiveUpClock,
    ) -> NextSend {
        let tick = now + TICK;
        let barred = barred || patience.has_given_up();
        let due = if barred {
            Some(tick)
        } else {
            let ready = lane.ready(now, self.residue_due, flush);
            self.due(now, ready, patience)
        };
        let waits = barred || self.hold_until.is_some() || lane.has_residue();
        match due {
            None => NextSend::Now,
            Some(due) => NextSend::NotBefore { at: due.min(tick), held: waits && !lane.is_empty() },
        }
    }

    /// When something may be sent, `None` being now. Without anything to send, the tick decides.
    fn due(&mut self, now: Instant, ready: Ready, patience: &mut GiveUpClock) -> Option<Instant> {
        if let (Some(until), true) = (self.hold_until, ready != Ready::Idle) {
            if now < until {
                self.probing = self.probed && patience.may_probe(now);
                return if self.probing { None } else { Some(until) };
            }
            self.probed = false;
        }
        match ready {
            Ready::Now => None,
            Ready::At(when) => Some(when),
            Ready::Idle => Some(now + TICK),
        }
    }

    /// The lane has its turn to send: whatever held it is over.
    pub fn sends(&mut self) {
        self.hold_until = None;
    }

    /// Whether what must be sent again may be part of the request.
    #[must_use]
    pub fn residue_is_due(&self, now: Instant) -> bool {
        self.residue_due <= now
    }

    /// The turn passed without a request, or without its answer. If it was to be the probe, another lane may probe.
    pub fn sent_nothing(&mut self, now: Instant, patience: &mut GiveUpClock) {
        if std::mem::take(&mut self.probing) {
            patience.probe_returned(now);
        }
    }

    /// Servers answer another lane: a hold that a probe may end is over.
    pub fn woken(&mut self) {
        if self.probed {
            self.hold_until = None;
            self.failures = 0;
        }
    }

    /// Whether the lane should drop what is fenced now; true once in each [`TICK`].
    pub fn is_sweep_due(&mut self, now: Instant) -> bool {
        let due = now.duration_since(self.swept) >= TICK;
        if due {
            self.swept = now;
        }
        due
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Takes the answer to the lane's request. `chance`, in 0..1, is the jitter of a wait that follows.
    pub fn answered(
        &mut self,
        now: Instant,
        answer: LaneAnswer<'_>,
        chance: f64,
        patience: &mut GiveUpClock,
    ) -> Consequences {
        self.sent_nothing(now, patience);
        let reached = match answer.pace {
            Pace::Go | Pace::Residue { .. } | Pace::Split => true,
            Pace::Whole { .. } | Pace::Refused(_) | Pace::Halt(_) => false,
        };
        let mut change =
            Consequences { reached, wakes_all: false, gives_up: false, fault: FaultChange::Kept, halt: None };
        if reached {
            let was_failing = patience.answered();
            change.wakes_all = was_failing || self.failures > 0;
        }
        match answer.pace {
            Pace::Go | Pace::Split => change.fault = self.calm(answer.has_residue),
            Pace::Residue { overload, alert } => {
                self.hold_residue(now, *overload, alert.is_some(), answer.reply, chance);
                change.fault = alert.clone().map_or(FaultChange::Cleared, FaultChange::Named);
            }
            Pace::Whole { trouble, message } => {
                self.hold_lane(now, *trouble, answer.reply, chance, patience);
                change.gives_up = patience.gives_up(now);
                let fault = format!("bulk request failed: {message}; it is sent again until it is answered");
                change.fault = FaultChange::Named(fault);
            }
            Pace::Refused(message) => self.refused(now, message, &mut change, patience),
            Pace::Halt(halt) => change.halt = Some(halt.clone()),
        }
        change
    }

    /// The servers are well. What is held because of an index stays named while anything of it is.
    fn calm(&mut self, has_residue: bool) -> FaultChange {
        self.hold_until = None;
        self.probed = false;
        if has_residue {
            return FaultChange::Kept;
        }
        self.failures = 0;
        FaultChange::Cleared
    }

    /// Some items must be sent again. A busy server gives the whole lane a pause; otherwise only they wait, and a first
    /// failure (a version conflict, say) does not wait at all.
    fn hold_residue(&mut self, now: Instant, overload: bool, alerts: bool, reply: &RequestReply, chance: f64) {
        self.failures += 1;
        let failures = if overload || alerts { self.failures } else { self.failures - 1 };
        if failures == 0 {
            self.residue_due = now;
            return;
        }
        let wait = self.pause(failures, reply, chance);
        self.residue_due = now + wait;
        self.probed = false;
        self.hold_until = overload.then_some(now + wait);
    }

    fn hold_lane(
        &mut self,
        now: Instant,
        trouble: Trouble,
        reply: &RequestReply,
        chance: f64,
        patience: &mut GiveUpClock,
    ) {
        self.failures += 1;
        patience.failed(now, trouble, self.failures);
        let asked = matches!(reply, RequestReply::Answer { retry_after: Some(_), .. });
        self.probed = is_probed(trouble) && !asked;
        let wait = self.pause(self.failures, reply, chance);
        // A server may still be at work on what it did not answer, and apply it after newer requests: it gets a moment.
        let wait = match reply {
            RequestReply::Timeout | RequestReply::Broken(_) => wait.max(self.retry.first),
            RequestReply::Answer { .. } | RequestReply::Moved(_) => wait,
        };
        self.hold_until = Some(now + wait);
    }

    fn refused(&mut self, now: Instant, message: &str, change: &mut Consequences, patience: &mut GiveUpClock) {
        self.failures += 1;
        if patience.refused(now) {
            let message = format!("{message}; it lasted 5 minutes: correct the credentials or the role's privileges");
            change.halt = Some(Halt { exit: Exit::Permission, message });
            return;
        }
        self.probed = false;
        self.hold_until = Some(now + self.backoff().after(self.failures).max(TICK));
        change.fault = FaultChange::Named(message.to_owned());
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.retry.first, self.retry.max)
    }

    /// Full jitter, or what the server asked for if that is longer.
    fn pause(&self, failures: u32, reply: &RequestReply, chance: f64) -> Duration {
        let own = self.backoff().jittered(failures, chance);
        match reply {
            RequestReply::Answer { retry_after: Some(asked), .. } => own.max(*asked),
            RequestReply::Answer { retry_after: None, .. }
            | RequestReply::Timeout
            | RequestReply::Broken(_)
            | RequestReply::Moved(_) => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::super::batch::{Chunk, HeldBytes, OpenBatch};
    use super::super::bulk::ItemAction;
    use super::super::fixtures::{TERMS, good, item};
    use super::super::lane::LaneRules;
    use super::*;
    use crate::model::{Budget, Epoch, PartitionId, Ticket, TicketId, Wake};

    const RETRY: RetryPlan = RetryPlan {
        first: Duration::from_millis(200),
        max: Duration::from_secs(30),
        in_place: Duration::from_secs(150),
    };
    const ENTRY: &[u8] = b"{\"index\":{}}\n{}\n";

    /// One lane, the patience it shares, and a clock.
    struct Rig {
        pacing: Pacing,
        patience: GiveUpClock,
        lane: Lane,
        budget: Arc<Budget>,
        now: Instant,
    }

    impl Rig {
        fn new() -> Self {
            let budget = Budget::new(1 << 20, Arc::new(Wake::default()));
            let rules =
                LaneRules { records: 10, bytes: 1000, linger: Duration::ZERO, terms: TERMS, needs_original: false };
            let (lane, now) = (Lane::new(rules, budget.charge(0)), Instant::now());
            Self { pacing: Pacing::new(RETRY, now), patience: GiveUpClock::new(RETRY), lane, budget, now }
        }

        /// A lane with one record.
        fn with_a_record() -> Self {
            let mut rig = Self::new();
            let ticket = Ticket { id: TicketId(1), slot: PartitionId(0), epoch: Epoch(1) };
            let items = vec![item(ticket, 0, 0, 0..ENTRY.len(), ItemAction::Index)];
            let batch = OpenBatch::new(&items, None, rig.budget.charge(0), 0, rig.now, rig.now, None);
            let payload = HeldBytes::new(Bytes::from_static(ENTRY), rig.budget.charge(ENTRY.len()));
            rig.lane.push(Chunk { batch, payload, items });
            rig
        }

        fn passes(&mut self, millis: u64) {
            self.now += Duration::from_millis(millis);
        }

        fn next(&mut self) -> NextSend {
            self.pacing.next_send(self.now, &self.lane, false, false, &mut self.patience)
        }

        /// Not before so many milliseconds from now, something being held.
        fn is_held_for(&mut self, millis: u64) -> bool {
            self.next() == NextSend::NotBefore { at: self.now + Duration::from_millis(millis), held: true }
        }

        /// Sends, and takes an answer the lane reads for itself.
        fn send(&mut self, reply: &RequestReply) -> Consequences {
            assert_eq!(self.next(), NextSend::Now);
            self.pacing.sends();
            assert!(self.lane.next(self.pacing.residue_is_due(self.now), &|_| true).is_some());
            let pace = self.lane.answered(reply);
            let answer = LaneAnswer { reply, pace: &pace, has_residue: self.lane.has_residue() };
            self.pacing.answered(self.now, answer, 1.0, &mut self.patience)
        }
    }

    fn answer(status: u16, retry_after: Option<Duration>, body: &str) -> RequestReply {
        RequestReply::Answer { status, retry_after, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    fn item_error(status: u16, kind: &str) -> RequestReply {
        let error = format!("{{\"type\":\"{kind}\",\"reason\":\"r\"}}");
        answer(
            200,
            None,
            &format!("{{\"errors\":true,\"items\":[{{\"index\":{{\"status\":{status},\"error\":{error}}}}}]}}"),
        )
    }

    fn broken() -> RequestReply {
        RequestReply::Broken("reset".to_owned())
    }

    const TICK_MS: u64 = 250;

    #[test]
    fn an_empty_lane_looks_again_after_a_tick_and_holds_nothing() {
        let mut rig = Rig::new();
        assert_eq!(rig.next(), NextSend::NotBefore { at: rig.now + TICK, held: false });
    }

    #[test]
    fn nothing_is_sent_while_all_lanes_are_barred_or_the_sink_gave_up() {
        let mut rig = Rig::with_a_record();
        let barred = rig.pacing.next_send(rig.now, &rig.lane, true, false, &mut rig.patience);
        assert_eq!(barred, NextSend::NotBefore { at: rig.now + TICK, held: true });
        assert_eq!(rig.next(), NextSend::Now);
        rig.send(&broken());
        rig.passes(150_000);
        assert!(rig.patience.gives_up(rig.now));
        assert!(rig.is_held_for(TICK_MS), "whatever is due");
        rig.patience.resume();
        assert_eq!(rig.next(), NextSend::Now);
    }

    #[test]
    fn waits_double_while_whole_requests_fail_and_the_lane_looks_each_tick() {
        let mut rig = Rig::with_a_record();
        for (failures, wait) in [(1, 200), (2, 400), (3, 800)] {
            let change = rig.send(&answer(429, None, ""));
            assert_eq!(rig.pacing.failures(), failures);
            assert!(matches!(change.fault, FaultChange::Named(_)) && !change.reached && !change.wakes_all);
            assert!(rig.is_held_for(wait.min(TICK_MS)));
            rig.passes(wait - 1);
            assert!(rig.is_held_for(1));
            rig.passes(1);
        }
        let change = rig.send(&good(1));
        assert!(change.reached && change.wakes_all && change.fault == FaultChange::Cleared);
        assert_eq!((rig.pacing.failures(), rig.next()), (0, NextSend::NotBefore { at: rig.now + TICK, held: false }));
    }

    #[test]
    fn a_server_that_says_when_is_not_asked_sooner_nor_probed() {
        let mut rig = Rig::with_a_record();
        rig.send(&answer(503, Some(Duration::from_secs(9)), ""));
        for _ in 0..8 {
            rig.passes(1000);
            assert!(rig.is_held_for(TICK_MS));
        }
        rig.pacing.woken();
        assert!(rig.is_held_for(TICK_MS), "other lanes' answers do not end the wait either");
        rig.passes(1000);
        assert_eq!(rig.next(), NextSend::Now);
    }

    #[test]
    fn after_no_answer_a_server_gets_a_moment_whatever_the_dice_say() {
        for reply in [RequestReply::Timeout, broken()] {
            let mut rig = Rig::with_a_record();
            rig.pacing.sends();
            assert!(rig.lane.next(true, &|_| true).is_some());
            let pace = rig.lane.answered(&reply);
            let answer = LaneAnswer { reply: &reply, pace: &pace, has_residue: false };
            rig.pacing.answered(rig.now, answer, 0.0, &mut rig.patience);
            rig.passes(199);
            assert!(rig.is_held_for(1), "{reply:?}");
        }
    }

    #[test]
    fn one_waiting_request_is_the_probe_and_other_lanes_go_on_when_it_is_answered() {
        let mut rig = Rig::with_a_record();
        for _ in 0..6 {
            rig.send(&broken());
            rig.passes(6400);
        }
        rig.send(&broken());
        assert!(rig.is_held_for(TICK_MS));
        rig.passes(1000);
        assert_eq!(rig.next(), NextSend::Now, "the probe, long before the hold of 12.8 s is over");
        assert!(!rig.patience.may_probe(rig.now + Duration::from_secs(5)), "it is under way");
        rig.pacing.sent_nothing(rig.now, &mut rig.patience);
        assert!(rig.is_held_for(TICK_MS), "nothing of it was left; the next probe is due in a second");
        rig.pacing.woken();
        assert_eq!((rig.pacing.failures(), rig.next()), (0, NextSend::Now));
    }

    #[test]
    fn a_first_conflict_is_sent_again_at_once_and_a_busy_server_holds_the_lane() {
        let mut rig = Rig::with_a_record();
        let change = rig.send(&item_error(429, "es_rejected_execution_exception"));
        assert!(change.reached && change.fault == FaultChange::Cleared);
        assert!(!rig.pacing.residue_is_due(rig.now) && rig.is_held_for(200));
        rig.pacing.woken();
        assert!(rig.is_held_for(200), "its own answer says that the server is busy");
        rig.passes(200);
        assert!(rig.pacing.residue_is_due(rig.now));
        assert!(rig.send(&good(1)).wakes_all);

        let mut rig = Rig::with_a_record();
        rig.pacing.answered(
            rig.now,
            LaneAnswer { reply: &good(1), pace: &Pace::Residue { overload: false, alert: None }, has_residue: true },
            1.0,
            &mut rig.patience,
        );
        assert!(rig.pacing.residue_is_due(rig.now) && rig.pacing.failures() == 1);
        assert_eq!(rig.next(), NextSend::Now);
    }

    #[test]
    fn an_alert_stays_named_until_nothing_is_left_of_it() {
        let mut rig = Rig::with_a_record();
        let mut answered = |pace: &Pace, has_residue| {
            let answer = LaneAnswer { reply: &good(1), pace, has_residue };
            rig.pacing.answered(rig.now, answer, 1.0, &mut rig.patience)
        };
        let held = answered(&Pace::Residue { overload: false, alert: Some("the index is closed".to_owned()) }, true);
        assert_eq!(held.fault, FaultChange::Named("the index is closed".to_owned()));
        assert_eq!(answered(&Pace::Go, true).fault, FaultChange::Kept);
        assert_eq!(answered(&Pace::Go, false).fault, FaultChange::Cleared);
        assert_eq!(rig.pacing.failures(), 0);
    }

    #[test]
    fn the_sink_gives_up_with_the_answer_that_makes_the_time_full() {
        let mut rig = Rig::with_a_record();
        assert!(!rig.send(&broken()).gives_up);
        rig.passes(149_999);
        assert!(!rig.send(&broken()).gives_up);
        rig.passes(1000);
        assert!(rig.send(&broken()).gives_up);
    }

    #[test]
    fn refused_credentials_are_held_for_five_minutes_and_then_halt() {
        let mut rig = Rig::with_a_record();
        let change = rig.send(&answer(401, None, ""));
        assert!(change.halt.is_none() && matches!(change.fault, FaultChange::Named(_)));
        assert!(rig.is_held_for(TICK_MS), "never less than a tick");
        rig.passes(300_000);
        let halt = rig.send(&answer(401, None, "")).halt.expect("a halt");
        assert!(halt.exit == Exit::Permission && halt.message.contains("5 minutes"), "{halt:?}");
    }

    #[test]
    fn the_fence_is_looked_at_once_a_tick() {
        let mut rig = Rig::new();
        assert!(!rig.pacing.is_sweep_due(rig.now));
        rig.passes(TICK_MS);
        assert!(rig.pacing.is_sweep_due(rig.now) && !rig.pacing.is_sweep_due(rig.now));
    }
}
