//! Archives in a single request ("Upload Archive", "Delete Archive").

use icefield_protocol::ErrorCode;
use serde_json::json;

use super::HOUR;
use crate::bytes::{MIB, bytes, linear, tree};
use crate::context::{Context, text};
use crate::endpoint::Setup;
use crate::http::{Connection, NoAnswer};
use crate::outcome::{Failed, Outcome, holds, same};
use crate::suite::cases;

cases![
    "2.18" an_upload_answers_with_location_id_and_hash,
    "2.18" the_same_bytes_twice_are_two_archives,
    "2.18" [NoDelay] a_single_byte_comes_back,
    "2.18" [NoDelay] a_mebibyte_less_a_byte_comes_back,
    "2.18" [NoDelay] a_mebibyte_comes_back,
    "2.18" [NoDelay] a_mebibyte_and_a_byte_come_back,
    "2.18" [NoDelay] eleven_mebibytes_and_a_bit_come_back,
    "2.18" an_empty_archive_is_refused,
    "2.18" a_length_over_the_limit_is_refused_before_the_body,
    "2.18" a_length_just_over_4_gib_is_refused,
    "2.18" a_length_of_4_gib_is_asked_for,
    "2.18" a_wrong_tree_hash_is_refused_with_both,
    "2.18" the_linear_hash_of_a_long_archive_is_no_tree_hash,
    "2.18" a_tree_hash_of_63_digits_is_refused,
    "2.18" a_tree_hash_of_65_digits_is_refused,
    "2.18" a_tree_hash_with_another_letter_is_refused,
    "2.18" an_empty_tree_hash_is_refused,
    "2.18" a_tree_hash_in_base64_is_refused,
    "2.18" a_tree_hash_that_is_none_is_named_in_the_message,
    "2.18" upper_case_hex_in_the_tree_hash_is_accepted_and_answered_in_lower_case,
    "2.18" a_missing_tree_hash_misses_a_parameter,
    "2.18" a_missing_body_hash_misses_a_parameter,
    "2.18" a_body_hash_that_is_none_is_refused,
    "2.18" [Inventory] a_description_is_stored,
    "2.18" [Inventory] spaces_around_a_description_are_removed,
    "2.18" [Inventory] spaces_inside_a_description_are_kept,
    "2.18" [Inventory] an_empty_description_is_none,
    "2.18" [Inventory] every_printable_character_may_be_in_a_description,
    "2.18" [Inventory] a_description_of_1024_bytes_is_stored,
    "2.18" a_description_of_1025_bytes_is_refused,
    "2.18" a_description_with_a_tab_is_refused,
    "2.18" a_description_with_letters_beyond_ascii_is_refused,
    "2.18" a_description_with_a_delete_character_is_refused_or_turned_away,
    "2.18" a_description_that_is_refused_is_named,
    "2.18" an_archive_can_be_retrieved_before_it_is_in_an_inventory,
    "2.18" a_body_that_stalls_at_once_times_out,
    "2.18" a_body_that_stalls_at_its_end_times_out,
    "2.18" any_content_type_of_an_upload_is_ignored,
    "2.18" uploads_at_the_same_time_all_get_ids_of_their_own,
    "2.19" an_archive_is_deleted,
    "2.19" deleting_an_archive_again_is_fine,
    "2.19" what_was_never_an_archive_is_not_found,
    "2.19" an_id_of_another_length_is_not_found,
    "2.19" a_forged_id_is_not_found,
    "2.19" an_archive_of_another_vault_is_not_deleted,
    "2.19" a_deleted_archive_of_another_vault_is_not_this_vaults,
    "2.19" [Inventory] a_deleted_archive_leaves_the_inventory,
    "2.19" [Laboratory] the_last_inventory_goes_on_listing_a_deleted_archive,
    "2.19" [NoDelay] finished_output_outlives_its_archive,
    "2.19" [Laboratory] a_job_of_an_archive_that_is_deleted_meanwhile_fails_or_succeeds,
];

/// An upload is refused and leaves nothing.
async fn refuses_hash(c: &Context, hash: &str) -> Outcome {
    let v = c.vault().await?;
    v.post("/archives")
        .payload(b"abc")
        .header("x-amz-sha256-tree-hash", hash)
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    v.is_untouched().await
}

async fn refuses_description(c: &Context, description: &[u8]) -> Outcome {
    let v = c.vault().await?;
    let upload =
        v.post("/archives").payload(b"abc").header("x-amz-archive-description", description);
    upload.await?.refused(ErrorCode::InvalidParameterValue)?;
    v.is_untouched().await
}

/// A description is stored as `wanted`.
async fn stores_description(c: &Context, description: &str, wanted: &str) -> Outcome {
    let v = c.vault().await?;
    v.described(b"abc", description).await?;
    let listed = v.inventory().await?;
    same("description", text(&listed["ArchiveList"][0]["ArchiveDescription"]), wanted.to_owned())
}

/// The body of an upload stops after so many of its thousand bytes.
async fn stalls(c: &Context, length: usize) -> Outcome {
    let v = c.vault().await?;
    let upload = v.post("/archives").payload(&bytes(1, 1000)).stalled_after(length);
    upload.await?.refused(ErrorCode::RequestTimeout)?.says("Request timed out.")?;
    v.is_untouched().await
}

/// Uploads bytes, retrieves them, compares.
async fn comes_back(c: &Context, length: usize) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(bytes(7, length)).await?;
    let job = v.retrieved(&archive).await?;
    let answer = v.output(&job).await?.status(200)?;
    holds("other bytes came back", answer.raw.body == archive.bytes)?;
    same("hash", answer.header("x-amz-sha256-tree-hash")?, tree(&archive.bytes))
}
async fn an_upload_answers_with_location_id_and_hash(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let answer = v.post("/archives").payload(b"abc").await?.status(201)?;
    let id = answer.header("x-amz-archive-id")?;
    same("location", answer.header("location")?, v.location(format!("/archives/{id}")))?;
    same("hash", answer.header("x-amz-sha256-tree-hash")?, tree(b"abc"))
}

async fn the_same_bytes_twice_are_two_archives(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let (first, second) = (v.archive(b"abc".to_vec()).await?, v.archive(b"abc".to_vec()).await?);
    holds("one ID for two archives", first.id != second.id)
}

async fn a_single_byte_comes_back(c: &Context) -> Outcome {
    comes_back(c, 1).await
}

async fn a_mebibyte_less_a_byte_comes_back(c: &Context) -> Outcome {
    comes_back(c, MIB - 1).await
}

async fn a_mebibyte_comes_back(c: &Context) -> Outcome {
    comes_back(c, MIB).await
}

async fn a_mebibyte_and_a_byte_come_back(c: &Context) -> Outcome {
    comes_back(c, MIB + 1).await
}

async fn eleven_mebibytes_and_a_bit_come_back(c: &Context) -> Outcome {
    comes_back(c, 11 * MIB + 12_345).await
}

async fn an_empty_archive_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/archives")
        .payload(b"")
        .await?
        .refused(ErrorCode::InvalidParameterValue)?
        .says("Invalid Content-Length: 0")?;
    v.is_untouched().await
}

async fn a_length_over_the_limit_is_refused_before_the_body(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.post("/archives").payload(b"abc").length(38_505_164_800_u64);
    upload
        .await?
        .refused(ErrorCode::InvalidParameterValue)?
        .says("Invalid Content-Length: 38505164800")?;
    v.is_untouched().await
}

async fn a_length_just_over_4_gib_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/archives")
        .payload(b"abc")
        .length((4_u64 << 30) + 1)
        .expecting_continue()
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    v.is_untouched().await
}

async fn a_length_of_4_gib_is_asked_for(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.post("/archives").payload(b"abc").length(4_u64 << 30).expecting_continue();
    let mut connection = Connection::open(&c.authority()).await?;
    connection.write(&upload.wire().0).await?;
    same("interim answer", connection.interim().await?, 100)?;
    drop(connection);
    v.is_untouched().await
}

async fn a_wrong_tree_hash_is_refused_with_both(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let said = "0".repeat(64);
    let message = format!("Checksum mismatch: expected {said}, computed {}", tree(b"abc"));
    v.post("/archives")
        .payload(b"abc")
        .header("x-amz-sha256-tree-hash", said)
        .await?
        .refused(ErrorCode::InvalidParameterValue)?
        .says(&message)?;
    v.is_untouched().await
}

async fn the_linear_hash_of_a_long_archive_is_no_tree_hash(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let whole = bytes(2, MIB + 1);
    v.post("/archives")
        .payload(&whole)
        .header("x-amz-sha256-tree-hash", linear(&whole))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    v.is_untouched().await
}

async fn a_tree_hash_of_63_digits_is_refused(c: &Context) -> Outcome {
    refuses_hash(c, &"0".repeat(63)).await
}

async fn a_tree_hash_of_65_digits_is_refused(c: &Context) -> Outcome {
    refuses_hash(c, &"0".repeat(65)).await
}

async fn a_tree_hash_with_another_letter_is_refused(c: &Context) -> Outcome {
    refuses_hash(c, &"g".repeat(64)).await
}

async fn an_empty_tree_hash_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/archives")
        .payload(b"abc")
        .header("x-amz-sha256-tree-hash", "")
        .await?
        .refused_by(&[ErrorCode::InvalidParameterValue, ErrorCode::MissingParameterValue])?;
    v.is_untouched().await
}

async fn a_tree_hash_in_base64_is_refused(c: &Context) -> Outcome {
    refuses_hash(c, "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=").await
}

async fn a_tree_hash_that_is_none_is_named_in_the_message(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let answer = v
        .post("/archives")
        .payload(b"abc")
        .header("x-amz-sha256-tree-hash", "nothing")
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    holds(&answer.member("message"), answer.member("message").contains("nothing"))
}

async fn upper_case_hex_in_the_tree_hash_is_accepted_and_answered_in_lower_case(
    c: &Context,
) -> Outcome {
    let v = c.vault().await?;
    let hash = tree(b"abc");
    let answer = v
        .post("/archives")
        .payload(b"abc")
        .header("x-amz-sha256-tree-hash", hash.to_uppercase())
        .await?
        .status(201)?;
    same("hash", answer.header("x-amz-sha256-tree-hash")?, hash)
}

async fn a_missing_tree_hash_misses_a_parameter(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let answer = v
        .post("/archives")
        .payload(b"abc")
        .without("x-amz-sha256-tree-hash")
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    holds(&answer.member("message"), answer.member("message").contains("x-amz-sha256-tree-hash"))?;
    v.is_untouched().await
}

async fn a_missing_body_hash_misses_a_parameter(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/archives")
        .payload(b"abc")
        .without("x-amz-content-sha256")
        .await?
        .refused(ErrorCode::MissingParameterValue)?;
    v.is_untouched().await
}

async fn a_body_hash_that_is_none_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.post("/archives").payload(b"abc").header("x-amz-content-sha256", "nothing");
    upload
        .signing_hash("nothing")
        .await?
        .refused_by(&[ErrorCode::InvalidParameterValue, ErrorCode::InvalidSignature])?;
    v.is_untouched().await
}

async fn a_description_is_stored(c: &Context) -> Outcome {
    stores_description(
        c,
        "my archive: 2013-03-20 (a, b) \"c\" \\d",
        "my archive: 2013-03-20 (a, b) \"c\" \\d",
    )
    .await
}

async fn spaces_around_a_description_are_removed(c: &Context) -> Outcome {
    stores_description(c, "   in the middle  ", "in the middle").await
}

async fn spaces_inside_a_description_are_kept(c: &Context) -> Outcome {
    stores_description(c, "a  b   c", "a  b   c").await
}

async fn an_empty_description_is_none(c: &Context) -> Outcome {
    stores_description(c, "", "").await?;
    stores_description(c, "   ", "").await
}

async fn every_printable_character_may_be_in_a_description(c: &Context) -> Outcome {
    let all: String = (0x21..=0x7e_u8).map(char::from).collect();
    stores_description(c, &all, &all).await
}

async fn a_description_of_1024_bytes_is_stored(c: &Context) -> Outcome {
    stores_description(c, &"d".repeat(1024), &"d".repeat(1024)).await
}

async fn a_description_of_1025_bytes_is_refused(c: &Context) -> Outcome {
    refuses_description(c, "d".repeat(1025).as_bytes()).await
}

async fn a_description_with_a_tab_is_refused(c: &Context) -> Outcome {
    refuses_description(c, b"a\tb").await
}

async fn a_description_with_letters_beyond_ascii_is_refused(c: &Context) -> Outcome {
    refuses_description(c, "\u{fc}ber".as_bytes()).await
}

async fn a_description_with_a_delete_character_is_refused_or_turned_away(c: &Context) -> Outcome {
    let v = c.vault().await?;
    match v
        .post("/archives")
        .payload(b"abc")
        .header("x-amz-archive-description", b"a\x7fb")
        .raw()
        .await
    {
        Ok(raw) => same("status", raw.status, 400)?,
        Err(NoAnswer::Closed) => {}
        Err(other) => return Err(other.into()),
    }
    v.is_untouched().await
}

async fn a_description_that_is_refused_is_named(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let answer = v
        .post("/archives")
        .payload(b"abc")
        .header("x-amz-archive-description", "d".repeat(1025))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    holds(
        "the message does not name the header",
        answer.member("message").contains("x-amz-archive-description"),
    )
}

async fn an_archive_can_be_retrieved_before_it_is_in_an_inventory(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    v.job(&json!({"Type": "archive-retrieval", "ArchiveId": archive.id})).await?;
    Ok(())
}

async fn a_body_that_stalls_at_once_times_out(c: &Context) -> Outcome {
    stalls(c, 0).await
}

async fn a_body_that_stalls_at_its_end_times_out(c: &Context) -> Outcome {
    stalls(c, 999).await
}

async fn any_content_type_of_an_upload_is_ignored(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for kind in [
        "application/octet-stream",
        "binary/octet-stream",
        "application/json",
        "multipart/form-data",
    ] {
        v.post("/archives").payload(b"{").header("content-type", kind).await?.status(201)?;
    }
    Ok(())
}

async fn uploads_at_the_same_time_all_get_ids_of_their_own(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..16 {
        let vault = v.clone();
        running.spawn(async move { vault.archive(bytes(number, 50_000)).await });
    }
    let mut ids = std::collections::BTreeSet::new();
    while let Some(ended) = running.join_next().await {
        ids.insert(ended.map_err(|error| Failed::new(error.to_string()))??.id);
    }
    same("IDs", ids.len(), 16)
}

async fn an_archive_is_deleted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    v.post("/jobs")
        .json(&json!({"Type": "archive-retrieval", "ArchiveId": archive.id}))
        .await?
        .refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn deleting_an_archive_again_is_fine(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    Ok(())
}

async fn what_was_never_an_archive_is_not_found(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let id = "a".repeat(138);
    v.delete(format!("/archives/{id}"))
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says(&format!("The archive ID was not found: {id}"))?;
    Ok(())
}

async fn an_id_of_another_length_is_not_found(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for id in ["a", "-", "abc%20def", &"a".repeat(137), &"a".repeat(139)] {
        v.delete(format!("/archives/{id}"))
            .await?
            .refused_by(&[ErrorCode::ResourceNotFound, ErrorCode::InvalidParameterValue])?;
    }
    Ok(())
}

async fn a_forged_id_is_not_found(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let mut forged = archive.id.clone();
    let last = if forged.pop() == Some('A') { 'B' } else { 'A' };
    forged.push(last);
    v.delete(format!("/archives/{forged}"))
        .await?
        .refused_by(&[ErrorCode::ResourceNotFound, ErrorCode::InvalidParameterValue])?;
    v.job(&json!({"Type": "archive-retrieval", "ArchiveId": archive.id})).await?;
    Ok(())
}

async fn an_archive_of_another_vault_is_not_deleted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let other = c.vault().await?;
    let archive = other.archive(b"abc".to_vec()).await?;
    v.delete(format!("/archives/{}", archive.id))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?
        .says(&format!("Invalid vault name: {}", v.arn()))?;
    other.job(&json!({"Type": "archive-retrieval", "ArchiveId": archive.id})).await?;
    Ok(())
}

async fn a_deleted_archive_of_another_vault_is_not_this_vaults(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let other = c.vault().await?;
    let archive = other.archive(b"abc".to_vec()).await?;
    other.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    v.delete(format!("/archives/{}", archive.id))
        .await?
        .refused_by(&[ErrorCode::InvalidParameterValue, ErrorCode::ResourceNotFound])?;
    Ok(())
}

async fn a_deleted_archive_leaves_the_inventory(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let (gone, kept) = (v.archive(b"abc".to_vec()).await?, v.archive(b"abcd".to_vec()).await?);
    v.delete(format!("/archives/{}", gone.id)).await?.status(204)?;
    let listed = v.inventory().await?;
    same("archives", listed["ArchiveList"].as_array().map_or(0, Vec::len), 1)?;
    same("archive", text(&listed["ArchiveList"][0]["ArchiveId"]), kept.id)
}

async fn the_last_inventory_goes_on_listing_a_deleted_archive(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    c.advance(25 * HOUR).await;
    same("archives", v.describe().await?["NumberOfArchives"].clone(), json!(1))?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    let job = v.job(&json!({"Type": "inventory-retrieval"})).await?;
    c.advance(5 * HOUR).await;
    v.ended(&job).await?;
    let listed = v.output(&job).await?.status(200)?.json()?;
    same("archive", text(&listed["ArchiveList"][0]["ArchiveId"]), archive.id)
}

async fn finished_output_outlives_its_archive(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(bytes(1, 2 * MIB)).await?;
    let job = v.retrieved(&archive).await?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    holds("other bytes", v.output(&job).await?.status(200)?.raw.body == archive.bytes)
}

async fn a_job_of_an_archive_that_is_deleted_meanwhile_fails_or_succeeds(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let job = v.job(&json!({"Type": "archive-retrieval", "ArchiveId": archive.id})).await?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    c.advance(5 * HOUR).await;
    let told = v.ended(&job).await?;
    match told["StatusCode"].as_str() {
        Some("Failed") => {
            v.output(&job).await?.refused(ErrorCode::InvalidParameterValue)?;
        }
        Some("Succeeded") => {
            holds("other bytes", v.output(&job).await?.status(200)?.raw.body == b"abc")?;
        }
        _ => return Err(Failed::new(format!("{told}"))),
    }
    Ok(())
}
