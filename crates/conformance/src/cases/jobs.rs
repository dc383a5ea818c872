//! Retrieval jobs ("Initiate Job", "Describe Job", "List Jobs").

use icefield_protocol::ErrorCode;
use serde_json::{Value, json};

use super::{HOUR, MINUTE};
use crate::bytes::{MIB, bytes, tree};
use crate::context::{Archive, Context, Vault, text};
use crate::endpoint::Setup;
use crate::outcome::{Failed, Outcome, holds, same};
use crate::suite::cases;

cases![
    "2.26" a_job_is_answered_with_location_and_id,
    "2.26" each_call_is_a_new_job,
    "2.26" the_type_is_required,
    "2.26" an_unknown_type_is_refused,
    "2.26" an_archive_retrieval_needs_an_archive,
    "2.26" an_unknown_archive_is_not_retrieved,
    "2.26" an_archive_of_another_vault_is_not_retrieved,
    "2.26" a_deleted_archive_is_not_retrieved,
    "2.26" an_archive_id_of_nonsense_is_not_retrieved,
    "2.26" an_inventory_takes_no_archive,
    "2.26" an_inventory_takes_no_byte_range,
    "2.26" nulls_of_an_inventory_job_are_absent,
    "2.26" [Laboratory] there_is_no_inventory_before_the_first,
    "2.26" wrong_parameters_are_named_before_a_missing_inventory,
    "2.26" an_unknown_tier_is_refused,
    "2.26" every_tier_is_accepted,
    "2.26" standard_is_the_tier_of_who_asks_for_none,
    "2.26" an_unknown_format_is_refused,
    "2.26" a_description_of_1024_bytes_is_kept,
    "2.26" a_description_of_1025_bytes_is_refused,
    "2.26" a_description_with_other_characters_is_refused,
    "2.26" a_topic_of_a_job_is_told,
    "2.26" a_topic_that_is_no_arn_is_refused,
    "9" a_select_job_is_refused_or_named,
    "2.26" the_first_mebibyte_is_a_node,
    "2.26" the_second_mebibyte_is_a_node,
    "2.26" a_pair_is_a_node,
    "2.26" two_leaves_from_an_odd_one_are_no_node,
    "2.26" two_leaves_across_the_middle_are_no_node,
    "2.26" three_leaves_are_no_node,
    "2.26" the_left_half_is_a_node,
    "2.26" four_leaves_from_the_third_are_no_node,
    "2.26" the_tail_from_the_fifth_leaf_is_a_node,
    "2.26" the_tail_from_the_sixth_leaf_is_no_node,
    "2.26" the_last_leaf_is_a_node,
    "2.26" the_tail_from_the_third_leaf_is_no_node,
    "2.26" a_range_that_begins_inside_a_mebibyte_is_refused,
    "2.26" a_range_that_ends_inside_a_mebibyte_is_refused,
    "2.26" a_range_beyond_the_archive_is_refused,
    "2.26" a_range_that_ends_before_it_begins_is_refused,
    "2.26" a_range_that_is_none_is_refused,
    "2.26" an_unknown_archive_is_named_before_its_range,
    "2.27" an_archive_job_tells_all_about_itself,
    "2.27" [Laboratory] a_job_in_progress_says_so,
    "2.27" [NoDelay] a_job_that_succeeded_says_so,
    "2.27" [Inventory] an_inventory_job_tells_all_about_itself,
    "2.27" [Inventory] the_size_of_an_inventory_is_that_of_its_output,
    "2.27" [Inventory] an_inventory_job_ignores_a_tier,
    "2.27" [Laboratory] an_explicit_whole_range_has_its_hash_when_it_is_done,
    "2.27" a_job_that_never_was_is_not_found,
    "2.27" a_job_of_another_vault_is_not_found,
    "2.28" a_vault_without_jobs_lists_none,
    "2.28" a_job_is_listed_as_it_is_described,
    "2.28" [NoDelay] ended_jobs_are_listed_as_they_are_described,
    "2.28" [NoDelay] jobs_are_filtered_by_completion,
    "2.28" [NoDelay] jobs_are_filtered_by_status,
    "2.28" [Laboratory] jobs_in_progress_are_listed_as_such,
    "2.28" an_unknown_status_is_refused_by_its_name,
    "2.28" completed_is_true_or_false,
    "2.28" empty_filters_are_none,
    "3.2" [Laboratory] each_tier_has_its_delay,
    "3.2" [Laboratory] a_finished_job_lives_for_a_day,
    "3.2" [Laboratory] a_job_and_its_output_go_together,
    "3.2" [Laboratory] a_job_that_is_due_late_is_complete_as_of_then,
];

/// A job with this body is refused, and there is no job.
async fn refuses(v: &Vault, body: &Value) -> Outcome {
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

fn inventory(parameters: Value) -> Value {
    json!({"Type": "inventory-retrieval", "InventoryRetrievalParameters": parameters})
}

/// Retrieves a range of an archive of six and a half MiB.
async fn range(c: &Context, range: &str, aligned: bool) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(bytes(4, 6 * MIB + MIB / 2)).await?;
    let job = v.job(&retrieval(&archive, json!({"RetrievalByteRange": range}))).await?;
    let told = v.describe_job(&job).await?;
    same("range", text(&told["RetrievalByteRange"]), range.to_owned())?;
    same("size", told["ArchiveSizeInBytes"].clone(), json!(archive.bytes.len()))?;
    same("hash of the archive", text(&told["ArchiveSHA256TreeHash"]), tree(&archive.bytes))?;
    let (first, last) = range.split_once('-').unwrap_or_default();
    let (first, last): (usize, usize) = (first.parse().unwrap_or(0), last.parse().unwrap_or(0));
    let hash = if aligned { json!(tree(&archive.bytes[first..=last])) } else { Value::Null };
    same("hash of the range", told["SHA256TreeHash"].clone(), hash)
}

async fn refuses_range(c: &Context, range: &str) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(bytes(4, 2 * MIB + MIB / 2)).await?;
    refuses(&v, &retrieval(&archive, json!({"RetrievalByteRange": range}))).await
}
async fn a_job_is_answered_with_location_and_id(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let answer = v.post("/jobs").json(&retrieval(&archive, json!({}))).await?.status(202)?;
    let id = answer.header("x-amz-job-id")?;
    same("location", answer.header("location")?, v.location(format!("/jobs/{id}")))?;
    answer.lacks("x-amz-job-output-path")?;
    Ok(())
}

async fn each_call_is_a_new_job(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let (first, second) = (
        v.job(&retrieval(&archive, json!({}))).await?,
        v.job(&retrieval(&archive, json!({}))).await?,
    );
    holds("one job twice", first != second)
}

async fn the_type_is_required(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/jobs").json(&json!({})).await?.refused(ErrorCode::MissingParameterValue)?;
    v.post("/jobs")
        .json(&json!({"ArchiveId": "x"}))
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    v.is_untouched().await
}

async fn an_unknown_type_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for kind in ["", "Archive-Retrieval", "archive_retrieval", "delete"] {
        refuses(&v, &json!({"Type": kind})).await?;
    }
    Ok(())
}

async fn an_archive_retrieval_needs_an_archive(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/jobs")
        .json(&json!({"Type": "archive-retrieval"}))
        .await?
        .refused_by(&[ErrorCode::MissingParameterValue, ErrorCode::InvalidParameterValue])?;
    v.post("/jobs")
        .json(&json!({"Type": "archive-retrieval", "ArchiveId": null}))
        .await?
        .refused_by(&[ErrorCode::MissingParameterValue, ErrorCode::InvalidParameterValue])?;
    v.is_untouched().await
}

async fn an_unknown_archive_is_not_retrieved(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let id = "a".repeat(138);
    let answer = v
        .post("/jobs")
        .json(&json!({"Type": "archive-retrieval", "ArchiveId": id}))
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    answer.says(&format!("The archive ID was not found: {id}"))?;
    v.is_untouched().await
}

async fn an_archive_of_another_vault_is_not_retrieved(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = c.vault().await?.archive(b"abc".to_vec()).await?;
    v.post("/jobs")
        .json(&retrieval(&archive, json!({})))
        .await?
        .refused_by(&[ErrorCode::InvalidParameterValue, ErrorCode::ResourceNotFound])?;
    v.is_untouched().await
}

async fn a_deleted_archive_is_not_retrieved(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    v.post("/jobs")
        .json(&retrieval(&archive, json!({})))
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn an_archive_id_of_nonsense_is_not_retrieved(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for id in ["", "x", "../../etc/passwd", "a\u{0}b", "\u{e9}", &"a".repeat(100_000)] {
        v.post("/jobs")
            .json(&json!({"Type": "archive-retrieval", "ArchiveId": id}))
            .await?
            .refused_by(&[
                ErrorCode::ResourceNotFound,
                ErrorCode::InvalidParameterValue,
                ErrorCode::MissingParameterValue,
            ])?;
    }
    v.is_untouched().await
}

async fn an_inventory_takes_no_archive(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    refuses(&v, &json!({"Type": "inventory-retrieval", "ArchiveId": "a".repeat(138)})).await
}

async fn an_inventory_takes_no_byte_range(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    refuses(&v, &json!({"Type": "inventory-retrieval", "RetrievalByteRange": "0-1048575"})).await
}

async fn nulls_of_an_inventory_job_are_absent(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    let body = json!({"Type": "inventory-retrieval", "ArchiveId": null, "RetrievalByteRange": null, "Format": "other"});
    v.post("/jobs").json(&body).await?.refused(ErrorCode::InvalidParameterValue)?;
    let body = json!({"Type": "inventory-retrieval", "ArchiveId": null, "RetrievalByteRange": null, "Description": null, "Format": null, "SNSTopic": null, "InventoryRetrievalParameters": null});
    v.post("/jobs")
        .json(&body)
        .await?
        .raw
        .status
        .eq(&400)
        .then(|| Err(Failed::new("null members were refused")))
        .unwrap_or(Ok(()))
}

async fn there_is_no_inventory_before_the_first(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    v.post("/jobs")
        .json(&json!({"Type": "inventory-retrieval"}))
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    v.archive(b"abc".to_vec()).await?;
    v.post("/jobs")
        .json(&json!({"Type": "inventory-retrieval"}))
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    c.advance(25 * HOUR).await;
    v.job(&json!({"Type": "inventory-retrieval"})).await?;
    Ok(())
}

async fn wrong_parameters_are_named_before_a_missing_inventory(c: &Context) -> Outcome {
    let v = c.vault().await?;
    refuses(&v, &inventory(json!({"Limit": "0"}))).await?;
    refuses(&v, &json!({"Type": "inventory-retrieval", "Format": "XML"})).await
}

async fn an_unknown_tier_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    for tier in ["", "standard", "Fast"] {
        refuses(&v, &retrieval(&archive, json!({"Tier": tier}))).await?;
    }
    Ok(())
}

async fn every_tier_is_accepted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    for tier in ["Standard", "Bulk", "Expedited"] {
        let job = v.job(&retrieval(&archive, json!({"Tier": tier}))).await?;
        same("tier", text(&v.describe_job(&job).await?["Tier"]), tier.to_owned())?;
    }
    Ok(())
}

async fn standard_is_the_tier_of_who_asks_for_none(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let job = v.job(&retrieval(&archive, json!({}))).await?;
    same("tier", text(&v.describe_job(&job).await?["Tier"]), "Standard".to_owned())
}

async fn an_unknown_format_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    for format in ["XML", "json", ""] {
        refuses(&v, &json!({"Type": "inventory-retrieval", "Format": format})).await?;
    }
    Ok(())
}

async fn a_description_of_1024_bytes_is_kept(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let description = "d".repeat(1024);
    let job = v.job(&retrieval(&archive, json!({"Description": description}))).await?;
    same("description", text(&v.describe_job(&job).await?["JobDescription"]), description)
}

async fn a_description_of_1025_bytes_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    refuses(&v, &retrieval(&archive, json!({"Description": "d".repeat(1025)}))).await
}

async fn a_description_with_other_characters_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    for description in ["caf\u{e9}", "a\tb", "a\nb", "\u{7f}"] {
        refuses(&v, &retrieval(&archive, json!({"Description": description}))).await?;
    }
    Ok(())
}

async fn a_topic_of_a_job_is_told(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let topic = "arn:aws:sns:us-west-2:012345678901:mytopic";
    let job = v.job(&retrieval(&archive, json!({"SNSTopic": topic}))).await?;
    same("topic", text(&v.describe_job(&job).await?["SNSTopic"]), topic.to_owned())
}

async fn a_topic_that_is_no_arn_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    refuses(&v, &retrieval(&archive, json!({"SNSTopic": "mytopic"}))).await
}

async fn a_select_job_is_refused_or_named(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"a,b\n1,2\n".to_vec()).await?;
    let body = json!({"Type": "select", "ArchiveId": archive.id, "SelectParameters": {"Expression": "SELECT 1", "ExpressionType": "SQL", "InputSerialization": {"csv": {}}, "OutputSerialization": {"csv": {}}}, "OutputLocation": {"S3": {"BucketName": "b", "Prefix": "p"}}});
    v.post("/jobs").json(&body).await?.refused(ErrorCode::InvalidParameterValue)?;
    v.get("/jobs").await?.status(200)?;
    Ok(())
}

async fn the_first_mebibyte_is_a_node(c: &Context) -> Outcome {
    range(c, "0-1048575", true).await
}

async fn the_second_mebibyte_is_a_node(c: &Context) -> Outcome {
    range(c, "1048576-2097151", true).await
}

async fn a_pair_is_a_node(c: &Context) -> Outcome {
    range(c, "2097152-4194303", true).await
}

async fn two_leaves_from_an_odd_one_are_no_node(c: &Context) -> Outcome {
    range(c, "1048576-3145727", false).await
}

async fn two_leaves_across_the_middle_are_no_node(c: &Context) -> Outcome {
    range(c, "3145728-5242879", false).await
}

async fn three_leaves_are_no_node(c: &Context) -> Outcome {
    range(c, "0-3145727", false).await
}

async fn the_left_half_is_a_node(c: &Context) -> Outcome {
    range(c, "0-4194303", true).await
}

async fn four_leaves_from_the_third_are_no_node(c: &Context) -> Outcome {
    range(c, "2097152-6291455", false).await
}

async fn the_tail_from_the_fifth_leaf_is_a_node(c: &Context) -> Outcome {
    range(c, "4194304-6815743", true).await
}

async fn the_tail_from_the_sixth_leaf_is_no_node(c: &Context) -> Outcome {
    range(c, "5242880-6815743", false).await
}

async fn the_last_leaf_is_a_node(c: &Context) -> Outcome {
    range(c, "6291456-6815743", true).await
}

async fn the_tail_from_the_third_leaf_is_no_node(c: &Context) -> Outcome {
    range(c, "2097152-6815743", false).await
}

async fn a_range_that_begins_inside_a_mebibyte_is_refused(c: &Context) -> Outcome {
    refuses_range(c, "1-1048575").await
}

async fn a_range_that_ends_inside_a_mebibyte_is_refused(c: &Context) -> Outcome {
    refuses_range(c, "0-1048574").await?;
    refuses_range(c, "0-1048576").await
}

async fn a_range_beyond_the_archive_is_refused(c: &Context) -> Outcome {
    refuses_range(c, "0-3145727").await?;
    refuses_range(c, "3145728-4194303").await
}

async fn a_range_that_ends_before_it_begins_is_refused(c: &Context) -> Outcome {
    refuses_range(c, "1048576-1048575").await
}

async fn a_range_that_is_none_is_refused(c: &Context) -> Outcome {
    for text in [
        "",
        "-",
        "0",
        "0-",
        "-1048575",
        "a-b",
        "bytes=0-1048575",
        "0-1048575,1048576-2097151",
        "0 - 1048575",
        "0-36893488147419103231",
    ] {
        refuses_range(c, text).await?;
    }
    Ok(())
}

async fn an_unknown_archive_is_named_before_its_range(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let body = json!({"Type": "archive-retrieval", "ArchiveId": "a".repeat(138), "RetrievalByteRange": "0-1048575"});
    v.post("/jobs").json(&body).await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn an_archive_job_tells_all_about_itself(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(bytes(1, MIB + 5)).await?;
    let job = v.job(&retrieval(&archive, json!({"Description": "mine"}))).await?;
    let told = v.describe_job(&job).await?;
    for (member, wanted) in [
        ("Action", json!("ArchiveRetrieval")),
        ("ArchiveId", json!(archive.id)),
        ("ArchiveSHA256TreeHash", json!(tree(&archive.bytes))),
        ("ArchiveSizeInBytes", json!(MIB + 5)),
        ("InventoryRetrievalParameters", Value::Null),
        ("InventorySizeInBytes", Value::Null),
        ("JobDescription", json!("mine")),
        ("JobId", json!(job)),
        ("JobOutputPath", Value::Null),
        ("OutputLocation", Value::Null),
        ("RetrievalByteRange", json!(format!("0-{}", MIB + 4))),
        ("SHA256TreeHash", json!(tree(&archive.bytes))),
        ("SNSTopic", Value::Null),
        ("SelectParameters", Value::Null),
        ("Tier", json!("Standard")),
        ("VaultARN", json!(v.arn())),
    ] {
        same(member, told[member].clone(), wanted)?;
    }
    Ok(())
}

async fn a_job_in_progress_says_so(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let job = v.job(&retrieval(&archive, json!({}))).await?;
    let told = v.describe_job(&job).await?;
    for (member, wanted) in [
        ("Completed", json!(false)),
        ("CompletionDate", Value::Null),
        ("StatusCode", json!("InProgress")),
        ("StatusMessage", json!("Operation in progress.")),
    ] {
        same(member, told[member].clone(), wanted)?;
    }
    Ok(())
}

async fn a_job_that_succeeded_says_so(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let told = v.ended(&v.retrieved(&archive).await?).await?;
    for (member, wanted) in [
        ("Completed", json!(true)),
        ("StatusCode", json!("Succeeded")),
        ("StatusMessage", json!("Succeeded")),
    ] {
        same(member, told[member].clone(), wanted)?;
    }
    holds(
        "the dates are not in order",
        text(&told["CompletionDate"]) >= text(&told["CreationDate"]),
    )
}

async fn an_inventory_job_tells_all_about_itself(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    let job = v.job(&json!({"Type": "inventory-retrieval", "Description": "mine"})).await?;
    let told = v.describe_job(&job).await?;
    let parameters = json!({"EndDate": null, "Format": "JSON", "Limit": null, "Marker": null, "StartDate": null});
    for (member, wanted) in [
        ("Action", json!("InventoryRetrieval")),
        ("ArchiveId", Value::Null),
        ("ArchiveSHA256TreeHash", Value::Null),
        ("ArchiveSizeInBytes", Value::Null),
        ("InventoryRetrievalParameters", parameters),
        ("JobDescription", json!("mine")),
        ("RetrievalByteRange", Value::Null),
        ("SHA256TreeHash", Value::Null),
        ("Tier", Value::Null),
        ("VaultARN", json!(v.arn())),
    ] {
        same(member, told[member].clone(), wanted)?;
    }
    Ok(())
}

async fn the_size_of_an_inventory_is_that_of_its_output(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    let job = v.finished(&json!({"Type": "inventory-retrieval"})).await?;
    let told = v.describe_job(&job).await?;
    let length = v.output(&job).await?.status(200)?.raw.body.len();
    same("size", told["InventorySizeInBytes"].clone(), json!(length))
}

async fn an_inventory_job_ignores_a_tier(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    let job = v.job(&json!({"Type": "inventory-retrieval", "Tier": "Bulk"})).await?;
    same("tier", v.describe_job(&job).await?["Tier"].clone(), Value::Null)
}

async fn an_explicit_whole_range_has_its_hash_when_it_is_done(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(bytes(1, MIB + 5)).await?;
    let job = v
        .job(&retrieval(&archive, json!({"RetrievalByteRange": format!("0-{}", MIB + 4)})))
        .await?;
    same("hash", v.describe_job(&job).await?["SHA256TreeHash"].clone(), Value::Null)?;
    c.advance(5 * HOUR).await;
    same("hash", v.ended(&job).await?["SHA256TreeHash"].clone(), json!(tree(&archive.bytes)))
}

async fn a_job_that_never_was_is_not_found(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let id = "j".repeat(92);
    v.get(format!("/jobs/{id}"))
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says(&format!("The job ID was not found: {id}"))?;
    Ok(())
}

async fn a_job_of_another_vault_is_not_found(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let other = c.vault().await?;
    let archive = other.archive(b"abc".to_vec()).await?;
    let job = other.job(&retrieval(&archive, json!({}))).await?;
    v.get(format!("/jobs/{job}")).await?.refused(ErrorCode::ResourceNotFound)?;
    v.output(&job).await?.refused(ErrorCode::ResourceNotFound)?;
    same("jobs", v.get("/jobs").await?.json()?["JobList"].clone(), json!([]))
}

async fn a_vault_without_jobs_lists_none(c: &Context) -> Outcome {
    let v = c.vault().await?;
    same("list", v.get("/jobs").await?.status(200)?.json()?, json!({"JobList": [], "Marker": null}))
}

async fn a_job_is_listed_as_it_is_described(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let job = v.job(&retrieval(&archive, json!({}))).await?;
    let told = if v.get("/jobs").await?.json()?["JobList"][0]["Completed"] == true {
        v.ended(&job).await?
    } else {
        v.describe_job(&job).await?
    };
    let listed = v.get("/jobs").await?.status(200)?;
    same("ID", listed.json()?["JobList"][0]["JobId"].clone(), told["JobId"].clone())?;
    listed.lacks("location")?;
    Ok(())
}

async fn ended_jobs_are_listed_as_they_are_described(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let told = v.ended(&v.retrieved(&archive).await?).await?;
    same("item", v.get("/jobs").await?.json()?["JobList"][0].clone(), told)
}

async fn jobs_are_filtered_by_completion(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let job = v.retrieved(&archive).await?;
    let listed = v.get("/jobs?completed=true").await?.status(200)?.json()?;
    same("job", text(&listed["JobList"][0]["JobId"]), job)?;
    same(
        "jobs",
        v.get("/jobs?completed=false").await?.status(200)?.json()?["JobList"].clone(),
        json!([]),
    )
}

async fn jobs_are_filtered_by_status(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let job = v.retrieved(&archive).await?;
    let listed = v.get("/jobs?statuscode=Succeeded").await?.status(200)?.json()?;
    same("job", text(&listed["JobList"][0]["JobId"]), job)?;
    for query in
        ["statuscode=InProgress", "statuscode=Failed", "completed=false&statuscode=Succeeded"]
    {
        same(
            query,
            v.get(format!("/jobs?{query}")).await?.status(200)?.json()?["JobList"].clone(),
            json!([]),
        )?;
    }
    Ok(())
}

async fn jobs_in_progress_are_listed_as_such(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let done = v.job(&retrieval(&archive, json!({"Tier": "Expedited"}))).await?;
    c.advance(10 * MINUTE).await;
    let waiting = v.job(&retrieval(&archive, json!({}))).await?;
    let ids = |list: &Value| {
        list["JobList"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|job| text(&job["JobId"]))
            .collect::<Vec<_>>()
    };
    same(
        "in progress",
        ids(&v.get("/jobs?statuscode=InProgress").await?.json()?),
        vec![waiting.clone()],
    )?;
    same(
        "not completed",
        ids(&v.get("/jobs?completed=false").await?.json()?),
        vec![waiting.clone()],
    )?;
    same("completed", ids(&v.get("/jobs?completed=true").await?.json()?), vec![done.clone()])?;
    same("all", ids(&v.get("/jobs").await?.json()?), vec![done, waiting])
}

async fn an_unknown_status_is_refused_by_its_name(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.get("/jobs?statuscode=finished")
        .await?
        .refused(ErrorCode::InvalidParameterValue)?
        .says("The job status code is not valid: finished")?;
    v.get("/jobs?statuscode=succeeded").await?.refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn completed_is_true_or_false(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for value in ["yes", "1", "TRUE", "True"] {
        v.get(format!("/jobs?completed={value}"))
            .await?
            .refused(ErrorCode::InvalidParameterValue)?;
    }
    Ok(())
}

async fn empty_filters_are_none(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.get("/jobs?completed=&statuscode=&limit=&marker=").await?.status(200)?;
    Ok(())
}

async fn each_tier_has_its_delay(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let mut jobs = Vec::new();
    for tier in ["Expedited", "Standard", "Bulk"] {
        jobs.push(v.job(&retrieval(&archive, json!({"Tier": tier}))).await?);
    }
    for (step, done) in [(10 * MINUTE, 1), (5 * HOUR, 2), (8 * HOUR, 3)] {
        c.advance(step).await;
        let mut completed = 0;
        for job in &jobs {
            completed += usize::from(v.describe_job(job).await?["Completed"] == true);
        }
        same("completed jobs", completed, done)?;
    }
    Ok(())
}

async fn a_finished_job_lives_for_a_day(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let job = v.job(&retrieval(&archive, json!({}))).await?;
    c.advance(5 * HOUR).await;
    v.ended(&job).await?;
    c.advance(23 * HOUR).await;
    v.get(format!("/jobs/{job}")).await?.status(200)?;
    holds("other bytes", v.output(&job).await?.status(200)?.raw.body == b"abc")
}

async fn a_job_and_its_output_go_together(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let job = v.job(&retrieval(&archive, json!({}))).await?;
    c.advance(5 * HOUR).await;
    c.advance(400 * 24 * HOUR).await;
    let message = format!("The job ID was not found: {job}");
    v.get(format!("/jobs/{job}")).await?.refused(ErrorCode::ResourceNotFound)?.says(&message)?;
    v.output(&job).await?.refused(ErrorCode::ResourceNotFound)?.says(&message)?;
    same("jobs", v.get("/jobs").await?.json()?["JobList"].clone(), json!([]))
}

async fn a_job_that_is_due_late_is_complete_as_of_then(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let job = v.job(&retrieval(&archive, json!({"Tier": "Bulk"}))).await?;
    same("status", text(&v.describe_job(&job).await?["StatusCode"]), "InProgress".to_owned())?;
    c.advance(20 * HOUR).await;
    same("status", text(&v.ended(&job).await?["StatusCode"]), "Succeeded".to_owned())
}
