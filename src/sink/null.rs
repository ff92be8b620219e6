//! The sink of a dry run: takes everything, writes nothing, settles what would have been sent.

use std::sync::atomic::Ordering;

use crate::model::{Outcome, Part, Place, Prepared, Report};

use super::context::SinkContext;
use super::sequencer::Sequencer;

/// Runs on the calling thread until `intake` is closed. `place` reads an item's place.
pub fn run<I>(intake: &flume::Receiver<Prepared<I>>, ring: usize, context: &SinkContext, place: impl Fn(&I) -> Place) {
    let mut ring = Sequencer::new(ring);
    while let Ok(batch) = intake.recv() {
        if let Err(fault) = ring.insert(batch.sequence, batch) {
            tracing::error!(pipeline = %context.pipeline.name, "{fault}: this is a bug");
            return;
        }
        while let Some(batch) = ring.pop() {
            context.released.store(ring.next(), Ordering::Release);
            take(batch, context, &place);
        }
    }
}

fn take<I>(mut batch: Prepared<I>, context: &SinkContext, place: &impl Fn(&I) -> Place) {
    context.lost(std::mem::take(&mut batch.lost));
    let mut parts = std::mem::take(&mut batch.ended);
    for rejected in &batch.rejects {
        context.pipeline.metrics.reject(rejected.reject.reason).add(1);
        tracing::debug!(pipeline = %context.pipeline.name, offset = rejected.place.offset.0, "would be rejected: {}", rejected.reject);
        Part::add(&mut parts, &rejected.place, Outcome::Dropped);
    }
    for item in &batch.items {
        Part::add(&mut parts, &place(item), Outcome::Delivered);
    }
    context.report(Report::Settled(parts));
}
