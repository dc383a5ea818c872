//! Every operation times every caller who may not, and the one who may.
//!
//! The operations are those of the protocol, so a new one is in every cell from its first day.

use std::time::Duration;

use icefield_protocol::{
    AccountId, Operation,
    sigv4::{AccessKeyId, SecretKey},
};

use super::{
    message::{Client, Message, Who},
    requests::{Place, Things, denial, is_about_a_lock, resource_arn},
    state::{assert_unchanged, state},
    world::{Answer, World},
};

const DENIED: (u16, &str) = (403, "AccessDeniedException");

/// The vault that some are allowed instead.
const ELSEWHERE: &str = "elsewhere";

/// What each operation is about: a vault of its own, named like it.
struct Matrix {
    world: World,
    owner: AccountId,
    other: AccountId,
    root: Who,
    things: Vec<(Operation, Things)>,
}

impl Matrix {
    async fn new() -> Self {
        let world = World::new().await;
        let owner = world.engine.account().clone();
        let other = world.engine.create_account().await.unwrap().account;
        let root = world.root(&owner).await;
        let elsewhere = Place { account: owner.as_str(), vault: ELSEWHERE };
        elsewhere.prepare(&world, &root, Operation::DescribeVault).await;
        let mut things = Vec::new();
        for operation in Operation::ALL {
            let place = Place { account: owner.as_str(), vault: operation.as_str() };
            things.push((*operation, place.stage(&world, &root, *operation).await));
        }
        Self { world, owner, other, root, things }
    }

    fn place<'a>(&'a self, vault: &'a str) -> Place<'a> {
        Place { account: self.owner.as_str(), vault }
    }

    /// Returns the request for the operation about its own vault.
    fn request(&self, operation: Operation, things: &Things) -> Message {
        self.place(operation.as_str()).request(operation, things)
    }

    async fn send(&self, who: &Who, request: Message) -> Answer {
        self.world.send(&request.signed(Client::Boto3, who, self.world.now())).await
    }

    async fn state(&self) -> Vec<String> {
        state(&self.world.engine).await
    }
}

#[track_caller]
fn assert_refused(answer: &Answer, expected: (u16, &str), cell: &str) {
    assert_eq!((answer.status, answer.code()), expected, "{cell}: {answer:?}");
}

fn allow(action: &str, resource: &str) -> String {
    format!(r#"{{"Effect":"Allow","Action":{action},"Resource":"{resource}"}}"#)
}

fn quoted(operation: Operation) -> String {
    format!("\"{}\"", operation.action())
}

/// The callers whose own keys and rights do not let them, with what they are told.
async fn outsiders(matrix: &Matrix) -> Vec<(&'static str, Who, (u16, &'static str))> {
    let Matrix { world, owner, other, root, .. } = matrix;
    let unknown = AccessKeyId::parse("AKIDUNKNOWNUNKNOWN12").unwrap();
    let second = Some(Duration::from_secs(1));
    let expired = world.key(owner, None, second).await;
    world.clock.advance(Duration::from_secs(1));
    let session = world.key(owner, None, Some(Duration::from_hours(1))).await;
    let vault = format!("arn:aws:glacier:us-west-2:{owner}:vaults/{ELSEWHERE}");
    let everything = allow(r#""*""#, "*");
    let client = (400, "UnrecognizedClientException");
    vec![
        ("an unknown key", Who { access_key: unknown, ..root.clone() }, client),
        (
            "a wrong secret",
            Who { secret: SecretKey::new("wrong"), ..root.clone() },
            (403, "InvalidSignatureException"),
        ),
        ("an expired session", expired.clone(), (403, "ExpiredTokenException")),
        ("an expired session without its token", Who { token: None, ..expired }, client),
        ("a session without its token", Who { token: None, ..session.clone() }, client),
        (
            "a session with another token",
            Who { token: Some("another".to_owned()), ..session.clone() },
            client,
        ),
        ("a key with the token of another", Who { token: session.token, ..root.clone() }, client),
        ("a user without policy", world.user(owner, "nobody", "").await, DENIED),
        (
            "a user allowed only another vault",
            world.user(owner, "neighbour", &allow(r#""glacier:*""#, &vault)).await,
            DENIED,
        ),
        (
            "a user of another account who may everything there",
            world.user(other, "stranger", &everything).await,
            DENIED,
        ),
        ("the root of another account", world.root(other).await, DENIED),
    ]
}

#[tokio::test]
async fn nobody_without_the_right_to_it_does_any_operation() {
    let matrix = Matrix::new().await;
    let outsiders = outsiders(&matrix).await;
    let before = matrix.state().await;
    for (operation, things) in &matrix.things {
        let request = matrix.request(*operation, things);
        let unsigned = request.clone().with("x-amz-glacier-version", "2012-06-01");
        let answer = matrix.world.send(&unsigned).await;
        let cell = format!("unsigned {operation}");
        assert_refused(&answer, (400, "MissingAuthenticationTokenException"), &cell);
        for (caller, who, expected) in &outsiders {
            let answer = matrix.send(who, request.clone()).await;
            assert_refused(&answer, *expected, &format!("{operation} by {caller}"));
        }
    }
    assert_unchanged(&before, &matrix.state().await, "since callers without rights came");
}

#[tokio::test]
async fn whoever_may_do_everything_but_one_operation_does_not_do_that_one() {
    let matrix = Matrix::new().await;
    let (world, owner) = (&matrix.world, &matrix.owner);
    let who = world.user(owner, "most", "").await;
    for (operation, things) in &matrix.things {
        let others = Operation::ALL.iter().filter(|other| *other != operation);
        let others: Vec<String> = others.map(|other| quoted(*other)).collect();
        let action = quoted(*operation);
        for statements in [
            allow(&format!("[{}]", others.join(",")), "*"),
            format!(r#"{{"Effect":"Allow","NotAction":{action},"Resource":"*"}}"#),
            format!(
                r#"{},{{"Effect":"Deny","Action":{action},"Resource":"*"}}"#,
                allow(r#""*""#, "*")
            ),
        ] {
            world.allow(owner, "most", &statements).await;
            let before = matrix.state().await;
            let answer = matrix.send(&who, matrix.request(*operation, things)).await;
            assert_refused(&answer, DENIED, &format!("{operation} with {statements}"));
            assert_unchanged(&before, &matrix.state().await, operation.as_str());
        }
    }
}

#[tokio::test]
async fn whoever_may_do_one_operation_on_one_vault_does_that_and_nothing_else() {
    let matrix = Matrix::new().await;
    let (world, owner) = (&matrix.world, &matrix.owner);
    let who = world.user(owner, "one", "").await;
    for (operation, things) in &matrix.things {
        let vault = operation.as_str();
        let resource = resource_arn(*operation, owner, vault);
        world.allow(owner, "one", &allow(&quoted(*operation), &resource)).await;
        let before = matrix.state().await;
        for (other, things) in matrix.things.iter().filter(|(other, _)| other != operation) {
            let answer = matrix.send(&who, matrix.place(vault).request(*other, things)).await;
            assert_refused(&answer, DENIED, &format!("{other} by who may {operation}"));
        }
        if operation.has_vault() {
            let request = matrix.place(ELSEWHERE).request(*operation, things);
            let answer = matrix.send(&who, request).await;
            assert_refused(&answer, DENIED, &format!("{operation} elsewhere"));
        }
        assert_unchanged(&before, &matrix.state().await, vault);
        let answer = matrix.send(&who, matrix.request(*operation, things)).await;
        assert!((200..300).contains(&answer.status), "{operation}: {answer:?}");
    }
}

/// A vault has no say in being made, and an access policy none in being repaired by the owner's root.
#[tokio::test]
async fn what_the_policies_of_a_vault_deny_nobody_does() {
    let matrix = Matrix::new().await;
    let (world, owner, root) = (&matrix.world, &matrix.owner, &matrix.root);
    let full = world.user(owner, "full", &allow(r#""*""#, "*")).await;
    let about_vaults = Operation::ALL.iter().filter(|operation| operation.has_vault());
    for operation in about_vaults.filter(|operation| **operation != Operation::CreateVault) {
        for locked in [false, true] {
            let vault = format!("{operation}-{}", if locked { "locked" } else { "denied" });
            let place = matrix.place(&vault);
            let mut things = place.prepare(world, root, *operation).await;
            let policy = denial(*operation, &vault);
            if locked {
                let id = place.lock(world, root, &policy).await;
                if is_about_a_lock(*operation) {
                    things.id = id;
                }
            } else {
                let set = place.request(Operation::SetVaultAccessPolicy, &things);
                let body = serde_json::json!({ "Policy": policy });
                world.granted(root, set.json(&body)).await;
            }
            let way_back_in = !locked && operation.as_str().ends_with("VaultAccessPolicy");
            let before = matrix.state().await;
            let request = place.request(*operation, &things);
            let answer = matrix.send(&full, request.clone()).await;
            assert_refused(&answer, DENIED, &format!("{vault} by a user"));
            assert_unchanged(&before, &matrix.state().await, &vault);
            let answer = matrix.send(root, request).await;
            if way_back_in {
                assert!((200..300).contains(&answer.status), "{vault}: {answer:?}");
                continue;
            }
            assert_refused(&answer, DENIED, &format!("{vault} by the root"));
            assert_unchanged(&before, &matrix.state().await, &vault);
        }
    }
}
