//! HTTP to the nodes: one `Transport` a node, ready-made bodies, nothing decided but which node is asked.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use elasticsearch::http::headers::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
};
use elasticsearch::http::response::Response;
use elasticsearch::http::{Method, Url};

use crate::config::plan::ElasticsearchConnection;

use super::connect_fault::{ConnectFault, Unidentified};
use super::inspect::Seen;
use super::node_client::{NodeClient, node_client};
use super::nodes::Nodes;
use super::patience::LONGEST_RETRY_AFTER;
use super::redact::redact;
use super::redirect;
use super::server::ServerVersion;
use super::verdict::RequestReply;
use super::words;

/// Bound on a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest answer that is read: a bulk answer has at most about 1 KiB an item.
const LONGEST_ANSWER_BYTES: u64 = 64 << 20;

/// The nodes of one connection.
pub struct Cluster {
    nodes: Vec<NodeClient>,
    health: Mutex<Nodes>,
    timeout: Duration,
}

impl Cluster {
    /// Sets up the clients; connects to nothing yet.
    ///
    /// # Errors
    /// [`ConnectFault`] when the configuration cannot work.
    pub fn new(plan: &ElasticsearchConnection) -> Result<Self, ConnectFault> {
        let nodes: Vec<NodeClient> = plan.nodes.iter().map(|url| node_client(plan, url)).collect::<Result<_, _>>()?;
        if nodes.is_empty() {
            let (connection, node) = (plan.name.to_string(), String::new());
            return Err(ConnectFault::Address { connection, node, cause: "no nodes are given".to_owned() });
        }
        let health = Mutex::new(Nodes::new(nodes.len()));
        Ok(Self { nodes, health, timeout: plan.request_timeout })
    }

    fn health<T>(&self, change: impl FnOnce(&mut Nodes) -> T) -> T {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends one bulk request: the node that was asked, and what came back. `same` is asked again if it is alive.
    pub async fn bulk(&self, path: &str, body: Bytes, gzipped: bool, same: Option<usize>) -> (usize, RequestReply) {
        let node = self.health(|nodes| nodes.take(same, fastrand::usize(..)));
        let _busy = Busy { cluster: self, node };
        let mut headers = headers("application/x-ndjson");
        if gzipped {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let mut reply = self.exchange(node, Method::Post, path, headers, Some(body), self.timeout).await;
        self.health(|nodes| match &reply {
            RequestReply::Timeout => nodes.timed_out(node, Instant::now()),
            RequestReply::Broken(_) | RequestReply::Answer { status: 502..=504, .. } => {
                nodes.broken(node, Instant::now())
            }
            RequestReply::Answer { .. } | RequestReply::Moved(_) => nodes.answered(node),
        });
        // The others know by now that the node is of no use.
        if let RequestReply::Broken(_) = reply {
            reply = self.redirect(node, path).await.unwrap_or(reply);
        }
        (node, reply)
    }

    /// What a node that sends its clients elsewhere answered, where a request came to nothing.
    async fn redirect(&self, node: usize, path: &str) -> Option<RequestReply> {
        let NodeClient { base, redirects, .. } = &self.nodes[node];
        let place = redirects.ask(base.join(path).ok()?, self.timeout.min(PROBE_TIMEOUT)).await?;
        Some(moved(base, &place))
    }

    async fn exchange(
        &self,
        node: usize,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Option<Bytes>,
        timeout: Duration,
    ) -> RequestReply {
        let NodeClient { transport, base, log_in, redirects: _ } = &self.nodes[node];
        if let Some(log_in) = log_in {
            headers.insert(AUTHORIZATION, log_in.clone());
        }
        let sent = transport.send(method, path, headers, None::<&()>, body, Some(timeout)).await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => return broken(&error, base),
        };
        // The HTTP client follows redirects unasked, and a POST arrives elsewhere as a GET.
        if base.join(path).is_ok_and(|asked| place_of(&asked) != place_of(response.url())) {
            return moved(base, &redirect::name_of(response.url().clone()));
        }
        let status = response.status_code().as_u16();
        let retry_after = retry_after(&response);
        if response.content_length().is_some_and(|bytes| bytes > LONGEST_ANSWER_BYTES) {
            return RequestReply::Broken(format!("{}: the answer is longer than 64 MiB", redact(base.as_str())));
        }
        match response.bytes().await {
            Ok(body) => RequestReply::Answer { status, retry_after, body },
            Err(error) => broken(&error, base),
        }
    }

    /// `GET` with a short bound.
    async fn get(&self, node: usize, path: &str) -> RequestReply {
        let timeout = self.timeout.min(PROBE_TIMEOUT);
        let mut reply = self.exchange(node, Method::Get, path, headers("application/json"), None, timeout).await;
        if let RequestReply::Broken(_) | RequestReply::Timeout = reply {
            reply = self.redirect(node, path).await.unwrap_or(reply);
        }
        let now = Instant::now();
        self.health(|nodes| match &reply {
            RequestReply::Timeout | RequestReply::Broken(_) | RequestReply::Answer { status: 502..=504, .. } => {
                nodes.broken(node, now)
            }
            RequestReply::Answer { .. } | RequestReply::Moved(_) => nodes.answered(node),
        });
        reply
    }

    /// Whether any node answers `GET /` with anything but a gateway's error.
    pub async fn answers(&self) -> bool {
        for node in 0..self.nodes.len() {
            if matches!(self.get(node, "").await, RequestReply::Answer { status: 0..=499, .. } | RequestReply::Moved(_))
            {
                return true;
            }
        }
        false
    }

    /// One question about the target, of the first node that answers.
    pub async fn ask(&self, path: &str) -> Seen {
        let mut said = "no node answers".to_owned();
        for node in 0..self.nodes.len() {
            match self.get(node, path).await {
                RequestReply::Answer { status: 200, body, .. } => {
                    return serde_json::from_slice(&body)
                        .map_or_else(|_| Seen::Unknown("the answer is not JSON".to_owned()), Seen::Found);
                }
                RequestReply::Answer { status: 404, .. } => return Seen::Absent,
                RequestReply::Answer { status: 401 | 403, .. } => {
                    return Seen::Unknown("these credentials may not look at it".to_owned());
                }
                RequestReply::Answer { status, .. } => said = format!("the server answered {status}"),
                RequestReply::Moved(redirect) => said = redirect,
                RequestReply::Timeout | RequestReply::Broken(_) => {}
            }
        }
        Seen::Unknown(said)
    }

    /// Asks dead nodes whose time is up; they live again when they answer.
    pub async fn probe_the_dead(&self) {
        for node in self.health(|nodes| nodes.to_probe(Instant::now())) {
            self.get(node, "").await;
        }
    }

    /// What the servers are: the first node that says so counts.
    ///
    /// # Errors
    /// [`Unidentified`], by the best answer any node gave.
    pub async fn identify(&self) -> Result<ServerVersion, Unidentified> {
        let mut worst = Unidentified::Unreachable("no node was asked".to_owned());
        for node in 0..self.nodes.len() {
            match self.identify_node(node).await {
                Ok(server) => return Ok(server),
                Err(Unidentified::Unreachable(message)) => {
                    if matches!(worst, Unidentified::Unreachable(_)) {
                        worst = Unidentified::Unreachable(message);
                    }
                }
                Err(answered) => worst = answered,
            }
        }
        Err(worst)
    }

    async fn identify_node(&self, node: usize) -> Result<ServerVersion, Unidentified> {
        let root = self.get(node, "").await;
        if let RequestReply::Answer { status: 200, body, .. } = &root
            && let Some(server) = ServerVersion::from_root(body)
        {
            return Ok(server);
        }
        match root {
            RequestReply::Timeout => return Err(Unidentified::Unreachable(format!("{}: no answer", self.name(node)))),
            RequestReply::Broken(cause) => return Err(Unidentified::Unreachable(cause)),
            RequestReply::Moved(redirect) => return Err(Unidentified::Unclear(redirect)),
            RequestReply::Answer { status: status @ (429 | 500..=599), body, .. } => {
                let said = words::said(&body);
                return Err(Unidentified::Unreachable(format!("{} is not ready ({status}{said})", self.name(node))));
            }
            RequestReply::Answer { .. } => {}
        }
        if let RequestReply::Answer { body, .. } = &root
            && let Some(help) = words::of_page(body)
        {
            let said = words::title(body).unwrap_or_default();
            return Err(Unidentified::Unreachable(format!("{}: {said}; {help}", self.name(node))));
        }
        // Some gateways and bare distributions do not answer GET /.
        match self.get(node, "_nodes?filter_path=nodes.*.version").await {
            RequestReply::Answer { status: 200, body, .. } => ServerVersion::from_nodes(&body)
                .ok_or_else(|| Unidentified::Unclear(format!("{} does not name its version", self.name(node)))),
            RequestReply::Answer { status: 401, .. } => {
                Err(Unidentified::Refused(format!("{} refused our credentials (401)", self.name(node))))
            }
            RequestReply::Answer { status, body, .. } => Err(Unidentified::Unclear(format!(
                "{} answered {status}{} to GET / and GET /_nodes",
                self.name(node),
                words::said(&body)
            ))),
            RequestReply::Timeout => Err(Unidentified::Unreachable(format!("{}: no answer", self.name(node)))),
            RequestReply::Broken(cause) => Err(Unidentified::Unreachable(cause)),
            RequestReply::Moved(redirect) => Err(Unidentified::Unclear(redirect)),
        }
    }

    /// What each node is, for `check --connect` and the probe at start.
    pub async fn survey(&self) -> Vec<(String, Result<ServerVersion, Unidentified>)> {
        let mut findings = Vec::new();
        for node in 0..self.nodes.len() {
            findings.push((self.name(node), self.identify_node(node).await));
        }
        findings
    }

    /// A node's address, without secrets.
    #[must_use]
    pub fn name(&self, node: usize) -> String {
        self.nodes.get(node).map_or_else(String::new, |node| redact(node.base.as_str()))
    }
}

/// Gives a node back also when the request is dropped half way.
struct Busy<'a> {
    cluster: &'a Cluster,
    node: usize,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.cluster.health(|nodes| nodes.release(self.node));
    }
}

fn place_of(url: &Url) -> (&str, Option<&str>, Option<u16>, &str) {
    (url.scheme(), url.host_str(), url.port_or_known_default(), url.path())
}

fn headers(content_type: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers
}

/// Seconds only; a date is left to the ordinary backoff.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}

fn moved(base: &Url, place: &str) -> RequestReply {
    let node = redact(base.as_str());
    RequestReply::Moved(format!(
        "{node} redirects to {place}; name an address under which the servers answer themselves as the node"
    ))
}

fn broken(error: &elasticsearch::Error, base: &Url) -> RequestReply {
    if error.is_timeout() {
        return RequestReply::Timeout;
    }
    // The outer texts name the URL only; the innermost says what happened.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let said = redact(&format!("{base}: {cause}"));
    match words::of_cause(base.scheme() == "https", &said) {
        Some(help) => RequestReply::Broken(format!("{said}; {help}")),
        None => RequestReply::Broken(said),
    }
}
