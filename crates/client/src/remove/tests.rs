//! Deleting by pattern and ID, from a target in memory.

mod purging;

use std::sync::Arc;

use icefield_protocol::{ArchiveId, Timestamp};

use super::{RemoveContext, delete, plan_delete};
use crate::{
    catalog::{Entry, EntryQuery, Kind, ManifestArchive},
    events::Silent,
    pattern::Pattern,
    retrieval::tests::{Scene, bytes, entry, shelf::tree_hash},
};

fn context(scene: &Scene) -> RemoveContext {
    RemoveContext {
        target: Arc::clone(&scene.context.target),
        catalog: scene.context.catalog.clone(),
        vault: scene.context.vault,
        vault_name: scene.context.vault_name.clone(),
        events: Arc::new(Silent),
        clock: Arc::clone(&scene.context.clock),
    }
}

fn known(scene: &Scene) -> Vec<String> {
    let mut known = Vec::new();
    let query = EntryQuery { versions: true, as_of: None };
    let (catalog, vault) = (&scene.context.catalog, scene.context.vault);
    catalog
        .for_each(vault, &query, &mut |entry: Entry| {
            known.push(entry.path.to_string());
            Ok::<(), super::CatalogError>(())
        })
        .unwrap();
    known
}

#[tokio::test]
async fn a_pattern_deletes_all_versions_and_what_has_no_bytes() {
    let scene = Scene::new();
    scene.record(&[entry("d", Kind::Folder), entry("d/none", Kind::File)]);
    scene.archived("d/f", "old", bytes(10));
    let mut newer = entry("d/f", Kind::File);
    newer.size = 3;
    newer.tree_hash = Some(tree_hash(b"new"));
    newer.archive = Some(scene.shelf.put("new", "new"));
    newer.uploaded = Timestamp::from_unix_millis(2000);
    scene.record(&[newer]);
    scene.archived("kept", "kept", bytes(5));

    let patterns = [Pattern::parse("d").unwrap()];
    let (catalog, vault) = (&scene.context.catalog, scene.context.vault);
    let plan = plan_delete(catalog, vault, &patterns, &[]).unwrap();
    assert_eq!((plan.archives.len(), plan.bytes(), plan.without_bytes.len()), (2, 13, 2));
    assert_eq!(scene.shelf.state().archives.len(), 3, "a plan deletes nothing");
    let report = delete(&context(&scene), plan).await.unwrap();
    assert_eq!((report.deleted, report.bytes), (2, 13));
    assert_eq!(scene.shelf.state().archives.len(), 1);
    assert_eq!(known(&scene), ["kept"]);
}

#[tokio::test]
async fn manifests_go_with_the_last_path() {
    let scene = Scene::new();
    scene.archived("a", "a", bytes(10));
    scene.archived("b", "b", bytes(10));
    let manifest = ManifestArchive {
        archive: scene.shelf.put("manifest", "paths"),
        size: 5,
        created: Timestamp::UNIX_EPOCH,
        tree_hash: None,
        description: None,
    };
    let (catalog, vault) = (&scene.context.catalog, scene.context.vault);
    catalog.record_manifest(vault, &manifest).unwrap();
    for (pattern, left) in [("a", 2), ("none", 2), ("**", 0)] {
        let patterns = [Pattern::parse(pattern).unwrap()];
        let plan = plan_delete(catalog, vault, &patterns, &[]).unwrap();
        delete(&context(&scene), plan).await.unwrap();
        assert_eq!(scene.shelf.state().archives.len(), left, "after {pattern}");
    }
    assert_eq!(catalog.manifests(vault).unwrap(), []);
}

#[tokio::test]
async fn no_pattern_and_no_id_deletes_nothing_and_an_unknown_id_is_deleted_at_the_target() {
    let scene = Scene::new();
    scene.archived("f", "f", bytes(10));
    let foreign: ArchiveId = scene.shelf.put("foreign", "x");
    let (catalog, vault) = (&scene.context.catalog, scene.context.vault);
    assert!(plan_delete(catalog, vault, &[], &[]).unwrap().is_empty());
    let plan = plan_delete(catalog, vault, &[], &[foreign.clone(), foreign]).unwrap();
    assert_eq!(plan.archives.len(), 1);
    assert_eq!(delete(&context(&scene), plan).await.unwrap().deleted, 1);
    assert_eq!(known(&scene), ["f"]);
}
