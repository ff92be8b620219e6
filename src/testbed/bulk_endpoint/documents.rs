//! Documents as a search server keeps them: versions, external versions, merging updates. Pure but for its locks.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::Mutex;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::lock;

const SHARDS: usize = 16;

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDocument {
    /// Its JSON, byte for byte as it was sent where no update merged it.
    pub source: Vec<u8>,
    /// Its version.
    pub version: i64,
}

/// An external version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct External {
    /// The number.
    pub version: i64,
    /// `external_gte`: the same version again is taken.
    pub or_equal: bool,
}

impl External {
    fn is_refused_by(self, before: i64) -> bool {
        if self.or_equal { self.version < before } else { self.version <= before }
    }
}

/// Deleted documents keep their version, as real servers do for a while.
struct KeptDocument {
    source: Option<Vec<u8>>,
    version: i64,
}

type Shard = Mutex<HashMap<Vec<u8>, Option<KeptDocument>, foldhash::fast::FixedState>>;

/// All documents, by index and id.
pub struct Documents {
    shards: [Shard; SHARDS],
}

impl Default for Documents {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

/// A write that was refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// 409.
    Conflict,
    /// 404 `document_missing_exception`.
    Missing,
    /// 404 `not_found` of a delete, which is no error.
    NotFound,
}

impl Documents {
    fn with<T>(&self, index: &str, id: &str, change: impl FnOnce(&mut Option<KeptDocument>) -> T) -> T {
        let mut key = Vec::with_capacity(index.len() + id.len() + 1);
        key.extend_from_slice(index.as_bytes());
        key.push(0);
        key.extend_from_slice(id.as_bytes());
        let shard = foldhash::fast::FixedState::default().hash_one(&key) as usize % SHARDS;
        let mut shard = lock(&self.shards[shard]);
        if let Some(there) = shard.get_mut(&key) {
            return change(there);
        }
        let mut kept = None;
        let done = change(&mut kept);
        if kept.is_some() {
            shard.insert(key, kept);
        }
        done
    }

    /// Replaces a document; `external` must not be refused by what is there. Status 201 or 200.
    pub fn index(&self, index: &str, id: &str, source: &[u8], external: Option<External>) -> Result<u16, Refused> {
        self.with(index, id, |kept| {
            let before = kept.as_ref().map_or(0, |kept| kept.version);
            if kept.is_some() && external.is_some_and(|external| external.is_refused_by(before)) {
                return Err(Refused::Conflict);
            }
            let status = if kept.as_ref().is_some_and(|kept| kept.source.is_some()) { 200 } else { 201 };
            *kept = Some(KeptDocument {
                source: Some(source.to_vec()),
                version: external.map_or(before + 1, |external| external.version),
            });
            Ok(status)
        })
    }

    /// Inserts a document.
    pub fn create(&self, index: &str, id: &str, source: &[u8]) -> Result<u16, Refused> {
        self.with(index, id, |kept| {
            if kept.as_ref().is_some_and(|kept| kept.source.is_some()) {
                return Err(Refused::Conflict);
            }
            let before = kept.as_ref().map_or(0, |kept| kept.version);
            *kept = Some(KeptDocument { source: Some(source.to_vec()), version: before + 1 });
            Ok(201)
        })
    }

    /// Merges into a document; an unchanged one keeps its version.
    pub fn update(&self, index: &str, id: &str, doc: &str, upsert: bool) -> Result<u16, Refused> {
        self.with(index, id, |kept| match kept.as_mut() {
            Some(KeptDocument { source: Some(source), version }) => {
                let old = std::str::from_utf8(source).unwrap_or("{}");
                let merged = merge(old, doc);
                if merged.as_bytes() != source.as_slice() {
                    *source = merged.into_bytes();
                    *version += 1;
                }
                Ok(200)
            }
            Some(KeptDocument { source: None, .. }) | None if !upsert => Err(Refused::Missing),
            Some(KeptDocument { source: None, .. }) | None => {
                let before = kept.as_ref().map_or(0, |kept| kept.version);
                *kept = Some(KeptDocument { source: Some(doc.as_bytes().to_vec()), version: before + 1 });
                Ok(201)
            }
        })
    }

    /// Deletes a document; with an external version a tombstone is written in any case.
    pub fn delete(&self, index: &str, id: &str, external: Option<External>) -> Result<u16, Refused> {
        self.with(index, id, |kept| {
            let before = kept.as_ref().map_or(0, |kept| kept.version);
            if kept.is_some() && external.is_some_and(|external| external.is_refused_by(before)) {
                return Err(Refused::Conflict);
            }
            let there = kept.as_ref().is_some_and(|kept| kept.source.is_some());
            if there || external.is_some() {
                *kept = Some(KeptDocument {
                    source: None,
                    version: external.map_or(before + 1, |external| external.version),
                });
            }
            if there { Ok(200) } else { Err(Refused::NotFound) }
        })
    }

    /// A document.
    pub fn get(&self, index: &str, id: &str) -> Option<StoredDocument> {
        self.with(index, id, |kept| {
            let kept = kept.as_ref()?;
            Some(StoredDocument { source: kept.source.clone()?, version: kept.version })
        })
    }

    /// Documents of an index.
    pub fn count(&self, index: &str) -> usize {
        let mut count = 0;
        self.each(index, |_, _| count += 1);
        count
    }

    /// Documents of an index by id.
    pub fn all(&self, index: &str) -> BTreeMap<String, StoredDocument> {
        let mut all = BTreeMap::new();
        self.each(index, |id, document| {
            all.insert(String::from_utf8_lossy(id).into_owned(), document);
        });
        all
    }

    fn each(&self, index: &str, mut visit: impl FnMut(&[u8], StoredDocument)) {
        for shard in &self.shards {
            for (key, kept) in lock(shard).iter() {
                let id = key.strip_prefix(index.as_bytes()).and_then(|rest| rest.strip_prefix(b"\0"));
                if let (Some(id), Some(KeptDocument { source: Some(source), version })) = (id, kept) {
                    visit(id, StoredDocument { source: source.clone(), version: *version });
                }
            }
        }
    }
}

/// Members of an object in order, values as they are spelled.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some(name) = map.next_key::<DocumentName<'de>>()? {
                    members.push((name.0, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[derive(Deserialize)]
struct DocumentName<'a>(#[serde(borrow)] Cow<'a, str>);

/// The servers' merge: objects merge recursively, everything else replaces; null is stored, never removes.
fn merge(old: &str, new: &str) -> String {
    let (Ok(Members(mut merged)), Ok(Members(changes))) = (serde_json::from_str(old), serde_json::from_str(new)) else {
        return new.to_owned();
    };
    let mut rewritten: Vec<(usize, String)> = Vec::new();
    for (name, value) in changes {
        match merged.iter().position(|(there, _)| *there == name) {
            Some(at) if value.get().starts_with('{') && merged[at].1.get().starts_with('{') => {
                rewritten.push((at, merge(merged[at].1.get(), value.get())));
            }
            Some(at) => merged[at].1 = value,
            None => merged.push((name, value)),
        }
    }
    let mut out = String::with_capacity(old.len() + new.len());
    for (at, (name, value)) in merged.iter().enumerate() {
        out.push(if at == 0 { '{' } else { ',' });
        out.push_str(&serde_json::Value::from(name.as_ref()).to_string());
        out.push(':');
        let text = rewritten.iter().find(|(place, _)| *place == at).map_or(value.get(), |(_, text)| text.as_str());
        out.push_str(text);
    }
    out.push_str(if merged.is_empty() { "{}" } else { "}" });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_merge_as_servers_do() {
        let table = [
            (r#"{"a":1,"b":{"c":2,"d":3}}"#, r#"{"b":{"c":9}}"#, r#"{"a":1,"b":{"c":9,"d":3}}"#),
            (r#"{"a":[1,2]}"#, r#"{"a":[3]}"#, r#"{"a":[3]}"#),
            (r#"{"a":{"x":1}}"#, r#"{"a":7}"#, r#"{"a":7}"#),
            (r#"{"a":7}"#, r#"{"a":{"x":1}}"#, r#"{"a":{"x":1}}"#),
            (r#"{"a":1}"#, r#"{"a":null}"#, r#"{"a":null}"#),
            (r#"{"a":1.50}"#, r#"{"n":12345678901234567890123}"#, r#"{"a":1.50,"n":12345678901234567890123}"#),
            (r#"{}"#, r#"{}"#, r#"{}"#),
        ];
        for (old, new, want) in table {
            assert_eq!(merge(old, new), want, "{old} + {new}");
        }
    }

    #[test]
    fn external_versions_fence() {
        let documents = Documents::default();
        let above = |version| Some(External { version, or_equal: false });
        let from = |version| Some(External { version, or_equal: true });
        assert_eq!(documents.index("i", "1", b"{}", above(10)), Ok(201));
        assert_eq!(documents.index("i", "1", b"{}", above(10)), Err(Refused::Conflict));
        assert_eq!(documents.index("i", "1", b"{}", above(11)), Ok(200));
        assert_eq!(documents.delete("i", "1", above(5)), Err(Refused::Conflict));
        assert_eq!(documents.delete("i", "1", above(12)), Ok(200));
        assert_eq!(documents.index("i", "1", b"{}", above(11)), Err(Refused::Conflict), "the tombstone holds");
        assert_eq!(documents.index("i", "1", b"{}", from(12)), Ok(201), "a tie goes to the later");
        assert_eq!(documents.index("i", "1", b"{}", from(11)), Err(Refused::Conflict));
        assert_eq!(documents.delete("i", "1", from(12)), Ok(200));
        assert_eq!(documents.delete("i", "2", above(3)), Err(Refused::NotFound));
        assert_eq!(documents.index("i", "2", b"{}", above(2)), Err(Refused::Conflict));
        assert_eq!((documents.count("i"), documents.get("i", "1")), (0, None));
    }

    #[test]
    fn an_unchanged_update_keeps_the_version() {
        let documents = Documents::default();
        assert_eq!(documents.update("i", "1", r#"{"a":1}"#, false), Err(Refused::Missing));
        assert_eq!(documents.update("i", "1", r#"{"a":1}"#, true), Ok(201));
        assert_eq!(documents.update("i", "1", r#"{"a":1}"#, true), Ok(200));
        assert_eq!(documents.get("i", "1").map(|document| document.version), Some(1));
        assert_eq!(documents.create("i", "1", b"{}"), Err(Refused::Conflict));
    }
}
