//! Whole batches: outcomes, order, fences, tombstones, look-ups in one and several phases.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::super::super::program::CostClass;
use super::super::super::test_plans::{enricher, filter, lookup, pointer, record, require, select, steps, template};
use super::*;
use crate::config::plan::{Action, ActionBy, Choice, StepKind};
use crate::leaf::format::{FieldOfValue, ValueFormat};
use crate::leaf::{Constant, JsonText};
use crate::model::Kept;
use crate::model::{
    Charge, Epoch, Offset, Outcome, OwnedRecord, Part, PartitionId, Position, Reject, RejectReason, Ticket, TicketId,
    TopicPartition,
};
use crate::preprocess::steps::Otherwise;
use crate::preprocess::steps::filter::Test;
use crate::preprocess::steps::lookup::OnMiss;

/// Shows what an encoder is given: the value, then each template, `-` for none.
struct Echo;

impl Encode for Echo {
    type Item = (i64, Range<usize>);
    fn encode(
        &mut self,
        place: Place,
        record: &Record<'_>,
        kept: &Kept<'_>,
        payload: &mut Vec<u8>,
    ) -> Result<Self::Item, Reject> {
        assert_eq!(place.offset, Offset(record.offset));
        let start = payload.len();
        match kept.value {
            Some(pieces) => payload.extend(pieces.concat()),
            None => payload.extend_from_slice(b"-"),
        }
        for rendered in kept.rendered {
            payload.push(b'|');
            payload.extend_from_slice(rendered.unwrap_or(b"-"));
        }
        if payload[start..].ends_with(b"|refuse") {
            return Err(Reject::new(RejectReason::InvalidId, &"sink.id".into(), "refused"));
        }
        Ok((place.offset.0, start..payload.len()))
    }
}

/// Partitions of a pipeline, all current.
struct Fences {
    table: PartitionTable,
    tickets: Vec<Ticket>,
}

impl Fences {
    fn new(partitions: i32) -> Self {
        let table = PartitionTable::default();
        let ticket = |partition: i32| {
            let slot = table.slot(&TopicPartition { topic: "events".into(), partition }).expect("room");
            let epoch = Epoch::fresh();
            table.set_current(slot, epoch);
            Ticket { id: TicketId(partition as u64), slot, epoch }
        };
        let tickets = (0..partitions).map(ticket).collect();
        Self { table, tickets }
    }

    fn fence(&self, partition: usize) {
        self.table.set_current(self.tickets[partition].slot, Epoch::fresh());
    }

    /// Consecutive runs of these lengths, run n of partition n.
    fn runs(&self, lengths: &[u32]) -> Vec<Run> {
        let mut start = 0;
        let run = |(partition, length): (usize, &u32)| {
            let run = Run {
                ticket: self.tickets[partition],
                first: Offset(i64::from(start)),
                next: Position(i64::from(start + length)),
                start,
                end: start + length,
            };
            start += length;
            run
        };
        lengths.iter().enumerate().map(run).collect()
    }
}

fn prepared<I>() -> Prepared<I> {
    Prepared::empty(0, Charge::none(), Instant::now())
}

/// What became of each record, by offset.
fn outcomes(prepared: &Prepared<(i64, Range<usize>)>) -> Vec<String> {
    let text = |span: &Range<usize>| String::from_utf8_lossy(&prepared.payload[span.clone()]).into_owned();
    let mut lines: Vec<(i64, String)> =
        prepared.items.iter().map(|(offset, span)| (*offset, format!("{offset} {}", text(span)))).collect();
    assert!(lines.is_sorted_by_key(|(offset, _)| *offset), "items keep input order");
    lines.extend(prepared.rejects.iter().map(|rejected| {
        let offset = rejected.place.offset.0;
        (offset, format!("{offset} {} at {}", rejected.reject.reason, rejected.reject.step))
    }));
    lines.sort_by_key(|(offset, _)| *offset);
    lines.into_iter().map(|(_, line)| line).collect()
}

struct Case {
    kinds: Vec<StepKind>,
    templates: Vec<&'static str>,
    tables: Vec<&'static [(&'static str, &'static str)]>,
    tombstones: Tombstones,
    by: Option<ActionBy>,
}

impl Case {
    fn new(kinds: Vec<StepKind>, templates: &[&'static str]) -> Self {
        Self { kinds, templates: templates.to_vec(), tables: Vec::new(), tombstones: Tombstones::PassOn, by: None }
    }

    fn table(mut self, table: &'static [(&'static str, &'static str)]) -> Self {
        self.tables.push(table);
        self
    }

    fn build(&self) -> Preprocessor<Echo> {
        let templates: Vec<_> = self.templates.iter().map(|text| template(text)).collect();
        let steps = steps(self.kinds.clone());
        let program = Program::compile_for(&steps, &templates, self.tombstones, self.by.as_ref(), ValueFormat::Json)
            .expect("compiles");
        Preprocessor::new(program, enricher(&self.tables), Echo)
    }

    /// Runs the values through as one batch of one partition, twice, so that nothing may be left over.
    fn run(&self, records: &[OwnedRecord]) -> (Vec<String>, Vec<Part>) {
        let mut preprocessor = self.build();
        let fences = Fences::new(1);
        let runs = fences.runs(&[records.len() as u32]);
        let mut once = || {
            let mut prepared = prepared();
            preprocessor.prepare(&runs, records, &fences.table, &|| true, &mut prepared).expect("answers");
            let kept = prepared.items.len() + prepared.rejects.len();
            let ended: u32 = prepared.ended.iter().map(|part| part.records).sum();
            assert_eq!(kept + ended as usize, records.len(), "every record ends exactly once");
            (outcomes(&prepared), prepared.ended)
        };
        let first = once();
        assert_eq!(once(), first, "a batch leaves nothing behind");
        first
    }

    fn lines(&self, values: &[&str]) -> Vec<String> {
        let records: Vec<_> =
            values.iter().enumerate().map(|(offset, value)| record(offset as i64, Some("k"), Some(value))).collect();
        self.run(&records).0
    }
}

/// Change-data capture: the row that is gone is null, and no step can take it out.
#[test]
fn what_the_action_deletes_skips_the_steps_and_reads_the_input() {
    let map = [("c", Choice::Do(Action::Index)), ("d", Choice::Do(Action::Delete)), ("m", Choice::Drop)];
    let by = ActionBy {
        pointer: pointer("/p/op"),
        map: map.map(|(value, choice)| (value.to_owned(), choice)).into(),
        otherwise: Choice::Reject,
    };
    let values = [
        r#"{"p":{"after":{"id":1,"user":"1"},"op":"c"}}"#,
        r#"{"p":{"before":{"id":1},"after":null,"op":"d"}}"#,
        r#"{"p":{"op":"m"}}"#,
        r#"{"p":{"op":"x"}}"#,
        r#"{"p":{"op":{}}}"#,
        r#"{"p":{}}"#,
        "no JSON",
    ];
    let templates = ["{key}", "{original:/p/op|}", "{/id}"];
    let rest = ["1 -|k|d|-", "3 -|k|x|-", "4 wrong_type at sink", "5 -|k||-", "6 invalid_json at parse"];
    let info = (r#"{"id":1,"user":"1"}"#, r#"{"id":1,"user":"1","info":{"n":1}}"#);
    let twice =
        vec![select("/p/after"), lookup("{/user}", "/info", OnMiss::Keep), require(&["/info"], Otherwise::Drop)];
    let cases = [
        (vec![select("/p/after")], info.0, "one pass"),
        (vec![select("/p/after"), lookup("{/user}", "/info", OnMiss::Keep)], info.1, "a look-up"),
        (twice, info.1, "two phases"),
    ];
    for (kinds, created, name) in cases {
        let mut case = Case::new(kinds, &templates).table(&[("1", r#"{"n":1}"#)]);
        case.by = Some(by.clone());
        let lines = case.lines(&values);
        assert_eq!(lines[0], format!("0 {created}|k|c|1"), "{name}");
        assert_eq!(lines[1..], rest, "{name}: and one was dropped");
    }
}

#[test]
fn a_value_beyond_the_limit_is_rejected_and_not_parsed() {
    let fits = r#"{"result":{"id":1,"user":"1"}}"#;
    let longer = r#"{"result":{"id":12,"user":"1"}}"#;
    let broken = format!("{longer} broken");
    let kinds = vec![select("/result"), lookup("{/user}", "/info", OnMiss::Keep), require(&["/info"], Otherwise::Drop)];
    let case = Case::new(kinds, &["{/id}"]).table(&[("1", r#"{"name":"longer than the value itself may be"}"#)]);
    let records: Vec<_> = [fits, longer, &broken, fits]
        .iter()
        .enumerate()
        .map(|(offset, value)| record(offset as i64, Some("k"), Some(value)))
        .collect();
    let mut preprocessor = case.build().with_value_limit(fits.len());
    let fences = Fences::new(1);
    let mut prepared = prepared();
    preprocessor.prepare(&fences.runs(&[4]), &records[..], &fences.table, &|| true, &mut prepared).expect("answers");
    let lines = outcomes(&prepared);
    let kept = r#"{"id":1,"user":"1","info":{"name":"longer than the value itself may be"}}|1"#;
    assert_eq!(
        lines,
        [format!("0 {kept}"), "1 too_large at parse".into(), "2 too_large at parse".into(), format!("3 {kept}")],
        "what a look-up adds does not count"
    );
    let detail = &prepared.rejects[0].reject.detail;
    assert!(detail.contains("limits.value") && detail.contains(&longer.len().to_string()), "{detail}");
}

/// Workers take turns with large values, also where one reads the input beside the rebuilt record.
#[test]
fn large_values_are_read_by_one_worker_at_a_time_and_all_of_them_end() {
    let value = format!(r#"{{"user":"1","pad":"{}"}}"#, "x".repeat(LARGE_BYTES));
    let kinds = vec![lookup("{/user}", "/info", OnMiss::Keep), require(&["/info/name"], Otherwise::Drop)];
    let case = Case::new(kinds, &["{original:/user}-{/info/name}"]).table(&[("1", r#"{"name":"n"}"#)]);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let records: Vec<_> = (0..4).map(|offset| record(offset, Some("k"), Some(&value))).collect();
                let (lines, _) = case.run(&records);
                assert!(lines.len() == 4 && lines.iter().all(|line| line.ends_with("|1-n")), "{}", lines.len());
            });
        }
    });
}

fn drop_debug() -> StepKind {
    filter("/level", Test::NotIn(vec![Constant::String("debug".to_owned())]), Otherwise::Drop)
}

#[test]
fn every_record_ends_as_the_steps_say() {
    let case = Case::new(vec![select("/result"), drop_debug()], &["{/id}", "{topic}"]);
    let lines = case.lines(&[
        r#"{"meta":1, "result": {"id":7,"n":1.10e1} }"#,
        r#"{"result":{"id":8,"level":"debug"}}"#,
        r#"{"result":null}"#,
        r#"{"result":{}}"#,
        "",
        "{\"result\":{\"id\":9,\n\"x\":\"\\u0041\"}}",
        "{\"result\"",
        "[",
        r#"{"result":{"id":"refuse"}}"#,
        r#"{"result":{"id":1e400}}"#,
    ]);
    let expected = [
        r#"0 {"id":7,"n":1.10e1}|7|events"#,
        "2 null at steps[0].select",
        "3 missing at sink",
        "4 empty at parse",
        "5 {\"id\":9,\n\"x\":\"\\u0041\"}|9|events",
        "6 invalid_json at parse",
        "7 invalid_json at parse",
        r#"8 {"id":"refuse"}|refuse|events"#,
        "9 number_range at parse",
    ];
    assert_eq!(lines, expected);
}

/// The poison corpus: each one is one reject, nothing overflows, and the records between them go on.
#[test]
fn poison_is_rejected_and_its_neighbours_go_on() {
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(1_000_000), close.repeat(1_000_000));
    let poison: Vec<(Vec<u8>, RejectReason)> = vec![
        (b"{\"result\":{\"a\":\"\xc3\x28\"}}".to_vec(), RejectReason::InvalidUtf8),
        (b"\xff".to_vec(), RejectReason::InvalidUtf8),
        (b"{\"result\":{\"a\":1".to_vec(), RejectReason::InvalidJson),
        (b"{\"result\":{}}}".to_vec(), RejectReason::InvalidJson),
        (b"{\"result\":{}} {\"result\":{}}".to_vec(), RejectReason::InvalidJson),
        (b"{\"result\":{\"a\":NaN}}".to_vec(), RejectReason::InvalidJson),
        (b"{\"result\":{\"a\":\"\\ud800\"}}".to_vec(), RejectReason::InvalidJson),
        (b"\xef\xbb\xbf{\"result\":{}}".to_vec(), RejectReason::InvalidJson),
        (b"{\"result\":{},}".to_vec(), RejectReason::InvalidJson),
        (b"\0".to_vec(), RejectReason::InvalidJson),
        (vec![b' '; 10_000_000], RejectReason::InvalidJson),
        (Vec::new(), RejectReason::Empty),
        (b"{\"result\":{\"a\":-1e400}}".to_vec(), RejectReason::NumberRange),
        (format!("{{\"result\":{{\"a\":{}}}}}", "9".repeat(400)).into_bytes(), RejectReason::NumberRange),
        (nested("[", "]").into_bytes(), RejectReason::TooDeep),
        (nested("{\"result\":", "}").into_bytes(), RejectReason::TooDeep),
        (format!("{{\"x\":{},\"result\":{{}}}}", nested("[", "]")).into_bytes(), RejectReason::TooDeep),
        (b"[".repeat(1_000_000), RejectReason::TooDeep),
    ];
    let large = format!(r#"{{"result":{{"big":"{}"}}}}"#, "x".repeat(10_000_000));
    let mut records = Vec::new();
    for (value, _) in &poison {
        records.push(record(records.len() as i64, None, Some(r#"{"result":{"id":1}}"#)));
        let mut bad = record(records.len() as i64, None, Some(""));
        bad.value = Some(value.clone());
        records.push(bad);
    }
    records.push(record(records.len() as i64, None, Some(&large)));
    for kinds in [vec![select("/result")], vec![select("/result"), lookup("k", "/i", OnMiss::Keep)]] {
        let mut prepared = prepared();
        let fences = Fences::new(1);
        let runs = fences.runs(&[records.len() as u32]);
        let mut preprocessor = Case::new(kinds, &[]).build();
        preprocessor.prepare(&runs, &records[..], &fences.table, &|| true, &mut prepared).expect("answers");
        let kept: Vec<i64> = prepared.items.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(kept, (0..records.len() as i64).step_by(2).collect::<Vec<_>>());
        let reasons: Vec<_> = prepared.rejects.iter().map(|rejected| rejected.reject.reason).collect();
        assert_eq!(reasons, poison.iter().map(|(_, reason)| *reason).collect::<Vec<_>>());
        let details = prepared
            .rejects
            .iter()
            .all(|rejected| !rejected.reject.detail.is_empty() && rejected.reject.detail.len() < 200);
        assert!(details, "a reject says what is wrong, without the data");
    }
}

#[test]
fn a_refused_record_leaves_nothing_in_the_payload() {
    let case = Case::new(vec![], &["{/id}"]);
    let lines = case.lines(&[r#"{"id":1}"#, r#"{"id":"refuse"}"#, r#"{"id":2}"#]);
    assert_eq!(lines, [r#"0 {"id":1}|1"#, "1 invalid_id at sink.id", r#"2 {"id":2}|2"#]);
    let mut prepared = prepared();
    let records = [record(0, None, Some(r#"{"id":"refuse"}"#))];
    let fences = Fences::new(1);
    case.build().prepare(&fences.runs(&[1]), &records[..], &fences.table, &|| true, &mut prepared).expect("answers");
    assert!(prepared.payload.is_empty());
}

#[test]
fn without_steps_the_whole_value_travels_byte_for_byte() {
    let value = "\n{ \"b\" : 1.0e+2, \"a\":\"\\/\" , \"a\":2 }\r\n";
    assert_eq!(Case::new(vec![], &[]).lines(&[value]), [format!("0 {value}")]);
    assert_eq!(Case::new(vec![select("")], &[]).lines(&[value]), [format!("0 {}", value.trim())]);
}

#[test]
fn consecutive_drops_of_a_ticket_are_one_part() {
    let case = Case::new(vec![drop_debug()], &[]);
    let debug = r#"{"level":"debug"}"#;
    let records: Vec<_> =
        (0..6).map(|offset| record(offset, None, Some(if offset == 2 { "{}" } else { debug }))).collect();
    let fences = Fences::new(2);
    let mut prepared = prepared();
    let runs = fences.runs(&[4, 2]);
    case.build().prepare(&runs, &records[..], &fences.table, &|| true, &mut prepared).expect("answers");
    let parts: Vec<_> = prepared.ended.iter().map(|part| (part.ticket, part.outcome, part.records)).collect();
    assert_eq!(parts, [(fences.tickets[0], Outcome::Dropped, 3), (fences.tickets[1], Outcome::Dropped, 2)]);
    assert_eq!(prepared.oldest_timestamp_ms, Some(1_700_000_000_000));
}

#[test]
fn a_fenced_run_yields_nothing() {
    let case = Case::new(vec![drop_debug()], &["{/id}"]);
    let values = [r#"{"level":"debug"}"#, "broken", r#"{"id":1}"#];
    let records: Vec<_> = (0..9).map(|offset| record(offset, None, Some(values[offset as usize % 3]))).collect();
    let fences = Fences::new(3);
    fences.fence(1);
    let mut prepared = prepared();
    let runs = fences.runs(&[3, 3, 3]);
    case.build().prepare(&runs, &records[..], &fences.table, &|| true, &mut prepared).expect("answers");
    assert_eq!(
        outcomes(&prepared),
        ["1 invalid_json at parse", r#"2 {"id":1}|1"#, "7 invalid_json at parse", r#"8 {"id":1}|1"#]
    );
    let ended: Vec<PartitionId> = prepared.ended.iter().map(|part| part.ticket.slot).collect();
    assert_eq!(ended, [runs[0].ticket.slot, runs[2].ticket.slot]);
}

#[test]
fn tombstones_skip_steps_and_lookups() {
    let templates = ["{key}", "{/id}", "{topic}-{offset}", "{header:h}", "{original:/id|x}", "{/info/tier|none}"];
    let kinds = [vec![select("/result")], vec![select("/result"), lookup("{/u}", "/info", OnMiss::Reject)]];
    for kinds in kinds {
        let case = Case::new(kinds, &templates).table(&[]);
        let records = [record(0, Some("k"), None), record(1, None, None)];
        let (lines, _) = case.run(&records);
        assert_eq!(lines, ["0 -|k|-|events-0|one|-|-", "1 -|-|-|events-1|one|-|-"]);
        let dropping = Case { tombstones: Tombstones::Drop, ..case };
        let (lines, ended) = dropping.run(&records);
        assert!(lines.is_empty());
        assert_eq!(ended.iter().map(|part| part.records).sum::<u32>(), 2);
    }
    // What a tombstone has but cannot be rendered is a reject all the same.
    let (lines, _) = Case::new(vec![], &["id-{key}"]).run(&[record(0, None, None)]);
    assert_eq!(lines, ["0 null at sink"]);
}

#[test]
fn what_a_lookup_finds_is_spliced_in() {
    const USERS: &[(&str, &str)] = &[("user:1", r#"{"tier":"gold"}"#), ("user:2", r#"{"tier":"blue"}"#)];
    let kinds = |on_miss| vec![select("/result"), lookup("user:{/user}", "/user_info", on_miss), drop_debug()];
    let values = [
        r#"{"result":{"user":1}}"#,
        r#"{"result":{"user":2, "user_info":{"tier":0} }}"#,
        r#"{"result":{"user":3,"user_info":{"tier":"own"}}}"#,
        r#"{"result":{"user":4}}"#,
        r#"{"result":{"user":1,"level":"debug"}}"#,
        r#"{"result":{}}"#,
        r#"{"result":{"user":1, "x":[1]}}"#,
    ];
    let shared = [
        r#"0 {"user":1,"user_info":{"tier":"gold"}}|gold"#,
        r#"1 {"user":2, "user_info":{"tier":"blue"} }|blue"#,
        "5 missing at steps[1].lookup",
        r#"6 {"user":1, "x":[1],"user_info":{"tier":"gold"}}|gold"#,
    ];
    for (on_miss, misses) in [
        (OnMiss::Keep, &[r#"2 {"user":3,"user_info":{"tier":"own"}}|own"#, r#"3 {"user":4}|none"#][..]),
        (
            OnMiss::Default(JsonText(r#"{"tier":"-"}"#.to_owned())),
            &[r#"2 {"user":3,"user_info":{"tier":"-"}}|-"#, r#"3 {"user":4,"user_info":{"tier":"-"}}|-"#],
        ),
        (OnMiss::Drop, &[]),
        (OnMiss::Reject, &["2 lookup_miss at steps[1].lookup", "3 lookup_miss at steps[1].lookup"]),
    ] {
        let case = Case::new(kinds(on_miss), &["{/user_info/tier|none}"]).table(USERS);
        let expected: Vec<&str> = shared[..2].iter().chain(misses).chain(&shared[2..]).copied().collect();
        assert_eq!(case.lines(&values), expected);
    }
}

#[test]
fn templates_mix_found_and_own_fields() {
    const TABLE: &[(&str, &str)] = &[("a", r#"{"tier":"gold","n":1.50,"o":{}}"#), ("b", r#""label""#), ("bad", "{")];
    let case = Case::new(
        vec![lookup("{/k}", "/i", OnMiss::Keep)],
        &["{/k}-{/i/tier}-{key}", "{/i/n|none}", "{original:/i|own}"],
    );
    let lines = case.table(TABLE).lines(&[
        r#"{"k":"a"}"#,
        r#"{"k":"b"}"#,
        r#"{"k":"c"}"#,
        r#"{"k":"c","i":{"tier":"own"}}"#,
        r#"{"k":"bad"}"#,
    ]);
    let expected = [
        r#"0 {"k":"a","i":{"tier":"gold","n":1.50,"o":{}}}|a-gold-k|1.50|own"#,
        "1 missing at sink",
        "2 missing at sink",
        r#"3 {"k":"c","i":{"tier":"own"}}|c-own-k|none|"#,
        "4 invalid_json at sink",
    ];
    // Record 3 has an object at /i, which `{original:/i|own}` cannot render.
    let expected = expected.map(|line| if line.starts_with('3') { "3 wrong_type at sink" } else { line });
    assert_eq!(lines, expected);
    let whole = Case::new(vec![lookup("{/k}", "/i", OnMiss::Keep)], &["{/i}"]).table(TABLE);
    assert_eq!(
        whole.lines(&[r#"{"k":"b"}"#, r#"{"k":"a"}"#]),
        [r#"0 {"k":"b","i":"label"}|label"#, "1 wrong_type at sink"]
    );
}

#[test]
fn a_later_step_sees_what_an_earlier_lookup_put_in() {
    const USERS: &[(&str, &str)] = &[("1", r#"{"team":"t1","level":"info"}"#), ("2", r#"{"level":"debug"}"#)];
    const TEAMS: &[(&str, &str)] = &[("t1", r#"{"city":"Graz"}"#)];
    let case = Case::new(
        vec![
            select("/result"),
            lookup("{/user}", "/info", OnMiss::Keep),
            filter("/info/level", Test::In(vec![Constant::String("info".to_owned())]), Otherwise::Drop),
            lookup("{/info/team}", "/info/team", OnMiss::Reject),
            require(&["/info/team/city"], Otherwise::Reject),
        ],
        &["{/info/team/city}", "{original:/id}", "{/info/level}"],
    );
    assert_eq!(case.build().program.cost(), CostClass::Rebuilt);
    let case = case.table(USERS).table(TEAMS);
    let lines = case.lines(&[
        r#"{"id":"a","result":{"user":1}}"#,
        r#"{"id":"b","result":{"user":2}}"#,
        r#"{"id":"c","result":{"user":1, "info":{"old":1} }}"#,
        r#"{"id":"d","result":{"info":{"level":"info","team":"t9"},"user":3}}"#,
        r#"{"result":{"user":1}}"#,
    ]);
    let info = r#"{"team":{"city":"Graz"},"level":"info"}"#;
    let expected = [
        format!(r#"0 {{"user":1,"info":{info}}}|Graz|a|info"#),
        format!(r#"2 {{"user":1, "info":{info} }}|Graz|c|info"#),
        "3 lookup_miss at steps[3].lookup".to_owned(),
        "4 missing at sink".to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn the_earlier_lookup_ends_a_record_first() {
    let case = |on_miss| {
        let kinds = vec![lookup("{/u}", "/i", on_miss), require(&["/need"], Otherwise::Reject)];
        Case::new(kinds, &["{/id}"]).table(&[])
    };
    let value = r#"{"u":1}"#;
    assert_eq!(case(OnMiss::Keep).lines(&[value]), ["0 missing at steps[1].require"]);
    assert_eq!(case(OnMiss::Reject).lines(&[value]), ["0 lookup_miss at steps[0].lookup"]);
    assert!(case(OnMiss::Drop).lines(&[value]).is_empty());
}

#[test]
fn a_select_behind_a_lookup_keeps_what_lies_inside() {
    const TABLE: &[(&str, &str)] = &[("1", r#"{"t":2}"#)];
    let kinds = vec![lookup("{/u}", "/r/i", OnMiss::Keep), lookup("{/u}", "/other", OnMiss::Keep), select("/r")];
    let case = Case::new(kinds, &["{/i/t}"]).table(TABLE).table(TABLE);
    assert_eq!(case.lines(&[r#"{"u":1,"r":{"x":0},"z":0}"#]), [r#"0 {"x":0,"i":{"t":2}}|2"#]);
    let refused = case.lines(&[r#"{"u":1,"r":[]}"#, r#"{"u":1,"r":null}"#, r#"{"u":1}"#]);
    assert_eq!(
        refused,
        ["0 wrong_type at steps[0].lookup", "1 null at steps[0].lookup", "2 missing at steps[0].lookup"]
    );
}

#[test]
fn a_preprocessor_moves_to_its_worker_and_a_program_is_shared() {
    fn worker(_: impl Send + 'static) {}
    worker(Case::new(vec![], &[]).build());
}

#[test]
fn a_null_key_is_no_lookup_key() {
    let case = Case::new(vec![lookup("{key}", "/i", OnMiss::Keep)], &[]).table(&[("k", "1")]);
    let (lines, _) = case.run(&[record(0, Some("k"), Some("{}")), record(1, None, Some("{}"))]);
    assert_eq!(lines, [r#"0 {"i":1}"#, "1 null at steps[0].lookup"]);
}

/// A fence that moves while the look-up is under way.
struct FencingHeaders<'a> {
    fences: &'a Fences,
    seen: AtomicU32,
}

impl crate::model::HeaderSource for FencingHeaders<'_> {
    fn header(&self, _name: &str) -> Option<Option<&[u8]>> {
        if self.seen.fetch_add(1, Ordering::Relaxed) == 1 {
            self.fences.fence(0);
        }
        Some(Some(b"1"))
    }
    fn each_header(&self, _visit: &mut dyn FnMut(&str, Option<&[u8]>)) {}
}

struct Fencing<'a>(FencingHeaders<'a>);

impl Records for Fencing<'_> {
    fn count(&self) -> usize {
        4
    }
    fn record(&self, index: usize) -> Record<'_> {
        Record {
            topic: "events",
            partition: 0,
            offset: index as i64,
            timestamp_ms: None,
            key: None,
            value: Some(b"{}"),
            headers: &self.0,
        }
    }
}

#[test]
fn a_fence_that_moves_during_the_lookups_is_seen_before_encoding() {
    let fences = Fences::new(2);
    let records = Fencing(FencingHeaders { fences: &fences, seen: AtomicU32::new(0) });
    let case = Case::new(vec![lookup("{header:h}", "/i", OnMiss::Drop)], &[]).table(&[("1", "1")]);
    let mut prepared = prepared();
    let runs = fences.runs(&[2, 2]);
    case.build().prepare(&runs, &records, &fences.table, &|| true, &mut prepared).expect("answers");
    assert_eq!(outcomes(&prepared), [r#"2 {"i":1}"#, r#"3 {"i":1}"#]);
    assert!(prepared.ended.is_empty());
}

#[path = "model_tests.rs"]
mod model_tests;

#[path = "allocation_tests.rs"]
mod allocation_tests;

/// What other formats become, in one phase and in several, with templates of the input.
#[test]
fn values_of_other_formats_are_made_json_before_the_steps() {
    let text = || ValueFormat::Text(FieldOfValue::default());
    let registry = || ValueFormat::JsonSchemaRegistry;
    let find = || lookup("{/message}", "/found", OnMiss::Keep);
    let after = || require(&["/found"], Otherwise::Reject);
    for (format, kinds, value, expected) in [
        (text(), vec![], "a \"b\"\n", Ok(r#"{"message":"a \"b\"\n"}|a "b"\n|k"#.replace("\\n|", "\n|"))),
        (text(), vec![find()], "one", Ok(r#"{"message":"one","found":{"n":1}}|one|k"#.to_owned())),
        (text(), vec![find(), after()], "one", Ok(r#"{"message":"one","found":{"n":1}}|one|k"#.to_owned())),
        (registry(), vec![], "\0\0\0\0\u{7} {\"message\":\"x\"}", Ok(r#"{"message":"x"}|x|k"#.to_owned())),
        (
            registry(),
            vec![select("/o")],
            "\0\0\0\0\u{7}{\"message\":\"x\",\"o\":{\"a\":1}}",
            Ok(r#"{"a":1}|x|k"#.to_owned()),
        ),
        (registry(), vec![], "{\"message\":1}", Err(RejectReason::InvalidJson)),
        (registry(), vec![], "\0\0\0\0\u{7}{", Err(RejectReason::InvalidJson)),
    ] {
        let templates = ["{original:/message}", "{key}"].map(template);
        let program = Program::compile_for(&steps(kinds), &templates, Tombstones::PassOn, None, format.clone())
            .expect("compiles");
        let enricher = enricher(&[&[("one", r#"{"n":1}"#)]]);
        let mut preprocessor = Preprocessor::new(program, enricher, Echo);
        let (fences, mut prepared) = (Fences::new(1), prepared());
        let records = [record(0, Some("k"), Some(value)), record(1, Some("k"), None)];
        preprocessor
            .prepare(&fences.runs(&[2]), &records[..], &fences.table, &|| true, &mut prepared)
            .expect("answers");
        let tombstone = prepared.items.pop().expect("passes").1;
        assert_eq!(&prepared.payload[tombstone], b"-|-|k");
        let shown =
            prepared.items.first().map(|(_, at)| String::from_utf8_lossy(&prepared.payload[at.clone()]).into_owned());
        match expected {
            Ok(expected) => assert_eq!(shown, Some(expected), "{format:?} {value:?}"),
            Err(reason) => assert_eq!(prepared.rejects[0].reject.reason, reason, "{format:?} {value:?}"),
        }
    }
}

/// Each record of a batch has its own route, also in a template rendered after others were looked at.
#[test]
fn routes_last_through_phases() {
    use crate::preprocess::steps::filter::ConditionPlan;
    use crate::preprocess::steps::route::{RoutePlan, Unrouted};
    let rule = |name: &str| {
        let test = Test::In(vec![Constant::String(name.to_owned())]);
        (vec![ConditionPlan { pointer: pointer("/k"), test }], format!("to-{name}"))
    };
    let plan = RoutePlan { rules: vec![rule("a"), rule("b")], otherwise: Unrouted::As("rest".to_owned()) };
    let kinds =
        vec![StepKind::Route(plan), lookup("{/k}", "/found", OnMiss::Keep), require(&["/found"], Otherwise::Reject)];
    let route = crate::leaf::template::parse("{route}").expect("a template");
    let program = Program::compile(&steps(kinds), &[route], Tombstones::PassOn).expect("compiles");
    let answers: &[(&str, &str)] = &[("a", "1"), ("b", "2"), ("c", "3")];
    let mut preprocessor = Preprocessor::new(program, enricher(&[answers]), Echo);
    let (fences, mut prepared) = (Fences::new(1), prepared());
    let records: Vec<_> = ["a", "b", "c", "a"]
        .iter()
        .enumerate()
        .map(|(offset, k)| record(offset as i64, None, Some(&format!("{{\"k\":\"{k}\"}}"))))
        .collect();
    preprocessor.prepare(&fences.runs(&[4]), &records[..], &fences.table, &|| true, &mut prepared).expect("answers");
    let shown = String::from_utf8_lossy(&prepared.payload);
    let routes: Vec<_> = shown.split('{').skip(1).map(|one| one.rsplit('|').next().unwrap_or_default()).collect();
    assert_eq!(routes, ["to-a", "to-b", "rest", "to-a"], "{shown}");
}

/// What hostile records cost: equal names by the hundred thousand, and steps that copy what they have copied.
#[test]
fn hostile_records_cost_no_more_than_their_size() {
    use crate::preprocess::steps::drop::DropPlan;
    use crate::preprocess::steps::keep::KeepPlan;
    use crate::preprocess::steps::set::{Parents, SetPlan, SetValue};
    let many = format!("{{\"b\":0{}}}", ",\"a\":0".repeat(300_000));
    let keep = |paths: &[&str]| StepKind::Keep(KeepPlan { pointers: paths.iter().map(|path| pointer(path)).collect() });
    let drop = |path: &str| StepKind::Drop(DropPlan { pointers: vec![pointer(path)] });
    let copy = |from: &str, into: &str| {
        let value = SetValue::Copy { pointer: pointer(from), fallback: None };
        StepKind::Set(SetPlan { values: vec![(pointer(into), value)], parents: Parents::Create })
    };
    let text = |written: &str| {
        let value = SetValue::Text(template(written));
        StepKind::Set(SetPlan { values: vec![(pointer("/t"), value)], parents: Parents::Create })
    };
    let doubling = (0..40).flat_map(|_| [copy("/b", "/c/x"), copy("/b", "/c/y"), copy("/c", "/b")]).collect();
    let deep =
        (0..60).flat_map(|_| [copy("/b", "/c/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x"), copy("/c", "/b")]).collect();
    for (kinds, value, expected) in [
        (vec![drop("/a")], &many[..], Ok(r#"{"b":0}"#.len())),
        (vec![keep(&["/a/x", "/b"])], &many, Ok(r#"{"b":0}"#.len())),
        (vec![keep(&["/a"]), keep(&["/a"]), drop("/a")], &many, Ok("{}".len())),
        (vec![keep(&["/a"]), keep(&["/a"])], &many, Ok(many.len() - r#""b":0,"#.len())),
        (doubling, r#"{"b":{"z":1}}"#, Err(RejectReason::TooLarge)),
        (deep, r#"{"b":{"z":1}}"#, Err(RejectReason::TooDeep)),
        (vec![text(&"{/b}".repeat(60))], &format!("{{\"b\":{:?}}}", "x".repeat(300_000)), Err(RejectReason::TooLarge)),
        (
            vec![text(&"{/b}".repeat(50))],
            &format!("{{\"b\":{:?}}}", "x".repeat(300)),
            Ok(51 * 300 + r#"{"b":"","t":""}"#.len()),
        ),
    ] {
        let started = Instant::now();
        let program = Program::compile(&steps(kinds), &[], Tombstones::PassOn).expect("compiles");
        let mut preprocessor = Preprocessor::new(program, enricher(&[]), Echo).with_value_limit(4 << 20);
        let (fences, mut prepared) = (Fences::new(1), prepared());
        let records = [record(0, None, Some(value))];
        preprocessor.prepare(&fences.runs(&[1]), &records[..], &fences.table, &|| true, &mut prepared).expect("done");
        match expected {
            Ok(bytes) => assert_eq!(prepared.payload.len(), bytes),
            Err(reason) => assert_eq!(prepared.rejects.first().map(|one| one.reject.reason), Some(reason)),
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
    }
}
