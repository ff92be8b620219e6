//! Cuts error texts to size and takes secrets out of them before they reach a log, a status page or a dead letter.

/// Longest error text kept, in bytes.
const LIMIT: usize = 1024;
const MASK: &str = "***";
/// What follows one of these, up to the end of its line or quotation, is masked.
const SECRET_NAMES: [&str; 7] = ["authorization", "password", "passwd", "api_key", "apikey", "secret", "bearer "];

/// The text without what follows a name of a secret, without user information in URLs, on one line, at most 1 KiB.
pub(super) fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(LIMIT));
    let mut rest = text;
    // Longer texts are cut before the search, with room for what masking takes away.
    if rest.len() > 4 * LIMIT {
        rest = &rest[..rest.floor_char_boundary(4 * LIMIT)];
    }
    let masked = mask_user_info(&mask_named(rest));
    for character in masked.chars() {
        if out.len() + character.len_utf8() > LIMIT {
            break;
        }
        out.push(if character.is_control() { ' ' } else { character });
    }
    out
}

fn mask_named(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    loop {
        let next =
            SECRET_NAMES.iter().filter_map(|name| lower[at..].find(name).map(|found| at + found + name.len())).min();
        let Some(name_end) = next else { break };
        out.push_str(&text[at..name_end]);
        let value_end = text[name_end..].find(['\n', '\r', ',', ';', '}']).map_or(text.len(), |end| name_end + end);
        let separator =
            text[name_end..value_end].len() - text[name_end..value_end].trim_start_matches(is_separator).len();
        let names_a_value = separator > 0 || text[..name_end].ends_with(' ');
        if names_a_value && name_end + separator < value_end {
            out.push_str(&text[name_end..name_end + separator]);
            out.push_str(MASK);
            at = value_end;
        } else {
            at = name_end;
        }
    }
    out.push_str(&text[at..]);
    out
}

fn is_separator(character: char) -> bool {
    matches!(character, ':' | '=' | ' ' | '"' | '\'' | '\\')
}

fn mask_user_info(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(scheme) = rest.find("://") {
        let (before, after) = rest.split_at(scheme + 3);
        out.push_str(before);
        let authority = after.find(['/', ' ', '"', '\'']).unwrap_or(after.len());
        if let Some(user_info) = after[..authority].rfind('@') {
            out.push_str(MASK);
            rest = &after[user_info..];
        } else {
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_the_rest_stays() {
        let cases = [
            ("mapper_parsing_exception: field [a]", "mapper_parsing_exception: field [a]"),
            ("header Authorization: Basic c2VjcmV0\nbody", "header Authorization: *** body"),
            ("{\"password\":\"hunter2\",\"id\":7}", "{\"password\":\"***,\"id\":7}"),
            ("connect http://user:hunter2@host:9200/x failed", "connect http://***@host:9200/x failed"),
            ("sent Bearer abc.def", "sent Bearer ***"),
            ("field [password] is missing", "field [password] is missing"),
        ];
        for (text, expected) in cases {
            assert_eq!(redact(text), expected);
        }
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let text = "ä".repeat(10_000);
        let cut = redact(&text);
        assert!(cut.len() <= LIMIT && cut.len() > LIMIT - 2 && cut.chars().all(|character| character == 'ä'));
    }
}
