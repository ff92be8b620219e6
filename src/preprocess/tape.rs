//! Parses one value with simd-json on a padded scratch copy, never in place: the original is what travels.
//!
//! The whole value is validated. Decisions users rely on: an integer beyond 64 bits passes (feature `big-int-as-float`;
//! its digits travel unchanged); invalid UTF-8, a lone surrogate escape, a number beyond a double, nesting deeper than
//! 1,024, NaN and trailing bytes are rejected.

use std::mem;

use simd_json::{Buffers, ErrorType, INPUT_PADDING, Node, Tape};

use super::document::Document;
use super::scan;
use super::telltale;
use crate::model::RejectReason;

/// Bytes of buffers kept between values. What a large value needed is given back at once, so that one of them per
/// worker does not set the process's memory for good.
///
/// A byte of input takes up to 31 bytes here: three copies, 4 bytes for a structural character and 24 for a node of the
/// tape, which is as wide as the value has structural characters. `[[],[],…]` has nothing else; usual records take 6 to
/// 9.
const KEEP_BYTES: usize = 8 * 1024 * 1024;

/// A worker's parser; reuses its scratch, buffers and tape.
pub struct Parser {
    scratch: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
}

/// Why bytes are no acceptable JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The class of fault.
    pub reason: RejectReason,
    /// What is wrong, with the byte position where it is known.
    pub detail: String,
}

impl Default for Parser {
    fn default() -> Self {
        Self { scratch: Vec::new(), buffers: Buffers::default(), tape: Tape(Vec::new()) }
    }
}

impl Parser {
    /// Parses `original` and lets `visit` look at it.
    ///
    /// # Errors
    /// [`Malformed`] when `original` is not JSON we accept, with one of the reasons `Empty`, `InvalidJson`,
    /// `InvalidUtf8`, `TooDeep`, `NumberRange` or, from 4 GiB, `TooLarge`.
    #[inline]
    pub fn read<T>(&mut self, original: &[u8], visit: impl FnOnce(Document<'_>) -> T) -> Result<T, Malformed> {
        let len = original.len();
        if self.scratch.len() < len + INPUT_PADDING {
            self.scratch.resize(len + INPUT_PADDING, 0);
        }
        self.scratch[..len].copy_from_slice(original);
        let base = self.scratch.as_ptr() as usize;
        let mut tape = mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let parsed = simd_json::fill_tape_padded(&mut self.scratch, len, &mut self.buffers, &mut tape);
        let result = match parsed {
            Ok(()) => Ok(visit(Document::new(original, base, &tape.0))),
            Err(error) => Err(malformed(original, &error)),
        };
        self.tape = tape.reset();
        if self.held_bytes(len) > KEEP_BYTES {
            *self = Self::default();
        }
        result
    }

    /// What the buffers take after a value of `len` bytes, about: simd-json shows only some of its own.
    fn held_bytes(&self, len: usize) -> usize {
        let indexes = size_of_val(self.buffers.structural_indexes());
        self.scratch.capacity() + self.tape.0.capacity() * size_of::<Node<'_>>() + indexes + 2 * len
    }

    /// Structural positions of the last value read, the oracle of the range tests.
    #[cfg(test)]
    pub(super) fn structural_indexes(&self) -> &[u32] {
        self.buffers.structural_indexes()
    }
}

#[cold]
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's enum; most of its variants never come from parsing"
)]
fn malformed(original: &[u8], error: &simd_json::Error) -> Malformed {
    let at = error.index();
    let (reason, detail) = match error.error() {
        _ if original.is_empty() => (RejectReason::Empty, "the value has no bytes".to_owned()),
        ErrorType::InvalidUtf8 => (RejectReason::InvalidUtf8, not_utf8(original)),
        ErrorType::DepthLimitExceeded => {
            (RejectReason::TooDeep, format!("nested deeper than {} levels at byte {at}", simd_json::DEFAULT_MAX_DEPTH))
        }
        ErrorType::InputTooLarge => (RejectReason::TooLarge, format!("{} bytes, 4 GiB at most", original.len())),
        ErrorType::InvalidNumber if is_number_around(original, at) => {
            (RejectReason::NumberRange, format!("number beyond the range of a double at byte {at}"))
        }
        // These two carry a position relative to their string; the others of stage 1 carry none.
        ErrorType::InvalidEscape => (RejectReason::InvalidJson, "invalid escape sequence".to_owned()),
        ErrorType::InvalidUnicodeCodepoint => {
            (RejectReason::InvalidJson, "invalid \\u escape, such as a lone surrogate".to_owned())
        }
        ErrorType::Syntax if error.character().is_none() => {
            let place = telltale::first_bad(original).map_or_else(String::new, |at| format!(" at byte {at}"));
            (RejectReason::InvalidJson, format!("unterminated string, or a control character inside a string{place}"))
        }
        ErrorType::Eof => (RejectReason::InvalidJson, "nothing but blanks".to_owned()),
        kind => {
            let at = telltale::first_bad(original).unwrap_or(at);
            (RejectReason::InvalidJson, format!("{} at byte {at}", syntax(kind)))
        }
    };
    // What the value is says more than where it stops being JSON.
    let is_none = matches!(reason, RejectReason::InvalidJson | RejectReason::InvalidUtf8);
    let told = is_none.then(|| telltale::told(original)).flatten();
    Malformed { reason, detail: told.unwrap_or(detail) }
}

fn not_utf8(original: &[u8]) -> String {
    match std::str::from_utf8(original) {
        Err(error) => format!("invalid UTF-8 at byte {}", error.valid_up_to()),
        Ok(_) => "invalid UTF-8".to_owned(),
    }
}

fn is_number_around(original: &[u8], at: usize) -> bool {
    let part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    let at = at.min(original.len());
    let start = at - original[..at].iter().rev().take_while(|byte| part(byte)).count();
    let end = at + original[at..].iter().take_while(|byte| part(byte)).count();
    scan::is_number(&original[start..end])
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's enum; most of its variants never come from parsing"
)]
fn syntax(kind: &ErrorType) -> &'static str {
    match kind {
        ErrorType::ExpectedObjectColon => "a colon is missing",
        ErrorType::ExpectedObjectKey => "a key is missing",
        ErrorType::ExpectedObjectContent => "an object's key, comma or brace is missing",
        ErrorType::ExpectedArrayContent => "an array's comma or bracket is missing",
        ErrorType::ExpectedTrue | ErrorType::ExpectedFalse | ErrorType::ExpectedNull => "not true, false or null",
        ErrorType::InvalidNumber => "invalid number",
        ErrorType::TrailingData => "bytes follow the value",
        ErrorType::Syntax => "the value ends too early",
        _ => "unexpected bytes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reject(bytes: &[u8]) -> Malformed {
        Parser::default().read(bytes, |_| ()).expect_err("rejected")
    }

    #[test]
    fn names_what_is_wrong_and_where() {
        use RejectReason::{Empty, InvalidJson, InvalidUtf8, NumberRange, TooDeep};
        let deep = "[".repeat(100_000);
        let closed = format!("{{\"a\":{}{}}}", "[".repeat(1_024), "]".repeat(1_024));
        for (bytes, reason, detail) in [
            (&b""[..], Empty, "no bytes"),
            (b"  ", InvalidJson, "blanks"),
            (b"{\"a\":\"\xff\"}", InvalidUtf8, "at byte 6"),
            (b"{\"a\":1e400}", NumberRange, "at byte 5"),
            (b"{\"a\":[-1.5e999]}", NumberRange, "range of a double"),
            (b"{\"a\":NaN}", InvalidJson, "at byte 5"),
            (b"{\"a\":Infinity}", InvalidJson, "at byte 5"),
            (b"{\"a\":-Infinity}", InvalidJson, "invalid number"),
            (b"{\"a\":01}", InvalidJson, "invalid number"),
            (b"{\"a\":1.}", InvalidJson, "invalid number"),
            (b"{\"a\":tru}", InvalidJson, "not true"),
            (b"{\"a\":\"\\ud800\"}", InvalidJson, "surrogate"),
            (b"{\"a\":\"\\x\"}", InvalidJson, "escape"),
            (b"{\"a\":1", InvalidJson, "too early"),
            (b"{\"a\"", InvalidJson, "too early"),
            (b"{\"a\":\"b", InvalidJson, "unterminated"),
            (b"{\"a\":\"b\nc\"}", InvalidJson, "control character"),
            (b"{\"a\":1} x", InvalidJson, "at byte 8"),
            (b"{}{}", InvalidJson, "at byte 2"),
            (b"{\"id\":3}\0", InvalidJson, "a NUL at byte 8"),
            (b"\0\0\0\0\x07{\"id\":1}", InvalidJson, "schema registry (schema 7)"),
            (b"\xef\xbb\xbf{\"id\":2}", InvalidJson, "byte-order mark"),
            (b"\xff\xfe{\0\"\0", InvalidJson, "UTF-16"),
            (b"{\0\"\0i\0d\0", InvalidJson, "UTF-16 (little endian)"),
            (b"\x1f\x8b\x08\0\0", InvalidUtf8, "gzip"),
            (b"<html></html>", InvalidJson, "XML or HTML"),
            (b"1 2", InvalidJson, "follow"),
            (b"{\"a\" 1}", InvalidJson, "colon"),
            (b"[1 2]", InvalidJson, "comma"),
            (b"{'a':1}", InvalidJson, "at byte 1"),
            (deep.as_bytes(), TooDeep, "1024"),
            (closed.as_bytes(), TooDeep, "1024"),
        ] {
            let fault = reject(bytes);
            assert_eq!(fault.reason, reason, "{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]));
            assert!(fault.detail.contains(detail), "{:?} lacks {detail:?}", fault.detail);
        }
    }

    #[test]
    fn accepts_what_only_looks_odd() {
        let nested = format!("{}{}", "[".repeat(1_024), "]".repeat(1_024));
        for text in [
            "0",
            "null",
            " \"x\" ",
            "1234567890123456789012345",
            "-1234567890123456789012345",
            "{\"a\":1.10e1,\"a\":-0}",
            "[1e-400]",
            "\"\\ud83d\\ude00\"",
            &nested,
        ] {
            Parser::default().read(text.as_bytes(), |_| ()).expect(text);
        }
    }

    #[test]
    fn a_rejected_or_huge_value_leaves_the_parser_usable() {
        let mut parser = Parser::default();
        let huge = format!("[{}0]", "0,".repeat(KEEP_BYTES));
        assert!(parser.read(b"[1,[2", |_| ()).is_err());
        parser.read(huge.as_bytes(), |_| ()).expect("valid");
        assert_eq!(parser.held_bytes(0), 0, "what a huge value needed is given back");
        parser.read(b"{\"a\":1}", |doc| assert_eq!(doc.original(), b"{\"a\":1}")).expect("valid");
    }

    /// Short and hostile: no copy of it is large, but the tape is.
    #[test]
    fn a_wide_tape_is_given_back_too() {
        let mut parser = Parser::default();
        let wide = format!("[{}[]]", "[],".repeat(KEEP_BYTES / 46 / 3));
        assert!(wide.len() < KEEP_BYTES / 16, "{}", wide.len());
        parser.read(wide.as_bytes(), |_| ()).expect("valid");
        assert!(parser.held_bytes(0) > KEEP_BYTES / 2, "up to here it is kept: {}", parser.held_bytes(0));
        let wider = format!("[{wide},{wide}]");
        parser.read(wider.as_bytes(), |_| ()).expect("valid");
        assert_eq!(parser.held_bytes(0), 0);
    }

    /// The factor the documentation names: what a parser allocates for one value, by jemalloc's count.
    #[test]
    fn a_value_takes_at_most_the_documented_multiple_of_its_size() {
        const BYTES: usize = 1 << 20;
        let list = |element: &str| format!("[{element}{}]", format!(",{element}").repeat(BYTES / (element.len() + 1)));
        let object = format!("{{\"\":0{}}}", ",\"\":0".repeat(BYTES / 5));
        let deep = list(&format!("{}{}", "[".repeat(1_000), "]".repeat(1_000)));
        let text = format!("[\"{}\"]", "a".repeat(BYTES));
        let record =
            list(r#"{"id":1234567,"name":"a name of some length","tags":["one","two"],"at":"2026-01-01T00:00:00Z"}"#);
        let counters = || {
            let taken = jemalloc_ctl::thread::allocatedp::read().expect("jemalloc counts").get();
            let given = jemalloc_ctl::thread::deallocatedp::read().expect("jemalloc counts").get();
            (taken, taken - given)
        };
        let shapes =
            [(list("[]"), 36), (list("{}"), 36), (list("0"), 36), (object, 36), (deep, 36), (record, 10), (text, 4)];
        for (value, most) in shapes {
            let mut parser = Parser::default();
            let (taken_before, held_before) = counters();
            let held = parser.read(value.as_bytes(), |_| counters().1 - held_before).expect("valid");
            let (taken, _) = counters();
            let times = |bytes: u64| bytes as f64 / value.len() as f64;
            println!("{value:.20}…: holds {:.1} times its size", times(held));
            assert!(times(held) < f64::from(most), "{value:.20}… holds {:.1} times its size", times(held));
            // Everything ever allocated, growing by doubling included, bounds the peak.
            assert!(times(taken - taken_before) < f64::from(most) * 1.25, "{value:.20}… takes {taken}");
        }
    }

    #[test]
    fn the_original_is_never_written() {
        let original = br#"{"k\u0065y":"a\nb\\c"}"#.to_vec();
        let before = original.clone();
        Parser::default().read(&original, |_| ()).expect("valid");
        assert_eq!(original, before);
    }
}
