//! Lists in one text: `BROKERS=a:9092,b:9092` fills the list of brokers. Works on the tree, behind the variables.
//!
//! Where a list of texts is expected, one text is taken apart at commas and blanks, and so is a member of the list that a
//! variable was filled into. Other members stay as they are, so that a slip of the pen is still told.

use crate::leaf::tree::{Node, ScalarText, TreeValue};

/// Where such lists are, by the last part of their path and by what stands before it.
const LISTS: [(&str, &str); 3] = [
    ("connections.kafka.", ".brokers"),
    ("connections.elasticsearch.", ".nodes"),
    ("pipelines.", ".source.kafka.topics"),
];

/// Takes texts in the places of lists apart. The paths are named before and after.
pub fn split(root: &mut Node) {
    let is_list = |path: &str| LISTS.iter().any(|(start, end)| path.starts_with(start) && path.ends_with(end));
    visit(root, &is_list);
}

fn visit(node: &mut Node, is_list: &impl Fn(&str) -> bool) {
    if is_list(&node.path) {
        let path = node.path.clone();
        if let Some(items) = apart(node) {
            node.value = TreeValue::List(items);
            node.name_paths(&path);
        }
        return;
    }
    match &mut node.value {
        TreeValue::Scalar(_) => {}
        TreeValue::List(items) => items.iter_mut().for_each(|item| visit(item, is_list)),
        TreeValue::Map(entries) => entries.iter_mut().for_each(|entry| visit(&mut entry.node, is_list)),
    }
}

/// The members; `None` where nothing is to be taken apart.
fn apart(node: &Node) -> Option<Vec<Node>> {
    let urls = node.path.ends_with(".nodes");
    let members = |item: &Node, scalar: &ScalarText| -> Vec<Node> {
        let texts = parts(&scalar.text, urls).into_iter();
        let member = |text: &str| TreeValue::Scalar(ScalarText { text: text.to_owned(), ..scalar.clone() });
        texts.map(|text| Node::new(member(text), item.origin.clone())).collect()
    };
    match &node.value {
        // A text that is no address was perhaps meant for another key, and may be a secret: it is not taken for a member.
        TreeValue::Scalar(scalar)
            if !scalar.is_null() && (scalar.text.contains(':') || node.path.ends_with(".topics")) =>
        {
            Some(members(node, scalar))
        }
        TreeValue::List(items) => {
            let filled = |item: &Node| matches!(&item.value, TreeValue::Scalar(scalar) if !scalar.variables.is_empty());
            items.iter().any(filled).then(|| {
                let one = |item: &Node| match &item.value {
                    TreeValue::Scalar(scalar) if !scalar.variables.is_empty() => members(item, scalar),
                    TreeValue::Scalar(_) | TreeValue::List(_) | TreeValue::Map(_) => vec![item.clone()],
                };
                items.iter().flat_map(one).collect()
            })
        }
        TreeValue::Scalar(_) | TreeValue::Map(_) => None,
    }
}

/// At commas and blanks outside of brackets, which patterns have; URLs only where the next one begins, because a password may
/// hold a comma.
fn parts(text: &str, urls: bool) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_u32);
    for (at, character) in text.char_indices() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let cuts = character == ',' || character.is_whitespace();
        let next = text[at..].trim_start_matches(|one: char| one == ',' || one.is_whitespace());
        let is_new = if urls { next.is_empty() || next.starts_with("http") } else { depth == 0 };
        if cuts && is_new {
            parts.push(&text[start..at]);
            start = at + character.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts
        .into_iter()
        .map(|part| part.trim_matches(|one: char| one == ',' || one.is_whitespace()))
        .filter(|part| !part.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_commas_and_blanks() {
        for (text, urls, expected) in [
            ("a:9092,b:9092", false, vec!["a:9092", "b:9092"]),
            (" a:1 , b:2,\n c:3 ,", false, vec!["a:1", "b:2", "c:3"]),
            ("a", false, vec!["a"]),
            ("", false, vec![]),
            (" , ", false, vec![]),
            ("^a{1,3}$,b", false, vec!["^a{1,3}$", "b"]),
            ("^(a|b)[,x]+ c", false, vec!["^(a|b)[,x]+", "c"]),
            ("http://h:1,https://u:p,w@g:2 http://i", true, vec!["http://h:1", "https://u:p,w@g:2", "http://i"]),
            ("http://h", true, vec!["http://h"]),
            ("h:1,g:2", true, vec!["h:1,g:2"]),
        ] {
            assert_eq!(parts(text, urls), expected, "{text}");
        }
    }
}
