//! What is measured: a question, a goal and a topology each. The texts are files, for the report and for people.

use crate::peers::Peer;
use crate::subject::Subject;

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Kafka to nothing.
    Consume,
    /// Kafka to Kafka.
    Relay,
    /// Kafka to a bulk endpoint that costs next to nothing.
    IndexStub,
    /// Kafka to Elasticsearch 6.8.2.
    IndexEs,
    /// Look-ups in Redis on the way to that endpoint.
    Lookups,
    /// Kafka to Kafka, beside other programs.
    PeersKafka,
    /// Kafka to a bulk endpoint, beside other programs.
    PeersBulk,
    /// The sink goes away with a backlog behind the engine.
    Outage,
    /// Partitions, lengths, two processes.
    Scale,
    /// An open loop at half of the maximum, and a stall.
    Latency,
    /// A server that refuses more than so many requests at once.
    Concurrency,
    /// Both pipelines in one process, many records, memory over time.
    Memory,
    /// One setting after the other.
    Curves,
}

impl Scenario {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 13] = [
        Self::Consume,
        Self::Relay,
        Self::IndexStub,
        Self::IndexEs,
        Self::Lookups,
        Self::PeersKafka,
        Self::PeersBulk,
        Self::Outage,
        Self::Scale,
        Self::Latency,
        Self::Concurrency,
        Self::Memory,
        Self::Curves,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Consume => "consume",
            Self::Relay => "relay",
            Self::IndexStub => "index-stub",
            Self::IndexEs => "index-es",
            Self::Lookups => "lookups",
            Self::PeersKafka => "peers-kafka",
            Self::PeersBulk => "peers-bulk",
            Self::Outage => "outage",
            Self::Scale => "scale",
            Self::Latency => "latency",
            Self::Concurrency => "concurrency",
            Self::Memory => "memory",
            Self::Curves => "curves",
        }
    }

    /// Records the engine gets when nothing else is asked for.
    pub fn records(self) -> u64 {
        match self {
            Self::Consume | Self::Relay | Self::IndexStub | Self::Outage => 1_000_000,
            // So many that the first sight of each user, and the start, are a small part.
            Self::Lookups => 1_500_000,
            Self::PeersKafka | Self::PeersBulk => 600_000,
            // The server is the limit, for all: 20 s or so.
            Self::IndexEs => 100_000,
            Self::Scale => 1_000_000,
            Self::Memory => 5_000_000,
            // As many as come in their seconds.
            Self::Latency | Self::Concurrency => 0,
            // Of the usual size; as many bytes at every other one.
            Self::Curves => 200_000,
        }
    }

    /// Records the script gets beside `records` of the engine: a few seconds of its time.
    pub fn script_records(self, records: u64) -> u64 {
        match self {
            Self::IndexEs => (records / 50).clamp(500, 20_000),
            Self::Consume
            | Self::Relay
            | Self::IndexStub
            | Self::Lookups
            | Self::PeersKafka
            | Self::PeersBulk
            | Self::Outage
            | Self::Scale
            | Self::Latency
            | Self::Concurrency
            | Self::Memory
            | Self::Curves => (records / 200).clamp(500, 20_000),
        }
    }

    /// Minutes after which no further round begins; all of them together leave room for the servers' starts within an
    /// hour.
    pub fn minutes(self) -> f64 {
        match self {
            Self::Consume => 2.0,
            Self::Relay => 6.0,
            Self::IndexStub => 5.0,
            Self::IndexEs => 6.0,
            Self::Lookups => 3.0,
            Self::PeersKafka => 3.0,
            Self::PeersBulk => 2.0,
            Self::Outage => 2.0,
            Self::Scale => 4.0,
            Self::Latency => 2.0,
            Self::Concurrency => 2.0,
            Self::Memory => 1.0,
            Self::Curves => 5.0,
        }
    }

    /// Who runs, in the order of half a round; empty where the scenario has an order of its own.
    pub fn subjects(self) -> &'static [Subject] {
        match self {
            Self::Consume => &[Subject::EngineSource, Subject::RawSum, Subject::RawPoll],
            Self::Relay => &[Subject::Engine, Subject::RawResult, Subject::RawCopy, Subject::Script],
            Self::IndexStub => &[Subject::Engine, Subject::RawBulk, Subject::Replay, Subject::Script],
            Self::IndexEs => &[Subject::Engine, Subject::Replay, Subject::Script],
            Self::Lookups => &[Subject::Engine, Subject::WarmLookups, Subject::ColdLookups],
            Self::PeersKafka => &[
                Subject::Peer(Peer::Mirror),
                Subject::Peer(Peer::Bento),
                Subject::Peer(Peer::Rsyslog),
                Subject::Peer(Peer::Arroyo),
                Subject::Engine,
            ],
            Self::PeersBulk => &[Subject::Peer(Peer::Bento), Subject::Peer(Peer::Rsyslog), Subject::Engine],
            Self::Outage | Self::Scale | Self::Latency | Self::Concurrency | Self::Memory | Self::Curves => &[],
        }
    }

    /// Whether other programs take part.
    pub fn has_peers(self) -> bool {
        self.subjects().iter().any(|subject| matches!(subject, Subject::Peer(_)))
    }

    /// Question, goal, topology and what limits it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Consume => include_str!("scenarios/consume.md"),
            Self::Relay => include_str!("scenarios/relay.md"),
            Self::IndexStub => include_str!("scenarios/index-stub.md"),
            Self::IndexEs => include_str!("scenarios/index-es.md"),
            Self::Lookups => include_str!("scenarios/lookups.md"),
            Self::PeersKafka => include_str!("scenarios/peers-kafka.md"),
            Self::PeersBulk => include_str!("scenarios/peers-bulk.md"),
            Self::Outage => include_str!("scenarios/outage.md"),
            Self::Scale => include_str!("scenarios/scale.md"),
            Self::Latency => include_str!("scenarios/latency.md"),
            Self::Concurrency => include_str!("scenarios/concurrency.md"),
            Self::Memory => include_str!("scenarios/memory.md"),
            Self::Curves => include_str!("scenarios/curves.md"),
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

    #[test]
    fn who_takes_part_has_a_goal() {
        for scenario in Scenario::ALL {
            for subject in scenario.subjects() {
                let Subject::Peer(peer) = subject else { continue };
                assert!(peer.goal(scenario).is_some(), "{} in {}", peer.name(), scenario.name());
            }
            let with_goal = Peer::ALL.iter().filter(|peer| peer.goal(scenario).is_some()).count();
            let taking_part = scenario.subjects().iter().filter(|one| matches!(one, Subject::Peer(_))).count();
            assert_eq!(with_goal, taking_part, "{}", scenario.name());
        }
    }

    #[test]
    fn all_of_them_end_within_an_hour() {
        let minutes: f64 = Scenario::ALL.into_iter().map(Scenario::minutes).sum();
        assert!(minutes <= 45.0, "{minutes}: no room for servers, fillings and the rounds that are on their way");
    }
}
