//! The client's library: targets, transfers, retrievals and the catalog.
//!
//! A [`Target`] is where vaults are (an embedded store, a service). A **transfer** moves files there; a
//! **retrieval** brings them back; the **catalog** remembers every file, and as a journal what has begun and not ended,
//! recorded and synced before the first byte moves. The library never prints, prompts or reads the environment: it
//! reports through [`Events`].

pub mod administration;
pub mod api;
mod body;
pub mod catalog;
pub mod description;
pub mod events;
pub mod inventory;
mod life;
mod local;
pub mod manifest;
#[cfg(unix)]
pub mod migrate;
pub mod path;
pub mod pattern;
#[cfg(unix)]
pub mod place;
pub mod price;
#[cfg(unix)]
pub mod remove;
#[cfg(unix)]
pub mod retrieval;
pub mod retry;
pub mod s3;
pub mod target;
pub mod transfer;
pub mod transport;
mod utf7;
#[cfg(unix)]
pub mod verify;
pub mod walk;

pub use events::{Event, Events};
pub use path::CatalogPath;
pub use target::{Target, TargetError};
