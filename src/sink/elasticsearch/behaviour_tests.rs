//! The whole sink against scripted endpoints: one test for each promise and each row of the verdict tables.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::rig::{Rig, plan_for, retry};
use crate::config::plan::{Action, ConcurrencyMode, DocumentId, OnTombstone, RetryPlan, ServerKind, VersionSource};
use crate::model::{Epoch, Exit, GiveUp, Outcome, Prepared, Report, RewindCause};
use crate::telemetry::metrics::{RequestClass, StageName};
use crate::testbed::bulk_endpoint::{
    BulkEndpoint, EndpointOptions, EndpointVersion, ItemAnswer, LogEntry, ScriptedFault,
};

fn endpoint() -> BulkEndpoint {
    endpoint_of(EndpointVersion::Elasticsearch(8))
}

fn endpoint_of(version: EndpointVersion) -> BulkEndpoint {
    BulkEndpoint::start(EndpointOptions { version, log: true, ..EndpointOptions::default() }).expect("an endpoint")
}

fn source(endpoint: &BulkEndpoint, id: &str) -> String {
    endpoint.document("items", id).map(|found| String::from_utf8_lossy(&found.source).into_owned()).unwrap_or_default()
}

/// The numbers `{"n":…}` of all applied writes of an id, in order.
fn effects(log: &[LogEntry], id: &str) -> Vec<u64> {
    let applied = log.iter().filter(|entry| entry.id == id && entry.status < 300);
    let number = |entry: &LogEntry| {
        let value: serde_json::Value = serde_json::from_slice(&entry.body).expect("JSON");
        value["doc"]["n"].as_u64().or(value["n"].as_u64()).expect("a number")
    };
    applied.map(number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn delivers_everything_once_and_gives_all_memory_back() {
    let endpoint = endpoint();
    let mut plan = plan_for(&[&endpoint]);
    plan.lanes = 4;
    plan.batch_records = 100;
    // One thread serves all connections: only a request that waits lets another one overtake it.
    endpoint.script(ScriptedFault::Delay(Duration::from_millis(200)));
    let mut rig = Rig::start(plan, retry());
    for start in (0..3000).step_by(300) {
        rig.send_numbers(start..start + 300).await;
    }
    rig.until_delivered(3000).await;
    rig.until_empty().await;
    assert_eq!(endpoint.count("items"), 3000);
    assert_eq!(source(&endpoint, "id2999"), r#"{"n":2999}"#);
    assert_eq!(rig.ctx.released.load(Ordering::Acquire), 10);
    assert!(endpoint.most_in_flight() > 1, "lanes work at the same time");
    assert_eq!(rig.fault(), None);
    let log = endpoint.log();
    assert_eq!(log.len(), 3000, "nothing was sent twice");
    let rig = rig.finish().await;
    assert!(rig.halts.is_empty() && rig.others.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_out_of_sequence_are_sent_in_sequence() {
    let endpoint = endpoint();
    let mut plan = plan_for(&[&endpoint]);
    plan.action = Action::Index;
    let mut rig = Rig::start(plan, retry());
    let first = rig.batch(&[("a", Some(r#"{"n":1}"#))]);
    let second = rig.batch(&[("a", Some(r#"{"n":2}"#))]);
    let third = rig.batch(&[("a", Some(r#"{"n":3}"#))]);
    for batch in [third, first, second] {
        rig.put(batch).await;
    }
    rig.until_delivered(3).await;
    assert_eq!(effects(&endpoint.log(), "a"), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_whole_request_fault_ends_in_delivery_in_order() {
    let busy = ScriptedFault::Answer { status: 429, body: String::new(), retry_after: Some(0), location: None };
    let npe = r#"{"error":{"type":"null_pointer_exception","reason":"x"},"status":500}"#;
    let faults = [
        ("503", vec![ScriptedFault::answer(503, "<html>")]),
        ("502", vec![ScriptedFault::answer(502, "")]),
        ("504", vec![ScriptedFault::answer(504, "")]),
        ("408", vec![ScriptedFault::answer(408, "")]),
        ("429 storm", vec![busy.clone(), busy.clone(), busy]),
        ("reset", vec![ScriptedFault::Reset, ScriptedFault::Reset]),
        ("reset in the answer", vec![ScriptedFault::ResetInAnswer]),
        ("truncated answer", vec![ScriptedFault::Truncated]),
        ("no JSON", vec![ScriptedFault::NotJson]),
        ("too many items", vec![ScriptedFault::WrongCount(1)]),
        ("too few items", vec![ScriptedFault::WrongCount(-1)]),
        ("500 twice", vec![ScriptedFault::answer(500, npe), ScriptedFault::answer(500, npe)]),
        ("500 often enough to bisect", (0..4).map(|_| ScriptedFault::answer(500, npe)).collect()),
        ("unknown status", vec![ScriptedFault::answer(418, "")]),
        (
            "9.x: a part written, then 400",
            vec![ScriptedFault::PartThenAnswer(
                2,
                400,
                r#"{"error":{"type":"x_content_parse_exception","reason":"bad"}}"#.to_owned(),
            )],
        ),
    ];
    for (name, script) in faults {
        let endpoint = endpoint();
        let mut plan = plan_for(&[&endpoint]);
        plan.lanes = 1;
        plan.action = Action::Index;
        let faulty = script.len() as u64;
        script.into_iter().for_each(|fault| endpoint.script(fault));
        let mut rig = Rig::start(plan, retry());
        let values = [("a", r#"{"n":1}"#), ("b", r#"{"n":1}"#), ("a", r#"{"n":2}"#), ("c", r#"{"n":1}"#)];
        rig.send(&values).await;
        rig.send(&[("a", r#"{"n":3}"#)]).await;
        rig.until_delivered(5).await;
        rig.until_empty().await;
        assert_eq!(source(&endpoint, "a"), r#"{"n":3}"#, "{name}");
        assert!(endpoint.requests() > faulty, "{name}");
        let effects = effects(&endpoint.log(), "a");
        assert_eq!(effects.last(), Some(&3), "{name}: {effects:?}");
        rig.until(name, |rig| rig.fault().is_none()).await;
        assert!(rig.halts.is_empty(), "{name}: {:?}", rig.halts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_after_success_and_a_half_open_connection_lose_and_reorder_nothing() {
    for fault in [
        ScriptedFault::LateAnswer(Duration::from_millis(700)),
        ScriptedFault::HalfOpen,
        ScriptedFault::Delay(Duration::from_millis(400)),
    ] {
        let endpoint = endpoint();
        let mut plan = plan_for(&[&endpoint]);
        plan.connection.request_timeout = Duration::from_millis(200);
        plan.action = Action::Index;
        plan.version = Some(VersionSource::Offset);
        endpoint.script(fault.clone());
        let mut rig = Rig::start(plan, retry());
        for n in 1..=20 {
            rig.send(&[("a", &format!("{{\"n\":{n}}}"))]).await;
        }
        rig.until("delivery", |rig| rig.count(Outcome::Delivered) + rig.count(Outcome::Superseded) == 20).await;
        rig.until_empty().await;
        assert_eq!(source(&endpoint, "a"), r#"{"n":20}"#, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_left_alone_and_comes_back() {
    let (alive, other) = (endpoint(), endpoint());
    other.always(Some(ScriptedFault::answer(503, "")));
    other.answer_root(Some((503, String::new())));
    let mut plan = plan_for(&[&other, &alive]);
    plan.connection.nodes.push("http://127.0.0.1:1".to_owned());
    plan.batch_records = 10;
    let mut rig = Rig::start(plan, retry());
    rig.send_numbers(0..1000).await;
    rig.until_delivered(1000).await;
    assert_eq!(alive.count("items"), 1000);
    assert!(other.requests() < 20, "asked {} times although dead", other.requests());
    other.always(None);
    other.answer_root(None);
    let mut next = 1000;
    let deadline = Instant::now() + Duration::from_secs(30);
    while other.count("items") == 0 {
        assert!(Instant::now() < deadline, "the node that came back is never used");
        rig.send_numbers(next..next + 50).await;
        next += 50;
        rig.until_delivered(u64::from(next)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_found_and_the_rest_goes_on_in_order() {
    for version in
        [EndpointVersion::Elasticsearch(6), EndpointVersion::Elasticsearch(9), EndpointVersion::OpenSearch(2)]
    {
        let endpoint = endpoint_of(version);
        endpoint.poison("id13");
        endpoint.poison("id77");
        let mut plan = plan_for(&[&endpoint]);
        plan.lanes = 1;
        let mut rig = Rig::start(plan, retry());
        rig.send_numbers(0..100).await;
        rig.send(&[("id12", r#"{"n":1000}"#), ("id78", r#"{"n":1001}"#)]).await;
        rig.until_delivered(100).await;
        rig.until_empty().await;
        assert_eq!(endpoint.count("items"), 98, "{version:?}");
        assert_eq!(source(&endpoint, "id12"), r#"{"n":1000}"#, "{version:?}");
        assert_eq!(effects(&endpoint.log(), "id78"), [78, 1001], "{version:?}");
        assert!(rig.halts.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_nothing_but_poison_halts_and_rejects_nobody() {
    let endpoint = endpoint();
    (0..4).for_each(|n| endpoint.poison(&format!("id{n}")));
    let mut plan = plan_for(&[&endpoint]);
    plan.lanes = 1;
    let mut rig = Rig::start(plan, retry());
    rig.send_numbers(0..4).await;
    rig.until("a halt", |rig| !rig.halts.is_empty()).await;
    assert_eq!(rig.halts[0].exit, Exit::Protocol);
    assert!(rig.ended.is_empty(), "{:?}", rig.ended);
    let rig = rig.finish().await;
    assert_eq!((rig.halts.len(), rig.ctx.pipeline.budget.used()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_413_halves_and_is_remembered() {
    let endpoint = endpoint();
    endpoint.limit_bytes(Some(2000));
    let mut plan = plan_for(&[&endpoint]);
    plan.lanes = 1;
    let mut rig = Rig::start(plan, retry());
    rig.send_numbers(0..200).await;
    rig.until_delivered(200).await;
    let requests = endpoint.requests();
    let large = format!("{{\"n\":1,\"x\":\"{}\"}}", "y".repeat(3000));
    rig.send(&[("large", &large), ("id1", r#"{"n":7}"#)]).await;
    rig.until_delivered(201).await;
    rig.until_empty().await;
    assert_eq!(endpoint.document("items", "large"), None, "rejected");
    assert_eq!(source(&endpoint, "id1"), r#"{"n":7}"#);
    assert!(endpoint.requests() - requests <= 3, "the limit was forgotten");
    assert_eq!(rig.fault(), None, "what was too large was cut, or rejected");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_hold_and_recover() {
    for status in [401, 403] {
        let endpoint = endpoint();
        let body = r#"{"error":{"type":"security_exception","reason":"no"},"status":401}"#;
        endpoint.always(Some(ScriptedFault::answer(status, body)));
        let mut rig = Rig::start(plan_for(&[&endpoint]), retry());
        rig.send_numbers(0..10).await;
        rig.until("an alert", |rig| rig.fault().is_some_and(|fault| fault.contains("refused"))).await;
        assert!(rig.halts.is_empty() && rig.ended.is_empty());
        endpoint.always(None);
        rig.until_delivered(10).await;
        rig.until("the alert's end", |rig| rig.fault().is_none()).await;
        assert!(rig.others.is_empty(), "never a rewind: {:?}", rig.others);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_hit_every_request_halts() {
    let moved = |status| ScriptedFault::Answer {
        status,
        body: String::new(),
        retry_after: None,
        location: Some("/elsewhere".to_owned()),
    };
    let bad_type = r#"{"error":{"type":"illegal_argument_exception","reason":"Action/metadata line [1] contains an unknown parameter [_type]"},"status":400}"#;
    let faults = [
        ScriptedFault::answer(404, ""),
        ScriptedFault::answer(405, ""),
        ScriptedFault::answer(501, ""),
        ScriptedFault::answer(400, "<html>a proxy</html>"),
        ScriptedFault::answer(400, bad_type),
        moved(301),
        moved(307),
    ];
    for fault in faults {
        let endpoint = endpoint();
        endpoint.always(Some(fault.clone()));
        let mut rig = Rig::start(plan_for(&[&endpoint]), retry());
        rig.send_numbers(0..10).await;
        rig.until(&format!("a halt after {fault:?}"), |rig| !rig.halts.is_empty()).await;
        assert_eq!(rig.halts[0].exit, Exit::Protocol, "{fault:?}");
        let rig = rig.finish().await;
        assert!(rig.ended.is_empty() && rig.halts.len() == 1, "{fault:?}: {:?}", rig.halts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retried_items_keep_the_order_of_their_id() {
    let busy = ItemAnswer::error(429, "es_rejected_execution_exception", "queue full");
    let conflict = ItemAnswer::error(409, "version_conflict_engine_exception", "conflict");
    for answer in [busy, conflict] {
        let endpoint = endpoint();
        endpoint.script(ScriptedFault::Items(vec![(0, answer.clone()), (3, answer.clone())]));
        endpoint.script(ScriptedFault::Items(vec![(0, answer.clone())]));
        let mut plan = plan_for(&[&endpoint]);
        plan.lanes = 1;
        plan.linger = Duration::from_millis(100);
        let mut rig = Rig::start(plan, retry());
        let value = |n: u32| format!("{{\"n\":{n}}}");
        let values: Vec<String> = (1..=6).map(value).collect();
        rig.send(&[("a", &values[0]), ("b", &values[0]), ("a", &values[1]), ("b", &values[1]), ("a", &values[2])])
            .await;
        rig.send(&[("a", &values[3]), ("b", &values[3])]).await;
        rig.until_delivered(7).await;
        rig.until_empty().await;
        let log = endpoint.log();
        assert_eq!(effects(&log, "a").last(), Some(&4), "{answer:?}");
        let of_a = effects(&log, "a");
        let last_one = of_a.iter().rposition(|n| *n == 1).expect("the first write was applied");
        assert_eq!(of_a[last_one..], [1, 2, 3, 4], "{answer:?}: later writes follow the retried one: {of_a:?}");
        assert_eq!(source(&endpoint, "b"), r#"{"n":4}"#);
        let metrics = &rig.ctx.pipeline.metrics;
        assert!(metrics.retries.get() > 0 && metrics.sink_item_errors.get() >= 3);
        let errors = metrics.sink_item_errors.snapshot();
        assert!(errors.iter().all(|(status, kind, _)| *status >= 400 && *kind != "other"), "{errors:?}");
        assert!(metrics.busy(StageName::Sink).get() > 0 && metrics.queue_bytes_limit.get() > 0);
        assert!(metrics.queue_records_limit.get() >= 7);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn index_faults_hold_in_place_with_an_alert_and_never_rewind() {
    let endpoint = endpoint();
    let closed = ItemAnswer::error(400, "index_closed_exception", "closed");
    endpoint.answer_index("items", Some(closed));
    let mut rig = Rig::start(plan_for(&[&endpoint]), RetryPlan { in_place: Duration::from_millis(200), ..retry() });
    rig.send_numbers(0..50).await;
    rig.until("an alert", |rig| rig.fault().is_some_and(|fault| fault.contains("index_closed"))).await;
    let requests = endpoint.requests();
    rig.until("more attempts", |_| endpoint.requests() > requests + 20).await;
    assert!(rig.ended.is_empty() && rig.others.is_empty() && rig.halts.is_empty(), "{:?}", rig.others);
    endpoint.answer_index("items", None);
    rig.until_delivered(50).await;
    rig.until("the alert's end", |rig| rig.fault().is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_records_leave_and_good_ones_stay() {
    let endpoint = endpoint();
    endpoint.answer_id("id3", Some(ItemAnswer::error(400, "mapper_parsing_exception", "failed to parse")));
    let mut rig = Rig::start(plan_for(&[&endpoint]), retry());
    rig.send_numbers(0..10).await;
    rig.until_delivered(9).await;
    rig.until_empty().await;
    assert_eq!((endpoint.count("items"), endpoint.document("items", "id3")), (9, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_answers_are_retried_then_halt() {
    let unknown = [
        (Action::Upsert, None, 400, "brand_new_exception"),
        (Action::Create, None, 409, "resource_already_exists_exception"),
        (Action::Index, Some(VersionSource::Offset), 409, "snapshot_in_progress_exception"),
    ];
    for (action, version, status, kind) in unknown {
        let endpoint = endpoint();
        endpoint.answer_id("id3", Some(ItemAnswer::error(status, kind, "what")));
        let mut plan = plan_for(&[&endpoint]);
        (plan.action, plan.version) = (action, version);
        let mut rig = Rig::start(plan, retry());
        rig.send_numbers(0..10).await;
        rig.until("a halt", |rig| !rig.halts.is_empty()).await;
        assert_eq!((rig.halts[0].exit, rig.count(Outcome::Delivered)), (Exit::Temporary, 9), "{kind}");
        assert_eq!(rig.ended.len(), 1, "{kind}: neither superseded nor rejected: {:?}", rig.ended);
        assert!(rig.halts[0].message.contains(kind), "{}", rig.halts[0].message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_moment_of_a_server_or_a_proxy_accuses_no_record() {
    let npe = r#"{"error":{"type":"null_pointer_exception","reason":"x"},"status":500}"#;
    // Four answers until it is halved, then the first halves down to one record, which is refused once more.
    let moments =
        [(500, npe), (500, "<html>a proxy</html>"), (400, r#"{"error":{"type":"new_exception","reason":"x"}}"#)];
    for (status, body) in moments {
        let endpoint = endpoint();
        (0..8).for_each(|_| endpoint.script(ScriptedFault::answer(status, body)));
        let mut plan = plan_for(&[&endpoint]);
        plan.lanes = 1;
        let mut rig = Rig::start(plan, retry());
        rig.send_numbers(0..10).await;
        rig.until_delivered(10).await;
        rig.until_empty().await;
        assert_eq!(endpoint.count("items"), 10, "{status} {body}");
        assert!(rig.halts.is_empty(), "{:?}", rig.halts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_refused_alike_says_how_many_were_rejected_before_it() {
    let endpoint = endpoint();
    let bad = ItemAnswer::error(400, "mapper_parsing_exception", "failed to parse");
    endpoint.answer_id("id3", Some(bad));
    let mut plan = plan_for(&[&endpoint]);
    plan.lanes = 1;
    let mut rig = Rig::start(plan, retry());
    rig.send_numbers(0..10).await;
    rig.until_delivered(9).await;
    rig.until_empty().await;
    endpoint.answer_index("items", Some(ItemAnswer::error(400, "illegal_argument_exception", "no good")));
    rig.send_numbers(10..30).await;
    rig.until("a halt", |rig| !rig.halts.is_empty()).await;
    let message = &rig.halts[0].message;
    assert!(message.contains("none of them was rejected") && message.contains("dropped 1 records"), "{message}");
}

/// What a test of items that are refused for ever waits for: five seconds, and a turn of the lane.
async fn until_named(rig: &mut Rig, parts: &[&str]) {
    let since = Instant::now();
    rig.until("a fault", |rig| rig.fault().is_some()).await;
    let fault = rig.fault().unwrap_or_default();
    assert!(parts.iter().all(|part| fault.contains(part)), "{fault}");
    assert!(since.elapsed() < Duration::from_secs(8), "named after {:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_are_refused_again_and_again_are_named_until_they_are_taken() {
    let unknown = "Cannot invoke; Authorization: Basic U0VDUkVU";
    for (status, kind, reason) in [
        (500, "null_pointer_exception", unknown),
        (429, "something_new_exception", "busy"),
        (409, "version_conflict_engine_exception", "conflict"),
        (503, "unavailable_shards_exception", "primary shard is not active"),
    ] {
        let endpoint = endpoint();
        endpoint.answer_id("id3", Some(ItemAnswer::error(status, kind, reason)));
        let mut plan = plan_for(&[&endpoint]);
        plan.lanes = 1;
        let mut rig = Rig::start(plan, RetryPlan { max: Duration::from_secs(30), ..retry() });
        rig.send_numbers(0..10).await;
        rig.until_delivered(9).await;
        until_named(&mut rig, &["index items", &status.to_string(), kind, "sent again"]).await;
        assert!(!rig.fault().is_some_and(|fault| fault.contains("U0VDUkVU")));
        assert_eq!(rig.count(Outcome::Delivered), 9);
        endpoint.answer_id("id3", None);
        rig.fence(Epoch::fresh());
        rig.until("the fault's end", |rig| rig.fault().is_none()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_named_when_it_lasts_and_the_fault_ends_with_the_first_good_answer() {
    let endpoint = endpoint();
    endpoint.answer_index("items", Some(ItemAnswer::error(429, "es_rejected_execution_exception", "queue full")));
    let mut rig = Rig::start(plan_for(&[&endpoint]), retry());
    rig.send_numbers(0..50).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.fault(), None, "a busy moment is no fault");
    until_named(&mut rig, &["index items", "429 es_rejected_execution_exception: queue full"]).await;
    endpoint.answer_index("items", None);
    rig.until_delivered(50).await;
    rig.until("the fault's end", |rig| rig.fault().is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_an_alert_with_its_remedy_at_once() {
    for (status, reason) in [
        (403, "index [items] blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];"),
        (429, "index [items] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark];"),
    ] {
        let endpoint = endpoint();
        endpoint.answer_index("items", Some(ItemAnswer::error(status, "cluster_block_exception", reason)));
        let mut rig = Rig::start(plan_for(&[&endpoint]), retry());
        rig.send_numbers(0..50).await;
        rig.until("an alert", |rig| rig.fault().is_some_and(|fault| fault.contains("free disk space"))).await;
        endpoint.answer_index("items", None);
        rig.until_delivered(50).await;
        rig.until("the alert's end", |rig| rig.fault().is_none()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gives_up_once_frees_memory_and_reports_the_return() {
    let endpoint = endpoint();
    endpoint.always(Some(ScriptedFault::answer(503, "")));
    let mut rig = Rig::start(plan_for(&[&endpoint]), RetryPlan { in_place: Duration::from_millis(600), ..retry() });
    rig.until("identification", |_| endpoint.probes() > 0).await;
    endpoint.answer_root(Some((503, String::new())));
    rig.send_numbers(0..500).await;
    rig.until("giving up", |rig| !rig.others.is_empty()).await;
    assert_eq!(rig.others, [Report::GaveUp(GiveUp::Unacknowledged)]);
    assert!(rig.ctx.pipeline.budget.used() > 0);
    rig.until("answers to what other lanes had out", |rig| rig.in_flight.is_quiet(rig.slot)).await;
    let (requests, probes) = (endpoint.requests(), endpoint.probes());
    rig.until("probes", |_| endpoint.probes() > probes + 1).await;
    assert_eq!(endpoint.requests(), requests, "nothing is sent after giving up");
    rig.fence(Epoch::fresh());
    rig.until_empty().await;
    assert_eq!(rig.others.len(), 1);
    endpoint.always(None);
    endpoint.answer_root(None);
    rig.until("the sink's answer", |rig| rig.others.len() > 1).await;
    assert_eq!(rig.others[1], Report::SinkAnswers);
    rig.send_numbers(0..500).await;
    rig.until_delivered(500).await;
    assert_eq!(rig.others.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_old_epoch_is_sent_and_the_wire_tells_when_it_is_quiet() {
    let endpoint = endpoint();
    endpoint.script(ScriptedFault::Delay(Duration::from_millis(600)));
    let mut plan = plan_for(&[&endpoint]);
    plan.lanes = 1;
    plan.batch_records = 10;
    let mut rig = Rig::start(plan, retry());
    rig.send_numbers(0..100).await;
    rig.until("a request in flight", |_| endpoint.requests() == 1).await;
    assert!(!rig.in_flight.is_quiet(rig.slot));
    rig.fence(Epoch::NONE);
    rig.until("quiet", |rig| rig.in_flight.is_quiet(rig.slot)).await;
    rig.until_empty().await;
    assert_eq!((endpoint.requests(), endpoint.count("items")), (1, 10), "only what was in flight arrived");
    rig.fence(Epoch::fresh());
    rig.send_numbers(0..100).await;
    rig.until_delivered(100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_flushes_without_lingering_and_aborting_ends_an_outage() {
    let endpoint = endpoint();
    let mut plan = plan_for(&[&endpoint]);
    plan.linger = Duration::from_secs(3600);
    let mut rig = Rig::start(plan, retry());
    rig.send_numbers(0..10).await;
    let rig = rig.finish().await;
    assert_eq!((rig.count(Outcome::Delivered), endpoint.count("items")), (10, 10));

    endpoint.always(Some(ScriptedFault::HalfOpen));
    let mut rig = Rig::start(plan_for(&[&endpoint]), retry());
    rig.send_numbers(10..20).await;
    rig.until("a request in flight", |rig| !rig.in_flight.is_quiet(rig.slot)).await;
    rig.ctx.pipeline.stop.abort();
    let rig = rig.finish().await;
    assert_eq!((rig.count(Outcome::Delivered), rig.ctx.pipeline.budget.used()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_generation_is_recognised_and_served() {
    let no_root = Some((405, r#"{"error":"Incorrect HTTP method","status":405}"#.to_owned()));
    let table = [
        (EndpointVersion::Elasticsearch(6), None),
        (EndpointVersion::Elasticsearch(6), no_root.clone()),
        (EndpointVersion::Elasticsearch(7), None),
        (EndpointVersion::Elasticsearch(8), no_root),
        (EndpointVersion::Elasticsearch(9), Some((403, String::new()))),
        (EndpointVersion::OpenSearch(1), None),
        (EndpointVersion::OpenSearch(3), None),
    ];
    for (version, root) in table {
        let endpoint = endpoint_of(version);
        endpoint.answer_root(root);
        let mut plan = plan_for(&[&endpoint]);
        plan.doc_type = "itmes".to_owned();
        plan.gzip = true;
        let mut rig = Rig::start(plan, retry());
        rig.send_numbers(0..10).await;
        rig.until_delivered(10).await;
        assert_eq!((endpoint.count("items"), endpoint.requests() <= 2), (10, true), "{version:?}");
    }
    let endpoint = endpoint_of(EndpointVersion::Elasticsearch(6));
    let mut plan = plan_for(&[&endpoint]);
    plan.connection.server = ServerKind::Elasticsearch(6);
    let mut rig = Rig::start(plan, retry());
    rig.send_numbers(0..10).await;
    rig.until_delivered(10).await;
    assert_eq!(endpoint.probes(), 0, "the configuration said so");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_come_late_are_waited_for() {
    let first = endpoint();
    let port = first.port();
    let plan = plan_for(&[&first]);
    first.stop();
    let mut rig = Rig::start(plan, retry());
    rig.send_numbers(0..10).await;
    rig.until("an alert", |rig| rig.fault().is_some()).await;
    let late = BulkEndpoint::start(EndpointOptions { port, ..EndpointOptions::default() }).expect("the same port");
    rig.until_delivered(10).await;
    assert_eq!(late.count("items"), 10);
    rig.until("the alert's end", |rig| rig.fault().is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_are_superseded_and_tombstones_delete_or_drop() {
    let endpoint = endpoint();
    let mut plan = plan_for(&[&endpoint]);
    plan.action = Action::Create;
    let mut rig = Rig::start(plan, retry());
    rig.send_numbers(0..10).await;
    rig.until_delivered(10).await;
    rig.send_numbers(0..10).await;
    rig.until("superseded", |rig| rig.count(Outcome::Superseded) == 10).await;
    for (id, rule, ended) in
        [("id1", OnTombstone::Delete, Outcome::Delivered), ("id2", OnTombstone::Drop, Outcome::Dropped)]
    {
        let mut plan = plan_for(&[&endpoint]);
        plan.on_tombstone = rule;
        let mut rig = Rig::start(plan, retry());
        let batch = rig.batch(&[(id, None)]);
        rig.put(batch).await;
        rig.until("its end", |rig| rig.count(ended) == 1).await;
        assert_eq!(endpoint.document("items", id).is_none(), rule == OnTombstone::Delete);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_puts_aside_is_counted_apart() {
    let endpoint = endpoint();
    for (id, answer) in [
        ("id1", ItemAnswer::taken(201, "\"failure_store\":\"used\",")),
        ("id2", ItemAnswer::taken(200, "\"result\":\"noop\",")),
    ] {
        endpoint.answer_id(id, Some(answer));
    }
    for action in [Action::Index, Action::Create] {
        let mut plan = plan_for(&[&endpoint]);
        plan.action = action;
        plan.index = super::fixtures::template(if action == Action::Create { "created" } else { "items" });
        let mut rig = Rig::start(plan, retry());
        rig.send_numbers(0..10).await;
        rig.until("all ends", |rig| rig.ended.values().sum::<u64>() == 10).await;
        let counts = (rig.count(Outcome::Delivered), rig.count(Outcome::Redirected));
        assert_eq!(counts, (8, 2), "{action:?}");
        assert!(rig.halts.is_empty(), "{:?}", rig.halts);
    }
    // Of an update a noop is a document that did not change.
    endpoint.answer_id("id1", None);
    let mut rig = Rig::start(plan_for(&[&endpoint]), retry());
    rig.send_numbers(0..10).await;
    rig.until_delivered(10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_id_every_record_is_a_document() {
    let endpoint = endpoint();
    let mut plan = plan_for(&[&endpoint]);
    plan.action = Action::Create;
    plan.id = DocumentId::Server;
    let mut rig = Rig::start(plan, retry());
    rig.send_numbers(0..100).await;
    rig.send_numbers(0..100).await;
    rig.until_delivered(200).await;
    rig.until_empty().await;
    assert_eq!(endpoint.count("items"), 200);
}

/// All records of the rig have one timestamp.
#[tokio::test(flavor = "multi_thread")]
async fn of_records_with_one_version_the_later_wins_and_a_tombstone_deletes() {
    let endpoint = endpoint();
    let mut plan = plan_for(&[&endpoint]);
    plan.action = Action::Index;
    plan.version = Some(VersionSource::Timestamp);
    let mut rig = Rig::start(plan, retry());
    rig.send(&[("a", r#"{"n":1}"#), ("a", r#"{"n":2}"#), ("c", r#"{"n":1}"#)]).await;
    let tombstone = rig.batch(&[("c", None)]);
    rig.put(tombstone).await;
    rig.until_delivered(4).await;
    assert_eq!(source(&endpoint, "a"), r#"{"n":2}"#);
    assert_eq!(endpoint.document("items", "c"), None, "deleted in the millisecond it was written");
    assert_eq!(rig.count(Outcome::Superseded), 0);
    // The same records again, as after a crash.
    rig.send(&[("a", r#"{"n":1}"#), ("a", r#"{"n":2}"#)]).await;
    rig.until_delivered(6).await;
    assert_eq!(source(&endpoint, "a"), r#"{"n":2}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_before_the_sink_is_passed_on() {
    let endpoint = endpoint();
    let mut rig = Rig::start(plan_for(&[&endpoint]), retry());
    let mut batch = rig.batch(&[("a", Some("{}")), ("b", Some("{}"))]);
    let ticket = batch.items[0].place.ticket;
    batch.items.pop();
    batch.ended.push(crate::model::Part::of_records(ticket, Outcome::Dropped, 1));
    rig.put(batch).await;
    rig.until_delivered(1).await;
    let mut lost = rig.batch(&[]);
    lost.lost.push(ticket);
    rig.put(lost).await;
    rig.until("the loss", |rig| !rig.others.is_empty()).await;
    assert_eq!(rig.others, [Report::Rewind { tickets: vec![ticket], cause: RewindCause::Lost }]);
    assert_eq!(rig.count(Outcome::Dropped), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_behind_a_lost_batch_is_sent_before_it_was_read_again() {
    let endpoint = endpoint();
    let mut rig = Rig::start(plan_for(&[&endpoint]), retry());
    let behind = rig.batch(&[("a", Some(r#"{"n":2}"#))]);
    let mut lost = rig.batch(&[]);
    lost.lost.push(behind.items[0].place.ticket);
    // The batches change places: the lost one is the earlier.
    let (sequence, later) = (behind.sequence, lost.sequence);
    rig.put(Prepared { sequence, ..lost }).await;
    rig.put(Prepared { sequence: later, ..behind }).await;
    rig.until("the loss", |rig| !rig.others.is_empty()).await;
    rig.until_empty().await;
    assert_eq!(endpoint.requests(), 0);
    rig.fence(Epoch::fresh());
    rig.send(&[("a", r#"{"n":1}"#), ("a", r#"{"n":2}"#)]).await;
    rig.until_delivered(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_honoured_and_a_timeout_asks_the_same_node_again() {
    let endpoint = endpoint();
    endpoint.script(ScriptedFault::Answer { status: 503, body: String::new(), retry_after: Some(1), location: None });
    let mut rig = Rig::start(plan_for(&[&endpoint]), retry());
    let started = Instant::now();
    rig.send(&[("a", "{}")]).await;
    rig.until_delivered(1).await;
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());

    for _ in 0..4 {
        let (one, other) = (self::endpoint(), self::endpoint());
        for endpoint in [&one, &other] {
            endpoint.script(ScriptedFault::LateAnswer(Duration::from_millis(500)));
        }
        let mut plan = plan_for(&[&one, &other]);
        plan.connection.request_timeout = Duration::from_millis(200);
        let mut rig = Rig::start(plan, retry());
        rig.send(&[("a", "{}")]).await;
        rig.until_delivered(1).await;
        assert_eq!(one.requests().abs_diff(other.requests()), 2, "{} and {}", one.requests(), other.requests());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_held_index_does_not_stop_the_others_and_its_alert_stays() {
    let endpoint = endpoint();
    endpoint.answer_id("held", Some(ItemAnswer::error(404, "index_not_found_exception", "no such index [x]")));
    let mut plan = plan_for(&[&endpoint]);
    plan.lanes = 1;
    let mut rig = Rig::start(plan, retry());
    rig.send(&[("held", r#"{"n":1}"#)]).await;
    rig.until("an alert", |rig| rig.fault().is_some()).await;
    for start in (0..500).step_by(50) {
        rig.send_numbers(start..start + 50).await;
        rig.until_delivered(u64::from(start) + 50).await;
        assert!(rig.fault().is_some_and(|fault| fault.contains("no such index")), "the alert went");
    }
    rig.send(&[("held", r#"{"n":2}"#)]).await;
    endpoint.answer_id("held", None);
    rig.until_delivered(502).await;
    assert_eq!(source(&endpoint, "held"), r#"{"n":2}"#);
    rig.until("the alert's end", |rig| rig.fault().is_none()).await;
}

/// P12 through the whole sink: the number of requests in flight settles below what the server refuses, and follows it.
#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_settle_below_what_the_server_refuses() {
    let endpoint = endpoint();
    endpoint.always(Some(ScriptedFault::Delay(Duration::from_millis(10))));
    endpoint.limit_requests(Some(3));
    let mut plan = plan_for(&[&endpoint]);
    plan.lanes = 12;
    plan.concurrency = ConcurrencyMode::Adaptive;
    plan.batch_records = 10;
    plan.linger = Duration::ZERO;
    let mut rig = Rig::start(plan, retry());
    assert_eq!(rig.ctx.pipeline.metrics.requests_in_flight_limit.get(), 1);
    for batch in 0..15 {
        rig.send_numbers(batch * 200..(batch + 1) * 200).await;
    }
    rig.until_delivered(3000).await;
    let metrics = rig.ctx.pipeline.metrics.clone();
    let (good, busy) =
        (metrics.sink_request(RequestClass::Success).get(), metrics.sink_request(RequestClass::Busy).get());
    assert_eq!(endpoint.most_in_flight(), 3, "it used what there was");
    assert!(busy > 0 && busy * 10 < good, "{good} requests were taken and {busy} refused");
    let limit = metrics.requests_in_flight_limit.get();
    assert!((2..=4).contains(&limit), "a fourth was refused: {limit}");
    rig.until_empty().await;
    assert_eq!(metrics.requests_in_flight.get(), 0);
    assert_eq!(rig.finish().await.count(Outcome::Delivered), 3000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_still_at_work_when_the_line_broke_finishes_before_it_is_asked_again() {
    let endpoint = endpoint();
    let mut plan = plan_for(&[&endpoint]);
    plan.lanes = 1;
    let mut rig = Rig::start(plan, RetryPlan { first: Duration::from_millis(300), ..retry() });
    for round in 1..=6 {
        endpoint.script(ScriptedFault::ResetThenApply(Duration::from_millis(150)));
        rig.send_numbers(0..10).await;
        rig.until_delivered(round * 10).await;
    }
    let requests: Vec<u64> = endpoint.log().iter().map(|entry| entry.request).collect();
    assert!(requests.is_sorted(), "a request was applied after one sent later: {requests:?}");
    assert_eq!(requests.len(), 6 * 2 * 10, "each round came twice");
}
