//! Which topics a source reads, as librdkafka chooses them. Pure.

use secrecy::ExposeSecret;

pub(super) use crate::config::pattern::LEFT_OUT;
use crate::config::pattern::Pattern;
use crate::config::plan::SourcePlan;

/// Kafka's own topics: `^.*` does not mean them.
const INTERNAL: &str = "^__consumer_offsets$,^__transaction_state$,^__share_group_state$";

/// Patterns of the topics that no pattern may match: the user's, and Kafka's own unless the source asks for such.
pub(super) fn left_out(plan: &SourcePlan) -> Option<String> {
    let asked_for = plan.topics.iter().any(|topic| topic.subscription().trim_start_matches('^').starts_with("__"));
    let own = (!asked_for).then(|| INTERNAL.to_owned());
    let users = plan.connection.properties.get(LEFT_OUT).map(|users| users.expose_secret().to_owned());
    let all: Vec<_> = own.into_iter().chain(users).filter(|patterns| !patterns.is_empty()).collect();
    (!all.is_empty()).then(|| all.join(","))
}

/// A choice among the topics of a cluster.
pub(super) struct TopicChoice {
    left_out: Vec<Pattern>,
}

impl TopicChoice {
    pub(super) fn new(plan: &SourcePlan) -> Self {
        let patterns = left_out(plan).unwrap_or_default();
        Self { left_out: patterns.split(',').filter_map(|pattern| Pattern::new(pattern).ok()).collect() }
    }

    /// Whether a topic of this name is there for the source.
    pub(super) fn takes(&self, name: &str) -> bool {
        !self.left_out.iter().any(|pattern| pattern.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::config::pattern::SourceTopic;
    use crate::config::plan::{KafkaConnection, OnDamaged, Start};

    fn plan(topics: &[&str], left_out: Option<&str>) -> SourcePlan {
        let properties: BTreeMap<_, _> =
            left_out.map(|patterns| (LEFT_OUT.to_owned(), patterns.into())).into_iter().collect();
        let topic = |text: &&str| match Pattern::new(text) {
            Ok(pattern) if text.starts_with('^') => SourceTopic::Pattern(Box::new(pattern)),
            Ok(_) | Err(_) => SourceTopic::from(*text),
        };
        SourcePlan {
            connection: KafkaConnection { name: "k".into(), brokers: vec!["h:1".into()], properties },
            topics: topics.iter().map(topic).collect(),
            group: "g".into(),
            instance_id: None,
            start: Start::Earliest,
            format: Default::default(),
            on_damaged: OnDamaged::Hold,
            revoke_timeout: Duration::from_secs(2),
            session_timeout: Duration::from_secs(45),
        }
    }

    #[test]
    fn kafkas_own_topics_are_read_only_by_who_asks_for_them() {
        let all = TopicChoice::new(&plan(&["^.*"], None));
        assert!(all.takes("orders") && all.takes("__mine") && !all.takes("__consumer_offsets"));
        for asked in ["__consumer_offsets", "^__.*", "^__consumer_offsets$"] {
            assert!(TopicChoice::new(&plan(&[asked], None)).takes("__consumer_offsets"), "{asked}");
            assert_eq!(left_out(&plan(&[asked], None)), None, "{asked}");
        }
        let users = TopicChoice::new(&plan(&["^o.*"], Some("^orders-test,internal")));
        assert!(!users.takes("orders-test-1") && !users.takes("an-internal-one") && users.takes("orders"));
        assert!(!users.takes("__transaction_state"));
    }
}
