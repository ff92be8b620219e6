//! A second reader of JSON, built on serde_json's raw values: keeps the order of members, duplicates and every byte.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value; scalars as they are spelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// A number, string, boolean or null, byte for byte.
    Scalar(String),
    /// An array.
    Array(Vec<Tree>),
    /// An object's members, names unescaped, in order, duplicates included.
    Object(Vec<(String, Tree)>),
}

/// What serde_json says of a value.
pub enum Verdict {
    /// It is JSON; its text without the blanks around it.
    Valid(Box<RawValue>),
    /// It is not.
    Invalid(String),
    /// Nested deeper than serde_json follows: it cannot judge.
    Unknown,
}

/// Judges the whole value, strings and numbers included.
pub fn judge(bytes: &[u8]) -> Verdict {
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(_) => match serde_json::from_slice(bytes) {
            Ok(raw) => Verdict::Valid(raw),
            Err(error) => Verdict::Invalid(error.to_string()),
        },
        Err(error) if error.to_string().contains("recursion limit") => Verdict::Unknown,
        Err(error) => Verdict::Invalid(error.to_string()),
    }
}

/// The members of an object, in order; `None` for anything else.
pub fn members(raw: &RawValue) -> Option<Vec<(String, Box<RawValue>)>> {
    struct Members(Vec<(String, Box<RawValue>)>);
    impl<'de> Deserialize<'de> for Members {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Each;
            impl<'de> Visitor<'de> for Each {
                type Value = Members;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                    let mut all = Vec::new();
                    while let Some(member) = map.next_entry()? {
                        all.push(member);
                    }
                    Ok(Members(all))
                }
            }
            deserializer.deserialize_map(Each)
        }
    }
    let is_object = raw.get().starts_with('{');
    is_object.then(|| serde_json::from_str::<Members>(raw.get()).expect("judged valid").0)
}

/// The elements of an array; `None` for anything else.
pub fn elements(raw: &RawValue) -> Option<Vec<Box<RawValue>>> {
    raw.get().starts_with('[').then(|| serde_json::from_str(raw.get()).expect("judged valid"))
}

/// Follows a pointer's members: the first of equal names, array elements by index.
pub fn find(raw: &RawValue, path: &[String]) -> Option<Box<RawValue>> {
    let Some((first, rest)) = path.split_first() else { return Some(raw.to_owned()) };
    let inside = match (members(raw), elements(raw)) {
        (Some(members), _) => members.into_iter().find(|(name, _)| name == first)?.1,
        (None, Some(elements)) => {
            let digits = first.bytes().all(|byte| byte.is_ascii_digit()) && (first == "0" || !first.starts_with('0'));
            elements.into_iter().nth(digits.then(|| first.parse().ok()).flatten()?)?
        }
        (None, None) => return None,
    };
    find(&inside, rest)
}

/// The whole value as a tree.
pub fn tree(raw: &RawValue) -> Tree {
    match (members(raw), elements(raw)) {
        (Some(members), _) => Tree::Object(members.into_iter().map(|(name, raw)| (name, tree(&raw))).collect()),
        (None, Some(elements)) => Tree::Array(elements.iter().map(|raw| tree(raw)).collect()),
        (None, None) => Tree::Scalar(raw.get().to_owned()),
    }
}

/// Sets the member at `into`: the first of its name is replaced, a new one comes last. `false` when there is no object
/// to put it into.
pub fn put(tree: &mut Tree, into: &[String], value: &Tree) -> bool {
    let (Some((first, rest)), Tree::Object(members)) = (into.split_first(), tree) else { return false };
    let found = members.iter_mut().find(|(name, _)| name == first);
    match (found, rest.is_empty()) {
        (Some((_, old)), true) => *old = value.clone(),
        (None, true) => members.push((first.clone(), value.clone())),
        (Some((_, inside)), false) => return put(inside, rest, value),
        (None, false) => return false,
    }
    true
}

/// A scalar as a template renders it; `None` for null, objects and arrays.
pub fn rendered(raw: &RawValue) -> Option<String> {
    match raw.get().as_bytes().first()? {
        b'n' | b'{' | b'[' => None,
        b'"' => serde_json::from_str(raw.get()).ok(),
        _ => Some(raw.get().to_owned()),
    }
}
