//! The engine's rules, through its API, over a store in memory and a clock that is moved by hand.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod access;
mod account;
mod account_wide;
mod acting;
mod archive;
mod as_root;
mod compaction;
mod compliance;
mod inventory;
mod job;
mod lock;
mod model;
mod policy;
mod sequence;
mod upload;
mod vault;
mod vault_settings;
mod world;
