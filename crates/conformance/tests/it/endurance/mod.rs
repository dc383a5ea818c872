//! The whole system for long, under load, and under violence: killed servers, full vaults, everything at once.
//!
//! Each test has a form that takes seconds, which runs always, and one of the size that is promised, marked
//! `#[ignore = "long"]`. All of them print the seed of what is random about them, and figures.

pub(crate) mod client;
mod killed;
mod million;
mod race;
mod service;
