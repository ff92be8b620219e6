//! Steady state allocates nothing per record, by jemalloc's own count of the bytes this thread has allocated.

use super::*;
use crate::model::Kept;
use crate::preprocess::steps::fixtures::plans_of;

/// Takes everything a record brings and allocates nothing.
struct Append;

impl Encode for Append {
    type Item = u32;
    fn encode(&mut self, place: Place, _: &Record<'_>, kept: &Kept<'_>, payload: &mut Vec<u8>) -> Result<u32, Reject> {
        kept.value.into_iter().flatten().for_each(|piece| payload.extend_from_slice(piece));
        kept.rendered.iter().flatten().for_each(|text| payload.extend_from_slice(text));
        Ok(place.index)
    }
}

fn allocated() -> u64 {
    jemalloc_ctl::thread::allocatedp::read().expect("jemalloc counts").get()
}

/// Bytes allocated by one batch of `count` records, once every buffer has grown.
fn bytes_of_a_batch(kinds: &[StepKind], templates: &[&str], count: i64) -> u64 {
    let templates: Vec<_> = templates.iter().map(|text| template(text)).collect();
    bytes_of(kinds, &templates, count)
}

fn bytes_of(kinds: &[StepKind], templates: &[crate::config::plan::Template], count: i64) -> u64 {
    let value = |offset: i64| {
        format!(r#"{{"meta":{{}},"result":{{"id":{offset},"user":{},"name":"n\u0041","level":"info"}}}}"#, offset % 7)
    };
    let records: Vec<_> = (0..count).map(|offset| record(offset, Some("k"), Some(&value(offset)))).collect();
    let program = Program::compile(&steps(kinds.to_vec()), templates, Tombstones::PassOn).expect("compiles");
    let users = [("1", r#"{"tier":"gold"}"#), ("2", r#"{"tier":"blue"}"#)];
    let mut preprocessor = Preprocessor::new(program, enricher(&[&users, &users]), Append);
    let fences = Fences::new(1);
    let runs = fences.runs(&[count as u32]);
    let mut prepared = prepared();
    let mut batch = |prepared: &mut Prepared<u32>| {
        prepared.payload.clear();
        prepared.items.clear();
        let before = allocated();
        preprocessor.prepare(&runs, &records[..], &fences.table, &|| true, prepared).expect("answers");
        assert_eq!(prepared.items.len(), records.len());
        allocated() - before
    };
    batch(&mut prepared);
    batch(&mut prepared);
    batch(&mut prepared)
}

#[test]
fn nothing_is_allocated_per_record() {
    let before = allocated();
    let list = std::hint::black_box(vec![0_u8; 4_096]);
    assert!(allocated() - before >= 4_096, "jemalloc does not serve this binary");
    drop(list);

    let forms = ["{/name:lower}-{/id:%Y.%m.%d}", "{key:lower}", "{original:/meta/x|none}", "{now:%Y}"];
    let parsed: Vec<_> = forms.iter().map(|text| crate::config::parse_template(text).expect("parses")).collect();
    assert_eq!(bytes_of(&[select("/result")], &parsed, 2_000), 0);
    let templates = ["{/id}", "items-{timestamp:%Y.%m.%d}", "{key}", "{original:/meta/x|none}"];
    let plain = [select("/result"), drop_debug(), require(&["/id"], Otherwise::Reject)];
    assert_eq!(bytes_of_a_batch(&plain, &templates, 2_000), 0);

    let late = [&templates[..], &["{/info/tier|none}-{/name}"]].concat();
    let looking = [select("/result"), lookup("{/user}", "/info", OnMiss::Keep), drop_debug()];
    let (small, large) = (bytes_of_a_batch(&looking, &late, 500), bytes_of_a_batch(&looking, &late, 4_000));
    assert_eq!(small, large, "a batch with look-ups allocates, but not by its records");
    assert!(small < 4_096, "{small}");
}

/// The same of steps that change records, in one phase and in several, and of values that are no JSON.
#[test]
fn nothing_is_allocated_per_record_that_is_changed() {
    let changing = [
        "select: /result",
        "rename: { /user: /owner, /name: /meta/name }",
        "drop: /level",
        "set: { /label: \"{/owner}-{/id}\", /tags: [a, { b: 1 }], /copy: \"{/meta}\" }",
        "drop: /tags/0",
        "coerce: { /id: string, /owner: number, /meta: string }",
        "timestamp: { from: /id, formats: [epoch_s], into: /at }",
        "where: [{ field: /label, matches: \"^[0-9]+-\" }, { not: { field: /tags, length: 0 } }]",
        "route: [{ when: [{ field: /owner, at_least: 0 }], as: known }]",
        "keep: [/id, /label, /tags, /copy, /at]",
    ];
    let batch = |steps: &[&str], count| {
        let kinds: Vec<_> = plans_of(steps).into_iter().map(|plan| plan.kind).collect();
        bytes_of_a_batch(&kinds, &["{/id}"], count)
    };
    assert_eq!(batch(&changing, 2_000), 0);
    let again =
        [&changing[..], &["set: { /text: \"[1]\" }", "parse: /text", "parse: { from: /id, into: /number }"]].concat();
    let (small, large) = (batch(&again, 500), batch(&again, 4_000));
    assert_eq!(small, large, "a batch of several phases allocates, but not by its records");
    assert!(small < 4_096, "{small}");
}

/// A payload that grows by doubling is copied once more, and half of its room may be unused: memory no budget knows of.
#[test]
fn a_payload_takes_the_room_it_needs_at_once() {
    let value = |offset: i64| format!(r#"{{"meta":{{}},"result":{{"id":{offset},"text":"{}"}}}}"#, "x".repeat(300));
    let records: Vec<_> = (0..300).map(|offset| record(offset, Some("k"), Some(&value(offset)))).collect();
    let program = Program::compile(&steps(vec![select("/result")]), &[], Tombstones::PassOn).expect("compiles");
    let mut preprocessor = Preprocessor::new(program, enricher(&[]), Append);
    let fences = Fences::new(1);
    let runs = fences.runs(&[300]);
    let mut batch = || {
        let mut prepared: Prepared<u32> = prepared();
        let before = allocated();
        preprocessor.prepare(&runs, &records[..], &fences.table, &|| true, &mut prepared).expect("answers");
        (prepared.payload.len(), prepared.payload.capacity(), allocated() - before)
    };
    batch();
    let (bytes, room, taken) = batch();
    assert!(bytes > 300 * 300 && room <= bytes * 9 / 8, "{room} bytes of room for {bytes}");
    assert!(taken <= (bytes * 5 / 4 + 300 * size_of::<u32>()) as u64, "{taken} bytes allocated for {bytes}");
}
