//! What a pipeline says of itself: state, named faults, last errors.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use strum::IntoStaticStr;

/// Lifecycle of a pipeline, as `/status` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// Not yet assigned or connected.
    Starting,
    /// Keeping up.
    Running,
    /// Behind, and moving.
    CatchingUp,
    /// Something is sent again.
    Retrying,
    /// Cannot move; `/status` says why.
    Blocked,
    /// Finishing after a signal or the end of a bounded run.
    Draining,
    /// Halted.
    Failed,
    /// Finished.
    Done,
}

impl State {
    /// The word in `/status`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether nothing will happen any more.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Failed | Self::Done)
    }
}

/// Who has trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Component {
    /// The Kafka source.
    Source,
    /// The consumer group.
    Group,
    /// Batches that cannot be read.
    #[strum(serialize = "damaged")]
    Damage,
    /// Look-ups.
    Enrich,
    /// The sink.
    Sink,
    /// Topics that records name.
    #[strum(serialize = "missing_topic")]
    Target,
    /// Dead letters.
    DeadLetter,
}

impl Component {
    /// Name in `/status`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A named fault: why a pipeline does not move, or is slower than it should be.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What, redacted.
    pub message: String,
    /// Since when.
    pub since: Instant,
}

#[derive(Debug)]
struct Inner {
    state: State,
    faults: BTreeMap<Component, Fault>,
    /// The last line of the log about each component's fault, and when it was written.
    logged: BTreeMap<Component, (String, Instant)>,
    last_errors: Vec<String>,
    reached: BTreeMap<Component, bool>,
    source_tick: Instant,
    has_ticked: bool,
}

/// Health of one pipeline, written by its components, read by `/status`, `/livez`, `/readyz`, the watchdog and the
/// summary line.
#[derive(Debug)]
pub struct Health {
    inner: Mutex<Inner>,
}

const KEPT_ERRORS: usize = 16;
/// Time between two lines of the log about one fault whose words change.
const LINES_APART: Duration = Duration::from_secs(60);

impl Health {
    /// A pipeline that is starting.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner {
                state: State::Starting,
                faults: BTreeMap::new(),
                logged: BTreeMap::new(),
                last_errors: Vec::new(),
                reached: BTreeMap::new(),
                source_tick: Instant::now(),
                has_ticked: false,
            }),
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets the lifecycle state.
    pub(crate) fn set_state(&self, state: State) {
        self.with(|inner| inner.state = state);
    }

    /// The lifecycle state.
    #[must_use]
    pub(crate) fn state(&self) -> State {
        self.with(|inner| inner.state)
    }

    /// Names a fault; logs when it is new, and when it has come to say something else, at most once a minute. The
    /// message must be redacted already.
    pub(crate) fn raise(&self, component: Component, message: impl Into<String>) {
        let message = message.into();
        let told = self.with(|inner| {
            if inner.last_errors.last() != Some(&message) {
                if inner.last_errors.len() == KEPT_ERRORS {
                    inner.last_errors.remove(0);
                }
                inner.last_errors.push(message.clone());
            }
            let fresh = !inner.faults.contains_key(&component);
            let since = inner.faults.get(&component).map_or_else(Instant::now, |fault| fault.since);
            inner.faults.insert(component, Fault { message: message.clone(), since });
            let other = |(last, at): &(String, Instant)| *last != message && at.elapsed() >= LINES_APART;
            let told = fresh || inner.logged.get(&component).is_none_or(other);
            if told {
                inner.logged.insert(component, (message.clone(), Instant::now()));
            }
            told
        });
        if told {
            tracing::warn!(component = component.name(), "{message}");
        }
    }

    /// The fault is over; logs once.
    pub(crate) fn clear(&self, component: Component) {
        if let Some(fault) = self.with(|inner| inner.faults.remove(&component)) {
            tracing::info!(component = component.name(), after = ?fault.since.elapsed(), "recovered: {}", fault.message);
        }
    }

    /// Faults now.
    #[must_use]
    pub(crate) fn faults(&self) -> Vec<(Component, Fault)> {
        self.with(|inner| inner.faults.iter().map(|(component, fault)| (*component, fault.clone())).collect())
    }

    /// The last errors, oldest first.
    #[must_use]
    pub(crate) fn last_errors(&self) -> Vec<String> {
        self.with(|inner| inner.last_errors.clone())
    }

    /// A server this component needs has answered at least once (`/readyz`).
    pub(crate) fn reached(&self, component: Component) {
        self.with(|inner| {
            inner.reached.insert(component, true);
        });
    }

    /// A component declares that it needs a server.
    pub(crate) fn needs(&self, component: Component) {
        self.with(|inner| {
            inner.reached.entry(component).or_insert(false);
        });
    }

    /// Rooms whose servers have not answered yet.
    #[must_use]
    pub(crate) fn unreached(&self) -> Vec<Component> {
        self.with(|inner| inner.reached.iter().filter(|(_, ok)| !**ok).map(|(component, _)| *component).collect())
    }

    /// The control loop turned (`/livez`).
    pub(crate) fn tick(&self) {
        self.with(|inner| {
            inner.source_tick = Instant::now();
            inner.has_ticked = true;
        });
    }

    /// Whether the control loop has turned at all (`/startupz`).
    #[must_use]
    pub(crate) fn has_ticked(&self) -> bool {
        self.with(|inner| inner.has_ticked)
    }

    /// Time since the control loop last turned.
    #[must_use]
    pub(crate) fn since_tick(&self) -> Duration {
        self.with(|inner| inner.source_tick.elapsed())
    }
}
