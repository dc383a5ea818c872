//! What the owner of a store does with notifications: try a topic, and look after what was given up.

use icefield_engine::{Engine, EngineError};
use icefield_protocol::{AccountId, TopicName};
use icefield_store::{entry::DeliveryNumber, ledger::DeliveryRow};
use serde_json::json;

/// Sends a test message to every destination of a topic, through the outbox like any other; a web hook that is not
/// confirmed is asked for its consent once more instead. Returns how many destinations there are.
///
/// # Errors
///
/// `TopicNotFound`.
pub async fn test_message(
    engine: &Engine,
    account: &AccountId,
    topic: &TopicName,
) -> Result<usize, EngineError> {
    let time = engine.store().clock().now();
    let message = json!({ "Event": "TestEvent", "Service": "icefield", "Time": time.to_string() });
    engine.publish(account, topic, &message.to_string()).await
}

/// Lists deliveries that were given up, by number, after `after` (exclusive).
///
/// # Errors
///
/// When the store fails.
pub async fn dead_letters(
    engine: &Engine,
    after: Option<DeliveryNumber>,
    limit: usize,
) -> Result<Vec<DeliveryRow>, EngineError> {
    Ok(engine.store().ledger().dead_deliveries(after, limit).await?)
}

/// Gives a delivery that was given up all its attempts again, from now on. Returns whether there was one of this number.
///
/// # Errors
///
/// When the store fails.
pub async fn revive(engine: &Engine, number: DeliveryNumber) -> Result<bool, EngineError> {
    let Some(row) = dead_letter(engine, number).await? else { return Ok(false) };
    let next = engine.store().clock().now();
    let row = DeliveryRow { attempts: 0, next, dead: false, ..row };
    Ok(engine.store().ledger().update_delivery(row).await?)
}

/// Forgets a delivery that was given up. Returns whether there was one of this number.
///
/// # Errors
///
/// When the store fails.
pub async fn forget(engine: &Engine, number: DeliveryNumber) -> Result<bool, EngineError> {
    if dead_letter(engine, number).await?.is_none() {
        return Ok(false);
    }
    Ok(engine.store().ledger().remove_delivery(number).await?)
}

async fn dead_letter(
    engine: &Engine,
    number: DeliveryNumber,
) -> Result<Option<DeliveryRow>, EngineError> {
    let before = number.0.checked_sub(1).map(DeliveryNumber);
    let found = dead_letters(engine, before, 1).await?;
    Ok(found.into_iter().find(|row| row.number == number))
}
