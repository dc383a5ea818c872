//! Multipart uploads ("Multipart Upload Operations").

use icefield_protocol::ErrorCode;
use serde_json::{Value, json};

use super::HOUR;
use crate::bytes::{MIB, bytes, linear, tree};
use crate::context::{Archive, Context, Upload, text};
use crate::endpoint::Setup;
use crate::outcome::{Failed, Outcome, holds, same};
use crate::suite::cases;

cases![
    "2.20" an_upload_begins_with_location_and_id,
    "2.20" parts_of_1_mib_are_the_smallest,
    "2.20" parts_of_4_gib_are_the_largest,
    "2.20" parts_of_128_mib_are_accepted,
    "2.20" a_part_size_below_1_mib_is_refused,
    "2.20" a_part_size_above_4_gib_is_refused,
    "2.20" a_part_size_that_is_no_power_of_two_is_refused,
    "2.20" a_part_size_of_zero_is_refused,
    "2.20" a_part_size_that_is_no_number_is_refused,
    "2.20" a_part_size_beyond_64_bits_is_refused,
    "2.20" a_missing_part_size_is_refused,
    "2.20" a_description_of_an_upload_is_listed,
    "2.20" an_illegal_description_begins_no_upload,
    "2.21" a_part_is_answered_with_its_hash,
    "2.21" parts_come_in_any_order,
    "2.21" parts_come_at_the_same_time,
    "2.21" a_part_replaces_the_former_of_its_offset,
    "2.21" a_shorter_part_replaces_a_longer_one,
    "2.21" a_refused_part_leaves_the_former,
    "2.21" a_part_of_the_same_bytes_may_come_again,
    "2.21" a_part_without_range_is_refused,
    "2.21" a_range_with_an_equals_sign_is_refused,
    "2.21" a_range_that_ends_before_it_begins_is_refused,
    "2.21" a_range_that_is_none_is_refused,
    "2.21" a_range_beyond_64_bits_is_refused,
    "2.21" a_range_that_does_not_begin_at_a_part_is_refused,
    "2.21" a_range_of_another_length_than_the_body_is_named_with_it,
    "2.21" a_range_shorter_than_the_body_is_refused,
    "2.21" a_part_longer_than_the_part_size_is_refused,
    "2.21" the_last_of_ten_thousand_parts_is_accepted,
    "2.21" the_ten_thousand_and_first_part_is_refused,
    "2.21" an_empty_part_is_refused,
    "2.21" a_total_in_the_range_is_ignored,
    "2.21" a_wrong_tree_hash_of_a_part_is_refused_with_both,
    "2.21" a_missing_hash_of_a_part_misses_a_parameter,
    "2.21" a_tree_hash_of_a_part_that_is_none_is_refused,
    "2.21" an_unknown_upload_takes_no_part,
    "2.21" an_upload_of_another_vault_takes_no_part,
    "10.35" an_upload_of_another_vault_is_out_of_reach,
    "2.22" an_upload_tells_all_about_itself,
    "2.22" an_upload_without_description_has_a_null,
    "2.22" parts_are_listed_by_number_and_not_by_text,
    "2.22" an_unknown_upload_has_no_parts_to_list,
    "2.23" uploads_in_progress_are_listed,
    "2.23" uploads_of_other_vaults_are_not_listed,
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
    "3.1" a_completed_upload_is_closed,
    "3.1" a_completed_upload_is_not_aborted,
    "3.1" an_aborted_upload_is_closed,
    "3.1" aborting_again_is_fine_for_a_while,
    "2.25" an_unknown_upload_is_not_aborted,
    "3.1" an_upload_is_no_write,
    "3.1" [Laboratory] an_idle_upload_lives_for_a_day,
    "3.1" [Laboratory] an_upload_that_is_idle_for_long_expires,
    "3.1" [Laboratory] a_part_keeps_an_upload_alive,
    "3.1" [Laboratory] a_retry_of_complete_is_answered_for_a_day,
    "3.1" [Laboratory] an_aborted_upload_is_forgotten_in_the_end,
    "3.1" [Laboratory] the_date_of_an_archive_is_that_of_its_completion,
];

async fn refuses_part_size(c: &Context, size: &str) -> Outcome {
    let v = c.vault().await?;
    let answer = v
        .post("/multipart-uploads")
        .header("x-amz-part-size", size)
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    let message = answer.member("message");
    holds(&message, message.contains("Part size must not be null, must be a power of two and be between 1048576 and 4294967296 bytes."))?;
    v.is_untouched().await
}

async fn accepts_part_size(c: &Context, size: u64) -> Outcome {
    let v = c.vault().await?;
    v.post("/multipart-uploads").header("x-amz-part-size", size.to_string()).await?.status(201)?;
    let listed = v.get("/multipart-uploads").await?.json()?;
    same("part size", listed["UploadsList"][0]["PartSizeInBytes"].clone(), json!(size))
}

/// A part with this range is refused and leaves nothing.
async fn refuses_range(c: &Context, range: &str) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    let answer = upload.ranged(range, b"abc").await?.refused(ErrorCode::InvalidParameterValue)?;
    holds(
        "the message does not name the header",
        answer.member("message").contains("Content-Range"),
    )?;
    has_parts(&upload, json!([])).await
}

async fn has_parts(upload: &Upload, wanted: Value) -> Outcome {
    same("parts", upload.list("").await?.status(200)?.json()?["Parts"].clone(), wanted)
}

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
async fn an_upload_begins_with_location_and_id(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let answer =
        v.post("/multipart-uploads").header("x-amz-part-size", "4194304").await?.status(201)?;
    let id = answer.header("x-amz-multipart-upload-id")?;
    same("location", answer.header("location")?, v.location(format!("/multipart-uploads/{id}")))
}

async fn parts_of_1_mib_are_the_smallest(c: &Context) -> Outcome {
    accepts_part_size(c, 1 << 20).await
}

async fn parts_of_4_gib_are_the_largest(c: &Context) -> Outcome {
    accepts_part_size(c, 4 << 30).await
}

async fn parts_of_128_mib_are_accepted(c: &Context) -> Outcome {
    accepts_part_size(c, 128 << 20).await
}

async fn a_part_size_below_1_mib_is_refused(c: &Context) -> Outcome {
    refuses_part_size(c, "524288").await?;
    refuses_part_size(c, "1048575").await
}

async fn a_part_size_above_4_gib_is_refused(c: &Context) -> Outcome {
    refuses_part_size(c, "8589934592").await?;
    refuses_part_size(c, "4294967297").await
}

async fn a_part_size_that_is_no_power_of_two_is_refused(c: &Context) -> Outcome {
    refuses_part_size(c, "3145728").await?;
    refuses_part_size(c, "1048577").await
}

async fn a_part_size_of_zero_is_refused(c: &Context) -> Outcome {
    refuses_part_size(c, "0").await
}

async fn a_part_size_that_is_no_number_is_refused(c: &Context) -> Outcome {
    refuses_part_size(c, "1MB").await?;
    refuses_part_size(c, "-1048576").await?;
    refuses_part_size(c, "1048576.0").await
}

async fn a_part_size_beyond_64_bits_is_refused(c: &Context) -> Outcome {
    refuses_part_size(c, "36893488147419103232").await
}

async fn a_missing_part_size_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/multipart-uploads")
        .await?
        .refused_by(&[ErrorCode::InvalidParameterValue, ErrorCode::MissingParameterValue])?;
    v.is_untouched().await
}

async fn a_description_of_an_upload_is_listed(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let start = v.post("/multipart-uploads").header("x-amz-part-size", "1048576");
    start.header("x-amz-archive-description", "  my  upload ").await?.status(201)?;
    let listed = v.get("/multipart-uploads").await?.json()?;
    same(
        "description",
        text(&listed["UploadsList"][0]["ArchiveDescription"]),
        "my  upload".to_owned(),
    )
}

async fn an_illegal_description_begins_no_upload(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for description in ["caf\u{e9}".to_owned(), "d".repeat(1025), "a\tb".to_owned()] {
        let start = v.post("/multipart-uploads").header("x-amz-part-size", "1048576");
        start
            .header("x-amz-archive-description", description)
            .await?
            .refused(ErrorCode::InvalidParameterValue)?;
    }
    v.is_untouched().await
}

async fn a_part_is_answered_with_its_hash(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    let part = bytes(1, MIB);
    let answer = upload.part(0, &part).await?.status(204)?;
    same("hash", answer.header("x-amz-sha256-tree-hash")?, tree(&part))
}

async fn parts_come_in_any_order(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    let whole = bytes(1, 2 * MIB + 100);
    for first in [2 * MIB, 0, MIB] {
        upload.part(first, &whole[first..whole.len().min(first + MIB)]).await?.status(204)?;
    }
    upload.complete(&whole).await?.status(201)?;
    Ok(())
}

async fn parts_come_at_the_same_time(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    let whole = bytes(1, 8 * MIB);
    let mut running = tokio::task::JoinSet::new();
    for (index, part) in whole.chunks(MIB).enumerate() {
        let request = upload.part(index * MIB, part);
        running.spawn(async move { request.await?.status(204) });
    }
    while let Some(ended) = running.join_next().await {
        ended.map_err(|error| Failed::new(error.to_string()))??;
    }
    upload.complete(&whole).await?.status(201)?;
    Ok(())
}

async fn a_part_replaces_the_former_of_its_offset(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"first").await?.status(204)?;
    upload.part(0, b"second").await?.status(204)?;
    has_parts(&upload, json!([{"RangeInBytes": "0-5", "SHA256TreeHash": tree(b"second")}])).await?;
    upload.complete(b"second").await?.status(201)?;
    Ok(())
}

async fn a_shorter_part_replaces_a_longer_one(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, &bytes(1, MIB)).await?.status(204)?;
    upload.part(0, b"x").await?.status(204)?;
    has_parts(&upload, json!([{"RangeInBytes": "0-0", "SHA256TreeHash": tree(b"x")}])).await
}

async fn a_refused_part_leaves_the_former(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"first").await?.status(204)?;
    upload
        .part(0, b"other")
        .header("x-amz-sha256-tree-hash", "0".repeat(64))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    has_parts(&upload, json!([{"RangeInBytes": "0-4", "SHA256TreeHash": tree(b"first")}])).await
}

async fn a_part_of_the_same_bytes_may_come_again(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    for _ in 0..3 {
        upload.part(0, b"abc").await?.status(204)?;
    }
    has_parts(&upload, json!([{"RangeInBytes": "0-2", "SHA256TreeHash": tree(b"abc")}])).await
}

async fn a_part_without_range_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    v.put(upload.path())
        .payload(b"abc")
        .await?
        .refused_by(&[ErrorCode::MissingParameterValue, ErrorCode::InvalidParameterValue])?;
    has_parts(&upload, json!([])).await
}

async fn a_range_with_an_equals_sign_is_refused(c: &Context) -> Outcome {
    refuses_range(c, "bytes=0-2/*").await
}

async fn a_range_that_ends_before_it_begins_is_refused(c: &Context) -> Outcome {
    refuses_range(c, "bytes 909994937-909994936/*").await
}

async fn a_range_that_is_none_is_refused(c: &Context) -> Outcome {
    for range in [
        "",
        "0-2",
        "bytes",
        "bytes 0/*",
        "bytes a-b/*",
        "bytes -2/*",
        "bytes 0-/*",
        "lines 0-2/*",
        "bytes 0-2,4-6/*",
        "bytes 0x0-0x2/*",
    ] {
        let v = c.vault().await?;
        let upload = v.upload(1).await?;
        upload
            .ranged(range, b"abc")
            .await?
            .refused_by(&[ErrorCode::InvalidParameterValue, ErrorCode::MissingParameterValue])?;
        has_parts(&upload, json!([])).await?;
    }
    Ok(())
}

async fn a_range_beyond_64_bits_is_refused(c: &Context) -> Outcome {
    refuses_range(c, "bytes 36893488147419103232-36893488147419103234/*").await?;
    refuses_range(c, "bytes 18446744073709551613-18446744073709551615/*").await
}

async fn a_range_that_does_not_begin_at_a_part_is_refused(c: &Context) -> Outcome {
    refuses_range(c, "bytes 1-3/*").await?;
    refuses_range(c, "bytes 1048575-1048577/*").await
}

async fn a_range_of_another_length_than_the_body_is_named_with_it(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    let message = "Content-Range: bytes 0-3/* is incompatible with Content-Length: 3";
    upload
        .ranged("bytes 0-3/*", b"abc")
        .await?
        .refused(ErrorCode::InvalidParameterValue)?
        .says(message)?;
    has_parts(&upload, json!([])).await
}

async fn a_range_shorter_than_the_body_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.ranged("bytes 0-1/*", b"abc").await?.refused(ErrorCode::InvalidParameterValue)?;
    has_parts(&upload, json!([])).await
}

async fn a_part_longer_than_the_part_size_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload
        .part(0, &bytes(1, MIB + 1))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?
        .says("Invalid Content-Range: bytes 0-1048576/*")?;
    has_parts(&upload, json!([])).await
}

async fn the_last_of_ten_thousand_parts_is_accepted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(9_999 * MIB, b"abc").await?.status(204)?;
    Ok(())
}

async fn the_ten_thousand_and_first_part_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(10_000 * MIB, b"abc").await?.refused(ErrorCode::InvalidParameterValue)?;
    has_parts(&upload, json!([])).await
}

async fn an_empty_part_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.ranged("bytes 0-0/*", b"").await?.refused(ErrorCode::InvalidParameterValue)?;
    has_parts(&upload, json!([])).await
}

async fn a_total_in_the_range_is_ignored(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.ranged("bytes 0-2/1000000", b"abc").await?.status(204)?;
    has_parts(&upload, json!([{"RangeInBytes": "0-2", "SHA256TreeHash": tree(b"abc")}])).await
}

async fn a_wrong_tree_hash_of_a_part_is_refused_with_both(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    let message =
        format!("Checksum mismatch: expected {}, computed {}", "0".repeat(64), tree(b"abc"));
    upload
        .part(0, b"abc")
        .header("x-amz-sha256-tree-hash", "0".repeat(64))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?
        .says(&message)?;
    has_parts(&upload, json!([])).await
}

async fn a_missing_hash_of_a_part_misses_a_parameter(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload
        .part(0, b"abc")
        .without("x-amz-sha256-tree-hash")
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    upload
        .part(0, b"abc")
        .without("x-amz-content-sha256")
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    has_parts(&upload, json!([])).await
}

async fn a_tree_hash_of_a_part_that_is_none_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    for hash in ["x", &"0".repeat(63), &"z".repeat(64)] {
        upload
            .part(0, b"abc")
            .header("x-amz-sha256-tree-hash", hash)
            .await?
            .refused(ErrorCode::InvalidParameterValue)?;
    }
    has_parts(&upload, json!([])).await
}

async fn an_unknown_upload_takes_no_part(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = Upload { vault: v.clone(), id: "u".repeat(92) };
    upload
        .part(0, b"abc")
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says(&format!("The upload ID was not found: {}", upload.id))?;
    v.is_untouched().await
}

async fn an_upload_of_another_vault_takes_no_part(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let other = c.vault().await?;
    let theirs = other.upload(1).await?;
    let ours = Upload { vault: v.clone(), id: theirs.id.clone() };
    ours.part(0, b"abc")
        .await?
        .refused_by(&[ErrorCode::ResourceNotFound, ErrorCode::InvalidParameterValue])?;
    has_parts(&theirs, json!([])).await
}

async fn an_upload_of_another_vault_is_out_of_reach(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let other = c.vault().await?;
    let theirs = other.upload(1).await?;
    theirs.part(0, b"abc").await?.status(204)?;
    let ours = Upload { vault: v.clone(), id: theirs.id.clone() };
    ours.list("")
        .await?
        .refused_by(&[ErrorCode::ResourceNotFound, ErrorCode::InvalidParameterValue])?;
    ours.complete(b"abc")
        .await?
        .refused_by(&[ErrorCode::ResourceNotFound, ErrorCode::InvalidParameterValue])?;
    ours.abort()
        .await?
        .refused_by(&[ErrorCode::ResourceNotFound, ErrorCode::InvalidParameterValue])?;
    has_parts(&theirs, json!([{"RangeInBytes": "0-2", "SHA256TreeHash": tree(b"abc")}])).await
}

async fn an_upload_tells_all_about_itself(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let start = v
        .post("/multipart-uploads")
        .header("x-amz-part-size", "4194304")
        .header("x-amz-archive-description", "d");
    let id = start.await?.status(201)?.header("x-amz-multipart-upload-id")?;
    let upload = Upload { vault: v.clone(), id };
    let told = upload.list("").await?.status(200)?.json()?;
    same("description", told["ArchiveDescription"].clone(), json!("d"))?;
    same("ID", told["MultipartUploadId"].clone(), json!(upload.id))?;
    same("part size", told["PartSizeInBytes"].clone(), json!(4_194_304))?;
    same("parts", told["Parts"].clone(), json!([]))?;
    same("marker", told["Marker"].clone(), Value::Null)?;
    same("vault", text(&told["VaultARN"]), v.arn())
}

async fn an_upload_without_description_has_a_null(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    same("description", upload.list("").await?.json()?["ArchiveDescription"].clone(), Value::Null)?;
    let listed = v.get("/multipart-uploads").await?.json()?;
    same("description", listed["UploadsList"][0]["ArchiveDescription"].clone(), Value::Null)
}

async fn parts_are_listed_by_number_and_not_by_text(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    for index in [10, 2, 0, 9, 1] {
        upload.part(index * MIB, b"abc").await?.status(204)?;
    }
    let told = upload.list("").await?.json()?;
    let ranges: Vec<_> = told["Parts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|part| text(&part["RangeInBytes"]))
        .collect();
    let wanted: Vec<_> = [0, 1, 2, 9, 10]
        .iter()
        .map(|index| format!("{}-{}", index * MIB, index * MIB + 2))
        .collect();
    same("ranges", ranges, wanted)
}

async fn an_unknown_upload_has_no_parts_to_list(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.get(format!("/multipart-uploads/{}", "u".repeat(92)))
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    v.get("/multipart-uploads/x")
        .await?
        .refused_by(&[ErrorCode::ResourceNotFound, ErrorCode::InvalidParameterValue])?;
    Ok(())
}

async fn uploads_in_progress_are_listed(c: &Context) -> Outcome {
    let v = c.vault().await?;
    same(
        "list",
        v.get("/multipart-uploads").await?.status(200)?.json()?,
        json!({"Marker": null, "UploadsList": []}),
    )?;
    let upload = v.upload(2).await?;
    let listed = v.get("/multipart-uploads").await?.status(200)?.json()?;
    let item = &listed["UploadsList"][0];
    same("ID", text(&item["MultipartUploadId"]), upload.id)?;
    same("part size", item["PartSizeInBytes"].clone(), json!(2 * MIB))?;
    same("vault", text(&item["VaultARN"]), v.arn())
}

async fn uploads_of_other_vaults_are_not_listed(c: &Context) -> Outcome {
    let v = c.vault().await?;
    c.vault().await?.upload(1).await?;
    same("uploads", v.get("/multipart-uploads").await?.json()?["UploadsList"].clone(), json!([]))
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

async fn a_completed_upload_is_closed(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    upload.complete(b"abc").await?.status(201)?;
    upload.part(0, b"abd").await?.refused(ErrorCode::ResourceNotFound)?;
    upload.list("").await?.refused(ErrorCode::ResourceNotFound)?;
    same("uploads", v.get("/multipart-uploads").await?.json()?["UploadsList"].clone(), json!([]))
}

async fn a_completed_upload_is_not_aborted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    let archive = upload.complete(b"abc").await?.status(201)?.header("x-amz-archive-id")?;
    upload.abort().await?.refused(ErrorCode::ResourceNotFound)?;
    v.job(&json!({"Type": "archive-retrieval", "ArchiveId": archive})).await?;
    Ok(())
}

async fn an_aborted_upload_is_closed(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    upload.abort().await?.status(204)?;
    upload.part(0, b"abc").await?.refused(ErrorCode::ResourceNotFound)?;
    upload.list("").await?.refused(ErrorCode::ResourceNotFound)?;
    upload.complete(b"abc").await?.refused(ErrorCode::ResourceNotFound)?;
    v.is_untouched().await
}

async fn aborting_again_is_fine_for_a_while(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.abort().await?.status(204)?;
    upload.abort().await?.status(204)?;
    Ok(())
}

async fn an_unknown_upload_is_not_aborted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    Upload { vault: v.clone(), id: "u".repeat(92) }
        .abort()
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn an_upload_is_no_write(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    upload.abort().await?.status(204)?;
    v.delete("").await?.status(204)?;
    Ok(())
}

async fn an_idle_upload_lives_for_a_day(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    c.advance(23 * HOUR).await;
    upload.list("").await?.status(200)?;
    upload.complete(b"abc").await?.status(201)?;
    Ok(())
}

async fn an_upload_that_is_idle_for_long_expires(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    c.advance(400 * 24 * HOUR).await;
    upload.list("").await?.refused(ErrorCode::ResourceNotFound)?;
    upload.part(0, b"abc").await?.refused(ErrorCode::ResourceNotFound)?;
    upload.complete(b"abc").await?.refused(ErrorCode::ResourceNotFound)?;
    upload.abort().await?.refused(ErrorCode::ResourceNotFound)?;
    same("uploads", v.get("/multipart-uploads").await?.json()?["UploadsList"].clone(), json!([]))
}

async fn a_part_keeps_an_upload_alive(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    for _ in 0..20 {
        c.advance(23 * HOUR).await;
        upload.part(0, b"abc").await?.status(204)?;
    }
    upload.complete(b"abc").await?.status(201)?;
    Ok(())
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

async fn an_aborted_upload_is_forgotten_in_the_end(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.abort().await?.status(204)?;
    c.advance(400 * 24 * HOUR).await;
    upload.abort().await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
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
