//! One change to a request on its way.

use icefield_protocol::sigv4::AccessKeyId;

use super::message::{Message, TOKEN};

/// What can be changed.
pub(super) const KINDS: [&str; 25] = [
    "a bit of the method",
    "a bit of the path",
    "a bit of the query",
    "a bit of a header name",
    "a bit of a header value",
    "a bit of the body",
    "the body longer",
    "the body shorter",
    "a field of the authorization",
    "a signed name",
    "the access key of another",
    "the date shifted",
    "a token added or removed",
    "a header dropped",
    "a header doubled",
    "a header moved",
    "a header renamed",
    "a header added",
    "two values swapped",
    "a value cut in two at a comma",
    "a parameter moved, added or dropped",
    "the authorization of another request",
    "the target of another request",
    "the body of another request",
    "the headers of another request",
];

/// What whoever changes requests has at hand.
pub(super) struct Loot<'a> {
    /// Access keys of others.
    pub(super) keys: &'a [AccessKeyId],
    /// A session token of another.
    pub(super) token: &'a str,
    /// Another signed request.
    pub(super) other: &'a Message,
}

/// Changes one thing and returns which kind of thing.
pub(super) fn change(request: &mut Message, loot: &Loot<'_>, random: &mut Random) -> &'static str {
    let kind = match random.below(KINDS.len()) {
        2 if request.query.is_empty() => 1,
        5 | 7 if request.body.is_empty() => 6,
        kind => kind,
    };
    let at = random.below(request.headers.len());
    match kind {
        0 => random.flip(&mut request.method),
        1 => random.flip(&mut request.path),
        2 => random.flip(&mut request.query),
        3 => random.flip(&mut request.headers[at].0),
        4 => random.flip(&mut request.headers[at].1),
        5 => random.flip(&mut request.body),
        6 | 7 => change_length(request, kind == 6, random),
        8 => change_field(authorization(request), random),
        9 => change_names(authorization(request), random),
        10 => change_key(authorization(request), loot.keys, random),
        11 => shift_date(request, random),
        12 => change_token(request, loot.token),
        13..=19 => change_header(request, kind, at, random),
        20 => change_parameter(request, random),
        21 => {
            let value = loot.other.values("authorization").next().unwrap().to_vec();
            *authorization(request) = value;
        }
        22 => {
            let Message { method, path, query, .. } = loot.other.clone();
            *request = Message { method, path, query, ..request.clone() };
        }
        23 => request.set_body(loot.other.body.clone()),
        _ => request.headers.clone_from(&loot.other.headers),
    }
    KINDS[kind]
}

fn change_header(request: &mut Message, kind: usize, at: usize, random: &mut Random) {
    let headers = &mut request.headers;
    match kind {
        13 => drop(headers.remove(at)),
        14 => headers.insert(random.below(headers.len() + 1), headers[at].clone()),
        15 => {
            let moved = headers.remove(at);
            headers.insert(random.below(headers.len() + 1), moved);
        }
        16 => {
            let name = NAMES[random.below(NAMES.len())];
            headers[at].0 = name.into();
        }
        17 => {
            let name = NAMES[random.below(NAMES.len())];
            let values = ["bytes=0-1", "20120507T120000Z", "00", "1048576", "x"];
            let value = values[random.below(values.len())];
            headers.insert(at, (name.into(), value.into()));
        }
        18 => {
            let other = random.below(headers.len());
            let value = headers[at].1.clone();
            headers[at].1 = std::mem::replace(&mut headers[other].1, value);
        }
        _ => {
            let cut: Vec<usize> =
                (0..headers.len()).filter(|at| headers[*at].1.contains(&b',')).collect();
            let at = cut[random.below(cut.len())];
            let (name, value) = headers[at].clone();
            let comma = value.iter().position(|byte| *byte == b',').unwrap();
            headers[at].1.truncate(comma);
            headers.insert(at + 1, (name, value[comma + 1..].to_vec()));
        }
    }
}

/// Headers that mean something to the service, or to the way there.
const NAMES: [&str; 15] = [
    TOKEN,
    "authorization",
    "content-type",
    "date",
    "host",
    "range",
    "x-amz-archive-description",
    "X-Amz-Archive-Size",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-glacier-version",
    "x-amz-part-size",
    "x-amz-security-token",
    "x-amz-sha256-tree-hash",
    "x-forwarded-for",
];

fn authorization(request: &mut Message) -> &mut Vec<u8> {
    value(request, b"authorization").expect("every request is signed")
}

fn value<'a>(request: &'a mut Message, wanted: &[u8]) -> Option<&'a mut Vec<u8>> {
    let mut headers = request.headers.iter_mut();
    let found = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.map(|(_, value)| value)
}

fn change_length(request: &mut Message, longer: bool, random: &mut Random) {
    let mut body = request.body.clone();
    if longer {
        let more = [&b" "[..], b"\0", b"{}", b"0123456789abcdef"];
        body.extend_from_slice(more[random.below(more.len())]);
    } else {
        body.truncate(random.below(body.len()));
    }
    request.set_body(body);
}

/// Replaces one word of the header: the algorithm, the key, a part of the scope, the signature, a separator.
fn change_field(value: &mut Vec<u8>, random: &mut Random) {
    let text = String::from_utf8(value.clone()).unwrap();
    let (front, signature) = text.split_once("Signature=").unwrap();
    let changes = [
        text.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        text.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        text.replacen("ICE", "ICX", 1),
        text.replace("/20120507/", "/20120508/"),
        text.replace("/20120507/", "/0120507/"),
        text.replace("us-west-2", "us-west-1"),
        text.replace("us-west-2", ""),
        text.replace("/0/127/", "/0/128/"),
        text.replace("/glacier/", "/s3/"),
        text.replace("/glacier/", "/glacier/glacier/"),
        text.replace("aws4_request", "aws4_requests"),
        text.replace(", ", ","),
        text.replace(", ", ",  "),
        text.replace(", ", " "),
        text.replace(',', ", "),
        format!("{front}Signature="),
        format!("{front}Signature={}", signature.to_ascii_uppercase()),
        format!("{front}Signature={}", &signature[1..]),
        format!("{front}Signature={signature}00"),
        format!("{front}Signature={}", "0".repeat(64)),
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
    match random.below(7) {
        0 => names.insert(at, names[at].clone()),
        1 => drop(names.remove(at)),
        2 => names[at] = names[at].to_ascii_uppercase(),
        3 => names.insert(at, String::new()),
        4 => names.push("x-amz-zone".to_owned()),
        5 => names.push("user-agent".to_owned()),
        _ => names.swap(0, at),
    }
    *value = format!("{front}SignedHeaders={},{end}", names.join(";")).into_bytes();
}

/// Names another key; its secret is not known.
fn change_key(value: &mut Vec<u8>, keys: &[AccessKeyId], random: &mut Random) {
    let text = String::from_utf8(value.clone()).unwrap();
    let (front, rest) = text.split_once("Credential=").unwrap();
    let (own, scope) = rest.split_once('/').unwrap();
    let others: Vec<&AccessKeyId> = keys.iter().filter(|key| key.as_str() != own).collect();
    let key = others[random.below(others.len())];
    *value = format!("{front}Credential={key}/{scope}").into_bytes();
}

/// Moves the time, within what is near enough or beyond it, with the day of the scope or without.
fn shift_date(request: &mut Message, random: &mut Random) {
    let times = ["20120507T120001Z", "20120507T115959Z", "20120507T120600Z", "20120508T120000Z"];
    let time = times[random.below(times.len())];
    *value(request, b"x-amz-date").expect("every request is dated") = time.into();
    if random.below(2) == 0 {
        let header = authorization(request);
        let text = String::from_utf8(header.clone()).unwrap();
        *header = text.replace("/20120507/", &format!("/{}/", &time[..8])).into_bytes();
    }
}

fn change_token(request: &mut Message, token: &str) {
    let name = b"x-amz-security-token";
    if value(request, name).is_some() {
        request.headers.retain(|(one, _)| !one.eq_ignore_ascii_case(name));
    } else {
        request.headers.push((name.to_vec(), token.into()));
    }
}

fn change_parameter(request: &mut Message, random: &mut Random) {
    let query = String::from_utf8(request.query.clone()).unwrap();
    let mut parameters: Vec<&str> = query.split('&').collect();
    let at = random.below(parameters.len());
    match random.below(5) {
        0 => parameters.rotate_left(at),
        1 => drop(parameters.remove(at)),
        2 => parameters.insert(at, parameters[at]),
        3 => parameters.insert(at, "limit=1"),
        _ => parameters.insert(at, "operation=remove"),
    }
    request.query = parameters.join("&").into_bytes();
}

/// A reproducible source of choices (SplitMix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % u64::try_from(limit).unwrap()).unwrap()
    }

    /// Flips one bit, of a value that may be empty.
    fn flip(&mut self, bytes: &mut [u8]) {
        if !bytes.is_empty() {
            let at = self.below(bytes.len());
            bytes[at] ^= 1 << self.below(8);
        }
    }
}
