//! The published vectors, every way of hashing a stream, and the alignment rules, from outside.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod alignment;
mod pool;
mod streams;
mod vectors;
