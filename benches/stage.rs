//! One thing that is measured.

/// A stage at work on one input, again and again.
pub struct Stage {
    /// What it is, such as `preprocess/select`.
    pub group: String,
    /// On what, such as the bytes of a record.
    pub case: String,
    /// Records of one round.
    pub records: u64,
    /// Bytes of their values, where they matter.
    pub bytes: Option<u64>,
    /// Works through all records once; gives a number that depends on the work, so that none of it is optimised away.
    pub run: Box<dyn FnMut() -> usize>,
}
