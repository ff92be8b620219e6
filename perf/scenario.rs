//! What is measured: a question, a goal and a topology each. The texts are files, for the report and for people.

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Kafka to Kafka.
    Relay,
    /// Kafka to a bulk endpoint that costs next to nothing.
    IndexStub,
    /// Kafka to Elasticsearch 6.8.2.
    IndexEs,
    /// Both pipelines in one process, many records, memory over time.
    Memory,
}

impl Scenario {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 4] = [Self::Relay, Self::IndexStub, Self::IndexEs, Self::Memory];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::IndexStub => "index-stub",
            Self::IndexEs => "index-es",
            Self::Memory => "memory",
        }
    }

    /// Records the engine gets when nothing else is asked for.
    pub fn records(self) -> u64 {
        match self {
            Self::Relay | Self::IndexStub => 1_000_000,
            // The server is the limit, for both: 20 s or so.
            Self::IndexEs => 100_000,
            Self::Memory => 5_000_000,
        }
    }

    /// Records the script gets beside `records` of the engine: a few seconds of its time.
    pub fn script_records(self, records: u64) -> u64 {
        match self {
            Self::Relay | Self::IndexStub | Self::Memory => (records / 200).clamp(500, 20_000),
            Self::IndexEs => (records / 50).clamp(500, 20_000),
        }
    }

    /// Question, goal, topology and what limits it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Relay => include_str!("scenarios/relay.md"),
            Self::IndexStub => include_str!("scenarios/index-stub.md"),
            Self::IndexEs => include_str!("scenarios/index-es.md"),
            Self::Memory => include_str!("scenarios/memory.md"),
        }
    }

    /// The first line of its text.
    pub fn question(self) -> &'static str {
        self.text().lines().next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_asks_first_and_has_goal_and_topology() {
        for scenario in Scenario::ALL {
            assert!(scenario.question().ends_with('?'), "{}", scenario.name());
            for word in ["**Goal.**", "**Topology.**", "**Limit.**"] {
                assert!(scenario.text().contains(word), "{} lacks {word}", scenario.name());
            }
        }
    }
}
