//! Takes what is due from the outbox and sends it, until the end.
//!
//! ```text
//! round:  outbox ──due page──> one turn per destination, several at once ──> sent: removed
//!                                                                      └──> failed: due later, or given up
//! ```
//!
//! A destination gets one message at a time, in the order of their due times. What it has received is removed afterwards, so
//! a crash in between sends it again: at least once, with the same message ID. When a destination cannot be reached,
//! everything that is due for it then and for a moment longer counts as tried, so a long queue for a dead one costs one
//! attempt; and a slow one gives way after [`TURN`].

use std::{collections::BTreeMap, iter, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use icefield_engine::{Destination, EngineError};
use icefield_protocol::TopicArn;
use icefield_store::ledger::DeliveryRow;
use tokio::time::timeout;

use super::{
    Notifier,
    channel::{ATTEMPT, Undelivered},
    envelope::{Content, Message},
    rest::Place,
};
use crate::background::Background;

/// Deliveries taken from the outbox at a time.
const PAGE: usize = 256;
/// Destinations served at once.
const PARALLEL: usize = 16;
/// How long one destination is served before others get their turn.
const TURN: Duration = Duration::from_secs(10);
/// Longest time between two looks at the outbox; other processes may have put something there.
const POLL: Duration = Duration::from_secs(5);
/// How long to leave a store alone that has just failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How much longer than its own limits an attempt may take, for what has none.
const GRACE: Duration = Duration::from_secs(5);

impl Notifier {
    /// Delivers until the end. What is being sent then is dropped, and sent again after the next start.
    pub(crate) async fn run(self: Arc<Self>, background: Background) {
        let work = async {
            loop {
                let round = background.noted("delivering messages", self.round().await);
                let next = self.engine.store().ledger().next_delivery().await;
                let next = background.noted("finding messages", next.map_err(EngineError::from));
                let now = self.engine.store().clock().now();
                let wait = match (round, next) {
                    (Some(()), Some(Some(due))) => due.saturating_since(now).min(POLL),
                    (Some(()), Some(None)) => POLL,
                    _ => AFTER_FAILURE,
                };
                // Either way it is time to look again.
                let _elapsed = timeout(wait, self.engine.outbox_filled()).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = background.stop.cancelled() => {}
        }
    }

    /// Sends what is due, up to a page of it.
    pub(super) async fn round(&self) -> Result<(), EngineError> {
        let store = self.engine.store();
        let due = store.ledger().due_deliveries(store.clock().now(), PAGE).await?;
        let mut turns: BTreeMap<_, Vec<DeliveryRow>> = BTreeMap::new();
        for row in due {
            turns.entry((row.topic.clone(), row.destination.clone())).or_default().push(row);
        }
        stream::iter(turns)
            .map(|(place, rows)| self.turn(place, rows))
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await
    }

    /// Sends what is due for one destination.
    async fn turn(&self, place: Place, rows: Vec<DeliveryRow>) -> Result<(), EngineError> {
        let store = self.engine.store();
        let Some((topic, to)) = self.destination(&place).await? else {
            let (topic, destination) = place;
            tracing::info!(topic, destination, "nobody listens any more: messages are dropped");
            for row in rows {
                store.ledger().remove_delivery(row.number).await?;
            }
            return Ok(());
        };
        let begun = store.clock().boot();
        if let Some(why) = self.resting.why(&place, begun) {
            return self.all_failed(rows, &why).await;
        }
        let mut rows = rows.into_iter();
        while let Some(row) = rows.next() {
            let sent = self.send(&topic, &to, &row).await;
            let now = store.clock().boot();
            match sent {
                Ok(()) => {
                    store.ledger().remove_delivery(row.number).await?;
                    self.counters.count_delivered();
                }
                Err(why) if why.unreachable => {
                    let until = now.saturating_add(self.backoff.first / 2);
                    self.resting.begin(place, now, until, why.clone());
                    return self.all_failed(iter::once(row).chain(rows), &why).await;
                }
                Err(why) => self.failed(row, &why).await?,
            }
            if now.saturating_sub(begun) >= TURN {
                break;
            }
        }
        // Behind what has been due for longer.
        for row in rows {
            let row = DeliveryRow { next: store.clock().now(), ..row };
            store.ledger().update_delivery(row).await?;
        }
        Ok(())
    }

    async fn destination(
        &self,
        (topic, id): &Place,
    ) -> Result<Option<(TopicArn, Destination)>, EngineError> {
        let Ok(arn) = topic.parse::<TopicArn>() else { return Ok(None) };
        let found = self.engine.topic(&arn).await?;
        let found = found.and_then(|topic| topic.destinations.into_iter().find(|to| to.id == *id));
        Ok(found.map(|destination| (arn, destination)))
    }

    async fn send(
        &self,
        topic: &TopicArn,
        to: &Destination,
        row: &DeliveryRow,
    ) -> Result<(), Undelivered> {
        let content = match &to.unconfirmed {
            Some(token) => Content::Confirmation(token.clone()),
            // It was asked, and has agreed in the meantime.
            None if row.message.is_empty() => return Ok(()),
            None => Content::Notification(row.message.clone()),
        };
        let message = Message {
            id: row.message_id.clone(),
            topic: topic.clone(),
            destination: to.id.clone(),
            at: row.created,
            content,
        };
        let channel = self.channel(&to.to);
        let sent = timeout(ATTEMPT + GRACE, channel.deliver(&message)).await;
        sent.unwrap_or_else(|_| Err(Undelivered::because("there was no answer in time")))
    }

    /// Records that an attempt failed for all of these.
    async fn all_failed(
        &self,
        rows: impl IntoIterator<Item = DeliveryRow, IntoIter: Send>,
        why: &Undelivered,
    ) -> Result<(), EngineError> {
        stream::iter(rows)
            .map(|row| self.failed(row, why))
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await
    }

    /// Records a failed attempt.
    async fn failed(&self, row: DeliveryRow, why: &Undelivered) -> Result<(), EngineError> {
        let attempts = row.attempts.saturating_add(1);
        let wait = self.backoff.wait(attempts, row.number.0);
        self.counters.count_failed(wait.is_none());
        let (topic, destination, error) = (&row.topic, &row.destination, why.to_string());
        match wait {
            Some(_) if attempts == 1 => {
                tracing::warn!(topic, destination, error, "not delivered yet, tried again later");
            }
            Some(_) => tracing::info!(topic, destination, attempts, error, "not delivered yet"),
            None => tracing::warn!(topic, destination, attempts, error, "given up"),
        }
        let now = self.engine.store().clock().now();
        let next = now.saturating_add(wait.unwrap_or_default());
        let dead = wait.is_none();
        let row = DeliveryRow { attempts, next, dead, error: Some(error), ..row };
        self.engine.store().ledger().update_delivery(row).await?;
        Ok(())
    }
}
