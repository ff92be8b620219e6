//! Why a cluster cannot be used: its connection cannot be set up, or it does not say what it is.

/// Why a connection cannot be set up: the configuration is at fault.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFault {
    /// Not an address.
    #[error("node {node} of connection {connection} is no http(s) address: {cause}")]
    Address {
        /// The connection.
        connection: String,
        /// As written, redacted.
        node: String,
        /// Why.
        cause: String,
    },
    /// The file with certificate authorities cannot be used.
    #[error("ca_file {path} of connection {connection} cannot be used: {cause}; it must be a readable PEM file")]
    Authorities {
        /// The connection.
        connection: String,
        /// The file.
        path: String,
        /// Why.
        cause: String,
    },
    /// The files with our own certificate cannot be used.
    #[error("the client certificate of connection {connection} cannot be used: {cause}")]
    Certificate {
        /// The connection.
        connection: String,
        /// Why.
        cause: String,
    },
    /// A secret that cannot be put into a header.
    #[error("the credentials of connection {0} hold characters that no HTTP header can carry, such as a line end")]
    Secret(String),
    /// The HTTP client cannot be made.
    #[error("no HTTP client for connection {connection}: {cause}")]
    Client {
        /// The connection.
        connection: String,
        /// Why.
        cause: String,
    },
}

/// Why a server's kind is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unidentified {
    /// No node answered: try again.
    Unreachable(String),
    /// Credentials were refused (401). One who is known and may not ask (403) is [`Unidentified::Unclear`].
    Refused(String),
    /// A node answered, but not with a version.
    Unclear(String),
}
