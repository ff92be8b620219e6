//! Patterns of topics mean to the C library, which librdkafka asks, what they mean to us and what they meant as
//! written.

use std::ffi::CString;

use proptest::prelude::*;

use crate::config::pattern::Pattern;

/// The C library's expression, compiled as `rdregex.c` does it.
struct Posix(libc::regex_t);

impl Posix {
    fn new(pattern: &str) -> Option<Self> {
        let text = CString::new(pattern).expect("no NUL");
        // SAFETY: `regex_t` is plain data that `regcomp` fills in.
        let mut compiled: libc::regex_t = unsafe { std::mem::zeroed() };
        // SAFETY: a live target and a NUL-terminated pattern.
        let code = unsafe { libc::regcomp(&raw mut compiled, text.as_ptr(), libc::REG_EXTENDED | libc::REG_NOSUB) };
        (code == 0).then_some(Self(compiled))
    }

    fn matches(&self, name: &str) -> bool {
        let text = CString::new(name).expect("no NUL");
        // SAFETY: compiled by `new`; no places of matches are asked for.
        unsafe { libc::regexec(&raw const self.0, text.as_ptr(), 0, std::ptr::null_mut(), 0) != libc::REG_NOMATCH }
    }
}

impl Drop for Posix {
    fn drop(&mut self) {
        // SAFETY: compiled by `new`, freed once.
        unsafe { libc::regfree(&raw mut self.0) };
    }
}

/// Patterns as people write them, of the parts that are taken.
fn pattern() -> impl Strategy<Value = String> {
    let class = prop::sample::select(vec![
        r"\d",
        r"\D",
        r"\w",
        r"\W",
        ".",
        "[a-c]",
        "[^a-c]",
        r"[\d_]",
        r"[^\w]",
        "[a.-]",
        "[[:digit:]x]",
        r"\.",
        r"\-",
        "a",
        "b",
        "1",
        "-",
        "_",
        "[]b]",
        r"[\-a]",
    ])
    .prop_map(str::to_owned);
    let times = prop::sample::select(vec!["", "", "", "*", "+", "?", "{2}", "{1,2}", "{2,}", "{0,1}"]);
    let tree = class.prop_recursive(4, 24, 4, move |inner| {
        let times = times.clone();
        prop_oneof![
            prop::collection::vec((inner.clone(), times.clone()), 1..4).prop_map(|pieces| {
                pieces.into_iter().map(|(piece, times)| format!("(?:{piece}){times}")).collect::<String>()
            }),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one}|{other})")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("{one}{other}")),
            inner.prop_map(|inner| format!("(?P<n>{inner})")),
        ]
    });
    (tree, any::<bool>()).prop_map(|(inner, closed)| format!("^{inner}{}", if closed { "$" } else { "" }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn three_engines_agree_about_every_name(
        written in pattern(),
        names in prop::collection::vec("[abcdxZ12._-]{1,8}", 1..20),
    ) {
        let pattern = Pattern::new(&written).expect("made of what is taken");
        // Names of groups may come twice here, which this engine refuses: they make no difference.
        let original = regex_lite::Regex::new(&written.replace("?P<n>", "?:")).expect("a pattern");
        let posix = Posix::new(pattern.plain()).expect("an extended expression");
        for name in &names {
            prop_assert_eq!(pattern.matches(name), original.is_match(name), "{} as {}: {}", written, pattern.plain(), name);
            prop_assert_eq!(pattern.matches(name), posix.matches(name), "{} as {}: {}", written, pattern.plain(), name);
        }
    }
}

#[test]
fn the_c_library_knows_no_digits_of_perls() {
    let written = Posix::new(r"^bre-\d+$").expect("taken, and misread");
    assert!(!written.matches("bre-22"));
    let plain = Pattern::new(r"^bre-\d+$").expect("a pattern");
    assert!(Posix::new(plain.plain()).expect("an expression").matches("bre-22"));
}
