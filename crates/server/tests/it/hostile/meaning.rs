//! What a request says, worked out in a way that shares nothing with the server: two requests that differ in it must not both
//! be granted, and two that do not must be answered alike.

use std::collections::{BTreeMap, BTreeSet};

use icefield_protocol::Operation;

use super::message::{Message, TOKEN};

type Headers = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Meaning {
    /// What is signed before a byte of the body is read.
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
    /// Where the bytes of a part belong, said by a client that does not sign it.
    pub(super) place: Vec<u8>,
    /// Which bytes are wanted, said by a client that does not sign it.
    pub(super) range: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Head {
    method: Vec<u8>,
    path: Vec<u8>,
    query: Vec<(Vec<u8>, Vec<u8>)>,
    authorizations: Vec<String>,
    /// Each header that is signed or has to be, and the `Date` that stands in for `x-amz-date`.
    headers: Headers,
    /// Headers that mean something and came more than once: signed as one, but who knows how they are read.
    repeated: Vec<Vec<u8>>,
}

/// Returns what a request, as it arrived, says to an operation.
pub(super) fn meaning(request: &Message, operation: Operation) -> Meaning {
    let mut all = BTreeMap::<Vec<u8>, Vec<Vec<u8>>>::new();
    for (name, value) in &request.headers {
        all.entry(name.clone()).or_default().push(value.clone());
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
    // The unit may be written in any case.
    let unsigned = |name: &str, asked: Operation| {
        let values = all.get(name.as_bytes()).filter(|_| !signed.contains(name.as_bytes()));
        let value = values.and_then(|values| values.first()).filter(|_| operation == asked);
        value.map(|value| value.to_ascii_lowercase()).unwrap_or_default()
    };
    let place = unsigned("content-range", Operation::UploadMultipartPart);
    let range = unsigned("range", Operation::GetJobOutput);
    let meant = |name: &[u8]| {
        name.starts_with(b"x-amz-") || ONCE.iter().any(|once| once.as_bytes() == name)
    };
    let repeated = all.iter().filter(|(name, values)| values.len() > 1 && meant(name));
    let repeated = repeated.map(|(name, _)| name.clone()).collect();
    let dated = all.contains_key(&b"x-amz-date"[..]);
    let counts = |name: &[u8]| {
        signed.contains(name)
            || name.starts_with(b"x-amz-")
            || name == TOKEN.as_bytes()
            || (name == b"date" && !dated)
    };
    let counted = all.iter().filter(|(name, _)| counts(name));
    let headers = counted.map(|(name, values)| (name.clone(), single(values))).collect();
    let (method, path) = (request.method.clone(), request.path.clone());
    let query = parameters(&request.query);
    let head = Head { method, path, query, authorizations, headers, repeated };
    Meaning { head, body: request.body.clone(), place, range }
}

/// Headers that mean something beside those of the service.
const ONCE: [&str; 7] =
    ["host", "range", "content-range", "content-length", "user-agent", "referer", TOKEN];

fn parameters(query: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut parameters: Vec<_> = query
        .split(|byte| *byte == b'&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| {
            let mut halves = parameter.splitn(2, |byte| *byte == b'=');
            let half = halves.next().unwrap();
            (unescaped(half), unescaped(halves.next().unwrap_or_default()))
        })
        .collect();
    parameters.sort();
    parameters
}

/// One value for several: runs of spaces as one, commas between.
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
