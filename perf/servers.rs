//! Real servers for a session: those the environment names, under the tests' variables, else each started when a
//! scenario first asks for it. Named ones stay on the cores they are on.

use std::cell::OnceCell;

use sluicegate_testkit::services::elasticsearch::{self, Version};
use sluicegate_testkit::services::kafka::{self, KafkaOptions};
use sluicegate_testkit::services::{Service, ServiceError, redis};

const NEAR: &str = "SLUICEGATE_TEST_KAFKA_IN";
const FAR: &str = "SLUICEGATE_TEST_KAFKA_OUT";
const SEARCH: &str = "SLUICEGATE_TEST_ELASTICSEARCH";
const LOOKUPS: &str = "SLUICEGATE_TEST_REDIS";

/// The servers that run.
#[derive(Default)]
pub struct Servers {
    near: OnceCell<Service>,
    far: OnceCell<Service>,
    search: OnceCell<Service>,
    lookups: OnceCell<Service>,
}

impl Servers {
    /// The cluster that is read from.
    ///
    /// # Errors
    /// It cannot be had or started.
    pub fn near(&self) -> Result<&Service, ServiceError> {
        started(&self.near, NEAR, broker)
    }

    /// The cluster that is written to.
    ///
    /// # Errors
    /// It cannot be had or started.
    pub fn far(&self) -> Result<&Service, ServiceError> {
        started(&self.far, FAR, broker)
    }

    /// Elasticsearch 6.8.2.
    ///
    /// # Errors
    /// It cannot be had or started.
    pub fn search(&self) -> Result<&Service, ServiceError> {
        started(&self.search, SEARCH, || elasticsearch::start(Version::V6, &[]))
    }

    /// Redis.
    ///
    /// # Errors
    /// It cannot be had or started.
    pub fn lookups(&self) -> Result<&Service, ServiceError> {
        started(&self.lookups, LOOKUPS, redis::start)
    }
}

/// A broker that keeps its leadership when others starve it for a while: the testbed's own timeouts are for tests that
/// restart it.
fn broker() -> Result<Service, ServiceError> {
    let patient = [("broker.session.timeout.ms", "30000"), ("broker.heartbeat.interval.ms", "2000")];
    let properties = patient.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    kafka::start(&KafkaOptions { properties, ..KafkaOptions::default() })
}

fn started<'s>(
    cell: &'s OnceCell<Service>,
    variable: &str,
    start: impl FnOnce() -> Result<Service, ServiceError>,
) -> Result<&'s Service, ServiceError> {
    if let Some(service) = cell.get() {
        return Ok(service);
    }
    let given = std::env::var(variable).ok().filter(|value| !value.is_empty());
    let service = given.map_or_else(start, |endpoint| Ok(Service::given(endpoint)))?;
    Ok(cell.get_or_init(|| service))
}
