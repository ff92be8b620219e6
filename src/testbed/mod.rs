//! that knows what must come out, and real servers as child processes. Used by `demo`, tests, benches and performance
//! runs alike.

pub mod bulk_endpoint;
pub mod services;
