//! librdkafka's words about a connection, for people: without what only its authors need, and with what usually helps.
//! Pure.

const SPEAKS_TLS: &str = "the listener may speak TLS: write `tls: {}` (with `ca_file` for an authority of your own) in the \
                          connection, or name the port of a listener without TLS";
const SPEAKS_NO_TLS: &str = "the listener does not speak TLS: leave `tls` out, or name the port of its TLS listener";
const WANTS_LOG_IN: &str =
    "the listener may want a log-in: write `sasl: { mechanism, username, password }` in the connection";

/// A connection that is up and closed within this was closed for its first request, in milliseconds.
const AT_ONCE: u64 = 2_000;

/// What a part of its words means, and what to do about it.
const REMEDIES: [(&str, &str); 12] = [
    ("SSL listener", SPEAKS_TLS),
    ("might require SASL", WANTS_LOG_IN),
    (
        "Failed to resolve",
        "this name has no address here; where it is not one of `brokers`, the cluster advertises it \
         (`advertised.listeners` of the broker): make it resolvable from here, or correct it there",
    ),
    ("certificate verify failed", "give the authority that signed the broker's certificate in `tls: { ca_file }`"),
    ("unable to get local issuer", "give the authority that signed the broker's certificate in `tls: { ca_file }`"),
    ("wrong version number", SPEAKS_NO_TLS),
    ("packet length too long", SPEAKS_NO_TLS),
    ("SSL handshake failed", "see whether the listener speaks TLS, and whether it wants a client certificate"),
    ("Unsupported SASL mechanism", "write a mechanism the broker has enabled in `sasl: { mechanism }`"),
    ("Connection refused", "nobody listens there: check host and port in `brokers`, and that the broker runs"),
    ("Connection setup timed out", "nobody answers there: check host and port in `brokers`, and firewalls on the way"),
    ("No route to host", "check host and port in `brokers`, and the network on the way"),
];

/// Its words cleaned, then what usually helps.
#[must_use]
pub fn told(text: &str) -> String {
    match remedy(text) {
        Some(remedy) => format!("{}; {remedy}", cleaned(text)),
        None => cleaned(text),
    }
}

/// What usually helps where it says this.
#[must_use]
pub fn remedy(text: &str) -> Option<&'static str> {
    if let Some(first) = answered_instead(text) {
        return Some(match first {
            HTTP => "an HTTP server answers there, no Kafka broker: check the port in `brokers`",
            number if number >> 24 == TLS_ALERT || number >> 24 == TLS_HANDSHAKE => SPEAKS_TLS,
            _ => "something else than a Kafka broker answers there: check the port in `brokers`",
        });
    }
    REMEDIES.iter().find(|(part, _)| text.contains(part)).map(|(_, remedy)| *remedy).or_else(|| of_state(text))
}

/// What it was about when the other side closed the connection: `Disconnected: … (after 2ms in state
/// APIVERSION_QUERY)`.
fn of_state(text: &str) -> Option<&'static str> {
    let (said, state) = text.rsplit_once(" (after ")?;
    let (after, state) = state.split_once("ms in state ")?;
    let at_once = after.parse::<u64>().is_ok_and(|after| after < AT_ONCE);
    if !said.contains("Disconnected") {
        return None;
    }
    match state.split([',', ')']).next()? {
        "APIVERSION_QUERY" => Some(SPEAKS_TLS),
        "SSL_HANDSHAKE" => Some(SPEAKS_NO_TLS),
        "UP" if at_once => Some(WANTS_LOG_IN),
        _ => None,
    }
}

/// `HTTP` where the length of an answer should stand.
const HTTP: u32 = 0x4854_5450;
/// The first bytes of TLS's records.
const TLS_ALERT: u32 = 0x15;
const TLS_HANDSHAKE: u32 = 0x16;

/// The first four bytes of an answer that was no broker's.
fn answered_instead(text: &str) -> Option<u32> {
    let number = text.split_once("Invalid response size ")?.1;
    let end = number.find(|one: char| !one.is_ascii_digit() && one != '-').unwrap_or(number.len());
    number[..end].parse::<i64>().ok().map(|number| number as u32)
}

/// Without names of threads, places in the source, and states of its own machinery.
fn cleaned(text: &str) -> String {
    let text = match text.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")) {
        Some((_, rest)) => rest,
        None => text,
    };
    let text = text.split(" (after ").next().unwrap_or(text);
    let text = text.strip_suffix(": receive 0 after POLLIN").unwrap_or(text);
    let is_place = |word: &str| {
        let file = word.trim_end_matches(':').rsplit_once(':').map_or(word, |(file, _)| file);
        [".c", ".h", ".rs"].iter().any(|ending| file.ends_with(ending))
    };
    let words: Vec<_> = text.split_whitespace().filter(|word| !is_place(word)).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_words_are_kept_and_something_to_do_is_added() {
        for (text, kept, help) in [
            (
                "[thrd:127.0.0.1:9093/bootstrap]: 127.0.0.1:9093/bootstrap: Disconnected: requesting ApiVersion: might be \
                 caused by incorrect security.protocol configuration (connecting to a SSL listener?) or broker version is < \
                 0.10 (see api.version.request) (after 2ms in state APIVERSION_QUERY, 4 identical error(s) suppressed)",
                "127.0.0.1:9093/bootstrap: Disconnected: requesting ApiVersion: might be caused",
                "write `tls: {}`",
            ),
            (
                "a:9094/bootstrap: Disconnected: verify that security.protocol is correctly configured, broker might require \
                 SASL authentication (after 3ms in state UP)",
                "a:9094/bootstrap: Disconnected",
                "write `sasl:",
            ),
            (
                "[thrd:a:9093/bootstrap]: a:9093/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN \
                 (after 3ms in state APIVERSION_QUERY, 1 identical error(s) suppressed)",
                "a:9093/bootstrap: Disconnected: connection closed by peer;",
                "write `tls: {}`",
            ),
            (
                "a:9094/1: Disconnected: connection closed by peer: receive 0 after POLLIN (after 12ms in state UP)",
                "closed by peer;",
                "write `sasl:",
            ),
            ("a:9094/1: Disconnected (after 600012ms in state UP)", "a:9094/1: Disconnected", ""),
            ("ssl://a:9092/1: Disconnected (after 1ms in state SSL_HANDSHAKE)", "Disconnected;", "does not speak TLS"),
            (
                "kafka-0.internal:9092/0: Failed to resolve 'kafka-0.internal:9092': Name or service not known (after 1ms in \
                 state CONNECT)",
                "Name or service not known;",
                "advertised.listeners",
            ),
            (
                "a:9200/bootstrap: Receive failed: Invalid response size 1213486160 (0..100000000): increase \
                 receive.message.max.bytes",
                "Invalid response size",
                "HTTP server",
            ),
            ("a:1: Receive failed: Invalid response size 352518912 (0..1)", "Receive failed", "write `tls: {}`"),
            ("a:1: Receive failed: Invalid response size 1397966893 (0..1)", "Receive failed", "something else"),
            (
                "ssl://a:9092/bootstrap: SSL handshake failed: ../build/deps/ssl/record/ssl3_record.c:331: error:0A00010B:SSL \
                 routines::wrong version number",
                "SSL handshake failed: error:0A00010B",
                "does not speak TLS",
            ),
            (
                "ssl://a:1/1: SSL handshake failed: error: certificate verify failed",
                "certificate verify failed",
                "ca_file",
            ),
            (
                "a:1/1: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms)",
                "refused;",
                "check host and port",
            ),
            ("1/1 brokers are down", "1/1 brokers are down", ""),
        ] {
            let shown = told(text);
            assert!(shown.contains(kept) && shown.contains(help), "{shown}");
            for own in ["thrd:", "after ", "suppressed", ".c:"] {
                assert!(!shown.contains(own), "{shown}");
            }
        }
    }
}
