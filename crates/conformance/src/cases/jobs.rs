//! Starting retrieval jobs ("Initiate Job").

use icefield_protocol::ErrorCode;
use serde_json::{Value, json};

use super::{HOUR, no_job, retrieval};
use crate::context::{Context, text};
use crate::endpoint::Setup;
use crate::outcome::{Outcome, holds, same};
use crate::suite::cases;

cases![
    "2.26" a_job_is_answered_with_location_and_id,
    "2.26" each_call_is_a_new_job,
    "2.26" the_type_is_required,
    "2.26" an_unknown_type_is_refused,
    "2.26" an_archive_retrieval_needs_an_archive,
    "2.26" an_unknown_archive_is_not_retrieved,
    "2.26" an_archive_of_another_vault_is_not_retrieved,
    "2.26" a_deleted_archive_is_not_retrieved,
    "2.26" an_archive_id_of_nonsense_is_not_retrieved,
    "2.26" an_inventory_takes_no_archive,
    "2.26" an_inventory_takes_no_byte_range,
    "2.26" nulls_of_an_inventory_job_are_absent,
    "2.26" [Laboratory] there_is_no_inventory_before_the_first,
    "2.26" wrong_parameters_are_named_before_a_missing_inventory,
    "2.26" an_unknown_tier_is_refused,
    "2.26" every_tier_is_accepted,
    "2.26" standard_is_the_tier_of_who_asks_for_none,
    "2.26" an_unknown_format_is_refused,
    "2.26" a_description_of_1024_bytes_is_kept,
    "2.26" a_description_of_1025_bytes_is_refused,
    "2.26" a_description_with_other_characters_is_refused,
    "2.26" a_topic_of_a_job_is_told,
    "2.26" a_topic_that_is_no_arn_is_refused,
    "9" a_select_job_is_refused_or_named,
];

fn inventory(parameters: Value) -> Value {
    json!({"Type": "inventory-retrieval", "InventoryRetrievalParameters": parameters})
}
async fn a_job_is_answered_with_location_and_id(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let answer = v.post("/jobs").json(&retrieval(&archive, json!({}))).await?.status(202)?;
    let id = answer.header("x-amz-job-id")?;
    same("location", answer.header("location")?, v.location(format!("/jobs/{id}")))?;
    answer.lacks("x-amz-job-output-path")?;
    Ok(())
}

async fn each_call_is_a_new_job(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let (first, second) = (
        v.job(&retrieval(&archive, json!({}))).await?,
        v.job(&retrieval(&archive, json!({}))).await?,
    );
    holds("one job twice", first != second)
}

async fn the_type_is_required(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/jobs").json(&json!({})).await?.refused(ErrorCode::MissingParameterValue)?;
    v.post("/jobs")
        .json(&json!({"ArchiveId": "x"}))
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    v.is_untouched().await
}

async fn an_unknown_type_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for kind in ["", "Archive-Retrieval", "archive_retrieval", "delete"] {
        no_job(&v, &json!({"Type": kind})).await?;
    }
    Ok(())
}

async fn an_archive_retrieval_needs_an_archive(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/jobs")
        .json(&json!({"Type": "archive-retrieval"}))
        .await?
        .refused_by(&[ErrorCode::MissingParameterValue, ErrorCode::InvalidParameterValue])?;
    v.post("/jobs")
        .json(&json!({"Type": "archive-retrieval", "ArchiveId": null}))
        .await?
        .refused_by(&[ErrorCode::MissingParameterValue, ErrorCode::InvalidParameterValue])?;
    v.is_untouched().await
}

async fn an_unknown_archive_is_not_retrieved(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let id = "a".repeat(138);
    let answer = v
        .post("/jobs")
        .json(&json!({"Type": "archive-retrieval", "ArchiveId": id}))
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    answer.says(&format!("The archive ID was not found: {id}"))?;
    v.is_untouched().await
}

async fn an_archive_of_another_vault_is_not_retrieved(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = c.vault().await?.archive(b"abc".to_vec()).await?;
    v.post("/jobs")
        .json(&retrieval(&archive, json!({})))
        .await?
        .refused_by(&[ErrorCode::InvalidParameterValue, ErrorCode::ResourceNotFound])?;
    v.is_untouched().await
}

async fn a_deleted_archive_is_not_retrieved(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    v.post("/jobs")
        .json(&retrieval(&archive, json!({})))
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn an_archive_id_of_nonsense_is_not_retrieved(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for id in ["", "x", "../../etc/passwd", "a\u{0}b", "\u{e9}", &"a".repeat(100_000)] {
        v.post("/jobs")
            .json(&json!({"Type": "archive-retrieval", "ArchiveId": id}))
            .await?
            .refused_by(&[
                ErrorCode::ResourceNotFound,
                ErrorCode::InvalidParameterValue,
                ErrorCode::MissingParameterValue,
            ])?;
    }
    v.is_untouched().await
}

async fn an_inventory_takes_no_archive(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    no_job(&v, &json!({"Type": "inventory-retrieval", "ArchiveId": "a".repeat(138)})).await
}

async fn an_inventory_takes_no_byte_range(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    no_job(&v, &json!({"Type": "inventory-retrieval", "RetrievalByteRange": "0-1048575"})).await
}

async fn nulls_of_an_inventory_job_are_absent(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    let body = json!({"Type": "inventory-retrieval", "ArchiveId": null, "RetrievalByteRange": null, "Format": "other"});
    v.post("/jobs").json(&body).await?.refused(ErrorCode::InvalidParameterValue)?;
    let body = json!({"Type": "inventory-retrieval", "ArchiveId": null, "RetrievalByteRange": null, "Description": null, "Format": null, "SNSTopic": null, "InventoryRetrievalParameters": null});
    // Without any inventory it is 404.
    let status = v.post("/jobs").json(&body).await?.raw.status;
    holds("null members were refused", [202, 404].contains(&status))
}

async fn there_is_no_inventory_before_the_first(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    v.post("/jobs")
        .json(&json!({"Type": "inventory-retrieval"}))
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    v.archive(b"abc".to_vec()).await?;
    v.post("/jobs")
        .json(&json!({"Type": "inventory-retrieval"}))
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    c.advance(25 * HOUR).await;
    v.job(&json!({"Type": "inventory-retrieval"})).await?;
    Ok(())
}

async fn wrong_parameters_are_named_before_a_missing_inventory(c: &Context) -> Outcome {
    let v = c.vault().await?;
    no_job(&v, &inventory(json!({"Limit": "0"}))).await?;
    no_job(&v, &json!({"Type": "inventory-retrieval", "Format": "XML"})).await
}

async fn an_unknown_tier_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    for tier in ["standard", "Fast", "Express"] {
        no_job(&v, &retrieval(&archive, json!({"Tier": tier}))).await?;
    }
    Ok(())
}

async fn every_tier_is_accepted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    for tier in ["Standard", "Bulk", "Expedited"] {
        let job = v.job(&retrieval(&archive, json!({"Tier": tier}))).await?;
        same("tier", text(&v.describe_job(&job).await?["Tier"]), tier.to_owned())?;
    }
    Ok(())
}

async fn standard_is_the_tier_of_who_asks_for_none(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let job = v.job(&retrieval(&archive, json!({}))).await?;
    same("tier", text(&v.describe_job(&job).await?["Tier"]), "Standard".to_owned())
}

async fn an_unknown_format_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    for format in ["XML", "json"] {
        no_job(&v, &json!({"Type": "inventory-retrieval", "Format": format})).await?;
    }
    Ok(())
}

async fn a_description_of_1024_bytes_is_kept(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let description = "d".repeat(1024);
    let job = v.job(&retrieval(&archive, json!({"Description": description}))).await?;
    same("description", text(&v.describe_job(&job).await?["JobDescription"]), description)
}

async fn a_description_of_1025_bytes_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    no_job(&v, &retrieval(&archive, json!({"Description": "d".repeat(1025)}))).await
}

async fn a_description_with_other_characters_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    for description in ["caf\u{e9}", "a\tb", "a\nb", "\u{7f}"] {
        no_job(&v, &retrieval(&archive, json!({"Description": description}))).await?;
    }
    Ok(())
}

async fn a_topic_of_a_job_is_told(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let topic = "arn:aws:sns:us-west-2:012345678901:mytopic";
    let job = v.job(&retrieval(&archive, json!({"SNSTopic": topic}))).await?;
    same("topic", text(&v.describe_job(&job).await?["SNSTopic"]), topic.to_owned())
}

async fn a_topic_that_is_no_arn_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    no_job(&v, &retrieval(&archive, json!({"SNSTopic": "mytopic"}))).await
}

async fn a_select_job_is_refused_or_named(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"a,b\n1,2\n".to_vec()).await?;
    let body = json!({"Type": "select", "ArchiveId": archive.id, "SelectParameters": {"Expression": "SELECT 1", "ExpressionType": "SQL", "InputSerialization": {"csv": {}}, "OutputSerialization": {"csv": {}}}, "OutputLocation": {"S3": {"BucketName": "b", "Prefix": "p"}}});
    v.post("/jobs").json(&body).await?.refused(ErrorCode::InvalidParameterValue)?;
    v.get("/jobs").await?.status(200)?;
    Ok(())
}
