//! Provisioned capacity: units that last a calendar month ("Purchase Provisioned Capacity (POST provisioned-capacity)").
//!
//! Retrievals here are never slowed down for want of it; a unit is what lets expedited retrievals through where the
//! settings ask for one.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use icefield_protocol::{
    AccountId, CapacityId, CapacityUnit, Operation, Timestamp, limits::CAPACITY_UNITS_PER_ACCOUNT,
};

use crate::{
    access::Access,
    account::{AccountDocument, document_of},
    documents::Change,
    engine::Engine,
    error::EngineError,
    random::random,
};

/// How long a unit is listed after its end.
const REMEMBERED: Duration = Duration::from_hours(30 * 24);

impl Engine {
    /// Buys a unit: a month from now, to the second.
    ///
    /// # Errors
    ///
    /// `CapacityLimit` when the account has two.
    pub async fn purchase_capacity(&self, access: &Access) -> Result<CapacityId, EngineError> {
        access.is_for(Operation::PurchaseProvisionedCapacity)?;
        let now = self.now();
        // 18 bytes make 24 characters.
        let id = URL_SAFE_NO_PAD.encode(random::<18>()?);
        let id = CapacityId::parse(&id).expect("base64url is the alphabet of IDs");
        let end = now.next_month().unix_millis();
        let unit = CapacityUnit {
            capacity_id: id.clone(),
            start_date: now,
            expiration_date: Timestamp::from_unix_millis(end - end.rem_euclid(1000)),
        };
        let name = document_of(access.account())?;
        self.change(&name, None, |found: Option<AccountDocument>| {
            let mut document = found.unwrap_or_default();
            document.capacity.retain(|unit| is_remembered(unit, now));
            let live = document.capacity.iter().filter(|unit| now < unit.expiration_date).count();
            if live >= CAPACITY_UNITS_PER_ACCOUNT {
                return Err(EngineError::CapacityLimit(CAPACITY_UNITS_PER_ACCOUNT));
            }
            document.capacity.push(unit.clone());
            Ok((Change::Set(document), ()))
        })
        .await?;
        Ok(id)
    }

    /// Lists the units in the order in which they were bought; ended ones for 30 days more.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn capacity(&self, access: &Access) -> Result<Vec<CapacityUnit>, EngineError> {
        access.is_for(Operation::ListProvisionedCapacity)?;
        let now = self.now();
        let mut units = self.units_of(access.account()).await?;
        units.retain(|unit| is_remembered(unit, now));
        Ok(units)
    }

    /// Refuses an expedited retrieval where the settings want capacity for it and the account has none.
    pub(crate) async fn allow_expedited(&self, account: &AccountId) -> Result<(), EngineError> {
        if !self.settings().expedited_needs_capacity {
            return Ok(());
        }
        let now = self.now();
        let units = self.units_of(account).await?;
        if units.iter().any(|unit| now < unit.expiration_date) {
            return Ok(());
        }
        Err(EngineError::InsufficientCapacity)
    }

    async fn units_of(&self, account: &AccountId) -> Result<Vec<CapacityUnit>, EngineError> {
        let document: Option<AccountDocument> = self.document(&document_of(account)?).await?;
        Ok(document.unwrap_or_default().capacity)
    }
}

fn is_remembered(unit: &CapacityUnit, now: Timestamp) -> bool {
    now < unit.expiration_date.saturating_add(REMEMBERED)
}
