//! `docs/data-directory.md` does what it says: its commands bring archives and their names back.

use std::{fs, path::Path, process::Command};

use crate::{
    compacting::{compact, mostly_dead},
    support::{bytes, fill, open},
};

const DOCUMENT: &str = include_str!("../../../../docs/data-directory.md");

/// The `sh` blocks of the document in order.
fn commands() -> Vec<&'static str> {
    let blocks = DOCUMENT.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap()).collect()
}

fn run(script: &str, store: &Path, text: &str, out: &Path) -> String {
    let output = Command::new("sh")
        .args(["-euc", script])
        .env("STORE", store)
        .env("TEXT", text)
        .env("OUT", out)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn its_commands_give_archives_and_names_back() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("store"), dir.path().join("out"));
    let store = open(&path).await;
    fill(&store).await;
    store.close().await;
    fs::remove_file(path.join("ledger.db")).unwrap();
    let [list, small, large] = commands()[..] else { panic!("three blocks of commands") };

    let names = run(list, &path, "", &out);
    for name in ["a letter", "a long letter", "a film", "a mistake", "nothing"] {
        assert!(names.contains(&format!("\"description\":\"{name}\"")), "{names}");
    }
    assert_eq!(names.matches("\"entry\":\"archive_deleted\"").count(), 1);
    for (name, len) in [("a letter", 5_000), ("a long letter", 100_000), ("nothing", 0)] {
        let check = run(small, &path, &format!("\"{name}\""), &out);
        assert_eq!(fs::read(&out).unwrap(), bytes(len), "{name}");
        let digits = check.split_whitespace().next().unwrap();
        let packs = ["00000001", "00000002"]
            .map(|pack| fs::read(path.join(format!("packs/{pack}.pack"))).unwrap());
        let shown =
            packs.iter().any(|pack| pack.windows(64).any(|window| window == digits.as_bytes()));
        assert!(shown, "{name}: no header has the check {digits}");
    }
    run(large, &path, "\"a film\"", &out);
    assert_eq!(fs::read(&out).unwrap(), bytes(5_000_000));

    for name in ["store.json", "keys.json"] {
        let script = format!("cd \"$STORE\"; head -n -2 {name} | sha256sum");
        let digits = run(&script, &path, "", &out);
        let text = fs::read_to_string(path.join(name)).unwrap();
        assert!(text.contains(digits.split_whitespace().next().unwrap()), "{name}");
    }
}

#[tokio::test]
async fn its_commands_give_archives_back_from_compacted_packs() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("store"), dir.path().join("out"));
    let store = open(&path).await;
    mostly_dead(&store).await;
    store.ledger().purge(1000).await.unwrap();
    assert_eq!(compact(&store).await, [1, 2]);
    store.close().await;
    let [list, small, _] = commands()[..] else { panic!("three blocks of commands") };
    let names = run(list, &path, "", &out);
    assert_eq!(names.matches("\"entry\":\"archive_created\"").count(), 60);
    assert_eq!(names.matches("\"entry\":\"archive_deleted\"").count(), 45);
    for index in (0..60).step_by(4) {
        run(small, &path, &format!("\"file {index}\""), &out);
        assert_eq!(fs::read(&out).unwrap(), bytes(4096 + index), "{index}");
    }
}
