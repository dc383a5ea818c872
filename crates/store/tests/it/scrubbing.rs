//! The scrub: it comes to every byte, finds damage, and minds neither writers nor sweeps.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use icefield_protocol::{InventoryFormat, JobStatus, PartSize, Timestamp};
use icefield_store::{
    IdSeal, ManualClock, Problem, Scrub, Store,
    entry::{JobNumber, UploadNumber, VaultNumber},
    ledger::{InventoryOutput, JobEnd, JobKind, JobRow, PartRow, UploadRow, UploadState},
};

use crate::support::{bytes, create_vault, delete, fill, open, put, put_file};

const MIB: u64 = 1 << 20;

/// A whole round by steps of this budget: its problems and how many bytes it verified.
async fn round(scrub: &mut Scrub, budget_bytes: u64) -> (Vec<Problem>, u64) {
    let (mut problems, mut bytes) = (Vec::new(), 0);
    loop {
        let step = scrub.step(budget_bytes).await.unwrap();
        assert!(step.bytes <= budget_bytes + MIB + 10_000, "{} bytes", step.bytes);
        problems.extend(step.problems);
        bytes += step.bytes;
        assert_eq!(step.round_bytes, bytes);
        if step.finished_round {
            return (problems, bytes);
        }
    }
}

async fn problems(store: &Store) -> Vec<String> {
    let (problems, _) = round(&mut Scrub::new(store), 3 * MIB).await;
    problems.into_iter().map(|problem| problem.damage.to_string()).collect()
}

/// An unfinished upload with one part of 3 MiB, and a job with an output of 2,000 bytes.
async fn with_work(store: &Store, vault: VaultNumber) -> (PathBuf, PathBuf) {
    let (seal, now) = (IdSeal { key: 1, salt: [3; 16] }, store.clock().now());
    let number = UploadNumber(store.next_number());
    let upload = UploadRow {
        number,
        vault,
        seal,
        description: None,
        part_size: PartSize::new(4 * MIB).unwrap(),
        token: None,
        created: now,
        touched: now,
        state: UploadState::InProgress,
    };
    store.ledger().create_upload(upload).await.unwrap();
    let part = put_file(store, bytes(3 << 20)).await;
    assert!(
        store.ledger().put_part(number, PartRow { index: 0, extent: part }, now).await.unwrap()
    );
    let number = JobNumber(store.next_number());
    let kind = JobKind::Inventory {
        format: InventoryFormat::Json,
        writes: 0,
        date: now,
        start: None,
        end: None,
        limit: None,
        after: None,
    };
    let job = JobRow {
        number,
        vault,
        seal,
        kind,
        description: None,
        sns_topic: None,
        created: now,
        due: now,
        status: JobStatus::InProgress,
        message: None,
        completed: None,
        output: None,
    };
    store.ledger().create_job(job).await.unwrap();
    let output = put_file(store, bytes(2_000)).await;
    let end = JobEnd::Succeeded(Some(InventoryOutput { extent: output, next: None }));
    assert!(store.ledger().end_job(number, end, now, Vec::new()).await.unwrap());
    store.release(vec![part.payload, output.payload]).await.unwrap();
    let path = |id: &str| format!("payload/{}/{id}", &id[..2]).into();
    (path(&part.payload.to_string()), path(&output.payload.to_string()))
}

#[tokio::test]
async fn a_round_verifies_every_byte_within_its_budget_and_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = fill(&store).await;
    with_work(&store, vault).await;
    let mut scrub = Scrub::new(&store);
    let log = store.stat().await.unwrap().pack_bytes;
    let expected = log + 5_000_000 + 3_000_000 + 3 * MIB + 2_000;
    for budget_bytes in [0, 1, 5_000, MIB, 5 * MIB, 1 << 40] {
        let (problems, bytes) = round(&mut scrub, budget_bytes).await;
        assert_eq!((problems, bytes), (Vec::new(), expected), "by {budget_bytes}");
    }
}

#[tokio::test]
async fn a_round_of_a_store_in_memory_or_without_archives_ends() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_millis(1_763_788_414_000)));
    let store = Store::in_memory(clock).await.unwrap();
    assert_eq!(round(&mut Scrub::new(&store), MIB).await, (Vec::new(), 0));
    fill(&store).await;
    let (problems, bytes) = round(&mut Scrub::new(&store), MIB).await;
    assert_eq!(problems, []);
    assert!(bytes > 8_000_000, "{bytes}");
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// The files of the film: those of more than a MiB that only it has.
fn film(dir: &Path) -> Vec<PathBuf> {
    let shards = fs::read_dir(dir.join("payload")).unwrap();
    let files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    let of_film = |path: &PathBuf| {
        let len = path.metadata().unwrap().len();
        len == 5_000_000 - 4 * MIB
    };
    files.map(|file| file.unwrap().path()).filter(of_film).collect()
}

#[tokio::test]
async fn a_flipped_bit_is_found_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    fill(&store).await;
    let [last_part] = &film(dir.path())[..] else { panic!("one last part of the film") };
    let hashes = last_part.with_extension("sha256");
    let pack = dir.path().join("packs/00000001.pack");
    let log = fs::read(&pack).unwrap();
    let letter = log.windows(8).position(|window| window == b"a letter").unwrap();
    let line_end = letter + log[letter..].iter().position(|byte| *byte == b'\n').unwrap();
    for (path, at, what, hit) in [
        (last_part, 77, "hash mismatch", Some("a film")),
        (&hashes, 5, "do not fit the recorded tree hash", Some("a film")),
        (&hashes, 67, "is not what was written", Some("a film")),
        (&pack, line_end + 1000, "does not fit its hash", Some("a letter")),
        (&pack, letter, "are no record", None),
        (&dir.path().join("store.json"), 20, "its check does not fit", None),
        (&dir.path().join("keys.json"), 20, "its check does not fit", None),
    ] {
        flip(path, at);
        let (found, _) = round(&mut Scrub::new(&store), MIB).await;
        let [problem] = &found[..] else { panic!("{}: {found:?}", path.display()) };
        let name = path.strip_prefix(dir.path()).unwrap().to_str().unwrap();
        assert_eq!(
            (problem.damage.place.as_str(), problem.damage.what.contains(what)),
            (name, true),
            "{problem:?}"
        );
        let archive = problem.archive.as_ref().and_then(|archive| archive.description.as_ref());
        assert_eq!(archive.map(|description| description.as_str()), hit, "{problem:?}");
        flip(path, at);
    }
    assert_eq!(problems(&store).await, [""; 0]);
    fs::remove_file(last_part).unwrap();
    let name = last_part.strip_prefix(dir.path()).unwrap().display();
    assert_eq!(problems(&store).await, [format!("{name}: missing file")]);
}

#[tokio::test]
async fn parts_and_outputs_are_verified_and_a_damaged_mib_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = create_vault(&store, "photos").await;
    let (part, output) = with_work(&store, vault).await;
    for at in [1, 2 << 20] {
        flip(&dir.path().join(&part), at);
    }
    flip(&dir.path().join(&output), 1999);
    let (part, output) = (part.display(), output.display());
    let mut found = problems(&store).await;
    found.sort();
    let mut expected = [
        format!("{part}: MiB 0: hash mismatch"),
        format!("{part}: MiB 2: hash mismatch"),
        format!("{output}: MiB 0: hash mismatch"),
    ];
    expected.sort();
    assert_eq!(found, expected);
}

/// Writers that are faster than the scrub must not keep a round from ending, nor removed files count as damage.
#[tokio::test]
async fn a_round_ends_beside_faster_writers_and_what_they_remove_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = create_vault(&store, "photos").await;
    let mut numbers = Vec::new();
    for index in 0..12 {
        numbers.push(put(&store, vault, "a film", bytes(2_000_000 + index)).await);
    }
    let (store_of_scrub, mut steps) = (store.clone(), 0);
    let mut scrub = Scrub::new(&store_of_scrub);
    loop {
        let stepping = tokio::spawn(async move {
            let step = scrub.step(100_000).await;
            (scrub, step)
        });
        put(&store, vault, "a letter", bytes(150_000)).await;
        put(&store, vault, "a note", bytes(90_000)).await;
        if let Some(number) = numbers.pop() {
            delete(&store, vault, number).await;
            assert_eq!(store.ledger().purge(9).await.unwrap(), 1);
            store.sweep().await.unwrap();
        }
        let step;
        (scrub, step) = stepping.await.unwrap();
        let step = step.unwrap();
        assert_eq!(step.problems, []);
        steps += 1;
        if step.finished_round {
            break;
        }
        assert!(steps < 100, "the round does not end");
    }
    assert!(steps > 5, "{steps} steps: nothing was written beside the round");
    assert_eq!(problems(&store).await, [""; 0]);
}

#[tokio::test]
async fn a_pack_that_cannot_be_read_does_not_hide_damage_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = create_vault(&store, "photos").await;
    for _ in 0..3 {
        put(&store, vault, "a letter", bytes(100_000)).await;
    }
    let pack = |number: u32| dir.path().join(format!("packs/{number:08x}.pack"));
    assert!(pack(3).exists(), "the letters fill less than three packs");
    flip(&pack(3), 50_000);
    fs::rename(pack(1), dir.path().join("lost")).unwrap();
    fs::create_dir(pack(1)).unwrap();
    let found = problems(&store).await;
    let [first, second] = &found[..] else { panic!("{found:?}") };
    assert!(first.starts_with("packs: cannot be read"), "{found:?}");
    assert!(second.starts_with("packs/00000003.pack: "), "{found:?}");
}
