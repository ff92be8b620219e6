//! Sends bulk bodies that were made beforehand: what the endpoint takes when the sender does nothing else.
//!
//! As many connections as the engine has lanes, one request on each, the engine's request size. All bodies are in
//! memory before the first is sent.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use sluicegate::internals::testbed::generator::{Generator, GeneratorScratch};

use super::Task;
use super::bulk::Body;
use super::extract::Extractor;
use super::socket::Socket;

/// The engine's default.
pub const LANES: usize = 4;

/// See the module.
///
/// # Errors
/// Sending fails.
pub fn run(task: &Task) -> anyhow::Result<()> {
    let bodies = bodies(task.records)?;
    let next = AtomicUsize::new(0);
    let lane = || -> anyhow::Result<()> {
        let mut socket = Socket::open(&task.url, &task.index)?;
        while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
            socket.send(body)?;
            socket.answered()?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().try_for_each(|lane| lane.join().map_err(|_| anyhow::anyhow!("a lane panicked"))?)
    })
}

fn bodies(records: u64) -> anyhow::Result<Vec<Vec<u8>>> {
    let generator = Generator::new(crate::source::shape());
    let (mut scratch, mut extractor) = (GeneratorScratch::default(), Extractor::default());
    let (mut bodies, mut body) = (Vec::new(), Body::default());
    for number in 0..records {
        let record = generator.record(number, &mut scratch);
        let value = record.value.context("a record without a value")?;
        let found = extractor.find(value).context("a record without result and id")?;
        body.upsert(&value[found.id], &value[found.result]);
        if body.is_full() || number + 1 == records {
            bodies.push(body.bytes.clone());
            body.clear();
        }
    }
    Ok(bodies)
}
