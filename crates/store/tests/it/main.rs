//! The store as its callers see it, on a real folder.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking, put files where a crash would, and store little"
)]

mod compacting;
mod document;
mod documents;
mod opening;
mod rebuilding;
mod scrubbing;
mod support;
mod sweeping;
