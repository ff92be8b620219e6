//! What becomes of rejected records: stop, drop, or a dead letter; and the breaker.

use std::sync::Arc;

use crate::model::{OwnedRecord, Place, Reject};

/// Where rejects go. Shared by a pipeline's intake, lanes and delivery reports.
pub struct RejectDesk {}

impl RejectDesk {
    /// Whether [`RejectDesk::file`] needs the original record (`on_reject: dead_letter`).
    #[must_use]
    pub fn needs_original(&self) -> bool {
        false
    }

    /// Files one rejected record: counts it by reason, lets the breaker judge, then settles it as dropped, hands it to the
    /// dead-letter writer (which settles it once acknowledged), or halts the pipeline. Never blocks.
    pub fn file(self: &Arc<Self>, _place: Place, _reject: Reject, _original: Option<OwnedRecord>) {}

    /// Tells the breaker how many records of a partition passed without a reject.
    pub fn passed(&self, _records: u32) {}
}
