//! The cases, by sections of the specification of behaviour, and what several of them use.

mod access_policy;
mod account;
mod archives;
mod auth;
mod bodies;
mod completing;
mod errors;
mod headers;
mod inventory;
mod job_ranges;
mod job_states;
mod jobs;
mod lock;
mod malformed;
mod multipart;
mod notifications;
mod output;
mod pagination;
mod parts;
mod policies;
mod tags;
mod transport;
mod unauthorised;
mod vaults;

use std::time::Duration;

use icefield_protocol::ErrorCode;
use serde_json::{Value, json};

use crate::context::{Archive, Context, Vault};
use crate::outcome::{Failed, Outcome, same};
use crate::suite::Case;

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

/// Returns every case.
pub(crate) fn all() -> Vec<Case> {
    [
        transport::CASES,
        bodies::CASES,
        malformed::CASES,
        headers::CASES,
        auth::CASES,
        unauthorised::CASES,
        errors::CASES,
        vaults::CASES,
        notifications::CASES,
        access_policy::CASES,
        lock::CASES,
        policies::CASES,
        tags::CASES,
        archives::CASES,
        multipart::CASES,
        parts::CASES,
        completing::CASES,
        jobs::CASES,
        job_ranges::CASES,
        job_states::CASES,
        output::CASES,
        inventory::CASES,
        account::CASES,
        pagination::CASES,
    ]
    .concat()
}

/// A policy that allows everybody to list the jobs of the vault: harmless, and valid for both kinds of vault policy.
fn allowing(v: &Vault) -> String {
    let statement = json!({"Sid": "s", "Effect": "Allow", "Principal": "*", "Action": "glacier:ListJobs", "Resource": v.arn()});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

/// Puts a harmless lock in progress and returns its ID.
async fn lock(v: &Vault) -> Result<String, Failed> {
    let answer = v.post("/lock-policy").json(&json!({"Policy": allowing(v)})).await?.status(201)?;
    answer.header("x-amz-lock-id")
}

/// Puts a lock in progress that denies an action to everybody, and returns its ID.
async fn deny(v: &Vault, action: &str, condition: Value) -> Result<String, Failed> {
    let mut statement =
        json!({"Effect": "Deny", "Principal": "*", "Action": action, "Resource": v.arn()});
    if condition.as_object().is_some_and(|operators| !operators.is_empty()) {
        statement["Condition"] = condition;
    }
    let policy = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
    let answer = v.post("/lock-policy").json(&json!({"Policy": policy})).await?.status(201)?;
    answer.header("x-amz-lock-id")
}

/// A job with this body is refused, and there is no job.
async fn no_job(v: &Vault, body: &Value) -> Outcome {
    v.post("/jobs").json(body).await?.refused(ErrorCode::InvalidParameterValue)?;
    same("jobs", v.get("/jobs").await?.status(200)?.json()?["JobList"].clone(), json!([]))
}

fn retrieval(archive: &Archive, more: Value) -> Value {
    let mut body = json!({"Type": "archive-retrieval", "ArchiveId": archive.id});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

/// The number of an account that is not the caller's.
fn stranger(c: &Context) -> String {
    let other = if c.account() == "999999999999" { '8' } else { '9' };
    String::from(other).repeat(12)
}

/// Puts a text into every place of every path: each request is refused, and a vault beside stays as it was.
async fn strange(c: &Context, piece: &str) -> Outcome {
    let v = c.vault().await?;
    let before = v.describe().await?;
    let in_vault = ["/archives", "/multipart-uploads", "/jobs", "/lock-policy"]
        .map(|rest| v.at(format!("{rest}/{piece}")));
    let mut paths = vec![
        format!("/{piece}/vaults/{}", v.name),
        format!("/-/{piece}/{}", v.name),
        format!("/-/vaults/{piece}"),
        format!("/-/vaults/{piece}/archives"),
        format!("/-/vaults/{piece}/tags"),
        v.at(format!("/{piece}")),
        v.at(format!("/jobs/{piece}/output")),
        format!("/-/policies/{piece}"),
        format!("/{piece}"),
    ];
    paths.extend(in_vault);
    for path in paths {
        for method in ["GET", "PUT", "POST", "DELETE"] {
            // Deleting a vault that does not exist is fine, whatever its name.
            if method == "DELETE" && path == format!("/-/vaults/{piece}") {
                continue;
            }
            // Paths that fit no client's rules may be signed in either way; what matters is that nothing happens.
            let raw = c.request(method, &path).raw().await;
            let refused = raw.as_ref().map_or(true, |raw| (400..500).contains(&raw.status));
            if !refused {
                return Err(Failed::new(format!("{method} {path} was answered")));
            }
        }
    }
    same("vault", v.describe().await?, before)?;
    v.is_untouched().await
}
