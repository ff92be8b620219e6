//! What the look-up scenario needs besides subjects: hashes in Redis, and the engine's metrics read from outside.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use sluicegate::internals::testbed::generator::Generator;
use sluicegate_testkit::services::RedisClient;

use crate::history::round;
use crate::source;

/// Hashes written in one round trip.
const CHUNK: u64 = 2_000;
/// Between two looks: a look costs the engine some of its time.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a look may take.
const LOOK: Duration = Duration::from_secs(2);
/// Most keys in one round trip of the engine.
const KEYS_A_TRIP: f64 = 512.0;

/// Writes a hash for every known user and for every record's id.
///
/// # Errors
/// Redis does not answer.
pub fn fill(redis: &mut RedisClient, records: u64) -> anyhow::Result<()> {
    let started = Instant::now();
    let generator = Generator::new(source::shape());
    for user in generator.users() {
        redis.hset(&user.key, [("name", user.name.as_str()), ("tier", user.tier)])?;
    }
    for from in (0..records).step_by(CHUNK as usize) {
        let keys: Vec<String> =
            (from..records.min(from + CHUNK)).map(|number| format!("user:k-{number:010}")).collect();
        redis.pipeline(keys.iter().map(|key| vec!["HSET", key, "name", "Ada Lovelace", "tier", "gold"]))?;
    }
    eprintln!("hashes for {records} ids in Redis after {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// The engine's metrics, as of the last look.
pub struct Watched {
    port: u16,
    due: Instant,
    page: String,
}

impl Watched {
    /// Chooses a free port for the engine to serve them on.
    ///
    /// # Errors
    /// There is none.
    pub fn new() -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Self { port, due: Instant::now(), page: String::new() })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Looks when it is time; an engine that has not started or has ended leaves the last page as it was.
    pub fn look(&mut self) {
        let now = Instant::now();
        if now >= self.due {
            self.due = now + LOOK_EVERY;
            if let Ok(page) = page(self.port) {
                self.page = page;
            }
        }
    }

    /// Round trips a batch, and the most there may be; empty for an engine without look-ups.
    pub fn figures(&self) -> BTreeMap<String, f64> {
        figures(&self.page)
    }
}

/// Round trips a batch.
pub const TRIPS: &str = "round trips a batch";
/// What P8 allows.
pub const ALLOWED: &str = "round trips a batch, allowed";

fn figures(page: &str) -> BTreeMap<String, f64> {
    let trips = total(page, "sluicegate_lookup_seconds_count");
    let batches = total(page, "sluicegate_batch_records_count");
    let keys = total(page, "sluicegate_lookup_keys_total") - total_of(page, "sluicegate_lookup_keys_total", "cached");
    if trips == 0.0 || batches == 0.0 {
        return BTreeMap::new();
    }
    let allowed = (keys / batches / KEYS_A_TRIP).ceil();
    [(TRIPS, trips / batches), (ALLOWED, allowed), ("keys asked a batch", keys / batches)]
        .map(|(name, value)| (name.to_owned(), round(value, 2)))
        .into()
}

/// The sum of a metric over its labels.
fn total(page: &str, name: &str) -> f64 {
    total_of(page, name, "")
}

/// The same over the lines whose labels hold `label`.
fn total_of(page: &str, name: &str, label: &str) -> f64 {
    page.lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} "))
        .filter(|(labels, _)| labels.contains(label))
        .filter_map(|(_, value)| value.split(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn page(port: u16) -> std::io::Result<String> {
    let address = ([127, 0, 0, 1], port).into();
    let mut stream = TcpStream::connect_timeout(&address, LOOK)?;
    stream.set_read_timeout(Some(LOOK))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: engine\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_are_set_against_the_keys_they_carried() {
        let page = "sluicegate_lookup_seconds_count{pipeline=\"index\"} 30\n\
            sluicegate_batch_records_count{pipeline=\"index\"} 10\n\
            sluicegate_lookup_keys_total{pipeline=\"index\",result=\"cached\"} 70\n\
            sluicegate_lookup_keys_total{pipeline=\"index\",result=\"found\"} 9000\n\
            sluicegate_lookup_keys_total{pipeline=\"index\",result=\"missed\"} 1000\n";
        let figures = figures(page);
        assert_eq!(figures.get(TRIPS), Some(&3.0));
        // 1,000 keys a batch are two requests.
        assert_eq!(figures.get(ALLOWED), Some(&2.0));
        assert!(super::figures("").is_empty());
    }
}
