use icefield_engine::Access;
use icefield_protocol::{NotificationConfiguration, TopicArn};
use serde::Deserialize as _;

use crate::{
    error::ApiError,
    json::{Object, invalid},
    request::Call,
    response::Reply,
};

/// Set Vault Notifications: `PUT /{account}/vaults/{vault}/notification-configuration`.
///
/// Source: Glacier API reference, "Set Vault Notification Configuration (PUT notification-configuration)".
pub(super) async fn set_vault_notifications(
    mut call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    let configuration = configuration(&call.object()?)?;
    call.engine.set_notifications(&access, configuration).await?;
    Ok(Reply::no_content())
}

fn configuration(body: &Object) -> Result<NotificationConfiguration, ApiError> {
    let (topic, events) = (body.required_text("SNSTopic")?, body.required("Events")?);
    let sns_topic: TopicArn =
        topic.parse().map_err(|_| ApiError::invalid(format!("Invalid SNSTopic: {topic}")))?;
    let events = Vec::deserialize(events).map_err(|_| invalid("Events", events))?;
    Ok(NotificationConfiguration { events, sns_topic })
}
