//! Ends of tokens in bytes that are known to be valid JSON. Never recursive, never out of bounds: on bytes that are not
//! JSON the answer is meaningless but the scan still ends at the end of the bytes.

use memchr::memchr2;

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// The first position at or behind `at` that holds no blank.
pub(super) fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|byte| is_blank(*byte)) {
        at += 1;
    }
    at
}

/// The position behind the last byte before `end` that is no blank.
pub(super) fn trim_blanks(bytes: &[u8], mut end: usize) -> usize {
    while end > 0 && bytes.get(end - 1).is_some_and(|byte| is_blank(*byte)) {
        end -= 1;
    }
    end
}

/// The position behind the closing quote of the string whose first character is at `content`.
pub(super) fn string_end(bytes: &[u8], mut content: usize) -> usize {
    while let Some(rest) = bytes.get(content..) {
        match memchr2(b'"', b'\\', rest) {
            Some(found) if rest[found] == b'"' => return content + found + 1,
            Some(found) => content += found + 2,
            None => break,
        }
    }
    bytes.len()
}

/// The position behind the closing quote of the string whose first character is at `content` and that has `len` bytes
/// without its escapes. Strings without escapes, which nearly all are, cost the same whatever their length.
#[inline]
pub(super) fn known_string_end(bytes: &[u8], content: usize, len: usize) -> usize {
    let quote = content + len;
    // No escape is shorter than what it stands for, so the closing quote is here or later. A quote here that no
    // backslash precedes is not escaped, so it closes the string; the one that does may still close it, as in `"\\\\"`.
    if bytes.get(quote) == Some(&b'"') && bytes.get(quote.wrapping_sub(1)) != Some(&b'\\') {
        quote + 1
    } else {
        string_end(bytes, content)
    }
}

/// The position behind the number, `true`, `false` or `null` that starts at `at`.
pub(super) fn token_end(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|byte| !is_blank(*byte) && !matches!(byte, b',' | b']' | b'}')) {
        at += 1;
    }
    at
}

/// The position behind the value that starts at `at`.
pub(super) fn value_end(bytes: &[u8], mut at: usize) -> usize {
    match bytes.get(at) {
        Some(b'"') => return string_end(bytes, at + 1),
        Some(b'{' | b'[') => {}
        Some(_) | None => return token_end(bytes, at),
    }
    let mut depth = 0_usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = string_end(bytes, at + 1);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return at + 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    at
}

/// Whether `token` is spelled like a JSON number, whatever its size (RFC 8259 section 6).
pub(super) fn is_number(token: &[u8]) -> bool {
    let digits = |from: usize| from + token[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let start = usize::from(token.first() == Some(&b'-'));
    let mut at = digits(start);
    if at == start || (token[start] == b'0' && at > start + 1) {
        return false;
    }
    if token.get(at) == Some(&b'.') {
        let end = digits(at + 1);
        if end == at + 1 {
            return false;
        }
        at = end;
    }
    if matches!(token.get(at), Some(b'e' | b'E')) {
        let first = at + 1 + usize::from(matches!(token.get(at + 1), Some(b'+' | b'-')));
        let end = digits(first.min(token.len()));
        if end == first {
            return false;
        }
        at = end;
    }
    at == token.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_every_kind_of_value() {
        for (text, end) in [
            (r#""a\"b" , 1"#, 6),
            (r#""a\\" , 1"#, 5),
            ("-1.5e3,2", 6),
            ("true}", 4),
            ("null\n}", 4),
            (r#"{"a":"}","b":[1,{"]":2}]} ,"#, 25),
            ("[[],[]]]", 7),
            ("{}", 2),
            ("[1", 2),
            (r#""open"#, 5),
            (r#""open\"#, 6),
        ] {
            assert_eq!(value_end(text.as_bytes(), 0), end, "{text}");
        }
    }

    #[test]
    fn a_known_length_gives_the_same_end() {
        for (text, len) in [
            (r#""""#, 0),
            (r#""a","b""#, 1),
            (r#""\"",""#, 1),
            (r#""a\"b""c""#, 3),
            (r#""\\"","#, 1),
            (r#""\\\"","#, 2),
            (r#""\u00e9"",""#, 2),
            (r#""\ud83d\ude80\"","#, 5),
            (r#""é""#, 2),
            (r#""open"#, 4),
        ] {
            assert_eq!(known_string_end(text.as_bytes(), 1, len), string_end(text.as_bytes(), 1), "{text}");
        }
    }

    #[test]
    fn does_not_recurse_into_a_depth_bomb() {
        let bomb = [b"[".repeat(1_000_000), b"]".repeat(1_000_000)].concat();
        assert_eq!(value_end(&bomb, 0), bomb.len());
    }

    #[test]
    fn knows_the_spelling_of_numbers() {
        for good in ["0", "-0", "10", "1e400", "-1.5E+3", "0.0e-9", "123456789012345678901234567890"] {
            assert!(is_number(good.as_bytes()), "{good}");
        }
        for bad in ["", "-", "01", "1.", ".5", "1e", "1e+", "+1", "NaN", "1x", "-01", "1e5.0"] {
            assert!(!is_number(bad.as_bytes()), "{bad}");
        }
    }
}
