//! One keep-alive connection to a bulk endpoint, one request on it at a time.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, bail};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(120);
/// What the engine asks for, so that good items cost few bytes.
const FILTER: &str = "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason";

/// See the module.
pub struct Socket {
    stream: TcpStream,
    head: String,
    reply: Vec<u8>,
    waits: bool,
}

impl Socket {
    /// Connects; requests go to the bulk path of this index.
    ///
    /// # Errors
    /// No connection.
    pub fn open(url: &str, index: &str) -> anyhow::Result<Self> {
        let host = url.strip_prefix("http://").context("an http:// address")?.trim_end_matches('/');
        let stream = TcpStream::connect(host).with_context(|| format!("no connection to {host}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        let head = format!(
            "POST /{index}/itmes/_bulk?filter_path={FILTER} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/x-ndjson\r\n"
        );
        Ok(Self { stream, head, reply: Vec::new(), waits: false })
    }

    /// Sends a body, after the answer to the one before.
    ///
    /// # Errors
    /// The connection fails, or the answer before was a bad one.
    pub fn send(&mut self, body: &[u8]) -> anyhow::Result<()> {
        self.answered()?;
        write!(self.stream, "{}content-length: {}\r\n\r\n", self.head, body.len())?;
        self.stream.write_all(body)?;
        self.waits = true;
        Ok(())
    }

    /// Waits for the answer to what was sent, if there is one.
    ///
    /// # Errors
    /// The connection fails, or an item was not taken.
    pub fn answered(&mut self) -> anyhow::Result<()> {
        if !std::mem::take(&mut self.waits) {
            return Ok(());
        }
        self.reply.clear();
        let mut chunk = [0; 65_536];
        while !is_whole(&self.reply) {
            let got = self.stream.read(&mut chunk)?;
            if got == 0 {
                bail!("the connection was closed within an answer");
            }
            self.reply.extend_from_slice(&chunk[..got]);
        }
        if !self.reply.starts_with(b"HTTP/1.1 200") || memchr::memmem::find(&self.reply, b"\"errors\":false").is_none()
        {
            bail!("a bad answer: {}", String::from_utf8_lossy(&self.reply[..self.reply.len().min(500)]));
        }
        Ok(())
    }
}

/// Whether head and body are there, by length or by the last chunk.
fn is_whole(reply: &[u8]) -> bool {
    let Some(head) = memchr::memmem::find(reply, b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&reply[..head]).to_ascii_lowercase();
    match text.lines().find_map(|line| line.strip_prefix("content-length:")) {
        Some(length) => length.trim().parse::<usize>().is_ok_and(|length| reply.len() >= head + 4 + length),
        None => reply.ends_with(b"\r\n0\r\n\r\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_by_its_length_or_its_last_chunk() {
        for (reply, whole) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", true),
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", false),
            ("HTTP/1.1 200 OK\r\n", false),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n", false),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", true),
        ] {
            assert_eq!(is_whole(reply.as_bytes()), whole, "{reply}");
        }
    }
}
