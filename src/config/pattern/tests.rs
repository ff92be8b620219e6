//! What is taken and how it is written again; that librdkafka's engine agrees is tested in `librdkafka::pattern_tests`.

use super::*;

#[test]
fn what_people_write_becomes_what_both_engines_know() {
    for (written, plain, matching, other) in [
        (r"^bre-\d+$", "^bre-[0-9]+$", "bre-22", "bre-x"),
        ("^bre-(?:1|22)$", "^bre-(1|22)$", "bre-1", "bre-2"),
        (r"^(?P<env>prod|stage)\.\w+", r"^(prod|stage)\.[0-9A-Z_a-z]+", "prod.a_1", "prodxa"),
        (r"^a\Db$", "^a[.A-Z_a-z-]b$", "a-b", "a1b"),
        (r"^[\w.]{2,3}$", "^[.0-9A-Z_a-z]{2,3}$", "a.b", "a-b"),
        (r"^[\d-]+$", "^[0-9-]+$", "1-2", "1.2"),
        ("^[^a-y-]$", "^[.0-9A-Z_z]$", "z", "y"),
        ("^[[:alpha:]_]*$", "^[A-Z_a-z]*$", "a_b", "a1"),
        (r"^logs\-eu\_1", "^logs-eu_1", "logs-eu_12", "logs-eu.1"),
        ("^a|^b{2}$", "^a|^b{2}$", "bb", "b"),
        ("^x{,2}$", "^x{0,2}$", "xx", "xxx"),
        (r"^[\s\d]$", "^[0-9]$", "7", "a"),
        ("^[]a]$", "^a$", "a", "b"),
        ("^.*", "^.*", "anything", ""),
    ] {
        let pattern = Pattern::new(written).unwrap_or_else(|refusal| panic!("{written}: {refusal:?}"));
        assert_eq!((pattern.plain(), pattern.to_string()), (plain, written.to_owned()));
        assert!(pattern.matches(matching), "{written} {matching}");
        assert!(other.is_empty() || !pattern.matches(other), "{written} {other}");
        let again = Pattern::new(pattern.plain()).expect("what is written is read");
        assert_eq!(again.plain(), pattern.plain());
    }
}

#[test]
fn what_one_engine_does_not_know_is_refused_with_what_to_write() {
    for (pattern, reason, remedy) in [
        ("^bre-(?!sandbox).*", "look-aheads", "topic.blacklist"),
        ("^(?=a)b", "look-aheads", "say what is wanted"),
        ("^a(?<!b)c", "look-behinds", "say what is wanted"),
        ("^(?i)orders", "flags", "[Oo]"),
        ("^(?i:orders)", "flags", "[Oo]"),
        ("^(?>a)", "atomic", "`(`"),
        ("^(?#x)a", "comments", "remove"),
        ("^a.*?b", "lazy", "remove it"),
        ("^a+?", "lazy", "remove it"),
        ("^a*+", "possessive", "remove it"),
        ("^a**", "repeats what is repeated", "remove one"),
        (r"^(a)\1", "back-references", "write both"),
        (r"^orders\b", "edges of words", "[._-]"),
        (r"^\Aorders", "`\\A`", "`^`"),
        (r"^orders\z", "`\\z`", "`$`"),
        (r"^\p{L}+", "\\p{L}", "[a-z]"),
        (r"^\e", "`\\e`", "write `e`"),
        (r"^a\sb", "no topic's name", "letters, digits"),
        ("^a b", "` ` stands", "leave it out"),
        ("^a/b", "`/` stands", "leave it out"),
        ("^[/@]", "`[/@]` stands", "leave it out"),
        ("^ö", "`ö` stands", "leave it out"),
        ("^a(", "ends too early|empty|without its `)`", "|close"),
        ("^(a", "without its `)`", "close it"),
        ("^a)", "without its `(`", "remove"),
        ("^[a", "without its `]`", "close it"),
        ("^(a|)", "empty", "(a|b)?"),
        ("^*a", "behind `^`", ".*"),
        ("^(*a)", "repeats nothing", ".*"),
        ("^a{2", "begins a count", "{2}"),
        ("^a{3,2}", "begins a count", "{2}"),
        ("^a{0}", "begins a count", "{2}"),
        ("^a{256}", "begins a count", "255"),
        ("^((a{200}){200}){200}", "multiply", "smaller"),
        ("^[z-a]", "backwards", "a-z"),
        ("^[[:blank:]]", "class", "[a-z0-9]"),
        ("^a\\", "backslash", "remove"),
    ] {
        let refusal = Pattern::new(pattern).err().unwrap_or_else(|| panic!("{pattern} is taken"));
        assert!(reason.split('|').any(|reason| refusal.reason.contains(reason)), "{pattern}: {refusal:?}");
        assert!(remedy.split('|').any(|remedy| refusal.remedy.contains(remedy)), "{pattern}: {refusal:?}");
    }
    assert!(Pattern::new(&format!("^{}", "a".repeat(1_024))).is_err());
    assert!(Pattern::new(&format!("^{}a{}", "(".repeat(40), ")".repeat(40))).is_err());
}
