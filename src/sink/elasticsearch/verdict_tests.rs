//! The verdict tables, row by row, with the bodies real servers sent.

use super::answer::{ItemFault, ServerError};
use super::bulk::ItemAction::{self, Create, Delete, Index, Update};
use super::fixtures::TERMS;
use super::target::Terms;
use super::verdict::*;
use crate::config::plan::OnIndexFault;
use crate::model::{Exit, RejectReason};

fn error(kind: &str, reason: &str, status: u16) -> String {
    serde_json::json!({
        "error": { "root_cause": [{ "type": kind, "reason": reason }], "type": kind, "reason": reason },
        "status": status
    })
    .to_string()
}

fn class(verdict: &RequestVerdict) -> &'static str {
    match verdict {
        RequestVerdict::Items => "items",
        RequestVerdict::Retry(Trouble::Connection) => "retry elsewhere",
        RequestVerdict::Retry(Trouble::Overload) => "retry later",
        RequestVerdict::Retry(Trouble::Blocked) => "hold",
        RequestVerdict::Retry(Trouble::Timeout | Trouble::Unclear) => "retry",
        RequestVerdict::RetryThenBisect(_) => "retry, bisect",
        RequestVerdict::Bisect(_) => "bisect",
        RequestVerdict::Halve => "halve",
        RequestVerdict::Refused(_) => "refused",
        RequestVerdict::Unknown(_) => "unknown",
        RequestVerdict::Halt(halt) => {
            assert_eq!(halt.exit, Exit::Protocol);
            "halt"
        }
    }
}

#[test]
fn whole_requests() {
    let no_handler = r#"{"error":"no handler found for uri [/t1/d/_bulk] and method [POST]"}"#.to_owned();
    let page = "<html><h1>400 Bad Request</h1></html>".to_owned();
    let unknown_type = "Action/metadata line [1] contains an unknown parameter [_type]";
    let too_long = "Validation Failed: 1: id is too long, must be no longer than 512 bytes but was: 513;";
    let block = "blocked by: [FORBIDDEN/6/cluster read-only (api)];";
    let table: Vec<(&str, u16, String, &str)> = vec![
        ("200", 200, "{}".into(), "items"),
        ("408", 408, String::new(), "retry later"),
        ("429 of 8.x", 429, error("es_rejected_execution_exception", "rejected execution", 429), "retry later"),
        ("429 of OpenSearch", 429, error("rejected_execution_exception", "rejected", 429), "retry later"),
        ("502 of a proxy", 502, page.clone(), "retry elsewhere"),
        ("503", 503, error("cluster_block_exception", "state not recovered", 503), "retry elsewhere"),
        ("504", 504, page.clone(), "retry elsewhere"),
        ("6.8: broken update body", 500, error("json_e_o_f_exception", "Unexpected end-of-input", 500), "bisect"),
        ("6.8: duplicate member", 500, error("json_parse_exception", "Duplicate field 'a'", 500), "bisect"),
        ("other 500", 500, error("null_pointer_exception", "", 500), "retry, bisect"),
        ("500 of a proxy", 500, page.clone(), "retry, bisect"),
        (
            "7+: broken update body",
            400,
            error("x_content_parse_exception", "[1:9] [UpdateRequest] failed", 400),
            "bisect",
        ),
        ("8+: id too long", 400, error("action_request_validation_exception", too_long, 400), "bisect"),
        (
            "unknown key",
            400,
            error("illegal_argument_exception", "Unknown key for a VALUE_STRING in [dok]", 400),
            "bisect",
        ),
        ("400 of a type nobody knows", 400, error("something_new_exception", "no", 400), "retry, bisect"),
        ("8+: _type", 400, error("illegal_argument_exception", unknown_type, 400), "halt"),
        (
            "URL parameter",
            400,
            error("illegal_argument_exception", "request [/_bulk] contains unrecognized parameter: [x]", 400),
            "halt",
        ),
        (
            "6.8: no type",
            400,
            error("action_request_validation_exception", "Validation Failed: 1: type is missing;", 400),
            "halt",
        ),
        ("8+: type in path", 400, no_handler, "halt"),
        ("400 of a proxy", 400, page.clone(), "halt"),
        ("media type", 400, error("media_type_header_exception", "Invalid media-type value", 400), "halt"),
        ("413, empty", 413, String::new(), "halve"),
        ("401", 401, error("security_exception", "missing authentication credentials", 401), "refused"),
        ("403 security", 403, error("security_exception", "action is unauthorized", 403), "refused"),
        ("403 of a proxy", 403, page.clone(), "refused"),
        ("403 cluster read-only", 403, error("cluster_block_exception", block, 403), "hold"),
        ("404", 404, page.clone(), "halt"),
        ("404 index", 404, error("index_not_found_exception", "no such index [x]", 404), "hold"),
        ("405", 405, page.clone(), "halt"),
        ("406", 406, r#"{"error":"Content-Type header [] is not supported","status":406}"#.into(), "halt"),
        ("501", 501, page.clone(), "halt"),
        ("302", 302, page.clone(), "halt"),
        ("307", 307, String::new(), "halt"),
        ("418", 418, page.clone(), "unknown"),
        ("520", 520, page, "unknown"),
    ];
    for (name, status, body, want) in table {
        assert_eq!(class(&judge_request(status, body.as_bytes(), TERMS)), want, "{name}");
    }
}

const DONE: ItemVerdict = ItemVerdict::Delivered;
const OLD: ItemVerdict = ItemVerdict::Superseded;
const RETRY: ItemVerdict = ItemVerdict::Retry { overload: false };
const BUSY: ItemVerdict = ItemVerdict::Retry { overload: true };
const BAD: ItemVerdict = ItemVerdict::Reject(RejectReason::Refused);

#[test]
fn items() {
    let conflict = "version_conflict_engine_exception";
    let table: Vec<(ItemAction, bool, u16, &str, &str, ItemVerdict)> = vec![
        (Delete, false, 404, "", "", DONE),
        (Update, false, 200, "", "", DONE),
        (Index, false, 404, "", "", ItemVerdict::Unknown),
        (Index, true, 409, conflict, "current version [10] is higher", OLD),
        (Delete, true, 409, conflict, "", OLD),
        (Create, false, 409, conflict, "document already exists", OLD),
        (Update, false, 409, conflict, "", RETRY),
        (Index, false, 409, conflict, "", RETRY),
        (Delete, false, 409, conflict, "", RETRY),
        (Create, false, 409, "document_already_exists_exception", "", OLD),
        (Create, false, 409, "resource_already_exists_exception", "index [x/y] already exists", ItemVerdict::Unknown),
        (Create, false, 409, "illegal_state_exception", "index is being resharded", ItemVerdict::Unknown),
        (Index, true, 409, "snapshot_in_progress_exception", "", ItemVerdict::Unknown),
        (Delete, true, 409, "cluster_state_conflict_exception", "", ItemVerdict::Unknown),
        (Index, false, 409, "something_new_exception", "", ItemVerdict::Unknown),
        (Create, false, 409, "", "", ItemVerdict::Unknown),
        (Index, true, 409, "", "", ItemVerdict::Unknown),
        (Create, false, 400, conflict, "", ItemVerdict::Unknown),
        (Index, false, 202, "", "", ItemVerdict::Unknown),
        (Create, false, 204, "", "", ItemVerdict::Unknown),
        (Delete, false, 404, "resource_not_found_exception", "", ItemVerdict::Unknown),
        (Index, false, 429, "es_rejected_execution_exception", "", BUSY),
        (Index, false, 429, "rejected_execution_exception", "", BUSY),
        (Index, false, 503, "es_rejected_execution_exception", "", BUSY),
        (Index, false, 429, "circuit_breaking_exception", "", BUSY),
        (Index, false, 503, "circuit_breaking_exception", "", BUSY),
        (Index, false, 503, "unavailable_shards_exception", "", RETRY),
        (Index, false, 500, "exception", "", RETRY),
        (Index, false, 502, "", "", RETRY),
        (Index, false, 504, "x", "", RETRY),
        (Index, false, 400, "mapper_parsing_exception", "", BAD),
        (Index, false, 400, "document_parsing_exception", "", BAD),
        (Index, false, 400, "strict_dynamic_mapping_exception", "", BAD),
        (Index, false, 400, "illegal_argument_exception", "mapper [n] cannot be changed", BAD),
        (Index, false, 400, "x_content_parse_exception", "", BAD),
        (Update, false, 404, "document_missing_exception", "", BAD),
        (Index, false, 500, "fail_processor_exception", "", BAD),
        (Index, false, 400, "something_new_exception", "", ItemVerdict::Unknown),
        (Index, false, 418, "x", "", ItemVerdict::Unknown),
        (Index, false, 418, "", "", ItemVerdict::Unknown),
    ];
    for (action, versioned, status, kind, reason, want) in table {
        let error = (!kind.is_empty()).then(|| ServerError { kind: kind.into(), reason: reason.into() });
        let fault = ItemFault { index: 0, status, error, aside: None };
        assert_eq!(judge_item(&fault, action, versioned, TERMS), want, "{action:?} {status} {kind}");
    }
}

#[test]
fn index_faults_hold_or_reject_as_chosen() {
    let rejecting = Terms { on_index_fault: OnIndexFault::Reject, ..TERMS };
    let write_block = "index [x] blocked by: [FORBIDDEN/8/index write (api)];";
    let table = [
        (404, "index_not_found_exception", "no such index [x]"),
        (400, "index_closed_exception", "closed"),
        (403, "cluster_block_exception", write_block),
        (429, "cluster_block_exception", "index [x] blocked by: [TOO_MANY_REQUESTS/8/index write (api)];"),
        (400, "validation_exception", "this action would add [2] shards, but this cluster has [1000]/[1000]"),
    ];
    for (status, kind, reason) in table {
        let error = Some(ServerError { kind: kind.into(), reason: reason.into() });
        let fault = ItemFault { index: 0, status, error, aside: None };
        for action in [Index, Delete] {
            let held = judge_item(&fault, action, false, TERMS);
            assert!(matches!(&held, ItemVerdict::Hold(why) if why.contains(reason)), "{kind}: {held:?}");
            let rejected = judge_item(&fault, action, false, rejecting);
            assert_eq!(rejected, ItemVerdict::Reject(RejectReason::InvalidTarget), "{kind}");
        }
    }
}

/// The block of 6.8 comes with 403, that of 8 with 429 as a busy server's answer does.
#[test]
fn a_full_disk_holds_with_its_remedy_whatever_index_faults_do() {
    let of_6 = "index [x] blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];";
    let of_8 = "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has \
                read-only-allow-delete block];";
    for (status, reason) in [(403, of_6), (429, of_8)] {
        let told = ServerError { kind: "cluster_block_exception".into(), reason: reason.into() };
        let fault = ItemFault { index: 0, status, error: Some(told), aside: None };
        for terms in [TERMS, Terms { on_index_fault: OnIndexFault::Reject, ..TERMS }] {
            let verdict = judge_item(&fault, Index, false, terms);
            assert!(matches!(&verdict, ItemVerdict::Hold(why) if why.contains(reason)), "{verdict:?}");
            assert!(matches!(&verdict, ItemVerdict::Hold(why) if why.contains("free disk space")), "{verdict:?}");
        }
        let body = error("cluster_block_exception", reason, status);
        let whole = retry_message(status, body.as_bytes(), TERMS);
        assert!(whole.contains("free disk space") && whole.contains("cluster_block_exception"), "{whole}");
    }
}
