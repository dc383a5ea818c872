//! Things to archive: trees with everything a file system allows, big files, many files.

use std::{
    ffi::OsStr,
    fs::{self, File},
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io::Write as _,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _, fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, Mode, Timespec, Timestamps, mkfifoat, utimensat};

/// One MiB.
pub(crate) const MIB: u64 = 1 << 20;

/// Numbers that look random, the same for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Begins with a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// Begins with the seed of `ICEFIELD_TEST_SEED`, else with any, and says which.
    #[expect(clippy::disallowed_methods, reason = "a failed run is repeated with its seed")]
    pub(crate) fn announced() -> Self {
        let given = std::env::var("ICEFIELD_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 16);
        eprintln!("seed: ICEFIELD_TEST_SEED={seed}");
        Self::new(seed)
    }

    /// Returns the next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a number from `least` up to, not including, `end`.
    pub(crate) fn between(&mut self, least: u64, end: u64) -> u64 {
        least + self.next() % (end - least)
    }
}

/// Returns `size` bytes that look random.
pub(crate) fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Writes a file in which no two MiB are equal, as fast as the disk takes it.
pub(crate) fn big_file(path: &Path, size: u64, seed: u64) {
    let mut block = noise(usize::try_from(MIB).unwrap(), seed);
    let mut file = File::create(path).unwrap();
    let mut written = 0;
    while written < size {
        block[..8].copy_from_slice(&written.to_le_bytes());
        let length = usize::try_from((size - written).min(MIB)).unwrap();
        file.write_all(&block[..length]).unwrap();
        written += length as u64;
    }
}

/// Sets the modification time of a file, folder or link.
pub(crate) fn set_mtime(path: &Path, seconds: i64, nanoseconds: u32) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Sets the permission bits.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Names of pipes and sockets in an [`odd`] tree, which cannot be archived.
pub(crate) const SPECIAL: [&str; 2] = ["a pipe", "a socket"];

/// Fills a folder with everything a file system allows.
pub(crate) fn odd(root: &Path) {
    fs::create_dir_all(root).unwrap();
    names(root);
    sizes(root);
    links(root);
    mkfifoat(CWD, root.join(SPECIAL[0]), Mode::from_raw_mode(0o644)).unwrap();
    drop(UnixListener::bind(root.join(SPECIAL[1])).unwrap());
    modes(root);
    times(root);
}

fn names(root: &Path) {
    let longest = "n".repeat(255);
    let names: [&[u8]; 24] = [
        b"-rf",
        b"--help",
        b"a b",
        b" leading",
        b"trailing ",
        b"new\nline",
        b"tab\there",
        b"return\r",
        b"quote\"'`",
        b"back\\slash",
        b"star*",
        b"[x]{y}?",
        b".hidden",
        b"#hash",
        b"%41",
        b"~",
        b"$HOME",
        b"a:b",
        b"\x7f",
        b"latin\xe9.txt",
        "composed \u{e9}".as_bytes(),
        "decomposed e\u{301}".as_bytes(),
        "\u{661f}\u{91ce}".as_bytes(),
        longest.as_bytes(),
    ];
    for name in names {
        fs::write(root.join(OsStr::from_bytes(name)), name).unwrap();
    }
    let folder = root.join(OsStr::from_bytes(b"folder\xff\xfe"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join(OsStr::from_bytes(b"\xc3\x28")), "not UTF-8, in a folder that is not")
        .unwrap();
    // Too long for an archive's description.
    let deep =
        (0..6).fold(root.to_owned(), |path, depth| path.join(format!("{depth}").repeat(220)));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("at the bottom"), "found").unwrap();
}

fn sizes(root: &Path) {
    fs::write(root.join("empty"), "").unwrap();
    fs::create_dir_all(root.join("empty folder/with another")).unwrap();
    let mib = usize::try_from(MIB).unwrap();
    for size in [1, mib - 1, mib, mib + 1, 3 * mib + 17] {
        fs::write(root.join(format!("{size} bytes")), noise(size, size as u64)).unwrap();
    }
}

fn links(root: &Path) {
    let link = |target: &str, name: &str| symlink(target, root.join(name)).unwrap();
    link("nothing there", "dangling");
    link("/nonexistent/absolute", "dangling absolute");
    link("loop two", "loop one");
    link("loop one", "loop two");
    link("itself", "itself");
    link(".", "here");
    link("empty folder", "to a folder");
    link("a b", "to a file");
    link("../", "up");
    symlink(OsStr::from_bytes(b"\xfftarget"), root.join("to bytes")).unwrap();
    fs::hard_link(root.join("a b"), root.join("hard link")).unwrap();
}

fn modes(root: &Path) {
    for (name, mode) in
        [("private", 0o600), ("runs", 0o755), ("read only", 0o444), ("group", 0o664)]
    {
        fs::write(root.join(name), name).unwrap();
        set_mode(&root.join(name), mode);
    }
    fs::create_dir(root.join("locked")).unwrap();
    fs::write(root.join("locked/inside"), "inside").unwrap();
    fs::create_dir(root.join("locked/deeper")).unwrap();
    set_mode(&root.join("locked/deeper"), 0o500);
    set_mode(&root.join("locked"), 0o555);
    fs::create_dir(root.join("open")).unwrap();
    set_mode(&root.join("open"), 0o777);
}

fn times(root: &Path) {
    const YEAR_2100: i64 = 4_102_444_800;
    for (name, seconds, nanoseconds) in [
        ("a nanosecond", 1_700_000_000, 1),
        ("the last nanosecond", 1_700_000_000, 999_999_999),
        ("1969", -2, 500_000_000),
        ("1970", 0, 0),
        ("2038", i64::from(i32::MAX) + 1, 123_456_789),
        ("2100", YEAR_2100, 42),
    ] {
        fs::write(root.join(name), name).unwrap();
        set_mtime(&root.join(name), seconds, nanoseconds);
    }
    set_mtime(&root.join("dangling"), 1_111_111_111, 111_111_111);
    set_mtime(&root.join("empty"), 1_234_567_890, 987_654_321);
    set_mtime(&root.join("empty folder"), 999_999_999, 333);
    set_mtime(&root.join("locked"), -86_400, 7);
    set_mtime(root, 1_600_000_000, 600);
}

/// Writes `count` small files in folders of a hundred.
pub(crate) fn many(root: &Path, count: u64) {
    for number in 0..count {
        let folder = root.join(format!("{:04}", number / 100));
        if number % 100 == 0 {
            fs::create_dir_all(&folder).unwrap();
        }
        let size = 100 + usize::try_from(number * 37 % 4000).unwrap();
        fs::write(folder.join(format!("{number:06}.dat")), noise(size, number + 1)).unwrap();
    }
}

/// Returns every regular file below a folder; files that vanish while looking are passed over.
pub(crate) fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// Returns the bytes that the files below a folder take on the disk; what vanishes while looking does not count.
pub(crate) fn bytes_on_disk(root: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    files(root)
        .iter()
        .filter_map(|path| path.metadata().ok())
        .map(|found| found.blocks() * 512)
        .sum()
}
