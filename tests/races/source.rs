//! Races inside the source: it is real, workers and sink are the test.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use sluicegate::internals::model::{GiveUp, Report, RewindCause, Run};
use sluicegate_testkit::services::KafkaClient;

use super::source_rig::{GROUP, Options, SourceRig, TOPIC, cluster};
use super::waiting::{padded, wait_until};

/// Longer than the backoffs of the first few rewinds (100 ms, doubled each time).
const REWINDS: usize = 5;

#[test]
fn records_drained_during_a_rewinds_backoff_do_not_pass_for_the_next_ones() {
    let kafka = cluster(1);
    let client = KafkaClient::at(kafka.brokers());
    client.produce(TOPIC, padded(0, 0, 600)).unwrap();
    let rig = SourceRig::start(&kafka, &Options::default());
    let first = rig.take();
    let resolved = rig.offsets(&first).len() as i64;
    rig.settle(&first.runs);
    rig.release(first.sequence);
    let mut batch = rig.take();
    for round in 0..REWINDS {
        rig.rewind(&batch.runs[0]);
        // Something new to fetch while the partition waits for its seek.
        client.produce(TOPIC, padded(0, 600 + 50 * round as i64, 50)).unwrap();
        let stale = batch.runs[0].ticket.epoch;
        rig.release(batch.sequence);
        batch = rig.take();
        while batch.runs.iter().all(|run| run.ticket.epoch <= stale) {
            rig.release(batch.sequence);
            batch = rig.take();
        }
        assert_eq!(rig.offsets(&batch).first(), Some(&(0, resolved)), "after rewind {round}");
    }
    let mut next = BTreeMap::from([(0, resolved + rig.offsets(&batch).len() as i64)]);
    rig.settle(&batch.runs);
    rig.release(batch.sequence);
    let end = 600 + 50 * REWINDS as i64;
    let left = (end - next[&0]) as usize;
    rig.take_in_order(&mut next, left);
    assert_eq!(rig.pipeline.metrics.gap_records.get(), 0);
    wait_until("everything committed", || rig.committed() == [Some(end)]);
    assert!(rig.drain().committed);
}

#[test]
fn a_later_batch_resolved_first_and_a_refused_commit_never_lower_what_is_committed() {
    let kafka = cluster(2);
    let client = KafkaClient::at(kafka.brokers());
    client.produce(TOPIC, padded(0, 0, 1200)).unwrap();
    let rig = SourceRig::start(&kafka, &Options::default());
    let batches = [rig.take(), rig.take(), rig.take(), rig.take()];
    let ends = batches.each_ref().map(|batch| rig.offsets(batch).last().unwrap().1 + 1);

    // The second is resolved first: the other partition's commit, sent later, shows that nothing was committed for it.
    rig.settle(&batches[1].runs);
    client.produce(TOPIC, padded(1, 0, 1)).unwrap();
    let other = loop {
        let batch = rig.take();
        if batch.runs.iter().any(|run| rig.partition(run) == 1) {
            break batch;
        }
    };
    let runs: Vec<_> = other.runs.iter().filter(|run| rig.partition(run) == 1).cloned().collect();
    rig.settle(&runs);
    wait_until("the other partition is committed", || rig.committed()[1] == Some(1));
    assert_eq!(rig.committed()[0], Some(0), "the first batch is open");
    rig.settle(&batches[0].runs);
    wait_until("both are committed", || rig.committed()[0] == Some(ends[1]));

    // A commit is refused, the position moves on, and the repetition carries the new one.
    let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS; 3];
    kafka.fail_requests(RDKafkaApiKey::OffsetCommit, &refused).unwrap();
    rig.settle(&batches[2].runs);
    wait_until("a commit was refused", || rig.pipeline.metrics.commit_failures.get() > 0);
    rig.settle(&batches[3].runs);
    let mut highest = ends[1];
    wait_until("the newest position is committed", || {
        let now = rig.committed()[0].unwrap();
        assert!(now >= highest, "{now} after {highest}");
        highest = now;
        highest == ends[3]
    });

    // A rewind goes back to the position; nothing below it is committed afterwards.
    rig.rewind(&batches[3].runs[0]);
    wait_until("rewound", || rig.pipeline.metrics.rewound.get() > 0);
    let end = rig.abort();
    assert!(end.committed, "{end:?}");
    assert_eq!(client.committed(GROUP, TOPIC).unwrap()[0], Some(ends[3]));
}

/// The hook does not fire for a queue that is left half drained, and nobody else wakes the source here.
#[test]
fn a_half_drained_queue_is_drained_without_another_wake_up() {
    const BATCHES: i64 = 60;
    let kafka = cluster(8);
    let client = KafkaClient::at(kafka.brokers());
    let a_batch = 240;
    client.produce(TOPIC, (0..8).flat_map(|partition| padded(partition, 0, BATCHES * a_batch / 8))).unwrap();
    let rig = SourceRig::start(&kafka, &Options { ring: 200, ..Options::default() });
    let mut records = rig.take().messages.len();
    let (started, mut batches) = (Instant::now(), 1u32);
    while records < (BATCHES * a_batch) as usize {
        records += rig.take().messages.len();
        batches += 1;
    }
    let elapsed = started.elapsed();
    // One park after each batch would be 100 ms each; 35 ms leaves much room for a loaded machine.
    assert!(batches > 40 && elapsed < batches * Duration::from_millis(35), "{batches} batches in {elapsed:?}");
    rig.abort();
}

#[test]
fn a_partition_with_records_only_in_the_hold_is_not_committed_past_them_when_killed() {
    assert!((0..5).any(|_| holds_and_is_killed()), "the one record never came before the last of the 700");
}

/// False when partition 0 was so late that nothing of partition 1 was left for the hold.
fn holds_and_is_killed() -> bool {
    let kafka = cluster(2);
    let client = KafkaClient::at(kafka.brokers());
    client.produce(TOPIC, padded(0, 0, 1).chain(padded(1, 0, 700))).unwrap();
    // A bounded run has its statistics, on which positions are adopted, twice a second.
    let rig = SourceRig::start(&kafka, &Options { ring: 1, until_end: true, ..Options::default() });
    let mut resolved = 0;
    let mut blocked = false;
    // Partition 0 is blocked for good; of partition 1 everything handed out is resolved; then there is no room any
    // more.
    let mut last = None;
    while !blocked || resolved == 0 {
        if let Some(sequence) = last {
            rig.release(sequence);
        }
        let batch = rig.take();
        let (of_one, of_zero): (Vec<_>, Vec<_>) = batch.runs.iter().cloned().partition(|run| rig.partition(run) == 1);
        blocked |= !of_zero.is_empty();
        resolved += of_one.iter().map(|run| i64::from(run.records())).sum::<i64>();
        rig.settle(&of_one);
        last = Some(batch.sequence);
    }
    if resolved == 700 {
        rig.abort();
        return false;
    }
    // The group had nothing: the position reading began at is committed for the blocked one.
    let safe = [Some(0), Some(resolved)];
    wait_until("what is resolved is committed", || rig.committed() == safe);
    // Time for several drips into the hold, and for several statistics of after the last pause: those are believed.
    rig.nothing_for(Duration::from_secs(6));
    assert_eq!(rig.committed(), safe);
    rig.abort();
    assert_eq!(client.committed(GROUP, TOPIC).unwrap(), safe);

    let rig = SourceRig::start(&kafka, &Options::default());
    let mut next = BTreeMap::from([(0, 0), (1, resolved)]);
    rig.take_in_order(&mut next, 1 + 700 - resolved as usize);
    assert_eq!(next, BTreeMap::from([(0, 1), (1, 700)]));
    rig.drain();
    true
}

#[test]
fn a_rewind_destroys_what_the_hold_has_of_its_partition() {
    let kafka = cluster(2);
    let client = KafkaClient::at(kafka.brokers());
    client.produce(TOPIC, padded(0, 0, 700)).unwrap();
    let rig = SourceRig::start(&kafka, &Options { ring: 1, ..Options::default() });
    let batch = rig.take();
    let run = batch.runs[0].clone();
    assert_eq!(run.first.0, 0);
    // No room: several drips go to the hold.
    rig.nothing_for(Duration::from_millis(1_300));
    rig.rewind(&run);
    wait_until("rewound", || rig.pipeline.metrics.rewound.get() == u64::from(run.records()));
    rig.release(batch.sequence);
    rig.take_in_order(&mut BTreeMap::from([(0, 0)]), 700);
    assert_eq!((rig.pipeline.metrics.gap_records.get(), rig.pipeline.metrics.redelivered.get()), (0, 0));
    rig.drain();
}

#[test]
fn a_paused_partition_revoked_and_assigned_again_is_read() {
    let kafka = cluster(2);
    let client = KafkaClient::at(kafka.brokers());
    client.produce(TOPIC, padded(0, 0, 600).chain(padded(1, 0, 600))).unwrap();
    let rig = SourceRig::start(&kafka, &Options { span: 100, ..Options::default() });
    let mut epochs = BTreeMap::new();
    while epochs.len() < 2 {
        let batch = rig.take();
        epochs.extend(batch.runs.iter().map(|run| (rig.partition(run), run.ticket.epoch)));
    }
    while rig.batches.recv_timeout(Duration::from_millis(500)).is_ok() {}
    // Nothing is resolved: both are paused for their span.
    let visitor = SourceRig::start(&kafka, &Options::default());
    let visited = visitor.take();
    let lent = visitor.partition(&visited.runs[0]);
    let kept = 1 - lent;
    assert_eq!(rig.pipeline.metrics.assigned_partitions.get(), 1);
    drop(visited);
    visitor.abort();
    let again = rig.take();
    let run = &again.runs[0];
    assert_eq!((rig.partition(run), run.first.0), (lent, 0));
    assert!(run.ticket.epoch > epochs[&lent]);
    assert!(again.runs.iter().all(|run| rig.partition(run) != kept), "the one that stayed is still paused");
    rig.abort();
}

/// One record in the way must not let everything behind it pile up.
#[test]
fn a_partition_whose_first_record_stays_open_is_read_no_further_than_its_span() {
    const SPAN: usize = 500;
    // The mock keeps 5 MB of a partition.
    const RECORDS: usize = 4_000;
    let kafka = cluster(1);
    let client = KafkaClient::at(kafka.brokers());
    client.produce(TOPIC, padded(0, 0, RECORDS as i64)).unwrap();
    let rig = SourceRig::start(&kafka, &Options { span: SPAN, ring: 200, ..Options::default() });
    let first = rig.take();
    let mut read = rig.offsets(&first).len();
    rig.release(first.sequence);
    while let Ok(batch) = rig.batches.recv_timeout(Duration::from_millis(700)) {
        read += rig.offsets(&batch).len();
        rig.settle(&batch.runs);
        rig.release(batch.sequence);
    }
    // One batch may pass the bound.
    assert!(read > SPAN && read <= SPAN + 1024, "{read}");
    assert_eq!(rig.committed(), [Some(0)], "the first record is open");
    let mut next = BTreeMap::from([(0, read as i64)]);
    rig.settle(&first.runs);
    rig.take_in_order(&mut next, RECORDS - read);
    wait_until("everything is committed", || rig.committed() == [Some(RECORDS as i64)]);
    rig.drain();
}

/// What the replaced script got wrong: it sought back in the partition of the failed record only.
#[test]
fn a_failure_takes_back_every_partition_of_the_failed_records() {
    let kafka = cluster(4);
    let client = KafkaClient::at(kafka.brokers());
    client.produce(TOPIC, (0..4).flat_map(|partition| padded(partition, 0, 10))).unwrap();
    let rig = SourceRig::start(&kafka, &Options::default());
    let open_all = || {
        let mut runs = Vec::new();
        while runs.iter().map(Run::records).sum::<u32>() < 40 {
            let batch = rig.take();
            runs.extend(batch.runs.iter().filter(|run| rig.is_current(run)).cloned());
            rig.release(batch.sequence);
        }
        runs
    };
    let tickets = open_all().iter().map(|run| run.ticket).collect();
    rig.reports.send(Report::Rewind { tickets, cause: RewindCause::Delivery });
    wait_until("all four were taken back", || rig.pipeline.metrics.rewound.get() == 40);
    open_all();
    rig.reports.send(Report::GaveUp(GiveUp::Unacknowledged));
    wait_until("all four once more", || rig.pipeline.metrics.rewound.get() == 80);
    rig.reports.send(Report::SinkAnswers);
    rig.take_in_order(&mut (0..4).map(|partition| (partition, 0)).collect(), 40);
    wait_until("everything is committed", || rig.committed() == [Some(10); 4]);
    rig.drain();
}
