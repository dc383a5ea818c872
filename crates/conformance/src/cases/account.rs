//! The whole account: retrieval policy and provisioned capacity ("Data Retrieval Operations").

use icefield_protocol::ErrorCode;
use serde_json::{Value, json};

use super::HOUR;
use crate::bytes::{MIB, bytes};
use crate::context::{Archive, Context, text};
use crate::endpoint::Setup;
use crate::outcome::{Failed, Outcome, holds, same};
use crate::suite::cases;

cases![
    "2.30" [Laboratory] the_policy_that_was_never_set_is_no_limit,
    "2.30" a_policy_is_always_told,
    "2.31" [Account] a_policy_of_bytes_per_hour_is_set,
    "2.31" [Account] the_free_tier_is_set,
    "2.31" [Account] no_limit_is_set,
    "2.31" [Account] a_single_byte_per_hour_is_set,
    "2.31" [Account] the_largest_number_of_bytes_is_set,
    "2.31" [Account] no_rule_is_refused,
    "2.31" [Account] two_rules_are_refused,
    "2.31" [Account] an_unknown_strategy_is_refused,
    "2.31" [Account] bytes_per_hour_are_required_with_their_strategy,
    "2.31" [Account] bytes_per_hour_are_forbidden_with_the_others,
    "2.31" [Account] bytes_per_hour_begin_at_one,
    "2.31" [Account] bytes_per_hour_end_with_63_bits,
    "2.31" [Account] missing_members_miss_a_parameter,
    "3.6" [Laboratory] a_job_above_the_rate_is_refused,
    "3.6" [Laboratory] a_job_within_the_rate_is_accepted,
    "3.6" [Laboratory] a_finished_job_counts_no_more,
    "3.6" [Laboratory] other_tiers_are_never_refused,
    "3.6" [Laboratory] inventories_are_never_refused,
    "3.6" [Laboratory] a_range_counts_with_its_own_length,
    "3.6" [Laboratory] a_job_accepted_earlier_is_not_affected,
    "3.6" [Laboratory] the_free_tier_lets_little_through,
    "3.6" [Laboratory] a_bad_range_is_named_before_the_policy,
    "2.33" capacity_is_listed_as_an_array,
    "2.32" [Laboratory] a_unit_is_purchased_and_listed,
    "2.32" [Laboratory] a_purchase_ignores_a_body,
    "2.32" [Laboratory] the_third_unit_exceeds_the_limit,
    "2.32" [Laboratory] a_unit_runs_for_a_calendar_month,
    "2.32" [Laboratory] an_expired_unit_does_not_count,
    "3.7" [Laboratory] expedited_jobs_are_accepted_with_capacity,
    "3.7" [Laboratory] an_expedited_job_without_capacity_may_be_refused,
];

const POLICY: &str = "/-/policies/data-retrieval";
const CAPACITY: &str = "/-/provisioned-capacity";

fn rules(rules: Value) -> Value {
    json!({"Policy": {"Rules": rules}})
}

async fn sets(c: &Context, rule: Value) -> Outcome {
    c.put(POLICY).json(&rules(json!([rule]))).await?.status(204)?;
    let read = c.get(POLICY).await?.status(200)?.json();
    c.put(POLICY).json(&rules(json!([{"Strategy": "None"}]))).await?.status(204)?;
    same("policy", read?, rules(json!([rule])))
}

async fn refuses(c: &Context, body: Value, codes: &[ErrorCode]) -> Outcome {
    let before = c.get(POLICY).await?.status(200)?.json()?;
    c.put(POLICY).json(&body).await?.refused_by(codes)?;
    same("policy", c.get(POLICY).await?.status(200)?.json()?, before)
}

async fn capacity(c: &Context) -> Result<Vec<Value>, Failed> {
    let list = c.get(CAPACITY).await?.status(200)?.json()?;
    Ok(list["ProvisionedCapacityList"].as_array().cloned().unwrap_or_default())
}

fn retrieval(archive: &Archive, tier: &str) -> Value {
    json!({"Type": "archive-retrieval", "ArchiveId": archive.id, "Tier": tier})
}
async fn the_policy_that_was_never_set_is_no_limit(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::Immediate).await?;
    same("policy", c.get(POLICY).await?.status(200)?.json()?, rules(json!([{"Strategy": "None"}])))
}

async fn a_policy_is_always_told(c: &Context) -> Outcome {
    let told = c.get(POLICY).await?.status(200)?.json()?;
    same("rules", told["Policy"]["Rules"].as_array().map_or(0, Vec::len), 1)
}

async fn a_policy_of_bytes_per_hour_is_set(c: &Context) -> Outcome {
    sets(c, json!({"BytesPerHour": 10_737_418_240_u64, "Strategy": "BytesPerHour"})).await
}

async fn the_free_tier_is_set(c: &Context) -> Outcome {
    sets(c, json!({"Strategy": "FreeTier"})).await
}

async fn no_limit_is_set(c: &Context) -> Outcome {
    sets(c, json!({"Strategy": "None"})).await
}

async fn a_single_byte_per_hour_is_set(c: &Context) -> Outcome {
    sets(c, json!({"BytesPerHour": 1, "Strategy": "BytesPerHour"})).await
}

async fn the_largest_number_of_bytes_is_set(c: &Context) -> Outcome {
    sets(c, json!({"BytesPerHour": i64::MAX, "Strategy": "BytesPerHour"})).await
}

async fn no_rule_is_refused(c: &Context) -> Outcome {
    refuses(c, rules(json!([])), &[ErrorCode::InvalidParameterValue]).await
}

async fn two_rules_are_refused(c: &Context) -> Outcome {
    refuses(
        c,
        rules(json!([{"Strategy": "None"}, {"Strategy": "FreeTier"}])),
        &[ErrorCode::InvalidParameterValue],
    )
    .await
}

async fn an_unknown_strategy_is_refused(c: &Context) -> Outcome {
    refuses(c, rules(json!([{"Strategy": "Some"}])), &[ErrorCode::InvalidParameterValue]).await?;
    refuses(c, rules(json!([{"Strategy": "none"}])), &[ErrorCode::InvalidParameterValue]).await
}

async fn bytes_per_hour_are_required_with_their_strategy(c: &Context) -> Outcome {
    refuses(
        c,
        rules(json!([{"Strategy": "BytesPerHour"}])),
        &[ErrorCode::InvalidParameterValue, ErrorCode::MissingParameterValue],
    )
    .await
}

async fn bytes_per_hour_are_forbidden_with_the_others(c: &Context) -> Outcome {
    refuses(
        c,
        rules(json!([{"Strategy": "None", "BytesPerHour": 5}])),
        &[ErrorCode::InvalidParameterValue],
    )
    .await?;
    refuses(
        c,
        rules(json!([{"Strategy": "FreeTier", "BytesPerHour": 5}])),
        &[ErrorCode::InvalidParameterValue],
    )
    .await
}

async fn bytes_per_hour_begin_at_one(c: &Context) -> Outcome {
    for number in [json!(0), json!(-1), json!(1.5), json!("5"), json!(1e30)] {
        refuses(
            c,
            rules(json!([{"Strategy": "BytesPerHour", "BytesPerHour": number}])),
            &[ErrorCode::InvalidParameterValue, ErrorCode::Serialization],
        )
        .await?;
    }
    Ok(())
}

async fn bytes_per_hour_end_with_63_bits(c: &Context) -> Outcome {
    refuses(
        c,
        rules(json!([{"Strategy": "BytesPerHour", "BytesPerHour": 1_u64 << 63}])),
        &[ErrorCode::InvalidParameterValue, ErrorCode::Serialization],
    )
    .await
}

async fn missing_members_miss_a_parameter(c: &Context) -> Outcome {
    refuses(c, json!({}), &[ErrorCode::MissingParameterValue]).await?;
    refuses(c, json!({"Policy": {}}), &[ErrorCode::MissingParameterValue]).await?;
    refuses(c, json!({"Policy": null}), &[ErrorCode::MissingParameterValue]).await?;
    refuses(c, rules(json!([{}])), &[ErrorCode::MissingParameterValue]).await
}

async fn a_job_above_the_rate_is_refused(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(bytes(1, 2 * MIB)).await?;
    c.put(POLICY)
        .json(&rules(json!([{"Strategy": "BytesPerHour", "BytesPerHour": MIB / 4}])))
        .await?
        .status(204)?;
    let answer = v
        .post("/jobs")
        .json(&retrieval(&archive, "Standard"))
        .await?
        .refused(ErrorCode::PolicyEnforced)?;
    answer.says("InitiateJob request denied by current data retrieval policy.")?;
    v.is_without_jobs().await
}

async fn a_job_within_the_rate_is_accepted(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(bytes(1, MIB)).await?;
    c.put(POLICY)
        .json(&rules(json!([{"Strategy": "BytesPerHour", "BytesPerHour": MIB / 4}])))
        .await?
        .status(204)?;
    v.job(&retrieval(&archive, "Standard")).await?;
    v.post("/jobs")
        .json(&retrieval(&archive, "Standard"))
        .await?
        .refused(ErrorCode::PolicyEnforced)?;
    Ok(())
}

async fn a_finished_job_counts_no_more(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(bytes(1, MIB)).await?;
    c.put(POLICY)
        .json(&rules(json!([{"Strategy": "BytesPerHour", "BytesPerHour": MIB / 4}])))
        .await?
        .status(204)?;
    v.job(&retrieval(&archive, "Standard")).await?;
    c.advance(5 * HOUR).await;
    v.job(&retrieval(&archive, "Standard")).await?;
    Ok(())
}

async fn other_tiers_are_never_refused(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(bytes(1, 2 * MIB)).await?;
    c.put(POLICY)
        .json(&rules(json!([{"Strategy": "BytesPerHour", "BytesPerHour": 1}])))
        .await?
        .status(204)?;
    v.post("/jobs")
        .json(&retrieval(&archive, "Standard"))
        .await?
        .refused(ErrorCode::PolicyEnforced)?;
    v.job(&retrieval(&archive, "Bulk")).await?;
    v.job(&retrieval(&archive, "Expedited")).await?;
    Ok(())
}

async fn inventories_are_never_refused(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    v.archive(bytes(1, 2 * MIB)).await?;
    c.advance(25 * HOUR).await;
    c.put(POLICY)
        .json(&rules(json!([{"Strategy": "BytesPerHour", "BytesPerHour": 1}])))
        .await?
        .status(204)?;
    v.job(&json!({"Type": "inventory-retrieval"})).await?;
    Ok(())
}

async fn a_range_counts_with_its_own_length(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(bytes(1, 3 * MIB)).await?;
    c.put(POLICY)
        .json(&rules(json!([{"Strategy": "BytesPerHour", "BytesPerHour": MIB / 4}])))
        .await?
        .status(204)?;
    let mut body = retrieval(&archive, "Standard");
    body["RetrievalByteRange"] = json!("0-1048575");
    v.job(&body).await?;
    Ok(())
}

async fn a_job_accepted_earlier_is_not_affected(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(bytes(1, 2 * MIB)).await?;
    let job = v.job(&retrieval(&archive, "Standard")).await?;
    c.put(POLICY)
        .json(&rules(json!([{"Strategy": "BytesPerHour", "BytesPerHour": 1}])))
        .await?
        .status(204)?;
    c.advance(5 * HOUR).await;
    same("status", text(&v.ended(&job).await?["StatusCode"]), "Succeeded".to_owned())
}

async fn the_free_tier_lets_little_through(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    c.put(POLICY).json(&rules(json!([{"Strategy": "FreeTier"}]))).await?.status(204)?;
    v.job(&retrieval(&archive, "Standard")).await?;
    Ok(())
}

async fn a_bad_range_is_named_before_the_policy(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(bytes(1, 2 * MIB)).await?;
    c.put(POLICY)
        .json(&rules(json!([{"Strategy": "BytesPerHour", "BytesPerHour": 1}])))
        .await?
        .status(204)?;
    let mut body = retrieval(&archive, "Standard");
    body["RetrievalByteRange"] = json!("1-2");
    v.post("/jobs").json(&body).await?.refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn capacity_is_listed_as_an_array(c: &Context) -> Outcome {
    let list = c.get(CAPACITY).await?.status(200)?.json()?;
    holds("no array", list["ProvisionedCapacityList"].is_array())
}

async fn a_unit_is_purchased_and_listed(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::Immediate).await?;
    same("units", capacity(c).await?.len(), 0)?;
    let id = c.post(CAPACITY).await?.status(201)?.header("x-amz-capacity-id")?;
    let units = capacity(c).await?;
    same("units", units.len(), 1)?;
    same("ID", text(&units[0]["CapacityId"]), id)
}

async fn a_purchase_ignores_a_body(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::Immediate).await?;
    c.post(CAPACITY).header("content-type", "application/json").body("{}").await?.status(201)?;
    Ok(())
}

async fn the_third_unit_exceeds_the_limit(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::Immediate).await?;
    c.post(CAPACITY).await?.status(201)?;
    c.post(CAPACITY).await?.status(201)?;
    c.post(CAPACITY).await?.refused(ErrorCode::LimitExceeded)?;
    same("units", capacity(c).await?.len(), 2)
}

async fn a_unit_runs_for_a_calendar_month(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::Immediate).await?;
    c.post(CAPACITY).await?.status(201)?;
    let unit = &capacity(c).await?[0];
    let (start, end) = (text(&unit["StartDate"]), text(&unit["ExpirationDate"]));
    let month = |date: &str| {
        date[..4].parse::<u32>().unwrap_or(0) * 12 + date[5..7].parse::<u32>().unwrap_or(0)
    };
    same("months", month(&end) - month(&start), 1)?;
    same("time of day", end[11..19].to_owned(), start[11..19].to_owned())?;
    same("fraction", end[19..].to_owned(), ".000Z".to_owned())?;
    holds(
        &format!("{start} to {end}"),
        end[8..10] == start[8..10] || (end[8..10] < start[8..10] && end[8..10] >= *"28"),
    )
}

async fn an_expired_unit_does_not_count(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::Immediate).await?;
    c.post(CAPACITY).await?.status(201)?;
    c.post(CAPACITY).await?.status(201)?;
    c.advance(32 * 24 * HOUR).await;
    c.post(CAPACITY).await?.status(201)?;
    Ok(())
}

async fn expedited_jobs_are_accepted_with_capacity(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::Immediate).await?;
    c.post(CAPACITY).await?.status(201)?;
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    for _ in 0..5 {
        v.job(&retrieval(&archive, "Expedited")).await?;
    }
    Ok(())
}

async fn an_expedited_job_without_capacity_may_be_refused(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::CapacityNeeded).await?;
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let expedited = v.post("/jobs").json(&retrieval(&archive, "Expedited"));
    expedited.await?.refused(ErrorCode::InsufficientCapacity)?;
    v.is_without_jobs().await?;
    v.job(&retrieval(&archive, "Standard")).await?;
    c.post(CAPACITY).await?.status(201)?;
    v.job(&retrieval(&archive, "Expedited")).await?;
    c.advance(32 * 24 * HOUR).await;
    let late = v.post("/jobs").json(&retrieval(&archive, "Expedited"));
    late.await?.refused(ErrorCode::InsufficientCapacity)?;
    Ok(())
}
