//! The simulated client: the calls of the control loop, against the simulated cluster.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::plan::SourcePlan;
use crate::librdkafka::{ErrorCode, Event, OffsetKind, OpenError, PartitionAnswer, Reply};
use crate::model::{TopicPartition, Wake};
use crate::source::Client;
use crate::source::start::History;

use super::messages::Batch;
use super::world::World;

/// See the module.
pub struct SimulatedClient {
    world: Rc<RefCell<World>>,
}

impl SimulatedClient {
    /// A client of this world's cluster.
    pub fn new(world: &Rc<RefCell<World>>) -> Self {
        Self { world: world.clone() }
    }

    fn pause_or_resume(&mut self, partitions: &[TopicPartition], on: bool) -> Vec<PartitionAnswer> {
        let world = &mut *self.world.borrow_mut();
        let mut answers = Vec::new();
        for name in partitions {
            let failed = if on { world.refuses_pause() } else { world.chance(world.kafka.trouble.call) };
            let error = if failed { Some(ErrorCode::STATE) } else { world.kafka.library.pause(name.partition, on) };
            answers.push(PartitionAnswer { name: name.clone(), offset: -1001, error });
        }
        world.note(|| format!("client {} {:?}", if on { "pauses" } else { "resumes" }, numbers(partitions)));
        answers
    }
}

fn numbers(names: &[TopicPartition]) -> Vec<i32> {
    names.iter().map(|name| name.partition).collect()
}

fn pairs(positions: &[(TopicPartition, i64)]) -> Vec<(i32, i64)> {
    positions.iter().map(|(name, at)| (name.partition, *at)).collect()
}

impl Client for SimulatedClient {
    type Messages = Batch;

    fn now(&self) -> Instant {
        self.world.borrow().instant()
    }

    /// Time passes only while somebody waits: here everything else moves.
    fn park(&mut self, _wake: &Wake, limit: Duration) {
        self.world.borrow_mut().wait(limit);
    }

    fn drain(&mut self, max: usize, wait_ms: i32) -> Batch {
        let world = &mut *self.world.borrow_mut();
        if wait_ms > 0 && world.kafka.library.queue.is_empty() {
            world.wait(Duration::from_millis(wait_ms as u64));
        }
        // A batch of the loop is larger than any history.
        let max = max.min(world.largest_drain);
        let topic = world.kafka.topic.clone();
        let name = |partition| TopicPartition { topic: topic.clone(), partition };
        let messages = world.kafka.library.drain(max, name);
        if !messages.is_empty() {
            world.note(|| {
                let all: Vec<_> = messages.iter().map(|message| (message.partition, message.offset)).collect();
                format!("drained {all:?}")
            });
        }
        Batch { topic: world.kafka.topic.clone(), messages }
    }

    fn events(&mut self) -> Vec<Event> {
        let world = &mut *self.world.borrow_mut();
        let events = std::mem::take(&mut world.kafka.library.events);
        for event in &events {
            if let Event::Revoke { partitions, lost: true } = event {
                world.lost.extend(partitions.iter().map(|name| name.partition));
            }
            if !matches!(event, Event::Statistics(_)) {
                world.note(|| format!("event {event:?}"));
            }
        }
        events
    }

    fn reply(&mut self) -> Option<Reply> {
        let world = &mut *self.world.borrow_mut();
        if world.kafka.replies.is_empty() {
            return None;
        }
        let reply = world.kafka.replies.remove(0);
        // Told of a topic it has nothing of, the engine does not remember it.
        let reads = world.kafka.library.toppars.values().any(|toppar| toppar.assigned);
        world.kafka.told_topics |= reads && matches!(&reply, Reply::Topics(answer) if !answer.topics.is_empty());
        Some(reply)
    }

    fn assign(&mut self, partitions: &[(TopicPartition, i64)]) -> Result<(), ErrorCode> {
        let world = &mut *self.world.borrow_mut();
        let positions = pairs(partitions);
        let starts_at = world.now + world.up_to(Duration::from_millis(40));
        world.note(|| format!("assign {positions:?}"));
        for (partition, _) in &positions {
            world.lost.remove(partition);
        }
        world.expect_no_lost_record(&positions);
        world.kafka.assign(&positions, starts_at)
    }

    fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), ErrorCode> {
        let world = &mut *self.world.borrow_mut();
        let rejoined_at = world.now + world.up_to(Duration::from_millis(200));
        world.note(|| format!("unassign {:?}", numbers(partitions)));
        if world.engine.as_ref().is_some_and(|engine| engine.stop.is_aborting()) {
            world.land_or_lose_what_is_out();
        }
        world.kafka.unassign(&numbers(partitions), rejoined_at)
    }

    fn seek(&mut self, positions: &[(TopicPartition, i64)], wait_ms: i32) -> Result<Vec<PartitionAnswer>, ErrorCode> {
        let world = &mut *self.world.borrow_mut();
        world.note(|| format!("seek {:?}", pairs(positions)));
        if world.chance(world.kafka.trouble.call / 2.0) {
            return Err(ErrorCode::TIMED_OUT);
        }
        let mut answers = Vec::new();
        for (name, at) in positions {
            // The call runs out of time, but librdkafka's thread may do it all the same.
            let late = world.chance(world.kafka.trouble.call);
            let done = !late || world.chance(0.5);
            let now = world.now + Duration::from_millis(wait_ms.max(0) as u64 / 5);
            let lost = done && !late && world.loses_seek(name.partition);
            let error = if done && !lost { world.kafka.library.seek(name.partition, *at, now) } else { None };
            world.kafka.goes_back(name.partition, *at);
            let error = if late { Some(ErrorCode::TIMED_OUT) } else { error };
            answers.push(PartitionAnswer { name: name.clone(), offset: *at, error });
        }
        Ok(answers)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Vec<PartitionAnswer> {
        self.pause_or_resume(partitions, true)
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Vec<PartitionAnswer> {
        self.pause_or_resume(partitions, false)
    }

    fn position(&mut self, partition: &TopicPartition) -> i64 {
        let world = self.world.borrow();
        world.kafka.library.toppars.get(&partition.partition).and_then(|toppar| toppar.handed_out).unwrap_or(-1001)
    }

    fn low_watermark(&mut self, partition: &TopicPartition) -> Option<i64> {
        self.world.borrow().kafka.library.toppars.get(&partition.partition)?.low
    }

    fn subscribe(&mut self, _topics: &[String]) -> Result<(), OpenError> {
        Ok(())
    }

    fn history(&mut self, _source: &SourcePlan) -> Result<History, String> {
        Ok(self.world.borrow_mut().history())
    }

    fn commit(&mut self, positions: &[(TopicPartition, i64)], request: u64) -> Result<(), ErrorCode> {
        let world = &mut *self.world.borrow_mut();
        let positions = pairs(positions);
        world.note(|| format!("commit {positions:?}"));
        world.expect_resolved(&positions);
        if world.chance(world.kafka.trouble.call / 2.0) {
            return Err(ErrorCode::STATE);
        }
        let due = world.now + world.up_to(world.slowest_commit);
        let (due, answered) = world.silence(due);
        world.kafka.commit(positions, request, due, answered);
        Ok(())
    }

    fn ask_committed(&mut self, partitions: &[TopicPartition], request: u64) {
        self.ask_ends(OffsetKind::Committed, partitions, 0, request);
    }

    fn ask_ends(&mut self, kind: OffsetKind, partitions: &[TopicPartition], _timeout_ms: i32, request: u64) {
        let world = &mut *self.world.borrow_mut();
        let due = world.now + world.up_to(world.slowest_answer);
        world.kafka.ask_offsets(request, kind, numbers(partitions), due);
    }

    fn bootstrap_again(&mut self) {
        self.world.borrow_mut().kafka.library.forgot_brokers = false;
    }

    fn ask_topics(&mut self, _topics: &[Arc<str>], _timeout_ms: i32) {
        let world = &mut *self.world.borrow_mut();
        let due = world.now + world.up_to(world.slowest_answer);
        world.kafka.ask_topics(due);
    }

    fn unsubscribe(&mut self) {
        self.world.borrow_mut().kafka.unsubscribe();
    }

    fn is_member(&mut self) -> bool {
        !self.world.borrow().kafka.is_closed()
    }

    fn start_close(&mut self) -> Result<(), ErrorCode> {
        let world = &mut *self.world.borrow_mut();
        world.kafka.start_close();
        Ok(())
    }

    fn is_closed(&self) -> bool {
        self.world.borrow().kafka.is_closed()
    }

    fn destroy(self, _limit: Duration) -> bool {
        self.world.borrow_mut().kafka.leave();
        true
    }
}
