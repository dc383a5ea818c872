//! When an inventory is taken.

use super::fixtures::{V, at, create, delete, small, vault, with_vault};
use crate::{
    entry::VaultNumber,
    ledger::{InventorySnapshot, Ledger},
};

const MINUTE: u64 = 60_000;

pub(super) async fn the_first_inventory_needs_a_write(ledger: &dyn Ledger) {
    assert_eq!(ledger.take_inventory(VaultNumber(9), at(0), 0).await.unwrap(), None);
    with_vault(ledger).await;
    let row = ledger.take_inventory(V, at(5), 0).await.unwrap().unwrap();
    assert_eq!(row.inventory, None);
    create(ledger, small(2)).await;
    let row = ledger.take_inventory(V, at(6), MINUTE).await.unwrap().unwrap();
    let first = InventorySnapshot { date: at(6), writes: 1, archives: 1, bytes: 7 };
    assert_eq!(row.inventory, Some(first));
    assert_eq!(vault(ledger).await, row);
}

pub(super) async fn an_inventory_waits_for_its_interval_and_a_write(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    create(ledger, small(2)).await;
    let take = async |seconds, interval| {
        let row = ledger.take_inventory(V, at(seconds), interval).await.unwrap().unwrap();
        row.inventory.map(|inventory| (inventory.date, inventory.writes, inventory.archives))
    };
    assert_eq!(take(0, MINUTE).await, Some((at(0), 1, 1)));
    assert_eq!(take(100, MINUTE).await, Some((at(0), 1, 1)), "nothing was written");
    delete(ledger, 2).await;
    assert_eq!(take(59, MINUTE).await, Some((at(0), 1, 1)), "the interval is not over");
    assert_eq!(take(60, u64::MAX).await, Some((at(0), 1, 1)));
    assert_eq!(take(60, MINUTE).await, Some((at(60), 2, 0)));
    create(ledger, small(3)).await;
    assert_eq!(take(30, 0).await, Some((at(60), 2, 0)), "the clock went back");
    assert_eq!(take(60, 0).await, Some((at(60), 3, 1)));
}
