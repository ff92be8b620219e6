//! Every connection is checked once, whether a pipeline uses it or not; secrets are resolved on the way.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::Checker;
use crate::config::pem;
use crate::config::plan::{ClientFiles, RedisConnection};
use crate::config::url;
use crate::config::written::connection::{Redis, Tls};
use crate::leaf::finding::why;
use crate::leaf::secret::Secret;
use crate::leaf::tree::join;

impl Checker<'_> {
    /// Findings about all connections, and those nobody uses.
    pub(super) fn connections(&self) {
        let connections = &self.written.connections;
        for (name, kafka) in &connections.kafka.0 {
            self.kafka_connection_findings(name, kafka);
        }
        for (name, search) in &connections.elasticsearch.0 {
            self.search_connection_findings(name, search);
        }
        for (name, redis) in &connections.redis.0 {
            self.redis_connection_findings(name, redis);
        }
    }

    /// A secret without findings: those were reported when its connection was checked.
    pub(super) fn resolved(&self, secret: &Secret) -> Option<SecretString> {
        secret.resolve(self.surroundings.environment).ok()
    }

    /// A secret with findings: it cannot be had, it is empty, or it stands in the configuration itself.
    pub(super) fn secret(&self, path: &str, secret: &Secret) -> Option<SecretString> {
        let resolved = match secret.resolve(self.surroundings.environment) {
            Ok(resolved) => resolved,
            Err(reason) => {
                self.error(path, reason, "provide it, or name another `{ env: NAME }` or `{ file: PATH }`");
                return None;
            }
        };
        let text = resolved.expose_secret();
        if text.is_empty() {
            self.error(path, "the secret is empty", "provide it, or leave out the setting that needs it");
        } else if text.contains(['\n', '\r', '\0']) && !text.contains("-----BEGIN") {
            self.error(
                path,
                "the secret holds a line end, which no server takes for a part of it",
                "write it without: `printf %s …` instead of `echo …`; of a file only one line end at its end is left out",
            );
        } else if text.trim() != text && !text.contains("-----BEGIN") {
            self.warn(path, "the secret begins or ends with a blank", "leave it out, if it is not meant");
        } else if matches!(secret, Secret::Literal(_)) && self.index.variables(path).is_empty() {
            self.warn(path, "a secret stands in the configuration itself", "write `{ env: NAME }` or `{ file: PATH }`");
        }
        Some(resolved)
    }

    /// A file a server connection needs.
    pub(super) fn readable(&self, path: &str, file: &Path) {
        if let Err(error) = std::fs::File::open(file) {
            self.error(
                path,
                format!("file `{}` cannot be read: {}", file.display(), why(&error)),
                "check the path and its permissions",
            );
        }
    }

    fn redis_connection_findings(&self, name: &str, redis: &Redis) {
        let path = join("connections.redis", name);
        self.positive(&format!("{path}.timeout"), redis.timeout, Duration::from_secs(600));
        let path = format!("{path}.url");
        let url = match redis.url.0.resolve(self.surroundings.environment) {
            Ok(url) => url,
            Err(reason) => return self.error(&path, reason, "provide it, or write the URL"),
        };
        let text = url.expose_secret();
        if self.accept(&path, url::redis(text)).is_none() {
            return;
        }
        if let Some(tls) = &redis.tls {
            let path = join("connections.redis", name);
            self.tls(&format!("{path}.tls"), tls);
            if text.starts_with("redis://") {
                self.warn(&format!("{path}.tls"), "has no effect: the URL is not `rediss://`", "write `rediss://…`");
            }
        }
        let literal = matches!(redis.url.0, Secret::Literal(_)) && self.index.variables(&path).is_empty();
        if literal && text.contains('@') {
            let remedy = "write `url: { env: NAME }` or `{ file: PATH }`";
            self.warn(&path, "a password stands in the configuration itself", remedy);
        }
    }

    /// TLS of Elasticsearch or Redis: the files are read here as those read them who connect.
    pub(super) fn tls(&self, path: &str, tls: &Tls) {
        let remedy = "check the path, its permissions and what is in the file";
        for (key, file) in [("ca_file", &tls.ca_file), ("cert_file", &tls.cert_file)] {
            if let Some(Err(reason)) = file.as_deref().map(pem::certificates) {
                self.error(&format!("{path}.{key}"), reason, remedy);
            }
        }
        if let Some(Err(reason)) = tls.key_file.as_deref().map(pem::private_key) {
            self.error(&format!("{path}.key_file"), reason, remedy);
        }
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            self.error(path, "`cert_file` and `key_file` go together", "give both or neither");
        }
        if !tls.verify {
            self.warn(
                &format!("{path}.verify"),
                "certificates are not verified: anybody in between can read and change what travels",
                "give the authority in `ca_file` and leave `verify` out",
            );
        }
    }

    /// The Redis connection of a look-up.
    pub(super) fn redis(&self, path: &str, name: &str) -> Option<RedisConnection> {
        let redis = self.named(path, "redis", name, &self.written.connections.redis)?;
        let tls = redis.tls.clone().unwrap_or_default();
        Some(RedisConnection {
            name: Arc::from(name),
            url: self.resolved(&redis.url.0)?,
            timeout: redis.timeout.0,
            client: client_files(&tls),
            ca_file: tls.ca_file,
            verify: tls.verify,
        })
    }
}

/// Both files of a client's certificate.
pub(super) fn client_files(tls: &Tls) -> Option<ClientFiles> {
    let (cert_file, key_file) = tls.cert_file.clone().zip(tls.key_file.clone())?;
    Some(ClientFiles { cert_file, key_file })
}
