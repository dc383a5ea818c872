//! Signatures ("Signing Requests").

use icefield_protocol::ErrorCode;
use serde_json::json;

use super::HOUR;
use crate::bytes::{MIB, bytes, linear, tree};
use crate::context::{Context, empty_hash, text};
use crate::endpoint::{Credentials, Setup};
use crate::http::{Connection, Delivery};
use crate::outcome::{Outcome, holds, same};
use crate::request::basic;
use crate::signing::{PathForm, SpaceForm, encoded};
use crate::suite::cases;

cases![
    "1.9" a_signed_request_is_answered,
    "1.9" commas_without_spaces_are_accepted,
    "1.9" any_region_and_service_in_the_scope_is_accepted,
    "1.9" the_body_hash_is_of_the_real_body,
    "1.9" a_json_body_with_its_hash_in_a_header_is_accepted,
    "1.9" a_json_body_with_a_wrong_hash_in_a_header_is_refused,
    "1.9" an_upload_with_an_unsigned_payload_is_refused,
    "1.9" an_upload_with_a_streaming_signature_is_refused,
    "1.9" a_body_with_another_hash_than_announced_is_refused_with_both,
    "1.9" a_long_body_with_another_hash_leaves_no_archive,
    "1.9" a_part_with_another_hash_than_announced_leaves_the_former_part,
    "1.9" an_upload_signed_with_another_hash_than_its_header_is_refused,
    "1.9" upper_case_hex_in_the_body_hash_is_accepted,
    "1.9" a_path_signed_as_sent_is_accepted,
    "1.9" another_path_than_the_signed_one_is_refused,
    "1.9" another_query_than_the_signed_one_is_refused,
    "1.9" another_method_than_the_signed_one_is_refused,
    "1.9" another_host_than_the_signed_one_is_refused,
    "1.9" the_order_of_the_query_does_not_matter,
    "1.9" an_escaped_marker_is_signed_as_clients_do,
    "1.9" runs_of_spaces_in_a_signed_value_are_collapsed,
    "1.9" a_quoted_value_may_be_signed_with_its_spaces,
    "1.9" a_signed_description_cannot_be_changed,
    "1.9" the_range_of_a_part_may_stay_unsigned,
    "1.9" a_signed_range_of_a_part_cannot_be_changed,
    "1.9" the_size_of_an_archive_cannot_be_changed,
    "1.9" other_headers_may_stay_unsigned,
    "1.9" a_date_within_five_minutes_is_accepted,
    "1.9" an_old_date_has_expired,
    "1.9" a_date_in_the_future_is_refused,
    "1.9" a_date_that_is_none_is_refused,
    "1.5" a_date_header_in_basic_form_may_stand_for_x_amz_date,
    "1.5" x_amz_date_wins_over_date,
    "1.5" an_http_date_alone_is_refused,
    "1.9" an_authorization_of_another_kind_is_refused,
    "1.9" an_authorization_without_a_piece_is_refused,
    "1.9" an_authorization_with_a_piece_twice_is_refused,
    "1.9" a_signature_of_the_wrong_length_is_refused,
    "1.9" a_scope_with_too_few_or_too_many_words_is_refused,
    "1.9" a_scope_that_does_not_end_in_aws4_request_is_refused,
    "1.9" a_host_that_is_not_signed_is_refused,
    "1.9" a_signed_header_that_is_not_sent_is_refused,
    "1.9" an_empty_access_key_is_refused,
    "1.9" the_secret_of_another_key_does_not_fit,
    "1.9" [Session] a_temporary_key_with_its_token_is_accepted,
    "1.9" [Session] a_temporary_key_without_its_token_is_refused,
    "1.9" [Session] a_temporary_key_with_another_token_is_refused,
    "1.9" [Session] a_token_must_be_signed,
    "1.10" [Laboratory] a_session_that_is_over_has_expired,
];

async fn a_signed_request_is_answered(c: &Context) -> Outcome {
    c.get("/-/vaults").await?.status(200)?;
    Ok(())
}

async fn commas_without_spaces_are_accepted(c: &Context) -> Outcome {
    c.get("/-/vaults").authorization(|value| vec![value.replace(", ", ",")]).await?.status(200)?;
    Ok(())
}

async fn any_region_and_service_in_the_scope_is_accepted(c: &Context) -> Outcome {
    let boto = |scope: &str| format!("{}/0/127/aws4_request", &scope[..8]);
    c.get("/-/vaults").scope(boto).await?.status(200)?;
    Ok(())
}

async fn the_body_hash_is_of_the_real_body(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let tags = json!({"Tags": {"a": "b"}});
    v.post("/tags?operation=add")
        .json(&tags)
        .signing_hash(empty_hash())
        .await?
        .refused(ErrorCode::InvalidSignature)?;
    v.post("/tags?operation=add")
        .json(&tags)
        .signing_hash("UNSIGNED-PAYLOAD")
        .await?
        .refused(ErrorCode::InvalidSignature)?;
    same("tags", v.get("/tags").await?.status(200)?.json()?, json!({"Tags": {}}))
}

async fn a_json_body_with_its_hash_in_a_header_is_accepted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let tags = json!({"Tags": {"a": "b"}});
    let hash = linear(tags.to_string().as_bytes());
    v.post("/tags?operation=add")
        .json(&tags)
        .header("x-amz-content-sha256", hash)
        .await?
        .status(204)?;
    Ok(())
}

async fn a_json_body_with_a_wrong_hash_in_a_header_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let tags = json!({"Tags": {"a": "b"}});
    v.post("/tags?operation=add")
        .json(&tags)
        .header("x-amz-content-sha256", "0".repeat(64))
        .await?
        .refused(ErrorCode::InvalidSignature)?;
    Ok(())
}

async fn an_upload_with_an_unsigned_payload_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload =
        v.post("/archives").payload(b"abc").header("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    upload
        .signing_hash("UNSIGNED-PAYLOAD")
        .await?
        .refused_by(&[ErrorCode::InvalidSignature, ErrorCode::InvalidParameterValue])?;
    v.is_untouched().await
}

async fn an_upload_with_a_streaming_signature_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let streaming = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    let upload = v.post("/archives").payload(b"abc").header("x-amz-content-sha256", streaming);
    upload
        .signing_hash(streaming)
        .await?
        .refused_by(&[ErrorCode::InvalidSignature, ErrorCode::InvalidParameterValue])?;
    v.is_untouched().await
}

async fn a_body_with_another_hash_than_announced_is_refused_with_both(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let said = linear(b"abd");
    let upload = v.post("/archives").payload(b"abc").header("x-amz-content-sha256", &said);
    let message = format!(
        "The value passed in as x-amz-content-sha256 does not match the computed payload hash. Computed digest: {} expected hash: {said}",
        linear(b"abc")
    );
    upload.signing_hash(said).await?.refused(ErrorCode::InvalidSignature)?.says(&message)?;
    v.is_untouched().await
}

async fn a_long_body_with_another_hash_leaves_no_archive(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let said = linear(b"other");
    let upload =
        v.post("/archives").payload(&bytes(3, 2 * MIB + 1)).header("x-amz-content-sha256", &said);
    upload.signing_hash(said).await?.refused(ErrorCode::InvalidSignature)?;
    v.is_untouched().await
}

async fn a_part_with_another_hash_than_announced_leaves_the_former_part(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    let said = linear(b"other");
    upload
        .part(0, b"abd")
        .header("x-amz-content-sha256", &said)
        .signing_hash(said)
        .await?
        .refused(ErrorCode::InvalidSignature)?;
    let list = upload.list("").await?.status(200)?.json()?;
    same("hash", text(&list["Parts"][0]["SHA256TreeHash"]), tree(b"abc"))
}

async fn an_upload_signed_with_another_hash_than_its_header_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/archives")
        .payload(b"abc")
        .signing_hash(linear(b"abd"))
        .await?
        .refused(ErrorCode::InvalidSignature)?;
    v.is_untouched().await
}

async fn upper_case_hex_in_the_body_hash_is_accepted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let hash = linear(b"abc").to_uppercase();
    let upload = v.post("/archives").payload(b"abc").header("x-amz-content-sha256", &hash);
    upload.signing_hash(linear(b"abc")).await?.status(201)?;
    Ok(())
}

async fn a_path_signed_as_sent_is_accepted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let encoded = v.at("").replace('c', "%63");
    c.get(&encoded).path_form(PathForm::AsSent).await?.status(200)?;
    c.get(&encoded).path_form(PathForm::EncodedAgain).await?.status(200)?;
    Ok(())
}

async fn another_path_than_the_signed_one_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let signed = v.get("").wire().0;
    let moved = String::from_utf8_lossy(&signed).replacen(&v.name, "elsewhere", 1);
    let raw = Connection::open(&c.authority())
        .await?
        .send(moved.as_bytes(), b"", Delivery::Whole)
        .await?;
    same("status", raw.status, 403)
}

async fn another_query_than_the_signed_one_is_refused(c: &Context) -> Outcome {
    let signed = c.get("/-/vaults?limit=1").wire().0;
    let changed = String::from_utf8_lossy(&signed).replacen("limit=1", "limit=2", 1);
    let raw = Connection::open(&c.authority())
        .await?
        .send(changed.as_bytes(), b"", Delivery::Whole)
        .await?;
    same("status", raw.status, 403)
}

async fn another_method_than_the_signed_one_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let signed = v.get("").wire().0;
    let changed = String::from_utf8_lossy(&signed).replacen("GET", "DELETE", 1);
    let raw = Connection::open(&c.authority())
        .await?
        .send(changed.as_bytes(), b"", Delivery::Whole)
        .await?;
    same("status", raw.status, 403)?;
    v.get("").await?.status(200)?;
    Ok(())
}

async fn another_host_than_the_signed_one_is_refused(c: &Context) -> Outcome {
    let signed = c.get("/-/vaults").wire().0;
    let changed = String::from_utf8_lossy(&signed).replacen(&c.authority(), "elsewhere.example", 1);
    let raw = Connection::open(&c.authority())
        .await?
        .send(changed.as_bytes(), b"", Delivery::Whole)
        .await?;
    same("status", raw.status, 403)
}

async fn the_order_of_the_query_does_not_matter(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.get("/jobs?limit=5&completed=true&statuscode=Succeeded").await?.status(200)?;
    v.get("/jobs?statuscode=Succeeded&limit=5&completed=true").await?.status(200)?;
    Ok(())
}

async fn an_escaped_marker_is_signed_as_clients_do(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let marker = encoded(v.arn().as_bytes(), b"");
    c.get(format!("/-/vaults?limit=1000&marker={marker}")).await?.status(200)?;
    Ok(())
}

async fn runs_of_spaces_in_a_signed_value_are_collapsed(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/archives")
        .payload(b"abc")
        .header("x-amz-archive-description", "a  b   c")
        .await?
        .status(201)?;
    Ok(())
}

async fn a_quoted_value_may_be_signed_with_its_spaces(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for form in [SpaceForm::Collapsed, SpaceForm::KeptBesideQuotes] {
        let upload = v
            .post("/archives")
            .payload(b"abc")
            .header("x-amz-archive-description", "two  spaces \"q\"");
        upload.space_form(form).await?.status(201)?;
    }
    Ok(())
}

async fn a_signed_description_cannot_be_changed(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let signed =
        v.post("/archives").payload(b"abc").header("x-amz-archive-description", "mine").wire();
    let changed = String::from_utf8_lossy(&signed.0).replacen("mine", "ours", 1);
    let raw = Connection::open(&c.authority())
        .await?
        .send(changed.as_bytes(), b"abc", Delivery::Whole)
        .await?;
    same("status", raw.status, 403)?;
    v.is_untouched().await
}

async fn the_range_of_a_part_may_stay_unsigned(c: &Context) -> Outcome {
    // As boto 2 has it: it signs the host and the headers of the service.
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    let part =
        upload.part(0, b"abc").without("content-range").unsigned("content-range", "bytes 0-2/*");
    part.await?.status(204)?;
    Ok(())
}

async fn a_signed_range_of_a_part_cannot_be_changed(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    let signed = upload.part(0, b"abc").wire();
    let changed =
        String::from_utf8_lossy(&signed.0).replacen("bytes 0-2/", "bytes 1048576-1048578/", 1);
    let raw = Connection::open(&c.authority())
        .await?
        .send(changed.as_bytes(), b"abc", Delivery::Whole)
        .await?;
    same("status", raw.status, 403)?;
    same("parts", upload.list("").await?.json()?["Parts"].clone(), json!([]))
}

async fn the_size_of_an_archive_cannot_be_changed(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    let signed = upload.complete(b"abc").wire();
    let changed = String::from_utf8_lossy(&signed.0).replacen(
        "x-amz-archive-size: 3",
        "x-amz-archive-size: 4",
        1,
    );
    let raw = Connection::open(&c.authority())
        .await?
        .send(changed.as_bytes(), b"", Delivery::Whole)
        .await?;
    same("status", raw.status, 403)
}

async fn other_headers_may_stay_unsigned(c: &Context) -> Outcome {
    c.get("/-/vaults")
        .unsigned("user-agent", "x")
        .unsigned("accept", "*/*")
        .unsigned("x-other", "y")
        .await?
        .status(200)?;
    Ok(())
}

async fn a_date_within_five_minutes_is_accepted(c: &Context) -> Outcome {
    for shift in [-240, 240] {
        c.get("/-/vaults").shifted(shift).await?.status(200)?;
    }
    Ok(())
}

async fn an_old_date_has_expired(c: &Context) -> Outcome {
    let answer = c.get("/-/vaults").shifted(-360).await?.refused(ErrorCode::InvalidSignature)?;
    let message = answer.member("message");
    holds(
        &message,
        message.starts_with("Signature expired: ")
            && message.contains(" is now earlier than ")
            && message.ends_with(" - 5 min.)"),
    )
}

async fn a_date_in_the_future_is_refused(c: &Context) -> Outcome {
    c.get("/-/vaults").shifted(360).await?.refused(ErrorCode::InvalidSignature)?;
    Ok(())
}

async fn a_date_that_is_none_is_refused(c: &Context) -> Outcome {
    for date in ["", "yesterday", "2012-05-25T00:24:53Z", "20120525T002453", "20129925T002453Z"] {
        c.get("/-/vaults").undated().header("x-amz-date", date).await?.refused_by(&[
            ErrorCode::InvalidSignature,
            ErrorCode::MissingAuthenticationToken,
            ErrorCode::InvalidParameterValue,
            ErrorCode::MissingParameterValue,
        ])?;
    }
    Ok(())
}

async fn a_date_header_in_basic_form_may_stand_for_x_amz_date(c: &Context) -> Outcome {
    c.get("/-/vaults").undated().header("date", basic(c.now())).await?.status(200)?;
    Ok(())
}

async fn x_amz_date_wins_over_date(c: &Context) -> Outcome {
    c.get("/-/vaults").header("date", "Sun, 06 Nov 1994 08:49:37 GMT").await?.status(200)?;
    c.get("/-/vaults").header("date", "20120525T002453Z").await?.status(200)?;
    Ok(())
}

async fn an_http_date_alone_is_refused(c: &Context) -> Outcome {
    c.get("/-/vaults")
        .undated()
        .header("date", "Sun, 06 Nov 1994 08:49:37 GMT")
        .await?
        .refused_by(&[
            ErrorCode::InvalidSignature,
            ErrorCode::MissingAuthenticationToken,
            ErrorCode::MissingParameterValue,
        ])?;
    Ok(())
}

async fn an_authorization_of_another_kind_is_refused(c: &Context) -> Outcome {
    for value in ["Basic YTpi", "Bearer x", "AWS a:b", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 ", "x"]
    {
        c.get("/-/vaults")
            .anonymous()
            .header("authorization", value)
            .await?
            .refused_by(&[ErrorCode::MissingAuthenticationToken, ErrorCode::InvalidSignature])?;
    }
    Ok(())
}

async fn an_authorization_without_a_piece_is_refused(c: &Context) -> Outcome {
    for piece in 0..3 {
        let without: fn(&str) -> Vec<String> = match piece {
            0 => |value| vec![value.replacen("Credential=", "C=", 1)],
            1 => |value| vec![value.replacen("SignedHeaders=", "S=", 1)],
            _ => |value| vec![value.replacen("Signature=", "X=", 1)],
        };
        c.get("/-/vaults")
            .authorization(without)
            .await?
            .refused_by(&[ErrorCode::MissingAuthenticationToken, ErrorCode::InvalidSignature])?;
    }
    Ok(())
}

async fn an_authorization_with_a_piece_twice_is_refused(c: &Context) -> Outcome {
    let twice = |value: &str| vec![format!("{value}, Signature={}", "0".repeat(64))];
    c.get("/-/vaults")
        .authorization(twice)
        .await?
        .refused_by(&[ErrorCode::MissingAuthenticationToken, ErrorCode::InvalidSignature])?;
    Ok(())
}

async fn a_signature_of_the_wrong_length_is_refused(c: &Context) -> Outcome {
    c.get("/-/vaults")
        .authorization(|value| vec![value[..value.len() - 2].to_owned()])
        .await?
        .refused_by(&[ErrorCode::MissingAuthenticationToken, ErrorCode::InvalidSignature])?;
    c.get("/-/vaults")
        .authorization(|value| vec![format!("{value}00")])
        .await?
        .refused_by(&[ErrorCode::MissingAuthenticationToken, ErrorCode::InvalidSignature])?;
    Ok(())
}

async fn a_scope_with_too_few_or_too_many_words_is_refused(c: &Context) -> Outcome {
    for words in 0..2 {
        let change: fn(&str) -> String = if words == 0 {
            |scope| scope[9..].to_owned()
        } else {
            |scope| format!("{scope}/more")
        };
        c.get("/-/vaults")
            .scope(change)
            .await?
            .refused_by(&[ErrorCode::MissingAuthenticationToken, ErrorCode::InvalidSignature])?;
    }
    Ok(())
}

async fn a_scope_that_does_not_end_in_aws4_request_is_refused(c: &Context) -> Outcome {
    c.get("/-/vaults")
        .scope(|scope| scope.replace("aws4_request", "aws5_request"))
        .await?
        .refused_by(&[ErrorCode::MissingAuthenticationToken, ErrorCode::InvalidSignature])?;
    Ok(())
}

async fn a_host_that_is_not_signed_is_refused(c: &Context) -> Outcome {
    c.get("/-/vaults")
        .without_signing("host")
        .await?
        .refused_by(&[ErrorCode::MissingAuthenticationToken, ErrorCode::InvalidSignature])?;
    Ok(())
}

async fn a_signed_header_that_is_not_sent_is_refused(c: &Context) -> Outcome {
    let more =
        |value: &str| vec![value.replacen("SignedHeaders=host", "SignedHeaders=accept;host", 1)];
    c.get("/-/vaults")
        .authorization(more)
        .await?
        .refused_by(&[ErrorCode::MissingAuthenticationToken, ErrorCode::InvalidSignature])?;
    Ok(())
}

async fn an_empty_access_key_is_refused(c: &Context) -> Outcome {
    let nobody = Credentials::new("", c.owner().secret.clone());
    c.get("/-/vaults").by(&nobody).await?.refused_by(&[
        ErrorCode::MissingAuthenticationToken,
        ErrorCode::InvalidSignature,
        ErrorCode::UnrecognizedClient,
    ])?;
    Ok(())
}

async fn the_secret_of_another_key_does_not_fit(c: &Context) -> Outcome {
    let mixed = Credentials::new(c.owner().access_key.clone(), c.owner().secret.to_uppercase());
    c.get("/-/vaults").by(&mixed).await?.refused(ErrorCode::InvalidSignature)?;
    Ok(())
}

async fn a_temporary_key_with_its_token_is_accepted(c: &Context) -> Outcome {
    c.get("/-/vaults").by(c.session()?).await?.status(200)?;
    Ok(())
}

async fn a_temporary_key_without_its_token_is_refused(c: &Context) -> Outcome {
    let bare = Credentials { token: None, ..c.session()?.clone() };
    c.get("/-/vaults").by(&bare).await?.refused_by(&[
        ErrorCode::UnrecognizedClient,
        ErrorCode::InvalidSignature,
        ErrorCode::MissingAuthenticationToken,
    ])?;
    Ok(())
}

async fn a_temporary_key_with_another_token_is_refused(c: &Context) -> Outcome {
    let wrong = Credentials { token: Some("garbage".to_owned()), ..c.session()?.clone() };
    c.get("/-/vaults").by(&wrong).await?.refused_by(&[
        ErrorCode::UnrecognizedClient,
        ErrorCode::InvalidSignature,
        ErrorCode::MissingAuthenticationToken,
    ])?;
    Ok(())
}

async fn a_token_must_be_signed(c: &Context) -> Outcome {
    c.get("/-/vaults").by(c.session()?).without_signing("x-amz-security-token").await?.refused_by(
        &[
            ErrorCode::UnrecognizedClient,
            ErrorCode::InvalidSignature,
            ErrorCode::MissingAuthenticationToken,
        ],
    )?;
    Ok(())
}

async fn a_session_that_is_over_has_expired(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    c.get("/-/vaults").by(c.session()?).await?.status(200)?;
    c.advance(40 * HOUR).await;
    c.get("/-/vaults").by(c.session()?).await?.refused(ErrorCode::ExpiredToken)?;
    c.get("/-/vaults").await?.status(200)?;
    // Only who has the token learns that it is over.
    let wrong = Credentials { token: Some("garbage".to_owned()), ..c.session()?.clone() };
    c.get("/-/vaults").by(&wrong).await?.refused(ErrorCode::UnrecognizedClient)?;
    Ok(())
}
