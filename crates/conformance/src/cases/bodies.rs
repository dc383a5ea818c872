//! Bodies: lengths, `Expect`, JSON ("Common Request Headers").

use icefield_protocol::ErrorCode;
use serde_json::json;

use super::lock;
use crate::bytes::MIB;
use crate::context::{Context, empty_hash, text};
use crate::endpoint::Credentials;
use crate::http::NoAnswer;
use crate::outcome::{Outcome, holds, same};
use crate::suite::cases;

cases![
    "1.7" a_missing_length_of_a_request_without_body_is_accepted,
    "1.7" a_get_with_a_length_of_zero_is_accepted,
    "1.7" create_vault_ignores_a_body,
    "1.7" initiate_multipart_upload_ignores_a_body,
    "1.7" complete_multipart_upload_ignores_a_body,
    "1.7" complete_vault_lock_ignores_a_body,
    "1.7" a_body_that_is_ignored_is_covered_by_the_signature,
    "1.7" an_upload_in_chunks_without_length_misses_a_parameter,
    "1.7" an_upload_without_length_and_body_misses_a_parameter,
    "1.7" a_part_in_chunks_takes_its_length_from_its_range,
    "1.7" a_part_in_chunks_that_is_shorter_than_its_range_is_refused,
    "1.7" expect_is_answered_with_continue_and_then_the_end,
    "1.7" expect_with_a_wrong_signature_is_refused_without_continue,
    "1.7" expect_with_a_missing_header_is_refused_without_continue,
    "1.7" expect_with_a_length_over_the_limit_is_refused_without_continue,
    "1.7" expect_for_a_missing_vault_is_refused_without_continue,
    "1.7" expect_with_a_wrong_part_range_is_refused_without_continue,
    "1.7" answers_are_never_compressed,
    "1.7" content_type_does_not_select_a_parser,
    "1.7" json_that_cannot_be_parsed_is_a_serialization_error,
    "1.7" json_that_is_not_utf_8_is_a_serialization_error,
    "1.7" json_of_another_kind_than_an_object_is_refused,
    "1.7" a_member_of_the_wrong_type_is_refused,
    "1.7" unknown_members_are_ignored,
    "1.7" null_members_are_absent_members,
    "1.7" a_megabyte_of_nested_json_is_refused_and_harmless,
    "1.7" deep_but_closed_json_is_refused_or_ignored_but_harmless,
    "1.7" a_json_body_of_many_megabytes_is_refused,
];

async fn a_missing_length_of_a_request_without_body_is_accepted(c: &Context) -> Outcome {
    let v = c.no_vault();
    v.put("").without_length().await?.status(201)?;
    v.post("/multipart-uploads")
        .header("x-amz-part-size", "1048576")
        .without_length()
        .await?
        .status(201)?;
    v.delete("").without_length().await?.status(204)?;
    Ok(())
}

async fn a_get_with_a_length_of_zero_is_accepted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.get("").length(0).await?.status(200)?;
    c.get("/-/vaults").length(0).await?.status(200)?;
    Ok(())
}

async fn create_vault_ignores_a_body(c: &Context) -> Outcome {
    let v = c.no_vault();
    v.put("").header("content-type", "application/json").body("{}").await?.status(201)?;
    v.put("").body(r#"{"VaultName":"other"}"#).await?.status(201)?;
    v.put("").body("not JSON").await?.status(201)?;
    Ok(())
}

async fn initiate_multipart_upload_ignores_a_body(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let start = v.post("/multipart-uploads").header("x-amz-part-size", "1048576");
    start.header("content-type", "application/json").body("{}").await?.status(201)?;
    Ok(())
}

async fn complete_multipart_upload_ignores_a_body(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.parts(MIB, b"abc").await?;
    upload
        .complete(b"abc")
        .header("content-type", "application/json")
        .body("{}")
        .await?
        .status(201)?;
    Ok(())
}

async fn complete_vault_lock_ignores_a_body(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let lock = lock(&v).await?;
    v.post(format!("/lock-policy/{lock}"))
        .header("content-type", "application/json")
        .body("{}")
        .await?
        .status(204)?;
    Ok(())
}

async fn a_body_that_is_ignored_is_covered_by_the_signature(c: &Context) -> Outcome {
    let v = c.no_vault();
    v.put("").body("{}").signing_hash(empty_hash()).await?.refused(ErrorCode::InvalidSignature)?;
    v.get("").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn an_upload_in_chunks_without_length_misses_a_parameter(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/archives")
        .payload(b"abc")
        .chunked()
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    v.is_untouched().await
}

async fn an_upload_without_length_and_body_misses_a_parameter(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/archives")
        .payload(b"")
        .without_length()
        .await?
        .refused_by(&[ErrorCode::MissingParameterValue, ErrorCode::InvalidParameterValue])?;
    v.is_untouched().await
}

async fn a_part_in_chunks_takes_its_length_from_its_range(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abcdef").chunked().await?.status(204)?;
    let list = upload.list("").await?.status(200)?.json()?;
    same("range", text(&list["Parts"][0]["RangeInBytes"]), "0-5".to_owned())
}

async fn a_part_in_chunks_that_is_shorter_than_its_range_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload
        .ranged("bytes 0-9/*", b"abcdef")
        .chunked()
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    upload
        .ranged("bytes 0-3/*", b"abcdef")
        .chunked()
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    let list = upload.list("").await?.status(200)?.json()?;
    same("parts", list["Parts"].clone(), json!([]))
}

async fn expect_is_answered_with_continue_and_then_the_end(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let answer = v.post("/archives").payload(b"abc").expecting_continue().await?.status(201)?;
    same("interim answers", answer.raw.interim, vec![100])
}

async fn expect_with_a_wrong_signature_is_refused_without_continue(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let wrong = Credentials::new(c.owner().access_key.clone(), "wrong");
    let answer = v
        .post("/archives")
        .payload(b"abc")
        .by(&wrong)
        .expecting_continue()
        .await?
        .refused(ErrorCode::InvalidSignature)?;
    same("interim answers", answer.raw.interim, Vec::<u16>::new())?;
    v.is_untouched().await
}

async fn expect_with_a_missing_header_is_refused_without_continue(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.post("/archives").payload(b"abc").without("x-amz-sha256-tree-hash");
    let answer = upload.expecting_continue().await?.refused(ErrorCode::MissingParameterValue)?;
    same("interim answers", answer.raw.interim, Vec::<u16>::new())
}

async fn expect_with_a_length_over_the_limit_is_refused_without_continue(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.post("/archives").payload(b"abc").length(38_505_164_800_u64);
    let answer = upload
        .expecting_continue()
        .await?
        .refused(ErrorCode::InvalidParameterValue)?
        .says("Invalid Content-Length: 38505164800")?;
    same("interim answers", answer.raw.interim, Vec::<u16>::new())
}

async fn expect_for_a_missing_vault_is_refused_without_continue(c: &Context) -> Outcome {
    let v = c.no_vault();
    let answer = v
        .post("/archives")
        .payload(b"abc")
        .expecting_continue()
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    same("interim answers", answer.raw.interim, Vec::<u16>::new())
}

async fn expect_with_a_wrong_part_range_is_refused_without_continue(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    let answer = upload
        .ranged("bytes 5-7/*", b"abc")
        .expecting_continue()
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    same("interim answers", answer.raw.interim, Vec::<u16>::new())
}

async fn answers_are_never_compressed(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let answer =
        v.get("").header("accept-encoding", "gzip, br, deflate, zstd").await?.status(200)?;
    answer.lacks("content-encoding")?.lacks("transfer-encoding")?;
    Ok(())
}

async fn content_type_does_not_select_a_parser(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let body = json!({"Tags": {"a": "b"}});
    for kind in
        ["application/json", "application/x-www-form-urlencoded; charset=utf-8", "text/plain", "x"]
    {
        v.post("/tags?operation=add")
            .header("content-type", kind)
            .json(&body)
            .await?
            .status(204)?;
    }
    v.post("/tags?operation=add").json(&body).await?.status(204)?;
    Ok(())
}

async fn json_that_cannot_be_parsed_is_a_serialization_error(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for body in ["{", "", "{\"Tags\":", "\u{1}", "{} {}", "{'Tags': {}}"] {
        v.post("/tags?operation=add")
            .body(body)
            .await?
            .refused_by(&[ErrorCode::Serialization, ErrorCode::MissingParameterValue])?;
    }
    v.post("/tags?operation=add").body("{").await?.refused(ErrorCode::Serialization)?;
    v.post("/jobs").body("{\"Type\":").await?.refused(ErrorCode::Serialization)?;
    v.put("/notification-configuration").body("x").await?.refused(ErrorCode::Serialization)?;
    v.put("/access-policy").body("[").await?.refused(ErrorCode::Serialization)?;
    v.post("/lock-policy").body("{]").await?.refused(ErrorCode::Serialization)?;
    Ok(())
}

async fn json_that_is_not_utf_8_is_a_serialization_error(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/tags?operation=add")
        .body(b"{\"Tags\": {\"a\": \"\xff\"}}".to_vec())
        .await?
        .refused(ErrorCode::Serialization)?;
    Ok(())
}

async fn json_of_another_kind_than_an_object_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for body in ["[]", "1", "\"x\"", "true"] {
        v.post("/jobs").body(body).await?.refused_by(&[
            ErrorCode::Serialization,
            ErrorCode::InvalidParameterValue,
            ErrorCode::MissingParameterValue,
        ])?;
        v.post("/tags?operation=add").body(body).await?.refused_by(&[
            ErrorCode::Serialization,
            ErrorCode::InvalidParameterValue,
            ErrorCode::MissingParameterValue,
        ])?;
    }
    Ok(())
}

async fn a_member_of_the_wrong_type_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/tags?operation=add")
        .json(&json!({"Tags": "a"}))
        .await?
        .refused_by(&[ErrorCode::Serialization, ErrorCode::InvalidParameterValue])?;
    v.post("/tags?operation=add")
        .json(&json!({"Tags": {"a": 1}}))
        .await?
        .refused_by(&[ErrorCode::Serialization, ErrorCode::InvalidParameterValue])?;
    v.put("/access-policy")
        .json(&json!({"Policy": {"Version": "2012-10-17"}}))
        .await?
        .refused_by(&[ErrorCode::Serialization, ErrorCode::InvalidParameterValue])?;
    v.post("/jobs")
        .json(&json!({"Type": ["archive-retrieval"]}))
        .await?
        .refused_by(&[ErrorCode::Serialization, ErrorCode::InvalidParameterValue])?;
    Ok(())
}

async fn unknown_members_are_ignored(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/tags?operation=add")
        .json(&json!({"Tags": {"a": "b"}, "Other": [1]}))
        .await?
        .status(204)?;
    let topic = json!({"SNSTopic": "arn:aws:sns:us-east-1:012345678901:t", "Events": ["ArchiveRetrievalCompleted"], "X": null});
    v.put("/notification-configuration").json(&topic).await?.status(204)?;
    Ok(())
}

async fn null_members_are_absent_members(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/tags?operation=add")
        .json(&json!({"Tags": null}))
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    v.put("/access-policy")
        .json(&json!({"Policy": null}))
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    v.post("/jobs")
        .json(&json!({"Type": null}))
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    Ok(())
}

async fn a_megabyte_of_nested_json_is_refused_and_harmless(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for open in ["[", "{\"a\":"] {
        let body = open.repeat(MIB / open.len());
        v.post("/tags?operation=add").body(body.clone()).await?.refused_by(&[
            ErrorCode::Serialization,
            ErrorCode::InvalidParameterValue,
            ErrorCode::BadRequest,
        ])?;
        v.post("/jobs").body(body).await?.refused_by(&[
            ErrorCode::Serialization,
            ErrorCode::InvalidParameterValue,
            ErrorCode::BadRequest,
        ])?;
    }
    v.is_untouched().await
}

async fn deep_but_closed_json_is_refused_or_ignored_but_harmless(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let deep =
        format!("{{\"X\":{}1{},\"Tags\":{{\"a\":\"b\"}}}}", "[".repeat(10_000), "]".repeat(10_000));
    let raw = v.post("/tags?operation=add").body(deep).await?;
    holds("neither refused nor ignored", [204, 400].contains(&raw.raw.status))?;
    v.get("").await?.status(200)?;
    Ok(())
}

async fn a_json_body_of_many_megabytes_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let body = format!("{{\"Type\":\"{}\"}}", "a".repeat(8 * MIB));
    match v.post("/jobs").body(body).raw().await {
        Ok(raw) => same("status", raw.status, 400)?,
        Err(NoAnswer::Closed | NoAnswer::Broken(_)) => {}
        Err(other) => return Err(other.into()),
    }
    v.is_untouched().await
}
