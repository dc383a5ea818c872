//! Archives: creation, repeats, deletion, lists.

use super::fixtures::{
    MIB, RECORD_BYTES, V, account, apply, apply_one, archive, archive_deleted, at, create, delete,
    described, everything, filed, files, hash, listed, name, payload, seal, small, stage, staged,
    token, vault, vault_created, with_vault,
};
use crate::{
    entry::{ArchiveEntry, ArchiveNumber, Entry, Outcome, VaultNumber},
    ledger::{ArchiveQuery, ArchiveRow, Ledger, Stored},
    payload::{LogPosition, RecordPlace},
};

pub(super) async fn an_archive_counts_in_its_vault_until_it_is_deleted(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    stage(ledger, &[1, 2]).await;
    assert_eq!(create(ledger, small(2)).await, 1);
    assert_eq!(create(ledger, filed(3, &[1, 2])).await, 2);
    let row = vault(ledger).await;
    assert_eq!((row.writes, row.archives, row.bytes), (2, 2, 7 + 2 * MIB));
    assert_eq!(apply_one(ledger, archive_deleted(2)).await, Outcome::Done { writes: 3 });
    let row = vault(ledger).await;
    assert_eq!((row.writes, row.archives, row.bytes), (3, 1, 2 * MIB));
    assert_eq!(ledger.vault(&account(1), &name("v")).await.unwrap(), Some(row));
}

pub(super) async fn an_archive_keeps_everything_that_was_recorded(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    stage(ledger, &[1]).await;
    let entry = ArchiveEntry {
        description: described("{\"icefield\":1}"),
        token: Some(token(4)),
        aged: Some(at(-7)),
        ..small(2)
    };
    create(ledger, entry).await;
    create(ledger, filed(3, &[1])).await;
    let expected = ArchiveRow {
        vault: V,
        number: ArchiveNumber(2),
        seal: seal(2),
        description: described("{\"icefield\":1}"),
        created: at(2),
        aged: Some(at(-7)),
        size: 7,
        tree_hash: hash(2),
        stored: Stored::Record(RecordPlace {
            at: LogPosition { pack: 0, offset: RECORD_BYTES },
            length: RECORD_BYTES,
        }),
        created_write: 1,
        deleted_write: None,
    };
    assert_eq!(archive(ledger, 2).await, Some(expected.clone()));
    assert_eq!(ledger.archive_by_token(V, token(4)).await.unwrap(), Some(expected.clone()));
    let of_file = archive(ledger, 3).await.unwrap();
    assert_eq!((of_file.stored, of_file.size), (Stored::File(payload(1)), MIB));
    assert_eq!(of_file.aged, None);
    assert_eq!(files(ledger, 3).await, [1]);
    assert_eq!(files(ledger, 2).await, Vec::<u64>::new());
    assert_eq!(files(ledger, 99).await, Vec::<u64>::new());
    assert_eq!(archive(ledger, 99).await, None);
    delete(ledger, 2).await;
    let deleted = Some(ArchiveRow { deleted_write: Some(3), ..expected });
    assert_eq!(archive(ledger, 2).await, deleted);
    assert_eq!(ledger.archive_by_token(V, token(4)).await.unwrap(), deleted);
    assert_eq!(ledger.archive_by_token(V, token(5)).await.unwrap(), None);
}

/// A refused entry had its files staged. A rebuild over a log in which the creation of a vault, or the deletion of an
/// archive, could not be read refused entries that had been accepted, and the next opening removed their files.
pub(super) async fn a_refused_archive_leaves_its_files_as_they_are(ledger: &dyn Ledger) {
    stage(ledger, &[1]).await;
    let refused = Entry::ArchiveCreated(filed(3, &[1, 2]));
    assert_eq!(apply_one(ledger, refused).await, Outcome::VaultGone);
    assert_eq!(
        staged(ledger).await,
        [1],
        "a live upload's stays staged, a replayed one's is untouched"
    );
    assert_eq!(archive(ledger, 3).await, None);
    assert_eq!(apply_one(ledger, archive_deleted(3)).await, Outcome::VaultGone);
}

pub(super) async fn a_token_makes_one_archive_in_a_vault(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    let other = VaultNumber(2);
    apply_one(ledger, vault_created(other, "other")).await;
    let put = |number| ArchiveEntry { token: Some(token(1)), ..small(number) };
    create(ledger, put(3)).await;
    let repeat = Outcome::Repeat(ArchiveNumber(3));
    assert_eq!(apply_one(ledger, Entry::ArchiveCreated(put(4))).await, repeat);
    create(ledger, ArchiveEntry { vault: other, ..put(5) }).await;
    let row = vault(ledger).await;
    assert_eq!((row.writes, row.archives, row.bytes), (1, 1, 7));
    assert_eq!(archive(ledger, 4).await, None);
    delete(ledger, 3).await;
    assert_eq!(apply_one(ledger, Entry::ArchiveCreated(put(6))).await, repeat);
}

pub(super) async fn a_token_is_remembered_after_its_archive_was_purged(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    let put = |number| ArchiveEntry { token: Some(token(1)), ..small(number) };
    create(ledger, put(3)).await;
    delete(ledger, 3).await;
    assert_eq!(ledger.purge(9).await.unwrap(), 1);
    assert_eq!(ledger.archive_by_token(V, token(1)).await.unwrap(), None);
    let outcome = apply_one(ledger, Entry::ArchiveCreated(put(4))).await;
    assert_eq!(outcome, Outcome::Repeat(ArchiveNumber(3)), "a replay would say so, too");
}

pub(super) async fn a_repeat_leaves_its_files_as_they_are(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    stage(ledger, &[1, 2, 3]).await;
    let put =
        |number, files: &[u64]| ArchiveEntry { token: Some(token(1)), ..filed(number, files) };
    create(ledger, put(3, &[1])).await;
    assert_eq!(staged(ledger).await, [2, 3]);
    let again = Entry::ArchiveCreated(put(3, &[1]));
    assert_eq!(apply_one(ledger, again).await, Outcome::Repeat(ArchiveNumber(3)));
    assert_eq!(staged(ledger).await, [2, 3]);
    let other = Entry::ArchiveCreated(put(4, &[1, 2, 4]));
    assert_eq!(apply_one(ledger, other).await, Outcome::Repeat(ArchiveNumber(3)));
    assert_eq!(staged(ledger).await, [2, 3]);
    assert_eq!(files(ledger, 3).await, [1]);
}

pub(super) async fn an_archive_is_deleted_once_and_only_from_its_vault(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    let other = VaultNumber(2);
    apply_one(ledger, vault_created(other, "other")).await;
    create(ledger, small(3)).await;
    let elsewhere =
        Entry::ArchiveDeleted { vault: other, number: ArchiveNumber(3), deleted: at(9) };
    let outcomes =
        apply(ledger, vec![elsewhere, archive_deleted(4), archive_deleted(3), archive_deleted(3)]);
    assert_eq!(
        outcomes.await,
        [
            Outcome::ArchiveGone,
            Outcome::ArchiveGone,
            Outcome::Done { writes: 2 },
            Outcome::ArchiveGone
        ]
    );
    assert_eq!(archive(ledger, 3).await.unwrap().deleted_write, Some(2));
}

pub(super) async fn a_list_shows_the_vault_as_of_a_write(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    for number in [2, 3] {
        create(ledger, small(number)).await;
    }
    delete(ledger, 2).await;
    create(ledger, small(4)).await;
    delete(ledger, 4).await;
    let expected: [&[u64]; 6] = [&[], &[2], &[2, 3], &[3], &[3, 4], &[3]];
    for (writes, numbers) in (0..).zip(expected) {
        let query = ArchiveQuery { writes, ..everything(V) };
        assert_eq!(listed(ledger, query).await, numbers, "as of write {writes}");
    }
    assert_eq!(listed(ledger, everything(VaultNumber(9))).await, Vec::<u64>::new());
}

pub(super) async fn a_list_takes_dates_from_the_start_and_before_the_end(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    for number in 2..7 {
        create(ledger, small(number)).await;
    }
    let between =
        |start, end| ArchiveQuery { start: Some(at(start)), end: Some(at(end)), ..everything(V) };
    assert_eq!(listed(ledger, between(3, 5)).await, [3, 4]);
    assert_eq!(listed(ledger, between(0, 99)).await, [2, 3, 4, 5, 6]);
    assert_eq!(listed(ledger, between(5, 5)).await, Vec::<u64>::new());
    let one = ArchiveQuery { after: Some(ArchiveNumber(3)), limit: 1, ..between(3, 99) };
    assert_eq!(listed(ledger, one).await, [4]);
}

pub(super) async fn ten_thousand_archives_are_listed_page_by_page(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    let other = VaultNumber(2);
    apply_one(ledger, vault_created(other, "other")).await;
    // Every third belongs to another vault, so that pages have gaps.
    let vault_of = |number: u64| if number.is_multiple_of(3) { other } else { V };
    let all = (10..15_010_u64).map(|number| {
        Entry::ArchiveCreated(ArchiveEntry { vault: vault_of(number), ..small(number) })
    });
    apply(ledger, all.collect()).await;
    let expected: Vec<u64> = (10..15_010).filter(|number| vault_of(*number) == V).collect();
    assert_eq!(expected.len(), 10_000);
    let mut found = Vec::new();
    let mut pages = 0;
    loop {
        // The second page starts after a number that no archive has.
        let after = if pages == 1 { 1009 } else { found.last().copied().unwrap_or(0) };
        found.retain(|number| *number <= after);
        let query = ArchiveQuery { after: Some(ArchiveNumber(after)), limit: 997, ..everything(V) };
        let page = listed(ledger, query).await;
        pages += 1;
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(found, expected);
    assert!(pages > 10);
    assert_eq!(listed(ledger, everything(other)).await.len(), 5_000);
}

pub(super) async fn several_files_without_an_upload_are_kept(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    stage(ledger, &[1, 2]).await;
    create(ledger, filed(3, &[2, 1])).await;
    assert_eq!(files(ledger, 3).await, [2, 1]);
    assert_eq!(staged(ledger).await, Vec::<u64>::new());
}
