//! What jobs tell of themselves ("Describe Job", "List Jobs").

use icefield_protocol::ErrorCode;
use serde_json::{Value, json};

use super::{HOUR, MINUTE, retrieval};
use crate::bytes::{MIB, bytes, tree};
use crate::context::{Context, text};
use crate::endpoint::Setup;
use crate::outcome::{Outcome, holds, same};
use crate::suite::cases;

cases![
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
