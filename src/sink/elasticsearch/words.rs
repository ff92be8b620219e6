//! What a failed connection or a page that is no answer of the server's says, and what usually helps. Pure.

use super::redact::redact;

/// Most characters shown of a page.
const PAGE_CHARS: usize = 200;

const WRITE_HTTPS: &str = "the server speaks TLS there: write `https://` in `nodes`";
const WRITE_HTTP: &str = "the server does not speak TLS there: write `http://` in `nodes`, or name its port with TLS";
const AUTHORITY: &str = "give the authority that signed the server's certificate in `tls: { ca_file }`";

/// While a request is halved because of its size.
pub const TOO_LARGE: &str = "the server, or a proxy in front of it, takes no request of this size (413): smaller ones are \
                             sent; set `batch.bytes` of the sink below its limit, or raise that (`http.max_content_length`, \
                             nginx's `client_max_body_size`)";

/// What usually helps when a connection broke for this cause.
#[must_use]
pub fn of_cause(secure: bool, cause: &str) -> Option<&'static str> {
    let says = |parts: &[&str]| parts.iter().any(|part| cause.contains(part));
    if secure && says(&["InvalidContentType", "corrupt message", "wrong version number", "record overflow"]) {
        return Some(WRITE_HTTP);
    }
    if secure && says(&["UnknownIssuer", "invalid peer certificate", "self-signed", "unable to get local issuer"]) {
        return Some(AUTHORITY);
    }
    let cut_off = says(&[
        "Connection reset",
        "connection closed before message completed",
        "unexpected end of file",
        "invalid HTTP version",
        "invalid HTTP status",
        "Broken pipe",
    ]);
    (!secure && cut_off).then_some("if the server speaks TLS there, write `https://` in `nodes`")
}

/// What usually helps when the server, or a proxy, answered with this page.
#[must_use]
pub fn of_page(body: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(&body[..body.len().min(4_096)]);
    let speaks_tls = ["plain HTTP request was sent to HTTPS port", "HTTP request to an HTTPS server", "requires TLS"];
    speaks_tls.iter().any(|part| text.contains(part)).then_some(WRITE_HTTPS)
}

/// The title of a page, or the first line of a text; what it says and no secret.
#[must_use]
pub fn title(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&body[..body.len().min(4_096)]);
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").map(|at| at + "<title>".len());
    let line = match title {
        Some(start) => text.get(start..)?.split("</").next()?,
        None if text.trim_start().starts_with('<') => return None,
        None => text.trim_start().lines().next()?,
    };
    let shown: String = redact(line.trim()).chars().take(PAGE_CHARS).collect();
    (!shown.is_empty() && !shown.contains('\u{fffd}')).then_some(shown)
}

/// The same behind a status: `: "502 Bad Gateway"`.
#[must_use]
pub fn said(body: &[u8]) -> String {
    // An error object of the server's own is told elsewhere, with its type.
    let is_object = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let title = (!is_object).then(|| title(body)).flatten();
    title.map_or_else(String::new, |title| format!(": \"{title}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_side_speaks_tls_and_the_other_does_not() {
        for (secure, cause, part) in [
            (false, "Connection reset by peer (os error 104)", Some("https://")),
            (false, "connection closed before message completed", Some("https://")),
            (false, "invalid HTTP version parsed", Some("https://")),
            (true, "received corrupt message of type InvalidContentType", Some("`http://`")),
            (true, "invalid peer certificate: UnknownIssuer", Some("ca_file")),
            (true, "Connection reset by peer (os error 104)", None),
            (false, "Connection refused (os error 111)", None),
        ] {
            let help = of_cause(secure, cause);
            assert_eq!(help.is_some(), part.is_some(), "{cause}: {help:?}");
            assert!(part.is_none_or(|part| help.is_some_and(|help| help.contains(part))), "{cause}: {help:?}");
        }
    }

    #[test]
    fn a_page_is_told_by_its_title() {
        let nginx = b"<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n<body>x</body>";
        assert_eq!(title(nginx).as_deref(), Some("400 The plain HTTP request was sent to HTTPS port"));
        assert!(of_page(nginx).is_some_and(|help| help.contains("https://")));
        let go = b"Client sent an HTTP request to an HTTPS server.\n";
        assert_eq!(title(go).as_deref(), Some("Client sent an HTTP request to an HTTPS server."));
        assert!(of_page(go).is_some());
        assert_eq!(title(b"<html><body>no title</body></html>"), None);
        assert_eq!(said(b"<title>502 Bad Gateway</title>"), ": \"502 Bad Gateway\"");
        assert_eq!((said(b"{\"error\":1}"), said(b"")), (String::new(), String::new()));
        assert_eq!(title(b""), None);
        assert_eq!(title(b"\xff\xfe\x00"), None);
        assert!(!title(b"denied; Authorization: Basic hunter2").unwrap_or_default().contains("hunter2"));
        assert_eq!(of_page(b"<title>502 Bad Gateway</title>"), None);
    }
}
