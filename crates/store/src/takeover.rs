//! What an old ledger knows of documents that a damaged log does not tell any more.
//!
//! ```text
//! old ledger ──> changes newer than what the replay has ──> the log (synced) ──> new ledger
//! ```
//!
//! Without this, a rebuild over one damaged record would bring an older version of a document back: a completed vault
//! lock would be in progress again, a revoked key would be a key again. What is taken over goes into the log first, so that
//! the next rebuild has it without an old ledger. It keeps its version: when the damaged record is put back from a backup,
//! one of the two is refused, and both say the same.

use std::{collections::BTreeSet, path::Path};

use bytes::Bytes;
use icefield_protocol::Timestamp;

use crate::{
    document::{DocumentChange, DocumentEntry, DocumentName},
    entry::{Entry, Outcome},
    error::StoreError,
    ledger::{Ledger, SqliteLedger},
    payload::{LogPosition, NewRecord, Payload, RecordPlace, disk::fenced::blocking},
};

/// Documents read at a time; each may have a MiB.
const PAGE: usize = 16;

/// The ledger that a rebuild replaces, with documents that can be believed.
#[derive(Debug)]
pub(crate) struct OldLedger {
    ledger: SqliteLedger,
    /// Up to where it knows the log.
    pub(crate) mark: LogPosition,
}

impl OldLedger {
    /// Opens the ledger of the store `store_id`, or says why it is of no use.
    pub(crate) async fn open(path: &Path, store_id: Option<&str>) -> Result<Self, String> {
        let Some(store_id) = store_id.map(str::to_owned) else {
            return Err("without store.json nobody knows whose the old ledger is".to_owned());
        };
        if !path.exists() {
            return Err("there is no old ledger that knows them".to_owned());
        }
        let unusable = |error: StoreError| format!("the old ledger cannot be used: {error}");
        let path = path.to_owned();
        let opened = blocking(move || SqliteLedger::open(&path, false, Some(&store_id)));
        let ledger = opened.await.map_err(unusable)?;
        let mark = ledger.mark().await.map_err(unusable)?;
        match ledger.check_documents().await.map_err(unusable)?.first() {
            Some(what) => Err(format!("the old ledger is damaged: {what}")),
            None => Ok(Self { ledger, mark }),
        }
    }

    /// The documents of which it knows a later change than `new`, as far as their vaults exist there.
    pub(crate) async fn newer_than(
        &self,
        new: &SqliteLedger,
    ) -> Result<Vec<DocumentChange>, StoreError> {
        let (mut newer, mut after) = (Vec::new(), None);
        loop {
            let page = self.ledger.document_changes(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(newer) };
            after = Some(last.name.clone());
            for change in page {
                let (last, is_there) = new.last_change(&change.name).await?;
                // The removal of what is not there changes nothing.
                let is_newer = change.version > last && (is_there || change.value.is_some());
                let has_vault = match change.vault {
                    Some(vault) => new.vault_by_number(vault).await?.is_some(),
                    None => true,
                };
                if is_newer && has_vault {
                    newer.push(change);
                }
            }
        }
    }

    /// Lets its file go.
    pub(crate) async fn close(self) {
        if let Err(error) = self.ledger.close().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the old ledger's last commits stay in its write-ahead log");
        }
    }
}

/// Appends the changes to the log and applies them to `new`, which has all of the log. Returns what was changed.
pub(crate) async fn take_over(
    changes: Vec<DocumentChange>,
    payload: &dyn Payload,
    new: &SqliteLedger,
    at: Timestamp,
) -> Result<Vec<DocumentName>, StoreError> {
    let mut taken = Vec::with_capacity(changes.len());
    if changes.is_empty() {
        return Ok(taken);
    }
    find_end(payload, new).await?;
    for change in changes {
        let name = change.name.clone();
        let entry = Entry::Document(entry_of(change, new, at).await?);
        let record = NewRecord { entry: entry.clone(), body: Bytes::new() };
        for place in payload.append(vec![record]).await? {
            let RecordPlace { at: LogPosition { pack, offset }, length } = place;
            let end = LogPosition { pack, offset: offset + length };
            let outcomes = new.apply(vec![(entry.clone(), place)], end).await?;
            if matches!(outcomes[..], [Outcome::Done { .. }]) {
                taken.push(name.clone());
            }
        }
    }
    Ok(taken)
}

/// Finds where the log goes on, as the next opening of the store would: a torn end is cut off and kept.
async fn find_end(payload: &dyn Payload, new: &SqliteLedger) -> Result<(), StoreError> {
    let mut at = new.mark().await?;
    loop {
        let page = payload.replay(at, true).await?;
        if page.last {
            return Ok(());
        }
        at = page.next;
    }
}

async fn entry_of(
    change: DocumentChange,
    new: &SqliteLedger,
    at: Timestamp,
) -> Result<DocumentEntry, StoreError> {
    let (last, is_there) = new.last_change(&change.name).await?;
    let DocumentChange { name, vault, version, value } = change;
    let after = is_there.then_some(last);
    let entry = DocumentEntry { name, vault, version, after, value, at };
    entry.check()?;
    Ok(entry)
}

/// Names of the vaults that have documents, in order.
pub(crate) async fn vaults_with_documents(new: &SqliteLedger) -> Result<Vec<String>, StoreError> {
    let (mut names, mut after) = (BTreeSet::new(), None);
    loop {
        let page = new.documents("", after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(names.into_iter().collect()) };
        after = Some(last.name.clone());
        for vault in page.iter().filter_map(|row| row.vault) {
            let row = new.vault_by_number(vault).await?;
            names.extend(row.map(|row| row.name.to_string()));
        }
    }
}
