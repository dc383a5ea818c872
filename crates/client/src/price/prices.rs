//! The prices of one storage class in one region, and what things cost at them.
//!
//! Each of [`Uploading`], [`Storing`], [`Retrieving`] and [`Deleting`] takes archives one by one and keeps only sums, so that
//! millions of them can be priced while they are listed.

use std::time::Duration;

use icefield_protocol::{Region, Tier, Timestamp};

use super::{
    cost::{Charge, Cost, CostItem, DAYS_PER_MONTH, GB, Price, Quantity},
    table::{FALLBACK_REGION, Rules},
};
use crate::{target::StorageClass, transfer::plan::Plan};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The prices of one storage class in one region.
#[derive(Debug, Clone)]
pub struct Prices {
    pub(super) class: StorageClass,
    pub(super) region: Region,
    /// Whether the table has the region at all.
    pub(super) is_known: bool,
    pub(super) version: String,
    pub(super) rules: Rules,
    pub(super) storage: Price,
    pub(super) standard_storage: Price,
    pub(super) put: Price,
    pub(super) part: Price,
    pub(super) get: Price,
    pub(super) read: Price,
    pub(super) expedited: Option<TierPrices>,
    pub(super) standard: Option<TierPrices>,
    pub(super) bulk: Option<TierPrices>,
    /// A month of a unit of provisioned capacity.
    pub(super) capacity: Price,
    /// By the GB from so many GB on, in order.
    pub(super) transfer: Vec<(u64, Price)>,
}

/// What a retrieval of one tier costs.
#[derive(Debug, Clone, Copy)]
pub(super) struct TierPrices {
    pub(super) requests: Price,
    pub(super) gb: Price,
}

/// The storage class has no retrievals of this tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this storage class has no {} retrievals", .0.as_str().to_lowercase())]
pub struct NoSuchTier(pub Tier);

impl Prices {
    /// Returns the sum of what is uploaded, nothing yet.
    pub fn uploading(&self) -> Uploading<'_> {
        Uploading { stored: self.storing(), puts: 0, parts: 0 }
    }

    /// Returns the sum of what is stored, nothing yet.
    pub fn storing(&self) -> Storing<'_> {
        Storing { prices: self, archives: 0, bytes: 0 }
    }

    /// Returns the sum of what is retrieved, nothing yet. Where a retrieval restores a temporary copy it is kept for `days`.
    ///
    /// # Errors
    ///
    /// When archives of this class are retrieved by jobs, but not by ones of this tier.
    pub fn retrieving(&self, tier: Tier, days: u32) -> Result<Retrieving<'_>, NoSuchTier> {
        let has_jobs = [self.expedited, self.standard, self.bulk].iter().any(Option::is_some);
        let prices = match tier {
            Tier::Expedited => self.expedited,
            Tier::Standard => self.standard,
            Tier::Bulk => self.bulk,
        };
        if has_jobs && prices.is_none() {
            return Err(NoSuchTier(tier));
        }
        Ok(Retrieving {
            prices: self,
            tier: prices.map(|prices| (tier, prices)),
            days,
            jobs: 0,
            asked: 0,
            reads: 0,
            sent: 0,
        })
    }

    /// Returns the sum of what is deleted at `now`, nothing yet.
    pub fn deleting(&self, now: Timestamp) -> Deleting<'_> {
        Deleting { prices: self, now, byte_days: 0, early: 0, undated: 0 }
    }

    /// Returns what a unit of provisioned capacity costs for the month that it lasts.
    pub fn capacity(&self) -> Cost {
        self.cost(vec![CostItem::new(Charge::Capacity, Quantity::Units(1), self.capacity)])
    }

    /// Returns the days that an archive is charged for at least.
    pub fn minimum_days(&self) -> u32 {
        self.rules.minimum_days
    }

    /// Bytes that an archive is charged as, without what is added to it.
    fn billed(&self, size: u64) -> u64 {
        size.max(self.rules.smallest)
    }

    fn cost(&self, items: Vec<CostItem>) -> Cost {
        let mut cost = Cost::new(items, &self.region, &self.version);
        let borrowed: Vec<_> = cost.items.iter().filter(|item| item.price.borrowed).collect();
        if !self.is_known && !borrowed.is_empty() {
            cost.notes.push(format!(
                "no prices are known of the region {}: those of {FALLBACK_REGION} are taken",
                self.region
            ));
        } else if !borrowed.is_empty() {
            let mut what: Vec<_> = borrowed.iter().map(|item| item.charge.describe()).collect();
            what.dedup();
            cost.notes.push(format!(
                "not known of the region {} and taken from {FALLBACK_REGION}: {}",
                self.region,
                what.join(", ")
            ));
        }
        cost
    }

    fn transfer(&self, bytes: u64) -> impl Iterator<Item = CostItem> {
        let ends = self.transfer.iter().skip(1).map(|(from, _)| *from).chain([u64::MAX]);
        self.transfer.iter().zip(ends).map(move |((from, price), end)| {
            let [from, end] = [*from, end].map(|gb| u128::from(gb).saturating_mul(GB));
            let inside = u128::from(bytes).min(end).saturating_sub(from);
            // Not more than `bytes`, so it fits.
            let inside = u64::try_from(inside).unwrap_or(bytes);
            CostItem::new(Charge::Transfer, Quantity::Bytes(inside), *price)
        })
    }
}

/// The sum of what is stored.
#[derive(Debug, Clone)]
pub struct Storing<'a> {
    prices: &'a Prices,
    archives: u64,
    bytes: u64,
}

impl Storing<'_> {
    /// Adds an archive of this size in bytes.
    pub fn add(&mut self, size: u64) {
        self.archives += 1;
        self.bytes = self.bytes.saturating_add(self.prices.billed(size));
    }

    /// Returns what they cost each month.
    pub fn cost(&self) -> Cost {
        self.prices.cost(self.items().to_vec())
    }

    fn items(&self) -> [CostItem; 3] {
        let Rules { overhead, standard_overhead, .. } = self.prices.rules;
        let month = |bytes: u128| Quantity::ByteDays(bytes * u128::from(DAYS_PER_MONTH));
        let each = |bytes: u64| month(u128::from(self.archives) * u128::from(bytes));
        let (own, standard) = (self.prices.storage, self.prices.standard_storage);
        [
            CostItem::new(Charge::Storage, month(self.bytes.into()), own),
            CostItem::new(Charge::Overhead, each(overhead), own),
            CostItem::new(Charge::StandardOverhead, each(standard_overhead), standard),
        ]
    }
}

/// The sum of what is uploaded.
#[derive(Debug, Clone)]
pub struct Uploading<'a> {
    stored: Storing<'a>,
    puts: u64,
    parts: u64,
}

impl Uploading<'_> {
    /// Adds an archive of this size that is sent as planned.
    pub fn add(&mut self, size: u64, plan: &Plan) {
        self.stored.add(size);
        self.puts += 1;
        if let Plan::Multipart(_) = plan {
            self.parts += 1 + plan.bodies();
        }
    }

    /// Returns what the requests cost once and the archives each month.
    pub fn cost(&self) -> Cost {
        let prices = self.stored.prices;
        let mut items = vec![
            CostItem::new(Charge::Uploads, Quantity::Requests(self.puts), prices.put),
            CostItem::new(Charge::Parts, Quantity::Requests(self.parts), prices.part),
        ];
        items.extend(self.stored.items());
        prices.cost(items)
    }
}

/// The sum of what is retrieved.
#[derive(Debug, Clone)]
pub struct Retrieving<'a> {
    prices: &'a Prices,
    /// None where nothing has to be retrieved before it is read.
    tier: Option<(Tier, TierPrices)>,
    days: u32,
    jobs: u64,
    asked: u64,
    reads: u64,
    sent: u64,
}

impl Retrieving<'_> {
    /// Adds a job to be started for this many bytes of an archive.
    pub fn add_job(&mut self, bytes: u64) {
        self.jobs += 1;
        self.asked = self.asked.saturating_add(bytes);
    }

    /// Adds this many bytes to be read, in so many requests.
    pub fn add_read(&mut self, bytes: u64, requests: u64) {
        self.reads += requests;
        self.sent = self.sent.saturating_add(bytes);
    }

    /// Returns what it costs.
    pub fn cost(&self) -> Cost {
        let prices = self.prices;
        let mut items = Vec::new();
        if let Some((_, tier)) = self.tier {
            items.push(CostItem::new(
                Charge::Retrievals,
                Quantity::Requests(self.jobs),
                tier.requests,
            ));
            items.push(CostItem::new(Charge::Retrieval, Quantity::Bytes(self.asked), tier.gb));
        } else {
            items.push(CostItem::new(Charge::Retrieval, Quantity::Bytes(self.sent), prices.read));
        }
        if self.tier.is_some() && prices.class != StorageClass::Vault {
            let byte_days = u128::from(self.asked) * u128::from(self.days);
            let copies = Quantity::ByteDays(byte_days);
            items.push(CostItem::new(Charge::TemporaryCopies, copies, prices.standard_storage));
        }
        if prices.class != StorageClass::Vault {
            items.push(CostItem::new(Charge::Reads, Quantity::Requests(self.reads), prices.get));
        }
        items.extend(prices.transfer(self.sent));
        let mut cost = prices.cost(items);
        if self.sent > 0 {
            cost.notes.push(
                "of the transfer nothing is counted as free: the first 100 GB a month are, of all an account sends, and all of it within the region".to_owned(),
            );
        }
        if matches!(self.tier, Some((Tier::Expedited, _))) && self.jobs > 0 {
            cost.notes.push(
                "expedited retrievals without provisioned capacity are refused at times, and archives above 250 MB take longer".to_owned(),
            );
        }
        cost
    }
}

/// The sum of what is deleted.
#[derive(Debug, Clone)]
pub struct Deleting<'a> {
    prices: &'a Prices,
    now: Timestamp,
    byte_days: u128,
    early: u64,
    undated: u64,
}

impl Deleting<'_> {
    /// Adds an archive of this size, stored at that time as far as known.
    pub fn add(&mut self, size: u64, stored: Option<Timestamp>) {
        let minimum = DAY * self.prices.rules.minimum_days;
        let age = stored.map_or(Duration::ZERO, |stored| self.now.saturating_since(stored));
        let left = minimum.saturating_sub(age).as_millis().div_ceil(DAY.as_millis());
        if left == 0 {
            return;
        }
        self.early += 1;
        self.undated += u64::from(stored.is_none());
        let bytes = u128::from(self.prices.billed(size)) + u128::from(self.prices.rules.overhead);
        self.byte_days += bytes * left;
    }

    /// Returns how many of the archives have not been stored for the minimum duration.
    pub fn early(&self) -> u64 {
        self.early
    }

    /// Returns what deleting them costs: what their storage would until the minimum duration is over.
    pub fn cost(&self) -> Cost {
        let left = Quantity::ByteDays(self.byte_days);
        let fee = CostItem::new(Charge::EarlyDeletion, left, self.prices.storage);
        let mut cost = self.prices.cost(vec![fee]);
        if self.undated > 0 {
            cost.notes
                .push(format!("archives whose age is not known, counted as new: {}", self.undated));
        }
        cost
    }
}
