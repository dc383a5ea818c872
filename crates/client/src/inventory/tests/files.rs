//! Reading, importing and exporting whole files.

use std::{
    convert::Infallible,
    io::{Read as _, repeat},
    time::Duration,
};

use icefield_protocol::{Timestamp, VaultArn};

use super::{HASH, NOW, all, catalog, day, entry, folder, hash, id, link, name, paths};
use crate::{
    catalog::{Entry, EntryQuery, ManifestArchive},
    description::{RunId, encode_manifest},
    inventory::{ExportForm, FileForm, FileItem, ReadError, Reconciliation, import, read, write},
};

fn items(bytes: &[u8]) -> Result<(FileForm, Vec<FileItem>), ReadError<Infallible>> {
    let mut items = Vec::new();
    let form = read(bytes, &mut |item| {
        items.push(item);
        Ok(())
    })?;
    Ok((form, items))
}

fn named(items: &[FileItem]) -> Vec<String> {
    let name = |item: &FileItem| match item {
        FileItem::Entry(entry) | FileItem::Named(entry) => entry.path.to_string(),
        FileItem::Manifest(manifest) => format!("manifest {}", manifest.archive),
        FileItem::Deleted { archive, .. } => format!("deleted {archive}"),
        FileItem::OtherVaults { rows } => format!("{rows} elsewhere"),
        FileItem::Refused(refusal) => format!("{}: {}", refusal.place, refusal.why),
    };
    items.iter().map(name).collect()
}

fn power_shell() -> String {
    format!(
        "#TYPE Amazon.PowerShell.Cmdlets.GLC.FileUploadResult\r\n\
         \"FilePath\",\"ArchiveId\",\"Checksum\"\r\n\
         \"C:\\astro\\Subs\\Light\\M33_Light_Blue_180sec__1x1_frame1.fit\",\"v3JwAZ9fGPq1aQ8OGzgc6Llg\",\"{HASH}\"\r\n\
         \"C:\\astro\\a \"\"best\"\", 2.fit\",\"-id2\",\"{HASH}\"\r\n"
    )
}

#[test]
fn power_shells_file_is_read_in_every_encoding() {
    let windows = power_shell();
    let without_type = windows.split_once("\r\n").unwrap().1.to_owned();
    let semicolons = windows.replace("\",\"", "\";\"");
    let utf16 = |order: fn(u16) -> [u8; 2]| {
        format!("\u{feff}{windows}").encode_utf16().flat_map(order).collect::<Vec<u8>>()
    };
    for bytes in [
        windows.clone().into_bytes(),
        format!("\u{feff}{windows}").into_bytes(),
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
        without_type.into_bytes(),
        semicolons.into_bytes(),
        windows.trim_end().replace("\r\n", "\n").into_bytes(),
    ] {
        let (form, items) = items(&bytes).unwrap();
        assert_eq!(form, FileForm::PowerShell);
        let expected =
            ["astro/Subs/Light/M33_Light_Blue_180sec__1x1_frame1.fit", "astro/a \"best\", 2.fit"];
        assert_eq!(named(&items), expected);
        let FileItem::Entry(first) = &items[0] else { panic!("{items:?}") };
        assert_eq!(first.archive, Some(id("v3JwAZ9fGPq1aQ8OGzgc6Llg")));
        assert_eq!(
            (first.tree_hash, first.known_size(), first.known_uploaded()),
            (Some(hash()), None, None)
        );
    }
}

#[test]
fn unusable_rows_are_refused_by_line_and_name_and_the_rest_comes() {
    let rows = [
        format!("\"/Users/me/x.fit\",\"a\",\"{HASH}\""),
        format!("\"C:\\a\\..\\..\\Windows\\x\",\"b\",\"{HASH}\""),
        "\"C:\\no hash\",\"c\",\"\"".to_owned(),
        "\"C:\\bad hash\",\"d\",\"12\"".to_owned(),
        format!("\"C:\\no id\",\"\",\"{HASH}\""),
        format!("\"C:\\bad id\",\"e\te\",\"{HASH}\""),
        format!("\"a\0b\",\"f\",\"{HASH}\""),
        format!("\"\",\"g\",\"{HASH}\""),
        format!("\"\\\\nas\\share\\y.fit\",\"h\",\"{HASH}\""),
    ];
    let text = format!("#TYPE x\n\"FilePath\",\"ArchiveId\",\"Checksum\"\n{}\n", rows.join("\n"));
    let (_, items) = items(text.as_bytes()).unwrap();
    let names = named(&items);
    assert_eq!((&*names[0], &*names[2], &*names[8]), ("Users/me/x.fit", "no hash", "y.fit"));
    for (index, line, word) in [
        (1, "line 4: ", "Windows"),
        (3, "line 6: ", "bad hash"),
        (4, "line 7: ", "no id"),
        (5, "line 8: ", "bad id"),
        (6, "line 9: ", "NUL"),
        (7, "line 10: ", "empty"),
    ] {
        assert!(names[index].starts_with(line) && names[index].contains(word), "{names:?}");
    }
}

#[test]
fn hostile_paths_in_our_own_form_are_refused() {
    let row = |path: &str, exact: &str| format!("{path},a,{HASH},7,,,,v,{exact},,,,file\n");
    let text = [
        "FilePath,ArchiveId,Checksum,Size,Modified,Mode,Uploaded,Vault,FilePathBase64,LinkTarget,LinkTargetBase64,Description,Kind\n".to_owned(),
        row("../x", ""), row("/etc/passwd", ""), row("C:\\x", ""), row("a\0b", ""),
        row("fine", "Li4veA=="), row("fine", "!"), row("fine", ""),
    ].concat();
    let (form, items) = items(text.as_bytes()).unwrap();
    assert_eq!(form, FileForm::Icefield);
    let refused = items.iter().filter(|item| matches!(item, FileItem::Refused(_))).count();
    assert_eq!((refused, items.len()), (6, 7), "{items:?}");
    assert!(named(&items)[4].contains("\"../x\""), "{items:?}");
}

#[test]
fn the_services_forms_are_read_with_names_from_descriptions() {
    let note = r#"{\"icefield\":1,\"path\":\"2024/\\u00e9.fit\",\"mtime\":\"2024-05-01T12:00:00Z\",\"mode\":\"0600\"}"#;
    let manifest = r#"{\"icefield\":1,\"manifest\":\"000102030405060708090a0b0c0d0e0f\"}"#;
    let escaping = r#"{\"icefield\":1,\"path\":\"../../x\"}"#;
    let list: Vec<String> = [("A", note), ("B", "my backup 2012"), ("C", ""), ("D", "/abs/path"), ("M", manifest), ("E", escaping), ("F", "{\\\"Path\\\":1}")]
        .iter()
        .map(|(id, text)| format!(r#"{{"ArchiveId":"{id}","ArchiveDescription":"{text}","CreationDate":"2020-01-01T00:00:00Z","Size":9,"SHA256TreeHash":"{HASH}"}}"#))
        .collect();
    let json = format!(
        r#"{{"VaultARN":"arn:aws:glacier:us-east-1:012345678901:vaults/photos","InventoryDate":"2020-01-02T00:00:00Z","ArchiveList":[{}]}}"#,
        list.join(",")
    );
    let (form, found) = items(json.as_bytes()).unwrap();
    assert_eq!(form, FileForm::ServiceJson);
    let names = named(&found);
    assert_eq!(names[..3], ["2024/\u{e9}.fit", "my backup 2012", "archive-C"]);
    assert_eq!(names[3..5], ["abs/path", "manifest M"]);
    assert!(names[5].contains("../../x"), "{names:?}");
    assert_eq!(names[6..], ["archive-E", "archive-F"]);

    let csv = format!(
        "ArchiveId,ArchiveDescription,CreationDate,Size,SHA256TreeHash\nB,\"my \\\"backup\\\", 2012\",2020-01-01T00:00:00Z,9,{HASH}\n"
    );
    let (form, found) = items(csv.as_bytes()).unwrap();
    assert_eq!(
        (form, named(&found)),
        (FileForm::ServiceCsv, vec!["my \"backup\", 2012".to_owned()])
    );
}

#[test]
fn what_is_no_inventory_is_an_error() {
    for text in ["", "\n\n", "hello", "a,b,c\n1,2,3\n", "<xml/>", "\u{feff}"] {
        assert!(matches!(items(text.as_bytes()), Err(ReadError::Unknown)), "{text:?}");
    }
    for text in ["{}", "{\"VaultARN\":", "[{]", "[{\"path\":\"a\"}"] {
        assert!(matches!(items(text.as_bytes()), Err(ReadError::Malformed { .. })), "{text:?}");
    }
    let open_quote = format!("FilePath,ArchiveId,Checksum\n\"{}", "x\n".repeat(2 << 20));
    let error = items(open_quote.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("quote"), "{error}");
}

fn samples() -> [Entry; 6] {
    [
        Entry { description: Some("mine".to_owned()), ..entry("a, \"b\"\nc", "A") },
        entry(*b"n\xff/x", "B"),
        Entry {
            size: 0,
            mtime: None,
            mode: None,
            tree_hash: None,
            uploaded: Timestamp::UNIX_EPOCH,
            ..entry("p", "C")
        },
        folder("d"),
        link("l", b"../\xfe"),
        Entry { uploaded: day(21), ..entry("p", "D") },
    ]
}

#[test]
fn every_export_form_is_imported_again() {
    let (_dir, catalog, vault) = catalog();
    catalog.record(vault, &samples()).unwrap();
    let every = EntryQuery { versions: true, as_of: None };
    for (form, expected) in [
        (ExportForm::Icefield, FileForm::Icefield),
        (ExportForm::Json, FileForm::Json),
        (ExportForm::JsonLines, FileForm::JsonLines),
    ] {
        let mut bytes = Vec::new();
        let report = write(&catalog, vault, &name(), &every, &form, &mut bytes).unwrap();
        assert_eq!((report.written, report.left_out.total), (6, 0));
        let copy = catalog.vault(&format!("{form:?}"), &name()).unwrap();
        let imported = import(&catalog, copy, bytes.as_slice(), NOW).unwrap();
        assert_eq!((imported.form, imported.added, imported.refused.total), (expected, 6, 0));
        assert_eq!(all(&catalog, copy), all(&catalog, vault), "{form:?}");
        let again = import(&catalog, copy, bytes.as_slice(), NOW).unwrap();
        assert_eq!((again.added, again.already_known), (0, 6), "{form:?}");
    }
}

#[test]
fn our_own_form_is_exactly_this_text() {
    let (_dir, catalog, vault) = catalog();
    catalog.record(vault, &samples()[3..]).unwrap();
    let mut bytes = Vec::new();
    write(&catalog, vault, &name(), &EntryQuery::default(), &ExportForm::Icefield, &mut bytes)
        .unwrap();
    let expected = format!(
        "FilePath,ArchiveId,Checksum,Size,Modified,Mode,Uploaded,Vault,FilePathBase64,LinkTarget,LinkTargetBase64,Description,Kind\n\
         d,,,0,2024-05-01T12:00:00.000000005Z,0644,1970-01-21T00:00:00.000Z,photos,,,,,folder\n\
         l,,,0,2024-05-01T12:00:00.000000005Z,0644,1970-01-21T00:00:00.000Z,photos,,../\u{fffd},Li4v/g==,,link\n\
         p,D,{HASH},7,2024-05-01T12:00:00.000000005Z,0644,1970-01-22T00:00:00.000Z,photos,,,,,file\n"
    );
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[test]
fn the_services_forms_are_written_with_every_known_archive() {
    let (_dir, catalog, vault) = catalog();
    catalog.record(vault, &samples()).unwrap();
    let vault_arn: VaultArn =
        "arn:aws:glacier:us-east-1:012345678901:vaults/photos".parse().unwrap();
    for form in [ExportForm::ServiceJson { vault_arn, date: NOW }, ExportForm::ServiceCsv] {
        let mut bytes = Vec::new();
        let report =
            write(&catalog, vault, &name(), &EntryQuery::default(), &form, &mut bytes).unwrap();
        assert_eq!((report.written, report.left_out.total), (3, 1));
        assert_eq!(report.left_out.first[0].place, "p");
        let (_, items) = items(&bytes).unwrap();
        assert_eq!(named(&items), ["mine", "n\u{fffd}/x", "p"]);
    }
}

#[test]
fn the_services_forms_have_the_manifests_too() {
    let (_dir, catalog, vault) = catalog();
    let manifest = ManifestArchive {
        archive: id("M"),
        size: 99,
        created: day(21),
        tree_hash: Some(hash()),
        description: Some(encode_manifest(RunId::from_bytes([4; 16])).to_string()),
    };
    catalog.record(vault, &[Entry { manifest: Some(id("M")), ..folder("d") }]).unwrap();
    catalog.record_manifest(vault, &manifest).unwrap();
    let unknown = ManifestArchive { archive: id("N"), tree_hash: None, ..manifest.clone() };
    catalog.record_manifest(vault, &unknown).unwrap();
    let (form, mut bytes) = (ExportForm::ServiceCsv, Vec::new());
    let report =
        write(&catalog, vault, &name(), &EntryQuery::default(), &form, &mut bytes).unwrap();
    assert_eq!((report.written, report.left_out.total), (1, 1));
    assert!(report.left_out.first[0].place.contains('N'), "{report:?}");
    let copy = catalog.vault("copy", &name()).unwrap();
    import(&catalog, copy, bytes.as_slice(), NOW).unwrap();
    assert_eq!(catalog.manifests(copy).unwrap(), [manifest]);
    let report = Reconciliation::begin(&catalog, copy).unwrap();
    let report = report.finish(day(1), Duration::ZERO).unwrap();
    assert_eq!(report.manifests, [(id("M"), 99)], "it has still to be applied");
}

#[test]
fn rows_of_another_vault_are_refused_by_its_name() {
    let (_dir, catalog, vault) = catalog();
    let file = "FilePath,ArchiveId,Checksum,Vault\na,A,,frames\nb,B,,photos\nc,C,,\n";
    let report = import(&catalog, vault, file.as_bytes(), NOW).unwrap();
    assert_eq!((report.added, report.refused.total), (2, 1));
    assert_eq!(report.refused.first[0].place, "line 2");
    assert_eq!(report.refused.first[0].why, "a: belongs to the vault `frames`");
}

#[test]
fn an_import_names_archives_and_fills_in_what_was_unknown() {
    let (_dir, catalog, vault) = catalog();
    let unnamed = Entry { mtime: None, ..entry("archive--id2", "-id2") };
    catalog.record(vault, std::slice::from_ref(&unnamed)).unwrap();
    let report = import(&catalog, vault, power_shell().as_bytes(), NOW).unwrap();
    assert_eq!((report.added, report.already_known, report.refused.total), (2, 0, 0));
    let found = catalog.by_archive(vault, &id("-id2")).unwrap();
    assert_eq!(paths(&found), ["astro/a \"best\", 2.fit"]);
    assert_eq!((found[0].size, found[0].uploaded), (7, day(20)), "what was known stays");

    let own = "FilePath,ArchiveId,Checksum,Size,Modified,Mode,Uploaded,Vault\n\
         astro/Subs/Light/M33_Light_Blue_180sec__1x1_frame1.fit,v3JwAZ9fGPq1aQ8OGzgc6Llg,,12,2024-05-01T12:00:00Z,0600,2024-06-01T00:00:00Z,photos\n";
    let report = import(&catalog, vault, own.as_bytes(), NOW).unwrap();
    assert_eq!((report.added, report.already_known), (0, 1));
    let found = catalog.by_archive(vault, &id("v3JwAZ9fGPq1aQ8OGzgc6Llg")).unwrap().remove(0);
    assert_eq!(
        (found.known_size(), found.mode, found.tree_hash),
        (Some(12), Some(0o600), Some(hash()))
    );
    assert_eq!(found.known_uploaded(), Some(Timestamp::parse("2024-06-01T00:00:00Z").unwrap()));

    let other = power_shell().replace(HASH, &"0".repeat(64));
    let report = import(&catalog, vault, other.as_bytes(), NOW).unwrap();
    assert_eq!(
        (report.added, report.refused.total),
        (0, 2),
        "another tree hash is another archive"
    );
}

/// Nothing bounded the items of the listings: one string that did not end was held in memory whole.
#[test]
fn an_item_of_a_listing_that_never_ends_is_refused() {
    for beginning in [r#"[{"path":""#, r#"[{"path":{"a":""#] {
        let endless = beginning.as_bytes().chain(repeat(b'a').take(64 << 20));
        let error = read(endless, &mut |_| Ok::<(), Infallible>(())).unwrap_err();
        assert!(matches!(&error, ReadError::Malformed { .. }), "{error:?}");
        assert!(error.to_string().len() < 300, "{error}");
    }
}
