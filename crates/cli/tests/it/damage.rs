//! Damaged bytes are never handed out: they are refused and located, and everything else still comes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    sandbox::Sandbox,
    trees::{self, MIB, noise},
};

const LARGE: usize = 3 * 1024 * 1024 + 100;

/// A large and a small file in the vault `v`, and another of each.
fn archived() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("tree/large", noise(LARGE, 1));
    sandbox.write("tree/other large", noise(LARGE, 2));
    sandbox.write("tree/small", noise(5000, 3));
    sandbox.write("tree/other small", noise(5000, 4));
    sandbox.ok(["upload", "--create", "v", "tree"]);
    sandbox
}

/// Finds where in the store a file's bytes lie.
fn find(sandbox: &Sandbox, content: &[u8]) -> (PathBuf, usize) {
    let needle = &content[..64];
    for path in trees::files(sandbox.store()) {
        let bytes = fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
            return (path, at);
        }
    }
    panic!("the content is not in the store as it is");
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn problems(sandbox: &Sandbox) -> Vec<Value> {
    let run = sandbox.fails(3, ["store", "check", "--output", "json"]);
    run.json().as_array().unwrap().clone()
}

/// Retrieves everything into `to` and checks that all but `damaged` is there.
fn all_but(sandbox: &Sandbox, damaged: &str, to: &str) -> crate::sandbox::Run {
    let run = sandbox.fails(3, ["retrieve", "v", "--to", to]).says(damaged).says("damaged");
    for path in ["tree/large", "tree/other large", "tree/small", "tree/other small"] {
        let back = sandbox.path(to).join(path);
        if path == damaged {
            assert!(!back.exists(), "damaged bytes were put in place");
        } else {
            assert_eq!(fs::read(back).unwrap(), sandbox.read(path), "{path}");
        }
    }
    run
}

#[test]
fn a_flipped_bit_in_a_large_archive_is_located_and_the_others_come() {
    let sandbox = archived();
    let (path, _) = find(&sandbox, &sandbox.read("tree/large"));
    let at = usize::try_from(2 * MIB).unwrap() + 7;
    flip(&path, at);

    all_but(&sandbox, "tree/large", "back").says("MiB 2");
    let problems = problems(&sandbox);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0]["mib"], 2);
    assert!(
        problems[0]["description"].as_str().is_some_and(|text| text.contains("tree/large")),
        "{problems:?}"
    );

    // Put right again, the rest comes with the same command.
    flip(&path, at);
    sandbox.check_store();
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    assert_eq!(sandbox.read("back/tree/large"), sandbox.read("tree/large"));
}

#[test]
fn a_flipped_bit_in_a_small_archive_is_found_and_the_others_come() {
    let sandbox = archived();
    let (path, begin) = find(&sandbox, &sandbox.read("tree/small"));
    flip(&path, begin + 4000);
    all_but(&sandbox, "tree/small", "back");
    let problems = problems(&sandbox);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0]["description"].as_str().is_some_and(|text| text.contains("tree/small")),
        "{problems:?}"
    );
    flip(&path, begin + 4000);
    sandbox.check_store();
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    assert_eq!(sandbox.read("back/tree/small"), sandbox.read("tree/small"));
}

#[test]
fn a_missing_payload_file_is_named_and_the_others_come() {
    let sandbox = archived();
    let (path, _) = find(&sandbox, &sandbox.read("tree/large"));
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    all_but(&sandbox, "tree/large", "back");
    let name = path.file_name().unwrap().to_str().unwrap();
    let problems = problems(&sandbox);
    assert!(
        problems.iter().any(|problem| problem["place"].as_str().unwrap().contains(name)),
        "{problems:?}"
    );
    fs::write(&path, bytes).unwrap();
    sandbox.check_store();
}

#[test]
fn a_cut_payload_file_is_found() {
    let sandbox = archived();
    let (path, _) = find(&sandbox, &sandbox.read("tree/large"));
    fs::File::options().write(true).open(&path).unwrap().set_len(2 * MIB).unwrap();
    all_but(&sandbox, "tree/large", "back");
    assert_ne!(problems(&sandbox), [] as [Value; 0]);
}

#[test]
fn a_file_that_does_not_belong_to_the_store_is_named() {
    let sandbox = archived();
    let (path, _) = find(&sandbox, &sandbox.read("tree/large"));
    let folder = path.parent().unwrap();
    fs::write(folder.join("notes.txt"), "not a payload").unwrap();
    let unlisted = format!("{}{}", &folder.file_name().unwrap().to_str().unwrap(), "0".repeat(30));
    fs::write(folder.join(&unlisted), "no archive has these bytes").unwrap();
    let problems = problems(&sandbox);
    for name in ["notes.txt", &unlisted] {
        let named =
            problems.iter().any(|problem| problem["place"].as_str().unwrap().contains(name));
        assert!(named, "{name} is not in {problems:?}");
    }
    sandbox.ok(["retrieve", "v", "--to", "back"]);
}

#[test]
fn every_flipped_bit_is_found_wherever_it_is() {
    let sandbox = archived();
    let mut random = trees::Random::announced();
    let truth: Vec<_> = trees::files(sandbox.store())
        .into_iter()
        .filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with("ledger.db"))
        .filter(|path| path.metadata().unwrap().len() > 0 && !path.ends_with("lock"))
        .collect();
    for path in truth {
        for _ in 0..3 {
            let at = usize::try_from(random.next() % path.metadata().unwrap().len()).unwrap();
            flip(&path, at);
            let run = sandbox.run(["store", "check"]);
            assert!(
                matches!(run.code, Some(1 | 3)),
                "byte {at} of {} was flipped\n{run}",
                path.display()
            );
            flip(&path, at);
        }
    }
    sandbox.check_store();
    sandbox.ok(["retrieve", "v", "--to", "back"]);
}
