//! The endpoint as a client sees it: raw TCP, every wait with a deadline.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::telemetry::board::tests::board_of_two;
use crate::telemetry::health::{Component, State as Lifecycle};

const DEADLINE: Duration = Duration::from_secs(10);

async fn serving(board: &Arc<Board>) -> (SocketAddr, EndpointShutdown) {
    let endpoint = Endpoint::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    assert_ne!(endpoint.address().port(), 0);
    (endpoint.address(), endpoint.serve(board.clone()))
}

/// Everything the server answers to these bytes until it closes.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    // A server that refuses early may close before everything is written.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("answers in time");
    assert!(read.is_ok() || !answer.is_empty(), "{read:?}");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, String, String) {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let answer = exchange(address, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn every_path_answers_with_its_type() {
    let (address, _serving) = serving(&board_of_two()).await;
    let table = [
        ("/", "text/html; charset=utf-8", "<title>sluicegate</title>"),
        ("/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8", "sluicegate_build_info"),
        ("/status", "application/json", r#""config_hash":"c0ffee""#),
        ("/livez", "text/plain; charset=utf-8", "ok\n"),
    ];
    for (path, media_type, part) in table {
        let (status, head, body) = ask(address, "GET", path).await;
        assert_eq!(status, 200, "{path}");
        assert!(head.contains(&format!("content-type: {media_type}")), "{path}: {head}");
        assert!(head.contains("cache-control: no-store") && head.contains("x-content-type-options: nosniff"), "{head}");
        assert!(body.contains(part), "{path}: {body}");
        let (status, head, body) = ask(address, "HEAD", path).await;
        assert_eq!((status, body.as_str()), (200, ""), "HEAD {path}");
        assert!(head.contains("content-length: "), "{head}");
    }
}

#[tokio::test]
async fn nothing_can_be_written_and_nothing_else_is_there() {
    let (address, _serving) = serving(&board_of_two()).await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        assert_eq!(ask(address, method, "/status").await.0, 405, "{method}");
    }
    assert_eq!(ask(address, "GET", "/pause").await.0, 404);
    assert_eq!(ask(address, "GET", "/..%2f..%2fetc/passwd").await.0, 404);
}

#[tokio::test]
async fn readiness_names_what_is_missing_and_liveness_never_depends_on_servers() {
    let board = board_of_two();
    let (address, _serving) = serving(&board).await;
    let [relay, index] = board.pipelines.as_slice() else { panic!("two pipelines") };
    index.pipeline.health.needs(Component::Sink);
    relay.pipeline.metrics.assigned_partitions.set(2);
    let (status, _, body) = ask(address, "GET", "/readyz").await;
    assert_eq!(
        (status, body.as_str()),
        (503, "index: no partition assignment yet\nindex: sink has not answered yet\n")
    );
    assert_eq!(ask(address, "GET", "/livez").await.0, 200);

    // Standby: a rebalance that gave nothing.
    index.pipeline.metrics.rebalances.add(1);
    index.pipeline.health.reached(Component::Sink);
    assert_eq!(ask(address, "GET", "/readyz").await.0, 200);
    relay.pipeline.health.set_state(Lifecycle::Failed);
    let (status, _, body) = ask(address, "GET", "/readyz").await;
    assert_eq!((status, body.as_str()), (503, "relay: failed\n"));
}

#[tokio::test]
async fn startup_waits_for_the_first_turn_of_every_loop() {
    let board = board_of_two();
    let (address, _serving) = serving(&board).await;
    board.pipelines[0].pipeline.health.tick();
    let (status, _, body) = ask(address, "GET", "/startupz").await;
    assert_eq!((status, body.as_str()), (503, "index: the control loop has not turned yet\n"));
    board.pipelines[1].pipeline.health.tick();
    assert_eq!(ask(address, "GET", "/startupz").await.0, 200);
}

#[tokio::test]
async fn status_is_json_with_the_promised_members() {
    let board = board_of_two();
    let relay = &board.pipelines[0];
    relay.pipeline.metrics.drained(&"events".into(), 5, 50);
    relay.pipeline.metrics.balance(5);
    relay.pipeline.health.raise(Component::Sink, "503 from node a");
    let (address, _serving) = serving(&board).await;
    let status: serde_json::Value = serde_json::from_str(&ask(address, "GET", "/status").await.2).expect("JSON");
    assert_eq!(status["version"], "1.2.3");
    let relay = &status["pipelines"]["relay"];
    for member in ["state", "why", "rates", "lag", "slowest_stage", "last_errors", "conservation"] {
        assert!(relay.get(member).is_some(), "{member}");
    }
    assert_eq!(relay["conservation"]["consumed"], 5);
    assert_eq!((&relay["conservation"]["holds"], &relay["conservation"]["open"]), (&true.into(), &5.into()));
    assert_eq!(relay["last_errors"][0], "503 from node a");
    assert_eq!(relay["faults"][0]["component"], "sink");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (address, _serving) = serving(&board_of_two()).await;
    let mut request = b"GET /livez HTTP/1.1\r\nhost: x\r\nx: ".to_vec();
    request.resize(request.len() + 4 * MOST_HEAD_BYTES, b'a');
    request.extend_from_slice(b"\r\n\r\n");
    let answer = exchange(address, &request).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(ask(address, "GET", "/livez").await.0, 200, "others are served on");
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_head_is_dropped() {
    const SHORT: Duration = Duration::from_millis(100);
    let endpoint = Endpoint::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let address = endpoint.address();
    let _serving = endpoint.serve_within(board_of_two(), SHORT);
    let begun = Instant::now();
    let answer = exchange(address, b"GET /livez HT").await;
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    assert!(!answer.contains(" 200 "), "{answer}");
}

/// The answer does not wait for a body that was announced.
#[tokio::test]
async fn bodies_are_not_waited_for() {
    let (address, _serving) = serving(&board_of_two()).await;
    for (method, status) in [("POST", 405), ("PUT", 405), ("GET", 200)] {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        let head =
            format!("{method} /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100000000000\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("written");
        let mut first = [0; 16];
        tokio::time::timeout(DEADLINE, stream.read_exact(&mut first)).await.expect("in time").expect("an answer");
        assert_eq!(String::from_utf8_lossy(&first[9..12]), status.to_string(), "{method}");
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    const LONG: Duration = Duration::from_secs(60);
    let endpoint = Endpoint::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let address = endpoint.address();
    let _serving = endpoint.serve_within(board_of_two(), LONG);
    let mut idle = Vec::new();
    for _ in 0..MOST_CONNECTIONS {
        // An answered request shows that the connection has its place; kept alive, it keeps it.
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("written");
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.expect("an answer");
        idle.push(stream);
    }
    let mut next = Box::pin(ask(address, "GET", "/livez"));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut next).await;
    assert!(early.is_err(), "served beyond the limit: {early:?}");
    idle.pop();
    let (status, ..) = tokio::time::timeout(DEADLINE, next).await.expect("a place is free");
    assert_eq!(status, 200);
}

#[tokio::test]
async fn an_address_that_is_taken_is_a_configuration_error() {
    let (address, _serving) = serving(&board_of_two()).await;
    let error = Endpoint::bind(address).await.err().expect("taken");
    assert_eq!(error.exit(), Exit::Config);
    let text = error.to_string();
    assert!(text.contains(&address.to_string()) && text.contains("telemetry.listen"), "{text}");
}

#[tokio::test]
async fn shutting_down_stops_listening() {
    let (address, serving) = serving(&board_of_two()).await;
    assert_eq!(ask(address, "GET", "/livez").await.0, 200);
    serving.now();
    let begun = Instant::now();
    while TcpStream::connect(address).await.is_ok() {
        assert!(begun.elapsed() < DEADLINE, "still listening");
        tokio::task::yield_now().await;
    }
}
