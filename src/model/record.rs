//! One record as the steps see it.

/// Headers of a record, read where they lie.
pub trait HeaderSource {
    /// The value of the last header of this name; the inner `None` is a null value.
    fn header(&self, name: &str) -> Option<Option<&[u8]>>;
    /// Calls `visit` for every header in order.
    fn each_header(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>));
}

/// A record without headers.
#[cfg(test)]
pub struct NoHeaders;

#[cfg(test)]
impl HeaderSource for NoHeaders {
    fn header(&self, _name: &str) -> Option<Option<&[u8]>> {
        None
    }
    fn each_header(&self, _visit: &mut dyn FnMut(&str, Option<&[u8]>)) {}
}

/// One Kafka message, borrowed from the fetch buffer.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Partition number.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Milliseconds since the epoch; `None` when the broker has none.
    pub timestamp_ms: Option<i64>,
    /// Key bytes; `None` is a null key.
    pub key: Option<&'a [u8]>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers.
    pub headers: &'a dyn HeaderSource,
}

/// A record that owns its bytes: dead letters, thinned batches, `try` and tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedRecord {
    /// See [`Record::topic`].
    pub topic: String,
    /// See [`Record::partition`].
    pub partition: i32,
    /// See [`Record::offset`].
    pub offset: i64,
    /// See [`Record::timestamp_ms`].
    pub timestamp_ms: Option<i64>,
    /// See [`Record::key`].
    pub key: Option<Vec<u8>>,
    /// See [`Record::value`].
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl OwnedRecord {
    /// A borrowed view.
    #[must_use]
    pub fn view(&self) -> Record<'_> {
        Record {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: self,
        }
    }

    /// A copy of a borrowed record.
    #[must_use]
    pub(crate) fn copy_of(record: &Record<'_>) -> Self {
        let mut headers = Vec::new();
        record.headers.each_header(&mut |name, value| headers.push((name.to_owned(), value.map(<[u8]>::to_vec))));
        Self {
            topic: record.topic.to_owned(),
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers,
        }
    }

    /// Bytes held, for the budget.
    #[must_use]
    pub(crate) fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(n, v)| n.len() + v.as_ref().map_or(0, Vec::len) + 48).sum();
        self.key.as_ref().map_or(0, Vec::len) + self.value.as_ref().map_or(0, Vec::len) + headers + 128
    }
}

impl HeaderSource for OwnedRecord {
    fn header(&self, name: &str) -> Option<Option<&[u8]>> {
        self.headers.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_deref())
    }
    fn each_header(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for (name, value) in &self.headers {
            visit(name, value.as_deref());
        }
    }
}

/// Records by index: a batch from Kafka, or a list in tests and `try`.
pub trait Records {
    /// How many.
    fn count(&self) -> usize;
    /// The record at `index`, which is below [`Records::count`].
    fn record(&self, index: usize) -> Record<'_>;
}

impl Records for [OwnedRecord] {
    fn count(&self) -> usize {
        self.len()
    }
    fn record(&self, index: usize) -> Record<'_> {
        self[index].view()
    }
}
