//! Vaults ("Vault Operations").

use icefield_protocol::ErrorCode;
use serde_json::{Value, json};

use super::{HOUR, allowing, lock};
use crate::bytes::{MIB, bytes};
use crate::context::{Context, Vault, text};
use crate::endpoint::Setup;
use crate::model::is_date;
use crate::outcome::{Failed, Outcome, holds, same};
use crate::signing::encoded;
use crate::suite::cases;

cases![
    "2.1" creating_a_vault_answers_with_its_location,
    "2.1" creating_a_vault_again_answers_the_same,
    "2.1" creating_a_vault_again_keeps_its_date_and_settings,
    "2.1" creating_a_vault_again_keeps_its_archives,
    "2.1" a_new_vault_has_nothing,
    "2.1" a_name_of_one_character_is_legal,
    "2.1" a_name_of_255_characters_is_legal,
    "2.1" a_name_of_256_characters_is_illegal,
    "2.1" every_legal_character_may_be_in_a_name,
    "2.1" a_name_may_begin_with_a_dot_or_a_hyphen,
    "2.1" a_single_dot_is_no_name,
    "2.1" two_dots_are_no_name,
    "2.1" a_space_is_no_part_of_a_name,
    "2.1" a_slash_is_no_part_of_a_name,
    "2.1" a_colon_is_no_part_of_a_name,
    "2.1" letters_beyond_ascii_are_no_part_of_a_name,
    "2.1" a_plus_sign_is_no_part_of_a_name,
    "2.1" a_nul_is_no_part_of_a_name,
    "2.1" a_newline_is_no_part_of_a_name,
    "2.1" the_message_for_an_illegal_name_names_it,
    "2.2" a_vault_is_described_with_all_members,
    "2.2" a_missing_vault_is_not_described,
    "2.2" [Inventory] the_overhead_of_an_archive_counts,
    "2.2" [Inventory] sizes_of_several_archives_add_up,
    "2.2" [Inventory] an_emptied_vault_has_no_bytes,
    "2.2" [Inventory] the_date_of_the_inventory_is_a_date,
    "2.3" a_vault_is_listed_as_it_is_described,
    "2.3" vaults_are_listed_in_order_of_their_bytes,
    "2.3" a_deleted_vault_is_not_listed,
    "2.3" no_vault_is_listed_twice,
    "2.4" an_empty_vault_is_deleted,
    "2.4" deleting_a_vault_again_is_fine,
    "2.4" deleting_a_vault_that_never_was_is_fine,
    "2.4" a_vault_with_an_archive_is_not_deleted,
    "2.4" uploads_in_progress_do_not_keep_a_vault,
    "2.4" [Inventory] an_emptied_vault_is_deleted,
    "2.4" a_vault_of_the_same_name_is_a_new_vault,
    "2.4" [Inventory] archives_of_a_deleted_vault_do_not_come_back,
    "2.4" [NoDelay, Inventory] jobs_of_a_deleted_vault_are_gone,
    "2.4" a_lock_in_progress_goes_with_its_vault,
    "3.5" [Laboratory] an_upload_and_a_delete_block_until_the_next_inventory,
    "3.5" [Laboratory] a_vault_emptied_after_its_inventory_waits_for_the_next,
    "3.5" [Laboratory] a_new_vault_is_deleted_at_once,
    "3.4" [Laboratory] counters_are_those_of_the_last_inventory,
    "3.4" [Laboratory] an_inventory_is_not_taken_again_without_a_change,
    "3.4" [Laboratory] a_vault_that_was_never_written_to_gets_no_inventory,
    "3.4" [Laboratory] the_list_of_vaults_reports_the_same_inventory,
    "8" [Laboratory] the_thousand_and_first_vault_exceeds_the_limit,
];

async fn created_as(c: &Context, name: &str) -> Outcome {
    c.put(format!("/-/vaults/{name}")).await?.status(201)?;
    let described = c.get(format!("/-/vaults/{name}")).await?.status(200)?.json()?;
    same("name", text(&described["VaultName"]), name.to_owned())?;
    c.delete(format!("/-/vaults/{name}")).await?.status(204)?;
    Ok(())
}

async fn not_created_as(c: &Context, name: &str) -> Outcome {
    c.put(format!("/-/vaults/{name}")).await?.refused(ErrorCode::InvalidParameterValue)?;
    c.get(format!("/-/vaults/{name}")).await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

/// The item of the vault in the list of vaults.
async fn listed(v: &Vault) -> Result<Value, Failed> {
    let marker = encoded(v.arn().as_bytes(), b"");
    let page =
        v.context.get(format!("/-/vaults?limit=1&marker={marker}")).await?.status(200)?.json()?;
    Ok(page["VaultList"][0].clone())
}
async fn creating_a_vault_answers_with_its_location(c: &Context) -> Outcome {
    let v = c.no_vault();
    let answer = v.put("").await?.status(201)?;
    same("location", answer.header("location")?, v.location(""))?;
    same("body", answer.raw.body.len(), 0)
}

async fn creating_a_vault_again_answers_the_same(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let answer = v.put("").await?.status(201)?;
    same("location", answer.header("location")?, v.location(""))
}

async fn creating_a_vault_again_keeps_its_date_and_settings(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/tags?operation=add").json(&json!({"Tags": {"a": "b"}})).await?.status(204)?;
    v.put("/access-policy").json(&json!({"Policy": allowing(&v)})).await?.status(204)?;
    let before = v.describe().await?;
    v.put("").await?.status(201)?;
    same(
        "description",
        v.describe().await?["CreationDate"].clone(),
        before["CreationDate"].clone(),
    )?;
    same("tags", v.get("/tags").await?.json()?, json!({"Tags": {"a": "b"}}))?;
    v.get("/access-policy").await?.status(200)?;
    Ok(())
}

async fn creating_a_vault_again_keeps_its_archives(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    v.put("").await?.status(201)?;
    v.job(&json!({"Type": "archive-retrieval", "ArchiveId": archive.id})).await?;
    Ok(())
}

async fn a_new_vault_has_nothing(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let described = v.describe().await?;
    same("inventory", described["LastInventoryDate"].clone(), Value::Null)?;
    same("tags", v.get("/tags").await?.json()?, json!({"Tags": {}}))?;
    for rest in ["/access-policy", "/lock-policy", "/notification-configuration"] {
        v.get(rest).await?.refused(ErrorCode::ResourceNotFound)?;
    }
    Ok(())
}

async fn a_name_of_one_character_is_legal(c: &Context) -> Outcome {
    created_as(c, "Q").await
}

async fn a_name_of_255_characters_is_legal(c: &Context) -> Outcome {
    let name = format!("{}{}", c.name(), "x".repeat(255));
    created_as(c, &name[..255]).await
}

async fn a_name_of_256_characters_is_illegal(c: &Context) -> Outcome {
    let name = format!("{}{}", c.name(), "x".repeat(256));
    not_created_as(c, &name[..256]).await
}

async fn every_legal_character_may_be_in_a_name(c: &Context) -> Outcome {
    created_as(c, &format!("aZ09_-.{}", c.name())).await
}

async fn a_name_may_begin_with_a_dot_or_a_hyphen(c: &Context) -> Outcome {
    created_as(c, &format!(".{}", c.name())).await?;
    created_as(c, &format!("-{}", c.name())).await
}

async fn a_single_dot_is_no_name(c: &Context) -> Outcome {
    not_created_as(c, "%2E").await
}

async fn two_dots_are_no_name(c: &Context) -> Outcome {
    not_created_as(c, "%2E%2E").await
}

async fn a_space_is_no_part_of_a_name(c: &Context) -> Outcome {
    not_created_as(c, "a%20b").await
}

async fn a_slash_is_no_part_of_a_name(c: &Context) -> Outcome {
    not_created_as(c, "a%2Fb").await
}

async fn a_colon_is_no_part_of_a_name(c: &Context) -> Outcome {
    not_created_as(c, "a:b").await
}

async fn letters_beyond_ascii_are_no_part_of_a_name(c: &Context) -> Outcome {
    not_created_as(c, "caf%C3%A9").await
}

async fn a_plus_sign_is_no_part_of_a_name(c: &Context) -> Outcome {
    not_created_as(c, "a+b").await
}

async fn a_nul_is_no_part_of_a_name(c: &Context) -> Outcome {
    not_created_as(c, "a%00b").await
}

async fn a_newline_is_no_part_of_a_name(c: &Context) -> Outcome {
    not_created_as(c, "ab%0A").await
}

async fn the_message_for_an_illegal_name_names_it(c: &Context) -> Outcome {
    let message = c
        .put("/-/vaults/a%20b")
        .await?
        .refused(ErrorCode::InvalidParameterValue)?
        .member("message");
    holds(&message, message.contains("a b"))
}

async fn a_vault_is_described_with_all_members(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let described = v.describe().await?;
    same("name", text(&described["VaultName"]), v.name.clone())?;
    same("ARN", text(&described["VaultARN"]), v.arn())?;
    same("archives", described["NumberOfArchives"].clone(), json!(0))?;
    same("bytes", described["SizeInBytes"].clone(), json!(0))?;
    same("inventory", described["LastInventoryDate"].clone(), Value::Null)
}

async fn a_missing_vault_is_not_described(c: &Context) -> Outcome {
    let v = c.no_vault();
    v.get("")
        .await?
        .refused(ErrorCode::ResourceNotFound)?
        .says(&format!("Vault not found for ARN: {}", v.arn()))?;
    Ok(())
}

async fn the_overhead_of_an_archive_counts(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"12345".to_vec()).await?;
    let described = v.describe().await?;
    same("archives", described["NumberOfArchives"].clone(), json!(1))?;
    same("bytes", described["SizeInBytes"].clone(), json!(32_773))
}

async fn sizes_of_several_archives_add_up(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for length in [1, 1000, 3 * MIB] {
        v.archive(bytes(1, length)).await?;
    }
    let described = v.describe().await?;
    same("archives", described["NumberOfArchives"].clone(), json!(3))?;
    same("bytes", described["SizeInBytes"].clone(), json!(1001 + 3 * MIB + 3 * 32_768))
}

async fn an_emptied_vault_has_no_bytes(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"12345".to_vec()).await?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    let described = v.describe().await?;
    same("archives", described["NumberOfArchives"].clone(), json!(0))?;
    same("bytes", described["SizeInBytes"].clone(), json!(0))
}

async fn the_date_of_the_inventory_is_a_date(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"12345".to_vec()).await?;
    let date = text(&v.describe().await?["LastInventoryDate"]);
    holds(&date, is_date(&date))
}

async fn a_vault_is_listed_as_it_is_described(c: &Context) -> Outcome {
    let v = c.vault().await?;
    same("item", listed(&v).await?, v.describe().await?)
}

async fn vaults_are_listed_in_order_of_their_bytes(c: &Context) -> Outcome {
    let base = c.name();
    for suffix in ["b", "B", "a", "_", "1", "-"] {
        c.put(format!("/-/vaults/{base}{suffix}")).await?.status(201)?;
    }
    let names = c.vault_names().await?;
    let ours: Vec<_> = names
        .iter()
        .filter(|name| name.starts_with(&base))
        .map(|name| &name[base.len()..])
        .collect();
    for suffix in ["b", "B", "a", "_", "1", "-"] {
        c.delete(format!("/-/vaults/{base}{suffix}")).await?.status(204)?;
    }
    same("order", ours, vec!["-", "1", "B", "_", "a", "b"])
}

async fn a_deleted_vault_is_not_listed(c: &Context) -> Outcome {
    let v = c.vault().await?;
    holds("it is listed", c.vault_names().await?.contains(&v.name))?;
    v.delete("").await?.status(204)?;
    holds("it is listed still", !c.vault_names().await?.contains(&v.name))
}

async fn no_vault_is_listed_twice(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let names = c.vault_names().await?;
    same("times", names.iter().filter(|name| **name == v.name).count(), 1)
}

async fn an_empty_vault_is_deleted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.delete("").await?.status(204)?;
    v.get("").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn deleting_a_vault_again_is_fine(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.delete("").await?.status(204)?;
    v.delete("").await?.status(204)?;
    Ok(())
}

async fn deleting_a_vault_that_never_was_is_fine(c: &Context) -> Outcome {
    c.no_vault().delete("").await?.status(204)?;
    Ok(())
}

async fn a_vault_with_an_archive_is_not_deleted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.archive(b"abc".to_vec()).await?;
    v.delete("")
        .await?
        .refused(ErrorCode::InvalidParameterValue)?
        .says(&format!("Vault not empty or recently written to: {}", v.arn()))?;
    v.get("").await?.status(200)?;
    Ok(())
}

async fn uploads_in_progress_do_not_keep_a_vault(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.part(0, b"abc").await?.status(204)?;
    v.delete("").await?.status(204)?;
    v.put("").await?.status(201)?;
    upload.list("").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn an_emptied_vault_is_deleted(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    v.delete("").await?.status(204)?;
    Ok(())
}

async fn a_vault_of_the_same_name_is_a_new_vault(c: &Context) -> Outcome {
    let v = c.vault().await?;
    v.post("/tags?operation=add").json(&json!({"Tags": {"a": "b"}})).await?.status(204)?;
    v.put("/access-policy").json(&json!({"Policy": allowing(&v)})).await?.status(204)?;
    v.put("/notification-configuration").json(&json!({"SNSTopic": "arn:aws:sns:us-east-1:012345678901:t", "Events": ["ArchiveRetrievalCompleted"]})).await?.status(204)?;
    v.delete("").await?.status(204)?;
    v.put("").await?.status(201)?;
    same("tags", v.get("/tags").await?.json()?, json!({"Tags": {}}))?;
    v.get("/access-policy").await?.refused(ErrorCode::ResourceNotFound)?;
    v.get("/notification-configuration").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn archives_of_a_deleted_vault_do_not_come_back(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    v.delete("").await?.status(204)?;
    v.put("").await?.status(201)?;
    let body = json!({"Type": "archive-retrieval", "ArchiveId": archive.id});
    v.post("/jobs")
        .json(&body)
        .await?
        .refused_by(&[ErrorCode::ResourceNotFound, ErrorCode::InvalidParameterValue])?;
    Ok(())
}

async fn jobs_of_a_deleted_vault_are_gone(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    let job = v.finished(&json!({"Type": "inventory-retrieval"})).await?;
    v.delete("").await?.status(204)?;
    v.put("").await?.status(201)?;
    v.get(format!("/jobs/{job}")).await?.refused(ErrorCode::ResourceNotFound)?;
    v.output(&job).await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn a_lock_in_progress_goes_with_its_vault(c: &Context) -> Outcome {
    let v = c.vault().await?;
    lock(&v).await?;
    v.delete("").await?.status(204)?;
    v.put("").await?.status(201)?;
    v.get("/lock-policy").await?.refused(ErrorCode::ResourceNotFound)?;
    Ok(())
}

async fn an_upload_and_a_delete_block_until_the_next_inventory(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    v.delete("").await?.refused(ErrorCode::InvalidParameterValue)?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    v.delete("").await?.refused(ErrorCode::InvalidParameterValue)?;
    c.advance(25 * HOUR).await;
    v.delete("").await?.status(204)?;
    Ok(())
}

async fn a_vault_emptied_after_its_inventory_waits_for_the_next(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let archive = v.archive(b"abc".to_vec()).await?;
    c.advance(25 * HOUR).await;
    same("archives", v.describe().await?["NumberOfArchives"].clone(), json!(1))?;
    v.delete(format!("/archives/{}", archive.id)).await?.status(204)?;
    v.delete("").await?.refused(ErrorCode::InvalidParameterValue)?;
    c.advance(25 * HOUR).await;
    v.delete("").await?.status(204)?;
    Ok(())
}

async fn a_new_vault_is_deleted_at_once(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    upload.abort().await?.status(204)?;
    v.delete("").await?.status(204)?;
    Ok(())
}

async fn counters_are_those_of_the_last_inventory(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    v.archive(b"12345".to_vec()).await?;
    let described = v.describe().await?;
    same("archives", described["NumberOfArchives"].clone(), json!(0))?;
    same("inventory", described["LastInventoryDate"].clone(), Value::Null)?;
    c.advance(25 * HOUR).await;
    same("bytes", v.describe().await?["SizeInBytes"].clone(), json!(32_773))?;
    v.archive(b"12345".to_vec()).await?;
    same("bytes", v.describe().await?["SizeInBytes"].clone(), json!(32_773))
}

async fn an_inventory_is_not_taken_again_without_a_change(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    v.archive(b"12345".to_vec()).await?;
    c.advance(25 * HOUR).await;
    let date = v.describe().await?["LastInventoryDate"].clone();
    c.advance(50 * HOUR).await;
    same("date", v.describe().await?["LastInventoryDate"].clone(), date)
}

async fn a_vault_that_was_never_written_to_gets_no_inventory(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    c.advance(50 * HOUR).await;
    same("date", v.describe().await?["LastInventoryDate"].clone(), Value::Null)
}

async fn the_list_of_vaults_reports_the_same_inventory(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::LikeTheService).await?;
    let v = c.vault().await?;
    v.archive(b"12345".to_vec()).await?;
    c.advance(25 * HOUR).await;
    same("item", listed(&v).await?, v.describe().await?)
}

async fn the_thousand_and_first_vault_exceeds_the_limit(c: &Context) -> Outcome {
    let c = &c.laboratory(Setup::Immediate).await?;
    for number in 0..1000 {
        c.put(format!("/-/vaults/v{number}")).await?.status(201)?;
    }
    c.put("/-/vaults/more").await?.refused(ErrorCode::LimitExceeded)?;
    c.put("/-/vaults/v0").await?.status(201)?;
    c.delete("/-/vaults/v0").await?.status(204)?;
    c.put("/-/vaults/more").await?.status(201)?;
    Ok(())
}
