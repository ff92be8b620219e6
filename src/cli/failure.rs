//! Why a command ends without success.

use std::io;

use crate::config::Findings;
use crate::model::Exit;

/// Why a command ends without success.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration is invalid.
    #[error("{0}")]
    Config(Findings),
    /// The command line asks for what cannot be.
    #[error("error: {0}")]
    Usage(String),
    /// Anything else, with the exit code it asks for.
    #[error("error: {message}")]
    Other {
        /// How the process ends.
        exit: Exit,
        /// What happened, and what to do.
        message: String,
    },
    /// Standard output is gone: the reader had enough.
    #[error("standard output is closed")]
    Closed,
}

impl Failure {
    /// An unexpected failure: exit code 1.
    pub fn unexpected(message: impl Into<String>) -> Self {
        Self::Other { exit: Exit::Failure, message: message.into() }
    }

    /// How the process ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_) => Exit::Config,
            Self::Usage(_) => Exit::Usage,
            Self::Other { exit, .. } => *exit,
            Self::Closed => Exit::Done,
        }
    }
}

impl From<io::Error> for Failure {
    /// Of writing to standard output. A reader that stops early (`| head`) is no failure.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::unexpected(format!("standard output cannot be written: {}", error.kind()))
        }
    }
}
