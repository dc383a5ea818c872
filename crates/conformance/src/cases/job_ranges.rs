//! Retrieving ranges of archives ("Range Retrievals").

use icefield_protocol::ErrorCode;
use serde_json::{Value, json};

use super::{no_job, retrieval};
use crate::bytes::{MIB, bytes, tree};
use crate::context::{Context, text};
use crate::outcome::{Outcome, same};
use crate::suite::cases;

cases![
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
];

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
    no_job(&v, &retrieval(&archive, json!({"RetrievalByteRange": range}))).await
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
