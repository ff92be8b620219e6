//! A place in a partition that cannot be read: a batch with a wrong checksum, one that cannot be decompressed, one of
//! an unknown format, or one the broker itself refuses to read. Pure.
//!
//! librdkafka puts an error in the place of the records and counts it as read: its own position moves behind the first
//! offset of the batch, and what it hands out next may lie anywhere. So the partition stands still from the error on.
//! It is read again from the lowest unresolved offset with growing pauses, until records come where the error was.
//!
//! Of some damage librdkafka does not speak. A batch that seems to end too early it takes for one that was not sent to
//! its end, and fetches it again and again ([`ReadCause::Silence`], noticed by [`super::silence`]); of one whose
//! records are numbered wrong it hands out what goes back ([`ReadCause::WentBack`]).
//!
//! With `on_damaged: skip` the batch is stepped over once the error has been confirmed and its end was found
//! ([`super::batch_end`]).

use std::time::{Duration, Instant};

use crate::config::plan::OnDamaged;
use crate::librdkafka::ErrorCode;
use crate::model::{Backoff, Offset, Position};
use crate::mutants::{self, Mutant};

use super::batch_end::BatchEndSearch;

/// Pause before the place is read again the first time; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Between two reads.
const BACKOFF: Backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
/// Errors at the place after which it counts as damaged for good: a bounded run ends, a skip begins.
const CONFIRMATIONS: u32 = 3;
/// The same for an error of the broker, which may be one of a leader that is starting: this long at least.
const BROKER_RECOVERS_WITHIN: Duration = Duration::from_secs(30);
/// How long reading from a searched offset may bring nothing before the offset counts as outside the batch. A mistake
/// here costs a longer search, never a record.
const PROBE_WITHIN: Duration = Duration::from_secs(5);
/// How long reading the place again may bring nothing before it is tried once more.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// Why a place could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// The first offset of the batch, or the offset that was asked for.
    pub offset: i64,
    /// How it showed.
    pub cause: ReadCause,
}

/// How it showed that a place cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadCause {
    /// The client said so in the place of a record.
    Told {
        /// The client's or the broker's code.
        code: ErrorCode,
        /// Its words.
        message: String,
    },
    /// Records came that were numbered back to this offset, again and again.
    WentBack {
        /// The offset of the first of them.
        to: i64,
    },
    /// Nothing came, though the log goes on and the broker answered.
    Silence,
}

impl ReadError {
    /// Whether it blames what lies in the log; anything else is a broker that could not read just then.
    fn is_of_the_data(&self) -> bool {
        match &self.cause {
            ReadCause::Told { code, .. } => matches!(
                *code,
                ErrorCode::BAD_MSG
                    | ErrorCode::BAD_COMPRESSION
                    | ErrorCode::NOT_IMPLEMENTED
                    | ErrorCode::INVALID_MSG
                    | ErrorCode::UNDERFLOW
            ),
            ReadCause::WentBack { .. } => true,
            // The broker may be at fault.
            ReadCause::Silence => false,
        }
    }

    /// Whether the end of the batch can be found: each offset of it answers with the error again. A broker that fails
    /// to read may have trouble of another kind, and of a batch of an unknown format librdkafka speaks at its first
    /// offset only; what was skipped of it would leave a partition that stands still without a word. Silence is no
    /// answer, and a batch whose numbers are wrong says nothing of where it ends.
    fn is_told_of_each_offset(&self) -> bool {
        match &self.cause {
            ReadCause::Told { code, .. } => self.is_of_the_data() && *code != ErrorCode::NOT_IMPLEMENTED,
            ReadCause::WentBack { .. } | ReadCause::Silence => false,
        }
    }

    /// Whether an error of a probe at `at` says that this offset lies in the batch of `self` too.
    fn is_repeated_by(&self, other: &Self, at: Position) -> bool {
        match (&self.cause, &other.cause) {
            // A broker names the offset that it was asked for, the client the first one of the batch.
            (ReadCause::Told { code, .. }, ReadCause::Told { code: again, .. }) => {
                code == again && other.offset == if *code == ErrorCode::INVALID_MSG { at.0 } else { self.offset }
            }
            (ReadCause::Told { .. } | ReadCause::WentBack { .. } | ReadCause::Silence, _) => false,
        }
    }
}

/// A partition whose reading broke off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    error: ReadError,
    since: Instant,
    /// Records at or behind it prove that it can be read.
    place: Position,
    /// The error came first, before any record, when reading began here.
    begins_at: Option<Position>,
    /// So did the one before it, the same error in the same place.
    agrees: bool,
    /// No record came since reading began.
    nothing_came: bool,
    /// Statistics in a row, since reading began, in which the client had gone past the place.
    read_on: u32,
    /// Errors at the place so far.
    seen: u32,
    phase: DamagePhase,
    search: Option<BatchEndSearch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DamagePhase {
    /// The partition is paused until then.
    Paused { until: Instant },
    /// It is read from the lowest unresolved offset.
    Reading { until: Instant },
    /// It is read from this offset only to learn whether that belongs to the batch.
    Probing { at: Position, until: Instant },
}

/// What is to be done about a damaged partition now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageDue {
    /// Nothing yet.
    Wait,
    /// Read it from here; `None` is the lowest unresolved offset.
    Read(Option<Position>),
    /// Everything up to here belongs to the batch: go on behind it.
    Skip {
        /// The first offset skipped.
        from: Position,
        /// The first offset not skipped.
        to: Position,
    },
}

impl Damage {
    /// Reading broke off. `expected` is the offset behind the last record that was read, `end` the end of the log: an
    /// error that names an offset beyond it does not know its own place.
    #[must_use]
    pub fn found(error: ReadError, expected: Option<Position>, end: Option<Position>, now: Instant) -> Self {
        let named = Some(Position(error.offset)).filter(|named| end.is_none_or(|end| *named < end));
        let place = expected.max(named).unwrap_or(Position(0));
        let phase = DamagePhase::Paused { until: now + FIRST_PAUSE };
        Self {
            error,
            since: now,
            place,
            begins_at: None,
            agrees: false,
            nothing_came: false,
            read_on: 0,
            seen: 1,
            phase,
            search: None,
        }
    }

    /// Whether a run of records that ends before `next` proves that the place can be read.
    #[must_use]
    pub fn is_cured_by(&self, next: Position) -> bool {
        self.is_read_again() && next > self.place
    }

    /// Whether records of the partition are taken: its place is being read again.
    #[must_use]
    pub fn is_read_again(&self) -> bool {
        matches!(self.phase, DamagePhase::Reading { .. })
    }

    /// Whether nothing of the partition is asked of the client.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        matches!(self.phase, DamagePhase::Paused { .. })
    }

    /// Another error came in the place of a record. `position` is where reading began, if it began at the lowest
    /// unresolved offset; where that is not known, the batch is the first thing there is.
    pub fn failed_again(&mut self, error: ReadError, position: Option<Position>, now: Instant) {
        match self.phase {
            // What was in the queue behind the first error.
            DamagePhase::Paused { .. } => {}
            DamagePhase::Reading { .. } => {
                self.seen = self.seen.saturating_add(1);
                let begins_at = position.or(Some(Position(error.offset))).filter(|_| self.nothing_came);
                self.agrees = begins_at.is_some() && begins_at == self.begins_at && error.offset == self.error.offset;
                self.begins_at = begins_at;
                self.error = error;
                let pause = match &mut self.search {
                    Some(search) if self.agrees => {
                        search.made_sure = true;
                        Duration::ZERO
                    }
                    Some(_) | None => BACKOFF.after(self.seen.max(1)),
                };
                self.phase = DamagePhase::Paused { until: now + pause };
            }
            DamagePhase::Probing { at, .. } => self.probed(at, self.error.is_repeated_by(&error, at), now),
        }
    }

    /// Statistics of the client that followed an empty queue: `next` is what it will fetch next. An error at the place
    /// lies in the queue before the client goes past it, so where none came twice, there is nothing that cannot be
    /// read. Where offsets went back that proves nothing: the client drops what lies before its position.
    pub fn client_read_on(&mut self, next: Position, end: Position) -> bool {
        if self.is_numbered_wrong() {
            return false;
        }
        let is_past = next > self.place || (end <= self.place && next >= end);
        self.read_on = if self.is_read_again() && is_past { self.read_on.saturating_add(1) } else { 0 };
        self.read_on >= 2
    }

    /// Whether offsets of records went back here.
    pub fn is_numbered_wrong(&self) -> bool {
        matches!(self.error.cause, ReadCause::WentBack { .. })
    }

    /// Whether a record that comes first may lie there: where offsets went back, what lies between may be what went
    /// back.
    #[must_use]
    pub fn allows(&self, first: Offset) -> bool {
        match self.error.cause {
            ReadCause::WentBack { .. } => first.0 <= self.place.0,
            ReadCause::Told { .. } | ReadCause::Silence => true,
        }
    }

    /// Records `first..=last` came from the partition. Whether they may be read: not if they only answer a probe.
    pub fn may_be_read(&mut self, first: Offset, last: Offset, now: Instant) -> bool {
        self.nothing_came = false;
        // Offsets that were proven to lie in the batch hold records: the log is another one than it was.
        if self.search.is_some_and(|search| search.holds(first) || search.holds(last)) {
            self.disproved();
        }
        match self.phase {
            DamagePhase::Paused { .. } => false,
            DamagePhase::Reading { .. } => true,
            DamagePhase::Probing { at, .. } => {
                self.probed(at, false, now);
                false
            }
        }
    }

    fn probed(&mut self, at: Position, is_inside: bool, now: Instant) {
        self.phase = DamagePhase::Paused { until: now };
        if let Some(search) = &mut self.search {
            search.answered(at, is_inside);
        }
    }

    /// What is due. `position` is the lowest unresolved offset if it is known, and nothing is open above it; `end` is
    /// the end of the log.
    pub fn due(
        &mut self,
        position: Option<Position>,
        end: Option<Position>,
        on_damaged: OnDamaged,
        now: Instant,
    ) -> DamageDue {
        match self.phase {
            DamagePhase::Paused { until } | DamagePhase::Reading { until } if now < until => return DamageDue::Wait,
            DamagePhase::Probing { until, .. } if now < until => return DamageDue::Wait,
            // Reading brought neither a record nor an error: whether the place can be read is not known.
            DamagePhase::Paused { .. } | DamagePhase::Reading { .. } => {}
            DamagePhase::Probing { at, .. } => self.probed(at, false, now),
        }
        self.nothing_came = true;
        self.read_on = 0;
        let on_damaged = self.policy(on_damaged);
        let proven = self.begins_at.filter(|at| self.agrees && position.is_none_or(|position| position == *at));
        let (Some(position), Some(end), true, OnDamaged::Skip) = (proven, end, self.is_confirmed(now), on_damaged)
        else {
            self.search = None;
            self.phase = DamagePhase::Reading { until: now + READ_WITHIN };
            return DamageDue::Read(None);
        };
        let search = self.search.get_or_insert(BatchEndSearch::at(position));
        match search.next(end) {
            Some(at) => {
                search.made_sure = false;
                self.phase = DamagePhase::Probing { at, until: now + PROBE_WITHIN };
                DamageDue::Read(Some(at))
            }
            None if search.made_sure || mutants::on(Mutant::DamageOfAnotherLog) => {
                DamageDue::Skip { from: search.from, to: search.behind_proven() }
            }
            None => {
                self.phase = DamagePhase::Reading { until: now + READ_WITHIN };
                DamageDue::Read(None)
            }
        }
    }

    /// What is done about this place: not every one can be skipped.
    #[must_use]
    pub fn policy(&self, on_damaged: OnDamaged) -> OnDamaged {
        if self.error.is_told_of_each_offset() { on_damaged } else { OnDamaged::Hold }
    }

    /// Where the partition is to be sought: `None` is the lowest unresolved offset.
    #[must_use]
    pub fn probes(&self) -> Option<Position> {
        match self.phase {
            DamagePhase::Probing { at, .. } => Some(at),
            DamagePhase::Paused { .. } | DamagePhase::Reading { .. } => None,
        }
    }

    /// The partition went back for another reason: what was being read is over, and what it showed may be of another
    /// log.
    pub fn interrupted(&mut self, now: Instant) {
        self.phase = DamagePhase::Paused { until: now };
        self.disproved();
    }

    /// What was found out about where the batch begins and ends holds no longer.
    fn disproved(&mut self) {
        if !mutants::on(Mutant::DamageOfAnotherLog) {
            (self.begins_at, self.agrees, self.search) = (None, false, None);
        }
    }

    /// What was found last.
    #[must_use]
    pub fn error(&self) -> &ReadError {
        &self.error
    }

    /// Where reading broke off.
    #[must_use]
    pub fn place(&self) -> Position {
        self.place
    }

    /// Whether the place counts as damaged for good.
    #[must_use]
    pub fn is_confirmed(&self, now: Instant) -> bool {
        if self.is_numbered_wrong() {
            return true;
        }
        let long_enough = self.error.is_of_the_data() || now >= self.since + BROKER_RECOVERS_WITHIN;
        self.seen >= CONFIRMATIONS && long_enough
    }

    /// What is wrong, for people: the offset, the code, the client's words.
    #[must_use]
    pub fn text(&self) -> String {
        let ReadError { offset, cause } = &self.error;
        match cause {
            ReadCause::Told { code, message } => {
                let what = if self.error.is_of_the_data() { "the batch at" } else { "reading at" };
                let comma = if message.is_empty() { "" } else { ", " };
                format!("{what} offset {offset} failed ({code}{comma}{message})")
            }
            ReadCause::WentBack { to } => {
                format!("the batch at offset {offset} is numbered wrong: its offsets go back to {to}")
            }
            ReadCause::Silence => format!(
                "the client gets nothing it can read from offset {offset} on, though the log goes on and the broker answers: \
                 a batch there seems to end too early"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(offset: i64) -> ReadError {
        of(ErrorCode::BAD_MSG, offset)
    }

    fn of(code: ErrorCode, offset: i64) -> ReadError {
        ReadError { offset, cause: ReadCause::Told { code, message: "failed CRC32C check".into() } }
    }

    fn one_came(damage: &mut Damage, offset: i64, now: Instant) -> bool {
        damage.may_be_read(Offset(offset), Offset(offset), now)
    }

    const AT: Position = Position(7);
    const END: Option<Position> = Some(Position(90));

    /// Reads again until the place is confirmed; the time of the last error.
    fn confirmed(offset: i64, now: Instant) -> (Damage, Instant) {
        let (mut damage, mut now) = (Damage::found(error(offset), Some(AT), None, now), now);
        while !damage.is_confirmed(now) || !damage.agrees {
            now += LONGEST_PAUSE;
            assert_eq!(damage.due(Some(AT), END, OnDamaged::Skip, now), DamageDue::Read(None));
            damage.failed_again(error(offset), Some(AT), now);
        }
        (damage, now)
    }

    #[test]
    fn a_place_is_read_again_with_growing_pauses_and_nothing_is_read_meanwhile() {
        let now = Instant::now();
        let mut damage = Damage::found(error(5), Some(AT), Some(Position(90)), now);
        assert!(!one_came(&mut damage, 9, now), "what was behind it in the queue");
        damage.failed_again(error(999), Some(AT), now);
        assert_eq!(
            damage.text(),
            "the batch at offset 5 failed (Local: Bad message format (_BAD_MSG), failed CRC32C check)"
        );
        assert_eq!(damage.due(Some(AT), END, OnDamaged::Hold, now), DamageDue::Wait);
        let later = now + FIRST_PAUSE;
        assert_eq!(damage.due(Some(AT), END, OnDamaged::Hold, later), DamageDue::Read(None));
        assert!(one_came(&mut damage, 9, later), "it may have been the network");
        assert!(!damage.is_cured_by(AT) && damage.is_cured_by(Position(AT.0 + 1)));
        damage.failed_again(error(5), Some(AT), later);
        assert_eq!(damage.due(Some(AT), END, OnDamaged::Hold, later + FIRST_PAUSE), DamageDue::Wait, "twice as long");
        assert_eq!(damage.due(Some(AT), END, OnDamaged::Hold, later + 2 * FIRST_PAUSE), DamageDue::Read(None));
        let silent = later + 2 * FIRST_PAUSE + READ_WITHIN;
        assert_eq!(damage.due(Some(AT), END, OnDamaged::Hold, silent), DamageDue::Read(None), "nothing came at all");
    }

    #[test]
    fn an_error_of_the_broker_is_confirmed_later_than_one_of_the_data() {
        let now = Instant::now();
        let (damage, _) = confirmed(5, now);
        assert!(damage.seen >= CONFIRMATIONS);
        let of_broker = Damage { error: of(ErrorCode::UNKNOWN_TOPIC, 5), ..damage };
        assert!(!of_broker.is_confirmed(now) && of_broker.is_confirmed(now + BROKER_RECOVERS_WITHIN));
    }

    /// Silence proves nothing, an error behind records does not tell where the batch begins, and one may be of a lost
    /// seek.
    #[test]
    fn only_errors_where_reading_began_confirm_a_place() {
        let (mut damage, mut now) = (Damage::found(error(5), Some(AT), None, Instant::now()), Instant::now());
        let mut reads = |damage: &mut Damage| {
            now += READ_WITHIN;
            assert_eq!(damage.due(Some(AT), END, OnDamaged::Skip, now), DamageDue::Read(None));
            now
        };
        for _ in 0..2 * CONFIRMATIONS {
            let now = reads(&mut damage);
            assert!(!damage.is_confirmed(now));
        }
        for _ in 0..2 * CONFIRMATIONS {
            let now = reads(&mut damage);
            assert!(one_came(&mut damage, 9, now));
            damage.failed_again(error(5), Some(AT), now);
        }
        for other in [error(5), error(6), error(5), error(5)] {
            let now = reads(&mut damage);
            damage.failed_again(other, Some(AT), now);
            assert!(damage.is_confirmed(now));
        }
        now += LONGEST_PAUSE;
        assert_eq!(
            damage.clone().due(Some(AT), None, OnDamaged::Skip, now),
            DamageDue::Read(None),
            "the end is not known"
        );
        assert_eq!(damage.due(Some(AT), END, OnDamaged::Skip, now), DamageDue::Read(Some(Position(AT.0 + 1))));
    }

    /// A marker is no record: its partition is mended when the client goes past it, or finds nothing there.
    #[test]
    fn a_place_without_records_is_mended_by_the_client_that_reads_on() {
        let (p, now) = (Position, Instant::now());
        for (next, end, mended) in [(p(8), p(90), true), (AT, AT, true), (AT, p(90), false), (p(5), p(6), false)] {
            let mut damage = Damage::found(error(5), Some(AT), END, now);
            assert!(!damage.client_read_on(next, end), "it is not being read");
            assert_eq!(damage.due(Some(AT), END, OnDamaged::Hold, now + FIRST_PAUSE), DamageDue::Read(None));
            assert!(!damage.client_read_on(next, end), "may be older than the seek");
            assert_eq!(damage.client_read_on(next, end), mended, "{next:?} {end:?}");
            damage.failed_again(error(5), Some(AT), now);
            assert!(!damage.client_read_on(next, end));
        }
    }

    /// A broker that fails to read is waited for, and so is a batch whose end cannot be found; one that calls a batch
    /// corrupt names every offset that it is asked for.
    #[test]
    fn only_a_batch_whose_every_offset_answers_with_the_error_is_skipped() {
        let cases = [
            (ErrorCode::UNKNOWN, false),
            (ErrorCode::KAFKA_STORAGE_ERROR, false),
            (ErrorCode::NOT_IMPLEMENTED, false),
            (ErrorCode::INVALID_MSG, true),
        ];
        for (code, skips) in cases {
            let mut now = Instant::now();
            let mut damage = Damage::found(of(code, AT.0), Some(AT), END, now);
            for _ in 0..2 * CONFIRMATIONS {
                now += LONGEST_PAUSE;
                if damage.due(Some(AT), END, OnDamaged::Skip, now) != DamageDue::Read(None) {
                    break;
                }
                damage.failed_again(of(code, AT.0), Some(AT), now);
            }
            assert_eq!(damage.probes().is_some(), skips, "{code}");
            assert_eq!(damage.policy(OnDamaged::Skip) == OnDamaged::Skip, skips, "{code}");
            while let Some(at) = damage.probes().or(damage.is_read_again().then_some(AT)).filter(|_| skips) {
                let inside = at.0 < AT.0 + 9;
                damage.failed_again(of(if inside { code } else { ErrorCode::UNKNOWN }, at.0), Some(AT), now);
                match damage.due(Some(AT), END, OnDamaged::Skip, now) {
                    DamageDue::Read(_) => {}
                    other => assert_eq!(other, DamageDue::Skip { from: AT, to: Position(AT.0 + 9) }),
                }
            }
        }
    }

    /// Where the group is is not known, and nothing was read: the batch is the first thing there is.
    #[test]
    fn a_place_at_an_unknown_beginning_is_skipped_from_its_first_offset() {
        let (mut damage, mut now) = (Damage::found(error(5), None, END, Instant::now()), Instant::now());
        for _ in 1..CONFIRMATIONS {
            now += LONGEST_PAUSE;
            assert_eq!(damage.due(None, END, OnDamaged::Skip, now), DamageDue::Read(None));
            damage.failed_again(error(5), None, now);
        }
        now += LONGEST_PAUSE;
        assert_eq!(damage.due(None, END, OnDamaged::Skip, now), DamageDue::Read(Some(Position(6))));
        assert!(!one_came(&mut damage, 9, now));
        assert_eq!(damage.due(None, END, OnDamaged::Skip, now), DamageDue::Read(None), "to make sure");
        damage.failed_again(error(5), None, now);
        let skip = DamageDue::Skip { from: Position(5), to: Position(6) };
        assert_eq!(damage.due(None, END, OnDamaged::Skip, now), skip);
    }

    /// From behind the end the client goes back to the beginning, which may be the batch itself.
    #[test]
    fn nothing_at_or_behind_the_end_is_asked_about() {
        for end in 8..30 {
            let (mut damage, now) = confirmed(5, Instant::now());
            let now = now + LONGEST_PAUSE;
            let skip = loop {
                match damage.due(Some(AT), Some(Position(end)), OnDamaged::Skip, now) {
                    DamageDue::Read(at) => {
                        assert!(at.is_none_or(|at| at.0 < end), "{end}");
                        damage.failed_again(error(5), Some(AT), now);
                    }
                    DamageDue::Skip { from, to } => break (from, to),
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(skip, (AT, Position(end)));
        }
    }

    #[test]
    fn records_before_the_place_prove_nothing() {
        let now = Instant::now();
        for (offset, end, proof) in
            [(20, Some(Position(90)), 21), (20, None, 21), (1 << 50, Some(Position(90)), AT.0 + 1)]
        {
            let mut damage = Damage::found(error(offset), Some(AT), end, now);
            assert!(!damage.is_cured_by(Position(proof)), "it is not read yet");
            assert_eq!(damage.due(Some(AT), END, OnDamaged::Hold, now + FIRST_PAUSE), DamageDue::Read(None));
            assert!(!damage.is_cured_by(Position(proof - 1)) && damage.is_cured_by(Position(proof)), "{offset}");
        }
    }

    /// For every length of the batch, from every offset inside: just the rest of the batch is skipped. `silent`: behind
    /// the batch nothing comes.
    #[test]
    fn a_skip_goes_exactly_behind_the_batch() {
        for (length, silent) in (1..40).flat_map(|length| [(length, false), (length, true)]) {
            let (first, end) = (AT.0 - 2, AT.0 + length);
            let (mut damage, mut now) = confirmed(first, Instant::now());
            now += LONGEST_PAUSE;
            let mut probes = 0;
            let skip = loop {
                match damage.due(Some(AT), END, OnDamaged::Skip, now) {
                    DamageDue::Read(at) if at.unwrap_or(AT).0 < end => damage.failed_again(error(first), Some(AT), now),
                    DamageDue::Read(Some(at)) => match (at.0 % 3, silent) {
                        (_, true) => now += PROBE_WITHIN,
                        (0, false) => damage.failed_again(error(at.0), Some(AT), now),
                        (_, false) => assert!(!one_came(&mut damage, at.0, now), "a probe reads nothing"),
                    },
                    DamageDue::Skip { from, to } => break (from, to),
                    other => panic!("{other:?}"),
                }
                probes += 1;
                assert!(probes <= 32, "{length}");
            };
            assert_eq!(skip, (AT, Position(end)), "{length}");
        }
    }

    /// Neither says where the batch ends, and what lies behind offsets that went back is not proof that nothing was
    /// between.
    #[test]
    fn silence_and_offsets_that_go_back_are_held_and_a_jump_does_not_mend_the_latter() {
        for cause in [ReadCause::Silence, ReadCause::WentBack { to: 3 }] {
            let error = ReadError { offset: AT.0, cause };
            let mut now = Instant::now();
            let mut damage = Damage::found(error.clone(), Some(AT), END, now);
            for _ in 0..2 * CONFIRMATIONS {
                now += LONGEST_PAUSE;
                assert_eq!(damage.due(Some(AT), END, OnDamaged::Skip, now), DamageDue::Read(None));
                damage.failed_again(error.clone(), Some(AT), now);
            }
            assert!(damage.is_confirmed(now) && damage.policy(OnDamaged::Skip) == OnDamaged::Hold);
            let (behind, is_silence) = (Offset(AT.0 + 1), error.cause == ReadCause::Silence);
            assert_eq!(damage.allows(behind), is_silence, "{}", damage.text());
            let found = Damage::found(error.clone(), Some(AT), END, now);
            assert_eq!(found.is_confirmed(now), !is_silence, "the client went back there again and again");
            now += LONGEST_PAUSE;
            assert_eq!(damage.due(Some(AT), END, OnDamaged::Hold, now), DamageDue::Read(None));
            let read_on = (0..3).any(|_| damage.client_read_on(Position(AT.0 + 1), Position(90)));
            assert_eq!(read_on, is_silence);
            assert!(damage.allows(Offset(AT.0)));
        }
    }

    #[test]
    fn nothing_is_skipped_that_was_not_proven_and_nothing_without_leave() {
        let (mut damage, now) = confirmed(5, Instant::now());
        let now = now + LONGEST_PAUSE;
        assert_eq!(damage.clone().due(Some(AT), END, OnDamaged::Hold, now), DamageDue::Read(None));
        assert_eq!(damage.due(Some(AT), END, OnDamaged::Skip, now), DamageDue::Read(Some(Position(8))));
        assert_eq!(damage.probes(), Some(Position(8)));
        for elsewhere in [Position(AT.0 - 1), Position(AT.0 + 1)] {
            assert_eq!(
                damage.clone().due(Some(elsewhere), END, OnDamaged::Skip, now + PROBE_WITHIN),
                DamageDue::Read(None),
                "not proven"
            );
        }
        damage.interrupted(now);
        assert_eq!(damage.probes(), None);
        let now = now + LONGEST_PAUSE;
        assert_eq!(damage.due(Some(AT), END, OnDamaged::Skip, now), DamageDue::Read(None), "it may be another log");
        damage.failed_again(error(5), Some(AT), now);
        let now = now + LONGEST_PAUSE;
        assert_eq!(damage.due(Some(AT), END, OnDamaged::Skip, now), DamageDue::Read(None), "said but once");
        damage.failed_again(error(5), Some(AT), now);
        let now = now + LONGEST_PAUSE;
        assert_eq!(damage.due(Some(AT), END, OnDamaged::Skip, now), DamageDue::Read(Some(Position(8))));
        damage.failed_again(error(5), Some(AT), now);
        assert_eq!(
            damage.due(Some(AT), END, OnDamaged::Skip, now),
            DamageDue::Read(Some(Position(8))),
            "asked once more"
        );
        assert!(!one_came(&mut damage, 8, now), "the first answer was that of a seek that was lost");
        assert_eq!(damage.due(Some(AT), END, OnDamaged::Skip, now), DamageDue::Read(None), "to make sure");
        let mut mended = damage.clone();
        assert!(one_came(&mut mended, AT.0, now) && mended.is_cured_by(Position(AT.0 + 1)), "another leader's copy");
        damage.failed_again(error(5), Some(AT), now);
        assert_eq!(damage.due(Some(AT), END, OnDamaged::Skip, now), DamageDue::Skip { from: AT, to: Position(8) });
    }

    /// Its end was lost, or the topic was made again: what comes where the batch was is not skipped with it.
    #[test]
    fn records_where_the_batch_was_end_the_search() {
        for (first, last) in [(AT.0, AT.0), (AT.0 - 3, AT.0 + 1), (AT.0 + 1, 40)] {
            let (mut damage, now) = confirmed(5, Instant::now());
            let now = now + LONGEST_PAUSE;
            for _ in 0..2 {
                assert_eq!(damage.due(Some(AT), END, OnDamaged::Skip, now), DamageDue::Read(Some(Position(AT.0 + 1))));
                damage.failed_again(error(5), Some(AT), now);
            }
            assert_eq!(damage.due(Some(AT), END, OnDamaged::Skip, now), DamageDue::Read(Some(Position(AT.0 + 3))));
            assert!(!damage.may_be_read(Offset(first), Offset(last), now));
            assert_eq!(damage.due(Some(AT), END, OnDamaged::Skip, now), DamageDue::Read(None), "{first} {last}");
        }
    }
}
