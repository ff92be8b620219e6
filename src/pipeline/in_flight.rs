//! What a revoke asks of each sink, in the source's terms.

use std::sync::Arc;

use crate::model::PartitionId;
use crate::sink::{elasticsearch, kafka};
use crate::source::InFlight;

/// The Elasticsearch sink counts what is in flight; what a request has taken cannot be called back.
pub(super) struct BulkInFlight(pub(super) Arc<elasticsearch::InFlightCounts>);

impl InFlight for BulkInFlight {
    fn ask(&self, _slot: PartitionId) {}

    fn is_quiet(&self, slot: PartitionId) -> bool {
        self.0.is_quiet(slot)
    }

    fn purge(&self) {}
}

/// The Kafka sink answers by report, and can purge its producer.
pub(super) struct ProducerInFlight(pub(super) flume::Sender<kafka::SinkCommand>);

impl InFlight for ProducerInFlight {
    fn ask(&self, slot: PartitionId) {
        // A full channel is a sink that does not move: the source waits for its deadline and goes on.
        let _ = self.0.try_send(kafka::SinkCommand::Quiesce(slot));
    }

    fn is_quiet(&self, _slot: PartitionId) -> bool {
        false
    }

    fn purge(&self) {
        let _ = self.0.try_send(kafka::SinkCommand::Purge);
    }
}

/// A dry run sends nothing.
pub(super) struct NothingInFlight;

impl InFlight for NothingInFlight {
    fn ask(&self, _slot: PartitionId) {}

    fn is_quiet(&self, _slot: PartitionId) -> bool {
        true
    }

    fn purge(&self) {}
}
