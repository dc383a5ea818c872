//! Uploads and parts: tokens, replacement, completion, expiry.

use icefield_protocol::PartSize;

use super::fixtures::{
    MIB, V, apply_one, archive, at, create, delete, extent, filed, files, part, put_parts, small,
    stage, staged, token, upload_row, upload_state, with_vault,
};
use crate::{
    entry::{ArchiveEntry, ArchiveNumber, Entry, Outcome, UploadNumber, VaultNumber},
    ledger::{Ledger, Stored, UploadRow, UploadState},
};

const U: UploadNumber = UploadNumber(20);

fn of_upload(number: u64, files: &[u64]) -> ArchiveEntry {
    ArchiveEntry { upload: Some(U), ..filed(number, files) }
}

async fn with_parts(ledger: &dyn Ledger, files: &[u64]) {
    with_vault(ledger).await;
    ledger.create_upload(upload_row(U.0)).await.unwrap();
    put_parts(ledger, U.0, files).await;
}

async fn part_count(ledger: &dyn Ledger) -> usize {
    ledger.parts(U, 0, usize::MAX).await.unwrap().len()
}

pub(super) async fn an_upload_is_created_once_for_a_token(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    let with_token = |number| UploadRow { token: Some(token(1)), ..upload_row(number) };
    let first = ledger.create_upload(with_token(20)).await.unwrap();
    assert_eq!(first, with_token(20));
    assert_eq!(ledger.upload(U).await.unwrap(), Some(first.clone()));
    assert_eq!(ledger.create_upload(with_token(21)).await.unwrap(), first);
    assert_eq!(ledger.upload(UploadNumber(21)).await.unwrap(), None);
    let elsewhere = UploadRow { vault: VaultNumber(2), ..with_token(22) };
    assert_eq!(ledger.create_upload(elsewhere.clone()).await.unwrap(), elsewhere);
    ledger.abort_upload(U, at(3)).await.unwrap();
    let again = ledger.create_upload(with_token(23)).await.unwrap();
    assert_eq!((again.number, again.state), (U, UploadState::Aborted));
    for number in [24, 25] {
        assert_eq!(ledger.create_upload(upload_row(number)).await.unwrap().number.0, number);
    }
}

pub(super) async fn uploads_in_progress_are_listed_by_number(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    for number in 20..26 {
        ledger.create_upload(upload_row(number)).await.unwrap();
    }
    let elsewhere = UploadRow { vault: VaultNumber(2), ..upload_row(26) };
    ledger.create_upload(elsewhere).await.unwrap();
    ledger.abort_upload(UploadNumber(22), at(1)).await.unwrap();
    create(ledger, ArchiveEntry { upload: Some(UploadNumber(23)), ..small(3) }).await;
    let list = async |from: Option<u64>, limit| {
        let rows = ledger.uploads(V, from.map(UploadNumber), limit).await.unwrap();
        rows.iter().map(|row| row.number.0).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 99).await, [20, 21, 24, 25]);
    assert_eq!(list(Some(21), 2).await, [21, 24]);
    assert_eq!(list(Some(22), 99).await, [24, 25], "the key itself need not exist any more");
    assert_eq!(list(Some(26), 99).await, Vec::<u64>::new());
}

pub(super) async fn a_part_replaces_the_one_of_its_index(ledger: &dyn Ledger) {
    with_parts(ledger, &[1, 2]).await;
    assert_eq!(staged(ledger).await, Vec::<u64>::new());
    stage(ledger, &[3]).await;
    assert!(ledger.put_part(U, part(1, 3), at(7)).await.unwrap());
    assert_eq!(staged(ledger).await, [2]);
    assert_eq!(ledger.parts(U, 0, 9).await.unwrap(), [part(0, 1), part(1, 3)]);
    assert_eq!(ledger.upload(U).await.unwrap().unwrap().touched, at(7));
    assert!(ledger.put_part(U, part(1, 3), at(8)).await.unwrap());
    assert_eq!(staged(ledger).await, [2], "the same file again is no other file");
}

pub(super) async fn a_part_of_an_ended_upload_is_refused_and_stays_staged(ledger: &dyn Ledger) {
    with_parts(ledger, &[1, 2]).await;
    stage(ledger, &[3]).await;
    assert!(!ledger.put_part(UploadNumber(99), part(0, 3), at(2)).await.unwrap());
    create(ledger, of_upload(5, &[1, 2])).await;
    assert!(!ledger.put_part(U, part(0, 3), at(9)).await.unwrap());
    assert_eq!(staged(ledger).await, [3]);
    assert!(!ledger.put_part(U, part(0, 1), at(9)).await.unwrap());
    assert_eq!(staged(ledger).await, [3], "what an archive uses is not staged by a late repeat");
    assert_eq!(files(ledger, 5).await, [1, 2]);
    assert_eq!(ledger.upload(U).await.unwrap().unwrap().touched, at(5));
}

pub(super) async fn parts_are_listed_by_index(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    ledger.create_upload(upload_row(U.0)).await.unwrap();
    for index in [7, 0, 9_999, 3] {
        stage(ledger, &[u64::from(index) + 100]).await;
        let put = ledger.put_part(U, part(index, u64::from(index) + 100), at(1)).await;
        assert!(put.unwrap());
    }
    let list = async |from, limit| {
        let rows = ledger.parts(U, from, limit).await.unwrap();
        rows.iter().map(|part| part.index).collect::<Vec<_>>()
    };
    assert_eq!(list(0, 9).await, [0, 3, 7, 9_999]);
    assert_eq!(list(3, 2).await, [3, 7]);
    assert_eq!(list(4, 1).await, [7]);
    assert_eq!(list(u32::MAX, 9).await, Vec::<u32>::new());
}

pub(super) async fn an_abort_stages_the_parts_and_happens_once(ledger: &dyn Ledger) {
    with_parts(ledger, &[1, 2]).await;
    assert_eq!(ledger.abort_upload(UploadNumber(99), at(3)).await.unwrap(), None);
    let before = ledger.abort_upload(U, at(3)).await.unwrap();
    assert_eq!(before, Some(UploadState::InProgress));
    assert_eq!(staged(ledger).await, [1, 2]);
    assert_eq!(part_count(ledger).await, 0);
    assert_eq!(ledger.abort_upload(U, at(4)).await.unwrap(), Some(UploadState::Aborted));
    let row = ledger.upload(U).await.unwrap().unwrap();
    assert_eq!((row.state, row.touched), (UploadState::Aborted, at(3)));
    ledger.create_upload(upload_row(21)).await.unwrap();
    create(ledger, ArchiveEntry { upload: Some(UploadNumber(21)), ..filed(5, &[8, 9]) }).await;
    let completed = UploadState::Completed(ArchiveNumber(5));
    assert_eq!(ledger.abort_upload(UploadNumber(21), at(9)).await.unwrap(), Some(completed));
    assert_eq!(files(ledger, 5).await, [8, 9]);
}

pub(super) async fn completing_takes_over_the_parts_and_stages_the_others(ledger: &dyn Ledger) {
    with_parts(ledger, &[1, 2, 3]).await;
    stage(ledger, &[4]).await;
    // Between the decision to complete and the entry, part 1 was sent again, and so was part 2.
    let entry = of_upload(5, &[1, 4]);
    create(ledger, entry).await;
    assert_eq!(files(ledger, 5).await, [1, 4]);
    assert_eq!(archive(ledger, 5).await.unwrap().stored, Stored::Parts(U));
    assert_eq!(staged(ledger).await, [2, 3]);
    let row = ledger.upload(U).await.unwrap().unwrap();
    let completed = UploadState::Completed(ArchiveNumber(5));
    assert_eq!((row.state, row.touched), (completed, at(5)));
    assert_eq!(ledger.uploads(V, None, 9).await.unwrap(), []);
}

pub(super) async fn ten_thousand_parts_become_an_archive(ledger: &dyn Ledger) {
    let numbers: Vec<u64> = (100..10_100).collect();
    with_vault(ledger).await;
    ledger.create_upload(upload_row(U.0)).await.unwrap();
    stage(ledger, &numbers).await;
    let puts =
        (0..).zip(&numbers).map(|(index, file)| ledger.put_part(U, part(index, *file), at(1)));
    for put in futures_util::future::join_all(puts).await {
        assert!(put.unwrap());
    }
    create(ledger, of_upload(50, &numbers)).await;
    assert_eq!(files(ledger, 50).await, numbers);
    assert_eq!(staged(ledger).await, Vec::<u64>::new());
    delete(ledger, 50).await;
    assert_eq!(ledger.purge(1).await.unwrap(), 1);
    assert_eq!(staged(ledger).await, numbers);
}

pub(super) async fn an_upload_becomes_one_archive(ledger: &dyn Ledger) {
    with_parts(ledger, &[1, 2]).await;
    create(ledger, of_upload(5, &[1, 2])).await;
    stage(ledger, &[3]).await;
    let repeat = Outcome::Repeat(ArchiveNumber(5));
    let again = |number, files: &[u64]| Entry::ArchiveCreated(of_upload(number, files));
    assert_eq!(apply_one(ledger, again(6, &[1, 2])).await, repeat);
    assert_eq!(staged(ledger).await, [3]);
    assert_eq!(apply_one(ledger, again(7, &[1, 3])).await, repeat);
    assert_eq!(staged(ledger).await, [3]);
    assert_eq!(files(ledger, 5).await, [1, 2]);
    assert_eq!(upload_state(ledger, U.0).await, Some(UploadState::Completed(ArchiveNumber(5))));
}

pub(super) async fn an_upload_of_one_part_gives_its_file_to_the_archive(ledger: &dyn Ledger) {
    with_parts(ledger, &[1, 2]).await;
    create(ledger, of_upload(5, &[1])).await;
    assert_eq!(archive(ledger, 5).await.unwrap().stored, Stored::File(extent(1).payload));
    assert_eq!(files(ledger, 5).await, [1]);
    assert_eq!(staged(ledger).await, [2]);
    assert_eq!(part_count(ledger).await, 0);
    assert_eq!(upload_state(ledger, U.0).await, Some(UploadState::Completed(ArchiveNumber(5))));
}

pub(super) async fn a_repeat_by_token_ends_its_upload_too(ledger: &dyn Ledger) {
    with_parts(ledger, &[1, 2]).await;
    create(ledger, ArchiveEntry { token: Some(token(1)), ..small(5) }).await;
    let entry = ArchiveEntry { token: Some(token(1)), ..of_upload(6, &[1, 2]) };
    let repeat = Outcome::Repeat(ArchiveNumber(5));
    assert_eq!(apply_one(ledger, Entry::ArchiveCreated(entry)).await, repeat);
    assert_eq!(staged(ledger).await, [1, 2]);
    assert_eq!(part_count(ledger).await, 0);
    assert_eq!(upload_state(ledger, U.0).await, Some(UploadState::Completed(ArchiveNumber(5))));
    let without_token = Entry::ArchiveCreated(of_upload(7, &[1, 2]));
    assert_eq!(apply_one(ledger, without_token).await, repeat);
}

pub(super) async fn a_replayed_archive_gets_its_upload_and_parts_again(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    let entry = ArchiveEntry { token: Some(token(1)), ..of_upload(5, &[1, 2, 3]) };
    create(ledger, entry.clone()).await;
    assert_eq!(files(ledger, 5).await, [1, 2, 3]);
    assert_eq!(staged(ledger).await, Vec::<u64>::new());
    let row = ledger.upload(U).await.unwrap().unwrap();
    assert_eq!((row.vault, row.part_size), (V, PartSize::new(MIB).unwrap()));
    let completed = UploadState::Completed(ArchiveNumber(5));
    assert_eq!((row.state, row.created, row.touched), (completed, at(5), at(5)));
    let initiated = UploadRow { token: Some(token(1)), ..upload_row(21) };
    assert_eq!(ledger.create_upload(initiated).await.unwrap(), row);
    let repeat = Outcome::Repeat(ArchiveNumber(5));
    let by_token = ArchiveEntry { token: Some(token(1)), ..small(6) };
    assert_eq!(apply_one(ledger, Entry::ArchiveCreated(by_token)).await, repeat);
    let by_upload = of_upload(7, &[1, 2, 3]);
    assert_eq!(apply_one(ledger, Entry::ArchiveCreated(by_upload)).await, repeat);
    assert_eq!(staged(ledger).await, Vec::<u64>::new());
}

pub(super) async fn the_log_completes_even_an_aborted_upload(ledger: &dyn Ledger) {
    with_parts(ledger, &[1, 2]).await;
    ledger.abort_upload(U, at(3)).await.unwrap();
    create(ledger, of_upload(5, &[1, 2])).await;
    assert_eq!(files(ledger, 5).await, [1, 2]);
    assert_eq!(staged(ledger).await, Vec::<u64>::new());
    assert_eq!(upload_state(ledger, U.0).await, Some(UploadState::Completed(ArchiveNumber(5))));
}

pub(super) async fn uploads_expire_by_their_last_touch(ledger: &dyn Ledger) {
    with_parts(ledger, &[1]).await; // touched by its part, at 1
    for number in [21, 22, 23] {
        let row = UploadRow { touched: at(2), ..upload_row(number) };
        ledger.create_upload(row).await.unwrap();
    }
    put_parts(ledger, 22, &[4, 5]).await;
    let of_22 = ArchiveEntry { upload: Some(UploadNumber(22)), ..filed(8, &[4, 5]) };
    create(ledger, of_22).await; // ended at 8
    ledger.abort_upload(UploadNumber(23), at(9)).await.unwrap();
    assert_eq!(ledger.expire_uploads(at(1), at(8)).await.unwrap(), 0);
    assert_eq!(ledger.expire_uploads(at(2), at(8)).await.unwrap(), 1);
    assert_eq!(upload_state(ledger, U.0).await, None);
    assert_eq!(staged(ledger).await, [1]);
    assert_eq!(upload_state(ledger, 21).await, Some(UploadState::InProgress));
    assert_eq!(ledger.expire_uploads(at(2), at(9)).await.unwrap(), 1);
    assert_eq!(upload_state(ledger, 22).await, None);
    assert_eq!(ledger.expire_uploads(at(99), at(99)).await.unwrap(), 2);
    assert_eq!((upload_state(ledger, 21).await, upload_state(ledger, 23).await), (None, None));
    assert_eq!(files(ledger, 8).await, [4, 5], "parts stay with their archive");
    assert_eq!(staged(ledger).await, [1]);
    delete(ledger, 8).await;
    ledger.purge(9).await.unwrap();
    assert_eq!(staged(ledger).await, [1, 4, 5]);
}

pub(super) async fn uploads_in_progress_are_counted_up_to_a_limit(ledger: &dyn Ledger) {
    let count = async |most| ledger.count_uploads(V, most).await.unwrap();
    assert_eq!(count(9).await, 0);
    with_parts(ledger, &[1]).await;
    for number in [21, 22, 23] {
        ledger.create_upload(upload_row(number)).await.unwrap();
    }
    let elsewhere = UploadRow { vault: VaultNumber(2), ..upload_row(24) };
    ledger.create_upload(elsewhere).await.unwrap();
    assert_eq!((count(9).await, count(4).await, count(3).await), (4, 4, 3));
    ledger.abort_upload(UploadNumber(22), at(9)).await.unwrap();
    create(ledger, of_upload(5, &[1])).await;
    assert_eq!(count(9).await, 2, "only those in progress");
}

pub(super) async fn an_upload_is_found_by_its_token(ledger: &dyn Ledger) {
    let find = async |vault, n| {
        let row = ledger.upload_by_token(vault, token(n)).await.unwrap();
        row.map(|row| row.number.0)
    };
    let row = UploadRow { token: Some(token(1)), ..upload_row(21) };
    ledger.create_upload(row).await.unwrap();
    ledger.create_upload(upload_row(22)).await.unwrap();
    assert_eq!(find(V, 1).await, Some(21));
    assert_eq!((find(V, 2).await, find(VaultNumber(2), 1).await), (None, None));
    ledger.abort_upload(UploadNumber(21), at(9)).await.unwrap();
    assert_eq!(find(V, 1).await, Some(21), "in any state");
}

pub(super) async fn a_forgotten_upload_still_becomes_one_archive(ledger: &dyn Ledger) {
    with_parts(ledger, &[1, 2]).await;
    create(ledger, of_upload(5, &[1, 2])).await;
    assert_eq!(ledger.expire_uploads(at(99), at(99)).await.unwrap(), 1);
    let again = Entry::ArchiveCreated(of_upload(6, &[1, 2]));
    assert_eq!(apply_one(ledger, again.clone()).await, Outcome::Repeat(ArchiveNumber(5)));
    delete(ledger, 5).await;
    assert_eq!(ledger.purge(9).await.unwrap(), 1);
    assert_eq!(apply_one(ledger, again).await, Outcome::Repeat(ArchiveNumber(5)));
    assert_eq!(staged(ledger).await, [1, 2]);
}
