//! Several files of one pack: what a compaction has left, and what somebody has put there.

use std::sync::Arc;

use bytes::Bytes;

use super::{COMPACTED, PACK, compact, content, half_dead, packs, place_of};
use crate::{
    compaction::PackOutcome,
    crash_tests::{Told, damage, done, open, verify},
    error::StoreError,
    ledger::MemoryLedger,
    payload::{
        contract::vault,
        disk::{simulated::SimulatedVolume, volume::Volume},
    },
};

/// A backup that never deletes has both the old file of a pack, as it was when it was still short, and the new one. Taking
/// the old one for the pack, and the new one for a leftover, would lose what it does not have.
#[tokio::test]
async fn an_older_and_shorter_file_of_a_pack_is_refused_and_nothing_removed() {
    let (volume, ledger, store, told) = half_dead().await;
    let old = content(&volume, PACK);
    store.ledger().purge(9).await.unwrap();
    compact(&store, &[]).await.unwrap();
    store.close().await;
    let put = |bytes: &[u8]| {
        volume.create(PACK).unwrap().write_at(bytes, 0).unwrap();
    };
    put(&old[..old.len() / 2]);
    let all = packs(&volume);
    let refused = open(&volume, &ledger).await;
    assert!(
        matches!(&refused, Err(StoreError::Damaged(damage)) if damage.what.contains("backup")),
        "{refused:?}"
    );
    assert_eq!(packs(&volume), all);
    volume.remove(PACK).unwrap();
    // The same, whole: then it is the pack, with more in it, and it can be compacted again.
    put(&old);
    let store = open(&volume, &ledger).await.unwrap();
    assert_eq!(packs(&volume), [PACK, "packs/00000002.pack"]);
    verify(&store, &told, "put back").await;
}

/// An older file of a pack came back from a backup in the length that it had, but damaged, beside the compacted one. The sound
/// one was then taken for what an interrupted compaction had left, and removed.
#[tokio::test]
async fn a_compacted_file_is_kept_beside_an_older_one_that_is_damaged() {
    let (volume, ledger, store, told) = half_dead().await;
    let mut bad_body = content(&volume, PACK);
    bad_body[place_of(&store, 11).await.at.offset as usize + 700] ^= 1;
    store.ledger().purge(9).await.unwrap();
    compact(&store, &[]).await.unwrap();
    store.close().await;
    let new = content(&volume, COMPACTED);
    for old in [vec![0; bad_body.len()], bad_body] {
        volume.create(PACK).unwrap().write_at(&old, 0).unwrap();
        let all = packs(&volume);
        // One list of its gaps is enough to read it.
        for at in [None, Some(50), Some(new.len() - 50)] {
            volume.change(COMPACTED, |bytes| at.into_iter().for_each(|at| bytes[at] ^= 1));
            refused(&volume, &ledger, PACK, COMPACTED).await;
            assert_eq!(packs(&volume), all);
            volume.change(COMPACTED, |bytes| bytes.clone_from(&new));
        }
        volume.remove(PACK).unwrap();
        let store = open(&volume, &ledger).await.unwrap();
        verify(&store, &told, "moved away").await;
        store.close().await;
    }
}

/// Until the next opening an older file that is put beside a compacted one is taken for the pack.
#[tokio::test]
async fn a_compaction_of_an_older_file_keeps_the_compacted_one_beside_it() {
    let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
    let store = open(&volume, &ledger).await.unwrap();
    let mut told = Told::default();
    done(store.commit(vault(1).entry, Bytes::new()).await).unwrap();
    told.put_mixed(&store, 13..17).await.unwrap();
    told.put(&store, 1, 20, 100).await.unwrap();
    let old = content(&volume, PACK);
    let end = place_of(&store, 14).await.at.offset as usize;
    for number in [14, 16] {
        told.delete(&store, 1, number).await.unwrap();
    }
    store.ledger().purge(9).await.unwrap();
    compact(&store, &[]).await.unwrap();
    store.close().await;
    let store = open(&volume, &ledger).await.unwrap();
    let new = content(&volume, COMPACTED);
    volume.create(PACK).unwrap().write_at(&old[..end], 0).unwrap();
    told.delete(&store, 1, 13).await.unwrap();
    store.ledger().purge(9).await.unwrap();
    let outcome = compact(&store, &[]).await.unwrap();
    let [(1, PackOutcome::Damaged(damage))] = &outcome[..] else { panic!("{outcome:?}") };
    assert!(damage.what.contains("backup"), "{damage}");
    assert_eq!(content(&volume, COMPACTED), new);
    volume.remove(PACK).unwrap();
    verify(&store, &told, "moved away").await;
}

/// Opening and checking must say that the damaged file is to be moved away from the other one.
async fn refused(volume: &SimulatedVolume, ledger: &Arc<MemoryLedger>, damaged: &str, other: &str) {
    let Err(StoreError::Damaged(why)) = open(volume, ledger).await else {
        panic!("opened with {damaged} beside {other}");
    };
    assert_eq!(why.place, damaged);
    assert!(why.what.contains(other), "{why}");
    assert!(why.what.contains(&format!("move the damaged one, {damaged}, away")), "{why}");
    assert!(damage(volume, ledger).await.contains(&why), "{why}");
}

#[tokio::test]
async fn a_compacted_file_without_a_readable_list_of_gaps_is_not_preferred_to_a_further_one() {
    let (volume, ledger, store, told) = half_dead().await;
    store.ledger().purge(9).await.unwrap();
    compact(&store, &[]).await.unwrap();
    store.close().await;
    let (whole, next) = (content(&volume, COMPACTED), "packs/00000001.2.pack");
    volume.create(next).unwrap().write_at(&whole, 0).unwrap();
    volume.change(COMPACTED, |bytes| bytes.fill(0));
    refused(&volume, &ledger, COMPACTED, next).await;
    assert_eq!(packs(&volume), [COMPACTED, next, "packs/00000002.pack"]);
    volume.remove(COMPACTED).unwrap();
    let store = open(&volume, &ledger).await.unwrap();
    verify(&store, &told, "moved away").await;
}

#[tokio::test]
async fn what_a_compaction_has_left_is_no_problem_and_is_removed_by_the_next_opening() {
    let (volume, ledger, store, told) = half_dead().await;
    let old = content(&volume, PACK);
    let dead = place_of(&store, 10).await.at.offset as usize + 900;
    store.ledger().purge(9).await.unwrap();
    compact(&store, &[]).await.unwrap();
    store.close().await;
    let new = content(&volume, COMPACTED);
    let torn = new.len() - 20;
    for (left, bad) in [(&new[..], None), (&new[..torn], None), (&[], None), (&new, Some(dead))] {
        volume.remove(packs(&volume)[0].as_str()).unwrap();
        volume.create(PACK).unwrap().write_at(&old, 0).unwrap();
        // The new file was to go without this body.
        volume.change(PACK, |bytes| bad.into_iter().for_each(|at| bytes[at] ^= 1));
        volume.create(COMPACTED).unwrap().write_at(left, 0).unwrap();
        assert_eq!(damage(&volume, &ledger).await.len(), usize::from(bad.is_some()));
        let store = open(&volume, &ledger).await.unwrap();
        assert_eq!(packs(&volume), [PACK, "packs/00000002.pack"]);
        if bad.is_none() {
            verify(&store, &told, "removed").await;
        }
        store.close().await;
    }
}
