//! Lists in one text: `BROKERS=a:9092,b:9092` fills the list of brokers. Works on the tree, behind the variables.
//!
//! Where a list of texts is expected, one text is taken apart at commas, semicolons and blanks, and so is a member of
//! the list that a variable was filled into. What tools leave around such a text, quotes or the brackets of a JSON
//! list, is taken off. Other members stay as they are, so that a slip of the pen is still told.

use crate::leaf::finding::Finding;
use crate::leaf::tree::{Node, ScalarText, TreeValue};

/// What a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListKind {
    Brokers,
    Nodes,
    Topics,
}

impl ListKind {
    /// The list at a path.
    fn at(path: &str) -> Option<Self> {
        let is = |start: &str, end: &str| path.starts_with(start) && path.ends_with(end);
        if is("connections.kafka.", ".brokers") {
            Some(Self::Brokers)
        } else if is("connections.elasticsearch.", ".nodes") {
            Some(Self::Nodes)
        } else if is("pipelines.", ".source.kafka.topics") {
            Some(Self::Topics)
        } else {
            None
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::Brokers => "host1:9092,host2:9092",
            Self::Nodes => "http://host1:9200,http://host2:9200",
            Self::Topics => "orders,payments",
        }
    }
}

/// Takes texts in the places of lists apart; what cannot be a list. The paths are named before and after.
#[must_use]
pub fn split(root: &mut Node) -> Vec<Finding> {
    let mut findings = Vec::new();
    visit(root, &mut findings);
    findings
}

fn visit(node: &mut Node, findings: &mut Vec<Finding>) {
    if let Some(kind) = ListKind::at(&node.path) {
        let path = node.path.clone();
        match apart(node, kind) {
            Ok(Some(items)) => {
                node.value = TreeValue::List(items);
                node.name_paths(&path);
            }
            Ok(None) => {}
            Err((reason, remedy)) => findings.push(Finding::error(node.origin.clone(), path, reason).remedy(remedy)),
        }
        return;
    }
    match &mut node.value {
        TreeValue::Scalar(_) => {}
        TreeValue::List(items) => items.iter_mut().for_each(|item| visit(item, findings)),
        TreeValue::Map(entries) => entries.iter_mut().for_each(|entry| visit(&mut entry.node, findings)),
    }
}

/// The members; `None` where nothing is to be taken apart.
///
/// # Errors
/// A reason and a remedy; neither quotes the text, which may be a secret that was meant for another key.
fn apart(node: &Node, kind: ListKind) -> Result<Option<Vec<Node>>, (String, String)> {
    let members = |item: &Node, scalar: &ScalarText| -> Vec<Node> {
        let member = |text: String| TreeValue::Scalar(ScalarText { text, ..scalar.clone() });
        parts(&scalar.text, kind).into_iter().map(|text| Node::new(member(text), item.origin.clone())).collect()
    };
    match &node.value {
        TreeValue::Scalar(scalar) if !scalar.is_null() => {
            let items = members(node, scalar);
            if items.is_empty() {
                return Err(empty(&[scalar], kind));
            }
            match kind {
                ListKind::Brokers | ListKind::Nodes if !scalar.text.contains(':') => {
                    let form = if kind == ListKind::Brokers { "`host:port`" } else { "URL" };
                    Err((
                        format!("the text names no {form}, where a list of them is expected"),
                        format!("write `{}`, or a list", kind.example()),
                    ))
                }
                ListKind::Brokers | ListKind::Nodes | ListKind::Topics => Ok(Some(items)),
            }
        }
        TreeValue::List(items) => {
            let filled = |item: &Node| match &item.value {
                TreeValue::Scalar(scalar) if !scalar.variables.is_empty() => Some(scalar.clone()),
                TreeValue::Scalar(_) | TreeValue::List(_) | TreeValue::Map(_) => None,
            };
            let scalars: Vec<ScalarText> = items.iter().filter_map(filled).collect();
            if scalars.is_empty() {
                return Ok(None);
            }
            let one = |item: &Node| filled(item).map_or_else(|| vec![item.clone()], |scalar| members(item, &scalar));
            let all: Vec<Node> = items.iter().flat_map(one).collect();
            if all.is_empty() {
                return Err(empty(&scalars.iter().collect::<Vec<_>>(), kind));
            }
            Ok(Some(all))
        }
        TreeValue::Scalar(_) | TreeValue::Map(_) => Ok(None),
    }
}

fn empty(scalars: &[&ScalarText], kind: ListKind) -> (String, String) {
    let names: Vec<String> =
        scalars.iter().flat_map(|scalar| &scalar.variables).map(|name| format!("`{name}`")).collect();
    let reason = match &names[..] {
        [] => "the text is empty, where a list is expected".to_owned(),
        [name] => format!("the variable {name} is empty, where a list is expected"),
        names => format!("the variables {} are empty, where a list is expected", names.join(", ")),
    };
    let remedy = if names.is_empty() { "write" } else { "set it to what is meant, such as" };
    (reason, format!("{remedy} `{}`", kind.example()))
}

/// The members of one text.
fn parts(text: &str, kind: ListKind) -> Vec<String> {
    let text = unquoted(text.trim());
    if let Ok(list) = serde_json::from_str::<Vec<String>>(text) {
        return list.iter().map(|member| member.trim().to_owned()).filter(|member| !member.is_empty()).collect();
    }
    let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_address = inside.is_some_and(|inside| inside.parse::<std::net::Ipv6Addr>().is_ok());
    let text = inside.filter(|_| !is_address).unwrap_or(text);
    let members = cut(text, kind).into_iter().map(|part| unquoted(part).trim().to_owned());
    members.filter(|member| !member.is_empty()).collect()
}

/// Without a pair of quotes around it, as an `.env` file or a shell leaves them.
fn unquoted(text: &str) -> &str {
    let inside = |quote: char| {
        let inside = text.strip_prefix(quote)?.strip_suffix(quote)?;
        // `"a","b"` is no text in quotes.
        (!inside.contains(quote)).then_some(inside)
    };
    inside('"').or_else(|| inside('\'')).unwrap_or(text)
}

/// At commas, semicolons and blanks outside of brackets, which patterns have; URLs only where the next one begins,
/// because a password may hold a comma.
fn cut(text: &str, kind: ListKind) -> Vec<&str> {
    let is_between = |one: char| matches!(one, ',' | ';') || one.is_whitespace();
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_u32);
    for (at, character) in text.char_indices() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let next = text[at..].trim_start_matches(is_between).trim_start_matches(['"', '\'']);
        let is_new = match kind {
            ListKind::Nodes => next.is_empty() || next.starts_with("http"),
            ListKind::Brokers | ListKind::Topics => depth == 0,
        };
        if is_between(character) && is_new {
            parts.push(&text[start..at]);
            start = at + character.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts.into_iter().map(|part| part.trim_matches(is_between)).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ListKind::{Brokers, Nodes, Topics};

    #[test]
    fn at_commas_semicolons_and_blanks() {
        for (text, kind, expected) in [
            ("a:9092,b:9092", Brokers, vec!["a:9092", "b:9092"]),
            (" a:1 , b:2,\n c:3 ,", Brokers, vec!["a:1", "b:2", "c:3"]),
            ("a:1;b:2 ; c:3;", Brokers, vec!["a:1", "b:2", "c:3"]),
            ("a", Topics, vec!["a"]),
            ("", Brokers, vec![]),
            (" ,; ", Topics, vec![]),
            ("^a{1,3}$,b", Topics, vec!["^a{1,3}$", "b"]),
            ("^(a|b)[,x]+ c", Topics, vec!["^(a|b)[,x]+", "c"]),
            ("http://h:1,https://u:p,w@g:2 http://i", Nodes, vec!["http://h:1", "https://u:p,w@g:2", "http://i"]),
            ("http://h:1;http://i:2", Nodes, vec!["http://h:1", "http://i:2"]),
            ("http://h", Nodes, vec!["http://h"]),
            ("h:1,g:2", Nodes, vec!["h:1,g:2"]),
        ] {
            assert_eq!(parts(text, kind), expected, "{text}");
        }
    }

    #[test]
    fn what_tools_leave_around_a_list_is_taken_off() {
        for (text, kind, expected) in [
            (r#""a:9092,b:9092""#, Brokers, vec!["a:9092", "b:9092"]),
            ("'a:9092'", Brokers, vec!["a:9092"]),
            (r#""a:9092","b:9092""#, Brokers, vec!["a:9092", "b:9092"]),
            (r#"["a:9092", "b:9092"]"#, Brokers, vec!["a:9092", "b:9092"]),
            (r#"'["a:9092","b:9092"]'"#, Brokers, vec!["a:9092", "b:9092"]),
            ("[a:9092, b:9092]", Brokers, vec!["a:9092", "b:9092"]),
            ("['a:9092','b:9092']", Brokers, vec!["a:9092", "b:9092"]),
            ("[::1]:9092,[::2]:9092", Brokers, vec!["[::1]:9092", "[::2]:9092"]),
            ("[::1]", Brokers, vec!["[::1]"]),
            ("[]", Brokers, vec![]),
            (r#"[""]"#, Topics, vec![]),
            (r#""""#, Topics, vec![]),
            (r#"["^a\\.b$","c"]"#, Topics, vec!["^a\\.b$", "c"]),
            (r#"["http://h:1","http://u:p,w@i:2"]"#, Nodes, vec!["http://h:1", "http://u:p,w@i:2"]),
            ("['http://h:1', 'http://i:2']", Nodes, vec!["http://h:1", "http://i:2"]),
            ("\"http://h:1\";\"http://i:2\"", Nodes, vec!["http://h:1", "http://i:2"]),
        ] {
            assert_eq!(parts(text, kind), expected, "{text}");
        }
    }
}
