//! What the engine of a history is configured to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::plan::{
    BreakerPlan, KafkaConnection, OnDamaged, OnHalt, OnReject, PipelinePlan, RetryPlan, SinkPlan, SourcePlan, Start,
};
use crate::model::MemoryShare;
use crate::sink::kafka::tests::sink_plan;

use super::kafka::TOPIC;

/// Backoffs, and a short patience.
pub fn retry() -> RetryPlan {
    RetryPlan {
        first: Duration::from_millis(20),
        max: Duration::from_millis(400),
        in_place: Duration::from_millis(600),
    }
}

/// A small pipeline: everything is full soon.
pub fn plan(span_records: usize, memory_bytes: usize, commit_interval: Duration, revoke: Duration) -> PipelinePlan {
    let connection = KafkaConnection { name: "up".into(), brokers: Vec::new(), properties: BTreeMap::new() };
    PipelinePlan {
        name: "simulated".into(),
        source: SourcePlan {
            connection: connection.clone(),
            topics: vec![TOPIC.into()],
            group: "simulated".into(),
            instance_id: None,
            start: Start::Earliest,
            format: Default::default(),
            on_damaged: OnDamaged::Hold,
            revoke_timeout: revoke,
            session_timeout: Duration::from_secs(10),
        },
        steps: Vec::new(),
        sink: SinkPlan::Kafka(sink_plan(connection, "out")),
        on_reject: OnReject::Drop,
        breaker: BreakerPlan { ratio: 1.0, window: 1_000_000, in_a_row: 1_000_000, count_redirected: false },
        retry: retry(),
        commit_interval,
        on_halt: OnHalt::Exit,
        span_records,
        value_bytes: 1 << 20,
        most_items: 10_000,
        memory: MemoryShare(memory_bytes),
        workers: 1,
    }
}
