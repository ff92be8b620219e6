//! The nouns every component shares. Imports nothing of ours.
//!
//! A *record* is one Kafka message. A *run* is a stretch of one partition inside a batch; the ledger opens one
//! [`Ticket`] for each run, and every ticket ends exactly once. An *offset* is a record's place, a *position* the next
//! offset to read.

mod backoff;
mod budget;
mod conservation;
mod decimal;
mod exit;
mod item;
mod item_path;
mod memory_share;
mod partition;
mod record;
mod reject;
mod run;
mod settlement;
mod stop;
mod whole;

pub use backoff::Backoff;
pub use budget::{Budget, Charge};
pub use conservation::Conservation;
pub use decimal::Decimal;
pub use exit::Exit;
pub use item::{Encode, Kept, Originals, Place, Prepared, Rejected};
pub use item_path::ItemPath;
pub use memory_share::MemoryShare;
pub use partition::{Epoch, Offset, PartitionId, PartitionTable, Position, TopicPartition};
#[cfg(test)]
pub use record::NoHeaders;
pub use record::{HeaderSource, OwnedRecord, Record, Records};
pub use reject::{Reject, RejectReason, StepName};
pub use run::{Run, Sequence, Ticket, TicketId};
pub use settlement::{GiveUp, Halt, Outcome, Part, Report, ReportSender, RewindCause, SplitRecord};
pub use stop::{Stop, Wake};
pub use whole::{NotWhole, WholeNumber, floor_scaled, is_whole, write_number};
