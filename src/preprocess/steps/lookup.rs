//! `lookup`: what a Redis hash holds for a record is put into it (class P). The keys of a whole batch are asked for at
//! once by [`crate::enrich`]; this file says what is asked, where the answer goes and what a miss does.

use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::super::compile::{Compiler, error, reads};
use super::super::program::{CompileError, CostClass};
use super::super::splice::member_text;
use super::{FindRedis, Operation, StepOperation};
use crate::leaf::quantity::{ByteSize, Interval};
use crate::leaf::server::RedisConnection;
use crate::leaf::{CheckContext, JsonText, Pointer, Template, TemplateSegment};
use crate::model::StepName;

mod question;

pub(in crate::preprocess) use question::CompiledLookup;

/// How often a table is read again when the configuration does not say.
const REFRESH: Interval = Interval::seconds(60);

/// Adds fields of a Redis hash: one hash a key (`key`, `fields`), or one hash as a table (`table`, `field`).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// A name in `connections.redis`.
    pub redis: String,
    /// Template of the hash's name, one hash a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// With `key`: which fields of the hash, or `all`. Default `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Fields>,
    /// Name of one hash that is read as a whole at start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// With `table`: template of the field to take from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// With `table`: how often it is read again. Default 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Interval>,
    /// RFC 6901 pointer to where the found object (`key`) or string (`table`) goes.
    pub into: String,
    /// What happens to records whose key is not there.
    #[serde(default)]
    pub on_miss: OnMiss,
    /// What happens while Redis does not answer.
    #[serde(default)]
    pub on_error: OnLookupError,
    /// Cache of look-ups by `key`.
    #[serde(default)]
    pub cache: CacheKeys,
}

/// Fields of a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fields {
    /// All of them.
    All,
    /// These.
    Named(Vec<String>),
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list of fields, or `all`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Fields, E> {
                match text {
                    "all" => Ok(Fields::All),
                    one => {
                        Err(E::custom(format!("expected a list of fields, or `all`; for one field write `[{one}]`")))
                    }
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Fields, A::Error> {
                let names: Vec<String> = Deserialize::deserialize(SeqAccessDeserializer::new(items))?;
                if names.is_empty() {
                    return Err(A::Error::custom("the list of fields is empty; for all fields write `all`"));
                }
                Ok(Fields::Named(names))
            }
        }
        deserializer.deserialize_any(FieldsVisitor)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Named(names) => names.serialize(serializer),
        }
    }
}

impl JsonSchema for Fields {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fields".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [
            { "const": "all" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] })
    }
}

/// What happens to records whose key is not there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnMiss {
    /// The record goes on without.
    #[default]
    Keep,
    /// This value is put there.
    Default(JsonText),
    /// The record is dropped.
    Drop,
    /// The record is rejected.
    Reject,
}

/// What happens while Redis does not answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "OnError")]
pub enum OnLookupError {
    /// The pipeline waits and retries, with backoff.
    #[default]
    Retry,
    /// Records go on without.
    Keep,
    /// The pipeline halts.
    Stop,
}

/// Bounds of a look-up cache.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Cache")]
pub struct CacheKeys {
    /// Most keys held.
    pub entries: u64,
    /// Most bytes held.
    pub bytes: ByteSize,
    /// How long a found hash is used.
    pub ttl: Interval,
    /// How long a missing one is remembered.
    pub miss_ttl: Interval,
}

impl Default for CacheKeys {
    fn default() -> Self {
        Self {
            entries: 100_000,
            bytes: ByteSize(64 << 20),
            ttl: Interval::seconds(60),
            miss_ttl: Interval::seconds(10),
        }
    }
}

/// A look-up.
#[derive(Debug, Clone)]
pub struct LookupPlan {
    /// The server.
    pub connection: RedisConnection,
    /// How the hash is found.
    pub source: LookupSource,
    /// Where the found object or value goes: a pointer of one member or deeper whose parents exist or are the record.
    pub into: Pointer,
    /// What happens to records whose key is not there.
    pub on_miss: OnMiss,
    /// What happens while Redis does not answer.
    pub on_error: OnLookupError,
    /// Cache of keyed look-ups.
    pub cache: CachePlan,
}

/// How a hash is looked up.
#[derive(Debug, Clone)]
pub enum LookupSource {
    /// One hash a key: `HMGET key fields…` or `HGETALL key`.
    Keyed {
        /// The hash's name.
        key: Template,
        /// Fields wanted; empty = all.
        fields: Vec<String>,
    },
    /// One hash as a table, read at start and refreshed: `HGETALL table`, then `field` picks the entry.
    Table {
        /// The hash's name.
        table: String,
        /// Which field of it.
        field: Template,
        /// How often it is read again.
        refresh: Duration,
    },
}

/// Bounds of a look-up cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePlan {
    /// Most keys held.
    pub entries: u64,
    /// Most bytes held.
    pub bytes: u64,
    /// How long a found hash is used.
    pub ttl: Duration,
    /// How long a miss is remembered.
    pub miss_ttl: Duration,
}

impl Lookup {
    pub(super) fn check(&self, path: &str, context: &CheckContext<'_>, redis: FindRedis<'_>) -> Option<LookupPlan> {
        let connection = redis(&format!("{path}.redis"), &self.redis);
        let source = self.source(path, context);
        let into_path = format!("{path}.into");
        let into = context.pointer(&into_path, &self.into);
        if into.as_ref().is_some_and(|pointer| pointer.members.is_empty()) {
            context.error(&into_path, "would replace the whole record", "name a member, such as `/user_info`");
        }
        let cache = self.cache.check(&format!("{path}.cache"), context);
        Some(LookupPlan {
            connection: connection?,
            source: source?,
            into: into?,
            on_miss: self.on_miss.clone(),
            on_error: self.on_error,
            cache,
        })
    }

    fn source(&self, path: &str, context: &CheckContext<'_>) -> Option<LookupSource> {
        match (&self.key, &self.table) {
            (Some(key), None) => {
                stray(context, path, "key", &[("field", self.field.is_some()), ("refresh", self.refresh.is_some())]);
                let key = context.template(&format!("{path}.key"), key);
                let fields = match &self.fields {
                    None | Some(Fields::All) => Vec::new(),
                    Some(Fields::Named(names)) => names.clone(),
                };
                for (number, field) in fields.iter().enumerate() {
                    if fields[..number].contains(field) {
                        context.error(
                            &format!("{path}.fields[{number}]"),
                            format!("`{field}` is listed twice"),
                            "remove one",
                        );
                    }
                }
                Some(LookupSource::Keyed { key: key?, fields })
            }
            (None, Some(table)) => {
                let cached = context.index.is_written(&format!("{path}.cache"));
                stray(context, path, "table", &[("fields", self.fields.is_some()), ("cache", cached)]);
                if table.is_empty() {
                    context.error(&format!("{path}.table"), "is empty", "name the hash");
                }
                let refresh = self.refresh.unwrap_or(REFRESH);
                context.positive(&format!("{path}.refresh"), refresh, Duration::from_secs(86_400));
                let Some(field) = &self.field else {
                    context.error(
                        path,
                        "`table` needs `field`: which entry of the hash is wanted",
                        "add `field: \"{/code}\"`",
                    );
                    return None;
                };
                let field = context.template(&format!("{path}.field"), field);
                Some(LookupSource::Table { table: table.clone(), field: field?, refresh: refresh.0 })
            }
            (Some(_), Some(_)) => {
                context.error(
                    path,
                    "`key` and `table` exclude each other",
                    "keep `key` for one hash a record, or `table` for one hash as a table",
                );
                None
            }
            (None, None) => {
                context.error(
                    path,
                    "says neither `key` nor `table`",
                    "write `key: \"user:{/user}\"`, or `table: name` with `field: \"{/code}\"`",
                );
                None
            }
        }
    }
}

/// Keys that belong to the other form of a look-up.
fn stray(context: &CheckContext<'_>, path: &str, form: &str, keys: &[(&str, bool)]) {
    for (key, _) in keys.iter().filter(|(_, written)| *written) {
        context.error(
            &format!("{path}.{key}"),
            format!("`{key}` has no meaning in a look-up with `{form}`"),
            "remove it",
        );
    }
}

impl CacheKeys {
    fn check(&self, path: &str, context: &CheckContext<'_>) -> CachePlan {
        for (key, count) in [("entries", self.entries), ("bytes", self.bytes.0)] {
            if count == 0 {
                context.error(
                    &format!("{path}.{key}"),
                    "must be at least 1",
                    "to look everything up afresh, write `ttl: 0` and `miss_ttl: 0`",
                );
            }
        }
        for (key, ttl) in [("ttl", self.ttl), ("miss_ttl", self.miss_ttl)] {
            if ttl.0 > Duration::from_secs(30 * 86_400) {
                context.error(&format!("{path}.{key}"), "is longer than 30d", "shorten it");
            }
        }
        CachePlan { entries: self.entries, bytes: self.bytes.0, ttl: self.ttl.0, miss_ttl: self.miss_ttl.0 }
    }
}

impl LookupPlan {
    /// The template that says what is looked up.
    fn key(&self) -> &Template {
        match &self.source {
            LookupSource::Keyed { key, .. } => key,
            LookupSource::Table { field, .. } => field,
        }
    }

    pub(super) fn compile(
        &self,
        place: &StepName,
        compiler: &mut Compiler,
    ) -> Result<(StepOperation, CostClass), CompileError> {
        let (key, into) = (self.key(), &self.into.members);
        let Some(name) = into.last() else {
            return Err(error(place, "`into` is empty: write the pointer of a member, such as /user_info"));
        };
        if let OnMiss::Default(JsonText(text)) = &self.on_miss
            && let Err(fault) = serde_json::from_str::<&serde_json::value::RawValue>(text)
        {
            return Err(error(place, format!("the default of `on_miss` is no JSON text: {fault}")));
        }
        compiler.cut_if(|other| {
            let read = |segment: &TemplateSegment| {
                matches!(segment.inner(), TemplateSegment::Field { pointer, .. } if reads(&pointer.members, other))
            };
            reads(into, other) || reads(other, into) || key.segments.iter().any(read)
        });
        let lookup = CompiledLookup {
            place: place.clone(),
            number: compiler.lookups(),
            key: compiler.template(key, place)?,
            into: self.into.clone(),
            path: compiler.constants.path(&self.into),
            member: member_text(name),
            on_miss: self.on_miss.clone(),
        };
        let reads_original = lookup.key.reads_original();
        let index = compiler.add_lookup(lookup, reads_original, into);
        Ok((StepOperation::Read(Operation::Lookup(index)), CostClass::Splice))
    }
}

#[cfg(test)]
mod tests {
    use super::super::StepKind;
    use super::super::fixtures::{planned, refuses};
    use super::*;

    #[test]
    fn a_default_keeps_its_numbers() {
        let step = "{ lookup: { redis: known, key: \"{/u}\", into: /x, on_miss: { default: { id: 18446744073709551616, \
                    n: -1.50, t: yes, e: 16e94057, q: \"7\", z: ~, l: [true, 0x10] } } } }";
        let StepKind::Lookup(lookup) = planned(step) else { panic!("a look-up") };
        let json = r#"{"id":18446744073709551616,"n":-1.50,"t":"yes","e":"16e94057","q":"7","z":null,"l":[true,16]}"#;
        assert_eq!(lookup.on_miss, OnMiss::Default(JsonText(json.to_owned())));
    }

    #[test]
    fn what_is_written_wrong_is_refused_with_its_place() {
        let rows = [
            ("{lookup: {redis: l, key: k, into: /x}}", ".redis", "no redis connection is named `l`"),
            ("{lookup: {redis: l, into: /x}}", "", "neither `key` nor `table`"),
            ("{lookup: {redis: l, key: k, table: t, into: /x}}", "", "exclude each other"),
            ("{lookup: {redis: l, table: t, into: /x}}", "", "`table` needs `field`"),
            ("{lookup: {redis: l, table: t, field: \"{/c}\", fields: [a], into: /x}}", ".fields", "no meaning"),
            ("{lookup: {redis: l, key: k, refresh: 1s, into: /x}}", ".refresh", "no meaning"),
            ("{lookup: {redis: l, key: \"{user}\", into: /x}}", ".key", "`{/user}`"),
            ("{lookup: {redis: l, key: k, into: \"\"}}", ".into", "whole record"),
            ("{lookup: {redis: l, key: k, into: x}}", ".into", "write `/x`"),
            ("{lookup: {redis: l, key: k, fields: [], into: /x}}", ".fields", "write `all`"),
            ("{lookup: {redis: l, key: k, fields: name, into: /x}}", ".fields", "`[name]`"),
            ("{lookup: {redis: l, key: k, into: /x, on_miss: ignore}}", ".on_miss", "`keep`"),
            ("{lookup: {redis: l, key: k, into: /x, on_error: ignore}}", ".on_error", "`retry`"),
            ("{lookup: {redis: l, key: k, into: /x, cache: {entries: 0}}}", ".cache.entries", "at least 1"),
            ("{lookup: {redis: l, key: k, into: /x, cache: {ttl: 60}}}", ".cache.ttl", "`60s`"),
        ];
        refuses("lookup", &rows);
    }
}
