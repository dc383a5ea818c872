//! What compaction takes, what it leaves alone, and what others see meanwhile. That a crash at any point loses nothing is in
//! `crash_tests`, whose workload has compactions in it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;

use super::{Compaction, PackOutcome, VaultLocks};
use crate::{
    check::check,
    crash_tests::{Told, done, open, read, verify},
    entry::{ArchiveNumber, Content, Entry, Outcome, VaultNumber},
    error::StoreError,
    ledger::{Ledger, MemoryLedger, Stored, contract::fixtures::archive_job_of},
    payload::{
        DeadBody, LogPosition, RecordPlace, Replayed,
        contract::{archive, pattern, vault},
        disk::{
            simulated::{Remains, SimulatedVolume},
            volume::Volume,
        },
    },
    store::Store,
};

mod leftovers;

/// Knows the vaults that have a lock.
#[derive(Debug)]
struct Locks(Vec<VaultNumber>);

#[async_trait]
impl VaultLocks for Locks {
    async fn is_locked(&self, vault: VaultNumber) -> Result<bool, StoreError> {
        Ok(self.0.contains(&vault))
    }
}

fn compaction(store: &Store, locked: &[u64]) -> Compaction {
    let locks = Locks(locked.iter().copied().map(VaultNumber).collect());
    Compaction::new(store, Arc::new(locks))
}

/// Compacts what is worth it, in small steps, and tells what became of each pack.
pub(crate) async fn compact(
    store: &Store,
    locked: &[u64],
) -> Result<Vec<(u32, PackOutcome)>, StoreError> {
    rest(&mut compaction(store, locked)).await
}

/// Steps until there is nothing to do.
async fn rest(compaction: &mut Compaction) -> Result<Vec<(u32, PackOutcome)>, StoreError> {
    let mut packs = Vec::new();
    loop {
        let step = compaction.step(1500).await?;
        packs.extend(step.pack);
        if step.is_idle {
            return Ok(packs);
        }
    }
}

/// A store with a pack of which two of four archives are dead, and a further pack.
async fn half_dead() -> (SimulatedVolume, Arc<MemoryLedger>, Store, Told) {
    let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
    let store = open(&volume, &ledger).await.unwrap();
    let mut told = Told::default();
    done(store.commit(vault(1).entry, Bytes::new()).await).unwrap();
    done(store.commit(vault(2).entry, Bytes::new()).await).unwrap();
    told.put_mixed(&store, 10..14).await.unwrap();
    told.put(&store, 1, 20, 100).await.unwrap();
    for number in [10, 12] {
        told.delete(&store, 1, number).await.unwrap();
    }
    (volume, ledger, store, told)
}

const PACK: &str = "packs/00000001.pack";
const COMPACTED: &str = "packs/00000001.1.pack";

fn packs(volume: &SimulatedVolume) -> Vec<String> {
    volume.paths().into_iter().filter(|path| path.starts_with("packs/")).collect()
}

fn content(volume: &SimulatedVolume, path: &str) -> Vec<u8> {
    let mut content = Vec::new();
    volume.change(path, |bytes| content.clone_from(bytes));
    content
}

/// Everything that a replay tells.
async fn log(store: &Store) -> Vec<(Entry, RecordPlace)> {
    let (mut at, mut records) = (LogPosition::default(), Vec::new());
    loop {
        let page = store.payload().replay(at, false).await.unwrap();
        for item in page.items {
            match item {
                Replayed::Record(entry, place) => records.push((entry, place)),
                Replayed::Damaged(damage) => panic!("{damage}"),
            }
        }
        at = page.next;
        if page.last {
            return records;
        }
    }
}

async fn place_of(store: &Store, number: u64) -> RecordPlace {
    match store.ledger().archive(ArchiveNumber(number)).await.unwrap().unwrap().stored {
        Stored::Record(place) => place,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn forgotten_bodies_go_and_everything_else_stays_in_its_place() {
    let (volume, ledger, store, told) = half_dead().await;
    let (before, dead) = (log(&store).await, place_of(&store, 10).await);
    let alive = (place_of(&store, 11).await, place_of(&store, 13).await);
    assert_eq!(compact(&store, &[]).await.unwrap(), [], "deleted, but not forgotten");
    store.ledger().purge(9).await.unwrap();
    let (old_len, used) = (volume.len_of(PACK) as u64, store.stat().await.unwrap());
    assert_eq!(used.ledger.dead_bytes, 12_000);

    let packs_done = compact(&store, &[]).await.unwrap();
    let new_len = volume.len_of(COMPACTED) as u64;
    assert_eq!(packs_done, [(1, PackOutcome::Shorter(old_len - new_len))]);
    assert!(old_len - new_len > 11_000, "{old_len} {new_len}");
    assert_eq!(packs(&volume), [COMPACTED, "packs/00000002.pack"]);
    let stat = store.stat().await.unwrap();
    assert_eq!((stat.ledger.dead_bytes, stat.pack_bytes), (0, used.pack_bytes - old_len + new_len));

    assert_eq!(log(&store).await, before);
    assert_eq!((place_of(&store, 11).await, place_of(&store, 13).await), alive);
    assert!(store.payload().read_record(dead).await.unwrap().is_none());
    match store.payload().read_body(dead).await {
        Err(StoreError::Damaged(damage)) => assert!(damage.what.contains("dropped"), "{damage}"),
        other => panic!("{other:?}"),
    }
    verify(&store, &told, "compacted").await;
    assert_eq!(compact(&store, &[]).await.unwrap(), [], "nothing is left to do");
    store.close().await;
    for ledger in [ledger, Arc::new(MemoryLedger::new())] {
        let store = open(&volume, &ledger).await.unwrap();
        verify(&store, &told, "opened again").await;
        assert_eq!(log(&store).await, before);
        store.close().await;
    }
}

#[tokio::test]
async fn a_pack_that_tells_of_a_locked_vaults_archives_stays_as_it_is_to_the_last_byte() {
    let (volume, ledger, store, mut told) = half_dead().await;
    let before = content(&volume, PACK);
    store.ledger().purge(9).await.unwrap();
    let locked = [(1, PackOutcome::Locked(VaultNumber(1)))];
    assert_eq!(compact(&store, &[1]).await.unwrap(), locked);
    assert_eq!(packs(&volume), [PACK, "packs/00000002.pack"]);
    assert_eq!(content(&volume, PACK), before);

    // The archives of a vault without a lock go, but not those beside them of one with a lock.
    let body = pattern(900, 1);
    let mine = archive(2, 30, &body, Content::Here);
    let theirs = archive(1, 31, &pattern(9000, 2), Content::Here);
    let commits = [mine, theirs].map(|record| store.commit(record.entry, record.body));
    for result in futures_util::future::join_all(commits).await {
        done(result).unwrap();
    }
    told.put(&store, 2, 32, 10).await.unwrap();
    told.delete(&store, 1, 31).await.unwrap();
    store.ledger().purge(9).await.unwrap();
    let pack = place_of(&store, 30).await.at.pack;
    let outcome = compact(&store, &[2]).await.unwrap();
    assert!(outcome.contains(&(pack, PackOutcome::Locked(VaultNumber(2)))), "{outcome:?}");
    assert_eq!(read(&store, 30).await.unwrap().as_deref(), Some(&body[..]));
    verify(&store, &told, "locked").await;
    store.close().await;
    let store = open(&volume, &ledger).await.unwrap();
    let outcome = compact(&store, &[]).await.unwrap();
    assert!(matches!(outcome[..], [.., (last, PackOutcome::Shorter(_))] if last == pack));
}

/// Says yes from one question on.
#[derive(Debug)]
struct LockedLater(AtomicU64);

#[async_trait]
impl VaultLocks for LockedLater {
    async fn is_locked(&self, _: VaultNumber) -> Result<bool, StoreError> {
        Ok(self.0.fetch_add(1, Ordering::SeqCst) > 0)
    }
}

#[tokio::test]
async fn a_lock_that_comes_while_a_pack_is_written_leaves_the_pack_as_it_is() {
    let (volume, _, store, told) = half_dead().await;
    let before = content(&volume, PACK);
    store.ledger().purge(9).await.unwrap();
    let mut compaction = Compaction::new(&store, Arc::new(LockedLater(AtomicU64::new(0))));
    let outcome = loop {
        let step = compaction.step(1500).await.unwrap();
        if let Some((_, outcome)) = step.pack {
            break outcome;
        }
    };
    assert!(matches!(outcome, PackOutcome::Locked(_)), "{outcome:?}");
    assert_eq!(packs(&volume), [PACK, "packs/00000002.pack"]);
    assert_eq!(content(&volume, PACK), before);
    assert!(compaction.step(1500).await.unwrap().is_idle, "nothing more is dead of it");
    verify(&store, &told, "locked").await;
}

/// Knows no lock. Something happens when it is asked for the last time, before the switch.
#[derive(Debug)]
struct BeforeTheSwitch(SimulatedVolume, fn(&SimulatedVolume));

#[async_trait]
impl VaultLocks for BeforeTheSwitch {
    async fn is_locked(&self, _: VaultNumber) -> Result<bool, StoreError> {
        if packs(&self.0).iter().any(|path| path == COMPACTED) {
            self.1(&self.0);
        }
        Ok(false)
    }
}

#[tokio::test]
async fn a_switch_that_fails_leaves_one_file_of_the_pack() {
    let (volume, _, store, told) = half_dead().await;
    store.ledger().purge(9).await.unwrap();
    let somebody_changes_it = |volume: &SimulatedVolume| {
        volume.change(COMPACTED, |bytes| bytes.truncate(10));
    };
    let locks = Arc::new(BeforeTheSwitch(volume.clone(), somebody_changes_it));
    let outcome = rest(&mut Compaction::new(&store, locks)).await.unwrap();
    assert!(matches!(outcome[..], [(1, PackOutcome::Damaged(_))]), "{outcome:?}");
    assert_eq!(packs(&volume), [PACK, "packs/00000002.pack"]);

    // Then the old one has gone already.
    let its_name_cannot_be_synced = |volume: &SimulatedVolume| volume.set_out_of_descriptors(true);
    let locks = Arc::new(BeforeTheSwitch(volume.clone(), its_name_cannot_be_synced));
    let outcome = rest(&mut Compaction::new(&store, locks)).await.unwrap();
    assert!(matches!(outcome[..], [(1, PackOutcome::Failed(_))]), "{outcome:?}");
    assert_eq!(packs(&volume), [COMPACTED, "packs/00000002.pack"]);
    volume.set_out_of_descriptors(false);
    verify(&store, &told, "switched").await;
    assert_eq!(compact(&store, &[]).await.unwrap(), []);
    assert_eq!(store.stat().await.unwrap().ledger.dead_bytes, 0);
}

#[tokio::test]
async fn what_a_job_needs_and_what_was_refused_is_kept() {
    let (volume, _, store, mut told) = half_dead().await;
    let job = archive_job_of(VaultNumber(1), 900, 12);
    store.ledger().create_job(job).await.unwrap();
    assert_eq!(store.ledger().purge(9).await.unwrap(), 1);
    assert_eq!(compact(&store, &[]).await.unwrap(), [], "less than half of it is dead");
    told.delete(&store, 1, 13).await.unwrap();
    store.ledger().purge(9).await.unwrap();
    let needed = place_of(&store, 12).await;
    let outcome = compact(&store, &[]).await.unwrap();
    assert!(matches!(outcome[..], [(1, PackOutcome::Shorter(_))]), "{outcome:?}");
    assert_eq!(store.payload().read_body(needed).await.unwrap(), pattern(6000, 12));
    assert!(
        store.payload().read_record(place_of_deleted(&store, 13).await).await.unwrap().is_none()
    );

    // An archive for a vault that does not exist: over a damaged log, the record of its vault may be what is damaged.
    let refused = archive(77, 40, &pattern(20_000, 5), Content::Here);
    let (outcome, place) = store.commit(refused.entry, refused.body).await.unwrap();
    assert_eq!(outcome, Outcome::VaultGone);
    told.put(&store, 1, 41, 10).await.unwrap();
    assert_eq!(compact(&store, &[]).await.unwrap(), []);
    assert_eq!(store.payload().read_body(place).await.unwrap(), pattern(20_000, 5));
    assert_eq!(packs(&volume).len(), 3);
}

#[tokio::test]
async fn the_pack_that_is_appended_to_is_left_alone_until_the_ledger_is_beyond_it() {
    let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
    let store = open(&volume, &ledger).await.unwrap();
    let mut told = Told::default();
    done(store.commit(vault(1).entry, Bytes::new()).await).unwrap();
    told.put(&store, 1, 10, 9000).await.unwrap();
    // Sealed by now, but the deletion is the first record of the next pack.
    told.delete(&store, 1, 10).await.unwrap();
    store.ledger().purge(9).await.unwrap();
    assert_eq!(place_of_deleted(&store, 10).await.at.pack, 1);
    let outcome = compact(&store, &[]).await.unwrap();
    assert!(matches!(outcome[..], [(1, PackOutcome::Shorter(_))]), "{outcome:?}");
    told.put(&store, 1, 11, 2000).await.unwrap();
    told.delete(&store, 1, 11).await.unwrap();
    store.ledger().purge(9).await.unwrap();
    let tail = packs(&volume).pop().unwrap();
    let before = content(&volume, &tail);
    assert_eq!(compact(&store, &[]).await.unwrap(), []);
    assert_eq!(content(&volume, &tail), before);
}

async fn place_of_deleted(store: &Store, number: u64) -> RecordPlace {
    let found = log(store).await.into_iter().find_map(|(entry, place)| match entry {
        Entry::ArchiveCreated(archive) if archive.number.0 == number => Some(place),
        _ => None,
    });
    found.unwrap()
}

/// Between any two steps, and with a pack that was opened before the switch, every archive reads as it was stored.
#[tokio::test]
async fn readers_see_the_same_bytes_before_during_and_after() {
    let (volume, _, store, told) = half_dead().await;
    store.ledger().purge(9).await.unwrap();
    let alive = [place_of(&store, 11).await, place_of(&store, 13).await];
    let expected = [pattern(1500, 11), pattern(6000, 13)];
    let before = log(&store).await;
    let mut compaction = compaction(&store, &[]);
    let mut steps = 0;
    loop {
        let step = compaction.step(300).await.unwrap();
        for (place, bytes) in alive.iter().zip(&expected) {
            assert_eq!(store.payload().read_body(*place).await.unwrap(), bytes);
        }
        assert_eq!(log(&store).await, before);
        let report = check(&store, &mut |_| {}).await.unwrap();
        assert_eq!(report.problems, [], "step {steps}");
        steps += 1;
        if step.is_idle {
            break;
        }
    }
    assert!(steps > 60, "{steps}");
    assert_eq!(packs(&volume)[0], COMPACTED);
    verify(&store, &told, "compacted").await;
}

#[tokio::test]
async fn one_compaction_at_a_time_and_one_that_is_given_up_is_done_by_the_next() {
    let (volume, _, store, told) = half_dead().await;
    store.ledger().purge(9).await.unwrap();
    let mut first = compaction(&store, &[]);
    while !packs(&volume).iter().any(|path| path == COMPACTED) {
        first.step(1500).await.unwrap();
    }
    let mut second = compaction(&store, &[]);
    assert!(second.step(1500).now_or_never().is_none(), "it waits for the first");
    drop(first);
    assert!(packs(&volume).iter().any(|path| path == PACK), "nothing was switched");
    let outcome = compact(&store, &[]).await.unwrap();
    assert!(matches!(outcome[..], [(1, PackOutcome::Shorter(_))]), "{outcome:?}");
    verify(&store, &told, "compacted").await;
    let mut last = compaction(&store, &[]);
    store.clone().close().await;
    assert!(matches!(last.step(1500).await, Err(StoreError::Closed)));
}

/// The owner's command waited as long as the background, at its rate, needed for a pack.
#[tokio::test]
async fn who_gives_way_leaves_its_pack_to_another_who_waits() {
    let (volume, _, store, told) = half_dead().await;
    store.ledger().purge(9).await.unwrap();
    let mut background = compaction(&store, &[]).giving_way();
    while !packs(&volume).iter().any(|path| path == COMPACTED) {
        background.step(1500).await.unwrap();
    }
    let mut owners = compaction(&store, &[]);
    let mut waiting = Box::pin(owners.step(1500));
    assert!((&mut waiting).now_or_never().is_none());
    let mut given_up = Box::pin(background.step(1500));
    // It waits now, and its pack can be had.
    let step = tokio::select! {
        biased;
        step = &mut given_up => panic!("{step:?}"),
        step = &mut waiting => step.unwrap(),
    };
    assert!(step.pack.is_none() && !step.is_idle);
    assert!(packs(&volume).iter().all(|path| path != COMPACTED), "it has cleared up");
    drop(waiting);
    let (outcome, step) = tokio::join!(rest(&mut owners), given_up);
    assert!(matches!(outcome.unwrap()[..], [(1, PackOutcome::Shorter(_))]));
    assert!(step.unwrap().is_idle);
    verify(&store, &told, "given up").await;
}

#[tokio::test]
async fn a_damaged_pack_is_left_alone_wherever_it_is_damaged() {
    let (volume, _, store, _) = half_dead().await;
    store.ledger().purge(9).await.unwrap();
    let kept = place_of(&store, 11).await.at.offset as usize;
    let dropped = place_of_deleted(&store, 12).await.at.offset as usize;
    let len = volume.len_of(PACK);
    for at in [3, 250, kept + 100, kept + 700, dropped + 100, len - 1] {
        volume.change(PACK, |bytes| bytes[at] ^= 1);
        let before = content(&volume, PACK);
        let outcome = compact(&store, &[]).await.unwrap();
        assert!(matches!(outcome[..], [(1, PackOutcome::Damaged(_))]), "{at}: {outcome:?}");
        assert_eq!(content(&volume, PACK), before);
        assert_eq!(packs(&volume), [PACK, "packs/00000002.pack"]);
        volume.change(PACK, |bytes| bytes[at] ^= 1);
    }
    let outcome = compact(&store, &[]).await.unwrap();
    assert!(matches!(outcome[..], [(1, PackOutcome::Shorter(_))]), "{outcome:?}");
}

/// The medium loses a bit of the new pack before it is verified: the old one must not go.
#[tokio::test]
async fn a_new_pack_that_does_not_read_as_it_was_written_does_not_come_to_its_place() {
    let (volume, _, store, told) = half_dead().await;
    store.ledger().purge(9).await.unwrap();
    let new_len = {
        let copy = volume.after_crash(Remains::Everything);
        let ledger = Arc::new(MemoryLedger::new());
        let store = open(&copy, &ledger).await.unwrap();
        store.ledger().purge(9).await.unwrap();
        compact(&store, &[]).await.unwrap();
        copy.len_of(COMPACTED)
    };
    // The last bytes come with the sync, and are verified at once.
    for at in (0..new_len - 700).step_by(97) {
        let mut compaction = compaction(&store, &[]);
        let mut rotten = false;
        let outcome = loop {
            let step = compaction.step(400).await.unwrap();
            if let Some((_, outcome)) = step.pack {
                break outcome;
            }
            let is_there = packs(&volume).iter().any(|path| path == COMPACTED);
            if is_there && !rotten && volume.len_of(COMPACTED) > at {
                volume.rot(COMPACTED, at);
                rotten = true;
            }
        };
        assert!(rotten);
        assert!(matches!(outcome, PackOutcome::Damaged(_)), "{at}: {outcome:?}");
        assert_eq!(packs(&volume), [PACK, "packs/00000002.pack"], "{at}");
        verify(&store, &told, "left alone").await;
    }
}

/// A ledger that took a living archive for dead would lose it.
#[tokio::test]
async fn a_ledger_that_contradicts_itself_or_the_log_drops_nothing() {
    let (volume, ledger, store, told) = half_dead().await;
    store.ledger().purge(9).await.unwrap();
    let alive = place_of(&store, 11).await.at;
    let before = content(&volume, PACK);
    for (at, archive) in [(alive, 11), (alive, 10), (LogPosition { offset: 7, ..alive }, 10)] {
        ledger.add_dead(DeadBody { at, archive: ArchiveNumber(archive), bytes: 1500 });
        let outcome = compact(&store, &[]).await.unwrap();
        assert!(matches!(outcome[..], [(1, PackOutcome::Damaged(_))]), "{outcome:?}");
        assert_eq!(content(&volume, PACK), before);
        ledger.forget_dead(vec![at]).await.unwrap();
    }
    verify(&store, &told, "left alone").await;
}

/// A store with two packs of which half is dead, and a further pack.
async fn two_half_dead() -> (SimulatedVolume, Store, Told) {
    let (volume, _, store, mut told) = half_dead().await;
    told.put_mixed(&store, 30..34).await.unwrap();
    told.put(&store, 1, 40, 100).await.unwrap();
    for number in [30, 32] {
        told.delete(&store, 1, number).await.unwrap();
    }
    store.ledger().purge(9).await.unwrap();
    (volume, store, told)
}

/// A sector that cannot be read kept all later packs from ever being compacted.
#[tokio::test]
async fn a_pack_that_cannot_be_read_is_left_alone_and_the_next_one_goes_on() {
    let (volume, store, told) = two_half_dead().await;
    volume.set_unreadable(Some(PACK));
    let mut compaction = compaction(&store, &[]);
    match &rest(&mut compaction).await.unwrap()[..] {
        [(1, PackOutcome::Failed(why)), (2, PackOutcome::Shorter(_))] => {
            assert!(why.contains(PACK) && why.contains("does not answer"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rest(&mut compaction).await.unwrap(), [], "not read again and again");
    volume.set_unreadable(None);
    let outcome = compact(&store, &[]).await.unwrap();
    assert!(matches!(outcome[..], [(1, PackOutcome::Shorter(_))]), "{outcome:?}");
    verify(&store, &told, "readable again").await;
}

/// A compacted pack is read before it is surveyed.
#[tokio::test]
async fn a_pack_without_a_readable_list_of_gaps_is_left_alone_and_the_next_one_goes_on() {
    let (volume, ledger, store, mut told) = half_dead().await;
    store.ledger().purge(9).await.unwrap();
    compact(&store, &[]).await.unwrap();
    told.put_mixed(&store, 30..34).await.unwrap();
    told.put(&store, 1, 40, 100).await.unwrap();
    for number in [13, 30, 32] {
        told.delete(&store, 1, number).await.unwrap();
    }
    store.ledger().purge(9).await.unwrap();
    store.close().await;
    volume.change(COMPACTED, |bytes| bytes.fill(0));
    let store = open(&volume, &ledger).await.unwrap();
    let outcome = compact(&store, &[]).await.unwrap();
    let [(1, PackOutcome::Damaged(damage)), (2, PackOutcome::Shorter(_))] = &outcome[..] else {
        panic!("{outcome:?}");
    };
    assert_eq!(damage.place, COMPACTED);
}

#[tokio::test]
async fn when_the_room_goes_while_the_new_pack_is_written_the_old_one_stays() {
    let (volume, _, store, told) = half_dead().await;
    store.ledger().purge(9).await.unwrap();
    for room in (0..5000).step_by(389) {
        volume.set_room(None);
        let mut compaction = compaction(&store, &[]);
        while !packs(&volume).iter().any(|path| path == COMPACTED) {
            compaction.step(1000).await.unwrap();
        }
        volume.set_room(Some(room));
        let outcome = rest(&mut compaction).await.unwrap();
        assert_eq!(outcome, [(1, PackOutcome::NoRoom)], "{room}");
        assert_eq!(packs(&volume), [PACK, "packs/00000002.pack"]);
        verify(&store, &told, "full").await;
    }
    volume.set_room(None);
    let outcome = compact(&store, &[]).await.unwrap();
    assert!(matches!(outcome[..], [(1, PackOutcome::Shorter(_))]), "{outcome:?}");
}

#[tokio::test]
async fn a_compaction_leaves_room_to_those_who_store_something() {
    let (volume, _, store, _) = half_dead().await;
    store.ledger().purge(9).await.unwrap();
    let len = volume.len_of(PACK) as u64;
    volume.set_room(Some(len - 1));
    assert_eq!(compact(&store, &[]).await.unwrap(), [(1, PackOutcome::NoRoom)]);
    volume.set_room(Some(len));
    let outcome = compact(&store, &[]).await.unwrap();
    assert!(matches!(outcome[..], [(1, PackOutcome::Shorter(_))]), "{outcome:?}");
}

/// A pack without room kept the others from giving room back, and was never tried again.
#[tokio::test]
async fn a_pack_without_room_is_tried_again_when_another_is_shorter_and_at_the_next_look() {
    let (volume, store, told) = two_half_dead().await;
    volume.set_room(Some(6000));
    let mut compaction = compaction(&store, &[]);
    let no_room = [(1, PackOutcome::NoRoom), (2, PackOutcome::NoRoom)];
    assert_eq!(rest(&mut compaction).await.unwrap(), no_room);
    assert_eq!(rest(&mut compaction).await.unwrap(), no_room, "the next look");
    let mut outcomes = Vec::from(compaction.step(1500).await.unwrap().pack.as_slice());
    volume.set_room(None);
    outcomes.extend(rest(&mut compaction).await.unwrap());
    let [(1, PackOutcome::NoRoom), (2, PackOutcome::Shorter(_)), (1, PackOutcome::Shorter(_))] =
        outcomes[..]
    else {
        panic!("{outcomes:?}");
    };
    verify(&store, &told, "with room").await;
}

/// Says yes until the lock is gone.
#[derive(Debug, Default)]
struct LockedUntil {
    gone: AtomicBool,
}

#[async_trait]
impl VaultLocks for LockedUntil {
    async fn is_locked(&self, _: VaultNumber) -> Result<bool, StoreError> {
        Ok(!self.gone.load(Ordering::SeqCst))
    }
}

/// Reading a pack again to find the same lock would keep the disk busy for nothing.
#[tokio::test]
async fn a_locked_pack_is_looked_at_again_when_the_lock_is_gone_and_not_before() {
    let (_, _, store, mut told) = half_dead().await;
    store.ledger().purge(9).await.unwrap();
    let locks = Arc::new(LockedUntil::default());
    let mut compaction = Compaction::new(&store, Arc::<LockedUntil>::clone(&locks));
    assert_eq!(rest(&mut compaction).await.unwrap(), [(1, PackOutcome::Locked(VaultNumber(1)))]);
    told.delete(&store, 1, 13).await.unwrap();
    store.ledger().purge(9).await.unwrap();
    assert!(compaction.step(1500).await.unwrap().is_idle, "although more of it is dead");
    locks.gone.store(true, Ordering::SeqCst);
    let outcome = rest(&mut compaction).await.unwrap();
    assert!(matches!(outcome[..], [(1, PackOutcome::Shorter(_))]), "{outcome:?}");
}

/// One damaged list of gaps harms nobody and is reported; two are damage of the whole pack, and nothing is cut off.
#[tokio::test]
async fn the_gaps_of_a_pack_are_kept_twice() {
    let (volume, ledger, store, told) = half_dead().await;
    store.ledger().purge(9).await.unwrap();
    compact(&store, &[]).await.unwrap();
    store.close().await;
    let len = volume.len_of(COMPACTED);
    for at in [0, 20, 50, 110, len - 1, len - 60, len - 115] {
        volume.change(COMPACTED, |bytes| bytes[at] ^= 1);
        let store = open(&volume, &ledger).await.unwrap();
        assert!(read(&store, 11).await.unwrap().is_some());
        let report = check(&store, &mut |_| {}).await.unwrap();
        assert_eq!(report.problems.len(), 1, "{at}: {:?}", report.problems);
        assert!(report.problems[0].damage.what.contains("list of gaps"));
        store.close().await;
        volume.change(COMPACTED, |bytes| bytes[at] ^= 1);
    }
    let both = |bytes: &mut Vec<u8>| {
        bytes[50] ^= 1;
        bytes[len - 50] ^= 1;
    };
    volume.change(COMPACTED, both);
    let store = open(&volume, &ledger).await.unwrap();
    assert!(matches!(read(&store, 11).await, Err(StoreError::Damaged(_))));
    assert!(read(&store, 20).await.unwrap().is_some(), "the other packs are as they were");
    let page = store.payload().replay(LogPosition::default(), false).await.unwrap();
    assert_eq!(page.lost, Some(LogPosition { pack: 2, offset: 0 }), "it may tell of documents");
    store.close().await;
    let refused = open(&volume, &Arc::new(MemoryLedger::new())).await;
    assert!(matches!(refused, Err(StoreError::Damaged(_))), "{refused:?}");
    assert_eq!(volume.len_of(COMPACTED), len);
    volume.change(COMPACTED, both);
    let store = open(&volume, &ledger).await.unwrap();
    verify(&store, &told, "put back").await;
}

/// With the packs after it lost, a compacted pack is the last one: it has no torn end, and nothing is appended to it.
#[tokio::test]
async fn a_compacted_pack_at_the_end_of_the_log_is_never_cut_nor_appended_to() {
    let (volume, _, store, _) = half_dead().await;
    store.ledger().purge(9).await.unwrap();
    compact(&store, &[]).await.unwrap();
    store.close().await;
    volume.remove("packs/00000002.pack").unwrap();
    let before = content(&volume, COMPACTED);
    let store = open(&volume, &Arc::new(MemoryLedger::new())).await.unwrap();
    assert_eq!(content(&volume, COMPACTED), before);
    Told::default().put(&store, 1, 60, 100).await.unwrap();
    assert_eq!(packs(&volume), [COMPACTED, "packs/00000002.pack"]);
    assert_eq!(content(&volume, COMPACTED), before);
    // The record of the deletions is lost with the pack, so the check says what it cannot give back.
    let report = check(&store, &mut |_| {}).await.unwrap();
    assert_eq!(report.problems.len(), 2, "{:?}", report.problems);
    assert!(report.problems[0].damage.what.contains("deletion is lost"));
    assert_eq!(report.problems[0].archive.as_ref().unwrap().id.as_str(), "archive-10");
}
