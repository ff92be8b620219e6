//! Offline tests as true.

use std::sync::Arc;

use super::super::written::RedisContent;
use crate::leaf::tree::Origin;
use crate::model::{OwnedRecord, RejectReason};

/// An offline test: one record in, and what is expected to come out.
#[derive(Debug, Clone)]
pub struct TestPlan {
    /// Shown with its result.
    pub name: String,
    /// The pipeline under test.
    pub pipeline: Arc<str>,
    /// Where it is written.
    pub origin: Origin,
    /// Its place in that file's list, from 0.
    pub number: usize,
    /// The record.
    pub input: OwnedRecord,
    /// What Redis holds.
    pub lookups: RedisContent,
    /// What comes out, in order; nothing where the test expects nothing yet.
    pub expected: Vec<ExpectedEnd>,
}

/// What is expected of one output, or of a record without any.
#[derive(Debug, Clone)]
pub enum ExpectedEnd {
    /// It is sent.
    Delivered(Box<ExpectedOutput>),
    /// A rule drops it.
    Dropped,
    /// It can never be sent.
    Rejected {
        /// Why, where that is compared.
        reason: Option<RejectReason>,
        /// Where, where that is compared.
        step: Option<String>,
    },
}

/// What is sent. `None` is not compared.
#[derive(Debug, Clone, Default)]
pub struct ExpectedOutput {
    /// The value after all steps.
    pub value: Option<ExpectedValue>,
    /// Kafka's key; the inner `None` is a null key.
    pub key: Option<Option<Vec<u8>>>,
    /// Kafka's headers, in order.
    pub headers: Option<Vec<(String, Option<Vec<u8>>)>>,
    /// Kafka's topic.
    pub topic: Option<String>,
    /// The action line as JSON.
    pub action: Option<String>,
    /// The line behind it as JSON; `null` where there is none.
    pub document: Option<String>,
    /// Both lines, each with its line end.
    pub lines: Option<Vec<u8>>,
    /// The index.
    pub index: Option<String>,
    /// The document's id; the inner `None` is one the server makes.
    pub id: Option<Option<String>>,
}

/// A value, and how it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedValue {
    /// There is none.
    Tombstone,
    /// As JSON.
    Json(String),
    /// Byte for byte.
    Bytes(Vec<u8>),
}
