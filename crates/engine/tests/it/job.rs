//! Retrieval jobs and their output.

use std::{error::Error as _, fs, path::Path, time::Duration};

use icefield_engine::{EngineError, JobListFilter, NewArchive, RequestedRange, Settings};
use icefield_protocol::{
    ArchiveId, ByteRange, Description, ErrorCode, InventoryParameters, JobAction, JobId,
    JobRequest, JobStatus, Tier,
};

use crate::world::{
    HOUR, MIB, World, archive_job, assert_refused, bytes, inventory_job, name, read, service,
    tree_hash,
};

const INVALID: ErrorCode = ErrorCode::InvalidParameterValue;

fn range(first: u64, last: u64) -> ByteRange {
    ByteRange::new(first, last).unwrap()
}

#[tokio::test]
async fn a_job_is_in_progress_until_its_tier_is_over() {
    let world = World::with(service()).await;
    let archive = world.put(&bytes(1, 10)).await;
    let delays = [(Tier::Expedited, HOUR / 60), (Tier::Standard, 4 * HOUR), (Tier::Bulk, 8 * HOUR)];
    for (tier, delay) in delays {
        let request = JobRequest::Archive {
            archive: archive.id.clone(),
            range: None,
            tier,
            description: Description::parse("blue frames").unwrap(),
            sns_topic: Some("arn:aws:sns:local:1:t".to_owned()),
        };
        let begun = world.engine.store().clock().now();
        let job = world.start(&request).await.unwrap();
        assert_eq!(world.engine.next_due().await.unwrap(), Some(begun.saturating_add(delay)));
        world.clock.advance(delay - Duration::from_millis(1));
        assert_eq!(world.engine.run_due_jobs().await.unwrap(), 0);
        let description = world.describe(&job).await.unwrap();
        assert_eq!(description.status_code, JobStatus::InProgress);
        assert_eq!(description.status_message.as_deref(), Some("Operation in progress."));
        assert_eq!((description.completed, description.completion_date), (false, None));
        assert_refused(
            world.output(&job, None).await,
            INVALID,
            &format!("The job is not currently available for download: {job}"),
        );
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(world.engine.run_due_jobs().await.unwrap(), 1);
        assert_eq!(world.engine.next_due().await.unwrap(), None);
        let description = world.describe(&job).await.unwrap();
        assert_eq!(description.status_code, JobStatus::Succeeded);
        assert_eq!(description.status_message.as_deref(), Some("Succeeded"));
        assert_eq!(description.completion_date, Some(begun.saturating_add(delay)));
        assert_eq!((description.tier, description.completed), (Some(tier), true));
        assert_eq!(description.description.unwrap().as_str(), "blue frames");
        assert_eq!(description.sns_topic.as_deref(), Some("arn:aws:sns:local:1:t"));
    }
}

#[tokio::test]
async fn an_archive_job_describes_the_archive_and_the_range() {
    let world = World::new().await;
    let whole = bytes(1, 6 * MIB + MIB / 2);
    let archive = world.put(&whole).await;
    let hash_of = |first: u64, last: u64| {
        let bounds = usize::try_from(first).unwrap()..=usize::try_from(last).unwrap();
        Some(tree_hash(&whole[bounds]))
    };
    let end = whole.len() as u64 - 1;
    let cases = [
        (None, range(0, end), hash_of(0, end), hash_of(0, end)),
        (Some(range(0, end)), range(0, end), None, hash_of(0, end)),
        (
            Some(range(0, 4 * MIB - 1)),
            range(0, 4 * MIB - 1),
            hash_of(0, 4 * MIB - 1),
            hash_of(0, 4 * MIB - 1),
        ),
        (
            Some(range(4 * MIB, end)),
            range(4 * MIB, end),
            hash_of(4 * MIB, end),
            hash_of(4 * MIB, end),
        ),
        (Some(range(MIB, 3 * MIB - 1)), range(MIB, 3 * MIB - 1), None, None),
    ];
    for (asked, told, before, after) in cases {
        let job = world.start(&archive_job(&archive.id, asked)).await.unwrap();
        let description = world.describe(&job).await.unwrap();
        assert_eq!(description.action, JobAction::ArchiveRetrieval);
        assert_eq!(description.archive_id.as_ref(), Some(&archive.id));
        assert_eq!(description.archive_size_in_bytes, Some(archive.size));
        assert_eq!(description.archive_tree_hash, Some(archive.tree_hash));
        assert_eq!(description.retrieval_byte_range, Some(told));
        assert_eq!(description.inventory_retrieval_parameters, None);
        assert_eq!(description.tree_hash, before, "{told} in progress");
        world.engine.run_due_jobs().await.unwrap();
        assert_eq!(world.describe(&job).await.unwrap().tree_hash, after, "{told}");
    }
}

#[tokio::test]
async fn retrieval_ranges_must_be_aligned_and_inside() {
    let world = World::new().await;
    let archive = world.put(&bytes(1, 3 * MIB + 5)).await;
    for bad in [
        range(0, 1023),
        range(1, MIB - 1),
        range(MIB, 3 * MIB + 3),
        range(0, 3 * MIB + 5),
        range(4 * MIB, 5 * MIB - 1),
    ] {
        let refused = world.start(&archive_job(&archive.id, Some(bad))).await;
        assert_refused(refused, INVALID, &format!("Invalid RetrievalByteRange: {bad}"));
    }
    world.start(&archive_job(&archive.id, Some(range(3 * MIB, 3 * MIB + 4)))).await.unwrap();
    world.delete(&archive.id).await.unwrap();
    let refused = world.start(&archive_job(&archive.id, Some(range(0, 1023)))).await;
    let message = format!("The archive ID was not found: {}", archive.id);
    assert_refused(refused, ErrorCode::ResourceNotFound, &message);
}

/// Every download range of every job range of archives of few leaves, small and multipart alike, against the table of
/// "Get Job Output (GET output)".
#[tokio::test]
async fn the_hash_header_is_there_exactly_when_both_ranges_are_aligned() {
    let world = World::new().await;
    let whole = bytes(1, 5 * MIB + 7);
    let single = world.put(&whole).await.id;
    let upload = world.initiate().await;
    for index in 0..6_u64 {
        let first = usize::try_from(index * MIB).unwrap();
        let part = whole.slice(first..whole.len().min(first + (1 << 20)));
        world.part(&upload, index, &part).await.unwrap();
    }
    let multipart = world.complete(&upload, &whole).await.unwrap();
    let ends = |leaf: u64| (leaf * MIB - 1).min(whole.len() as u64 - 1);
    for archive in [single, multipart] {
        for (first, last) in [(0, 6), (0, 4), (4, 6), (2, 4), (1, 3), (5, 6), (2, 6)] {
            let job_range = range(first * MIB, ends(last));
            let job = world.retrieve(&archive, Some(job_range)).await;
            let job_aligned = aligned(whole.len() as u64, job_range);
            for begin in 0..last - first {
                for end in begin + 1..=last - first {
                    let asked = range(begin * MIB, (end * MIB - 1).min(job_range.len() - 1));
                    let output = world
                        .engine
                        .job_output(
                            &world.account,
                            &world.vault,
                            &job,
                            Some(RequestedRange::FromTo(asked.first, asked.last)),
                        )
                        .await
                        .unwrap();
                    assert_eq!((output.total, output.range), (job_range.len(), asked));
                    let expected = job_aligned && aligned(job_range.len(), asked);
                    assert_eq!(output.tree_hash.is_some(), expected, "{asked} of {job_range}");
                    let bounds = usize::try_from(job_range.first + asked.first).unwrap()
                        ..=usize::try_from(job_range.first + asked.last).unwrap();
                    if let Some(hash) = output.tree_hash {
                        assert_eq!(hash, tree_hash(&whole[bounds.clone()]));
                    }
                    assert!(read(output.reader).await.unwrap() == whole[bounds]);
                }
            }
        }
    }
}

/// The rule as the developer guide means it, by building the tree: a range is a node or it is not.
fn aligned(size: u64, asked: ByteRange) -> bool {
    let leaves = size.div_ceil(MIB);
    let (first, end) = (asked.first / MIB, asked.last / MIB + 1);
    let mut level: Vec<(u64, u64)> = (0..leaves).map(|leaf| (leaf, leaf + 1)).collect();
    while !level.contains(&(first, end)) {
        if level.len() == 1 {
            return false;
        }
        level = level.chunks(2).map(|pair| (pair[0].0, pair[pair.len() - 1].1)).collect();
    }
    true
}

#[tokio::test]
async fn output_ranges_of_any_alignment_are_answered_and_clamped() {
    let world = World::new().await;
    let whole = bytes(1, 3 * MIB + 5);
    let archive = world.put(&whole).await;
    let job = world.retrieve(&archive.id, Some(range(MIB, 3 * MIB + 4))).await;
    let output = whole.slice(1 << 20..);
    for (first, last) in [(0, 0), (5, 9), (MIB - 1, MIB), (7, 2 * MIB + 1), (2 * MIB, 9 * MIB)] {
        let asked = RequestedRange::FromTo(first, last);
        let last = usize::try_from(last).unwrap().min(output.len() - 1);
        let expected = &output[usize::try_from(first).unwrap()..=last];
        assert!(world.output(&job, Some(asked)).await.unwrap() == expected, "{asked}");
    }
    let tail = world.output(&job, Some(RequestedRange::Last(3))).await.unwrap();
    assert_eq!(tail, output[output.len() - 3..]);
    let refused = world.output(&job, Some(RequestedRange::From(2 * MIB + 5))).await;
    let total = output.len();
    let message = format!("Invalid Range: bytes={total}- of an output of {total} bytes");
    assert_refused(refused, INVALID, &message);
}

#[tokio::test]
async fn the_output_carries_description_and_type() {
    let world = World::new().await;
    let description = Description::parse("M31 light").unwrap();
    let new = NewArchive { description: description.clone(), token: None, size: 3, linear: false };
    let mut receiving =
        world.engine.receive_archive(&world.account, &world.vault, new).await.unwrap();
    receiving.write(bytes(1, 3)).await.unwrap();
    let archive = receiving.commit(None).await.unwrap();
    let job = world.retrieve(&archive.id, None).await;
    let output = world.engine.job_output(&world.account, &world.vault, &job, None).await.unwrap();
    assert_eq!(output.description, description);
    assert_eq!(output.content_type, "application/octet-stream");
    assert_eq!(output.tree_hash, Some(archive.tree_hash));
}

#[tokio::test]
async fn a_vault_has_so_many_jobs_and_no_more() {
    let settings =
        Settings { jobs_per_vault: 4, inventory_jobs_per_vault: 2, ..Settings::embedded() };
    let world = World::with(settings).await;
    let archive = world.put(&bytes(1, 10)).await;
    let retrieve = async || world.start(&archive_job(&archive.id, None)).await;
    let list = async || world.start(&inventory_job(InventoryParameters::default())).await;
    let limited = ErrorCode::LimitExceeded;
    retrieve().await.unwrap();
    list().await.unwrap();
    world.engine.housekeeping().await.unwrap();
    list().await.unwrap();
    let inventories = "The limit of 2 inventory jobs per vault is reached.";
    assert_refused(list().await, limited, inventories);
    retrieve().await.unwrap();
    let jobs = "The limit of 4 jobs per vault is reached.";
    assert_refused(retrieve().await, limited, jobs);
    world.engine.run_due_jobs().await.unwrap();
    world.clock.advance(24 * HOUR - Duration::from_millis(1));
    world.engine.housekeeping().await.unwrap();
    assert_refused(retrieve().await, limited, jobs);
    world.clock.advance(Duration::from_millis(1));
    world.engine.housekeeping().await.unwrap();
    for _ in 0..2 {
        retrieve().await.unwrap();
        list().await.unwrap();
    }
    assert_refused(list().await, limited, jobs);
}

#[tokio::test]
async fn a_job_of_one_vault_is_not_counted_in_another() {
    let world = World::with(Settings { jobs_per_vault: 1, ..Settings::embedded() }).await;
    let other = name("other");
    world.engine.create_vault(&world.account, &other).await.unwrap();
    for vault in [&world.vault, &other] {
        world.try_put(vault, &bytes(1, 10), None).await.unwrap();
        let request = inventory_job(InventoryParameters::default());
        world.engine.initiate_job(&world.account, vault, &request).await.unwrap();
    }
}

#[tokio::test]
async fn a_finished_output_outlives_its_archive_for_a_day() {
    let world = World::new().await;
    for size in [10, 2 * MIB] {
        let whole = bytes(size, size);
        let archive = world.put(&whole).await;
        let job = world.retrieve(&archive.id, None).await;
        world.delete(&archive.id).await.unwrap();
        world.engine.describe_vault(&world.account, &world.vault).await.unwrap();
        world.clock.advance(23 * HOUR);
        world.engine.housekeeping().await.unwrap();
        assert!(world.output(&job, None).await.unwrap() == whole);
        world.clock.advance(HOUR);
        let gone = format!("The job ID was not found: {job}");
        assert_refused(world.describe(&job).await, ErrorCode::ResourceNotFound, &gone);
        assert_refused(world.output(&job, None).await, ErrorCode::ResourceNotFound, &gone);
        world.engine.housekeeping().await.unwrap();
    }
    let (_, files) = world.engine.store().payload().used_bytes().await.unwrap();
    assert_eq!(files, 0, "then the bytes go");
}

#[tokio::test]
async fn a_job_whose_archive_is_deleted_before_it_is_done_fails() {
    let world = World::with(service()).await;
    let archive = world.put(&bytes(1, 10)).await;
    let job = world.start(&archive_job(&archive.id, None)).await.unwrap();
    world.delete(&archive.id).await.unwrap();
    world.clock.advance(4 * HOUR);
    world.engine.housekeeping().await.unwrap();
    world.engine.run_due_jobs().await.unwrap();
    let description = world.describe(&job).await.unwrap();
    assert_eq!((description.status_code, description.completed), (JobStatus::Failed, true));
    assert_eq!(description.status_message.as_deref(), Some("The archive was deleted."));
    assert_eq!(description.archive_id, Some(archive.id));
    let message = format!("The job is not currently available for download: {job}");
    assert_refused(world.output(&job, None).await, INVALID, &message);
}

#[tokio::test]
async fn unknown_jobs_are_not_found() {
    let world = World::new().await;
    let archive = world.put(&bytes(1, 10)).await;
    let other = name("other");
    world.engine.create_vault(&world.account, &other).await.unwrap();
    let elsewhere = world.retrieve(&archive.id, None).await;
    for job in [JobId::parse("never").unwrap(), JobId::parse(&"A".repeat(92)).unwrap()] {
        let gone = format!("The job ID was not found: {job}");
        assert_refused(world.describe(&job).await, ErrorCode::ResourceNotFound, &gone);
    }
    let gone = format!("The job ID was not found: {elsewhere}");
    let refused = world.engine.describe_job(&world.account, &other, &elsewhere).await;
    assert_refused(refused, ErrorCode::ResourceNotFound, &gone);
    let refused = world.engine.job_output(&world.account, &other, &elsewhere, None).await;
    assert_refused(refused, ErrorCode::ResourceNotFound, &gone);
}

#[tokio::test]
async fn jobs_are_listed_by_initiation_with_filters_and_markers() {
    let world = World::with(service()).await;
    let (kept, deleted) = (world.put(&bytes(1, 10)).await, world.put(&bytes(2, 10)).await);
    let mut jobs = Vec::new();
    for archive in [&kept.id, &deleted.id, &kept.id] {
        jobs.push(world.start(&archive_job(archive, None)).await.unwrap());
        world.clock.advance(HOUR);
    }
    world.delete(&deleted.id).await.unwrap();
    world.clock.advance(2 * HOUR);
    world.engine.run_due_jobs().await.unwrap();
    let list = async |filter, marker: Option<&str>, limit| {
        let (account, vault) = (&world.account, &world.vault);
        let page = world.engine.list_jobs(account, vault, filter, marker, limit).await?;
        let ids: Vec<_> = page.items.into_iter().map(|job| job.job_id).collect();
        Ok::<_, EngineError>((ids, page.marker))
    };
    let by = |completed, status| JobListFilter { completed, status };
    let all = JobListFilter::default();
    assert_eq!(list(all, None, None).await.unwrap(), (jobs.clone(), None));
    assert_eq!(list(by(Some(true), None), None, None).await.unwrap().0, jobs[..2]);
    assert_eq!(list(by(Some(false), None), None, None).await.unwrap().0, jobs[2..]);
    let failed = by(None, Some(JobStatus::Failed));
    assert_eq!(list(failed, None, None).await.unwrap().0, jobs[1..2]);
    let none = by(Some(false), Some(JobStatus::Succeeded));
    assert_eq!(list(none, None, None).await.unwrap().0, []);
    let (first, marker) = list(all, None, Some(1)).await.unwrap();
    assert_eq!((first.as_slice(), marker.as_deref()), (&jobs[..1], Some(jobs[1].as_str())));
    assert_eq!(list(all, marker.as_deref(), None).await.unwrap().0, jobs[1..]);
    assert_refused(list(all, Some("x"), None).await, INVALID, "Invalid marker: x");
    assert_refused(list(all, None, Some(0)).await, INVALID, "Invalid limit: 0");
    world.clock.advance(24 * HOUR);
    assert_eq!(list(all, None, None).await.unwrap().0, jobs[2..], "ended ones expire");
}

#[tokio::test]
async fn damage_is_an_error_with_its_place_and_never_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::in_folder(dir.path()).await;
    let whole = bytes(1, 3 * MIB);
    let archive = world.put(&whole).await;
    let job = world.retrieve(&archive.id, None).await;
    flip_a_byte(dir.path(), 2 * MIB + 9);
    let output = world.engine.job_output(&world.account, &world.vault, &job, None).await.unwrap();
    let mut reader = output.reader;
    let mut intact = Vec::new();
    let error = loop {
        match reader.next().await {
            Some(Ok(chunk)) => intact.extend_from_slice(&chunk),
            Some(Err(error)) => break error,
            None => panic!("the damage was not noticed"),
        }
    };
    assert!(intact == whole[..2 << 20]);
    assert!(reader.next().await.is_none(), "nothing follows an error");
    assert_eq!(error.code(), ErrorCode::ServiceUnavailable);
    let message = format!("The stored bytes of archive {} are damaged in MiB 2", archive.id);
    assert_eq!(error.to_string(), message);
    assert!(error.source().is_some());
}

/// Changes one byte in the only payload file of 3 MiB.
fn flip_a_byte(dir: &Path, at: u64) {
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.metadata().unwrap().len() == 3 * MIB {
                let mut bytes = fs::read(entry.path()).unwrap();
                bytes[usize::try_from(at).unwrap()] ^= 1;
                fs::write(entry.path(), bytes).unwrap();
                return;
            }
        }
    }
    panic!("no payload file of 3 MiB");
}

#[tokio::test]
async fn every_initiation_is_a_new_job() {
    let world = World::new().await;
    let archive = world.put(&bytes(1, 10)).await;
    let job = archive_job(&archive.id, None);
    assert_ne!(world.start(&job).await.unwrap(), world.start(&job).await.unwrap());
    let inventory = inventory_job(InventoryParameters::default());
    assert_ne!(world.start(&inventory).await.unwrap(), world.start(&inventory).await.unwrap());
    assert_eq!(world.engine.run_due_jobs().await.unwrap(), 4);
    let never = ArchiveId::parse("never").unwrap();
    assert!(world.start(&archive_job(&never, None)).await.is_err());
}
