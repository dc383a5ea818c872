//! The vault's notification configuration: which ends of jobs are told to which topic.

use icefield_protocol::{NotificationConfiguration, NotificationEvent, Operation};

use crate::{access::Access, engine::Engine, error::EngineError, policy::ContextKeys};

impl Engine {
    /// Sets the notification configuration in the place of the one before. The topic need not exist; an event that is
    /// listed twice is kept once.
    ///
    /// # Errors
    ///
    /// `AccessDenied`; `VaultNotFound`; `NoEvents`.
    pub async fn set_notifications(
        &self,
        access: &Access,
        configuration: NotificationConfiguration,
    ) -> Result<(), EngineError> {
        let NotificationConfiguration { events, sns_topic } = configuration;
        let configuration =
            NotificationConfiguration { events: without_repeats(events), sns_topic };
        let set = Operation::SetVaultNotifications;
        self.change_vault(access, set, ContextKeys::new(), move |settings| {
            if configuration.events.is_empty() {
                return Err(EngineError::NoEvents);
            }
            settings.notifications = Some(configuration.clone());
            Ok(())
        })
        .await
    }

    /// Returns the notification configuration.
    ///
    /// # Errors
    ///
    /// `VaultNotFound`; `NoNotifications`.
    pub async fn notifications(
        &self,
        access: &Access,
    ) -> Result<NotificationConfiguration, EngineError> {
        let settings = self.settings_for(access, Operation::GetVaultNotifications).await?;
        let name = access.vault_name()?;
        settings.notifications.ok_or_else(|| EngineError::NoNotifications(name.clone()))
    }

    /// Removes the notification configuration; none is fine.
    ///
    /// # Errors
    ///
    /// `AccessDenied`; `VaultNotFound`.
    pub async fn delete_notifications(&self, access: &Access) -> Result<(), EngineError> {
        let delete = Operation::DeleteVaultNotifications;
        self.change_vault(access, delete, ContextKeys::new(), |settings| {
            settings.notifications = None;
            Ok(())
        })
        .await
    }
}

fn without_repeats(events: Vec<NotificationEvent>) -> Vec<NotificationEvent> {
    let mut kept: Vec<NotificationEvent> = Vec::new();
    for event in events {
        if !kept.contains(&event) {
            kept.push(event);
        }
    }
    kept
}
