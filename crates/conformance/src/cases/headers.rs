//! Headers and account numbers ("Common Request Headers").

use icefield_protocol::ErrorCode;
use serde_json::json;

use super::stranger;
use crate::context::{Context, text};
use crate::endpoint::Credentials;
use crate::model::is_date;
use crate::outcome::{Outcome, holds, same};
use crate::request::VERSION;
use crate::suite::cases;

cases![
    "1.3" the_version_header_is_required,
    "1.3" another_version_is_refused,
    "1.3" an_empty_version_is_refused,
    "1.3" the_name_of_the_version_header_is_read_in_any_case,
    "1.3" an_upload_without_version_leaves_no_archive,
    "1.3" a_vault_is_not_created_without_version,
    "1.10" a_wrong_signature_is_named_before_a_missing_version,
    "1.10" a_missing_version_is_named_before_a_missing_vault,
    "1.10" a_missing_version_is_named_before_a_wrong_account,
    "1.10" a_missing_vault_is_named_before_other_parameters,
    "1.10" a_wrong_body_hash_is_named_before_a_wrong_tree_hash,
    "1.2" a_hyphen_is_the_account_of_the_key,
    "1.2" the_number_of_the_account_is_accepted,
    "1.2" a_number_with_hyphens_is_malformed,
    "1.2" an_account_that_is_no_number_is_malformed,
    "1.2" digits_of_other_scripts_are_no_account,
    "1.2" another_account_is_denied,
    "1.2" a_vault_is_not_created_for_another_account,
    "1.2" another_account_is_denied_before_its_vault_is_missed,
    "1.2" answers_name_the_real_number,
    "1.2" the_number_of_an_account_is_twelve_digits,
    "1.6" a_header_with_raw_utf_8_is_no_description,
    "1.6" a_header_that_is_not_utf_8_is_refused,
    "1.6" a_hash_header_that_comes_twice_is_refused,
    "1.6" a_version_that_comes_twice_with_different_values_is_refused,
    "1.4" a_vault_name_keeps_its_case,
    "1.5" dates_in_answers_have_three_digits,
    "1.5" creation_dates_are_of_now,
];

async fn the_version_header_is_required(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.get("")
        .without(VERSION)
        .await?
        .refused(ErrorCode::MissingParameterValue)?
        .says("Required parameter missing: API version")?;
    c.get("/-/vaults").without(VERSION).await?.refused(ErrorCode::MissingParameterValue)?;
    v.put("").without(VERSION).await?.refused(ErrorCode::MissingParameterValue)?;
    Ok(())
}

async fn another_version_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for version in ["2012-06-02", "2015-01-01", "latest", "2012-06-01x"] {
        v.get("").header(VERSION, version).await?.refused(ErrorCode::InvalidParameterValue)?;
    }
    Ok(())
}

async fn an_empty_version_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.get("")
        .header(VERSION, "")
        .await?
        .refused_by(&[ErrorCode::InvalidParameterValue, ErrorCode::MissingParameterValue])?;
    Ok(())
}

async fn the_name_of_the_version_header_is_read_in_any_case(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.get("").without(VERSION).header("X-Amz-Glacier-Version", "2012-06-01").await?.status(200)?;
    Ok(())
}

async fn an_upload_without_version_leaves_no_archive(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/archives")
        .payload(b"abc")
        .without(VERSION)
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    v.is_untouched().await
}

async fn a_vault_is_not_created_without_version(c: &Context) -> Outcome {
    let v = c.no_vault();
    v.put("").without(VERSION).await?.refused(ErrorCode::MissingParameterValue)?;
    v.get("").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn a_wrong_signature_is_named_before_a_missing_version(c: &Context) -> Outcome {
    let wrong = Credentials::new(c.owner().access_key.clone(), "wrong");
    c.get("/-/vaults").without(VERSION).by(&wrong).await?.refused(ErrorCode::InvalidSignature)?;
    Ok(())
}

async fn a_missing_version_is_named_before_a_missing_vault(c: &Context) -> Outcome {
    c.no_vault().get("").without(VERSION).await?.refused(ErrorCode::MissingParameterValue)?;
    Ok(())
}

async fn a_missing_version_is_named_before_a_wrong_account(c: &Context) -> Outcome {
    c.get("/123/vaults").without(VERSION).await?.refused(ErrorCode::MissingParameterValue)?;
    Ok(())
}

async fn a_missing_vault_is_named_before_other_parameters(c: &Context) -> Outcome {
    let v = c.no_vault();
    v.post("/multipart-uploads").await?.refused(ErrorCode::ResourceNotFound)?;
    v.post("/archives")
        .payload(b"abc")
        .header("x-amz-sha256-tree-hash", "nothing")
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    v.get("/jobs?limit=0").await?.refused(ErrorCode::ResourceNotFound)?;
    v.post("/jobs")
        .json(&json!({"Type": "nonsense"}))
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn a_wrong_body_hash_is_named_before_a_wrong_tree_hash(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload =
        v.post("/archives").payload(b"abc").header("x-amz-sha256-tree-hash", "0".repeat(64));
    upload
        .header("x-amz-content-sha256", "1".repeat(64))
        .signing_hash("1".repeat(64))
        .await?
        .refused(ErrorCode::InvalidSignature)?;
    Ok(())
}

async fn a_hyphen_is_the_account_of_the_key(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let location = v.put("").await?.status(201)?.header("location")?;
    same("location", location, v.location(""))?;
    c.get(v.location("")).await?.status(200)?;
    Ok(())
}

async fn the_number_of_the_account_is_accepted(c: &Context) -> Outcome {
    let account = c.account().to_owned();
    let v = c.vault().await?;
    c.get(format!("/{account}/vaults")).await?.status(200)?;
    c.put(v.location("")).await?.status(201)?;
    c.post(v.location("/tags?operation=add"))
        .json(&json!({"Tags": {"a": "b"}}))
        .await?
        .status(204)?;
    c.get(v.location("/tags")).await?.status(200)?;
    c.delete(v.location("")).await?.status(204)?;
    Ok(())
}

async fn a_number_with_hyphens_is_malformed(c: &Context) -> Outcome {
    let account = c.account();
    let hyphens = format!("{}-{}-{}", &account[..4], &account[4..8], &account[8..]);
    c.get(format!("/{hyphens}/vaults")).await?.refused(ErrorCode::InvalidParameterValue)?;
    c.get(format!("/{hyphens}/vaults/v")).await?.refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn an_account_that_is_no_number_is_malformed(c: &Context) -> Outcome {
    for account in
        ["abc", "12345678901", "1234567890123", "12345678901x", "--", "%20", "1234567890%3132"]
    {
        c.get(format!("/{account}/vaults")).await?.refused(ErrorCode::InvalidParameterValue)?;
    }
    Ok(())
}

async fn digits_of_other_scripts_are_no_account(c: &Context) -> Outcome {
    c.get(format!("/{}/vaults", "%D9%A1".repeat(12)))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn another_account_is_denied(c: &Context) -> Outcome {
    for (method, rest) in [
        ("GET", "/vaults"),
        ("GET", "/vaults/v"),
        ("PUT", "/vaults/v"),
        ("GET", "/policies/data-retrieval"),
        ("GET", "/provisioned-capacity"),
        ("GET", "/vaults/v/tags"),
        ("DELETE", "/vaults/v/lock-policy"),
    ] {
        c.request(method, format!("/{}{rest}", stranger(c)))
            .await?
            .refused(ErrorCode::AccessDenied)?;
    }
    Ok(())
}

async fn a_vault_is_not_created_for_another_account(c: &Context) -> Outcome {
    let name = c.name();
    c.put(format!("/{}/vaults/{name}", stranger(c))).await?.refused(ErrorCode::AccessDenied)?;
    holds("the vault was created here", !c.vault_names().await?.contains(&name))
}

async fn another_account_is_denied_before_its_vault_is_missed(c: &Context) -> Outcome {
    c.get(format!("/{}/vaults/{}", stranger(c), c.name()))
        .await?
        .refused(ErrorCode::AccessDenied)?;
    Ok(())
}

async fn answers_name_the_real_number(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let described = v.describe().await?;
    same("ARN", text(&described["VaultARN"]), v.arn())?;
    let upload =
        v.post("/multipart-uploads").header("x-amz-part-size", "1048576").await?.status(201)?;
    holds(
        "the location has the number",
        upload.header("location")?.starts_with(&v.location("/multipart-uploads/")),
    )
}

async fn the_number_of_an_account_is_twelve_digits(c: &Context) -> Outcome {
    let digits = c.account().bytes().all(|byte| byte.is_ascii_digit());
    holds(c.account(), digits && c.account().len() == 12)
}

async fn a_header_with_raw_utf_8_is_no_description(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/archives")
        .payload(b"abc")
        .header("x-amz-archive-description", "caf\u{e9}")
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    v.is_untouched().await
}

async fn a_header_that_is_not_utf_8_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.post("/archives").payload(b"abc");
    let answer = upload.header("x-amz-archive-description", b"\xff\xfe").await?;
    answer.refused_by(&[ErrorCode::InvalidParameterValue, ErrorCode::InvalidSignature])?;
    v.is_untouched().await
}

async fn a_hash_header_that_comes_twice_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.post("/archives").payload(b"abc").also("x-amz-sha256-tree-hash", "0".repeat(64));
    same("status class", upload.await?.raw.status / 100, 4)?;
    let upload = v.post("/archives").payload(b"abc").also("x-amz-content-sha256", "0".repeat(64));
    same("status class", upload.await?.raw.status / 100, 4)?;
    v.is_untouched().await
}

async fn a_version_that_comes_twice_with_different_values_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    same("status class", v.get("").also(VERSION, "2015-01-01").await?.raw.status / 100, 4)
}

async fn a_vault_name_keeps_its_case(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upper = v.name.to_uppercase();
    c.get(format!("/-/vaults/{upper}")).await?.refused(ErrorCode::ResourceNotFound)?;
    c.put(format!("/-/vaults/{upper}")).await?.status(201)?;
    let described = c.get(format!("/-/vaults/{upper}")).await?.status(200)?.json()?;
    same("name", text(&described["VaultName"]), upper.clone())?;
    c.delete(format!("/-/vaults/{upper}")).await?.status(204)?;
    v.get("").await?.status(200)?;
    Ok(())
}

async fn dates_in_answers_have_three_digits(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.upload(1).await?;
    let uploads = v.get("/multipart-uploads").await?.status(200)?.json()?;
    let dates = [
        text(&v.describe().await?["CreationDate"]),
        text(&uploads["UploadsList"][0]["CreationDate"]),
    ];
    dates.iter().try_for_each(|date| holds(date, is_date(date)))
}

async fn creation_dates_are_of_now(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let date = text(&v.describe().await?["CreationDate"]);
    let now = c.now().to_millis_string();
    holds(
        &format!("{date} is not near {now}"),
        date[..10] == now[..10] || now[11..13] == *"00" || now[11..13] == *"23",
    )
}
