//! Batches to another Kafka cluster.
