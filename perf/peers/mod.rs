//! Other programs that can do the same work, as a user would install them: Bento, rsyslog, sentry_arroyo, MirrorMaker
//! 2.
//!
//! Each has a folder here with its configuration and, where it needs one, its small main. README.md beside them says
//! which settings were chosen and why. They are built once, outside the checkout; one that cannot be had is left out,
//! and the report says why.

mod obtain;
mod start;

use std::collections::BTreeMap;

use sluicegate_testkit::services::mirror_maker::MirrorMaker;

use crate::expected::Values;
use crate::scenario::Scenario;

pub use start::{command, litter, target_topic};

/// A program beside the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// A Go module.
    Bento,
    /// Debian packages.
    Rsyslog,
    /// A crate with a main of ours.
    Arroyo,
    /// Java archives.
    Mirror,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bento, Self::Rsyslog, Self::Arroyo, Self::Mirror];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bento => "bento",
            Self::Rsyslog => "rsyslog",
            Self::Arroyo => "arroyo",
            Self::Mirror => "mirror-maker",
        }
    }

    /// The peer of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|peer| peer.name() == name)
    }

    /// What its guarantees are beside the engine's, for the report.
    pub fn guarantee(self) -> &'static str {
        match self {
            Self::Bento => "commits after delivery; a record is delivered at least once",
            Self::Rsyslog => {
                "commits **before** delivery: its input commits what was fetched by a timer, whatever is in its queue is lost \
                 with the process"
            }
            Self::Arroyo => {
                "commits **before** delivery: its step Produce hands a record to the client and counts it as done; a delivery \
                 that fails is lost"
            }
            Self::Mirror => "offsets are written after delivery; bytes are copied, `result` is not taken out",
        }
    }

    /// Whether an offset may be committed of a record that was not delivered.
    pub fn commits_before_delivery(self) -> bool {
        match self {
            Self::Rsyslog | Self::Arroyo => true,
            Self::Bento | Self::Mirror => false,
        }
    }

    /// What it makes of a record.
    pub fn values(self) -> Values {
        match self {
            Self::Mirror => Values::Whole,
            Self::Bento | Self::Rsyslog | Self::Arroyo => Values::Result,
        }
    }

    /// Records it gets beside `records` of the engine: a few seconds of its time.
    pub fn records(self, records: u64) -> u64 {
        let share = match self {
            Self::Bento | Self::Rsyslog => 6,
            Self::Mirror => 2,
            Self::Arroyo => 1,
        };
        (records / share).max(1_000)
    }

    /// How many times the engine's CPU for a record it is to need at least; `None` where it does not take part.
    pub fn goal(self, scenario: Scenario) -> Option<f64> {
        let (kafka, bulk) = match self {
            Self::Bento => (10.0, Some(24.0)),
            Self::Rsyslog => (6.0, Some(16.0)),
            Self::Arroyo => (1.9, None),
            Self::Mirror => (3.0, None),
        };
        match scenario {
            Scenario::PeersKafka => Some(kafka),
            Scenario::PeersBulk => bulk,
            Scenario::Consume
            | Scenario::Relay
            | Scenario::IndexStub
            | Scenario::IndexEs
            | Scenario::Lookups
            | Scenario::Outage
            | Scenario::Scale
            | Scenario::Latency
            | Scenario::Concurrency
            | Scenario::Memory
            | Scenario::Curves => None,
        }
    }
}

/// Whether a subject of this name is a peer.
pub fn is_name(subject: &str) -> bool {
    Peer::of(subject).is_some()
}

/// A peer that can be started.
pub struct Ready {
    /// Where it is.
    pub program: Program,
    /// What it is, with its client libraries where they are known.
    pub version: String,
}

/// How a peer is started.
pub enum Program {
    /// By its file.
    File(std::path::PathBuf),
    /// By Java.
    Java(MirrorMaker),
}

/// Those that can be had on this machine.
#[derive(Default)]
pub struct Peers {
    /// To start.
    pub ready: BTreeMap<Peer, Ready>,
    /// Why not, of the others.
    pub left_out: BTreeMap<Peer, String>,
}

impl Peers {
    /// Those of these scenarios that can be had; with `install`, Debian packages that are missing are installed.
    pub fn obtain(scenarios: &[Scenario], install: bool) -> Self {
        let mut peers = Self::default();
        let takes_part = |peer: &Peer| scenarios.iter().any(|scenario| peer.goal(*scenario).is_some());
        for peer in Peer::ALL.into_iter().filter(takes_part) {
            match obtain::obtain(peer, install) {
                Ok(ready) => {
                    peers.ready.insert(peer, ready);
                }
                Err(error) => {
                    eprintln!("{} is left out: {error:#}", peer.name());
                    // The whole chain may hold paths of this machine, which do not belong into the report.
                    peers.left_out.insert(peer, error.to_string());
                }
            }
        }
        peers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_short_work_is_work() {
        let names: std::collections::BTreeSet<&str> = Peer::ALL.iter().map(|peer| peer.name()).collect();
        assert_eq!(names.len(), Peer::ALL.len());
        for peer in Peer::ALL {
            assert!(peer.records(600_000) <= 600_000 && peer.records(1) == 1_000);
            assert_eq!(peer.guarantee().contains("**before**"), peer.commits_before_delivery(), "{peer:?}");
            assert!(peer.goal(Scenario::PeersKafka).is_some() && peer.goal(Scenario::Relay).is_none());
        }
    }
}
