//! Whether a vault is still the one that the catalog describes.
//!
//! A catalog knows a vault by its place and its name. A vault can be deleted and made again under both, from another
//! machine, and a store can be restored from a backup that is older than the catalog; compared with what is remembered
//! then, nothing would seem new and nothing be sent. So whatever begins to work with a vault meets it first.

use icefield_protocol::{VaultDescription, VaultName};

use crate::{
    catalog::{Catalog, CatalogError, Life, VaultRef},
    events::{Event, Events},
    target::{Target, TargetError},
    transfer::blocking,
};

/// Meeting a vault failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MeetError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Looks at a vault before it is worked with, and warns of what the catalog had wrong.
///
/// Returns nothing when there is no such vault: the work itself will say so, if it needs one.
pub(crate) async fn meet(
    target: &dyn Target,
    catalog: &Catalog,
    name: &VaultName,
    vault: VaultRef,
    events: &dyn Events,
) -> Result<Option<VaultDescription>, MeetError> {
    let described = match target.describe_vault(name).await {
        Ok(described) => described,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let (catalog, created) = (catalog.clone(), described.creation_date);
    // Elsewhere the number tells of an inventory that may be days old.
    let is_current = target.inventory_lag().is_zero() && is_exact(&described);
    let (life, known) = blocking(move || {
        let life = catalog.meet_vault(vault, created)?;
        let known = if is_current { catalog.count_archives(vault)? } else { 0 };
        Ok::<_, CatalogError>((life, known))
    })
    .await?;
    let holds = described.number_of_archives;
    let learn =
        format!("run `icefield inventory refresh {name}` to bring the catalog up to date with it");
    let message = match life {
        Life::New { gone } => Some(format!(
            "the vault `{name}` was deleted and made again on {created}: {gone} entries of the one before count as gone; \
             {learn}"
        )),
        Life::Same if known > holds => Some(format!(
            "the vault `{name}` holds {holds} archives and the catalog knows {known}, so what it takes for archived may \
             not be; {learn}"
        )),
        Life::Same => None,
    };
    if let Some(message) = message {
        events.event(Event::Warning { path: None, message });
    }
    Ok(Some(described))
}

/// Whether the numbers are those of the vault. Of a vault too large to be counted at once S3 tells a lower bound, and that
/// no inventory was taken.
fn is_exact(described: &VaultDescription) -> bool {
    described.last_inventory_date.is_some() || described.number_of_archives == 0
}
