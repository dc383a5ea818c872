//! Multipart uploads: how they begin and end ("Initiate Multipart Upload", "Abort Multipart Upload").

use icefield_protocol::ErrorCode;
use serde_json::json;

use super::HOUR;
use crate::bytes::MIB;
use crate::context::{Context, Upload, text};
use crate::endpoint::Setup;
use crate::outcome::{Outcome, holds, same};
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
    "2.23" uploads_in_progress_are_listed,
    "2.23" uploads_of_other_vaults_are_not_listed,
    "3.1" a_completed_upload_is_closed,
    "3.1" a_completed_upload_is_not_aborted,
    "3.1" an_aborted_upload_is_closed,
    "3.1" aborting_again_is_fine_for_a_while,
    "2.25" an_unknown_upload_is_not_aborted,
    "3.1" an_upload_is_no_write,
    "3.1" [Laboratory] an_idle_upload_lives_for_a_day,
    "3.1" [Laboratory] an_upload_that_is_idle_for_long_expires,
    "3.1" [Laboratory] a_part_keeps_an_upload_alive,
    "3.1" [Laboratory] an_aborted_upload_is_forgotten_in_the_end,
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

async fn an_aborted_upload_is_forgotten_in_the_end(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.abort().await?.status(204)?;
    c.advance(400 * 24 * HOUR).await;
    upload.abort().await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}
