//! The engine's rules, through its API, over a store in memory and a clock that is moved by hand.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod archive;
mod as_root;
mod inventory;
mod job;
mod model;
mod sequence;
mod upload;
mod vault;
mod world;
