//! Who hears of requests while they are worked on, for runs too long to log.

use std::fmt;
use std::sync::Arc;

/// One item that was worked on.
#[derive(Debug, Clone, Copy)]
pub struct Worked<'b> {
    /// Its body line; empty for a delete.
    pub body: &'b [u8],
    /// The status it was given; 2xx = applied.
    pub status: u16,
}

/// What is heard.
#[derive(Debug, Clone, Copy)]
pub enum EndpointEvent<'b> {
    /// Items of this request were worked on, in order.
    Worked(u64, &'b [Worked<'b>]),
    /// The whole answer of this request is about to be sent.
    Telling(u64),
}

/// Called from the endpoint's own threads: it should be quick.
#[derive(Clone)]
pub struct EndpointWatch(Arc<dyn Fn(&EndpointEvent<'_>) + Send + Sync>);

impl EndpointWatch {
    /// One that calls this.
    pub fn new(hear: impl Fn(&EndpointEvent<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    pub(super) fn hear(&self, heard: &EndpointEvent<'_>) {
        (self.0)(heard);
    }
}

impl fmt::Debug for EndpointWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointWatch")
    }
}
