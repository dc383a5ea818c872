//! Names in a store's folder. What they hold is described in `docs/data-directory.md`.

/// Who the store is.
pub(crate) const IDENTITY_FILE: &str = "store.json";
/// The keys of its IDs.
pub(crate) const KEYS_FILE: &str = "keys.json";
/// The ledger's database.
pub(crate) const LEDGER_FILE: &str = "ledger.db";
/// Where a rebuild leaves the ledger that it replaces.
pub(crate) const OLD_LEDGER_FILE: &str = "ledger.db.old";
/// Where a rebuild writes the new one.
pub(crate) const NEW_LEDGER_FILE: &str = "ledger.db.new";
/// Where a check applies the log once more.
pub(crate) const SCRATCH_FILE: &str = "ledger.db.check";
/// Who has changed what, written by the service. Beside it may stand older ones, with a dot and more behind the name.
pub const AUDIT_FILE: &str = "audit.log";
/// Where a rebuild puts payload files that no record names.
pub const UNNAMED_FOLDER: &str = "unnamed";
