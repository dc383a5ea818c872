//! Signed requests that were changed on the way: none is granted unless it still says the same, and nothing is changed by
//! those that are not.
//!
//! For each client there is a request for every operation. Those that would change something are never sent as they were
//! signed until the end: then each is granted, which shows that it was good all along. The others are granted again and again,
//! so that a change that says the same can be seen to be answered the same.

use std::{collections::BTreeMap, time::Duration};

use icefield_protocol::{AccountId, Operation, sigv4::AccessKeyId};

use super::{
    change::{KINDS, Loot, Random, change},
    meaning::{Meaning, meaning},
    message::{Client, Message, Who},
    requests::Place,
    state::{assert_unchanged, state},
    world::{Answer, World},
};

#[tokio::test]
async fn changed_requests_are_not_granted() {
    println!("{}", mutate(30_000, 1).await);
}

#[tokio::test]
#[ignore = "long"]
async fn a_million_changed_requests_are_not_granted() {
    println!("{}", mutate(1_000_000, 2).await);
}

/// A request as it was signed.
struct Original {
    operation: Operation,
    message: Message,
    meaning: Meaning,
    /// The answer, of one that changes nothing.
    answer: Option<Answer>,
}

impl Original {
    fn new((operation, message): (Operation, Message)) -> Self {
        let meaning = meaning(&message.arrived().unwrap().0, operation);
        Self { operation, message, meaning, answer: None }
    }

    /// Judges the answer to a changed request, and says in a word what it was.
    fn judge(&self, changed: &Meaning, answer: &Answer) -> Result<&'static str, String> {
        if *changed == self.meaning {
            let same = self.answer.as_ref() == Some(answer);
            return same.then_some("same").ok_or_else(|| format!("not {:?}", self.answer));
        }
        let ranged = Meaning { range: self.meaning.range.clone(), ..changed.clone() };
        if ranged == self.meaning {
            // The answer says which bytes it has, so that a client that did not sign for which it asked can tell.
            let told = matches!(answer.status, 200 | 206 | 400);
            return told.then_some("other bytes of the output").ok_or_else(|| "its range".into());
        }
        if !(400..500).contains(&answer.status) {
            return Err("granted".to_owned());
        }
        // Of a payload only the hash is proved before its bytes come.
        let unread = self.operation.has_payload() && changed.head == self.meaning.head;
        if answer.proved != unread {
            return Err(format!("proved: {}", answer.proved));
        }
        Ok("refused")
    }
}

/// Judges `count` changed requests and returns how many of which kind there were.
async fn mutate(count: usize, seed: u64) -> String {
    let world = World::new().await;
    let (mut originals, loot) = originals(&world).await;
    settle(&world, &mut originals).await;
    let before = state(&world.engine).await;
    let mut random = Random(seed);
    let mut counts = BTreeMap::<(&str, String), usize>::new();
    for round in 0..count {
        let original = &originals[random.below(originals.len())];
        let other = &originals[random.below(originals.len())].message;
        let mut message = original.message.clone();
        let (keys, token) = (loot.0.as_slice(), loot.1.as_str());
        let kind = change(&mut message, &Loot { keys, token, other }, &mut random);
        let verdict = match message.arrived() {
            None => "no request".to_owned(),
            Some((arrived, request)) => {
                let changed = meaning(&arrived, original.operation);
                if changed == original.meaning && original.answer.is_none() {
                    "same, kept for the end".to_owned()
                } else {
                    let answer = world.answer(request).await;
                    let verdict = original.judge(&changed, &answer).unwrap_or_else(|wrong| {
                        panic!(
                            "seed {seed}, round {round}, {kind}: {wrong}\n{answer:?}\nof {}\n\nto {}",
                            original.message.shown(),
                            message.shown()
                        )
                    });
                    if verdict == "refused" { answer.code().to_owned() } else { verdict.to_owned() }
                }
            }
        };
        *counts.entry((kind, verdict)).or_default() += 1;
    }
    assert_unchanged(&before, &state(&world.engine).await, "since the changed requests");
    finish(&world, &originals).await;
    shown(&counts)
}

/// Records the answers of what may be sent again and again.
async fn settle(world: &World, originals: &mut [Original]) {
    for original in &mut *originals {
        if original.answer.is_some() {
            world.send(&original.message).await;
        }
    }
    for original in originals {
        if original.answer.is_some() {
            let answer = world.send(&original.message).await;
            assert!((200..300).contains(&answer.status), "{}: {answer:?}", original.operation);
            original.answer = Some(answer);
        }
    }
}

/// Grants, at last, what was kept back.
async fn finish(world: &World, originals: &[Original]) {
    for original in originals.iter().filter(|original| original.answer.is_none()) {
        let before = state(&world.engine).await;
        let answer = world.send(&original.message).await;
        let name = original.operation;
        assert!((200..300).contains(&answer.status), "{name}: {answer:?}");
        assert_ne!(before, state(&world.engine).await, "{name} changes nothing");
    }
}

/// Returns a request for each operation by each client, each in an account of its own; and the keys and a token of others.
async fn originals(world: &World) -> (Vec<Original>, (Vec<AccessKeyId>, String)) {
    let mut originals = Vec::new();
    let mut keys = Vec::new();
    let mut token = String::new();
    for client in [Client::Boto3, Client::Boto2, Client::JavaScript] {
        let account = world.engine.create_account().await.unwrap().account;
        let root = world.root(&account).await;
        let who = caller(world, &account, client).await;
        // If two of them wrote `-`, the head of one would go with the path of the other and be one of its own requests.
        let written = if client == Client::Boto3 { "-" } else { account.as_str() };
        for operation in Operation::ALL {
            let place = Place { account: account.as_str(), vault: operation.as_str() };
            let things = place.stage(world, &root, *operation).await;
            let request = Place { account: written, ..place }.request(*operation, &things);
            let message = request.signed(client, &who, world.now());
            let mut original = Original::new((*operation, message));
            let reads = ["Get", "List", "Describe"];
            if reads.iter().any(|verb| operation.as_str().starts_with(verb)) {
                original.answer = Some(Answer::default());
            }
            originals.push(original);
        }
        let place = Place { account: account.as_str(), vault: "again.and_again" };
        for (operation, request) in place.repeats(world, &root).await {
            let message = request.signed(client, &who, world.now());
            let original = Original::new((operation, message));
            originals.push(Original { answer: Some(Answer::default()), ..original });
        }
        keys.extend([root.access_key, who.access_key]);
        token = who.token.unwrap_or_default();
    }
    (originals, (keys, token))
}

/// Makes a user who may do everything in the account, for one client with a session.
async fn caller(world: &World, account: &AccountId, client: Client) -> Who {
    let everything = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
    let who = world.user(account, "full", everything).await;
    if client != Client::JavaScript {
        return who;
    }
    let user = icefield_protocol::UserName::parse("full").unwrap();
    world.key(account, Some(&user), Some(Duration::from_hours(1))).await
}

fn shown(counts: &BTreeMap<(&str, String), usize>) -> String {
    let signature = "InvalidSignatureException".to_owned();
    let of = |kind: &str| {
        let own = counts.iter().filter(|((one, _), _)| *one == kind);
        own.map(|((_, verdict), count)| format!("{count} {verdict}")).collect::<Vec<_>>()
    };
    let mut totals = BTreeMap::<&str, usize>::new();
    for ((_, verdict), count) in counts {
        *totals.entry(verdict).or_default() += count;
    }
    assert!(totals.contains_key("same") && totals.contains_key("same, kept for the end"));
    assert!(totals[signature.as_str()] > 0, "nothing was refused for its signature");
    let lines = KINDS.iter().map(|kind| format!("{kind}: {}\n", of(kind).join(", ")));
    let refuses = |how: &str| how.ends_with("Exception") || how == "BadRequest";
    let refused = |kind: &&&str| counts.keys().any(|(one, how)| one == *kind && refuses(how));
    assert_eq!(KINDS.iter().filter(refused).count(), KINDS.len() - 1, "all but moved headers");
    format!("{}{totals:#?}", lines.collect::<String>())
}
