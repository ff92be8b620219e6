//! One error of decoding: reason and remedy first, its place as soon as somebody on the way up knows it.

use std::fmt;

use super::scalar;
use crate::leaf::finding::Finding;
use crate::leaf::nearest;
use crate::leaf::secret;
use crate::leaf::tree::{MapEntry, Node, Origin, parent};

/// One error of decoding.
#[derive(Debug)]
pub struct DecodeFault {
    place: Option<Box<(String, Origin)>>,
    reason: String,
    remedy: Option<String>,
    /// The key that is missing, where that is the fault.
    missing: Option<&'static str>,
}

impl DecodeFault {
    pub fn new(path: String, origin: Origin, reason: String) -> Self {
        Self { place: Some(Box::new((path, origin))), reason, remedy: None, missing: None }
    }

    pub fn at(node: &Node, reason: String) -> Self {
        Self::new(node.path.clone(), node.origin.clone(), reason)
    }

    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Whether this only says that a key is missing which an unknown one was meant to be.
    pub fn is_explained_by(&self, unknown: &[Finding]) -> bool {
        let Some(name) = self.missing else { return false };
        let meant = nearest::did_you_mean(name);
        let section = self.place.as_ref().map_or("", |place| place.0.as_str());
        unknown.iter().any(|finding| {
            parent(&finding.path) == Some(section)
                && finding.remedy.as_ref().is_some_and(|remedy| remedy.starts_with(&meant))
        })
    }

    /// Gives the fault a place unless it has one.
    pub fn or_at(mut self, node: &Node) -> Self {
        self.place.get_or_insert_with(|| Box::new((node.path.clone(), node.origin.clone())));
        self
    }

    /// The path of the value at fault, and what is shown.
    pub fn into_finding(self, root: &Node) -> (String, Finding) {
        let (path, origin) = self.place.map_or_else(|| (root.path.clone(), root.origin.clone()), |place| *place);
        let remedy = self.remedy.or_else(|| Some("see `sluicegate config reference`".to_owned()));
        let finding = Finding { remedy, ..Finding::error(origin, path.clone(), self.reason) };
        (path, finding)
    }

    fn without_place(reason: String) -> Self {
        Self { place: None, reason, remedy: None, missing: None }
    }
}

impl fmt::Display for DecodeFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.reason)
    }
}

impl std::error::Error for DecodeFault {}

impl serde::de::Error for DecodeFault {
    /// Types that check themselves have only a text to say what is wrong: what follows `: write ` is its remedy.
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        match message.split_once(": write ") {
            Some((reason, remedy)) => Self::without_place(reason.to_owned()).remedy(format!("write {remedy}")),
            None => Self::without_place(message),
        }
    }

    fn missing_field(field: &'static str) -> Self {
        let fault = Self::without_place(format!("`{field}` is missing")).remedy(format!("add `{field}: …` here"));
        Self { missing: Some(field), ..fault }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::without_place(format!("unknown key `{field}`")).remedy(nearest::remedy(field, expected, "known here"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::without_place("not one of the known values".to_owned()).remedy(nearest::remedy(
            variant,
            expected,
            "known here",
        ))
    }

    /// Names the form found, never the value.
    fn invalid_type(unexpected: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::without_place(format!("expected {expected}, found {}", scalar::form(&unexpected)))
    }

    fn invalid_value(unexpected: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::without_place(format!("expected {expected}, found another {}", scalar::form(&unexpected)))
    }
}

/// Path and " `name`" of an unknown key. In connections a key that resembles no known one may be a secret in the wrong
/// place, so neither shows it.
pub fn unknown_key(section: &Node, entry: &MapEntry, known: &[&str]) -> (String, String) {
    let shown = !secret::hides_values(&section.path);
    if secret::is_name(&entry.key) && (shown || nearest::nearest(&entry.key, known.iter().copied()).is_some()) {
        (entry.node.path.clone(), format!(" `{}`", entry.key))
    } else {
        (section.path.clone(), String::new())
    }
}

/// Whether a value may be quoted in a message.
pub fn may_quote(node: &Node) -> bool {
    !secret::hides_values(&node.path)
}
