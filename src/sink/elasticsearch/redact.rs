//! Takes secrets and payload out of what servers and the HTTP client say. Pure.

const LONGEST_BYTES: usize = 1024;

/// `text` without a quoted request, without credentials in a URL, on one line, at most 1 KiB.
///
/// Some servers (7.10 was seen) quote the raw HTTP request with its `Authorization` header in an error's reason, behind
/// `Source: (byte[])`. Everything from such a mark on is cut.
#[must_use]
pub fn redact(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let cut = ["authorization", "source: (byte", "(byte[])", "post /", "x-api-key", "api_key"]
        .iter()
        .filter_map(|mark| lower.find(mark))
        .min()
        .unwrap_or(text.len());
    let mut clean: String =
        without_user_info(&text[..cut]).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.len() > LONGEST_BYTES - 16 {
        let end = (0..=LONGEST_BYTES - 16).rev().find(|at| clean.is_char_boundary(*at)).unwrap_or(0);
        clean.truncate(end);
        clean.push('…');
    }
    if cut < text.len() {
        clean.push_str("[redacted]");
    }
    clean
}

/// `http://user:secret@host` → `http://host`.
fn without_user_info(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let authority = after.find(|c: char| c == '/' || c == '?' || c.is_whitespace()).unwrap_or(after.len());
        let start = after[..authority].rfind('@').map_or(0, |at| at + 1);
        rest = &after[start..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_passes() {
        let quoted = "failed to parse; Source: (byte[])\"POST /_bulk HTTP/1.1\r\nAuthorization: Basic U0VDUkVU\"";
        let table = [
            (quoted, "failed to parse; [redacted]"),
            ("error sending to http://me:s3cret@host:9200/x", "error sending to http://host:9200/x"),
            ("two\nlines", "two lines"),
            ("AUTHORIZATION: Bearer abc", "[redacted]"),
        ];
        for (text, want) in table {
            assert_eq!(redact(text), want);
        }
    }

    #[test]
    fn long_text_is_cut_on_a_character() {
        let long = "ä".repeat(5000);
        let cut = redact(&long);
        assert!(cut.len() <= LONGEST_BYTES && cut.len() > LONGEST_BYTES - 40 && cut.ends_with('…'), "{}", cut.len());
    }
}
