//! Transport: paths, methods, connections ("Making HTTP Requests").

use icefield_protocol::ErrorCode;
use serde_json::json;

use crate::context::{Context, text};
use crate::http::Connection;
use crate::outcome::{Outcome, holds, same};
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
    "1.8" one_connection_carries_many_requests,
    "1.8" a_connection_goes_on_after_a_refusal,
    "1.8" requests_sent_at_once_are_answered_in_order,
    "1.8" request_ids_differ,
    "1.8" every_kind_of_answer_has_a_request_id,
    "1.8" the_date_is_the_servers_time,
];

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
