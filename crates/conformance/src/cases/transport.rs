//! Transport: paths, bodies, framing ("Making HTTP Requests", "Common Request Headers").

use icefield_protocol::ErrorCode;
use serde_json::json;

use super::lock;
use crate::bytes::{MIB, bytes};
use crate::context::{Context, empty_hash, text};
use crate::endpoint::Credentials;
use crate::http::{Connection, Delivery, NoAnswer};
use crate::outcome::{Outcome, holds, same};
use crate::request::Request;
use crate::suite::cases;

cases![
    "1.1" a_trailing_slash_is_ignored,
    "1.1" a_path_without_an_account_is_a_bad_request,
    "1.1" an_unknown_path_is_a_bad_request,
    "1.1" slips_of_the_guide_are_no_routes,
    "1.1" an_unsupported_method_is_a_bad_request,
    "1.1" a_head_request_is_refused_without_a_body,
    "1.10" an_unknown_path_is_named_before_a_missing_signature,
    "1.1" path_segments_are_percent_decoded_once,
    "1.1" percent_escapes_in_lower_case_are_read,
    "1.1" an_escaped_space_in_a_name_is_an_illegal_name,
    "1.1" ids_may_begin_with_a_hyphen,
    "1.1" a_vault_may_be_called_like_a_word_of_the_path,
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
    "1.7" a_query_of_a_million_characters_is_refused_and_harmless,
    "1.7" a_head_of_a_million_characters_is_refused_and_harmless,
    "1.7" a_thousand_header_fields_are_refused_or_ignored,
    "1.7" what_is_no_http_is_turned_away,
    "1.7" a_field_without_a_colon_is_turned_away,
    "1.7" a_space_before_the_colon_is_turned_away,
    "1.7" a_raw_nul_in_a_header_is_turned_away,
    "1.7" a_raw_nul_in_the_path_is_turned_away,
    "1.7" a_raw_space_in_the_path_is_turned_away,
    "1.7" a_length_that_is_no_number_is_turned_away,
    "1.7" two_different_lengths_are_turned_away,
    "1.7" a_length_beside_chunks_is_turned_away_or_not_stored,
    "1.7" a_request_without_host_is_turned_away,
    "1.7" a_body_shorter_than_announced_leaves_no_archive,
    "1.7" a_body_that_never_begins_leaves_no_archive,
    "1.7" a_long_body_that_is_cut_leaves_no_archive,
    "1.7" a_part_that_is_cut_leaves_no_part,
    "1.7" a_body_longer_than_announced_stores_only_what_was_announced_or_nothing,
    "1.7" a_cut_json_body_changes_nothing,
    "1.8" one_connection_carries_many_requests,
    "1.8" a_connection_goes_on_after_a_refusal,
    "1.8" requests_sent_at_once_are_answered_in_order,
    "1.8" request_ids_differ,
    "1.8" every_kind_of_answer_has_a_request_id,
    "1.8" the_date_is_the_servers_time,
];

/// Sends bytes that are no request; they are refused or the connection is closed, and the service goes on.
async fn is_turned_away(c: &Context, bytes: &[u8]) -> Outcome {
    let mut connection = Connection::open(&c.authority()).await?;
    match connection.send(bytes, b"", Delivery::Whole).await {
        Ok(raw) => holds("a request that is none was answered", (400..500).contains(&raw.status))?,
        Err(NoAnswer::Closed | NoAnswer::Broken(_)) => {}
        Err(other) => return Err(other.into()),
    }
    c.get("/-/vaults").await?.status(200)?;
    Ok(())
}

/// Returns the head of a signed request after `change`.
fn head(request: &Request, change: impl Fn(String) -> String) -> Vec<u8> {
    change(String::from_utf8_lossy(&request.wire().0).into_owned()).into_bytes()
}
async fn a_trailing_slash_is_ignored(c: &Context) -> Outcome {
    let v = c.vault().await?;
    c.get(v.at("/")).await?.status(200)?;
    c.get("/-/vaults/").await?.status(200)?;
    v.get("/tags/").await?.status(200)?;
    Ok(())
}

async fn a_path_without_an_account_is_a_bad_request(c: &Context) -> Outcome {
    let v = c.vault().await?;
    c.get(format!("/vaults/{}", v.name)).await?.refused(ErrorCode::BadRequest)?;
    c.get("/vaults").await?.refused(ErrorCode::BadRequest)?;
    Ok(())
}

async fn an_unknown_path_is_a_bad_request(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for path in [
        "/",
        "/-",
        "/-/other",
        "/-/vaults/a/other",
        "/-/policies",
        "/-/policies/other",
        "/favicon.ico",
    ] {
        c.get(path).await?.refused(ErrorCode::BadRequest)?;
    }
    v.get("/jobs/a/output/more").await?.refused(ErrorCode::BadRequest)?;
    Ok(())
}

async fn slips_of_the_guide_are_no_routes(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.put("/notification-policy")
        .json(&json!({"Topic": "x"}))
        .await?
        .refused(ErrorCode::BadRequest)?;
    v.put("/lock-policy").json(&json!({"Policy": "{}"})).await?.refused(ErrorCode::BadRequest)?;
    c.get("/-/priority-capacity").await?.refused(ErrorCode::BadRequest)?;
    Ok(())
}

async fn an_unsupported_method_is_a_bad_request(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for (method, rest) in [
        ("PATCH", ""),
        ("POST", ""),
        ("PUT", "/archives"),
        ("GET", "/archives"),
        ("PUT", "/jobs"),
        ("DELETE", "/jobs"),
        ("DELETE", "/tags"),
        ("TRACE", ""),
    ] {
        c.request(method, v.at(rest)).await?.refused(ErrorCode::BadRequest)?;
    }
    c.delete("/-/vaults").await?.refused(ErrorCode::BadRequest)?;
    c.post("/-/policies/data-retrieval").await?.refused(ErrorCode::BadRequest)?;
    Ok(())
}

async fn a_head_request_is_refused_without_a_body(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let raw = c.request("HEAD", v.at("")).await?;
    same("status", raw.raw.status, 400)?;
    same("body", raw.raw.body.len(), 0)
}

async fn an_unknown_path_is_named_before_a_missing_signature(c: &Context) -> Outcome {
    c.get("/-/other").anonymous().await?.refused(ErrorCode::BadRequest)?;
    Ok(())
}

async fn path_segments_are_percent_decoded_once(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let encoded = v.name.replace('c', "%63");
    c.get(format!("/-/vaults/{encoded}")).await?.status(200)?;
    let twice = v.name.replace('c', "%2563");
    c.get(format!("/-/vaults/{twice}")).await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn percent_escapes_in_lower_case_are_read(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let encoded = v.name.replace('-', "%2d");
    let answer = c.get(format!("/-/vaults/{encoded}")).await?.status(200)?.json()?;
    same("name", text(&answer["VaultName"]), v.name.clone())
}

async fn an_escaped_space_in_a_name_is_an_illegal_name(c: &Context) -> Outcome {
    c.put("/-/vaults/a%20b").await?.refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn ids_may_begin_with_a_hyphen(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let job = format!("-{}", "a".repeat(91));
    v.get(format!("/jobs/{job}"))
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says(&format!("The job ID was not found: {job}"))?;
    let upload = format!("--{}", "a".repeat(90));
    v.get(format!("/multipart-uploads/{upload}")).await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn a_vault_may_be_called_like_a_word_of_the_path(c: &Context) -> Outcome {
    for name in ["vaults", "-", "policies", "archives", "..."] {
        c.put(format!("/-/vaults/{name}")).await?.status(201)?;
        c.get(format!("/-/vaults/{name}")).await?.status(200)?;
        c.delete(format!("/-/vaults/{name}")).await?.status(204)?;
    }
    Ok(())
}

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

async fn a_query_of_a_million_characters_is_refused_and_harmless(c: &Context) -> Outcome {
    let v = c.vault().await?;
    is_turned_away(
        c,
        &head(&v.get(""), |head| {
            head.replacen(" HTTP", &format!("?marker={} HTTP", "a".repeat(1_000_000)), 1)
        }),
    )
    .await
}

async fn a_head_of_a_million_characters_is_refused_and_harmless(c: &Context) -> Outcome {
    is_turned_away(
        c,
        &head(&c.get("/-/vaults"), |head| {
            head.replace("host:", &format!("x-long: {}\r\nhost:", "a".repeat(1_000_000)))
        }),
    )
    .await
}

async fn a_thousand_header_fields_are_refused_or_ignored(c: &Context) -> Outcome {
    let many: String = (0..1000).map(|n| format!("x-field-{n}: v\r\n")).collect();
    let bytes = head(&c.get("/-/vaults"), |head| head.replace("host:", &format!("{many}host:")));
    let mut connection = Connection::open(&c.authority()).await?;
    match connection.send(&bytes, b"", Delivery::Whole).await {
        Ok(raw) => holds("status", raw.status == 200 || (400..500).contains(&raw.status))?,
        Err(NoAnswer::Closed | NoAnswer::Broken(_)) => {}
        Err(other) => return Err(other.into()),
    }
    c.get("/-/vaults").await?.status(200)?;
    Ok(())
}

async fn what_is_no_http_is_turned_away(c: &Context) -> Outcome {
    for bytes in [
        "\r\n\r\n\r\n",
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\u{16}\u{3}\u{1}\r\n\r\n",
    ] {
        is_turned_away(c, bytes.as_bytes()).await?;
    }
    Ok(())
}

async fn a_field_without_a_colon_is_turned_away(c: &Context) -> Outcome {
    is_turned_away(c, &head(&c.get("/-/vaults"), |head| head.replace("host:", "nonsense\r\nhost:")))
        .await
}

async fn a_space_before_the_colon_is_turned_away(c: &Context) -> Outcome {
    is_turned_away(c, &head(&c.get("/-/vaults"), |head| head.replace("host:", "host :"))).await
}

async fn a_raw_nul_in_a_header_is_turned_away(c: &Context) -> Outcome {
    is_turned_away(
        c,
        &head(&c.get("/-/vaults"), |head| head.replace("host:", "x-a: b\0c\r\nhost:")),
    )
    .await
}

async fn a_raw_nul_in_the_path_is_turned_away(c: &Context) -> Outcome {
    is_turned_away(
        c,
        &head(&c.get("/-/vaults"), |head| head.replacen("/-/vaults", "/-/vaults/a\0b", 1)),
    )
    .await
}

async fn a_raw_space_in_the_path_is_turned_away(c: &Context) -> Outcome {
    is_turned_away(
        c,
        &head(&c.get("/-/vaults"), |head| head.replacen("/-/vaults", "/-/vaults/a b", 1)),
    )
    .await
}

async fn a_length_that_is_no_number_is_turned_away(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for length in ["-1", "abc", "1e3", "0x10", "18446744073709551617"] {
        is_turned_away(c, &head(&v.post("/archives").payload(b"abc").length(length), |head| head))
            .await?;
    }
    v.is_untouched().await
}

async fn two_different_lengths_are_turned_away(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let bytes = head(&v.post("/archives").payload(b"abc"), |head| {
        head.replace("content-length:", "content-length: 2\r\ncontent-length:")
    });
    is_turned_away(c, &[&bytes[..], b"abc"].concat()).await?;
    v.is_untouched().await
}

async fn a_length_beside_chunks_is_turned_away_or_not_stored(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let bytes = head(&v.post("/archives").payload(b"abc"), |head| {
        head.replace("content-length:", "transfer-encoding: chunked\r\ncontent-length:")
    });
    is_turned_away(c, &[&bytes[..], b"3\r\nabc\r\n0\r\n\r\n"].concat()).await?;
    v.is_untouched().await
}

async fn a_request_without_host_is_turned_away(c: &Context) -> Outcome {
    is_turned_away(c, &head(&c.get("/-/vaults"), |head| head.replace("host:", "x-host:"))).await
}

async fn a_body_shorter_than_announced_leaves_no_archive(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let _gone = v.post("/archives").payload(&bytes(1, 1000)).cut_after(999).raw().await;
    v.is_untouched().await
}

async fn a_body_that_never_begins_leaves_no_archive(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let _gone = v.post("/archives").payload(&bytes(1, 1000)).cut_after(0).raw().await;
    v.is_untouched().await
}

async fn a_long_body_that_is_cut_leaves_no_archive(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let _gone = v.post("/archives").payload(&bytes(1, 3 * MIB)).cut_after(2 * MIB + 5).raw().await;
    v.is_untouched().await
}

async fn a_part_that_is_cut_leaves_no_part(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    let _gone = upload.part(0, &bytes(1, MIB)).cut_after(MIB - 1).raw().await;
    let list = upload.list("").await?.status(200)?.json()?;
    same("parts", list["Parts"].clone(), json!([]))
}

async fn a_body_longer_than_announced_stores_only_what_was_announced_or_nothing(
    c: &Context,
) -> Outcome {
    let v = c.vault().await?;
    let raw = v.post("/archives").payload(b"abcdef").length(3).raw().await;
    if let Ok(raw) = raw {
        holds("an archive of other bytes was stored", raw.status >= 400)?;
    }
    v.is_untouched().await
}

async fn a_cut_json_body_changes_nothing(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let _gone =
        v.post("/tags?operation=add").json(&json!({"Tags": {"a": "b"}})).cut_after(5).raw().await;
    same("tags", v.get("/tags").await?.status(200)?.json()?, json!({"Tags": {}}))
}

async fn one_connection_carries_many_requests(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let mut connection = Connection::open(&c.authority()).await?;
    for _ in 0..5 {
        v.get("").on(&mut connection).await?.status(200)?;
    }
    Ok(())
}

async fn a_connection_goes_on_after_a_refusal(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let mut connection = Connection::open(&c.authority()).await?;
    v.get("/jobs/none").on(&mut connection).await?.refused(ErrorCode::ResourceNotFound)?;
    v.get("")
        .anonymous()
        .on(&mut connection)
        .await?
        .refused(ErrorCode::MissingAuthenticationToken)?;
    v.get("").on(&mut connection).await?.status(200)?;
    Ok(())
}

async fn requests_sent_at_once_are_answered_in_order(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let mut connection = Connection::open(&c.authority()).await?;
    let (first, second) = (v.get("").wire().0, v.get("/tags").wire().0);
    connection.write(&[first, second].concat()).await?;
    let (first, second) = (connection.receive().await?, connection.receive().await?);
    holds("the vault comes first", String::from_utf8_lossy(&first.body).contains("VaultName"))?;
    holds("the tags come second", String::from_utf8_lossy(&second.body).contains("Tags"))
}

async fn request_ids_differ(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let first = v.get("").await?.header("x-amzn-requestid")?;
    let second = v.get("").await?.header("x-amzn-requestid")?;
    holds("two requests have one ID", first != second)
}

async fn every_kind_of_answer_has_a_request_id(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.get("").await?.status(200)?.header("x-amzn-requestid")?;
    v.put("").await?.status(201)?.header("x-amzn-requestid")?;
    v.delete("/access-policy").await?.status(204)?.header("x-amzn-requestid")?;
    v.get("/jobs/none").await?.refused(ErrorCode::ResourceNotFound)?.header("x-amzn-requestid")?;
    c.get("/-/other").await?.refused(ErrorCode::BadRequest)?.header("x-amzn-requestid")?;
    Ok(())
}

async fn the_date_is_the_servers_time(c: &Context) -> Outcome {
    let answer = c.get("/-/vaults").await?.status(200)?.header("date")?;
    let year = &c.now().to_seconds_string()[..4];
    holds(&format!("{answer} is not of {year}"), answer.contains(year))
}
