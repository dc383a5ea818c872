//! Files of other programs, into the catalog and out of it.

use std::{fs, path::PathBuf, time::Duration};

use icefield_protocol::{InventoryItem, Timestamp};
use proptest::{prop_assert, prop_assert_eq, proptest};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{HASH, NOW, all, catalog, day, entry, folder, id, name, paths};
use crate::{
    catalog::{Catalog, Entry, EntryQuery, FileTime, Kind, VaultRef},
    inventory::{
        ExportForm, FileForm, ImportReport, ReadError, Reconciliation, import, import_file, write,
    },
};

const EVERY: EntryQuery = EntryQuery { versions: true, as_of: None };

fn imported(catalog: &Catalog, vault: VaultRef, text: &str) -> ImportReport {
    import(catalog, vault, text.as_bytes(), NOW).unwrap()
}

fn database(sql: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    (dir, path)
}

fn created(version: &str, archive: &str, mtime: &str, path: &str) -> String {
    format!("{version}\t86400\tCREATED\t{archive}\t7\t{mtime}\t{HASH}\t{path}\n")
}

#[test]
fn journals_of_every_version_tell_times_and_hashes() {
    let (_dir, catalog, vault) = catalog();
    let text = [
        created("A", "a", "1546519510", "M33/a.fit"),
        created("A", "unnamed", "1546519510", "unnamed"),
        created("B", "b", "NONE", "M33/b \u{e9}.fit"),
        created("C", "c", "-1", "M33/c.fit"),
        format!("86400 CREATED d 7 {HASH} M33/d d.fit\r\n"),
        "B\t86401\tRETRIEVE_JOB\tb\tjob\n".to_owned(),
        "86401 RETRIEVE_JOB d\n".to_owned(),
    ]
    .concat();
    let report = imported(&catalog, vault, &text);
    assert_eq!((report.form, report.added), (FileForm::MtGlacierJournal, 5));
    assert_eq!((report.refused.total, report.gone), (0, 0));
    let found = all(&catalog, vault);
    let expected = ["M33/a.fit", "M33/b \u{e9}.fit", "M33/c.fit", "M33/d d.fit", "archive-unnamed"];
    assert_eq!(paths(&found), expected);
    let seconds = |seconds| Some(FileTime { seconds, nanos: 0 });
    let mtimes: Vec<_> = found.iter().map(|entry| entry.mtime).collect();
    assert_eq!(mtimes, [seconds(1_546_519_510), None, seconds(-1), None, None]);
    assert!(found.iter().all(|entry| entry.known_size() == Some(7)
        && entry.tree_hash.is_some()
        && entry.known_uploaded() == Some(day(1))));
    assert_eq!(imported(&catalog, vault, &text).already_known, 5);
}

#[test]
fn what_a_journal_says_was_deleted_is_gone_also_when_it_is_read_again() {
    let (_dir, catalog, vault) = catalog();
    let text = [
        created("B", "a", "NONE", "x"),
        created("B", "b", "NONE", "x"),
        "B\t90000\tDELETED\ta\tx\n".to_owned(),
        "90000 DELETED never-seen y\n".to_owned(),
    ]
    .concat();
    for _ in 0..2 {
        assert_eq!(imported(&catalog, vault, &text).gone, 1);
        let found = all(&catalog, vault);
        assert_eq!(
            found.iter().map(|entry| entry.archive.clone()).collect::<Vec<_>>(),
            [Some(id("b"))]
        );
    }
    catalog.for_each_gone(vault, &mut |path, _| panic!("{path} has a newer version")).unwrap();
}

#[test]
fn broken_lines_of_a_journal_are_named_and_a_torn_one_is_not_believed() {
    let (_dir, catalog, vault) = catalog();
    let text = [
        created("B", "a", "NONE", "fine"),
        "B\t86400\tCREATED\tb\n".to_owned(),
        created("B", "c", "NONE", "../x"),
        created("B", "d", "yesterday", "y"),
        "B\t86400\tRENAMED\te\tx\n".to_owned(),
        "nonsense\n".to_owned(),
        created("B", "f", "NONE", "cut/off/name").trim_end().to_owned(),
    ]
    .concat();
    let report = imported(&catalog, vault, &text);
    assert_eq!((report.added, report.refused.total), (1, 6));
    let told: Vec<_> = report
        .refused
        .first
        .iter()
        .map(|refusal| format!("{} {}", refusal.place, refusal.why))
        .collect();
    for (index, begin, word) in
        [(0, "line 2 ", "journal"), (1, "line 3 ", "../x"), (5, "line 7 ", "cut/off/name")]
    {
        assert!(told[index].starts_with(begin) && told[index].contains(word), "{told:?}");
    }
    let newer = created("B", "a", "NONE", "fine") + &created("D", "b", "NONE", "x");
    let error = import(&catalog, vault, newer.as_bytes(), NOW).unwrap_err();
    assert!(
        matches!(error, ReadError::Malformed { ref place, .. } if place == "line 2"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn any_journal_is_read_without_a_panic(lines: Vec<String>, cut: proptest::sample::Index) {
        let (_dir, catalog, vault) = catalog();
        let lines: String = lines.iter().map(|line| format!("B\t1\t{line}\n")).collect();
        let text = created("B", "a", "NONE", "fine") + &lines;
        let whole = text.lines().count() as u64;
        let text = &text.as_bytes()[..cut.index(text.len())];
        if let Ok(report) = import(&catalog, vault, text, NOW) {
            prop_assert_eq!(report.form, FileForm::MtGlacierJournal);
            prop_assert!(report.added + report.already_known + report.gone + report.refused.total <= whole);
        }
    }
}

#[test]
fn a_list_of_names_replaces_what_foreign_descriptions_tell() {
    let (_dir, catalog, vault) = catalog();
    let mut reconciliation = Reconciliation::begin(&catalog, vault).unwrap();
    let own = r#"{"icefield":1,"path":"own"}"#;
    for (archive, description) in [("a", "frame 1.fit"), ("b", ""), ("c", own)] {
        let item = InventoryItem {
            archive_id: id(archive),
            description: description.to_owned(),
            created: day(20),
            size: 7,
            tree_hash: Some(super::hash()),
        };
        reconciliation.item(item).unwrap();
    }
    reconciliation.finish(day(30), Duration::ZERO).unwrap();
    let text = "FileName,GlacierArchiveID\n\"M33/a, 1.fit\",a\n/M33/b.fit,b\nc.fit,c\n../x,d\n,e\n";
    let report = imported(&catalog, vault, text);
    assert_eq!((report.form, report.added, report.refused.total), (FileForm::AwsNames, 3, 2));
    assert_eq!(paths(&all(&catalog, vault)), ["M33/a, 1.fit", "M33/b.fit", "c.fit", "own"]);
}

const GLACIER_CLI: &str = "
    CREATE TABLE archive (id VARCHAR NOT NULL, name VARCHAR, vault VARCHAR NOT NULL, key VARCHAR NOT NULL,
        last_seen_upstream INTEGER, created_here INTEGER, deleted_here INTEGER, PRIMARY KEY (id));
    INSERT INTO archive VALUES
        ('a', 'frame 1.fit', 'photos', 'K', 5, 5.25, NULL), ('b', NULL, 'photos', 'K', NULL, 5, NULL),
        ('c', 'deleted', 'photos', 'K', 5, 5, 6.5), ('d', '../x', 'photos', 'K', 5, 5, NULL),
        ('e', 'x', 'films', 'K', 5, 5, NULL), ('f', 'x', 'films', 'K', 5, 5, NULL),
        ('not an id', 'y', 'photos', 'K', 5, 5, NULL),
        ('m', 'mt2 eyJmaWxlbmFtZSI6Ik0zMy9hLmZpdCIsIm10aW1lIjoiMjAxOTAxMDNUMTI0NTEwWiJ9', 'photos', 'K', 5, 5, NULL);";

#[test]
fn glacier_clis_cache_is_read_for_one_vault() {
    let (_dir, catalog, vault) = catalog();
    catalog.record(vault, &[entry("deleted", "c")]).unwrap();
    let (_database, path) = database(GLACIER_CLI);
    let report = import_file(&catalog, vault, &path, NOW).unwrap();
    assert_eq!((report.form, report.added, report.other_vaults), (FileForm::GlacierCli, 4, 2));
    assert_eq!((report.gone, report.refused.total), (1, 2));
    let expected = ["M33/a.fit", "archive-b", "archive-d", "frame 1.fit"];
    assert_eq!(paths(&all(&catalog, vault)), expected);
    let again = import_file(&catalog, vault, &path, NOW).unwrap();
    assert_eq!((again.added, again.already_known), (0, 4));
}

#[test]
fn synologys_mapping_names_archives_that_several_files_share() {
    let (_dir, catalog, vault) = catalog();
    let (_database, path) = database(
        "CREATE TABLE backup_info_tb (key TEXT, value TEXT);
         CREATE TABLE file_info_tb (key INTEGER PRIMARY KEY, shareName TEXT, basePath TEXT, archiveID TEXT, fileSize INTEGER);
         INSERT INTO file_info_tb (shareName, basePath, archiveID, fileSize) VALUES
            ('photo', 'M33/a.fit', 'a', 9), ('photo', 'M33/copy.fit', 'a', 9), ('photo', '/M33/b.fit', 'b', NULL),
            ('photo', '../../etc/passwd', 'c', 1), (NULL, 'x', 'd', 1), ('photo', 'y', '', 1), ('photo', 'z', 'e', -1);",
    );
    let text = "FilePath,ArchiveId,Checksum\nunnamed,a,\n";
    imported(&catalog, vault, text);
    let report = import_file(&catalog, vault, &path, NOW).unwrap();
    assert_eq!((report.form, report.added, report.refused.total), (FileForm::Synology, 3, 4));
    let found = all(&catalog, vault);
    assert_eq!(
        paths(&found),
        ["photo/M33/a.fit", "photo/M33/b.fit", "photo/M33/copy.fit", "unnamed"]
    );
    assert_eq!(found[0].known_size(), Some(9));
    let (_database, path) = database(
        "CREATE TABLE file_info_tb (basePath TEXT, archiveID TEXT);
         INSERT INTO file_info_tb VALUES ('data/file1.txt', 'z');",
    );
    assert_eq!(import_file(&catalog, vault, &path, NOW).unwrap().added, 1);
    assert!(paths(&all(&catalog, vault)).contains(&"data/file1.txt".to_owned()));
}

#[test]
fn a_database_needs_its_file_and_another_one_is_refused() {
    let (_dir, catalog, vault) = catalog();
    let (_database, path) = database(GLACIER_CLI);
    let bytes = fs::read(&path).unwrap();
    let error = import(&catalog, vault, bytes.as_slice(), NOW).unwrap_err();
    assert!(matches!(error, ReadError::Database), "{error}");
    for sql in [
        "CREATE TABLE x (a)",
        "CREATE TABLE archive (id, name)",
        "CREATE VIEW file_info_tb AS SELECT 'x' AS basePath, 'y' AS archiveID",
    ] {
        let (_database, path) = database(sql);
        let error = import_file(&catalog, vault, &path, NOW).unwrap_err();
        assert!(matches!(error, ReadError::Unknown), "{sql}: {error}");
    }
    let own = import_file(&catalog, vault, catalog.path(), NOW).unwrap_err();
    assert!(matches!(own, ReadError::Unknown), "{own}");
    let half = path.with_extension("half");
    fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let error = import_file(&catalog, vault, &half, NOW).unwrap_err();
    assert!(matches!(error, ReadError::Malformed { .. }), "{error}");
}

#[test]
fn power_shells_file_is_read_in_the_encodings_of_old() {
    let text = format!(
        "\"FilePath\",\"ArchiveId\",\"Checksum\"\r\n\"C:\\M33\\\u{e9} \u{1f600}.fit\",\"a\",\"{HASH}\"\r\n"
    );
    let utf32 = |order: fn(u32) -> [u8; 4]| {
        format!("\u{feff}{text}").chars().flat_map(|c| order(c.into())).collect::<Vec<u8>>()
    };
    let utf7 = text
        .replace('"', "+ACI-")
        .replace('\\', "+AFw-")
        .replace("\u{e9}", "+AOk-")
        .replace('\u{1f600}', "+2D3eAA-");
    for bytes in [utf32(u32::to_le_bytes), utf32(u32::to_be_bytes), utf7.into_bytes()] {
        let (_dir, catalog, vault) = catalog();
        let report = import(&catalog, vault, bytes.as_slice(), NOW).unwrap();
        assert_eq!((report.form, report.added), (FileForm::PowerShell, 1));
        assert_eq!(paths(&all(&catalog, vault)), ["M33/\u{e9} \u{1f600}.fit"]);
    }
}

fn exported(catalog: &Catalog, vault: VaultRef, form: &ExportForm) -> (String, Vec<String>) {
    let mut bytes = Vec::new();
    let report = write(catalog, vault, &name(), &EVERY, form, &mut bytes).unwrap();
    let left_out = report.left_out.first.into_iter().map(|refusal| refusal.place).collect();
    (String::from_utf8(bytes).unwrap(), left_out)
}

#[test]
fn a_journal_is_written_as_mtglacier_takes_it() {
    let (_dir, catalog, vault) = catalog();
    let old = Entry { mtime: None, ..entry("old \u{e9}", "B") };
    let unknown = Entry { uploaded: Timestamp::UNIX_EPOCH, ..entry("unknown", "C") };
    let entries = [
        entry("M33/a.fit", "A"),
        old,
        unknown,
        folder("d"),
        entry("a\tb", "D"),
        entry(*b"\xff", "E"),
        entry("M33/copy.fit", "A"),
    ];
    catalog.record(vault, &entries).unwrap();
    let (text, left_out) = exported(&catalog, vault, &ExportForm::MtGlacierJournal);
    let expected = format!(
        "B\t1728000\tCREATED\tA\t7\t1714564800\t{HASH}\tM33/a.fit\nB\t1728000\tCREATED\tB\t7\tNONE\t{HASH}\told \u{e9}\n"
    );
    assert_eq!(text, expected);
    assert_eq!(left_out, ["M33/copy.fit", "a\tb", "unknown", "\u{fffd}"]);
    let copy = catalog.vault("another", &name()).unwrap();
    let report = imported(&catalog, copy, &text);
    assert_eq!((report.form, report.added), (FileForm::MtGlacierJournal, 2));
    let back = all(&catalog, copy);
    assert_eq!((back[0].mtime.unwrap().seconds, back[0].uploaded), (1_714_564_800, day(20)));
}

#[test]
fn power_shells_form_is_written_as_it_is_read() {
    let (_dir, catalog, vault) = catalog();
    let unknown = Entry { tree_hash: None, ..entry("b \"best\"", "B") };
    catalog
        .record(vault, &[entry("M33/a.fit", "A"), unknown, folder("d"), entry(*b"\xff", "E")])
        .unwrap();
    let (text, left_out) = exported(&catalog, vault, &ExportForm::PowerShell);
    let expected = format!(
        "\"FilePath\",\"ArchiveId\",\"Checksum\"\r\n\"M33/a.fit\",\"A\",\"{HASH}\"\r\n\"b \"\"best\"\"\",\"B\",\"\"\r\n"
    );
    assert_eq!((text.as_str(), left_out.len()), (expected.as_str(), 1));
    let copy = catalog.vault("another", &name()).unwrap();
    let report = imported(&catalog, copy, &text);
    assert_eq!((report.form, report.added), (FileForm::PowerShell, 2));
    assert_eq!(paths(&all(&catalog, copy)), ["M33/a.fit", "b \"best\""]);
}

#[test]
fn the_mark_of_a_folder_is_a_folder_in_every_form_that_can_tell() {
    let (_dir, catalog, vault) = catalog();
    let json = format!(
        r#"{{"VaultARN":"arn:aws:glacier:us-east-1:012345678901:vaults/photos","InventoryDate":"2020-01-02T00:00:00Z","ArchiveList":[{{"ArchiveId":"d","ArchiveDescription":"<m><v>4</v><p>TTMzLw==</p></m>","CreationDate":"2020-01-01T00:00:00Z","Size":1,"SHA256TreeHash":"{HASH}"}},{{"ArchiveId":"f","ArchiveDescription":"<m><v>4</v><p>TTMzL2EuZml0</p></m>","CreationDate":"2019-01-01T00:00:00Z","Size":9,"SHA256TreeHash":"{HASH}"}}]}}"#
    );
    // Also if the archive was known by its ID before.
    imported(&catalog, vault, &json.replace("<m><v>4</v><p>TTMzLw==</p></m>", ""));
    imported(&catalog, vault, &json);
    let found = all(&catalog, vault);
    assert_eq!(
        (paths(&found), found[0].kind),
        (vec!["M33".to_owned(), "M33/a.fit".to_owned()], Kind::Folder)
    );
    let mut newest = Vec::new();
    catalog
        .for_each(vault, &EntryQuery::default(), &mut |entry| {
            newest.push(entry);
            Ok::<_, crate::catalog::CatalogError>(())
        })
        .unwrap();
    assert_eq!(newest, found, "the younger mark hides nothing");
    for form in [ExportForm::Icefield, ExportForm::Json, ExportForm::ServiceCsv] {
        let (text, _) = exported(&catalog, vault, &form);
        let copy = catalog.vault(&format!("{form:?}"), &name()).unwrap();
        let report = imported(&catalog, copy, &text);
        assert_eq!((report.added, report.refused.total), (2, 0), "{form:?}");
        assert_eq!(all(&catalog, copy), found, "{form:?}");
    }
}
