//! Archives of a single request.

use bytes::Bytes;
use icefield_engine::{EngineError, NewArchive, Settings};
use icefield_protocol::{ArchiveId, ByteRange, ErrorCode};
use icefield_treehash::LinearHash;

use crate::world::{MIB, World, archive_job, assert_refused, bytes, name, token, tree_hash};

fn new(size: u64) -> NewArchive {
    NewArchive { description: None, token: None, size, linear: true }
}

#[tokio::test]
async fn what_was_stored_comes_back_in_every_length_around_the_borders() {
    let world = World::new().await;
    for size in [1, 2, MIB - 1, MIB, MIB + 1, 2 * MIB, 5 * MIB + 7] {
        let whole = bytes(size, size);
        let stored = world.put(&whole).await;
        assert_eq!((stored.size, stored.tree_hash), (size, tree_hash(&whole)));
        let job = world.retrieve(&stored.id, None).await;
        assert!(world.output(&job, None).await.unwrap() == whole, "{size} bytes");
    }
}

#[tokio::test]
async fn small_archives_take_no_file_and_large_ones_exactly_one() {
    let world = World::new().await;
    world.put(&bytes(1, MIB - 1)).await;
    let (_, files) = world.engine.store().payload().used_bytes().await.unwrap();
    assert_eq!(files, 0);
    world.put(&bytes(2, MIB)).await;
    let (_, files) = world.engine.store().payload().used_bytes().await.unwrap();
    assert!(files >= MIB);
    assert!(files < MIB + MIB / 2);
}

#[tokio::test]
async fn a_small_archive_of_several_leaves_is_still_verified_by_leaf() {
    let world =
        World::with(Settings { small_archive_bytes: 8 * MIB, ..Settings::embedded() }).await;
    let whole = bytes(1, 3 * MIB + 5);
    let stored = world.put(&whole).await;
    assert_eq!(world.engine.store().payload().used_bytes().await.unwrap().1, 0);
    let range = ByteRange::new(2 * MIB, 3 * MIB + 4).unwrap();
    let job = world.retrieve(&stored.id, Some(range)).await;
    let description = world.describe(&job).await.unwrap();
    assert_eq!(description.tree_hash, Some(tree_hash(&whole[2 << 20..])));
    assert!(world.output(&job, None).await.unwrap() == whole[2 << 20..]);
}

#[tokio::test]
async fn empty_and_oversized_archives_are_refused_before_the_bytes() {
    let world = World::new().await;
    for size in [0, 4096 * MIB + 1, 38_505_164_800] {
        let refused = world.engine.receive_archive(&world.account, &world.vault, new(size)).await;
        let message = format!("Invalid Content-Length: {size}");
        assert_refused(refused, ErrorCode::InvalidParameterValue, &message);
    }
    let unknown = name("never");
    let refused = world.engine.receive_archive(&world.account, &unknown, new(0)).await;
    let message = format!("Vault not found for ARN: {}", world.arn("never"));
    assert_refused(refused, ErrorCode::ResourceNotFound, &message);
}

#[tokio::test]
async fn a_body_of_another_length_stores_nothing() {
    let world = World::new().await;
    for size in [10, 2 * MIB] {
        for sent in [size - 1, size + 1] {
            let mut receiving = world
                .engine
                .receive_archive(&world.account, &world.vault, new(size))
                .await
                .unwrap();
            let written = receiving.write(bytes(1, sent)).await;
            let refused = match written {
                Ok(()) => receiving.commit(None).await.map(drop),
                Err(error) => Err(error),
            };
            let message = format!("Invalid Content-Length: {size}");
            assert_refused(refused, ErrorCode::InvalidParameterValue, &message);
        }
    }
    let vault = world.engine.describe_vault(&world.account, &world.vault).await.unwrap();
    assert_eq!((vault.number_of_archives, vault.last_inventory_date), (0, None));
}

#[tokio::test]
async fn another_tree_hash_than_expected_stores_nothing() {
    let world = World::new().await;
    for size in [10, 2 * MIB] {
        let whole = bytes(1, size);
        let mut receiving =
            world.engine.receive_archive(&world.account, &world.vault, new(size)).await.unwrap();
        receiving.write(whole.clone()).await.unwrap();
        let (expected, computed) = (tree_hash(b"other"), tree_hash(&whole));
        let message = format!("Checksum mismatch: expected {expected}, computed {computed}");
        let refused = receiving.commit(Some(expected)).await;
        assert_refused(refused, ErrorCode::InvalidParameterValue, &message);
    }
    assert_eq!(world.engine.store().stat().await.unwrap().ledger.archives, 0);
}

#[tokio::test]
async fn both_hashes_are_told_before_anything_is_stored() {
    let world = World::new().await;
    for size in [10, 2 * MIB + 1] {
        let whole = bytes(1, size);
        let mut receiving =
            world.engine.receive_archive(&world.account, &world.vault, new(size)).await.unwrap();
        receiving.write(whole.clone()).await.unwrap();
        let hashed = receiving.finish().await.unwrap();
        assert_eq!(hashed.linear(), Some(LinearHash::of(&whole)));
        assert_eq!(hashed.tree_hash(), tree_hash(&whole));
    }
    assert_eq!(world.engine.store().stat().await.unwrap().ledger.archives, 0);
}

#[tokio::test]
async fn a_put_that_is_dropped_leaves_nothing() {
    let world = World::new().await;
    let mut receiving =
        world.engine.receive_archive(&world.account, &world.vault, new(3 * MIB)).await.unwrap();
    receiving.write(bytes(1, 2 * MIB)).await.unwrap();
    drop(receiving);
    // What was dropped gives its file back in a task of its own.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    world.engine.housekeeping().await.unwrap();
    assert_eq!(world.engine.store().payload().used_bytes().await.unwrap().1, 0);
}

#[tokio::test]
async fn a_repeated_token_is_answered_with_the_first_archive() {
    let world = World::new().await;
    for (seed, size) in [(1, 10), (2, 2 * MIB)] {
        let whole = bytes(size, size);
        let first = world.try_put(&world.vault, &whole, Some(token(seed))).await.unwrap();
        let again = world.try_put(&world.vault, &whole, Some(token(seed))).await.unwrap();
        assert_eq!(first, again);
    }
    assert_eq!(world.engine.store().stat().await.unwrap().ledger.archives, 2);
    let other = name("other");
    world.engine.create_vault(&world.account, &other).await.unwrap();
    world.try_put(&other, &bytes(1, 10), Some(token(1))).await.unwrap();
    assert_eq!(world.engine.store().stat().await.unwrap().ledger.archives, 3, "per vault");
}

/// The repeat was answered with success and the ID of the deleted archive, so that the client noted a file as stored that
/// was not in the vault.
#[tokio::test]
async fn a_token_whose_archive_was_deleted_is_refused() {
    let world = World::new().await;
    for (seed, size) in [(1, 10), (2, 2 * MIB)] {
        let whole = bytes(size, size);
        let first = world.try_put(&world.vault, &whole, Some(token(seed))).await.unwrap();
        // One that began before the deletion.
        let new = NewArchive { token: Some(token(seed + 10)), ..new(size) };
        let World { engine, account, vault, .. } = &world;
        let mut late = engine.receive_archive(account, vault, new).await.unwrap();
        late.write(whole.clone()).await.unwrap();
        let early = world.try_put(vault, &whole, Some(token(seed + 10))).await.unwrap();
        for made in [&first, &early] {
            world.delete(&made.id).await.unwrap();
        }
        let refused = late.commit(None).await;
        assert!(matches!(refused, Err(EngineError::UsedToken(_))), "{refused:?}");
        let refused = world.try_put(vault, &whole, Some(token(seed))).await;
        assert!(matches!(refused, Err(EngineError::UsedToken(_))), "{refused:?}");
        let part = icefield_protocol::PartSize::new(MIB).unwrap();
        let refused = engine.initiate_upload(account, vault, part, None, Some(token(seed))).await;
        assert!(matches!(refused, Err(EngineError::UsedToken(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn two_puts_of_one_token_at_once_make_one_archive() {
    let world = World::new().await;
    let whole = bytes(1, 2 * MIB);
    let put = || async {
        let new = NewArchive { token: Some(token(1)), ..new(whole.len() as u64) };
        let mut receiving =
            world.engine.receive_archive(&world.account, &world.vault, new).await.unwrap();
        receiving.write(whole.clone()).await.unwrap();
        receiving.finish().await.unwrap()
    };
    let (one, other) = (put().await, put().await);
    let (one, other) = futures_util::future::join(one.commit(None), other.commit(None)).await;
    assert_eq!(one.unwrap(), other.unwrap());
    world.engine.housekeeping().await.unwrap();
    let (_, files) = world.engine.store().payload().used_bytes().await.unwrap();
    assert!((2 * MIB..3 * MIB).contains(&files), "the second file is gone: {files}");
}

#[tokio::test]
async fn a_repeat_is_checked_against_the_first_archive() {
    let world = World::new().await;
    let first = world.try_put(&world.vault, &bytes(1, 10), Some(token(1))).await.unwrap();
    let new = NewArchive { token: Some(token(1)), ..new(10) };
    let mut receiving =
        world.engine.receive_archive(&world.account, &world.vault, new).await.unwrap();
    receiving.write(bytes(2, 10)).await.unwrap();
    let hashed = receiving.finish().await.unwrap();
    assert_eq!(hashed.linear(), Some(LinearHash::of(&bytes(2, 10))), "that of what came");
    let refused = hashed.commit(Some(tree_hash(&bytes(2, 10)))).await;
    match refused {
        Err(EngineError::ChecksumMismatch { computed, .. }) => {
            assert_eq!(computed, first.tree_hash);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_whose_archive_is_forgotten_cannot_be_used_again() {
    let world = World::new().await;
    let first = world.try_put(&world.vault, &bytes(1, 10), Some(token(1))).await.unwrap();
    world.delete(&first.id).await.unwrap();
    world.engine.describe_vault(&world.account, &world.vault).await.unwrap();
    world.engine.housekeeping().await.unwrap();
    let refused = world.try_put(&world.vault, &bytes(1, 10), Some(token(1))).await;
    let message =
        format!("The upload token was used for an archive that was deleted since: {}", token(1));
    assert_refused(refused, ErrorCode::InvalidParameterValue, &message);
}

#[tokio::test]
async fn identical_puts_without_a_token_are_two_archives() {
    let world = World::new().await;
    let (one, other) = (world.put(&bytes(1, 10)).await, world.put(&bytes(1, 10)).await);
    assert_ne!(one.id, other.id);
    assert_eq!(one.tree_hash, other.tree_hash);
}

#[tokio::test]
async fn deleting_is_idempotent_and_counts_once() {
    let world = World::new().await;
    let archive = world.put(&bytes(1, 10)).await;
    for _ in 0..3 {
        world.delete(&archive.id).await.unwrap();
    }
    world.engine.housekeeping().await.unwrap();
    world.delete(&archive.id).await.unwrap();
    let row =
        world.engine.store().ledger().vault(&world.account, &world.vault).await.unwrap().unwrap();
    assert_eq!((row.writes, row.archives), (2, 0));
}

#[tokio::test]
async fn ids_that_are_forged_or_of_another_vault_are_told_apart() {
    let world = World::new().await;
    let archive = world.put(&bytes(1, 10)).await;
    let other = name("other");
    world.engine.create_vault(&world.account, &other).await.unwrap();
    let foreign = format!("Invalid vault name: {}", world.arn("other"));
    let refused = world.engine.delete_archive(&world.account, &other, &archive.id).await;
    assert_refused(refused, ErrorCode::InvalidParameterValue, &foreign);
    let job = archive_job(&archive.id, None);
    let refused = world.engine.initiate_job(&world.account, &other, &job).await;
    assert_refused(refused, ErrorCode::InvalidParameterValue, &foreign);

    let mut forged = archive.id.to_string();
    forged.replace_range(70..71, if &forged[70..71] == "x" { "y" } else { "x" });
    for id in [forged.as_str(), "-never", &"A".repeat(138)] {
        let id = ArchiveId::parse(id).unwrap();
        let message = format!("The archive ID was not found: {id}");
        assert_refused(world.delete(&id).await, ErrorCode::ResourceNotFound, &message);
        let refused = world.start(&archive_job(&id, None)).await;
        assert_refused(refused, ErrorCode::ResourceNotFound, &message);
    }
    world.engine.delete_archive(&world.account, &world.vault, &archive.id).await.unwrap();
    let row = world.engine.store().ledger().vault(&world.account, &other).await.unwrap().unwrap();
    assert_eq!(row.writes, 0, "nothing happened in the other vault");
}

/// Clients that stop in the middle keep what they have; others are not kept waiting, and no more memory is taken.
#[tokio::test]
async fn archives_beyond_the_room_in_memory_are_stored_all_the_same() {
    let world = World::new().await;
    let begin = async |size| {
        let receiving = world.engine.receive_archive(&world.account, &world.vault, new(size)).await;
        receiving.unwrap()
    };
    let in_packs = async || world.engine.store().payload().used_bytes().await.unwrap().0;
    let mut stopped = Vec::new();
    // There are 64 MiB of room for small ones, and 96 for those that go into files, six or two for each.
    for size in [vec![MIB - 1; 64], vec![8 * MIB; 8 + 24]].concat() {
        let mut receiving = begin(size).await;
        receiving.write(bytes(1, MIB - 2)).await.unwrap();
        stopped.push(receiving);
    }
    let before = in_packs().await;
    for size in [100_000, 3 * MIB + 5] {
        let body = bytes(2, size);
        let mut receiving = begin(size).await;
        for chunk in body.chunks(70_001) {
            receiving.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        let stored = receiving.commit(Some(tree_hash(&body))).await.unwrap();
        assert_eq!(stored.linear, Some(LinearHash::of(&body)));
        let job = world.retrieve(&stored.id, None).await;
        assert!(world.output(&job, None).await.unwrap() == body);
    }
    assert!(in_packs().await < before + 100_000, "the small one lies in a file, too");
    drop(stopped);
    world.put(&bytes(3, 100_000)).await;
    assert!(in_packs().await > before + 100_000, "there is room again");
}

/// Files were collected by the MiB, and nothing counted what all uploads that stop in the middle have collected.
#[tokio::test]
async fn what_is_collected_for_files_is_bounded_over_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::in_folder(dir.path()).await;
    let written = async || world.engine.store().payload().used_bytes().await.unwrap().1;
    let whole = bytes(1, 8 * MIB);
    let most = usize::try_from(MIB).unwrap() - 1;
    let upload = world.initiate().await;
    let mut archives = Vec::new();
    let mut parts = Vec::new();
    // 96 MiB: eight times six for those that write ahead, and 24 times two.
    for _ in 0..34 {
        let receiving =
            world.engine.receive_archive(&world.account, &world.vault, new(8 * MIB)).await;
        let mut receiving = receiving.unwrap();
        receiving.write(whole.slice(..most)).await.unwrap();
        archives.push(receiving);
    }
    assert_eq!(written().await, 2 * (MIB - 1), "the others have room");
    let range = ByteRange::new(0, MIB - 1).unwrap();
    for _ in 0..2 {
        let part =
            world.engine.receive_part(&world.account, &world.vault, &upload, range, false).await;
        let mut part = part.unwrap();
        part.write(whole.slice(..most)).await.unwrap();
        parts.push(part);
    }
    assert_eq!(written().await, 4 * (MIB - 1));
    for mut receiving in [archives.pop().unwrap(), archives.remove(0)] {
        for rest in whole.slice(most..).chunks(300_007) {
            receiving.write(Bytes::copy_from_slice(rest)).await.unwrap();
        }
        let stored = receiving.commit(Some(tree_hash(&whole))).await.unwrap();
        let job = world.retrieve(&stored.id, None).await;
        assert!(world.output(&job, None).await.unwrap() == whole);
    }
    let mut part = parts.pop().unwrap();
    part.write(whole.slice(most..=most)).await.unwrap();
    let first = tree_hash(&whole.slice(..=most));
    assert_eq!(part.commit(Some(first)).await.unwrap(), first);
}

/// An output cannot be verified with less than a MiB, so slow receivers took as many as there were connections.
#[tokio::test]
async fn a_part_of_a_few_bytes_takes_the_room_of_the_leaf_that_it_is_put_together_in() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::in_folder(dir.path()).await;
    let written = async || world.engine.store().payload().used_bytes().await.unwrap().1;
    let upload = world.initiate().await;
    let range = ByteRange::new(0, 1).unwrap();
    let mut parts = Vec::new();
    for _ in 0..97 {
        let part =
            world.engine.receive_part(&world.account, &world.vault, &upload, range, false).await;
        let mut part = part.unwrap();
        part.write(Bytes::from_static(b"1")).await.unwrap();
        parts.push(part);
    }
    assert_eq!(written().await, 1, "the last one has no room");
    for mut part in [parts.pop().unwrap(), parts.remove(0)] {
        part.write(Bytes::from_static(b"2")).await.unwrap();
        part.commit(Some(tree_hash(b"12"))).await.unwrap();
    }
}

#[tokio::test]
async fn outputs_beyond_the_room_for_all_of_them_are_to_be_asked_for_again() {
    let world = World::new().await;
    let body = bytes(1, 3 * MIB);
    let stored = world.put(&body).await;
    let job = world.retrieve(&stored.id, None).await;
    let begin = async || world.engine.job_output(&world.account, &world.vault, &job, None).await;
    let mut slow = Vec::new();
    // 256 MiB, and two for each.
    for _ in 0..128 {
        slow.push(begin().await.unwrap());
    }
    assert_refused(begin().await, ErrorCode::Throttling, "Rate exceeded");
    drop(slow.pop());
    assert!(world.output(&job, None).await.unwrap() == body);
    assert!(world.output(&job, None).await.unwrap() == body, "what has ended needs nothing");
}

#[tokio::test]
async fn outputs_beyond_the_room_for_reading_ahead_come_all_the_same() {
    let world = World::new().await;
    let body = bytes(1, 6 * MIB + 3);
    let stored = world.put(&body).await;
    let job = world.retrieve(&stored.id, None).await;
    let mut slow = Vec::new();
    // 96 MiB: what is as long as the whole for eight, and four for each of the others.
    for _ in 0..24 {
        let mut output =
            world.engine.job_output(&world.account, &world.vault, &job, None).await.unwrap();
        output.reader.next().await.unwrap().unwrap();
        slow.push(output);
    }
    let last = slow.last().unwrap();
    assert!(format!("{:?}", last.reader).contains("reads_ahead: false"), "{last:?}");
    assert!(format!("{:?}", slow[0].reader).contains("reads_ahead: true"));
    assert!(world.output(&job, None).await.unwrap() == body);
    slow.clear();
    let output = world.engine.job_output(&world.account, &world.vault, &job, None).await.unwrap();
    assert!(format!("{:?}", output.reader).contains("reads_ahead: true"));
}
