//! Identity, keys, and files that icefield did not put there.

use super::CheckReport;
use crate::{
    error::StoreError,
    identity::{IdKeys, Identity},
    layout::{
        AUDIT_FILE, IDENTITY_FILE, KEYS_FILE, LEDGER_FILE, OLD_LEDGER_FILE, SCRATCH_FILE,
        UNNAMED_FOLDER,
    },
    ledger::COMPANIONS,
    payload::disk::{fenced::Disk, is_pack_name, is_torn_name},
};

/// The files that say who the store is.
pub(crate) fn check_identity(disk: &Disk, report: &mut CheckReport) -> Result<(), StoreError> {
    match Identity::read(disk) {
        Ok(Some(_)) => {}
        Ok(None) => report.found(IDENTITY_FILE, "missing file"),
        Err(error) => report.failed(IDENTITY_FILE, error, None)?,
    }
    match IdKeys::read(disk) {
        Ok(Some(_)) => {}
        Ok(None) => report.found(KEYS_FILE, "missing file"),
        Err(error) => report.failed(KEYS_FILE, error, None)?,
    }
    Ok(())
}

pub(super) fn check_names(disk: &Disk, report: &mut CheckReport) -> Result<(), StoreError> {
    for (folder, known) in [
        ("", is_top_name as fn(&str, bool) -> bool),
        ("packs", |name, is_dir| !is_dir && (is_pack_name(name) || is_torn_name(name))),
    ] {
        let entries = disk.volume().entries(folder);
        for entry in entries.map_err(|error| disk.failed("listing", folder, error))? {
            if !known(&entry.name, entry.is_dir) {
                let separator = if folder.is_empty() { "" } else { "/" };
                let place = format!("{folder}{separator}{}", entry.name);
                report.found(&place, "extra file: icefield did not put it there");
            }
        }
    }
    Ok(())
}

fn is_top_name(name: &str, is_dir: bool) -> bool {
    if is_dir {
        return matches!(name, "packs" | "payload" | UNNAMED_FOLDER);
    }
    let databases = [LEDGER_FILE, OLD_LEDGER_FILE, SCRATCH_FILE];
    let is_audit_log =
        name.strip_prefix(AUDIT_FILE).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    is_audit_log
        || matches!(name, IDENTITY_FILE | KEYS_FILE | "lock" | "control.sock")
        || databases.iter().any(|database| {
            let suffix = name.strip_prefix(database);
            suffix.is_some_and(|suffix| suffix.is_empty() || COMPANIONS.contains(&suffix))
        })
}
