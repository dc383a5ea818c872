//! Glacier's rules: vaults, archives, multipart uploads, jobs, inventories.
//!
//! [`Engine`] speaks Glacier's nouns, knows no HTTP and reads no wall clock. It decides; the store makes durable. Bytes
//! flow through [`Receiving`] and [`ReceivingPart`], hashed once on their way to the store, and come back through
//! [`OutputReader`], each MiB verified before it is handed out. Nothing works in the background: whoever owns the engine
//! calls [`Engine::run_due_jobs`] when [`Engine::next_due`] says so, and [`Engine::housekeeping`] now and then.

mod access;
mod account;
mod archive;
mod body;
mod capacity;
mod compaction;
mod compliance;
mod documents;
mod engine;
mod error;
mod grounds;
mod housekeeping;
mod id;
mod inventory;
mod job;
mod lock;
mod page;
pub mod policy;
mod random;
mod retrieval_policy;
mod room;
mod settings;
mod topic;
mod upload;
mod vault;
mod vault_settings;

pub use access::{Access, Caller, Resource};
pub use account::{
    AccountDescription, Credential, KeyDescription, MasterKey, NewKey, Session, SessionRefusal,
    UserDescription,
};
pub use archive::{HashedArchive, NewArchive, Receiving, StoredArchive};
pub use engine::Engine;
pub use error::EngineError;
pub use icefield_store::ledger::JobFilter as JobListFilter;
pub use job::{JobOutput, OutputReader, RequestedRange};
pub use settings::{Delays, Settings};
pub use topic::{Destination, Endpoint, Topic};
pub use upload::{HashedPart, ReceivingPart};
