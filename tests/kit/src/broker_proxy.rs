//! A relay before a Kafka cluster of one broker whose answers for metadata can be made to name no broker at all.
//!
//! So answers a broker that comes back from a long pause and has not been taken in again by its cluster; librdkafka's
//! mock cluster cannot. In every answer the broker's address is replaced by the relay's, so clients stay on it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Longest request or answer that is carried.
const LONGEST_FRAME: usize = 64 << 20;
/// How long a connection to the broker may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Number of the Metadata request in Kafka's protocol.
const METADATA: i16 = 3;
/// First version of Metadata with compact arrays and tagged fields.
const FLEXIBLE: i16 = 9;

/// What is asked of the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Orders {
    names_nobody: bool,
    resets: u64,
}

#[derive(Debug, Default)]
struct Seen {
    open: AtomicU64,
    named_nobody: AtomicU64,
}

/// A running relay with a thread of its own; ends with all its connections when dropped.
pub struct BrokerProxy {
    address: SocketAddrV4,
    orders: watch::Sender<Orders>,
    seen: Arc<Seen>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl BrokerProxy {
    /// Listens on 127.0.0.1 and carries every connection to the broker at this port of it.
    ///
    /// # Errors
    /// No port or thread can be had.
    pub fn start(broker_port: u16) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("broker-proxy")
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let own_port = listener.local_addr()?.port();
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (orders, given) = watch::channel(Orders { names_nobody: false, resets: 0 });
        let seen = Arc::new(Seen::default());
        let ports = Ports { broker: broker_port, own: own_port };
        runtime.spawn(accept(listener, Relay { ports, orders: given, seen: seen.clone() }));
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, own_port);
        Ok(Self { address, orders, seen, runtime: Some(runtime) })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address.into()
    }

    /// Whether answers for metadata name no broker from now on.
    pub fn set_names_nobody(&self, names_nobody: bool) {
        self.orders.send_modify(|orders| orders.names_nobody = names_nobody);
    }

    /// Ends every open connection; new ones pass.
    pub fn reset(&self) {
        self.orders.send_modify(|orders| orders.resets += 1);
    }

    /// Connections that are open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.seen.open.load(Ordering::Acquire)
    }

    /// Answers that named no broker so far.
    #[must_use]
    pub fn named_nobody(&self) -> u64 {
        self.seen.named_nobody.load(Ordering::Acquire)
    }
}

impl Drop for BrokerProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    broker: u16,
    own: u16,
}

/// What each connection needs.
#[derive(Clone)]
struct Relay {
    ports: Ports,
    orders: watch::Receiver<Orders>,
    seen: Arc<Seen>,
}

/// Versions of the metadata requests of a connection that have no answer yet, by correlation id.
type Asked = Arc<Mutex<BTreeMap<i32, i16>>>;

async fn accept(listener: TcpListener, relay: Relay) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let relay = relay.clone();
        tokio::spawn(async move {
            relay.seen.open.fetch_add(1, Ordering::AcqRel);
            connection(client, &relay).await;
            relay.seen.open.fetch_sub(1, Ordering::AcqRel);
        });
    }
}

async fn connection(client: TcpStream, relay: &Relay) {
    let broker = (Ipv4Addr::LOCALHOST, relay.ports.broker);
    let Ok(Ok(broker)) = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(broker)).await else { return };
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let asked = Asked::default();
    let mut orders = relay.orders.clone();
    let resets = orders.borrow_and_update().resets;
    tokio::select! {
        () = carry_requests(from_client, to_broker, &asked) => {}
        () = carry_answers(from_broker, to_client, &asked, relay) => {}
        _ = orders.wait_for(|orders| orders.resets != resets) => {}
    }
}

async fn carry_requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, asked: &Asked) {
    while let Some(frame) = read_frame(&mut from).await {
        if let (Some(METADATA), Some(version), Some(id)) = (i16_at(&frame, 0), i16_at(&frame, 2), i32_at(&frame, 4)) {
            asked.lock().unwrap_or_else(PoisonError::into_inner).insert(id, version);
        }
        if write_frame(&mut to, &frame).await.is_err() {
            return;
        }
    }
}

async fn carry_answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, asked: &Asked, relay: &Relay) {
    while let Some(mut frame) = read_frame(&mut from).await {
        let id = i32_at(&frame, 0);
        let version = id.and_then(|id| asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&id));
        let emptied = version.filter(|_| relay.orders.borrow().names_nobody);
        if let Some(version) = emptied
            && without_brokers(&mut frame, version).is_none()
        {
            return;
        }
        readdress(&mut frame, relay.ports);
        if write_frame(&mut to, &frame).await.is_err() {
            return;
        }
        relay.seen.named_nobody.fetch_add(u64::from(emptied.is_some()), Ordering::AcqRel);
    }
}

async fn read_frame(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let length = usize::try_from(from.read_i32().await.ok()?).ok()?;
    if length > LONGEST_FRAME {
        return None;
    }
    let mut frame = vec![0; length];
    from.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

async fn write_frame(to: &mut OwnedWriteHalf, frame: &[u8]) -> std::io::Result<()> {
    let mut whole = Vec::with_capacity(frame.len() + 4);
    whole.extend_from_slice(&(frame.len() as u32).to_be_bytes());
    whole.extend_from_slice(frame);
    to.write_all(&whole).await
}

/// Replaces the broker's address: a host is always followed by its port, in every version of every answer that has one.
fn readdress(frame: &mut [u8], ports: Ports) {
    const HOST: &[u8] = b"127.0.0.1";
    let address = [HOST, &i32::from(ports.broker).to_be_bytes()].concat();
    let mut at = 0;
    while let Some(next) = frame[at..].windows(address.len()).position(|window| window == address) {
        let port = at + next + HOST.len();
        frame[port..port + 4].copy_from_slice(&i32::from(ports.own).to_be_bytes());
        at = port + 4;
    }
}

/// Takes the brokers out of an answer for metadata; `None` if it cannot be read.
fn without_brokers(frame: &mut Vec<u8>, version: i16) -> Option<()> {
    let flexible = version >= FLEXIBLE;
    let mut at = 4;
    if flexible {
        skip_tags(frame, &mut at)?;
    }
    if version >= 3 {
        at += 4;
    }
    let start = at;
    let brokers = if flexible {
        usize::try_from(varint(frame, &mut at)?).ok()?.checked_sub(1)?
    } else {
        at += 4;
        usize::try_from(i32_at(frame, start)?).ok()?
    };
    for _ in 0..brokers {
        at += 4;
        skip_text(frame, &mut at, flexible)?;
        at += 4;
        if version >= 1 {
            skip_text(frame, &mut at, flexible)?;
        }
        if flexible {
            skip_tags(frame, &mut at)?;
        }
    }
    frame.get(start..at)?;
    let none: &[u8] = if flexible { &[1] } else { &[0; 4] };
    frame.splice(start..at, none.iter().copied());
    Some(())
}

fn i16_at(frame: &[u8], at: usize) -> Option<i16> {
    frame.get(at..at + 2)?.try_into().ok().map(i16::from_be_bytes)
}

fn i32_at(frame: &[u8], at: usize) -> Option<i32> {
    frame.get(at..at + 4)?.try_into().ok().map(i32::from_be_bytes)
}

fn varint(frame: &[u8], at: &mut usize) -> Option<u32> {
    let mut value = 0;
    for shift in (0..32).step_by(7) {
        let byte = *frame.get(*at)?;
        *at += 1;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// A length of -1, or 0 of a compact one, is null.
fn skip_text(frame: &[u8], at: &mut usize, compact: bool) -> Option<()> {
    let length = if compact {
        varint(frame, at)?.saturating_sub(1) as usize
    } else {
        let length = i16_at(frame, *at)?;
        *at += 2;
        length.max(0) as usize
    };
    *at += length;
    Some(())
}

fn skip_tags(frame: &[u8], at: &mut usize) -> Option<()> {
    for _ in 0..varint(frame, at)? {
        varint(frame, at)?;
        let length = varint(frame, at)?;
        *at += length as usize;
    }
    Some(())
}

#[cfg(test)]
mod tests;
