//! A vault's inventory against the catalog.
//!
//! An inventory is old when it comes: a day at best. So what it has is added or confirmed, and what it lacks is marked
//! as gone only if the catalog has known it for longer than the inventory can lag. Rows that are gone are kept; they come
//! back if a later inventory has them. Items go through in batches; which archives were seen is kept in a temporary
//! table, so memory does not depend on their number.

use std::{
    io::{self, BufRead},
    time::Duration,
};

use icefield_protocol::{ArchiveId, InventoryError, InventoryHead, InventoryItem, Timestamp};
use rusqlite::{Connection, Transaction, params};

use super::{
    MAX_NAMED, Refusal, Refusals,
    import::{BATCH, fill, known},
    named::{Named, foreign_path, named_item, placeholder},
};
use crate::{
    catalog::{
        Catalog, CatalogError, Entry, Twin, VaultRef, archive_key, for_each_twin, forget_unseen,
        insert, note_manifest, settle_unseen, write_with,
    },
    manifest,
};

/// What a reconciliation did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefreshReport {
    /// Date of the inventory.
    pub date: Option<Timestamp>,
    /// Archives in it.
    pub archives: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Archives that the catalog did not know.
    pub added: u64,
    /// Archives that it knew.
    pub confirmed: u64,
    /// Archives that it had and the vault has no more.
    pub gone: u64,
    /// Archives too young to be missed in this inventory.
    pub kept_fresh: u64,
    /// Manifest archives that have still to be retrieved, with their sizes.
    pub manifests: Vec<(ArchiveId, u64)>,
    /// Archives whose descriptions were not written by icefield.
    pub foreign: u64,
    /// Of these, archives that the program which wrote them has compressed or encrypted: they come back as they are.
    pub packed: u64,
    /// Paths that were refused; their archives are in the catalog under their IDs.
    pub refused: Refusals,
    /// Archives that were stored a second time, as it seems: the answer to their upload was lost.
    pub twins: Twins,
    /// Archives whose tree hash or size in the catalog differs from the vault's: look at them before relying on them.
    pub differing: Refusals,
}

/// Archives with the path, size and tree hash of one that this catalog has uploaded, and which it has not uploaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Twins {
    /// The first of them.
    pub first: Vec<Twin>,
    /// How many there are.
    pub total: u64,
}

impl Twins {
    fn add(&mut self, twin: Twin) {
        self.total += 1;
        if self.first.len() < MAX_NAMED {
            self.first.push(twin);
        }
    }
}

/// Reconciling failed. What was added or confirmed before is kept; nothing was marked as gone.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The inventory could not be read to its end.
    #[error("cannot read the vault's inventory")]
    Inventory(#[from] InventoryError<CatalogError>),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A manifest archive could not be read.
    #[error("cannot read the manifest archive")]
    Manifest(#[from] io::Error),
}

/// A reconciliation that is going on: give it every item, then finish it.
///
/// Dropped before, it leaves what was added and confirmed, and marks nothing as gone.
#[derive(Debug)]
pub struct Reconciliation {
    connection: Connection,
    vault: VaultRef,
    batch: Vec<InventoryItem>,
    report: RefreshReport,
}

impl Reconciliation {
    /// Begins to reconcile a vault.
    ///
    /// # Errors
    ///
    /// When the catalog fails, as with the other calls.
    pub fn begin(catalog: &Catalog, vault: VaultRef) -> Result<Self, CatalogError> {
        let connection = catalog.open_own()?;
        connection.execute_batch(
            "CREATE TEMP TABLE seen (archive_key INTEGER PRIMARY KEY);
             CREATE TEMP TABLE missing (id INTEGER PRIMARY KEY);",
        )?;
        let batch = Vec::with_capacity(BATCH);
        Ok(Self { connection, vault, batch, report: RefreshReport::default() })
    }

    /// Takes one item of the inventory.
    pub fn item(&mut self, item: InventoryItem) -> Result<(), CatalogError> {
        self.batch.push(item);
        if self.batch.len() < BATCH { Ok(()) } else { self.take_batch() }
    }

    /// Ends the inventory, which was taken at `date` and may lack what is younger than `lag` before that.
    pub fn finish(mut self, date: Timestamp, lag: Duration) -> Result<RefreshReport, CatalogError> {
        self.take_batch()?;
        let lag = i64::try_from(lag.as_millis()).unwrap_or(i64::MAX);
        let sure = Timestamp::from_unix_millis(date.unix_millis().saturating_sub(lag));
        self.mark_gone(date, sure)?;
        self.report.date = Some(date);
        let twins = &mut self.report.twins;
        for_each_twin(&self.connection, self.vault, &mut |twin| twins.add(twin))?;
        self.report.manifests = pending_manifests(&self.connection, self.vault)?;
        Ok(self.report)
    }

    fn take_batch(&mut self) -> Result<(), CatalogError> {
        let Self { connection, vault, batch, report } = self;
        write_with(connection, |tx| {
            for item in batch.drain(..) {
                report.archives += 1;
                report.bytes = report.bytes.saturating_add(item.size);
                tx.prepare_cached("INSERT OR IGNORE INTO temp.seen VALUES (?)")?
                    .execute([archive_key(&item.archive_id)])?;
                take(tx, *vault, item, report)?;
            }
            Ok(())
        })
    }

    fn mark_gone(&mut self, date: Timestamp, sure: Timestamp) -> Result<(), CatalogError> {
        const UNSEEN: &str =
            "FROM entry WHERE vault = ?1 AND archive_key IS NOT NULL AND gone IS NULL
             AND NOT EXISTS (SELECT 1 FROM temp.seen WHERE seen.archive_key = entry.archive_key)";
        let (vault, sure) = (self.vault.0, sure.unix_millis());
        // Found before the write lock is taken: the vault may be large and others want to write.
        let missing = self.connection.execute(
            &format!("INSERT INTO temp.missing SELECT id {UNSEEN} AND since < ?2"),
            params![vault, sure],
        )?;
        let fresh: i64 = self.connection.query_row(
            &format!("SELECT count(*) {UNSEEN} AND since >= ?2"),
            params![vault, sure],
            |row| row.get(0),
        )?;
        let lost = lost_manifests(&self.connection, self.vault, sure)?;
        write_with(&mut self.connection, |tx| {
            tx.execute(
                "UPDATE vault SET inventoried = max(ifnull(inventoried, ?1), ?1) WHERE id = ?2",
                [date.unix_millis(), vault],
            )?;
            tx.execute(
                "UPDATE entry SET gone = ? WHERE id IN (SELECT id FROM temp.missing)",
                [date.unix_millis()],
            )?;
            forget_unseen(tx, self.vault, sure)?;
            for archive in &lost {
                // Noted again, and applied, should a later inventory have it.
                tx.execute(
                    "DELETE FROM manifest WHERE vault = ? AND archive = ?",
                    params![vault, archive],
                )?;
                tx.execute(
                    "UPDATE entry SET gone = ? WHERE vault = ? AND archive IS NULL AND manifest = ?",
                    params![date.unix_millis(), vault, archive],
                )?;
            }
            Ok(())
        })?;
        self.report.gone = missing as u64;
        self.report.kept_fresh = fresh.cast_unsigned();
        Ok(())
    }
}

fn take(
    tx: &Transaction<'_>,
    vault: VaultRef,
    item: InventoryItem,
    report: &mut RefreshReport,
) -> Result<(), CatalogError> {
    let id = item.archive_id.clone();
    let (entry, foreign, refused) = match named_item(item) {
        Named::Manifest(manifest) => return note_manifest(tx, vault, &manifest, false),
        Named::File { entry, foreign, refused } => (entry, foreign, refused),
    };
    report.foreign += u64::from(foreign.is_some());
    report.packed += u64::from(foreign.is_some_and(|foreign| foreign.is_packed));
    if let Some(why) = refused {
        report.refused.add(Refusal { place: id.to_string(), why });
    }
    let found = known(tx, vault, &id)?;
    if found.is_empty() {
        report.added += 1;
        if let Some(tree_hash) = entry.tree_hash {
            settle_unseen(tx, vault, &entry.path, tree_hash)?;
        }
        return insert(tx, vault, &entry, entry.uploaded).map(drop);
    }
    report.confirmed += 1;
    let unnamed = placeholder(&id);
    for known in found {
        if let Some(differs) = known.differs(&entry) {
            report.differing.add(Refusal { place: known.path.to_string(), why: differs });
        }
        if known.path == unnamed && entry.path != unnamed {
            tx.prepare_cached("UPDATE entry SET path = ?, kind = ? WHERE id = ?")?
                .execute(params![entry.path.as_bytes(), entry.kind as i64, known.id])?;
        }
        if known.lacks(&entry) {
            fill(tx, known.id, &entry)?;
        }
    }
    Ok(())
}

/// Manifests that are older than `sure` and were not seen.
fn lost_manifests(
    connection: &Connection,
    vault: VaultRef,
    sure: i64,
) -> Result<Vec<String>, CatalogError> {
    let mut seen = connection.prepare("SELECT 1 FROM temp.seen WHERE archive_key = ?")?;
    let mut lost = Vec::new();
    let mut select =
        connection.prepare("SELECT archive FROM manifest WHERE vault = ? AND created < ?")?;
    let mut rows = select.query(params![vault.0, sure])?;
    while let Some(row) = rows.next()? {
        let archive =
            ArchiveId::try_from(row.get::<_, String>(0)?).map_err(CatalogError::damaged)?;
        if !seen.exists([archive_key(&archive)])? {
            lost.push(archive.into());
        }
    }
    Ok(lost)
}

fn pending_manifests(
    connection: &Connection,
    vault: VaultRef,
) -> Result<Vec<(ArchiveId, u64)>, CatalogError> {
    let mut select = connection.prepare(
        "SELECT archive, size FROM manifest WHERE vault = ? AND applied = 0 ORDER BY created, id",
    )?;
    let mut rows = select.query([vault.0])?;
    let mut pending = Vec::new();
    while let Some(row) = rows.next()? {
        let archive =
            ArchiveId::try_from(row.get::<_, String>(0)?).map_err(CatalogError::damaged)?;
        pending.push((archive, row.get::<_, i64>(1)?.cast_unsigned()));
    }
    Ok(pending)
}

/// Reconciles a whole inventory, such as `|each| read_json(file, each)`, with the catalog.
///
/// `date` is taken where the inventory does not tell its own.
///
/// # Errors
///
/// When the inventory is damaged or the catalog fails; then nothing is marked as gone.
pub fn reconcile(
    catalog: &Catalog,
    vault: VaultRef,
    date: Timestamp,
    lag: Duration,
    read: impl FnOnce(
        &mut dyn FnMut(InventoryItem) -> Result<(), CatalogError>,
    ) -> Result<InventoryHead, InventoryError<CatalogError>>,
) -> Result<RefreshReport, ReconcileError> {
    let mut reconciliation = Reconciliation::begin(catalog, vault)?;
    let head = read(&mut |item| reconciliation.item(item))?;
    Ok(reconciliation.finish(head.date.unwrap_or(date), lag)?)
}

/// Takes the content of a manifest archive into the catalog, and returns the lines that were refused.
///
/// # Errors
///
/// When `reader` or the catalog fails; the manifest stays pending then and can be applied again.
pub fn apply_manifest(
    catalog: &Catalog,
    vault: VaultRef,
    archive: &ArchiveId,
    reader: impl BufRead,
) -> Result<Refusals, ReconcileError> {
    let mut refused = Refusals::default();
    let mut batch = Vec::with_capacity(BATCH);
    manifest::read(reader, &mut |line| -> Result<(), ReconcileError> {
        match line {
            Ok(entry) => batch.push(Entry { manifest: Some(archive.clone()), ..entry }),
            Err(line) => {
                refused
                    .add(Refusal { place: format!("{archive} line {}", line.line), why: line.why });
            }
        }
        if batch.len() >= BATCH {
            catalog.write(|tx| apply(tx, vault, archive, &mut batch))?;
        }
        Ok(())
    })?;
    catalog.write(|tx| {
        apply(tx, vault, archive, &mut batch)?;
        tx.execute(
            "INSERT INTO manifest (vault, archive, size, created, applied) VALUES (?, ?, 0, 0, 1)
             ON CONFLICT (vault, archive) DO UPDATE SET applied = 1",
            params![vault.0, archive.as_str()],
        )?;
        Ok(())
    })?;
    Ok(refused)
}

fn apply(
    tx: &Transaction<'_>,
    vault: VaultRef,
    manifest: &ArchiveId,
    entries: &mut Vec<Entry>,
) -> Result<(), CatalogError> {
    let mut created =
        tx.prepare_cached("SELECT created FROM manifest WHERE vault = ? AND archive = ?")?;
    let mut rows = created.query(params![vault.0, manifest.as_str()])?;
    let created = rows.next()?.map_or(Ok(0), |row| row.get(0)).map(Timestamp::from_unix_millis)?;
    for mut entry in entries.drain(..) {
        let Some(archive) = &entry.archive else {
            // The same thing from an inventory file, which knows no manifests.
            tx.prepare_cached(
                "DELETE FROM entry WHERE vault = ? AND path = ? AND archive IS NULL AND manifest IS NULL",
            )?
            .execute(params![vault.0, entry.path.as_bytes()])?;
            entry.uploaded = created;
            insert(tx, vault, &entry, created)?;
            continue;
        };
        // An archive that the catalog does not have was deleted since.
        let unnamed = placeholder(archive);
        for known in known(tx, vault, archive)? {
            let described = known.description.as_deref().and_then(foreign_path);
            let has_no_name = known.path == unnamed || Some(&known.path) == described.as_ref();
            if has_no_name || known.path == entry.path {
                fill(tx, known.id, &entry)?;
                // A foreign description tells whole seconds.
                tx.prepare_cached(
                    "UPDATE entry SET path = ?1, manifest = ?2, mtime_ns =
                        CASE WHEN mtime_s = ?3 AND mtime_ns = 0 THEN ?4 ELSE mtime_ns END
                     WHERE id = ?5",
                )?
                .execute(params![
                    entry.path.as_bytes(),
                    manifest.as_str(),
                    entry.mtime.map(|mtime| mtime.seconds),
                    entry.mtime.map(|mtime| mtime.nanos),
                    known.id
                ])?;
            }
        }
    }
    Ok(())
}
