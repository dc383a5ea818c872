//! The ledger beside what the log makes: vaults, live archives and documents, row by row.

use std::cmp::Ordering;

use super::{CheckReport, Seen};
use crate::{
    document::{DocumentName, DocumentRow},
    entry::{ArchiveEntry, ArchiveNumber, VaultNumber},
    error::StoreError,
    ledger::{ArchiveQuery, ArchiveRow, Ledger, VaultRow},
    store::Store,
};

/// Rows asked for at a time.
const PAGE: usize = 1000;
/// Documents asked for at a time; each may have a MiB.
const DOCUMENTS_PAGE: usize = 16;
const PLACE: &str = "ledger.db";

pub(super) async fn compare(
    store: &Store,
    scratch: &dyn Ledger,
    seen: &Seen,
    report: &mut CheckReport,
) -> Result<(), StoreError> {
    let ledger = &**store.ledger();
    for number in &seen.vaults {
        let told = scratch.vault_by_number(*number).await?;
        let found = ledger.vault_by_number(*number).await?;
        match (told, found) {
            (None, None) => {}
            // Deleted, or created, since the log was read.
            (Some(told), None) if is_newer(store, scratch).await? => drop(told),
            (None, Some(_)) if is_newer(store, scratch).await? => {}
            (Some(told), None) => report.found(PLACE, format!("vault `{}` is missing", told.name)),
            (None, Some(found)) => {
                report.found(PLACE, format!("vault `{}` was deleted, by the log", found.name));
            }
            (Some(told), Some(found)) => {
                if !is_same_vault(&told, &found) {
                    let what = format!("vault `{}` differs from what the log tells", told.name);
                    report.found(PLACE, what);
                }
                compare_archives(ledger, scratch, &told, report).await?;
            }
        }
    }
    unknown_vaults(store, scratch, seen, report).await
}

/// What the ledger has beside an archive's row: the files that it is made of, and what its token made.
pub(super) async fn compare_archive(
    store: &Store,
    entry: &ArchiveEntry,
    report: &mut CheckReport,
) -> Result<(), StoreError> {
    let ledger = &**store.ledger();
    let is_same = match entry.token {
        Some(token) => {
            let found = ledger.archive_by_token(entry.vault, token).await?;
            found.is_some_and(|row| row.number == entry.number)
        }
        None => true,
    };
    let is_same = is_same && ledger.extents(entry.number).await? == entry.extents();
    // What was purged is not compared.
    if !is_same && let Some(row) = ledger.archive(entry.number).await? {
        different(report, Some(&row), "has other files or another token than the log tells");
    }
    Ok(())
}

/// Compares the documents of both; those that were changed since the log was read may differ.
pub(super) async fn compare_documents(
    store: &Store,
    scratch: &dyn Ledger,
    report: &mut CheckReport,
) -> Result<(), StoreError> {
    let mut told = Documents::of(scratch);
    let mut found = Documents::of(&**store.ledger());
    let (mut expected, mut row) = (told.next().await?, found.next().await?);
    loop {
        let order = match (&expected, &row) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(expected), Some(row)) => expected.name.cmp(&row.name),
        };
        let what = match order {
            Ordering::Less => Some("is missing"),
            Ordering::Greater => Some("is not in the log"),
            Ordering::Equal => (expected != row).then_some("differs from what the log tells"),
        };
        let named = if order == Ordering::Greater { &row } else { &expected };
        if let (Some(what), Some(DocumentRow { name, .. })) = (what, named)
            && !is_newer(store, scratch).await?
        {
            report.found(PLACE, format!("document {name} {what}"));
        }
        if order != Ordering::Greater {
            expected = told.next().await?;
        }
        if order != Ordering::Less {
            row = found.next().await?;
        }
    }
}

/// Whether the ledger has gone on since the log was read.
async fn is_newer(store: &Store, scratch: &dyn Ledger) -> Result<bool, StoreError> {
    Ok(store.ledger().mark().await? > scratch.mark().await?)
}

/// Inventories are the ledger's own, and a vault in use has been written to since.
fn is_same_vault(told: &VaultRow, found: &VaultRow) -> bool {
    let key = |row: &VaultRow| (row.number, row.account.clone(), row.name.clone(), row.created);
    let counts = |row: &VaultRow| (row.writes, row.archives, row.bytes);
    key(told) == key(found) && (found.writes > told.writes || counts(told) == counts(found))
}

async fn unknown_vaults(
    store: &Store,
    scratch: &dyn Ledger,
    seen: &Seen,
    report: &mut CheckReport,
) -> Result<(), StoreError> {
    for account in &seen.accounts {
        let mut from = None;
        loop {
            let mut page = store.ledger().vaults(account, from.as_ref(), PAGE).await?;
            page.retain(|row| Some(&row.name) != from.as_ref());
            for row in &page {
                let told = seen.vaults.contains(&row.number);
                if !told && !is_newer(store, scratch).await? {
                    report.found(PLACE, format!("the log does not tell of vault `{}`", row.name));
                }
            }
            let Some(last) = page.pop() else { break };
            from = Some(last.name);
        }
    }
    Ok(())
}

async fn compare_archives(
    ledger: &dyn Ledger,
    scratch: &dyn Ledger,
    vault: &VaultRow,
    report: &mut CheckReport,
) -> Result<(), StoreError> {
    let mut told = Rows::new(scratch, vault);
    let mut found = Rows::new(ledger, vault);
    let (mut expected, mut row) = (told.next().await?, found.next().await?);
    loop {
        let order = match (&expected, &row) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(expected), Some(row)) => expected.number.cmp(&row.number),
        };
        match order {
            Ordering::Less => {
                different(report, expected.as_ref(), "is missing");
                expected = told.next().await?;
            }
            Ordering::Greater => {
                different(report, row.as_ref(), "is not in the log");
                row = found.next().await?;
            }
            Ordering::Equal => {
                if expected != row {
                    different(report, expected.as_ref(), "differs from what the log tells");
                }
                (expected, row) = (told.next().await?, found.next().await?);
            }
        }
    }
}

fn different(report: &mut CheckReport, row: Option<&ArchiveRow>, what: &str) {
    if let Some(ArchiveRow { number, description, .. }) = row {
        let description = description.as_ref().map_or("", |description| description.as_str());
        report.found(PLACE, format!("archive {number} ({description}) {what}"));
    }
}

/// All documents in the order of their names, a page at a time.
struct Documents<'a> {
    ledger: &'a dyn Ledger,
    after: Option<DocumentName>,
    page: std::vec::IntoIter<DocumentRow>,
}

impl<'a> Documents<'a> {
    fn of(ledger: &'a dyn Ledger) -> Self {
        Self { ledger, after: None, page: Vec::new().into_iter() }
    }

    async fn next(&mut self) -> Result<Option<DocumentRow>, StoreError> {
        if self.page.as_slice().is_empty() {
            let page = self.ledger.documents("", self.after.as_ref(), DOCUMENTS_PAGE).await?;
            self.page = page.into_iter();
        }
        let row = self.page.next();
        self.after = row.as_ref().map(|row| row.name.clone()).or(self.after.take());
        Ok(row)
    }
}

/// The live archives of a vault as of one write, a page at a time.
struct Rows<'a> {
    ledger: &'a dyn Ledger,
    vault: VaultNumber,
    writes: u64,
    after: Option<ArchiveNumber>,
    page: std::vec::IntoIter<ArchiveRow>,
}

impl<'a> Rows<'a> {
    fn new(ledger: &'a dyn Ledger, vault: &VaultRow) -> Self {
        let page = Vec::new().into_iter();
        Self { ledger, vault: vault.number, writes: vault.writes, after: None, page }
    }

    async fn next(&mut self) -> Result<Option<ArchiveRow>, StoreError> {
        if self.page.as_slice().is_empty() {
            let query = ArchiveQuery {
                vault: self.vault,
                writes: self.writes,
                after: self.after,
                start: None,
                end: None,
                limit: PAGE,
            };
            self.page = self.ledger.archives(query).await?.into_iter();
        }
        let Some(mut row) = self.page.next() else { return Ok(None) };
        self.after = Some(row.number);
        // Deleted later than this state.
        row.deleted_write = row.deleted_write.filter(|write| *write <= self.writes);
        Ok(Some(row))
    }
}
