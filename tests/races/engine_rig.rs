//! The real engine on stand-ins.

use sluicegate::internals::config::plan::PipelinePlan;
use sluicegate::internals::model::Outcome;
use sluicegate::internals::pipeline::{Ending, Engine, EngineOptions};
use sluicegate::internals::source::Until;
use sluicegate::internals::testbed::bulk_endpoint::{BulkEndpoint, EndpointOptions};
use sluicegate_testkit::services::KafkaClient;

use super::plans;

/// One pipeline and the client for its input.
pub struct EngineRig {
    pub engine: Engine,
    pub client: KafkaClient,
    topic: String,
    group: String,
}

impl EngineRig {
    pub fn start(plan: PipelinePlan) -> Self {
        Self::start_until(plan, false)
    }

    /// `until_end`: stops at the ends pinned at start.
    pub fn start_until(plan: PipelinePlan, until_end: bool) -> Self {
        let client = KafkaClient::at(&plan.source.connection.brokers.join(","));
        Self::start_with(plan, client, until_end)
    }

    /// With a client that goes its own way to the brokers.
    pub fn start_beside(plan: PipelinePlan, brokers: &str) -> Self {
        Self::start_with(plan, KafkaClient::at(brokers), false)
    }

    fn start_with(plan: PipelinePlan, client: KafkaClient, until_end: bool) -> Self {
        let (topic, group) = (plan.source.topics[0].to_string(), plan.source.group.clone());
        let options = EngineOptions { until: until_end.then_some(Until::End), ..EngineOptions::default() };
        let engine = Engine::start(plans::plan(plan), options).expect("an engine");
        Self { engine, client, topic, group }
    }

    pub fn committed(&self) -> Vec<Option<i64>> {
        self.client.committed(&self.group, &self.topic).expect("committed positions")
    }

    pub fn assigned(&self) -> i64 {
        self.engine.board().pipelines[0].pipeline.metrics.assigned_partitions.get()
    }

    pub fn rewinds(&self) -> u64 {
        self.engine.board().pipelines[0].pipeline.metrics.rewinds.values().map(|counter| counter.get()).sum()
    }

    pub fn drain(self) -> Ending {
        self.engine.stop_handle().drain();
        self.engine.join()
    }

    pub fn abort(self) -> Ending {
        self.engine.stop_handle().abort();
        self.engine.join()
    }
}

/// How many records ended so.
pub fn count(ending: &Ending, outcome: Outcome) -> u64 {
    let tally = ending.tallies[0].tally;
    assert!(tally.holds(), "{tally:?}");
    tally.of(outcome)
}

/// An endpoint that keeps documents and notes every item.
pub fn endpoint() -> BulkEndpoint {
    BulkEndpoint::start(EndpointOptions { log: true, ..EndpointOptions::default() }).expect("an endpoint")
}
