//! Vault access policies as documents ("Set Vault Access Policy").

use icefield_protocol::ErrorCode;
use serde_json::{Value, json};

use super::allowing;
use crate::context::{Context, Vault};
use crate::outcome::{Outcome, same};
use crate::suite::cases;

cases![
    "2.8" a_policy_is_set_and_read_back_verbatim,
    "2.8" a_policy_replaces_the_former,
    "2.8" a_body_without_policy_misses_a_parameter,
    "2.8" a_policy_that_is_no_json_is_refused,
    "2.8" a_policy_without_statement_is_refused,
    "2.8" a_policy_of_an_unknown_version_is_refused,
    "2.8" a_policy_without_principal_is_refused,
    "2.8" a_policy_without_action_is_refused,
    "2.8" a_policy_without_resource_is_refused,
    "2.8" a_policy_of_another_vault_is_refused,
    "2.8" a_policy_of_another_service_is_refused,
    "2.8" an_unknown_effect_is_refused,
    "2.8" an_unknown_element_is_refused,
    "2.8" an_unknown_operator_is_refused,
    "2.8" a_condition_of_a_wrong_value_is_refused,
    "2.8" every_documented_operator_is_accepted,
    "2.8" every_form_of_a_principal_is_accepted,
    "2.8" a_principal_that_is_none_is_refused,
    "2.8" a_policy_of_20480_bytes_is_accepted,
    "2.8" a_policy_of_20481_bytes_is_refused,
    "2.8" a_refused_policy_leaves_the_former,
    "2.9" a_vault_without_policy_is_named,
    "2.10" a_policy_is_deleted,
    "2.10" deleting_no_policy_is_fine,
    "2.8" policies_of_vaults_are_apart,
];

async fn refuses(v: &Vault, policy: &str) -> Outcome {
    let answer = v
        .put("/access-policy")
        .json(&json!({"Policy": policy}))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    answer.says("The specified vault access policy is invalid. Provide a valid policy.")?;
    v.get("/access-policy").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

/// A policy of one statement with these members beside `Effect`.
fn statement(v: &Vault, more: Value) -> String {
    let mut statement = json!({"Effect": "Allow", "Principal": "*", "Action": "glacier:ListJobs", "Resource": v.arn()});
    for (name, value) in more.as_object().into_iter().flatten() {
        statement[name] = value.clone();
    }
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

async fn accepts(v: &Vault, policy: String) -> Outcome {
    v.put("/access-policy").json(&json!({"Policy": policy})).await?.status(204)?;
    same("policy", v.get("/access-policy").await?.status(200)?.json()?, json!({"Policy": policy}))
}
async fn a_policy_is_set_and_read_back_verbatim(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let spaced = format!("  {}\n", allowing(&v).replace("},", "} ,\t"));
    accepts(&v, spaced).await
}

async fn a_policy_replaces_the_former(c: &Context) -> Outcome {
    let v = c.vault().await?;
    accepts(&v, allowing(&v)).await?;
    accepts(&v, statement(&v, json!({"Action": "glacier:ListParts"}))).await
}

async fn a_body_without_policy_misses_a_parameter(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.put("/access-policy").json(&json!({})).await?.refused(ErrorCode::MissingParameterValue)?;
    v.put("/access-policy")
        .json(&json!({"policy": "{}"}))
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    Ok(())
}

async fn a_policy_that_is_no_json_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for policy in ["", "x", "{", "[]", "1", "null", "\"x\""] {
        refuses(&v, policy).await?;
    }
    Ok(())
}

async fn a_policy_without_statement_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    refuses(&v, "{}").await?;
    refuses(&v, r#"{"Version":"2012-10-17"}"#).await?;
    refuses(&v, r#"{"Version":"2012-10-17","Statement":[]}"#).await
}

async fn a_policy_of_an_unknown_version_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    refuses(&v, &allowing(&v).replace("2012-10-17", "2030-01-01")).await
}

async fn a_policy_without_principal_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "glacier:ListJobs", "Resource": v.arn()}]});
    refuses(&v, &policy.to_string()).await
}

async fn a_policy_without_action_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Resource": v.arn()}]});
    refuses(&v, &policy.to_string()).await
}

async fn a_policy_without_resource_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "glacier:ListJobs"}]});
    refuses(&v, &policy.to_string()).await
}

async fn a_policy_of_another_vault_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    refuses(&v, &statement(&v, json!({"Resource": format!("{}x", v.arn())}))).await
}

async fn a_policy_of_another_service_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    refuses(&v, &statement(&v, json!({"Resource": "arn:aws:s3:::bucket"}))).await
}

async fn an_unknown_effect_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    refuses(&v, &statement(&v, json!({"Effect": "allow"}))).await?;
    refuses(&v, &statement(&v, json!({"Effect": "Maybe"}))).await
}

async fn an_unknown_element_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    refuses(&v, &statement(&v, json!({"Actoin": "glacier:*"}))).await
}

async fn an_unknown_operator_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    refuses(&v, &statement(&v, json!({"Condition": {"StringSortOf": {"aws:username": "x"}}}))).await
}

async fn a_condition_of_a_wrong_value_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    refuses(
        &v,
        &statement(
            &v,
            json!({"Condition": {"NumericLessThan": {"glacier:ArchiveAgeInDays": "many"}}}),
        ),
    )
    .await?;
    refuses(&v, &statement(&v, json!({"Condition": {"IpAddress": {"aws:SourceIp": "nowhere"}}})))
        .await?;
    refuses(
        &v,
        &statement(&v, json!({"Condition": {"DateLessThan": {"aws:CurrentTime": "someday"}}})),
    )
    .await
}

async fn every_documented_operator_is_accepted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for (operator, key, value) in [
        ("StringEquals", "aws:username", "x"),
        ("StringNotLike", "aws:UserAgent", "x*"),
        ("NumericLessThanEquals", "glacier:ArchiveAgeInDays", "365"),
        ("DateGreaterThan", "aws:CurrentTime", "2013-03-20T17:03:43Z"),
        ("Bool", "aws:SecureTransport", "true"),
        ("IpAddress", "aws:SourceIp", "203.0.113.0/24"),
        ("NotIpAddress", "aws:SourceIp", "2001:db8::/32"),
        ("Null", "aws:TokenIssueTime", "true"),
        ("StringEqualsIfExists", "glacier:ResourceTag/a", "b"),
    ] {
        accepts(&v, statement(&v, json!({"Condition": {operator: {key: value}}}))).await?;
    }
    Ok(())
}

async fn every_form_of_a_principal_is_accepted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let account = c.account();
    for principal in [
        json!("*"),
        json!({"AWS": "*"}),
        json!({"AWS": account}),
        json!({"AWS": format!("arn:aws:iam::{account}:root")}),
        json!({"AWS": [format!("arn:aws:iam::{account}:user/a"), account]}),
    ] {
        accepts(&v, statement(&v, json!({"Principal": principal}))).await?;
    }
    Ok(())
}

async fn a_principal_that_is_none_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for principal in
        [json!({"AWS": "nobody"}), json!({"AWS": []}), json!({}), json!(""), json!({"Other": "*"})]
    {
        refuses(&v, &statement(&v, json!({"Principal": principal}))).await?;
    }
    Ok(())
}

async fn a_policy_of_20480_bytes_is_accepted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let policy = allowing(&v);
    let padding = " ".repeat(20_480 - policy.len());
    accepts(&v, format!("{policy}{padding}")).await
}

async fn a_policy_of_20481_bytes_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let policy = allowing(&v);
    let padding = " ".repeat(20_481 - policy.len());
    v.put("/access-policy")
        .json(&json!({"Policy": format!("{policy}{padding}")}))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    v.get("/access-policy").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn a_refused_policy_leaves_the_former(c: &Context) -> Outcome {
    let v = c.vault().await?;
    accepts(&v, allowing(&v)).await?;
    v.put("/access-policy")
        .json(&json!({"Policy": "{}"}))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    same("policy", v.get("/access-policy").await?.json()?, json!({"Policy": allowing(&v)}))
}

async fn a_vault_without_policy_is_named(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.get("/access-policy")
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says(&format!("No vault access policy is set for: {}", v.name))?;
    Ok(())
}

async fn a_policy_is_deleted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    accepts(&v, allowing(&v)).await?;
    v.delete("/access-policy").await?.status(204)?;
    v.get("/access-policy").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn deleting_no_policy_is_fine(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.delete("/access-policy").await?.status(204)?;
    Ok(())
}

async fn policies_of_vaults_are_apart(c: &Context) -> Outcome {
    let v = c.vault().await?;
    accepts(&v, allowing(&v)).await?;
    let other = c.vault().await?;
    other.get("/access-policy").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}
