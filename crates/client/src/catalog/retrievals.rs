//! The retrieval journal: jobs by archive and range, and downloads by destination with their finished segments.
//!
//! A job belongs to an archive, not to a destination: it is found again for another destination, and also after its
//! download has ended, so that none is started twice while its output can still be read.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use icefield_protocol::{ArchiveId, ByteRange, JobId, Tier, Timestamp, TreeHash};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Catalog, CatalogError, Run, VaultRef, native, run::Living};

/// Jobs older than this are forgotten: no service keeps their output that long.
const JOBS_ARE_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a job retrieves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RetrievalKey {
    /// The archive.
    pub archive: ArchiveId,
    /// A part of it; none for all of it.
    pub range: Option<ByteRange>,
}

/// A retrieval that this run, and no other, carries out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retrieval {
    /// Its number in the journal.
    pub id: i64,
    /// The job that was started, if any, for this destination or another one.
    pub job: Option<JobId>,
    /// Tier of the job; meaningless without one.
    pub tier: Tier,
    /// When the job was started; without one, when the retrieval was begun.
    pub started: Timestamp,
    /// Where the file will be.
    pub destination: Option<PathBuf>,
    /// Where its bytes are collected.
    pub partial: Option<PathBuf>,
    /// Size of the segments in bytes.
    pub segment_size: Option<u64>,
    /// Tree hashes of the segments that are there, by index counted from 0.
    pub segments: BTreeMap<u64, TreeHash>,
}

/// What became of a claim to a retrieval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimedRetrieval {
    /// This run holds it.
    Mine(Retrieval),
    /// A run that is alive (maybe this one) holds it already.
    HeldElsewhere,
}

/// A retrieval that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRetrieval {
    /// The vault.
    pub vault: VaultRef,
    /// What is retrieved.
    pub key: RetrievalKey,
    /// Where it is, and what is there.
    pub retrieval: Retrieval,
    /// Whether a run that is alive holds it.
    pub held: bool,
}

/// What every query for retrievals selects.
const SELECT: &str = "SELECT retrieval.id, retrieval.run, retrieval.begun, retrieval.destination, \
     retrieval.partial, retrieval.segment_size, job.job, job.tier, job.started, \
     retrieval.vault, retrieval.archive, retrieval.bytes \
     FROM retrieval LEFT JOIN job USING (vault, archive, bytes)";

impl Catalog {
    /// Claims the retrieval of `key` to `destination`; what a run that is dead has left of it is adopted.
    ///
    /// # Errors
    ///
    /// When the database or the lock files fail.
    pub fn claim_retrieval(
        &self,
        run: &Run,
        vault: VaultRef,
        key: &RetrievalKey,
        destination: &Path,
        now: Timestamp,
    ) -> Result<ClaimedRetrieval, CatalogError> {
        let mut living = Living::new(self);
        self.write(|tx| claim(tx, &mut living, run, vault, (key, destination), now))
    }

    /// Claims many retrievals in one transaction, each as [`claim_retrieval`](Self::claim_retrieval) does.
    ///
    /// # Errors
    ///
    /// When the database or the lock files fail.
    pub fn claim_retrievals(
        &self,
        run: &Run,
        vault: VaultRef,
        requests: &[(RetrievalKey, PathBuf)],
        now: Timestamp,
    ) -> Result<Vec<ClaimedRetrieval>, CatalogError> {
        let mut living = Living::new(self);
        self.write(|tx| {
            let claim_one = |(key, destination): &(RetrievalKey, PathBuf)| {
                claim(tx, &mut living, run, vault, (key, destination), now)
            };
            requests.iter().map(claim_one).collect()
        })
    }

    /// Notes the job of a retrieval.
    pub fn set_job(
        &self,
        retrieval: i64,
        job: &JobId,
        tier: Tier,
        started: Timestamp,
    ) -> Result<(), CatalogError> {
        self.set_jobs(&[(retrieval, job.clone())], tier, started)
    }

    /// Notes the jobs of many retrievals in one transaction.
    pub fn set_jobs(
        &self,
        jobs: &[(i64, JobId)],
        tier: Tier,
        started: Timestamp,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            let mut insert = tx.prepare_cached(
                "INSERT OR REPLACE INTO job (vault, archive, bytes, job, tier, started)
                 SELECT vault, archive, bytes, ?, ?, ? FROM retrieval WHERE id = ?",
            )?;
            for (retrieval, job) in jobs {
                let started = started.unix_millis();
                insert.execute(params![job.as_str(), tier.as_str(), started, retrieval])?;
            }
            Ok(())
        })
    }

    /// Notes the job that retrieves `key`, for whatever destination, and forgets jobs of long ago.
    pub fn remember_job(
        &self,
        vault: VaultRef,
        key: &RetrievalKey,
        job: &JobId,
        tier: Tier,
        started: Timestamp,
    ) -> Result<(), CatalogError> {
        let old = started
            .unix_millis()
            .saturating_sub(JOBS_ARE_KEPT.as_millis().try_into().unwrap_or(i64::MAX));
        self.write(|tx| {
            tx.execute("DELETE FROM job WHERE vault = ? AND started < ?", params![vault.0, old])?;
            tx.execute(
                "INSERT OR REPLACE INTO job (vault, archive, bytes, job, tier, started)
                 VALUES (?, ?, ?, ?, ?, ?)",
                params![
                    vault.0,
                    key.archive.as_str(),
                    bytes(key.range),
                    job.as_str(),
                    tier.as_str(),
                    started.unix_millis()
                ],
            )?;
            Ok(())
        })
    }

    /// Forgets the job of a retrieval: it failed or its output has expired.
    pub fn clear_job(&self, retrieval: i64) -> Result<(), CatalogError> {
        self.write(|tx| {
            tx.execute(
                "DELETE FROM job WHERE (vault, archive, bytes) IN
                    (SELECT vault, archive, bytes FROM retrieval WHERE id = ?)",
                [retrieval],
            )?;
            Ok(())
        })
    }

    /// Notes where the bytes of a retrieval are collected, from the beginning: earlier segments are forgotten.
    pub fn begin_download(
        &self,
        retrieval: i64,
        partial: &Path,
        segment_size: u64,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            tx.execute("DELETE FROM segment WHERE retrieval = ?", [retrieval])?;
            tx.execute(
                "UPDATE retrieval SET partial = ?, segment_size = ? WHERE id = ?",
                params![native::to_bytes(partial), segment_size.cast_signed(), retrieval],
            )?;
            Ok(())
        })
    }

    /// Notes a segment whose bytes are verified and synced.
    pub fn record_segment(
        &self,
        retrieval: i64,
        index: u64,
        tree_hash: TreeHash,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            tx.prepare_cached(
                "INSERT OR REPLACE INTO segment (retrieval, segment, tree_hash) VALUES (?, ?, ?)",
            )?
            .execute(params![retrieval, index.cast_signed(), tree_hash.as_bytes()])?;
            Ok(())
        })
    }

    /// Ends a retrieval: its file is in place, or it is given up. Its job stays known.
    pub fn end_retrieval(&self, retrieval: i64) -> Result<(), CatalogError> {
        self.write(|tx| {
            tx.execute("DELETE FROM retrieval WHERE id = ?", [retrieval])?;
            Ok(())
        })
    }

    /// Ends many retrievals in one transaction.
    pub fn end_retrievals(&self, retrievals: &[i64]) -> Result<(), CatalogError> {
        self.write(|tx| {
            let mut delete = tx.prepare_cached("DELETE FROM retrieval WHERE id = ?")?;
            for retrieval in retrievals {
                delete.execute([retrieval])?;
            }
            Ok(())
        })
    }

    /// Returns the job last started for `key`, for any destination, and when.
    pub fn job_for(
        &self,
        vault: VaultRef,
        key: &RetrievalKey,
    ) -> Result<Option<(JobId, Timestamp)>, CatalogError> {
        self.read(|connection| {
            let found: Option<(String, i64)> = connection
                .prepare_cached(
                    "SELECT job, started FROM job WHERE vault = ? AND archive = ? AND bytes = ?",
                )?
                .query_row(params![vault.0, key.archive.as_str(), bytes(key.range)], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            found
                .map(|(job, started)| {
                    let job = JobId::try_from(job).map_err(CatalogError::damaged)?;
                    Ok((job, Timestamp::from_unix_millis(started)))
                })
                .transpose()
        })
    }

    /// Lists retrievals that have begun and not ended, the oldest first, in one vault or in all.
    pub fn pending_retrievals(
        &self,
        vault: Option<VaultRef>,
    ) -> Result<Vec<PendingRetrieval>, CatalogError> {
        let mut living = Living::new(self);
        self.read(|connection| {
            let mut select = connection.prepare_cached(&format!(
                "{SELECT} WHERE ?1 IS NULL OR vault = ?1 ORDER BY retrieval.id"
            ))?;
            let mut rows = select.query([vault.map(|vault| vault.0)])?;
            let mut pending = Vec::new();
            while let Some(row) = rows.next()? {
                pending.push(PendingRetrieval {
                    vault: VaultRef(row.get(9)?),
                    key: key(row)?,
                    retrieval: retrieval(connection, row)?,
                    held: living.holds(row.get::<_, Option<String>>(1)?.as_deref())?,
                });
            }
            Ok(pending)
        })
    }
}

fn claim(
    tx: &Connection,
    living: &mut Living,
    run: &Run,
    vault: VaultRef,
    (key, destination): (&RetrievalKey, &Path),
    now: Timestamp,
) -> Result<ClaimedRetrieval, CatalogError> {
    let destination = native::to_bytes(destination);
    let bytes = bytes(key.range);
    let place = params![vault.0, key.archive.as_str(), bytes, destination];
    let holder: Option<Option<String>> = tx
        .prepare_cached(
            "SELECT run FROM retrieval
             WHERE vault = ? AND archive = ? AND bytes = ? AND destination = ?",
        )?
        .query_row(place, |row| row.get(0))
        .optional()?;
    if living.holds(holder.flatten().as_deref())? {
        return Ok(ClaimedRetrieval::HeldElsewhere);
    }
    tx.prepare_cached(
        "INSERT INTO retrieval (vault, archive, bytes, destination, run, begun)
         VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (vault, archive, bytes, destination) DO UPDATE SET run = excluded.run",
    )?
    .execute(params![
        vault.0,
        key.archive.as_str(),
        bytes,
        destination,
        run.name(),
        now.unix_millis()
    ])?;
    let mut select = tx.prepare_cached(&format!(
        "{SELECT} WHERE vault = ? AND archive = ? AND bytes = ? AND destination = ?"
    ))?;
    let mut rows = select.query(place)?;
    let row = rows.next()?.ok_or_else(|| CatalogError::damaged("a row has vanished"))?;
    Ok(ClaimedRetrieval::Mine(retrieval(tx, row)?))
}

/// The range as the tables have it.
fn bytes(range: Option<ByteRange>) -> String {
    range.map(|range| range.to_string()).unwrap_or_default()
}

fn key(row: &Row<'_>) -> Result<RetrievalKey, CatalogError> {
    let archive = ArchiveId::try_from(row.get::<_, String>(10)?).map_err(CatalogError::damaged)?;
    let range: String = row.get(11)?;
    let range = (!range.is_empty()).then(|| range.parse()).transpose();
    Ok(RetrievalKey { archive, range: range.map_err(CatalogError::damaged)? })
}

fn retrieval(connection: &Connection, row: &Row<'_>) -> Result<Retrieval, CatalogError> {
    let id = row.get(0)?;
    let job = row.get::<_, Option<String>>(6)?.map(JobId::try_from).transpose();
    let tier = row.get::<_, Option<String>>(7)?.map(|word| word.parse()).transpose();
    let started = row.get::<_, Option<i64>>(8)?.map_or_else(|| row.get(2), Ok)?;
    let mut segments = BTreeMap::new();
    let mut select =
        connection.prepare_cached("SELECT segment, tree_hash FROM segment WHERE retrieval = ?")?;
    let mut rows = select.query([id])?;
    while let Some(row) = rows.next()? {
        let index = row.get::<_, i64>(0)?.cast_unsigned();
        segments.insert(index, TreeHash::from_bytes(row.get(1)?));
    }
    Ok(Retrieval {
        id,
        job: job.map_err(CatalogError::damaged)?,
        tier: tier.map_err(CatalogError::damaged)?.unwrap_or(Tier::Standard),
        started: Timestamp::from_unix_millis(started),
        destination: Some(native::from_bytes(row.get(3)?)),
        partial: row.get::<_, Option<Vec<u8>>>(4)?.map(native::from_bytes),
        segment_size: row.get::<_, Option<i64>>(5)?.map(i64::cast_unsigned),
        segments,
    })
}
