//! `${VAR}`, `${VAR:-default}`, `${VAR:?why}` and `$$` inside scalar values, after parsing: what a variable holds can
//! never become a key, a list or another value.

use crate::leaf::finding::Finding;
use crate::leaf::tree::{Node, Origin, ScalarText, Style};

/// Reads an environment variable; `None` when it is not set or not UTF-8.
pub type Environment<'env> = &'env dyn Fn(&str) -> Option<String>;

/// Fills in the variables of every scalar below `root`; quoted and unquoted alike.
pub fn expand(root: &mut Node, environment: Environment<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    root.each_scalar(&mut findings, &mut |path, origin, scalar| {
        scalar_expanded(scalar, environment).err().map(|fault| fault.finding(path, origin))
    });
    findings
}

/// What is wrong with a reference.
#[derive(Debug, PartialEq, Eq)]
enum ReferenceFault {
    Unset(String),
    Required(String, String),
    Name,
    Open,
}

impl ReferenceFault {
    fn finding(self, path: &str, origin: &Origin) -> Finding {
        let error = |reason: String| Finding::error(origin.clone(), path, reason);
        match self {
            Self::Unset(name) => error(format!("environment variable `{name}` is not set"))
                .remedy(format!("set it, or write `${{{name}:-default}}`; a literal dollar sign is `$$`")),
            Self::Required(name, why) => error(format!("environment variable `{name}` is not set or empty: {why}"))
                .remedy(format!("set {name}")),
            Self::Name => error("a reference `${…}` without a valid variable name".to_owned())
                .remedy("names are letters, digits and `_`: `${VAR}`, `${VAR:-default}`, `${VAR:?why}`; a literal `${` is `$${`"),
            Self::Open => error("a reference `${` without its closing brace".to_owned())
                .remedy("close it with `}`; a literal `${` is `$${`"),
        }
    }
}

fn scalar_expanded(scalar: &mut ScalarText, environment: Environment<'_>) -> Result<(), ReferenceFault> {
    if !scalar.text.contains('$') {
        return Ok(());
    }
    let mut text = String::with_capacity(scalar.text.len());
    let mut variables = Vec::new();
    let mut rest = scalar.text.as_str();
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = after.find('}').ok_or(ReferenceFault::Open)?;
            let (name, value) = reference(&after[..end], environment)?;
            text.push_str(&value);
            variables.push(name);
            rest = &after[end + 1..];
        } else {
            text.push('$');
        }
    }
    text.push_str(rest);
    // A variable alone in quotes is what it holds, a number too: JSON and the inside of `[…]` have no other way to
    // write one.
    let is_alone = variables.len() == 1
        && scalar.text.starts_with("${")
        && scalar.text.find('}') == scalar.text.len().checked_sub(1);
    if is_alone {
        scalar.style = Style::Plain;
    }
    if !variables.is_empty() {
        scalar.written = Some(std::mem::take(&mut scalar.text));
    }
    scalar.text = text;
    scalar.variables = variables;
    Ok(())
}

/// The inside of `${…}` → the variable's name and the value.
fn reference(inside: &str, environment: Environment<'_>) -> Result<(String, String), ReferenceFault> {
    let end =
        inside.find(|character: char| !(character.is_ascii_alphanumeric() || character == '_')).unwrap_or(inside.len());
    let (name, rest) = inside.split_at(end);
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(ReferenceFault::Name);
    }
    let value = environment(name);
    let filled = value.clone().filter(|value| !value.is_empty());
    let result = if rest.is_empty() {
        value.ok_or_else(|| ReferenceFault::Unset(name.to_owned()))
    } else if let Some(default) = rest.strip_prefix(":-") {
        Ok(filled.unwrap_or_else(|| default.to_owned()))
    } else if let Some(why) = rest.strip_prefix(":?") {
        filled.ok_or_else(|| ReferenceFault::Required(name.to_owned(), why.to_owned()))
    } else {
        Err(ReferenceFault::Name)
    };
    result.map(|value| (name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaf::tree::TreeValue;

    fn environment(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("h1".to_owned()),
            "EMPTY" => Some(String::new()),
            "ODD" => Some("a: \"b\" # c\n- ${HOST} $$".to_owned()),
            _ => None,
        }
    }

    fn expanded(text: &str, style: Style) -> Result<ScalarText, ReferenceFault> {
        let mut scalar = ScalarText::new(text, style);
        scalar_expanded(&mut scalar, &environment).map(|()| scalar)
    }

    #[test]
    fn references() {
        let table = [
            ("${HOST}", "h1"),
            ("${HOST}:${PORT:-9092}", "h1:9092"),
            ("${PORT:-}", ""),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${ODD}", "a: \"b\" # c\n- ${HOST} $$"),
            ("$$", "$"),
            ("$${HOST}", "${HOST}"),
            ("^a.*$", "^a.*$"),
            ("a$b", "a$b"),
            ("${HOST:?needed}", "h1"),
        ];
        for (text, expected) in table {
            for style in [Style::Plain, Style::Quoted] {
                assert_eq!(expanded(text, style).unwrap().text, expected, "{text}");
            }
        }
    }

    #[test]
    fn a_variable_alone_in_quotes_is_what_it_holds() {
        for (text, style) in [
            ("${HOST}", Style::Plain),
            ("${PORT:-9092}", Style::Plain),
            ("${HOST}${HOST}", Style::Quoted),
            ("x${HOST}", Style::Quoted),
            ("${HOST} ", Style::Quoted),
            ("$${HOST}", Style::Quoted),
        ] {
            assert_eq!(expanded(text, Style::Quoted).unwrap().style, style, "{text}");
        }
    }

    #[test]
    fn faults() {
        assert_eq!(expanded("${NO}", Style::Plain), Err(ReferenceFault::Unset("NO".into())));
        assert_eq!(
            expanded("${NO:?why so}", Style::Quoted),
            Err(ReferenceFault::Required("NO".into(), "why so".into()))
        );
        assert_eq!(
            expanded("${EMPTY:?why}", Style::Quoted),
            Err(ReferenceFault::Required("EMPTY".into(), "why".into()))
        );
        assert_eq!(expanded("a${HOST", Style::Plain), Err(ReferenceFault::Open));
        for text in ["${}", "${1A}", "${A-B}", "${A:=x}", "${A B}"] {
            assert_eq!(expanded(text, Style::Plain), Err(ReferenceFault::Name), "{text}");
        }
    }

    #[test]
    fn names_are_kept_for_the_origin() {
        let scalar = expanded("x${HOST}y${PORT:-1}", Style::Plain).unwrap();
        assert_eq!(scalar.variables, ["HOST", "PORT"]);
        assert_eq!(scalar.written.as_deref(), Some("x${HOST}y${PORT:-1}"));
        let node = Node::new(TreeValue::Scalar(scalar), Origin::Default);
        assert!(!format!("{node:?}").contains("h1"));
    }
}
