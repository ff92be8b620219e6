//! When a client is told its bootstrap servers once more, and telling it.
//!
//! librdkafka 2.12 forgets every broker that an answer for metadata does not name. A broker that comes back from a long
//! pause may name none, not even itself, before the cluster has taken it in again. When the last broker is gone the
//! client starts a timer to name its bootstrap servers again (`metadata.recovery.strategy`); but the end of the very
//! answer that made it go may stop that timer (`rd_kafka_rebootstrap_tmr_stop`), and the flag that it runs stays set:
//! the client then knows nobody it could ask, connects to nobody, and says nothing. Naming the servers again is what a
//! restart would do, without one. (`tests/races/forgotten_brokers.rs`)

use std::ffi::CString;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::bindings as rd;
use rdkafka::client::Client;

use crate::model::Backoff;
use crate::mutants::{self, Mutant};

/// `reconnect.backoff.max.ms` of every client unless the configuration says otherwise: what Kafka's Java clients have.
/// With librdkafka's own 10 s, and half as much again by its jitter, a broker that was restarted is there for long
/// before anybody tries it.
pub const RECONNECT_BACKOFF_MAX_MS: u32 = 1_000;

/// The first wait is longer than a usual reconnect takes. The client keeps a copy of every list it is given: with the
/// longest wait, an outage of a day leaves some hundreds of them.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(300));

/// Counts the time without a broker.
#[derive(Debug, Default)]
pub struct Bootstrap {
    /// When the silence began or the servers were last named, and how often they were named, plus one.
    silent: Option<(Instant, u32)>,
}

impl Bootstrap {
    /// A broker is there.
    pub fn answered(&mut self) {
        self.silent = None;
    }

    /// No broker is there: whether the servers are to be named now. First after 10 s, then after twice as long each
    /// time, up to 5 minutes.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let (since, waits) = *self.silent.get_or_insert((now, 1));
        if now.saturating_duration_since(since) < BACKOFF.after(waits) || mutants::on(Mutant::ForgottenBrokers) {
            return false;
        }
        self.silent = Some((now, waits.saturating_add(1)));
        true
    }
}

/// The servers among a client's properties, of which later ones win; empty when there are none.
pub(super) fn servers<'a>(properties: impl Iterator<Item = (&'a str, &'a str)>) -> CString {
    let list = properties.filter(|(name, _)| *name == "bootstrap.servers").last();
    list.and_then(|(_, list)| CString::new(list).ok()).unwrap_or_default()
}

/// Names them to the client, which adds those it does not know and connects where it has no connection.
///
/// # Safety
/// `client` is live.
pub(super) unsafe fn name_again(client: *mut rd::rd_kafka_t, servers: &CString) {
    // SAFETY: live by the caller's promise; the list is NUL-terminated and copied.
    unsafe { rd::rd_kafka_brokers_add(client, servers.as_ptr()) };
}

/// The same for a client of the `rdkafka` crate.
pub fn name_again_to<C: ClientContext>(client: &Client<C>, servers: &str) {
    let Ok(servers) = CString::new(servers) else { return };
    // SAFETY: the borrowed client is live.
    unsafe { name_again(client.native_ptr(), &servers) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_again_ever_more_rarely_until_one_answers() {
        let start = Instant::now();
        let mut bootstrap = Bootstrap::default();
        let mut due = |seconds: std::ops::Range<u64>| -> Vec<u64> {
            seconds.filter(|second| bootstrap.is_due(start + Duration::from_secs(*second))).collect()
        };
        assert_eq!(due(0..1500), [10, 30, 70, 150, 310, 610, 910, 1210]);
        bootstrap.answered();
        assert!(!bootstrap.is_due(start + Duration::from_secs(2000)));
        assert!(bootstrap.is_due(start + Duration::from_secs(2010)));
    }

    #[test]
    fn the_last_list_of_servers_is_the_one() {
        let given = [("bootstrap.servers", "a:1"), ("x", "y"), ("bootstrap.servers", "b:1,c:1")];
        assert_eq!(servers(given.into_iter()).to_str(), Ok("b:1,c:1"));
        assert!(servers(std::iter::empty()).is_empty());
    }
}
