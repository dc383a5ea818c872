//! Notification configurations ("Set Vault Notification Configuration", "Configuring Vault Notifications").

use icefield_protocol::ErrorCode;
use serde_json::{Value, json};

use crate::context::Context;
use crate::outcome::{Outcome, same};
use crate::suite::cases;

cases![
    "2.5" a_configuration_is_set_and_read_back,
    "2.5" the_order_of_events_is_kept,
    "2.5" a_single_event_is_enough,
    "2.5" a_configuration_replaces_the_former_as_a_whole,
    "2.5" doubled_events_are_stored_once,
    "2.5" a_configuration_without_topic_misses_a_parameter,
    "2.5" a_configuration_without_events_misses_a_parameter,
    "2.5" an_empty_list_of_events_is_refused,
    "2.5" an_unknown_event_is_refused,
    "2.5" a_topic_that_is_no_sns_arn_is_refused,
    "2.5" a_refused_configuration_leaves_the_former,
    "2.5" a_topic_of_nobody_is_not_checked,
    "2.6" a_vault_without_configuration_is_named,
    "2.7" a_configuration_is_deleted,
    "2.7" deleting_no_configuration_is_fine,
    "2.5" configurations_of_vaults_are_apart,
    "6" a_topic_that_cannot_be_told_does_not_keep_a_job,
];

const TOPIC: &str = "arn:aws:sns:us-west-2:012345678901:mytopic";

fn configuration(events: &[&str]) -> Value {
    json!({"SNSTopic": TOPIC, "Events": events})
}
async fn a_configuration_is_set_and_read_back(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let both = configuration(&["ArchiveRetrievalCompleted", "InventoryRetrievalCompleted"]);
    v.put("/notification-configuration").json(&both).await?.status(204)?;
    same("configuration", v.get("/notification-configuration").await?.status(200)?.json()?, both)
}

async fn the_order_of_events_is_kept(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let both = configuration(&["InventoryRetrievalCompleted", "ArchiveRetrievalCompleted"]);
    v.put("/notification-configuration").json(&both).await?.status(204)?;
    same("configuration", v.get("/notification-configuration").await?.json()?, both)
}

async fn a_single_event_is_enough(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for event in ["ArchiveRetrievalCompleted", "InventoryRetrievalCompleted"] {
        v.put("/notification-configuration").json(&configuration(&[event])).await?.status(204)?;
        same(
            "configuration",
            v.get("/notification-configuration").await?.json()?,
            configuration(&[event]),
        )?;
    }
    Ok(())
}

async fn a_configuration_replaces_the_former_as_a_whole(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.put("/notification-configuration")
        .json(&configuration(&["ArchiveRetrievalCompleted"]))
        .await?
        .status(204)?;
    let other = json!({"SNSTopic": "arn:aws:sns:us-west-2:012345678901:other", "Events": ["InventoryRetrievalCompleted"]});
    v.put("/notification-configuration").json(&other).await?.status(204)?;
    same("configuration", v.get("/notification-configuration").await?.json()?, other)
}

async fn doubled_events_are_stored_once(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.put("/notification-configuration")
        .json(&configuration(&["ArchiveRetrievalCompleted", "ArchiveRetrievalCompleted"]))
        .await?
        .status(204)?;
    same(
        "configuration",
        v.get("/notification-configuration").await?.json()?,
        configuration(&["ArchiveRetrievalCompleted"]),
    )
}

async fn a_configuration_without_topic_misses_a_parameter(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.put("/notification-configuration")
        .json(&json!({"Events": ["ArchiveRetrievalCompleted"]}))
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    v.get("/notification-configuration").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn a_configuration_without_events_misses_a_parameter(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.put("/notification-configuration")
        .json(&json!({"SNSTopic": TOPIC}))
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    v.get("/notification-configuration").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn an_empty_list_of_events_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.put("/notification-configuration")
        .json(&configuration(&[]))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn an_unknown_event_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for event in ["ArchiveDeleted", "", "archiveretrievalcompleted"] {
        v.put("/notification-configuration")
            .json(&configuration(&[event]))
            .await?
            .refused(ErrorCode::InvalidParameterValue)?;
    }
    v.put("/notification-configuration")
        .json(&configuration(&["ArchiveRetrievalCompleted", "Other"]))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    v.get("/notification-configuration").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn a_topic_that_is_no_sns_arn_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for topic in
        ["", "mytopic", "arn:aws:sqs:us-west-2:012345678901:q", "arn:aws:sns", "http://example.com"]
    {
        let body = json!({"SNSTopic": topic, "Events": ["ArchiveRetrievalCompleted"]});
        v.put("/notification-configuration")
            .json(&body)
            .await?
            .refused(ErrorCode::InvalidParameterValue)?;
    }
    Ok(())
}

async fn a_refused_configuration_leaves_the_former(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let good = configuration(&["ArchiveRetrievalCompleted"]);
    v.put("/notification-configuration").json(&good).await?.status(204)?;
    v.put("/notification-configuration")
        .json(&configuration(&["Other"]))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    same("configuration", v.get("/notification-configuration").await?.json()?, good)
}

async fn a_topic_of_nobody_is_not_checked(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let topic = "arn:aws:sns:eu-north-1:999999999999:no-such-topic";
    v.put("/notification-configuration")
        .json(&json!({"SNSTopic": topic, "Events": ["ArchiveRetrievalCompleted"]}))
        .await?
        .status(204)?;
    Ok(())
}

async fn a_vault_without_configuration_is_named(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let message = format!("No notification configuration is set for vault: {}", v.name);
    v.get("/notification-configuration")
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says(&message)?;
    Ok(())
}

async fn a_configuration_is_deleted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.put("/notification-configuration")
        .json(&configuration(&["ArchiveRetrievalCompleted"]))
        .await?
        .status(204)?;
    v.delete("/notification-configuration").await?.status(204)?;
    v.get("/notification-configuration").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn deleting_no_configuration_is_fine(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.delete("/notification-configuration").await?.status(204)?;
    Ok(())
}

async fn configurations_of_vaults_are_apart(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let other = c.vault().await?;
    v.put("/notification-configuration")
        .json(&configuration(&["ArchiveRetrievalCompleted"]))
        .await?
        .status(204)?;
    other.get("/notification-configuration").await?.refused(ErrorCode::ResourceNotFound)?;
    other.delete("/notification-configuration").await?.status(204)?;
    v.get("/notification-configuration").await?.status(200)?;
    Ok(())
}

async fn a_topic_that_cannot_be_told_does_not_keep_a_job(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.put("/notification-configuration")
        .json(&configuration(&["ArchiveRetrievalCompleted"]))
        .await?
        .status(204)?;
    let archive = v.archive(b"abc".to_vec()).await?;
    v.job(&json!({"Type": "archive-retrieval", "ArchiveId": archive.id, "SNSTopic": TOPIC}))
        .await?;
    Ok(())
}
