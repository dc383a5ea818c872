//! Appending to an inventory file.

use std::fs;

use proptest::{prop_assert_eq, proptest};

use super::{all, catalog, day, entry, folder, link, name, paths};
use crate::{
    catalog::Entry,
    inventory::{AppendError, InventoryFile, import},
};

#[test]
fn a_repeated_run_leaves_a_complete_file_without_doubles() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("inventory.csv");
    let first = [entry("a", "A"), folder("d"), entry(*b"\xff", "B"), entry("a\nb, \"c\"", "C")];
    let mut file = InventoryFile::open(&path).unwrap();
    for entry in &first {
        assert!(file.append(&name(), entry).unwrap());
        assert!(!file.append(&name(), entry).unwrap());
    }
    drop(file);
    let mut file = InventoryFile::open(&path).unwrap();
    for entry in &first {
        assert!(!file.append(&name(), entry).unwrap(), "{entry:?}");
    }
    let newer = Entry { uploaded: day(21), ..entry("a", "A2") };
    assert!(file.append(&name(), &newer).unwrap(), "another archive is another row");
    file.sync().unwrap();
    let (_dir, catalog, vault) = catalog();
    let report = import(&catalog, vault, fs::File::open(&path).unwrap(), day(1)).unwrap();
    assert_eq!((report.added, report.refused.total), (5, 0));
    assert_eq!(paths(&all(&catalog, vault)), ["a", "a", "a\nb, \"c\"", "d", "\u{fffd}"]);
}

proptest! {
    /// Wherever a run died, the next one completes the file to exactly what it would have been.
    #[test]
    fn a_torn_file_is_completed(cut: proptest::sample::Index) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("inventory.csv");
        let entries = [entry("a", "A"), entry("x\n\"y\", z", "B"), link(*b"l\xff", b"t\xfe"), folder("d")];
        let append = || {
            let mut file = InventoryFile::open(&path).unwrap();
            for entry in &entries {
                file.append(&name(), entry).unwrap();
            }
            fs::read(&path).unwrap()
        };
        let whole = append();
        fs::write(&path, &whole[..cut.index(whole.len())]).unwrap();
        prop_assert_eq!(append(), whole);
    }
}

#[test]
fn another_file_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("inventory.csv");
    for text in
        ["hello\n", "\"FilePath\",\"ArchiveId\",\"Checksum\"\n\"C:\\x\",\"a\",\"\"\n", "F,A\n"]
    {
        fs::write(&path, text).unwrap();
        assert!(matches!(InventoryFile::open(&path), Err(AppendError::Foreign)), "{text:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
