//! Look-ups against a scripted server, and against a real Redis when one is in the PATH.

mod fake;
mod on_fake;
mod on_redis;
mod real;
pub(crate) mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::plan::{
    CachePlan, LookupPlan, LookupSource, OnLookupError, Pointer, RedisConnection, RetryPlan, Template, TemplateSegment,
};
use crate::preprocess::steps::lookup::OnMiss;
use crate::telemetry::handles::Handles;
use crate::telemetry::metrics::LookupResult;

use super::{Enricher, Found, LookupStop, Lookups};

pub(super) const WANTED: fn() -> bool = || true;

/// Look-ups of one test and everything they report to.
pub(super) struct Bench {
    pub(super) lookups: Arc<Lookups>,
    pub(super) pipeline: Arc<Handles>,
}

impl Bench {
    pub(super) fn new(plans: &[LookupPlan]) -> Self {
        let pipeline = Handles::new(&"test".into(), 0, Arc::default());
        let retry = RetryPlan {
            first: Duration::from_millis(5),
            max: Duration::from_millis(50),
            in_place: Duration::from_secs(150),
        };
        let lookups = Lookups::open(plans, retry, pipeline.clone()).expect("valid plans");
        Self { lookups, pipeline }
    }

    pub(super) fn enricher(&self) -> Enricher {
        Enricher::new(self.lookups.clone())
    }

    pub(super) fn count(&self, result: LookupResult) -> u64 {
        self.pipeline.metrics.lookup(result).get()
    }

    pub(super) fn fault(&self) -> Option<String> {
        self.pipeline.health.faults().pop().map(|(_, fault)| fault.message)
    }
}

pub(super) fn connection(url: &str, timeout_ms: u64) -> RedisConnection {
    RedisConnection {
        name: "lookups".into(),
        url: url.into(),
        timeout: Duration::from_millis(timeout_ms),
        ca_file: None,
        client: None,
        verify: true,
    }
}

fn plan(connection: RedisConnection, source: LookupSource) -> LookupPlan {
    LookupPlan {
        connection,
        source,
        into: Pointer { members: vec!["user".to_owned()] },
        on_miss: OnMiss::Keep,
        on_error: OnLookupError::Retry,
        cache: CachePlan {
            entries: 100_000,
            bytes: 64 << 20,
            ttl: Duration::from_secs(60),
            miss_ttl: Duration::from_secs(60),
        },
    }
}

pub(super) fn keyed(connection: RedisConnection, fields: &[&str]) -> LookupPlan {
    let key =
        Template { text: "user:{/user}".to_owned(), segments: vec![TemplateSegment::Literal("user:".to_owned())] };
    plan(connection, LookupSource::Keyed { key, fields: fields.iter().map(|&field| field.to_owned()).collect() })
}

pub(super) fn table(connection: RedisConnection, name: &str, refresh_ms: u64) -> LookupPlan {
    let field = Template { text: "{/code}".to_owned(), segments: Vec::new() };
    let refresh = Duration::from_millis(refresh_ms);
    plan(connection, LookupSource::Table { table: name.to_owned(), field, refresh })
}

pub(super) fn uncached(mut plan: LookupPlan) -> LookupPlan {
    plan.cache.entries = 0;
    plan
}

/// Asks look-up 0, at most for 30 s.
pub(super) fn resolve(enricher: &mut Enricher, keys: &[&str]) -> Result<Vec<Found>, LookupStop> {
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
    let mut found = vec![Found::Unavailable; 3];
    let deadline = Instant::now() + Duration::from_secs(30);
    enricher.resolve(0, &keys, &|| Instant::now() < deadline, &mut found).map(|()| found)
}

pub(super) fn json(text: &str) -> Found {
    Found::Json(text.as_bytes().into())
}

pub(super) fn halted(outcome: Result<Vec<Found>, LookupStop>) -> crate::model::Halt {
    match outcome {
        Err(LookupStop::Halt(halt)) => halt,
        other => panic!("expected a halt, got {other:?}"),
    }
}

/// Asks until `done`, at most 20 s.
pub(super) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
