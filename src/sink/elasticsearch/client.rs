//! HTTP to the nodes: one `Transport` a node, ready-made bodies, nothing decided but which node is asked.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use elasticsearch::auth::{ClientCertificate, Credentials};
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::headers::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
};
use elasticsearch::http::response::Response;
use elasticsearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use elasticsearch::http::{Method, Url};
use secrecy::{ExposeSecret, SecretString};

use crate::config::plan::{Auth, ElasticsearchConnection};

use super::connect_fault::{ConnectFault, Unidentified};
use super::inspect::Seen;
use super::log_in;
use super::nodes::Nodes;
use super::patience::LONGEST_RETRY_AFTER;
use super::redact::redact;
use super::server::ServerVersion;
use super::verdict::RequestReply;
use super::words;

/// Bound on a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest answer that is read: a bulk answer has at most about 1 KiB an item.
const LONGEST_ANSWER_BYTES: u64 = 64 << 20;

struct NodeClient {
    transport: Transport,
    base: Url,
    /// Credentials beside a client certificate.
    log_in: Option<HeaderValue>,
}

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
        let nodes: Vec<NodeClient> = plan.nodes.iter().map(|url| node(plan, url)).collect::<Result<_, _>>()?;
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
        let reply = self.exchange(node, Method::Post, path, headers, Some(body), self.timeout).await;
        self.health(|nodes| match &reply {
            RequestReply::Timeout => nodes.timed_out(node, Instant::now()),
            RequestReply::Broken(_) | RequestReply::Answer { status: 502..=504, .. } => {
                nodes.broken(node, Instant::now())
            }
            RequestReply::Answer { .. } => nodes.answered(node),
        });
        (node, reply)
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
        let NodeClient { transport, base, log_in } = &self.nodes[node];
        if let Some(log_in) = log_in {
            headers.insert(AUTHORIZATION, log_in.clone());
        }
        let sent = transport.send(method, path, headers, None::<&()>, body, Some(timeout)).await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => return broken(&error, base),
        };
        // The HTTP client follows redirects unasked, and a POST arrives elsewhere as a GET.
        let moved = base.join(path).is_ok_and(|asked| place_of(&asked) != place_of(response.url()));
        let status = if moved { 302 } else { response.status_code().as_u16() };
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
        let reply = self.exchange(node, Method::Get, path, headers("application/json"), None, timeout).await;
        let now = Instant::now();
        self.health(|nodes| match &reply {
            RequestReply::Timeout | RequestReply::Broken(_) | RequestReply::Answer { status: 502..=504, .. } => {
                nodes.broken(node, now)
            }
            RequestReply::Answer { .. } => nodes.answered(node),
        });
        reply
    }

    /// Whether any node answers `GET /` with anything but a gateway's error.
    pub async fn answers(&self) -> bool {
        for node in 0..self.nodes.len() {
            if matches!(self.get(node, "").await, RequestReply::Answer { status: 0..=499, .. }) {
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

fn node(plan: &ElasticsearchConnection, address: &str) -> Result<NodeClient, ConnectFault> {
    let connection = || plan.name.to_string();
    let fault = |cause: String| ConnectFault::Address { connection: connection(), node: redact(address), cause };
    let mut base = Url::parse(address).map_err(|error| fault(error.to_string()))?;
    if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
        return Err(fault("it must start with http:// or https:// and name a host".to_owned()));
    }
    if !base.path().ends_with('/') {
        let path = format!("{}/", base.path());
        base.set_path(&path);
    }
    let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(base.clone()))
        .enable_meta_header(false)
        .cert_validation(validation(plan)?);
    let credentials = credentials(&plan.auth).map_err(|()| ConnectFault::Secret(connection()))?;
    // The client knows one kind of credentials at a time, and a certificate is one of them: then the others are a header.
    let mut log_in = None;
    if let Some(files) = &plan.client {
        let cause = |cause| ConnectFault::Certificate { connection: connection(), cause };
        let pem = log_in::certificate(files).map_err(cause)?;
        builder = builder.auth(Credentials::Certificate(ClientCertificate::Pem(pem)));
        let header = log_in::header(&plan.auth).map(|text| HeaderValue::from_str(&text)).transpose();
        log_in = header.map_err(|_| ConnectFault::Secret(connection()))?;
        log_in.iter_mut().for_each(|header| header.set_sensitive(true));
    } else if let Some(credentials) = credentials {
        builder = builder.auth(credentials);
    }
    if is_loopback(&base) {
        // A proxy of the environment cannot reach this host's loopback.
        builder = builder.disable_proxy();
    }
    let transport = builder
        .build()
        .map_err(|error| ConnectFault::Client { connection: connection(), cause: redact(&error.to_string()) })?;
    Ok(NodeClient { transport, base, log_in })
}

fn is_loopback(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn validation(plan: &ElasticsearchConnection) -> Result<CertificateValidation, ConnectFault> {
    if !plan.verify {
        return Ok(CertificateValidation::None);
    }
    let Some(path) = &plan.ca_file else { return Ok(CertificateValidation::Default) };
    let fault = |cause: String| ConnectFault::Authorities {
        connection: plan.name.to_string(),
        path: path.display().to_string(),
        cause,
    };
    let pem = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
    let chain = Certificate::from_pem(&pem).map_err(|error| fault(error.to_string()))?;
    Ok(CertificateValidation::Full(chain))
}

fn credentials(auth: &Auth) -> Result<Option<Credentials>, ()> {
    let text = |secret: &SecretString| {
        let text = secret.expose_secret();
        if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) { Ok(text.to_owned()) } else { Err(()) }
    };
    Ok(match auth {
        Auth::None => None,
        Auth::Basic { username, password } => {
            Some(Credentials::Basic(username.clone(), password.expose_secret().to_owned()))
        }
        Auth::ApiKey(key) => Some(Credentials::EncodedApiKey(text(key)?)),
        Auth::Bearer(token) => Some(Credentials::Bearer(text(token)?)),
    })
}
