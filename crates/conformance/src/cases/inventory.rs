//! Inventories ("Initiate Job", "Range Inventory Retrieval", "Get Job Output").

use icefield_protocol::ErrorCode;
use serde_json::{Value, json};

use super::HOUR;
use crate::bytes::{bytes, tree};
use crate::context::{Context, Vault, text};
use crate::endpoint::Setup;
use crate::outcome::{Failed, Outcome, holds, same};
use crate::suite::cases;

cases![
    "5.1" [Inventory] an_inventory_lists_what_is_in_the_vault,
    "5.1" [Inventory] the_members_of_an_inventory_stand_in_their_order,
    "5.1" [Inventory] dates_of_an_inventory_are_whole_seconds,
    "5.1" [Inventory] the_date_of_an_inventory_is_that_of_its_vault_cut_off,
    "5.1" [Inventory] an_emptied_vault_has_an_empty_list,
    "5.1" [Inventory] archives_are_listed_in_order_of_their_creation,
    "5.1" [Inventory] an_archive_without_description_has_an_empty_one,
    "5.1" [Inventory] quotes_and_backslashes_are_escaped_as_in_any_json,
    "5.2" [Inventory] a_csv_begins_with_its_five_names,
    "5.2" [Inventory] a_csv_of_an_emptied_vault_is_its_header,
    "5.2" [Inventory] a_line_of_a_csv_has_all_fields,
    "5.2" [Inventory] a_comma_in_a_csv_is_quoted,
    "5.2" [Inventory] a_quote_in_a_csv_gets_a_backslash,
    "5.2" [Inventory] a_backslash_in_a_csv_gets_none,
    "5.2" [Inventory] plain_text_in_a_csv_may_be_quoted,
    "5.2" [Inventory] an_empty_description_in_a_csv_is_an_empty_field,
    "5.2" [Inventory] a_csv_job_tells_its_format,
    "5.3" [Inventory] a_limit_is_kept,
    "5.3" [Inventory] a_limit_may_be_a_number,
    "5.3" [Inventory] a_limit_is_told_as_text,
    "5.3" [Inventory] the_dates_of_a_job_are_told,
    "5.3" [Inventory] a_long_inventory_is_read_in_pages,
    "5.3" [Inventory] a_full_inventory_has_no_marker,
    "5.3" [Inventory] pages_stay_with_their_snapshot,
    "5.3" [Inventory] all_archives_are_in_a_range_around_them,
    "5.3" [Inventory] no_archive_is_in_a_range_before_them,
    "1.5" [Inventory] every_form_of_a_date_is_read,
    "5.3" [Laboratory] a_start_is_inclusive_and_an_end_exclusive,
    "5.3" [Laboratory] dates_and_limits_work_together,
    "5.3" a_start_after_its_end_is_refused,
    "5.3" a_date_that_is_none_is_refused,
    "5.3" a_limit_below_one_is_refused,
    "5.3" a_foreign_marker_is_refused,
    "5.3" [Inventory] a_damaged_marker_is_refused,
    "5.3" [Inventory] a_marker_of_another_vault_is_refused,
    "3.4" [Laboratory] an_inventory_job_reports_the_snapshot_of_its_beginning,
    "3.4" [Laboratory] an_inventory_job_takes_as_long_as_a_standard_one,
    "3.4" [Laboratory] an_inventory_shows_nothing_of_uploads_since,
];

const HEADER: &str = "ArchiveId,ArchiveDescription,CreationDate,Size,SHA256TreeHash";

fn job_of(parameters: Value) -> Value {
    json!({"Type": "inventory-retrieval", "InventoryRetrievalParameters": parameters})
}

async fn csv(v: &Vault) -> Result<String, Failed> {
    let job = v.finished(&json!({"Type": "inventory-retrieval", "Format": "CSV"})).await?;
    let answer = v.output(&job).await?.status(200)?;
    same("content-type", answer.header("content-type")?, "text/csv".to_owned())?;
    Ok(answer.text())
}

/// The field of a description in the CSV is one of these.
async fn written(c: &Context, description: &str, wanted: &[&str]) -> Outcome {
    let v = c.vault().await?;
    let id = v.described(b"abc", description).await?;
    let lines = csv(&v).await?;
    let line = lines.lines().nth(1).unwrap_or_default();
    let field =
        line.strip_prefix(&format!("{id},")).or_else(|| line.strip_prefix(&format!("\"{id}\",")));
    let field = field.ok_or_else(|| Failed::new(format!("no line of the archive: {line}")))?;
    let fits = |form: &&str| field.starts_with(&format!("{form},"));
    holds(&format!("{field} is none of {wanted:?}"), wanted.iter().any(fits))
}

async fn refuses(c: &Context, parameters: Value) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    v.post("/jobs").json(&job_of(parameters)).await?.refused(ErrorCode::InvalidParameterValue)?;
    same("jobs", v.get("/jobs").await?.json()?["JobList"].clone(), json!([]))
}

/// The IDs that an inventory with these parameters lists.
async fn listed(v: &Vault, parameters: Value) -> Result<Vec<String>, Failed> {
    let job = v.finished(&job_of(parameters)).await?;
    ids(&v.output(&job).await?.status(200)?.json()?)
}

fn ids(inventory: &Value) -> Result<Vec<String>, Failed> {
    let items = inventory["ArchiveList"].as_array();
    let items = items.ok_or_else(|| Failed::new(format!("no list: {inventory}")))?;
    Ok(items.iter().map(|item| text(&item["ArchiveId"])).collect())
}

/// Three archives an hour apart, and their dates.
async fn hours(c: &Context) -> Result<(Vault, Vec<String>, Vec<String>), Failed> {
    let v = c.vault().await?;
    let (mut archives, mut dates) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        archives.push(v.archive(b"abc".to_vec()).await?.id);
        dates.push(c.now().to_seconds_string());
        c.advance(HOUR).await;
    }
    Ok((v, archives, dates))
}
async fn an_inventory_lists_what_is_in_the_vault(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let id = v.described(b"abc", "mine").await?;
    let told = v.inventory().await?;
    same("vault", text(&told["VaultARN"]), v.arn())?;
    let item = &told["ArchiveList"][0];
    same("ID", text(&item["ArchiveId"]), id)?;
    same("description", text(&item["ArchiveDescription"]), "mine".to_owned())?;
    same("size", item["Size"].clone(), json!(3))?;
    same("hash", text(&item["SHA256TreeHash"]), tree(b"abc"))?;
    same("members", item.as_object().map_or(0, serde_json::Map::len), 5)
}

async fn the_members_of_an_inventory_stand_in_their_order(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.described(b"abc", "mine").await?;
    let job = v.finished(&json!({"Type": "inventory-retrieval"})).await?;
    let body = v.output(&job).await?.status(200)?.text();
    let at: Vec<_> = [
        "\"VaultARN\"",
        "\"InventoryDate\"",
        "\"ArchiveList\"",
        "\"ArchiveId\"",
        "\"ArchiveDescription\"",
        "\"CreationDate\"",
        "\"Size\"",
        "\"SHA256TreeHash\"",
    ]
    .iter()
    .map(|name| body.find(name))
    .collect();
    holds(&body, at.iter().all(Option::is_some) && at.is_sorted())
}

async fn dates_of_an_inventory_are_whole_seconds(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    let told = v.inventory().await?;
    for date in [text(&told["InventoryDate"]), text(&told["ArchiveList"][0]["CreationDate"])] {
        holds(&date, date.len() == 20 && date.ends_with('Z') && date.as_bytes()[10] == b'T')?;
    }
    Ok(())
}

async fn the_date_of_an_inventory_is_that_of_its_vault_cut_off(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    let told = v.inventory().await?;
    let described = text(&v.describe().await?["LastInventoryDate"]);
    let date = text(&told["InventoryDate"]);
    holds(
        &format!("{date} and {described}"),
        described.get(..19).is_some_and(|start| date == format!("{start}Z")) || date < described,
    )
}

async fn an_emptied_vault_has_an_empty_list(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    v.inventory().await?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    same("list", v.inventory().await?["ArchiveList"].clone(), json!([]))
}

async fn archives_are_listed_in_order_of_their_creation(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for number in 0..5 {
        v.archive(bytes(number, 10)).await?;
    }
    let told = v.inventory().await?;
    let dates: Vec<_> = told["ArchiveList"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| text(&item["CreationDate"]))
        .collect();
    holds(&format!("{dates:?}"), dates.len() == 5 && dates.is_sorted())
}

async fn an_archive_without_description_has_an_empty_one(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    same(
        "description",
        v.inventory().await?["ArchiveList"][0]["ArchiveDescription"].clone(),
        json!(""),
    )
}

async fn quotes_and_backslashes_are_escaped_as_in_any_json(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.described(b"abc", "a\"b\\c/d").await?;
    same(
        "description",
        v.inventory().await?["ArchiveList"][0]["ArchiveDescription"].clone(),
        json!("a\"b\\c/d"),
    )
}

async fn a_csv_begins_with_its_five_names(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    let lines = csv(&v).await?;
    same("first line", lines.lines().next().unwrap_or_default().to_owned(), HEADER.to_owned())?;
    same("lines", lines.lines().count(), 2)?;
    holds("a carriage return", !lines.contains('\r'))
}

async fn a_csv_of_an_emptied_vault_is_its_header(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    v.inventory().await?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    same("csv", csv(&v).await?.trim_end_matches('\n').to_owned(), HEADER.to_owned())
}

async fn a_line_of_a_csv_has_all_fields(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let id = v.described(b"abc", "mine").await?;
    let lines = csv(&v).await?.replace('"', "");
    let fields: Vec<_> = lines.lines().nth(1).unwrap_or_default().split(',').collect();
    same("fields", fields.len(), 5)?;
    same(
        "fixed fields",
        vec![fields[0], fields[1], fields[3], fields[4]],
        vec![id.as_str(), "mine", "3", &tree(b"abc")],
    )?;
    same("length of the date", fields[2].len(), 20)
}

async fn a_comma_in_a_csv_is_quoted(c: &Context) -> Outcome {
    written(c, "my archive description,1", &["\"my archive description,1\""]).await
}

async fn a_quote_in_a_csv_gets_a_backslash(c: &Context) -> Outcome {
    written(c, "my archive description,1\"2", &["\"my archive description,1\\\"2\""]).await
}

async fn a_backslash_in_a_csv_gets_none(c: &Context) -> Outcome {
    written(c, "my archive description,1\\\"2", &["\"my archive description,1\\\\\"2\""]).await?;
    written(c, "C:\\dir", &["\"C:\\dir\""]).await
}

async fn plain_text_in_a_csv_may_be_quoted(c: &Context) -> Outcome {
    written(c, "plain text", &["plain text", "\"plain text\""]).await
}

async fn an_empty_description_in_a_csv_is_an_empty_field(c: &Context) -> Outcome {
    written(c, "", &["", "\"\""]).await
}

async fn a_csv_job_tells_its_format(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    let job = v.job(&json!({"Type": "inventory-retrieval", "Format": "CSV"})).await?;
    same(
        "format",
        text(&v.describe_job(&job).await?["InventoryRetrievalParameters"]["Format"]),
        "CSV".to_owned(),
    )
}

async fn a_limit_is_kept(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for number in 0..3 {
        v.archive(bytes(number, 10)).await?;
    }
    same("archives", listed(&v, json!({"Limit": "2"})).await?.len(), 2)
}

async fn a_limit_may_be_a_number(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for number in 0..3 {
        v.archive(bytes(number, 10)).await?;
    }
    same("archives", listed(&v, json!({"Limit": 1})).await?.len(), 1)
}

async fn a_limit_is_told_as_text(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    let job = v.job(&job_of(json!({"Limit": 7}))).await?;
    same(
        "limit",
        v.describe_job(&job).await?["InventoryRetrievalParameters"]["Limit"].clone(),
        json!("7"),
    )
}

async fn the_dates_of_a_job_are_told(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    let job = v
        .job(&job_of(
            json!({"StartDate": "2013-03-20T17:03:43Z", "EndDate": "2113-03-20T17:03:43Z"}),
        ))
        .await?;
    let told = v.describe_job(&job).await?["InventoryRetrievalParameters"].clone();
    holds(
        &format!("{told}"),
        text(&told["StartDate"]).starts_with("2013-03-20T17:03:43")
            && text(&told["EndDate"]).starts_with("2113-03-20T17:03:43"),
    )
}

async fn a_long_inventory_is_read_in_pages(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let mut wanted = Vec::new();
    for number in 0..5 {
        wanted.push(v.archive(bytes(number, 10)).await?.id);
    }
    let (mut seen, mut marker) = (Vec::new(), Value::Null);
    for _ in 0..3 {
        let job = v.finished(&job_of(json!({"Limit": "2", "Marker": marker}))).await?;
        seen.extend(ids(&v.output(&job).await?.status(200)?.json()?)?);
        let told = v.describe_job(&job).await?;
        marker = told["InventoryRetrievalParameters"]["Marker"].clone();
        same("both markers", told["NextInventoryRetrievalMarker"].clone(), marker.clone())?;
    }
    same("last marker", marker, Value::Null)?;
    seen.sort_unstable();
    wanted.sort_unstable();
    same("archives", seen, wanted)
}

async fn a_full_inventory_has_no_marker(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    let job = v.finished(&json!({"Type": "inventory-retrieval"})).await?;
    let told = v.describe_job(&job).await?;
    same("marker", told["InventoryRetrievalParameters"]["Marker"].clone(), Value::Null)?;
    same("marker", told["NextInventoryRetrievalMarker"].clone(), Value::Null)
}

async fn pages_stay_with_their_snapshot(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for number in 0..3 {
        v.archive(bytes(number, 10)).await?;
    }
    let job = v.finished(&job_of(json!({"Limit": "2"}))).await?;
    let marker = v.describe_job(&job).await?["InventoryRetrievalParameters"]["Marker"].clone();
    v.archive(b"later".to_vec()).await?;
    v.inventory().await?;
    same("archives", listed(&v, json!({"Marker": marker})).await?.len(), 1)
}

async fn all_archives_are_in_a_range_around_them(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let id = v.archive(b"abc".to_vec()).await?.id;
    same(
        "archives",
        listed(&v, json!({"StartDate": "2000-01-01T00:00:00Z", "EndDate": "2999-01-01T00:00:00Z"}))
            .await?,
        vec![id],
    )
}

async fn no_archive_is_in_a_range_before_them(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    same(
        "archives",
        listed(&v, json!({"EndDate": "2000-01-01T00:00:00Z"})).await?,
        Vec::<String>::new(),
    )?;
    same(
        "archives",
        listed(&v, json!({"StartDate": "2999-01-01T00:00:00Z"})).await?,
        Vec::<String>::new(),
    )
}

async fn every_form_of_a_date_is_read(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let id = v.archive(b"abc".to_vec()).await?.id;
    for date in [
        "2013-03-20T17:03:43Z",
        "2013-03-20T17:03:43.221Z",
        "2013-03-20T19:03:43+02:00",
        "2013-03-20T19:03:43+0200",
        "2013-03-20T17:03:43UTC",
        "2013-03-20T17:03:43",
    ] {
        same(date, listed(&v, json!({"StartDate": date})).await?, vec![id.clone()])?;
    }
    Ok(())
}

async fn a_start_is_inclusive_and_an_end_exclusive(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::Immediate).await?;
    let (v, archives, dates) = hours(c).await?;
    let between =
        listed(&v, json!({"StartDate": dates[1], "EndDate": "2999-01-01T00:00:00Z"})).await?;
    same("from the second on", between, archives[1..].to_vec())?;
    let until = listed(&v, json!({"EndDate": dates[1]})).await?;
    same("before the second", until, archives[..1].to_vec())
}

async fn dates_and_limits_work_together(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::Immediate).await?;
    let (v, archives, dates) = hours(c).await?;
    let some = listed(&v, json!({"StartDate": dates[1], "Limit": "1"})).await?;
    same("one from the second on", some, archives[1..2].to_vec())
}

async fn a_start_after_its_end_is_refused(c: &Context) -> Outcome {
    refuses(c, json!({"StartDate": "2014-01-01T00:00:00Z", "EndDate": "2013-01-01T00:00:00Z"}))
        .await
}

async fn a_date_that_is_none_is_refused(c: &Context) -> Outcome {
    for date in ["yesterday", "2013-02-30T00:00:00Z", "2013-03-20", "1363799023"] {
        refuses(c, json!({"StartDate": date})).await?;
    }
    Ok(())
}

async fn a_limit_below_one_is_refused(c: &Context) -> Outcome {
    for limit in ["0", "-1", "1.5", "many"] {
        refuses(c, json!({"Limit": limit})).await?;
    }
    Ok(())
}

async fn a_foreign_marker_is_refused(c: &Context) -> Outcome {
    refuses(c, json!({"Marker": "nonsense"})).await
}

async fn a_damaged_marker_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for number in 0..3 {
        v.archive(bytes(number, 10)).await?;
    }
    let job = v.finished(&job_of(json!({"Limit": "1"}))).await?;
    let marker = text(&v.describe_job(&job).await?["InventoryRetrievalParameters"]["Marker"]);
    let damaged: String = marker.chars().rev().collect();
    v.post("/jobs")
        .json(&job_of(json!({"Limit": "1", "Marker": damaged})))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn a_marker_of_another_vault_is_refused(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let other = c.vault().await?;
    for vault in [&v, &other] {
        for number in 0..3 {
            vault.archive(bytes(number, 10)).await?;
        }
    }
    let job = v.finished(&job_of(json!({"Limit": "1"}))).await?;
    let marker = v.describe_job(&job).await?["InventoryRetrievalParameters"]["Marker"].clone();
    other
        .post("/jobs")
        .json(&job_of(json!({"Marker": marker})))
        .await?
        .refused(ErrorCode::InvalidParameterValue)?;
    Ok(())
}

async fn an_inventory_job_reports_the_snapshot_of_its_beginning(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let first = v.archive(b"abc".to_vec()).await?;
    c.advance(25 * HOUR).await;
    let job = v.job(&json!({"Type": "inventory-retrieval"})).await?;
    v.archive(b"later".to_vec()).await?;
    c.advance(25 * HOUR).await;
    v.ended(&job).await?;
    same("archives", ids(&v.output(&job).await?.status(200)?.json()?)?, vec![first.id])
}

async fn an_inventory_job_takes_as_long_as_a_standard_one(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    c.advance(25 * HOUR).await;
    let job = v.job(&json!({"Type": "inventory-retrieval"})).await?;
    c.advance(HOUR).await;
    same("status", text(&v.describe_job(&job).await?["StatusCode"]), "InProgress".to_owned())?;
    c.advance(4 * HOUR).await;
    same("status", text(&v.ended(&job).await?["StatusCode"]), "Succeeded".to_owned())
}

async fn an_inventory_shows_nothing_of_uploads_since(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let first = v.archive(b"abc".to_vec()).await?;
    c.advance(25 * HOUR).await;
    v.archive(b"later".to_vec()).await?;
    let job = v.job(&json!({"Type": "inventory-retrieval"})).await?;
    c.advance(5 * HOUR).await;
    v.ended(&job).await?;
    same("archives", ids(&v.output(&job).await?.status(200)?.json()?)?, vec![first.id])
}
