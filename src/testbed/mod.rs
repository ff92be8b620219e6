//! The testbed room.

pub mod services;
