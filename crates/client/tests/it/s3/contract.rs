//! What every target promises.

use std::sync::atomic::Ordering::Relaxed;

use icefield_client::{
    Target as _, TargetError,
    target::{Body, StorageClass},
};
use icefield_protocol::{ArchiveId, ByteRange, ErrorCode, JobStatus, Tier, VaultName};

use super::{
    MIB, all, body, bucket::SECRET_KEY, bytes, clock, new, place, target, tree_hash, vault,
};

#[tokio::test]
async fn what_was_put_is_described_and_read_back() {
    let place = place(StorageClass::InstantRetrieval).await;
    for (token, size) in [(1, 1), (2, MIB), (3, 3 * MIB + 7)] {
        let content = bytes(token, size);
        let archived = place.put(&new(format!("a/{token}"), token), &content).await;
        assert_eq!(archived.archive.as_str(), format!("deep/masters/films/a/{token}"));
        assert_eq!(archived.tree_hash, tree_hash(&content));
        assert_eq!(place.read(&archived.archive).await, content);

        let job = place.job(&archived.archive, None, Tier::Standard).await.unwrap();
        let job = place.target.describe_job(&vault(), &job).await.unwrap();
        assert_eq!(job.status_code, JobStatus::Succeeded);
        assert_eq!(job.archive_size_in_bytes, Some(size));
        assert_eq!(job.archive_tree_hash, Some(archived.tree_hash));
        assert_eq!(job.creation_date, "2026-11-28T23:00:00Z".parse().unwrap());
        let object = place.bucket.object(archived.archive.as_str());
        assert_eq!(object.class.as_deref(), Some("GLACIER_IR"));
        assert_eq!(object.metadata["icefield-description"], "a %20description, 100%25 verbatim");
    }
    let described = place.target.describe_vault(&vault()).await.unwrap();
    assert_eq!(described.number_of_archives, 3);
    assert_eq!(described.size_in_bytes, 4 * MIB + 8 + 3 * 32_768);
    assert!(described.last_inventory_date.is_some());
}

#[tokio::test]
async fn a_range_of_an_archive_and_a_range_of_that_are_read() {
    let place = place(StorageClass::Standard).await;
    let content = bytes(1, 4 * MIB);
    let archive = place.put(&new("a", 1), &content).await.archive;
    assert_eq!(place.bucket.object(archive.as_str()).class, None);
    let range = ByteRange { first: MIB, last: 3 * MIB - 1 };
    let job = place.job(&archive, Some(range), Tier::Bulk).await.unwrap();
    let described = place.target.describe_job(&vault(), &job).await.unwrap();
    assert_eq!((described.retrieval_byte_range, described.tree_hash), (Some(range), None));
    let whole = place.target.job_output(&vault(), &job, None).await.unwrap();
    assert_eq!(whole.total, 2 * MIB);
    assert_eq!(all(whole).await.unwrap(), content.slice(1 << 20..3 << 20));
    let part = Some(ByteRange { first: 5, last: 99 * MIB });
    let part = place.target.job_output(&vault(), &job, part).await.unwrap();
    assert_eq!(part.total, 2 * MIB);
    assert_eq!(all(part).await.unwrap(), content.slice((1 << 20) + 5..3 << 20));
}

#[tokio::test]
async fn a_changed_file_gets_a_key_of_its_own_and_every_token_its_first_answer() {
    let place = place(StorageClass::DeepArchive).await;
    let contents: Vec<_> = (1..=3).map(|seed| bytes(seed, 1000)).collect();
    let mut archives = Vec::new();
    for (content, token) in contents.iter().zip(1..) {
        archives.push(place.put(&new("a.mov", token), content).await);
    }
    let keys: Vec<_> = archives.iter().map(|archived| archived.archive.as_str()).collect();
    assert_eq!(
        keys,
        [
            "deep/masters/films/a.mov",
            "deep/masters/films/a.mov@2026-11-28T23:00:00Z",
            "deep/masters/films/a.mov@2026-11-28T23:00:01Z"
        ]
    );
    let puts = place.bucket.requests("put_object");
    for ((content, token), first) in contents.iter().zip(1..).zip(&archives) {
        assert_eq!(place.put(&new("a.mov", token), content).await, *first);
    }
    assert_eq!(place.bucket.requests("put_object"), puts, "something was stored twice");
    for (archived, content) in archives.iter().zip(&contents) {
        assert_eq!(place.bucket.object(archived.archive.as_str()).bytes, *content);
    }
    let newest = place.bucket.object(keys[2]);
    assert_eq!(newest.metadata["icefield-path"], "a.mov", "the key does not tell the path");
}

#[tokio::test]
async fn nothing_is_overwritten_where_conditions_are_ignored_or_refused() {
    for refuses in [false, true] {
        let place = place(StorageClass::Standard).await;
        place.bucket.refuses_conditions.store(refuses, Relaxed);
        place.bucket.ignores_conditions.store(!refuses, Relaxed);
        let (first, second) = (bytes(1, 10), bytes(2, 10));
        place.put(&new("a", 1), &first).await;
        let newer = place.put(&new("a", 2), &second).await;
        assert_eq!(place.bucket.object("deep/masters/films/a").bytes, first);
        assert_eq!(place.bucket.object(newer.archive.as_str()).bytes, second);
    }
}

#[tokio::test]
async fn paths_of_every_kind_come_back() {
    let place = place(StorageClass::Standard).await;
    let long = "é/".repeat(600) + "x";
    let paths: [&[u8]; 7] = [
        b"a b/c+d & e?.mov",
        "100%/\u{1f600}\u{e9}".as_bytes(),
        b"\xff\xfe",
        b"new\nline",
        b"blank ",
        b"-rf",
        long.as_bytes(),
    ];
    let mut tokens = 1..;
    for path in paths {
        let content = bytes(9, 100);
        let archived = place.put(&new(path, tokens.next().unwrap()), &content).await;
        assert_eq!(place.read(&archived.archive).await, content, "{path:?}");
        assert!(archived.archive.as_str().len() <= 1024);
    }
    assert_eq!(place.bucket.keys().len(), paths.len() + 1);
    assert_eq!(
        place.bucket.object("deep/masters/films/%FF%FE").metadata["icefield-path"],
        "%FF%FE"
    );
}

#[tokio::test]
async fn archives_and_vaults_are_deleted_and_nothing_else_is() {
    let place = place(StorageClass::Standard).await;
    let content = bytes(1, 10);
    let archive = place.put(&new("a", 1), &content).await.archive;
    place.bucket.put_foreign("other/x", &content);
    place.bucket.put_foreign("deep/masters/filmsx", &content);
    for other in ["other/x", "deep/masters/filmsx", "deep/masters/films/", "x"] {
        let other = ArchiveId::parse(other).unwrap();
        let refused = place.target.delete_archive(&vault(), &other).await.unwrap_err();
        assert!(refused.is_not_found(), "{refused}");
    }
    let full = place.target.delete_vault(&vault()).await.unwrap_err();
    assert!(full.to_string().starts_with("Vault not empty"), "{full}");
    place.target.delete_archive(&vault(), &archive).await.unwrap();
    place.target.delete_archive(&vault(), &archive).await.unwrap();
    place.target.delete_vault(&vault()).await.unwrap();
    assert!(place.target.describe_vault(&vault()).await.unwrap_err().is_not_found());
    assert!(place.target.delete_vault(&vault()).await.unwrap_err().is_not_found());
    assert_eq!(place.bucket.keys(), ["deep/masters/filmsx", "other/x"]);
}

#[tokio::test]
async fn vaults_are_listed_in_pages_also_those_without_a_marker() {
    let place = place(StorageClass::Standard).await;
    let mut names: Vec<_> = (0..120).map(|number| format!("v{number:03}")).collect();
    for name in &names {
        place.target.create_vault(&VaultName::parse(name).unwrap()).await.unwrap();
    }
    place.bucket.put_foreign("deep/masters/unmarked/x", &bytes(1, 10));
    place.bucket.put_foreign("deep/masters/no vault", &bytes(1, 10));
    names.extend(["films".to_owned(), "unmarked".to_owned()]);
    names.sort();
    let (mut found, mut marker) = (Vec::new(), None);
    loop {
        let page = place.target.list_vaults(marker.as_deref()).await.unwrap();
        found.extend(page.items.into_iter().map(|vault| vault.vault_name.to_string()));
        marker = page.marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(found, names);
    let keys = place.bucket.keys();
    let unmarked = VaultName::parse("unmarked").unwrap();
    place.target.create_vault(&unmarked).await.unwrap();
    place.target.create_vault(&vault()).await.unwrap();
    assert_eq!(place.bucket.keys(), keys, "a vault that existed was touched");
    assert_eq!(place.target.describe_vault(&unmarked).await.unwrap().number_of_archives, 1);
}

#[tokio::test]
async fn refusals_name_the_cause() {
    let place = place(StorageClass::Standard).await;
    let wrong = target(&place.bucket.endpoint, "wrong", StorageClass::Standard, &place.clock);
    let refused = wrong.list_vaults(None).await.unwrap_err();
    let TargetError::Service { code, message } = refused else { panic!("{refused:?}") };
    assert_eq!(code, ErrorCode::InvalidSignature);
    assert!(message.contains("s3://cold/deep/masters/"), "{message}");

    let job = place.job(&ArchiveId::parse("deep/masters/films/x").unwrap(), None, Tier::Bulk).await;
    let missing = job.unwrap_err();
    assert!(missing.is_not_found() && missing.to_string().contains("films/x"), "{missing}");

    let nobody = target("http://127.0.0.1:1", SECRET_KEY, StorageClass::Standard, &clock());
    let error = nobody.list_vaults(None).await.unwrap_err();
    assert!(matches!(error, TargetError::Transport { .. }), "{error:?}");
}

#[tokio::test]
async fn bytes_that_are_other_ones_when_they_are_sent_are_not_stored() {
    let place = place(StorageClass::Standard).await;
    // Large enough to be read twice.
    let (first, second) = (bytes(1, 3 * MIB), bytes(2, 3 * MIB));
    let readings = std::sync::atomic::AtomicU32::new(0);
    let changing = Body::new(3 * MIB, move || {
        let is_first = readings.fetch_add(1, Relaxed) == 0;
        body(if is_first { &first } else { &second }).read()
    });
    let refused = place.target.upload_archive(&vault(), &new("a", 1), &changing).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, TargetError::Damaged { .. } | TargetError::Service { .. }),
        "{refused:?}"
    );
    assert_eq!(place.bucket.keys(), ["deep/masters/films/"]);
}

#[tokio::test]
async fn a_source_that_fails_while_it_is_sent_is_said_to_have_failed() {
    let place = place(StorageClass::Standard).await;
    let content = bytes(1, 3 * MIB);
    let readings = std::sync::atomic::AtomicU32::new(0);
    let failing = Body::new(3 * MIB, move || {
        if readings.fetch_add(1, Relaxed) == 0 {
            return body(&content).read();
        }
        let first = Ok(content.slice(..1 << 20));
        let failure = Err(std::io::Error::other("the disk is gone"));
        Box::pin(futures_util::stream::iter([first, failure]))
    });
    let refused = place.target.upload_archive(&vault(), &new("a", 1), &failing).await;
    match refused.unwrap_err() {
        TargetError::Source(error) => assert_eq!(error.to_string(), "the disk is gone"),
        other => panic!("{other:?}"),
    }
}
