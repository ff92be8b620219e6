//! Faults of the target, by the words each server has for them, and through a whole sink.

use std::time::Duration;

use super::answer::{ItemFault, ServerError};
use super::bulk::ItemAction::{Create, Delete, Index, Update};
use super::fixtures::TERMS;
use super::rig::{Rig, plan_for, retry};
use super::target::{Cure, TargetFault, Terms};
use super::verdict::{ItemVerdict, RequestVerdict, Trouble, judge_item, judge_request};
use crate::config::plan::{Action, OnIndexFault, Template, TemplateSegment};
use crate::model::{Exit, RejectReason};
use crate::testbed::bulk_endpoint::{BulkEndpoint, EndpointOptions, EndpointVersion, ItemAnswer, ScriptedFault};

const ILLEGAL: &str = "illegal_argument_exception";

/// What servers say, and what it means. First: who says so.
const SAID: &[(&str, u16, &str, &str, TargetFault)] = &[
    ("6.8 to 9, OpenSearch", 404, "index_not_found_exception", "no such index [x]", TargetFault::Missing),
    ("6.8", 404, "index_not_found_exception", "no such index", TargetFault::Missing),
    (
        "7.10 and later, OpenSearch",
        404,
        "index_not_found_exception",
        "no such index [x] and [require_alias] request flag is [true] and [x] is not an alias",
        TargetFault::NoAlias,
    ),
    (
        "7.17 and later: no auto-creation",
        404,
        "index_not_found_exception",
        "no such index [x] and composable template [t] forbids index auto creation",
        TargetFault::Missing,
    ),
    ("all", 400, "index_closed_exception", "closed", TargetFault::Closed),
    (
        "all",
        403,
        "cluster_block_exception",
        "index [x] blocked by: [FORBIDDEN/8/index write (api)];",
        TargetFault::Blocked,
    ),
    (
        "OpenSearch 2 and later",
        403,
        "index_create_block_exception",
        "blocked by: [FORBIDDEN/10/cluster create-index blocked (api)];",
        TargetFault::Blocked,
    ),
    (
        "8, 9",
        403,
        "security_exception",
        "action [indices:data/write/bulk[s]] is unauthorized for user [u] with effective roles [r] on indices [x], this \
         action is granted by the index privileges [create_doc,create,delete,index,write,all]",
        TargetFault::Forbidden,
    ),
    (
        "OpenSearch",
        403,
        "security_exception",
        "no permissions for [indices:data/write/bulk[s]] and User [name=u, backend_roles=[], requestedTenant=null]",
        TargetFault::Forbidden,
    ),
    (
        "7 and later",
        400,
        "validation_exception",
        "Validation Failed: 1: this action would add [2] shards, but this cluster currently has [1000]/[1000] maximum \
         normal shards open;",
        TargetFault::NoRoom,
    ),
    (
        "7.0",
        400,
        ILLEGAL,
        "Validation Failed: 1: this action would add [2] total shards, but this cluster currently has [1000]/[1000] \
         maximum shards open;",
        TargetFault::NoRoom,
    ),
    (
        "6.8 to 9, OpenSearch",
        400,
        ILLEGAL,
        "no write index is defined for alias [ala]. The write index may be explicitly disabled using \
         is_write_index=false or the alias points to multiple indices without one being designated as a write index",
        TargetFault::NoWriteIndex,
    ),
    (
        "6.8",
        400,
        ILLEGAL,
        "Alias [ala] has more than one indices associated with it [[ala-2, ala-1]], can't execute a single index op",
        TargetFault::NoWriteIndex,
    ),
    (
        "8",
        400,
        ILLEGAL,
        "alias [ala] has more than one index associated with it [ala-1, ala-2], can't execute a single index op",
        TargetFault::NoWriteIndex,
    ),
    (
        "7.9 and later, OpenSearch",
        400,
        ILLEGAL,
        "only write ops with an op_type of create are allowed in data streams",
        TargetFault::CreateOnly,
    ),
    (
        "7.9 and later",
        400,
        ILLEGAL,
        "index request with op_type=create targeting backing indices is disallowed, target corresponding data stream [d] \
         instead",
        TargetFault::BackingIndex,
    ),
    (
        "7.9 and later",
        400,
        ILLEGAL,
        "index request with op_type=index and no if_primary_term and if_seq_no set targeting backing indices is \
         disallowed, target corresponding data stream [d] instead",
        TargetFault::BackingIndex,
    ),
    (
        "7.9 to 8.0, OpenSearch",
        400,
        ILLEGAL,
        "index request targeting data stream [logs-foobar] specifies a custom routing. target the backing indices \
         directly or remove the custom routing.",
        TargetFault::RoutingRefused,
    ),
    (
        "8",
        400,
        ILLEGAL,
        "index request targeting data stream [logs-foobar] specifies a custom routing but the [allow_custom_routing] \
         setting was not enabled in the data stream's template.",
        TargetFault::RoutingRefused,
    ),
    (
        "8, 9: time series",
        400,
        ILLEGAL,
        "specifying routing is not supported because the destination index [x] is in time series mode",
        TargetFault::RoutingRefused,
    ),
    (
        "8, 9: time series",
        400,
        "document_parsing_exception",
        "[1:65] failed to parse: _id must be unset or set to [abc] but was [k0] because [x] is in time_series mode",
        TargetFault::IdRefused,
    ),
    (
        "8.1",
        400,
        "mapper_parsing_exception",
        "failed to parse; caused by: _id must be unset or set to [abc] but was [k0] because [x] is in time_series mode",
        TargetFault::IdRefused,
    ),
    (
        "8, 9: time series",
        400,
        ILLEGAL,
        "update is not supported because the destination index [x] is in time_series mode",
        TargetFault::ActionRefused,
    ),
    (
        "8, 9: time series",
        400,
        ILLEGAL,
        "[DELETE] is not supported because the destination index [x] is in time series mode",
        TargetFault::ActionRefused,
    ),
    ("all", 400, ILLEGAL, "pipeline with id [enrich] does not exist", TargetFault::NoPipeline),
    (
        "8.18 and later",
        400,
        ILLEGAL,
        "pipeline with id [enrich] could not be loaded, caused by [x]",
        TargetFault::NoPipeline,
    ),
    (
        "7",
        400,
        "illegal_state_exception",
        "Pipeline processor configured for non-existent pipeline [inner]",
        TargetFault::NoPipeline,
    ),
    (
        "6.8: wrapped",
        500,
        "exception",
        "java.lang.IllegalStateException: Pipeline processor configured for non-existent pipeline [inner]",
        TargetFault::NoPipeline,
    ),
    (
        "all",
        500,
        "illegal_state_exception",
        "There are no ingest nodes in this cluster, unable to forward request to an ingest node.",
        TargetFault::NoIngestNode,
    ),
    ("6.8", 400, ILLEGAL, "Limit of total fields [1000] in index [x] has been exceeded", TargetFault::FieldLimit),
    ("7.10, OpenSearch", 400, ILLEGAL, "Limit of total fields [1000] has been exceeded", TargetFault::FieldLimit),
    (
        "7.17",
        400,
        "mapper_parsing_exception",
        "failed to parse; caused by: Limit of total fields [1000] has been exceeded while adding new fields [1]",
        TargetFault::FieldLimit,
    ),
    (
        "8, 9",
        400,
        "document_parsing_exception",
        "[1:9] failed to parse: Limit of total fields [1000] has been exceeded while adding new fields [1]; caused by: \
         Limit of total fields [1000] has been exceeded while adding new fields [1]",
        TargetFault::FieldLimit,
    ),
    ("all", 400, ILLEGAL, "Limit of nested fields [50] has been exceeded", TargetFault::FieldLimit),
    ("all", 400, ILLEGAL, "Number of documents in the index can't exceed [2147483519]", TargetFault::ShardFull),
    ("all", 400, "routing_missing_exception", "routing is required for [x]/[_doc]/[k0]", TargetFault::RoutingRequired),
    (
        "6.8, 7",
        400,
        ILLEGAL,
        "Rejecting mapping update to [x] as the final mapping would have more than 1 type: [a, b]",
        TargetFault::OtherType,
    ),
    (
        "6.8",
        404,
        "type_missing_exception",
        "type[[doc, trying to auto create mapping, but dynamic mapping is disabled]] missing",
        TargetFault::OtherType,
    ),
    ("all", 400, "document_source_missing_exception", "[k0]: document source missing", TargetFault::NoSource),
    (
        "all",
        400,
        "invalid_index_name_exception",
        "Invalid index name [Bad], must be lowercase",
        TargetFault::InvalidName,
    ),
];

fn server_error(kind: &str, reason: &str) -> ServerError {
    ServerError { kind: kind.into(), reason: reason.into() }
}

fn item(status: u16, kind: &str, reason: &str) -> ItemFault {
    ItemFault { index: 0, status, error: Some(server_error(kind, reason)), aside: None }
}

fn body(kind: &str, reason: &str) -> Vec<u8> {
    serde_json::json!({ "error": { "type": kind, "reason": reason } }).to_string().into_bytes()
}

#[test]
fn every_server_is_understood_and_nobody_is_rejected_for_its_target() {
    for (who, status, kind, reason, want) in SAID {
        let error = server_error(kind, reason);
        assert_eq!(TargetFault::of(&error, TERMS), Some(*want), "{who}: {reason}");
        for action in [Index, Create, Update, Delete] {
            let verdict = judge_item(&item(*status, kind, reason), action, false, TERMS);
            let told = match (&verdict, want.cure()) {
                (ItemVerdict::Hold(told), Cure::Server) => told,
                (ItemVerdict::Halt(halt), Cure::Configuration) => {
                    assert_eq!(halt.exit, Exit::Protocol, "{who}: {reason}");
                    &halt.message
                }
                _ => panic!("{who}: {reason}: {verdict:?}"),
            };
            assert!(told.contains(reason) && told.contains(want.remedy()), "{told}");
        }
    }
}

#[test]
fn a_target_named_by_a_record_stops_nobody_else() {
    let by_record = Terms { fixed_index: false, ..TERMS };
    let rejecting = Terms { on_index_fault: OnIndexFault::Reject, ..by_record };
    for (who, status, kind, reason, _) in SAID {
        let fault = item(*status, kind, reason);
        let verdict = judge_item(&fault, Index, false, by_record);
        let by_name = verdict == ItemVerdict::Reject(RejectReason::InvalidTarget);
        let invalid = *kind == "invalid_index_name_exception";
        assert!(matches!(verdict, ItemVerdict::Hold(_)) || (invalid && by_name), "{who}: {verdict:?}");
        let verdict = judge_item(&fault, Index, false, rejecting);
        assert_eq!(verdict, ItemVerdict::Reject(RejectReason::InvalidTarget), "{who}: {reason}");
    }
}

#[test]
fn our_own_settings_halt_even_where_index_faults_are_rejected() {
    let terms = Terms { on_index_fault: OnIndexFault::Reject, ..TERMS };
    let fault = item(400, ILLEGAL, "only write ops with an op_type of create are allowed in data streams");
    let verdict = judge_item(&fault, Update, false, terms);
    assert!(matches!(&verdict, ItemVerdict::Halt(halt) if halt.message.contains("action: create")), "{verdict:?}");
}

#[test]
fn a_record_cannot_pass_for_a_fault_of_the_target() {
    let quoting = [
        (
            "mapper_parsing_exception",
            "failed to parse field [n] of type [long] in document with id 'k'. Preview of field's value: 'x; caused by: no write index is defined for alias [a]'",
        ),
        ("document_parsing_exception", "[1:9] failed to parse field [Limit of total fields [1]] of type [long]"),
        (ILLEGAL, "mapper [no write index is defined for alias [x]] cannot be changed from type [long] to [text]"),
        (ILLEGAL, "object mapping for [pipeline with id [a] does not exist] tried to parse field as object"),
        (
            "strict_dynamic_mapping_exception",
            "mapping set to strict, dynamic introduction of [only write ops with] within [_doc] is not allowed",
        ),
        (ILLEGAL, "The number of nested documents has exceeded the allowed limit of [10000]"),
        ("mapper_parsing_exception", "failed to parse; caused by: data stream timestamp field [@timestamp] is missing"),
    ];
    for (kind, reason) in quoting {
        assert_eq!(TargetFault::of(&server_error(kind, reason), TERMS), None, "{reason}");
        let verdict = judge_item(&item(400, kind, reason), Index, false, TERMS);
        assert_eq!(verdict, ItemVerdict::Reject(RejectReason::Refused), "{reason}");
    }
    let routed = Terms { routed: true, ..TERMS };
    let verdict = judge_item(&item(400, "routing_missing_exception", "routing is required"), Index, false, routed);
    assert_eq!(verdict, ItemVerdict::Reject(RejectReason::Refused), "a template that rendered nothing");
}

#[test]
fn a_whole_request_refused_for_its_target_is_held_or_halts() {
    for (who, status, kind, reason, want) in SAID {
        let verdict = judge_request(*status, &body(kind, reason), TERMS);
        match (want, want.cure()) {
            (TargetFault::Forbidden, _) => assert!(matches!(verdict, RequestVerdict::Refused(_)), "{who}: {verdict:?}"),
            (_, Cure::Server) => assert_eq!(verdict, RequestVerdict::Retry(Trouble::Blocked), "{who}: {reason}"),
            (_, Cure::Configuration) => assert!(matches!(verdict, RequestVerdict::Halt(_)), "{who}: {verdict:?}"),
        }
    }
    let by_record = Terms { fixed_index: false, on_index_fault: OnIndexFault::Reject, ..TERMS };
    let no_write_index = body(ILLEGAL, "no write index is defined for alias [ala].");
    let verdict = judge_request(400, &no_write_index, by_record);
    assert!(matches!(verdict, RequestVerdict::Bisect(_)), "the record that named it is found: {verdict:?}");
}

fn endpoint(version: EndpointVersion) -> BulkEndpoint {
    BulkEndpoint::start(EndpointOptions { version, log: true, ..EndpointOptions::default() }).expect("an endpoint")
}

const NO_WRITE_INDEX: &str = "no write index is defined for alias [items]. The write index may be explicitly disabled";

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_without_a_write_index_holds_every_record_until_it_has_one() {
    for version in
        [EndpointVersion::Elasticsearch(7), EndpointVersion::Elasticsearch(9), EndpointVersion::OpenSearch(3)]
    {
        let endpoint = endpoint(version);
        endpoint.answer_index("items", Some(ItemAnswer::error(400, ILLEGAL, NO_WRITE_INDEX)));
        let mut rig = Rig::start(plan_for(&[&endpoint]), retry());
        rig.send_numbers(0..60).await;
        rig.until("an alert", |rig| rig.fault().is_some_and(|fault| fault.contains("is_write_index"))).await;
        assert!(rig.ended.is_empty() && rig.halts.is_empty(), "{version:?}: {:?}", rig.halts);
        endpoint.answer_index("items", None);
        rig.until_delivered(60).await;
        rig.until("the alert's end", |rig| rig.fault().is_none()).await;
    }
    // 6.8 refuses the whole request.
    let endpoint = endpoint(EndpointVersion::Elasticsearch(6));
    let refused = serde_json::json!({ "error": { "type": ILLEGAL, "reason": NO_WRITE_INDEX }, "status": 400 });
    endpoint.always(Some(ScriptedFault::answer(400, &refused.to_string())));
    let mut rig = Rig::start(plan_for(&[&endpoint]), retry());
    rig.send_numbers(0..60).await;
    rig.until("an alert", |rig| rig.fault().is_some_and(|fault| fault.contains("is_write_index"))).await;
    endpoint.always(None);
    rig.until_delivered(60).await;
    assert!(rig.halts.is_empty(), "{:?}", rig.halts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_stream_with_another_action_halts_and_rejects_nobody() {
    let endpoint = endpoint(EndpointVersion::Elasticsearch(8));
    let only_create = "only write ops with an op_type of create are allowed in data streams";
    endpoint.answer_index("items", Some(ItemAnswer::error(400, ILLEGAL, only_create)));
    let mut rig = Rig::start(plan_for(&[&endpoint]), retry());
    rig.send_numbers(0..20).await;
    rig.until("a halt", |rig| !rig.halts.is_empty()).await;
    assert_eq!(rig.halts[0].exit, Exit::Protocol);
    assert!(rig.halts[0].message.contains("`action: create`"), "{}", rig.halts[0].message);
    let rig = rig.finish().await;
    assert!(rig.ended.is_empty(), "{:?}", rig.ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_without_a_known_text_that_hits_all_halts_and_a_record_alone_is_rejected() {
    let endpoint = endpoint(EndpointVersion::Elasticsearch(8));
    let mut plan = plan_for(&[&endpoint]);
    plan.lanes = 1;
    endpoint.answer_id("alone", Some(ItemAnswer::error(400, ILLEGAL, "the stars are wrong for [alone]")));
    let mut rig = Rig::start(plan.clone(), retry());
    rig.send(&[("alone", r#"{"n":1}"#)]).await;
    rig.until_empty().await;
    assert!(rig.halts.is_empty(), "{:?}", rig.halts);
    rig.finish().await;

    (0..5).for_each(|n| {
        let reason = format!("the stars are wrong for [id{n}]");
        endpoint.answer_id(&format!("id{n}"), Some(ItemAnswer::error(400, ILLEGAL, &reason)));
    });
    let mut rig = Rig::start(plan, retry());
    rig.send_numbers(0..5).await;
    rig.until("a halt", |rig| !rig.halts.is_empty()).await;
    assert_eq!(rig.halts[0].exit, Exit::Protocol);
    assert!(rig.ended.is_empty(), "{:?}", rig.ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_small_request_is_not_judged_before_others_have_come() {
    let endpoint = endpoint(EndpointVersion::Elasticsearch(8));
    endpoint.answer_index("items", Some(ItemAnswer::error(400, ILLEGAL, "the stars are wrong")));
    endpoint.script(ScriptedFault::Delay(Duration::from_millis(300)));
    let mut plan = plan_for(&[&endpoint]);
    plan.lanes = 1;
    let mut rig = Rig::start(plan, retry());
    rig.send_numbers(0..1).await;
    rig.until("the first request", |_| endpoint.requests() == 1).await;
    rig.send_numbers(1..5).await;
    rig.until("a halt", |rig| !rig.halts.is_empty()).await;
    assert!(rig.ended.is_empty(), "the first one was rejected: {:?}", rig.ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_indexes_named_by_records_only_the_faulty_one_waits() {
    let endpoint = endpoint(EndpointVersion::Elasticsearch(8));
    endpoint.answer_index("bad", Some(ItemAnswer::error(400, ILLEGAL, "pipeline with id [enrich] does not exist")));
    let mut plan = plan_for(&[&endpoint]);
    plan.lanes = 1;
    plan.action = Action::Index;
    plan.index = Template { text: "{key}".to_owned(), segments: vec![TemplateSegment::Key] };
    let mut rig = Rig::start(plan, retry());
    rig.send(&[("good", r#"{"n":1}"#), ("bad", r#"{"n":1}"#), ("better", r#"{"n":1}"#)]).await;
    rig.until_delivered(2).await;
    rig.until("an alert", |rig| rig.fault().is_some_and(|fault| fault.contains("create the ingest pipeline"))).await;
    assert!(rig.halts.is_empty(), "{:?}", rig.halts);
    endpoint.answer_index("bad", None);
    rig.until_delivered(3).await;
}
