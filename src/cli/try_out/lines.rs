//! Lines of a stream, each bounded, with knowledge of whether another one can be had without waiting.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};

/// What one reading of the stream takes at most.
const BUFFER: usize = 64 * 1024;

/// Lines, counted from 1.
pub struct LineReader<R: Read> {
    reader: BufReader<R>,
    most: usize,
    number: u64,
}

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// All of it.
    Whole(Vec<u8>),
    /// It is longer than this and was passed over.
    TooLong(usize),
}

impl<R: Read> LineReader<R> {
    /// Reads lines of at most `most` bytes.
    pub fn new(from: R, most: usize) -> Self {
        Self { reader: BufReader::with_capacity(BUFFER, from), most, number: 0 }
    }

    /// The next line and its number; `None` at the end.
    ///
    /// # Errors
    /// What the stream says.
    pub fn next_line(&mut self) -> io::Result<Option<(u64, Line)>> {
        let (mut line, mut length, mut begun) = (Vec::new(), 0, false);
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() && !begun {
                return Ok(None);
            }
            let end = memchr::memchr(b'\n', buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            length += part.len();
            if length <= self.most {
                line.extend_from_slice(part);
            } else {
                line = Vec::new();
            }
            let (used, ended) = (part.len() + usize::from(end.is_some()), end.is_some() || buffer.is_empty());
            self.reader.consume(used);
            begun = true;
            if ended {
                self.number += 1;
                let line = if length <= self.most { Line::Whole(line) } else { Line::TooLong(self.most) };
                return Ok(Some((self.number, line)));
            }
        }
    }

    /// Whether a whole line is here already.
    pub fn has_line(&self) -> bool {
        memchr::memchr(b'\n', self.reader.buffer()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], most: usize) -> Vec<(u64, Line)> {
        let mut reader = LineReader::new(text, most);
        std::iter::from_fn(|| reader.next_line().expect("readable")).collect()
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.as_bytes().to_vec())
    }

    #[test]
    fn lines_have_numbers_and_bounds() {
        assert_eq!(lines(b"", 9), []);
        assert_eq!(lines(b"a\n\nbc", 9), [(1, whole("a")), (2, whole("")), (3, whole("bc"))]);
        assert_eq!(lines(b"abc\nabcd\nab\n", 3), [(1, whole("abc")), (2, Line::TooLong(3)), (3, whole("ab"))]);
        let long = [vec![b'x'; BUFFER * 3], b"\ny\n".to_vec()].concat();
        assert_eq!(lines(&long, BUFFER), [(1, Line::TooLong(BUFFER)), (2, whole("y"))]);
        assert_eq!(lines(&long, BUFFER * 3)[0], (1, Line::Whole(vec![b'x'; BUFFER * 3])));
    }

    #[test]
    fn whether_another_line_is_here_is_known() {
        let mut reader = LineReader::new(&b"a\nb\nc"[..], 9);
        let mut known = Vec::new();
        while reader.next_line().expect("readable").is_some() {
            known.push(reader.has_line());
        }
        assert_eq!(known, [true, false, false], "`c` has no end yet");
    }
}
