//! Where records and their items stand, and how they end before the sink.

use super::super::ending::StepEnding;
use crate::model::{
    ItemPath, Offset, Outcome, Part, PartitionTable, Place, Prepared, Record, Rejected, Run, SplitRecord, Ticket,
};

/// Whether the records of `run` may still be sent.
pub(super) fn is_current(run: &Run, table: &PartitionTable) -> bool {
    table.is_current(run.ticket.slot, run.ticket.epoch)
}

/// Takes note of a record that is looked at, and where it stands.
pub(super) fn admit<I>(run: &Run, index: u32, record: &Record<'_>, prepared: &mut Prepared<I>) -> Place {
    if let Some(time) = record.timestamp_ms
        && prepared.oldest_timestamp_ms.is_none_or(|oldest| time < oldest)
    {
        prepared.oldest_timestamp_ms = Some(time);
    }
    place(run.ticket, index, record)
}

/// Where a record stands.
pub(super) fn place(ticket: Ticket, index: u32, record: &Record<'_>) -> Place {
    Place { ticket, offset: Offset(record.offset), item: ItemPath::WHOLE, index }
}

/// Writes down that a record, or an item of one, goes no further. Records of one ticket dropped one after the other
/// share a part.
pub(super) fn end<I>(prepared: &mut Prepared<I>, place: Place, ending: StepEnding) {
    count_item(prepared, &place);
    match ending {
        StepEnding::Rejected(reject) => prepared.rejects.push(Rejected { place, reject: *reject }),
        StepEnding::Dropped => Part::add(&mut prepared.ended, &place, Outcome::Dropped),
    }
}

/// Counts an item that ends here or goes to the sink: its record ends with the last of them.
#[inline]
pub(super) fn count_item<I>(prepared: &mut Prepared<I>, place: &Place) {
    if place.item.is_whole() {
        return;
    }
    let splits = &mut prepared.splits;
    // Items of a record come one after the other, but for those that end in an earlier phase.
    let at = match splits.last() {
        Some((last, _)) if *last == place.index => splits.len() - 1,
        Some(_) | None => splits.partition_point(|(index, _)| *index < place.index),
    };
    match splits.get_mut(at) {
        Some((index, record)) if *index == place.index => record.items += 1,
        Some(_) | None => {
            splits.insert(at, (place.index, SplitRecord { ticket: place.ticket, offset: place.offset, items: 1 }));
        }
    }
}
