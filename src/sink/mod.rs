//! The far side: takes prepared batches in sequence, delivers, judges every item and settles parts of tickets.

pub mod context;
pub mod dead_letter;
pub mod elasticsearch;
pub mod kafka;
pub mod null;
pub mod reject;
pub mod sequencer;
