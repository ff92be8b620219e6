//! What is produced: one record described by spans of a lent buffer, and the headers' form inside that buffer.

/// A stretch of a lent buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Index of the first byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    /// The stretch from `start` to the end of `payload`; `None` beyond 4 GiB.
    #[must_use]
    pub fn since(start: usize, payload: &[u8]) -> Option<Self> {
        let len = payload.len().checked_sub(start)?;
        u32::try_from(payload.len()).ok()?;
        Some(Self { start: u32::try_from(start).ok()?, len: u32::try_from(len).ok()? })
    }

    /// The bytes; `None` when the span reaches beyond `payload`.
    #[must_use]
    pub(crate) fn of(self, payload: &[u8]) -> Option<&[u8]> {
        let start = self.start as usize;
        payload.get(start..start.checked_add(self.len as usize)?)
    }
}

/// One record to produce. All spans lie in one lent buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Value; `None` is a tombstone.
    pub value: Option<Span>,
    /// Key; `None` is a null key.
    pub key: Option<Span>,
    /// Headers as [`append_header`] writes them.
    pub headers: Option<Span>,
    /// Milliseconds since the epoch; `None` is the time of producing.
    pub timestamp_ms: Option<i64>,
}

impl Message {
    /// Whether the batch call can carry it: it knows neither headers nor timestamps.
    #[must_use]
    pub(crate) fn is_plain(&self) -> bool {
        self.headers.is_none() && self.timestamp_ms.is_none()
    }
}

const NULL: u32 = u32::MAX;

/// Appends one header: length and bytes of the name, length and bytes of the value, lengths as 4 bytes little endian,
/// a null value as length 2³²−1. Returns whether it fits (names and values below 4 GiB); appends nothing if not.
pub fn append_header(payload: &mut Vec<u8>, name: &str, value: Option<&[u8]>) -> bool {
    let Ok(name_len) = u32::try_from(name.len()) else { return false };
    let Some(value_len) = value.map_or(Some(NULL), |value| u32::try_from(value.len()).ok().filter(|len| *len != NULL))
    else {
        return false;
    };
    payload.extend_from_slice(&name_len.to_le_bytes());
    payload.extend_from_slice(name.as_bytes());
    payload.extend_from_slice(&value_len.to_le_bytes());
    payload.extend_from_slice(value.unwrap_or_default());
    true
}

/// Name and value of one header.
pub type Header<'a> = (&'a [u8], Option<&'a [u8]>);

/// Reads the headers [`append_header`] wrote; `Err` stands for bytes it did not write, and ends the iteration.
pub fn headers(mut bytes: &[u8]) -> impl Iterator<Item = Result<Header<'_>, ()>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let Some((header, rest)) = split_header(bytes) else {
            bytes = &[];
            return Some(Err(()));
        };
        bytes = rest;
        Some(Ok(header))
    })
}

fn split_header(bytes: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let (name_len, bytes) = split_length(bytes)?;
    let (name, bytes) = bytes.split_at_checked(name_len as usize)?;
    let (value_len, bytes) = split_length(bytes)?;
    if value_len == NULL {
        return Some(((name, None), bytes));
    }
    let (value, bytes) = bytes.split_at_checked(value_len as usize)?;
    Some(((name, Some(value)), bytes))
}

fn split_length(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*len), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back_as_written() {
        let written: [(&str, Option<&[u8]>); 4] =
            [("a", Some(b"1")), ("", Some(b"")), ("null", None), ("ä", Some(&[0, 255]))];
        let mut payload = Vec::new();
        for (name, value) in written {
            assert!(append_header(&mut payload, name, value));
        }
        let read: Vec<_> = headers(&payload).map(|header| header.expect("well formed")).collect();
        assert_eq!(read, written.map(|(name, value)| (name.as_bytes(), value)));
    }

    #[test]
    fn a_cut_header_is_an_error_and_not_a_shorter_list() {
        let mut payload = Vec::new();
        append_header(&mut payload, "name", Some(b"value"));
        for cut in 1..payload.len() {
            assert!(headers(&payload[..cut]).any(|header| header.is_err()), "cut at {cut}");
        }
    }

    #[test]
    fn a_span_reaches_to_the_end_and_not_beyond() {
        let payload = b"0123".to_vec();
        assert_eq!(Span::since(1, &payload).and_then(|span| span.of(&payload)), Some(b"123".as_slice()));
        assert_eq!(Span::since(5, &payload), None);
        assert_eq!(Span { start: 3, len: 2 }.of(&payload), None);
    }
}
