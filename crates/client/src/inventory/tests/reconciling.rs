//! A vault's inventory against the catalog.

use std::time::Duration;

use icefield_protocol::{InventoryItem, Timestamp};

use super::{all, catalog, day, entry, folder, hash, id, link, paths};
use crate::{
    catalog::{Catalog, Entry, Kind, Twin, VaultRef},
    description::{ArchiveNote, RunId, encode, encode_item, encode_manifest},
    inventory::{Reconciliation, RefreshReport, apply_manifest, import},
    manifest,
};

const DAY: Duration = Duration::from_hours(24);

fn item(archive: &str, description: &str) -> InventoryItem {
    InventoryItem {
        archive_id: id(archive),
        description: description.to_owned(),
        created: day(20),
        size: 7,
        tree_hash: Some(hash()),
    }
}

fn reconcile(
    catalog: &Catalog,
    vault: VaultRef,
    items: &[InventoryItem],
    date: Timestamp,
) -> RefreshReport {
    let mut reconciliation = Reconciliation::begin(catalog, vault).unwrap();
    for item in items {
        reconciliation.item(item.clone()).unwrap();
    }
    reconciliation.finish(date, DAY).unwrap()
}

#[test]
fn a_new_machine_gets_names_times_and_modes_back() {
    let (_dir, catalog, vault) = catalog();
    let original = entry("2024/\u{e9}.fit", "A");
    let note =
        ArchiveNote { path: original.path.clone(), mtime: original.mtime, mode: original.mode };
    let description = encode(&note).unwrap().to_string();
    let items = [item("A", &description), item("B", "my backup"), item("C", ""), item("D", "../x")];
    let report = reconcile(&catalog, vault, &items, day(30));
    assert_eq!((report.archives, report.bytes, report.added, report.confirmed), (4, 28, 4, 0));
    assert_eq!((report.foreign, report.date), (3, Some(day(30))));
    assert_eq!(report.refused.total, 1);
    assert!(report.refused.first[0].why.contains("\"../x\""), "{report:?}");
    let found = all(&catalog, vault);
    assert_eq!(paths(&found), ["2024/\u{e9}.fit", "archive-C", "archive-D", "my backup"]);
    assert_eq!(found[0], Entry { description: Some(description), ..original });
    let again = reconcile(&catalog, vault, &items, day(31));
    assert_eq!((again.added, again.confirmed, again.gone), (0, 4, 0));
    assert_eq!(all(&catalog, vault), found);
}

#[test]
fn fresh_uploads_are_kept_and_old_ones_that_are_missing_are_gone() {
    let (_dir, catalog, vault) = catalog();
    let at = |name: &str, uploaded| Entry { uploaded, ..entry(name, name) };
    let entries =
        [at("old", day(10)), at("within-lag", day(29)), at("later", day(40)), at("seen", day(10))];
    catalog.record(vault, &entries).unwrap();
    let report = reconcile(&catalog, vault, &[item("seen", "")], day(30));
    assert_eq!((report.gone, report.kept_fresh, report.confirmed), (1, 2, 1));
    assert_eq!(paths(&all(&catalog, vault)), ["later", "seen", "within-lag"]);
    assert_eq!(catalog.newest(vault, &entries[0].path).unwrap(), None);
    let report = reconcile(&catalog, vault, &[item("seen", ""), item("old", "")], day(31));
    assert_eq!(
        (report.gone, report.confirmed, report.added),
        (1, 2, 0),
        "it came back, another went"
    );
    assert_eq!(paths(&all(&catalog, vault)), ["later", "old", "seen"]);
}

#[test]
fn an_imported_row_without_date_counts_from_its_import() {
    let (_dir, catalog, vault) = catalog();
    let file = "FilePath,ArchiveId,Checksum\nC:\\x,X,\n";
    import(&catalog, vault, file.as_bytes(), day(50)).unwrap();
    assert_eq!(reconcile(&catalog, vault, &[], day(50)).gone, 0);
    assert_eq!(reconcile(&catalog, vault, &[], day(52)).gone, 1);
}

#[test]
fn unknown_sizes_dates_and_hashes_are_filled_in() {
    let (_dir, catalog, vault) = catalog();
    let file = "FilePath,ArchiveId,Checksum\nC:\\astro\\x.fit,X,\n";
    import(&catalog, vault, file.as_bytes(), day(50)).unwrap();
    let report = reconcile(&catalog, vault, &[item("X", "")], day(60));
    assert_eq!((report.added, report.confirmed), (0, 1));
    let found = all(&catalog, vault).remove(0);
    assert_eq!(found.path.as_bytes(), b"astro/x.fit");
    assert_eq!((found.known_size(), found.known_uploaded()), (Some(7), Some(day(20))));
    assert_eq!(found.tree_hash, Some(hash()));
}

#[test]
fn an_archive_that_differs_is_named() {
    let (_dir, catalog, vault) = catalog();
    catalog.record(vault, &[Entry { size: 8, ..entry("a", "A") }]).unwrap();
    let report = reconcile(&catalog, vault, &[item("A", "")], day(30));
    assert_eq!((report.confirmed, report.differing.total), (1, 1));
    assert_eq!(report.differing.first[0].place, "a");
}

#[test]
fn what_has_the_path_and_content_of_an_upload_but_was_not_uploaded_here_is_its_twin() {
    let (_dir, catalog, vault) = catalog();
    let other_content = Entry { size: 8, ..entry("b", "B") };
    catalog.record(vault, &[entry("a", "A"), entry("a", "A2"), other_content]).unwrap();
    let listed = [
        item("A", "a"),
        item("A2", "a"),
        item("lost", "a"),
        item("B", "b"),
        item("another-version", "b"),
        item("elsewhere", "c"),
        item("elsewhere-again", "c"),
    ]
    .map(|item| InventoryItem { size: if item.archive_id == id("B") { 8 } else { 7 }, ..item });
    let twin = Twin { archive: id("lost"), of: id("A"), path: entry("a", "A").path, size: 7 };
    for day in [day(30), day(31)].map(Some) {
        let report = reconcile(&catalog, vault, &listed, day.unwrap());
        assert_eq!((report.twins.first, report.twins.total), (vec![twin.clone()], 1));
        assert_eq!(catalog.inventoried(vault).unwrap(), day);
    }
    let report = reconcile(&catalog, vault, &listed[..2], day(40));
    assert_eq!(report.twins.total, 0, "the twin is gone");
    reconcile(&catalog, vault, &listed, day(35));
    assert_eq!(catalog.inventoried(vault).unwrap(), Some(day(40)), "an older one does not count");
    catalog.meet_vault(vault, day(1)).unwrap();
    catalog.meet_vault(vault, day(50)).unwrap();
    assert_eq!(catalog.inventoried(vault).unwrap(), None, "another vault under the name");
}

#[test]
fn what_another_program_has_packed_is_counted() {
    let (_dir, catalog, vault) = catalog();
    let described = |id, ce: &str| item(id, &format!("<m><v>4</v><p>YQ==</p><ce>{ce}</ce></m>"));
    let items =
        [described("A", "0:0:"), described("B", "1:0:"), described("C", "0:1:"), item("D", "")];
    let report = reconcile(&catalog, vault, &items, day(30));
    assert_eq!((report.foreign, report.packed), (4, 2));
}

#[test]
fn other_vaults_are_left_alone() {
    let (_dir, catalog, vault) = catalog();
    let other = catalog.vault("other", &super::name()).unwrap();
    catalog.record(other, &[entry("a", "A")]).unwrap();
    let report = reconcile(&catalog, vault, &[item("A", "a")], day(90));
    assert_eq!((report.added, report.gone), (1, 0));
    assert_eq!(all(&catalog, other).len(), 1);
}

#[test]
fn an_inventory_that_breaks_off_marks_nothing_as_gone() {
    let (_dir, catalog, vault) = catalog();
    catalog.record(vault, &[entry("a", "A")]).unwrap();
    let mut reconciliation = Reconciliation::begin(&catalog, vault).unwrap();
    for n in 0..5000 {
        reconciliation.item(item(&format!("N{n}"), "")).unwrap();
    }
    drop(reconciliation);
    assert_eq!(catalog.by_archive(vault, &id("A")).unwrap().len(), 1);
}

#[test]
fn a_manifest_tells_folders_links_and_long_paths() {
    let (_dir, catalog, vault) = catalog();
    let run = RunId::from_bytes([9; 16]);
    let long = "x/".repeat(700) + "y";
    let items = [
        item("L", encode_item(run, 0).as_str()),
        item("M", encode_manifest(run).as_str()),
        item("A", "a"),
    ];
    let report = reconcile(&catalog, vault, &items, day(30));
    assert_eq!((report.manifests, report.added, report.foreign), (vec![(id("M"), 7)], 2, 1));
    assert_eq!(paths(&all(&catalog, vault)), ["a", "archive-L"]);

    let told = [
        folder("d"),
        link("l", b"d"),
        Entry { kind: Kind::File, ..folder("empty") },
        entry(long.as_str(), "L"),
        entry("was deleted", "Z"),
    ];
    let mut bytes = Vec::new();
    manifest::write(&mut bytes, told.iter()).unwrap();
    bytes.extend_from_slice(br#"{"path":"../../etc/cron.d/x","kind":"link","link":"y"}"#);
    let refused = apply_manifest(&catalog, vault, &id("M"), bytes.as_slice()).unwrap();
    assert_eq!(refused.total, 1);
    assert!(refused.first[0].why.contains("../../etc/cron.d/x"), "{refused:?}");
    let found = all(&catalog, vault);
    assert_eq!(paths(&found), ["a", "d", "empty", "l", &long]);
    assert_eq!((found[4].mtime, found[4].mode, found[4].size), (told[3].mtime, Some(0o644), 7));
    assert_eq!((found[3].link_target.as_deref(), found[3].uploaded), (Some(&b"d"[..]), day(20)));
    assert!(found[1..].iter().all(|entry| entry.manifest == Some(id("M"))));

    let report = reconcile(&catalog, vault, &items, day(31));
    assert_eq!(report.manifests, [], "it is applied");
    assert_eq!(all(&catalog, vault), found);
    let report = reconcile(&catalog, vault, &items[2..], day(40));
    assert_eq!(report.gone, 1);
    assert_eq!(paths(&all(&catalog, vault)), ["a"], "what only the lost manifest told is gone too");
    let report = reconcile(&catalog, vault, &items, day(41));
    assert_eq!(report.manifests.len(), 1, "it is back and has to be applied again");
    apply_manifest(&catalog, vault, &id("M"), bytes.as_slice()).unwrap();
    assert_eq!(all(&catalog, vault), found);
}

#[test]
fn a_manifest_of_this_machine_is_not_retrieved() {
    let (_dir, catalog, vault) = catalog();
    catalog.record(vault, &[Entry { manifest: Some(id("M")), ..folder("d") }]).unwrap();
    let run = RunId::from_bytes([9; 16]);
    let report = reconcile(&catalog, vault, &[item("M", encode_manifest(run).as_str())], day(30));
    assert_eq!(report.manifests, []);
}
