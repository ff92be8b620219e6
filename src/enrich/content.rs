//! What Redis is said to hold, answered as the server would: offline tests and `try`.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use redis::Value;

use crate::config::plan::{LookupPlan, LookupSource, RedisContent};

use super::fault::LookupFault;
use super::lookups::Lookups;
use super::reply::{KeyAnswer, of_fields, of_hash, push_string};

/// The fields of one hash.
type HashFields = crate::config::written::Named<String>;

impl Lookups {
    /// The look-ups of `plans`, in order, on servers that hold `content`. What no look-up could use of a server (a
    /// value of more than 1 MiB) is a miss, as it is there.
    #[must_use]
    pub(crate) fn on_content<'p>(plans: impl Iterator<Item = &'p LookupPlan>, content: &RedisContent) -> Arc<Self> {
        Self::in_memory(plans.map(|plan| answers(plan, content)).collect())
    }
}

fn answers(plan: &LookupPlan, content: &RedisContent) -> HashMap<Vec<u8>, Bytes> {
    let Some(hashes) = content.get(&plan.connection.name) else { return HashMap::new() };
    match &plan.source {
        LookupSource::Keyed { fields, .. } => {
            let answer = |(name, hash): &(String, HashFields)| {
                let answer =
                    if fields.is_empty() { of_hash(whole(hash)) } else { of_fields(fields, some(hash, fields)) };
                found(answer).map(|json| (name.clone().into_bytes(), json))
            };
            hashes.0.iter().filter_map(answer).collect()
        }
        LookupSource::Table { table, .. } => {
            let entry = |(field, value): &(String, String)| {
                let mut json = Vec::new();
                push_string(&mut json, value.as_bytes()).ok()?;
                Some((field.clone().into_bytes(), Bytes::from(json)))
            };
            hashes.get(table).map(|hash| hash.0.iter().filter_map(entry).collect()).unwrap_or_default()
        }
    }
}

/// The reply to `HGETALL`.
fn whole(hash: &HashFields) -> Value {
    Value::Array(hash.0.iter().flat_map(|(field, value)| [bulk(field), bulk(value)]).collect())
}

/// The reply to `HMGET`.
fn some(hash: &HashFields, fields: &[String]) -> Value {
    Value::Array(fields.iter().map(|field| hash.get(field).map_or(Value::Nil, |value| bulk(value))).collect())
}

fn bulk(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

fn found(answer: Result<KeyAnswer, LookupFault>) -> Option<Bytes> {
    match answer {
        Ok(KeyAnswer::Found(json)) => Some(Bytes::from(json)),
        // An answer of another form than asked for is impossible here.
        Ok(KeyAnswer::Missing | KeyAnswer::Unusable(_)) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::{CachePlan, OnLookupError, Pointer, RedisConnection, Template};
    use crate::enrich::{Enricher, Found};
    use crate::preprocess::steps::lookup::OnMiss;
    use std::time::Duration;

    fn plan(source: LookupSource) -> LookupPlan {
        LookupPlan {
            connection: RedisConnection {
                name: "cache".into(),
                url: "redis://h".into(),
                timeout: Duration::from_secs(1),
                ca_file: None,
                client: None,
                verify: true,
            },
            source,
            into: Pointer { members: vec!["x".to_owned()] },
            on_miss: OnMiss::Keep,
            on_error: OnLookupError::Retry,
            cache: CachePlan { entries: 1, bytes: 1, ttl: Duration::ZERO, miss_ttl: Duration::ZERO },
        }
    }

    fn named<T: Clone>(pairs: &[(&str, T)]) -> crate::config::written::Named<T> {
        crate::config::written::Named(pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    #[test]
    fn hashes_answer_like_a_server() {
        let template = || Template { text: "{/k}".to_owned(), segments: Vec::new() };
        let keyed = |fields: &[&str]| {
            plan(LookupSource::Keyed { key: template(), fields: fields.iter().map(|f| (*f).to_owned()).collect() })
        };
        let table = plan(LookupSource::Table { table: "codes".into(), field: template(), refresh: Duration::ZERO });
        let hash = named(&[("b", "2".to_owned()), ("a", "x\"y".to_owned())]);
        let codes = named(&[("7", "seven".to_owned())]);
        let content = named(&[("cache", named(&[("user:1", hash), ("codes", codes)])), ("other", named(&[]))]);
        let plans = [keyed(&[]), keyed(&["a", "none"]), keyed(&["none"]), table];
        let mut enricher = Enricher::new(Lookups::on_content(plans.iter(), &content));
        let rows: [(usize, &[u8], Option<&str>); 6] = [
            (0, b"user:1", Some(r#"{"b":"2","a":"x\"y"}"#)),
            (0, b"user:2", None),
            (1, b"user:1", Some(r#"{"a":"x\"y"}"#)),
            (2, b"user:1", None),
            (3, b"7", Some("\"seven\"")),
            (3, b"8", None),
        ];
        for (lookup, key, expected) in rows {
            let mut found = Vec::new();
            enricher.resolve(lookup, &[key], &|| true, &mut found).expect("answered");
            let expected = expected.map_or(Found::Miss, |json| Found::Json(super::super::Json::from(json.as_bytes())));
            assert_eq!(found, [expected], "look-up {lookup}");
        }
    }
}
