//! The source of a pipeline.

use std::time::Duration;

use super::Checker;
use crate::config::pattern::{Pattern, SourceTopic};
use crate::config::plan::SourcePlan;
use crate::config::written::pipeline::KafkaSource;
use crate::leaf::format::{FieldOfValue, ValueFormat};

/// What brokers accept by default: `group.min.session.timeout.ms` and `group.max.session.timeout.ms`.
const SESSION: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(1_800));

impl Checker<'_> {
    pub(super) fn source(&self, path: &str, written: &KafkaSource) -> Option<SourcePlan> {
        let connection = self.kafka(&format!("{path}.connection"), &written.connection);
        let topics = self.topics(&format!("{path}.topics"), &written.topics);
        self.group(&format!("{path}.group"), &written.group);
        if written.instance_id.as_deref().is_some_and(|id| id.trim().is_empty()) {
            self.error(
                &format!("{path}.instance_id"),
                "is empty",
                "give each member a name of its own, or leave it out",
            );
        }
        if let ValueFormat::Text(FieldOfValue { field }) | ValueFormat::Bytes(FieldOfValue { field }) = &written.format
            && field.is_empty()
        {
            self.error(&format!("{path}.format"), "`field` is empty", "leave it out for the default of `message`");
        }
        let session = written.session_timeout.0;
        if session < SESSION.0 || session > SESSION.1 {
            self.error(
                &format!("{path}.session_timeout"),
                "must be from 6s to 30m, which is what brokers accept",
                "leave it out for the default of `45s`",
            );
        }
        let revoke = format!("{path}.revoke_timeout");
        if self.positive(&revoke, written.revoke_timeout, Duration::from_secs(60))
            && written.revoke_timeout.0 >= session
        {
            self.error(
                &revoke,
                format!("must be below `session_timeout` ({})", written.session_timeout),
                "the default is `2s`",
            );
        }
        Some(SourcePlan {
            connection: connection?,
            topics: topics?,
            group: written.group.clone(),
            instance_id: written.instance_id.clone(),
            start: written.start,
            format: written.format.clone(),
            on_damaged: written.on_damaged,
            revoke_timeout: written.revoke_timeout.0,
            session_timeout: session,
        })
    }

    fn topics(&self, path: &str, topics: &[String]) -> Option<Vec<SourceTopic>> {
        if topics.is_empty() {
            self.error(path, "the list is empty: nothing would be read", "name at least one topic");
        }
        for (number, topic) in topics.iter().enumerate() {
            if !topic.is_empty() && topics[..number].contains(topic) {
                self.warn(&format!("{path}[{number}]"), format!("`{topic}` is listed twice"), "remove one");
            }
        }
        let topics = topics.iter().enumerate();
        topics.map(|(number, topic)| self.topic(&format!("{path}[{number}]"), topic)).collect()
    }

    fn topic(&self, path: &str, topic: &str) -> Option<SourceTopic> {
        if topic.is_empty() || topic == "^" {
            self.error(path, "is empty", "name a topic, or write a pattern such as `^orders-.*`");
        } else if topic.starts_with('^') {
            return self.accept(path, Pattern::new(topic)).map(|pattern| SourceTopic::Pattern(Box::new(pattern)));
        } else if topic.contains([',', ';']) {
            self.error(path, "several topics in one text", "write a list: `[a, b]`");
        } else if topic.contains('*') {
            self.error(
                path,
                "wildcards need a pattern",
                format!("write `^{}$`", topic.replace('.', "\\.").replace('*', ".*")),
            );
        } else if topic.contains(['\\', '[', ']', '(', ')', '|', '+', '?', '$']) {
            self.error(path, "looks like a pattern, but patterns start with `^`", format!("write `^{topic}`"));
        } else if topic.contains('{') {
            self.error(
                path,
                "a source's topics are names, not templates",
                "name the topic, or write a pattern that starts with `^`",
            );
        } else {
            self.topic_name(path, topic);
        }
        Some(SourceTopic::from(topic))
    }

    fn group(&self, path: &str, group: &str) {
        if group.trim().is_empty() {
            self.error(path, "is empty: committed offsets are kept under the group's name", "name the group");
        } else if group.len() > 255 || group.contains(char::is_control) {
            self.error(path, "is not a name of at most 255 printable characters", "choose a short name");
        }
    }
}
