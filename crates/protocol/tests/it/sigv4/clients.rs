//! Requests as the clients of the service sign them: recorded ones, and any that the signer of AWS's SDK for Rust signs.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use icefield_protocol::LinearHash;
use icefield_protocol::sigv4::SigV4Error;
use proptest::prelude::*;
use serde::Deserialize;

use super::{KEY, Request, SECRET};

#[derive(Deserialize)]
struct Recording {
    requests: Vec<Recorded>,
}

#[derive(Deserialize)]
struct Recorded {
    client: String,
    head: String,
    body: String,
}

#[test]
fn what_clients_sent_verifies() {
    let recording: Recording =
        serde_json::from_str(include_str!("../../data/sigv4/clients.json")).unwrap();
    assert_eq!(recording.requests.len(), 35);
    for recorded in recording.requests {
        let request = read(&recorded.head).with_body(recorded.body.as_bytes());
        assert_eq!(request.verdict(), Ok(()), "{}: {}", recorded.client, recorded.head);
        let mut other = request;
        other.path.push(b'x');
        assert_eq!(other.verdict(), Err(SigV4Error::Mismatch.into()));
    }
}

/// Which spaces a client signs in a value with a quotation mark is its own affair, but nothing else may differ.
#[test]
fn spaces_beside_a_quotation_mark_count_as_boto_2_and_as_others_sign_them() {
    let description = "x-amz-archive-description";
    let recording: Recording =
        serde_json::from_str(include_str!("../../data/sigv4/clients.json")).unwrap();
    let quoted = recording.requests.iter().filter(|one| one.head.contains("  spaces \"q\""));
    let mut boto2 = 0;
    for recorded in quoted {
        let request = read(&recorded.head).with_body(recorded.body.as_bytes());
        let fewer = request.clone().instead(description, "two spaces \"q\" end");
        let keeps = recorded.client.starts_with("boto 2");
        boto2 += usize::from(keeps);
        assert_eq!(fewer.verdict().is_ok(), !keeps, "{}", recorded.client);
        let unquoted = request.instead(description, "two  spaces  q  end");
        assert_eq!(unquoted.verdict(), Err(SigV4Error::Mismatch.into()));
    }
    assert_eq!(boto2, 2);
}

fn read(head: &str) -> Request {
    let mut lines = head.lines();
    let line = lines.next().unwrap().strip_suffix(" HTTP/1.1").unwrap();
    let (method, path) = line.split_once(' ').unwrap();
    lines.fold(Request::new(method, path, &[]), |request, line| {
        let (name, value) = line.split_once(": ").unwrap();
        request.with(&name.to_ascii_lowercase(), value)
    })
}

/// Signs a request with the signer of AWS, to which the SDK gives paths and queries that are already escaped.
fn signed_by_aws(mut request: Request, seconds: u64, token: Option<&str>) -> Request {
    let identity = Credentials::new(KEY, SECRET, token.map(str::to_owned), None, "a test").into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region("eu-central-1")
        .name("glacier")
        .time(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let headers: Vec<(String, String)> =
        request.headers.iter().map(|(name, value)| (text(name), text(value))).collect();
    let query = if request.query.is_empty() { "" } else { "?" };
    let uri = format!(
        "https://glacier.eu-central-1.amazonaws.com{}{query}{}",
        text(&request.path),
        text(&request.query)
    );
    let signable = SignableRequest::new(
        str::from_utf8(&request.method).unwrap(),
        uri,
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())),
        SignableBody::Precomputed(text(&request.body_hash)),
    )
    .unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    for (name, value) in instructions.headers() {
        request = request.with(name, value);
    }
    request.with("host", "glacier.eu-central-1.amazonaws.com")
}

/// Escapes everything but the unreserved characters, as SDKs escape what they put into a path or query.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escape).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_the_signer_of_aws_signs_verifies(
        method in "GET|PUT|POST|DELETE",
        segments in prop::collection::vec("[ -~é]{1,12}", 1..5),
        parameters in prop::collection::vec(("[ -~é]{1,6}", prop::option::of("[ -~é]{0,8}")), 0..5),
        headers in prop::collection::vec(
            ("(x-amz-|x-|)[a-z0-9]{1,3}", "( {0,2}[!-~]{0,4}){0,5} {0,2}"), 0..6),
        seconds in 0..4_000_000_000_u64,
        token in prop::option::of("[A-Za-z0-9/+=]{1,40}"),
        body: Vec<u8>,
    ) {
        // The SDK removes dot segments, which the service has none of.
        prop_assume!(segments.iter().all(|segment| segment != "." && segment != ".."));
        let path: String = segments.iter().map(|segment| format!("/{}", escaped(segment))).collect();
        let query: Vec<String> = parameters
            .iter()
            .map(|(name, value)| match value {
                Some(value) => format!("{}={}", escaped(name), escaped(value)),
                None => escaped(name),
            })
            .collect();
        let mut request = Request::new(&method, &format!("{path}?{}", query.join("&")), &[]);
        request.body_hash = LinearHash::of(&body).to_string().into_bytes();
        for (name, value) in &headers {
            request = request.with(name, value);
        }
        let signed = signed_by_aws(request, seconds, token.as_deref());
        prop_assert_eq!(signed.verdict(), Ok(()));
    }
}
