//! What a dry run finds out about the price.

use icefield_client::{
    price::{Cost, Prices, Uploading},
    target::Limits,
    transfer::plan::{Plan, plan},
};
use icefield_protocol::PartSize;

/// The sum of what a dry run would upload.
#[derive(Debug)]
pub(super) struct Priced<'a> {
    sum: Uploading<'a>,
    part_size: Option<PartSize>,
    limits: Limits,
    is_stream: bool,
    /// Whether there is something without bytes: all of it goes into an archive of the run's own.
    has_bare: bool,
}

impl<'a> Priced<'a> {
    pub(super) fn new(
        prices: &'a Prices,
        part_size: Option<PartSize>,
        limits: Limits,
        is_stream: bool,
    ) -> Self {
        Self { sum: prices.uploading(), part_size, limits, is_stream, has_bare: false }
    }

    /// Adds a file of this size; 0 is what has no bytes.
    pub(super) fn add(&mut self, size: u64) {
        match plan(size, self.part_size, self.limits) {
            Ok(plan) => self.sum.add(size, &plan),
            Err(_) => self.has_bare = true,
        }
    }

    pub(super) fn cost(mut self) -> Cost {
        if self.has_bare {
            self.sum.add(0, &Plan::Single);
        }
        let mut cost = self.sum.cost();
        if self.is_stream {
            cost.notes.push("the length of standard input is not known and not counted".to_owned());
        }
        cost
    }
}
