use std::{
    fs,
    ops::ControlFlow,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
};

use super::{Found, Item, Roots, Selection, WalkError, walk};
use crate::{catalog::Kind, path::CatalogPath, pattern::Pattern};

fn find(base: &Path, arguments: &[&str]) -> Result<Roots, WalkError> {
    let arguments: Vec<_> = arguments.iter().map(PathBuf::from).collect();
    Roots::find(&arguments, None, base, None)
}

fn all(roots: &Roots, selection: &Selection) -> Vec<Found> {
    let mut found = Vec::new();
    let ended = walk(roots, selection, &mut |one| {
        found.push(one);
        ControlFlow::Continue(())
    });
    assert!(ended.is_continue());
    found
}

fn items(roots: &Roots, selection: &Selection) -> Vec<Item> {
    let item = |found| match found {
        Found::Item(item) => item,
        other => panic!("{other:?}"),
    };
    all(roots, selection).into_iter().map(item).collect()
}

fn paths(roots: &Roots) -> Vec<String> {
    items(roots, &Selection::default()).iter().map(|item| item.path.to_string()).collect()
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::parse(*text).unwrap()).collect()
}

/// `base/photos` with a file, a hidden one, a link, an empty folder and a folder with a file.
fn tree() -> tempfile::TempDir {
    let base = tempfile::tempdir().unwrap();
    let photos = base.path().join("photos");
    fs::create_dir_all(photos.join("2024/empty")).unwrap();
    fs::write(photos.join("2024/a.fit"), "fit").unwrap();
    fs::write(photos.join(".hidden"), "h").unwrap();
    fs::write(photos.join("-rf"), "").unwrap();
    symlink("nowhere", photos.join("link")).unwrap();
    base
}

const TREE: [&str; 7] = [
    "photos",
    "photos/-rf",
    "photos/.hidden",
    "photos/2024",
    "photos/2024/a.fit",
    "photos/2024/empty",
    "photos/link",
];

#[test]
fn a_folder_is_called_by_its_own_name_however_it_is_written() {
    let base = tree();
    for argument in ["photos", "photos/", "./photos", "photos/2024/..", "photos/."] {
        assert_eq!(paths(&find(base.path(), &[argument]).unwrap()), TREE, "{argument}");
    }
    assert_eq!(paths(&find(&base.path().join("photos"), &["."]).unwrap()), TREE);
    assert_eq!(paths(&find(&base.path().join("photos/2024"), &[".."]).unwrap()), TREE);
    assert_eq!(
        paths(&find(Path::new("/"), &[base.path().join("photos").to_str().unwrap()]).unwrap()),
        TREE
    );
    assert_eq!(paths(&find(base.path(), &["photos/2024/a.fit"]).unwrap()), ["a.fit"]);
}

#[test]
fn the_root_folder_has_no_name_and_parents_of_it_are_itself() {
    for argument in ["/", "/..", "/../.."] {
        let roots = find(Path::new("/tmp"), &[argument]).unwrap();
        let root = roots.iter().next().unwrap();
        assert_eq!((root.path.as_ref(), root.local.as_path()), (None, Path::new("/")));
    }
}

#[test]
fn kinds_and_link_targets_are_told() {
    let base = tree();
    let items = items(&find(base.path(), &["photos"]).unwrap(), &Selection::default());
    let kinds: Vec<_> = items.iter().map(|item| (item.kind, item.identity.size)).collect();
    let (file, folder, link) = (Kind::File, Kind::Folder, Kind::Link);
    assert_eq!(
        kinds,
        [(folder, 0), (file, 0), (file, 1), (folder, 0), (file, 3), (folder, 0), (link, 0)]
    );
    assert_eq!(items[6].link_target.as_deref(), Some(&b"nowhere"[..]));
}

#[test]
fn an_argument_that_is_a_link_is_followed_and_keeps_its_name() {
    let base = tree();
    symlink("photos", base.path().join("album")).unwrap();
    let found = paths(&find(base.path(), &["album"]).unwrap());
    assert_eq!(found[0], "album");
    assert_eq!(found[4], "album/2024/a.fit");
    assert!(matches!(find(base.path(), &["photos/link"]), Err(WalkError::Missing { .. })));
}

#[test]
fn a_prefix_goes_in_front() {
    let base = tree();
    let prefix = CatalogPath::parse("old/disk").unwrap();
    let roots = Roots::find(&[PathBuf::from("photos/2024")], None, base.path(), Some(&prefix));
    assert_eq!(
        paths(&roots.unwrap()),
        ["old/disk/2024", "old/disk/2024/a.fit", "old/disk/2024/empty"]
    );
}

#[test]
fn a_missing_argument_is_an_error_before_anything_else() {
    let base = tree();
    let error = find(base.path(), &["photos", "nothing"]).unwrap_err();
    assert_eq!(error.to_string(), "nothing cannot be found");
}

#[test]
fn two_files_for_one_path_are_refused_and_both_named() {
    let base = tree();
    fs::create_dir_all(base.path().join("other/photos")).unwrap();
    let error = find(base.path(), &["photos", "other/photos"]).unwrap_err().to_string();
    assert!(
        error.contains("other/photos and ") || error.contains("/other/photos would"),
        "{error}"
    );
    assert!(error.contains("archived as photos"), "{error}");
    assert_eq!(paths(&find(base.path(), &["photos", "photos/"]).unwrap()), TREE);
}

#[test]
fn a_list_keeps_its_paths_and_every_file_once() {
    let base = tree();
    let list = |text: &[u8]| {
        let mut reader = text;
        Roots::find(&[], Some(&mut reader), base.path(), None)
    };
    assert_eq!(
        paths(&list(b"photos/2024/a.fit\nphotos/link\n\n").unwrap()),
        ["photos/2024/a.fit", "photos/link"]
    );
    assert_eq!(
        paths(&list(b"photos/2024/a.fit\0photos/-rf").unwrap()),
        ["photos/-rf", "photos/2024/a.fit"]
    );
    let printed = TREE.join("\n");
    assert_eq!(paths(&list(printed.as_bytes()).unwrap()), TREE, "as `find photos` prints it");
    let dotted: String = TREE.iter().map(|path| format!("./{path}\n")).collect();
    assert_eq!(
        paths(&list(format!(".\n{dotted}").as_bytes()).unwrap()),
        TREE,
        "as `find .` prints it"
    );
    assert!(matches!(list(b"../x"), Err(WalkError::Missing { .. } | WalkError::Outside(_))));
    let absolute = base.path().join("photos/2024/a.fit");
    let named = paths(&list(absolute.as_os_str().as_bytes()).unwrap());
    assert_eq!(named, [absolute.to_str().unwrap().trim_start_matches('/')]);
}

#[test]
fn patterns_leave_out_and_keep_only_folders_that_lead_somewhere() {
    let base = tree();
    fs::write(base.path().join("photos/2024/b.txt"), "b").unwrap();
    let roots = find(base.path(), &["photos"]).unwrap();
    let names = |selection| -> Vec<String> {
        items(&roots, &selection).iter().map(|item| item.path.to_string()).collect()
    };
    let only_fit = Selection { include: patterns(&["*.fit"]), ..Selection::default() };
    assert_eq!(names(only_fit), ["photos", "photos/2024", "photos/2024/a.fit"]);
    let no_2024 =
        Selection { exclude: patterns(&["photos/2024", ".*", "-*"]), ..Selection::default() };
    assert_eq!(names(no_2024), ["photos", "photos/link"]);
    let nothing = Selection {
        include: patterns(&["**"]),
        exclude: patterns(&["photos"]),
        ..Selection::default()
    };
    assert!(names(nothing).is_empty());
}

#[test]
fn ignore_files_of_icefield_are_honoured_and_others_are_not() {
    let base = tree();
    let photos = base.path().join("photos");
    fs::write(photos.join(".gitignore"), "*\n").unwrap();
    fs::write(photos.join(".ignore"), "*\n").unwrap();
    fs::write(photos.join(".icefieldignore"), "2024/\nlink\n").unwrap();
    assert_eq!(
        paths(&find(base.path(), &["photos"]).unwrap()),
        [
            "photos",
            "photos/-rf",
            "photos/.gitignore",
            "photos/.hidden",
            "photos/.icefieldignore",
            "photos/.ignore"
        ]
    );
}

#[test]
fn pipes_are_named_and_names_that_are_not_utf_8_are_kept() {
    let base = tree();
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe.fit");
    fs::write(base.path().join("photos").join(odd), "odd").unwrap();
    let pipe = base.path().join("photos/pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let found = all(&find(base.path(), &["photos"]).unwrap(), &Selection::default());
    let special: Vec<_> = found
        .iter()
        .filter_map(|found| match found {
            Found::Special { path, what } => Some((path.to_string(), *what)),
            _ => None,
        })
        .collect();
    assert_eq!(special, [("photos/pipe".to_owned(), "a named pipe")]);
    let is_odd = |found: &Found| matches!(found, Found::Item(item) if item.path.as_bytes() == b"photos/\xff\xfe.fit");
    assert!(found.iter().any(is_odd));
}

#[test]
fn what_icefield_itself_writes_is_left_out_and_named_once() {
    let base = tree();
    let base = base.path().canonicalize().unwrap();
    fs::create_dir_all(base.join("photos/store/packs")).unwrap();
    fs::write(base.join("photos/store/packs/1"), "pack").unwrap();
    fs::write(base.join("photos/catalog.sqlite"), "catalog").unwrap();
    // The same name elsewhere, and a link to the store, are the user's own.
    fs::create_dir(base.join("photos/2024/store")).unwrap();
    symlink("../store", base.join("photos/2024/empty/store")).unwrap();
    let selection = Selection {
        leave_out: ["store", "catalog.sqlite", "catalog.sqlite-wal"]
            .map(|name| base.join("photos").join(name))
            .to_vec(),
        ..Selection::default()
    };
    for arguments in
        [&["photos"][..], &["photos/store/packs/1", "photos/store/packs", "photos/2024"]]
    {
        let found = all(&find(&base, arguments).unwrap(), &selection);
        let remarks: Vec<_> = found
            .iter()
            .filter_map(|one| match one {
                Found::Remark(remark) => Some(remark),
                _ => None,
            })
            .collect();
        assert_eq!(remarks.len(), 1, "{remarks:?}");
        assert!(
            remarks[0].contains(&base.join("photos/store").display().to_string()),
            "{remarks:?}"
        );
        assert!(!remarks[0].contains("-wal"), "what is not there is not named: {remarks:?}");
        let locals: Vec<_> = found
            .iter()
            .filter_map(|one| match one {
                Found::Item(item) => Some(item.local.strip_prefix(&base).unwrap()),
                _ => None,
            })
            .collect();
        for own in ["photos/store", "photos/catalog.sqlite"] {
            assert!(!locals.iter().any(|local| local.starts_with(own)), "{locals:?}");
        }
        for others in ["photos/2024/store", "photos/2024/empty/store"] {
            assert!(locals.contains(&Path::new(others)), "{locals:?}");
        }
    }
}

#[test]
fn own_places_are_left_out_behind_a_link_to_their_folder() {
    let base = tree();
    let base = base.path().canonicalize().unwrap();
    fs::create_dir(base.join("photos/2024/store")).unwrap();
    symlink("photos/2024", base.join("way")).unwrap();
    let selection =
        Selection { leave_out: vec![base.join("photos/2024/store")], ..Selection::default() };
    let found = all(&find(&base, &["way"]).unwrap(), &selection);
    assert!(
        found.iter().any(|one| matches!(one, Found::Item(item) if item.local.ends_with("a.fit")))
    );
    assert!(
        !found.iter().any(|one| matches!(one, Found::Item(item) if item.local.ends_with("store")))
    );
}
