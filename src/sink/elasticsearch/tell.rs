//! Tells the rest of the pipeline what a lane decided: settlements, rejects, counts and latencies.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::Report;
use crate::telemetry::latency::Stage;

use super::answer::Aside;
use super::op::Effects;
use super::shared::LanesShared;

impl LanesShared {
    /// What left a lane is no longer waiting in the sink.
    pub fn count_left(&self, effects: &Effects) {
        self.ctx.pipeline.metrics.queue_records.add(-i64::from(effects.left));
        self.ctx.pipeline.metrics.queue_bytes.add(-effects.left_bytes);
    }

    /// Settles, files and counts what a lane decided.
    pub fn pass_on(&self, effects: Effects) {
        let ctx = &self.ctx;
        ctx.pipeline.metrics.retries.add(u64::from(effects.resent));
        for ((status, kind), errors) in &effects.item_errors {
            ctx.pipeline.metrics.sink_item_errors.count(*status, kind, *errors);
        }
        self.count_left(&effects);
        let now = Instant::now();
        for group in &effects.sent {
            ctx.pipeline.latency.record(Stage::SinkWait, now - group.batch.arrived, u64::from(group.records));
        }
        let mut passed = 0;
        let now_ms = unix_ms();
        for group in &effects.acknowledged {
            passed += group.records;
            ctx.pipeline.latency.record(Stage::EndToEnd, now - group.batch.polled, u64::from(group.records));
            if let Some(oldest) = group.batch.oldest_timestamp_ms {
                let age = Duration::from_millis(u64::try_from(now_ms - oldest).unwrap_or(0));
                ctx.pipeline.latency.record(Stage::Age, age, u64::from(group.records));
            }
        }
        if passed > 0 {
            ctx.pipeline.metrics.last_delivered_ms.set(now_ms);
            ctx.desk.passed(passed.saturating_sub(effects.redirected.len() as u32));
        }
        for (place, aside) in &effects.redirected {
            ctx.desk.redirected(*place, where_it_is(*aside));
        }
        if !effects.parts.is_empty() {
            ctx.report(Report::Settled(effects.parts));
        }
        for refusal in effects.refusals {
            ctx.desk.file(refusal.place, refusal.reject, refusal.original);
        }
    }
}

fn where_it_is(aside: Aside) -> &'static str {
    match aside {
        Aside::FailureStore => {
            "put into the failure store of its data stream, because the document does not fit; it is found with \
             `GET {stream}::failures/_search`"
        }
        Aside::Dropped => "dropped by an ingest pipeline",
    }
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
