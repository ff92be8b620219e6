//! The testbed room.
