//! What an endpoint can be told to do, and what it notes down.

use std::time::{Duration, SystemTime};

/// What the endpoint says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointVersion {
    /// Elasticsearch of this major version, 6 to 9.
    Elasticsearch(u8),
    /// OpenSearch of this major version, 1 to 3.
    OpenSearch(u8),
}

impl EndpointVersion {
    /// Whether a mapping type must be named.
    #[must_use]
    pub(crate) fn needs_type(self) -> bool {
        self == Self::Elasticsearch(6)
    }

    /// Whether a mapping type in the path is refused.
    #[must_use]
    pub(crate) fn refuses_type(self) -> bool {
        match self {
            Self::Elasticsearch(major) => major >= 8,
            Self::OpenSearch(_) => true,
        }
    }

    /// Whether it names its product in every answer: newer clients of Elasticsearch refuse a server that does not.
    #[must_use]
    pub(crate) fn names_product(self) -> bool {
        matches!(self, Self::Elasticsearch(major) if major >= 7)
    }

    /// The version number it shows.
    #[must_use]
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::Elasticsearch(6) => "6.8.2",
            Self::Elasticsearch(7) => "7.17.29",
            Self::Elasticsearch(8) => "8.19.21",
            Self::Elasticsearch(_) => "9.2.4",
            Self::OpenSearch(1) => "1.3.20",
            Self::OpenSearch(2) => "2.19.1",
            Self::OpenSearch(_) => "3.4.0",
        }
    }
}

/// How one item is answered instead of being applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemAnswer {
    /// Its status.
    pub status: u16,
    /// Exception name; empty = no error object.
    pub kind: String,
    /// The reason.
    pub reason: String,
    /// Further members of the item, such as `"failure_store":"used",`.
    pub members: &'static str,
}

impl ItemAnswer {
    /// An answer with an error object.
    #[must_use]
    pub fn error(status: u16, kind: &str, reason: &str) -> Self {
        Self { status, kind: kind.to_owned(), reason: reason.to_owned(), members: "" }
    }

    /// An answer without an error, with further members.
    #[must_use]
    pub(crate) fn taken(status: u16, members: &'static str) -> Self {
        Self { status, kind: String::new(), reason: String::new(), members }
    }
}

/// What goes wrong with one bulk request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptedFault {
    /// This answer; nothing is applied.
    Answer {
        /// HTTP status.
        status: u16,
        /// Body.
        body: String,
        /// `Retry-After` in seconds.
        retry_after: Option<u64>,
        /// `Location`, for redirects.
        location: Option<String>,
    },
    /// These items, by position, are answered so and not applied; the rest is.
    Items(Vec<(usize, ItemAnswer)>),
    /// The first so many items are applied, then the whole request is answered with this status and body.
    PartThenAnswer(usize, u16, String),
    /// Applied, answered after this time: a client's timeout after the server's success.
    LateAnswer(Duration),
    /// Applied after this time, then answered.
    Delay(Duration),
    /// Never answered, nothing applied; the connection stays open.
    HalfOpen,
    /// The connection is closed without an answer, nothing applied.
    Reset,
    /// The connection is closed at once; applied after this time: a broken line does not stop the server's work.
    ResetThenApply(Duration),
    /// Applied; the connection is closed in the middle of the answer.
    ResetInAnswer,
    /// Applied; the answer ends in the middle, with a length that fits.
    Truncated,
    /// Applied; 200 with a page instead of JSON.
    NotJson,
    /// Applied; the answer has this many items too many (or too few).
    WrongCount(i32),
}

impl ScriptedFault {
    /// A whole-request answer without further headers.
    #[must_use]
    pub fn answer(status: u16, body: &str) -> Self {
        Self::Answer { status, body: body.to_owned(), retry_after: None, location: None }
    }
}

/// One item of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Number of the bulk request, from 0.
    pub request: u64,
    /// Index.
    pub index: String,
    /// Document id.
    pub id: String,
    /// `index`, `create`, `update` or `delete`.
    pub action: String,
    /// Its body line; empty for a delete.
    pub body: Vec<u8>,
    /// Status it was given (not necessarily told); 2xx = applied.
    pub status: u16,
    /// When it was worked on.
    pub at: SystemTime,
    /// When the whole answer of its request began to be sent; `None`: it was not, or could not be.
    pub told: Option<SystemTime>,
}
