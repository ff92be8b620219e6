//! Messages of the simulated client.

use std::sync::Arc;

use crate::librdkafka::MessageSegment;
use crate::source::Messages;

use super::log::Input;

/// One message as it was fetched.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// Partition number.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The record.
    pub input: Input,
}

/// Messages drained in one call.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The one topic there is.
    pub topic: Arc<str>,
    /// In the order they came.
    pub messages: Vec<Message>,
}

impl Messages for Batch {
    fn len(&self) -> usize {
        self.messages.len()
    }

    fn offset(&self, index: usize) -> i64 {
        self.messages[index].offset
    }

    fn bytes_at(&self, index: usize) -> usize {
        40 + (self.messages[index].offset % 5) as usize * 20
    }

    fn timestamp_ms(&self, _index: usize) -> Option<i64> {
        None
    }

    fn segments(&self) -> Vec<MessageSegment<'_>> {
        let mut segments: Vec<MessageSegment<'_>> = Vec::new();
        let mut expected = 0;
        for (index, message) in self.messages.iter().enumerate() {
            match segments.last_mut() {
                Some(segment) if segment.partition == message.partition && message.offset >= expected => {
                    segment.end = index + 1;
                    let wider = segment.jump.is_none_or(|(from, to)| message.offset - expected > to - from);
                    if message.offset > expected && wider {
                        segment.jump = Some((expected, message.offset));
                    }
                }
                Some(_) | None => segments.push(MessageSegment {
                    topic: &self.topic,
                    partition: message.partition,
                    start: index,
                    end: index + 1,
                    jump: None,
                }),
            }
            expected = message.offset + 1;
        }
        segments
    }

    fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut index = 0;
        self.messages.retain(|_| {
            index += 1;
            keep(index - 1)
        });
    }

    fn append(&mut self, mut other: Self) {
        self.messages.append(&mut other.messages);
    }
}
