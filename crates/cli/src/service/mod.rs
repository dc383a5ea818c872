//! The settings of the service: flags over environment over `serve.toml` over defaults, read once.
//!
//! Every setting is a line of one table, [`SETTINGS`]: the file, the environment and the reference in
//! `docs/configuration.md` know the same names because all three are made of it.

mod master_key;
mod settings;
mod value;

use icefield_protocol::Region;
use icefield_store::Store;

use crate::failure::Failure;

pub(crate) use master_key::master_key;
pub(crate) use settings::Service;

/// The region of a store that nobody has given one.
const REGION: &str = "us-east-1";

/// The region that the store is served as: what is asked for, else what it was served as before.
pub(crate) fn region(service: &Service, store: &Store) -> Result<Region, Failure> {
    match (service.value("region"), &store.identity().region) {
        (Some(value), _) => value.parsed(),
        (None, Some(region)) => Ok(region.clone()),
        (None, None) => Ok(Region::parse(REGION).expect("a region")),
    }
}
