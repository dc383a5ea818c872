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
        let count = differences.len();
        differences.truncate(SHOWN);
        assert!(count == 0, "{count} differences:\n{}", differences.join("\n"));
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
