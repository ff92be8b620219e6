//! Secrets: a string, `{ env: NAME }` or `{ file: PATH }`; and the masks for what may hold one.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::finding::why;

/// Longest secret file: a key with its chain fits many times.
const MOST_BYTES: u64 = 64 * 1024;
/// What stands for a secret in everything people see.
pub const MASK: &str = "********";
/// Name under which the decoder hands any scalar over as text and shows none of it in errors.
pub const NEWTYPE: &str = "Secret";

/// A secret as written.
#[derive(Debug, Clone)]
pub enum Secret {
    /// In the configuration itself.
    Literal(SecretString),
    /// In an environment variable.
    Env(String),
    /// In a file; one newline at its end is not part of it.
    File(PathBuf),
}

impl Secret {
    /// The secret itself.
    ///
    /// # Errors
    /// Why it cannot be had, without any part of it.
    pub fn resolve(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<SecretString, String> {
        match self {
            Self::Literal(secret) => Ok(secret.clone()),
            Self::Env(name) => environment(name)
                .map(SecretString::from)
                .ok_or_else(|| format!("environment variable `{name}` is not set")),
            Self::File(path) => {
                let text = read_bounded(path)
                    .map_err(|reason| format!("secret file `{}` cannot be read: {reason}", path.display()))?;
                let line =
                    text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
                Ok(SecretString::from(line))
            }
        }
    }
}

/// A wrong path may name a device that never ends, or a log.
fn read_bounded(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| why(&error))?;
    file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(|error| why(&error))?;
    if text.len() as u64 > MOST_BYTES { Err(format!("larger than {MOST_BYTES} bytes")) } else { Ok(text) }
}

/// Whether a librdkafka property may hold a secret, by its name.
#[must_use]
pub fn is_sensitive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", "key", "token", "jaas"].iter().any(|word| name.contains(word))
}

/// Whether a value must not be quoted in messages, because people put secrets there: anything about connections.
#[must_use]
pub fn hides_values(path: &str) -> bool {
    path.starts_with("connections") || is_sensitive(path)
}

/// Whether a key looks like a name and not like a slip of the pen that made a value a key.
#[must_use]
pub fn is_name(key: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    !key.is_empty() && key.len() <= 64 && key.bytes().all(plain)
}

/// A path for people: in connections, quoted parts that do not look like names are left out.
#[must_use]
pub fn shown_path(path: &str) -> String {
    if !path.starts_with("connections") {
        return path.to_owned();
    }
    let mut shown = String::new();
    let mut rest = path;
    while let Some((plain, quoted)) = rest.split_once('"') {
        let end = closing_quote(quoted);
        let part = if is_name(&quoted[..end]) { &quoted[..end] } else { "…" };
        shown.push_str(&format!("{plain}\"{part}\""));
        rest = quoted.get(end + 1..).unwrap_or_default();
    }
    shown + rest
}

/// Where a quoted key ends, escapes skipped.
fn closing_quote(quoted: &str) -> usize {
    let mut escaped = false;
    let end = quoted.char_indices().find(|(_, character)| match character {
        _ if escaped => {
            escaped = false;
            false
        }
        '\\' => {
            escaped = true;
            false
        }
        other => *other == '"',
    });
    end.map_or(quoted.len(), |(at, _)| at)
}

/// A URL with its user-info masked. Masks too much rather than too little: up to the last `@`.
#[must_use]
pub fn mask_url(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    match url[start..].rfind('@') {
        Some(at) => format!("{}{MASK}{}", &url[..start], &url[start + at..]),
        None => url.to_owned(),
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SecretVisitor;
        impl<'de> Visitor<'de> for SecretVisitor {
            type Value = Secret;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a secret: a string, `{ env: NAME }` or `{ file: PATH }`")
            }
            fn visit_str<E>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::Literal(SecretString::from(text)))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
                let wrong = || A::Error::custom("expected a secret: a string, `{ env: NAME }` or `{ file: PATH }`");
                let secret = match map.next_key::<String>()?.as_deref() {
                    Some("env") => Secret::Env(map.next_value()?),
                    Some("file") => Secret::File(map.next_value::<String>()?.into()),
                    Some(_) | None => return Err(wrong()),
                };
                if map.next_key::<String>()?.is_some() { Err(wrong()) } else { Ok(secret) }
            }
        }
        deserializer.deserialize_newtype_struct(NEWTYPE, SecretVisitor)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let map = |name: &str, value: &str, serializer: S| {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry(name, value)?;
            map.end()
        };
        match self {
            Self::Literal(_) => serializer.serialize_str(MASK),
            Self::Env(name) => map("env", name, serializer),
            Self::File(path) => map("file", &path.to_string_lossy(), serializer),
        }
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        NEWTYPE.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let map = |name: &str, what: &str| {
            json_schema!({
                "type": "object", "required": [name], "additionalProperties": false,
                "properties": { name: { "type": "string", "description": what } },
            })
        };
        json_schema!({
            "description": "A secret: `{ env: NAME }`, `{ file: PATH }`, or the text itself (warned about).",
            "oneOf": [
                { "type": ["string", "number", "boolean"] },
                map("env", "Environment variable that holds the secret."),
                map("file", "File that holds the secret; one newline at its end is not part of it."),
            ],
        })
    }
}

/// A URL that may carry credentials: a secret that shows all but its user-info.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SecretUrl(pub Secret);

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Secret::Literal(url) => serializer.serialize_str(&mask_url(url.expose_secret())),
            secret @ (Secret::Env(_) | Secret::File(_)) => secret.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let table = [
            ("http://u:p@h:9200/x", "http://********@h:9200/x"),
            ("http://u:p/w@h", "http://********@h"),
            ("http://h:9200", "http://h:9200"),
            ("u:p@h", "********@h"),
            ("redis://:p@h/0", "redis://********@h/0"),
        ];
        for (url, expected) in table {
            assert_eq!(mask_url(url), expected);
        }
    }

    #[test]
    fn files_lose_one_newline() {
        let directory = tempfile::tempdir().unwrap();
        for (text, expected) in [("s", "s"), ("s\n", "s"), ("s\r\n", "s"), ("s\n\n", "s\n"), (" s ", " s ")] {
            let path = directory.path().join("secret");
            std::fs::write(&path, text).unwrap();
            assert_eq!(Secret::File(path).resolve(&|_| None).unwrap().expose_secret(), expected);
        }
        let missing = Secret::File(directory.path().join("none")).resolve(&|_| None).unwrap_err();
        assert!(missing.contains("none") && missing.contains("no such file"), "{missing}");
        let long = directory.path().join("long");
        std::fs::write(&long, vec![b's'; MOST_BYTES as usize]).unwrap();
        assert!(Secret::File(long.clone()).resolve(&|_| None).is_ok());
        std::fs::write(&long, vec![b's'; MOST_BYTES as usize + 1]).unwrap();
        for path in [long, PathBuf::from("/dev/zero")].into_iter().filter(|path| path.exists()) {
            let refused = Secret::File(path).resolve(&|_| None).unwrap_err();
            assert!(refused.contains("larger than 65536 bytes") && !refused.contains("sss"), "{refused:.200}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert!(!format!("{:?}", Secret::Literal("hunter2".into())).contains("hunter2"));
    }

    #[test]
    fn sensitive_names() {
        for name in ["sasl.password", "ssl.key.pem", "sasl.oauthbearer.client.secret", "sasl.jaas.config", "X.TOKEN"] {
            assert!(is_sensitive(name), "{name}");
        }
        assert!(!is_sensitive("fetch.wait.max.ms"));
    }
}
