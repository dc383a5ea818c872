//! The settings of the service: flags over environment over `serve.toml` over defaults, read once.
//!
//! Every setting is a line of one table, `SETTINGS`: the file, the environment and the reference in
//! `docs/configuration.md` know the same names because all three are made of it.

mod master_key;
mod settings;
mod value;

use std::{path::PathBuf, sync::Arc};

use icefield_protocol::Region;
use icefield_server::operate::{AuditError, AuditLog};
use icefield_store::{AUDIT_FILE, Store};

use crate::failure::Failure;

pub(crate) use master_key::master_key;
pub(crate) use settings::Service;
pub(crate) use value::Value;

/// How a setting says that it is not wanted.
pub(crate) const NONE: &str = "none";
/// The region of a store that nobody has given one.
const REGION: &str = "us-east-1";

/// Opens the audit log, unless there is to be none.
pub(crate) fn audit_log(service: &Service, store: &Store) -> Result<Option<AuditLog>, AuditError> {
    let path = match service.value("audit_log").map(|value| value.text.as_str()) {
        Some(NONE) => None,
        Some(path) => Some(PathBuf::from(path)),
        None => store.dir().map(|dir| dir.join(AUDIT_FILE)),
    };
    path.map(|path| AuditLog::open(&path, Arc::clone(store.clock()))).transpose()
}

/// The region that the store is served as: what is asked for, else what it was served as before.
pub(crate) fn region(service: &Service, store: &Store) -> Result<Region, Failure> {
    match (service.value("region"), &store.identity().region) {
        (Some(value), _) => value.parsed(),
        (None, Some(region)) => Ok(region.clone()),
        (None, None) => Ok(Region::parse(REGION).expect("a region")),
    }
}
