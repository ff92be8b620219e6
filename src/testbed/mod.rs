//! Stand-ins for the world around the engine: a Kafka cluster and a bulk endpoint in process, a load generator, an oracle
//! that knows what must come out, a line that breaks on command, a checker of a run's logs, and real servers as child
//! processes. Used by `demo`, tests, benches and performance runs alike.

pub mod bulk_endpoint;
pub mod feeder;
pub mod generator;
pub mod kafka;
pub mod oracle;
pub mod tap;
