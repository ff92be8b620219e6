//! Regular expressions of `matches`: compiled once, with a bound on what they take, and refused with the place of the
//! mistake.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind, Look};
use regex_syntax::{Error, Parser};

use crate::leaf::CheckContext;

/// Most bytes of a compiled expression: a thousand times what usual ones take, and little beside a batch.
const MAX_PROGRAM_BYTES: usize = 1 << 20;
/// Most bytes of what a search keeps to be faster the next time.
const MAX_CACHE_BYTES: usize = 1 << 20;
/// Deepest nesting of groups.
const MAX_GROUPS: u32 = 100;

/// Compiles `text`; a finding and nothing where it is wrong.
pub(super) fn check(text: &str, path: &str, context: &CheckContext<'_>) -> Option<Regex> {
    let tree = match Parser::new().parse(text) {
        Ok(tree) => tree,
        Err(error) => {
            context.error(path, format!("no regular expression: {}", fault(&error)), remedy(&error, path, context));
            return None;
        }
    };
    if is_stranded(&tree) {
        context.warn(
            path,
            "matches nothing: `$` is the end of the string, and more must follow it",
            "for a dollar sign write `\\$$`: every `$` is written `$$`, and the backslash makes it a character",
        );
    }
    let compiled = RegexBuilder::new(text)
        .size_limit(MAX_PROGRAM_BYTES)
        .dfa_size_limit(MAX_CACHE_BYTES)
        .nest_limit(MAX_GROUPS)
        .build();
    let refuse = |error: regex::Error| {
        let remedy = "write a shorter one: smaller counts in `{…}`, fewer groups, `[0-9]` in place of `\\d`";
        context.error(path, format!("the regular expression is too large: {}", one_line(&error.to_string())), remedy);
    };
    compiled.map_err(refuse).ok()
}

/// What is wrong, and where.
fn fault(error: &Error) -> String {
    let (place, kind) = match error {
        Error::Parse(error) => (error.span().start, error.kind().to_string()),
        Error::Translate(error) => (error.span().start, error.kind().to_string()),
        other => return one_line(&other.to_string()),
    };
    let line = if place.line > 1 { format!("line {}, ", place.line) } else { String::new() };
    format!("{kind} at {line}character {}", place.column)
}

fn remedy(error: &Error, path: &str, context: &CheckContext<'_>) -> String {
    use regex_syntax::ast::ErrorKind::{UnsupportedBackreference, UnsupportedLookAround};
    let variables = context.index.variables(path);
    match error {
        _ if !variables.is_empty() => {
            let filled = variables.join("}`, `${");
            format!("`${{{filled}}}` was filled in as a variable; a `$` of the expression is written `$$`")
        }
        Error::Parse(error) if matches!(error.kind(), UnsupportedLookAround) => {
            "write what must not be there as a condition of its own: `- not: { field: …, matches: … }`".to_owned()
        }
        Error::Parse(error) if matches!(error.kind(), UnsupportedBackreference) => {
            "write the text again; what a group found cannot be asked for in linear time".to_owned()
        }
        _ => "correct it there; a backslash makes a sign a character, and a `$` is written `$$`".to_owned(),
    }
}

/// Whether something must follow an end of the text, which nothing does.
fn is_stranded(tree: &Hir) -> bool {
    let mut ended = false;
    if let HirKind::Concat(parts) = tree.kind() {
        for part in parts {
            if ended && part.properties().minimum_len().is_some_and(|least| least > 0) {
                return true;
            }
            ended |= *part.kind() == HirKind::Look(Look::End);
        }
    }
    // Of alternatives another one may match.
    match tree.kind() {
        HirKind::Concat(parts) => parts.iter().any(is_stranded),
        HirKind::Capture(capture) => is_stranded(&capture.sub),
        HirKind::Alternation(parts) => parts.iter().all(is_stranded),
        HirKind::Repetition(repeated) => repeated.min > 0 && is_stranded(&repeated.sub),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => false,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
