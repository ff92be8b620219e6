//! Templates: any text parses or is refused, and what it renders is what an oracle renders.
//!
//! Input: the template, a line break, then the record's value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::internals::config::parse_template;
use sluicegate::internals::config::plan::{Pointer, TemplateSegment};
use sluicegate_fuzz::oracle::{self, Verdict};
use sluicegate_fuzz::program::{Bench, End, record};

fn field(value: &serde_json::value::RawValue, pointer: &Pointer, fallback: Option<&String>) -> Option<String> {
    match oracle::find(value, &pointer.members) {
        Some(found) if found.get() != "null" => oracle::rendered(&found),
        Some(_) | None => fallback.cloned(),
    }
}

/// What a segment renders; the outer `None` when the oracle does not know.
fn segment(segment: &TemplateSegment, value: &serde_json::value::RawValue) -> Option<Option<String>> {
    Some(match segment {
        TemplateSegment::Literal(text) => Some(text.clone()),
        TemplateSegment::Key => Some("key".to_owned()),
        TemplateSegment::Topic => Some("events".to_owned()),
        TemplateSegment::Partition => Some("3".to_owned()),
        TemplateSegment::Offset => Some("77".to_owned()),
        TemplateSegment::Timestamp(None) => Some("1700000000000".to_owned()),
        TemplateSegment::Timestamp(Some(_)) | TemplateSegment::KeyField { .. } | TemplateSegment::Now | TemplateSegment::Formed { .. } => return None,
        TemplateSegment::Header(name) => (name == "h").then(|| "head".to_owned()),
        TemplateSegment::Field { pointer, fallback } | TemplateSegment::Original { pointer, fallback } => {
            field(value, pointer, fallback.as_ref())
        }
    })
}

fuzz_target!(|data: &[u8]| {
    let split = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (text, value) = (&data[..split], data.get(split + 1..).unwrap_or_default());
    let Ok(text) = std::str::from_utf8(text) else { return };
    let template = match parse_template(text) {
        Ok(template) => template,
        Err(refusal) => {
            assert!(!refusal.reason.is_empty() && !refusal.remedy.is_empty());
            return;
        }
    };
    let templates = [template];
    let mut bench = Bench::new(&[], &templates, Vec::new()).expect("a parsed template compiles");
    let end = bench.run(record(Some(b"key"), Some(value)));
    let Verdict::Valid(raw) = oracle::judge(value) else {
        return;
    };
    let parts: Option<Vec<Option<String>>> = templates[0].segments.iter().map(|part| segment(part, &raw)).collect();
    let Some(parts) = parts else { return };
    let expected: Option<String> = parts.into_iter().collect();
    match (end, expected) {
        (End::Kept(_, rendered), Some(expected)) => assert_eq!(rendered, [Some(expected.into_bytes())]),
        (End::Rejected(_), None) => {}
        (end, expected) => panic!("{end:?} where {expected:?} was expected"),
    }
});
