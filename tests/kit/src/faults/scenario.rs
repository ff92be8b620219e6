//! The table of all scenarios. One line of it is one fault with everything a reader needs to judge its figures.

use super::stage::{Stage, Wants};
use super::{
    broker_faults, buffer_faults, clock_faults, damaged_log, group_faults, item_faults, kills, letter_faults,
    lookup_faults, real_faults, search_faults, topic_faults,
};

/// One fault.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its class, F1 to F33 of the list in perf/FAULTS.md.
    pub class: &'static str,
    /// How it is caused and how it ends.
    pub how: &'static str,
    /// Where it is played.
    pub on: On,
    /// What it needs.
    pub wants: fn() -> Wants,
    /// Causes it and ends it, with an engine running under load.
    pub play: fn(&mut Stage) -> anyhow::Result<()>,
    /// Why writes may come late under it, where nothing can be done about that. Only what the checker proves to be a
    /// late write is excused.
    pub limit: Option<&'static str>,
}

/// Where a scenario is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// In-process cluster and endpoint: may run beside others.
    Testbed,
    /// In-process endpoint, real Kafka that nobody breaks: may run beside others. (The in-process cluster lets a group
    /// wait for most of a session whenever it changes.)
    Broker,
    /// The same, and each run kills several times: counted by kills.
    Kills,
    /// Real Kafka, and Elasticsearch where named: one at a time.
    Real,
}

/// Every scenario, in the order of the report.
pub fn all() -> Vec<Scenario> {
    let rooms: [&[Scenario]; 12] = [
        kills::SCENARIOS,
        broker_faults::SCENARIOS,
        group_faults::SCENARIOS,
        item_faults::SCENARIOS,
        search_faults::SCENARIOS,
        lookup_faults::SCENARIOS,
        letter_faults::SCENARIOS,
        topic_faults::SCENARIOS,
        buffer_faults::SCENARIOS,
        clock_faults::SCENARIOS,
        real_faults::SCENARIOS,
        damaged_log::SCENARIOS,
    ];
    rooms.concat()
}

/// No needs.
pub fn plain() -> Wants {
    Wants::default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_a_class() {
        let all = all();
        let names: BTreeSet<&str> = all.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), all.len());
        for one in &all {
            assert!(one.class.starts_with('F') && !one.how.is_empty() && !one.how.contains('|'), "{}", one.name);
        }
    }
}
