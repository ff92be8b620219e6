//! Tree → typed structs: a serde deserializer whose errors know file, line, key path and the nearest known name.
//!
//! Unknown keys are collected and skipped. Other errors end a pass; the value at fault is then taken out of the tree
//! and the next pass looks for more, so that people see all mistakes at once.

use std::cell::RefCell;

use serde::de::{
    DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use crate::leaf::exact;
use crate::leaf::finding::Finding;
use crate::leaf::nearest;
use crate::leaf::secret;
use crate::leaf::tree::{MapEntry, Node, ScalarText, Style, TreeValue, parent};

mod fault;
mod json;
mod scalar;
mod special;

use fault::DecodeFault;

/// Most mistakes reported in one go.
const MAX_FINDINGS: usize = 100;

/// Decodes the tree, whose paths are named.
///
/// # Errors
/// Every unknown key and every value of the wrong form.
pub fn decode<T: DeserializeOwned>(root: &Node) -> Result<T, Vec<Finding>> {
    let mut tree = root.clone();
    let mut findings: Vec<Finding> = Vec::new();
    let mut pruned: Vec<String> = Vec::new();
    while findings.len() < MAX_FINDINGS {
        let unknown = RefCell::new(Vec::new());
        let result = T::deserialize(Decoder { node: &tree, unknown: &unknown });
        for finding in unknown.into_inner() {
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        let fault = match result {
            Ok(value) if findings.is_empty() => return Ok(value),
            Ok(_) => break,
            Err(fault) => fault,
        };
        let explained = fault.is_explained_by(&findings);
        let (path, finding) = fault.into_finding(&tree);
        // A section that misses what was taken out of it, or is written with a slip of the pen, is no new mistake.
        if !explained && !pruned.iter().any(|gone| parent(gone) == Some(path.as_str())) {
            findings.push(finding);
        }
        if path.is_empty() || !prune(&mut tree, &path) {
            break;
        }
        pruned.push(path);
    }
    Err(findings)
}

/// Takes the value at a path out of the tree; whether it was there.
fn prune(node: &mut Node, path: &str) -> bool {
    match &mut node.value {
        TreeValue::Scalar(_) => false,
        TreeValue::List(items) => {
            let before = items.len();
            items.retain(|item| item.path != path);
            items.len() < before || items.iter_mut().any(|item| prune(item, path))
        }
        TreeValue::Map(entries) => {
            let before = entries.len();
            entries.retain(|entry| entry.node.path != path);
            entries.len() < before || entries.iter_mut().any(|entry| prune(&mut entry.node, path))
        }
    }
}

/// A deserializer over one node.
#[derive(Clone, Copy)]
struct Decoder<'tree> {
    node: &'tree Node,
    unknown: &'tree RefCell<Vec<Finding>>,
}

impl<'tree> Decoder<'tree> {
    fn with(self, node: &'tree Node) -> Self {
        Self { node, ..self }
    }

    fn expected(self, what: &str) -> DecodeFault {
        DecodeFault::at(self.node, format!("expected {what}, found {}", scalar::shown(self.node)))
            .remedy(scalar::remedy(self.node, what))
    }

    fn scalar(self, what: &str) -> Result<&'tree ScalarText, DecodeFault> {
        match &self.node.value {
            TreeValue::Scalar(scalar) if !scalar.is_null() => Ok(scalar),
            TreeValue::Scalar(_) | TreeValue::List(_) | TreeValue::Map(_) => Err(self.expected(what)),
        }
    }

    /// A number, boolean or the like: plain text, or any text a variable was filled into.
    fn parsed<T>(self, what: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, DecodeFault> {
        let scalar = self.scalar(what)?;
        let typed = scalar.style == Style::Plain || !scalar.variables.is_empty();
        typed.then(|| parse(&scalar.text)).flatten().ok_or_else(|| self.expected(what))
    }

    fn list(self, what: &str) -> Result<&'tree [Node], DecodeFault> {
        match &self.node.value {
            TreeValue::List(items) => Ok(items),
            TreeValue::Scalar(_) | TreeValue::Map(_) => Err(self.expected(what)),
        }
    }

    /// The entries of a map; a section left empty counts as one.
    fn entries(self, what: &str) -> Result<&'tree [MapEntry], DecodeFault> {
        match &self.node.value {
            TreeValue::Map(entries) => Ok(entries),
            TreeValue::Scalar(scalar) if scalar.is_null() => Ok(&[]),
            TreeValue::Scalar(_) | TreeValue::List(_) => Err(self.expected(what)),
        }
    }

    /// Notes the keys that are not among `fields` and leaves them out.
    fn known(self, entries: &'tree [MapEntry], fields: &'static [&'static str]) -> Vec<&'tree MapEntry> {
        let (known, unknown): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| fields.contains(&entry.key.as_str()));
        for entry in unknown {
            let (path, name) = fault::unknown_key(self.node, entry, fields);
            let finding = Finding::error(entry.key_origin.clone(), path, format!("unknown key{name}"))
                .remedy(nearest::remedy(&entry.key, fields, "known here"));
            self.unknown.borrow_mut().push(finding);
        }
        known
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty, $what:literal;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFault> {
            visitor.$visit::<DecodeFault>(self.parsed($what, |text| text.parse::<$type>().ok())?).map_err(|fault| fault.or_at(self.node))
        })*
    };
}

impl<'de, 'tree: 'de> serde::Deserializer<'de> for Decoder<'tree> {
    type Error = DecodeFault;

    numbers! {
        deserialize_i8 visit_i8 i8, "a whole number from -128 to 127";
        deserialize_i16 visit_i16 i16, "a whole number from -32768 to 32767";
        deserialize_i32 visit_i32 i32, "a whole number";
        deserialize_i64 visit_i64 i64, "a whole number";
        deserialize_u8 visit_u8 u8, "a whole number from 0 to 255";
        deserialize_u16 visit_u16 u16, "a whole number from 0 to 65535";
        deserialize_u32 visit_u32 u32, "a whole number from 0 to 4294967295";
        deserialize_u64 visit_u64 u64, "a whole number, 0 or more";
        deserialize_f32 visit_f32 f32, "a number";
        deserialize_f64 visit_f64 f64, "a number";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFault> {
        let result = match &self.node.value {
            TreeValue::Scalar(scalar) => scalar::visit(scalar, visitor),
            TreeValue::List(items) => visitor.visit_seq(Items { decoder: self, items: items.iter() }),
            TreeValue::Map(entries) => visitor.visit_map(Pairs::new(self, entries.iter().collect())),
        };
        result.map_err(|fault| fault.or_at(self.node))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFault> {
        visitor.visit_bool(self.parsed("true or false", scalar::boolean)?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFault> {
        let scalar = self.scalar("a string")?;
        visitor.visit_str(&scalar.text).map_err(|fault: DecodeFault| fault.or_at(self.node))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFault> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFault> {
        if self.node.is_null() { visitor.visit_unit() } else { Err(self.expected("nothing")) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeFault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeFault> {
        let result = match name {
            secret::NEWTYPE => self.secret(visitor),
            exact::BOUND => visitor.visit_str(self.bound()?.text()),
            exact::CONSTANT => match &self.node.value {
                TreeValue::Scalar(scalar) => scalar::visit_constant(scalar, visitor),
                TreeValue::List(_) | TreeValue::Map(_) => Err(self.expected("true, false, a number or a string")),
            },
            exact::JSON_TEXT => visitor.visit_str(&json::text(self.node)),
            _ => visitor.visit_newtype_struct(self),
        };
        result.map_err(|fault| fault.or_at(self.node))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFault> {
        let items = self.list("a list")?;
        visitor.visit_seq(Items { decoder: self, items: items.iter() }).map_err(|fault| fault.or_at(self.node))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeFault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeFault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFault> {
        let entries = self.entries("a map")?;
        visitor.visit_map(Pairs::new(self, entries.iter().collect())).map_err(|fault| fault.or_at(self.node))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeFault> {
        let entries = self.entries(&format!("a map with {}", scalar::names(fields)))?;
        let known = self.known(entries, fields);
        visitor.visit_map(Pairs::new(self, known)).map_err(|fault| fault.or_at(self.node))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeFault> {
        let what = format!("one of {}", scalar::names(variants));
        let (name, content, origin) = match &self.node.value {
            TreeValue::Scalar(scalar) if !scalar.is_null() => (scalar.text.as_str(), None, &self.node.origin),
            TreeValue::Map(entries) if entries.len() == 1 => {
                (entries[0].key.as_str(), Some(&entries[0].node), &entries[0].key_origin)
            }
            TreeValue::Map(entries) if entries.len() > 1 => {
                return Err(DecodeFault::at(
                    self.node,
                    format!("expected exactly {what}, found {} keys", entries.len()),
                )
                .remedy("keep one of them; check the indentation of the others"));
            }
            TreeValue::Scalar(_) | TreeValue::Map(_) | TreeValue::List(_) => return Err(self.expected(&what)),
        };
        if !variants.contains(&name) {
            return Err(self.unknown_variant(name, origin, variants));
        }
        visitor.visit_enum(WrittenChoice { decoder: self, name, content }).map_err(|fault| fault.or_at(self.node))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFault> {
        visitor.visit_unit()
    }
}

struct Items<'tree> {
    decoder: Decoder<'tree>,
    items: std::slice::Iter<'tree, Node>,
}

impl<'de, 'tree: 'de> SeqAccess<'de> for Items<'tree> {
    type Error = DecodeFault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeFault> {
        let Some(item) = self.items.next() else { return Ok(None) };
        seed.deserialize(self.decoder.with(item)).map(Some).map_err(|fault| fault.or_at(item))
    }
}

struct Pairs<'tree> {
    decoder: Decoder<'tree>,
    entries: std::vec::IntoIter<&'tree MapEntry>,
    current: Option<&'tree MapEntry>,
}

impl<'tree> Pairs<'tree> {
    fn new(decoder: Decoder<'tree>, entries: Vec<&'tree MapEntry>) -> Self {
        Self { decoder, entries: entries.into_iter(), current: None }
    }
}

impl<'de, 'tree: 'de> MapAccess<'de> for Pairs<'tree> {
    type Error = DecodeFault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeFault> {
        self.current = self.entries.next();
        let Some(entry) = self.current else { return Ok(None) };
        let key: serde::de::value::StrDeserializer<'_, DecodeFault> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|fault| fault.or_at(&entry.node))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeFault> {
        let node = self.current.map_or(self.decoder.node, |entry| &entry.node);
        seed.deserialize(self.decoder.with(node)).map_err(|fault| fault.or_at(node))
    }
}

struct WrittenChoice<'tree> {
    decoder: Decoder<'tree>,
    name: &'tree str,
    content: Option<&'tree Node>,
}

impl<'tree> WrittenChoice<'tree> {
    fn content(&self) -> Result<Decoder<'tree>, DecodeFault> {
        self.content.map(|node| self.decoder.with(node)).ok_or_else(|| {
            DecodeFault::at(self.decoder.node, format!("`{}` needs a value", self.name))
                .remedy(format!("write `{{ {}: … }}`", self.name))
        })
    }
}

impl<'de, 'tree: 'de> EnumAccess<'de> for WrittenChoice<'tree> {
    type Error = DecodeFault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), DecodeFault> {
        let name: serde::de::value::StrDeserializer<'_, DecodeFault> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de, 'tree: 'de> VariantAccess<'de> for WrittenChoice<'tree> {
    type Error = DecodeFault;

    fn unit_variant(self) -> Result<(), DecodeFault> {
        match self.content {
            Some(node) if !node.is_null() => Err(DecodeFault::at(node, format!("`{}` takes no value", self.name))
                .remedy(format!("write just `{}`", self.name))),
            Some(_) | None => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeFault> {
        let content = self.content()?;
        seed.deserialize(content).map_err(|fault| fault.or_at(content.node))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeFault> {
        serde::Deserializer::deserialize_seq(self.content()?, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeFault> {
        serde::Deserializer::deserialize_struct(self.content()?, "", fields, visitor)
    }
}
