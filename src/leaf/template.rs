//! Templates as written → segments: `orders-{timestamp:%Y.%m}-{/region|eu}`. `{{` and `}}` are literal braces.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::nearest::nearest;
use super::pointer::{self, PointerRefusal};
use super::segment::{Template, TemplateSegment, TimeForm, ValueForm};

const PLACEHOLDERS: &str = "`{key}`, `{key:/pointer}`, `{topic}`, `{partition}`, `{offset}`, `{timestamp}`, `{timestamp:%Y.%m.%d}`, \
                            `{now:%Y.%m.%d}`, `{header:name}`, `{route}`, `{item}`, `{/pointer}`, `{/pointer|fallback}`, `{/pointer:%Y.%m.%d}` and \
                            `{original:/pointer}`; `:lower` behind one writes small letters";
const NAMES: [&str; 9] = ["key", "topic", "partition", "offset", "timestamp", "now", "header", "original", "route"];
/// Longest template, in bytes.
const MAX_BYTES: usize = 4_096;

/// Parses a template.
///
/// # Errors
/// Unclosed or lone braces, unknown placeholders, bad pointers, fallbacks where there can be none, bad time formats.
pub fn parse(text: &str) -> Result<Template, PointerRefusal> {
    if text.len() > MAX_BYTES {
        return Err(PointerRefusal::new(format!("a template of more than {MAX_BYTES} bytes"), "shorten it"));
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
            return Err(PointerRefusal::new("`}` without its `{`", "a literal brace is written twice: `}}`"));
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

fn unclosed() -> PointerRefusal {
    PointerRefusal::new("`{` without its `}`", "close the placeholder with `}`; a literal brace is written twice: `{{`")
}

fn flush(literal: &mut String, segments: &mut Vec<TemplateSegment>) {
    if !literal.is_empty() {
        segments.push(TemplateSegment::Literal(std::mem::take(literal)));
    }
}

fn placeholder(inside: &str) -> Result<TemplateSegment, PointerRefusal> {
    // The format of the record's own timestamp may be any text.
    if let Some(format) = inside.strip_prefix("timestamp:") {
        return time(format, "timestamp").map(|()| TemplateSegment::Timestamp(Some(format.to_owned())));
    }
    let (core, form, fallback) = formed(inside)?;
    let of = value(inside, core, fallback)?;
    let is_a_time = matches!(
        of,
        TemplateSegment::Now
            | TemplateSegment::Field { .. }
            | TemplateSegment::Original { .. }
            | TemplateSegment::KeyField { .. }
    );
    match form {
        None if of == TemplateSegment::Now => {
            Err(PointerRefusal::new("`{now}` has no format", "write `{now:%Y.%m.%d}`"))
        }
        None => Ok(of),
        Some(ValueForm::Lower) if of == TemplateSegment::Now => {
            Err(PointerRefusal::new("`{now:lower}` has no format", "write `{now:%Y.%m.%d}`"))
        }
        Some(ValueForm::Time(_)) if !is_a_time => Err(PointerRefusal::new(
            format!("`{{{inside}}}`: only fields, `timestamp` and `now` are times"),
            format!("write `{{{core}}}`, or `{{/pointer:%Y.%m.%d}}`"),
        )),
        Some(form @ (ValueForm::Lower | ValueForm::Time(_))) => Ok(TemplateSegment::Formed { of: Box::new(of), form }),
    }
}

/// The value, its form, and its fallback: `/app`, `:lower`, `|none`. A form stands behind the pointer, before the
/// fallback.
fn formed(inside: &str) -> Result<(&str, Option<ValueForm>, Option<&str>), PointerRefusal> {
    let is_of_fields = inside.starts_with('/') || inside.contains(":/");
    let (front, fallback) = match inside.split_once('|') {
        Some((front, fallback)) if is_of_fields => (front, Some(fallback)),
        Some(_) | None => (inside, None),
    };
    if let Some(core) = front.strip_suffix(":lower") {
        return Ok((core, Some(ValueForm::Lower), fallback));
    }
    match front.find(":%") {
        Some(at) => {
            let (core, format) = (&front[..at], &front[at + 1..]);
            time(format, core)?;
            let form = TimeForm { format: format.to_owned(), zone: TimeZone::UTC };
            Ok((core, Some(ValueForm::Time(form)), fallback))
        }
        None => Ok((front, None, fallback)),
    }
}

fn value(inside: &str, core: &str, fallback: Option<&str>) -> Result<TemplateSegment, PointerRefusal> {
    let fallback = fallback.map(str::to_owned);
    if ["/", "key:/", "original:/"].iter().any(|start| core.starts_with(start)) {
        no_other_form(inside, core)?;
    }
    if core.starts_with('/') {
        return Ok(TemplateSegment::Field { pointer: pointer::parse(core)?, fallback });
    }
    let (name, argument) = core.split_once(':').map_or((core, None), |(name, argument)| (name, Some(argument)));
    match (name, argument) {
        ("key", None) => Ok(TemplateSegment::Key),
        ("key", Some(text)) if text.starts_with('/') => {
            Ok(TemplateSegment::KeyField { pointer: pointer::parse(text)?, fallback })
        }
        ("topic", None) => Ok(TemplateSegment::Topic),
        ("partition", None) => Ok(TemplateSegment::Partition),
        ("offset", None) => Ok(TemplateSegment::Offset),
        ("item", None) => Ok(TemplateSegment::Item),
        ("route", None) => Ok(TemplateSegment::Route),
        ("timestamp", None) => Ok(TemplateSegment::Timestamp(None)),
        ("now", None) => Ok(TemplateSegment::Now),
        ("header", Some(header)) if !header.is_empty() => Ok(TemplateSegment::Header(header.to_owned())),
        ("original", Some(text)) if text.starts_with('/') => {
            Ok(TemplateSegment::Original { pointer: pointer::parse(text)?, fallback })
        }
        ("header", _) => Err(PointerRefusal::new(format!("`{{{inside}}}` names no header"), "write `{header:name}`")),
        ("original", _) => {
            Err(PointerRefusal::new(format!("`{{{inside}}}` has no pointer"), "write `{original:/pointer}`"))
        }
        ("key", Some(_)) => Err(PointerRefusal::new(
            format!(
                "`{{{inside}}}`: `key` takes a pointer or `lower`, nothing else: it takes no argument of this kind"
            ),
            "write `{key}`, or `{key:/payload/id}` for a field of a JSON key",
        )),
        _ => Err(unknown(inside, name)),
    }
}

fn unknown(inside: &str, name: &str) -> PointerRefusal {
    let reason = format!("unknown placeholder `{{{inside}}}`");
    let known = name.split_once('|').map_or(name, |(name, _)| name);
    if NAMES.contains(&known) && inside.contains('|') {
        return PointerRefusal::new(
            format!("`{{{inside}}}`: only pointers take a fallback"),
            format!("write `{{{known}}}` or `{{/pointer|fallback}}`"),
        );
    }
    if NAMES.contains(&known) {
        return PointerRefusal::new(
            format!("`{{{inside}}}`: `{known}` takes no argument"),
            format!("write `{{{known}}}`"),
        );
    }
    if inside.starts_with(['.', '$']) {
        let pointer = pointer::parse(inside)
            .err()
            .map_or_else(String::new, |refusal| refusal.remedy.replace("write `", "").replace('`', ""));
        return PointerRefusal::new(reason, format!("write `{{{pointer}}}`"));
    }
    match nearest(name, NAMES) {
        Some(near) => PointerRefusal::new(
            reason,
            format!("did you mean `{{{near}}}`, or the field `{{/{inside}}}`? There are {PLACEHOLDERS}"),
        ),
        None => PointerRefusal::new(
            reason,
            format!("for a field of the record write `{{/{inside}}}`. There are {PLACEHOLDERS}"),
        ),
    }
}

/// A moment that differs from the epoch in everything a format can write.
const LATER: Timestamp = Timestamp::constant(5_206_686_478, 987_654_321);

/// Tries the format: jiff refuses unknown directives only while formatting, and what is the same for two moments that
/// have nothing in common tells no time.
fn time(format: &str, of: &str) -> Result<(), PointerRefusal> {
    let text = |moment: Timestamp| jiff::fmt::strtime::format(format, &moment.to_zoned(TimeZone::UTC));
    match text(Timestamp::UNIX_EPOCH) {
        Ok(text) if text.is_empty() => Err(PointerRefusal::new(
            "the time format is empty",
            format!("write `{{{of}:%Y.%m.%d}}`, or `{{{of}}}` for what is there"),
        )),
        Ok(first) if text(LATER).is_ok_and(|second| second == first) => Err(PointerRefusal::new(
            format!("`{format}` is the same for every time: a directive begins with `%`"),
            format!("write `{{{of}:{}}}`", strftime(format)),
        )),
        Ok(_) => Ok(()),
        Err(_) => Err(PointerRefusal::new(
            format!("`{format}` is not a strftime format"),
            format!("use directives such as %Y %m %d %H %M: `{{{of}:%Y.%m.%d}}`"),
        )),
    }
}

/// Letters that formats of Java and its like repeat, and the directives that write the same.
const LETTERS: [(&str, &str); 8] = [
    ("yyyy", "%Y"),
    ("uuuu", "%Y"),
    ("yy", "%y"),
    ("MM", "%m"),
    ("dd", "%d"),
    ("HH", "%H"),
    ("mm", "%M"),
    ("ss", "%S"),
];

/// What was probably meant by a format of letters, or a usual one.
fn strftime(format: &str) -> String {
    let written = LETTERS.iter().fold(format.to_owned(), |text, (letters, directive)| text.replace(letters, directive));
    let leftover = written.split('%').skip(1).any(|part| part.chars().skip(1).any(char::is_alphabetic));
    if written.contains('%') && !leftover { written } else { "%Y.%m.%d".to_owned() }
}

/// A pointer whose end is a form that does not exist would name a field that no record has.
fn no_other_form(inside: &str, core: &str) -> Result<(), PointerRefusal> {
    let Some((pointer, form)) = core.rsplit_once(':').filter(|(pointer, _)| pointer.contains('/')) else {
        return Ok(());
    };
    let is_format = LETTERS.iter().any(|(letters, _)| form.contains(letters))
        && form.chars().all(|c| "yuMdHhmsSE.-_/: ".contains(c));
    let remedy = match form {
        "lower" => format!("write one of them: `{{{pointer}}}` or `{{{pointer}:lower}}`"),
        "upper" | "uppercase" => format!("write `{{{pointer}}}`, or `{{{pointer}:lower}}` for small letters"),
        "lowercase" | "downcase" => format!("write `{{{pointer}:lower}}`"),
        _ if form.contains('%') => format!("a format stands last: `{{{pointer}:%Y.%m.%d}}`"),
        _ if is_format => format!("write `{{{pointer}:{}}}`", strftime(form)),
        _ => return Ok(()),
    };
    Err(PointerRefusal::new(format!("`{{{inside}}}`: there is no form `{form}` here"), remedy))
}

/// The text of a template without placeholders.
#[must_use]
pub fn constant(template: &Template) -> Option<&str> {
    match template.segments.as_slice() {
        [TemplateSegment::Literal(text)] => Some(text),
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
        TemplateSegment::Literal(text) => Some(text.as_str()),
        TemplateSegment::Key
        | TemplateSegment::KeyField { .. }
        | TemplateSegment::Topic
        | TemplateSegment::Partition
        | TemplateSegment::Item
        | TemplateSegment::Route
        | TemplateSegment::Offset
        | TemplateSegment::Timestamp(_)
        | TemplateSegment::Now
        | TemplateSegment::Header(_)
        | TemplateSegment::Field { .. }
        | TemplateSegment::Original { .. }
        | TemplateSegment::Formed { .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pointer(members: &[&str]) -> pointer::Pointer {
        pointer::Pointer { members: members.iter().map(|&member| member.to_owned()).collect() }
    }

    #[test]
    fn grammar() {
        let literal = |text: &str| TemplateSegment::Literal(text.to_owned());
        let formed = |of: TemplateSegment, form: ValueForm| TemplateSegment::Formed { of: Box::new(of), form };
        let lower = |of: TemplateSegment| formed(of, ValueForm::Lower);
        let time = |format: &str, of: TemplateSegment| {
            formed(of, ValueForm::Time(TimeForm { format: format.to_owned(), zone: TimeZone::UTC }))
        };
        let table = [
            ("", vec![]),
            ("items", vec![literal("items")]),
            ("{key}", vec![TemplateSegment::Key]),
            (
                "{topic}+{partition}+{offset}",
                vec![
                    TemplateSegment::Topic,
                    literal("+"),
                    TemplateSegment::Partition,
                    literal("+"),
                    TemplateSegment::Offset,
                ],
            ),
            ("a-{timestamp:%Y.%m.%d}", vec![literal("a-"), TemplateSegment::Timestamp(Some("%Y.%m.%d".into()))]),
            ("{timestamp:%H:%M}", vec![TemplateSegment::Timestamp(Some("%H:%M".into()))]),
            ("{timestamp}", vec![TemplateSegment::Timestamp(None)]),
            ("{header:x:y}", vec![TemplateSegment::Header("x:y".into())]),
            ("{/a/b~1c}", vec![TemplateSegment::Field { pointer: pointer(&["a", "b/c"]), fallback: None }]),
            ("{/a|}", vec![TemplateSegment::Field { pointer: pointer(&["a"]), fallback: Some(String::new()) }]),
            ("{/a|x|y}", vec![TemplateSegment::Field { pointer: pointer(&["a"]), fallback: Some("x|y".into()) }]),
            (
                "{original:/m|z}",
                vec![TemplateSegment::Original { pointer: pointer(&["m"]), fallback: Some("z".into()) }],
            ),
            (
                "{key:/payload/id}",
                vec![TemplateSegment::KeyField { pointer: pointer(&["payload", "id"]), fallback: None }],
            ),
            ("{topic:lower}", vec![lower(TemplateSegment::Topic)]),
            ("{key:lower}", vec![lower(TemplateSegment::Key)]),
            ("{header:h:lower}", vec![lower(TemplateSegment::Header("h".into()))]),
            (
                "{original:/yyyy/MM}",
                vec![TemplateSegment::Original { pointer: pointer(&["yyyy", "MM"]), fallback: None }],
            ),
            ("{/a:b}", vec![TemplateSegment::Field { pointer: pointer(&["a:b"]), fallback: None }]),
            (
                "{/a:lower|B}",
                vec![lower(TemplateSegment::Field { pointer: pointer(&["a"]), fallback: Some("B".into()) })],
            ),
            (
                "{/a|B:lower}",
                vec![TemplateSegment::Field { pointer: pointer(&["a"]), fallback: Some("B:lower".into()) }],
            ),
            ("{key:/a:lower}", vec![lower(TemplateSegment::KeyField { pointer: pointer(&["a"]), fallback: None })]),
            (
                "{/@timestamp:%Y.%m.%d}",
                vec![time("%Y.%m.%d", TemplateSegment::Field { pointer: pointer(&["@timestamp"]), fallback: None })],
            ),
            (
                "{original:/t:%H:%M|none}",
                vec![time(
                    "%H:%M",
                    TemplateSegment::Original { pointer: pointer(&["t"]), fallback: Some("none".into()) },
                )],
            ),
            ("{now:%Y.%m}", vec![time("%Y.%m", TemplateSegment::Now)]),
            ("a{{b}}c", vec![literal("a{b}c")]),
            (
                "user:{/user}",
                vec![literal("user:"), TemplateSegment::Field { pointer: pointer(&["user"]), fallback: None }],
            ),
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
            ("{now}", "has no format"),
            ("{now:%!}", "not a strftime format"),
            ("{/a:%!}", "not a strftime format"),
            ("{topic:%Y}", "only fields"),
            ("{header:h:%Y}", "only fields"),
            ("{key:id}", "takes a pointer"),
            ("{timestamp:yyyyMMdd}", "is the same for every time"),
            ("{timestamp:lower}", "is the same for every time"),
            ("{timestamp:%%}", "is the same for every time"),
            ("{now:%n}", "is the same for every time"),
            ("{/a:yyyy.MM.dd}", "there is no form `yyyy.MM.dd`"),
            ("{key:/a:upper}", "there is no form `upper`"),
            ("{original:/a:%Y:lower}", "there is no form"),
            ("{/a:lower:lower}", "there is no form `lower`"),
        ];
        for (text, reason) in table {
            let refusal = parse(text).unwrap_err();
            assert!(refusal.reason.contains(reason), "{text}: {}", refusal.reason);
        }
        assert_eq!(parse("{.a.b}").unwrap_err().remedy, "write `{/a/b}`");
        assert!(parse("{kye}").unwrap_err().remedy.contains("did you mean `{key}`"));
        for (text, remedy) in [
            ("{timestamp:yyyy.MM.dd}", "write `{timestamp:%Y.%m.%d}`"),
            ("{timestamp:EEE}", "write `{timestamp:%Y.%m.%d}`"),
            ("{/a:HH-mm}", "write `{/a:%H-%M}`"),
        ] {
            assert_eq!(parse(text).unwrap_err().remedy, remedy);
        }
        for format in ["%a", "%p", "%j", "%U", "%C", "%f", "%u"] {
            assert!(parse(&format!("{{timestamp:{format}}}")).is_ok(), "{format}");
        }
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
