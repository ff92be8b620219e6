//! What is known of a partition that is ours, as one value; each event is one method, which changes all that must
//! change together. Pure.
//!
//! Four things lie elsewhere: open tickets and the position ([`super::ledger`]), records drained while there was no
//! room ([`super::hold`]), and what outlives a revoke, which is the mark of a bounded run ([`super::until`]) and a
//! position that a new log has lowered ([`super::recreation`]).

use std::time::{Duration, Instant};

use crate::config::plan::OnDamaged;
use crate::librdkafka::START_EARLIEST;
use crate::model::{Backoff, Offset, Position, TopicPartition};
use crate::mutants::{self, Mutant};

use super::damage::{Damage, DamageDue, ReadError};
use super::flow::{Arrival, Flow, SeekProof, SeekStep};
use super::pauses::{PauseReason, Pauses};
use super::recreation::TruncationCheck;
use super::silence::Silence;

/// From the second rewind in a row on: the first one repeats at once what failed once.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
/// How long statistics may still be of before a change. librdkafka's broker thread takes a new position over when it
/// next turns, which may be a second later (`rd_kafka_max_block_ms`), and statistics tell the old one until then.
const STATISTICS_SETTLE: Duration = Duration::from_secs(3);
/// So often the brokers must have said that a log still holds what was read, and the client have gone back to one
/// offset from another all the same, before the log is blamed: a client goes back once.
const LOG_IS_THE_SAME: u32 = 2;

/// A partition that is ours.
#[derive(Debug)]
pub struct Partition {
    /// Its name.
    pub name: TopicPartition,
    /// Why the client is paused.
    pub pauses: Pauses,
    /// The place where reading broke off.
    pub damage: Option<Damage>,
    /// What was answered so far of a question whether the log was truncated.
    pub truncation: Option<TruncationCheck>,
    /// The last stable offset when the client last told it.
    pub end: Option<Position>,
    /// Since when nothing comes although the log goes on.
    pub silence: Silence,
    flow: Flow,
    /// Times it went back since its position last moved.
    rewinds_in_a_row: u32,
    client: ClientPosition,
    /// The topic was reported unknown since the last record: it may come back as another topic.
    was_gone: bool,
    /// The last record that went back.
    went_back: Option<OffsetRegression>,
    /// When the client was last asked to read it otherwise: an assignment, a seek, a pause, a resume, a rebalance.
    changed_at: Instant,
}

/// What the client's own position is worth: it is behind the last record handed out, or behind what was never handed
/// out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientPosition {
    /// Nothing: no record was read since the last assign, rewind or seek, or an error came in the place of one.
    Unread,
    /// Everything before it was read in this epoch.
    Read,
    /// Nothing: records of this epoch were destroyed unread and are not sought again.
    Destroyed,
}

/// A record that came in place of a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OffsetRegression {
    to: Offset,
    from: Position,
    /// How often it was said since that the log was neither truncated nor made again.
    denied: u32,
}

/// What is to be done about a seek that may be due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekDue {
    /// Nothing yet.
    Wait,
    /// Ask where the log begins and ends.
    AskLog,
    /// Seek to this offset, or one of the client's logical ones.
    To(i64),
}

impl Partition {
    /// It becomes ours. `is_known`: the position that reading begins at is. `reasons` to pause are those that hold for
    /// all.
    #[must_use]
    pub fn assigned(
        name: TopicPartition,
        is_known: bool,
        end: Option<Position>,
        reasons: &[PauseReason],
        now: Instant,
    ) -> Self {
        Self {
            name,
            pauses: Pauses::assigned(reasons),
            damage: None,
            truncation: None,
            end,
            silence: Silence::default(),
            flow: Flow::assigned(is_known),
            rewinds_in_a_row: 0,
            client: ClientPosition::Unread,
            was_gone: false,
            went_back: None,
            changed_at: now,
        }
    }

    /// It is fenced: what was to be done about it is over, but for a resume before it is unassigned.
    pub fn give_up(&mut self) {
        self.flow = Flow::GivenUp;
        self.damage = None;
        self.truncation = None;
    }

    /// It goes back to its lowest unresolved offset.
    pub fn rewind(&mut self, now: Instant) {
        self.pauses.add(PauseReason::Rewind);
        // Both reasons were about records that are read again.
        self.pauses.remove(PauseReason::Span);
        self.pauses.remove(PauseReason::Until);
        self.go_back(SeekProof::Awaited, now);
        if let Some(damage) = &mut self.damage {
            damage.interrupted(now);
            self.pauses.add(PauseReason::Damaged);
        }
        self.client = ClientPosition::Unread;
    }

    /// Its topic was made again, and it was taken back for that.
    pub fn made_again(&mut self) {
        self.flow.made_again();
        self.forget_log();
    }

    /// Its log is another one, and it is known where that begins.
    pub fn starts_anew(&mut self, now: Instant) {
        self.was_gone = false;
        self.pauses.add(PauseReason::Rewind);
        self.flow.log_is_known(now);
        self.client = ClientPosition::Unread;
        self.forget_log();
    }

    /// What was seen in the log before says nothing of this one.
    fn forget_log(&mut self) {
        (self.went_back, self.silence) = (None, Silence::default());
    }

    /// The place where reading broke off is read again, at once.
    pub fn read_damage_again(&mut self, now: Instant) {
        self.pauses.add(PauseReason::Rewind);
        // The others are about records that are read again.
        for over in [PauseReason::Damaged, PauseReason::Span, PauseReason::Until] {
            self.pauses.remove(over);
        }
        self.flow.read_again(now);
        self.client = ClientPosition::Unread;
    }

    fn go_back(&mut self, proof: SeekProof, now: Instant) {
        self.flow.go_back(proof, now + BACKOFF.after(self.rewinds_in_a_row));
        self.rewinds_in_a_row = self.rewinds_in_a_row.saturating_add(1);
    }

    /// What is to be done about its seek, and about a doubt of its log, which may be there without one: a partition
    /// whose reading broke off stands still while the log is asked about. `position` is the lowest unresolved offset;
    /// `id_in_doubt`: an answer is awaited that may say that the topic was made again; `is_asked`: one about this log.
    pub fn seek_due(&mut self, position: Option<Position>, id_in_doubt: bool, is_asked: bool, now: Instant) -> SeekDue {
        let is_doubtful = self.truncation.as_ref().is_some_and(TruncationCheck::is_doubtful);
        if !self.is_seeking() {
            return self.ask_again(now);
        }
        match self.flow.seek_due(position.is_some(), id_in_doubt, is_asked || is_doubtful, now) {
            SeekStep::Wait => SeekDue::Wait,
            // The answer decides where to seek.
            SeekStep::AwaitAnswer => self.ask_again(now),
            SeekStep::Ask => SeekDue::AskLog,
            SeekStep::Seek => {
                // Without a known position the log's beginning skips nothing; the client refuses a seek to what the
                // group stored.
                let to = self.damage.as_ref().and_then(Damage::probes).or(position);
                SeekDue::To(to.map_or(START_EARLIEST, |position| position.0))
            }
        }
    }

    fn ask_again(&mut self, now: Instant) -> SeekDue {
        let is_due = self.truncation.as_mut().is_some_and(|check| check.take_due(now));
        if is_due { SeekDue::AskLog } else { SeekDue::Wait }
    }

    /// The client was sought: it reads again.
    pub fn sought(&mut self, now: Instant) {
        self.flow.sought();
        self.pauses.remove(PauseReason::Rewind);
        self.changed_at = now;
    }

    /// Its position moved: its next rewind starts with the first backoff. Old news while the seek is due does not
    /// count.
    pub fn progressed(&mut self) {
        if !self.is_seeking() {
            self.rewinds_in_a_row = 0;
        }
    }

    /// Whether its records must be destroyed because its seek is still to come.
    #[must_use]
    pub fn is_seeking(&self) -> bool {
        self.next_seek().is_some()
    }

    /// When its seek is looked at next.
    #[must_use]
    pub fn next_seek(&self) -> Option<Instant> {
        self.flow.next_seek()
    }

    /// Whether records that were drained are kept, to be taken when there is room.
    #[must_use]
    pub fn keeps(&self) -> bool {
        !self.refuses_all() && self.damage.as_ref().is_none_or(Damage::is_read_again)
    }

    /// Whether records `first..=last` may be taken, as far as it hangs on what came before the last seek or at a
    /// damaged place.
    pub fn takes(&mut self, first: Offset, last: Offset, now: Instant) -> bool {
        !self.refuses_all() && self.damage.as_mut().is_none_or(|damage| damage.may_be_read(first, last, now))
    }

    /// Whether whatever comes is destroyed.
    #[must_use]
    pub fn refuses_all(&self) -> bool {
        self.is_seeking()
    }

    /// A record came at `first`, at or above `expected`. A jump after an assignment or a rewind may be a seek that was
    /// lost, or a gap. Where no position is known the beginning was sought, and before offset 0 is nothing.
    pub fn arrived(&mut self, first: Offset, expected: Option<Position>, now: Instant) -> Arrival {
        let jumps = first.0 > expected.map_or(0, |expected| expected.0);
        let arrival = self.flow.arrived(first, jumps);
        if let Arrival::SeekAgain = arrival {
            self.pauses.add(PauseReason::Rewind);
            self.go_back(SeekProof::Above(first), now);
            self.distrust_client();
        }
        arrival
    }

    /// Records were taken.
    pub fn read(&mut self) {
        if self.client == ClientPosition::Unread {
            self.client = ClientPosition::Read;
        }
    }

    /// Records were destroyed that nothing will seek again: the loop is ending.
    pub fn destroyed(&mut self) {
        self.client = ClientPosition::Destroyed;
    }

    /// Nothing is to be concluded from the client's position before the next record: it counts an error in the place of
    /// a record as one, or a seek may have been lost.
    pub fn distrust_client(&mut self) {
        if self.client == ClientPosition::Read {
            self.client = ClientPosition::Unread;
        }
    }

    /// Whether a record was read since the last assign, rewind or seek.
    #[must_use]
    pub fn has_read(&self) -> bool {
        self.client == ClientPosition::Read
    }

    /// Whether the client's position is behind nothing but what was read.
    #[must_use]
    pub fn is_client_believed(&self) -> bool {
        self.client == ClientPosition::Read && self.damage.is_none()
    }

    /// Reading broke off. `expected` is the offset behind the last record read, `position` the lowest unresolved one.
    pub fn broke_off(
        &mut self,
        error: ReadError,
        expected: Option<Position>,
        position: Option<Position>,
        now: Instant,
    ) {
        self.pauses.add(PauseReason::Damaged);
        match &mut self.damage {
            Some(damage) => damage.failed_again(error, position, now),
            None => self.damage = Some(Damage::found(error, expected, self.end, now)),
        }
    }

    /// What is to be done about the place that could not be read. `busy`: records are open, or an answer about the log
    /// is awaited.
    pub fn damage_due(
        &mut self,
        position: Option<Position>,
        busy: bool,
        on_damaged: OnDamaged,
        now: Instant,
    ) -> DamageDue {
        let is_seeking = self.is_seeking();
        let Some(damage) = &mut self.damage else { return DamageDue::Wait };
        if damage.is_paused() {
            self.pauses.add(PauseReason::Damaged);
        }
        if busy || is_seeking { DamageDue::Wait } else { damage.due(position, self.end, on_damaged, now) }
    }

    /// What could not be read went with its log. Returns whether there was something.
    pub fn forget_damage(&mut self) -> bool {
        let was_damaged = self.damage.take().is_some();
        if was_damaged {
            self.pauses.remove(PauseReason::Damaged);
        }
        was_damaged
    }

    /// A record came at `to` where one at or behind `from` should. Returns whether the log itself must be at
    /// fault: the brokers have said often enough that it is the same, or its numbers are known to be wrong.
    pub fn goes_back(&mut self, to: Offset, from: Position) -> bool {
        let same = self.went_back.filter(|before| (before.to, before.from) == (to, from));
        let went_back = same.unwrap_or(OffsetRegression { to, from, denied: 0 });
        self.went_back = Some(went_back);
        went_back.denied >= LOG_IS_THE_SAME || self.damage.as_ref().is_some_and(Damage::is_numbered_wrong)
    }

    /// The brokers say that the log still holds what was read.
    pub fn log_is_the_same(&mut self) {
        if let Some(went_back) = &mut self.went_back {
            went_back.denied = went_back.denied.saturating_add(1);
        }
    }

    /// The topic is unknown to the brokers.
    pub fn topic_is_gone(&mut self) {
        self.was_gone = true;
    }

    /// A record came. Returns whether the topic was unknown before.
    pub fn topic_is_back(&mut self) -> bool {
        std::mem::take(&mut self.was_gone)
    }

    /// Whether the log may be another one whatever its end is: the topic was made again, or unknown for a while.
    #[must_use]
    pub fn may_be_made_again(&self) -> bool {
        self.was_gone || self.flow.is_made_again()
    }

    /// The client was told to pause or resume, and `did` so.
    pub fn told(&mut self, pause: bool, did: bool, now: Instant) {
        self.pauses.told(pause, did);
        self.changed_at = now;
    }

    /// The client was asked to read it otherwise: a rebalance stops and starts all partitions.
    pub fn rebalanced(&mut self, now: Instant) {
        self.changed_at = now;
    }

    /// Whether what statistics say of the client's reading is of after the last change.
    #[must_use]
    pub fn is_settled(&self, now: Instant) -> bool {
        now >= self.changed_at + STATISTICS_SETTLE || mutants::on(Mutant::StaleStatisticsBelieved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::librdkafka::OffsetKind;
    use crate::source::damage::ReadCause;
    use crate::source::flow::{SEEK_ONCE_ASKED, SEEK_REPEATED, SEEK_WHEN_ANSWERED, SEEK_WHEN_ID_IS_KNOWN};
    use crate::source::recreation::{CONFIRM_AFTER, LogFate};

    const AT_5: Option<Position> = Some(Position(5));

    fn partition(now: Instant) -> Partition {
        Partition::assigned(TopicPartition { topic: "t".into(), partition: 0 }, true, None, &[], now)
    }

    fn sought(partition: &mut Partition, now: Instant) {
        assert_eq!(partition.seek_due(AT_5, false, false, now), SeekDue::To(5));
        partition.sought(now);
        assert!(!partition.is_seeking());
    }

    #[test]
    fn a_jump_is_asked_about_once_after_an_assignment_or_a_proven_seek() {
        let now = Instant::now();
        let mut partition = partition(now);
        assert_eq!(partition.arrived(Offset(7), AT_5, now), Arrival::AfterJump);
        assert_eq!(partition.arrived(Offset(9), Some(Position(8)), now), Arrival::Taken, "compaction");
        partition.rewind(now);
        sought(&mut partition, now);
        assert_eq!(partition.arrived(Offset(7), AT_5, now), Arrival::SeekAgain);
        assert!(partition.is_seeking() && partition.pauses.has(PauseReason::Rewind));
        sought(&mut partition, now + BACKOFF.after(1));
        assert_eq!(partition.arrived(Offset(7), AT_5, now), Arrival::AfterJump);
        partition.rewind(now);
        sought(&mut partition, now + BACKOFF.after(2));
        assert_eq!(partition.arrived(Offset(5), AT_5, now), Arrival::Taken, "at the target");
    }

    #[test]
    fn the_first_rewind_is_immediate_and_repeats_wait_longer_until_progress() {
        let now = Instant::now();
        let mut partition = partition(now);
        partition.rewind(now);
        assert_eq!(partition.next_seek(), Some(now));
        sought(&mut partition, now);
        partition.rewind(now);
        assert!(partition.is_seeking() && partition.seek_due(AT_5, false, false, now) == SeekDue::Wait);
        assert_eq!(partition.next_seek(), Some(now + BACKOFF.after(1)));
        sought(&mut partition, now + BACKOFF.after(1));
        partition.rewind(now);
        assert_eq!(partition.next_seek(), Some(now + 2 * BACKOFF.after(1)));
        partition.progressed();
        assert!(partition.is_seeking(), "progress of old news while the seek is due does not forget the seek");
        sought(&mut partition, now + 2 * BACKOFF.after(1));
        partition.progressed();
        partition.rewind(now);
        assert_eq!(partition.next_seek(), Some(now));
        for _ in 0..80 {
            partition.rewind(now);
        }
        assert!(partition.next_seek() <= Some(now + BACKOFF.after(u32::MAX)), "bounded");
    }

    #[test]
    fn a_seek_waits_for_what_may_move_its_target_and_is_repeated_until_it_is_done() {
        let now = Instant::now();
        let mut partition = partition(now);
        assert_eq!(partition.seek_due(AT_5, false, false, now), SeekDue::Wait, "nothing is to be sought");
        partition.rewind(now);
        assert_eq!(partition.seek_due(AT_5, true, false, now), SeekDue::Wait, "the topic may be another one");
        assert_eq!(partition.next_seek(), Some(now + SEEK_WHEN_ID_IS_KNOWN));
        let now = now + SEEK_WHEN_ID_IS_KNOWN;
        assert_eq!(partition.seek_due(AT_5, false, true, now), SeekDue::Wait, "the log may be");
        let now = now + SEEK_WHEN_ANSWERED;
        assert_eq!(partition.seek_due(AT_5, false, false, now), SeekDue::To(5));
        assert_eq!(partition.next_seek(), Some(now + SEEK_REPEATED));
        assert_eq!(partition.seek_due(None, false, false, now + SEEK_REPEATED), SeekDue::To(START_EARLIEST));
    }

    #[test]
    fn a_topic_made_again_is_asked_where_it_begins_until_that_is_known() {
        let now = Instant::now();
        let mut partition = partition(now);
        partition.rewind(now);
        partition.made_again();
        assert!(partition.is_seeking() && partition.may_be_made_again());
        assert_eq!(partition.seek_due(AT_5, false, false, now), SeekDue::AskLog);
        assert_eq!(partition.next_seek(), Some(now + SEEK_ONCE_ASKED));
        partition.rewind(now);
        assert!(partition.may_be_made_again(), "another rewind does not forget it");
        let now = now + BACKOFF.after(1);
        assert_eq!(partition.seek_due(AT_5, false, false, now), SeekDue::AskLog, "nobody answered");
        partition.starts_anew(now);
        assert!(!partition.may_be_made_again());
        assert_eq!(partition.seek_due(Some(Position(0)), false, false, now), SeekDue::To(0));
        partition.rewind(now);
        partition.made_again();
        let now = now + BACKOFF.after(2);
        assert_eq!(partition.seek_due(None, false, false, now), SeekDue::To(START_EARLIEST), "nothing was read");
    }

    #[test]
    fn a_log_found_to_be_another_one_while_its_partition_stands_still_is_asked_about_again_and_sought() {
        let now = Instant::now();
        let mut partition = partition(now);
        partition.broke_off(ReadError { offset: 5, cause: ReadCause::WentBack { to: 3 } }, AT_5, AT_5, now);
        let mut check = TruncationCheck::default();
        check.told(OffsetKind::Earliest, Some(Position(0)));
        check.told(OffsetKind::Latest, Some(Position(2)));
        let LogFate::Doubtful(doubt) = check.judge(AT_5, false, now) else { panic!("a leader may lag") };
        partition.truncation = Some(doubt);
        assert_eq!(partition.seek_due(AT_5, false, false, now), SeekDue::Wait);
        assert_eq!(partition.seek_due(AT_5, false, false, now + CONFIRM_AFTER), SeekDue::AskLog);
        partition.starts_anew(now);
        partition.forget_damage();
        assert!(partition.pauses.has(PauseReason::Rewind), "nothing of the new log is taken before the seek");
        assert_eq!(partition.seek_due(Some(Position(0)), false, false, now), SeekDue::To(0));
        partition.sought(now);
        assert_eq!(partition.arrived(Offset(2), Some(Position(0)), now), Arrival::SeekAgain, "it may have been lost");
    }

    #[test]
    fn the_clients_position_is_worth_what_was_read_before_it() {
        let now = Instant::now();
        let mut partition = partition(now);
        assert!(!partition.is_client_believed(), "nothing was read");
        partition.read();
        assert!(partition.is_client_believed());
        partition.distrust_client();
        assert!(!partition.is_client_believed(), "it counts an error as a record");
        partition.read();
        partition.rewind(now);
        assert!(!partition.is_client_believed(), "it is of before the seek");
        partition.read();
        partition.destroyed();
        partition.read();
        assert!(!partition.is_client_believed(), "what was destroyed lies before it");
    }

    #[test]
    fn what_is_given_up_is_not_sought() {
        let now = Instant::now();
        let mut partition = partition(now);
        partition.rewind(now);
        partition.give_up();
        for event in [Partition::rewind, Partition::starts_anew, Partition::read_damage_again] {
            event(&mut partition, now);
            assert_eq!(partition.seek_due(AT_5, false, false, now), SeekDue::Wait);
        }
        assert!(partition.pauses.is_paused(), "to be resumed before it is unassigned");
    }

    #[test]
    fn a_log_is_blamed_when_the_brokers_have_denied_twice_that_it_changed() {
        let mut partition = partition(Instant::now());
        let mut goes_back = |to| {
            let is_blamed = partition.goes_back(Offset(to), Position(9));
            partition.log_is_the_same();
            is_blamed
        };
        assert_eq!([3, 3, 3].map(&mut goes_back), [false, false, true]);
        assert!(!goes_back(4), "another place");
    }
}
