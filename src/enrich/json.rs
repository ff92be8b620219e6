//! JSON text that was found, shared by whoever needs it.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// JSON text: a part of bytes that are counted where they lie. A clone costs no allocation, and where the text stands
/// behind its key (see the cache), counting, comparing and copying touch the same few cache lines.
#[derive(Clone)]
pub struct Json {
    bytes: Arc<[u8]>,
    text: Range<usize>,
}

impl Json {
    /// The part `text` of `bytes`; empty where it goes beyond them.
    #[must_use]
    pub fn part(bytes: Arc<[u8]>, text: Range<usize>) -> Self {
        Self { bytes, text }
    }
}

impl From<&[u8]> for Json {
    fn from(text: &[u8]) -> Self {
        Self { bytes: text.into(), text: 0..text.len() }
    }
}

impl Deref for Json {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(self.text.clone()).unwrap_or_default()
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_what_it_shows_and_never_beyond_its_bytes() {
        let bytes: Arc<[u8]> = b"key{\"a\":1}".as_slice().into();
        let part = Json::part(bytes.clone(), 3..bytes.len());
        assert_eq!((&part[..], &part), (&b"{\"a\":1}"[..], &Json::from(&b"{\"a\":1}"[..])));
        assert_eq!(part.clone().as_ptr(), part.as_ptr(), "a clone shares the bytes");
        assert_eq!(&Json::part(bytes, 3..100)[..], b"");
        assert_eq!(format!("{part:?}"), r#""{\"a\":1}""#);
    }
}
