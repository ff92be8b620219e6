//! Everything that runs during a demo: clusters, endpoint, engine, feeders and the tap, opened, attended and closed.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::enrich::Lookups;
use crate::model::TopicPartition;
use crate::pipeline::{Engine, EngineOptions};
use crate::testbed::bulk_endpoint::{BulkEndpoint, EndpointOptions};
use crate::testbed::feeder::{Fed, FeedHooks, FeedPlan, Feeder};
use crate::testbed::generator::{Generated, Generator, LoadShape};
use crate::testbed::kafka::MockKafka;
use crate::testbed::oracle::{DocumentVerdict, Enrichment, OutputOracle, Write, check_documents};
use crate::testbed::tap::Tap;

use super::account::{DemoAccount, PipelineAccount};
use super::{DemoArgs, SetUp, part};
use crate::cli::builtin::{
    self, Addresses, INDEX, INDEX_NAME, INDEX_TOPIC, OUTPUT_TOPIC, PARTITIONS, RELAY, RELAY_TOPIC,
};
use crate::cli::figures::EngineEnding;
use crate::cli::progress::{PATIENCE, Progress, Stillness};

const LOOK: Duration = Duration::from_millis(100);

/// Everything that runs during a demo.
pub(super) struct Play {
    generator: Arc<Generator>,
    upstream: MockKafka,
    /// Kept for its brokers: the engine writes there and the tap reads.
    _downstream: MockKafka,
    endpoint: BulkEndpoint,
    pub(super) oracle: Arc<OutputOracle>,
    tap: Tap,
    engine: Engine,
}

/// What feeding and waiting came to.
#[derive(Default)]
struct PlayOutcome {
    fed: [Fed; 2],
    /// When each pipeline had resolved everything it was fed.
    finished: [Option<Duration>; 2],
    trouble: Vec<String>,
}

/// Records that went all the way: through each pipeline, and verified in the output topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Moved {
    through: [u64; 2],
    verified: u64,
}

impl Play {
    pub(super) fn open(args: &DemoArgs) -> Result<Self, SetUp> {
        let value_bytes = args.value_bytes as usize;
        let shape = LoadShape { seed: args.seed, keys: args.keys, value_bytes, ..LoadShape::default() };
        let generator = Arc::new(Generator::new(shape));
        let upstream = MockKafka::start(&[(RELAY_TOPIC, PARTITIONS), (INDEX_TOPIC, PARTITIONS)]).map_err(part)?;
        let downstream = MockKafka::start(&[(OUTPUT_TOPIC, PARTITIONS)]).map_err(part)?;
        let oracle = Arc::new(OutputOracle::new(PARTITIONS));
        let seen = oracle.clone();
        let tap = Tap::start(downstream.brokers(), OUTPUT_TOPIC, PARTITIONS, move |message| {
            seen.observe(message.partition(), message.key(), message.value());
        })
        .map_err(part)?;
        let options = EndpointOptions { store: true, ..EndpointOptions::default() };
        let endpoint = BulkEndpoint::start(options).map_err(part)?;
        let addresses =
            Addresses { upstream: upstream.brokers(), downstream: downstream.brokers(), search: &endpoint.url() };
        let loaded = builtin::load(&addresses, &[RELAY, INDEX], &[]).map_err(part)?;
        let options = EngineOptions {
            lookups: Some(Lookups::in_memory(vec![generator.lookup_table()])),
            report: Some(args.report.clone()),
            ..EngineOptions::default()
        };
        let engine = Engine::start(loaded.plan, options).map_err(part)?;
        Ok(Self { generator, upstream, _downstream: downstream, endpoint, oracle, tap, engine })
    }

    pub(super) fn run(mut self, args: &DemoArgs) -> Result<DemoAccount, SetUp> {
        let feeders = [self.feed_relay(args)?, self.feed_index(args)?];
        let outcome = self.attend(args, feeders);
        let progress = Progress::note("draining");
        self.engine.stop_handle().drain();
        let ending = EngineEnding::from(self.engine.join());
        self.tap.stop();
        progress.note_next("comparing the documents with what was generated");
        let [relay, index] = outcome.fed;
        let documents = compare_documents(&self.generator, index.records, &self.endpoint);
        progress.end();
        let account = |name: &str, fed: Fed, elapsed| PipelineAccount {
            name: name.to_owned(),
            fed,
            elapsed,
            sum: ending.sum_of(name),
        };
        let [relay_time, index_time] = outcome.finished.map(Option::unwrap_or_default);
        Ok(DemoAccount {
            pipelines: vec![account(RELAY, relay, relay_time), account(INDEX, index, index_time)],
            output: self.oracle.verdict(),
            documents,
            trouble: outcome.trouble,
            ending,
        })
    }

    /// Feeds the first pipeline no further ahead than its output was verified: the output topic forgets silently too.
    fn feed_relay(&self, args: &DemoArgs) -> Result<Feeder, SetUp> {
        let (position, verified, expecting) = (self.engine.positions(), self.oracle.clone(), self.oracle.clone());
        let consumed = move |partition| {
            let verified = i64::try_from(verified.verified(partition)).unwrap_or(i64::MAX);
            Some(position(RELAY, &name_of(RELAY_TOPIC, partition))?.min(verified))
        };
        let announce = move |record: &Generated<'_>, partition| expecting.expect(record, partition);
        let hooks = FeedHooks { consumed: Box::new(consumed), announce: Box::new(announce) };
        self.feed(RELAY_TOPIC, args, hooks)
    }

    fn feed_index(&self, args: &DemoArgs) -> Result<Feeder, SetUp> {
        let position = self.engine.positions();
        let consumed = move |partition| position(INDEX, &name_of(INDEX_TOPIC, partition));
        let hooks = FeedHooks { consumed: Box::new(consumed), announce: Box::new(|_, _| {}) };
        self.feed(INDEX_TOPIC, args, hooks)
    }

    fn feed(&self, topic: &str, args: &DemoArgs, hooks: FeedHooks) -> Result<Feeder, SetUp> {
        let mut plan = FeedPlan::new(topic, PARTITIONS, args.records());
        plan.patience = PATIENCE;
        Ok(Feeder::start(self.upstream.brokers(), self.generator.clone(), plan, hooks)?)
    }

    /// Shows progress until everything fed went all the way, or nothing moves any more.
    fn attend(&mut self, args: &DemoArgs, feeders: [Feeder; 2]) -> PlayOutcome {
        let started = Instant::now();
        let mut progress = Progress::start(args.records());
        let mut outcome = PlayOutcome::default();
        let mut feeders = feeders.map(Some);
        let mut stillness = Stillness::new(Moved::default(), started);
        while outcome.finished.contains(&None) && outcome.trouble.is_empty() {
            std::thread::park_timeout(LOOK);
            let (now, elapsed) = (Instant::now(), started.elapsed());
            if args.seconds.is_some_and(|seconds| elapsed >= Duration::from_secs(seconds)) {
                feeders.iter().flatten().for_each(Feeder::finish);
            }
            collect(&mut feeders, &mut outcome);
            stillness.look(self.moved(), now);
            let moved = stillness.at;
            self.note_finished(&feeders, &mut outcome, moved, elapsed);
            progress.show(elapsed, moved.through[0], moved.through[1]);
            if outcome.finished.contains(&None)
                && let Some(why) = stillness.why_over(self.engine.has_ended(), now)
            {
                outcome.trouble.push(format!("{why}: {moved}"));
            }
        }
        abandon(feeders, &mut outcome);
        outcome.finished = outcome.finished.map(|finished| finished.or(Some(started.elapsed())));
        progress.end();
        outcome
    }

    fn note_finished(&self, feeders: &[Option<Feeder>; 2], outcome: &mut PlayOutcome, moved: Moved, elapsed: Duration) {
        let (expected, verified) = self.oracle.progress();
        let output_complete = [expected == verified, true];
        for pipeline in 0..2 {
            let through = moved.through[pipeline] >= outcome.fed[pipeline].records;
            if feeders[pipeline].is_none() && through && output_complete[pipeline] {
                outcome.finished[pipeline].get_or_insert(elapsed);
            }
        }
    }

    fn moved(&self) -> Moved {
        let position = self.engine.positions();
        let through = |pipeline, topic| {
            (0..PARTITIONS)
                .filter_map(|partition| position(pipeline, &name_of(topic, partition)))
                .filter_map(|position| u64::try_from(position).ok())
                .sum()
        };
        let through = [through(RELAY, RELAY_TOPIC), through(INDEX, INDEX_TOPIC)];
        Moved { through, verified: self.oracle.progress().1 }
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { through: [relay, index], verified } = self;
        write!(f, "{RELAY} stood at {relay}, {INDEX} at {index}, {verified} records of the output were verified")
    }
}

fn name_of(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

/// Ends the feeders that still run, so that nothing produces any more.
fn abandon(feeders: [Option<Feeder>; 2], outcome: &mut PlayOutcome) {
    feeders.iter().flatten().for_each(Feeder::finish);
    for (feeder, fed) in feeders.into_iter().zip(&mut outcome.fed) {
        match feeder.map(Feeder::join) {
            Some(Ok(records)) => *fed = records,
            Some(Err(error)) => outcome.trouble.push(error.to_string()),
            None => {}
        }
    }
}

/// Takes the result of feeders that have ended.
fn collect(feeders: &mut [Option<Feeder>; 2], outcome: &mut PlayOutcome) {
    for (slot, fed) in feeders.iter_mut().zip(&mut outcome.fed) {
        if !slot.as_ref().is_some_and(Feeder::is_finished) {
            continue;
        }
        match slot.take().map(Feeder::join) {
            Some(Ok(records)) => *fed = records,
            Some(Err(error)) => outcome.trouble.push(error.to_string()),
            None => {}
        }
    }
}

fn compare_documents(generator: &Generator, records: u64, endpoint: &BulkEndpoint) -> DocumentVerdict {
    let table = generator.lookup_table();
    let enrichment = Enrichment { table: &table, prefix: "user:", field: "user", into: "user_info" };
    let count = endpoint.count(INDEX_NAME) as u64;
    let document = |id: &str| endpoint.document(INDEX_NAME, id).map(|document| document.source);
    check_documents(generator, records, Write::Merge, Some(enrichment), document, count)
}
