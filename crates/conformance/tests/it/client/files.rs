//! Files to archive, no two alike, and whether they came back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use icefield_conformance::Random;
use icefield_protocol::TreeHash;
use icefield_treehash::{Hasher, Roles};

/// One MiB.
pub(super) const MIB: u64 = 1 << 20;

/// How many files, and how long they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Files of 1 byte to 64 KiB.
    pub(super) small: u64,
    /// Files of more than a MiB.
    pub(super) large: u64,
    /// No file has more MiB.
    pub(super) most_mib: u64,
}

/// What was written: the tree hash of each file, by its path in the folder.
#[derive(Debug)]
pub(super) struct Files(BTreeMap<PathBuf, TreeHash>);

impl Files {
    /// Fills a folder.
    pub(super) fn write(folder: &Path, sizes: Sizes, seed: u64) -> Self {
        let mut hashes = BTreeMap::new();
        for number in 0..sizes.small + sizes.large {
            // The same sizes whatever the seed, so that what is to be sent can be counted.
            let mut sizing = Random::of(0, number);
            let is_large = number < sizes.large;
            let size = match is_large {
                true => sizing.within(MIB + 1..sizes.most_mib * MIB + 1),
                false => sizing.within(1..64 << 10),
            };
            let path =
                PathBuf::from(format!("{}/{number:04}", if is_large { "large" } else { "small" }));
            // The number first: two files of one byte are alike otherwise.
            let mut content = number.to_le_bytes().to_vec();
            content.extend(Random::of(seed, number).bytes(usize::try_from(size).unwrap()));
            let whole = folder.join(&path);
            fs::create_dir_all(whole.parent().unwrap()).unwrap();
            fs::write(whole, &content).unwrap();
            hashes.insert(path, tree_hash(&content));
        }
        assert_eq!(hashes.values().collect::<BTreeSet<_>>().len(), hashes.len());
        Self(hashes)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks that each file is one of the archives, of which there are so many of each tree hash, and that nothing else is
    /// stored but what describes the folder.
    #[track_caller]
    pub(super) fn assert_each_once(&self, copies: &BTreeMap<String, usize>) {
        for (path, hash) in &self.0 {
            let count = copies.get(&hash.to_string()).copied().unwrap_or(0);
            assert_eq!(count, 1, "archives of {}", path.display());
        }
        let archives: usize = copies.values().sum();
        let files = self.0.len();
        assert!((files..=files + 1).contains(&archives), "{archives} archives of {files} files");
    }

    /// Checks that none of them is an archive.
    #[track_caller]
    pub(super) fn assert_none(&self, copies: &BTreeMap<String, usize>) {
        let left = self.0.iter().find(|(_, hash)| copies.contains_key(&hash.to_string()));
        assert!(left.is_none(), "{left:?} is still there");
    }

    /// Checks that a folder holds these files, byte for byte, and nothing else.
    #[track_caller]
    pub(super) fn assert_in(&self, folder: &Path) {
        let mut found = BTreeMap::new();
        collect(folder, folder, &mut found);
        let names =
            |files: &BTreeMap<PathBuf, TreeHash>| files.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(&found), names(&self.0), "other files are in {}", folder.display());
        for (path, hash) in &self.0 {
            assert_eq!(found.get(path), Some(hash), "{} has other bytes", path.display());
        }
    }
}

fn collect(folder: &Path, root: &Path, found: &mut BTreeMap<PathBuf, TreeHash>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, root, found);
        } else {
            let name = path.strip_prefix(root).unwrap().to_owned();
            found.insert(name, tree_hash(&fs::read(&path).unwrap()));
        }
    }
}

/// Returns the tree hash of bytes.
pub(super) fn tree_hash(bytes: &[u8]) -> TreeHash {
    let mut hasher = Hasher::new(Roles { linear: false });
    hasher.update(bytes);
    hasher.finish().tree
}
