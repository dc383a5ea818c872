//! Pages of lists ("Listing" of each operation's page).

use icefield_protocol::ErrorCode;
use serde_json::{Value, json};

use super::stranger;
use crate::bytes::MIB;
use crate::context::{Context, Vault, text};
use crate::outcome::{Failed, Outcome, holds, same};
use crate::signing::encoded;
use crate::suite::cases;

cases![
    "1.12" a_limit_of_zero_is_refused,
    "1.12" a_negative_limit_is_refused,
    "1.12" a_limit_that_is_no_number_is_refused,
    "1.12" a_limit_above_the_maximum_is_clamped,
    "1.12" an_enormous_limit_is_clamped_or_refused_but_harmless,
    "1.12" an_empty_limit_is_none,
    "1.12" an_empty_marker_begins_at_the_start,
    "1.12" a_marker_that_means_nothing_is_refused,
    "1.12" a_marker_of_control_characters_is_refused,
    "1.12" the_last_page_has_a_null_marker,
    "2.3" vaults_come_ten_to_a_page,
    "2.3" a_limit_of_one_lists_one_vault,
    "2.3" a_marker_of_vaults_goes_on_where_the_page_ended,
    "2.3" a_marker_of_a_deleted_vault_stays_valid,
    "2.3" a_marker_of_another_account_is_refused,
    "2.3" a_marker_that_is_no_arn_is_refused,
    "2.28" jobs_come_fifty_to_a_page,
    "2.28" jobs_are_listed_in_pages_of_any_size,
    "2.28" jobs_are_listed_in_order_of_their_initiation,
    "2.28" a_filter_goes_on_over_the_pages,
    "2.28" a_marker_of_another_vault_is_refused_or_lists_nothing_of_it,
    "2.23" uploads_come_fifty_to_a_page,
    "2.23" uploads_are_listed_in_pages_of_any_size,
    "2.23" a_marker_of_an_aborted_upload_stays_valid,
    "2.22" parts_come_fifty_to_a_page_in_order,
    "2.22" parts_are_listed_in_pages_of_any_size,
    "2.22" a_marker_of_parts_stays_valid_when_a_part_is_replaced,
];

/// Walks through all pages of a list in steps of `limit` and returns what they list, by this member.
async fn walk(
    v: &Vault,
    path: &str,
    limit: usize,
    list: &str,
    member: &str,
) -> Result<Vec<String>, Failed> {
    let (mut all, mut marker) = (Vec::new(), String::new());
    for _ in 0..200 {
        let page =
            v.get(format!("{path}?limit={limit}&marker={marker}")).await?.status(200)?.json()?;
        let items = page[list].as_array().cloned().unwrap_or_default();
        holds("a page has more items than asked for", items.len() <= limit)?;
        all.extend(items.iter().map(|item| text(&item[member])));
        match page["Marker"].as_str() {
            Some("") => return Err(Failed::new("a marker is empty")),
            Some(next) => marker = encoded(next.as_bytes(), b""),
            None => return Ok(all),
        }
    }
    Err(Failed::new("the pages do not end"))
}

/// Every list of the vault, with paths that exist.
async fn lists(v: &Vault) -> Result<Vec<String>, Failed> {
    let upload = v.upload(1).await?;
    Ok(vec!["/-/vaults".to_owned(), v.at("/jobs"), v.at("/multipart-uploads"), v.at(upload.path())])
}

async fn refuses_limit(c: &Context, limit: &str) -> Outcome {
    for path in lists(&c.vault().await?).await? {
        c.get(format!("{path}?limit={limit}")).await?.refused(ErrorCode::InvalidParameterValue)?;
    }
    Ok(())
}

async fn distinct(names: &[String], wanted: usize) -> Outcome {
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    same("distinct items", sorted.len(), wanted)?;
    same("items", names.len(), wanted)
}
async fn a_limit_of_zero_is_refused(c: &Context) -> Outcome {
    refuses_limit(c, "0").await
}

async fn a_negative_limit_is_refused(c: &Context) -> Outcome {
    refuses_limit(c, "-1").await
}

async fn a_limit_that_is_no_number_is_refused(c: &Context) -> Outcome {
    refuses_limit(c, "ten").await?;
    refuses_limit(c, "1.5").await?;
    refuses_limit(c, "0x10").await
}

async fn a_limit_above_the_maximum_is_clamped(c: &Context) -> Outcome {
    for path in lists(&c.vault().await?).await? {
        c.get(format!("{path}?limit=1000")).await?.status(200)?;
        c.get(format!("{path}?limit=51")).await?.status(200)?;
    }
    Ok(())
}

async fn an_enormous_limit_is_clamped_or_refused_but_harmless(c: &Context) -> Outcome {
    for path in lists(&c.vault().await?).await? {
        let answer = c.get(format!("{path}?limit=99999999999999999999999")).await?;
        holds("status", [200, 400].contains(&answer.raw.status))?;
    }
    Ok(())
}

async fn an_empty_limit_is_none(c: &Context) -> Outcome {
    for path in lists(&c.vault().await?).await? {
        c.get(format!("{path}?limit=")).await?.status(200)?;
    }
    Ok(())
}

async fn an_empty_marker_begins_at_the_start(c: &Context) -> Outcome {
    for path in lists(&c.vault().await?).await? {
        c.get(format!("{path}?marker=")).await?.status(200)?;
        c.get(format!("{path}?marker=&limit=")).await?.status(200)?;
    }
    Ok(())
}

async fn a_marker_that_means_nothing_is_refused(c: &Context) -> Outcome {
    for path in lists(&c.vault().await?).await? {
        c.get(format!("{path}?marker=%20nonsense"))
            .await?
            .refused(ErrorCode::InvalidParameterValue)?;
    }
    Ok(())
}

async fn a_marker_of_control_characters_is_refused(c: &Context) -> Outcome {
    for path in lists(&c.vault().await?).await? {
        c.get(format!("{path}?marker=%00%01")).await?.refused(ErrorCode::InvalidParameterValue)?;
    }
    Ok(())
}

async fn the_last_page_has_a_null_marker(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for path in lists(&v).await?.split_off(1) {
        same("marker", c.get(path).await?.json()?["Marker"].clone(), Value::Null)?;
    }
    Ok(())
}

async fn vaults_come_ten_to_a_page(c: &Context) -> Outcome {
    let mut vaults = Vec::new();
    for _ in 0..12 {
        vaults.push(c.vault().await?);
    }
    for query in ["", "?limit=10", "?limit=1000"] {
        let page = c.get(format!("/-/vaults{query}")).await?.status(200)?.json()?;
        same("items", page["VaultList"].as_array().map_or(0, Vec::len), 10)?;
        holds("the marker is an ARN", text(&page["Marker"]).starts_with("arn:aws:glacier:"))?;
    }
    Ok(())
}

async fn a_limit_of_one_lists_one_vault(c: &Context) -> Outcome {
    let v = c.vault().await?;
    c.vault().await?;
    let page = c.get("/-/vaults?limit=1").await?.status(200)?.json()?;
    same("items", page["VaultList"].as_array().map_or(0, Vec::len), 1)?;
    holds("there is no marker", page["Marker"].is_string())?;
    v.get("").await?.status(200)?;
    Ok(())
}

async fn a_marker_of_vaults_goes_on_where_the_page_ended(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let marker = encoded(v.arn().as_bytes(), b"");
    let page = c.get(format!("/-/vaults?marker={marker}")).await?.status(200)?.json()?;
    let first = text(&page["VaultList"][0]["VaultName"]);
    holds(&format!("{first} is before {}", v.name), first >= v.name)
}

async fn a_marker_of_a_deleted_vault_stays_valid(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let after = c.vault().await?;
    let marker = encoded(v.arn().as_bytes(), b"");
    v.delete("").await?.status(204)?;
    let page = c.get(format!("/-/vaults?marker={marker}")).await?.status(200)?.json()?;
    let first = text(&page["VaultList"][0]["VaultName"]);
    holds(&format!("{first} is before {}", v.name), first > v.name)?;
    after.get("").await?.status(200)?;
    Ok(())
}

async fn a_marker_of_another_account_is_refused(c: &Context) -> Outcome {
    let marker =
        encoded(format!("arn:aws:glacier:{}:{}:vaults/v", c.region(), stranger(c)).as_bytes(), b"");
    c.get(format!("/-/vaults?marker={marker}")).await?.refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn a_marker_that_is_no_arn_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    c.get(format!("/-/vaults?marker={}", v.name))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn jobs_come_fifty_to_a_page(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    let body = json!({"Type": "archive-retrieval", "ArchiveId": archive.id});
    let mut jobs = Vec::new();
    for _ in 0..53 {
        jobs.push(v.job(&body).await?);
    }
    for query in ["", "?limit=50", "?limit=1000"] {
        let page = v.get(format!("/jobs{query}")).await?.status(200)?.json()?;
        same("items", page["JobList"].as_array().map_or(0, Vec::len), 50)?;
        holds("there is no marker", page["Marker"].is_string())?;
    }
    let listed = walk(&v, "/jobs", 50, "JobList", "JobId").await?;
    distinct(&listed, 53).await?;
    holds("a job is missing", jobs.iter().all(|job| listed.contains(job)))
}

async fn jobs_are_listed_in_pages_of_any_size(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    for _ in 0..7 {
        v.job(&json!({"Type": "archive-retrieval", "ArchiveId": archive.id})).await?;
    }
    for limit in [1, 2, 3, 7, 8] {
        distinct(&walk(&v, "/jobs", limit, "JobList", "JobId").await?, 7).await?;
    }
    Ok(())
}

async fn jobs_are_listed_in_order_of_their_initiation(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    for _ in 0..5 {
        v.job(&json!({"Type": "archive-retrieval", "ArchiveId": archive.id})).await?;
    }
    let list = v.get("/jobs").await?.json()?;
    let dates: Vec<_> = list["JobList"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|job| text(&job["CreationDate"]))
        .collect();
    holds(&format!("{dates:?}"), dates.is_sorted() && dates.len() == 5)
}

async fn a_filter_goes_on_over_the_pages(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    for _ in 0..4 {
        v.job(&json!({"Type": "archive-retrieval", "ArchiveId": archive.id})).await?;
    }
    let one = v.get("/jobs?limit=1").await?.json()?;
    let marker = encoded(text(&one["Marker"]).as_bytes(), b"");
    let rest = v.get(format!("/jobs?limit=50&marker={marker}")).await?.status(200)?.json()?;
    same("items", rest["JobList"].as_array().map_or(0, Vec::len), 3)
}

async fn a_marker_of_another_vault_is_refused_or_lists_nothing_of_it(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let other = c.vault().await?;
    for vault in [&v, &other] {
        let archive = vault.archive(b"abc".to_vec()).await?;
        for _ in 0..3 {
            vault.job(&json!({"Type": "archive-retrieval", "ArchiveId": archive.id})).await?;
        }
    }
    let marker = encoded(text(&v.get("/jobs?limit=1").await?.json()?["Marker"]).as_bytes(), b"");
    let answer = other.get(format!("/jobs?marker={marker}")).await?;
    holds("a job of another vault is listed", !answer.text().contains(&v.name))
}

async fn uploads_come_fifty_to_a_page(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for _ in 0..52 {
        v.upload(1).await?;
    }
    for query in ["", "?limit=50", "?limit=1000"] {
        let page = v.get(format!("/multipart-uploads{query}")).await?.status(200)?.json()?;
        same("items", page["UploadsList"].as_array().map_or(0, Vec::len), 50)?;
    }
    distinct(&walk(&v, "/multipart-uploads", 50, "UploadsList", "MultipartUploadId").await?, 52)
        .await
}

async fn uploads_are_listed_in_pages_of_any_size(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for _ in 0..7 {
        v.upload(1).await?;
    }
    for limit in [1, 2, 6, 7, 8] {
        distinct(
            &walk(&v, "/multipart-uploads", limit, "UploadsList", "MultipartUploadId").await?,
            7,
        )
        .await?;
    }
    Ok(())
}

async fn a_marker_of_an_aborted_upload_stays_valid(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let mut uploads = Vec::new();
    for _ in 0..4 {
        uploads.push(v.upload(1).await?);
    }
    let page = v.get("/multipart-uploads?limit=2").await?.json()?;
    let marker = text(&page["Marker"]);
    if let Some(named) = uploads.iter().find(|upload| upload.id == marker) {
        named.abort().await?.status(204)?;
        let rest =
            v.get(format!("/multipart-uploads?marker={marker}")).await?.status(200)?.json()?;
        same("items", rest["UploadsList"].as_array().map_or(0, Vec::len), 1)?;
    }
    Ok(())
}

async fn parts_come_fifty_to_a_page_in_order(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    for index in (0..52).rev() {
        upload.part(index * MIB, b"abc").await?.status(204)?;
    }
    for query in ["", "?limit=50", "?limit=100"] {
        let page = upload.list(query).await?.status(200)?.json()?;
        same("items", page["Parts"].as_array().map_or(0, Vec::len), 50)?;
    }
    let ranges = walk(&v, &upload.path(), 50, "Parts", "RangeInBytes").await?;
    let wanted: Vec<_> =
        (0..52).map(|index| format!("{}-{}", index * MIB, index * MIB + 2)).collect();
    same("ranges", ranges, wanted)
}

async fn parts_are_listed_in_pages_of_any_size(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    for index in 0..7 {
        upload.part(index * MIB, b"abc").await?.status(204)?;
    }
    for limit in [1, 2, 6, 7, 8] {
        distinct(&walk(&v, &upload.path(), limit, "Parts", "RangeInBytes").await?, 7).await?;
    }
    Ok(())
}

async fn a_marker_of_parts_stays_valid_when_a_part_is_replaced(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    for index in 0..4 {
        upload.part(index * MIB, b"abc").await?.status(204)?;
    }
    let page = upload.list("?limit=2").await?.json()?;
    upload.part(2 * MIB, b"abcd").await?.status(204)?;
    let marker = encoded(text(&page["Marker"]).as_bytes(), b"");
    let rest = upload.list(&format!("?marker={marker}")).await?.status(200)?.json()?;
    same("range", text(&rest["Parts"][0]["RangeInBytes"]), format!("{}-{}", 2 * MIB, 2 * MIB + 3))
}
