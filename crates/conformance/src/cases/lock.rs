//! Vault locks ("Initiate Vault Lock", "Amazon S3 Glacier Vault Lock").

use icefield_protocol::{ErrorCode, Timestamp};
use serde_json::{Value, json};

use super::{HOUR, MINUTE, allowing, deny, lock};
use crate::context::{Context, Vault, text};
use crate::endpoint::Setup;
use crate::outcome::{Failed, Outcome, holds, same};
use crate::request::Request;
use crate::suite::cases;

cases![
    "2.11" a_lock_is_initiated_with_an_id,
    "2.11" a_second_lock_in_progress_is_denied,
    "2.11" a_lock_over_a_lock_is_denied,
    "2.11" a_bad_policy_is_no_lock,
    "2.11" a_body_without_policy_misses_a_parameter,
    "2.11" a_policy_over_20480_bytes_is_no_lock,
    "2.11" a_policy_with_an_unsupported_operator_is_no_lock,
    "2.14" a_lock_in_progress_is_told_with_its_end,
    "2.14" a_locked_vault_is_told_without_an_end,
    "2.14" a_vault_without_lock_is_named,
    "2.12" a_lock_is_completed_with_its_id,
    "2.12" completing_again_is_fine,
    "2.12" a_wrong_id_does_not_complete_a_lock,
    "2.12" a_wrong_id_of_a_locked_vault_is_denied,
    "2.12" there_is_nothing_to_complete_without_a_lock,
    "2.12" the_id_of_another_vaults_lock_does_not_fit,
    "2.12" the_id_of_an_aborted_lock_is_gone,
    "2.13" a_lock_in_progress_is_aborted,
    "2.13" aborting_no_lock_is_fine,
    "2.13" a_locked_vault_stays_locked,
    "2.13" a_lock_may_be_initiated_after_an_abort,
    "3.3" a_lock_policy_is_in_force_before_it_is_final,
    "3.3" a_locked_policy_denies_the_owner,
    "3.3" the_access_policy_stays_editable_beside_a_lock,
    "3.3" an_access_policy_cannot_allow_what_the_lock_denies,
    "10.8" an_empty_locked_vault_is_deleted_unless_its_policy_denies_it,
    "10.8" a_locked_vault_whose_policy_denies_it_is_not_deleted,
    "3.3" [Laboratory] a_lock_expires_after_24_hours,
    "3.3" [Laboratory] a_completed_lock_does_not_expire,
    "3.3" [Laboratory] a_lock_may_be_initiated_after_one_expired,
    "7.2" an_archive_younger_than_the_retention_is_kept,
    "7.2" the_key_of_the_age_is_read_in_any_case,
    "7.2" an_archive_of_age_zero_is_older_than_no_day,
    "7.2" [Laboratory] an_archive_is_freed_when_it_is_old_enough,
    "7.2" a_tag_decides_over_a_legal_hold,
    "7.2" a_tag_decides_over_uploads_too,
    "7.3" a_denied_request_names_who_what_and_which_vault,
    "7.3" a_deny_of_another_action_does_not_matter,
    "7.1" a_wildcard_in_an_action_counts,
    "7.3" a_denied_upload_leaves_no_archive,
    "7.3" a_condition_on_the_network_counts,
    "7.3" a_condition_on_the_transport_counts,
    "7.3" a_condition_on_the_time_counts,
];

const NO_LOCK: &str = "aaaaaaaaaaaaaaaaaaaaaaaa";

fn completing(v: &Vault, lock: &str) -> Request {
    v.post(format!("/lock-policy/{lock}"))
}

async fn locked(v: &Vault) -> Result<String, Failed> {
    let id = lock(v).await?;
    completing(v, &id).await?.status(204)?;
    Ok(id)
}
async fn a_lock_is_initiated_with_an_id(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let answer =
        v.post("/lock-policy").json(&json!({"Policy": allowing(&v)})).await?.status(201)?;
    same("length of the ID", answer.header("x-amz-lock-id")?.len(), 24)?;
    answer.lacks("location")?;
    Ok(())
}

async fn a_second_lock_in_progress_is_denied(c: &Context) -> Outcome {
    let v = c.vault().await?;
    lock(&v).await?;
    v.post("/lock-policy")
        .json(&json!({"Policy": allowing(&v)}))
        .await?
        .refused(ErrorCode::AccessDenied)?;
    Ok(())
}

async fn a_lock_over_a_lock_is_denied(c: &Context) -> Outcome {
    let v = c.vault().await?;
    locked(&v).await?;
    v.post("/lock-policy")
        .json(&json!({"Policy": allowing(&v)}))
        .await?
        .refused(ErrorCode::AccessDenied)?;
    Ok(())
}

async fn a_bad_policy_is_no_lock(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for policy in ["", "x", "{}", "{\"Version\":\"2012-10-17\",\"Statement\":[]}"] {
        let answer = v
            .post("/lock-policy")
            .json(&json!({"Policy": policy}))
            .await?
            .refused(ErrorCode::InvalidParameterValue)?;
        answer.says("The specified vault lock policy is invalid. Provide a valid policy.")?;
    }
    v.get("/lock-policy").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn a_body_without_policy_misses_a_parameter(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/lock-policy").json(&json!({})).await?.refused(ErrorCode::MissingParameterValue)?;
    v.get("/lock-policy").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn a_policy_over_20480_bytes_is_no_lock(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let policy = allowing(&v);
    let padding = " ".repeat(20_481 - policy.len());
    v.post("/lock-policy")
        .json(&json!({"Policy": format!("{policy}{padding}")}))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    v.get("/lock-policy").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn a_policy_with_an_unsupported_operator_is_no_lock(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let policy = allowing(&v).replace(
        "\"Effect\"",
        "\"Condition\":{\"StringSortOf\":{\"aws:username\":\"x\"}},\"Effect\"",
    );
    v.post("/lock-policy")
        .json(&json!({"Policy": policy}))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    v.get("/lock-policy").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn a_lock_in_progress_is_told_with_its_end(c: &Context) -> Outcome {
    let v = c.vault().await?;
    lock(&v).await?;
    let told = v.get("/lock-policy").await?.status(200)?.json()?;
    same("state", told["State"].clone(), json!("InProgress"))?;
    same("policy", text(&told["Policy"]), allowing(&v))?;
    let end = Timestamp::parse(&text(&told["ExpirationDate"]))
        .map_err(|error| Failed::new(error.to_string()))?;
    let begin = Timestamp::parse(&text(&told["CreationDate"]))
        .map_err(|error| Failed::new(error.to_string()))?;
    same("life", end.saturating_since(begin), 24 * HOUR)
}

async fn a_locked_vault_is_told_without_an_end(c: &Context) -> Outcome {
    let v = c.vault().await?;
    locked(&v).await?;
    let told = v.get("/lock-policy").await?.status(200)?.json()?;
    same("state", told["State"].clone(), json!("Locked"))?;
    same("end", told["ExpirationDate"].clone(), Value::Null)?;
    same("policy", text(&told["Policy"]), allowing(&v))
}

async fn a_vault_without_lock_is_named(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.get("/lock-policy")
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says(&format!("No vault lock policy is set for: {}", v.name))?;
    Ok(())
}

async fn a_lock_is_completed_with_its_id(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let id = lock(&v).await?;
    completing(&v, &id).await?.status(204)?;
    same("state", v.get("/lock-policy").await?.json()?["State"].clone(), json!("Locked"))
}

async fn completing_again_is_fine(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let id = locked(&v).await?;
    completing(&v, &id).await?.status(204)?;
    completing(&v, &id).await?.status(204)?;
    Ok(())
}

async fn a_wrong_id_does_not_complete_a_lock(c: &Context) -> Outcome {
    let v = c.vault().await?;
    lock(&v).await?;
    completing(&v, NO_LOCK).await?.refused(ErrorCode::InvalidParameterValue)?;
    same("state", v.get("/lock-policy").await?.json()?["State"].clone(), json!("InProgress"))
}

async fn a_wrong_id_of_a_locked_vault_is_denied(c: &Context) -> Outcome {
    let v = c.vault().await?;
    locked(&v).await?;
    completing(&v, NO_LOCK).await?.refused(ErrorCode::AccessDenied)?;
    Ok(())
}

async fn there_is_nothing_to_complete_without_a_lock(c: &Context) -> Outcome {
    let v = c.vault().await?;
    completing(&v, NO_LOCK).await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn the_id_of_another_vaults_lock_does_not_fit(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let other = c.vault().await?;
    let id = lock(&other).await?;
    lock(&v).await?;
    completing(&v, &id).await?.refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn the_id_of_an_aborted_lock_is_gone(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let id = lock(&v).await?;
    v.delete("/lock-policy").await?.status(204)?;
    completing(&v, &id).await?.refused(ErrorCode::ResourceNotFound)?;
    lock(&v).await?;
    completing(&v, &id).await?.refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn a_lock_in_progress_is_aborted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    lock(&v).await?;
    v.delete("/lock-policy").await?.status(204)?;
    v.get("/lock-policy").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn aborting_no_lock_is_fine(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.delete("/lock-policy").await?.status(204)?;
    Ok(())
}

async fn a_locked_vault_stays_locked(c: &Context) -> Outcome {
    let v = c.vault().await?;
    locked(&v).await?;
    v.delete("/lock-policy").await?.refused(ErrorCode::AccessDenied)?;
    same("state", v.get("/lock-policy").await?.json()?["State"].clone(), json!("Locked"))
}

async fn a_lock_may_be_initiated_after_an_abort(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let first = lock(&v).await?;
    v.delete("/lock-policy").await?.status(204)?;
    let second = lock(&v).await?;
    holds("the ID came back", first != second)
}

async fn a_lock_policy_is_in_force_before_it_is_final(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    deny(&v, "glacier:DeleteArchive", json!({})).await?;
    v.delete(format!("/archives/{}", archive.id)).await?.refused(ErrorCode::AccessDenied)?;
    v.delete("/lock-policy").await?.status(204)?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    Ok(())
}

async fn a_locked_policy_denies_the_owner(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let id = deny(&v, "glacier:DeleteArchive", json!({})).await?;
    completing(&v, &id).await?.status(204)?;
    v.delete(format!("/archives/{}", archive.id)).await?.refused(ErrorCode::AccessDenied)?;
    v.job(&json!({"Type": "archive-retrieval", "ArchiveId": archive.id})).await?;
    Ok(())
}

async fn the_access_policy_stays_editable_beside_a_lock(c: &Context) -> Outcome {
    let v = c.vault().await?;
    locked(&v).await?;
    v.put("/access-policy").json(&json!({"Policy": allowing(&v)})).await?.status(204)?;
    v.delete("/access-policy").await?.status(204)?;
    Ok(())
}

async fn an_access_policy_cannot_allow_what_the_lock_denies(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    deny(&v, "glacier:DeleteArchive", json!({})).await?;
    let policy = allowing(&v).replace("glacier:ListJobs", "glacier:*");
    v.put("/access-policy").json(&json!({"Policy": policy})).await?.status(204)?;
    v.delete(format!("/archives/{}", archive.id)).await?.refused(ErrorCode::AccessDenied)?;
    Ok(())
}

async fn an_empty_locked_vault_is_deleted_unless_its_policy_denies_it(c: &Context) -> Outcome {
    let v = c.vault().await?;
    locked(&v).await?;
    let status = v.delete("").await?.raw.status;
    holds("deleted, or denied by a stricter setting", [204, 403].contains(&status))
}

async fn a_locked_vault_whose_policy_denies_it_is_not_deleted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    deny(&v, "glacier:DeleteVault", json!({})).await?;
    v.delete("").await?.refused(ErrorCode::AccessDenied)?;
    v.get("").await?.status(200)?;
    v.delete("/lock-policy").await?.status(204)?;
    Ok(())
}

async fn a_lock_expires_after_24_hours(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let id = deny(&v, "glacier:DeleteVault", json!({})).await?;
    c.advance(24 * HOUR - MINUTE).await;
    v.get("/lock-policy").await?.status(200)?;
    v.delete("").await?.refused(ErrorCode::AccessDenied)?;
    c.advance(2 * MINUTE).await;
    v.get("/lock-policy").await?.refused(ErrorCode::ResourceNotFound)?;
    completing(&v, &id).await?.refused(ErrorCode::ResourceNotFound)?;
    v.delete("").await?.status(204)?;
    Ok(())
}

async fn a_completed_lock_does_not_expire(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let id = locked(&v).await?;
    c.advance(1000 * HOUR).await;
    same(
        "state",
        v.get("/lock-policy").await?.status(200)?.json()?["State"].clone(),
        json!("Locked"),
    )?;
    completing(&v, &id).await?.status(204)?;
    Ok(())
}

async fn a_lock_may_be_initiated_after_one_expired(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    lock(&v).await?;
    c.advance(25 * HOUR).await;
    let id = lock(&v).await?;
    completing(&v, &id).await?.status(204)?;
    Ok(())
}

async fn an_archive_younger_than_the_retention_is_kept(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    deny(
        &v,
        "glacier:DeleteArchive",
        json!({"NumericLessThan": {"glacier:ArchiveAgeInDays": "365"}}),
    )
    .await?;
    v.delete(format!("/archives/{}", archive.id)).await?.refused(ErrorCode::AccessDenied)?;
    Ok(())
}

async fn the_key_of_the_age_is_read_in_any_case(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    deny(
        &v,
        "glacier:DeleteArchive",
        json!({"NumericLessThan": {"glacier:ArchiveAgeinDays": "365"}}),
    )
    .await?;
    v.delete(format!("/archives/{}", archive.id)).await?.refused(ErrorCode::AccessDenied)?;
    Ok(())
}

async fn an_archive_of_age_zero_is_older_than_no_day(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    deny(
        &v,
        "glacier:DeleteArchive",
        json!({"NumericGreaterThan": {"glacier:ArchiveAgeInDays": "0"}}),
    )
    .await?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    Ok(())
}

async fn an_archive_is_freed_when_it_is_old_enough(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let id = deny(
        &v,
        "glacier:DeleteArchive",
        json!({"NumericLessThan": {"glacier:ArchiveAgeInDays": "1"}}),
    )
    .await?;
    completing(&v, &id).await?.status(204)?;
    c.advance(23 * HOUR).await;
    v.delete(format!("/archives/{}", archive.id)).await?.refused(ErrorCode::AccessDenied)?;
    c.advance(2 * HOUR).await;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    Ok(())
}

async fn a_tag_decides_over_a_legal_hold(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    deny(
        &v,
        "glacier:DeleteArchive",
        json!({"StringLike": {"glacier:ResourceTag/LegalHold": ["true", ""]}}),
    )
    .await?;
    v.post("/tags?operation=add")
        .json(&json!({"Tags": {"LegalHold": "true"}}))
        .await?
        .status(204)?;
    v.delete(format!("/archives/{}", archive.id)).await?.refused(ErrorCode::AccessDenied)?;
    v.post("/tags?operation=add").json(&json!({"Tags": {"LegalHold": ""}})).await?.status(204)?;
    v.delete(format!("/archives/{}", archive.id)).await?.refused(ErrorCode::AccessDenied)?;
    v.post("/tags?operation=remove").json(&json!({"TagKeys": ["LegalHold"]})).await?.status(204)?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    Ok(())
}

async fn a_tag_decides_over_uploads_too(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let frozen = json!({"StringEquals": {"glacier:ResourceTag/State": "frozen"}});
    deny(&v, "glacier:UploadArchive", frozen).await?;
    v.archive(b"abc".to_vec()).await?;
    v.post("/tags?operation=add").json(&json!({"Tags": {"State": "frozen"}})).await?.status(204)?;
    v.post("/archives").payload(b"abc").await?.refused(ErrorCode::AccessDenied)?;
    v.post("/tags?operation=add").json(&json!({"Tags": {"State": "Frozen"}})).await?.status(204)?;
    v.archive(b"abc".to_vec()).await?;
    Ok(())
}

async fn a_denied_request_names_who_what_and_which_vault(c: &Context) -> Outcome {
    let v = c.vault().await?;
    deny(&v, "glacier:ListJobs", json!({})).await?;
    let message = v.get("/jobs").await?.refused(ErrorCode::AccessDenied)?.member("message");
    let end = format!("is not authorized to perform: glacier:ListJobs on resource: {}", v.arn());
    holds(&message, message.starts_with("User: arn:aws:iam::") && message.contains(&end))
}

async fn a_deny_of_another_action_does_not_matter(c: &Context) -> Outcome {
    let v = c.vault().await?;
    deny(&v, "glacier:ListParts", json!({})).await?;
    v.get("/jobs").await?.status(200)?;
    Ok(())
}

async fn a_wildcard_in_an_action_counts(c: &Context) -> Outcome {
    let v = c.vault().await?;
    deny(&v, "glacier:List*", json!({})).await?;
    v.get("/jobs").await?.refused(ErrorCode::AccessDenied)?;
    v.get("/tags").await?.refused(ErrorCode::AccessDenied)?;
    v.get("").await?.status(200)?;
    Ok(())
}

async fn a_denied_upload_leaves_no_archive(c: &Context) -> Outcome {
    let v = c.vault().await?;
    deny(&v, "glacier:UploadArchive", json!({})).await?;
    v.post("/archives").payload(b"abc").await?.refused(ErrorCode::AccessDenied)?;
    v.is_untouched().await
}

async fn a_condition_on_the_network_counts(c: &Context) -> Outcome {
    let v = c.vault().await?;
    deny(&v, "glacier:ListJobs", json!({"NotIpAddress": {"aws:SourceIp": ["198.51.100.0/24"]}}))
        .await?;
    v.get("/jobs").await?.refused(ErrorCode::AccessDenied)?;
    let other = c.vault().await?;
    deny(&other, "glacier:ListJobs", json!({"IpAddress": {"aws:SourceIp": ["198.51.100.0/24"]}}))
        .await?;
    other.get("/jobs").await?.status(200)?;
    Ok(())
}

async fn a_condition_on_the_transport_counts(c: &Context) -> Outcome {
    let v = c.vault().await?;
    deny(&v, "glacier:ListJobs", json!({"Bool": {"aws:SecureTransport": "false"}})).await?;
    v.get("/jobs").await?.refused(ErrorCode::AccessDenied)?;
    Ok(())
}

async fn a_condition_on_the_time_counts(c: &Context) -> Outcome {
    let v = c.vault().await?;
    deny(
        &v,
        "glacier:ListJobs",
        json!({"DateGreaterThan": {"aws:CurrentTime": "2013-03-20T17:03:43Z"}}),
    )
    .await?;
    v.get("/jobs").await?.refused(ErrorCode::AccessDenied)?;
    let other = c.vault().await?;
    deny(
        &other,
        "glacier:ListJobs",
        json!({"DateLessThan": {"aws:CurrentTime": "2013-03-20T17:03:43Z"}}),
    )
    .await?;
    other.get("/jobs").await?.status(200)?;
    Ok(())
}
