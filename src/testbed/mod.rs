//! In-process stand-ins for the world around the engine: a Kafka cluster, a load generator and an oracle that knows what
//! must come out. Used by `demo`, tests, benches and performance runs alike.

pub mod feeder;
pub mod generator;
pub mod kafka;
#[cfg(test)]
pub mod naive;
pub mod oracle;
pub mod tap;
