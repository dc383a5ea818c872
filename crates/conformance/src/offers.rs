//! What an endpoint offers, found out before the run.

use serde_json::json;

use crate::context::Context;
use crate::endpoint::Endpoint;
use crate::outcome::{Failed, Outcome};
use crate::suite::Need;

/// What is there beyond an endpoint and a key.
#[derive(Debug)]
pub(crate) struct Offers(Vec<Need>);

impl Offers {
    pub(crate) async fn of(context: &Context, endpoint: &Endpoint, laboratory: bool) -> Self {
        let (no_delay, inventory) = (no_delay(context).await, inventory(context).await);
        context.tidy().await;
        let all = [
            (Need::User, endpoint.user.is_some()),
            (Need::Other, endpoint.other.is_some()),
            (Need::Session, endpoint.session.is_some()),
            (Need::Account, endpoint.own_account),
            (Need::Laboratory, laboratory),
            (Need::NoDelay, no_delay.is_ok()),
            (Need::Inventory, inventory.is_ok()),
        ];
        Self(all.into_iter().filter(|(_, offered)| *offered).map(|(need, _)| need).collect())
    }

    /// Returns what is missing, if anything.
    pub(crate) fn lacking(&self, needs: &[Need]) -> Option<&'static str> {
        needs.iter().find(|need| !self.0.contains(need)).map(|need| match need {
            Need::User => "needs the key of a user without rights",
            Need::Other => "needs a key of another account",
            Need::Session => "needs a temporary key",
            Need::Account => "needs an account of its own",
            Need::Laboratory => "needs servers whose clock can be turned",
            Need::NoDelay => "needs retrievals without delay",
            Need::Inventory => "needs inventories without delay",
        })
    }
}

async fn no_delay(context: &Context) -> Outcome {
    let vault = context.vault().await?;
    let archive = vault.archive(b"probe".to_vec()).await?;
    vault.retrieved(&archive).await?;
    Ok(())
}

async fn inventory(context: &Context) -> Outcome {
    let vault = context.vault().await?;
    vault.archive(b"probe".to_vec()).await?;
    let job = vault.job(&json!({"Type": "inventory-retrieval"})).await?;
    vault.ended(&job).await?;
    let listed = vault.output(&job).await?.status(200)?.json()?;
    let count = listed["ArchiveList"].as_array().map_or(0, Vec::len);
    if count == 1 { Ok(()) } else { Err(Failed::new("the inventory lags")) }
}
