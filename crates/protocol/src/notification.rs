//! Which ends of jobs a vault tells, and to which topic.

use serde::{Deserialize, Serialize};

use crate::topic::TopicArn;

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NotificationEvent {
    /// An archive retrieval has ended, with or without success.
    ArchiveRetrievalCompleted,
    /// An inventory retrieval has ended, with or without success.
    InventoryRetrievalCompleted,
}

/// The notification configuration of a vault ("Set Vault Notification Configuration (PUT notification-configuration)").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationConfiguration {
    /// What is told: at least one event, none twice, in the order in which they came.
    #[serde(rename = "Events")]
    pub events: Vec<NotificationEvent>,
    /// Who is told.
    #[serde(rename = "SNSTopic")]
    pub sns_topic: TopicArn,
}

#[cfg(test)]
mod tests {
    use super::NotificationConfiguration;

    #[test]
    fn a_configuration_has_the_wire_form() {
        let text = r#"{"Events":["ArchiveRetrievalCompleted","InventoryRetrievalCompleted"],"SNSTopic":"arn:aws:sns:us-west-2:012345678901:mytopic"}"#;
        let read: NotificationConfiguration = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert!(
            serde_json::from_str::<NotificationConfiguration>(&text.replace("Archive", "X"))
                .is_err()
        );
    }
}
