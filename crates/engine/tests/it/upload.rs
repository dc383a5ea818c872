//! Multipart uploads.

use bytes::Bytes;
use futures_util::future::{join, join_all, poll_immediate};
use icefield_engine::{EngineError, Settings};
use icefield_protocol::{ByteRange, ErrorCode, PartSize, UploadId};

use crate::world::{HOUR, MIB, START, World, assert_refused, bytes, name, token, tree_hash};

const INVALID: ErrorCode = ErrorCode::InvalidParameterValue;

fn not_found(upload: &UploadId) -> String {
    format!("The upload ID was not found: {upload}")
}

/// An upload with all parts of `whole`, sent from the last to the first.
async fn uploaded(world: &World, whole: &Bytes) -> UploadId {
    let upload = world.initiate().await;
    for index in (0..(whole.len() as u64).div_ceil(MIB)).rev() {
        world.part(&upload, index, &part_of(whole, index)).await.unwrap();
    }
    upload
}

fn part_of(whole: &Bytes, index: u64) -> Bytes {
    let first = usize::try_from(index * MIB).unwrap();
    whole.slice(first..whole.len().min(first + (1 << 20)))
}

#[tokio::test]
async fn parts_in_any_order_become_the_archive() {
    let world = World::new().await;
    for size in [1, MIB, MIB + 1, 4 * MIB, 4 * MIB + 9] {
        let whole = bytes(size, size);
        let upload = uploaded(&world, &whole).await;
        let archive = world.complete(&upload, &whole).await.unwrap();
        let job = world.retrieve(&archive, None).await;
        assert!(world.output(&job, None).await.unwrap() == whole);
        assert_eq!(world.describe(&job).await.unwrap().tree_hash, Some(tree_hash(&whole)));
    }
}

#[tokio::test]
async fn receive_part_rejects_ranges_that_are_no_part() {
    let world = World::new().await;
    let upload = world.initiate().await;
    for (first, last) in [
        (1, MIB),
        (0, MIB),
        (MIB / 2, MIB - 1),
        (10_000 * MIB, 10_000 * MIB),
        (u64::MAX - 1, u64::MAX),
    ] {
        let range = ByteRange::new(first, last).unwrap();
        let refused =
            world.engine.receive_part(&world.account, &world.vault, &upload, range, false).await;
        let message = format!("Invalid Content-Range: bytes {first}-{last}/*");
        assert_refused(refused, INVALID, &message);
    }
}

#[tokio::test]
async fn a_part_of_another_length_than_its_range_changes_nothing() {
    let world = World::new().await;
    let upload = world.initiate().await;
    world.part(&upload, 0, &bytes(1, 10)).await.unwrap();
    for sent in [9, 11] {
        let range = ByteRange::new(0, 9).unwrap();
        let mut part = world
            .engine
            .receive_part(&world.account, &world.vault, &upload, range, false)
            .await
            .unwrap();
        let refused = match part.write(bytes(2, sent)).await {
            Ok(()) => part.commit(None).await.map(drop),
            Err(error) => Err(error),
        };
        let message =
            format!("Content-Range: bytes 0-9/* is incompatible with Content-Length: {sent}");
        assert_refused(refused, INVALID, &message);
    }
    world.complete(&upload, &bytes(1, 10)).await.unwrap();
}

#[tokio::test]
async fn a_part_with_another_tree_hash_leaves_the_old_one() {
    let world = World::new().await;
    let upload = world.initiate().await;
    world.part(&upload, 0, &bytes(1, 10)).await.unwrap();
    let range = ByteRange::new(0, 9).unwrap();
    let mut part = world
        .engine
        .receive_part(&world.account, &world.vault, &upload, range, true)
        .await
        .unwrap();
    part.write(bytes(2, 10)).await.unwrap();
    let (expected, computed) = (tree_hash(b""), tree_hash(&bytes(2, 10)));
    let message = format!("Checksum mismatch: expected {expected}, computed {computed}");
    assert_refused(part.commit(Some(expected)).await, INVALID, &message);
    world.complete(&upload, &bytes(1, 10)).await.unwrap();
}

#[tokio::test]
async fn a_part_that_is_sent_again_replaces_the_first_also_in_another_length() {
    let world = World::new().await;
    let upload = world.initiate().await;
    world.part(&upload, 0, &bytes(1, MIB)).await.unwrap();
    world.part(&upload, 0, &bytes(2, 10)).await.unwrap();
    world.complete(&upload, &bytes(2, 10)).await.unwrap();
    world.engine.housekeeping().await.unwrap();
    let (_, files) = world.engine.store().payload().used_bytes().await.unwrap();
    assert!(files < MIB, "the first file is gone: {files}");
}

#[tokio::test]
async fn complete_upload_rejects_a_gap_between_parts() {
    let world = World::new().await;
    let whole = bytes(1, 3 * MIB);
    let upload = world.initiate().await;
    let missing = |from: u64| format!("Missing content range in multipart upload: {from}");
    assert_refused(world.complete(&upload, &whole).await, INVALID, &missing(0));
    world.part(&upload, 2, &part_of(&whole, 2)).await.unwrap();
    assert_refused(world.complete(&upload, &whole).await, INVALID, &missing(0));
    world.part(&upload, 0, &bytes(9, 10)).await.unwrap();
    assert_refused(world.complete(&upload, &whole).await, INVALID, &missing(10));
    world.part(&upload, 0, &part_of(&whole, 0)).await.unwrap();
    assert_refused(world.complete(&upload, &whole).await, INVALID, &missing(MIB));
    world.part(&upload, 1, &bytes(9, 10)).await.unwrap();
    assert_refused(world.complete(&upload, &whole).await, INVALID, &missing(MIB + 10));
    world.part(&upload, 1, &part_of(&whole, 1)).await.unwrap();
    world.complete(&upload, &whole).await.unwrap();
}

#[tokio::test]
async fn complete_upload_checks_the_size_before_the_tree_hash() {
    let world = World::new().await;
    let whole = bytes(1, 2 * MIB);
    let upload = uploaded(&world, &whole).await;
    let complete = async |size, hash| {
        world.engine.complete_upload(&world.account, &world.vault, &upload, size, hash).await
    };
    let (size, wrong) = (2 * MIB, tree_hash(b""));
    for other in [0, size - 1, size + 1, MIB] {
        let message = format!("Invalid x-amz-archive-size: {other}");
        assert_refused(complete(other, wrong).await, INVALID, &message);
    }
    let message = format!("Invalid x-amz-sha256-tree-hash: {wrong}");
    assert_refused(complete(size, wrong).await, INVALID, &message);
    complete(size, tree_hash(&whole)).await.unwrap();
}

#[tokio::test]
async fn a_repeated_complete_gets_the_same_id_for_a_day() {
    let world = World::new().await;
    let whole = bytes(1, 2 * MIB);
    let upload = uploaded(&world, &whole).await;
    let archive = world.complete(&upload, &whole).await.unwrap();
    assert_eq!(world.complete(&upload, &whole).await.unwrap(), archive);
    let other = world.complete(&upload, &bytes(2, 2 * MIB)).await;
    assert!(matches!(other, Err(EngineError::InvalidTreeHash(_))));
    let other = world.complete(&upload, &bytes(1, MIB)).await;
    assert!(matches!(other, Err(EngineError::InvalidArchiveSize(_))));

    world.delete(&archive).await.unwrap();
    assert_eq!(world.complete(&upload, &whole).await.unwrap(), archive, "deleted");
    world.engine.describe_vault(&world.account, &world.vault).await.unwrap();
    world.engine.housekeeping().await.unwrap();
    assert_eq!(world.complete(&upload, &whole).await.unwrap(), archive, "and forgotten");
    world.clock.advance(24 * HOUR);
    let refused = world.complete(&upload, &whole).await;
    assert_refused(refused, ErrorCode::ResourceNotFound, &not_found(&upload));
}

#[tokio::test]
async fn two_completes_at_once_make_one_archive() {
    let world = World::new().await;
    let whole = bytes(1, 2 * MIB);
    let upload = uploaded(&world, &whole).await;
    let ids = join_all((0..8).map(|_| world.complete(&upload, &whole))).await;
    let first = ids[0].as_ref().unwrap().clone();
    assert!(ids.into_iter().all(|id| id.unwrap() == first));
    assert_eq!(world.engine.store().stat().await.unwrap().ledger.archives, 1);
}

#[tokio::test]
async fn a_part_that_races_with_complete_changes_no_archive() {
    let world = World::new().await;
    for seed in 0..20 {
        let whole = bytes(seed, 10);
        let upload = uploaded(&world, &whole).await;
        let other = bytes(99, 10);
        let (part, archive) =
            join(world.part(&upload, 0, &other), world.complete(&upload, &whole)).await;
        let archive = match (part, archive) {
            (Err(EngineError::UploadNotFound(_)), Ok(archive)) => archive,
            (Ok(_), Err(EngineError::InvalidTreeHash(_))) => continue,
            other => panic!("{other:?}"),
        };
        let job = world.retrieve(&archive, None).await;
        assert_eq!(world.output(&job, None).await.unwrap(), whole);
    }
}

#[tokio::test]
async fn a_complete_that_is_dropped_after_it_has_begun_runs_to_its_end() {
    let world = World::new().await;
    let whole = bytes(1, 2 * MIB);
    for polls in 0..8 {
        let upload = uploaded(&world, &whole).await;
        let mut complete = Box::pin(world.complete(&upload, &whole));
        for _ in 0..polls {
            if poll_immediate(&mut complete).await.is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(complete);
        let aborted = world.engine.abort_upload(&world.account, &world.vault, &upload).await;
        assert_eq!(aborted.is_ok(), polls == 0, "{polls} polls");
        world.engine.housekeeping().await.unwrap();
        if polls > 0 {
            let archive = world.complete(&upload, &whole).await.unwrap();
            let job = world.retrieve(&archive, None).await;
            assert!(world.output(&job, None).await.unwrap() == whole);
        }
    }
}

#[tokio::test]
async fn abort_is_idempotent_for_a_day_and_ends_everything_else() {
    let world = World::new().await;
    let whole = bytes(1, 10);
    let upload = uploaded(&world, &whole).await;
    let abort = async || world.engine.abort_upload(&world.account, &world.vault, &upload).await;
    abort().await.unwrap();
    abort().await.unwrap();
    let gone = not_found(&upload);
    assert_refused(world.complete(&upload, &whole).await, ErrorCode::ResourceNotFound, &gone);
    assert_refused(world.part(&upload, 0, &whole).await, ErrorCode::ResourceNotFound, &gone);
    let list = world.engine.list_parts(&world.account, &world.vault, &upload, None, None).await;
    assert_refused(list, ErrorCode::ResourceNotFound, &gone);
    world.clock.advance(24 * HOUR);
    assert_refused(abort().await, ErrorCode::ResourceNotFound, &gone);
    world.engine.housekeeping().await.unwrap();
    assert_eq!(world.engine.store().payload().used_bytes().await.unwrap().1, 0);
}

#[tokio::test]
async fn a_completed_upload_takes_no_parts_and_cannot_be_aborted() {
    let world = World::new().await;
    let whole = bytes(1, 10);
    let upload = uploaded(&world, &whole).await;
    world.complete(&upload, &whole).await.unwrap();
    let gone = not_found(&upload);
    let abort = world.engine.abort_upload(&world.account, &world.vault, &upload).await;
    assert_refused(abort, ErrorCode::ResourceNotFound, &gone);
    assert_refused(world.part(&upload, 0, &whole).await, ErrorCode::ResourceNotFound, &gone);
    let list = world.engine.list_parts(&world.account, &world.vault, &upload, None, None).await;
    assert_refused(list, ErrorCode::ResourceNotFound, &gone);
    let uploads = world.engine.list_uploads(&world.account, &world.vault, None, None).await;
    assert_eq!(uploads.unwrap().items, []);
}

#[tokio::test]
async fn an_upload_id_of_another_vault_is_unknown_and_the_upload_untouched() {
    let world = World::new().await;
    let whole = bytes(1, 10);
    let upload = uploaded(&world, &whole).await;
    let other = name("other");
    world.engine.create_vault(&world.account, &other).await.unwrap();
    let (engine, account) = (&world.engine, &world.account);
    let gone = not_found(&upload);
    let refused = [
        engine.abort_upload(account, &other, &upload).await,
        engine.complete_upload(account, &other, &upload, 10, tree_hash(&whole)).await.map(drop),
        engine
            .receive_part(account, &other, &upload, ByteRange::new(0, 9).unwrap(), false)
            .await
            .map(drop),
        engine.list_parts(account, &other, &upload, None, None).await.map(drop),
    ];
    for refused in refused {
        assert_refused(refused, ErrorCode::ResourceNotFound, &gone);
    }
    world.complete(&upload, &whole).await.unwrap();
}

#[tokio::test]
async fn an_idle_upload_expires_and_every_part_keeps_it_alive() {
    let world = World::new().await;
    let whole = bytes(1, 10);
    let upload = world.initiate().await;
    world.clock.advance(6 * 24 * HOUR);
    world.part(&upload, 0, &whole).await.unwrap();
    world.clock.advance(6 * 24 * HOUR);
    world.engine.housekeeping().await.unwrap();
    let listed = async || {
        world
            .engine
            .list_uploads(&world.account, &world.vault, None, None)
            .await
            .unwrap()
            .items
            .len()
    };
    assert_eq!(listed().await, 1);
    world.clock.advance(24 * HOUR);
    assert_eq!(listed().await, 0, "before any housekeeping");
    let gone = not_found(&upload);
    assert_refused(world.complete(&upload, &whole).await, ErrorCode::ResourceNotFound, &gone);
    world.engine.housekeeping().await.unwrap();
    assert_refused(world.complete(&upload, &whole).await, ErrorCode::ResourceNotFound, &gone);
    assert_eq!(world.engine.store().payload().used_bytes().await.unwrap().1, 0);
}

#[tokio::test]
async fn a_token_finds_its_upload_until_that_has_expired() {
    let world = World::new().await;
    let size = PartSize::new(MIB).unwrap();
    let initiate = async || {
        let token = Some(token(1));
        world.engine.initiate_upload(&world.account, &world.vault, size, None, token).await.unwrap()
    };
    let first = initiate().await;
    assert_eq!(initiate().await, first);
    world.clock.advance(7 * 24 * HOUR);
    let second = initiate().await;
    assert_ne!(second, first);
    world.part(&second, 0, &bytes(1, 10)).await.unwrap();
    world.complete(&second, &bytes(1, 10)).await.unwrap();
}

#[tokio::test]
async fn an_upload_whose_token_has_made_an_archive_completes_to_that_one() {
    let world = World::new().await;
    let whole = bytes(1, 2 * MIB);
    let first = world.try_put(&world.vault, &whole, Some(token(1))).await.unwrap();
    let size = PartSize::new(MIB).unwrap();
    let upload = world
        .engine
        .initiate_upload(&world.account, &world.vault, size, None, Some(token(1)))
        .await
        .unwrap();
    for index in 0..2 {
        world.part(&upload, index, &part_of(&whole, index)).await.unwrap();
    }
    assert_eq!(world.complete(&upload, &whole).await.unwrap(), first.id);
    assert_eq!(world.complete(&upload, &whole).await.unwrap(), first.id);
    world.engine.housekeeping().await.unwrap();
    let (_, files) = world.engine.store().payload().used_bytes().await.unwrap();
    assert!(files < 3 * MIB, "the parts are gone: {files}");
}

#[tokio::test]
async fn parts_are_listed_by_offset_in_pages() {
    let world = World::new().await;
    let upload = world.initiate().await;
    for index in [9_999, 7, 0, 3] {
        world.part(&upload, index, &bytes(index, 10 + index)).await.unwrap();
    }
    let list = async |marker: Option<&str>, limit| {
        let (account, vault) = (&world.account, &world.vault);
        let (head, page) = world.engine.list_parts(account, vault, &upload, marker, limit).await?;
        assert_eq!((&head.upload_id, head.part_size.bytes()), (&upload, MIB));
        assert_eq!((head.creation_date, head.description), (START, None));
        let ranges: Vec<String> = page.items.iter().map(|part| part.range.to_string()).collect();
        Ok::<_, EngineError>((ranges.join(" "), page.marker))
    };
    let (ranges, marker) = list(None, Some(2)).await.unwrap();
    let third = 3 * MIB;
    assert_eq!(ranges, format!("0-9 {third}-{}", third + 12));
    let seventh = 7 * MIB;
    assert_eq!(marker, Some(seventh.to_string()));
    let (ranges, marker) = list(marker.as_deref(), None).await.unwrap();
    let last = 9_999 * MIB;
    assert_eq!(ranges, format!("{seventh}-{} {last}-{}", seventh + 16, last + 10_008));
    assert_eq!(marker, None);
    for marker in ["1", "x", "-1", "10485760000"] {
        let message = format!("Invalid marker: {marker}");
        assert_refused(list(Some(marker), None).await, INVALID, &message);
    }
    assert_refused(list(None, Some(0)).await, INVALID, "Invalid limit: 0");
}

#[tokio::test]
async fn a_vault_has_so_many_uploads_in_progress_and_no_more() {
    let world = World::with(Settings { uploads_per_vault: 2, ..Settings::embedded() }).await;
    let initiate = async |token| {
        let size = PartSize::new(MIB).unwrap();
        world.engine.initiate_upload(&world.account, &world.vault, size, None, token).await
    };
    let first = initiate(None).await.unwrap();
    let second = initiate(Some(token(1))).await.unwrap();
    let limit = "The limit of 2 uploads in progress per vault is reached.";
    assert_refused(initiate(None).await, ErrorCode::LimitExceeded, limit);
    assert_refused(initiate(Some(token(2))).await, ErrorCode::LimitExceeded, limit);
    assert_eq!(initiate(Some(token(1))).await.unwrap(), second, "a repeat begins nothing");
    world.engine.abort_upload(&world.account, &world.vault, &first).await.unwrap();
    initiate(Some(token(2))).await.unwrap();
}

#[tokio::test]
async fn uploads_are_listed_in_pages_of_fifty_at_most() {
    let world = World::new().await;
    let mut all = Vec::new();
    for _ in 0..60 {
        all.push(world.initiate().await);
    }
    let page = world.engine.list_uploads(&world.account, &world.vault, None, Some(1000)).await;
    let page = page.unwrap();
    assert_eq!((page.items.len(), page.marker.as_deref()), (50, Some(all[50].as_str())));
    world.engine.abort_upload(&world.account, &world.vault, &all[50]).await.unwrap();
    let marker = page.marker.as_deref();
    let rest = world.engine.list_uploads(&world.account, &world.vault, marker, None).await.unwrap();
    let rest: Vec<_> = rest.items.into_iter().map(|upload| upload.upload_id).collect();
    assert_eq!(rest, all[51..], "a marker stays valid when its upload is gone");
    let refused = world.engine.list_uploads(&world.account, &world.vault, Some("x"), None).await;
    assert_refused(refused, INVALID, "Invalid marker: x");
}

/// The limit of the service, with the parts that it takes: 10,000 of 1 MiB each, all of the same bytes.
#[tokio::test]
async fn an_upload_of_ten_thousand_parts_completes_without_reading_them() {
    let world = World::new().await;
    let upload = world.initiate().await;
    let ledger = world.engine.store().ledger();
    let part = bytes(1, MIB);
    let hash = world.part(&upload, 0, &part).await.unwrap();
    // The other parts are put into the ledger directly: memory has no room for 10,000 MiB, and nobody reads them.
    let row = ledger
        .uploads(ledger.vault(&world.account, &world.vault).await.unwrap().unwrap().number, None, 1)
        .await
        .unwrap()
        .remove(0);
    for index in 1..10_000 {
        let id = world.engine.store().reserve().await.unwrap();
        let extent = icefield_store::Extent { payload: id, size: MIB, tree_hash: hash };
        let part = icefield_store::ledger::PartRow { index, extent };
        assert!(ledger.put_part(row.number, part, START).await.unwrap());
    }
    let whole = icefield_treehash::TreeHash::combine(std::iter::repeat_n(hash, 10_000));
    let archive = world
        .engine
        .complete_upload(&world.account, &world.vault, &upload, 10_000 * MIB, whole)
        .await
        .unwrap();
    let job = world.retrieve(&archive, Some(ByteRange::new(0, MIB - 1).unwrap())).await;
    assert!(world.output(&job, None).await.unwrap() == part);
}
