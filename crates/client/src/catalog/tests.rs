use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use icefield_protocol::{
    ArchiveId, ByteRange, JobId, PartSize, Tier, Timestamp, TreeHash, UploadId, VaultName,
};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{
    Catalog, CatalogError, Claim, ClaimRequest, Claimed, ClaimedRetrieval, DuplicateTotals, Entry,
    EntryQuery, FileTime, Identity, JournalledPart, Kind, Retrieval, RetrievalKey, VaultRef,
};
use crate::{path::CatalogPath, pattern::Pattern, price::Usd, target::PartMark};

const NOW: Timestamp = at(1_000);

fn part(tree_hash: TreeHash) -> JournalledPart {
    JournalledPart { tree_hash, mark: PartMark::TreeHash(tree_hash) }
}

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(seconds * 1000)
}

fn catalog() -> (TempDir, Catalog, VaultRef) {
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&dir.path().join("new/catalog.db")).unwrap();
    let vault = catalog.vault("store-1", &VaultName::parse("photos").unwrap()).unwrap();
    (dir, catalog, vault)
}

fn path(text: &str) -> CatalogPath {
    CatalogPath::parse(text).unwrap()
}

fn id(text: &str) -> ArchiveId {
    ArchiveId::parse(text).unwrap()
}

fn file(name: &str, archive: &str, uploaded: Timestamp) -> Entry {
    Entry {
        path: path(name),
        kind: Kind::File,
        size: 7,
        mtime: Some(FileTime { seconds: -1, nanos: 999_999_999 }),
        mode: Some(0o640),
        link_target: None,
        tree_hash: Some(TreeHash::from_bytes([3; 32])),
        archive: Some(id(archive)),
        uploaded,
        description: Some("a description".to_owned()),
        manifest: None,
    }
}

fn folder(name: &str, manifest: &str, uploaded: Timestamp) -> Entry {
    Entry {
        kind: Kind::Folder,
        size: 0,
        tree_hash: None,
        archive: None,
        description: None,
        manifest: Some(id(manifest)),
        ..file(name, "x", uploaded)
    }
}

fn all(catalog: &Catalog, vault: VaultRef, query: EntryQuery) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    catalog
        .for_each(vault, &query, &mut |entry| -> Result<(), CatalogError> {
            found.push((entry.path.to_string(), entry.archive.map(String::from)));
            Ok(())
        })
        .unwrap();
    found
}

fn names(found: &[(String, Option<String>)]) -> Vec<(&str, &str)> {
    found.iter().map(|(path, id)| (path.as_str(), id.as_deref().unwrap_or("-"))).collect()
}

#[test]
fn an_entry_comes_back_as_it_was_recorded_also_after_reopening() {
    let (_dir, catalog, vault) = catalog();
    let link = Entry {
        path: CatalogPath::parse(b"l/\xff").unwrap(),
        kind: Kind::Link,
        link_target: Some(b"../\xfe".to_vec()),
        mtime: None,
        mode: None,
        ..folder("x", "m", NOW)
    };
    let entries = [file("a/b.fit", "-A", NOW), link, folder("d", "m", NOW)];
    catalog.record(vault, &entries).unwrap();
    let again = Catalog::open(catalog.path()).unwrap();
    for entry in &entries {
        assert_eq!(again.newest(vault, &entry.path).unwrap().as_ref(), Some(entry));
    }
    assert_eq!(again.by_archive(vault, &id("-A")).unwrap(), entries[..1]);
    assert_eq!(again.newest(vault, &path("nothing")).unwrap(), None);
    let other = again.vault("store-2", &VaultName::parse("photos").unwrap()).unwrap();
    assert_ne!(other, vault);
    assert_eq!(again.newest(other, &entries[0].path).unwrap(), None);
}

#[test]
fn the_newest_version_is_found_and_older_ones_by_time() {
    let (_dir, catalog, vault) = catalog();
    let entries = [
        file("b", "B1", at(10)),
        file("a", "A2", at(20)),
        file("a", "A1", at(10)),
        file("a", "A3", at(30)),
        file("c", "C3", at(30)),
    ];
    catalog.record(vault, &entries).unwrap();
    let newest = all(&catalog, vault, EntryQuery::default());
    assert_eq!(names(&newest), [("a", "A3"), ("b", "B1"), ("c", "C3")]);
    let then = all(&catalog, vault, EntryQuery { versions: false, as_of: Some(at(29)) });
    assert_eq!(names(&then), [("a", "A2"), ("b", "B1")]);
    let every = all(&catalog, vault, EntryQuery { versions: true, as_of: Some(at(29)) });
    assert_eq!(names(&every), [("a", "A1"), ("a", "A2"), ("b", "B1")]);
    let many = catalog.newest_many(vault, &[path("a"), path("z"), path("c")]).unwrap();
    assert_eq!(many.len(), 2);
    assert_eq!(many[&path("a")], entries[3]);
}

#[test]
fn recording_the_same_version_again_replaces_it() {
    let (_dir, catalog, vault) = catalog();
    catalog.record(vault, &[file("a", "A", at(1)), folder("d", "m1", at(1))]).unwrap();
    let resized = Entry { size: 8, ..file("a", "A", at(1)) };
    catalog
        .record(vault, &[resized.clone(), folder("d", "m1", at(1)), folder("d", "m2", at(2))])
        .unwrap();
    let every = all(&catalog, vault, EntryQuery { versions: true, as_of: None });
    assert_eq!(names(&every), [("a", "A"), ("d", "-"), ("d", "-")]);
    assert_eq!(catalog.newest(vault, &path("a")).unwrap(), Some(resized));
}

fn duplicates(
    catalog: &Catalog,
    vault: VaultRef,
    patterns: &[&str],
) -> (Vec<(u64, String, u64, bool)>, DuplicateTotals) {
    let patterns: Vec<_> = patterns.iter().map(|text| Pattern::parse(*text).unwrap()).collect();
    let mut found = Vec::new();
    let totals = catalog
        .for_each_duplicate(vault, &patterns, &mut |duplicate| -> Result<(), CatalogError> {
            let archive = duplicate.entry.archive.unwrap();
            found.push((duplicate.group, archive.into(), duplicate.copies, duplicate.is_version));
            Ok(())
        })
        .unwrap();
    (found, totals)
}

#[test]
fn archives_of_one_content_are_grouped_the_most_wasteful_first() {
    let (_dir, catalog, vault) = catalog();
    let content = |byte, size, entry| Entry {
        size,
        tree_hash: Some(TreeHash::from_bytes([byte; 32])),
        ..entry
    };
    let entries = [
        content(1, 10, file("a", "A1", at(1))),
        content(1, 10, file("b", "B1", at(2))),
        content(1, 10, file("a", "A2", at(3))),
        content(2, 100, file("c", "C", at(1))),
        content(2, 100, file("d/c", "D", at(1))),
        // The same archive under two paths is stored once.
        content(3, 10, file("e", "E", at(1))),
        content(3, 10, file("f", "E", at(1))),
        // Sizes differ; hash or size are not known.
        content(1, 11, file("g", "G", at(1))),
        Entry { tree_hash: None, ..file("h", "H1", at(1)) },
        Entry { tree_hash: None, ..file("h", "H2", at(1)) },
        content(4, 0, file("i", "I1", at(1))),
        content(4, 0, file("i", "I2", at(1))),
        folder("j", "m", at(1)),
    ];
    catalog.record(vault, &entries).unwrap();
    let other = catalog.vault("store-2", &VaultName::parse("photos").unwrap()).unwrap();
    catalog.record(other, &[content(3, 10, file("x", "X", at(1)))]).unwrap();
    let row =
        |group, archive: &str, copies, is_version| (group, archive.to_owned(), copies, is_version);
    let (first, second) = (
        [row(1, "C", 2, false), row(1, "D", 2, false)],
        [row(2, "A1", 3, true), row(2, "A2", 3, true), row(2, "B1", 3, false)],
    );
    let (found, totals) = duplicates(&catalog, vault, &[]);
    assert_eq!(found, [first.as_slice(), &second].concat());
    let expected = DuplicateTotals { groups: 2, spare_archives: 3, wasted_bytes: 120 };
    assert_eq!(totals, expected);
    let (found, totals) = duplicates(&catalog, vault, &["b", "nothing"]);
    let renumbered =
        second.map(|(_, archive, copies, is_version)| (1, archive, copies, is_version));
    assert_eq!((found.as_slice(), totals.groups), (renumbered.as_slice(), 1));
    assert_eq!(duplicates(&catalog, vault, &["e"]), (Vec::new(), DuplicateTotals::default()));
    catalog.remove_archives(vault, &[id("D")]).unwrap();
    assert_eq!(duplicates(&catalog, vault, &[]).1.groups, 1);
}

#[test]
fn touching_changes_the_newest_version_only() {
    let (_dir, catalog, vault) = catalog();
    catalog.record(vault, &[file("a", "A1", at(1)), file("a", "A2", at(2))]).unwrap();
    let mtime = FileTime { seconds: 5, nanos: 6 };
    catalog.touch(vault, &[(path("a"), mtime, 0o600)]).unwrap();
    let newest = catalog.newest(vault, &path("a")).unwrap().unwrap();
    assert_eq!((newest.mtime, newest.mode), (Some(mtime), Some(0o600)));
    assert_eq!(catalog.by_archive(vault, &id("A1")).unwrap()[0].mode, Some(0o640));
}

#[test]
fn removed_archives_and_vaults_are_forgotten() {
    let (_dir, catalog, vault) = catalog();
    let entries = [file("a", "A1", at(1)), file("a", "A2", at(2)), folder("d", "m", at(2))];
    catalog.record(vault, &entries).unwrap();
    catalog.remove_archives(vault, &[id("A2"), id("unknown")]).unwrap();
    assert_eq!(names(&all(&catalog, vault, EntryQuery::default())), [("a", "A1"), ("d", "-")]);
    catalog.remove_archives(vault, &[id("m")]).unwrap();
    assert_eq!(names(&all(&catalog, vault, EntryQuery::default())), [("a", "A1")]);
    catalog.record(vault, &[folder("d", "m2", at(2))]).unwrap();
    catalog.remove_without_bytes(vault, &[path("d"), path("a")]).unwrap();
    assert_eq!(names(&all(&catalog, vault, EntryQuery::default())), [("a", "A1")]);
    assert_eq!(catalog.vaults("store-1").unwrap(), [(vault, VaultName::parse("photos").unwrap())]);
    catalog.forget_vault(vault).unwrap();
    assert_eq!(catalog.vaults("store-1").unwrap(), []);
}

#[test]
fn a_callback_may_call_the_catalog() {
    let (_dir, catalog, vault) = catalog();
    catalog.record(vault, &[file("a", "A", at(1)), file("b", "B", at(1))]).unwrap();
    catalog
        .for_each(vault, &EntryQuery::default(), &mut |entry| {
            catalog.remove_archives(vault, &[entry.archive.unwrap()])
        })
        .unwrap();
    assert_eq!(all(&catalog, vault, EntryQuery::default()), []);
}

// --- opening

#[test]
fn foreign_torn_and_newer_files_are_refused() {
    let (dir, catalog, vault) = catalog();
    let entries: Vec<_> =
        (0..500).map(|n| file(&format!("path/{n}"), &format!("id{n}"), at(1))).collect();
    catalog.record(vault, &entries).unwrap();
    let at = catalog.path().to_path_buf();
    drop(catalog);

    let text = dir.path().join("text");
    fs::write(&text, "this is no database, but it is long enough to be looked at".repeat(20))
        .unwrap();
    assert!(matches!(Catalog::open(&text), Err(CatalogError::Foreign { path }) if path == text));

    let other = dir.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(matches!(Catalog::open(&other), Err(CatalogError::Foreign { .. })));

    let torn = dir.path().join("torn.db");
    let bytes = fs::read(&at).unwrap();
    fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    let error = Catalog::open(&torn).unwrap_err();
    assert!(matches!(error, CatalogError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("inventory refresh"), "{error}");

    Connection::open(&at).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Catalog::open(&at).unwrap_err();
    assert!(matches!(error, CatalogError::Newer { found: 99, known: 7, .. }), "{error:?}");
}

#[test]
fn a_damaged_page_is_an_error_and_not_a_panic() {
    let (_dir, catalog, vault) = catalog();
    let entries: Vec<_> =
        (0..500).map(|n| file(&format!("path/{n}"), &format!("id{n}"), at(1))).collect();
    catalog.record(vault, &entries).unwrap();
    let at = catalog.path().to_path_buf();
    drop(catalog);
    let mut bytes = fs::read(&at).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0x5a);
    fs::write(&at, bytes).unwrap();
    let read = Catalog::open(&at)
        .and_then(|catalog| catalog.for_each(vault, &EntryQuery::default(), &mut |_| Ok(())));
    assert!(matches!(read, Err(CatalogError::Damaged { .. })), "{read:?}");
}

#[test]
fn two_opened_at_once_write_without_losing_anything() {
    let dir = tempfile::tempdir().unwrap();
    let at_path = dir.path().join("catalog.db");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let at_path = &at_path;
            scope.spawn(move || {
                let catalog = Catalog::open(at_path).unwrap();
                let vault = catalog.vault("store", &VaultName::parse("v").unwrap()).unwrap();
                for n in 0..10 {
                    let name = format!("{writer}/{n}");
                    catalog
                        .record(vault, &[file(&name, &format!("id-{writer}-{n}"), NOW)])
                        .unwrap();
                }
            });
        }
    });
    let catalog = Catalog::open(&at_path).unwrap();
    let vault = catalog.vault("store", &VaultName::parse("v").unwrap()).unwrap();
    assert_eq!(all(&catalog, vault, EntryQuery::default()).len(), 40);
}

// --- uploads

fn request(name: &str, inode: u64) -> ClaimRequest {
    let time = FileTime { seconds: 5, nanos: 7 };
    let identity = Identity { size: 9 << 20, mtime: time, ctime: time, inode };
    ClaimRequest { path: path(name), local: PathBuf::from("/home/me").join(name), identity }
}

fn mine(claimed: Vec<Claimed>) -> Claim {
    match claimed.into_iter().next().unwrap() {
        Claimed::Mine(claim) => claim,
        Claimed::HeldElsewhere => panic!("it is held elsewhere"),
    }
}

#[test]
fn a_live_run_keeps_its_claims_and_a_dead_ones_are_adopted() {
    let (_dir, catalog, vault) = catalog();
    let first = catalog.begin_run("upload photos").unwrap();
    let claim = mine(catalog.claim(&first, vault, &[request("a", u64::MAX)], NOW).unwrap());
    let (upload, size) = (UploadId::parse("U1").unwrap(), PartSize::new(1 << 20).unwrap());
    catalog.begin_upload(claim.id, &upload, size).unwrap();
    let hash = TreeHash::from_bytes([1; 32]);
    catalog.record_part(claim.id, 3, &part(hash)).unwrap();
    catalog.record_part(claim.id, 0, &part(hash)).unwrap();

    // Another process would open the catalog for itself.
    let other = Catalog::open(catalog.path()).unwrap();
    let second = other.begin_run("upload photos").unwrap();
    let held = other.claim(&second, vault, &[request("a", u64::MAX)], NOW).unwrap();
    assert_eq!(held, [Claimed::HeldElsewhere]);
    let pending = other.pending_uploads(Some(vault)).unwrap();
    assert!(pending[0].held);
    assert_eq!((pending[0].parts_done, pending[0].size, pending[0].begun), (2, 9 << 20, NOW));
    assert_eq!(pending[0].local, Path::new("/home/me/a"));

    drop(first);
    assert!(!other.pending_uploads(None).unwrap()[0].held);
    let adopted = mine(other.claim(&second, vault, &[request("a", u64::MAX)], at(2_000)).unwrap());
    assert_eq!((adopted.id, adopted.token), (claim.id, claim.token));
    assert_eq!(adopted.upload, Some((upload.clone(), size)));
    assert_eq!(adopted.parts, BTreeMap::from([(0, part(hash)), (3, part(hash))]));
    assert_eq!(adopted.superseded, None);
    assert!(other.upload_known(vault, &upload).unwrap());
}

/// A process that is killed removes nothing: its lock file stays, without the lock.
#[test]
fn a_killed_runs_lock_file_does_not_hold_its_claims() {
    let (_dir, catalog, vault) = catalog();
    let run = catalog.begin_run("upload").unwrap();
    let lock = catalog.runs().join(run.name());
    let claim = mine(catalog.claim(&run, vault, &[request("a", 1)], NOW).unwrap());
    drop(run);
    fs::write(&lock, "upload\n").unwrap();
    let next = catalog.begin_run("upload").unwrap();
    assert_eq!(mine(catalog.claim(&next, vault, &[request("a", 1)], NOW).unwrap()).id, claim.id);
    assert!(!lock.exists(), "the dead run's file was left");
}

#[test]
fn a_changed_file_is_begun_afresh_and_its_old_upload_is_named() {
    let (_dir, catalog, vault) = catalog();
    let run = catalog.begin_run("upload").unwrap();
    let claim = mine(catalog.claim(&run, vault, &[request("a", 1)], NOW).unwrap());
    let (upload, size) = (UploadId::parse("U1").unwrap(), PartSize::new(1 << 20).unwrap());
    catalog.begin_upload(claim.id, &upload, size).unwrap();
    catalog.record_part(claim.id, 0, &part(TreeHash::from_bytes([1; 32]))).unwrap();
    drop(run);
    let run = catalog.begin_run("upload").unwrap();
    let fresh = mine(catalog.claim(&run, vault, &[request("a", 2)], NOW).unwrap());
    assert_ne!(fresh.token, claim.token);
    assert_eq!((fresh.upload, fresh.parts.len()), (None, 0));
    assert_eq!(fresh.superseded.as_ref(), Some(&upload));
    drop(run);
    let run = catalog.begin_run("upload").unwrap();
    let again = mine(catalog.claim(&run, vault, &[request("a", 2)], NOW).unwrap());
    assert_eq!(again.superseded.as_ref(), Some(&upload), "it was not aborted yet");
    catalog.upload_aborted(vault, &upload).unwrap();
    drop(run);
    let run = catalog.begin_run("upload").unwrap();
    let last = mine(catalog.claim(&run, vault, &[request("a", 2)], NOW).unwrap());
    assert_eq!((last.superseded, last.token), (None, fresh.token));
}

#[test]
fn an_upload_that_is_gone_gets_a_new_token() {
    let (_dir, catalog, vault) = catalog();
    let run = catalog.begin_run("upload").unwrap();
    let claim = mine(catalog.claim(&run, vault, &[request("a", 1)], NOW).unwrap());
    let size = PartSize::new(1 << 20).unwrap();
    catalog.begin_upload(claim.id, &UploadId::parse("U1").unwrap(), size).unwrap();
    catalog.record_part(claim.id, 0, &part(TreeHash::from_bytes([1; 32]))).unwrap();
    let token = catalog.forget_upload(claim.id).unwrap();
    assert_ne!(token, claim.token);
    drop(run);
    let run = catalog.begin_run("upload").unwrap();
    let again = mine(catalog.claim(&run, vault, &[request("a", 1)], NOW).unwrap());
    assert_eq!((again.token, again.upload, again.parts.len()), (token, None, 0));
}

#[test]
fn recording_ends_claims_and_releasing_keeps_uploads() {
    let (_dir, catalog, vault) = catalog();
    let run = catalog.begin_run("upload").unwrap();
    let requests = ["a", "b", "c", "d"].map(|name| request(name, 1));
    let claims: Vec<_> = catalog
        .claim(&run, vault, &requests, NOW)
        .unwrap()
        .into_iter()
        .map(|claimed| mine(vec![claimed]))
        .collect();
    assert_eq!(
        catalog.claim(&run, vault, &requests[..1], NOW).unwrap(),
        [Claimed::HeldElsewhere],
        "also for the run itself"
    );
    let size = PartSize::new(1 << 20).unwrap();
    catalog.begin_upload(claims[1].id, &UploadId::parse("U").unwrap(), size).unwrap();
    catalog.record(vault, &[file("a", "A", NOW)]).unwrap();
    catalog.release(&[claims[1].id, claims[2].id]).unwrap();
    catalog.drop_claims(&[claims[3].id]).unwrap();
    let pending = catalog.pending_uploads(None).unwrap();
    assert_eq!(pending.len(), 1);
    assert_eq!((pending[0].path.clone(), pending[0].held), (path("b"), false));
    assert_eq!(pending[0].part_size, Some(size));
}

// --- retrievals

fn retrieval(claimed: ClaimedRetrieval) -> Retrieval {
    match claimed {
        ClaimedRetrieval::Mine(retrieval) => retrieval,
        ClaimedRetrieval::HeldElsewhere => panic!("it is held elsewhere"),
    }
}

#[test]
fn a_retrieval_is_continued_with_its_job_and_segments() {
    let (_dir, catalog, vault) = catalog();
    let key = RetrievalKey { archive: id("A"), range: ByteRange::new(0, 1_048_575).ok() };
    let (to, job) = (Path::new("/tmp/to"), JobId::parse("J").unwrap());
    let run = catalog.begin_run("retrieve").unwrap();
    let first = retrieval(catalog.claim_retrieval(&run, vault, &key, to, NOW).unwrap());
    assert_eq!((first.job, first.started), (None, NOW));
    catalog.set_job(first.id, &job, Tier::Bulk, at(5)).unwrap();
    catalog.begin_download(first.id, Path::new("/tmp/to.part"), 1 << 20).unwrap();
    let hash = TreeHash::from_bytes([2; 32]);
    catalog.record_segment(first.id, 4, hash).unwrap();
    assert_eq!(
        catalog.claim_retrieval(&run, vault, &key, to, NOW).unwrap(),
        ClaimedRetrieval::HeldElsewhere
    );
    assert!(catalog.pending_retrievals(Some(vault)).unwrap()[0].held);
    drop(run);

    let run = catalog.begin_run("retrieve").unwrap();
    let again = retrieval(catalog.claim_retrieval(&run, vault, &key, to, at(9)).unwrap());
    let expected = Retrieval {
        id: first.id,
        job: Some(job.clone()),
        tier: Tier::Bulk,
        started: at(5),
        destination: Some(to.to_path_buf()),
        partial: Some(PathBuf::from("/tmp/to.part")),
        segment_size: Some(1 << 20),
        segments: BTreeMap::from([(4, hash)]),
    };
    assert_eq!(again, expected);
    let pending = catalog.pending_retrievals(None).unwrap();
    assert_eq!((pending.len(), &pending[0].key, &pending[0].retrieval), (1, &key, &expected));
}

#[test]
fn a_job_is_known_for_every_destination_and_after_its_end() {
    let (_dir, catalog, vault) = catalog();
    let key = RetrievalKey { archive: id("A"), range: None };
    let job = JobId::parse("J").unwrap();
    let run = catalog.begin_run("retrieve").unwrap();
    let first = retrieval(catalog.claim_retrieval(&run, vault, &key, Path::new("x"), NOW).unwrap());
    catalog.set_job(first.id, &job, Tier::Standard, at(5)).unwrap();
    let other = retrieval(catalog.claim_retrieval(&run, vault, &key, Path::new("y"), NOW).unwrap());
    assert_eq!(other.job.as_ref(), Some(&job));
    catalog.end_retrieval(first.id).unwrap();
    assert_eq!(catalog.job_for(vault, &key).unwrap(), Some((job, at(5))));
    catalog.clear_job(other.id).unwrap();
    assert_eq!(catalog.job_for(vault, &key).unwrap(), None);
    let part = RetrievalKey { range: ByteRange::new(0, 1).ok(), ..key };
    assert_eq!(catalog.job_for(vault, &part).unwrap(), None);
}

#[test]
fn jobs_of_long_ago_are_forgotten() {
    let (_dir, catalog, vault) = catalog();
    let key = |name| RetrievalKey { archive: id(name), range: None };
    let job = JobId::parse("J").unwrap();
    catalog.remember_job(vault, &key("old"), &job, Tier::Standard, at(0)).unwrap();
    catalog.remember_job(vault, &key("new"), &job, Tier::Standard, at(40 * 24 * 3600)).unwrap();
    assert_eq!(catalog.job_for(vault, &key("old")).unwrap(), None);
    assert!(catalog.job_for(vault, &key("new")).unwrap().is_some());
}

#[test]
fn the_last_rate_is_remembered() {
    let (_dir, catalog, _) = catalog();
    assert_eq!(catalog.rate("store-1").unwrap(), None);
    catalog.record_rate("store-1", 1.5e6).unwrap();
    catalog.record_rate("store-1", 2.5e6).unwrap();
    catalog.record_rate("store-1", f64::NAN).unwrap();
    assert_eq!(catalog.rate("store-1").unwrap(), Some(2.5e6));
}

#[test]
fn times_of_files_are_written_and_read() {
    let time = FileTime { seconds: -1, nanos: 999_999_999 };
    assert_eq!(time.to_rfc3339().unwrap(), "1969-12-31T23:59:59.999999999Z");
    assert_eq!("1970-01-01T00:59:59.999999999+01:00".parse(), Ok(time));
    assert_eq!(FileTime { seconds: 1 << 40, nanos: 0 }.to_rfc3339(), None);
    assert_eq!(FileTime { seconds: i64::MAX, nanos: 0 }.to_rfc3339(), None);
    assert!("yesterday".parse::<FileTime>().is_err());
}

#[test]
fn a_file_that_took_the_place_of_a_folder_hides_what_was_below_it() {
    let (_dir, catalog, vault) = catalog();
    let entries = [
        folder("a", "m1", at(10)),
        file("a/b", "AB", at(10)),
        file("a/b/deep", "ABD", at(5)),
        file("a-b", "A-B", at(10)),
        file("a.txt", "TXT", at(10)),
        file("a", "A", at(20)),
        file("a0", "A0", at(10)),
    ];
    catalog.record(vault, &entries).unwrap();
    let newest = all(&catalog, vault, EntryQuery::default());
    assert_eq!(names(&newest), [("a", "A"), ("a-b", "A-B"), ("a.txt", "TXT"), ("a0", "A0")]);
    let then = all(&catalog, vault, EntryQuery { versions: false, as_of: Some(at(19)) });
    let before = [("a", "-"), ("a-b", "A-B"), ("a.txt", "TXT"), ("a/b", "AB"), ("a0", "A0")];
    assert_eq!(names(&then), before);
    let every = all(&catalog, vault, EntryQuery { versions: true, as_of: None });
    assert_eq!(every.len(), entries.len());
}

#[test]
fn a_folder_that_took_the_place_of_a_file_hides_the_file() {
    let (_dir, catalog, vault) = catalog();
    let entries = [
        file("a", "A", at(10)),
        file("a!", "other", at(10)),
        file("a/new", "N", at(20)),
        file("a/old", "O", at(5)),
        file("b", "B", at(10)),
        folder("b", "m", at(20)),
        file("b/old", "BO", at(5)),
    ];
    catalog.record(vault, &entries).unwrap();
    let newest = all(&catalog, vault, EntryQuery::default());
    assert_eq!(names(&newest), [("a!", "other"), ("a/new", "N"), ("b", "-"), ("b/old", "BO")]);
    let then = all(&catalog, vault, EntryQuery { versions: false, as_of: Some(at(19)) });
    assert_eq!(names(&then), [("a", "A"), ("a!", "other"), ("b", "B")]);
}

#[test]
fn of_a_file_and_a_path_below_it_of_the_same_time_the_later_record_counts() {
    let (_dir, catalog, vault) = catalog();
    catalog.record(vault, &[file("a/b", "AB", at(1)), file("a", "A", at(1))]).unwrap();
    assert_eq!(names(&all(&catalog, vault, EntryQuery::default())), [("a", "A")]);
    catalog.record(vault, &[file("a/c", "AC", at(1))]).unwrap();
    assert_eq!(names(&all(&catalog, vault, EntryQuery::default())), [("a/c", "AC")]);
}

/// Errands of catalogs before version 7 have no price that was agreed to.
#[test]
fn an_errand_keeps_the_price_that_was_agreed_to_last() {
    let (_dir, catalog, _) = catalog();
    let words = ["retrieve", "west:v"].map(Into::into);
    let begin = |catalog: &Catalog, agreed| {
        let run = catalog.begin_run("retrieve").unwrap();
        catalog.begin_errand(&run, &words, Path::new("/home"), agreed, NOW).unwrap()
    };
    let agreed = |catalog: &Catalog| catalog.errands().unwrap()[0].agreed;
    let first = begin(&catalog, Some(Usd::from_nanos(7)));
    assert_eq!(agreed(&catalog), Some(Usd::from_nanos(7)));
    assert_eq!(begin(&catalog, Some(Usd::from_nanos(u64::MAX))), first);
    assert_eq!(agreed(&catalog), Some(Usd::from_nanos(u64::MAX)));

    let at = catalog.path().to_path_buf();
    drop(catalog);
    let old = Connection::open(&at).unwrap();
    old.execute_batch("ALTER TABLE errand DROP COLUMN agreed; PRAGMA user_version = 6").unwrap();
    drop(old);
    assert_eq!(agreed(&Catalog::open(&at).unwrap()), None);
}
