//! Who may do what: users and other accounts ("Access Control").

use icefield_protocol::ErrorCode;
use serde_json::{Value, json};

use super::{allowing, deny};
use crate::context::{Context, Vault};
use crate::outcome::{Failed, Outcome, holds, same};
use crate::request::Request;
use crate::suite::cases;

cases![
    "7.3" [User] a_user_without_policy_is_denied,
    "7.3" [User] a_user_without_policy_is_denied_before_a_vault_is_missed,
    "7.3" [User] a_user_without_policy_creates_no_vault,
    "7.3" [User] a_user_is_named_in_the_refusal,
    "7.3" [User] an_access_policy_allows_a_user_of_the_account,
    "7.3" [User] an_access_policy_allows_no_more_than_it_says,
    "7.3" [User] a_deleted_access_policy_allows_nothing,
    "7.3" [User] a_deny_wins_over_an_allow,
    "7.3" [User] a_lock_policy_may_allow_too,
    "7.3" [User] a_user_who_may_upload_stores_an_archive,
    "7.3" [User] a_user_who_may_not_upload_stores_nothing,
    "7.3" [User] a_user_may_see_the_vault_missing_where_allowed,
    "7.3" [User] a_policy_for_another_principal_does_not_count,
    "7.3" [User] not_action_allows_all_but_what_it_names,
    "7.3" [Other] another_account_does_not_see_the_vaults,
    "7.3" [Other] another_account_is_denied_without_a_policy,
    "7.3" [Other] another_account_is_denied_before_a_vault_is_missed,
    "7.3" [Other] an_access_policy_lets_another_account_in,
    "7.3" [Other] another_account_uploads_where_it_may_and_the_owner_has_it,
    "7.3" [Other] what_is_for_the_own_account_stays_denied_to_another,
    "7.3" [Other] vaults_of_two_accounts_may_have_one_name,
    "7.3" [Other] an_archive_is_not_retrieved_through_another_account,
    "7.3" [Other] a_job_is_not_read_through_another_account,
];

/// Sets an access policy that allows this action to this principal.
async fn allow(v: &Vault, principal: Value, action: &str) -> Outcome {
    let statement =
        json!({"Effect": "Allow", "Principal": principal, "Action": action, "Resource": v.arn()});
    let policy = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
    v.put("/access-policy").json(&json!({"Policy": policy})).await?.status(204)?;
    Ok(())
}

/// The vault as somebody of another account asks for it.
fn from_outside(c: &Context, v: &Vault, method: &str, rest: &str) -> Result<Request, Failed> {
    Ok(c.request(method, v.location(rest)).by(c.other()?))
}
async fn a_user_without_policy_is_denied(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.get("").by(c.user()?).await?.refused(ErrorCode::AccessDenied)?;
    c.get("/-/vaults").by(c.user()?).await?.refused(ErrorCode::AccessDenied)?;
    Ok(())
}

async fn a_user_without_policy_is_denied_before_a_vault_is_missed(c: &Context) -> Outcome {
    c.no_vault().get("").by(c.user()?).await?.refused(ErrorCode::AccessDenied)?;
    Ok(())
}

async fn a_user_without_policy_creates_no_vault(c: &Context) -> Outcome {
    let v = c.no_vault();
    v.put("").by(c.user()?).await?.refused(ErrorCode::AccessDenied)?;
    v.get("").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn a_user_is_named_in_the_refusal(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let message =
        v.get("/jobs").by(c.user()?).await?.refused(ErrorCode::AccessDenied)?.member("message");
    let start = format!("User: arn:aws:iam::{}:user/", c.account());
    holds(
        &message,
        message.starts_with(&start)
            && message.ends_with(&format!(
                "is not authorized to perform: glacier:ListJobs on resource: {}",
                v.arn()
            )),
    )
}

async fn an_access_policy_allows_a_user_of_the_account(c: &Context) -> Outcome {
    let v = c.vault().await?;
    allow(&v, json!("*"), "glacier:ListJobs").await?;
    v.get("/jobs").by(c.user()?).await?.status(200)?;
    v.get("/tags").by(c.user()?).await?.refused(ErrorCode::AccessDenied)?;
    Ok(())
}

async fn an_access_policy_allows_no_more_than_it_says(c: &Context) -> Outcome {
    let v = c.vault().await?;
    allow(&v, json!("*"), "glacier:Get*").await?;
    v.get("/jobs").by(c.user()?).await?.refused(ErrorCode::AccessDenied)?;
    v.get("/notification-configuration")
        .by(c.user()?)
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn a_deleted_access_policy_allows_nothing(c: &Context) -> Outcome {
    let v = c.vault().await?;
    allow(&v, json!("*"), "glacier:ListJobs").await?;
    v.delete("/access-policy").await?.status(204)?;
    v.get("/jobs").by(c.user()?).await?.refused(ErrorCode::AccessDenied)?;
    Ok(())
}

async fn a_deny_wins_over_an_allow(c: &Context) -> Outcome {
    let v = c.vault().await?;
    allow(&v, json!("*"), "glacier:*").await?;
    deny(&v, "glacier:ListJobs", json!({})).await?;
    v.get("/jobs").by(c.user()?).await?.refused(ErrorCode::AccessDenied)?;
    v.get("/tags").by(c.user()?).await?.status(200)?;
    Ok(())
}

async fn a_lock_policy_may_allow_too(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/lock-policy").json(&json!({"Policy": allowing(&v)})).await?.status(201)?;
    v.get("/jobs").by(c.user()?).await?.status(200)?;
    Ok(())
}

async fn a_user_who_may_upload_stores_an_archive(c: &Context) -> Outcome {
    let v = c.vault().await?;
    allow(&v, json!("*"), "glacier:UploadArchive").await?;
    v.post("/archives").payload(b"abc").by(c.user()?).await?.status(201)?;
    v.get("/multipart-uploads").by(c.user()?).await?.refused(ErrorCode::AccessDenied)?;
    Ok(())
}

async fn a_user_who_may_not_upload_stores_nothing(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/archives").payload(b"abc").by(c.user()?).await?.refused(ErrorCode::AccessDenied)?;
    v.post("/multipart-uploads")
        .header("x-amz-part-size", "1048576")
        .by(c.user()?)
        .await?
        .refused(ErrorCode::AccessDenied)?;
    v.is_untouched().await
}

async fn a_user_may_see_the_vault_missing_where_allowed(c: &Context) -> Outcome {
    let v = c.vault().await?;
    allow(&v, json!("*"), "glacier:DescribeVault").await?;
    v.get("").by(c.user()?).await?.status(200)?;
    v.delete("").by(c.user()?).await?.refused(ErrorCode::AccessDenied)?;
    v.get("").await?.status(200)?;
    Ok(())
}

async fn a_policy_for_another_principal_does_not_count(c: &Context) -> Outcome {
    let v = c.vault().await?;
    allow(
        &v,
        json!({"AWS": format!("arn:aws:iam::{}:user/somebody-else", c.account())}),
        "glacier:*",
    )
    .await?;
    v.get("/jobs").by(c.user()?).await?.refused(ErrorCode::AccessDenied)?;
    Ok(())
}

async fn not_action_allows_all_but_what_it_names(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let statement = json!({"Effect": "Allow", "Principal": "*", "NotAction": "glacier:ListJobs", "Resource": v.arn()});
    let policy = json!({"Version": "2012-10-17", "Statement": statement}).to_string();
    v.put("/access-policy").json(&json!({"Policy": policy})).await?.status(204)?;
    v.get("/jobs").by(c.user()?).await?.refused(ErrorCode::AccessDenied)?;
    v.get("/tags").by(c.user()?).await?.status(200)?;
    Ok(())
}

async fn another_account_does_not_see_the_vaults(c: &Context) -> Outcome {
    let v = c.vault().await?;
    c.get(v.at("")).by(c.other()?).await?.refused(ErrorCode::ResourceNotFound)?;
    let listed = c.get("/-/vaults").by(c.other()?).await?.status(200)?.text();
    holds("a vault of another account is listed", !listed.contains(&v.name))
}

async fn another_account_is_denied_without_a_policy(c: &Context) -> Outcome {
    let v = c.vault().await?;
    from_outside(c, &v, "GET", "")?.await?.refused(ErrorCode::AccessDenied)?;
    from_outside(c, &v, "GET", "/jobs")?.await?.refused(ErrorCode::AccessDenied)?;
    from_outside(c, &v, "DELETE", "")?.await?.refused(ErrorCode::AccessDenied)?;
    v.get("").await?.status(200)?;
    Ok(())
}

async fn another_account_is_denied_before_a_vault_is_missed(c: &Context) -> Outcome {
    let v = c.no_vault();
    from_outside(c, &v, "GET", "")?.await?.refused(ErrorCode::AccessDenied)?;
    Ok(())
}

async fn an_access_policy_lets_another_account_in(c: &Context) -> Outcome {
    let v = c.vault().await?;
    allow(&v, json!("*"), "glacier:ListJobs").await?;
    from_outside(c, &v, "GET", "/jobs")?.await?.status(200)?;
    from_outside(c, &v, "GET", "")?.await?.refused(ErrorCode::AccessDenied)?;
    Ok(())
}

async fn another_account_uploads_where_it_may_and_the_owner_has_it(c: &Context) -> Outcome {
    let v = c.vault().await?;
    allow(&v, json!("*"), "glacier:UploadArchive").await?;
    let answer = from_outside(c, &v, "POST", "/archives")?.payload(b"abc").await?.status(201)?;
    let id = answer.header("x-amz-archive-id")?;
    holds(
        "the location is the owner's",
        answer.header("location")?.starts_with(&v.location("/archives/")),
    )?;
    v.job(&json!({"Type": "archive-retrieval", "ArchiveId": id})).await?;
    Ok(())
}

async fn what_is_for_the_own_account_stays_denied_to_another(c: &Context) -> Outcome {
    let v = c.vault().await?;
    allow(&v, json!("*"), "glacier:*").await?;
    from_outside(c, &v, "PUT", "")?.await?.refused(ErrorCode::AccessDenied)?;
    from_outside(c, &v, "GET", "/tags")?.await?.refused(ErrorCode::AccessDenied)?;
    from_outside(c, &v, "POST", "/tags?operation=add")?
        .json(&json!({"Tags": {"a": "b"}}))
        .await?
        .refused(ErrorCode::AccessDenied)?;
    from_outside(c, &v, "POST", "/lock-policy")?
        .json(&json!({"Policy": allowing(&v)}))
        .await?
        .refused(ErrorCode::AccessDenied)?;
    same("tags", v.get("/tags").await?.json()?, json!({"Tags": {}}))
}

async fn vaults_of_two_accounts_may_have_one_name(c: &Context) -> Outcome {
    let v = c.vault().await?;
    c.put(v.at("")).by(c.other()?).await?.status(201)?;
    c.post(v.at("/tags?operation=add"))
        .json(&json!({"Tags": {"a": "theirs"}}))
        .by(c.other()?)
        .await?
        .status(204)?;
    same("tags", v.get("/tags").await?.json()?, json!({"Tags": {}}))?;
    c.delete(v.at("")).by(c.other()?).await?.status(204)?;
    v.get("").await?.status(200)?;
    Ok(())
}

async fn an_archive_is_not_retrieved_through_another_account(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"secret".to_vec()).await?;
    c.put(v.at("")).by(c.other()?).await?.status(201)?;
    let body = json!({"Type": "archive-retrieval", "ArchiveId": archive.id});
    c.post(v.at("/jobs"))
        .json(&body)
        .by(c.other()?)
        .await?
        .refused_by(&[ErrorCode::InvalidParameterValue, ErrorCode::ResourceNotFound])?;
    c.delete(v.at(format!("/archives/{}", archive.id)))
        .by(c.other()?)
        .await?
        .refused_by(&[ErrorCode::InvalidParameterValue, ErrorCode::ResourceNotFound])?;
    c.delete(v.at("")).by(c.other()?).await?.status(204)?;
    v.job(&body).await?;
    Ok(())
}

async fn a_job_is_not_read_through_another_account(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"secret".to_vec()).await?;
    let job = v.job(&json!({"Type": "archive-retrieval", "ArchiveId": archive.id})).await?;
    c.put(v.at("")).by(c.other()?).await?.status(201)?;
    c.get(v.at(format!("/jobs/{job}")))
        .by(c.other()?)
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    c.get(v.at(format!("/jobs/{job}/output")))
        .by(c.other()?)
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    c.delete(v.at("")).by(c.other()?).await?.status(204)?;
    Ok(())
}
