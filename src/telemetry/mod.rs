//! What the pipeline tells people: metrics, latency histograms, health, the HTTP endpoint.

pub mod health;
pub mod latency;
pub mod metrics;
