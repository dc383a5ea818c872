//! What is no request, or ends too early: refused, and nothing is left behind.

use serde_json::json;

use crate::bytes::{MIB, bytes};
use crate::context::Context;
use crate::http::{Connection, Delivery, NoAnswer};
use crate::outcome::{Outcome, holds, same};
use crate::request::Request;
use crate::suite::cases;

cases![
    "1.7" a_query_of_a_million_characters_is_refused_and_harmless,
    "1.7" a_head_of_a_million_characters_is_refused_and_harmless,
    "1.7" a_thousand_header_fields_are_refused_or_ignored,
    "1.7" what_is_no_http_is_turned_away,
    "1.7" a_field_without_a_colon_is_turned_away,
    "1.7" a_space_before_the_colon_is_turned_away,
    "1.7" a_raw_nul_in_a_header_is_turned_away,
    "1.7" a_raw_nul_in_the_path_is_turned_away,
    "1.7" a_raw_space_in_the_path_is_turned_away,
    "1.7" a_length_that_is_no_number_is_turned_away,
    "1.7" two_different_lengths_are_turned_away,
    "1.7" a_length_beside_chunks_is_turned_away_or_not_stored,
    "1.7" a_request_without_host_is_turned_away,
    "1.7" a_body_shorter_than_announced_leaves_no_archive,
    "1.7" a_body_that_never_begins_leaves_no_archive,
    "1.7" a_long_body_that_is_cut_leaves_no_archive,
    "1.7" a_part_that_is_cut_leaves_no_part,
    "1.7" a_body_longer_than_announced_stores_only_what_was_announced_or_nothing,
    "1.7" a_cut_json_body_changes_nothing,
];

/// Sends bytes that are no request; they are refused or the connection is closed, and the service goes on.
async fn is_turned_away(c: &Context, bytes: &[u8]) -> Outcome {
    let mut connection = Connection::open(&c.authority()).await?;
    match connection.send(bytes, b"", Delivery::Whole).await {
        Ok(raw) => holds("a request that is none was answered", (400..500).contains(&raw.status))?,
        Err(NoAnswer::Closed | NoAnswer::Broken(_)) => {}
        Err(other) => return Err(other.into()),
    }
    c.get("/-/vaults").await?.status(200)?;
    Ok(())
}

/// Returns the head of a signed request after `change`.
fn head(request: &Request, change: impl Fn(String) -> String) -> Vec<u8> {
    change(String::from_utf8_lossy(&request.wire().0).into_owned()).into_bytes()
}
async fn a_query_of_a_million_characters_is_refused_and_harmless(c: &Context) -> Outcome {
    let v = c.vault().await?;
    is_turned_away(
        c,
        &head(&v.get(""), |head| {
            head.replacen(" HTTP", &format!("?marker={} HTTP", "a".repeat(1_000_000)), 1)
        }),
    )
    .await
}

async fn a_head_of_a_million_characters_is_refused_and_harmless(c: &Context) -> Outcome {
    is_turned_away(
        c,
        &head(&c.get("/-/vaults"), |head| {
            head.replace("host:", &format!("x-long: {}\r\nhost:", "a".repeat(1_000_000)))
        }),
    )
    .await
}

async fn a_thousand_header_fields_are_refused_or_ignored(c: &Context) -> Outcome {
    let many: String = (0..1000).map(|n| format!("x-field-{n}: v\r\n")).collect();
    let bytes = head(&c.get("/-/vaults"), |head| head.replace("host:", &format!("{many}host:")));
    let mut connection = Connection::open(&c.authority()).await?;
    match connection.send(&bytes, b"", Delivery::Whole).await {
        Ok(raw) => holds("status", raw.status == 200 || (400..500).contains(&raw.status))?,
        Err(NoAnswer::Closed | NoAnswer::Broken(_)) => {}
        Err(other) => return Err(other.into()),
    }
    c.get("/-/vaults").await?.status(200)?;
    Ok(())
}

async fn what_is_no_http_is_turned_away(c: &Context) -> Outcome {
    for bytes in [
        "\r\n\r\n\r\n",
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\u{16}\u{3}\u{1}\r\n\r\n",
    ] {
        is_turned_away(c, bytes.as_bytes()).await?;
    }
    Ok(())
}

async fn a_field_without_a_colon_is_turned_away(c: &Context) -> Outcome {
    is_turned_away(c, &head(&c.get("/-/vaults"), |head| head.replace("host:", "nonsense\r\nhost:")))
        .await
}

async fn a_space_before_the_colon_is_turned_away(c: &Context) -> Outcome {
    is_turned_away(c, &head(&c.get("/-/vaults"), |head| head.replace("host:", "host :"))).await
}

async fn a_raw_nul_in_a_header_is_turned_away(c: &Context) -> Outcome {
    is_turned_away(
        c,
        &head(&c.get("/-/vaults"), |head| head.replace("host:", "x-a: b\0c\r\nhost:")),
    )
    .await
}

async fn a_raw_nul_in_the_path_is_turned_away(c: &Context) -> Outcome {
    is_turned_away(
        c,
        &head(&c.get("/-/vaults"), |head| head.replacen("/-/vaults", "/-/vaults/a\0b", 1)),
    )
    .await
}

async fn a_raw_space_in_the_path_is_turned_away(c: &Context) -> Outcome {
    is_turned_away(
        c,
        &head(&c.get("/-/vaults"), |head| head.replacen("/-/vaults", "/-/vaults/a b", 1)),
    )
    .await
}

async fn a_length_that_is_no_number_is_turned_away(c: &Context) -> Outcome {
    let v = c.vault().await?;
    for length in ["-1", "abc", "1e3", "0x10", "18446744073709551617"] {
        is_turned_away(c, &head(&v.post("/archives").payload(b"abc").length(length), |head| head))
            .await?;
    }
    v.is_untouched().await
}

async fn two_different_lengths_are_turned_away(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let bytes = head(&v.post("/archives").payload(b"abc"), |head| {
        head.replace("content-length:", "content-length: 2\r\ncontent-length:")
    });
    is_turned_away(c, &[&bytes[..], b"abc"].concat()).await?;
    v.is_untouched().await
}

async fn a_length_beside_chunks_is_turned_away_or_not_stored(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let bytes = head(&v.post("/archives").payload(b"abc"), |head| {
        head.replace("content-length:", "transfer-encoding: chunked\r\ncontent-length:")
    });
    is_turned_away(c, &[&bytes[..], b"3\r\nabc\r\n0\r\n\r\n"].concat()).await?;
    v.is_untouched().await
}

async fn a_request_without_host_is_turned_away(c: &Context) -> Outcome {
    is_turned_away(c, &head(&c.get("/-/vaults"), |head| head.replace("host:", "x-host:"))).await
}

async fn a_body_shorter_than_announced_leaves_no_archive(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let _gone = v.post("/archives").payload(&bytes(1, 1000)).cut_after(999).raw().await;
    v.is_untouched().await
}

async fn a_body_that_never_begins_leaves_no_archive(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let _gone = v.post("/archives").payload(&bytes(1, 1000)).cut_after(0).raw().await;
    v.is_untouched().await
}

async fn a_long_body_that_is_cut_leaves_no_archive(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let _gone = v.post("/archives").payload(&bytes(1, 3 * MIB)).cut_after(2 * MIB + 5).raw().await;
    v.is_untouched().await
}

async fn a_part_that_is_cut_leaves_no_part(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let upload = v.upload(1).await?;
    let _gone = upload.part(0, &bytes(1, MIB)).cut_after(MIB - 1).raw().await;
    let list = upload.list("").await?.status(200)?.json()?;
    same("parts", list["Parts"].clone(), json!([]))
}

async fn a_body_longer_than_announced_stores_only_what_was_announced_or_nothing(
    c: &Context,
) -> Outcome {
    let v = c.vault().await?;
    let raw = v.post("/archives").payload(b"abcdef").length(3).raw().await;
    if let Ok(raw) = raw {
        holds("an archive of other bytes was stored", raw.status >= 400)?;
    }
    v.is_untouched().await
}

async fn a_cut_json_body_changes_nothing(c: &Context) -> Outcome {
    let v = c.vault().await?;
    let _gone =
        v.post("/tags?operation=add").json(&json!({"Tags": {"a": "b"}})).cut_after(5).raw().await;
    same("tags", v.get("/tags").await?.status(200)?.json()?, json!({"Tags": {}}))
}
