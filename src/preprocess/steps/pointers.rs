//! What the steps that change records share in their written forms: lists of pointers, and maps from pointers to what
//! is done there, with options beside them.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::super::document::Value;
use super::super::draft::Draft;
use super::super::ending::{StepEnding, rejected};
use super::super::look::Look;
use super::super::splice::NoPlace;
use crate::leaf::nearest::nearest;
use crate::leaf::tree::join;
use crate::leaf::{CheckContext, Pointer};
use crate::model::{RejectReason, StepName};

/// RFC 6901 pointers: one as a text, or a list.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Pointers(Vec<String>);

impl<'de> Deserialize<'de> for Pointers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PointersVisitor;
        impl<'de> Visitor<'de> for PointersVisitor {
            type Value = Pointers;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a pointer or a list of pointers")
            }
            fn visit_str<E>(self, text: &str) -> Result<Pointers, E> {
                Ok(Pointers(vec![text.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Pointers, A::Error> {
                let mut pointers = Vec::new();
                while let Some(pointer) = list.next_element()? {
                    pointers.push(pointer);
                }
                Ok(Pointers(pointers))
            }
        }
        deserializer.deserialize_any(PointersVisitor)
    }
}

impl JsonSchema for Pointers {
    fn schema_name() -> Cow<'static, str> {
        "Pointers".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] })
    }
}

impl Pointers {
    /// The pointers, each to something below the record.
    pub(super) fn check(&self, path: &str, context: &CheckContext<'_>) -> Option<Vec<Pointer>> {
        if self.0.is_empty() {
            context.error(path, "names nothing: the list is empty", "name at least one pointer, such as `/id`");
        }
        let is_list = context.index.is_written(&format!("{path}[0]"));
        let at = |number: usize| if is_list { format!("{path}[{number}]") } else { path.to_owned() };
        let pointers = self.0.iter().enumerate().map(|(number, text)| below(context, &at(number), text));
        let pointers: Vec<_> = pointers.collect();
        pointers.into_iter().collect::<Option<Vec<_>>>().filter(|pointers| !pointers.is_empty())
    }
}

/// A pointer to something below the record.
pub(super) fn below(context: &CheckContext<'_>, path: &str, text: &str) -> Option<Pointer> {
    let pointer = context.pointer(path, text)?;
    if pointer.members.is_empty() {
        context.error(path, "is the whole record", "name a member, such as `/user`");
        return None;
    }
    Some(pointer)
}

/// Notes a value that would go below the one it is read from, which is no container.
pub(super) fn goes_below(context: &CheckContext<'_>, path: &str, from: &Pointer, into: &Pointer) -> bool {
    let is_below = into.members.len() > from.members.len() && into.members.starts_with(&from.members);
    if is_below {
        context.error(
            path,
            format!("`{into}` lies below `{from}`, whose value is no object"),
            "write another `into`, or leave it out: the value then goes in the place of what was read",
        );
    }
    is_below
}

/// Notes two pointers of one step, each with its place, of which one lies in the other: which of them is to win is not
/// said.
pub(super) fn overlap<'a>(
    context: &CheckContext<'_>,
    pointers: impl Iterator<Item = (&'a String, &'a Pointer)>,
) -> bool {
    let mut seen: Vec<&Pointer> = Vec::new();
    let mut overlaps = false;
    for (place, pointer) in pointers {
        let other = seen
            .iter()
            .find(|other| other.members.starts_with(&pointer.members) || pointer.members.starts_with(&other.members));
        if let Some(other) = other {
            let reason = if other.members == pointer.members {
                format!("`{pointer}` is named twice")
            } else {
                format!("`{other}` and `{pointer}` are changed in one step, and one lies in the other")
            };
            context.error(place, reason, "write them as two steps, in the order in which they are to happen");
            overlaps = true;
        }
        seen.push(pointer);
    }
    overlaps
}

/// The reject of a record in which there is no place for what is put at `pointer`.
#[cold]
pub(super) fn no_place(draft: &Draft<'_>, place: &StepName, pointer: &Pointer, fault: NoPlace) -> StepEnding {
    let members = &pointer.members[..];
    let (depth, parent) = (0..members.len())
        .rev()
        .find_map(|depth| Some((depth, draft.find(draft.root, &members[..depth])?)))
        .unwrap_or((0, draft.root));
    let shown = Pointer { members: members[..depth].to_vec() }.shown();
    let why = match (fault, draft.value(parent)) {
        (NoPlace::Missing, Value::Array) if draft.count(parent) == 1 => format!("{shown} has 1 element"),
        (NoPlace::Missing, Value::Array) => format!("{shown} has {} elements", draft.count(parent)),
        (NoPlace::Missing, _) => format!("{} is missing", Pointer { members: members[..=depth].to_vec() }.shown()),
        (NoPlace::Null | NoPlace::NotAnObject, value) => format!("{shown} is {}", value.kind()),
    };
    let reason = match fault {
        NoPlace::Missing => RejectReason::Missing,
        NoPlace::Null => RejectReason::Null,
        NoPlace::NotAnObject => RejectReason::WrongType,
    };
    rejected(reason, place, format!("no place for {pointer}: {why}"))
}

/// Options that stand beside the pointers of a map.
pub trait StepOptions: Default + Serialize {
    /// The value of one pointer.
    type Value: DeserializeOwned + JsonSchema + Serialize;
    /// The name of the whole map in the schema.
    const NAME: &'static str;
    /// The options' names.
    const KEYS: &'static [&'static str];

    /// Takes the value of the option `key`.
    ///
    /// # Errors
    /// The value is of another type.
    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
    /// The options in the schema: a map of properties.
    fn properties(generator: &mut SchemaGenerator) -> serde_json::Value;
    /// Writes the options that are not at their defaults.
    ///
    /// # Errors
    /// The serializer's.
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;
}

/// A map from pointers to values, in the order in which they are written, with options beside them. The pointers may
/// also stand under `fields`.
#[derive(Debug, Clone)]
pub struct PointerMap<O: StepOptions> {
    /// Pointers and their values.
    pub items: Vec<(String, O::Value)>,
    /// The options.
    pub options: O,
}

impl<'de, O: StepOptions> Deserialize<'de> for PointerMap<O> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MapForm(PhantomData))
    }
}

struct MapForm<O>(PhantomData<O>);

impl<'de, O: StepOptions> Visitor<'de> for MapForm<O> {
    type Value = PointerMap<O>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a map with pointers as its keys")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PointerMap<O>, A::Error> {
        let (mut items, mut fields, mut options) = (Vec::new(), None, O::default());
        while let Some(key) = map.next_key::<String>()? {
            // No pointer starts with a letter, so that keys and pointers cannot be mistaken for each other.
            if O::KEYS.contains(&key.as_str()) {
                options.read(&key, &mut map)?;
            } else if key == FIELDS {
                fields = Some(map.next_value::<WrittenOrder<O::Value>>()?.0);
            } else if !key.starts_with('/') && nearest(&key, O::KEYS.iter().copied().chain([FIELDS])).is_some() {
                let known: Vec<_> = O::KEYS.iter().chain(&[FIELDS]).map(|known| format!("`{known}`")).collect();
                let known = known.join(", ");
                return Err(A::Error::custom(format!("unknown key `{key}`; known here: {known}, or pointers")));
            } else {
                items.push((key, map.next_value()?));
            }
        }
        match fields {
            Some(_) if !items.is_empty() => {
                Err(A::Error::custom("pointers stand beside `fields`: write them as `fields: { /pointer: … }`"))
            }
            fields => Ok(PointerMap { items: fields.unwrap_or(items), options }),
        }
    }
}

/// The key under which pointers may stand.
const FIELDS: &str = "fields";

/// A map in the order in which it is written.
struct WrittenOrder<V>(Vec<(String, V)>);

impl<'de, V: DeserializeOwned> Deserialize<'de> for WrittenOrder<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WrittenOrderVisitor<V>(PhantomData<V>);
        impl<'de, V: DeserializeOwned> Visitor<'de> for WrittenOrderVisitor<V> {
            type Value = WrittenOrder<V>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a map with pointers as its keys")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WrittenOrder<V>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = map.next_entry()? {
                    items.push(item);
                }
                Ok(WrittenOrder(items))
            }
        }
        deserializer.deserialize_map(WrittenOrderVisitor(PhantomData))
    }
}

impl<O: StepOptions> Serialize for PointerMap<O> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (pointer, value) in &self.items {
            map.serialize_entry(pointer, value)?;
        }
        self.options.write(&mut map)?;
        map.end()
    }
}

impl<O: StepOptions> JsonSchema for PointerMap<O> {
    fn schema_name() -> Cow<'static, str> {
        O::NAME.into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<O::Value>();
        let mut properties = O::properties(generator);
        properties[FIELDS] = serde_json::json!({
            "description": "Pointers and values, in the place of those beside the options.",
            "type": "object",
            "additionalProperties": value,
            "minProperties": 1,
        });
        json_schema!({
            "type": "object",
            "properties": properties,
            "patternProperties": { "^/": value },
            "additionalProperties": false,
            "minProperties": 1,
        })
    }
}

impl<O: StepOptions> PointerMap<O> {
    /// Each pointer with its place and its value; a finding, and nothing, where there is none or one is wrong.
    /// `example` is what to write.
    pub(super) fn pointers(
        &self,
        path: &str,
        context: &CheckContext<'_>,
        example: &str,
    ) -> Option<Vec<(String, Pointer, &O::Value)>> {
        if self.items.is_empty() {
            context.error(path, "names no pointer", format!("write `{example}`"));
            return None;
        }
        let long = join(path, FIELDS);
        let map = if context.index.is_written(&long) { &long } else { path };
        let items = self.items.iter().map(|(text, value)| {
            let place = join(map, text);
            let pointer = below(context, &place, text)?;
            Some((place, pointer, value))
        });
        // All of them are looked at: each wrong one is a finding.
        let items: Vec<_> = items.collect();
        items.into_iter().collect()
    }
}

/// Orders the pointers of one step so that whatever is taken out of an array has no effect on where the others are:
/// higher indexes come first.
pub(in crate::preprocess) fn from_the_end(one: &Pointer, other: &Pointer) -> std::cmp::Ordering {
    let rank = |member: &String| (member.parse::<u64>().ok(), member.clone());
    other.members.iter().map(rank).cmp(one.members.iter().map(rank))
}
