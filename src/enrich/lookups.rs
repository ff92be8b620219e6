//! The look-ups of one pipeline: what its workers share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::plan::{LookupPlan, LookupSource, OnLookupError, RetryPlan};
use crate::model::{Exit, Halt};
use crate::telemetry::handles::Handles;
use crate::telemetry::health::Component;
use crate::telemetry::metrics::LookupResult;

use super::cache::Cache;
use super::fault::LookupFault;
use super::json::Json;
use super::link::ServerLink;
use super::refresh::table_fault;
use super::server::RedisServer;
use super::table::{Entries, Table};

/// A thread that waits looks this often at its stop switch.
pub(super) const GLANCE: Duration = Duration::from_millis(50);

/// Why [`Lookups::probe`] failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReady {
    /// It may be cured by waiting: try again until `startup.timeout`.
    Waiting(String),
    /// It will not: refused credentials, wrong type, table too large.
    Halt(Halt),
}

/// A keyed look-up.
pub(super) struct Keyed {
    /// Index of its server.
    pub(super) server: usize,
    /// The key template as written, for messages.
    pub(super) pattern: String,
    /// Fields wanted; empty = all.
    pub(super) fields: Vec<String>,
    /// What was found before.
    pub(super) cache: Cache,
    /// Policy while Redis does not answer.
    pub(super) on_error: OnLookupError,
}

/// Where a look-up's answers come from.
pub(super) enum AnswerSource {
    /// Tables in memory.
    Memory(HashMap<Vec<u8>, Json>),
    /// One hash a key.
    Keyed(Keyed),
    /// One hash as a table.
    Table(Table),
}

/// One `lookup` step.
pub(super) struct LookupStep {
    /// Where its answers come from.
    pub(super) source: AnswerSource,
    warned: AtomicBool,
}

/// All look-ups of one pipeline: caches and tables, shared by its workers. Index = order of the `lookup` steps.
pub struct Lookups {
    /// The steps, in order.
    pub(super) steps: Vec<LookupStep>,
    servers: Vec<RedisServer>,
    /// Backoff between attempts.
    pub(super) retry: RetryPlan,
    /// What all threads of the pipeline share.
    pub(super) pipeline: Arc<Handles>,
    faulty: AtomicBool,
    faults: Mutex<Vec<Option<String>>>,
}

impl Lookups {
    /// Look-ups answered from memory: `demo`, `try`, tests. Values are ready JSON text.
    #[must_use]
    pub fn in_memory(tables: Vec<HashMap<Vec<u8>, Bytes>>) -> Arc<Self> {
        let retry = RetryPlan { first: Duration::ZERO, max: Duration::ZERO, in_place: Duration::ZERO };
        let json = |(key, text): (Vec<u8>, Bytes)| (key, Json::from(&text[..]));
        let source = |table: HashMap<Vec<u8>, Bytes>| AnswerSource::Memory(table.into_iter().map(json).collect());
        let sources = tables.into_iter().map(source).collect();
        Arc::new(Self::of(sources, Vec::new(), retry, Handles::new(&Arc::from(""), 0, Arc::default())))
    }

    /// The look-ups of `plans`, in order. Connects to nothing: see [`Lookups::probe`].
    ///
    /// # Errors
    /// [`Exit::Config`] for a URL that cannot be one.
    pub(crate) fn open(plans: &[LookupPlan], retry: RetryPlan, pipeline: Arc<Handles>) -> Result<Arc<Self>, Halt> {
        let mut servers: Vec<RedisServer> = Vec::new();
        let mut sources = Vec::with_capacity(plans.len());
        for plan in plans {
            let known = servers.iter().position(|server| server.name() == &*plan.connection.name);
            let server = known.unwrap_or(servers.len());
            if known.is_none() {
                servers.push(RedisServer::new(&plan.connection)?);
            }
            sources.push(match &plan.source {
                LookupSource::Keyed { key, fields } => AnswerSource::Keyed(Keyed {
                    server,
                    pattern: key.text.clone(),
                    fields: fields.clone(),
                    cache: Cache::new(&plan.cache),
                    on_error: plan.on_error,
                }),
                LookupSource::Table { table, refresh, .. } => {
                    AnswerSource::Table(Table::new(server, table, *refresh, plan.on_error, plan.cache.bytes))
                }
            });
        }
        if !servers.is_empty() {
            pipeline.health.needs(Component::Enrich);
        }
        Ok(Arc::new(Self::of(sources, servers, retry, pipeline)))
    }

    fn of(sources: Vec<AnswerSource>, servers: Vec<RedisServer>, retry: RetryPlan, pipeline: Arc<Handles>) -> Self {
        let faults = Mutex::new(vec![None; sources.len()]);
        let steps = sources.into_iter().map(|source| LookupStep { source, warned: AtomicBool::new(false) }).collect();
        Self { steps, servers, retry, pipeline, faulty: AtomicBool::new(false), faults }
    }

    /// Reaches every server once, logs in, and reads every table not read yet. Blocks for at most a few timeouts a
    /// server and 30 s a table; nothing is repeated here, the caller has the start-up deadline. Call it before the
    /// first [`super::Enricher::resolve`]; nothing breaks without it, but tables are then empty-handed until they are
    /// read.
    ///
    /// # Errors
    /// See [`NotReady`].
    pub(crate) fn probe(&self) -> Result<(), NotReady> {
        for (index, server) in self.servers.iter().enumerate() {
            server.greet().map_err(|fault| {
                self.steps_on(index).for_each(|(number, _)| self.raise(number, fault.message()));
                not_ready(&server.label(), &fault)
            })?;
            self.steps_on(index).filter(|(_, keyed)| *keyed).for_each(|(number, _)| self.clear(number));
        }
        for (number, step) in self.steps.iter().enumerate() {
            if let AnswerSource::Table(table) = &step.source
                && table.current().is_none()
            {
                self.read_table(number, table, &mut ServerLink::new(&self.retry)).map_err(|fault| {
                    let fault = table_fault(table, fault);
                    self.raise(number, fault.message());
                    not_ready(&self.place(number), &fault)
                })?;
            }
        }
        if !self.servers.is_empty() {
            self.pipeline.health.reached(Component::Enrich);
        }
        Ok(())
    }

    /// Reads a table and swaps it in; counts, warns, and names an empty one.
    pub(super) fn read_table(
        &self,
        number: usize,
        table: &Table,
        link: &mut ServerLink,
    ) -> Result<Arc<Entries>, LookupFault> {
        let start = Instant::now();
        let read = table.read(self.server(table.server), link);
        self.pipeline.metrics.lookup_micros.observe(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
        let entries = read?;
        if entries.unusable > 0 {
            self.pipeline.metrics.lookup(LookupResult::Unusable).add(entries.unusable);
            self.warn_unusable(number, "a value is not UTF-8 or larger than 1 MiB");
        }
        if entries.is_empty() {
            self.raise(number, "the table is empty or does not exist: every key is a miss");
        } else {
            self.clear(number);
        }
        Ok(entries)
    }

    /// The source of look-up `number`.
    pub(super) fn source(&self, number: usize) -> Option<&AnswerSource> {
        self.steps.get(number).map(|step| &step.source)
    }

    /// A server by its index, which came from this.
    pub(super) fn server(&self, index: usize) -> &RedisServer {
        &self.servers[index]
    }

    /// How many servers there are.
    pub(super) fn server_count(&self) -> usize {
        self.servers.len()
    }

    /// The look-ups that ask `server`, and whether they are keyed.
    fn steps_on(&self, server: usize) -> impl Iterator<Item = (usize, bool)> {
        self.steps.iter().enumerate().filter_map(move |(number, step)| match &step.source {
            AnswerSource::Keyed(keyed) => (keyed.server == server).then_some((number, true)),
            AnswerSource::Table(table) => (table.server == server).then_some((number, false)),
            AnswerSource::Memory(_) => None,
        })
    }

    /// Names a fault of look-up `number` in the pipeline's health.
    pub(super) fn raise(&self, number: usize, what: &str) {
        let message = format!("{}: {what}", self.place(number));
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults[number] = Some(message.clone());
        self.faulty.store(true, Ordering::Release);
        self.pipeline.health.raise(Component::Enrich, message);
    }

    /// Names a fault of look-up `number` unless one is named already.
    pub(super) fn raise_if_silent(&self, number: usize, what: &str) {
        if self.faults.lock().unwrap_or_else(PoisonError::into_inner)[number].is_none() {
            self.raise(number, what);
        }
    }

    /// Look-up `number` answers again.
    pub(super) fn clear(&self, number: usize) {
        if !self.faulty.load(Ordering::Acquire) {
            return;
        }
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if faults[number].take().is_none() {
            return;
        }
        match faults.iter().flatten().next() {
            Some(other) => self.pipeline.health.raise(Component::Enrich, other.clone()),
            None => {
                self.faulty.store(false, Ordering::Release);
                self.pipeline.health.clear(Component::Enrich);
            }
        }
    }

    /// Warns of a hash that cannot become JSON text, once a look-up; the counter has them all.
    pub(super) fn warn_unusable(&self, number: usize, why: &str) {
        if !self.steps[number].warned.swap(true, Ordering::AcqRel) {
            tracing::warn!(room = Component::Enrich.name(), "{}: {why}; answered as a miss", self.place(number));
        }
    }

    /// Which look-up, for messages: pattern or table, and server.
    pub(super) fn place(&self, number: usize) -> String {
        let (what, server) = match self.source(number) {
            Some(AnswerSource::Keyed(keyed)) => (&keyed.pattern, keyed.server),
            Some(AnswerSource::Table(table)) => (&table.name, table.server),
            Some(AnswerSource::Memory(_)) | None => return format!("look-up {number}"),
        };
        format!("look-up `{what}` on {}", self.server(server).label())
    }
}

fn not_ready(place: &str, fault: &LookupFault) -> NotReady {
    let message = format!("{place}: {}", fault.message());
    match fault {
        LookupFault::TimedOut(_) | LookupFault::Down(_) | LookupFault::Odd(_) => NotReady::Waiting(message),
        LookupFault::Refused(_) => NotReady::Halt(Halt { exit: Exit::Permission, message }),
        LookupFault::Wrong(_) => NotReady::Halt(Halt { exit: Exit::Protocol, message }),
        LookupFault::TooLarge => NotReady::Halt(Halt { exit: Exit::Config, message }),
    }
}
