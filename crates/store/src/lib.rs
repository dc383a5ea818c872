//! Durable home of archives: payloads (the bytes) and the ledger (the facts about them).
//!
//! Data flows one way: [`Store::commit`] appends a record to the **log** on the payload side, syncs it, applies it to
//! the **ledger** in one transaction, and only then answers. The log is the truth; the ledger's tables of vaults and
//! archives are a pure function of it, so that `rebuild` is a replay from zero and a crash between the two steps is
//! healed by replaying the log's tail when the store is opened.
//!
//! ```text
//! small archive   record with body  ──┐
//! larger archive  payload file(s) ──> record with manifest ──> log (packs) ──> ledger ──> answer
//! ```

pub mod check;
pub mod clock;
mod committer;
pub mod compaction;
#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "what tests store is small")]
mod crash_tests;
pub mod document;
mod durable;
pub mod entry;
pub mod error;
pub mod identity;
mod layout;
pub mod ledger;
mod lock;
mod open;
pub mod payload;
mod random;
pub mod rebuild;
mod recovery;
mod reservation;
pub mod scrub;
pub mod store;
mod takeover;

pub use check::{CheckProgress, CheckReport, HitArchive, Problem, check};
pub use clock::{Clock, ManualClock, SystemClock};
pub use compaction::{Compaction, CompactionStep, PackOutcome, VaultLocks};
pub use document::{DocumentEntry, DocumentName, DocumentRow};
pub use entry::{ArchiveEntry, Content, Entry, Extent, IdSeal, Outcome};
pub use error::{Damage, StoreError};
pub use identity::{IdKeys, Identity};
pub use layout::{AUDIT_FILE, UNNAMED_FOLDER};
pub use ledger::Ledger;
pub use open::OpenOptions;
pub use payload::Payload;
pub use rebuild::{Doubt, RebuildReport, rebuild};
pub use scrub::{Scrub, ScrubStep};
pub use store::{Store, StoreStat};
