//! Batch consume, batch produce: a copy of the bytes into one buffer a batch, which the producer borrows.
//!
//! It commits once a second, after everything produced so far was acknowledged: the plainest way to at-least-once.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use secrecy::ExposeSecret as _;
use sluicegate::internals::config::plan::SinkPlan;
use sluicegate::internals::librdkafka::MessageBatch;
use sluicegate::internals::librdkafka::producer::message::{Message, Span};
use sluicegate::internals::librdkafka::producer::{DeliveryReport, Producer};
use sluicegate::internals::sink::kafka::settings::{ProducerSettings, properties};

use super::Task;
use super::extract::Extractor;
use super::reader::{self, Reader};

/// Records handed over and not acknowledged, at most.
const OPEN: usize = 100_000;
/// How long the far side may be silent.
const SILENCE: Duration = Duration::from_secs(60);

struct Writer {
    producer: Producer,
    woken: flume::Receiver<()>,
    topic: String,
    reports: Vec<DeliveryReport>,
}

/// See the module; `take_result` parses each value and produces its `result` only.
///
/// # Errors
/// Reading, parsing or producing fails.
pub fn run(task: &Task, take_result: bool) -> anyhow::Result<()> {
    let mut writer = Writer::open(task)?;
    let mut reader = Reader::open(task)?;
    let mut extractor = take_result.then(Extractor::default);
    while let Some(batch) = reader.next()? {
        reader.note(&batch);
        let (payload, messages) = copy(&batch, extractor.as_mut())?;
        drop(batch);
        writer.produce(payload, &messages)?;
        if reader.is_commit_due() {
            writer.wait_below(1)?;
            reader.commit()?;
        }
    }
    writer.wait_below(1)?;
    reader.finish()?;
    writer.producer.close(Duration::from_secs(10));
    Ok(())
}

fn copy(batch: &MessageBatch, mut extractor: Option<&mut Extractor>) -> anyhow::Result<(Vec<u8>, Vec<Message>)> {
    let mut payload = Vec::with_capacity((0..batch.len()).map(|index| batch.bytes_at(index)).sum());
    let mut messages = Vec::with_capacity(batch.len());
    for index in 0..batch.len() {
        let mut append = |bytes: &[u8]| {
            let start = payload.len();
            payload.extend_from_slice(bytes);
            Span::since(start, &payload)
        };
        let whole = batch.value(index).context("a record without a value")?;
        let part = match &mut extractor {
            Some(extractor) => &whole[extractor.find(whole).context("a record without result")?.result],
            None => whole,
        };
        let value = append(part);
        let key = batch.key(index).and_then(append);
        messages.push(Message { value, key, headers: None, timestamp_ms: None });
    }
    Ok((payload, messages))
}

impl Writer {
    fn open(task: &Task) -> anyhow::Result<Self> {
        let plan = reader::pipeline(task)?;
        let SinkPlan::Kafka(sink) = &plan.sink else { bail!("a Kafka sink was configured") };
        let settings = ProducerSettings {
            linger: sink.linger,
            compression: &sink.compression,
            partitioner: &sink.partitioner,
            message_max_bytes: None,
            memory_bytes: plan.memory.0,
            alone: false,
        };
        let all = properties(&sink.connection, &settings);
        let (wake, woken) = flume::bounded(1);
        let pairs = all.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
        let producer = Producer::open(pairs, move || {
            let _ = wake.try_send(());
        })?;
        Ok(Self { producer, woken, topic: task.to_topic.clone(), reports: Vec::new() })
    }

    fn produce(&mut self, payload: Vec<u8>, messages: &[Message]) -> anyhow::Result<()> {
        let buffer = self.producer.lend(payload);
        let (mut at, mut refused) = (0, Vec::new());
        while at < messages.len() {
            at += self.producer.produce(&self.topic, buffer, at as u32, &messages[at..], |one| *one, &mut refused);
            if let Some(refusal) = refused.first() {
                bail!("a record was refused: {}", refusal.code);
            }
            if at < messages.len() {
                self.wait_below(self.producer.open_messages())?;
            }
        }
        self.producer.seal(buffer);
        self.wait_below(OPEN)
    }

    /// Serves reports until fewer than `open` records are open.
    fn wait_below(&mut self, open: usize) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            self.producer.serve(&mut self.reports, &mut Vec::new());
            if let Some(error) = self.reports.iter().find_map(|report| report.error) {
                bail!("a record was not delivered: {error}");
            }
            self.reports.clear();
            if self.producer.open_messages() < open {
                return Ok(());
            }
            if started.elapsed() > SILENCE {
                bail!("{} records were not acknowledged", self.producer.open_messages());
            }
            // Nothing comes for a while is no error here: the bound above is.
            let _ = self.woken.recv_timeout(Duration::from_millis(100));
        }
    }
}
