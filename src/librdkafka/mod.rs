//! The librdkafka room.
