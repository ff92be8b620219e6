//! What serde's own types do not carry: secrets, numbers with all their digits, and variants that are not known.

use serde::de::Visitor;

use super::fault::{self, DecodeFault};
use super::{Decoder, Pairs, scalar};
use crate::leaf::nearest;
use crate::leaf::secret;
use crate::leaf::tree::{Origin, TreeValue};
use crate::model::Decimal;

impl<'tree> Decoder<'tree> {
    pub(super) fn secret<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFault>
    where
        'tree: 'de,
    {
        match &self.node.value {
            TreeValue::Scalar(scalar) if !scalar.is_null() => visitor.visit_str(&scalar.text),
            TreeValue::Map(entries) => visitor.visit_map(Pairs::new(self, entries.iter().collect())),
            TreeValue::Scalar(_) | TreeValue::List(_) => {
                Err(self.expected("a secret: a string, `{ env: NAME }` or `{ file: PATH }`"))
            }
        }
    }

    /// A number with all its digits.
    pub(super) fn bound(self) -> Result<Decimal, DecodeFault> {
        let bound = self.parsed("a number", |text| scalar::number(text).or_else(|| Decimal::new(text)))?;
        if bound.is_in_range() {
            return Ok(bound);
        }
        let reason =
            format!("{} is beyond the range of a double, which no number of a record leaves", scalar::shown(self.node));
        Err(DecodeFault::at(self.node, reason).remedy("write a number between -1.7e308 and 1.7e308"))
    }

    pub(super) fn unknown_variant(self, name: &str, origin: &Origin, variants: &[&str]) -> DecodeFault {
        let (path, reason) = match &self.node.value {
            TreeValue::Map(entries) if !entries.is_empty() => {
                let (path, name) = fault::unknown_key(self.node, &entries[0], variants);
                (path, format!("unknown key{name}"))
            }
            TreeValue::Map(_) | TreeValue::List(_) | TreeValue::Scalar(_) if secret::hides_values(&self.node.path) => {
                (self.node.path.clone(), "not one of the known values".to_owned())
            }
            TreeValue::Map(_) | TreeValue::List(_) | TreeValue::Scalar(_) => {
                (self.node.path.clone(), format!("unknown value `{}`", scalar::as_written(self.node).unwrap_or(name)))
            }
        };
        DecodeFault::new(path, origin.clone(), reason).remedy(nearest::remedy(name, variants, "known here"))
    }
}
