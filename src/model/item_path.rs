//! Which item of a record something is, where steps made several of one.

use std::fmt;

/// Bits of one level.
const LEVEL_BITS: u32 = 16;

/// The numbers, from 0, that `explode` and `jq` steps gave to an item, the first step's first: at most four levels of
/// at most 65,535 items. What no step split is [`ItemPath::WHOLE`]. Ordered as the items are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ItemPath(u64);

impl ItemPath {
    /// The record itself.
    pub const WHOLE: Self = Self(0);
    /// Most steps of a pipeline that make several items of one.
    pub(crate) const LEVELS: usize = (u64::BITS / LEVEL_BITS) as usize;
    /// Most items that one step makes of one.
    pub(crate) const MOST: u32 = (1 << LEVEL_BITS) - 1;

    /// Whether it is the record itself.
    #[must_use]
    #[inline]
    pub fn is_whole(self) -> bool {
        self == Self::WHOLE
    }

    /// Item `number` of this one; `None` beyond the bounds of the type.
    #[must_use]
    pub(crate) fn below(self, number: u32) -> Option<Self> {
        let room = if self.is_whole() { u64::BITS } else { self.0.trailing_zeros() / LEVEL_BITS * LEVEL_BITS };
        let shift = room.checked_sub(LEVEL_BITS)?;
        // A level holds its number plus one: zero is no level.
        (number < Self::MOST).then(|| Self(self.0 | (u64::from(number) + 1) << shift))
    }

    /// The one directly behind this in the order.
    #[must_use]
    pub(crate) fn successor(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number that the last step gave it; 0 for a whole record.
    #[must_use]
    pub(crate) fn last_number(self) -> u64 {
        self.numbers().last().unwrap_or_default()
    }

    /// Its numbers, the outermost first; none for a whole record.
    fn numbers(self) -> impl Iterator<Item = u64> {
        let levels = (1..=Self::LEVELS as u32).map(move |level| self.0 >> (u64::BITS - level * LEVEL_BITS));
        levels.map(|bits| bits & u64::from(Self::MOST)).take_while(|level| *level > 0).map(|level| level - 1)
    }
}

/// `2`, or `2.0` where two steps split.
impl fmt::Display for ItemPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (level, number) in self.numbers().enumerate() {
            write!(out, "{}{number}", if level > 0 { "." } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(numbers: &[u32]) -> Option<ItemPath> {
        numbers.iter().try_fold(ItemPath::WHOLE, |path, number| path.below(*number))
    }

    #[test]
    fn paths_are_distinct_ordered_and_shown_as_their_numbers() {
        let ordered = [&[][..], &[0], &[0, 0], &[0, 0, 0, 65_534], &[0, 1], &[1], &[2, 0], &[65_534]];
        let paths: Vec<ItemPath> = ordered.iter().map(|numbers| path(numbers).expect("within bounds")).collect();
        assert!(paths.is_sorted_by(|one, next| one < next), "{paths:?}");
        let shown: Vec<String> = paths.iter().map(ItemPath::to_string).collect();
        assert_eq!(shown, ["", "0", "0.0", "0.0.0.65534", "0.1", "1", "2.0", "65534"]);
        assert!(paths.windows(2).all(|pair| pair[0].successor() <= pair[1]));
        assert_eq!((path(&[0, 0, 0, 0, 0]), path(&[65_535])), (None, None));
    }
}
