//! A scripted server: decides per pipeline it receives what goes back.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use redis::Value;

/// A pipeline as received: arguments of each command.
pub(super) type Pipeline = Vec<Vec<String>>;

/// What the server does with a pipeline.
pub(super) enum Act {
    /// These bytes at once.
    Reply(Vec<u8>),
    /// These bytes after a while.
    Late(Duration, Vec<u8>),
    /// These bytes one by one, so far apart.
    Trickle(Duration, Vec<u8>),
    /// Bytes without end.
    Flood(&'static [u8]),
    /// Nothing.
    Silence,
    /// These bytes, then the end of the connection.
    Close(Vec<u8>),
}

/// A server on a free port of loopback; every connection has a thread.
pub(super) struct Fake {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Fake {
    /// Serves by `script(connection, pipeline of it, commands)`, both numbers from 0.
    pub(super) fn serve(script: impl Fn(usize, usize, &Pipeline) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (connections, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, flag, script) = (connections.clone(), over.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if flag.load(Ordering::Acquire) {
                    return;
                }
                let connection = counter.fetch_add(1, Ordering::AcqRel);
                let (script, flag) = (script.clone(), flag.clone());
                std::thread::spawn(move || {
                    converse(stream, &flag, |number, pipeline| script(connection, number, pipeline))
                });
            }
        });
        Self { address, connections, over }
    }

    pub(super) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
    }
}

fn converse(mut stream: TcpStream, over: &AtomicBool, script: impl Fn(usize, &Pipeline) -> Act) {
    let mut number = 0;
    while let Some(pipeline) = receive(&mut stream, over) {
        let done = match script(number, &pipeline) {
            Act::Reply(bytes) => stream.write_all(&bytes),
            Act::Late(delay, bytes) => {
                std::thread::park_timeout(delay);
                stream.write_all(&bytes)
            }
            Act::Trickle(apart, bytes) => bytes.iter().try_for_each(|byte| {
                std::thread::park_timeout(apart);
                stream.write_all(&[*byte])
            }),
            Act::Flood(bytes) => std::iter::repeat(()).try_for_each(|()| stream.write_all(bytes)),
            Act::Silence => Ok(()),
            Act::Close(bytes) => stream.write_all(&bytes).and(Err(ErrorKind::ConnectionAborted.into())),
        };
        if done.is_err() {
            return;
        }
        number += 1;
    }
}

/// All commands that come until the line is quiet for 30 ms; `None` when it was closed.
fn receive(stream: &mut TcpStream, over: &AtomicBool) -> Option<Pipeline> {
    stream.set_read_timeout(Some(Duration::from_millis(30))).ok()?;
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if over.load(Ordering::Acquire) {
                    return None;
                }
                if let Some(pipeline) = commands(&bytes).filter(|pipeline| !pipeline.is_empty()) {
                    return Some(pipeline);
                }
            }
            Err(_) => return None,
        }
    }
}

fn commands(bytes: &[u8]) -> Option<Pipeline> {
    let (mut parser, mut rest, mut pipeline) = (redis::Parser::new(), bytes, Vec::new());
    let total = bytes.windows(3).filter(|window| window[0] == b'*' && window[2] == b'\r').count();
    while pipeline.len() < total {
        let Ok(Value::Array(arguments)) = parser.parse_value(&mut rest) else { return None };
        let text = |value| {
            let Value::BulkString(text) = value else { panic!("a command holds strings only: {value:?}") };
            String::from_utf8_lossy(&text).into_owned()
        };
        pipeline.push(arguments.into_iter().map(text).collect());
    }
    Some(pipeline)
}

/// One field `name` a command: its key in capitals.
pub(super) fn capitals(pipeline: &Pipeline) -> Vec<u8> {
    let one = |command: &Vec<String>| {
        let name = command[1].to_uppercase();
        format!("*1\r\n${}\r\n{name}\r\n", name.len())
    };
    pipeline.iter().map(one).collect::<String>().into_bytes()
}
