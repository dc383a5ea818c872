//! Who is let in.

use std::time::Duration;

use icefield_protocol::UserName;
use icefield_server::ServerSettings;

use super::{
    request::Identity,
    world::{World, engine_settings, identity, server_settings},
};

const INVALID: &str = "The security token included in the request is invalid.";
const MISMATCH: &str = "The request signature does not match the signature computed from the request and the secret key";

#[tokio::test]
async fn any_region_and_service_may_be_signed_for_unless_scopes_are_strict() {
    for strict_scope in [false, true] {
        let server = ServerSettings { strict_scope, ..server_settings() };
        let world = World::with(engine_settings(), server, Vec::new()).await;
        for (region, service) in
            [("us-west-2", "glacier"), ("0", "127"), ("us-west-2", "s3"), ("us-east-1", "glacier")]
        {
            let (region, service) = (region.to_owned(), service.to_owned());
            let right = region == "us-west-2" && service == "glacier";
            let signer = Identity { region, service, ..world.root.clone() };
            let answer = world.ask("GET", "/-/vaults").signed_by(signer).send().await;
            if right || !strict_scope {
                assert_eq!(answer.status, 200, "{answer:?}");
            } else {
                assert_eq!(answer.refusal().1, "InvalidSignatureException");
            }
        }
    }
}

#[tokio::test]
async fn a_signature_holds_for_five_minutes_either_way() {
    let world = World::new().await;
    let ask = world.ask("GET", "/-/vaults");
    for (seconds, status) in [(0, 200), (300, 200), (301, 403)] {
        let mut late = ask.clone();
        late.time = ask.time.saturating_add(Duration::from_secs(seconds));
        assert_eq!(late.send().await.status, status, "{seconds} s early");
    }
    world.clock.advance(Duration::from_secs(300));
    assert_eq!(ask.send().await.status, 200);
    world.clock.advance(Duration::from_secs(1));
    let text = "Signature expired: 20120507T120000Z is now earlier than 20120507T120001Z (20120507T120501Z - 5 min.)";
    ask.send().await.assert_refused(403, "InvalidSignatureException", text);
}

#[tokio::test]
async fn a_changed_request_has_another_signature() {
    let world = World::new().await;
    let signed = world.ask("PUT", "/-/vaults/photos").body("{}");
    let head = signed.head();
    for (before, after) in [
        ("PUT ", "GET "),
        ("/photos", "/videos"),
        ("/photos ", "/photos?a=b "),
        ("host: glacier.example", "host: other.example"),
        ("2012-06-01", "2012-06-02"),
    ] {
        let mut open = signed.begin_with(&head.replacen(before, after, 1)).await;
        open.write(b"{}").await;
        open.answer().await.assert_refused(403, "InvalidSignatureException", MISMATCH);
    }
    let mut open = signed.begin_with(&head).await;
    open.write(b"[]").await;
    open.answer().await.assert_refused(403, "InvalidSignatureException", MISMATCH);
    assert_eq!(signed.send().await.status, 201);
}

#[tokio::test]
async fn an_announced_body_hash_is_compared_with_the_body() {
    let world = World::new().await;
    let ask = world.ask("PUT", "/-/vaults/photos").payload("{}");
    assert_eq!(ask.clone().without("x-amz-sha256-tree-hash").send().await.status, 201);
    let mut open = ask.begin().await;
    open.write(b"[]").await;
    let (status, code, text) = open.answer().await.refusal();
    assert_eq!((status, code.as_str()), (403, "InvalidSignatureException"));
    assert!(text.starts_with("The value passed in as x-amz-content-sha256"), "{text}");
    for word in ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", ""] {
        let answer = ask.clone().header("x-amz-content-sha256", word).send().await;
        assert_eq!(answer.refusal().1, "InvalidSignatureException", "{word}");
    }
}

#[tokio::test]
async fn headers_of_the_service_must_be_signed() {
    let world = World::new().await;
    world.create_vault("photos").await;
    let upload = world
        .ask("POST", "/-/vaults/photos/archives")
        .header("x-amz-archive-description", "mine")
        .header("x-icefield-upload-token", "0".repeat(32))
        .payload("x");
    for name in [
        "x-amz-archive-description",
        "x-amz-sha256-tree-hash",
        "x-icefield-upload-token",
        "x-amz-date",
        "host",
    ] {
        let text = format!("Header must be signed: {name}");
        let answer = upload.clone().unsigned(name).send().await;
        answer.assert_refused(403, "InvalidSignatureException", &text);
    }
    assert_eq!(upload.unsigned("content-length").send().await.status, 201);
}

#[tokio::test]
async fn a_token_that_was_sent_comes_back() {
    let world = World::new().await;
    world.create_vault("photos").await;
    let look = || world.ask("GET", "/-/vaults/photos");
    let token = "ab".repeat(16);
    let answer = look().header("x-icefield-upload-token", &token).send().await;
    assert_eq!((answer.status, answer.header("x-icefield-upload-token")), (200, Some(&*token)));
    assert_eq!(look().send().await.header("x-icefield-upload-token"), None);
    let missing = world.ask("GET", "/-/vaults/none").header("x-icefield-upload-token", &token);
    assert_eq!(missing.send().await.header("x-icefield-upload-token"), Some(&*token));
}

#[tokio::test]
async fn a_payload_needs_an_announced_hash() {
    let world = World::new().await;
    world.create_vault("photos").await;
    let upload = world.ask("POST", "/-/vaults/photos/archives").payload("x");
    let text = "Required parameter missing: x-amz-content-sha256";
    let answer = upload.without("x-amz-content-sha256").send().await;
    answer.assert_refused(400, "MissingParameterValueException", text);
}

#[tokio::test]
async fn a_session_needs_its_token_until_it_ends() {
    let world = World::new().await;
    let session = Some(Duration::from_secs(3600));
    let key = world.engine.create_key(&world.account, None, session).await.unwrap();
    let signer = Identity { access_key: key.access_key, secret: key.secret, ..world.root.clone() };
    let token = key.session_token.unwrap();
    let ask = |world: &World, token: &str| {
        let ask = world.ask("GET", "/-/vaults").signed_by(signer.clone());
        if token.is_empty() { ask } else { ask.header("x-amz-security-token", token) }
    };
    assert_eq!(ask(&world, &token).send().await.status, 200);
    for wrong in ["", "wrong"] {
        let answer = ask(&world, wrong).send().await;
        answer.assert_refused(400, "UnrecognizedClientException", INVALID);
    }
    let unsigned = ask(&world, &token).unsigned("x-amz-security-token").send().await;
    assert_eq!(unsigned.refusal().1, "InvalidSignatureException");
    let long_term = world.ask("GET", "/-/vaults").header("x-amz-security-token", &token);
    long_term.send().await.assert_refused(400, "UnrecognizedClientException", INVALID);
    world.clock.advance(Duration::from_secs(3600));
    let text = "The security token included in the request is expired";
    ask(&world, &token).send().await.assert_refused(403, "ExpiredTokenException", text);
}

/// The key that was derived for a secret must not outlive it.
#[tokio::test]
async fn a_new_secret_under_the_same_name_replaces_the_old_one() {
    let world = World::new().await;
    assert_eq!(world.send("GET", "/-/vaults").await.status, 200);
    let new = identity(world.root.access_key.as_str(), "another secret");
    world.engine.set_root_key(&new.access_key, &new.secret).await.unwrap();
    let old = world.send("GET", "/-/vaults").await;
    old.assert_refused(403, "InvalidSignatureException", MISMATCH);
    assert_eq!(world.ask("GET", "/-/vaults").signed_by(new).send().await.status, 200);
}

#[tokio::test]
async fn a_revoked_key_is_unknown() {
    let world = World::new().await;
    let ann = UserName::parse("ann").unwrap();
    world.engine.create_user(&world.account, &ann).await.unwrap();
    let key = world.engine.create_key(&world.account, Some(&ann), None).await.unwrap();
    let signer =
        Identity { access_key: key.access_key.clone(), secret: key.secret, ..world.root.clone() };
    let ask = world.ask("GET", "/-/vaults").signed_by(signer);
    assert_eq!(ask.send().await.refusal().1, "AccessDeniedException");
    world.engine.revoke_key(&key.access_key).await.unwrap();
    ask.send().await.assert_refused(400, "UnrecognizedClientException", INVALID);
}

/// A body is not read for a stranger: the answer comes although not a byte of it was sent.
#[tokio::test]
async fn nothing_of_a_body_is_read_before_key_and_time_are_right() {
    let world = World::new().await;
    let ask = world.ask("PUT", "/-/vaults/photos").body(vec![b' '; 1000]);
    let stranger = ask.clone().signed_by(identity("AKIDUNKNOWNUNKNOWN12", "secret"));
    let answer = stranger.begin().await.answer().await;
    answer.assert_refused(400, "UnrecognizedClientException", INVALID);
    let mut late = ask;
    late.time = icefield_protocol::Timestamp::from_unix_millis(0);
    assert_eq!(late.begin().await.answer().await.refusal().1, "InvalidSignatureException");
}

#[tokio::test]
async fn what_the_request_says_about_itself_can_be_a_condition() {
    let world = World::new().await;
    world.create_vault("photos").await;
    for (condition, allowed) in [
        (r#"{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}"#, false),
        (r#"{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#, true),
        (r#"{"Bool":{"aws:SecureTransport":"false"}}"#, false),
        (r#"{"StringEquals":{"aws:UserAgent":"old client"}}"#, false),
        (r#"{"StringEquals":{"aws:Referer":"elsewhere"}}"#, true),
    ] {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Principal":"*","Action":"glacier:DescribeVault","Resource":"{}","Condition":{condition}}}]}}"#,
            world.arn("photos")
        );
        let body = serde_json::json!({ "Policy": policy }).to_string();
        let set = world.ask("PUT", "/-/vaults/photos/access-policy").body(body).send().await;
        assert_eq!(set.status, 204, "{set:?}");
        let answer = world
            .ask("GET", "/-/vaults/photos")
            .header("user-agent", "old client")
            .header("x-forwarded-for", "203.0.113.9")
            .send()
            .await;
        assert_eq!(answer.status == 200, allowed, "{condition}: {answer:?}");
    }
}

#[tokio::test]
async fn the_tags_of_a_request_can_be_a_condition() {
    let world = World::new().await;
    world.create_vault("photos").await;
    let ann = UserName::parse("ann").unwrap();
    world.engine.create_user(&world.account, &ann).await.unwrap();
    let key = world.engine.create_key(&world.account, Some(&ann), None).await.unwrap();
    let signer = Identity { access_key: key.access_key, secret: key.secret, ..world.root.clone() };
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"glacier:AddTagsToVault","Resource":"*",
         "Condition":{"StringEquals":{"aws:RequestTag/colour":"blue"}}},
        {"Effect":"Allow","Action":"glacier:RemoveTagsFromVault","Resource":"*",
         "Condition":{"ForAnyValue:StringEquals":{"aws:TagKeys":"colour"}}}]}"#;
    world.engine.set_user_policy(&world.account, &ann, "tags", policy).await.unwrap();
    for (operation, body, status) in [
        ("add", r#"{"Tags":{"colour":"blue"}}"#, 204),
        ("add", r#"{"Tags":{"colour":"red"}}"#, 403),
        ("add", r#"{"Tags":{}}"#, 403),
        ("add", "{", 403),
        ("remove", r#"{"TagKeys":["shape"]}"#, 403),
        // Too many are not compared with anything.
        ("remove", r#"{"TagKeys":["colour","1","2","3","4","5","6","7","8","9","10"]}"#, 403),
        ("remove", r#"{"TagKeys":["colour"]}"#, 204),
    ] {
        let ask = world.ask("POST", &format!("/-/vaults/photos/tags?operation={operation}"));
        let answer = ask.body(body).signed_by(signer.clone()).send().await;
        assert_eq!(answer.status, status, "{operation} {body}: {answer:?}");
    }
}

/// A value that is cut at its commas into several headers has the same signature.
#[tokio::test]
async fn a_header_of_the_service_comes_once() {
    let world = World::new().await;
    world.create_vault("photos").await;
    let upload = world
        .ask("POST", "/-/vaults/photos/archives")
        .header("x-amz-archive-description", "one,two")
        .header("x-icefield-upload-token", "0".repeat(32))
        .payload("x");
    let head = upload.head();
    let text = "Request cannot be authenticated: a header of the service is there more than once";
    for (before, after) in [
        ("one,two\r\n", "one\r\nx-amz-archive-description: two\r\n".to_owned()),
        ("host: glacier.example", "host: glacier.example\r\nhost: glacier.example".to_owned()),
        ("x-icefield", format!("x-icefield-upload-token: {}\r\nx-icefield", "1".repeat(32))),
        ("host", "range: bytes=0-0\r\nrange: bytes=1-1\r\nhost".to_owned()),
    ] {
        let mut open = upload.begin_with(&head.replacen(before, &after, 1)).await;
        open.write(b"x").await;
        open.answer().await.assert_refused(403, "InvalidSignatureException", text);
    }
    assert_eq!(upload.send().await.status, 201);
}
