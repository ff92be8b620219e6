//! Puts new expectations into the text of a file of tests. Only the value of `expect` changes; comments inside of it
//! are lost, everything else stays byte for byte. Pure.

use std::sync::Arc;

use super::read::{self, FileFormat};
use crate::leaf::tree::{Node, Origin, TreeValue};

/// Longest line that a value in braces may make; a longer one is written as a block.
const WIDEST: usize = 110;

/// What is expected from now on: one output or ending, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewExpectation {
    /// The keys of each with their values, as flow YAML, which is JSON where `quoted`.
    pub ends: Vec<Vec<(&'static str, String)>>,
}

/// Writes the expectation of the test at `origin`; gives the new text and the test's number in the list.
///
/// # Errors
/// Why it must be done by hand.
pub fn rewrite(
    text: &str,
    format: FileFormat,
    origin: &Origin,
    new: &NewExpectation,
) -> Result<(String, usize), String> {
    if format == FileFormat::Toml {
        return Err("TOML is not rewritten".to_owned());
    }
    let (mark, text) = match text.strip_prefix('\u{feff}') {
        Some(rest) => ("\u{feff}", rest),
        None => ("", text),
    };
    let root = read::read(text, format, &Arc::from("")).map_err(|finding| finding.reason)?;
    let (number, test) = find(&root, origin).ok_or("the file has changed since it was read")?;
    let TreeValue::Map(entries) = &test.value else { return Err("the test is no map".to_owned()) };
    let key = entries.iter().find(|entry| entry.key == "expect").ok_or("`expect` is missing")?;
    let at = byte(text, &key.key_origin).ok_or("`expect` stands in another file")?;
    let in_braces = byte(text, &test.origin).is_some_and(|start| text[start..].starts_with('{'));
    let quoted = format == FileFormat::Json;
    let after = after_colon(text, at).ok_or("`expect` is written in a way that is not rewritten")?;
    let changed = match in_braces {
        true => flow(text, after, &new.flow(quoted))?,
        false => block(text, at, after, new)?,
    };
    Ok((format!("{mark}{changed}"), number))
}

impl NewExpectation {
    fn flow(&self, quoted: bool) -> String {
        let key = |name: &str| if quoted { format!("\"{name}\"") } else { name.to_owned() };
        let end = |keys: &Vec<(&'static str, String)>| {
            let members: Vec<String> = keys.iter().map(|(name, value)| format!("{}: {value}", key(name))).collect();
            format!("{{ {} }}", members.join(", "))
        };
        match &self.ends[..] {
            [one] => end(one),
            several => format!("[{}]", several.iter().map(end).collect::<Vec<_>>().join(", ")),
        }
    }

    /// Lines at an indent, each with this end.
    fn block(&self, indent: usize, line_end: &str) -> String {
        let mut out = String::new();
        for keys in &self.ends {
            for (number, (name, value)) in keys.iter().enumerate() {
                let start = match (self.ends.len(), number) {
                    (1, _) => "",
                    (_, 0) => "- ",
                    _ => "  ",
                };
                out.push_str(&format!("{}{start}{name}: {value}{line_end}", " ".repeat(indent)));
            }
        }
        out
    }
}

fn find<'root>(root: &'root Node, origin: &Origin) -> Option<(usize, &'root Node)> {
    let TreeValue::Map(entries) = &root.value else { return None };
    let tests = entries.iter().find(|entry| entry.key == "tests")?;
    let TreeValue::List(items) = &tests.node.value else { return None };
    items.iter().enumerate().find(|(_, item)| position(&item.origin) == position(origin))
}

fn position(origin: &Origin) -> Option<(u64, u64)> {
    match origin {
        Origin::File { line, column, .. } => Some((*line, *column)),
        Origin::Set(_) | Origin::Default => None,
    }
}

/// The byte of a place.
fn byte(text: &str, origin: &Origin) -> Option<usize> {
    let (line, column) = position(origin)?;
    let line = usize::try_from(line.checked_sub(1)?).ok()?;
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let (inside, _) = text.get(start..)?.char_indices().nth(usize::try_from(column.checked_sub(1)?).ok()?)?;
    Some(start + inside)
}

/// Behind the colon of the key at `at`.
fn after_colon(text: &str, at: usize) -> Option<usize> {
    let rest = &text[at..];
    let key = ["expect", "\"expect\"", "'expect'"].into_iter().find(|key| rest.starts_with(key))?;
    let blanks = rest[key.len()..].len() - rest[key.len()..].trim_start_matches([' ', '\t']).len();
    let colon = at + key.len() + blanks;
    text[colon..].starts_with(':').then_some(colon + 1)
}

/// Replaces a value inside of braces.
fn flow(text: &str, after: usize, new: &str) -> Result<String, String> {
    let start = value_start(text, after);
    let end = match text.as_bytes().get(start) {
        Some(b'{' | b'[') => closed(text, start).ok_or("a bracket is not closed")?,
        Some(b',' | b'}') | None => start,
        Some(_) => {
            let rest = &text[start..];
            let word = rest[..rest.find([',', '}', '\n']).unwrap_or(rest.len())].trim_end();
            start + null_or_refused(word)?.len()
        }
    };
    let blank = if start == after { " " } else { "" };
    Ok(format!("{}{blank}{new}{}", &text[..start], &text[end..]))
}

/// Past blanks, line ends and comments.
fn value_start(text: &str, after: usize) -> usize {
    let mut at = after;
    loop {
        let rest = &text[at..];
        let trimmed = rest.trim_start();
        let start = at + rest.len() - trimmed.len();
        match trimmed.strip_prefix('#') {
            Some(comment) => at = start + 1 + comment.find('\n').unwrap_or(comment.len()),
            None => return start,
        }
    }
}

/// An empty value may be replaced; what is written with an anchor, an alias or as a text may mean more than is known
/// here.
fn null_or_refused(word: &str) -> Result<&str, String> {
    match word {
        "" | "~" | "null" => Ok(word),
        _ => Err("its value is no map or list in this place (an alias, an anchor, a tag?)".to_owned()),
    }
}

/// Behind the bracket that closes the one at `start`.
fn closed(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (start, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b'"' if opens(bytes, at) => at = quoted_end(bytes, at, true)?,
            b'\'' if opens(bytes, at) => at = quoted_end(bytes, at, false)?,
            b'#' if bytes.get(at.wrapping_sub(1)).is_some_and(u8::is_ascii_whitespace) => {
                at += memchr::memchr(b'\n', &bytes[at..])?;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Whether a quote begins a text here: one inside of a plain text does not.
fn opens(bytes: &[u8], at: usize) -> bool {
    let before = bytes[..at].iter().rev().find(|byte| !byte.is_ascii_whitespace());
    before.is_some_and(|byte| matches!(byte, b'{' | b'[' | b',' | b':'))
}

/// The quote that ends a text.
fn quoted_end(bytes: &[u8], start: usize, escapes: bool) -> Option<usize> {
    let quote = bytes[start];
    let mut at = start + 1;
    loop {
        match *bytes.get(at)? {
            b'\\' if escapes => at += 1,
            byte if byte == quote && !escapes && bytes.get(at + 1) == Some(&quote) => at += 1,
            byte if byte == quote => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

/// Replaces a value behind a key that stands at the beginning of a line.
fn block(text: &str, key: usize, after: usize, new: &NewExpectation) -> Result<String, String> {
    let line_start = text[..key].rfind('\n').map_or(0, |end| end + 1);
    let line_end = text[after..].find('\n').map_or(text.len(), |end| after + end);
    let indent = text[line_start..key].chars().count();
    let new_line = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let rest = &text[after..line_end];
    let value = rest.trim_start();
    let start = after + rest.len() - value.len();
    if value.is_empty() || value.starts_with('#') {
        let (from, to) = lines_below(text, line_end, indent);
        let gap = if text[..from].ends_with('\n') { "" } else { new_line };
        return Ok(format!("{}{gap}{}{}", &text[..from], new.block(indent + 2, new_line), &text[to..]));
    }
    let end = match value.starts_with(['{', '[']) {
        true => closed(text, start).ok_or("a bracket is not closed")?,
        false => {
            let word = value.split(" #").next().unwrap_or(value).trim_end();
            start + null_or_refused(word)?.len()
        }
    };
    let flow = new.flow(false);
    if indent + "expect: ".len() + flow.chars().count() <= WIDEST {
        return Ok(format!("{}{flow}{}", &text[..start], &text[end..]));
    }
    let line_end = text[end..].find('\n').map_or(text.len(), |at| end + at);
    let (comment, below) = (text[end..line_end].trim_end(), &text[line_end..]);
    let below = below.strip_prefix('\n').unwrap_or(below);
    Ok(format!("{}{comment}{new_line}{}{below}", &text[..after], new.block(indent + 2, new_line)))
}

/// The lines below a key that are its value: from the first to the last that is no comment and no blank.
fn lines_below(text: &str, line_end: usize, indent: usize) -> (usize, usize) {
    let first = (line_end + 1).min(text.len());
    let (mut at, mut found) = (first, None::<(usize, usize)>);
    for line in text[first..].split_inclusive('\n') {
        let body = line.trim();
        let deep = line.len() - line.trim_start_matches(' ').len();
        let is_item = deep == indent && (body.starts_with("- ") || body == "-");
        if !body.is_empty() && deep <= indent && !is_item {
            break;
        }
        // The lines of a text in a block may begin with `#` or be empty; they stand between others of it.
        if !body.is_empty() && !body.starts_with('#') {
            found = Some((found.map_or(at, |(from, _)| from), at + line.len()));
        }
        at += line.len();
    }
    found.unwrap_or((first, first))
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
