use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
};

use super::{Destination, Found, PlaceError, temporary_path};
use crate::{catalog::FileTime, path::CatalogPath};

const MTIME: FileTime = FileTime { seconds: -5, nanos: 999_999_999 };

fn path(bytes: impl Into<Vec<u8>>) -> CatalogPath {
    CatalogPath::parse(bytes).unwrap()
}

fn put(
    to: &Destination,
    at: &CatalogPath,
    bytes: &[u8],
    overwrite: bool,
) -> Result<(), PlaceError> {
    let partial = to.partial(at, 7, true)?;
    partial.write_at(bytes, 0)?;
    let staged = partial.stage(Some(0o4751), Some(MTIME), overwrite)?;
    to.publish(&[staged]).remove(0)
}

#[test]
fn a_destination_is_made_with_the_folders_above_it() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("a/b/c");
    Destination::open(&to).unwrap();
    assert!(to.is_dir());
    assert!(Destination::existing(&folder.path().join("x")).is_none());
    fs::write(folder.path().join("file"), "").unwrap();
    assert!(Destination::open(&folder.path().join("file")).is_err());
}

#[test]
fn a_file_gets_its_name_its_mode_and_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let to = Destination::open(folder.path()).unwrap();
    put(&to, &path("a/b"), b"hello", false).unwrap();
    let metadata = fs::metadata(folder.path().join("a/b")).unwrap();
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (-5, 999_999_999));
    assert_eq!(metadata.mode() & 0o7777, 0o751);
    assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
    let Found::File(found) = to.look(&path("a/b")).unwrap() else { panic!("a file") };
    assert_eq!((found.size, found.mtime, found.mode), (5, MTIME, 0o751));
}

/// A file of somebody else's vault with the recorded mode 6755 became a program that ran with the rights of whoever had
/// retrieved it: of root, often enough.
#[test]
fn setuid_and_setgid_are_never_given_back_and_sticky_only_to_folders() {
    let folder = tempfile::tempdir().unwrap();
    let to = Destination::open(folder.path()).unwrap();
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().mode() & 0o7777;
    put(&to, &path("f"), b"hello", false).unwrap();
    to.make_folder(&path("d"), true).unwrap();
    for recorded in [0o4755, 0o2755, 0o7755] {
        for name in ["f", "d"] {
            assert_eq!(to.adjust(&path(name), Some(recorded), None).unwrap(), None);
        }
        assert_eq!((mode("f"), mode("d")), (0o755, 0o755 | recorded & 0o1000));
    }
}

/// Two long names that differed after 200 bytes, of one archive or both empty, wrote to one partial file.
#[test]
fn names_that_differ_only_at_their_end_have_partial_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let to = Destination::open(folder.path()).unwrap();
    let names = [path([&[b'n'; 250][..], b"1"].concat()), path([&[b'n'; 250][..], b"2"].concat())];
    let staged = names.each_ref().map(|name| {
        let partial = to.partial(name, 7, true).unwrap();
        partial.write_at(&name.as_bytes()[250..], 0).unwrap();
        partial.stage(None, None, false).unwrap()
    });
    assert!(to.publish(&staged).iter().all(Result::is_ok));
    for name in &names {
        assert_eq!(fs::read(to.full_path(name)).unwrap(), name.as_bytes()[250..]);
    }
}

#[test]
fn a_name_that_is_taken_is_kept_unless_it_may_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let to = Destination::open(folder.path()).unwrap();
    let name = path("f");
    put(&to, &name, b"one", false).unwrap();
    assert!(matches!(put(&to, &name, b"two", false), Err(PlaceError::Exists { .. })));
    assert_eq!(fs::read(folder.path().join("f")).unwrap(), b"one");
    put(&to, &name, b"two", true).unwrap();
    assert_eq!(fs::read(folder.path().join("f")).unwrap(), b"two");
    fs::create_dir(folder.path().join("d")).unwrap();
    assert!(matches!(put(&to, &path("d"), b"x", true), Err(PlaceError::Exists { .. })));
    symlink("/etc/passwd", folder.path().join("l")).unwrap();
    put(&to, &path("l"), b"x", true).unwrap();
    assert!(fs::symlink_metadata(folder.path().join("l")).unwrap().is_file());
}

#[test]
fn nothing_is_put_or_read_through_a_link_or_a_file() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let to = Destination::open(folder.path()).unwrap();
    symlink(outside.path(), folder.path().join("l")).unwrap();
    symlink(outside.path().join("secret"), folder.path().join("s")).unwrap();
    fs::write(folder.path().join("f"), "").unwrap();
    for blocked in ["l/x", "l/d/x", "f/x"] {
        let blocked = path(blocked);
        let is_blocked = |result: Result<(), PlaceError>| {
            assert!(matches!(result, Err(PlaceError::Blocked { .. })), "{blocked}: {result:?}");
        };
        is_blocked(put(&to, &blocked, b"x", true));
        is_blocked(to.make_folder(&blocked, true));
        is_blocked(to.make_link(&blocked, b"x", None, true));
        is_blocked(to.look(&blocked).map(drop));
        is_blocked(to.open_file(&blocked).map(drop));
        is_blocked(to.adjust(&blocked, Some(0o777), None).map(drop));
    }
    assert!(to.open_file(&path("s")).is_err());
    assert!(to.adjust(&path("s"), Some(0o777), None).is_err());
    assert!(matches!(to.make_folder(&path("l"), true), Err(PlaceError::Exists { .. })));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_ne!(fs::metadata(outside.path().join("secret")).unwrap().mode() & 0o777, 0o777);
}

#[test]
fn a_partial_file_is_resumed_only_if_it_is_a_plain_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let to = Destination::open(folder.path()).unwrap();
    let name = path("f");
    let partial = to.partial(&name, 1, true).unwrap();
    partial.write_at(b"abc", 0).unwrap();
    let temporary = to.full_path(&temporary_path(&name, 1));
    let text = temporary.file_name().unwrap().to_str().unwrap();
    assert!(text.starts_with(".f.icefield-00000001"), "{text}");
    drop(partial);
    assert!(to.earlier_partial(&name, 1, 3).unwrap().is_some());
    assert_eq!(fs::read(&temporary).unwrap(), b"abc");

    let victim = folder.path().join("victim");
    fs::write(&victim, "victim").unwrap();
    fs::remove_file(&temporary).unwrap();
    fs::hard_link(&victim, &temporary).unwrap();
    assert!(to.earlier_partial(&name, 1, 3).unwrap().is_none());
    fs::remove_file(&temporary).unwrap();
    symlink(&victim, &temporary).unwrap();
    assert!(to.earlier_partial(&name, 1, 3).unwrap().is_none());
    let partial = to.partial(&name, 1, true).unwrap();
    partial.write_at(b"x", 0).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"victim");
    partial.discard();
    assert!(!temporary.exists());
}

#[test]
fn names_of_255_bytes_and_names_that_are_not_utf8_are_put_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let to = Destination::open(folder.path()).unwrap();
    put(&to, &path(vec![b'n'; 255]), b"x", false).unwrap();
    put(&to, &path(*b"d\xff/f\xfe"), b"x", false).unwrap();
    assert!(matches!(to.look(&path(*b"d\xff/f\xfe")).unwrap(), Found::File(_)));
    assert_eq!(to.names(&path(*b"d\xff")).unwrap(), [b"f\xfe"]);
}

#[test]
fn a_folder_that_forbids_writing_is_opened_for_us_and_closed_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let to = Destination::open(folder.path()).unwrap();
    let name = path("d");
    fs::create_dir(folder.path().join("d")).unwrap();
    fs::set_permissions(folder.path().join("d"), fs::Permissions::from_mode(0o500)).unwrap();
    to.make_folder(&name, true).unwrap();
    let mode = || fs::metadata(folder.path().join("d")).unwrap().mode() & 0o7777;
    assert_eq!(mode(), 0o700);
    assert_eq!(to.adjust(&name, Some(0o500), Some(MTIME)).unwrap(), None);
    assert_eq!(mode(), 0o500);
    to.sync(&BTreeSet::from([None, Some(name)])).unwrap();
}

#[test]
fn a_link_that_points_to_the_same_is_left_and_another_one_refused() {
    let folder = tempfile::tempdir().unwrap();
    let to = Destination::open(folder.path()).unwrap();
    let name = path("d/l");
    to.make_link(&name, b"x", Some(MTIME), false).unwrap();
    to.make_link(&name, b"x", Some(MTIME), false).unwrap();
    let found = to.look(&name).unwrap();
    assert_eq!(found, Found::Link { target: b"x".to_vec(), mtime: MTIME });
    let other = to.make_link(&name, b"y", None, false);
    assert!(matches!(other, Err(PlaceError::Exists { .. })));
    to.make_link(&name, b"y", None, true).unwrap();
    assert_eq!(fs::read_link(folder.path().join("d/l")).unwrap().to_str(), Some("y"));
    assert_eq!(fs::read_dir(folder.path().join("d")).unwrap().count(), 1);
}
