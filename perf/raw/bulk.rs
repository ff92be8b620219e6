//! Batch consume, tape, bulk bodies, keep-alive sockets: no ledger, no lanes, no verdicts by item.
//!
//! Two sockets in turn, one request on each, so one fills while the other is answered. It commits once a second, after
//! everything sent so far was answered.

use anyhow::Context as _;
use sluicegate::internals::librdkafka::MessageBatch;

use super::Task;
use super::extract::Extractor;
use super::reader::Reader;
use super::socket::Socket;

/// Documents of a request, as the engine's default is.
pub const DOCUMENTS: usize = 5_000;
/// Bytes of a request, likewise.
pub const BYTES: usize = 5 << 20;
const SOCKETS: usize = 2;

/// A body under construction.
#[derive(Default)]
pub struct Body {
    /// Its lines.
    pub bytes: Vec<u8>,
    documents: usize,
}

impl Body {
    /// Adds an upsert.
    pub fn upsert(&mut self, id: &[u8], document: &[u8]) {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(BYTES + 64 * 1024);
        }
        for piece in [
            &b"{\"update\":{\"_id\":\""[..],
            id,
            b"\",\"retry_on_conflict\":3}}\n{\"doc\":",
            document,
            b",\"doc_as_upsert\":true}\n",
        ] {
            self.bytes.extend_from_slice(piece);
        }
        self.documents += 1;
    }

    /// Whether it must be sent.
    pub fn is_full(&self) -> bool {
        self.documents >= DOCUMENTS || self.bytes.len() >= BYTES
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.documents = 0;
    }
}

/// See the module.
///
/// # Errors
/// Reading, parsing or sending fails.
pub fn run(task: &Task) -> anyhow::Result<()> {
    let mut sockets = (0..SOCKETS).map(|_| Socket::open(&task.url, &task.index)).collect::<Result<Vec<_>, _>>()?;
    let mut reader = Reader::open(task)?;
    let (mut extractor, mut body, mut turn) = (Extractor::default(), Body::default(), 0);
    while let Some(batch) = reader.next()? {
        reader.note(&batch);
        append(&batch, &mut extractor, &mut body)?;
        drop(batch);
        let due = reader.is_commit_due();
        if body.is_full() || due {
            sockets[turn % SOCKETS].send(&body.bytes)?;
            turn += 1;
            body.clear();
        }
        if due {
            sockets.iter_mut().try_for_each(Socket::answered)?;
            reader.commit()?;
        }
    }
    if !body.bytes.is_empty() {
        sockets[turn % SOCKETS].send(&body.bytes)?;
    }
    sockets.iter_mut().try_for_each(Socket::answered)?;
    reader.finish()
}

fn append(batch: &MessageBatch, extractor: &mut Extractor, body: &mut Body) -> anyhow::Result<()> {
    for index in 0..batch.len() {
        let value = batch.value(index).context("a record without a value")?;
        let found = extractor.find(value).context("a record without result and id")?;
        body.upsert(&value[found.id], &value[found.result]);
    }
    Ok(())
}
