//! One connection to Redis whose every exchange is bounded in time and bytes.
//!
//! The client library parses; the socket is ours. The library's own connection applies its timeout to each read of each
//! reply, so a silent server costs a pipeline of 512 commands 512 timeouts, and it buffers an answer of any size.
//!
//! An exchange consumes the connection and gives it back only when every reply came: what arrives late has no reader.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use redis::{Parser, Value};
use rustls::{ClientConnection, StreamOwned};

use super::fault::LookupFault;

/// Bounds of one exchange.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExchangeLimits {
    /// Longest time without a byte.
    pub(super) silence: Duration,
    /// Longest time from the first byte sent to the last received.
    pub(super) total: Duration,
    /// Most bytes received.
    pub(super) bytes: usize,
}

struct Bounded {
    stream: TcpStream,
    silence: Duration,
    deadline: Instant,
    left: usize,
}

impl Bounded {
    fn arm(&mut self, limits: &ExchangeLimits) {
        self.silence = limits.silence;
        self.deadline = Instant::now() + limits.total;
        self.left = limits.bytes;
    }

    fn patience(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now()).min(self.silence);
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(self.left);
        if room == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        loop {
            self.stream.set_read_timeout(self.patience()?)?;
            match self.stream.read(&mut buffer[..room]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(bytes) => {
                    self.left -= bytes;
                    return Ok(bytes);
                }
            }
        }
    }
}

impl Write for Bounded {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.patience()?)?;
        self.stream.write(buffer)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Socket {
    Plain(Bounded),
    Tls(Box<StreamOwned<ClientConnection, Bounded>>),
}

impl Socket {
    fn bounded(&mut self) -> &mut Bounded {
        match self {
            Self::Plain(bounded) => bounded,
            Self::Tls(stream) => stream.get_mut(),
        }
    }

    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(bounded) => bounded.write_all(request),
            Self::Tls(stream) => stream.write_all(request).and_then(|()| stream.flush()),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(bounded) => bounded.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

/// A connection between two exchanges.
pub(super) struct RedisSocket {
    socket: Socket,
    parser: Parser,
}

impl RedisSocket {
    /// Takes over a connected socket; a TLS handshake happens in the first exchange.
    pub(super) fn new(stream: TcpStream, tls: Option<ClientConnection>) -> Self {
        let bounded = Bounded { stream, silence: Duration::ZERO, deadline: Instant::now(), left: 0 };
        let socket = match tls {
            None => Socket::Plain(bounded),
            Some(session) => Socket::Tls(Box::new(StreamOwned::new(session, bounded))),
        };
        Self { socket, parser: Parser::new() }
    }

    /// Sends `request` and gives each of its `replies` to `take`, in order.
    ///
    /// # Errors
    /// The fault, `take`'s included; the connection is closed then.
    pub(super) fn exchange(
        mut self,
        request: &[u8],
        replies: usize,
        limits: &ExchangeLimits,
        mut take: impl FnMut(Value) -> Result<(), LookupFault>,
    ) -> Result<Self, LookupFault> {
        self.socket.bounded().arm(limits);
        self.socket.send(request).map_err(|error| of_io(&error, limits))?;
        for _ in 0..replies {
            match self.parser.parse_value(&mut self.socket) {
                Ok(value) => take(value)?,
                Err(_) if self.socket.bounded().left == 0 => return Err(LookupFault::TooLarge),
                Err(error) => return Err(of_parse(&error, limits)),
            }
        }
        Ok(self)
    }
}

fn of_io(error: &io::Error, limits: &ExchangeLimits) -> LookupFault {
    if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) {
        no_answer(limits)
    } else {
        LookupFault::Down(format!("the connection broke: {error}"))
    }
}

fn of_parse(error: &redis::RedisError, limits: &ExchangeLimits) -> LookupFault {
    if error.is_timeout() {
        no_answer(limits)
    } else if error.is_io_error() {
        LookupFault::Down(format!("the connection broke: {error}"))
    } else {
        // The parser's text quotes the bytes it met, which are data.
        LookupFault::Odd("the answer is not the Redis protocol; is the port right?".to_owned())
    }
}

fn no_answer(limits: &ExchangeLimits) -> LookupFault {
    LookupFault::TimedOut(format!("no complete answer within {:?}", limits.total))
}
