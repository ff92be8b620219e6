//! A search server's `_bulk`, in process: an HTTP/1.1 endpoint that can keep documents as a real server would, and can
//! be told to fail in every way real servers do.
//!
//! Used by `demo`, tests, benches and perf. It speaks as much HTTP as bulk clients do (content-length bodies,
//! keep-alive, gzip request bodies, `Expect: 100-continue`) by hand, so that an answer can be cut, withheld or reset at
//! any byte.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpListener;

mod documents;
mod http;
mod request;
mod script;
mod watch;

pub use documents::StoredDocument;
pub use script::{EndpointVersion, ItemAnswer, LogEntry, ScriptedFault};
pub use watch::{EndpointEvent, EndpointWatch};

use documents::Documents;

/// Is given the id and the document of an item.
pub type ItemObserver = fn(&[u8], &[u8]);

/// What an endpoint is.
#[derive(Debug, Clone)]
pub struct EndpointOptions {
    /// Port on 127.0.0.1; 0 = any free one.
    pub port: u16,
    /// What it says it is, and how strict it is about mapping types.
    pub version: EndpointVersion,
    /// Whether documents are kept. Without, requests are only split into lines and counted: cheap, for perf.
    pub store: bool,
    /// Whether every item is logged with its body, for checks of order.
    pub log: bool,
    /// Larger bodies are answered with 413.
    pub max_bytes: Option<usize>,
    /// Hears of every request that is worked on; for runs too long to log. Only without [`EndpointOptions::store`].
    pub watch: Option<EndpointWatch>,
    /// Called with the id and the document of every item, where none are kept.
    pub look: Option<ItemObserver>,
}

impl Default for EndpointOptions {
    fn default() -> Self {
        Self {
            port: 0,
            version: EndpointVersion::Elasticsearch(8),
            store: true,
            log: false,
            max_bytes: None,
            watch: None,
            look: None,
        }
    }
}

/// Rules that hold until they are lifted.
#[derive(Debug, Default)]
struct EndpointRules {
    script: VecDeque<ScriptedFault>,
    always: Option<ScriptedFault>,
    poison: BTreeSet<String>,
    by_id: BTreeMap<String, ItemAnswer>,
    by_index: BTreeMap<String, ItemAnswer>,
    max_bytes: Option<usize>,
    max_requests: Option<u64>,
    stalled_until: Option<Instant>,
    root: Option<(u16, String)>,
}

struct EndpointState {
    options: EndpointOptions,
    rules: Mutex<EndpointRules>,
    documents: Documents,
    log: Mutex<Vec<LogEntry>>,
    /// Requests whose answer was sent whole, and when that began; empty unless `EndpointOptions::log`.
    told: Mutex<BTreeMap<u64, SystemTime>>,
    requests: AtomicU64,
    items: AtomicU64,
    ids: AtomicU64,
    ids_made: AtomicU64,
    probes: AtomicU64,
    in_flight: AtomicU64,
    most_in_flight: AtomicU64,
}

/// A number for an id. Sums of them tell sets of ids apart.
#[must_use]
pub fn id_digest(id: &[u8]) -> u64 {
    // FNV-1a, its bits then spread as splitmix64 does, so that sums do not cancel.
    let hash = id
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running endpoint with a thread of its own; stops when dropped.
pub struct BulkEndpoint {
    state: Arc<EndpointState>,
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl BulkEndpoint {
    /// Starts one on 127.0.0.1.
    ///
    /// # Errors
    /// When the port is taken or no thread can be had.
    pub fn start(options: EndpointOptions) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("bulk-endpoint")
            .enable_all()
            .build()?;
        // Bound by hand, so that it can be started from inside another runtime too.
        let listener = std::net::TcpListener::bind(("127.0.0.1", options.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let rules = Mutex::new(EndpointRules { max_bytes: options.max_bytes, ..EndpointRules::default() });
        let state = Arc::new(EndpointState {
            options,
            rules,
            documents: Documents::default(),
            log: Mutex::default(),
            told: Mutex::default(),
            requests: AtomicU64::new(0),
            items: AtomicU64::new(0),
            ids: AtomicU64::new(0),
            ids_made: AtomicU64::new(0),
            probes: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            most_in_flight: AtomicU64::new(0),
        });
        runtime.spawn(http::serve(listener, state.clone()));
        Ok(Self { state, address, runtime: Some(runtime) })
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The next bulk request without a fault yet gets this one.
    pub fn script(&self, fault: ScriptedFault) {
        lock(&self.state.rules).script.push_back(fault);
    }

    /// Scripted faults not used up yet.
    #[must_use]
    pub fn scripted(&self) -> usize {
        lock(&self.state.rules).script.len()
    }

    /// Every bulk request without a scripted fault gets this one, until `None`.
    pub fn always(&self, fault: Option<ScriptedFault>) {
        lock(&self.state.rules).always = fault;
    }

    /// A request that holds this id is refused as a whole, as for a malformed update body.
    pub fn poison(&self, id: &str) {
        lock(&self.state.rules).poison.insert(id.to_owned());
    }

    /// Items of this id are answered so and not applied, until `None`.
    pub fn answer_id(&self, id: &str, answer: Option<ItemAnswer>) {
        let mut rules = lock(&self.state.rules);
        match answer {
            Some(answer) => rules.by_id.insert(id.to_owned(), answer),
            None => rules.by_id.remove(id),
        };
    }

    /// Items of this index are answered so and not applied (closed, missing, blocked), until `None`.
    pub fn answer_index(&self, index: &str, answer: Option<ItemAnswer>) {
        let mut rules = lock(&self.state.rules);
        match answer {
            Some(answer) => rules.by_index.insert(index.to_owned(), answer),
            None => rules.by_index.remove(index),
        };
    }

    /// Larger bodies are answered with 413 from now on.
    pub fn limit_bytes(&self, max_bytes: Option<usize>) {
        lock(&self.state.rules).max_bytes = max_bytes;
    }

    /// More bulk requests at once than this are answered with 429, until `None`.
    pub(crate) fn limit_requests(&self, max_requests: Option<u64>) {
        lock(&self.state.rules).max_requests = max_requests;
    }

    /// Nothing that comes from now on is worked on before this time has passed.
    pub(crate) fn stall(&self, time: Duration) {
        lock(&self.state.rules).stalled_until = Some(Instant::now() + time);
    }

    /// `GET /` is answered so, until `None`.
    #[cfg(test)]
    pub(crate) fn answer_root(&self, answer: Option<(u16, String)>) {
        lock(&self.state.rules).root = answer;
    }

    /// A document.
    #[must_use]
    pub fn document(&self, index: &str, id: &str) -> Option<StoredDocument> {
        self.state.documents.get(index, id)
    }

    /// How many documents an index holds.
    #[must_use]
    pub fn count(&self, index: &str) -> usize {
        self.state.documents.count(index)
    }

    /// All documents of an index by id.
    #[must_use]
    pub fn documents(&self, index: &str) -> BTreeMap<String, StoredDocument> {
        self.state.documents.all(index)
    }

    /// What was asked, in the order it was worked on; empty unless `EndpointOptions::log`.
    #[must_use]
    pub fn log(&self) -> Vec<LogEntry> {
        let mut log = lock(&self.state.log).clone();
        let told = lock(&self.state.told);
        log.iter_mut().for_each(|entry| entry.told = told.get(&entry.request).copied());
        log
    }

    /// Bulk requests seen.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Acquire)
    }

    /// Items applied or counted.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.state.items.load(Ordering::Acquire)
    }

    /// Sum of the [`id_digest`]s of all items counted, wrapping: equal for equal sets of ids in any order. Only without
    /// [`EndpointOptions::store`].
    #[must_use]
    pub fn id_digests(&self) -> u64 {
        self.state.ids.load(Ordering::Acquire)
    }

    /// `GET /` seen.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn probes(&self) -> u64 {
        self.state.probes.load(Ordering::Acquire)
    }

    /// Most bulk requests worked on at one time.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn most_in_flight(&self) -> u64 {
        self.state.most_in_flight.load(Ordering::Acquire)
    }

    /// Stops at once; connections break.
    #[cfg(test)]
    pub(crate) fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for BulkEndpoint {
    fn drop(&mut self) {
        self.shut_down();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;

    fn ask(endpoint: &BulkEndpoint, request: &str) -> String {
        let mut stream = TcpStream::connect(endpoint.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer, then the end");
        answer
    }

    #[test]
    fn servers_that_name_their_product_do_so() {
        for (version, named) in [
            (EndpointVersion::Elasticsearch(6), false),
            (EndpointVersion::Elasticsearch(7), true),
            (EndpointVersion::Elasticsearch(8), true),
            (EndpointVersion::OpenSearch(2), false),
        ] {
            let endpoint =
                BulkEndpoint::start(EndpointOptions { version, ..EndpointOptions::default() }).expect("an endpoint");
            let answer = ask(&endpoint, "GET / HTTP/1.1\r\nconnection: close\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            assert_eq!(answer.contains("x-elastic-product: Elasticsearch\r\n"), named, "{version:?}");
        }
    }

    #[test]
    fn every_document_is_looked_at_where_none_are_kept() {
        static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
        fn look(id: &[u8], document: &[u8]) {
            lock(&SEEN).push(format!("{} {}", String::from_utf8_lossy(id), String::from_utf8_lossy(document)));
        }
        let options = EndpointOptions { store: false, look: Some(look), ..EndpointOptions::default() };
        let endpoint = BulkEndpoint::start(options).expect("an endpoint");
        let body = "{\"index\":{\"_id\":\"a\"}}\n{\"n\":1}\n{\"delete\":{\"_id\":\"b\"}}\n{\"index\":{\"_id\":\"c\"}}\n{\"n\":2}\n";
        let head = format!("POST /i/_bulk HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        ask(&endpoint, &(head + body));
        assert_eq!(*lock(&SEEN), ["a {\"n\":1}", "c {\"n\":2}"]);
        assert_eq!(endpoint.items(), 3);
    }
}
