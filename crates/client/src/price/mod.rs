//! What Amazon charges, told before it is done.
//!
//! A [`PriceTable`] has the figures; [`PriceTable::prices`] picks those of a region and a storage class, and
//! [`Prices`] says what uploading, storing, retrieving and deleting cost, item by item. Nothing here asks anybody: the
//! table is a file inside the program (`prices.toml`, with its date and where each figure is from) that other files may
//! change.
//!
//! Estimates are meant never to be too low: amounts are rounded up, of two figures the dearer is taken, allowances that
//! are the whole account's (100 GB of transfer a month) are not counted, and archives of unknown age are counted as new.

mod cost;
mod prices;
mod table;
#[cfg(test)]
mod tests;
mod usd;

pub use cost::{Charge, Cost, CostItem, Price, Quantity};
pub use prices::{Deleting, NoSuchTier, Prices, Retrieving, Storing, Uploading};
pub use table::{FALLBACK_REGION, InvalidPrices, PriceTable, Rules};
pub use usd::{InvalidUsd, Usd};
