//! RFC 6901 pointers as written → members. Other spellings are refused with the pointer to write.

use std::fmt;

/// RFC 6901 pointer, unescaped into its members; array indexes stay text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pointer {
    /// Members from the root.
    pub members: Vec<String>,
}

impl Pointer {
    /// The pointer in a message about a record.
    #[must_use]
    pub(crate) fn shown(&self) -> String {
        if self.members.is_empty() { "the record".to_owned() } else { self.to_string() }
    }
}

impl fmt::Display for Pointer {
    /// As a user writes it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut members = self.members.iter();
        members.try_for_each(|member| write!(out, "/{}", member.replace('~', "~0").replace('/', "~1")))
    }
}

/// Why a text is refused, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointerRefusal {
    /// What is wrong.
    pub reason: String,
    /// What to write.
    pub remedy: String,
}

impl PointerRefusal {
    /// A refusal.
    pub fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into() }
    }
}

/// Most members of a pointer: the deepest nesting a record may have.
const MAX_MEMBERS: usize = 1_024;

/// Parses a pointer; the empty text is the whole record.
///
/// # Errors
/// `.a.b`, `$.a.b`, `a.b` and `a/b`, with the pointer to write; `~` other than `~0` and `~1`.
pub fn parse(text: &str) -> Result<Pointer, PointerRefusal> {
    if text.is_empty() {
        return Ok(Pointer { members: Vec::new() });
    }
    let Some(rest) = text.strip_prefix('/') else {
        return Err(PointerRefusal::new(
            format!("`{text}` is not an RFC 6901 pointer: pointers start with `/`"),
            format!("write `{}`", suggestion(text)),
        ));
    };
    let members: Vec<String> = rest.split('/').map(unescape).collect::<Option<_>>().ok_or_else(|| {
        PointerRefusal::new(
            format!("`{text}` has a `~` that is neither `~0` nor `~1`"),
            "write `~0` for `~` and `~1` for `/` inside a name",
        )
    })?;
    if members.len() > MAX_MEMBERS {
        return Err(PointerRefusal::new(
            format!("a pointer of more than {MAX_MEMBERS} members"),
            "records nest less deep than that",
        ));
    }
    Ok(Pointer { members })
}

/// The pointer that was probably meant by `.a.b[0]`, `$.a.b`, `$['a']`, `a.b` or `a/b`.
fn suggestion(text: &str) -> String {
    let path = text.trim().trim_start_matches('$').replace(['[', '/'], ".").replace([']', '\'', '"'], "");
    let members: Vec<_> =
        path.split('.').filter(|member| !member.is_empty()).map(|member| member.replace('~', "~0")).collect();
    format!("/{}", members.join("/"))
}

fn unescape(member: &str) -> Option<String> {
    let mut text = String::with_capacity(member.len());
    let mut characters = member.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '~' => match characters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pointers() {
        let table: [(&str, &[&str]); 7] = [
            ("", &[]),
            ("/", &[""]),
            ("/a", &["a"]),
            ("/a/0/b c", &["a", "0", "b c"]),
            ("/a~1b/m~0n", &["a/b", "m~n"]),
            ("/~01", &["~1"]),
            ("/a.b/$", &["a.b", "$"]),
        ];
        for (text, members) in table {
            assert_eq!(parse(text).unwrap().members, members, "{text}");
        }
    }

    #[test]
    fn other_spellings_name_the_pointer_to_write() {
        let table = [
            (".a.b", "/a/b"),
            ("$.a.b", "/a/b"),
            ("$['a'][0].b", "/a/0/b"),
            ("a.b", "/a/b"),
            ("result", "/result"),
            ("a/b", "/a/b"),
            ("$", "/"),
        ];
        for (text, pointer) in table {
            let refusal = parse(text).unwrap_err();
            assert_eq!(refusal.remedy, format!("write `{pointer}`"), "{text}");
        }
        for text in ["/a~", "/~2", "/a~/b"] {
            assert!(parse(text).unwrap_err().reason.contains('~'), "{text}");
        }
    }

    #[test]
    fn a_pointer_is_shown_with_its_escapes() {
        let pointer = Pointer { members: ["a/b", "m~n", "0", ""].map(str::to_owned).to_vec() };
        assert_eq!((pointer.to_string(), pointer.shown()), ("/a~1b/m~0n/0/".to_owned(), "/a~1b/m~0n/0/".to_owned()));
        assert_eq!(Pointer { members: Vec::new() }.shown(), "the record");
    }

    proptest! {
        #[test]
        fn escaped_members_come_back(members in proptest::collection::vec(".{0,6}", 1..5)) {
            let text: String =
                members.iter().map(|member| format!("/{}", member.replace('~', "~0").replace('/', "~1"))).collect();
            prop_assert_eq!(parse(&text).unwrap().members, members);
        }
    }
}
