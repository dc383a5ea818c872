//! The inventory of a vault.

use std::convert::Infallible;

use icefield_client::{
    CatalogPath, Target as _,
    description::{Decoded, decode},
    target::StorageClass,
};
use icefield_protocol::{
    InventoryItem, InventoryParameters, JobRequest, JobStatus, TreeHash, read_json,
};

use super::{Place, all, bytes, new, place, vault};

async fn inventory(place: &Place) -> Vec<InventoryItem> {
    let parameters = InventoryParameters::default();
    let request = JobRequest::Inventory { parameters, description: None, sns_topic: None };
    let job = place.target.initiate_job(&vault(), &request).await.unwrap();
    let described = place.target.describe_job(&vault(), &job).await.unwrap();
    assert_eq!(described.status_code, JobStatus::Succeeded);
    let output = place.target.job_output(&vault(), &job, None).await.unwrap();
    let document = all(output).await.unwrap();
    let mut items = Vec::new();
    let head = read_json::<Infallible>(&document[..], &mut |item| {
        items.push(item);
        Ok(())
    });
    assert_eq!(head.unwrap().date, Some("2026-11-28T23:00:00Z".parse().unwrap()));
    items
}

#[tokio::test]
async fn every_object_with_bytes_is_in_it_whoever_has_put_it_there() {
    let place = place(StorageClass::DeepArchive).await;
    assert_eq!(inventory(&place).await, []);
    let archived = place.put(&new("ours", 1), &bytes(1, 1000)).await;
    let nameless = icefield_client::target::NewArchive { description: None, ..new("nameless", 2) };
    place.put(&nameless, &bytes(2, 10)).await;
    place
        .put(
            &icefield_client::target::NewArchive { token: new("x", 3).token, ..nameless },
            &bytes(3, 11),
        )
        .await;
    place.bucket.put_foreign("deep/masters/films/theirs/é.mov", &bytes(3, 30));
    place.bucket.put_foreign("deep/masters/films/folder/", &bytes(3, 0));
    place.bucket.put_foreign("deep/masters/films2/x", &bytes(3, 30));
    let items = inventory(&place).await;
    let told: Vec<_> = items
        .iter()
        .map(|item| (item.archive_id.as_str(), item.size, item.tree_hash.is_some()))
        .collect();
    assert_eq!(
        told,
        [
            ("deep/masters/films/nameless", 10, true),
            ("deep/masters/films/nameless@2026-11-28T23:00:00Z", 11, true),
            ("deep/masters/films/ours", 1000, true),
            ("deep/masters/films/theirs/é.mov", 30, false),
        ]
    );
    assert_eq!(items[2].description, "a  description, 100% verbatim");
    assert_eq!(items[2].tree_hash, Some(archived.tree_hash));
    for (index, path) in [(0, "nameless"), (1, "nameless"), (3, "theirs/é.mov")] {
        let Ok(Decoded::Note(note)) = decode(&items[index].description) else { panic!() };
        assert_eq!(note.path, CatalogPath::parse(path).unwrap());
    }
}

#[tokio::test]
async fn thousands_of_objects_go_by_in_pages() {
    let place = place(StorageClass::Standard).await;
    let content = bytes(1, 1);
    for number in 0..2500 {
        place.bucket.put_foreign(&format!("deep/masters/films/{number:05}"), &content);
    }
    place.put(&new("last", 1), &bytes(7, 7)).await;
    let described = place.target.describe_vault(&vault()).await.unwrap();
    assert_eq!(described.last_inventory_date, None, "it is too large to be counted at once");
    assert!(described.number_of_archives > 0);
    let items = inventory(&place).await;
    assert_eq!(items.len(), 2501);
    assert!(items.is_sorted_by(|a, b| a.archive_id < b.archive_id));
    assert_eq!(items[2500].tree_hash, Some(TreeHash::of_leaf(&bytes(7, 7))));
    assert_eq!(
        place.bucket.requests("head_object"),
        2501 + 1,
        "one look at each, and one of the put"
    );
}
