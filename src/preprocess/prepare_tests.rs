//! Tests of `prepare`.
