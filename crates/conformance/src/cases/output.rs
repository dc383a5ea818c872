//! Job output ("Get Job Output").

use icefield_protocol::ErrorCode;
use serde_json::json;

use crate::bytes::{MIB, bytes, tree};
use crate::context::{Context, Vault};
use crate::endpoint::Setup;
use crate::http::{Connection, Delivery};
use crate::outcome::{Failed, Outcome, holds, same};
use crate::suite::cases;

cases![
    "2.29" [NoDelay] output_without_a_range_is_all_of_it,
    "2.29" [NoDelay] output_comes_as_often_as_it_is_asked_for,
    "2.29" [NoDelay] the_description_of_the_archive_comes_with_it,
    "2.29" [NoDelay] an_archive_without_description_comes_without_one,
    "2.29" [NoDelay] a_range_of_everything_is_partial_content,
    "2.29" [NoDelay] a_range_of_a_single_byte_comes,
    "2.29" [NoDelay] the_first_mebibyte_comes_with_its_hash,
    "2.29" [NoDelay] a_pair_of_mebibytes_comes_with_its_hash,
    "2.29" [NoDelay] an_odd_pair_of_mebibytes_comes_without_hash,
    "2.29" [NoDelay] an_unaligned_range_comes_without_hash,
    "2.29" [NoDelay] an_end_beyond_the_output_is_clamped_and_hashed,
    "2.29" [NoDelay] an_end_far_beyond_the_output_is_clamped,
    "2.29" [NoDelay] a_range_without_end_goes_to_the_end,
    "2.29" [NoDelay] a_range_of_the_last_bytes_comes,
    "2.29" [NoDelay] more_last_bytes_than_there_are_is_everything,
    "2.29" [NoDelay] a_range_that_begins_beyond_the_end_is_refused,
    "2.29" [NoDelay] a_range_that_ends_before_it_begins_is_refused,
    "2.29" [NoDelay] several_ranges_are_refused,
    "2.29" [NoDelay] the_last_zero_bytes_are_refused,
    "2.29" [NoDelay] a_range_that_is_none_is_refused,
    "2.29" [NoDelay] a_range_that_begins_beyond_64_bits_is_refused,
    "4.4" [NoDelay] an_aligned_job_range_comes_with_its_hash,
    "4.4" [NoDelay] an_aligned_part_of_an_aligned_job_range_comes_with_its_hash,
    "4.4" [NoDelay] an_unaligned_part_of_an_aligned_job_range_comes_without,
    "4.4" [NoDelay] an_unaligned_job_range_comes_without_a_hash,
    "4.4" [NoDelay] any_part_of_an_unaligned_job_range_comes_without_a_hash,
    "4.4" [NoDelay] every_chunk_of_4_mib_comes_with_its_hash,
    "2.29" [NoDelay] a_range_may_stay_unsigned,
    "2.29" [NoDelay] a_signed_range_cannot_be_changed,
    "2.29" [Laboratory] output_of_a_job_in_progress_is_not_available,
    "2.29" output_of_a_job_that_never_was_is_not_found,
    "2.29" [Inventory] output_of_an_inventory_has_no_hash,
    "2.29" [Inventory] an_inventory_comes_in_ranges_too,
    "2.29" [NoDelay] downloads_at_the_same_time_all_get_their_bytes,
];

/// A finished retrieval of `length` bytes.
async fn output(c: &Context, length: usize) -> Result<(Vault, String, Vec<u8>), Failed> {
    let v = c.vault().await?;
    let archive = v.archive(bytes(5, length)).await?;
    let job = v.retrieved(&archive).await?;
    Ok((v, job, archive.bytes))
}

/// A range of the output comes with these bytes, and with a hash exactly if it is a node of the tree.
async fn ranged(
    c: &Context,
    length: usize,
    header: &str,
    (first, last): (usize, usize),
    aligned: bool,
) -> Outcome {
    let (v, job, whole) = output(c, length).await?;
    let answer = v.output(&job).header("range", header).await?.status(206)?;
    same(
        "content-range",
        answer.header("content-range")?,
        format!("bytes {first}-{last}/{length}"),
    )?;
    same("content-length", answer.header("content-length")?, (last - first + 1).to_string())?;
    holds("other bytes", answer.raw.body == whole[first..=last])?;
    let hash = answer.find("x-amz-sha256-tree-hash").map(str::to_owned);
    same("hash", hash, aligned.then(|| tree(&whole[first..=last])))
}

async fn refuses(c: &Context, header: &str) -> Outcome {
    let (v, job, _) = output(c, 1000).await?;
    v.output(&job).header("range", header).await?.refused(ErrorCode::InvalidParameterValue)?;
    v.output(&job).await?.status(200)?;
    Ok(())
}

/// The output of a job for a range of an archive of `length` bytes, and what hash comes with a part of it.
async fn of_range(
    c: &Context,
    length: usize,
    range: (usize, usize),
    part: Option<(usize, usize)>,
    hashed: bool,
) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(bytes(6, length)).await?;
    let (first, last) = range;
    let body = json!({"Type": "archive-retrieval", "ArchiveId": archive.id, "RetrievalByteRange": format!("{first}-{last}")});
    let job = v.finished(&body).await?;
    let wanted = &archive.bytes[first..=last];
    let (answer, wanted) = match part {
        None => (v.output(&job).await?.status(200)?, wanted),
        Some((from, to)) => {
            let answer =
                v.output(&job).header("range", format!("bytes={from}-{to}")).await?.status(206)?;
            let total = last - first + 1;
            same(
                "content-range",
                answer.header("content-range")?,
                format!("bytes {from}-{to}/{total}"),
            )?;
            (answer, &wanted[from..=to])
        }
    };
    holds("other bytes", answer.raw.body == wanted)?;
    let hash = answer.find("x-amz-sha256-tree-hash").map(str::to_owned);
    same("hash", hash, hashed.then(|| tree(wanted)))
}
async fn output_without_a_range_is_all_of_it(c: &Context) -> Outcome {
    let (v, job, whole) = output(c, 12_345).await?;
    let answer = v.output(&job).await?.status(200)?;
    holds("other bytes", answer.raw.body == whole)?;
    same("content-type", answer.header("content-type")?, "application/octet-stream".to_owned())?;
    same("accept-ranges", answer.header("accept-ranges")?, "bytes".to_owned())?;
    answer.lacks("content-range")?;
    Ok(())
}

async fn output_comes_as_often_as_it_is_asked_for(c: &Context) -> Outcome {
    let (v, job, whole) = output(c, 1000).await?;
    for _ in 0..3 {
        holds("other bytes", v.output(&job).await?.status(200)?.raw.body == whole)?;
    }
    Ok(())
}

async fn the_description_of_the_archive_comes_with_it(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let id = v.described(b"abc", "a  description").await?;
    let job = v.finished(&json!({"Type": "archive-retrieval", "ArchiveId": id})).await?;
    same(
        "description",
        v.output(&job).await?.status(200)?.header("x-amz-archive-description")?,
        "a  description".to_owned(),
    )
}

async fn an_archive_without_description_comes_without_one(c: &Context) -> Outcome {
    let (v, job, _) = output(c, 10).await?;
    v.output(&job).await?.status(200)?.lacks("x-amz-archive-description")?;
    Ok(())
}

async fn a_range_of_everything_is_partial_content(c: &Context) -> Outcome {
    ranged(c, 1000, "bytes=0-999", (0, 999), true).await
}

async fn a_range_of_a_single_byte_comes(c: &Context) -> Outcome {
    ranged(c, 1000, "bytes=17-17", (17, 17), false).await
}

async fn the_first_mebibyte_comes_with_its_hash(c: &Context) -> Outcome {
    ranged(c, 3 * MIB, "bytes=0-1048575", (0, MIB - 1), true).await
}

async fn a_pair_of_mebibytes_comes_with_its_hash(c: &Context) -> Outcome {
    ranged(c, 3 * MIB, "bytes=0-2097151", (0, 2 * MIB - 1), true).await
}

async fn an_odd_pair_of_mebibytes_comes_without_hash(c: &Context) -> Outcome {
    ranged(c, 3 * MIB, "bytes=1048576-3145727", (MIB, 3 * MIB - 1), false).await
}

async fn an_unaligned_range_comes_without_hash(c: &Context) -> Outcome {
    ranged(c, 3 * MIB, "bytes=1-1048576", (1, MIB), false).await
}

async fn an_end_beyond_the_output_is_clamped_and_hashed(c: &Context) -> Outcome {
    ranged(c, 5 * MIB, "bytes=4194304-8388607", (4 * MIB, 5 * MIB - 1), true).await
}

async fn an_end_far_beyond_the_output_is_clamped(c: &Context) -> Outcome {
    ranged(c, 1000, "bytes=0-18446744073709551615", (0, 999), true).await
}

async fn a_range_without_end_goes_to_the_end(c: &Context) -> Outcome {
    ranged(c, 1000, "bytes=900-", (900, 999), false).await
}

async fn a_range_of_the_last_bytes_comes(c: &Context) -> Outcome {
    ranged(c, 1000, "bytes=-100", (900, 999), false).await
}

async fn more_last_bytes_than_there_are_is_everything(c: &Context) -> Outcome {
    ranged(c, 1000, "bytes=-5000", (0, 999), true).await
}

async fn a_range_that_begins_beyond_the_end_is_refused(c: &Context) -> Outcome {
    refuses(c, "bytes=1000-1001").await
}

async fn a_range_that_ends_before_it_begins_is_refused(c: &Context) -> Outcome {
    refuses(c, "bytes=5-4").await
}

async fn several_ranges_are_refused(c: &Context) -> Outcome {
    refuses(c, "bytes=0-1,5-6").await
}

async fn the_last_zero_bytes_are_refused(c: &Context) -> Outcome {
    refuses(c, "bytes=-0").await
}

async fn a_range_that_is_none_is_refused(c: &Context) -> Outcome {
    for header in ["bytes", "bytes=", "bytes=a-b", "0-5", "lines=0-5", "bytes=-", "bytes 0-5"] {
        refuses(c, header).await?;
    }
    Ok(())
}

async fn a_range_that_begins_beyond_64_bits_is_refused(c: &Context) -> Outcome {
    refuses(c, "bytes=36893488147419103232-36893488147419103240").await
}

async fn an_aligned_job_range_comes_with_its_hash(c: &Context) -> Outcome {
    of_range(c, 6 * MIB + 99, (4 * MIB, 6 * MIB + 98), None, true).await
}

async fn an_aligned_part_of_an_aligned_job_range_comes_with_its_hash(c: &Context) -> Outcome {
    of_range(c, 6 * MIB + 99, (0, 4 * MIB - 1), Some((2 * MIB, 4 * MIB - 1)), true).await
}

async fn an_unaligned_part_of_an_aligned_job_range_comes_without(c: &Context) -> Outcome {
    of_range(c, 6 * MIB + 99, (0, 4 * MIB - 1), Some((MIB, 3 * MIB - 1)), false).await
}

async fn an_unaligned_job_range_comes_without_a_hash(c: &Context) -> Outcome {
    of_range(c, 6 * MIB + 99, (MIB, 3 * MIB - 1), None, false).await
}

async fn any_part_of_an_unaligned_job_range_comes_without_a_hash(c: &Context) -> Outcome {
    of_range(c, 6 * MIB + 99, (MIB, 3 * MIB - 1), Some((0, MIB - 1)), false).await
}

async fn every_chunk_of_4_mib_comes_with_its_hash(c: &Context) -> Outcome {
    let (v, job, whole) = output(c, 10 * MIB + 77).await?;
    for (index, chunk) in whole.chunks(4 * MIB).enumerate() {
        let first = index * 4 * MIB;
        let range = format!("bytes={first}-{}", first + 4 * MIB - 1);
        let answer = v.output(&job).header("range", range).await?.status(206)?;
        same("hash", answer.header("x-amz-sha256-tree-hash")?, tree(chunk))?;
        holds("other bytes", answer.raw.body == chunk)?;
    }
    Ok(())
}

async fn a_range_may_stay_unsigned(c: &Context) -> Outcome {
    // As boto 2 has it.
    let (v, job, whole) = output(c, 1000).await?;
    let answer = v.output(&job).unsigned("range", "bytes=0-1").await?.status(206)?;
    holds("other bytes", answer.raw.body == whole[..2])
}

async fn a_signed_range_cannot_be_changed(c: &Context) -> Outcome {
    let (v, job, _) = output(c, 1000).await?;
    let signed = v.output(&job).header("range", "bytes=0-1").wire().0;
    let changed = String::from_utf8_lossy(&signed).replacen("bytes=0-1", "bytes=0-9", 1);
    let raw = Connection::open(&c.authority())
        .await?
        .send(changed.as_bytes(), b"", Delivery::Whole)
        .await?;
    same("status", raw.status, 403)
}

async fn output_of_a_job_in_progress_is_not_available(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let job = v.job(&json!({"Type": "archive-retrieval", "ArchiveId": archive.id})).await?;
    v.output(&job)
        .await?
        .refused(ErrorCode::InvalidParameterValue)?
        .says(&format!("The job is not currently available for download: {job}"))?;
    Ok(())
}

async fn output_of_a_job_that_never_was_is_not_found(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let id = "j".repeat(92);
    v.output(&id)
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says(&format!("The job ID was not found: {id}"))?;
    Ok(())
}

async fn output_of_an_inventory_has_no_hash(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    let job = v.finished(&json!({"Type": "inventory-retrieval"})).await?;
    let answer = v
        .output(&job)
        .await?
        .status(200)?
        .lacks("x-amz-sha256-tree-hash")?
        .lacks("x-amz-archive-description")?;
    same("content-type", answer.header("content-type")?, "application/json".to_owned())
}

async fn an_inventory_comes_in_ranges_too(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    let job = v.finished(&json!({"Type": "inventory-retrieval"})).await?;
    let whole = v.output(&job).await?.status(200)?.raw.body;
    let answer = v
        .output(&job)
        .header("range", "bytes=5-20")
        .await?
        .status(206)?
        .lacks("x-amz-sha256-tree-hash")?;
    same("content-range", answer.header("content-range")?, format!("bytes 5-20/{}", whole.len()))?;
    holds("other bytes", answer.raw.body == whole[5..=20])
}

async fn downloads_at_the_same_time_all_get_their_bytes(c: &Context) -> Outcome {
    let (v, job, whole) = output(c, 4 * MIB).await?;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let request = v.output(&job);
        running.spawn(async move { request.await?.status(200) });
    }
    while let Some(ended) = running.join_next().await {
        let answer = ended.map_err(|error| Failed::new(error.to_string()))??;
        holds("other bytes", answer.raw.body == whole)?;
    }
    Ok(())
}
