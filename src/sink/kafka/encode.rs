//! Kept records → what the producer takes: value, key, headers and topic as spans of one payload.

use std::sync::Arc;

use crate::config::plan::{KafkaSinkPlan, Template};
use crate::librdkafka::producer::message::{Message, Span, append_header};
use crate::model::{Encode, Kept, Place, Record, Reject, RejectReason, StepName};

/// Longest topic name Kafka takes, in bytes.
const LONGEST_TOPIC: usize = 249;
/// Index of the key among [`templates`].
const KEY: usize = 0;
/// Index of the topic among [`templates`], when it is not constant.
const TOPIC: usize = 1;

/// One record ready to be produced; its spans point into the batch's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KafkaItem {
    /// Which record.
    pub place: Place,
    /// What is produced.
    pub message: Message,
    /// The topic's name; `None` is the plan's constant one.
    pub topic: Option<Span>,
}

/// The templates the worker renders for each record, in the order the encoder expects them: the key, and the topic when
/// it is not constant.
#[must_use]
pub fn templates(plan: &KafkaSinkPlan) -> Vec<Template> {
    let mut templates = vec![plan.key.clone()];
    if constant_topic(plan).is_none() {
        templates.push(plan.topic.clone());
    }
    templates
}

/// The one topic everything goes to; `None` when the record decides.
#[must_use]
pub fn constant_topic(plan: &KafkaSinkPlan) -> Option<Arc<str>> {
    plan.topic.fixed_text().map(Into::into)
}

/// See the module. Tombstones are forwarded, a null key stays null, header order and repetitions are kept.
pub struct KafkaEncoder {
    dynamic_topic: bool,
    keep_headers: bool,
    keep_timestamp: bool,
    step: StepName,
    topic_step: StepName,
}

impl KafkaEncoder {
    /// An encoder for one worker.
    #[must_use]
    pub fn new(plan: &KafkaSinkPlan) -> Self {
        Self {
            dynamic_topic: constant_topic(plan).is_none(),
            keep_headers: plan.keep_headers,
            keep_timestamp: plan.keep_timestamp,
            step: "sink".into(),
            topic_step: "sink.topic".into(),
        }
    }

    fn append_all(
        &self,
        place: Place,
        record: &Record<'_>,
        kept: &Kept<'_>,
        payload: &mut Vec<u8>,
    ) -> Result<KafkaItem, Reject> {
        let beyond = || Reject::new(RejectReason::TooLarge, &self.step, "its batch is larger than 4 GiB");
        let start = payload.len();
        for piece in kept.value.unwrap_or_default() {
            payload.extend_from_slice(piece);
        }
        let value = match kept.value {
            Some(_) => Some(Span::since(start, payload).ok_or_else(beyond)?),
            None => None,
        };
        let key = match kept.rendered.get(KEY).copied().flatten() {
            Some(key) => Some(append(payload, key).ok_or_else(beyond)?),
            None => None,
        };
        let topic = if self.dynamic_topic {
            let name = kept.rendered.get(TOPIC).copied().flatten().unwrap_or_default();
            self.check_topic(name)?;
            Some(append(payload, name).ok_or_else(beyond)?)
        } else {
            None
        };
        let headers = if self.keep_headers { self.append_headers(record, payload)? } else { None };
        let timestamp_ms = if self.keep_timestamp { record.timestamp_ms } else { None };
        Ok(KafkaItem { place, message: Message { value, key, headers, timestamp_ms }, topic })
    }

    fn append_headers(&self, record: &Record<'_>, payload: &mut Vec<u8>) -> Result<Option<Span>, Reject> {
        let start = payload.len();
        let mut fits = true;
        record.headers.each_header(&mut |name, value| fits &= append_header(payload, name, value));
        if payload.len() == start {
            return Ok(None);
        }
        match Span::since(start, payload) {
            Some(span) if fits => Ok(Some(span)),
            _ => Err(Reject::new(RejectReason::TooLarge, &self.step, "a header is larger than 4 GiB")),
        }
    }

    fn check_topic(&self, name: &[u8]) -> Result<(), Reject> {
        let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let valid =
            (1..=LONGEST_TOPIC).contains(&name.len()) && name.iter().all(legal) && name != b"." && name != b"..";
        if valid {
            return Ok(());
        }
        let shown: String = String::from_utf8_lossy(name).chars().take(LONGEST_TOPIC).collect();
        let detail = format!("{shown:?} is not a topic name: 1 to 249 of a-z A-Z 0-9 . _ -");
        Err(Reject::new(RejectReason::InvalidTarget, &self.topic_step, detail))
    }
}

impl Encode for KafkaEncoder {
    type Item = KafkaItem;

    fn encode(
        &mut self,
        place: Place,
        record: &Record<'_>,
        kept: &Kept<'_>,
        payload: &mut Vec<u8>,
    ) -> Result<KafkaItem, Reject> {
        let start = payload.len();
        let item = self.append_all(place, record, kept, payload);
        if item.is_err() {
            payload.truncate(start);
        }
        item
    }
}

fn append(payload: &mut Vec<u8>, bytes: &[u8]) -> Option<Span> {
    let start = payload.len();
    payload.extend_from_slice(bytes);
    Span::since(start, payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::TemplateSegment;
    use crate::librdkafka::producer::message::headers;
    use crate::model::{Epoch, ItemPath, Offset, OwnedRecord, PartitionId, Ticket, TicketId};
    use crate::sink::kafka::tests::{connection, sink_plan};

    fn place() -> Place {
        let ticket = Ticket { id: TicketId(1), slot: PartitionId(0), epoch: Epoch(1) };
        Place { ticket, offset: Offset(9), item: ItemPath::WHOLE, index: 4 }
    }

    fn record() -> OwnedRecord {
        OwnedRecord {
            topic: "in".into(),
            partition: 0,
            offset: 9,
            timestamp_ms: Some(123),
            key: None,
            value: None,
            headers: vec![("a".into(), Some(b"1".to_vec())), ("a".into(), None)],
        }
    }

    fn dynamic() -> KafkaSinkPlan {
        let mut plan = sink_plan(connection("127.0.0.1:1"), "out");
        plan.topic = Template {
            text: "{topic}-x".into(),
            segments: vec![TemplateSegment::Topic, TemplateSegment::Literal("-x".into())],
        };
        plan
    }

    #[test]
    fn pieces_key_topic_and_headers_are_spans_of_the_payload() {
        let plan = KafkaSinkPlan { keep_timestamp: true, ..dynamic() };
        let mut payload = b"before".to_vec();
        let kept = Kept { value: Some(&[b"{\"a\"", b":1}"]), rendered: &[Some(b"k"), Some(b"in-x")] };
        let record = record();
        let item = KafkaEncoder::new(&plan).encode(place(), &record.view(), &kept, &mut payload).expect("fits");
        let of = |span: Option<Span>| span.and_then(|span| span.of(&payload)).map(<[u8]>::to_vec);
        assert_eq!(of(item.message.value).as_deref(), Some(b"{\"a\":1}".as_slice()));
        assert_eq!(of(item.message.key).as_deref(), Some(b"k".as_slice()));
        assert_eq!(of(item.topic).as_deref(), Some(b"in-x".as_slice()));
        let list = of(item.message.headers).expect("headers");
        let list: Vec<_> = headers(&list).map(|header| header.expect("well formed")).collect();
        assert_eq!(list, [(b"a".as_slice(), Some(b"1".as_slice())), (b"a".as_slice(), None)]);
        assert_eq!((item.message.timestamp_ms, item.place), (Some(123), place()));
        assert!(payload.starts_with(b"before"));
    }

    #[test]
    fn nulls_stay_null_and_empties_stay_empty() {
        let plan = sink_plan(connection("127.0.0.1:1"), "out");
        let mut encoder = KafkaEncoder::new(&plan);
        let mut payload = Vec::new();
        let plain = OwnedRecord { headers: Vec::new(), ..record() };
        let tombstone = Kept { value: None, rendered: &[None] };
        let item = encoder.encode(place(), &plain.view(), &tombstone, &mut payload).expect("fits");
        let nothing = Message { value: None, key: None, headers: None, timestamp_ms: None };
        assert_eq!((item.message, item.topic, payload.len()), (nothing, None, 0));
        let empty = Kept { value: Some(&[]), rendered: &[Some(b"")] };
        let item = encoder.encode(place(), &plain.view(), &empty, &mut payload).expect("fits");
        let none = Some(Span { start: 0, len: 0 });
        assert_eq!((item.message.value, item.message.key), (none, none));
    }

    #[test]
    fn headers_and_timestamps_travel_only_when_asked() {
        let plan = KafkaSinkPlan { keep_headers: false, ..sink_plan(connection("127.0.0.1:1"), "out") };
        let kept = Kept { value: None, rendered: &[None] };
        let item = KafkaEncoder::new(&plan).encode(place(), &record().view(), &kept, &mut Vec::new()).expect("fits");
        assert!(item.message.is_plain(), "{:?}", item.message);
    }

    #[test]
    fn a_bad_topic_name_is_rejected_and_leaves_nothing_behind() {
        let long = vec![b'x'; 250];
        for name in [Some(b"".as_slice()), Some(b"a b"), Some(b".."), Some(b"\xff"), Some(&long), None] {
            let mut payload = b"before".to_vec();
            let kept = Kept { value: Some(&[b"value"]), rendered: &[Some(b"k"), name] };
            let result = KafkaEncoder::new(&dynamic()).encode(place(), &record().view(), &kept, &mut payload);
            let reject = result.expect_err("no topic name");
            assert_eq!((reject.reason, &*reject.step), (RejectReason::InvalidTarget, "sink.topic"));
            assert_eq!(payload, b"before");
        }
    }

    #[test]
    fn a_constant_topic_is_not_rendered() {
        let constant = sink_plan(connection("127.0.0.1:1"), "out");
        assert_eq!((templates(&constant).len(), constant_topic(&constant).as_deref()), (1, Some("out")));
        assert_eq!((templates(&dynamic()).len(), constant_topic(&dynamic())), (2, None));
    }
}
