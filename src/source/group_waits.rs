//! What a member waits for that is its group's matter: a first assignment, and the answer to a commit. Pure.

use std::time::{Duration, Instant};

use super::statistics::GroupState;

/// Waits up to this are those of every start and every rebalance.
const USUAL: Duration = Duration::from_secs(5);

/// What is waited for, and what the client last said of the group.
#[derive(Debug)]
pub struct GroupWaits {
    /// Since when there is no assignment.
    unassigned_since: Option<Instant>,
    group: Option<GroupState>,
    /// What was last said, to say it anew only when it changes.
    said: Option<String>,
}

/// A question to the group's coordinator that has no answer, and since when.
#[derive(Debug, Clone, Copy)]
pub enum Unanswered {
    /// A commit was sent.
    Commit(Instant),
    /// Where an assignment is to begin.
    Offsets(Instant),
}

/// What is to be said of a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    /// What was said is still true, or there is nothing to say.
    Nothing,
    /// This.
    Alert(String),
    /// The wait is over.
    Over,
}

impl GroupWaits {
    /// A member that starts.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { unassigned_since: Some(now), group: None, said: None }
    }

    /// The group has given us something, perhaps nothing.
    pub fn assigned(&mut self) {
        self.unassigned_since = None;
    }

    /// Everything was given up, or lost: the group is to say what follows.
    pub fn unassigned(&mut self, now: Instant) {
        self.unassigned_since.get_or_insert(now);
    }

    /// What the client's statistics say of the group.
    pub fn told(&mut self, group: Option<GroupState>) {
        self.group = group.or(self.group.take());
    }

    /// What is to be said now.
    pub fn say(&mut self, group: &str, session_timeout: Duration, unanswered: Option<Unanswered>, now: Instant) -> Say {
        let long = |since: Instant| Some(now.saturating_duration_since(since)).filter(|waited| *waited >= USUAL);
        let text = match (self.unassigned_since.and_then(long), unanswered) {
            (Some(waited), _) => Some(self.no_assignment(group, session_timeout, waited)),
            (None, Some(Unanswered::Commit(since))) => {
                long(since).map(|waited| self.no_answer(group, session_timeout, waited))
            }
            (None, Some(Unanswered::Offsets(since))) => long(since).map(|waited| self.no_offsets(group, waited)),
            (None, None) => None,
        };
        if text == self.said {
            return Say::Nothing;
        }
        self.said.clone_from(&text);
        text.map_or(Say::Over, Say::Alert)
    }

    fn no_assignment(&self, group: &str, session_timeout: Duration, waited: Duration) -> String {
        let waited = rounded(waited);
        match &self.group {
            Some(state) if state.is_joining() => format!(
                "no partitions for {waited}: the group `{group}` waits for a member that vanished or does not give its \
                 partitions up, at most {session_timeout:?} (`session_timeout`)"
            ),
            Some(state) if state.has_coordinator() => {
                format!("no partitions for {waited}: the group `{group}` has not answered ({state})")
            }
            Some(state) => {
                format!("no partitions for {waited}: the coordinator of group `{group}` is not there ({state})")
            }
            None => format!("no partitions for {waited}: the brokers have said nothing of group `{group}`"),
        }
    }

    fn no_offsets(&self, group: &str, waited: Duration) -> String {
        let (waited, state) =
            (rounded(waited), self.group.as_ref().map_or_else(String::new, |state| format!(" ({state})")));
        format!(
            "asked for {waited} where group `{group}` is in its new partitions: the coordinator does not answer{state}, and \
             nothing is read of them before"
        )
    }

    fn no_answer(&self, group: &str, session_timeout: Duration, waited: Duration) -> String {
        let waited = rounded(waited);
        match &self.group {
            Some(state) if state.is_joining() => format!(
                "commits unanswered for {waited}: a rebalance of group `{group}` is under way; it waits for a member that \
                 vanished or does not give its partitions up, at most {session_timeout:?} (`session_timeout`)"
            ),
            Some(state) => {
                format!("commits unanswered for {waited}: the coordinator of group `{group}` does not answer ({state})")
            }
            None => format!("commits unanswered for {waited}: the coordinator of group `{group}` does not answer"),
        }
    }
}

/// In steps of five seconds, so that a wait is not a new alert each second.
fn rounded(waited: Duration) -> String {
    format!("{} s", waited.as_secs() / 5 * 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Duration = Duration::from_secs(45);

    fn state(state: &str, join_state: &str) -> Option<GroupState> {
        Some(GroupState { state: state.into(), join_state: join_state.into() })
    }

    fn alert(waits: &mut GroupWaits, unanswered: Option<Unanswered>, now: Instant) -> String {
        match waits.say("g", SESSION, unanswered, now) {
            Say::Alert(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_member_without_an_assignment_says_for_what_it_waits() {
        let start = Instant::now();
        for (group, wanted) in [
            (None, "the brokers have said nothing of group `g`"),
            (state("wait-coord", "init"), "the coordinator of group `g` is not there (wait-coord, init)"),
            (state("up", "init"), "the group `g` has not answered (up, init)"),
            (
                state("up", "wait-join"),
                "waits for a member that vanished or does not give its partitions up, at most 45s",
            ),
            (state("up", "wait-sync"), "waits for a member that vanished"),
        ] {
            let mut waits = GroupWaits::new(start);
            waits.told(group);
            assert_eq!(waits.say("g", SESSION, None, start + Duration::from_millis(4999)), Say::Nothing);
            let text = alert(&mut waits, None, start + USUAL);
            assert!(text.contains(wanted) && text.contains("no partitions for 5 s"), "{text}");
            assert_eq!(waits.say("g", SESSION, None, start + USUAL + Duration::from_secs(1)), Say::Nothing, "said");
            assert!(alert(&mut waits, None, start + 2 * USUAL).contains("for 10 s"));
            waits.assigned();
            assert_eq!(waits.say("g", SESSION, None, start + 2 * USUAL), Say::Over);
            assert_eq!(waits.say("g", SESSION, None, start + 20 * USUAL), Say::Nothing);
            waits.unassigned(start + 20 * USUAL);
            assert!(alert(&mut waits, None, start + 21 * USUAL).contains("no partitions for 5 s"), "all were lost");
        }
    }

    #[test]
    fn a_commit_without_an_answer_is_named_after_five_seconds_and_when_it_came() {
        let start = Instant::now();
        let mut waits = GroupWaits::new(start);
        waits.assigned();
        let commit = |since| Some(Unanswered::Commit(since));
        assert_eq!(waits.say("g", SESSION, commit(start), start + Duration::from_secs(4)), Say::Nothing);
        waits.told(state("up", "wait-join"));
        let text = alert(&mut waits, commit(start), start + USUAL);
        assert!(text.starts_with("commits unanswered for 5 s: a rebalance of group `g` is under way"), "{text}");
        waits.told(state("up", "steady"));
        waits.told(None);
        let text = alert(&mut waits, commit(start), start + USUAL);
        assert!(text.contains("does not answer (up, steady)"), "{text}");
        assert_eq!(waits.say("g", SESSION, commit(start + 2 * USUAL), start + 2 * USUAL), Say::Over);
        let offsets = Some(Unanswered::Offsets(start));
        assert_eq!(waits.say("g", SESSION, offsets, start + Duration::from_secs(4)), Say::Nothing);
        let text = alert(&mut waits, offsets, start + USUAL);
        assert!(text.contains("where group `g` is") && text.contains("does not answer (up, steady)"), "{text}");
        assert_eq!(waits.say("g", SESSION, None, start + USUAL), Say::Over);
    }
}
