//! The bare parse: padded scratch copy, tape, and where `result` and its `id` stand. No steps, no reasons, no other
//! places.

use std::mem;
use std::ops::Range;

use simd_json::{Buffers, INPUT_PADDING, Node, Tape};

/// One thread's parser.
pub struct Extractor {
    scratch: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
}

/// Where things stand in the value.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The object `result`.
    pub result: Range<usize>,
    /// The characters of its member `id`, without quotes.
    pub id: Range<usize>,
}

impl Default for Extractor {
    fn default() -> Self {
        Self { scratch: Vec::new(), buffers: Buffers::default(), tape: Tape(Vec::new()) }
    }
}

impl Extractor {
    /// Finds the last member `result` of an object, and its `id`; `None` when the value is anything else.
    pub fn find(&mut self, value: &[u8]) -> Option<Found> {
        let len = value.len();
        if self.scratch.len() < len + INPUT_PADDING {
            self.scratch.resize(len + INPUT_PADDING, 0);
        }
        self.scratch[..len].copy_from_slice(value);
        let base = self.scratch.as_ptr() as usize;
        let mut tape = mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let parsed = simd_json::fill_tape_padded(&mut self.scratch, len, &mut self.buffers, &mut tape);
        let found = parsed.ok().and_then(|()| look(value, base, &tape.0));
        self.tape = tape.reset();
        found
    }
}

fn look(value: &[u8], base: usize, nodes: &[Node<'_>]) -> Option<Found> {
    let result = member(nodes, 0, "result")?;
    let id = member(nodes, result, "id")?;
    let offset = |node: usize| match nodes.get(node) {
        Some(Node::String(text)) => Some((text.as_ptr() as usize - base, text.len())),
        Some(_) | None => None,
    };
    let (key, length) = offset(result - 1)?;
    let start = key + length + value.get(key + length..)?.iter().position(|byte| *byte == b'{')?;
    let end = value.iter().rposition(|byte| *byte == b'}')?;
    let (id, length) = offset(id)?;
    Some(Found { result: start..end, id: id..id + length })
}

/// The node of a member's value.
fn member(nodes: &[Node<'_>], object: usize, name: &str) -> Option<usize> {
    let Some(Node::Object { len, .. }) = nodes.get(object) else { return None };
    let mut key = object + 1;
    for _ in 0..*len {
        if matches!(nodes.get(key), Some(Node::String(text)) if *text == name) {
            return Some(key + 1);
        }
        key += 2 + match nodes.get(key + 1) {
            Some(Node::Object { count, .. } | Node::Array { count, .. }) => *count,
            Some(Node::String(_) | Node::Static(_)) | None => 0,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use sluicegate::internals::testbed::generator::{Generator, GeneratorScratch, LoadShape};

    use super::*;

    #[test]
    fn what_is_found_is_what_a_whole_parser_finds() {
        let generator = Generator::new(LoadShape { keys: 0, ..LoadShape::default() });
        let (mut scratch, mut extractor) = (GeneratorScratch::default(), Extractor::default());
        for number in 0..500 {
            let record = generator.record(number, &mut scratch);
            let value = record.value.expect("a value");
            let found = extractor.find(value).expect("found");
            let whole: serde_json::Value = serde_json::from_slice(value).expect("JSON");
            let part: serde_json::Value = serde_json::from_slice(&value[found.result]).expect("JSON");
            assert_eq!(part, whole["result"]);
            assert_eq!(Some(&value[found.id]), record.key);
        }
        assert_eq!(extractor.find(b"{\"a\":1}"), None);
        assert_eq!(extractor.find(b"{\"a\":"), None);
    }
}
