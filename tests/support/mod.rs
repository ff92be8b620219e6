//! What tests on real servers share: getting servers, or skipping where they cannot be had.

pub mod bench;
pub mod outcome;
pub mod process;
pub mod relay;
pub mod setup;
mod skipped;

use sluicegate_testkit::services::shared::{self, Need};
use sluicegate_testkit::services::{Mode, Service, ServiceError};

/// The shared servers a test needs, in that order; `None` means: return, the skip is recorded.
///
/// # Panics
/// With `SLUICEGATE_TEST_SERVICES=required`, when a server cannot be had.
pub fn servers<const N: usize>(test: &str, needs: [Need; N]) -> Option<[&'static Service; N]> {
    or_skip(test, shared::obtain(needs))
}

/// A server of the test's own, to break it: `own("broker_restart", || kafka::start(&KafkaOptions::default()))`.
///
/// # Panics
/// As [`servers`].
pub fn own<T>(test: &str, start: impl FnOnce() -> Result<T, ServiceError>) -> Option<T> {
    let service = mode().and_then(|mode| if mode == Mode::Off { Err(ServiceError::Off) } else { start() });
    or_skip(test, service)
}

/// A topic, group, index or key no other test uses, also when the servers outlive this process.
pub fn unique(name: &str) -> String {
    format!("{name}-{:08x}", fastrand::u32(..))
}

fn mode() -> Result<Mode, ServiceError> {
    Mode::from_environment()
}

/// A wrong variable and a required server fail the test; anything else skips it.
fn or_skip<T>(test: &str, service: Result<T, ServiceError>) -> Option<T> {
    match service {
        Ok(service) => Some(service),
        Err(cause @ ServiceError::Variable { .. }) => panic!("{cause}"),
        Err(cause) if mode() == Ok(Mode::Required) => panic!("{test}: a required server cannot be had: {cause}"),
        Err(cause) => {
            skipped::record(test, &cause.to_string());
            None
        }
    }
}
