//! The form of refusals ("Error Responses"). What every refusal has in common is checked on every answer of the suite.

use icefield_protocol::ErrorCode;
use serde_json::json;

use super::strange;
use crate::context::Context;
use crate::outcome::{Outcome, holds, same};
use crate::signing::PathForm;
use crate::suite::cases;

cases![
    "1.10" a_refusal_is_compact_json_of_code_message_and_type,
    "1.10" a_refusal_has_its_length,
    "1.10" the_header_of_the_code_is_the_code,
    "1.10" a_message_with_quotes_is_still_json,
    "1.10" a_message_cannot_be_broken_by_what_was_sent,
    "1.10" markup_in_what_was_sent_stays_json,
    "1.10" a_missing_vault_is_named_by_its_arn_everywhere,
    "1.10" a_missing_vault_is_named_by_its_arn_when_written_to,
    "1.10" a_missing_vault_is_named_by_its_arn_when_deleted_from,
    "2.1" an_illegal_name_is_missed_by_its_name_alone,
    "2.1" an_illegal_name_is_missed_by_every_kind_of_operation,
    "1.4" dots_in_every_place_of_a_path_are_harmless,
    "1.4" a_single_dot_in_every_place_of_a_path_is_harmless,
    "1.4" escaped_dots_in_every_place_of_a_path_are_harmless,
    "1.4" an_escaped_slash_in_every_place_of_a_path_is_harmless,
    "1.4" an_escaped_way_up_in_every_place_of_a_path_is_harmless,
    "1.4" an_escaped_nul_in_every_place_of_a_path_is_harmless,
    "1.4" escapes_that_are_not_utf_8_in_every_place_of_a_path_are_harmless,
    "1.4" broken_escapes_in_every_place_of_a_path_are_harmless,
    "1.4" a_backslash_in_every_place_of_a_path_is_harmless,
    "1.4" a_line_break_in_every_place_of_a_path_is_harmless,
    "1.4" ten_thousand_characters_in_every_place_of_a_path_are_harmless,
    "1.4" an_empty_place_in_a_path_is_harmless,
    "1.7" unknown_parameters_of_a_query_are_ignored,
    "1.7" a_broken_escape_in_a_query_is_refused_or_literal,
];

async fn a_refusal_is_compact_json_of_code_message_and_type(c: &Context) -> Outcome {
    let v = c.no_vault();
    let message = format!("Vault not found for ARN: {}", v.arn());
    let body =
        format!(r#"{{"code":"ResourceNotFoundException","message":"{message}","type":"Client"}}"#);
    same("body", v.get("").await?.refused(ErrorCode::ResourceNotFound)?.text(), body)
}

async fn a_refusal_has_its_length(c: &Context) -> Outcome {
    let answer = c.no_vault().get("").await?.refused(ErrorCode::ResourceNotFound)?;
    same("length", answer.header("content-length")?, answer.raw.body.len().to_string())
}

async fn the_header_of_the_code_is_the_code(c: &Context) -> Outcome {
    let answer = c.no_vault().get("").await?.refused(ErrorCode::ResourceNotFound)?;
    if let Some(code) = answer.find("x-amzn-errortype") {
        same("x-amzn-ErrorType", code, "ResourceNotFoundException")?;
    }
    Ok(())
}

async fn a_message_with_quotes_is_still_json(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let answer =
        v.get("/jobs?statuscode=a%22b%5C").await?.refused(ErrorCode::InvalidParameterValue)?;
    same("message", answer.member("message"), "The job status code is not valid: a\"b\\".to_owned())
}

async fn a_message_cannot_be_broken_by_what_was_sent(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let answer = v
        .get("/jobs?statuscode=%0D%0Ax-evil:%201%00%1B")
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    answer.lacks("x-evil")?;
    Ok(())
}

async fn markup_in_what_was_sent_stays_json(c: &Context) -> Outcome {
    let answer = c.get("/-/vaults/%3Cscript%3E").await?.refused(ErrorCode::ResourceNotFound)?;
    same("content-type", answer.header("content-type")?, "application/json".to_owned())
}

async fn a_missing_vault_is_named_by_its_arn_everywhere(c: &Context) -> Outcome {
    let v = c.no_vault();
    let message = format!("Vault not found for ARN: {}", v.arn());
    for rest in [
        "",
        "/tags",
        "/jobs",
        "/multipart-uploads",
        "/notification-configuration",
        "/access-policy",
        "/lock-policy",
        "/jobs/x",
        "/jobs/x/output",
        "/multipart-uploads/x",
    ] {
        v.get(rest).await?.refused(ErrorCode::ResourceNotFound)?.says(&message)?;
    }
    Ok(())
}

async fn a_missing_vault_is_named_by_its_arn_when_written_to(c: &Context) -> Outcome {
    let v = c.no_vault();
    let message = format!("Vault not found for ARN: {}", v.arn());
    v.post("/archives")
        .payload(b"abc")
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says(&message)?;
    v.post("/multipart-uploads")
        .header("x-amz-part-size", "1048576")
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says(&message)?;
    v.post("/jobs")
        .json(&json!({"Type": "inventory-retrieval"}))
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says(&message)?;
    v.post("/tags?operation=add")
        .json(&json!({"Tags": {"a": "b"}}))
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says(&message)?;
    v.post("/tags?operation=remove")
        .json(&json!({"TagKeys": ["a"]}))
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says(&message)?;
    v.put("/access-policy")
        .json(&json!({"Policy": "{}"}))
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says(&message)?;
    v.post("/lock-policy")
        .json(&json!({"Policy": "{}"}))
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says(&message)?;
    v.put("/notification-configuration").json(&json!({"SNSTopic": "arn:aws:sns:us-east-1:012345678901:t", "Events": ["ArchiveRetrievalCompleted"]})).await?.refused(ErrorCode::ResourceNotFound)?.says(&message)?;
    Ok(())
}

async fn a_missing_vault_is_named_by_its_arn_when_deleted_from(c: &Context) -> Outcome {
    let v = c.no_vault();
    let message = format!("Vault not found for ARN: {}", v.arn());
    for rest in [
        "/archives/x",
        "/multipart-uploads/x",
        "/access-policy",
        "/lock-policy",
        "/notification-configuration",
    ] {
        v.delete(rest).await?.refused(ErrorCode::ResourceNotFound)?.says(&message)?;
    }
    Ok(())
}

async fn an_illegal_name_is_missed_by_its_name_alone(c: &Context) -> Outcome {
    c.get("/-/vaults/testz:z")
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says("Vault not found for ARN: testz:z")?;
    c.get("/-/vaults/a%20b")
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says("Vault not found for ARN: a b")?;
    c.get("/-/vaults/a%2Fb")
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says("Vault not found for ARN: a/b")?;
    Ok(())
}

async fn an_illegal_name_is_missed_by_every_kind_of_operation(c: &Context) -> Outcome {
    for rest in ["/tags", "/jobs", "/access-policy", "/multipart-uploads"] {
        c.get(format!("/-/vaults/testz:z{rest}")).await?.refused(ErrorCode::ResourceNotFound)?;
    }
    c.post("/-/vaults/testz:z/archives")
        .payload(b"abc")
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn dots_in_every_place_of_a_path_are_harmless(c: &Context) -> Outcome {
    strange(c, "..").await
}

async fn a_single_dot_in_every_place_of_a_path_is_harmless(c: &Context) -> Outcome {
    strange(c, ".").await
}

async fn escaped_dots_in_every_place_of_a_path_are_harmless(c: &Context) -> Outcome {
    strange(c, "%2e%2e").await
}

async fn an_escaped_slash_in_every_place_of_a_path_is_harmless(c: &Context) -> Outcome {
    strange(c, "a%2fb").await
}

async fn an_escaped_way_up_in_every_place_of_a_path_is_harmless(c: &Context) -> Outcome {
    strange(c, "..%2f..%2f..%2fetc%2fpasswd").await
}

async fn an_escaped_nul_in_every_place_of_a_path_is_harmless(c: &Context) -> Outcome {
    strange(c, "a%00b").await
}

async fn escapes_that_are_not_utf_8_in_every_place_of_a_path_are_harmless(c: &Context) -> Outcome {
    strange(c, "%ff%fe").await
}

async fn broken_escapes_in_every_place_of_a_path_are_harmless(c: &Context) -> Outcome {
    strange(c, "%zz%").await
}

async fn a_backslash_in_every_place_of_a_path_is_harmless(c: &Context) -> Outcome {
    strange(c, "..%5c..").await
}

async fn a_line_break_in_every_place_of_a_path_is_harmless(c: &Context) -> Outcome {
    strange(c, "a%0d%0ab").await
}

async fn ten_thousand_characters_in_every_place_of_a_path_are_harmless(c: &Context) -> Outcome {
    strange(c, &"a".repeat(10_000)).await
}

async fn an_empty_place_in_a_path_is_harmless(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for (method, path) in [
        ("GET", "//vaults".to_owned()),
        ("GET", "/-//vaults".to_owned()),
        ("PUT", "/-/vaults//".to_owned()),
        ("DELETE", v.at("/archives//")),
        ("DELETE", "/-/vaults//archives/x".to_owned()),
    ] {
        same("status class", c.request(method, path).await?.raw.status / 100, 4)?;
    }
    v.is_untouched().await
}

async fn unknown_parameters_of_a_query_are_ignored(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.get("?x=y").await?.status(200)?;
    v.get("/jobs?other=1").await?.status(200)?;
    Ok(())
}

async fn a_broken_escape_in_a_query_is_refused_or_literal(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let status = v.get("/jobs?marker=%zz").path_form(PathForm::AsSent).await?.raw.status;
    holds("refused", (400..500).contains(&status))
}
