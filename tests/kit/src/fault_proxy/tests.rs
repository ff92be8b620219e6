//! Each behaviour against a server that echoes.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use super::*;

const SOON: Duration = Duration::from_secs(10);

/// Echoes for as long as the tests run.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            std::thread::spawn(move || {
                let mut from = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut from, &mut stream);
            });
        }
    });
    address
}

fn client(proxy: &FaultProxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

fn echoed(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes)?;
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back)?;
    assert_eq!(back, bytes);
    Ok(())
}

/// Whether the stream ends with an error or its end, not with silence.
fn ends(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

#[test]
fn a_line_passes_is_cut_and_passes_again() {
    let proxy = FaultProxy::start(echo()).unwrap();
    let mut open = client(&proxy);
    echoed(&mut open, b"before").unwrap();
    proxy.set(Line::Pass);
    echoed(&mut open, b"saying the same again changes nothing").unwrap();
    proxy.set(Line::Cut);
    assert!(ends(&mut open), "an open connection is cut");
    let mut during = client(&proxy);
    assert!(echoed(&mut during, b"x").is_err(), "a new one too");
    proxy.set(Line::Pass);
    echoed(&mut client(&proxy), b"after").unwrap();
    assert_eq!(proxy.accepted(), 3);
}

#[test]
fn a_reset_hits_open_connections_only() {
    let proxy = FaultProxy::start(echo()).unwrap();
    let mut open = client(&proxy);
    echoed(&mut open, b"before").unwrap();
    proxy.reset();
    assert!(ends(&mut open));
    echoed(&mut client(&proxy), b"after").unwrap();
}

#[test]
fn a_silent_line_stays_silent_for_those_who_were_there() {
    let proxy = FaultProxy::start(echo()).unwrap();
    let mut open = client(&proxy);
    echoed(&mut open, b"before").unwrap();
    proxy.set(Line::Silent);
    open.write_all(b"lost").unwrap();
    open.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(!ends(&mut open), "nothing comes and nothing ends");
    proxy.set(Line::Pass);
    assert!(!ends(&mut open), "it is forgotten for ever");
    echoed(&mut client(&proxy), b"after").unwrap();
}

#[test]
fn answers_are_cut_after_so_many_bytes() {
    let proxy = FaultProxy::start(echo()).unwrap();
    proxy.set(Line::Truncate(10));
    let mut stream = client(&proxy);
    stream.write_all(&[7; 100]).unwrap();
    let mut back = Vec::new();
    let _ = stream.read_to_end(&mut back);
    assert!(back.len() <= 10, "{} bytes", back.len());
    proxy.set(Line::Pass);
    echoed(&mut client(&proxy), &[7; 100]).unwrap();
}

#[test]
fn delays_and_rates_take_their_time() {
    let proxy = FaultProxy::start(echo()).unwrap();
    for (line, least) in [(Line::Delay(Duration::from_millis(60)), 120), (Line::Throttle(10_000), 200)] {
        proxy.set(line);
        let mut stream = client(&proxy);
        let started = Instant::now();
        echoed(&mut stream, &[1; 1_000]).unwrap();
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(least), "{line:?} took {took:?}");
    }
}
