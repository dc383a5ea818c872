//! A million archives through every path, in bounded memory. Slow, so it is run by hand:
//! `/usr/bin/time -v cargo nextest run -p icefield-client --run-ignored only a_million`

#![cfg(target_os = "linux")]

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Write},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use icefield_protocol::{
    ArchiveId, InventoryItem, JsonInventoryWriter, LinearHash, TreeHash, read_json,
};

use super::{NOW, catalog, day, entry, name};
use crate::{
    catalog::{CatalogError, EntryQuery, FileTime},
    description::{ArchiveNote, Format, encode_as},
    inventory::{ExportForm, FileForm, InventoryFile, import, reconcile, write},
    path::CatalogPath,
};

const ARCHIVES: u64 = 1_000_000;
const MAX_PEAK_KIB: u64 = 256 << 10;

/// The most memory that this process has had, in KiB.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn power_shell(path: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    write!(
        file,
        "#TYPE Amazon.PowerShell.Cmdlets.GLC.FileUploadResult\r\n\"FilePath\",\"ArchiveId\",\"Checksum\"\r\n"
    )?;
    for n in 0..ARCHIVES {
        let hash = LinearHash::of(&n.to_be_bytes());
        let (folder, id) = (n / 1000, &hash.to_string()[..60]);
        write!(
            file,
            "\"C:\\astro\\Subs\\{folder}\\M33_Light_Blue_180sec__1x1_frame{n}.fit\",\"{hash}{hash}{}\",\"{hash}\"\r\n",
            &id[..10]
        )?;
    }
    file.flush()
}

#[test]
#[ignore = "takes minutes; run by hand before a release"]
fn a_million_archives_are_imported_exported_appended_and_reconciled_in_bounded_memory() {
    let (dir, catalog, vault) = catalog();
    let began = fs::metadata(dir.path()).unwrap().modified().unwrap();
    let told = |what: &str| {
        // The clock of the file system: time is injected everywhere else.
        let mark = dir.path().join("mark");
        fs::write(&mark, what).unwrap();
        let passed = fs::metadata(&mark).unwrap().modified().unwrap().duration_since(began);
        println!(
            "{what}: {:.1} s, peak {} KiB",
            passed.unwrap_or_default().as_secs_f64(),
            peak_kib()
        );
    };
    let source = dir.path().join("powershell.csv");
    power_shell(&source).unwrap();
    told("generated");
    let report = import(&catalog, vault, File::open(&source).unwrap(), day(10)).unwrap();
    assert_eq!(
        (report.form, report.added, report.refused.total),
        (FileForm::PowerShell, ARCHIVES, 0)
    );
    told("imported PowerShell's file");

    let mut items = 0_u64;
    let feed = |each: &mut dyn FnMut(_) -> _| {
        let file = BufReader::new(File::open(&source).unwrap());
        super::super::read(file, &mut |item| {
            let super::super::FileItem::Entry(entry) = item else { panic!("{item:?}") };
            items += 1;
            each(InventoryItem {
                archive_id: entry.archive.unwrap(),
                description: String::new(),
                created: day(5),
                size: 7,
                tree_hash: entry.tree_hash,
            })
        })
        .unwrap();
        Ok(icefield_protocol::InventoryHead::default())
    };
    let report =
        reconcile(&catalog, vault, NOW, std::time::Duration::from_hours(24), feed).unwrap();
    assert_eq!((report.archives, report.confirmed, report.gone), (ARCHIVES, ARCHIVES, 0));
    told("reconciled, every row filled in");

    let vault_arn = "arn:aws:glacier:us-east-1:012345678901:vaults/photos".parse().unwrap();
    let json = dir.path().join("inventory.json");
    let out = BufWriter::new(File::create(&json).unwrap());
    let form = ExportForm::ServiceJson { vault_arn, date: NOW };
    let report = write(&catalog, vault, &name(), &EntryQuery::default(), &form, out).unwrap();
    assert_eq!((report.written, report.left_out.total), (ARCHIVES, 0));
    told("exported the service's JSON");

    let copy = catalog.vault("another", &name()).unwrap();
    let file = BufReader::new(File::open(&json).unwrap());
    let read = |each: &mut dyn FnMut(_) -> _| read_json(file, each);
    let report = reconcile(&catalog, copy, NOW, std::time::Duration::from_hours(24), read).unwrap();
    assert_eq!((report.added, report.gone), (ARCHIVES, 0));
    told("reconciled from nothing");

    let own = dir.path().join("own.csv");
    let mut rows = InventoryFile::open(&own).unwrap();
    catalog
        .for_each(copy, &EntryQuery::default(), &mut |entry| rows.append(&name(), &entry).map(drop))
        .unwrap();
    drop(rows);
    InventoryFile::open(&own).unwrap();
    told("appended to our own file, opened it again");
    let report = import(&catalog, copy, File::open(&own).unwrap(), NOW).unwrap();
    assert_eq!((report.added, report.already_known), (0, ARCHIVES));
    told("imported our own file, all known");
    println!("catalog: {} MB", fs::metadata(catalog.path()).unwrap().len() / 1_000_000);
    assert!(peak_kib() < MAX_PEAK_KIB, "{} KiB", peak_kib());
}

/// What a reconciliation, its search for twins and the search for duplicates may take, all in one process.
const MAX_FOREIGN_PEAK_KIB: u64 = 128 << 10;

/// Writes an inventory as the service does: described by mtglacier and FastGlacier in turn, each content stored twice.
fn foreign(path: &Path) -> io::Result<()> {
    let arn = "arn:aws:glacier:us-east-1:012345678901:vaults/photos".parse().unwrap();
    let file = BufWriter::new(File::create(path)?);
    let mut writer = JsonInventoryWriter::new(file, &arn, NOW)?;
    for n in 0..ARCHIVES {
        let name = format!("astro/Subs/{}/M33_Light_Blue_180sec__1x1_frame{n}.fit", n / 1000);
        let description = if n % 2 == 0 {
            let mtime = Some(FileTime { seconds: 1_546_519_510, nanos: 0 });
            let path = CatalogPath::parse(name).unwrap();
            encode_as(Format::Mt2, &ArchiveNote { path, mtime, mode: None }).unwrap().into()
        } else {
            let name = STANDARD.encode(name);
            format!("<m><v>4</v><p>{name}</p><lm>20190103T124510Z</lm></m>")
        };
        let hash = LinearHash::of(&n.to_be_bytes());
        let archive_id = ArchiveId::parse(&format!("{hash}{hash}{n:010}")).unwrap();
        let content = LinearHash::of(&(n / 2).to_be_bytes());
        let tree_hash = Some(TreeHash::from_bytes(*content.as_bytes()));
        let item = InventoryItem { archive_id, description, created: day(5), size: 7, tree_hash };
        writer.item(&item)?;
    }
    writer.finish()?.flush()
}

#[test]
#[ignore = "takes minutes; run by hand before a release"]
fn a_million_foreign_descriptions_are_reconciled_in_less_than_128_mib() {
    let (dir, catalog, vault) = catalog();
    let source = dir.path().join("inventory.json");
    foreign(&source).unwrap();
    // So that twins are looked for.
    catalog.record(vault, &[entry("sent", "S")]).unwrap();
    for (added, confirmed) in [(ARCHIVES, 0), (0, ARCHIVES)] {
        let file = BufReader::new(File::open(&source).unwrap());
        let read = |each: &mut dyn FnMut(_) -> _| read_json(file, each);
        let lag = std::time::Duration::from_hours(24 * 365);
        let report = reconcile(&catalog, vault, NOW, lag, read).unwrap();
        assert_eq!((report.added, report.confirmed), (added, confirmed));
        assert_eq!((report.foreign, report.refused.total), (ARCHIVES, 0));
        assert_eq!((report.twins.total, report.gone), (0, 0));
        println!("reconciled, {added} of them new: peak {} KiB", peak_kib());
    }
    let mut rows = 0;
    let mut count = |_| {
        rows += 1;
        Ok::<_, CatalogError>(())
    };
    let totals = catalog.for_each_duplicate(vault, &[], &mut count).unwrap();
    assert_eq!((rows, totals.groups), (ARCHIVES, ARCHIVES / 2));
    println!("duplicates found: peak {} KiB", peak_kib());
    assert!(peak_kib() < MAX_FOREIGN_PEAK_KIB, "{} KiB", peak_kib());
}
