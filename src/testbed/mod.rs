//! The testbed room.

pub mod bulk_endpoint;
