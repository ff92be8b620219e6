//! What is driven: one pipeline, the topic it reads, and where records are produced into.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::SecretString;
use serde_json::Value;

use super::BenchArgs;
use crate::cli::builtin::{self, Addresses, INDEX, INDEX_TOPIC, OUTPUT_TOPIC, PARTITIONS, RELAY, RELAY_TOPIC};
use crate::cli::{Failure, Global};
use crate::config::pattern::SourceTopic;
use crate::config::plan::{PipelinePlan, Plan, Start};
use crate::config::show;
use crate::enrich::Lookups;
use crate::testbed::bulk_endpoint::{BulkEndpoint, EndpointOptions, ScriptedFault};
use crate::testbed::feeder::{FeedPlan, WINDOW_BYTES, partitions_of};
use crate::testbed::generator::{Generator, LoadShape};
use crate::testbed::kafka::MockKafka;

/// See the module.
pub(super) struct BenchTarget {
    pub(super) pipeline: String,
    pub(super) plan: Plan,
    pub(super) settings: Value,
    pub(super) brokers: String,
    pub(super) feed: FeedPlan,
    pub(super) generator: Arc<Generator>,
    /// From memory, in the testbed.
    pub(super) lookups: Option<Arc<Lookups>>,
    pub(super) testbed: Option<Testbed>,
    pub(super) args: BenchArgs,
}

/// The servers in this process.
pub(super) struct Testbed {
    /// Kept for its brokers.
    _upstream: MockKafka,
    downstream: MockKafka,
    endpoint: BulkEndpoint,
    to_kafka: bool,
}

impl BenchTarget {
    /// The pipeline of the configuration, or a built-in one with servers of its own.
    ///
    /// # Errors
    /// What cannot be benched, and why; or servers that do not start.
    pub(super) fn open(global: &Global, args: &BenchArgs) -> Result<Self, Failure> {
        if global.config.is_empty() { Self::built_in(global, args) } else { Self::configured(global, args) }
    }

    fn built_in(global: &Global, args: &BenchArgs) -> Result<Self, Failure> {
        let (pipeline, topic) = match args.pipeline.as_deref() {
            None | Some(RELAY) => (RELAY, RELAY_TOPIC),
            Some(INDEX) => (INDEX, INDEX_TOPIC),
            Some(other) => {
                let message = format!("there is no built-in pipeline `{other}`: {RELAY} and {INDEX} are; or give -c");
                return Err(Failure::Usage(message));
            }
        };
        let upstream = MockKafka::start(&[(topic, PARTITIONS)]).map_err(failed)?;
        let downstream = MockKafka::start(&[(OUTPUT_TOPIC, PARTITIONS)]).map_err(failed)?;
        let endpoint =
            BulkEndpoint::start(EndpointOptions { store: false, ..EndpointOptions::default() }).map_err(failed)?;
        if args.sink_delay_ms > 0 {
            endpoint.always(Some(ScriptedFault::Delay(Duration::from_millis(args.sink_delay_ms))));
        }
        endpoint.limit_requests(args.sink_requests);
        let addresses =
            Addresses { upstream: upstream.brokers(), downstream: downstream.brokers(), search: &endpoint.url() };
        let loaded = builtin::load(&addresses, &[pipeline], &global.set).map_err(Failure::Config)?;
        let generator = generator(args);
        Ok(Self {
            pipeline: pipeline.to_owned(),
            settings: show::json(&loaded),
            plan: loaded.plan,
            brokers: upstream.brokers().to_owned(),
            feed: FeedPlan { window_bytes: WINDOW_BYTES, ..FeedPlan::new(topic, PARTITIONS, u64::MAX) },
            lookups: Some(Lookups::in_memory(vec![generator.lookup_table()])),
            generator,
            testbed: Some(Testbed { _upstream: upstream, downstream, endpoint, to_kafka: pipeline == RELAY }),
            args: args.clone(),
        })
    }

    fn configured(global: &Global, args: &BenchArgs) -> Result<Self, Failure> {
        if args.sink_delay_ms > 0 || args.sink_requests.is_some() || args.sink_stall_ms.is_some() {
            let message = "--sink-delay-ms, --sink-requests and --sink-stall-ms are for the servers of this process";
            return Err(Failure::Usage(format!("{message}: leave them or -c away")));
        }
        let loaded = global.load_to_run()?;
        let settings = show::json(&loaded);
        let mut plan = loaded.plan;
        let chosen = choose(&mut plan, args.pipeline.as_deref()).map_err(Failure::Usage)?;
        let topic = only_topic(chosen).map_err(Failure::Usage)?;
        if !args.produce {
            return Err(Failure::Usage(what_it_would_do(chosen, &topic)));
        }
        read_alone(chosen);
        let (pipeline, connection) = (chosen.name.to_string(), chosen.source.connection.clone());
        // The same addresses may be taken by the process that runs this configuration for real.
        plan.listen = None;
        let brokers = connection.brokers.join(",");
        let partitions = partitions_of(&brokers, &topic, &connection.properties).map_err(failed)?;
        let properties: BTreeMap<String, SecretString> = connection.properties;
        let feed = FeedPlan { window_bytes: usize::MAX, properties, ..FeedPlan::new(&topic, partitions, u64::MAX) };
        let generator = generator(args);
        Ok(Self {
            pipeline,
            plan,
            settings,
            brokers,
            feed,
            generator,
            lookups: None,
            testbed: None,
            args: args.clone(),
        })
    }
}

fn failed(error: impl ToString) -> Failure {
    Failure::unexpected(format!("bench: {}", error.to_string()))
}

fn generator(args: &BenchArgs) -> Arc<Generator> {
    let value_bytes = args.record_bytes as usize;
    Arc::new(Generator::new(LoadShape { seed: args.seed, keys: args.keys, value_bytes, ..LoadShape::default() }))
}

/// Leaves only the pipeline named, or the only one, in the plan.
fn choose<'a>(plan: &'a mut Plan, name: Option<&str>) -> Result<&'a mut PipelinePlan, String> {
    let known = plan.pipelines.iter().map(|one| one.name.to_string()).collect::<Vec<_>>().join(", ");
    if let Some(name) = name {
        plan.pipelines.retain(|one| *one.name == *name);
    }
    match plan.pipelines.as_mut_slice() {
        [one] => Ok(one),
        [] => Err(format!("there is no such pipeline; the configuration has: {known}")),
        _ => Err(format!("name one of the pipelines with --pipeline: {known}")),
    }
}

fn only_topic(pipeline: &PipelinePlan) -> Result<String, String> {
    match pipeline.source.topics.as_slice() {
        [SourceTopic::Name(topic)] => Ok(topic.clone()),
        _ => {
            Err(format!("pipeline {} reads several topics, or a pattern: bench produces into one topic", pipeline.name))
        }
    }
}

fn what_it_would_do(pipeline: &PipelinePlan, topic: &str) -> String {
    let sink = pipeline.sink.target();
    format!(
        "bench produces made-up records into topic `{topic}` of connection {}, which every group that reads it gets, and \
         pipeline {} writes them to {sink}; add --produce if that is meant, or leave -c away for servers in this process",
        pipeline.source.connection.name, pipeline.name
    )
}

/// A group of its own, from the topic's end on: nobody's partitions are taken away and nobody's offsets are moved.
fn read_alone(pipeline: &mut PipelinePlan) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    pipeline.source.group = format!("{}-bench-{now}", pipeline.source.group);
    pipeline.source.instance_id = None;
    pipeline.source.start = Start::Latest;
}

impl Testbed {
    /// The sink's server stands still from now on.
    pub(super) fn stall(&self, time: Duration) {
        if !self.to_kafka {
            self.endpoint.stall(time);
        } else if let Err(error) = self.downstream.set_round_trip(-1, time) {
            tracing::error!("{error}");
        }
    }

    /// It answers at once again.
    pub(super) fn end_stall(&self) {
        if self.to_kafka
            && let Err(error) = self.downstream.set_round_trip(-1, Duration::ZERO)
        {
            tracing::error!("{error}");
        }
    }

    /// Records the sink's server has got, repeated ones included: its word, not the engine's.
    pub(super) fn arrived(&self) -> Result<u64, String> {
        if !self.to_kafka {
            return Ok(self.endpoint.items());
        }
        self.downstream.records_of(OUTPUT_TOPIC, PARTITIONS).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
