//! What end-to-end tests share: two Kafka clusters, Elasticsearch 6.8.2 and Redis of their own, which they may break;
//! the users in Redis; and one input topic. One test has it all at a time, so that they neither disturb nor starve each
//! other.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sluicegate::internals::testbed::feeder::{FeedHooks, FeedPlan, Feeder};
use sluicegate::internals::testbed::generator::{Generator, LoadShape};
use sluicegate_testkit::services::elasticsearch::{self, Version};
use sluicegate_testkit::services::kafka::{self, KafkaOptions};
use sluicegate_testkit::services::{ElasticsearchClient, KafkaClient, RedisClient, Service, ServiceError, redis};

use super::process::tail;
use super::{own, unique};

/// Records of a run.
pub const RECORDS: u64 = 200_000;
/// Of every topic. Input and output have the same number, so that a key keeps its partition.
pub const PARTITIONS: u16 = 8;

/// The servers and the input.
pub struct Bench {
    pub upstream: Service,
    pub downstream: Service,
    pub elasticsearch: Service,
    pub redis: Service,
    /// Makes every record again.
    pub generator: Arc<Generator>,
    /// Holds records 0 to [`RECORDS`].
    pub input: String,
}

/// The bench while a test has it.
pub struct Turn {
    bench: &'static Bench,
    _turn: MutexGuard<'static, ()>,
}

impl Drop for Turn {
    /// A test that failed may have failed because of a server: what they said last is told.
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        let Bench { upstream, downstream, elasticsearch, redis, .. } = self.bench;
        for (name, service) in
            [("upstream", upstream), ("downstream", downstream), ("Elasticsearch", elasticsearch), ("Redis", redis)]
        {
            eprintln!("{}", tail(name, &service.log()));
        }
    }
}

impl std::ops::Deref for Turn {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        self.bench
    }
}

/// The bench, whole; `None` means: return, the skip is recorded.
pub fn bench(test: &str) -> Option<Turn> {
    static TURN: Mutex<()> = Mutex::new(());
    static BENCH: OnceLock<Result<Bench, ServiceError>> = OnceLock::new();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let bench = own(test, || BENCH.get_or_init(Bench::start).as_ref().map_err(ServiceError::clone))?;
    // A test that failed may have left a server down.
    for service in [&bench.upstream, &bench.downstream, &bench.elasticsearch, &bench.redis] {
        service.start().unwrap();
    }
    Some(Turn { bench, _turn: turn })
}

impl Bench {
    fn start() -> Result<Bench, ServiceError> {
        let gone = || ServiceError::Missing { what: "a start".to_owned(), remedy: "see the panic above".to_owned() };
        let (upstream, downstream, elasticsearch, redis) = thread::scope(|scope| {
            let upstream = scope.spawn(|| kafka::start(&KafkaOptions::default()));
            let downstream = scope.spawn(|| kafka::start(&KafkaOptions::default()));
            let elasticsearch = scope.spawn(|| elasticsearch::start(Version::V6, &[]));
            let redis = scope.spawn(redis::start);
            (upstream.join(), downstream.join(), elasticsearch.join(), redis.join())
        });
        let seed = seed();
        let generator = Arc::new(Generator::new(LoadShape { seed, headers: true, ..LoadShape::default() }));
        let bench = Bench {
            upstream: upstream.map_err(|_| gone())??,
            downstream: downstream.map_err(|_| gone())??,
            elasticsearch: elasticsearch.map_err(|_| gone())??,
            redis: redis.map_err(|_| gone())??,
            generator,
            input: unique("events"),
        };
        bench.fill_redis()?;
        let feeder = bench.feed(&bench.input, RECORDS, None);
        feeder
            .join()
            .map_err(|cause| ServiceError::Missing { what: "the input".to_owned(), remedy: cause.to_string() })?;
        Ok(bench)
    }

    /// Every user the look-up knows, as a hash of its own.
    fn fill_redis(&self) -> Result<(), ServiceError> {
        let users: Vec<_> = self.generator.users().collect();
        let mut client = RedisClient::connect(&self.redis)?;
        for some in users.chunks(1_000) {
            let hset = some.iter().map(|user| vec!["HSET", &user.key, "name", &user.name, "tier", user.tier]);
            client.pipeline(hset)?;
        }
        // They outlast signal 9 as well.
        client.command(&["SAVE"]).map(drop)
    }

    /// Makes an input topic and feeds it the first `records` records, in the background; `rate` is records a second.
    pub fn feed(&self, topic: &str, records: u64, rate: Option<f64>) -> Feeder {
        self.upstream_client().create_topic(topic, PARTITIONS, &[]).unwrap();
        let window_bytes = usize::MAX;
        let plan = FeedPlan { window_bytes, rate, ..FeedPlan::new(topic, i32::from(PARTITIONS), records) };
        let hooks = FeedHooks { consumed: Box::new(|_| None), announce: Box::new(|_, _| {}) };
        Feeder::start(self.upstream.endpoint(), self.generator.clone(), plan, hooks).unwrap()
    }

    pub fn upstream_client(&self) -> KafkaClient {
        KafkaClient::new(&self.upstream)
    }

    pub fn downstream_client(&self) -> KafkaClient {
        KafkaClient::new(&self.downstream)
    }

    pub fn elasticsearch_client(&self) -> ElasticsearchClient {
        ElasticsearchClient::new(&self.elasticsearch)
    }
}

/// The seed of this process's input and of every random moment: `SLUICEGATE_TEST_SEED`, else any. Printed once.
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| {
        let given = std::env::var("SLUICEGATE_TEST_SEED").ok();
        let seed = given.map_or_else(|| fastrand::u64(..1_000_000), |text| text.parse().unwrap());
        eprintln!("end-to-end tests: SLUICEGATE_TEST_SEED={seed}");
        seed
    })
}

/// Waits until `done`, looking every 20 ms.
///
/// # Panics
/// After `limit`, with `what` and what `describe` says.
pub fn until(what: &str, limit: Duration, mut done: impl FnMut() -> bool, describe: impl Fn() -> String) {
    let end = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < end, "not within {limit:?}: {what}\n{}", describe());
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// Lets time pass where the moment itself is what a test is about; never to wait for something.
pub fn let_pass(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}
