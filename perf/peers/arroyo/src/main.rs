//! sentry_arroyo on the work that is measured: Kafka, `result` taken out of the value, Kafka.
//!
//! Its own example of transforming and producing, with a commit once a second. Ends with SIGTERM.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use sentry_arroyo::backends::kafka::config::KafkaConfig;
use sentry_arroyo::backends::kafka::producer::KafkaProducer;
use sentry_arroyo::backends::kafka::types::KafkaPayload;
use sentry_arroyo::backends::kafka::InitialOffset;
use sentry_arroyo::processing::strategies::commit_offsets::CommitOffsets;
use sentry_arroyo::processing::strategies::produce::Produce;
use sentry_arroyo::processing::strategies::run_task::RunTask;
use sentry_arroyo::processing::strategies::run_task_in_threads::ConcurrencyConfig;
use sentry_arroyo::processing::strategies::{
    InvalidMessage, ProcessingStrategy, ProcessingStrategyFactory, SubmitError,
};
use sentry_arroyo::processing::StreamProcessor;
use sentry_arroyo::types::{InnerMessage, Message, Topic, TopicOrPartition};
use serde_json::value::RawValue;
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{signal, SignalKind};

/// How many messages its Produce step has open at once.
const CONCURRENCY: usize = 1000;
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// The engine's settings for its consumer.
const CONSUMER: [(&str, &str); 5] = [
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.wait.max.ms", "50"),
    ("queued.max.messages.kbytes", "65536"),
    ("check.crcs", "true"),
    ("isolation.level", "read_committed"),
];

/// The engine's settings for its producer, but for the queue: Produce does not wait for deliveries, and ends with an
/// error when the queue is full.
const PRODUCER: [(&str, &str); 8] = [
    ("acks", "all"),
    ("enable.idempotence", "true"),
    ("linger.ms", "20"),
    ("batch.size", "1000000"),
    ("partitioner", "murmur2_random"),
    ("compression.type", "none"),
    ("queue.buffering.max.messages", "2000000"),
    ("queue.buffering.max.kbytes", "2000000"),
];

#[derive(serde::Deserialize)]
struct Envelope<'v> {
    #[serde(borrow)]
    result: &'v RawValue,
}

fn take_result(message: Message<KafkaPayload>) -> Result<Message<KafkaPayload>, SubmitError<KafkaPayload>> {
    let value = message.payload().payload().map(Vec::as_slice).unwrap_or_default();
    match serde_json::from_slice::<Envelope>(value) {
        Ok(envelope) => {
            let result = envelope.result.get().as_bytes().to_vec();
            let payload = KafkaPayload::new(message.payload().key().cloned(), None, Some(result));
            Ok(message.replace(payload))
        }
        Err(error) => match message.inner_message {
            InnerMessage::BrokerMessage(broker) => Err(SubmitError::InvalidMessage(InvalidMessage::from(&broker))),
            InnerMessage::AnyMessage(_) => panic!("a message without an offset, and without a result: {error}"),
        },
    }
}

struct Factory {
    runtime: Handle,
    config: KafkaConfig,
    topic: Topic,
}

impl ProcessingStrategyFactory<KafkaPayload> for Factory {
    fn create(&self) -> Box<dyn ProcessingStrategy<KafkaPayload>> {
        let producer = KafkaProducer::new(self.config.clone()).expect("the producer's settings are valid");
        let concurrency = ConcurrencyConfig::with_runtime(CONCURRENCY, self.runtime.clone());
        let produce = Produce::new(
            CommitOffsets::new(COMMIT_EVERY),
            producer,
            &concurrency,
            TopicOrPartition::Topic(self.topic),
        );
        Box::new(RunTask::new(take_result, produce))
    }
}

fn settings(pairs: &[(&str, &str)]) -> Option<HashMap<String, String>> {
    Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, topic, group, to_brokers, to_topic] = words.as_slice() else {
        return Err("usage: peer-arroyo BROKERS TOPIC GROUP TO_BROKERS TO_TOPIC".into());
    };
    let list = |brokers: &str| brokers.split(',').map(str::to_owned).collect::<Vec<_>>();
    let consumer = KafkaConfig::new_consumer_config(
        list(brokers),
        group.clone(),
        InitialOffset::Earliest,
        false,
        60_000,
        settings(&CONSUMER),
    );
    let runtime = Runtime::new()?;
    let factory = Factory {
        runtime: runtime.handle().clone(),
        config: KafkaConfig::new_producer_config(list(to_brokers), settings(&PRODUCER)),
        topic: Topic::new(to_topic),
    };
    let processor = StreamProcessor::with_kafka(consumer, factory, Topic::new(topic), None);
    let mut handle = processor.get_handle();
    runtime.spawn(async move {
        if let Ok(mut asked) = signal(SignalKind::terminate()) {
            asked.recv().await;
            handle.signal_shutdown();
        }
    });
    Ok(processor.run()?)
}
