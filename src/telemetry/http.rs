//! The HTTP endpoint: `/metrics`, `/livez`, `/readyz`, `/startupz`, `/status`, and a page at `/`. Read only. Everything
//! a client can cost is bounded: connections, size of a head, time to send one, life of a connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::board::Board;
use super::exposition;
use super::status::{self, Status};
use crate::model::Exit;

/// Connections served at a time; more wait in the listen queue of the system.
const MOST_CONNECTIONS: usize = 64;
/// Most bytes of a request's head; more is answered with 431.
const MOST_HEAD_BYTES: usize = 16 * 1024;
/// Time a client has to send a head, and longest idle time between two requests of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest life of a connection, so that a client that reads nothing does not hold one for ever.
const CONNECTION_LIFE: Duration = Duration::from_secs(300);
/// What a connection gets to finish its answer when it is told to end.
const LAST_ANSWER: Duration = Duration::from_secs(2);
/// Wait after a failed accept (out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

const PAGE: &str = include_str!("page.html");

/// The endpoint could not listen.
#[derive(Debug, thiserror::Error)]
#[error(
    "failed to listen on {address} (telemetry.listen): {source}; free the address, choose another, or port 0 for any free one"
)]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

impl ListenError {
    /// The exit code: a configuration that cannot be had here.
    #[must_use]
    pub fn exit(&self) -> Exit {
        Exit::Config
    }
}

/// A bound endpoint that does not serve yet.
pub struct Endpoint {
    listener: TcpListener,
}

/// Whoever holds it keeps the endpoint serving; dropping it, or [`EndpointShutdown::now`], ends it.
pub struct EndpointShutdown(watch::Sender<()>);

impl EndpointShutdown {
    /// Ends the endpoint: no new connection, open ones finish their answer.
    pub fn now(self) {
        drop(self.0);
    }
}

impl Endpoint {
    /// Binds `address`; port 0 takes any free one. Logs where it listens.
    ///
    /// # Errors
    /// [`ListenError`] when the address is taken or not ours; the process ends with its exit code.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        tracing::info!(address = %bound, "telemetry listens on http://{bound}/");
        Ok(Self { listener })
    }

    /// Where it listens.
    #[cfg(test)]
    fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a bound socket has an address")
    }

    /// Serves the board on the current tokio runtime until the returned [`EndpointShutdown`] is used or dropped.
    #[must_use]
    pub fn serve(self, board: Arc<Board>) -> EndpointShutdown {
        self.serve_within(board, HEAD_TIMEOUT)
    }

    fn serve_within(self, board: Arc<Board>, head_timeout: Duration) -> EndpointShutdown {
        let (shutdown, ended) = watch::channel(());
        tokio::spawn(accept(self.listener, router(board), head_timeout, ended));
        EndpointShutdown(shutdown)
    }
}

async fn accept(listener: TcpListener, router: Router, head_timeout: Duration, mut ended: watch::Receiver<()>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            _ = ended.changed() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (router, ended) = (router.clone(), ended.clone());
                tokio::spawn(async move {
                    serve_connection(stream, router, head_timeout, ended).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!("failed to accept a telemetry connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, router: Router, head_timeout: Duration, mut ended: watch::Receiver<()>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(MOST_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // Errors are the client's: a bad head, a timeout, a reset. hyper has answered where an answer is possible.
        _ = connection.as_mut() => return,
        _ = ended.changed() => {}
        () = tokio::time::sleep(CONNECTION_LIFE) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST_ANSWER, connection).await;
}

fn router(board: Arc<Board>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .route("/status", get(status))
        .with_state(board)
}

async fn page() -> Response {
    let mut response = answer(StatusCode::OK, "text/html; charset=utf-8", PAGE.to_owned());
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                  img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

async fn metrics(State(board): State<Arc<Board>>) -> Response {
    match exposition::render(&board, SystemTime::now()) {
        Ok(text) => answer(StatusCode::OK, exposition::CONTENT_TYPE, text),
        Err(error) => failed(&error),
    }
}

async fn livez(State(board): State<Arc<Board>>) -> Response {
    verdict(&status::dead_loops(&board))
}

async fn readyz(State(board): State<Arc<Board>>) -> Response {
    verdict(&status::not_ready(&board))
}

async fn startupz(State(board): State<Arc<Board>>) -> Response {
    verdict(&status::not_started(&board))
}

async fn status(State(board): State<Arc<Board>>) -> Response {
    match serde_json::to_string(&Status::of(&board, SystemTime::now())) {
        Ok(text) => answer(StatusCode::OK, "application/json", text),
        Err(error) => failed(&error),
    }
}

/// `ok`, or 503 and the reasons, one a line.
fn verdict(reasons: &[String]) -> Response {
    if reasons.is_empty() {
        return answer(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".to_owned());
    }
    let mut text = reasons.join("\n");
    text.push('\n');
    answer(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", text)
}

fn failed(error: &dyn std::error::Error) -> Response {
    tracing::error!("failed to answer a telemetry request: {error}");
    answer(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", "failed to format the answer\n".to_owned())
}

fn answer(status: StatusCode, media_type: &'static str, body: String) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, body).into_response()
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
