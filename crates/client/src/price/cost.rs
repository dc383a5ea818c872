//! What something costs, item by item.

use icefield_protocol::Region;

use super::usd::Usd;

/// Bytes in a GB on Amazon's bill.
pub(super) const GB: u128 = 1 << 30;

/// Days in a month of storage.
pub(super) const DAYS_PER_MONTH: u32 = 30;

/// What is charged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Charge {
    /// Requests that make an archive.
    Uploads,
    /// Requests that begin a multipart upload or bring a part of it.
    Parts,
    /// A month of storage of the archives.
    Storage,
    /// A month of storage of what the class adds to each archive.
    Overhead,
    /// A month of storage of what the class keeps of each archive in S3 Standard.
    StandardOverhead,
    /// Requests for retrieval.
    Retrievals,
    /// Bytes that are retrieved.
    Retrieval,
    /// Copies that a restore keeps in S3 Standard for some days.
    TemporaryCopies,
    /// Requests that read.
    Reads,
    /// Bytes that leave for the internet.
    Transfer,
    /// What is left of the minimum duration of archives that are deleted before.
    EarlyDeletion,
    /// Units of provisioned capacity, a month each.
    Capacity,
}

impl Charge {
    /// Returns its name in records for scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uploads => "uploads",
            Self::Parts => "parts",
            Self::Storage => "storage",
            Self::Overhead => "overhead",
            Self::StandardOverhead => "standard_overhead",
            Self::Retrievals => "retrievals",
            Self::Retrieval => "retrieval",
            Self::TemporaryCopies => "temporary_copies",
            Self::Reads => "reads",
            Self::Transfer => "transfer",
            Self::EarlyDeletion => "early_deletion",
            Self::Capacity => "capacity",
        }
    }

    /// Returns what it is in words for people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Uploads => "requests that store archives",
            Self::Parts => "requests for parts of them",
            Self::Storage => "storage",
            Self::Overhead => "storage of 32 KiB more for each archive",
            Self::StandardOverhead => "storage of 8 KiB for each archive in S3 Standard",
            Self::Retrievals => "retrieval requests",
            Self::Retrieval => "retrieval",
            Self::TemporaryCopies => "copies in S3 Standard while they are restored",
            Self::Reads => "requests that read",
            Self::Transfer => "transfer to the internet",
            Self::EarlyDeletion => "deletion before the minimum duration",
            Self::Capacity => "provisioned capacity",
        }
    }

    /// Whether it is charged again every month.
    pub const fn is_monthly(self) -> bool {
        matches!(self, Self::Storage | Self::Overhead | Self::StandardOverhead)
    }
}

/// How much is charged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Requests, priced by the thousand.
    Requests(u64),
    /// Bytes, priced by the GB of 2^30.
    Bytes(u64),
    /// Bytes times days, priced by the GB and the month of 30 days.
    ByteDays(u128),
    /// Units of capacity, each priced for a month.
    Units(u64),
}

impl Quantity {
    /// Returns how much it is, in [`unit`](Self::unit), as numerator and denominator.
    pub fn ratio(self) -> (u128, u128) {
        match self {
            Self::Requests(count) | Self::Units(count) => (count.into(), 1),
            Self::Bytes(bytes) => (bytes.into(), GB),
            Self::ByteDays(byte_days) => (byte_days, GB * u128::from(DAYS_PER_MONTH)),
        }
    }

    /// Returns the unit: `request`, `GiB`, `GiB-month` or `unit`.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Requests(_) => "request",
            Self::Bytes(_) => "GiB",
            Self::ByteDays(_) => "GiB-month",
            Self::Units(_) => "unit",
        }
    }

    /// Units that the price is for: requests are priced by the thousand.
    pub const fn priced_by(self) -> u128 {
        match self {
            Self::Requests(_) => 1000,
            Self::Bytes(_) | Self::ByteDays(_) | Self::Units(_) => 1,
        }
    }

    fn is_zero(self) -> bool {
        self.ratio().0 == 0
    }
}

/// A price, and whether it is another region's because this one's is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Price {
    /// The price.
    pub usd: Usd,
    /// Whether it was taken from the region that others fall back to.
    pub borrowed: bool,
}

/// One line of a cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CostItem {
    /// What for.
    pub charge: Charge,
    /// How much of it.
    pub quantity: Quantity,
    /// What one GB, GB-month or unit costs, or a thousand requests.
    pub price: Price,
    /// What that makes.
    pub amount: Usd,
}

impl CostItem {
    pub(super) fn new(charge: Charge, quantity: Quantity, price: Price) -> Self {
        let (number, of) = quantity.ratio();
        let amount = price.usd.times(number, of * quantity.priced_by());
        Self { charge, quantity, price, amount }
    }
}

/// What something costs, item by item, in US dollars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// The items.
    pub items: Vec<CostItem>,
    /// The region whose prices they are.
    pub region: Region,
    /// The version of the price table.
    pub prices: String,
    /// What has to be known to read the figures.
    pub notes: Vec<String>,
}

impl Cost {
    pub(super) fn new(items: Vec<CostItem>, region: &Region, prices: &str) -> Self {
        let items: Vec<_> = items.into_iter().filter(|item| !item.quantity.is_zero()).collect();
        let (region, prices) = (region.clone(), prices.to_owned());
        Self { items, region, prices, notes: Vec::new() }
    }

    /// Returns this and something else at the same prices together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.items.extend(other.items);
        let new = other.notes.into_iter().filter(|note| !self.notes.contains(note));
        let new: Vec<_> = new.collect();
        self.notes.extend(new);
        self
    }

    /// Returns what is charged once.
    pub fn once(&self) -> Usd {
        self.sum(false)
    }

    /// Returns what is charged every month.
    pub fn per_month(&self) -> Usd {
        self.sum(true)
    }

    fn sum(&self, monthly: bool) -> Usd {
        let wanted = |item: &&CostItem| item.charge.is_monthly() == monthly;
        self.items.iter().filter(wanted).map(|item| item.amount).sum()
    }
}
