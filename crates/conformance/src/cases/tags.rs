//! Tags ("Add Tags To Vault", "Tagging Amazon S3 Glacier Resources").

use icefield_protocol::ErrorCode;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::context::{Context, Vault};
use crate::outcome::{Failed, Outcome, same};
use crate::suite::cases;

cases![
    "2.15" tags_are_added_and_listed,
    "2.15" tags_are_added_to_those_that_are_there,
    "2.15" a_key_is_overwritten,
    "2.15" keys_keep_their_case,
    "2.15" a_value_may_be_empty,
    "2.15" every_legal_character_may_be_in_a_tag,
    "2.15" an_illegal_character_in_a_key_is_refused,
    "2.15" an_illegal_character_in_a_value_is_refused,
    "2.15" a_key_of_128_characters_is_legal_and_of_129_not,
    "2.15" a_value_of_255_characters_is_legal_and_of_256_not,
    "2.15" an_empty_key_is_refused,
    "2.15" a_key_of_the_provider_is_refused,
    "2.15" ten_tags_go_in_a_request_and_eleven_not,
    "2.15" no_tags_at_all_are_refused,
    "2.15" a_body_without_tags_misses_a_parameter,
    "2.15" an_operation_must_be_named,
    "2.15" the_fifty_first_tag_exceeds_the_limit,
    "2.15" an_overwritten_tag_does_not_count_twice,
    "2.15" tags_over_the_limit_are_stored_all_or_none,
    "2.15" one_bad_tag_keeps_the_good_ones_out,
    "2.16" tags_are_removed,
    "2.16" removing_what_is_not_there_is_fine,
    "2.16" keys_are_removed_in_their_case,
    "2.16" no_keys_at_all_are_refused,
    "2.16" eleven_keys_are_refused,
    "2.16" a_body_without_keys_misses_a_parameter,
    "2.17" a_vault_without_tags_lists_an_empty_map,
    "2.17" tags_of_vaults_are_apart,
];

async fn add(v: &Vault, tags: Value) -> Result<Answer, Failed> {
    v.post("/tags?operation=add").json(&json!({"Tags": tags})).await
}

async fn remove(v: &Vault, keys: Value) -> Result<Answer, Failed> {
    v.post("/tags?operation=remove").json(&json!({"TagKeys": keys})).await
}

async fn has(v: &Vault, tags: Value) -> Outcome {
    same("tags", v.get("/tags").await?.status(200)?.json()?, json!({"Tags": tags}))
}

fn numbered(from: usize, to: usize) -> Value {
    (from..to)
        .map(|number| (format!("k{number}"), json!("v")))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
async fn tags_are_added_and_listed(c: &Context) -> Outcome {
    let v = c.vault().await?;
    add(&v, json!({"project": "x", "owner": "me"})).await?.status(204)?;
    has(&v, json!({"project": "x", "owner": "me"})).await
}

async fn tags_are_added_to_those_that_are_there(c: &Context) -> Outcome {
    let v = c.vault().await?;
    add(&v, json!({"a": "1"})).await?.status(204)?;
    add(&v, json!({"b": "2"})).await?.status(204)?;
    has(&v, json!({"a": "1", "b": "2"})).await
}

async fn a_key_is_overwritten(c: &Context) -> Outcome {
    let v = c.vault().await?;
    add(&v, json!({"a": "1"})).await?.status(204)?;
    add(&v, json!({"a": "2"})).await?.status(204)?;
    has(&v, json!({"a": "2"})).await
}

async fn keys_keep_their_case(c: &Context) -> Outcome {
    let v = c.vault().await?;
    add(&v, json!({"a": "1", "A": "2"})).await?.status(204)?;
    has(&v, json!({"a": "1", "A": "2"})).await
}

async fn a_value_may_be_empty(c: &Context) -> Outcome {
    let v = c.vault().await?;
    add(&v, json!({"a": ""})).await?.status(204)?;
    has(&v, json!({"a": ""})).await
}

async fn every_legal_character_may_be_in_a_tag(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let text = "aZ 0_./=+-@\u{e9}\u{4e2d}";
    add(&v, json!({text: text})).await?.status(204)?;
    has(&v, json!({text: text})).await
}

async fn an_illegal_character_in_a_key_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for key in ["a!", "a,b", "a\"b", "a*", "a\nb", "a\u{0}", "<a>"] {
        add(&v, json!({key: "v"})).await?.refused(ErrorCode::InvalidParameterValue)?;
    }
    has(&v, json!({})).await
}

async fn an_illegal_character_in_a_value_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for value in ["a!", "a,b", "a\"b", "a*", "a\tb"] {
        add(&v, json!({"k": value})).await?.refused(ErrorCode::InvalidParameterValue)?;
    }
    has(&v, json!({})).await
}

async fn a_key_of_128_characters_is_legal_and_of_129_not(c: &Context) -> Outcome {
    let v = c.vault().await?;
    add(&v, json!({"k".repeat(128): "v"})).await?.status(204)?;
    add(&v, json!({"k".repeat(129): "v"})).await?.refused(ErrorCode::InvalidParameterValue)?;
    add(&v, json!({"\u{e9}".repeat(128): "v"})).await?.status(204)?;
    Ok(())
}

async fn a_value_of_255_characters_is_legal_and_of_256_not(c: &Context) -> Outcome {
    let v = c.vault().await?;
    add(&v, json!({"k": "v".repeat(255)})).await?.status(204)?;
    add(&v, json!({"l": "v".repeat(256)})).await?.refused(ErrorCode::InvalidParameterValue)?;
    has(&v, json!({"k": "v".repeat(255)})).await
}

async fn an_empty_key_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    add(&v, json!({"": "v"})).await?.refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn a_key_of_the_provider_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    add(&v, json!({"aws:x": "v"})).await?.refused(ErrorCode::InvalidParameterValue)?;
    has(&v, json!({})).await
}

async fn ten_tags_go_in_a_request_and_eleven_not(c: &Context) -> Outcome {
    let v = c.vault().await?;
    add(&v, numbered(0, 11)).await?.refused(ErrorCode::InvalidParameterValue)?;
    has(&v, json!({})).await?;
    add(&v, numbered(0, 10)).await?.status(204)?;
    has(&v, numbered(0, 10)).await
}

async fn no_tags_at_all_are_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    add(&v, json!({})).await?.refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn a_body_without_tags_misses_a_parameter(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/tags?operation=add")
        .json(&json!({}))
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    v.post("/tags?operation=add")
        .json(&json!({"tags": {"a": "b"}}))
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    Ok(())
}

async fn an_operation_must_be_named(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let body = json!({"Tags": {"a": "b"}});
    v.post("/tags").json(&body).await?.refused(ErrorCode::InvalidParameterValue)?;
    v.post("/tags?operation=").json(&body).await?.refused(ErrorCode::InvalidParameterValue)?;
    v.post("/tags?operation=other").json(&body).await?.refused(ErrorCode::InvalidParameterValue)?;
    v.post("/tags?operation=ADD").json(&body).await?.refused(ErrorCode::InvalidParameterValue)?;
    has(&v, json!({})).await
}

async fn the_fifty_first_tag_exceeds_the_limit(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for from in (0..50).step_by(10) {
        add(&v, numbered(from, from + 10)).await?.status(204)?;
    }
    add(&v, json!({"more": "v"})).await?.refused(ErrorCode::LimitExceeded)?;
    has(&v, numbered(0, 50)).await
}

async fn an_overwritten_tag_does_not_count_twice(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for from in (0..50).step_by(10) {
        add(&v, numbered(from, from + 10)).await?.status(204)?;
    }
    add(&v, json!({"k0": "other"})).await?.status(204)?;
    Ok(())
}

async fn tags_over_the_limit_are_stored_all_or_none(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for from in (0..40).step_by(10) {
        add(&v, numbered(from, from + 10)).await?.status(204)?;
    }
    add(&v, numbered(40, 45)).await?.status(204)?;
    add(&v, numbered(44, 54)).await?.refused(ErrorCode::LimitExceeded)?;
    has(&v, numbered(0, 45)).await
}

async fn one_bad_tag_keeps_the_good_ones_out(c: &Context) -> Outcome {
    let v = c.vault().await?;
    add(&v, json!({"good": "v", "b!d": "v"})).await?.refused(ErrorCode::InvalidParameterValue)?;
    has(&v, json!({})).await
}

async fn tags_are_removed(c: &Context) -> Outcome {
    let v = c.vault().await?;
    add(&v, json!({"a": "1", "b": "2"})).await?.status(204)?;
    remove(&v, json!(["a"])).await?.status(204)?;
    has(&v, json!({"b": "2"})).await
}

async fn removing_what_is_not_there_is_fine(c: &Context) -> Outcome {
    let v = c.vault().await?;
    add(&v, json!({"a": "1"})).await?.status(204)?;
    remove(&v, json!(["b"])).await?.status(204)?;
    has(&v, json!({"a": "1"})).await
}

async fn keys_are_removed_in_their_case(c: &Context) -> Outcome {
    let v = c.vault().await?;
    add(&v, json!({"a": "1"})).await?.status(204)?;
    remove(&v, json!(["A"])).await?.status(204)?;
    has(&v, json!({"a": "1"})).await
}

async fn no_keys_at_all_are_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    remove(&v, json!([])).await?.refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn eleven_keys_are_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    add(&v, json!({"k0": "1"})).await?.status(204)?;
    let keys: Vec<_> = (0..11).map(|number| format!("k{number}")).collect();
    remove(&v, json!(keys)).await?.refused(ErrorCode::InvalidParameterValue)?;
    has(&v, json!({"k0": "1"})).await
}

async fn a_body_without_keys_misses_a_parameter(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/tags?operation=remove")
        .json(&json!({}))
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    v.post("/tags?operation=remove")
        .json(&json!({"TagsKeys": ["a"]}))
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    Ok(())
}

async fn a_vault_without_tags_lists_an_empty_map(c: &Context) -> Outcome {
    let v = c.vault().await?;
    same("body", v.get("/tags").await?.status(200)?.text(), r#"{"Tags":{}}"#.to_owned())
}

async fn tags_of_vaults_are_apart(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let other = c.vault().await?;
    add(&v, json!({"a": "1"})).await?.status(204)?;
    has(&other, json!({})).await
}
