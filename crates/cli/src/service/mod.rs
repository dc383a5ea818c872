//! The settings of the service: flags over environment over `serve.toml` over defaults, read once.
//!
//! Every setting is a line of one table, [`SETTINGS`]: the file, the environment and the reference in
//! `docs/configuration.md` know the same names because all three are made of it.

mod master_key;
mod settings;
mod value;

pub(crate) use master_key::master_key;
pub(crate) use settings::{SETTINGS, Service, Setting};
