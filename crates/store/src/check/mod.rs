//! Is every byte what it was? The check behind `icefield store check`.
//!
//! ```text
//! store.json, keys.json, names           their checks; nothing there that icefield did not put there
//! log       every record whole     ──>   a scratch ledger
//! files     every MiB of what the ledger says exists; nothing that it does not know
//! ledger    its own integrity; vaults, live archives and documents row by row with the scratch ledger, files and tokens of
//!           archives with the log
//! ```
//!
//! Not compared are what only the ledger knows (unfinished uploads, jobs, inventories, staged names) and what uploads
//! became whose archive is purged.
//!
//! Memory does not depend on the number of archives, but for 16 bytes for each payload file. The store stays in use
//! meanwhile: names are listed before the ledger is asked about them, so that what is written during the check is
//! not taken for a stray file.

mod compare;
pub(crate) mod files;
pub(crate) mod names;
mod scratch;

use std::{collections::BTreeSet, iter::repeat};

use icefield_protocol::{AccountId, ArchiveId, Description};
use icefield_treehash::TreeHash;

use self::{
    compare::{compare, compare_archive, compare_documents},
    files::Files,
    names::{check_identity, check_names},
    scratch::Scratch,
};
use crate::{
    entry::{ArchiveEntry, Content, Entry, Outcome, VaultNumber},
    error::{Damage, StoreError},
    payload::{LogPosition, RecordPlace, Replayed},
    store::Store,
};

/// More problems than this are counted, not listed.
const MAX_PROBLEMS: usize = 10_000;

/// Something that is not as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, which MiB, and what.
    pub damage: Damage,
    /// The archive that it hits, where it is one.
    pub archive: Option<HitArchive>,
}

/// The archive that a problem hits, as its owner knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HitArchive {
    /// Its vault.
    pub vault: VaultNumber,
    /// Its ID.
    pub id: ArchiveId,
    /// Its description.
    pub description: Option<Description>,
}

impl From<&ArchiveEntry> for HitArchive {
    fn from(entry: &ArchiveEntry) -> Self {
        let ArchiveEntry { vault, id, description, .. } = entry;
        Self { vault: *vault, id: id.clone(), description: description.clone() }
    }
}

/// How far a check is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckProgress {
    /// Archives whose records were read, deleted ones included.
    pub archives: u64,
    /// Payload files that were read.
    pub files: u64,
    /// Bytes that were read and hashed.
    pub bytes: u64,
}

/// What a check found.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// The problems, at most 10,000 of them.
    pub problems: Vec<Problem>,
    /// Problems that were not listed because they were too many.
    pub more_problems: u64,
    /// What was read.
    pub checked: CheckProgress,
}

impl CheckReport {
    pub(crate) fn problem(&mut self, damage: Damage, archive: Option<HitArchive>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { damage, archive });
        } else {
            self.more_problems += 1;
        }
    }

    fn found(&mut self, place: &str, what: impl Into<String>) {
        let damage = Damage { place: place.to_owned(), leaf: None, what: what.into() };
        self.problem(damage, None);
    }

    /// Takes an error of reading `place` as a problem there; those of the store as a whole are passed on.
    pub(crate) fn failed(
        &mut self,
        place: &str,
        error: StoreError,
        archive: Option<HitArchive>,
    ) -> Result<(), StoreError> {
        let damage = match error {
            StoreError::Damaged(damage) => damage,
            StoreError::Missing(id) => {
                let place = format!("payload/{:02x}/{id}", id.as_bytes()[0]);
                Damage { place, leaf: None, what: "missing file".to_owned() }
            }
            StoreError::Io { source, .. } => Damage {
                place: place.to_owned(),
                leaf: None,
                what: format!("cannot be read: {source}"),
            },
            other @ StoreError::NewerFormat { .. } => {
                Damage { place: place.to_owned(), leaf: None, what: other.to_string() }
            }
            other => return Err(other),
        };
        self.problem(damage, archive);
        Ok(())
    }
}

/// What reports of progress are given to.
type Progress<'a> = &'a mut (dyn FnMut(CheckProgress) + Send);

/// Verifies every byte of a store. `progress` is called often.
///
/// # Errors
///
/// When the check itself could not go on: the ledger does not answer, or there is no room for the scratch ledger (about
/// as large as the ledger, in the store's folder). Whatever is wrong with what is stored is in the report.
pub async fn check(store: &Store, progress: Progress<'_>) -> Result<CheckReport, StoreError> {
    let scratch = Scratch::create(store).await?;
    let result = check_with(store, &scratch, progress).await;
    scratch.remove().await?;
    result
}

async fn check_with(
    store: &Store,
    scratch: &Scratch,
    progress: Progress<'_>,
) -> Result<CheckReport, StoreError> {
    let mut report = CheckReport::default();
    if let Some(disk) = store.disk() {
        check_identity(disk, &mut report)?;
        check_names(disk, &mut report)?;
    }
    check_packs(store, false, &mut report).await?;
    let mut files = Files::list(store, &mut report).await?;
    let seen = read_log(store, scratch, &mut files, &mut report, progress).await?;
    for vault in &seen.vaults {
        files.check_vault(store, *vault, &mut report, progress).await?;
    }
    files.check_strays(store, &mut report).await?;
    for what in store.check_ledger().await? {
        report.found("ledger.db", what);
    }
    compare(store, scratch.ledger(), &seen, &mut report).await?;
    compare_documents(store, scratch.ledger(), &mut report).await?;
    Ok(report)
}

/// Who the log tells of.
#[derive(Debug, Default)]
struct Seen {
    vaults: Vec<VaultNumber>,
    accounts: BTreeSet<AccountId>,
}

/// What the ledger has made of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is beyond the ledger's mark.
    Waiting,
    /// It was applied.
    Done,
    /// It was refused.
    Refused,
}

impl Standing {
    fn of(outcome: Outcome) -> Self {
        if matches!(outcome, Outcome::Done { .. }) { Self::Done } else { Self::Refused }
    }
}

/// Reads every record whole and applies it to the scratch ledger, up to the mark of the real one: what is beyond was appended
/// since, or waits for an opening that repairs.
async fn read_log(
    store: &Store,
    scratch: &Scratch,
    files: &mut Files,
    report: &mut CheckReport,
    progress: Progress<'_>,
) -> Result<Seen, StoreError> {
    let mut seen = Seen::default();
    seen.accounts.insert(store.identity().account.clone());
    let known = store.ledger().mark().await?;
    let mut at = LogPosition::default();
    loop {
        let page = store.payload().replay(at, false).await?;
        let mut entries = Vec::with_capacity(page.items.len());
        let mut applied = Vec::with_capacity(page.items.len());
        for item in page.items {
            match item {
                Replayed::Damaged(damage) => report.problem(damage, None),
                Replayed::Record(entry, place) => {
                    if !read_record(store, &entry, place, report).await? {
                        files.dropped(store, &entry, place).await?;
                    }
                    progress(report.checked);
                    if place.at < known {
                        applied.push((entry.clone(), place));
                    }
                    entries.push(entry);
                }
            }
        }
        let mut outcomes = Vec::new();
        if !applied.is_empty() {
            outcomes = scratch.ledger().apply(applied, page.next.min(known)).await?;
        }
        let standings = outcomes.into_iter().map(Standing::of).chain(repeat(Standing::Waiting));
        for (entry, standing) in entries.iter().zip(standings) {
            match entry {
                Entry::VaultCreated { vault, account, .. } => {
                    seen.vaults.push(*vault);
                    seen.accounts.insert(account.clone());
                }
                Entry::ArchiveCreated(archive) => {
                    files.check_archive(store, archive, standing, report, progress).await?;
                    if standing == Standing::Done {
                        compare_archive(store, archive, report).await?;
                    }
                }
                Entry::ArchiveDeleted { number, .. } => files.deleted(*number),
                Entry::VaultDeleted { .. } | Entry::Document(_) => {}
            }
        }
        if page.last {
            if page.next < known {
                let what =
                    format!("the log ends at {:?}, the ledger knows it to {known:?}", page.next);
                report.found("packs", what);
            }
            return Ok(seen);
        }
        at = page.next;
    }
}

/// What packs have beside their records.
pub(crate) async fn check_packs(
    store: &Store,
    cold: bool,
    report: &mut CheckReport,
) -> Result<(), StoreError> {
    match store.payload().check_packs(cold).await {
        Ok(found) => found.into_iter().for_each(|damage| report.problem(damage, None)),
        Err(error) => report.failed("packs", error, None)?,
    }
    Ok(())
}

/// Reads a record whole: every byte of it must fit its checks. False when a compaction has dropped its body.
pub(crate) async fn read_record(
    store: &Store,
    entry: &Entry,
    place: RecordPlace,
    report: &mut CheckReport,
) -> Result<bool, StoreError> {
    let archive = match entry {
        Entry::ArchiveCreated(archive) => Some(archive),
        _ => None,
    };
    report.checked.archives += u64::from(archive.is_some());
    let (path, hit) = (format!("packs/{:08x}.pack", place.at.pack), archive.map(HitArchive::from));
    let body = match store.payload().read_record(place).await {
        Ok(Some(body)) => body,
        Ok(None) => {
            let dropped = archive.map_or(0, |archive| archive.size);
            report.checked.bytes += place.length.saturating_sub(dropped);
            return Ok(false);
        }
        Err(error) => return report.failed(&path, error, hit).map(|()| true),
    };
    report.checked.bytes += place.length;
    if let Some(archive) = archive.filter(|archive| archive.content == Content::Here)
        && (body.len() as u64, TreeHash::of_leaf(&body)) != (archive.size, archive.tree_hash)
    {
        let what = "size or tree hash of an archive are not those of its body".to_owned();
        report.problem(Damage { place: path, leaf: None, what }, hit);
    }
    Ok(true)
}

/// The damage of an archive that exists although compaction has dropped its body.
pub(crate) fn dropped_alive(place: RecordPlace) -> Damage {
    let what = format!(
        "compaction has dropped an archive at byte {} that is not deleted: the record of its deletion is lost",
        place.at.offset
    );
    Damage { place: format!("packs/{:08x}.pack", place.at.pack), leaf: None, what }
}
