//! From the log into the ledger: what opening and rebuilding do.

use crate::{
    error::StoreError,
    ledger::Ledger,
    payload::{Payload, Replayed},
};

/// Applies what the log has beyond the ledger's mark.
///
/// # Errors
///
/// `Damaged` when something there is no record: then only a rebuild goes on, and says what it skips.
pub(crate) async fn catch_up(
    payload: &dyn Payload,
    ledger: &dyn Ledger,
    repair: bool,
) -> Result<(), StoreError> {
    let mut at = ledger.mark().await?;
    loop {
        let page = payload.replay(at, repair).await?;
        let mut entries = Vec::with_capacity(page.items.len());
        for item in page.items {
            match item {
                Replayed::Record(entry, place) => entries.push((entry, place)),
                Replayed::Damaged(damage) => return Err(StoreError::Damaged(damage)),
            }
        }
        if !entries.is_empty() {
            ledger.apply(entries, page.next).await?;
        }
        if page.last {
            return Ok(());
        }
        at = page.next;
    }
}
