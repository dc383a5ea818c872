//! Completing multipart uploads ("Complete Multipart Upload").

use icefield_protocol::ErrorCode;
use serde_json::json;

use super::HOUR;
use crate::bytes::{MIB, bytes, linear, tree};
use crate::context::{Archive, Context, Upload, text};
use crate::endpoint::Setup;
use crate::outcome::{Failed, Outcome, holds, same};
use crate::suite::cases;

cases![
    "2.24" completing_answers_with_location_id_and_hash,
    "2.24" [NoDelay] an_archive_of_one_short_part_comes_back,
    "2.24" [NoDelay] an_archive_of_full_parts_comes_back,
    "2.24" [NoDelay] an_archive_of_parts_and_a_bit_comes_back,
    "2.24" [NoDelay] an_archive_of_larger_parts_comes_back,
    "2.24" [Inventory] an_archive_of_parts_has_the_description_of_its_upload,
    "2.24" an_archive_cannot_be_completed_without_parts,
    "2.24" a_gap_between_parts_is_refused,
    "2.24" a_missing_first_part_is_refused,
    "2.24" a_short_part_in_the_middle_is_refused,
    "2.24" a_wrong_size_is_refused_and_leaves_the_upload,
    "2.24" a_size_that_is_no_number_is_refused_by_its_name,
    "2.24" a_wrong_tree_hash_is_refused_by_its_name,
    "2.24" the_linear_hash_is_no_tree_hash,
    "2.24" a_tree_hash_that_is_none_is_refused,
    "2.24" upper_case_hex_completes_too,
    "2.24" a_missing_size_misses_a_parameter,
    "2.24" a_missing_tree_hash_misses_a_parameter,
    "2.24" an_unknown_upload_is_not_completed,
    "3.1" completing_again_answers_with_the_same_archive,
    "3.1" completing_again_with_other_values_is_refused,
    "3.1" completing_at_the_same_time_makes_one_archive,
    "3.1" completing_after_the_archive_was_deleted_answers_the_same,
    "3.1" [Laboratory] a_retry_of_complete_is_answered_for_a_day,
    "3.1" [Laboratory] the_date_of_an_archive_is_that_of_its_completion,
];

/// Uploads `whole` in parts, retrieves it, compares.
async fn comes_back(c: &Context, part_mib: usize, length: usize) -> Outcome {
    let v = c.vault().await?;
    let whole = bytes(9, length);
    let upload = v.upload(part_mib).await?;
    upload.parts(part_mib << 20, &whole).await?;
    let answer = upload.complete(&whole).await?.status(201)?;
    same("hash", answer.header("x-amz-sha256-tree-hash")?, tree(&whole))?;
    let archive = Archive { id: answer.header("x-amz-archive-id")?, bytes: whole };
    let job = v.retrieved(&archive).await?;
    let output = v.output(&job).await?.status(200)?;
    holds("other bytes came back", output.raw.body == archive.bytes)?;
    same("hash", output.header("x-amz-sha256-tree-hash")?, tree(&archive.bytes))
}
async fn completing_answers_with_location_id_and_hash(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    let whole = bytes(1, MIB + 7);
    upload.parts(MIB, &whole).await?;
    let answer = upload.complete(&whole).await?.status(201)?;
    let id = answer.header("x-amz-archive-id")?;
    same("location", answer.header("location")?, v.location(format!("/archives/{id}")))?;
    same("hash", answer.header("x-amz-sha256-tree-hash")?, tree(&whole))
}

async fn an_archive_of_one_short_part_comes_back(c: &Context) -> Outcome {
    comes_back(c, 1, 10).await
}

async fn an_archive_of_full_parts_comes_back(c: &Context) -> Outcome {
    comes_back(c, 1, 4 * MIB).await
}

async fn an_archive_of_parts_and_a_bit_comes_back(c: &Context) -> Outcome {
    comes_back(c, 2, 5 * MIB + 4321).await
}

async fn an_archive_of_larger_parts_comes_back(c: &Context) -> Outcome {
    comes_back(c, 8, 17 * MIB + 1).await
}

async fn an_archive_of_parts_has_the_description_of_its_upload(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let start = v
        .post("/multipart-uploads")
        .header("x-amz-part-size", "1048576")
        .header("x-amz-archive-description", "in  parts");
    let upload = Upload {
        vault: v.clone(),
        id: start.await?.status(201)?.header("x-amz-multipart-upload-id")?,
    };
    upload.part(0, b"abc").await?.status(204)?;
    upload.complete(b"abc").await?.status(201)?;
    let listed = v.inventory().await?;
    let item = &listed["ArchiveList"][0];
    same("description", text(&item["ArchiveDescription"]), "in  parts".to_owned())?;
    same("size", item["Size"].clone(), json!(3))?;
    same("hash", text(&item["SHA256TreeHash"]), tree(b"abc"))
}

async fn an_archive_cannot_be_completed_without_parts(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.finish("3", &tree(b"abc")).await?.refused(ErrorCode::InvalidParameterValue)?;
    upload.finish("0", &tree(b"")).await?.refused(ErrorCode::InvalidParameterValue)?;
    upload.list("").await?.status(200)?;
    Ok(())
}

async fn a_gap_between_parts_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    let whole = bytes(1, 3 * MIB);
    upload.part(0, &whole[..MIB]).await?.status(204)?;
    upload.part(2 * MIB, &whole[2 * MIB..]).await?.status(204)?;
    upload.complete(&whole).await?.refused(ErrorCode::InvalidParameterValue)?;
    upload.part(MIB, &whole[MIB..2 * MIB]).await?.status(204)?;
    upload.complete(&whole).await?.status(201)?;
    Ok(())
}

async fn a_missing_first_part_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(MIB, b"abc").await?.status(204)?;
    upload.finish("3", &tree(b"abc")).await?.refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn a_short_part_in_the_middle_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    upload.part(MIB, b"abc").await?.status(204)?;
    upload.finish("6", &tree(b"abcabc")).await?.refused(ErrorCode::InvalidParameterValue)?;
    upload.list("").await?.status(200)?;
    Ok(())
}

async fn a_wrong_size_is_refused_and_leaves_the_upload(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    for size in ["2", "4", "0", "1048576"] {
        upload.finish(size, &tree(b"abc")).await?.refused(ErrorCode::InvalidParameterValue)?;
    }
    upload.complete(b"abc").await?.status(201)?;
    Ok(())
}

async fn a_size_that_is_no_number_is_refused_by_its_name(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    for size in ["three", "-3", "3.0", "36893488147419103232", "+3"] {
        let answer =
            upload.finish(size, &tree(b"abc")).await?.refused(ErrorCode::InvalidParameterValue)?;
        answer.says(&format!("Invalid x-amz-archive-size: {size}"))?;
    }
    Ok(())
}

async fn a_wrong_tree_hash_is_refused_by_its_name(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    let wrong = tree(b"");
    upload
        .finish("3", &wrong)
        .await?
        .refused(ErrorCode::InvalidParameterValue)?
        .says(&format!("Invalid x-amz-sha256-tree-hash: {wrong}"))?;
    upload.complete(b"abc").await?.status(201)?;
    Ok(())
}

async fn the_linear_hash_is_no_tree_hash(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    let whole = bytes(1, MIB + 1);
    upload.parts(MIB, &whole).await?;
    upload
        .finish(&whole.len().to_string(), &linear(&whole))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn a_tree_hash_that_is_none_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    upload.finish("3", "nothing").await?.refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn upper_case_hex_completes_too(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    upload.finish("3", &tree(b"abc").to_uppercase()).await?.status(201)?;
    Ok(())
}

async fn a_missing_size_misses_a_parameter(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    upload
        .complete(b"abc")
        .without("x-amz-archive-size")
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    upload.complete(b"abc").await?.status(201)?;
    Ok(())
}

async fn a_missing_tree_hash_misses_a_parameter(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    upload
        .complete(b"abc")
        .without("x-amz-sha256-tree-hash")
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    upload.complete(b"abc").await?.status(201)?;
    Ok(())
}

async fn an_unknown_upload_is_not_completed(c: &Context) -> Outcome {
    let v = c.vault().await?;
    Upload { vault: v.clone(), id: "u".repeat(92) }
        .complete(b"abc")
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    v.is_untouched().await
}

async fn completing_again_answers_with_the_same_archive(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    let first = upload.complete(b"abc").await?.status(201)?.header("x-amz-archive-id")?;
    let second = upload.complete(b"abc").await?.status(201)?.header("x-amz-archive-id")?;
    same("archive", second, first)
}

async fn completing_again_with_other_values_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    upload.complete(b"abc").await?.status(201)?;
    upload.finish("4", &tree(b"abc")).await?.refused(ErrorCode::InvalidParameterValue)?;
    upload.finish("3", &tree(b"abd")).await?.refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn completing_at_the_same_time_makes_one_archive(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    let whole = bytes(1, 3 * MIB);
    upload.parts(MIB, &whole).await?;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let request = upload.complete(&whole);
        running.spawn(async move { request.await?.status(201)?.header("x-amz-archive-id") });
    }
    let mut ids = std::collections::BTreeSet::new();
    while let Some(ended) = running.join_next().await {
        ids.insert(ended.map_err(|error| Failed::new(error.to_string()))??);
    }
    same("archives", ids.len(), 1)
}

async fn completing_after_the_archive_was_deleted_answers_the_same(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    let first = upload.complete(b"abc").await?.status(201)?.header("x-amz-archive-id")?;
    v.delete(format!("/archives/{first}")).await?.status(204)?;
    same("archive", upload.complete(b"abc").await?.status(201)?.header("x-amz-archive-id")?, first)
}

async fn a_retry_of_complete_is_answered_for_a_day(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    let first = upload.complete(b"abc").await?.status(201)?.header("x-amz-archive-id")?;
    c.advance(23 * HOUR).await;
    same("archive", upload.complete(b"abc").await?.status(201)?.header("x-amz-archive-id")?, first)
}

async fn the_date_of_an_archive_is_that_of_its_completion(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::Immediate).await?;
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    c.advance(10 * HOUR).await;
    upload.complete(b"abc").await?.status(201)?;
    let now = c.now().to_seconds_string();
    let listed = v.inventory().await?;
    same("date", text(&listed["ArchiveList"][0]["CreationDate"]), now)
}
