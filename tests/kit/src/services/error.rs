//! What can go wrong between a test and a real server.

use std::path::Path;

/// Why a server could not be had, started, steered or asked. Cloned freely: one failed start is told to every test.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// Something the machine must offer is not there.
    #[error("{what} is missing: {remedy}")]
    Missing {
        /// The program or package.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// A set-up command failed or ran over its deadline.
    #[error("failed to run `{command}`: {cause}; its output ends with:\n{output}")]
    Command {
        /// The command as typed, shortened.
        command: String,
        /// Exit status, deadline or start error.
        cause: String,
        /// The last lines of what it printed.
        output: String,
    },
    /// A file or folder could not be read or written.
    #[error("failed to {action} {path}: {cause}")]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// The system's answer.
        cause: String,
    },
    /// The server ended, or was not ready in time.
    #[error("{service} did not start: {cause}; its log ends with:\n{log}")]
    NotReady {
        /// Name of the server.
        service: String,
        /// How long was waited, or how it ended.
        cause: String,
        /// The last lines of its log.
        log: String,
    },
    /// The server was given by the environment; this process must not end, pause or restart it.
    #[error("{endpoint} was given by the environment: it cannot be {action}; unset the variable to have one started")]
    NotOurs {
        /// The endpoint as given.
        endpoint: String,
        /// What was asked for.
        action: &'static str,
    },
    /// A request to a running server failed.
    #[error("failed to {action} at {endpoint}: {cause}")]
    Request {
        /// What was asked for.
        action: String,
        /// The server.
        endpoint: String,
        /// Its answer, or the connection's error.
        cause: String,
    },
    /// An environment variable holds something else than it may.
    #[error("{variable} is `{value}`: it must be {allowed}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// `SLUICEGATE_TEST_SERVICES=off`.
    #[error("real servers are switched off by SLUICEGATE_TEST_SERVICES=off")]
    Off,
}

impl ServiceError {
    /// A failed file operation.
    pub(super) fn file(action: &'static str, path: &Path, cause: impl ToString) -> ServiceError {
        ServiceError::File { action, path: path.display().to_string(), cause: cause.to_string() }
    }

    /// A failed request.
    pub(super) fn request(action: impl Into<String>, endpoint: &str, cause: impl ToString) -> ServiceError {
        ServiceError::Request { action: action.into(), endpoint: endpoint.to_owned(), cause: cause.to_string() }
    }
}

/// The last `lines` lines of `text`, for messages.
pub(super) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::tail;

    #[test]
    fn tail_keeps_the_last_lines() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
        assert_eq!(tail("", 2), "");
    }
}
