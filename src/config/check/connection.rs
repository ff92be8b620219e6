//! Every connection is checked once, whether a pipeline uses it or not; secrets are resolved on the way.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::Checker;
use crate::config::load::why;
use crate::config::plan::RedisConnection;
use crate::config::quantity::Interval;
use crate::config::secret::Secret;
use crate::config::tree::join;
use crate::config::written::connection::Redis;

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
        if resolved.expose_secret().is_empty() {
            self.error(path, "the secret is empty", "provide it, or leave out the setting that needs it");
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

    pub(super) fn positive(&self, path: &str, wait: Interval, most: Duration) -> bool {
        let fine = !wait.0.is_zero() && wait.0 <= most;
        if !fine {
            let most = Interval(most);
            self.error(path, format!("must be longer than 0 and at most {most}"), "leave it out for the default");
        }
        fine
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
        if let Err(reason) = redis_url(text) {
            return self.error(&path, reason, "write `redis://host:6379/0`, or `rediss://host:6379/0` for TLS");
        }
        let literal = matches!(redis.url.0, Secret::Literal(_)) && self.index.variables(&path).is_empty();
        if literal && text.contains('@') {
            let remedy = "write `url: { env: NAME }` or `{ file: PATH }`";
            self.warn(&path, "a password stands in the configuration itself", remedy);
        }
    }

    /// The Redis connection of a look-up.
    pub(super) fn redis(&self, path: &str, name: &str) -> Option<RedisConnection> {
        let redis = self.named(path, "redis", name, &self.written.connections.redis)?;
        Some(RedisConnection { name: Arc::from(name), url: self.resolved(&redis.url.0)?, timeout: redis.timeout.0 })
    }
}

/// The reason a text is not a Redis URL never quotes it.
fn redis_url(text: &str) -> Result<(), &'static str> {
    let rest =
        ["redis://", "rediss://"].iter().find_map(|scheme| text.strip_prefix(scheme)).ok_or("not a Redis URL")?;
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let place = place.split_once('?').map_or(place, |(place, _)| place);
    let (address, database) = place.split_once('/').unwrap_or((place, ""));
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !address.ends_with(']') => (host, Some(port)),
        Some(_) | None => (address, None),
    };
    if host.is_empty() {
        return Err("the URL names no host");
    }
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("the port is not a number up to 65535");
    }
    if !database.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the database behind the `/` is not a number");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::redis_url;

    #[test]
    fn redis_urls() {
        for good in [
            "redis://h",
            "redis://h:1",
            "rediss://u:p@h:1/3",
            "redis://:p%40@h/",
            "redis://[::1]:6379/0",
            "redis://[::1]",
        ] {
            assert_eq!(redis_url(good), Ok(()), "{good}");
        }
        for bad in [
            "h:6379",
            "http://h",
            "redis://",
            "redis:///1",
            "redis://u:p@",
            "redis://h:x",
            "redis://h:1/db",
            "redis://h:99999",
        ] {
            assert!(redis_url(bad).is_err(), "{bad}");
        }
    }
}
