//! The librdkafka room.
pub mod producer;
