//! Which fault of a request is told when it has several.

use super::{
    request::{Ask, Identity},
    world::{World, identity},
};

/// A request with every fault there is, but for the first `mended` of them.
fn faulty(world: &World, mended: usize) -> Ask {
    let holds = |fault: usize| fault >= mended;
    let pick = |fault: usize, bad: &str, good: &str| {
        if holds(fault) { bad.to_owned() } else { good.to_owned() }
    };
    let account =
        if holds(7) { "1234".to_owned() } else { pick(8, "000000000000", world.account.as_str()) };
    let vault = pick(9, "none", "photos");
    let resource = pick(0, "archivez", "archives");
    let mut ask =
        world.ask("POST", &format!("/{account}/vaults/{vault}/{resource}")).payload("bytes");
    if holds(3) {
        ask.time = icefield_protocol::Timestamp::from_unix_millis(0);
    }
    ask = match (holds(5), holds(6)) {
        (true, _) => ask.without("x-amz-glacier-version"),
        (false, true) => ask.header("x-amz-glacier-version", "2011-01-01"),
        (false, false) => ask,
    };
    let tree_hash = "0".repeat(64);
    ask = match (holds(10), holds(12)) {
        (true, _) => ask.header("x-amz-sha256-tree-hash", "hash"),
        (false, true) => ask.header("x-amz-sha256-tree-hash", tree_hash),
        (false, false) => ask,
    };
    if holds(11) {
        ask = ask.header("x-amz-content-sha256", "1".repeat(64));
    }
    let root = &world.root;
    ask.identity = match (holds(1), holds(2), holds(4)) {
        (true, ..) => None,
        (_, true, _) => Some(identity("AKIDUNKNOWNUNKNOWN12", "secret")),
        (.., true) => {
            Some(Identity { secret: identity("AKIDUNKNOWNUNKNOWN12", "x").secret, ..root.clone() })
        }
        _ => Some(root.clone()),
    };
    ask
}

#[tokio::test]
async fn of_several_faults_the_first_in_the_order_is_told() {
    let world = World::new().await;
    world.create_vault("photos").await;
    let hash = |digit: &str| digit.repeat(64);
    let computed = "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9";
    let expected = [
        (400, "BadRequest", "No operation has this path and method.".to_owned()),
        (
            400,
            "MissingAuthenticationTokenException",
            "Request is missing Authentication Token: it has no Authorization header".to_owned(),
        ),
        (
            400,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.".to_owned(),
        ),
        (
            403,
            "InvalidSignatureException",
            "Signature expired: 19700101T000000Z is now earlier than 20120507T115500Z (20120507T120000Z - 5 min.)".to_owned(),
        ),
        (
            403,
            "InvalidSignatureException",
            "The request signature does not match the signature computed from the request and the secret key".to_owned(),
        ),
        (400, "MissingParameterValueException", "Required parameter missing: API version".to_owned()),
        (400, "InvalidParameterValueException", "Invalid API version: 2011-01-01".to_owned()),
        (400, "InvalidParameterValueException", "Invalid account ID: 1234".to_owned()),
        (
            403,
            "AccessDeniedException",
            format!(
                "User: arn:aws:iam::{}:root is not authorized to perform: glacier:UploadArchive on resource: arn:aws:glacier:us-west-2:000000000000:vaults/none",
                world.account
            ),
        ),
        (404, "ResourceNotFoundException", format!("Vault not found for ARN: {}", world.arn("none"))),
        (400, "InvalidParameterValueException", "Invalid x-amz-sha256-tree-hash: hash".to_owned()),
        (
            403,
            "InvalidSignatureException",
            format!(
                "The value passed in as x-amz-content-sha256 does not match the computed payload hash. Computed digest: {computed} expected hash: {}",
                hash("1")
            ),
        ),
        (
            400,
            "InvalidParameterValueException",
            format!("Checksum mismatch: expected {}, computed {computed}", hash("0")),
        ),
    ];
    for (mended, (status, code, message)) in expected.iter().enumerate() {
        faulty(&world, mended).send().await.assert_refused(*status, code, message);
    }
    assert_eq!(faulty(&world, expected.len()).send().await.status, 201);
}

#[tokio::test]
async fn wrong_parameters_are_told_before_a_missing_upload_or_job() {
    let world = World::new().await;
    world.create_vault("photos").await;
    let part = world
        .ask("PUT", "/-/vaults/photos/multipart-uploads/none")
        .header("content-range", "bytes 9-0/*")
        .payload("x");
    let text = "Invalid Content-Range: bytes 9-0/*";
    part.send().await.assert_refused(400, "InvalidParameterValueException", text);
    let part = part.header("content-range", "bytes 0-0/*");
    let text = "The upload ID was not found: none";
    part.send().await.assert_refused(404, "ResourceNotFoundException", text);
    let output = world.ask("GET", "/-/vaults/photos/jobs/none/output").header("range", "bytes=9");
    let text = "Invalid Range: bytes=9";
    output.send().await.assert_refused(400, "InvalidParameterValueException", text);
    let text = "The job ID was not found: none";
    output.without("range").send().await.assert_refused(404, "ResourceNotFoundException", text);
}

#[tokio::test]
async fn a_user_without_permission_does_not_learn_what_is_there() {
    let world = World::new().await;
    world.create_vault("photos").await;
    let user = icefield_protocol::UserName::parse("ann").unwrap();
    world.engine.create_user(&world.account, &user).await.unwrap();
    let key = world.engine.create_key(&world.account, Some(&user), None).await.unwrap();
    let ann = Identity { access_key: key.access_key, secret: key.secret, ..world.root.clone() };
    for vault in ["photos", "none"] {
        let ask = world.ask("GET", &format!("/-/vaults/{vault}"));
        let text = format!(
            "User: arn:aws:iam::{}:user/ann is not authorized to perform: glacier:DescribeVault on resource: {}",
            world.account,
            world.arn(vault)
        );
        let answer = ask.signed_by(ann.clone()).send().await;
        answer.assert_refused(403, "AccessDeniedException", &text);
    }
}

#[tokio::test]
async fn ids_that_cannot_be_are_told_before_what_is_there() {
    let world = World::new().await;
    world.create_vault("photos").await;
    let missing = "ResourceNotFoundException";
    for (method, path, status, code, text) in [
        ("DELETE", "archives/a b", 404, missing, "The archive ID was not found: a b"),
        ("GET", "multipart-uploads/a b", 404, missing, "The upload ID was not found: a b"),
        ("GET", "jobs/a b", 404, missing, "The job ID was not found: a b"),
        ("POST", "lock-policy/-x", 404, missing, "No vault lock policy is set for: photos"),
        ("POST", "lock-policy/a b", 400, "InvalidParameterValueException", "Invalid lock ID: a b"),
    ] {
        let target = format!("/-/vaults/photos/{}", path.replace(' ', "%20"));
        world.send(method, &target).await.assert_refused(status, code, text);
    }
    for (body, told) in [
        (r#"{"Type":"select","ArchiveId":"x"}"#, "Invalid Type: select"),
        (
            r#"{"Type":"inventory-retrieval","ArchiveId":"x"}"#,
            "Invalid ArchiveId: not allowed for this type of job",
        ),
        (
            r#"{"Type":"inventory-retrieval","InventoryRetrievalParameters":{"Limit":"-1"}}"#,
            "Invalid Limit: -1",
        ),
        (r#"{"Type":"archive-retrieval","ArchiveId":"x","Tier":"Slow"}"#, "Invalid Tier: Slow"),
        (r#"{"Type":"archive-retrieval","ArchiveId":"x","SNSTopic":"t"}"#, "Invalid SNSTopic: t"),
    ] {
        let ask = world.ask("POST", "/-/vaults/photos/jobs").body(body);
        ask.send().await.assert_refused(400, "InvalidParameterValueException", told);
    }
    world.upload("photos", b"x").await;
    world.job("photos", r#"{"Type":"inventory-retrieval","Tier":"Slow"}"#).await;
}
