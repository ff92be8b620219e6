//! Real servers for a session, each started when a scenario first asks for it.

use std::cell::OnceCell;

use sluicegate::testbed::services::elasticsearch::{self, Version};
use sluicegate::testbed::services::kafka::{self, KafkaOptions};
use sluicegate::testbed::services::{Service, ServiceError};

/// The servers that run.
#[derive(Default)]
pub struct Servers {
    near: OnceCell<Service>,
    far: OnceCell<Service>,
    search: OnceCell<Service>,
}

impl Servers {
    /// The cluster that is read from.
    ///
    /// # Errors
    /// It cannot be had or started.
    pub fn near(&self) -> Result<&Service, ServiceError> {
        started(&self.near, broker)
    }

    /// The cluster that is written to.
    ///
    /// # Errors
    /// It cannot be had or started.
    pub fn far(&self) -> Result<&Service, ServiceError> {
        started(&self.far, broker)
    }

    /// Elasticsearch 6.8.2.
    ///
    /// # Errors
    /// It cannot be had or started.
    pub fn search(&self) -> Result<&Service, ServiceError> {
        started(&self.search, || elasticsearch::start(Version::V6, &[]))
    }
}

/// A broker that keeps its leadership when others starve it for a while: the testbed's own timeouts are for tests that
/// restart it.
fn broker() -> Result<Service, ServiceError> {
    let patient = [("broker.session.timeout.ms", "30000"), ("broker.heartbeat.interval.ms", "2000")];
    let properties = patient.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    kafka::start(&KafkaOptions { properties, ..KafkaOptions::default() })
}

fn started(
    cell: &OnceCell<Service>,
    start: impl FnOnce() -> Result<Service, ServiceError>,
) -> Result<&Service, ServiceError> {
    if let Some(service) = cell.get() {
        return Ok(service);
    }
    let service = start()?;
    Ok(cell.get_or_init(|| service))
}
