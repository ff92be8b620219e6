//! Whether a topic is still the one it was: by its id, asked for every few seconds. Pure.
//!
//! An offset does not tell: in a topic made again and filled beyond the old position the client goes on at that position
//! without an error, and everything before it would never be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::librdkafka::TopicId;

/// Between two questions.
const EVERY: Duration = Duration::from_secs(5);

/// The ids of the topics we have partitions of.
#[derive(Debug, Default)]
pub struct TopicIds {
    known: BTreeMap<Arc<str>, TopicId>,
    not_before: Option<Instant>,
}

impl TopicIds {
    /// The assignment changed: ids of topics that are gone are forgotten, and the next question is due at once.
    pub fn assigned(&mut self, topics: &BTreeSet<Arc<str>>) {
        self.known.retain(|topic, _| topics.contains(topic));
        self.not_before = None;
    }

    /// Whether a question is due; then it counts as asked.
    pub fn take_due(&mut self, now: Instant) -> bool {
        let due = self.not_before.is_none_or(|at| at <= now);
        if due {
            self.not_before = Some(now + EVERY);
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
}
