//! Compares folders as a person would after a disaster: bytes, kinds, link targets, modes, times to the nanosecond.
//!
//! Sockets, pipes and devices are left out of the picture, as icefield leaves them out.

use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hasher as _},
    io::Read as _,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
};

/// A folder (or file) as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeMap<Vec<u8>, Item>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    kind: Kind,
    /// Permission bits; links have none.
    mode: u32,
    /// Seconds and nanoseconds.
    mtime: (i64, i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    File { size: u64, digest: u64 },
    Folder,
    Link { target: Vec<u8> },
}

impl Snapshot {
    /// Takes the picture.
    pub(crate) fn of(root: &Path) -> Self {
        let mut items = BTreeMap::new();
        take(root, Vec::new(), &mut items);
        Self(items)
    }

    /// Fails the test with a list of differences unless `other` is the same.
    #[track_caller]
    pub(crate) fn assert_same(&self, other: &Self) {
        /// Differences that are shown.
        const SHOWN: usize = 40;
        let mut differences = self.differences(other);
        let count = differences.len();
        differences.truncate(SHOWN);
        assert!(count == 0, "{count} differences:\n{}", differences.join("\n"));
    }

    fn differences(&self, other: &Self) -> Vec<String> {
        let shown = |path: &[u8]| String::from_utf8_lossy(path).escape_debug().to_string();
        let mut differences = Vec::new();
        for (path, item) in &self.0 {
            match other.0.get(path) {
                None => differences.push(format!("{}: missing, was {item:?}", shown(path))),
                Some(found) if found != item => {
                    differences.push(format!("{}: {found:?}, was {item:?}", shown(path)));
                }
                Some(_) => {}
            }
        }
        let extra = other.0.iter().filter(|(path, _)| !self.0.contains_key(*path));
        differences.extend(extra.map(|(path, item)| format!("{}: extra {item:?}", shown(path))));
        differences
    }
}

/// Returns whether two files have the same bytes.
pub(crate) fn same_bytes(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| match Kind::of_file(path) {
        Kind::File { size, digest } => (size, digest),
        _ => unreachable!("made as a file"),
    };
    file(one) == file(other)
}

impl Kind {
    /// A digest that is independent of icefield's; nobody attacks it here.
    fn of_file(path: &Path) -> Self {
        let mut file =
            fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (mut buffer, mut digest, mut size) = (vec![0; 1 << 20], DefaultHasher::new(), 0);
        loop {
            // Whole buffers, because the digest depends on how the bytes are cut.
            let mut filled = 0;
            while filled < buffer.len() {
                match file.read(&mut buffer[filled..]).unwrap() {
                    0 => break,
                    more => filled += more,
                }
            }
            digest.write(&buffer[..filled]);
            size += filled as u64;
            if filled < buffer.len() {
                return Self::File { size, digest: digest.finish() };
            }
        }
    }
}

fn take(path: &Path, name: Vec<u8>, items: &mut BTreeMap<Vec<u8>, Item>) {
    let found =
        path.symlink_metadata().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mtime = (found.mtime(), found.mtime_nsec());
    let mode = found.mode() & 0o7777;
    if found.is_symlink() {
        let target = fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec();
        items.insert(name, Item { kind: Kind::Link { target }, mode: 0, mtime });
    } else if found.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let below = if name.is_empty() { Vec::new() } else { [name.as_slice(), b"/"].concat() };
            take(&entry.path(), [below.as_slice(), entry.file_name().as_bytes()].concat(), items);
        }
        items.insert(name, Item { kind: Kind::Folder, mode, mtime });
    } else if found.is_file() {
        items.insert(name, Item { kind: Kind::of_file(path), mode, mtime });
    }
}

#[test]
fn a_copy_is_the_same_and_whatever_is_changed_is_a_difference() {
    use crate::trees::{odd, set_mode, set_mtime};
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    odd(&one);
    let copied = std::process::Command::new("cp").arg("-a").args([&one, &two]).status().unwrap();
    assert!(copied.success());
    let before = Snapshot::of(&one);
    before.assert_same(&Snapshot::of(&two));

    type Change = fn(&Path);
    let changes: [(&str, Change); 7] = [
        ("a nanosecond", |path| set_mtime(path, 1_700_000_000, 2)),
        ("dangling", |path| set_mtime(path, 1_111_111_111, 111_111_112)),
        ("locked", |path| set_mode(path, 0o755)),
        ("empty folder/with another", |path| fs::remove_dir(path).unwrap()),
        ("loop one", |path| {
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("loop too", path).unwrap();
        }),
        ("itself", |path| {
            fs::remove_file(path).unwrap();
            fs::write(path, "a file").unwrap();
        }),
        ("3145745 bytes", |path| {
            use std::os::unix::fs::FileExt as _;
            let file = fs::File::options().write(true).open(path).unwrap();
            file.write_all_at(b"?", 3_000_000).unwrap();
        }),
    ];
    for (name, change) in changes {
        change(&two.join(name));
        let differences = before.differences(&Snapshot::of(&two));
        let named =
            differences.iter().any(|difference| difference.starts_with(&format!("{name}: ")));
        assert!(named, "{name} is not in {differences:?}");
    }
    fs::write(two.join("extra"), "").unwrap();
    assert!(
        before
            .differences(&Snapshot::of(&two))
            .iter()
            .any(|difference| difference.starts_with("extra: "))
    );
}
