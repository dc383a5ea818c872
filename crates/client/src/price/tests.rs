//! Figures worked out by hand, and the bills that people were shocked by.

use std::time::Duration;

use icefield_protocol::{PartSize, Region, Tier, Timestamp};

use super::{Charge, Cost, NoSuchTier, PriceTable, Prices, Usd};
use crate::{
    target::Limits,
    target::StorageClass::{
        self, DeepArchive, FlexibleRetrieval, InstantRetrieval, Standard, Vault,
    },
    transfer::plan::{Plan, plan},
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const DAY: Duration = Duration::from_secs(24 * 3600);

fn prices(region: &str, class: StorageClass) -> Prices {
    PriceTable::built_in().prices(&Region::parse(region).unwrap(), class)
}

fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}

#[track_caller]
fn amount(cost: &Cost, charge: Charge) -> Usd {
    let mut amounts = cost.items.iter().filter(|item| item.charge == charge);
    let amount = amounts.next().unwrap_or_else(|| panic!("no {charge:?} in {cost:?}")).amount;
    amounts.map(|item| item.amount).fold(amount, Usd::saturating_add)
}

fn charges(cost: &Cost) -> Vec<Charge> {
    cost.items.iter().map(|item| item.charge).collect()
}

fn retrieval(prices: &Prices, tier: Tier, archives: u64, bytes: u64) -> Cost {
    let mut sum = prices.retrieving(tier, 1).unwrap();
    for index in 0..archives {
        // The last archive is what is left, so that the sum is exact.
        let share = bytes / archives;
        sum.add_job(if index + 1 == archives { bytes - share * (archives - 1) } else { share });
    }
    sum.cost()
}

/// "15,000,000 objects, 100 TB" in "Manage data retrieval costs for S3 Glacier" of AWS re:Post.
#[test]
fn fifteen_million_expedited_retrievals_cost_a_fortune() {
    let flexible = prices("us-east-1", FlexibleRetrieval);
    let standard = retrieval(&flexible, Tier::Standard, 15_000_000, 100 * TIB);
    assert_eq!(amount(&standard, Charge::Retrievals), usd("750"));
    assert_eq!(amount(&standard, Charge::Retrieval), usd("1024"));
    let expedited = retrieval(&flexible, Tier::Expedited, 15_000_000, 100 * TIB);
    assert_eq!(amount(&expedited, Charge::Retrievals), usd("150000"));
    assert_eq!(amount(&expedited, Charge::Retrieval), usd("3072"));
    assert_eq!(expedited.notes.len(), 1, "{:?}", expedited.notes);
    let bulk = retrieval(&flexible, Tier::Bulk, 15_000_000, 100 * TIB);
    assert_eq!(amount(&bulk, Charge::Retrievals), Usd::ZERO);
    assert_eq!(amount(&bulk, Charge::Retrieval), Usd::ZERO);
}

/// $265.31 for archiving 350 GB (alestic.com, 2012): five million small files, each a request.
#[test]
fn five_million_uploads_cost_more_than_what_they_store() {
    let vault = prices("us-east-1", Vault);
    let mut sum = vault.uploading();
    for _ in 0..5_306_200 {
        sum.add(350 * GIB / 5_306_200, &Plan::Single);
    }
    let cost = sum.cost();
    assert_eq!(cost.once(), usd("265.31"));
    assert_eq!(charges(&cost), [Charge::Uploads, Charge::Storage, Charge::Overhead]);
    // 5,306,200 times 32 KiB are 161.93 GiB more: 0.0036 times 511.93.
    assert_eq!(cost.per_month().to_string(), "$1.85");
}

#[test]
fn a_thousand_files_of_a_mebibyte() {
    let [vault, flexible] = [Vault, FlexibleRetrieval].map(|class| {
        let prices = prices("us-east-1", class);
        let mut sum = prices.uploading();
        (0..1000).for_each(|_| sum.add(MIB, &Plan::Single));
        sum.cost()
    });
    assert_eq!(vault.once(), usd("0.05"));
    // 1000/1024 GiB; with 1000 times 32 KiB, 1000/32768 GiB.
    assert_eq!(amount(&vault, Charge::Storage), usd("0.003515625"));
    assert_eq!(amount(&vault, Charge::Overhead), usd("0.000109864"));
    assert_eq!(flexible.once(), usd("0.03"));
    assert_eq!(amount(&flexible, Charge::Overhead), usd("0.000109864"));
    // 1000 times 8 KiB at the price of S3 Standard: 0.023 times 1000/131072, rounded up.
    assert_eq!(amount(&flexible, Charge::StandardOverhead), usd("0.000175477"));
    assert_eq!(flexible.per_month(), usd("0.003800966"));
}

#[test]
fn the_parts_of_a_large_file_are_requests_too() {
    let size = 100 * GIB;
    let in_parts =
        plan(size, Some(PartSize::new(128 * MIB).unwrap()), Limits::of_vaults()).unwrap();
    let cost = |class| {
        let prices = prices("us-east-1", class);
        let mut sum = prices.uploading();
        sum.add(size, &in_parts);
        sum.cost()
    };
    // Of a vault every request costs the same: 800 parts, their beginning, their end.
    assert_eq!(cost(Vault).once(), usd("0.0401"));
    // S3 charges parts at the price of S3 Standard, and the end at that of the class.
    assert_eq!(cost(DeepArchive).once(), usd("0.004055"));
    assert_eq!(amount(&cost(DeepArchive), Charge::Storage), usd("0.099"));
}

#[test]
fn a_hundred_gigabytes_come_back_from_a_vault_for_ten_dollars() {
    let vault = prices("us-west-2", Vault);
    let mut sum = vault.retrieving(Tier::Standard, 1).unwrap();
    (0..100).for_each(|_| sum.add_job(GIB));
    sum.add_read(100 * GIB, 6400);
    let cost = sum.cost();
    assert_eq!(
        charges(&cost),
        [Charge::Retrievals, Charge::Retrieval, Charge::Transfer],
        "reading outputs of jobs is free, and a vault keeps no copies"
    );
    assert_eq!(amount(&cost, Charge::Retrievals), usd("0.005"));
    assert_eq!(amount(&cost, Charge::Retrieval), usd("1"));
    assert_eq!(amount(&cost, Charge::Transfer), usd("9"));
    assert_eq!(cost.once(), usd("10.005"));
    assert_eq!(cost.per_month(), Usd::ZERO);
}

#[test]
fn what_was_asked_for_before_is_only_read() {
    let vault = prices("us-west-2", Vault);
    let mut sum = vault.retrieving(Tier::Expedited, 1).unwrap();
    sum.add_read(10 * GIB, 1);
    let cost = sum.cost();
    assert_eq!(charges(&cost), [Charge::Transfer]);
    assert_eq!(cost.once(), usd("0.9"));
}

#[test]
fn a_restore_keeps_a_copy_at_the_price_of_standard() {
    let deep = prices("eu-central-1", DeepArchive);
    let mut sum = deep.retrieving(Tier::Bulk, 6).unwrap();
    (0..10).for_each(|_| sum.add_job(100 * GIB));
    sum.add_read(1000 * GIB, 64_000);
    let cost = sum.cost();
    assert_eq!(amount(&cost, Charge::Retrievals), usd("0.0003"));
    assert_eq!(amount(&cost, Charge::Retrieval), usd("5"));
    // A fifth of a month of 1,000 GiB at 0.0245.
    assert_eq!(amount(&cost, Charge::TemporaryCopies), usd("4.9"));
    assert_eq!(amount(&cost, Charge::Reads), usd("0.02752"));
    assert_eq!(amount(&cost, Charge::Transfer), usd("90"));
}

#[test]
fn instant_retrieval_has_no_jobs_and_charges_small_files_as_large_ones() {
    let instant = prices("us-east-1", InstantRetrieval);
    let mut sum = instant.retrieving(Tier::Standard, 1).unwrap();
    sum.add_read(10 * GIB, 1000);
    let cost = sum.cost();
    assert_eq!(amount(&cost, Charge::Retrieval), usd("0.3"));
    assert_eq!(amount(&cost, Charge::Reads), usd("0.01"));
    let mut sum = instant.storing();
    (0..8192).for_each(|_| sum.add(KIB));
    // 8192 times 128 KiB is a GiB.
    assert_eq!(sum.cost().per_month(), usd("0.004"));
    assert_eq!(charges(&sum.cost()), [Charge::Storage]);
}

#[test]
fn deep_archive_cannot_be_hurried() {
    let deep = prices("us-east-1", DeepArchive);
    let Err(refused) = deep.retrieving(Tier::Expedited, 1) else { panic!("priced") };
    assert_eq!(refused, NoSuchTier(Tier::Expedited));
    assert_eq!(refused.to_string(), "this storage class has no expedited retrievals");
}

#[test]
fn transfer_gets_cheaper_by_the_bracket() {
    let vault = prices("us-east-1", Vault);
    let mut sum = vault.retrieving(Tier::Bulk, 1).unwrap();
    sum.add_read(200 * TIB, 1);
    let cost = sum.cost();
    let amounts: Vec<_> = cost.items.iter().map(|item| item.amount).collect();
    assert_eq!(amounts, ["921.6", "3481.6", "7168", "2560"].map(usd));
}

#[test]
fn an_archive_deleted_early_costs_what_is_left_of_its_minimum() {
    let vault = prices("us-east-1", Vault);
    let now = Timestamp::parse("2026-06-30T00:00:00Z").unwrap();
    let stored = |days: u32| {
        Some(Timestamp::parse("2026-03-02T00:00:00Z").unwrap().saturating_add(DAY * days))
    };
    let mut sum = vault.deleting(now);
    sum.add(TIB, stored(0));
    assert_eq!((sum.early(), sum.cost().items), (0, vec![]), "it was there for 120 days");
    sum.add(TIB, stored(90));
    // 60 days of 1,024 GiB and 32 KiB at 0.0036 a month.
    assert_eq!((sum.early(), sum.cost().once()), (1, usd("7.37280022")));
    sum.add(TIB, None);
    assert_eq!(sum.early(), 2);
    assert_eq!(sum.cost().once(), usd("18.43200055"), "three more months, as if it were new");
    assert!(sum.cost().notes[0].ends_with("counted as new: 1"), "{:?}", sum.cost().notes);
    let deep = prices("us-east-1", DeepArchive);
    let mut sum = deep.deleting(now);
    sum.add(TIB, stored(0));
    assert_eq!(sum.cost().once().to_string(), "$2.03", "60 days are left of 180");
}

#[test]
fn a_unit_of_capacity_is_paid_once_for_its_month() {
    let cost = prices("us-east-1", Vault).capacity();
    assert_eq!((charges(&cost), cost.notes.len()), (vec![Charge::Capacity], 0));
    assert_eq!((cost.once(), cost.per_month()), (usd("100"), Usd::ZERO));
}

#[test]
fn nothing_is_left_to_pay_in_standard() {
    let standard = prices("eu-west-1", Standard);
    let mut sum = standard.deleting(Timestamp::parse("2026-06-30T00:00:00Z").unwrap());
    sum.add(TIB, None);
    assert_eq!((sum.early(), sum.cost().once()), (0, Usd::ZERO));
}

#[test]
fn every_region_has_what_decides_about_a_bill() {
    let table = PriceTable::built_in();
    assert_eq!(table.regions().count(), 36);
    for region in table.regions() {
        for class in [Vault, FlexibleRetrieval, DeepArchive, InstantRetrieval, Standard] {
            let prices = table.prices(&Region::parse(region).unwrap(), class);
            assert!(prices.is_known && !prices.storage.borrowed, "{region} {class:?}");
            assert!(prices.storage.usd > Usd::ZERO, "{region} {class:?}");
            assert!(prices.storage.usd <= prices.standard_storage.usd, "{region} {class:?}");
            assert!(prices.transfer.iter().all(|(_, price)| price.usd > Usd::ZERO), "{region}");
            let tiers = [prices.bulk, prices.standard, prices.expedited];
            let costs: Vec<_> = tiers.into_iter().flatten().map(|tier| tier.gb.usd).collect();
            assert!(costs.is_sorted(), "{region} {class:?}: {costs:?}");
        }
    }
}

#[test]
fn what_is_not_known_of_a_region_is_said() {
    let cost = retrieval(&prices("ap-east-2", FlexibleRetrieval), Tier::Standard, 1000, GIB);
    assert_eq!(amount(&cost, Charge::Retrieval), usd("0.011"));
    assert_eq!(amount(&cost, Charge::Retrievals), usd("0.05"));
    assert_eq!(
        cost.notes,
        ["not known of the region ap-east-2 and taken from us-east-1: retrieval requests"]
    );
    let cost = retrieval(&prices("moon-1", Vault), Tier::Bulk, 1, GIB);
    assert_eq!(amount(&cost, Charge::Retrieval), usd("0.0025"));
    assert_eq!(
        cost.notes,
        ["no prices are known of the region moon-1: those of us-east-1 are taken"]
    );
}

#[test]
fn another_file_replaces_single_figures() {
    let built_in = PriceTable::built_in();
    let text = "
        [region.us-east-1]
        transfer_out = [{ from = 100, gb = 0.09 }]
        [region.us-east-1.vault]
        put = 0.03
        bulk = { gb = 0 }
        [region.moon-1.vault]
        storage = 1
        [class.vault]
        minimum_days = 0
    ";
    let table = built_in.replaced_by(text, "ours.toml").unwrap();
    assert_eq!(table.version(), format!("{} with ours.toml", built_in.version()));
    let prices = table.prices(&Region::parse("us-east-1").unwrap(), Vault);
    let mut sum = prices.uploading();
    (0..1000).for_each(|_| sum.add(GIB, &Plan::Single));
    let cost = sum.cost();
    assert_eq!(cost.once(), usd("0.03"));
    assert_eq!(amount(&cost, Charge::Storage), usd("3.6"), "as before");
    assert_eq!(cost.prices, table.version());
    let bulk = retrieval(&prices, Tier::Bulk, 1000, GIB);
    assert_eq!(amount(&bulk, Charge::Retrieval), Usd::ZERO);
    assert_eq!(amount(&bulk, Charge::Retrievals), usd("0.025"), "as before");
    let mut sum = prices.retrieving(Tier::Bulk, 1).unwrap();
    sum.add_read(101 * GIB, 1);
    assert_eq!(sum.cost().once(), usd("0.09"), "who counts the allowance may");
    let mut sum = prices.deleting(Timestamp::parse("2026-06-30T00:00:00Z").unwrap());
    sum.add(TIB, None);
    assert_eq!(sum.early(), 0);
    let moon = Region::parse("moon-1").unwrap();
    assert_eq!(table.prices(&moon, Vault).storage.usd, usd("1"));

    let dated = built_in.replaced_by("version = \"2027-01-01\"", "ours.toml").unwrap();
    assert_eq!(dated.version(), "2027-01-01 (ours.toml)");
    for wrong in [
        "[region.us-east-1.vault]\nstorrage = 1",
        "currency = 1",
        "version",
        "[class.vault]\nminimum_days = -1",
    ] {
        assert!(built_in.replaced_by(wrong, "ours.toml").is_err(), "{wrong}");
    }
}
