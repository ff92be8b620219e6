//! The Redis server of a look-up, checked, and the client certificate that it and other servers are shown.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

/// PEM files with a client's certificate and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// The certificate, and those that lead to its authority.
    pub cert_file: PathBuf,
    /// The key.
    pub key_file: PathBuf,
}

/// A Redis server.
#[derive(Debug, Clone)]
pub struct RedisConnection {
    /// Name in `connections.redis`.
    pub name: Arc<str>,
    /// `redis://` or `rediss://` URL; may carry credentials, so it is a secret.
    pub url: SecretString,
    /// Bound on one round trip (default 1 s).
    pub timeout: Duration,
    /// PEM file with certificate authorities.
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate.
    pub client: Option<ClientFiles>,
    /// Whether certificates are verified.
    pub verify: bool,
}
