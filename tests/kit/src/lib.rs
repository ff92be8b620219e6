//! What tests and measurements of sluicegate need around it: real servers as child processes, proxies that break on
//! command, a watch over committed offsets, a checker of a run's logs, and every fault that a run must survive.
//!
//! No part of this is in the shipped library. What `demo` and `bench` need is in the engine's `testbed`.

pub mod broker_proxy;
pub mod checker;
pub mod commit_watch;
pub mod fault_proxy;
pub mod faults;
pub mod services;
