//! Filling a test's Redis: a handful of commands in RESP over one socket, many in one round trip.

use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::error::ServiceError;
use super::service::Service;

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Fields sent in one round trip; the answers of one chunk fit into the socket's buffer.
const CHUNK: usize = 1_000;

/// One connection.
pub struct RedisClient {
    endpoint: String,
    stream: BufReader<TcpStream>,
}

impl RedisClient {
    /// Connects to a service.
    ///
    /// # Errors
    /// No connection.
    pub fn connect(service: &Service) -> Result<RedisClient, ServiceError> {
        let endpoint = service.endpoint().to_owned();
        let address = endpoint.strip_prefix("redis://").unwrap_or(&endpoint).trim_end_matches('/');
        let open = || {
            let stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.set_write_timeout(Some(LIMIT))?;
            Ok(BufReader::new(stream))
        };
        let stream = open().map_err(|cause: io::Error| ServiceError::request("connect", address, cause))?;
        Ok(RedisClient { endpoint, stream })
    }

    /// Sets fields of one hash.
    ///
    /// # Errors
    /// The connection fails or the server answers with an error.
    pub fn hset<'a>(
        &mut self,
        key: &str,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), ServiceError> {
        let mut fields = fields.into_iter().peekable();
        while fields.peek().is_some() {
            let commands = fields.by_ref().take(CHUNK).map(|(field, value)| vec!["HSET", key, field, value]);
            self.pipeline(commands)?;
        }
        Ok(())
    }

    /// Sends one command and returns its answer: text of a string or number, `None` for nil; an array's elements are
    /// joined by newlines.
    ///
    /// # Errors
    /// The connection fails or the server answers with an error.
    pub fn command(&mut self, words: &[&str]) -> Result<Option<String>, ServiceError> {
        self.exchange(&encoded([words.to_vec()]), 1).map(|mut answers| answers.pop().flatten())
    }

    /// Sends many commands in one round trip and returns their answers in order. Meant for thousands, not millions:
    /// nothing is read before all is written.
    ///
    /// # Errors
    /// The connection fails or the server answers any of them with an error.
    pub fn pipeline<'a>(
        &mut self,
        commands: impl IntoIterator<Item = Vec<&'a str>>,
    ) -> Result<Vec<Option<String>>, ServiceError> {
        let commands: Vec<_> = commands.into_iter().collect();
        let count = commands.len();
        self.exchange(&encoded(commands), count)
    }

    fn exchange(&mut self, bytes: &[u8], answers: usize) -> Result<Vec<Option<String>>, ServiceError> {
        let mut talk = || -> io::Result<Vec<_>> {
            self.stream.get_mut().write_all(bytes)?;
            (0..answers).map(|_| answer(&mut self.stream)).collect()
        };
        talk().map_err(|cause| ServiceError::request("run a command", &self.endpoint, cause))
    }
}

/// Commands as arrays of bulk strings.
fn encoded<'a>(commands: impl IntoIterator<Item = Vec<&'a str>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for words in commands {
        bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }
    bytes
}

/// Reads one answer.
fn answer(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let line = line.trim_end();
    let (Some(kind), rest) = (line.chars().next(), line.get(1..).unwrap_or_default()) else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let length = || rest.parse::<i64>().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, line.to_owned()));
    match kind {
        '+' | ':' => Ok(Some(rest.to_owned())),
        '$' => match usize::try_from(length()?) {
            Ok(length) => bulk(from, length).map(Some),
            Err(_) => Ok(None),
        },
        '*' => {
            let elements: io::Result<Vec<_>> = (0..length()?).map(|_| answer(from)).collect();
            Ok(Some(elements?.into_iter().flatten().collect::<Vec<_>>().join("\n")))
        }
        _ => Err(io::Error::other(line.to_owned())),
    }
}

fn bulk(from: &mut impl Read, length: usize) -> io::Result<String> {
    let mut bytes = vec![0; length + 2];
    from.read_exact(&mut bytes)?;
    bytes.truncate(length);
    String::from_utf8(bytes).map_err(|cause| io::Error::new(io::ErrorKind::InvalidData, cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_arrays_of_bulk_strings() {
        let bytes = encoded([vec!["HSET", "k", "ä"]]);
        assert_eq!(String::from_utf8(bytes).unwrap(), "*3\r\n$4\r\nHSET\r\n$1\r\nk\r\n$2\r\nä\r\n");
    }

    #[test]
    fn every_kind_of_answer() {
        for (bytes, text) in [
            ("+OK\r\n", Some("OK")),
            (":12\r\n", Some("12")),
            ("$4\r\na\r\nb\r\n", Some("a\r\nb")),
            ("$-1\r\n", None),
            ("*3\r\n$1\r\na\r\n$-1\r\n:3\r\n", Some("a\n3")),
        ] {
            assert_eq!(answer(&mut bytes.as_bytes()).unwrap().as_deref(), text, "{bytes:?}");
        }
        assert!(answer(&mut &b"-WRONGTYPE no hash\r\n"[..]).unwrap_err().to_string().contains("WRONGTYPE"));
        assert!(answer(&mut &b""[..]).is_err());
    }
}
