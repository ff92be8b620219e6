//! Faults of the target that no text names: all items of a request for one index are refused alike, and nothing of that
//! index was taken. Pure.
//!
//! One record refused says nothing of the others, so a request needs [`FEWEST`] of them; fewer are sent once more, with
//! what has come meanwhile, before they are rejected. Where the error blames a document (a value that does not fit its
//! field), a tenth of what trips the breaker is needed: a producer may send a few bad records in a row, and these are
//! to be rejected. What looks systemic halts the pipeline and rejects nobody, unless `on_index_fault: reject` says
//! otherwise.

use std::collections::BTreeMap;

use crate::config::plan::OnIndexFault;
use crate::model::{Exit, Halt};
use crate::mutants::{self, Mutant};

use super::answer::{ItemFault, ServerError};
use super::target::Terms;
use super::verdict::blames_the_document;

/// Fewest items that can be a fault of the target.
pub const FEWEST: usize = 3;

/// What the refusals of a request look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalShape {
    /// Faults of single records.
    Records,
    /// All of an index alike, and too few to tell.
    Doubt,
    /// A fault of the target.
    Halt(Halt),
}

/// How a request of `sent` items looks. `refused` are the items that would be rejected, by place; `index_of` names an
/// item's index.
#[must_use]
pub fn look<'index>(
    sent: usize,
    refused: &[&ItemFault],
    index_of: impl Fn(usize) -> &'index str,
    terms: Terms,
) -> RefusalShape {
    if refused.is_empty() || terms.on_index_fault == OnIndexFault::Reject || mutants::on(Mutant::AlikeIsNoFault) {
        return RefusalShape::Records;
    }
    if terms.fixed_index {
        return if refused.len() == sent { judge(refused, "", terms) } else { RefusalShape::Records };
    }
    let mut sent_to: BTreeMap<&str, usize> = BTreeMap::new();
    (0..sent).for_each(|place| *sent_to.entry(index_of(place)).or_default() += 1);
    let mut groups: BTreeMap<&str, Vec<&ItemFault>> = BTreeMap::new();
    for fault in refused {
        groups.entry(index_of(fault.index)).or_default().push(fault);
    }
    let mut worst = RefusalShape::Records;
    for (index, group) in groups.into_iter().filter(|(index, group)| sent_to.get(index) == Some(&group.len())) {
        match judge(&group, index, terms) {
            RefusalShape::Records => {}
            RefusalShape::Doubt => worst = RefusalShape::Doubt,
            halt @ RefusalShape::Halt(_) => return halt,
        }
    }
    worst
}

fn judge(group: &[&ItemFault], index: &str, terms: Terms) -> RefusalShape {
    let Some((first, error)) = group.first().and_then(|first| Some((first, first.error.as_ref()?))) else {
        return RefusalShape::Records;
    };
    let of_first = shape(&error.reason);
    let alike = |fault: &&ItemFault| {
        let same = |other: &ServerError| other.kind == error.kind && shape(&other.reason) == of_first;
        fault.status == first.status && fault.error.as_ref().is_some_and(same)
    };
    let by_document = blames_the_document(error);
    if !group.iter().all(alike) || (by_document && terms.in_a_row == 0) {
        return RefusalShape::Records;
    }
    let fewest = if by_document { (terms.in_a_row as usize).div_ceil(10).max(FEWEST) } else { FEWEST };
    if group.len() >= fewest {
        return RefusalShape::Halt(halt(group.len(), index, first.status, error, by_document));
    }
    if by_document { RefusalShape::Records } else { RefusalShape::Doubt }
}

fn halt(records: usize, index: &str, status: u16, error: &ServerError, by_document: bool) -> Halt {
    let named = if index.is_empty() { String::new() } else { format!(" for the index {index}") };
    let exit = if by_document { Exit::Rejected } else { Exit::Protocol };
    let message = format!(
        "the server refused all {records} records of a request{named} alike ({status} {}: {}): that is a fault of the index, \
         or of what is asked of it, and not of single records; none of them was rejected. Check the index, its mapping and the \
         sink's index, action, routing and pipeline, then start again; with `on_index_fault: reject` such records are rejected",
        error.kind, error.reason
    );
    Halt { exit, message }
}

/// A reason without what differs from record to record: what is quoted, in brackets, or a number.
fn shape(reason: &str) -> String {
    // What is quoted of a value may hold quotes itself.
    let reason = reason.split(" Preview of field").next().unwrap_or_default();
    let mut shape = String::with_capacity(reason.len());
    let mut closing: Option<char> = None;
    for c in reason.chars() {
        match closing {
            Some(end) if c == end => closing = None,
            Some(_) => continue,
            None => {
                closing = match c {
                    '[' => Some(']'),
                    '"' | '\'' => Some(c),
                    _ => None,
                };
            }
        }
        let digit = c.is_ascii_digit();
        if !(digit && shape.ends_with('0')) {
            shape.push(if digit { '0' } else { c });
        }
    }
    shape
}

/// The index an entry of ours names in its action line; empty when it names none.
#[must_use]
pub fn index_in(entry: &[u8]) -> &str {
    const NAME: &[u8] = b"\"_index\":\"";
    let line = &entry[..memchr::memchr(b'\n', entry).unwrap_or(entry.len())];
    // Behind the id or, where none is sent, first; in an id a quote never stands without its backslash.
    let is_member = |at: &usize| line[..*at].ends_with(b":{") || line[..*at].ends_with(b"\",");
    let Some(at) = memchr::memmem::find_iter(line, NAME).find(is_member) else { return "" };
    let rest = &line[at + NAME.len()..];
    let end = memchr::memchr(b'"', rest).unwrap_or(rest.len());
    std::str::from_utf8(&rest[..end]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::elasticsearch::fixtures::TERMS;

    fn fault(index: usize, kind: &str, reason: &str) -> ItemFault {
        ItemFault {
            index,
            status: 400,
            error: Some(ServerError { kind: kind.into(), reason: reason.into() }),
            aside: None,
        }
    }

    fn asked(
        sent: usize,
        faults: &[ItemFault],
        index_of: impl Fn(usize) -> &'static str,
        terms: Terms,
    ) -> Option<Exit> {
        match look(sent, &faults.iter().collect::<Vec<_>>(), index_of, terms) {
            RefusalShape::Halt(halt) => Some(halt.exit),
            RefusalShape::Doubt | RefusalShape::Records => None,
        }
    }

    #[test]
    fn reasons_are_alike_but_for_what_belongs_to_the_record() {
        let same = [
            ("pipeline [a] failed for document 17 ('x')", "pipeline [b] failed for document 4711 ('yy')"),
            (
                "[1:9] failed to parse field [n] of type [long] in document with id 'k1'. Preview of field's value: 'abc'",
                "[1:15] failed to parse field [n] of type [long] in document with id 'k22'. Preview of field's value: 'd''",
            ),
        ];
        for (one, other) in same {
            assert_eq!(shape(one), shape(other));
        }
        assert_ne!(shape("mapper cannot be changed"), shape("mapper is missing"));
    }

    #[test]
    fn an_index_that_refuses_all_alike_is_at_fault_and_a_single_record_never_is() {
        let kind = "illegal_argument_exception";
        let alike: Vec<ItemFault> = (0..5).map(|at| fault(at, kind, &format!("no good [{at}]"))).collect();
        let other = fault(2, kind, "something else");
        let fixed = |sent, faults: &[ItemFault]| asked(sent, faults, |_| "", TERMS);
        assert_eq!(fixed(5, &alike), Some(Exit::Protocol));
        assert_eq!(fixed(3, &alike[..3]), Some(Exit::Protocol));
        assert_eq!(fixed(2, &alike[..2]), None, "too few to tell");
        assert_eq!(fixed(1, &alike[..1]), None);
        let doubt = |faults: &[ItemFault]| look(faults.len(), &faults.iter().collect::<Vec<_>>(), |_| "", TERMS);
        assert_eq!(doubt(&alike[..2]), RefusalShape::Doubt, "they are sent once more, with others");
        assert_eq!(doubt(&[fault(0, "mapper_parsing_exception", "failed to parse")]), RefusalShape::Records);
        assert_eq!(fixed(6, &alike), None, "one was taken");
        assert_eq!(fixed(3, &[alike[0].clone(), alike[1].clone(), other]), None, "refused, but not alike");
        let reject = Terms { on_index_fault: OnIndexFault::Reject, ..TERMS };
        assert_eq!(asked(5, &alike, |_| "", reject), None, "as asked for");
    }

    #[test]
    fn each_index_is_judged_by_its_own_items() {
        let by_record = Terms { fixed_index: false, ..TERMS };
        let index_of = |place: usize| if place < 3 { "bad" } else { "good" };
        let kind = "illegal_argument_exception";
        let faults: Vec<ItemFault> = (0..3).map(|at| fault(at, kind, "no")).collect();
        assert_eq!(asked(9, &faults, index_of, by_record), Some(Exit::Protocol));
        assert_eq!(asked(9, &faults, |_| "both", by_record), None, "others of the index were taken");
    }

    #[test]
    fn documents_that_do_not_fit_need_a_tenth_of_what_trips_the_breaker() {
        let of = |count: usize| -> Vec<ItemFault> {
            let reason = |at| format!("failed to parse field [n] of type [long] in document with id '{at}'");
            (0..count).map(|at| fault(at, "mapper_parsing_exception", &reason(at))).collect()
        };
        assert_eq!(asked(9, &of(9), |_| "", TERMS), None);
        assert_eq!(asked(10, &of(10), |_| "", TERMS), Some(Exit::Rejected));
        assert_eq!(asked(11, &of(10), |_| "", TERMS), None, "one was taken");
        assert_eq!(asked(90, &of(90), |_| "", Terms { in_a_row: 1_000, ..TERMS }), None);
        assert_eq!(asked(100, &of(100), |_| "", Terms { in_a_row: 0, ..TERMS }), None, "no breaker, no bound");
        let immense = "Document contains at least one immense term in field=\"a\"";
        let three: Vec<ItemFault> = (0..3).map(|at| fault(at, "illegal_argument_exception", immense)).collect();
        assert_eq!(asked(3, &three, |_| "", TERMS), None);
    }

    #[test]
    fn the_index_is_read_from_the_action_line_only() {
        let entry = br#"{"index":{"_id":"a\",\"_index\":\"x","_index":"logs-1","routing":"r"}}"#;
        assert_eq!(index_in(entry), "logs-1");
        assert_eq!(index_in(b"{\"index\":{\"_index\":\"logs-2\"}}\n{}\n"), "logs-2", "without an id");
        assert_eq!(index_in(b"{\"index\":{\"_id\":\"a\"}}\n{\"a\":\"\",\"_index\":\"x\"}\n"), "");
    }
}
