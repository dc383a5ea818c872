//! Requests that were changed on the way: none verifies unless it still says the same.
//!
//! What a request says is worked out by [`meaning`], which shares nothing with the code under test: two requests that
//! differ in it must not both verify, and two that do not must.

use std::collections::{BTreeMap, BTreeSet};

use super::{Request, create_vault};

#[test]
fn changed_requests_do_not_verify() {
    println!("{}", mutate(100_000, 1));
}

#[test]
#[ignore = "long"]
fn a_million_changed_requests_do_not_verify() {
    println!("{}", mutate(1_000_000, 2));
}

/// Judges `count` changed requests and returns how many of which kind there were.
fn mutate(count: usize, seed: u64) -> String {
    let originals = originals();
    for original in &originals {
        assert_eq!(original.verdict(), Ok(()));
    }
    let meanings: Vec<Meaning> = originals.iter().map(meaning).collect();
    let mut random = Random(seed);
    let mut counts = BTreeMap::<(&str, bool), usize>::new();
    for round in 0..count {
        let index = random.below(originals.len());
        let mut request = originals[index].clone();
        let kind = change(&mut request, &mut random);
        let same = is_http(&request) && meaning(&request) == meanings[index];
        let verdict = request.verdict();
        assert_eq!(
            verdict.is_ok(),
            same,
            "seed {seed}, round {round}, {kind}: {verdict:?}\nof {}\nto {}",
            shown(&originals[index]),
            shown(&request)
        );
        *counts.entry((kind, same)).or_default() += 1;
    }
    let refused = |wanted: &str| counts.get(&(wanted, false)).copied().unwrap_or(0);
    for kind in KINDS {
        assert!(refused(kind) > 0, "{kind} was never refused");
    }
    let line = |((kind, same), count): (&(&str, bool), &usize)| {
        let outcome = if *same { "say the same and verify" } else { "refused" };
        format!("{kind}: {count} {outcome}\n")
    };
    counts.iter().map(line).collect()
}

/// Requests that together have everything that signing treats in a special way.
fn originals() -> Vec<Request> {
    let upload = create_vault()
        .with("x-amz-archive-description", "two  spaces \"and\", a  comma")
        .with("x-amz-content-sha256", &"5f".repeat(32))
        .with("x-amz-sha256-tree-hash", &"a0".repeat(32))
        .with("Content-Range", "bytes 0-1048575/*")
        .with("x-amz-meta", "first")
        .with("x-amz-meta", " second")
        .with("User-Agent", "never signed");
    let upload = Request { body_hash: "5f".repeat(32).into_bytes(), ..upload };
    let mut list = create_vault();
    list.method = b"GET".to_vec();
    list.path = b"/-/vaults/a%20b~c/jobs".to_vec();
    list.query = b"limit=50&marker=arn%3aaws:x%2Fy&completed=&completed=true".to_vec();
    let mut dated = create_vault().instead("date", "20120525T002453Z").without("x-amz-date");
    dated.path = b"/-/vaults".to_vec();
    let signed = ["host", "x-amz-glacier-version", "x-amz-archive-description", "x-amz-date"];
    let more = ["x-amz-content-sha256", "x-amz-sha256-tree-hash", "x-amz-meta"];
    vec![
        create_vault().signed_whole(),
        upload.signed(&[&signed[..], &more[..]].concat()),
        list.with("accept", "*/*").signed_whole(),
        dated.signed(&["host", "x-amz-glacier-version"]),
    ]
}

const KINDS: [&str; 13] = [
    "a bit of the method",
    "a bit of the path",
    "a bit of the query",
    "a bit of a header name",
    "a bit of a header value",
    "a bit of the body hash",
    "a field of the authorization",
    "a signed name",
    "a header dropped",
    "a header doubled",
    "a header moved",
    "a header added",
    "two values swapped",
];

/// Changes one thing and returns which kind of thing.
fn change(request: &mut Request, random: &mut Random) -> &'static str {
    let kind = match random.below(KINDS.len()) {
        2 if request.query.is_empty() => 1,
        kind => kind,
    };
    let at = random.below(request.headers.len());
    let authorization = request.headers.len() - 1;
    match kind {
        0 => random.flip(&mut request.method),
        1 => random.flip(&mut request.path),
        2 => random.flip(&mut request.query),
        3 => random.flip(&mut request.headers[at].0),
        4 => random.flip(&mut request.headers[at].1),
        5 => random.flip(&mut request.body_hash),
        6 => change_field(&mut request.headers[authorization].1, random),
        7 => change_names(&mut request.headers[authorization].1, random),
        8 => drop(request.headers.remove(at)),
        9 => {
            let doubled = request.headers[at].clone();
            request.headers.insert(random.below(request.headers.len() + 1), doubled);
        }
        10 => {
            let moved = request.headers.remove(at);
            request.headers.insert(random.below(request.headers.len() + 1), moved);
        }
        11 => {
            let added = ["x-amz-security-token", "X-Amz-Meta", "date", "content-type", "range"];
            let name = added[random.below(added.len())].into();
            request.headers.insert(at, (name, b"20120525T002453Z".to_vec()));
        }
        _ => {
            let other = random.below(request.headers.len());
            let value = request.headers[at].1.clone();
            request.headers[at].1 = std::mem::replace(&mut request.headers[other].1, value);
        }
    }
    KINDS[kind]
}

/// Replaces one word of the header: the algorithm, the key, a part of the scope, the signature, a separator.
fn change_field(value: &mut Vec<u8>, random: &mut Random) {
    let text = String::from_utf8(value.clone()).unwrap();
    let (front, signature) = text.split_once("Signature=").unwrap();
    let changes = [
        text.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        text.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        text.replace("AKIA", "AKIB"),
        text.replace("/20120525/", "/20120526/"),
        text.replace("/20120525/", "/0120525/"),
        text.replace("us-east-1", "us-east-2"),
        text.replace("us-east-1", ""),
        text.replace("/glacier/", "/s3/"),
        text.replace("/glacier/", "/glacier/glacier/"),
        text.replace("aws4_request", "aws4_requests"),
        text.replace(", ", ","),
        text.replacen(", ", ",", 1),
        text.replace(", ", ",  "),
        text.replace(", ", " "),
        format!("{front}Signature="),
        format!("{front}Signature={}", signature.to_ascii_uppercase()),
        format!("{front}Signature={}", &signature[1..]),
        format!("{front}Signature={signature}00"),
        format!("{text}, Signature={signature}"),
        format!("{text},"),
        format!(" {text}"),
    ];
    *value = changes[random.below(changes.len())].clone().into_bytes();
}

/// Adds, drops, doubles, renames or moves a name of `SignedHeaders`.
fn change_names(value: &mut Vec<u8>, random: &mut Random) {
    let text = String::from_utf8(value.clone()).unwrap();
    let (front, rest) = text.split_once("SignedHeaders=").unwrap();
    let (names, end) = rest.split_once(',').unwrap();
    let mut names: Vec<String> = names.split(';').map(str::to_owned).collect();
    let at = random.below(names.len());
    match random.below(6) {
        0 => names.insert(at, names[at].clone()),
        1 => drop(names.remove(at)),
        2 => names[at] = names[at].to_ascii_uppercase(),
        3 => names.insert(at, String::new()),
        4 => names.push("x-amz-zone".to_owned()),
        _ => names.swap(0, at),
    }
    *value = format!("{front}SignedHeaders={},{end}", names.join(";")).into_bytes();
}

/// What a request says under its signature.
#[derive(Debug, PartialEq)]
struct Meaning {
    method: Vec<u8>,
    path: Vec<u8>,
    query: Vec<(Vec<u8>, Vec<u8>)>,
    body_hash: Vec<u8>,
    authorizations: Vec<String>,
    /// Each signed or `x-amz-*` header, and the `Date` that stands in for `x-amz-date`.
    headers: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn meaning(request: &Request) -> Meaning {
    let mut all = BTreeMap::<Vec<u8>, Vec<Vec<u8>>>::new();
    for (name, value) in &request.headers {
        all.entry(name.to_ascii_lowercase()).or_default().push(value.clone());
    }
    let authorizations: Vec<String> = all
        .remove(&b"authorization"[..])
        .unwrap_or_default()
        .iter()
        // The space after a comma may be left out.
        .map(|value| String::from_utf8_lossy(value).replace(", ", ","))
        .collect();
    let signed: BTreeSet<Vec<u8>> = authorizations
        .iter()
        .filter_map(|text| text.split("SignedHeaders=").nth(1)?.split(',').next())
        .flat_map(|names| names.split(';').map(|name| name.as_bytes().to_vec()))
        .collect();
    let dated = all.contains_key(&b"x-amz-date"[..]);
    all.retain(|name, _| {
        signed.contains(name) || name.starts_with(b"x-amz-") || (name == b"date" && !dated)
    });
    let headers = all.into_iter().map(|(name, values)| (name, single(&values))).collect();
    let mut query: Vec<_> = request
        .query
        .split(|byte| *byte == b'&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| {
            let mut halves = parameter.splitn(2, |byte| *byte == b'=');
            let half = halves.next().unwrap();
            (unescaped(half), unescaped(halves.next().unwrap_or_default()))
        })
        .collect();
    query.sort();
    Meaning {
        method: request.method.clone(),
        path: request.path.clone(),
        query,
        body_hash: request.body_hash.to_ascii_lowercase(),
        authorizations,
        headers,
    }
}

/// Whether an HTTP server would hand the request over at all.
fn is_http(request: &Request) -> bool {
    let plain = |text: &[u8]| str::from_utf8(text).is_ok_and(|text| !text.contains(control));
    let value = |text: &[u8]| !text.iter().any(|byte| *byte != b'\t' && control(char::from(*byte)));
    let lines = [&request.method, &request.path, &request.query, &request.body_hash];
    lines.into_iter().all(|text| plain(text))
        && request.headers.iter().all(|(name, text)| plain(name) && value(text))
}

fn control(character: char) -> bool {
    matches!(character, '\0'..='\x1f' | '\x7f')
}

/// One value for several: without spaces around each, runs of spaces as one, commas between.
fn single(values: &[Vec<u8>]) -> Vec<u8> {
    let words = |value: &Vec<u8>| {
        let words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(&b' ')
    };
    values.iter().map(words).collect::<Vec<_>>().join(&b',')
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        let digits = tail.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let plain = digits.filter(|digits| !digits.starts_with('+'));
        let code = plain.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code.filter(|_| *byte == b'%') {
            Some(code) => {
                out.push(code);
                rest = &tail[2..];
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    out
}

fn shown(request: &Request) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let headers =
        request.headers.iter().map(|(name, value)| format!("\n  {}: {}", text(name), text(value)));
    format!(
        "{} {}?{} {}{}",
        text(&request.method),
        text(&request.path),
        text(&request.query),
        text(&request.body_hash),
        headers.collect::<String>()
    )
}

/// A reproducible source of choices (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % u64::try_from(limit).unwrap()).unwrap()
    }

    /// Flips one bit, of a header value that may be empty.
    fn flip(&mut self, bytes: &mut [u8]) {
        if !bytes.is_empty() {
            let at = self.below(bytes.len());
            bytes[at] ^= 1 << self.below(8);
        }
    }
}
