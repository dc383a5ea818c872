//! The upload journal: which run uploads which file, under which token and upload ID, and the parts that are there.

use std::{collections::BTreeMap, path::PathBuf};

use icefield_protocol::{PartSize, Timestamp, TreeHash, UploadId, UploadToken};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::{
    Catalog, CatalogError, FileTime, Run, VaultRef, native,
    run::{Living, random},
};
use crate::{path::CatalogPath, target::PartMark};

/// What tells whether a local file is the one that an upload was begun for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Size in bytes.
    pub size: u64,
    /// When its content was modified.
    pub mtime: FileTime,
    /// When its inode was changed.
    pub ctime: FileTime,
    /// Number of its inode.
    pub inode: u64,
}

/// A file to be claimed.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// Its path in the catalog.
    pub path: CatalogPath,
    /// Where it lies.
    pub local: PathBuf,
    /// What it is now.
    pub identity: Identity,
}

/// A file that this run, and no other, uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its number in the journal.
    pub id: i64,
    /// Its path in the catalog.
    pub path: CatalogPath,
    /// The token of its put or initiation.
    pub token: UploadToken,
    /// The multipart upload that was begun for it, if any.
    pub upload: Option<(UploadId, PartSize)>,
    /// The parts that are known to be there, by index counted from 0.
    pub parts: BTreeMap<u32, JournalledPart>,
    /// An older upload, of a since changed file, to be aborted.
    pub superseded: Option<UploadId>,
    /// Whether an earlier run held it.
    pub is_adopted: bool,
    /// Whether an earlier run has asked for the completion of the upload, and noted no answer.
    pub is_completing: bool,
}

impl Claim {
    /// Forgets the upload, as [`Catalog::forget_upload`] has.
    pub fn forget_upload(&mut self, token: UploadToken) {
        self.token = token;
        self.upload = None;
        self.parts.clear();
        self.is_adopted = false;
        self.is_completing = false;
    }
}

/// A part that is known to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalledPart {
    /// Its tree hash.
    pub tree_hash: TreeHash,
    /// What the target lists it with.
    pub mark: PartMark,
}

/// What became of a request to claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// This run holds the file.
    Mine(Claim),
    /// A run that is alive (maybe this one) holds it already.
    HeldElsewhere,
}

/// A file whose upload has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingUpload {
    /// The vault.
    pub vault: VaultRef,
    /// Its path in the catalog.
    pub path: CatalogPath,
    /// Where it lies.
    pub local: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// The multipart upload, if one was begun.
    pub upload: Option<UploadId>,
    /// Number of parts that are known to be there.
    pub parts_done: u64,
    /// Part size of the multipart upload.
    pub part_size: Option<PartSize>,
    /// When it was claimed first.
    pub begun: Timestamp,
    /// Whether a run that is alive holds it.
    pub held: bool,
}

impl Catalog {
    /// Claims files for a run, in one transaction; the answers are in the order of the requests.
    ///
    /// What a run that is dead has left of the same file is adopted: token, upload and parts. If the file has changed since,
    /// it is begun afresh with a new token, and an upload that was begun is named as superseded.
    ///
    /// # Errors
    ///
    /// When the database or the lock files fail.
    pub fn claim(
        &self,
        run: &Run,
        vault: VaultRef,
        requests: &[ClaimRequest],
        now: Timestamp,
    ) -> Result<Vec<Claimed>, CatalogError> {
        let mut living = Living::new(self);
        self.write(|tx| {
            requests
                .iter()
                .map(|request| claim(tx, &mut living, run, vault, request, now))
                .collect()
        })
    }

    /// Notes the multipart upload that was begun for a claim; parts of an earlier one are forgotten.
    pub fn begin_upload(
        &self,
        claim: i64,
        upload: &UploadId,
        part_size: PartSize,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            tx.execute("DELETE FROM part WHERE claim = ?", [claim])?;
            tx.execute(
                "UPDATE claim SET upload = ?, part_size = ?, completing = NULL WHERE id = ?",
                params![upload.as_str(), part_size.bytes().cast_signed(), claim],
            )?;
            Ok(())
        })
    }

    /// Notes a part that is stored durably.
    pub fn record_part(
        &self,
        claim: i64,
        index: u32,
        part: &JournalledPart,
    ) -> Result<(), CatalogError> {
        let etag = match &part.mark {
            PartMark::TreeHash(_) => None,
            PartMark::Etag(etag) => Some(etag),
        };
        self.write(|tx| {
            tx.prepare_cached(
                "INSERT OR REPLACE INTO part (claim, part, tree_hash, etag) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![claim, index, part.tree_hash.as_bytes(), etag])?;
            Ok(())
        })
    }

    /// Notes that the completion of the upload is asked for: from here on it may be an archive.
    pub fn note_completing(
        &self,
        claim: i64,
        tree_hash: TreeHash,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            tx.execute(
                "UPDATE claim SET completing = ?, completing_since = ? WHERE id = ?",
                params![tree_hash.as_bytes(), now.unix_millis(), claim],
            )?;
            Ok(())
        })
    }

    /// Forgets the upload of a claim, which is gone at the target, and returns the token for a new one.
    pub fn forget_upload(&self, claim: i64) -> Result<UploadToken, CatalogError> {
        let token = random()?;
        self.write(|tx| {
            tx.execute("DELETE FROM part WHERE claim = ?", [claim])?;
            tx.execute(
                "UPDATE claim SET upload = NULL, part_size = NULL, completing = NULL, token = ?
                 WHERE id = ?",
                params![token, claim],
            )?;
            Ok(UploadToken::from_bytes(token))
        })
    }

    /// Gives claims back: those with an upload stay to be resumed, the others vanish.
    ///
    /// Not for a put whose outcome is unknown: its claim keeps the token, and is adopted once the run has ended.
    pub fn release(&self, claims: &[i64]) -> Result<(), CatalogError> {
        self.write(|tx| {
            for claim in claims {
                tx.prepare_cached(
                    "DELETE FROM claim WHERE id = ? AND upload IS NULL AND superseded IS NULL",
                )?
                .execute([claim])?;
                tx.prepare_cached("UPDATE claim SET run = NULL WHERE id = ?")?.execute([claim])?;
            }
            Ok(())
        })
    }

    /// Forgets claims altogether, with their uploads, which have been aborted or completed.
    pub fn drop_claims(&self, claims: &[i64]) -> Result<(), CatalogError> {
        self.write(|tx| {
            for claim in claims {
                tx.prepare_cached("DELETE FROM claim WHERE id = ?")?.execute([claim])?;
            }
            Ok(())
        })
    }

    /// Forgets a multipart upload that was aborted, whoever had begun it.
    pub fn upload_aborted(&self, vault: VaultRef, upload: &UploadId) -> Result<(), CatalogError> {
        let key = params![vault.0, upload.as_str()];
        self.write(|tx| {
            tx.execute("DELETE FROM claim WHERE vault = ? AND upload = ?", key)?;
            tx.execute(
                "UPDATE claim SET superseded = NULL WHERE vault = ? AND superseded = ?",
                key,
            )?;
            Ok(())
        })
    }

    /// Lists files whose upload has begun and not ended, by path, in one vault or in all.
    pub fn pending_uploads(
        &self,
        vault: Option<VaultRef>,
    ) -> Result<Vec<PendingUpload>, CatalogError> {
        let mut living = Living::new(self);
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT vault, path, local, size, upload, part_size, begun, run,
                    (SELECT count(*) FROM part WHERE part.claim = claim.id)
                 FROM claim WHERE ?1 IS NULL OR vault = ?1 ORDER BY vault, path",
            )?;
            let mut rows = select.query([vault.map(|vault| vault.0)])?;
            let mut pending = Vec::new();
            while let Some(row) = rows.next()? {
                pending.push(pending_upload(row, &mut living)?);
            }
            Ok(pending)
        })
    }

    /// Whether the journal knows a multipart upload as begun and not ended.
    pub fn upload_known(&self, vault: VaultRef, upload: &UploadId) -> Result<bool, CatalogError> {
        self.read(|connection| {
            let mut select =
                connection.prepare_cached("SELECT 1 FROM claim WHERE vault = ? AND upload = ?")?;
            Ok(select.exists(params![vault.0, upload.as_str()])?)
        })
    }
}

/// Ends the claims of a path whose completion was asked for and whose archive an inventory has.
pub(crate) fn settle_unseen(
    tx: &Transaction<'_>,
    vault: VaultRef,
    path: &CatalogPath,
    tree_hash: TreeHash,
) -> Result<(), CatalogError> {
    tx.prepare_cached("DELETE FROM claim WHERE vault = ? AND path = ? AND completing = ?")?
        .execute(params![vault.0, path.as_bytes(), tree_hash.as_bytes()])?;
    Ok(())
}

/// Lets files be sent again whose completion was asked for before `sure`, and which an inventory does not have: their
/// uploads have expired.
pub(crate) fn forget_unseen(
    tx: &Transaction<'_>,
    vault: VaultRef,
    sure: i64,
) -> Result<(), CatalogError> {
    tx.execute(
        "DELETE FROM claim WHERE vault = ? AND completing IS NOT NULL AND completing_since < ?
            AND run IS NULL",
        params![vault.0, sure],
    )?;
    Ok(())
}

fn pending_upload(row: &Row<'_>, living: &mut Living) -> Result<PendingUpload, CatalogError> {
    Ok(PendingUpload {
        vault: VaultRef(row.get(0)?),
        path: CatalogPath::parse(row.get::<_, Vec<u8>>(1)?).map_err(CatalogError::damaged)?,
        local: native::from_bytes(row.get(2)?),
        size: row.get::<_, i64>(3)?.cast_unsigned(),
        upload: upload_id(row.get(4)?)?,
        parts_done: row.get::<_, i64>(8)?.cast_unsigned(),
        part_size: part_size(row.get(5)?)?,
        begun: Timestamp::from_unix_millis(row.get(6)?),
        held: living.holds(row.get::<_, Option<String>>(7)?.as_deref())?,
    })
}

fn claim(
    tx: &Transaction<'_>,
    living: &mut Living,
    run: &Run,
    vault: VaultRef,
    request: &ClaimRequest,
    now: Timestamp,
) -> Result<Claimed, CatalogError> {
    let mut select = tx.prepare_cached(
        "SELECT id, token, run, upload, part_size, superseded, size, mtime_s, mtime_ns, ctime_s, ctime_ns, inode,
            completing IS NOT NULL
         FROM claim WHERE vault = ? AND path = ?",
    )?;
    let found = select
        .query_row(params![vault.0, request.path.as_bytes()], |row| {
            Ok(Found {
                id: row.get(0)?,
                token: row.get(1)?,
                run: row.get(2)?,
                upload: row.get(3)?,
                part_size: row.get(4)?,
                superseded: row.get(5)?,
                identity: Identity {
                    size: row.get::<_, i64>(6)?.cast_unsigned(),
                    mtime: FileTime { seconds: row.get(7)?, nanos: row.get(8)? },
                    ctime: FileTime { seconds: row.get(9)?, nanos: row.get(10)? },
                    inode: row.get::<_, i64>(11)?.cast_unsigned(),
                },
                is_completing: row.get(12)?,
            })
        })
        .optional()?;
    match found {
        None => begin(tx, run, vault, request, now, None),
        Some(found) if living.holds(found.run.as_deref())? => Ok(Claimed::HeldElsewhere),
        Some(found) if found.identity == request.identity => adopt(tx, run, request, found),
        Some(found) => {
            tx.prepare_cached("DELETE FROM claim WHERE id = ?")?.execute([found.id])?;
            begin(tx, run, vault, request, now, found.upload.or(found.superseded))
        }
    }
}

/// A claim as the journal has it.
struct Found {
    id: i64,
    token: [u8; 16],
    run: Option<String>,
    upload: Option<String>,
    part_size: Option<i64>,
    superseded: Option<String>,
    identity: Identity,
    is_completing: bool,
}

fn begin(
    tx: &Transaction<'_>,
    run: &Run,
    vault: VaultRef,
    request: &ClaimRequest,
    now: Timestamp,
    superseded: Option<String>,
) -> Result<Claimed, CatalogError> {
    let token = random()?;
    let identity = &request.identity;
    tx.prepare_cached(
        "INSERT INTO claim (vault, path, local, size, mtime_s, mtime_ns, ctime_s, ctime_ns, inode, token, run,
            begun, superseded)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        vault.0,
        request.path.as_bytes(),
        native::to_bytes(&request.local),
        identity.size.cast_signed(),
        identity.mtime.seconds,
        identity.mtime.nanos,
        identity.ctime.seconds,
        identity.ctime.nanos,
        identity.inode.cast_signed(),
        token,
        run.name(),
        now.unix_millis(),
        superseded,
    ])?;
    Ok(Claimed::Mine(Claim {
        id: tx.last_insert_rowid(),
        path: request.path.clone(),
        token: UploadToken::from_bytes(token),
        upload: None,
        parts: BTreeMap::new(),
        superseded: upload_id(superseded)?,
        is_adopted: false,
        is_completing: false,
    }))
}

fn adopt(
    tx: &Transaction<'_>,
    run: &Run,
    request: &ClaimRequest,
    found: Found,
) -> Result<Claimed, CatalogError> {
    tx.prepare_cached("UPDATE claim SET run = ?, local = ? WHERE id = ?")?.execute(params![
        run.name(),
        native::to_bytes(&request.local),
        found.id
    ])?;
    let mut parts = BTreeMap::new();
    let mut select = tx.prepare_cached("SELECT part, tree_hash, etag FROM part WHERE claim = ?")?;
    let mut rows = select.query([found.id])?;
    while let Some(row) = rows.next()? {
        let tree_hash = TreeHash::from_bytes(row.get(1)?);
        let etag: Option<String> = row.get(2)?;
        let mark = etag.map_or(PartMark::TreeHash(tree_hash), PartMark::Etag);
        parts.insert(row.get(0)?, JournalledPart { tree_hash, mark });
    }
    Ok(Claimed::Mine(Claim {
        id: found.id,
        path: request.path.clone(),
        token: UploadToken::from_bytes(found.token),
        upload: upload_id(found.upload)?.zip(part_size(found.part_size)?),
        parts,
        superseded: upload_id(found.superseded)?,
        is_adopted: true,
        is_completing: found.is_completing,
    }))
}

fn upload_id(text: Option<String>) -> Result<Option<UploadId>, CatalogError> {
    text.map(UploadId::try_from).transpose().map_err(CatalogError::damaged)
}

fn part_size(bytes: Option<i64>) -> Result<Option<PartSize>, CatalogError> {
    bytes
        .map(|bytes| PartSize::new(bytes.cast_unsigned()))
        .transpose()
        .map_err(CatalogError::damaged)
}
