//! The servers that all tests of one process share. Each starts when it is first asked for, once; those asked for
//! together start beside each other. They end with the process ([`super::watchdog`]).
//!
//! A test that shares must use topics, groups, indices and keys of its own, and must not break anything.

use std::sync::OnceLock;
use std::thread;

use super::elasticsearch::{self, Version};
use super::error::ServiceError;
use super::kafka::{self, KafkaOptions};
use super::mode::Mode;
use super::redis;
use super::service::Service;

/// A server a test may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The cluster that is read from; `SLUICEGATE_TEST_KAFKA_IN`.
    KafkaIn,
    /// The other cluster, which is written to; `SLUICEGATE_TEST_KAFKA_OUT`.
    KafkaOut,
    /// Elasticsearch 6.8.2; `SLUICEGATE_TEST_ELASTICSEARCH` may name another version.
    Elasticsearch,
    /// Elasticsearch 8.19.21; always started here.
    Elasticsearch8,
    /// Redis; `SLUICEGATE_TEST_REDIS`.
    Redis,
}

/// The outcome of one start, kept for the life of the process: a server that cannot start is not tried for every test.
type Slot = OnceLock<Result<Service, ServiceError>>;

impl Need {
    /// The variable that names a server to use instead of starting one.
    fn variable(self) -> Option<&'static str> {
        match self {
            Need::KafkaIn => Some("SLUICEGATE_TEST_KAFKA_IN"),
            Need::KafkaOut => Some("SLUICEGATE_TEST_KAFKA_OUT"),
            Need::Elasticsearch => Some("SLUICEGATE_TEST_ELASTICSEARCH"),
            Need::Elasticsearch8 => None,
            Need::Redis => Some("SLUICEGATE_TEST_REDIS"),
        }
    }

    fn slot(self) -> &'static Slot {
        static KAFKA_IN: Slot = OnceLock::new();
        static KAFKA_OUT: Slot = OnceLock::new();
        static ELASTICSEARCH: Slot = OnceLock::new();
        static ELASTICSEARCH_8: Slot = OnceLock::new();
        static REDIS: Slot = OnceLock::new();
        match self {
            Need::KafkaIn => &KAFKA_IN,
            Need::KafkaOut => &KAFKA_OUT,
            Need::Elasticsearch => &ELASTICSEARCH,
            Need::Elasticsearch8 => &ELASTICSEARCH_8,
            Need::Redis => &REDIS,
        }
    }

    /// Starts a server of this kind, or takes the one of the environment.
    fn make(self) -> Result<Service, ServiceError> {
        let given = self.variable().and_then(|name| std::env::var(name).ok()).filter(|value| !value.is_empty());
        match (given, self) {
            (Some(endpoint), _) => Ok(Service::given(endpoint)),
            (None, Need::KafkaIn | Need::KafkaOut) => kafka::start(&KafkaOptions::default()),
            (None, Need::Elasticsearch) => elasticsearch::start(Version::V6, &[]),
            (None, Need::Elasticsearch8) => elasticsearch::start(Version::V8, &[]),
            (None, Need::Redis) => redis::start(),
        }
    }

    fn obtain(self) -> Result<&'static Service, ServiceError> {
        self.slot().get_or_init(|| self.make()).as_ref().map_err(ServiceError::clone)
    }
}

/// The servers asked for, in that order.
///
/// # Errors
/// [`ServiceError::Off`] when servers are switched off, else the first start that failed.
pub fn obtain<const N: usize>(needs: [Need; N]) -> Result<[&'static Service; N], ServiceError> {
    if Mode::from_environment()? == Mode::Off {
        return Err(ServiceError::Off);
    }
    thread::scope(|scope| {
        for need in needs {
            // The outcome is kept in the slot, and read below.
            scope.spawn(move || need.obtain().is_ok());
        }
    });
    let mut services = Vec::with_capacity(N);
    for need in needs {
        services.push(need.obtain()?);
    }
    services.try_into().map_err(|_| ServiceError::Off)
}
