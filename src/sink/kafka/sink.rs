//! The sink's thread: one loop over reports, commands, batches and deadlines.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::config::plan::{KafkaSinkPlan, RetryPlan};
use crate::librdkafka::Bootstrap;
use crate::librdkafka::producer::buffers::BufferId;
use crate::librdkafka::producer::{ClientEvent, DeliveryReport, ProduceRefusal};
use crate::model::{Epoch, Exit, Halt, PartitionId, Prepared, Report};
use crate::sink::context::SinkContext;
use crate::sink::sequencer::Sequencer;
use crate::telemetry::health::Component;
use crate::telemetry::metrics::StageName;

use super::failing::Failing;
use super::flight::Flight;
use super::limit::max_message_bytes;
use super::line::{CurrentProducer, calls_roll, open_line};
use super::patience::{AckTimer, HandedOver, OldestTimer};
use super::roll::Roll;
use super::suspects::Suspects;
use super::targets::Rounds;
use super::tickets::{DeliveredParts, OpenTickets};
use super::{KafkaItem, SinkCommand, constant_topic};

/// How long reading the topic's limit may take at start.
const LIMIT_READ: Duration = Duration::from_secs(5);
/// How long destroying the producer may take at the end.
const CLOSE: Duration = Duration::from_secs(5);
/// Longest wait while something is held that no wake-up announces: a fence, a deadline.
const HELD_WAIT: Duration = Duration::from_millis(20);
/// Most records of a batch.
const MOST_IN_A_BATCH: usize = 1024;
/// Longest wait while all is well.
const IDLE_WAIT: Duration = Duration::from_millis(250);

/// What a sink is built from.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where records go.
    pub plan: KafkaSinkPlan,
    /// When to give up.
    pub retry: RetryPlan,
    /// The pipeline's byte budget.
    pub memory_bytes: usize,
    /// Places of the ring: the source hands out no sequence number at or above `released` plus this.
    pub ring: usize,
}

/// See the module's parent.
pub struct KafkaSink {
    pub(super) setup: Setup,
    pub(super) ctx: SinkContext,
    /// The one topic, when the record does not decide.
    pub(super) topic: Option<Arc<str>>,
    /// Which topics are there; `None` where one fixed topic is waited for.
    pub(super) roll: Option<Roll>,
    pub(super) rounds: Rounds,
    pub(super) line: CurrentProducer,
    /// What the producer of `line` holds, by buffer.
    pub(super) flights: Vec<Option<Flight>>,
    /// What the next batch to be handed over is numbered.
    pub(super) next_number: HandedOver,
    /// The batch that is being handed over: its buffer and the index of its next item.
    pub(super) handing: Option<(BufferId, usize)>,
    /// Payload bytes of the batches in the ring.
    ring_bytes: usize,
    pub(super) open: OpenTickets,
    /// Partitions that were reported for a rewind, with the epoch that will not be produced any more.
    pub(super) doomed: HashMap<PartitionId, Epoch>,
    pub(super) suspects: Suspects,
    /// Records acknowledged so far.
    pub(super) delivered: u64,
    pub(super) patience: AckTimer,
    pub(super) oldest: OldestTimer,
    pub(super) phase: SinkPhase,
    /// Producers made anew since the last acknowledgement.
    pub(super) renewals: u32,
    /// What must be done with the whole producer once the group at hand is through.
    pub(super) due: Option<SinkDue>,
    pub(super) quiet_asked: Vec<PartitionId>,
    pub(super) trouble: ClientComplaint,
    pub(super) reached: bool,
    pub(super) bootstrap: Bootstrap,
    /// When the cluster is asked again whether it is there.
    pub(super) next_greeting: Option<Instant>,
    pub(super) message_max_bytes: Option<u32>,
    pub(super) scratch: SinkScratch,
}

/// What the sink may do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SinkPhase {
    /// Produce.
    Running,
    /// Wait before the new producer is used.
    Resting {
        /// Until when.
        until: Instant,
    },
    /// Produce nothing until a probe is answered.
    Probing {
        /// When the next probe is due.
        next: Instant,
        /// The topic asked for.
        topic: Option<Arc<str>>,
    },
    /// Produce nothing any more.
    Halted,
}

/// See [`KafkaSink::due`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SinkDue {
    /// The producer is unusable.
    Replace,
    /// Everything goes back until a probe is answered.
    GiveUp {
        /// The missing topic.
        topic: Option<Arc<str>>,
        /// The alert.
        message: String,
    },
    /// The pipeline cannot go on.
    Halt(Halt),
}

/// What the client complained of last.
#[derive(Default)]
pub(super) struct ClientComplaint {
    pub(super) last: String,
    /// What broke a connection, where the client only logs it and something can be done.
    pub(super) heard: String,
    pub(super) named: bool,
    pub(super) late_named: bool,
    pub(super) failing: Failing,
    /// First and last time credentials were refused since the last good answer.
    pub(super) refused: Option<(Instant, Instant)>,
}

/// Reused buffers.
#[derive(Default)]
pub(super) struct SinkScratch {
    pub(super) reports: Vec<DeliveryReport>,
    pub(super) events: Vec<ClientEvent>,
    pub(super) refused: Vec<ProduceRefusal>,
    /// What the broker said about single messages of the reports at hand.
    pub(super) said: BTreeMap<(BufferId, u32), String>,
    pub(super) delivered: DeliveredParts,
}

type Ring = Sequencer<(Instant, Prepared<KafkaItem>)>;

impl KafkaSink {
    /// Makes the sink and its producer; does not wait for the cluster.
    ///
    /// # Errors
    /// A property is refused: a message that names it.
    pub fn open(setup: Setup, ctx: SinkContext) -> Result<Self, String> {
        let line = open_line(&setup, None, false)?;
        ctx.pipeline.health.needs(Component::Sink);
        // The ring and the batch in hand; a batch has at most as many records as the source drains at once.
        ctx.pipeline.metrics.queue_records_limit.set(((setup.ring + 1) * MOST_IN_A_BATCH) as i64);
        ctx.pipeline.metrics.queue_bytes_limit.set(ctx.pipeline.budget.limit() as i64);
        Ok(Self {
            topic: constant_topic(&setup.plan),
            roll: calls_roll(&setup.plan).then(|| Roll::new(setup.plan.on_missing_topic)),
            rounds: Rounds::default(),
            line,
            flights: Vec::new(),
            next_number: HandedOver::default(),
            handing: None,
            ring_bytes: 0,
            open: OpenTickets::default(),
            doomed: HashMap::new(),
            suspects: Suspects::default(),
            delivered: 0,
            patience: AckTimer::new(setup.retry.in_place),
            oldest: OldestTimer::new(setup.retry.in_place),
            phase: SinkPhase::Running,
            renewals: 0,
            due: None,
            quiet_asked: Vec::new(),
            trouble: ClientComplaint::default(),
            reached: false,
            bootstrap: Bootstrap::default(),
            next_greeting: None,
            message_max_bytes: None,
            scratch: SinkScratch::default(),
            setup,
            ctx,
        })
    }

    /// Runs on the calling thread until `intake` is disconnected and every report was served, or, once the process
    /// aborts, until the producer was purged.
    pub fn run(mut self, intake: flume::Receiver<Prepared<KafkaItem>>, commands: flume::Receiver<SinkCommand>) {
        self.learn_limit();
        let mut ring = Ring::new(self.setup.ring);
        let (mut intake, mut commands) = (Some(intake), Some(commands));
        loop {
            let start = Instant::now();
            self.serve(start);
            self.take_commands(&mut commands);
            self.take_batches(&mut intake, &mut ring);
            self.hand_over(&mut ring);
            self.tick(Instant::now());
            self.publish_queue_bytes();
            if self.is_finished(intake.is_none()) {
                break;
            }
            let pause = Instant::now();
            self.ctx.pipeline.metrics.busy(StageName::Sink).add(nanos(pause - start));
            let heard = self.wait(intake.as_ref(), commands.as_ref());
            if self.handing.is_some() {
                self.ctx.pipeline.metrics.blocked(StageName::Sink).add(nanos(pause.elapsed()));
            }
            match heard {
                WaitEnd::Batch(Some(batch)) => self.enter(&mut ring, *batch),
                WaitEnd::Batch(None) => intake = None,
                WaitEnd::Command(Some(command)) => self.obey(command),
                WaitEnd::Command(None) => commands = None,
                WaitEnd::Hook | WaitEnd::Nothing => {}
            }
        }
        self.leave();
    }

    /// Reads the output topic's largest record; where that is not permitted, librdkafka's default stays.
    fn learn_limit(&mut self) {
        let connection = &self.setup.plan.connection;
        let Some(topic) = self.topic.clone() else { return };
        if connection.properties.contains_key("message.max.bytes") {
            return;
        }
        match max_message_bytes(connection, &topic, LIMIT_READ) {
            Ok(limit) => {
                self.message_max_bytes = Some(limit);
                if let Ok(line) = open_line(&self.setup, self.message_max_bytes, false) {
                    self.line = line;
                }
            }
            Err(error) => tracing::warn!(
                pipeline = %self.ctx.pipeline.name,
                "max.message.bytes of topic {topic} could not be read ({error}): records above 1,000,000 bytes are \
                 rejected. Allow DescribeConfigs, or set `librdkafka: {{ message.max.bytes: … }}` on the connection"
            ),
        }
    }

    fn take_commands(&mut self, commands: &mut Option<flume::Receiver<SinkCommand>>) {
        while let Some(channel) = commands {
            match channel.try_recv() {
                Ok(command) => self.obey(command),
                Err(flume::TryRecvError::Disconnected) => *commands = None,
                Err(flume::TryRecvError::Empty) => break,
            }
        }
    }

    fn take_batches(&mut self, intake: &mut Option<flume::Receiver<Prepared<KafkaItem>>>, ring: &mut Ring) {
        while let Some(channel) = intake {
            match channel.try_recv() {
                Ok(batch) => self.enter(ring, batch),
                Err(flume::TryRecvError::Disconnected) => *intake = None,
                Err(flume::TryRecvError::Empty) => break,
            }
        }
    }

    fn enter(&mut self, ring: &mut Ring, batch: Prepared<KafkaItem>) {
        self.ctx.pipeline.metrics.queue_records.add(batch.items.len() as i64);
        self.ring_bytes += batch.payload.len();
        if let Err(error) = ring.insert(batch.sequence, (Instant::now(), batch)) {
            let message = format!("{error}. This is a bug: please report it");
            self.halt(Halt { exit: Exit::Failure, message });
        }
    }

    /// Takes the next batch in sequence.
    pub(super) fn next_batch(&mut self, ring: &mut Ring) -> Option<(Instant, Prepared<KafkaItem>)> {
        let batch = ring.pop()?;
        self.ring_bytes = self.ring_bytes.saturating_sub(batch.1.payload.len());
        self.ctx.released.store(ring.next(), Ordering::Release);
        self.ctx.reports.wake();
        Some(batch)
    }

    /// What waits for the producer: the ring, and the batch in hand as a whole.
    fn publish_queue_bytes(&self) {
        let in_hand = self.handing.and_then(|(buffer, _)| self.line.producer.payload(buffer)).map_or(0, <[u8]>::len);
        self.ctx.pipeline.metrics.queue_bytes.set((self.ring_bytes + in_hand) as i64);
    }

    fn obey(&mut self, command: SinkCommand) {
        match command {
            SinkCommand::Quiesce(slot) => {
                if !self.quiet_asked.contains(&slot) {
                    self.quiet_asked.push(slot);
                }
            }
            SinkCommand::Purge => self.purge_on_order(),
        }
    }

    /// Answers the partitions that have become quiet.
    pub(super) fn answer_quiet(&mut self) {
        let (open, ctx) = (&self.open, &self.ctx);
        self.quiet_asked.retain(|slot| {
            let waits = open.has_old(*slot, ctx.pipeline.table.current(*slot));
            if !waits {
                ctx.report(Report::Quiet(*slot));
            }
            waits
        });
    }

    fn is_finished(&self, intake_closed: bool) -> bool {
        let waits = self.roll.as_ref().is_some_and(|roll| roll.waiting() > 0);
        let drained = intake_closed && self.handing.is_none() && self.open.is_empty() && !waits;
        drained || self.ctx.pipeline.stop.is_aborting() || (intake_closed && self.phase == SinkPhase::Halted)
    }

    fn leave(mut self) {
        self.purge_and_serve();
        self.answer_quiet();
        self.line.producer.close(CLOSE);
    }

    fn wait(
        &self,
        intake: Option<&flume::Receiver<Prepared<KafkaItem>>>,
        commands: Option<&flume::Receiver<SinkCommand>>,
    ) -> WaitEnd {
        let found = self.roll.as_ref().is_some_and(Roll::has_found);
        let held = found || self.handing.is_some() || self.phase != SinkPhase::Running || !self.quiet_asked.is_empty();
        let mut selector = flume::Selector::new().recv(&self.line.woken, |_| WaitEnd::Hook);
        if let Some(intake) = intake {
            selector = selector.recv(intake, |batch| WaitEnd::Batch(batch.ok().map(Box::new)));
        }
        if let Some(commands) = commands {
            selector = selector.recv(commands, |command| WaitEnd::Command(command.ok()));
        }
        selector.wait_timeout(if held { HELD_WAIT } else { IDLE_WAIT }).unwrap_or(WaitEnd::Nothing)
    }
}

/// What ended a wait.
enum WaitEnd {
    Hook,
    Batch(Option<Box<Prepared<KafkaItem>>>),
    Command(Option<SinkCommand>),
    Nothing,
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
