//! Parts of multipart uploads ("Upload Part", "List Parts").

use icefield_protocol::ErrorCode;
use serde_json::{Value, json};

use crate::bytes::{MIB, bytes, tree};
use crate::context::{Context, Upload, text};
use crate::outcome::{Failed, Outcome, holds, same};
use crate::suite::cases;

cases![
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
    "2.21" a_part_that_stalls_times_out_and_leaves_the_former,
    "2.21" an_unknown_upload_takes_no_part,
    "2.21" an_upload_of_another_vault_takes_no_part,
    "10.35" an_upload_of_another_vault_is_out_of_reach,
    "2.22" an_upload_tells_all_about_itself,
    "2.22" an_upload_without_description_has_a_null,
    "2.22" parts_are_listed_by_number_and_not_by_text,
    "2.22" an_unknown_upload_has_no_parts_to_list,
];

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

async fn a_part_that_stalls_times_out_and_leaves_the_former(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    let part = upload.part(0, &bytes(1, MIB)).stalled_after(MIB - 1);
    part.await?.refused(ErrorCode::RequestTimeout)?.says("Request timed out.")?;
    has_parts(&upload, json!([{"RangeInBytes": "0-2", "SHA256TreeHash": tree(b"abc")}])).await
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
