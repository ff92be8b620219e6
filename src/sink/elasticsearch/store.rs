//! Values kept for as long as somebody counts on them: places with a count, without an atomic per record.

/// Index of a value in a [`Store`].
pub type StoreIndex = u32;

/// A slab whose values go when their count does.
pub struct Store<T> {
    values: Vec<Option<(T, u32)>>,
    free: Vec<StoreIndex>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { values: Vec::new(), free: Vec::new() }
    }
}

impl<T> Store<T> {
    /// Keeps `value` until it was released `count` times, at least 1.
    pub fn insert(&mut self, value: T, count: u32) -> StoreIndex {
        let entry = Some((value, count.max(1)));
        if let Some(place) = self.free.pop() {
            self.values[place as usize] = entry;
            return place;
        }
        self.values.push(entry);
        (self.values.len() - 1) as StoreIndex
    }

    /// The value at `place`, while it is kept.
    #[must_use]
    pub fn get(&self, place: StoreIndex) -> Option<&T> {
        self.values.get(place as usize)?.as_ref().map(|(value, _)| value)
    }

    /// Counts one off; the value goes with the last.
    pub fn release(&mut self, place: StoreIndex) {
        let Some(entry) = self.values.get_mut(place as usize) else { return };
        let Some((_, count)) = entry else { return };
        *count -= 1;
        if *count == 0 {
            *entry = None;
            self.free.push(place);
        }
    }

    /// The values kept.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter().flatten().map(|(value, _)| value)
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len() - self.free.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
