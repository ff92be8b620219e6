//! Dead letters as records of a Kafka topic, by a producer of their own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;

use crate::config::plan::KafkaConnection;
use crate::librdkafka::producer::message::{Message, Span};
use crate::librdkafka::producer::{ClientEvent, Probe, ProduceRefusal, Producer};
use crate::librdkafka::{Bootstrap, ErrorCode, words};
use crate::sink::kafka::settings::{ProducerSettings, properties};
use crate::telemetry::handles::Handles;
use crate::telemetry::health::Component;

use super::envelope::append_headers;
use super::{GLANCE, Letter, WriteAttempt};

/// Without an acknowledgement for this long the wait becomes a named fault.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a purge may take before the producer is given up with what it holds.
const PURGE: Duration = Duration::from_secs(2);
const GREETING: Duration = Duration::from_millis(500);
const GREETING_INTERVAL: Duration = Duration::from_secs(2);
const CLOSE: Duration = Duration::from_secs(5);
/// A dead letter is as large as its record; the broker's limit decides, not a default of the client.
const LARGEST_LETTER: u32 = 1_000_000_000;

/// What became of a letter: nothing yet, written, or refused.
type LetterAnswer = Option<Result<(), ErrorCode>>;

/// See the module. One group is written at a time; its letters keep their order.
pub(super) struct LetterTopic {
    connection: KafkaConnection,
    topic: String,
    memory_bytes: usize,
    pipeline: Arc<Handles>,
    producer: Option<Producer>,
    woken: flume::Receiver<()>,
    /// When the cluster is asked again whether the topic is there; `None` once it answered.
    next_greeting: Option<Instant>,
}

impl LetterTopic {
    /// Makes the producer; does not wait for the cluster.
    ///
    /// # Errors
    /// A property is refused: a message that names it.
    pub(super) fn open(
        connection: &KafkaConnection,
        topic: &str,
        memory_bytes: usize,
        pipeline: Arc<Handles>,
    ) -> Result<Self, String> {
        let (producer, woken) = open_producer(connection, memory_bytes)?;
        let (connection, topic) = (connection.clone(), topic.to_owned());
        let next_greeting = Some(Instant::now());
        Ok(Self { connection, topic, memory_bytes, pipeline, producer: Some(producer), woken, next_greeting })
    }

    /// While nothing is to be written: asks whether cluster and topic are there, until the cluster has answered. A
    /// missing topic is only logged, for no letter waits for it yet.
    pub(super) fn greet(&mut self, now: Instant) {
        let (Some(due), Some(producer)) = (self.next_greeting, &mut self.producer) else { return };
        if now < due {
            return;
        }
        self.next_greeting = match producer.probe(Some(&self.topic), GREETING) {
            Probe::Silent(_) => Some(now + GREETING_INTERVAL),
            Probe::Answers => None,
            Probe::Topic(code) => {
                tracing::warn!(topic = self.topic, "the dead-letter topic cannot be written yet: {code}");
                None
            }
        };
        if self.next_greeting.is_none() {
            self.pipeline.health.reached(Component::DeadLetter);
        }
    }

    /// Writes letters and waits for every answer.
    pub(super) fn write(&mut self, letters: &[Letter]) -> WriteAttempt {
        let mut answers = vec![None; letters.len()];
        match self.take_producer() {
            Ok(mut producer) => {
                self.produce_and_wait(&mut producer, letters, &mut answers);
                match producer.fatal() {
                    Some((code, text)) => tracing::warn!("the dead-letter producer is made anew: {code}: {text}"),
                    // Anything still open means the wait was given up: the buffers go with the producer.
                    None if producer.open_messages() == 0 => self.producer = Some(producer),
                    None => {}
                }
            }
            Err(fault) => {
                return WriteAttempt { done: vec![false; letters.len()], too_large: false, fault: Some(fault) };
            }
        }
        if answers.contains(&Some(Ok(()))) {
            self.pipeline.health.reached(Component::DeadLetter);
        }
        let fault = letters
            .iter()
            .zip(&answers)
            .find(|(_, answer)| **answer != Some(Ok(())))
            .map(|(letter, answer)| self.fault(letter, *answer));
        let too_large = answers.iter().flatten().any(|answer| answer.is_err_and(is_too_large));
        WriteAttempt { done: answers.iter().map(|answer| *answer == Some(Ok(()))).collect(), too_large, fault }
    }

    pub(super) fn close(self) {
        if let Some(producer) = self.producer {
            producer.close(CLOSE);
        }
    }

    fn take_producer(&mut self) -> Result<Producer, String> {
        if let Some(producer) = self.producer.take() {
            return Ok(producer);
        }
        let (producer, woken) = open_producer(&self.connection, self.memory_bytes)?;
        self.woken = woken;
        Ok(producer)
    }

    fn produce_and_wait(&self, producer: &mut Producer, letters: &[Letter], answers: &mut [LetterAnswer]) {
        let (payload, messages) = encode(letters, &self.pipeline.name);
        let buffer = producer.lend(payload);
        let (mut reports, mut events) = (Vec::new(), Vec::new());
        let mut refused: Vec<ProduceRefusal> = Vec::new();
        let (mut next, mut last_answer) = (0, Instant::now());
        let (mut trouble, mut bootstrap) = (String::new(), Bootstrap::default());
        while answers.contains(&None) {
            if next < messages.len() {
                let rest = &messages[next..];
                next += producer.produce(&self.topic, buffer, next as u32, rest, |message| *message, &mut refused);
            }
            for ProduceRefusal { index, code } in refused.drain(..) {
                answers[index as usize] = Some(Err(code));
            }
            let _ = self.woken.recv_timeout(GLANCE);
            producer.serve(&mut reports, &mut events);
            for report in reports.drain(..) {
                answers[report.index as usize] = Some(report.error.map_or(Ok(()), Err));
                last_answer = Instant::now();
                bootstrap.answered();
            }
            if answers.contains(&None) && bootstrap.is_due(Instant::now()) {
                producer.bootstrap_again();
            }
            note(&mut events, &mut trouble);
            if last_answer.elapsed() > PATIENCE && answers.contains(&None) {
                self.pipeline.health.raise(Component::DeadLetter, self.waiting_fault(letters.len(), &trouble));
            }
            if self.pipeline.stop.is_aborting() || producer.fatal().is_some() {
                abandon(producer, &self.woken, answers);
                break;
            }
        }
        producer.seal(buffer);
    }

    fn waiting_fault(&self, letters: usize, trouble: &str) -> String {
        let reason = if trouble.is_empty() { "no answer" } else { trouble };
        format!(
            "{letters} dead letters wait for topic {} of connection {}: {reason}. Nothing is skipped; records behind them \
             wait. Check that the topic exists and its cluster can be reached",
            self.topic, self.connection.name
        )
    }

    fn fault(&self, letter: &Letter, answer: LetterAnswer) -> String {
        let (topic, connection) = (&self.topic, &self.connection.name);
        let error = answer.and_then(Result::err);
        let code = error.map_or_else(|| "no answer".to_owned(), |code| code.to_string());
        let advice = match error {
            Some(code) if is_too_large(code) => {
                "raise the topic's `max.message.bytes`, or set `on_too_large: omit_value` beside it to keep such letters \
                 without their value"
            }
            Some(
                ErrorCode::TOPIC_AUTHORIZATION_FAILED
                | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
                | ErrorCode::AUTHENTICATION
                | ErrorCode::SASL_AUTHENTICATION_FAILED,
            ) => "allow this user to write it",
            _ => "check that the topic exists and its cluster can be reached",
        };
        format!(
            "dead letters cannot be written to topic {topic} of connection {connection}: {code}, first for {}[{}] offset \
             {} ({} bytes). Nothing is skipped; it is tried again. What to do: {advice}",
            letter.original.topic,
            letter.original.partition,
            letter.original.offset,
            letter.original.bytes(),
        )
    }
}

/// Whether a letter, or the batch it travelled in, is larger than the topic takes.
fn is_too_large(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::MSG_SIZE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE)
}

/// Purges what is open and takes the last answers, for a bounded time.
fn abandon(producer: &mut Producer, woken: &flume::Receiver<()>, answers: &mut [LetterAnswer]) {
    let (mut reports, mut events) = (Vec::new(), Vec::new());
    let end = Instant::now() + PURGE;
    while producer.open_messages() > 0 && Instant::now() < end {
        producer.purge();
        let _ = woken.recv_timeout(GLANCE);
        producer.serve(&mut reports, &mut events);
        for report in reports.drain(..) {
            answers[report.index as usize] = Some(report.error.map_or(Ok(()), Err));
        }
    }
}

/// Logs what the client says and keeps its last error.
fn note(events: &mut Vec<ClientEvent>, trouble: &mut String) {
    for event in events.drain(..) {
        match event {
            // What says what to do outlives what only says that all brokers are away.
            ClientEvent::Error { text, .. } if words::remedy(&text).is_none() && words::remedy(trouble).is_some() => {}
            ClientEvent::Error { code, text } => *trouble = format!("{code}: {}", words::told(&text)),
            ClientEvent::Refused { text, .. } => *trouble = text,
            ClientEvent::Log { level, text } => {
                tracing::debug!(level, "dead-letter producer: {text}");
                if words::remedy(&text).is_some() {
                    *trouble = words::told(text.strip_prefix("FAIL: ").unwrap_or(&text));
                }
            }
        }
    }
}

fn open_producer(connection: &KafkaConnection, memory_bytes: usize) -> Result<(Producer, flume::Receiver<()>), String> {
    let settings = ProducerSettings {
        linger: Duration::from_millis(5),
        compression: "none",
        partitioner: "murmur2_random",
        message_max_bytes: Some(LARGEST_LETTER),
        memory_bytes,
        alone: false,
    };
    let mut properties = properties(connection, &settings);
    // A missing topic shall be named soon; its letters are produced again anyway.
    properties.insert(0, ("topic.metadata.propagation.max.ms".to_owned(), "5000".into()));
    let (wake, woken) = flume::bounded(1);
    let pairs = properties.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
    let producer = Producer::open(pairs, move || {
        let _ = wake.try_send(());
    });
    producer
        .map(|producer| (producer, woken))
        .map_err(|error| format!("dead letters, connection {}: {error}", connection.name))
}

fn encode(letters: &[Letter], pipeline: &str) -> (Vec<u8>, Vec<Message>) {
    let mut payload = Vec::with_capacity(letters.iter().map(|letter| letter.original.bytes() + 512).sum());
    let messages = letters
        .iter()
        .map(|letter| {
            let value = append(&mut payload, letter.original.value.as_deref());
            let key = append(&mut payload, letter.original.key.as_deref());
            let start = payload.len();
            append_headers(&mut payload, &letter.original, letter.place.item, &letter.reject, pipeline);
            Message { value, key, headers: Span::since(start, &payload), timestamp_ms: None }
        })
        .collect();
    (payload, messages)
}

fn append(payload: &mut Vec<u8>, bytes: Option<&[u8]>) -> Option<Span> {
    let start = payload.len();
    payload.extend_from_slice(bytes?);
    Span::since(start, payload)
}
