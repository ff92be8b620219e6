//! A hop between threads: one message of the bounded channel is a whole batch.

use std::thread;
use std::time::Instant;

use sluicegate::internals::model::{Charge, Prepared, Sequence};

use crate::stage::Stage;

/// Batches under way, as many as the channel to two workers holds.
const BOUND: usize = 4;
/// Batches of a round.
const BATCHES: u64 = 256;
/// Records of a batch of 256 KiB.
const RECORDS: u64 = 280;

/// To another thread and back: two hops a batch. The other thread ends with the stage.
pub fn stages() -> impl Iterator<Item = Stage> {
    std::iter::once_with(|| {
        let (there, taken) = flume::bounded::<Prepared<u32>>(BOUND);
        let (back, returned) = flume::bounded::<Prepared<u32>>(BOUND);
        thread::spawn(move || while taken.recv().is_ok_and(|batch| back.send(batch).is_ok()) {});
        let mut idle: Vec<_> = (0..BOUND as Sequence).map(batch).collect();
        let run = move || {
            let mut sum = 0;
            for _ in 0..BATCHES {
                let batch = idle.pop().unwrap_or_else(|| returned.recv().expect("the other thread lives"));
                sum += batch.payload.len();
                there.send(batch).expect("the other thread lives");
            }
            while idle.len() < BOUND {
                idle.push(returned.recv().expect("the other thread lives"));
            }
            sum
        };
        let (group, case) = ("channel".to_owned(), "there_and_back".to_owned());
        Stage { group, case, records: BATCHES * RECORDS, bytes: Some(BATCHES * 256 * 1024), run: Box::new(run) }
    })
}

fn batch(sequence: Sequence) -> Prepared<u32> {
    let mut batch = Prepared::empty(sequence, Charge::none(), Instant::now());
    batch.payload = vec![b'x'; 256 * 1024];
    batch
}
