//! Whether a topic is still the one it was: by its id, asked for every few seconds. Pure.
//!
//! An offset does not tell: in a topic made again and filled beyond the old position the client goes on at that position
//! without an error, and everything before it would never be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::librdkafka::TopicId;
use crate::mutants::{self, Mutant};

/// Between two questions.
const EVERY: Duration = Duration::from_secs(5);
/// Between two questions while something looks as if a topic was made again.
const SOON: Duration = Duration::from_millis(250);
/// How long seeks wait for an answer then.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// The ids of the topics we have partitions of.
#[derive(Debug, Default)]
pub struct TopicIds {
    known: BTreeMap<Arc<str>, TopicId>,
    asked: Option<Instant>,
    is_suspect: bool,
    /// A question was asked out of suspicion, and is not answered.
    doubted: Option<Instant>,
}

impl TopicIds {
    /// The assignment changed: ids of topics that are gone are forgotten, and the next question is due at once.
    pub fn assigned(&mut self, topics: &BTreeSet<Arc<str>>) {
        self.known.retain(|topic, _| topics.contains(topic));
        self.asked = None;
    }

    /// A partition went back, or its topic was gone for a while: the next question is due at once, and seeks wait for the
    /// answer. The ends do not tell: a topic made again is soon filled beyond our position, and what lies before it would be
    /// skipped, and committed.
    pub fn suspect(&mut self) {
        self.is_suspect = !mutants::on(Mutant::SuspectedTopicBelieved);
    }

    /// Whether an answer is awaited that may move every position.
    #[must_use]
    pub fn is_doubtful(&self, now: Instant) -> bool {
        self.is_suspect || self.doubted.is_some_and(|at| now < at + ANSWERED_WITHIN)
    }

    /// A question was answered, if only by an error.
    pub fn answered(&mut self) {
        self.doubted = None;
    }

    /// Whether a question is due; then it counts as asked.
    pub fn take_due(&mut self, now: Instant) -> bool {
        let wait = if self.is_suspect { SOON } else { EVERY };
        let due = self.asked.is_none_or(|at| at + wait <= now);
        if due {
            self.asked = Some(now);
            self.doubted = std::mem::take(&mut self.is_suspect).then_some(now).or(self.doubted);
        }
        due
    }

    /// A topic's id was told. Whether it is another topic than the one we knew by this name.
    pub fn told(&mut self, topic: &Arc<str>, id: TopicId) -> bool {
        self.known.insert(topic.clone(), id).is_some_and(|before| before != id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_id_is_another_topic_until_we_gave_the_topic_up() {
        let (mut ids, topic): (_, Arc<str>) = (TopicIds::default(), "t".into());
        assert!(!ids.told(&topic, TopicId::test(1)), "the first one heard of");
        assert!(!ids.told(&topic, TopicId::test(1)));
        assert!(ids.told(&topic, TopicId::test(2)));
        assert!(!ids.told(&topic, TopicId::test(2)), "told once");
        ids.assigned(&BTreeSet::from([topic.clone()]));
        assert!(ids.told(&topic, TopicId::test(3)), "still ours");
        ids.assigned(&BTreeSet::new());
        assert!(!ids.told(&topic, TopicId::test(4)), "others may have read it meanwhile");
    }

    #[test]
    fn asked_at_once_after_an_assignment_and_then_now_and_then() {
        let (mut ids, now) = (TopicIds::default(), Instant::now());
        assert!(ids.take_due(now));
        assert!(!ids.take_due(now));
        assert!(ids.take_due(now + EVERY));
        ids.assigned(&BTreeSet::new());
        assert!(ids.take_due(now));
    }

    #[test]
    fn asked_soon_after_something_looks_like_it() {
        let (mut ids, now) = (TopicIds::default(), Instant::now());
        assert!(ids.take_due(now));
        assert!(!ids.is_doubtful(now), "asked as always");
        ids.suspect();
        assert!(!ids.take_due(now), "an answer may be on its way");
        ids.answered();
        assert!(ids.is_doubtful(now), "that was the answer to an older question");
        assert!(ids.take_due(now + SOON));
        assert!(!ids.take_due(now + 2 * SOON), "suspected once, asked once");
        assert!(ids.is_doubtful(now + SOON) && !ids.is_doubtful(now + SOON + ANSWERED_WITHIN), "bounded");
        ids.answered();
        assert!(!ids.is_doubtful(now + SOON));
        assert!(ids.take_due(now + SOON + EVERY));
    }
}
