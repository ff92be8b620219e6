//! Rules between pipelines, and between a pipeline's input and its outputs: loops, and groups that divide a topic.

use super::Checker;
use crate::config::plan::{KafkaConnection, OnReject, PipelinePlan, SourcePlan};
use crate::leaf::tree::join;

/// How surely two topic names mean the same topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Overlap {
    No,
    /// A pattern that may match.
    Perhaps,
    Yes,
}

impl Checker<'_> {
    pub(super) fn overlaps(&self, pipelines: &[PipelinePlan]) {
        for (number, pipeline) in pipelines.iter().enumerate() {
            self.loops(pipeline);
            for earlier in &pipelines[..number] {
                self.shared_group(earlier, pipeline);
                self.shared_file(earlier, pipeline);
            }
        }
    }

    /// Two pipelines in one group would each get a part of the partitions.
    fn shared_group(&self, earlier: &PipelinePlan, later: &PipelinePlan) {
        let (first, second) = (&earlier.source, &later.source);
        if first.group != second.group || !same_cluster(&first.connection, &second.connection) {
            return;
        }
        let path = format!("{}.source.kafka.group", join("pipelines", &later.name));
        let overlap = first
            .topics
            .iter()
            .flat_map(|one| second.topics.iter().map(move |other| overlap(one.subscription(), other.subscription())))
            .max()
            .unwrap_or(Overlap::No);
        let group = &second.group;
        match overlap {
            Overlap::Yes => self.error(
                &path,
                format!("pipelines `{}` and `{}` read the same topic in the same group `{group}`: each would get only part of it", earlier.name, later.name),
                "give each pipeline a group of its own",
            ),
            Overlap::Perhaps | Overlap::No => self.warn(
                &path,
                format!("pipelines `{}` and `{}` share the group `{group}`: each start or stop of one disturbs the other", earlier.name, later.name),
                "give each pipeline a group of its own",
            ),
        }
    }

    /// Two writers of one dead-letter file would mix their lines.
    fn shared_file(&self, earlier: &PipelinePlan, later: &PipelinePlan) {
        if let (OnReject::DeadLetterFile { path: first }, OnReject::DeadLetterFile { path: second }) =
            (&earlier.on_reject, &later.on_reject)
            && first == second
        {
            self.error(
                &format!("{}.on_reject.dead_letter.file.path", join("pipelines", &later.name)),
                format!("pipelines `{}` and `{}` write the same file", earlier.name, later.name),
                "give each pipeline a file of its own",
            );
        }
    }

    /// What a pipeline writes must not come back as its input.
    fn loops(&self, pipeline: &PipelinePlan) {
        let base = join("pipelines", &pipeline.name);
        let output = pipeline.sink.fixed_topic();
        if let Some((connection, topic)) = output {
            let path = format!("{base}.sink.kafka.topic");
            self.comes_back(&path, "the output topic", topic, connection, &pipeline.source);
        }
        if let OnReject::DeadLetterKafka { connection, topic, .. } = &pipeline.on_reject {
            let path = format!("{base}.on_reject.dead_letter.kafka.topic");
            self.comes_back(&path, "the dead-letter topic", topic, connection, &pipeline.source);
            if output.is_some_and(|(target, output)| output == topic && same_cluster(target, connection)) {
                self.error(
                    &path,
                    format!("`{topic}` is also the output topic: rejects would mix with results"),
                    "use a topic of its own",
                );
            }
        }
    }

    fn comes_back(&self, path: &str, what: &str, topic: &str, connection: &KafkaConnection, source: &SourcePlan) {
        if !same_cluster(connection, &source.connection) {
            return;
        }
        match source.topics.iter().map(|input| overlap(input.subscription(), topic)).max() {
            Some(Overlap::Yes) => self.error(
                path,
                format!("{what} `{topic}` is also an input of this pipeline: records would go round for ever"),
                "use another topic, or another connection",
            ),
            Some(Overlap::Perhaps) => self.warn(
                path,
                format!(
                    "{what} `{topic}` may match a pattern of this pipeline's input: records would go round for ever"
                ),
                "choose a topic that no pattern of `topics` matches",
            ),
            Some(Overlap::No) | None => {}
        }
    }
}

/// Same connection, or a broker in common.
fn same_cluster(first: &KafkaConnection, second: &KafkaConnection) -> bool {
    first.name == second.name || first.brokers.iter().any(|broker| second.brokers.contains(broker))
}

fn overlap(first: &str, second: &str) -> Overlap {
    if first == second {
        return Overlap::Yes;
    }
    match (first.strip_prefix('^'), second.strip_prefix('^')) {
        (None, None) => Overlap::No,
        (Some(pattern), None) => starts_like(second, fixed_prefix(pattern)),
        (None, Some(pattern)) => starts_like(first, fixed_prefix(pattern)),
        (Some(one), Some(other)) => {
            let (one, other) = (fixed_prefix(one), fixed_prefix(other));
            starts_like(&one, other.clone()).max(starts_like(&other, one.clone()))
        }
    }
}

fn starts_like(name: &str, prefix: String) -> Overlap {
    if name.starts_with(&prefix) { Overlap::Perhaps } else { Overlap::No }
}

/// What every match of a pattern starts with.
fn fixed_prefix(pattern: &str) -> String {
    if pattern.contains('|') {
        return String::new();
    }
    let mut prefix = String::new();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        let literal = match character {
            '\\' => match characters.next() {
                Some(escaped) if !escaped.is_ascii_alphanumeric() => escaped,
                Some(_) | None => break,
            },
            '.' | '[' | '(' | '*' | '+' | '?' | '{' | '$' | '^' => break,
            other => other,
        };
        if matches!(characters.peek(), Some('*' | '?' | '{')) {
            break;
        }
        prefix.push(literal);
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns() {
        let table = [
            ("a", "a", Overlap::Yes),
            ("a", "b", Overlap::No),
            ("^a-.*", "a-1", Overlap::Perhaps),
            ("^a-.*", "b-1", Overlap::No),
            ("a.b", "^a\\.b.*", Overlap::Perhaps),
            ("axb", "^a\\.b.*", Overlap::No),
            ("^(a|b)", "c", Overlap::Perhaps),
            ("^ab*", "a", Overlap::Perhaps),
            ("^a.*", "^ab.*", Overlap::Perhaps),
            ("^a.*", "^b.*", Overlap::No),
        ];
        for (first, second, expected) in table {
            assert_eq!(overlap(first, second), expected, "{first} {second}");
            assert_eq!(overlap(second, first), expected, "{second} {first}");
        }
    }
}
