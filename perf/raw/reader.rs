//! Reads a topic whole in batches, with the engine's consumer settings, partitions assigned by hand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use sluicegate::internals::config;
use sluicegate::internals::config::plan::PipelinePlan;
use sluicegate::internals::librdkafka::{Consumer, Event, MessageBatch, START_EARLIEST};
use sluicegate::internals::model::{TopicPartition, Wake};
use sluicegate::internals::source::properties;

use super::{DRAIN, Task};
use crate::subject::{self, Pipeline, Target};

/// How long the topic may be silent before its end.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the last commit may take.
const COMMIT: Duration = Duration::from_secs(10);
/// Between two commits.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// A topic being read.
pub struct Reader {
    consumer: Consumer,
    wake: Arc<Wake>,
    topic: Arc<str>,
    /// Next offset by partition.
    next: Vec<i64>,
    left: u64,
    committed: Instant,
    commits: u64,
    answers: u64,
}

/// The plan a pipeline of the engine would have for this task: the source of all client settings.
///
/// # Errors
/// The configuration is refused.
pub fn plan(task: &Task) -> anyhow::Result<config::plan::Plan> {
    // A loop without a target topic still has a pipeline's client settings.
    let or = |given: &str, other: &str| if given.is_empty() { other.to_owned() } else { given.to_owned() };
    let (to_brokers, to_topic) = (or(&task.to_brokers, "127.0.0.1:1"), or(&task.to_topic, "nothing"));
    let target = Target::Topic(&to_brokers, &to_topic);
    let pipeline = Pipeline { brokers: &task.brokers, topic: &task.topic, group: &task.group, target };
    let text = subject::configuration(&[pipeline]).to_string();
    let property = |_: &str, _: &str| Ok(());
    let surroundings = config::Surroundings { environment: &|_| None, property: &property, tls: false, cores: 1 };
    let loaded =
        config::load_text(&text, "raw.json", surroundings).map_err(|findings| anyhow::anyhow!("{findings}"))?;
    Ok(loaded.plan)
}

/// Its only pipeline.
///
/// # Errors
/// See [`plan`].
pub fn pipeline(task: &Task) -> anyhow::Result<PipelinePlan> {
    plan(task)?.pipelines.pop().context("one pipeline")
}

impl Reader {
    /// Assigns all partitions from their beginning.
    ///
    /// # Errors
    /// librdkafka refuses.
    pub fn open(task: &Task) -> anyhow::Result<Self> {
        let plan = pipeline(task)?;
        let settings = properties::consumer(&plan.source, plan.memory, false);
        let wake = Arc::new(Wake::default());
        wake.register();
        let mut consumer = Consumer::open(&settings, &task.group, &[], wake.clone())?;
        let topic: Arc<str> = task.topic.as_str().into();
        let name = |partition| TopicPartition { topic: topic.clone(), partition: i32::from(partition) };
        let all: Vec<_> = (0..task.partitions).map(|partition| (name(partition), START_EARLIEST)).collect();
        consumer.assign(&all).map_err(|code| anyhow::anyhow!("cannot assign: {code}"))?;
        let next = vec![0; all.len()];
        let (left, committed) = (task.records, Instant::now());
        Ok(Self { consumer, wake, topic, next, left, committed, commits: 0, answers: 0 })
    }

    /// The next records; `None` when all have been read.
    ///
    /// # Errors
    /// An error in the place of a record, or silence.
    pub fn next(&mut self) -> anyhow::Result<Option<MessageBatch>> {
        if self.left == 0 {
            return Ok(None);
        }
        let asked = Instant::now();
        loop {
            self.wake.take();
            let batch = self.consumer.drain(DRAIN.min(usize::try_from(self.left)?), 0);
            if !batch.is_empty() {
                self.left -= batch.len() as u64;
                return Ok(Some(batch));
            }
            for event in self.consumer.events() {
                if let Event::InPlaceOfRecord { code, .. } = event {
                    bail!("an error in the place of a record: {code}");
                }
            }
            if asked.elapsed() > SILENCE {
                bail!("{} records did not come", self.left);
            }
            self.wake.park(Duration::from_millis(100));
        }
    }

    /// These records will be committed next.
    pub fn note(&mut self, batch: &MessageBatch) {
        for segment in batch.segments() {
            if let Some(next) = usize::try_from(segment.partition).ok().and_then(|place| self.next.get_mut(place)) {
                *next = batch.offset(segment.end - 1) + 1;
            }
        }
    }

    /// Whether a second has passed since the last commit.
    pub fn is_commit_due(&self) -> bool {
        self.committed.elapsed() >= COMMIT_EVERY
    }

    /// Commits what was noted; the answer is read by the next one.
    ///
    /// # Errors
    /// It cannot be sent, or one before failed.
    pub fn commit(&mut self) -> anyhow::Result<()> {
        self.read_answers()?;
        let name = |partition: usize| TopicPartition { topic: self.topic.clone(), partition: partition as i32 };
        let positions: Vec<_> =
            self.next.iter().enumerate().filter(|(_, next)| **next > 0).map(|(at, next)| (name(at), *next)).collect();
        self.commits += 1;
        self.committed = Instant::now();
        let sent = self.consumer.commit(&positions, self.commits);
        sent.map_err(|code| anyhow::anyhow!("cannot commit: {code}"))
    }

    fn read_answers(&mut self) -> anyhow::Result<()> {
        while let Some(reply) = self.consumer.reply() {
            if let sluicegate::internals::librdkafka::Reply::Commit(answer) = reply {
                if let Some(code) = answer.error {
                    bail!("commit {} failed: {code}", answer.request);
                }
                self.answers += 1;
            }
        }
        Ok(())
    }

    /// Commits a last time and waits for the answer.
    ///
    /// # Errors
    /// It failed or did not come.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.commit()?;
        let sent = Instant::now();
        while self.answers < self.commits {
            if sent.elapsed() > COMMIT {
                bail!("no answer to the last commit");
            }
            self.wake.park(Duration::from_millis(10));
            self.wake.take();
            self.read_answers()?;
        }
        Ok(())
    }
}
