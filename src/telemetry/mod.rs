//! What the pipeline tells people: metrics, latency histograms, health, the HTTP endpoint, run files.
//!
//! Rooms write [`metrics`], [`latency`], [`health`] and [`lag`]. The [`reporter`] reads them every 250 ms, judges
//! ([`watch`]), logs ([`summary`]), samples ([`sampler`]) and publishes on the [`board`]; [`http`] shows the board, and
//! [`run_files`] keep what the reporter collected. Nothing here decides anything for a pipeline but the watchdog.

use std::time::{SystemTime, UNIX_EPOCH};

pub mod board;
pub mod distribution;
pub mod exposition;
pub mod families;
pub mod handles;
pub mod health;
pub mod http;
pub mod labelled;
pub mod lag;
pub mod latency;
pub mod latency_log;
pub mod metrics;
pub mod notice;
pub mod percentiles;
pub mod process;
pub mod reporter;
pub mod run_files;
pub mod sampler;
pub mod status;
pub mod summary;
pub mod watch;

/// Milliseconds since the Unix epoch, the unit of broker timestamps; 0 for a clock set before it.
#[must_use]
pub fn unix_ms(wall: SystemTime) -> i64 {
    wall.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
