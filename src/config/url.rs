//! Addresses of servers as URLs: one reader for `check` and for those who connect. No reason quotes any part of them,
//! because they may hold credentials.

use secrecy::SecretString;

use crate::leaf::pointer::PointerRefusal;

/// A Redis server's address.
#[derive(Debug, Clone)]
pub struct RedisAddress {
    /// Name or IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// `rediss://`
    pub secure: bool,
    /// User name, if there is one.
    pub username: Option<String>,
    /// Password, if there is one.
    pub password: Option<SecretString>,
    /// Which database is selected.
    pub database: i64,
}

/// Redis's port.
const REDIS_PORT: u16 = 6379;

/// User name and password, percent-decoded.
pub(super) type UrlUser = (String, String);

fn refuse<T>(reason: impl Into<String>, remedy: impl Into<String>) -> Result<T, PointerRefusal> {
    Err(PointerRefusal::new(reason, remedy))
}

/// Reads `redis://[user:password@]host[:port][/database]`.
///
/// # Errors
/// What is wrong, without any part of it.
pub fn redis(text: &str) -> Result<RedisAddress, PointerRefusal> {
    let form =
        "write `redis://host:6379/0` (with a log-in `redis://user:password@host:6379/0`), or `rediss://…` for TLS";
    if text.trim() != text {
        return refuse(
            "the URL begins or ends with a blank or a line end",
            "leave it out; for a variable or file write it with `printf %s`, not `echo`",
        );
    }
    let schemes = [("redis://", false), ("rediss://", true)];
    let known = schemes.iter().find_map(|(scheme, secure)| Some((text.strip_prefix(scheme)?, *secure)));
    let Some((rest, secure)) = known else {
        return refuse("not a Redis URL: it starts with neither `redis://` nor `rediss://`", form);
    };
    let (user, place) = user_info(rest)?;
    let (place, query) = place.split_once('?').map_or((place, None), |(place, query)| (place, Some(query)));
    if query.is_some() {
        return refuse(
            "what stands behind the `?` of the URL would be ignored",
            "remove it; an authority and a client certificate are given in `tls: { ca_file, cert_file, key_file }`",
        );
    }
    if place.contains('#') {
        return refuse("a Redis URL has no fragment (`#…`)", "remove it; in a password write `%23`");
    }
    let (authority, database) = place.split_once('/').unwrap_or((place, ""));
    let (host, port) = host_and_port(authority, form)?;
    let database = if database.is_empty() { Some(0) } else { database.parse().ok().filter(|number| *number >= 0) };
    let Some(database) = database else {
        return refuse("the database behind the `/` is not a number", form);
    };
    let (username, password) = match user {
        None => (None, None),
        Some((name, password)) => ((!name.is_empty()).then_some(name), Some(password)),
    };
    if username.is_some() && password.as_deref() == Some("") {
        return refuse(
            "the URL has a user but no password",
            "write `redis://user:password@…`, or `redis://:password@…`",
        );
    }
    let password = password.filter(|password| !password.is_empty()).map(SecretString::from);
    Ok(RedisAddress { host: host.to_owned(), port: port.unwrap_or(REDIS_PORT), secure, username, password, database })
}

/// `host`, `host:port`, `[::1]:port`; the host without brackets.
pub(super) fn host_and_port<'t>(authority: &'t str, form: &str) -> Result<(&'t str, Option<u16>), PointerRefusal> {
    let bracketed = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.trim_start_matches(':'))),
        None => authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return refuse("the URL names no host", form);
    }
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let fine = match bracketed {
        Some(_) => host.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.bytes().all(named),
    };
    if authority.contains(',') {
        return refuse("several hosts in one URL", "name one: look-ups read from one server");
    }
    if !fine {
        return refuse("the host of the URL has characters that no host's name has", form);
    }
    match port.map(str::parse::<u16>) {
        None => Ok((host, None)),
        Some(Ok(port)) if port > 0 => Ok((host, Some(port))),
        Some(_) => refuse("the port is not a number from 1 to 65535", form),
    }
}

/// Cuts the credentials off what follows `://`.
///
/// # Errors
/// Characters in them that must be percent-encoded: to any reader of URLs they would end the credentials early.
pub(super) fn user_info(rest: &str) -> Result<(Option<UrlUser>, &str), PointerRefusal> {
    let Some((user, place)) = rest.rsplit_once('@') else { return Ok((None, rest)) };
    let encoded = [('/', "%2F"), ('#', "%23"), ('?', "%3F"), ('@', "%40"), (' ', "%20"), ('[', "%5B"), (']', "%5D")];
    for (character, code) in encoded {
        if user.contains(character) {
            return refuse(
                format!("the credentials in the URL hold a `{character}` that is not percent-encoded"),
                format!("write `{code}` for it"),
            );
        }
    }
    if user.chars().any(char::is_control) {
        return refuse("the credentials in the URL hold a line end or another control character", "leave it out");
    }
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    match (decoded(name), decoded(password)) {
        (Some(name), Some(password)) => Ok((Some((name, password)), place)),
        _ => refuse("the credentials in the URL hold a `%` that begins no percent-encoding", "write `%25` for it"),
    }
}

/// Percent-decoding; `None` when it does not decode to UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn redis_addresses() {
        for (text, host, port, secure, user, password, database) in [
            ("redis://h", "h", 6379, false, None, None, 0),
            ("redis://h:1", "h", 1, false, None, None, 0),
            ("rediss://u:p@h:1/3", "h", 1, true, Some("u"), Some("p"), 3),
            ("redis://:p%40%2F%23%3F%25@h/", "h", 6379, false, None, Some("p@/#?%"), 0),
            ("redis://u:a:b@h", "h", 6379, false, Some("u"), Some("a:b"), 0),
            ("redis://[::1]:6379/0", "::1", 6379, false, None, None, 0),
            ("redis://[::1]", "::1", 6379, false, None, None, 0),
            ("redis://u:%C3%A9%20x@h", "h", 6379, false, Some("u"), Some("é x"), 0),
        ] {
            let found = redis(text).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));
            assert_eq!((&*found.host, found.port, found.secure), (host, port, secure), "{text}");
            assert_eq!(found.username.as_deref(), user, "{text}");
            assert_eq!(found.password.as_ref().map(|secret| secret.expose_secret()), password, "{text}");
            assert_eq!(found.database, database, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_encoding_to_write_and_without_the_secret() {
        for (text, part) in [
            ("redis://:hunt/er2@h:6379", "%2F"),
            ("redis://:hunt#er2@h:6379", "%23"),
            ("redis://:hunt?er2@h:6379", "%3F"),
            ("redis://:hunt@er2@h:6379", "%40"),
            ("redis://:hunt%er2@h:6379", "%25"),
            ("redis://:hunter2%@h", "%25"),
            ("redis://:hunt er2@h", "%20"),
            ("redis://:hunt\ner2@h", "line end"),
            ("redis://:hunter2@h\n", "printf"),
            (" redis://:hunter2@h", "blank"),
            ("redis://hunter2@h", "no password"),
            ("rediss://:hunter2@h?ca=/etc/ca.pem", "tls: {"),
            ("redis://h/0?protocol=resp3", "ignored"),
            ("rediss://h#insecure", "fragment"),
            ("h:6379", "redis://"),
            ("http://h", "redis://"),
            ("redis+unix:///hunter2", "redis://"),
            ("redis://", "no host"),
            ("redis:///1", "no host"),
            ("redis://u:hunter2@", "no host"),
            ("redis://h:x", "port"),
            ("redis://h:0", "port"),
            ("redis://h:99999", "port"),
            ("redis://h:1/db", "database"),
            ("redis://h1:1,h2:1", "several hosts"),
            ("redis://[::g]", "host"),
        ] {
            let refusal = redis(text).err().unwrap_or_else(|| panic!("{text} is taken"));
            let shown = format!("{} {}", refusal.reason, refusal.remedy);
            assert!(shown.contains(part), "{text}: {shown}");
            assert!(!shown.contains("hunt") && !shown.contains("er2"), "{text}: {shown}");
        }
    }
}
