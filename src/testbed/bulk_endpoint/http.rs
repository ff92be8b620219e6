//! As much of HTTP/1.1 as bulk clients use, with faults at every byte.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::SystemTime;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::request::{HttpAnswer, apply, count_only, count_update, judge_path};
use super::script::{EndpointVersion, ScriptedFault};
use super::watch::EndpointEvent;
use super::{EndpointState, lock};

/// Largest head of a request.
const HEAD_BYTES: usize = 64 * 1024;
/// Largest body, also after inflating.
const BODY_BYTES: usize = 256 * 1024 * 1024;

/// Accepts until the runtime ends.
pub async fn serve(listener: TcpListener, state: Arc<EndpointState>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Without it small answers wait for delayed acknowledgements: 22 documents a second were measured.
        let _ = stream.set_nodelay(true);
        tokio::spawn(connection(stream, state.clone()));
    }
}

struct Head {
    method: String,
    path: String,
    length: usize,
    gzip: bool,
    expects: bool,
    close: bool,
}

async fn connection(mut stream: TcpStream, state: Arc<EndpointState>) {
    let mut buffer: Vec<u8> = Vec::new();
    loop {
        let Some(end) = read_head(&mut stream, &mut buffer).await else { return };
        let Some(head) = parse_head(&buffer[..end]) else { return };
        buffer.drain(..end);
        if head.expects && stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err() {
            return;
        }
        if head.length > BODY_BYTES || read_body(&mut stream, &mut buffer, head.length).await.is_none() {
            return;
        }
        let inflated = if head.gzip { inflate(&buffer[..head.length]) } else { None };
        let body = inflated.as_deref().unwrap_or(&buffer[..head.length]);
        let done = respond(&mut stream, &state, &head, body).await;
        buffer.drain(..head.length);
        if done.is_none() || head.close {
            return;
        }
    }
}

async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<usize> {
    loop {
        if let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            return Some(end + 4);
        }
        if buffer.len() > HEAD_BYTES || stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

async fn read_body(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> Option<()> {
    buffer.reserve(length.saturating_sub(buffer.len()));
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    Some(())
}

fn parse_head(bytes: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?);
    let path = target.split('?').next()?.to_owned();
    let mut head = Head { method, path, length: 0, gzip: false, expects: false, close: false };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.parse().ok()?,
            "content-encoding" => head.gzip = value.eq_ignore_ascii_case("gzip"),
            "expect" => head.expects = value.eq_ignore_ascii_case("100-continue"),
            "connection" => head.close = value.eq_ignore_ascii_case("close"),
            // A body of unknown length: no bulk client of ours sends one.
            "transfer-encoding" => return None,
            _ => {}
        }
    }
    Some(head)
}

fn inflate(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(body).take(BODY_BYTES as u64).read_to_end(&mut out).ok()?;
    Some(out)
}

/// `None` closes the connection.
async fn respond(stream: &mut TcpStream, state: &EndpointState, head: &Head, body: &[u8]) -> Option<()> {
    let segments: Vec<&str> = head.path.split('/').filter(|segment| !segment.is_empty()).collect();
    if head.method == "POST" && segments.last() == Some(&"_bulk") {
        let Some(_working) = Working::admit(state) else {
            state.requests.fetch_add(1, Ordering::AcqRel);
            let refused =
                HttpAnswer::error(429, "es_rejected_execution_exception", "rejected execution of coordinating");
            return send(stream, state, &refused, None).await;
        };
        return bulk(stream, state, &segments, body).await;
    }
    let answer = match (head.method.as_str(), segments.as_slice()) {
        ("GET" | "HEAD", []) => {
            state.probes.fetch_add(1, Ordering::AcqRel);
            let scripted = lock(&state.rules).root.clone();
            scripted.map_or_else(|| root(state.options.version), |(status, body)| HttpAnswer::new(status, body))
        }
        ("GET", ["_nodes"]) => {
            let number = state.options.version.number();
            HttpAnswer::new(200, format!("{{\"nodes\":{{\"a\":{{\"version\":\"{number}\"}}}}}}"))
        }
        ("POST", [index, kind, id, "_update"]) if !state.options.store => {
            state.requests.fetch_add(1, Ordering::AcqRel);
            count_update(state, &decode(index), &decode(kind), &decode(id))
        }
        _ => HttpAnswer::new(405, "{\"error\":\"Incorrect HTTP method for uri\",\"status\":405}".to_owned()),
    };
    send(stream, state, &answer, None).await
}

/// A bulk request that is being worked on.
struct Working<'a>(&'a EndpointState);

impl<'a> Working<'a> {
    /// `None`: too many are.
    fn admit(state: &'a EndpointState) -> Option<Self> {
        let max_requests = lock(&state.rules).max_requests;
        let now = state.in_flight.fetch_add(1, Ordering::AcqRel) + 1;
        let working = Self(state);
        if max_requests.is_some_and(|most| now > most) {
            return None;
        }
        state.most_in_flight.fetch_max(now, Ordering::AcqRel);
        Some(working)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

fn root(version: EndpointVersion) -> HttpAnswer {
    let distribution = match version {
        EndpointVersion::Elasticsearch(_) => "",
        EndpointVersion::OpenSearch(_) => "\"distribution\":\"opensearch\",",
    };
    let number = version.number();
    HttpAnswer::new(200, format!("{{\"name\":\"testbed\",\"version\":{{{distribution}\"number\":\"{number}\"}}}}"))
}

async fn bulk(stream: &mut TcpStream, state: &EndpointState, segments: &[&str], body: &[u8]) -> Option<()> {
    let number = state.requests.fetch_add(1, Ordering::AcqRel);
    let (fault, max_bytes, stalled_until) = {
        let mut rules = lock(&state.rules);
        let fault = rules.script.pop_front().or_else(|| rules.always.clone());
        (fault, rules.max_bytes, rules.stalled_until)
    };
    if let Some(until) = stalled_until {
        tokio::time::sleep_until(until.into()).await;
    }
    if max_bytes.is_some_and(|most| body.len() > most) {
        return send(stream, state, &HttpAnswer::new(413, String::new()), None).await;
    }
    if let Some(refused) = judge_path(state, segments) {
        return send(stream, state, &refused, None).await;
    }
    let index = if segments.len() > 1 { segments.first().map(|index| decode(index)) } else { None };
    let work = |by_position: &[_], limit| {
        if state.options.store {
            apply(state, number, index.as_deref(), body, by_position, limit)
        } else {
            count_only(state, number, body, by_position, limit)
        }
    };
    let all = || work(&[], usize::MAX);
    match fault {
        None => tell(stream, state, number, &all()).await,
        Some(ScriptedFault::Items(items)) => tell(stream, state, number, &work(&items, usize::MAX)).await,
        Some(ScriptedFault::Answer { status, body, retry_after, location }) => {
            send(stream, state, &HttpAnswer { status, body, retry_after, location }, None).await
        }
        Some(ScriptedFault::PartThenAnswer(applied, status, body)) => {
            work(&[], applied);
            send(stream, state, &HttpAnswer::new(status, body), None).await
        }
        Some(ScriptedFault::LateAnswer(after)) => {
            let answer = all();
            tokio::time::sleep(after).await;
            tell(stream, state, number, &answer).await
        }
        Some(ScriptedFault::Delay(before)) => {
            tokio::time::sleep(before).await;
            tell(stream, state, number, &all()).await
        }
        Some(ScriptedFault::HalfOpen) => std::future::pending().await,
        Some(ScriptedFault::Reset) => None,
        Some(ScriptedFault::ResetThenApply(after)) => {
            let _ = stream.shutdown().await;
            tokio::time::sleep(after).await;
            all();
            None
        }
        Some(ScriptedFault::ResetInAnswer) => {
            let answer = all();
            let half = answer.body.len() / 2;
            send(stream, state, &answer, Some(half)).await?;
            None
        }
        Some(ScriptedFault::Truncated) => {
            let mut answer = all();
            answer.body.truncate(answer.body.len() / 2);
            send(stream, state, &answer, None).await
        }
        Some(ScriptedFault::NotJson) => {
            all();
            send(stream, state, &HttpAnswer::new(200, "<html><body>welcome</body></html>".to_owned()), None).await
        }
        Some(ScriptedFault::WrongCount(by)) => {
            let mut answer = all();
            answer.body = recount(&answer.body, by);
            send(stream, state, &answer, None).await
        }
    }
}

/// Sends the whole answer of a request and notes that its items' ends were told; before, because the client may act on
/// the answer before this task runs again. A client that has hung up meanwhile is told nothing, though the first write
/// into a connection that the other side has closed succeeds.
async fn tell(stream: &mut TcpStream, state: &EndpointState, number: u64, answer: &HttpAnswer) -> Option<()> {
    if has_hung_up(stream).await {
        return None;
    }
    if state.options.log {
        lock(&state.told).insert(number, SystemTime::now());
    }
    if let Some(watch) = &state.options.watch {
        watch.hear(&EndpointEvent::Telling(number));
    }
    let sent = send(stream, state, answer, None).await;
    if sent.is_none() {
        lock(&state.told).remove(&number);
    }
    sent
}

/// Whether the client has closed its side, without waiting. It never does while it wants an answer.
async fn has_hung_up(stream: &TcpStream) -> bool {
    let mut byte = [0];
    let mut byte = ReadBuf::new(&mut byte);
    std::future::poll_fn(|cx| match stream.poll_peek(cx, &mut byte) {
        Poll::Ready(Ok(peeked)) => Poll::Ready(peeked == 0),
        Poll::Ready(Err(_)) => Poll::Ready(true),
        Poll::Pending => Poll::Ready(false),
    })
    .await
}

fn recount(body: &str, by: i32) -> String {
    let mut value: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    if let Some(items) = value["items"].as_array_mut() {
        for _ in 0..by.unsigned_abs() {
            if by > 0 {
                items.push(serde_json::json!({ "index": { "status": 201 } }));
            } else {
                items.pop();
            }
        }
    }
    value.to_string()
}

fn decode(segment: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match byte {
            b'%' => match (hex(bytes.next()), hex(bytes.next())) {
                (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
                _ => out.push(byte),
            },
            plain => out.push(plain),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Sends an answer, or only the first `cut` bytes of its body.
async fn send(stream: &mut TcpStream, state: &EndpointState, answer: &HttpAnswer, cut: Option<usize>) -> Option<()> {
    let mut out = format!(
        "HTTP/1.1 {} Scripted\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        answer.status,
        answer.body.len()
    );
    if state.options.version.names_product() {
        out.push_str("x-elastic-product: Elasticsearch\r\n");
    }
    if let Some(seconds) = answer.retry_after {
        out.push_str(&format!("retry-after: {seconds}\r\n"));
    }
    if let Some(location) = &answer.location {
        out.push_str(&format!("location: {location}\r\n"));
    }
    out.push_str("\r\n");
    out.push_str(&answer.body[..cut.unwrap_or(answer.body.len())]);
    stream.write_all(out.as_bytes()).await.ok()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpStream};
    use std::time::{Duration, Instant};

    use super::super::{BulkEndpoint, EndpointOptions};
    use super::{Ordering, ScriptedFault};

    /// Asks for a write of one document.
    fn asks(endpoint: &BulkEndpoint) -> TcpStream {
        let body = "{\"index\":{\"_index\":\"items\",\"_id\":\"1\"}}\n{\"a\":1}\n";
        let mut stream = TcpStream::connect(("127.0.0.1", endpoint.port())).unwrap();
        write!(stream, "POST /_bulk HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        stream
    }

    fn until(done: impl Fn() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < Duration::from_secs(10), "not within 10 s");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_client_that_hung_up_was_told_nothing() {
        let endpoint = BulkEndpoint::start(EndpointOptions { log: true, ..EndpointOptions::default() }).unwrap();
        endpoint.always(Some(ScriptedFault::LateAnswer(Duration::from_millis(300))));
        let mut waits = asks(&endpoint);
        let gone = asks(&endpoint);
        until(|| endpoint.log().len() == 2);
        gone.shutdown(Shutdown::Both).unwrap();
        let mut first = [0; 12];
        waits.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        until(|| endpoint.state.in_flight.load(Ordering::Acquire) == 0);
        assert_eq!(endpoint.log().iter().filter(|entry| entry.told.is_some()).count(), 1);
    }
}
