//! Stand-ins for the world around the engine: a Kafka cluster and a bulk endpoint in process, a load generator and its
//! feeder, and an oracle that knows what must come out. Used by `demo`, `bench`, tests, benches and performance runs
//! alike.

pub mod bulk_endpoint;
pub mod feeder;
pub mod generator;
pub mod kafka;
pub mod oracle;
pub mod tap;
