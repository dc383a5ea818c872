//! The price table: a file inside the program, and files of the user's that replace single figures of it.

use std::collections::BTreeMap;

use icefield_protocol::{Region, Tier};
use serde::Deserialize;
use toml::Value;

use super::{
    cost::Price,
    prices::{Prices, TierPrices},
    usd::Usd,
};
use crate::target::StorageClass;

/// The region whose figures stand in for those that are not known of another.
pub const FALLBACK_REGION: &str = "us-east-1";

/// What Amazon charges, by region and storage class.
#[derive(Debug, Clone)]
pub struct PriceTable {
    /// The table as it was read, for figures that replace others.
    raw: toml::Table,
    file: File,
}

/// The file with prices cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("this is not a price table")]
pub struct InvalidPrices(#[from] toml::de::Error);

impl PriceTable {
    /// Returns the table that came with this program.
    pub fn built_in() -> Self {
        let raw = include_str!("prices.toml").parse().expect("the table inside is valid");
        Self::read(raw).expect("the table inside is complete")
    }

    /// Returns the table with the figures of `text` in place of its own; `name` is told with its version.
    ///
    /// # Errors
    ///
    /// When the text is not a price table or has names that no table has.
    pub fn replaced_by(&self, text: &str, name: &str) -> Result<Self, InvalidPrices> {
        let other: toml::Table = text.parse()?;
        let has_version = other.contains_key("version");
        let mut raw = self.raw.clone();
        merge(&mut raw, other);
        let mut table = Self::read(raw)?;
        table.file.version = match has_version {
            true => format!("{} ({name})", table.file.version),
            false => format!("{} with {name}", table.file.version),
        };
        Ok(table)
    }

    fn read(raw: toml::Table) -> Result<Self, InvalidPrices> {
        let file = raw.clone().try_into()?;
        Ok(Self { raw, file })
    }

    /// Returns the table's version: the day it was made, and the file that changed it.
    pub fn version(&self) -> &str {
        &self.file.version
    }

    /// Returns where the figures are from.
    pub fn source(&self) -> &[String] {
        &self.file.source
    }

    /// Returns the regions that the table has.
    pub fn regions(&self) -> impl Iterator<Item = &str> {
        self.file.region.keys().map(String::as_str)
    }

    /// Returns the prices of a storage class in a region; what is not known of the region is another's and marked so.
    pub fn prices(&self, region: &Region, class: StorageClass) -> Prices {
        let own = self.file.region.get(region.as_str());
        let other = self.file.region.get(FALLBACK_REGION);
        let find = |class: StorageClass, figure: &dyn Fn(&Figures) -> Option<Usd>| {
            let of = |region: Option<&Regional>| region?.class(class).and_then(figure);
            match of(own) {
                Some(usd) => Some(Price { usd, borrowed: false }),
                None => of(other).map(|usd| Price { usd, borrowed: true }),
            }
        };
        let charged =
            |figure: &dyn Fn(&Figures) -> Option<Usd>| find(class, figure).unwrap_or_default();
        let tier = |tier: Tier| {
            Some(TierPrices {
                requests: find(class, &|figures| figures.tier(tier)?.requests)?,
                gb: find(class, &|figures| figures.tier(tier)?.gb)?,
            })
        };
        let brackets = |region: Option<&Regional>| region?.transfer_out.clone();
        let (brackets, borrowed) = match brackets(own) {
            Some(own) => (own, false),
            None => (brackets(other).unwrap_or_default(), true),
        };
        let transfer = |Bracket { from, gb }| (from, Price { usd: gb, borrowed });
        Prices {
            class,
            region: region.clone(),
            is_known: own.is_some(),
            version: self.file.version.clone(),
            rules: self.file.class.rules(class).clone(),
            storage: charged(&|figures| figures.storage),
            standard_storage: find(StorageClass::Standard, &|figures| figures.storage)
                .unwrap_or_default(),
            put: charged(&|figures| figures.put),
            part: charged(&|figures| figures.part),
            get: charged(&|figures| figures.get),
            read: charged(&|figures| figures.read),
            expedited: tier(Tier::Expedited),
            standard: tier(Tier::Standard),
            bulk: tier(Tier::Bulk),
            capacity: charged(&|figures| figures.capacity),
            transfer: brackets.into_iter().map(transfer).collect(),
        }
    }
}

/// Puts the values of `other` in place of those of `table`, at any depth.
fn merge(table: &mut toml::Table, other: toml::Table) {
    for (name, value) in other {
        match (table.get_mut(&name), value) {
            (Some(Value::Table(inner)), Value::Table(other)) => merge(inner, other),
            (_, value) => drop(table.insert(name, value)),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: String,
    source: Vec<String>,
    class: Classes,
    region: BTreeMap<String, Regional>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Classes {
    vault: Rules,
    flexible_retrieval: Rules,
    deep_archive: Rules,
    instant_retrieval: Rules,
    standard: Rules,
}

impl Classes {
    fn rules(&self, class: StorageClass) -> &Rules {
        match class {
            StorageClass::Vault => &self.vault,
            StorageClass::FlexibleRetrieval => &self.flexible_retrieval,
            StorageClass::DeepArchive => &self.deep_archive,
            StorageClass::InstantRetrieval => &self.instant_retrieval,
            StorageClass::Standard => &self.standard,
        }
    }
}

/// What is the same for a class in all regions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Days that are charged for at least.
    pub minimum_days: u32,
    /// Bytes that are added to each archive, at the class's own price.
    pub overhead: u64,
    /// Bytes that are kept of each archive in S3 Standard, at its price.
    pub standard_overhead: u64,
    /// Bytes that a smaller archive is charged as.
    pub smallest: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Regional {
    /// For who reads the file.
    #[serde(rename = "name")]
    _name: Option<String>,
    #[serde(rename = "transfer_out")]
    transfer_out: Option<Vec<Bracket>>,
    vault: Option<Figures>,
    flexible_retrieval: Option<Figures>,
    deep_archive: Option<Figures>,
    instant_retrieval: Option<Figures>,
    standard: Option<Figures>,
}

impl Regional {
    fn class(&self, class: StorageClass) -> Option<&Figures> {
        match class {
            StorageClass::Vault => self.vault.as_ref(),
            StorageClass::FlexibleRetrieval => self.flexible_retrieval.as_ref(),
            StorageClass::DeepArchive => self.deep_archive.as_ref(),
            StorageClass::InstantRetrieval => self.instant_retrieval.as_ref(),
            StorageClass::Standard => self.standard.as_ref(),
        }
    }
}

/// A price by the GB from so many GB on.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bracket {
    from: u64,
    gb: Usd,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Figures {
    storage: Option<Usd>,
    put: Option<Usd>,
    part: Option<Usd>,
    get: Option<Usd>,
    read: Option<Usd>,
    expedited: Option<TierFigures>,
    standard: Option<TierFigures>,
    bulk: Option<TierFigures>,
    capacity: Option<Usd>,
}

impl Figures {
    fn tier(&self, tier: Tier) -> Option<&TierFigures> {
        match tier {
            Tier::Expedited => self.expedited.as_ref(),
            Tier::Standard => self.standard.as_ref(),
            Tier::Bulk => self.bulk.as_ref(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TierFigures {
    gb: Option<Usd>,
    requests: Option<Usd>,
}
