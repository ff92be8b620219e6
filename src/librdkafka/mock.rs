//! The one control of librdkafka's mock cluster that rdkafka does not wrap: how long a group waits for members.
#![allow(unsafe_code)]

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings::{rd_kafka_handle_mock_cluster, rd_kafka_mock_group_initial_rebalance_delay_ms};
use rdkafka::client::Client;

/// Sets how long a classic group on the mock cluster waits for more members before its first rebalance (3 s unless
/// set).
///
/// Returns false, and changes nothing, when `client` was not made with `test.mock.num.brokers`.
pub fn set_initial_rebalance_delay<C: ClientContext>(client: &Client<C>, delay: Duration) -> bool {
    let delay_ms = i32::try_from(delay.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `native_ptr` is the live `rd_kafka_t` of `client`, which the borrow keeps alive through this call. The
    // call only reads a field set before the client was handed out.
    let cluster = unsafe { rd_kafka_handle_mock_cluster(client.native_ptr()) };
    if cluster.is_null() {
        return false;
    }
    // SAFETY: `cluster` is not null and is owned by the same live client, which destroys it only when it is destroyed
    // itself. The function takes the cluster's own lock, so any thread may call it.
    unsafe { rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, delay_ms) };
    true
}
