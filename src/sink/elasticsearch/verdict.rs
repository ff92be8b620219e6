//! What an answer means: the verdict tables of the design, by status *and* error type. Pure.

use std::time::Duration;

use crate::config::plan::OnIndexFault;
use crate::model::{Exit, Halt, RejectReason};
use crate::mutants::{self, Mutant};

use super::answer::{Aside, ItemFault, ServerError, request_error};
use super::bulk::ItemAction;
use super::target::{Cure, TargetFault, Terms};
use super::words;

/// What came back for a request.
#[derive(Debug, Clone)]
pub enum RequestReply {
    /// An HTTP answer.
    Answer {
        /// Its status.
        status: u16,
        /// `Retry-After` in seconds, when given so.
        retry_after: Option<Duration>,
        /// Its body.
        body: bytes::Bytes,
    },
    /// No answer in time; the server may still be at work on it.
    Timeout,
    /// The connection failed before or in the answer; redacted cause.
    Broken(String),
    /// The node sends its clients elsewhere: which, where, and what to do.
    Moved(String),
}

/// Why a whole request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Connect, reset, DNS, TLS, 502, 503, 504: this node is of no use now.
    Connection,
    /// 408 or 429: the servers are busy.
    Overload,
    /// No answer in time.
    Timeout,
    /// An answer that cannot be read, or a 500.
    Unclear,
    /// A block on the whole cluster: an operator's matter, held in place without end.
    Blocked,
}

/// What to do about a whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestVerdict {
    /// Read the items.
    Items,
    /// Send it again.
    Retry(Trouble),
    /// Retry a few times, then [`RequestVerdict::Bisect`]: the error does not say whose fault it is.
    RetryThenBisect(ServerError),
    /// One line spoils all: halve until it is alone.
    Bisect(ServerError),
    /// Too large: halve.
    Halve,
    /// Credentials refused: hold and alert, halt when it lasts.
    Refused(String),
    /// Unknown: retry, bounded, then halt.
    Unknown(String),
    /// It would hit every request.
    Halt(Halt),
}

/// What to do about an item that is not plainly done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemVerdict {
    /// The server has it.
    Delivered,
    /// The server had it, or something newer.
    Superseded,
    /// The server took it and put it aside.
    Redirected(Aside),
    /// Send again, after a backoff when the server is busy.
    Retry {
        /// The lane should pause.
        overload: bool,
    },
    /// A fault of the target that is cured on the server: hold in place with an alert.
    Hold(String),
    /// A fault of the target that only our configuration can cure.
    Halt(Halt),
    /// This record is bad.
    Reject(RejectReason),
    /// Unknown: retry, bounded, then halt.
    Unknown,
}

/// Judges a whole request by its answer.
#[must_use]
pub fn judge_request(status: u16, body: &[u8], terms: Terms) -> RequestVerdict {
    let error = || request_error(body);
    let describe = |error| describe(error, body);
    if let Some(verdict) = target_verdict(status, body, terms) {
        return verdict;
    }
    match status {
        200 | 201 => RequestVerdict::Items,
        408 | 429 => RequestVerdict::Retry(Trouble::Overload),
        502..=504 => RequestVerdict::Retry(Trouble::Connection),
        500 => match error() {
            Some(error) if is_parse_error(&error.kind) => RequestVerdict::Bisect(error),
            error => RequestVerdict::RetryThenBisect(error.unwrap_or_default()),
        },
        400 => match error() {
            Some(error) if blames_request_line(&error) => {
                RequestVerdict::Halt(protocol_halt(status, &describe(Some(error))))
            }
            Some(error) if may_blame_a_line(&error) => RequestVerdict::Bisect(error),
            Some(error) => RequestVerdict::RetryThenBisect(error),
            None => RequestVerdict::Halt(protocol_halt(status, &describe(None))),
        },
        413 => RequestVerdict::Halve,
        401 => RequestVerdict::Refused(format!("the server refused our credentials (401): {}", describe(error()))),
        403 => RequestVerdict::Refused(format!("the server refused the bulk request (403): {}", describe(error()))),
        300..=399 | 404 | 405 | 406 | 415 | 501 => RequestVerdict::Halt(protocol_halt(status, &describe(error()))),
        _ => RequestVerdict::Unknown(format!("the server answered {status}: {}", describe(error()))),
    }
}

/// A fault of the target told of a whole request, as 6.8 does where later servers tell it item by item.
fn target_verdict(status: u16, body: &[u8], terms: Terms) -> Option<RequestVerdict> {
    if !matches!(status, 400 | 403 | 404 | 500) {
        return None;
    }
    let error = request_error(body)?;
    let fault = TargetFault::of(&error, terms)?;
    Some(match (fault, fault.cure()) {
        // Privileges for `_bulk` itself: held for a while, then the credentials are wrong.
        (TargetFault::Forbidden, _) => return None,
        // One record may have named its target: halving finds it.
        (_, Cure::Configuration) if !terms.fixed_index => RequestVerdict::Bisect(error),
        (_, Cure::Configuration) => RequestVerdict::Halt(fault.halt(&error)),
        // The name came from a record, and such records are to be rejected.
        (_, Cure::Server) if status == 400 && !terms.fixed_index && terms.on_index_fault == OnIndexFault::Reject => {
            RequestVerdict::Bisect(error)
        }
        (_, Cure::Server) => RequestVerdict::Retry(Trouble::Blocked),
    })
}

/// Why a whole request is sent again: what the server said and, where it is known, what to do.
#[must_use]
pub fn retry_message(status: u16, body: &[u8], terms: Terms) -> String {
    let error = request_error(body);
    let remedy = error.as_ref().and_then(|error| TargetFault::of(error, terms)).map(TargetFault::remedy);
    let said = describe(error, body);
    let message = format!("the server answered {status} to a bulk request ({said})");
    remedy.map_or_else(|| message.clone(), |remedy| format!("{message}; {remedy}"))
}

fn describe(error: Option<ServerError>, body: &[u8]) -> String {
    let said = match (error, words::title(body)) {
        (Some(error), _) => format!("{}: {}", error.kind, error.reason),
        (None, Some(title)) => format!("the answer is no error of the server's but says \"{title}\""),
        (None, None) => "the answer carries no error object, as a proxy's page or an unknown path would".to_owned(),
    };
    match words::of_page(body) {
        Some(help) => format!("{said}; {help}"),
        None => said,
    }
}

fn protocol_halt(status: u16, what: &str) -> Halt {
    let what_to_do = match status {
        300..=399 => "use the address the redirect points to, or one that answers _bulk itself",
        400 => "check `server` of the connection and what stands between us and the server",
        404 | 405 | 501 => "check that the node addresses point at Elasticsearch or OpenSearch, path included",
        _ => "check the server and what stands between us and it",
    };
    let message =
        format!("the server answered {status} to a bulk request, as it would to every one: {what}; {what_to_do}");
    Halt { exit: Exit::Protocol, message }
}

/// Exceptions of the servers' JSON layers (6.8 answers 500 with them, 7 and later 400).
fn is_parse_error(kind: &str) -> bool {
    kind.ends_with("parse_exception")
        || kind.ends_with("parsing_exception")
        || kind.ends_with("e_o_f_exception")
        || kind == "not_x_content_exception"
}

/// Whether one line of a request may be what a 400 is about, by a type that servers give for that.
fn may_blame_a_line(error: &ServerError) -> bool {
    is_document_fault(400, error) || error.kind == "invalid_index_name_exception"
}

fn blames_request_line(error: &ServerError) -> bool {
    let reason = error.reason.to_ascii_lowercase();
    error.kind == "media_type_header_exception"
        || ["unknown parameter", "unrecognized parameter", "action/metadata line", "type is missing"]
            .iter()
            .any(|mark| reason.contains(mark))
}

/// Whether this is a busy server's answer, by name where a status alone would not tell.
fn is_overload(status: u16, kind: &str) -> bool {
    status == 429
        || matches!(kind, "es_rejected_execution_exception" | "rejected_execution_exception")
        || kind.starts_with("circuit_break")
}

/// Exceptions that may blame one document; they come with 400, from an ingest pipeline also with 500.
fn is_document_fault(status: u16, error: &ServerError) -> bool {
    let kind = error.kind.as_str();
    let may_be = matches!(
        kind,
        "illegal_argument_exception"
            | "routing_missing_exception"
            | "action_request_validation_exception"
            | "script_exception"
    );
    is_by_pipeline(kind) || (status == 400 && (may_be || blames_the_document(error)))
}

fn is_by_pipeline(kind: &str) -> bool {
    matches!(kind, "fail_processor_exception" | "ingest_processor_exception")
}

/// Whether the error says by itself that something in the document is wrong.
#[must_use]
pub fn blames_the_document(error: &ServerError) -> bool {
    let by_kind = matches!(
        error.kind.as_str(),
        "mapper_exception"
            | "strict_dynamic_mapping_exception"
            | "number_format_exception"
            | "date_time_parse_exception"
            | "mapper_extraction_exception"
            | "document_missing_exception"
    );
    let begins = |text: &&str| error.reason.starts_with(text);
    by_kind
        || is_parse_error(&error.kind)
        || is_by_pipeline(&error.kind)
        || ["Document contains at least one immense term", "mapper [", "object mapping [", "can't merge a"]
            .iter()
            .any(begins)
}

/// Judges one item. `fault` is not a plain 200 or 201.
#[must_use]
pub fn judge_item(fault: &ItemFault, action: ItemAction, versioned: bool, terms: Terms) -> ItemVerdict {
    let status = fault.status;
    if status == 429 && mutants::on(Mutant::DropOnItem429) {
        return ItemVerdict::Superseded;
    }
    if let (None, Some(aside)) = (&fault.error, fault.aside)
        && !mutants::on(Mutant::RedirectedIsDelivered)
    {
        return ItemVerdict::Redirected(aside);
    }
    let Some(error) = &fault.error else {
        return match status {
            200 | 201 => ItemVerdict::Delivered,
            // Of a document that is not there; an index that is not there comes with its error.
            404 if action == ItemAction::Delete => ItemVerdict::Delivered,
            429 => ItemVerdict::Retry { overload: true },
            500 | 502..=504 => ItemVerdict::Retry { overload: false },
            _ => ItemVerdict::Unknown,
        };
    };
    let kind = error.kind.as_str();
    if status == 409 && is_conflict(kind) {
        return conflict(action, versioned);
    }
    // A block may come with 429, as a busy server's answer does.
    if kind != "cluster_block_exception" && is_overload(status, kind) {
        return ItemVerdict::Retry { overload: true };
    }
    if let Some(fault) = TargetFault::of(error, terms) {
        return judge_target(fault, error, terms);
    }
    if kind == "invalid_index_name_exception" {
        return ItemVerdict::Reject(RejectReason::InvalidTarget);
    }
    if is_document_fault(status, error) || (status == 404 && kind == "document_missing_exception") {
        return ItemVerdict::Reject(RejectReason::Refused);
    }
    match status {
        500 | 502..=504 => ItemVerdict::Retry { overload: false },
        _ if matches!(kind, "unavailable_shards_exception" | "process_cluster_event_timeout_exception") => {
            ItemVerdict::Retry { overload: false }
        }
        _ => ItemVerdict::Unknown,
    }
}

fn judge_target(fault: TargetFault, error: &ServerError, terms: Terms) -> ItemVerdict {
    match (fault.cure(), terms.on_index_fault) {
        // A full disk is no choice of an index: nobody wants the records of that hour rejected.
        _ if fault == TargetFault::Flooded => ItemVerdict::Hold(fault.told(error)),
        // Every record would be refused: rejecting them is no choice anybody makes.
        (Cure::Configuration, _) if terms.fixed_index => ItemVerdict::Halt(fault.halt(error)),
        (_, OnIndexFault::Reject) => ItemVerdict::Reject(RejectReason::InvalidTarget),
        (_, OnIndexFault::Hold) => ItemVerdict::Hold(fault.told(error)),
    }
}

/// What servers say of a document that is there already, or newer. Any other 409 (an index that is being made, a
/// snapshot, a cluster state that moved on) says nothing of the document.
fn is_conflict(kind: &str) -> bool {
    matches!(kind, "version_conflict_engine_exception" | "document_already_exists_exception")
}

fn conflict(action: ItemAction, versioned: bool) -> ItemVerdict {
    match action {
        ItemAction::Create => ItemVerdict::Superseded,
        ItemAction::Index | ItemAction::Delete if versioned => ItemVerdict::Superseded,
        ItemAction::Index | ItemAction::Delete | ItemAction::Update | ItemAction::Drop => {
            ItemVerdict::Retry { overload: false }
        }
    }
}
