//! A TCP relay that breaks connections on command: what lies between the engine and a server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Bytes carried at a time.
const CHUNK: usize = 16 * 1024;
/// How long a connection to the server may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How the line behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Everything passes.
    Pass,
    /// Every piece, in both directions, takes this much longer.
    Delay(Duration),
    /// Connections are reset, open ones at once and new ones as they come.
    Cut,
    /// Nothing is carried and nothing is closed. A connection that was open in such a time stays silent for ever, as
    /// behind a firewall that has forgotten it.
    Silent,
    /// Each connection is reset after this many bytes of answers.
    Truncate(u64),
    /// So many bytes a second in each direction.
    Throttle(u64),
}

/// A running relay with a thread of its own; ends with all its connections when dropped.
pub struct FaultProxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
    accepted: Arc<AtomicU64>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl FaultProxy {
    /// Listens on 127.0.0.1 and carries every connection to `server`.
    ///
    /// # Errors
    /// No port or thread can be had.
    pub fn start(server: SocketAddr) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("fault-proxy")
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (line, seen) = watch::channel(Line::Pass);
        let accepted = Arc::new(AtomicU64::new(0));
        runtime.spawn(accept(listener, server, seen, accepted.clone()));
        Ok(Self { address, line, accepted, runtime: Some(runtime) })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the line behaves so.
    pub fn set(&self, line: Line) {
        self.line.send_if_modified(|now| std::mem::replace(now, line) != line);
    }

    /// Resets every open connection; new ones pass as before.
    pub fn reset(&self) {
        let line = self.line.send_replace(Line::Cut);
        self.line.send_replace(line);
    }

    /// Connections that came so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Acquire)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, line: watch::Receiver<Line>, accepted: Arc<AtomicU64>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        accepted.fetch_add(1, Ordering::AcqRel);
        tokio::spawn(connection(client, server, line.clone()));
    }
}

/// Why a direction ended.
enum End {
    /// One side has closed: so does the other.
    Closed,
    /// The line was cut.
    Cut,
}

async fn connection(client: TcpStream, server: SocketAddr, mut line: watch::Receiver<Line>) {
    if *line.borrow_and_update() == Line::Cut {
        let _ = client.set_zero_linger();
        return;
    }
    let connected = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(server)).await;
    let Ok(Ok(server)) = connected else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let end = tokio::select! {
        end = carry(&mut from_client, &mut to_server, line.clone(), false) => end,
        end = carry(&mut from_server, &mut to_client, line, true) => end,
    };
    if matches!(end, End::Cut) {
        let _ = (to_client.as_ref().set_zero_linger(), to_server.as_ref().set_zero_linger());
    }
}

/// Carries one direction until it ends.
async fn carry(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    mut line: watch::Receiver<Line>,
    answers: bool,
) -> End {
    let mut chunk = vec![0; CHUNK];
    let mut carried = 0;
    loop {
        let behaviour = *line.borrow_and_update();
        match behaviour {
            Line::Cut => return End::Cut,
            Line::Silent => std::future::pending().await,
            Line::Pass | Line::Delay(_) | Line::Truncate(_) | Line::Throttle(_) => {}
        }
        let read = tokio::select! {
            biased;
            // A line that passes again after a reset was cut in between.
            changed = line.changed() => {
                if changed.is_err() || *line.borrow() == behaviour { return End::Cut }
                continue;
            }
            read = from.read(&mut chunk) => read,
        };
        let Ok(length @ 1..) = read else { return End::Closed };
        let mut length = length;
        match behaviour {
            Line::Delay(time) => tokio::time::sleep(time).await,
            Line::Throttle(rate) => {
                tokio::time::sleep(Duration::from_secs_f64(length as f64 / rate.max(1) as f64)).await;
            }
            Line::Truncate(most) if answers => length = length.min((most.saturating_sub(carried)) as usize),
            Line::Pass | Line::Cut | Line::Silent | Line::Truncate(_) => {}
        }
        if to.write_all(&chunk[..length]).await.is_err() {
            return End::Closed;
        }
        carried += length as u64;
        if let Line::Truncate(most) = behaviour
            && answers
            && carried >= most
        {
            return End::Cut;
        }
    }
}

#[cfg(test)]
mod tests;
