//! The librdkafka room.

pub mod mock;
