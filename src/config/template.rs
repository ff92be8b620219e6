//! Templates as written → segments: `orders-{timestamp:%Y.%m}-{/region|eu}`. `{{` and `}}` are literal braces.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::nearest::nearest;
use super::plan::{Segment, Template};
use super::pointer::{self, Refusal};

const PLACEHOLDERS: &str = "`{key}`, `{topic}`, `{partition}`, `{offset}`, `{timestamp}`, `{timestamp:%Y.%m.%d}`, \
                            `{header:name}`, `{/pointer}`, `{/pointer|fallback}` and `{original:/pointer}`";
const NAMES: [&str; 7] = ["key", "topic", "partition", "offset", "timestamp", "header", "original"];
/// Longest template, in bytes.
const MAX_BYTES: usize = 4_096;

/// Parses a template.
///
/// # Errors
/// Unclosed or lone braces, unknown placeholders, bad pointers, fallbacks where there can be none, bad time formats.
pub fn parse(text: &str) -> Result<Template, Refusal> {
    if text.len() > MAX_BYTES {
        return Err(Refusal::new(format!("a template of more than {MAX_BYTES} bytes"), "shorten it"));
    }
    let mut segments = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            literal.push_str(brace);
            rest = after;
        } else if brace == "}" {
            return Err(Refusal::new("`}` without its `{`", "a literal brace is written twice: `}}`"));
        } else {
            let end = rest.find(['}', '{']).filter(|end| rest[*end..].starts_with('}')).ok_or_else(unclosed)?;
            flush(&mut literal, &mut segments);
            segments.push(placeholder(&rest[..end])?);
            rest = &rest[end + 1..];
        }
    }
    literal.push_str(rest);
    flush(&mut literal, &mut segments);
    Ok(Template { text: text.to_owned(), segments })
}

fn unclosed() -> Refusal {
    Refusal::new("`{` without its `}`", "close the placeholder with `}`; a literal brace is written twice: `{{`")
}

fn flush(literal: &mut String, segments: &mut Vec<Segment>) {
    if !literal.is_empty() {
        segments.push(Segment::Literal(std::mem::take(literal)));
    }
}

fn placeholder(inside: &str) -> Result<Segment, Refusal> {
    if inside.starts_with('/') {
        let (pointer, fallback) = field(inside)?;
        return Ok(Segment::Field { pointer, fallback });
    }
    let (name, argument) = inside.split_once(':').map_or((inside, None), |(name, argument)| (name, Some(argument)));
    match (name, argument) {
        ("key", None) => Ok(Segment::Key),
        ("topic", None) => Ok(Segment::Topic),
        ("partition", None) => Ok(Segment::Partition),
        ("offset", None) => Ok(Segment::Offset),
        ("timestamp", None) => Ok(Segment::Timestamp(None)),
        ("timestamp", Some(format)) => time(format).map(|()| Segment::Timestamp(Some(format.to_owned()))),
        ("header", Some(header)) if !header.is_empty() => Ok(Segment::Header(header.to_owned())),
        ("original", Some(text)) if text.starts_with('/') => {
            let (pointer, fallback) = field(text)?;
            Ok(Segment::Original { pointer, fallback })
        }
        ("header", _) => Err(Refusal::new(format!("`{{{inside}}}` names no header"), "write `{header:name}`")),
        ("original", _) => Err(Refusal::new(format!("`{{{inside}}}` has no pointer"), "write `{original:/pointer}`")),
        _ => Err(unknown(inside, name)),
    }
}

/// `/pointer` or `/pointer|fallback`.
fn field(text: &str) -> Result<(super::plan::Pointer, Option<String>), Refusal> {
    let (pointer, fallback) =
        text.split_once('|').map_or((text, None), |(pointer, fallback)| (pointer, Some(fallback)));
    Ok((pointer::parse(pointer)?, fallback.map(str::to_owned)))
}

fn unknown(inside: &str, name: &str) -> Refusal {
    let reason = format!("unknown placeholder `{{{inside}}}`");
    let known = name.split_once('|').map_or(name, |(name, _)| name);
    if NAMES.contains(&known) && inside.contains('|') {
        return Refusal::new(
            format!("`{{{inside}}}`: only pointers take a fallback"),
            format!("write `{{{known}}}` or `{{/pointer|fallback}}`"),
        );
    }
    if NAMES.contains(&known) {
        return Refusal::new(format!("`{{{inside}}}`: `{known}` takes no argument"), format!("write `{{{known}}}`"));
    }
    if inside.starts_with(['.', '$']) {
        let pointer = pointer::parse(inside)
            .err()
            .map_or_else(String::new, |refusal| refusal.remedy.replace("write `", "").replace('`', ""));
        return Refusal::new(reason, format!("write `{{{pointer}}}`"));
    }
    match nearest(name, NAMES) {
        Some(near) => Refusal::new(
            reason,
            format!("did you mean `{{{near}}}`, or the field `{{/{inside}}}`? There are {PLACEHOLDERS}"),
        ),
        None => {
            Refusal::new(reason, format!("for a field of the record write `{{/{inside}}}`. There are {PLACEHOLDERS}"))
        }
    }
}

/// Tries the format once: jiff refuses unknown directives only while formatting.
fn time(format: &str) -> Result<(), Refusal> {
    let example = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    match jiff::fmt::strtime::format(format, &example) {
        Ok(text) if !text.is_empty() => Ok(()),
        Ok(_) => Err(Refusal::new(
            "the time format is empty",
            "write `{timestamp:%Y.%m.%d}`, or `{timestamp}` for milliseconds",
        )),
        Err(_) => Err(Refusal::new(
            format!("`{format}` is not a strftime format"),
            "use directives such as %Y %m %d %H %M: `{timestamp:%Y.%m.%d}`",
        )),
    }
}

/// The text of a template without placeholders.
#[must_use]
pub fn constant(template: &Template) -> Option<&str> {
    match template.segments.as_slice() {
        [Segment::Literal(text)] => Some(text),
        _ => None,
    }
}

/// Bytes of a template that are the same for every record.
#[must_use]
pub fn literal_bytes(template: &Template) -> usize {
    literals(template).map(str::len).sum()
}

/// The fixed parts of a template.
pub fn literals(template: &Template) -> impl Iterator<Item = &str> {
    template.segments.iter().filter_map(|segment| match segment {
        Segment::Literal(text) => Some(text.as_str()),
        Segment::Key
        | Segment::Topic
        | Segment::Partition
        | Segment::Offset
        | Segment::Timestamp(_)
        | Segment::Header(_)
        | Segment::Field { .. }
        | Segment::Original { .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pointer(members: &[&str]) -> super::super::plan::Pointer {
        super::super::plan::Pointer { members: members.iter().map(|&member| member.to_owned()).collect() }
    }

    #[test]
    fn grammar() {
        let literal = |text: &str| Segment::Literal(text.to_owned());
        let table = [
            ("", vec![]),
            ("items", vec![literal("items")]),
            ("{key}", vec![Segment::Key]),
            (
                "{topic}+{partition}+{offset}",
                vec![Segment::Topic, literal("+"), Segment::Partition, literal("+"), Segment::Offset],
            ),
            ("a-{timestamp:%Y.%m.%d}", vec![literal("a-"), Segment::Timestamp(Some("%Y.%m.%d".into()))]),
            ("{timestamp:%H:%M}", vec![Segment::Timestamp(Some("%H:%M".into()))]),
            ("{timestamp}", vec![Segment::Timestamp(None)]),
            ("{header:x:y}", vec![Segment::Header("x:y".into())]),
            ("{/a/b~1c}", vec![Segment::Field { pointer: pointer(&["a", "b/c"]), fallback: None }]),
            ("{/a|}", vec![Segment::Field { pointer: pointer(&["a"]), fallback: Some(String::new()) }]),
            ("{/a|x|y}", vec![Segment::Field { pointer: pointer(&["a"]), fallback: Some("x|y".into()) }]),
            ("{original:/m|z}", vec![Segment::Original { pointer: pointer(&["m"]), fallback: Some("z".into()) }]),
            ("a{{b}}c", vec![literal("a{b}c")]),
            ("user:{/user}", vec![literal("user:"), Segment::Field { pointer: pointer(&["user"]), fallback: None }]),
        ];
        for (text, segments) in table {
            assert_eq!(parse(text).unwrap().segments, segments, "{text}");
        }
    }

    #[test]
    fn refusals() {
        let table = [
            ("{", "without its `}`"),
            ("{/a", "without its `}`"),
            ("{/a{key}", "without its `}`"),
            ("a}", "without its `{`"),
            ("{id}", "unknown placeholder `{id}`"),
            ("{kye}", "unknown placeholder"),
            ("{.a.b}", "unknown placeholder"),
            ("{}", "unknown placeholder"),
            ("{key|x}", "only pointers take a fallback"),
            ("{key:x}", "takes no argument"),
            ("{header}", "names no header"),
            ("{header:}", "names no header"),
            ("{original:a}", "has no pointer"),
            ("{original}", "has no pointer"),
            ("{timestamp:%!}", "not a strftime format"),
            ("{timestamp:}", "time format is empty"),
            ("{/a~2}", "`~`"),
        ];
        for (text, reason) in table {
            let refusal = parse(text).unwrap_err();
            assert!(refusal.reason.contains(reason), "{text}: {}", refusal.reason);
        }
        assert_eq!(parse("{.a.b}").unwrap_err().remedy, "write `{/a/b}`");
        assert!(parse("{kye}").unwrap_err().remedy.contains("did you mean `{key}`"));
        assert!(parse("{id}").unwrap_err().remedy.contains("`{/id}`"));
    }

    proptest! {
        #[test]
        fn never_panics_and_escapes_come_back(text in ".{0,40}") {
            let _ = parse(&text);
            let escaped = text.replace('{', "{{").replace('}', "}}");
            let parsed = parse(&escaped).unwrap();
            prop_assert_eq!(constant(&parsed).unwrap_or_default(), text);
        }
    }
}
