//! Bodies of archives and parts.

use std::time::Duration;

use icefield_server::ServerSettings;

use super::world::{MIB, World, bytes, engine_settings, server_settings};

#[tokio::test]
async fn what_a_head_refuses_needs_no_body() {
    let world = World::new().await;
    world.create_vault("photos").await;
    let upload = world.ask("POST", "/-/vaults/photos/archives").payload("x");
    let hash = upload.headers.iter().find(|(name, _)| name == "x-amz-sha256-tree-hash").cloned();
    let hash = hash.unwrap().1;
    for (ask, code, text) in [
        (
            upload.clone().header("content-length", 38_505_164_800_u64),
            "InvalidParameterValueException",
            "Invalid Content-Length: 38505164800".to_owned(),
        ),
        (
            upload.clone().header("content-length", (4_u64 << 30) + 1),
            "InvalidParameterValueException",
            "Invalid Content-Length: 4294967297".to_owned(),
        ),
        (
            upload.clone().payload(""),
            "InvalidParameterValueException",
            "Invalid Content-Length: 0".to_owned(),
        ),
        (
            upload.clone().without("content-length"),
            "MissingParameterValueException",
            "Required parameter missing: Content-Length".to_owned(),
        ),
        (
            upload.clone().without("content-length").header("transfer-encoding", "chunked"),
            "MissingParameterValueException",
            "Required parameter missing: Content-Length".to_owned(),
        ),
        (
            upload.clone().without("x-amz-sha256-tree-hash"),
            "MissingParameterValueException",
            "Required parameter missing: x-amz-sha256-tree-hash".to_owned(),
        ),
        (
            upload.clone().header("x-amz-sha256-tree-hash", &hash[1..]),
            "InvalidParameterValueException",
            format!("Invalid x-amz-sha256-tree-hash: {}", &hash[1..]),
        ),
        (
            upload.clone().header("x-amz-archive-description", "caf\u{e9}"),
            "InvalidParameterValueException",
            "Invalid x-amz-archive-description: caf\u{e9}".to_owned(),
        ),
        (
            upload.clone().header("x-amz-archive-description", "x".repeat(1025)),
            "InvalidParameterValueException",
            format!("Invalid x-amz-archive-description: {}", "x".repeat(1025)),
        ),
        (
            upload.clone().header("x-icefield-upload-token", "1"),
            "InvalidParameterValueException",
            "Invalid x-icefield-upload-token: 1".to_owned(),
        ),
    ] {
        ask.begin().await.answer().await.assert_refused(400, code, &text);
    }
}

#[tokio::test]
async fn a_client_that_waits_for_a_word_is_refused_without_it() {
    let world = World::new().await;
    let ask = world.ask("POST", "/-/vaults/none/archives").payload("x");
    let ask = ask.header("expect", "100-continue");
    let answer = ask.begin().await.answer().await;
    let text = format!("Vault not found for ARN: {}", world.arn("none"));
    answer.assert_refused(404, "ResourceNotFoundException", &text);
}

#[tokio::test]
async fn bytes_that_were_not_signed_or_not_meant_are_not_stored() {
    let world = World::new().await;
    world.create_vault("photos").await;
    let body = bytes(3 * MIB + 5);
    let upload = world.ask("POST", "/-/vaults/photos/archives").payload(body.clone());
    let mut other = body.clone();
    other[2 * MIB] ^= 1;
    let mut open = upload.begin().await;
    open.write(&other).await;
    let (status, code, text) = open.answer().await.refusal();
    assert_eq!((status, code.as_str()), (403, "InvalidSignatureException"));
    assert!(text.starts_with("The value passed in as x-amz-content-sha256"), "{text}");
    let upload = upload.header("x-amz-sha256-tree-hash", "0".repeat(64));
    let (status, code, text) = upload.send().await.refusal();
    assert_eq!((status, code.as_str()), (400, "InvalidParameterValueException"));
    assert!(text.starts_with("Checksum mismatch: expected 0000"), "{text}");
    let vault = world.send("GET", "/-/vaults/photos").await.json();
    assert_eq!(vault["NumberOfArchives"], 0);
}

#[tokio::test]
async fn a_client_that_goes_away_has_stored_nothing() {
    let world = World::new().await;
    world.create_vault("photos").await;
    for length in [1000, 2 * MIB] {
        let upload = world.ask("POST", "/-/vaults/photos/archives").payload(bytes(length));
        let mut open = upload.begin().await;
        open.write(&upload.body[..length - 1]).await;
        open.leave().await;
    }
    // Stopping waits for what is under way.
    world.running.stop().await.unwrap();
    let store = world.engine.store().stat().await.unwrap();
    assert_eq!(store.ledger.archives, 0);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_timed_out() {
    let limits = icefield_server::connection::Limits {
        body_stall: Duration::from_millis(50),
        ..server_settings().limits
    };
    let server = ServerSettings { limits, ..server_settings() };
    let world = World::with(engine_settings(), server, Vec::new()).await;
    world.create_vault("photos").await;
    let asks = [
        world.ask("POST", "/-/vaults/photos/archives").payload(bytes(1000)),
        world.ask("PUT", "/-/vaults/photos").body(bytes(1000)),
    ];
    for ask in asks {
        let mut open = ask.begin().await;
        open.write(&ask.body[..500]).await;
        let answer = open.answer().await;
        answer.assert_refused(408, "RequestTimeoutException", "Request timed out.");
        assert_eq!(answer.header("connection"), Some("close"));
    }
}

#[tokio::test]
async fn a_json_body_has_a_limit() {
    let world = World::new().await;
    for (length, status) in [(MIB, 201), (MIB + 1, 400)] {
        let answer = world.ask("PUT", "/-/vaults/photos").payload(vec![b' '; length]).send().await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

/// It is read before the signature can be checked, so whoever knows an access key ID has it kept in memory.
#[tokio::test]
async fn a_json_body_whose_hash_is_not_announced_is_no_longer_than_a_window() {
    let world = World::new().await;
    let ask = |length| world.ask("PUT", "/-/vaults/photos").body(vec![b' '; length]);
    assert_eq!(ask(128 << 10).send().await.status, 201);
    let too_long = ask((128 << 10) + 1);
    let text = "The request body is too long.";
    // The head decides: nobody waits for a body that is withheld.
    too_long.begin().await.answer().await.assert_refused(
        400,
        "InvalidParameterValueException",
        text,
    );
    let mut chunked =
        too_long.without("content-length").header("transfer-encoding", "chunked").begin().await;
    chunked
        .write(format!("20001\r\n{}\r\n0\r\n\r\n", " ".repeat((128 << 10) + 1)).as_bytes())
        .await;
    chunked.answer().await.assert_refused(400, "InvalidParameterValueException", text);
}

#[tokio::test]
async fn a_repeated_put_with_a_token_is_answered_with_the_first_archive() {
    let world = World::new().await;
    world.create_vault("photos").await;
    let upload = world
        .ask("POST", "/-/vaults/photos/archives")
        .header("x-icefield-upload-token", "0123456789abcdef0123456789abcdef")
        .payload(bytes(MIB + 1));
    let first = upload.send().await;
    let again = upload.send().await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.told("x-amz-archive-id"), again.told("x-amz-archive-id"));
    let without = upload.without("x-icefield-upload-token").send().await;
    assert_ne!(first.told("x-amz-archive-id"), without.told("x-amz-archive-id"));
}

#[tokio::test]
async fn parts_are_checked_against_their_range() {
    let world = World::new().await;
    world.create_vault("photos").await;
    let begun = world
        .ask("POST", "/-/vaults/photos/multipart-uploads")
        .header("x-amz-part-size", MIB)
        .body("{}")
        .send()
        .await;
    let target = begun.told("location");
    let part = |range: &str, length: usize| {
        world.ask("PUT", &target).payload(bytes(length)).header("content-range", range)
    };
    let refused = "InvalidParameterValueException";
    for (range, length, text) in [
        ("bytes=0-9", 10, "Invalid Content-Range: bytes=0-9"),
        ("bytes 9-0/*", 10, "Invalid Content-Range: bytes 9-0/*"),
        ("bytes 0-9/*", 11, "Content-Range: bytes 0-9/* is incompatible with Content-Length: 11"),
        ("bytes 1-10/*", 10, "Invalid Content-Range: bytes 1-10/*"),
        ("bytes 0-1048576/*", MIB + 1, "Invalid Content-Range: bytes 0-1048576/*"),
    ] {
        part(range, length).send().await.assert_refused(400, refused, text);
    }
    let missing = part("", 10).without("content-range").send().await;
    let text = "Required parameter missing: Content-Range";
    missing.assert_refused(400, "MissingParameterValueException", text);
    for range in ["bytes 0-9/*", "bytes 0-9/10", "bytes 0-9/99999"] {
        assert_eq!(part(range, 10).send().await.status, 204, "{range}");
    }
    let text = "Invalid Content-Range: bytes 0-9/9";
    part("bytes 0-9/9", 10).send().await.assert_refused(400, refused, text);
    // The length follows from the range.
    let chunked = part("bytes 1048576-1048585/*", 10)
        .without("content-length")
        .header("transfer-encoding", "chunked");
    let mut open = chunked.begin().await;
    open.write(b"a\r\n").await;
    open.write(&bytes(10)).await;
    open.write(b"\r\n0\r\n\r\n").await;
    assert_eq!(open.answer().await.status, 204);
}

#[tokio::test]
async fn part_sizes_and_totals_are_read_strictly() {
    let world = World::new().await;
    world.create_vault("photos").await;
    let refused = "InvalidParameterValueException";
    let begin = world.ask("POST", "/-/vaults/photos/multipart-uploads");
    for (size, told) in [("", "0"), ("1", "1"), ("3145728", "3145728"), ("+1048576", "+1048576")] {
        let ask = if size.is_empty() {
            begin.clone()
        } else {
            begin.clone().header("x-amz-part-size", size)
        };
        let text = format!(
            "Invalid part size: {told}. Part size must not be null, must be a power of two and be between 1048576 and 4294967296 bytes."
        );
        ask.send().await.assert_refused(400, refused, &text);
    }
    let begun = begin.header("x-amz-part-size", MIB).send().await;
    let complete = world
        .ask("POST", &begun.told("location"))
        .header("x-amz-archive-size", "many")
        .header("x-amz-sha256-tree-hash", "0".repeat(64));
    let text = "Invalid x-amz-archive-size: many";
    complete.send().await.assert_refused(400, refused, text);
    let text = "Required parameter missing: x-amz-archive-size";
    let complete = complete.without("x-amz-archive-size");
    complete.send().await.assert_refused(400, "MissingParameterValueException", text);
}
