//! What keeps a deleted archive, and what is left of it.

use super::fixtures::{
    V, apply_one, archive, archive_deleted, archive_job, at, create, dead_bytes, delete, filed,
    inventory_job, place, small, stage, staged, token, vault_created, with_vault,
};
use crate::{
    entry::{ArchiveEntry, ArchiveNumber, Entry, JobNumber, Outcome, VaultNumber},
    ledger::{JobEnd, Ledger},
    payload::{DeadBody, LogPosition},
};

async fn purged(ledger: &dyn Ledger) -> u64 {
    ledger.purge(99).await.unwrap()
}

pub(super) async fn an_archive_that_exists_is_never_purged(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    create(ledger, small(2)).await;
    create(ledger, small(3)).await;
    delete(ledger, 3).await;
    assert_eq!(purged(ledger).await, 1);
    assert_eq!(purged(ledger).await, 0);
    assert!(archive(ledger, 2).await.is_some());
    assert_eq!(archive(ledger, 3).await, None);
}

pub(super) async fn a_job_keeps_its_archive(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    create(ledger, small(2)).await;
    ledger.create_job(archive_job(10, 2)).await.unwrap();
    delete(ledger, 2).await;
    assert_eq!(purged(ledger).await, 0);
    assert!(
        ledger.end_job(JobNumber(10), JobEnd::Succeeded(None), at(4), Vec::new()).await.unwrap()
    );
    assert_eq!(purged(ledger).await, 0, "its output can still be read");
    assert_eq!(ledger.expire_jobs(at(5)).await.unwrap(), 1);
    assert_eq!(purged(ledger).await, 1);
}

pub(super) async fn an_inventory_keeps_what_it_shows(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    create(ledger, small(2)).await;
    create(ledger, small(3)).await;
    delete(ledger, 3).await;
    ledger.take_inventory(V, at(1), 0).await.unwrap(); // of write 3
    delete(ledger, 2).await;
    create(ledger, small(4)).await;
    delete(ledger, 4).await;
    assert_eq!(purged(ledger).await, 2, "deleted before it, and created after it");
    assert!(archive(ledger, 2).await.is_some());
    ledger.take_inventory(V, at(2), 0).await.unwrap();
    assert_eq!(purged(ledger).await, 1);
}

pub(super) async fn an_inventory_job_keeps_what_it_shows(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    create(ledger, small(2)).await; // write 1
    create(ledger, small(3)).await; // write 2
    delete(ledger, 2).await; // write 3
    delete(ledger, 3).await; // write 4
    ledger.create_job(inventory_job(10, 1)).await.unwrap();
    ledger.create_job(inventory_job(11, 3)).await.unwrap();
    ledger.create_job(inventory_job(12, 4)).await.unwrap();
    assert_eq!(purged(ledger).await, 0);
    let end = async |number| {
        let ended =
            ledger.end_job(JobNumber(number), JobEnd::Failed("x".into()), at(4), Vec::new()).await;
        assert!(ended.unwrap());
        ledger.expire_jobs(at(5)).await.unwrap();
    };
    end(10).await;
    assert_eq!(purged(ledger).await, 1, "the job of write 3 does not show what write 3 deleted");
    assert_eq!(archive(ledger, 2).await, None);
    end(11).await;
    assert_eq!(purged(ledger).await, 1);
}

pub(super) async fn purged_bodies_are_dead_and_refused_ones_are_not(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    stage(ledger, &[1]).await;
    create(ledger, ArchiveEntry { token: Some(token(1)), ..small(2) }).await;
    create(ledger, filed(3, &[1])).await;
    create(ledger, ArchiveEntry { size: 0, ..small(4) }).await;
    for number in [2, 3, 4] {
        delete(ledger, number).await;
    }
    assert_eq!(dead_bytes(ledger).await, 0);
    assert_eq!(purged(ledger).await, 3);
    assert_eq!(
        dead_bytes(ledger).await,
        7,
        "nothing can be dropped of a file's or an empty record"
    );
    let repeat = ArchiveEntry { token: Some(token(1)), ..small(5) };
    let outcome = apply_one(ledger, Entry::ArchiveCreated(repeat)).await;
    assert_eq!(outcome, Outcome::Repeat(ArchiveNumber(2)));
    let other = ArchiveEntry { vault: VaultNumber(99), ..small(6) };
    let outcome = apply_one(ledger, Entry::ArchiveCreated(other)).await;
    assert_eq!(outcome, Outcome::VaultGone);
    assert_eq!(dead_bytes(ledger).await, 7, "damage may be why they were refused");
}

pub(super) async fn dead_bodies_are_listed_by_pack_until_they_are_forgotten(ledger: &dyn Ledger) {
    let mark = LogPosition::default();
    ledger.apply(vec![(vault_created(V, "v"), place(0))], mark).await.unwrap();
    for number in 2..8 {
        let entry = Entry::ArchiveCreated(small(number));
        ledger.apply(vec![(entry, place(number))], mark).await.unwrap();
        let deleted = (archive_deleted(number), place(10 + number));
        ledger.apply(vec![deleted], mark).await.unwrap();
    }
    assert_eq!(purged(ledger).await, 6);
    assert_eq!(ledger.dead_packs().await.unwrap(), [(1, 14), (2, 14), (3, 14)]);
    let body = |number| DeadBody { at: place(number).at, archive: ArchiveNumber(number), bytes: 7 };
    let begin = LogPosition { pack: 1, offset: 0 };
    assert_eq!(ledger.dead_bodies(begin, 9).await.unwrap(), [body(3), body(6)]);
    assert_eq!(ledger.dead_bodies(begin, 1).await.unwrap(), [body(3)]);
    assert_eq!(ledger.dead_bodies(place(6).at, 9).await.unwrap(), [body(6)]);
    let unknown = LogPosition { pack: 1, offset: 1 };
    ledger.forget_dead(vec![body(6).at, unknown, body(4).at, body(6).at]).await.unwrap();
    assert_eq!(ledger.dead_bodies(begin, 9).await.unwrap(), [body(3)]);
    assert_eq!(ledger.dead_packs().await.unwrap(), [(1, 7), (2, 7), (3, 14)]);
    assert_eq!(dead_bytes(ledger).await, 28);
    ledger.forget_dead(vec![body(3).at]).await.unwrap();
    assert_eq!(ledger.dead_packs().await.unwrap(), [(2, 7), (3, 14)]);
}

pub(super) async fn purged_archives_give_back_their_files(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    stage(ledger, &[1, 2, 3]).await;
    create(ledger, filed(5, &[1])).await;
    create(ledger, filed(6, &[3, 2])).await;
    for number in [5, 6] {
        delete(ledger, number).await;
    }
    assert_eq!(staged(ledger).await, Vec::<u64>::new(), "deleted is not yet purged");
    assert_eq!(purged(ledger).await, 2);
    assert_eq!(staged(ledger).await, [1, 2, 3]);
    assert_eq!(ledger.extents(ArchiveNumber(6)).await.unwrap(), []);
}

pub(super) async fn a_purge_stops_at_its_limit(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    for number in 2..7 {
        create(ledger, small(number)).await;
        delete(ledger, number).await;
    }
    ledger.create_job(archive_job(10, 2)).await.unwrap();
    let purged = [
        ledger.purge(3).await.unwrap(),
        ledger.purge(3).await.unwrap(),
        ledger.purge(3).await.unwrap(),
    ];
    assert_eq!(purged, [3, 1, 0], "one that is kept does not stand in the way of others");
}
