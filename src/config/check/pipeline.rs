//! One pipeline: its components, and the rules between them.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::Checker;
use crate::config::plan::{BreakerPlan, OnReject, PipelinePlan, RetryPlan, SinkPlan, SourcePlan};
use crate::config::written::pipeline::{self, DeadLetter, Pipeline, Retry, SourceKeys};
use crate::leaf::quantity::{ByteSize, Interval};
use crate::leaf::tree::join;
use crate::model::MemoryShare;
use crate::preprocess::steps;

/// Largest message a broker takes unless it is told otherwise: what each fetch must be able to hold.
const LARGEST_MESSAGE_BYTES: usize = 1 << 20;
/// Most worker threads of a pipeline.
const MAX_WORKERS: usize = 256;

impl Checker<'_> {
    pub(super) fn pipeline(&self, name: &str, written: &Pipeline) -> Option<PipelinePlan> {
        let path = join("pipelines", name);
        self.time_zone(&format!("{path}.time_zone"), &written.time_zone);
        let SourceKeys::Kafka(source) = &written.source;
        let source = self.source(&format!("{path}.source.kafka"), source);
        let redis = |path: &str, name: &str| self.redis(path, name);
        self.has_routes.set(false);
        self.splits.set(0);
        self.explodes.set(false);
        let steps = steps::check(&written.steps, &format!("{path}.steps"), self, &redis);
        let sink = self.sink(&format!("{path}.sink"), &written.sink);
        let on_reject = self.on_reject(&format!("{path}.on_reject"), &written.on_reject);
        self.breaker(&format!("{path}.breaker"), &written.breaker);
        self.retry(&format!("{path}.retry"), &written.retry, sink.as_ref());
        self.commit(&format!("{path}.commit.interval"), written.commit.interval);
        let workers = self.workers(&format!("{path}.workers"), written.workers);
        let memory = self.share();
        self.memory(&path, memory, source.as_ref(), sink.as_ref());
        if let (Some(source), Some(SinkPlan::Elasticsearch(sink))) = (&source, &sink) {
            self.version_lines(&format!("{path}.sink.elasticsearch.version"), &source.topics, sink);
        }
        Some(PipelinePlan {
            name: Arc::from(name),
            source: source?,
            steps: steps?,
            sink: sink?,
            on_reject: on_reject?,
            breaker: written.breaker,
            retry: RetryPlan {
                first: written.retry.first.0,
                max: written.retry.max.0,
                in_place: written.retry.in_place.0,
            },
            commit_interval: written.commit.interval.0,
            on_halt: written.on_halt,
            span_records: self.written.limits.span,
            memory,
            value_bytes: usize::try_from(self.written.limits.value.0).unwrap_or(usize::MAX),
            most_items: self.written.limits.items,
            workers,
        })
    }

    /// From here on templates are of this zone.
    fn time_zone(&self, path: &str, name: &str) {
        let zone = if name == "UTC" { Ok(TimeZone::UTC) } else { TimeZone::get(name) };
        match zone {
            Ok(zone) => drop(self.zone.replace(zone)),
            Err(_) => self.error(
                path,
                format!("`{name}` is no time zone"),
                "write a name of the time zone database (tzdata), such as `Europe/Berlin` or `UTC`",
            ),
        }
    }

    fn on_reject(&self, path: &str, written: &pipeline::WrittenOnReject) -> Option<OnReject> {
        match written {
            pipeline::WrittenOnReject::Stop => Some(OnReject::Stop),
            pipeline::WrittenOnReject::Drop => Some(OnReject::Drop),
            pipeline::WrittenOnReject::DeadLetter(DeadLetter::Kafka(dead)) => {
                let path = format!("{path}.dead_letter.kafka");
                let connection = self.kafka(&format!("{path}.connection"), &dead.connection);
                let place = format!("{path}.topic");
                if dead.topic.contains(['{', '}']) {
                    self.error(
                        &place,
                        "the dead-letter topic is a name, not a template",
                        "write one topic; headers tell where a record came from",
                    );
                } else if dead.topic.is_empty() {
                    self.error(&place, "is empty", "name the topic for rejected records");
                } else {
                    self.topic_name(&place, &dead.topic);
                }
                let (topic, on_too_large) = (dead.topic.clone(), dead.on_too_large);
                Some(OnReject::DeadLetterKafka { connection: connection?, topic, on_too_large })
            }
            pipeline::WrittenOnReject::DeadLetter(DeadLetter::File(dead)) => {
                let place = format!("{path}.dead_letter.file.path");
                if dead.path.as_os_str().is_empty() || dead.path.is_dir() {
                    self.error(&place, "is not the path of a file", "write a path such as `dead.ndjson`");
                }
                Some(OnReject::DeadLetterFile { path: dead.path.clone() })
            }
        }
    }

    fn breaker(&self, path: &str, breaker: &BreakerPlan) {
        if !(breaker.ratio > 0.0 && breaker.ratio <= 1.0) {
            self.error(
                &format!("{path}.ratio"),
                "must be above 0 and at most 1",
                "write a share such as `0.1`; `1` never trips on the ratio",
            );
        }
        for (key, count) in [("window", breaker.window), ("in_a_row", breaker.in_a_row)] {
            if count == 0 {
                self.error(&format!("{path}.{key}"), "must be at least 1", "leave it out for the default");
            }
        }
    }

    fn retry(&self, path: &str, retry: &Retry, sink: Option<&SinkPlan>) {
        let bounds = [("first", retry.first, 60), ("max", retry.max, 3_600), ("in_place", retry.in_place, 86_400)];
        for (key, wait, most) in bounds {
            self.positive(&format!("{path}.{key}"), wait, Duration::from_secs(most));
        }
        if retry.first > retry.max {
            self.error(
                &format!("{path}.first"),
                format!("is longer than `max` ({})", retry.max),
                "lower `first` or raise `max`",
            );
        }
        let Some(connection) = sink.and_then(|sink| sink.server().search()) else { return };
        let least = connection.request_timeout * 2;
        if retry.in_place.0 < least {
            self.warn(
                &format!("{path}.in_place"),
                format!(
                    "is below 2 × `request_timeout` of `{}` ({}): one slow request would already send the partitions back",
                    connection.name,
                    Interval(connection.request_timeout)
                ),
                format!("write at least `{}`", Interval(least)),
            );
        }
    }

    fn commit(&self, path: &str, interval: Interval) {
        if interval.0 > Duration::from_secs(60) {
            self.warn(
                path,
                "more than a minute between commits: a crash repeats that much",
                "lower it; the default is `200ms`",
            );
        }
    }

    fn workers(&self, path: &str, workers: Option<usize>) -> usize {
        let workers = workers.unwrap_or_else(|| default_workers(self.surroundings.cores));
        if workers == 0 || workers > MAX_WORKERS {
            self.error(path, format!("must be from 1 to {MAX_WORKERS}"), "leave it out: one less than there are cores");
        }
        workers
    }

    /// A pipeline's share of `limits.memory`.
    fn share(&self) -> MemoryShare {
        let pipelines = self.written.pipelines.0.len().max(1) as u64;
        MemoryShare(usize::try_from(self.written.limits.memory.0 / pipelines).unwrap_or(usize::MAX))
    }

    /// The prefetch must take a message, and what is in flight a batch of every lane.
    fn memory(&self, path: &str, share: MemoryShare, source: Option<&SourcePlan>, sink: Option<&SinkPlan>) {
        let Some(source) = source else { return };
        let pipelines = self.written.pipelines.0.len();
        let of_all = |least: MemoryShare| rounded_up((least.0 as u64).saturating_mul(pipelines as u64));
        let brokers = source.connection.brokers.len();
        let least = MemoryShare::of_fetch_bytes(LARGEST_MESSAGE_BYTES, brokers);
        if share.0 < least.0 {
            self.error(
                "limits.memory",
                format!(
                    "{} shared by {pipelines} pipeline(s) leaves {path} {}, too little to fetch one message of 1MiB from {brokers} broker(s)",
                    self.written.limits.memory,
                    rounded(share.0 as u64)
                ),
                format!("write at least `{}`", of_all(least)),
            );
            return;
        }
        let Some(SinkPlan::Elasticsearch(sink)) = sink else { return };
        let wanted = sink.batch_bytes.saturating_mul(sink.lanes);
        let room = share.in_flight_bytes();
        if wanted > room {
            self.warn(
                &format!("{path}.sink.elasticsearch.batch.bytes"),
                format!(
                    "{} lanes of {} do not fit into the {} this pipeline has for records in flight",
                    sink.lanes,
                    ByteSize(sink.batch_bytes as u64),
                    rounded(room as u64)
                ),
                format!(
                    "lower `batch.bytes` or `lanes`, or write `limits: {{ memory: {} }}`",
                    of_all(MemoryShare::of_in_flight_bytes(wanted))
                ),
            );
        }
    }
}

/// One less than there are cores: the source thread and the sink need one.
#[must_use]
pub fn default_workers(cores: usize) -> usize {
    cores.saturating_sub(1).clamp(1, MAX_WORKERS)
}

fn rounded(bytes: u64) -> String {
    if bytes >= 1 << 20 { format!("{}MiB", bytes >> 20) } else { ByteSize(bytes).to_string() }
}

fn rounded_up(bytes: u64) -> String {
    format!("{}MiB", bytes.div_ceil(1 << 20))
}
