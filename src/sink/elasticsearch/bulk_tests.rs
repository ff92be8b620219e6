//! What the encoder writes, and what it refuses.

use super::bulk::*;
use super::fixtures::{sink_plan, template};
use crate::config::plan::{
    Action, ActionBy, Choice, DocumentId, ElasticsearchSinkPlan, OnTombstone, Pointer, Template, TemplateSegment,
    VersionSource,
};
use crate::model::{
    Encode, Epoch, ItemPath, Kept, NoHeaders, Offset, OwnedRecord, PartitionId, Place, Record, RejectReason, Ticket,
    TicketId,
};

fn place() -> Place {
    let ticket = Ticket { id: TicketId(1), slot: PartitionId(0), epoch: Epoch(1) };
    Place { ticket, offset: Offset(41), item: ItemPath::WHOLE, index: 0 }
}

fn record() -> Record<'static> {
    Record {
        topic: "events",
        partition: 3,
        offset: 41,
        timestamp_ms: Some(1700),
        key: None,
        value: None,
        headers: &NoHeaders,
    }
}

fn encode(
    plan: &ElasticsearchSinkPlan,
    value: Option<&[&[u8]]>,
    rendered: &[Option<&[u8]>],
) -> Result<(BulkItem, String), RejectReason> {
    let mut payload = b"before".to_vec();
    let kept = Kept { value, rendered };
    match BulkEncoder::new(plan).encode(place(), &record(), &kept, &mut payload) {
        Ok(item) => {
            let text = String::from_utf8(payload[item.start as usize..item.end as usize].to_vec()).expect("UTF-8");
            assert_eq!((item.start, item.end as usize), (6, payload.len()));
            Ok((item, text))
        }
        Err(reject) => {
            assert_eq!(payload, b"before", "nothing of a reject stays");
            Err(reject.reason)
        }
    }
}

fn text(plan: &ElasticsearchSinkPlan, value: &str, rendered: &[Option<&[u8]>]) -> String {
    encode(plan, Some(&[value.as_bytes()]), rendered).expect("encodes").1
}

#[test]
fn every_action_has_its_lines() {
    let table = [
        (
            Action::Upsert,
            "{\"update\":{\"_id\":\"7\",\"retry_on_conflict\":3}}\n{\"doc\":{\"a\":1},\"doc_as_upsert\":true}\n",
        ),
        (Action::Update, "{\"update\":{\"_id\":\"7\",\"retry_on_conflict\":3}}\n{\"doc\":{\"a\":1}}\n"),
        (Action::Index, "{\"index\":{\"_id\":\"7\"}}\n{\"a\":1}\n"),
        (Action::Create, "{\"create\":{\"_id\":\"7\"}}\n{\"a\":1}\n"),
        (Action::Delete, "{\"delete\":{\"_id\":\"7\"}}\n"),
    ];
    for (action, want) in table {
        let plan = ElasticsearchSinkPlan { action, ..sink_plan("items") };
        assert_eq!(text(&plan, "{\"a\":1}", &[Some(b"7")]), want, "{action:?}");
    }
}

#[test]
fn templates_are_rendered_in_the_order_they_are_read() {
    let mut plan = sink_plan("items");
    plan.index = Template {
        text: "i-{partition}".into(),
        segments: vec![TemplateSegment::Literal("i-".into()), TemplateSegment::Partition],
    };
    plan.action = Action::Index;
    plan.id = DocumentId::Template(template("the id"));
    plan.routing = Some(template("the routing"));
    let pointer = Pointer { members: vec!["v".into()] };
    plan.version = Some(VersionSource::Field(pointer.clone()));
    let wanted = templates(&plan);
    assert_eq!(
        wanted.iter().map(|t| t.text.as_str()).collect::<Vec<_>>(),
        ["the id", "i-{partition}", "the routing", "version"]
    );
    assert_eq!(wanted[3].segments, [TemplateSegment::Field { pointer, fallback: None }]);
    assert_eq!(
        text(&plan, "{}", &[Some(b"7"), Some(b"i-3"), Some(b"r\"1"), Some(b"12")]),
        "{\"index\":{\"_id\":\"7\",\"_index\":\"i-3\",\"routing\":\"r\\\"1\",\"version\":12,\"version_type\":\"external_gte\"}}\n{}\n"
    );
    assert_eq!(templates(&sink_plan("items")).len(), 1, "a constant index is in the path, not in each entry");
}

#[test]
fn a_value_in_pieces_is_one_line() {
    let plan = ElasticsearchSinkPlan { action: Action::Index, ..sink_plan("items") };
    let pieces: [&[u8]; 3] = [b"{\r\n \"a\" :\n", b"\"x\\n\"", b"\n}"];
    let (_, text) = encode(&plan, Some(&pieces), &[Some(b"7")]).expect("encodes");
    assert_eq!(text.split_once('\n').expect("two lines").1, "{   \"a\" : \"x\\n\" }\n");
}

#[test]
fn ids_are_escaped_and_bounded_in_bytes() {
    let plan = ElasticsearchSinkPlan { action: Action::Delete, ..sink_plan("items") };
    let odd = "a\"b\\c\u{1}ä";
    let (_, line) = encode(&plan, Some(&[b"{}"]), &[Some(odd.as_bytes())]).expect("encodes");
    let value: serde_json::Value = serde_json::from_str(line.trim()).expect("JSON");
    assert_eq!(value["delete"]["_id"], odd);
    let long = "ä".repeat(256);
    assert!(encode(&plan, Some(&[b"{}"]), &[Some(long.as_bytes())]).is_ok(), "512 bytes");
    let longer = format!("{long}x");
    for id in [longer.as_bytes(), b"", b"\xff"] {
        assert_eq!(
            encode(&plan, Some(&[b"{}"]), &[Some(id)]).err(),
            Some(RejectReason::InvalidId),
            "{} bytes",
            id.len()
        );
    }
}

#[test]
fn a_null_key_has_the_coordinates_for_an_id_only_by_default() {
    let mut plan = ElasticsearchSinkPlan { action: Action::Index, ..sink_plan("items") };
    assert!(text(&plan, "{}", &[None]).starts_with("{\"index\":{\"_id\":\"events+3+41\"}}"));
    assert_eq!(encode(&plan, None, &[None]).err(), Some(RejectReason::InvalidId), "a tombstone of nobody");
    plan.id = DocumentId::Template(template("{key}"));
    assert_eq!(encode(&plan, Some(&[b"{}"]), &[None]).err(), Some(RejectReason::InvalidId));
}

#[test]
fn versions_come_from_where_the_plan_says() {
    let plan = |version, action| ElasticsearchSinkPlan { version: Some(version), action, ..sink_plan("items") };
    let versioned = |plan: &ElasticsearchSinkPlan| {
        let (item, text) = encode(plan, Some(&[b"{}"]), &[Some(b"7")]).expect("encodes");
        assert_eq!(item.versioned, text.contains("\"version_type\":\"external"));
        text.split("\"version\":").nth(1).map(|rest| rest.split(',').next().unwrap_or_default().to_owned())
    };
    assert_eq!(versioned(&plan(VersionSource::Offset, Action::Index)).as_deref(), Some("41"));
    assert_eq!(versioned(&plan(VersionSource::Timestamp, Action::Delete)).as_deref(), Some("1700"));
    assert_eq!(versioned(&plan(VersionSource::Offset, Action::Upsert)), None, "updates take no version");
    assert_eq!(versioned(&plan(VersionSource::Offset, Action::Create)), None);
    let by_field = plan(VersionSource::Field(Pointer { members: vec!["v".into()] }), Action::Index);
    let table: [(&[u8], Option<RejectReason>); 4] = [
        (b"9223372036854775807", None),
        (b"-1", Some(RejectReason::NumberRange)),
        (b"1.5", Some(RejectReason::WrongType)),
        (b"9223372036854775808", Some(RejectReason::WrongType)),
    ];
    for (version, want) in table {
        assert_eq!(encode(&by_field, Some(&[b"{}"]), &[Some(b"7"), Some(version)]).err(), want);
    }
    let by_header = plan(VersionSource::Header("v".into()), Action::Index);
    let owned = OwnedRecord { headers: vec![("v".into(), Some(b"5".to_vec()))], ..OwnedRecord::copy_of(&record()) };
    let kept = Kept { value: Some(&[b"{}"]), rendered: &[Some(b"7")] };
    let mut payload = Vec::new();
    BulkEncoder::new(&by_header).encode(place(), &owned.view(), &kept, &mut payload).expect("encodes");
    assert!(String::from_utf8_lossy(&payload).contains("\"version\":5,"));
    assert_eq!(encode(&by_header, Some(&[b"{}"]), &[Some(b"7")]).err(), Some(RejectReason::Missing));
}

#[test]
fn without_an_id_the_action_line_names_none_and_nothing_is_deleted() {
    let mut plan = ElasticsearchSinkPlan { id: DocumentId::Server, action: Action::Create, ..sink_plan("items") };
    assert!(templates(&plan).is_empty());
    assert_eq!(text(&plan, "{\"a\":1}", &[]), "{\"create\":{}}\n{\"a\":1}\n");
    assert_eq!(encode(&plan, None, &[]).err(), Some(RejectReason::Tombstone));
    plan.index = Template {
        text: "i-{partition}".into(),
        segments: vec![TemplateSegment::Literal("i-".into()), TemplateSegment::Partition],
    };
    plan.routing = Some(template("the routing"));
    plan.action = Action::Index;
    assert_eq!(templates(&plan).len(), 2, "the first one rendered is the index");
    let want = "{\"index\":{\"_index\":\"i-3\",\"routing\":\"r\"}}\n{}\n";
    assert_eq!(text(&plan, "{}", &[Some(b"i-3"), Some(b"r")]), want);
    let lanes: std::collections::BTreeSet<usize> = (0..64)
        .map(|offset| {
            let kept = Kept { value: Some(&[b"{}"]), rendered: &[Some(b"i-3"), Some(b"r")] };
            let record = Record { offset, ..record() };
            let item = BulkEncoder::new(&plan).encode(place(), &record, &kept, &mut Vec::new()).expect("encodes");
            item.lane(4)
        })
        .collect();
    assert_eq!(lanes.len(), 4, "all lanes are used");
}

#[test]
fn a_field_chooses_the_action() {
    let map = [
        ("c", Choice::Do(Action::Index)),
        ("u", Choice::Do(Action::Upsert)),
        ("d", Choice::Do(Action::Delete)),
        ("t", Choice::Drop),
    ];
    let by = ActionBy {
        pointer: Pointer { members: vec!["op".into()] },
        map: map.map(|(value, choice)| (value.to_owned(), choice)).into(),
        otherwise: Choice::Reject,
    };
    let plan = ElasticsearchSinkPlan { by: Some(Box::new(by)), action: Action::Upsert, ..sink_plan("items") };
    assert_eq!(templates(&plan).len(), 2, "id, and what chooses");
    let (document, key): (Option<&[&[u8]]>, _) = (Some(&[b"{}"]), Some(&b"7"[..]));
    let of = |value, op: &'static [u8]| encode(&plan, value, &[key, Some(op)]);
    assert_eq!(of(document, b"c").expect("encodes").1, "{\"index\":{\"_id\":\"7\"}}\n{}\n");
    assert!(of(document, b"u").expect("encodes").1.ends_with("\"doc_as_upsert\":true}\n"));
    assert_eq!(of(None, b"d").expect("encodes").1, "{\"delete\":{\"_id\":\"7\"}}\n");
    assert_eq!(of(None, b"t").expect("encodes").0.action, ItemAction::Drop);
    assert_eq!(of(None, b"x").err(), Some(RejectReason::Condition));
    assert_eq!(of(None, b"").err(), Some(RejectReason::Condition), "no such field");
    let (item, _) = encode(&plan, None, &[key, None]).expect("encodes");
    assert_eq!(item.action, ItemAction::Delete, "a tombstone follows its own rule");
}

/// Of an offset there is one record, so the same version again is a replay. Any other number two records may share.
#[test]
fn a_tie_of_versions_goes_to_the_later_record() {
    let table = [
        (VersionSource::Offset, "external"),
        (VersionSource::Timestamp, "external_gte"),
        (VersionSource::Field(Pointer { members: vec!["v".into()] }), "external_gte"),
    ];
    for (version, want) in table {
        let plan = ElasticsearchSinkPlan { version: Some(version), action: Action::Index, ..sink_plan("items") };
        let rendered: [Option<&[u8]>; 2] = [Some(b"7"), Some(b"12")];
        assert!(text(&plan, "{}", &rendered).contains(&format!("\"version_type\":\"{want}\"}}")), "{want}");
    }
    let plan = ElasticsearchSinkPlan { version: Some(VersionSource::Timestamp), ..sink_plan("items") };
    let (_, line) = encode(&plan, None, &[Some(b"7")]).expect("encodes");
    assert!(line.contains("external_gte"), "a tombstone of the same millisecond deletes: {line}");
}

#[test]
fn tombstones_follow_the_rule() {
    let mut plan = ElasticsearchSinkPlan { version: Some(VersionSource::Offset), ..sink_plan("items") };
    let (item, line) = encode(&plan, None, &[Some(b"7")]).expect("encodes");
    assert_eq!(line, "{\"delete\":{\"_id\":\"7\",\"version\":41,\"version_type\":\"external\"}}\n");
    assert_eq!((item.action, item.versioned), (ItemAction::Delete, true));
    plan.on_tombstone = OnTombstone::Drop;
    let (item, line) = encode(&plan, None, &[Some(b"7")]).expect("encodes");
    assert_eq!((item.action, line.as_str()), (ItemAction::Drop, ""));
    plan.on_tombstone = OnTombstone::Reject;
    assert_eq!(encode(&plan, None, &[Some(b"7")]).err(), Some(RejectReason::Tombstone));
    plan.on_tombstone = OnTombstone::Delete;
    let from_document = |members: &str| Template {
        text: members.into(),
        segments: vec![TemplateSegment::Field { pointer: Pointer { members: vec![members.into()] }, fallback: None }],
    };
    plan.routing = Some(from_document("tenant"));
    assert_eq!(encode(&plan, None, &[Some(b"7"), None]).err(), Some(RejectReason::Tombstone));
}

#[test]
fn only_objects_are_documents_and_only_names_are_indexes() {
    let plan = sink_plan("items");
    for value in ["[1]", "7", "\"x\"", "null", " \n"] {
        assert_eq!(
            encode(&plan, Some(&[value.as_bytes()]), &[Some(b"7")]).err(),
            Some(RejectReason::WrongType),
            "{value}"
        );
    }
    assert!(encode(&plan, Some(&[b" \n", b"{}"]), &[Some(b"7")]).is_ok());
    let by_key = sink_plan("{key}");
    let long = "a".repeat(256);
    for name in ["", "Upper", "a b", "_x", "a/b", "..", "a*", "a:b", long.as_str()] {
        let rendered: [Option<&[u8]>; 2] = [Some(b"7"), Some(name.as_bytes())];
        assert_eq!(encode(&by_key, Some(&[b"{}"]), &rendered).err(), Some(RejectReason::InvalidTarget), "{name}");
    }
    for name in ["a", "logs-2024.01", "ünicode", ".hidden"] {
        let rendered: [Option<&[u8]>; 2] = [Some(b"7"), Some(name.as_bytes())];
        assert!(encode(&by_key, Some(&[b"{}"]), &rendered).is_ok(), "{name}");
    }
}

#[test]
fn one_id_has_one_lane_and_lanes_are_used() {
    let plan = ElasticsearchSinkPlan { action: Action::Delete, ..sink_plan("items") };
    let mut used = std::collections::BTreeMap::new();
    for number in 0..4000 {
        let id = format!("id-{number}");
        let (item, _) = encode(&plan, Some(&[b"{}"]), &[Some(id.as_bytes())]).expect("encodes");
        let (again, _) = encode(&plan, Some(&[b"{}"]), &[Some(id.as_bytes())]).expect("encodes");
        assert_eq!(item.id_hash, again.id_hash);
        *used.entry(item.lane(4)).or_insert(0) += 1;
    }
    assert_eq!(used.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(used.values().all(|count| (800..1200).contains(count)), "{used:?}");
}
