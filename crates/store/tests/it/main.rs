//! The store as its callers see it, on a real folder.

mod document;
mod opening;
mod rebuilding;
mod support;
