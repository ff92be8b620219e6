//! The bulk endpoint without storage, as a process of its own: its work must not be the subject's or the observer's.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::Context as _;
use sluicegate::internals::testbed::bulk_endpoint::{BulkEndpoint, EndpointOptions, EndpointVersion, ScriptedFault};

use crate::expected::{Expected, Values, from_id};

/// The word by which this program starts itself as the endpoint.
pub const AS_STUB: &str = "--as-stub";
/// What it is told.
const DOWN: &str = "down";
const UP: &str = "up";
/// How often it tells what it has counted.
const TELL: Duration = Duration::from_millis(20);

/// A running endpoint. Ends when dropped.
pub struct Stub {
    child: Child,
    url: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    items: AtomicU64,
    ids: AtomicU64,
    changed: AtomicU64,
}

/// What has come so far.
#[derive(Debug, Clone, Copy)]
pub struct Counted {
    /// Items.
    pub items: u64,
    /// The sum of their ids' digests.
    pub ids: u64,
    /// Documents with another value than they must have; 0 where nobody looks.
    pub changed: u64,
}

/// What an endpoint is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As cheap as can be, for clients of version 6.
    Counting,
    /// Compares every document with what it must be, for clients of version 8.
    Comparing,
}

/// The word for the second kind.
const COMPARING: &str = "comparing";

impl Stub {
    /// Starts one.
    ///
    /// # Errors
    /// It cannot be started or does not tell its address.
    pub fn start(kind: Kind) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("where is this program?")?;
        let word = (kind == Kind::Comparing).then_some(COMPARING);
        let mut child =
            Command::new(program).arg(AS_STUB).args(word).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let url = lines.next().context("the endpoint ended at once")??;
        let seen = Arc::new(Seen::default());
        let told = seen.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut numbers = line.split(' ').filter_map(|word| word.parse().ok());
                if let (Some(items), Some(ids), Some(changed)) = (numbers.next(), numbers.next(), numbers.next()) {
                    told.changed.store(changed, Ordering::Release);
                    told.ids.store(ids, Ordering::Release);
                    told.items.store(items, Ordering::Release);
                }
            }
        });
        Ok(Self { child, url, seen })
    }

    /// Its base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Closes every connection that brings a bulk request from now on, or works again.
    ///
    /// # Errors
    /// The endpoint has ended.
    pub fn set_down(&self, down: bool) -> anyhow::Result<()> {
        let mut input = self.child.stdin.as_ref().context("the endpoint's input is closed")?;
        writeln!(input, "{}", if down { DOWN } else { UP })?;
        Ok(input.flush()?)
    }

    /// What has come so far.
    pub fn counted(&self) -> Counted {
        let items = self.seen.items.load(Ordering::Acquire);
        let (ids, changed) = (self.seen.ids.load(Ordering::Acquire), self.seen.changed.load(Ordering::Acquire));
        Counted { items, ids, changed }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        // It ends by itself when its input does; a killed observer ends it the same way.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Is the endpoint until its input ends.
pub fn serve(words: &[String]) -> anyhow::Result<()> {
    let comparing = words.iter().any(|word| word == COMPARING);
    let (version, look) = if comparing { (8, Some(compare as fn(&[u8], &[u8]))) } else { (6, None) };
    let options = EndpointOptions {
        version: EndpointVersion::Elasticsearch(version),
        store: false,
        look,
        ..EndpointOptions::default()
    };
    let endpoint = BulkEndpoint::start(options)?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", endpoint.url())?;
    let endpoint = Arc::new(endpoint);
    let (tell, ended) = mpsc::channel::<()>();
    let told_to = endpoint.clone();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            told_to.always((line == DOWN).then_some(ScriptedFault::Reset));
        }
        drop(tell);
    });
    let mut told = (0, 0, 0);
    while ended.recv_timeout(TELL) == Err(RecvTimeoutError::Timeout) {
        let now = (endpoint.items(), endpoint.id_digests(), CHANGED.load(Ordering::Acquire));
        if now != told {
            writeln!(out, "{} {} {}", now.0, now.1, now.2)?;
            told = now;
        }
    }
    Ok(())
}

/// Documents that were not what they must be.
static CHANGED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static EXPECTED: RefCell<Expected> = RefCell::new(Expected::new(Values::Result));
}

/// Compares one document with the `result` of the record its id names.
fn compare(id: &[u8], document: &[u8]) {
    let number = std::str::from_utf8(id).ok().and_then(from_id);
    let is_right = |number| EXPECTED.with_borrow_mut(|expected| expected.is(number, Values::Result, document));
    if !number.is_some_and(is_right) {
        CHANGED.fetch_add(1, Ordering::AcqRel);
    }
}
