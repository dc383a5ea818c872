//! The store on a volume that is cut at every sync, and the ledger as it was at that moment.

use std::{num::NonZeroUsize, sync::Arc};

use bytes::Bytes;
use icefield_protocol::{Region, Timestamp};
use icefield_treehash::HashPool;

use crate::{
    check::check,
    clock::ManualClock,
    compaction::{PackOutcome, tests::compact},
    document::{DocumentEntry, DocumentName},
    entry::{ArchiveNumber, Content, Entry, Extent, Outcome, PayloadId, VaultNumber},
    error::{Damage, StoreError},
    ledger::{MemoryLedger, Stored},
    open::identify,
    payload::{
        contract::{archive, hash, pattern, read_file, vault, write_file},
        disk::{
            DiskPayload,
            fenced::Disk,
            simulated::{Random, Remains, SimulatedVolume},
        },
    },
    store::{Home, Parts, Store},
};

/// Small, so that the workload fills several packs.
const PACK_BYTES: u64 = 3000;

pub(crate) async fn open(
    volume: &SimulatedVolume,
    ledger: &Arc<MemoryLedger>,
) -> Result<Store, StoreError> {
    Store::start(parts(volume, ledger)?).await
}

/// What is wrong with a store that is only looked at.
pub(crate) async fn damage(volume: &SimulatedVolume, ledger: &Arc<MemoryLedger>) -> Vec<Damage> {
    let store = Store::look_at(parts(volume, ledger).unwrap()).await.unwrap();
    let report = check(&store, &mut |_| {}).await.unwrap();
    report.problems.into_iter().map(|problem| problem.damage).collect()
}

fn parts(volume: &SimulatedVolume, ledger: &Arc<MemoryLedger>) -> Result<Parts, StoreError> {
    let disk = Arc::new(Disk::new(Arc::new(volume.clone())));
    let now = Timestamp::from_unix_millis(1_700_000_000_000);
    let (identity, keys) = identify(&disk, now)?;
    let hashing = HashPool::new(NonZeroUsize::MIN);
    let payload = DiskPayload::new(Arc::clone(&disk), hashing.clone(), PACK_BYTES);
    Ok(Parts {
        payload: Arc::new(payload),
        ledger: Arc::<MemoryLedger>::clone(ledger),
        identity,
        keys,
        hashing,
        clock: Arc::new(ManualClock::new(now)),
        home: Some(Home { disk, lock: None, database: None }),
    })
}

/// What the callers were told, and what may have happened beyond it.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Acknowledged archives that were not deleted: number and bytes.
    archives: Vec<(u64, Bytes)>,
    /// Acknowledged deletions.
    deleted: Vec<u64>,
    /// Deletions that were asked for and not acknowledged.
    maybe_deleted: Option<u64>,
    /// Everything that was ever handed in.
    offered: Vec<(u64, Bytes)>,
    /// Acknowledged version of the document, and the last one handed in.
    lock: (Option<u64>, Option<u64>),
}

pub(crate) fn done(
    result: Result<(Outcome, crate::payload::RecordPlace), StoreError>,
) -> Result<(), StoreError> {
    match result {
        Ok((Outcome::Done { .. }, _)) => Ok(()),
        Ok((other, _)) => panic!("refused: {other:?}"),
        Err(error) => Err(error),
    }
}

impl Told {
    pub(crate) async fn put(
        &mut self,
        store: &Store,
        vault: u64,
        number: u64,
        len: usize,
    ) -> Result<(), StoreError> {
        let bytes = pattern(len, number as u8);
        self.offered.push((number, bytes.clone()));
        let record = archive(vault, number, &bytes, Content::Here);
        done(store.commit(record.entry, record.body).await)?;
        self.archives.push((number, bytes));
        Ok(())
    }

    pub(crate) async fn put_file(
        &mut self,
        store: &Store,
        vault: u64,
        number: u64,
        len: usize,
    ) -> Result<(), StoreError> {
        let bytes = pattern(len, number as u8);
        self.offered.push((number, bytes.clone()));
        let extent = stored_file(store, &bytes).await?;
        let record = archive(vault, number, &bytes, Content::Extents(vec![extent]));
        done(store.commit(record.entry, record.body).await)?;
        self.archives.push((number, bytes));
        Ok(())
    }

    /// Archives of one batch, thus of one pack: every fourth is short.
    pub(crate) async fn put_mixed(
        &mut self,
        store: &Store,
        numbers: std::ops::Range<u64>,
    ) -> Result<(), StoreError> {
        let len = |number: u64| if number % 4 == 3 { 1500 } else { 6000 };
        let archives: Vec<_> =
            numbers.map(|number| (number, pattern(len(number), number as u8))).collect();
        self.offered.extend(archives.iter().cloned());
        let commits = archives.iter().map(|(number, bytes)| {
            let record = archive(1, *number, bytes, Content::Here);
            store.commit(record.entry, record.body)
        });
        for result in futures_util::future::join_all(commits).await {
            done(result)?;
        }
        self.archives.extend(archives);
        Ok(())
    }

    async fn lock(&mut self, store: &Store, version: u64) -> Result<(), StoreError> {
        self.lock.1 = Some(version);
        let entry = DocumentEntry {
            name: lock_name(),
            vault: Some(VaultNumber(1)),
            version,
            after: self.lock.0,
            value: Some(version.into()),
            at: Timestamp::from_unix_millis(5_000),
        };
        done(store.commit(Entry::Document(entry), Bytes::new()).await)?;
        self.lock.0 = Some(version);
        Ok(())
    }

    pub(crate) async fn delete(
        &mut self,
        store: &Store,
        vault: u64,
        number: u64,
    ) -> Result<(), StoreError> {
        self.maybe_deleted = Some(number);
        let deleted = Timestamp::from_unix_millis(5_000);
        let (vault, archive) = (VaultNumber(vault), ArchiveNumber(number));
        done(
            store
                .commit(Entry::ArchiveDeleted { vault, number: archive, deleted }, Bytes::new())
                .await,
        )?;
        self.archives.retain(|(kept, _)| *kept != number);
        self.deleted.push(number);
        Ok(())
    }
}

fn lock_name() -> DocumentName {
    DocumentName::parse("vault/1").unwrap()
}

async fn stored_file(store: &Store, bytes: &Bytes) -> Result<Extent, StoreError> {
    let payload = store.reserve().await?;
    write_file(&**store.payload(), payload, bytes).await?;
    Ok(Extent { payload, size: bytes.len() as u64, tree_hash: hash(bytes).0 })
}

/// Appends, files, vaults created and deleted, archives deleted, a purge, a sweep, an id given back.
pub(crate) async fn workload(store: &Store, told: &mut Told) -> Result<(), StoreError> {
    done(store.commit(vault(1).entry, Bytes::new()).await)?;
    done(store.commit(vault(2).entry, Bytes::new()).await)?;
    told.lock(store, 8).await?;
    told.put(store, 1, 10, 0).await?;
    told.put_file(store, 1, 11, (1 << 20) + 77).await?;
    told.put(store, 1, 12, 900).await?;
    told.delete(store, 1, 10).await?;
    for batch in 0..3 {
        let numbers = 20 + batch * 4..24 + batch * 4;
        let records = numbers.clone().map(|number| (number, pattern(700, number as u8)));
        let records: Vec<_> = records.collect();
        told.offered.extend(records.iter().cloned());
        let commits = records.iter().map(|(number, bytes)| {
            let record = archive(1, *number, bytes, Content::Here);
            store.commit(record.entry, record.body)
        });
        let results = futures_util::future::join_all(commits).await;
        for (record, result) in records.into_iter().zip(results) {
            done(result)?;
            told.archives.push(record);
        }
    }
    told.lock(store, 38).await?;
    let unused = stored_file(store, &pattern(2000, 1)).await?;
    store.release(vec![unused.payload]).await?;
    told.put_file(store, 1, 40, 5000).await?;
    told.delete(store, 1, 11).await?;
    store.ledger().purge(100).await?;
    store.sweep().await?;
    let deleted = Timestamp::from_unix_millis(6_000);
    let entry = Entry::VaultDeleted { vault: VaultNumber(2), writes: 0, deleted };
    done(store.commit(entry, Bytes::new()).await)?;
    told.lock(store, 39).await?;
    told.put_file(store, 1, 41, 100).await?;
    told.put(store, 1, 42, 100).await?;
    told.put_mixed(store, 50..54).await?;
    told.put(store, 1, 54, 100).await?;
    told.delete(store, 1, 50).await?;
    told.delete(store, 1, 52).await?;
    store.ledger().purge(100).await?;
    compact(store, &[]).await?;
    told.put_mixed(store, 70..72).await?;
    told.delete(store, 1, 53).await?;
    told.delete(store, 1, 21).await?;
    store.ledger().purge(100).await?;
    compact(store, &[]).await?;
    told.put(store, 1, 73, 100).await
}

pub(crate) async fn read(store: &Store, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let row = store.ledger().archive(ArchiveNumber(number)).await?;
    let Some(row) = row.filter(|row| row.deleted_write.is_none()) else { return Ok(None) };
    if let Stored::Record(place) = row.stored {
        return Ok(Some(store.payload().read_body(place).await?.to_vec()));
    }
    let mut bytes = Vec::new();
    for extent in store.ledger().extents(row.number).await? {
        let payload = store.payload();
        let reader = payload.open(extent.payload, extent.size, extent.tree_hash).await?;
        bytes.extend(read_file(&*reader).await?);
    }
    Ok(Some(bytes))
}

pub(crate) async fn verify(store: &Store, told: &Told, case: &str) {
    for (number, bytes) in &told.archives {
        let found = read(store, *number).await.unwrap();
        if found.is_none() && told.maybe_deleted == Some(*number) {
            continue;
        }
        assert!(
            found.as_deref() == Some(&bytes[..]),
            "{case}: archive {number} is lost or changed"
        );
    }
    for number in &told.deleted {
        assert!(read(store, *number).await.unwrap().is_none(), "{case}: archive {number} is back");
    }
    for (number, bytes) in &told.offered {
        let found = read(store, *number).await.unwrap();
        assert!(found.is_none_or(|found| found == bytes[..]), "{case}: half of archive {number}");
    }
    let found = store.ledger().document(&lock_name()).await.unwrap();
    let version = found.as_ref().map(|row| row.version);
    let (acknowledged, offered) = told.lock;
    if offered.is_some() {
        let is_told = acknowledged <= version && version <= offered;
        assert!(is_told, "{case}: version {version:?} of the lock, {:?} was told", told.lock);
        assert_eq!(found.map(|row| row.value), version.map(Into::into), "{case}");
    }
    let report = check(store, &mut |_| {}).await.unwrap();
    assert!(report.problems.is_empty(), "{case}: {:#?}", report.problems);
}

/// What the whole workload needs.
async fn syncs_of_workload() -> u64 {
    let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
    let mut told = Told::default();
    let store = open(&volume, &ledger).await.unwrap();
    workload(&store, &mut told).await.unwrap();
    store.close().await;
    let store = open(&volume, &ledger).await.unwrap();
    verify(&store, &told, "no crash").await;
    assert_eq!(told.archives.len(), 20, "the workload does less than it should");
    let compacted = volume.paths().into_iter().filter(|path| path.ends_with(".2.pack"));
    assert_eq!(compacted.count(), 1, "no pack was compacted twice: {:?}", volume.paths());
    volume.syncs()
}

#[tokio::test]
async fn a_cut_at_any_sync_loses_nothing_acknowledged_and_leaves_nothing_half() {
    let syncs = syncs_of_workload().await;
    assert!(syncs > 40, "{syncs}");
    for cut in 1..=syncs {
        for remains in [
            Remains::Nothing,
            Remains::Everything,
            Remains::Some(cut),
            Remains::Some(1000 + cut),
            Remains::Some(5000 + cut),
        ] {
            let case = format!("cut at sync {cut}, {remains:?} remains");
            let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
            volume.cut_at(cut);
            let mut told = Told::default();
            if let Ok(store) = open(&volume, &ledger).await {
                drop(workload(&store, &mut told).await);
                store.close().await;
            }
            let volume = volume.after_crash(remains);
            let store =
                open(&volume, &ledger).await.unwrap_or_else(|error| panic!("{case}: {error}"));
            verify(&store, &told, &case).await;
            let mut next = Told::default();
            if store.ledger().vault_by_number(VaultNumber(1)).await.unwrap().is_none() {
                done(store.commit(vault(1).entry, Bytes::new()).await).unwrap();
            }
            next.put(&store, 1, 90, 500).await.unwrap();
            next.put_file(&store, 1, 91, 500).await.unwrap();
            for (pack, outcome) in compact(&store, &[]).await.unwrap() {
                assert!(matches!(outcome, PackOutcome::Shorter(_)), "{case}: {pack} {outcome:?}");
            }
            verify(&store, &told, &case).await;
            store.close().await;
            let store = open(&volume, &ledger).await.unwrap();
            verify(&store, &told, &case).await;
            verify(&store, &next, &case).await;
            let anew = open(&volume, &Arc::new(MemoryLedger::new())).await.unwrap();
            verify(&anew, &told, &case).await;
        }
    }
}

#[tokio::test]
async fn a_failed_sync_anywhere_stops_the_store_and_loses_nothing_acknowledged() {
    let syncs = syncs_of_workload().await;
    for failing in 3..=syncs {
        let case = format!("sync {failing} fails");
        let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
        let mut told = Told::default();
        volume.fail_sync_at(failing);
        let Ok(store) = open(&volume, &ledger).await else { continue };
        let result = workload(&store, &mut told).await;
        if volume.syncs() >= failing {
            assert!(matches!(result, Err(StoreError::Fenced)), "{case}: {result:?}");
            let after = store.commit(vault(7).entry, Bytes::new()).await;
            assert!(matches!(after, Err(StoreError::Fenced)), "{case}: {after:?}");
        }
        store.close().await;
        let volume = volume.after_crash(Remains::Some(failing));
        let store = open(&volume, &ledger).await.unwrap();
        verify(&store, &told, &case).await;
    }
}

/// A process died of a failed sync of a pack. The next one read the records from the page cache, applied them and showed
/// the archive, but never synced the pack: a power cut then took what had been shown.
#[tokio::test]
async fn what_is_shown_after_a_failed_sync_and_a_restart_outlives_a_crash() {
    let syncs = syncs_of_workload().await;
    for failing in 3..=syncs {
        let case = format!("sync {failing} fails");
        let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
        let mut told = Told::default();
        volume.fail_sync_at(failing);
        let Ok(store) = open(&volume, &ledger).await else { continue };
        drop(workload(&store, &mut told).await);
        store.close().await;
        if volume.syncs() < failing {
            continue;
        }
        let store = open(&volume, &ledger).await.unwrap();
        let mut shown = Vec::new();
        for (number, bytes) in told.offered.clone() {
            if read(&store, number).await.unwrap().is_some() {
                shown.push((number, bytes));
            }
        }
        told.archives = shown;
        store.close().await;
        for remains in [Remains::Nothing, Remains::Some(failing)] {
            let volume = volume.after_crash(remains);
            let store = open(&volume, &ledger).await.unwrap();
            verify(&store, &told, &case).await;
            store.close().await;
        }
    }
}

/// One flipped bit in the last batch, and a ledger that did not know the batch: opening took it for a torn end and cut
/// the only trace of an acknowledged archive off.
#[tokio::test]
async fn what_is_cut_off_the_log_is_kept_beside_it() {
    let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
    let store = open(&volume, &ledger).await.unwrap();
    done(store.commit(vault(1).entry, Bytes::new()).await).unwrap();
    let pack = "packs/00000001.pack";
    let begin = volume.len_of(pack);
    Told::default().put(&store, 1, 60, 700).await.unwrap();
    store.close().await;
    let mut before = Vec::new();
    volume.change(pack, |bytes| {
        bytes[begin + 300] ^= 1;
        before.clone_from(bytes);
    });
    let torn = format!("{pack}.torn-{begin:08x}");
    for path in [torn.clone(), format!("{torn}.2")] {
        let store = open(&volume, &Arc::new(MemoryLedger::new())).await.unwrap();
        assert!(read(&store, 60).await.unwrap().is_none());
        let report = check(&store, &mut |_| {}).await.unwrap();
        assert_eq!(report.problems, [], "a plain crash leaves such a file, too");
        store.close().await;
        let mut kept = Vec::new();
        volume.after_crash(Remains::Nothing).change(&path, |bytes| kept.clone_from(bytes));
        assert_eq!(kept, before[begin..], "{path}");
        // The same end once more must not overwrite the first.
        volume.change(pack, |bytes| bytes.clone_from(&before));
    }
}

#[tokio::test]
async fn a_full_volume_anywhere_leaves_a_clean_store_that_goes_on_when_there_is_room() {
    for room in (0..1_200_000).step_by(997).filter(|room| *room < 20_000 || room % 7 == 0) {
        let case = format!("{room} bytes of room");
        let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
        let mut told = Told::default();
        let store = open(&volume, &ledger).await.unwrap();
        volume.set_room(Some(room));
        let result = workload(&store, &mut told).await;
        assert!(matches!(result, Ok(()) | Err(StoreError::Full { .. })), "{case}: {result:?}");
        verify(&store, &told, &case).await;
        volume.set_room(None);
        if !told.offered.is_empty() {
            told.put(&store, 1, 95, 10).await.unwrap();
        }
        store.close().await;
        let store = open(&volume, &ledger).await.unwrap();
        verify(&store, &told, &case).await;
    }
}

/// An older ledger catches up from the log, and names that became archives since are not swept.
#[tokio::test]
async fn an_older_ledger_opens_with_everything() {
    let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
    let mut told = Told::default();
    let store = open(&volume, &ledger).await.unwrap();
    workload(&store, &mut told).await.unwrap();
    store.close().await;
    let store = open(&volume, &Arc::new(MemoryLedger::new())).await.unwrap();
    verify(&store, &told, "empty ledger").await;
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_found_by_the_check_and_never_served() {
    let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
    let mut told = Told::default();
    let store = open(&volume, &ledger).await.unwrap();
    workload(&store, &mut told).await.unwrap();
    told.put_file(&store, 1, 60, (2 << 20) + 5).await.unwrap();
    store.close().await;
    let mut random = Random(0x1ce_f1e1d);
    let paths = volume.paths();
    for path in &paths {
        for _ in 0..40 {
            let len = volume.len_of(path) as u64;
            let (at, bit) = ((random.next() % len) as usize, random.next() % 8);
            let case = format!("bit {bit} of byte {at} of {path}");
            let store = open(&volume, &ledger).await.unwrap();
            volume.change(path, |bytes| bytes[at] ^= 1 << bit);
            let report = check(&store, &mut |_| {}).await.unwrap();
            assert!(!report.problems.is_empty(), "{case}: not found");
            for (number, bytes) in &told.archives {
                match read(&store, *number).await {
                    Ok(found) => assert!(found.as_deref() == Some(&bytes[..]), "{case}: served"),
                    Err(StoreError::Damaged(_)) => {}
                    Err(other) => panic!("{case}: {other}"),
                }
            }
            volume.change(path, |bytes| bytes[at] ^= 1 << bit);
            store.close().await;
        }
    }
    assert!(paths.iter().any(|path| path == "keys.json") && paths.len() > 10, "{paths:?}");
}

#[tokio::test]
async fn damage_names_the_archive_and_its_mib() {
    let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
    let store = open(&volume, &ledger).await.unwrap();
    done(store.commit(vault(1).entry, Bytes::new()).await).unwrap();
    Told::default().put_file(&store, 1, 60, 3 << 20).await.unwrap();
    let path = volume.paths().into_iter().find(|path| path.len() == 43).unwrap();
    volume.change(&path, |bytes| bytes[2 << 20] ^= 1);
    volume.change(&path, |bytes| bytes[5] ^= 1);
    let report = check(&store, &mut |_| {}).await.unwrap();
    assert_eq!(report.problems.len(), 2, "{:?}", report.problems);
    for (problem, leaf) in report.problems.iter().zip([0, 2]) {
        let damage = &problem.damage;
        assert_eq!((damage.place.as_str(), damage.leaf), (path.as_str(), Some(leaf)));
        let hit = problem.archive.as_ref().unwrap();
        assert_eq!(hit.id.as_str(), "archive-60");
        assert_eq!(hit.description.as_ref().unwrap().as_str(), "description of 60");
    }
}

#[tokio::test]
async fn the_check_names_missing_and_extra_files() {
    let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
    let store = open(&volume, &ledger).await.unwrap();
    done(store.commit(vault(1).entry, Bytes::new()).await).unwrap();
    let mut told = Told::default();
    told.put_file(&store, 1, 60, 3 << 20).await.unwrap();
    told.put_file(&store, 1, 61, 3 << 10).await.unwrap();
    let all = volume.paths();
    let files: Vec<&String> = all.iter().filter(|path| path.starts_with("payload/")).collect();
    assert_eq!(files.len(), 4);
    for file in &files {
        let copy = volume.after_crash(Remains::Everything);
        crate::payload::disk::volume::Volume::remove(&copy, file).unwrap();
        let store = open(&copy, &ledger).await.unwrap();
        let report = check(&store, &mut |_| {}).await.unwrap();
        assert_eq!(report.problems.len(), 1, "{file}: {:?}", report.problems);
        assert_eq!(report.problems[0].damage.place, **file);
    }
    // A file that is being written is no stray; the copies above have swept the ledger, so begin anew.
    store.close().await;
    let store = open(&volume, &ledger).await.unwrap();
    stored_file(&store, &pattern(10, 1)).await.unwrap();
    let stray = PayloadId::from_bytes([0xcd; 16]);
    write_file(&**store.payload(), stray, &pattern(10, 1)).await.unwrap();
    let strays = [
        "notes.txt",
        "packs/00000001.pack.bak",
        "packs/00000001.pack.torn-1",
        "packs/0000000A.pack",
        "payload/readme",
    ];
    for path in strays {
        drop(crate::payload::disk::volume::Volume::create(&volume, path).unwrap());
    }
    let report = check(&store, &mut |_| {}).await.unwrap();
    let mut places: Vec<&str> =
        report.problems.iter().map(|problem| problem.damage.place.as_str()).collect();
    places.sort_unstable();
    let stray = format!("payload/cd/{stray}");
    assert_eq!(places, [strays[0], strays[1], strays[2], strays[3], &stray, strays[4]]);
}

#[tokio::test]
async fn a_cut_while_the_region_is_written_leaves_the_store_with_it_or_without() {
    let region = || Region::parse("us-west-2").unwrap();
    let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
    open(&volume, &ledger).await.unwrap().close().await;
    let made = volume.syncs();
    let mut acknowledged = 0;
    for cut in made + 1..made + 9 {
        for remains in [Remains::Nothing, Remains::Everything, Remains::Some(cut)] {
            let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
            let store = open(&volume, &ledger).await.unwrap();
            volume.cut_at(cut);
            let told = store.set_region(region()).await.is_ok();
            acknowledged += u32::from(told);
            store.close().await;
            let store = open(&volume.after_crash(remains), &ledger).await.unwrap();
            let found = store.identity().region.clone();
            assert!(found == Some(region()) || !told && found.is_none(), "cut at {cut}: {found:?}");
        }
    }
    assert!((1..24).contains(&acknowledged), "{acknowledged} cuts came after it was written");
}
