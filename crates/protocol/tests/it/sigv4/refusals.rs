//! What is refused, each for its own reason, and what is told about it.

use std::time::Duration;

use icefield_protocol::sigv4::{
    AccessKeyId, MAX_HEAD_BYTES, RequestTime, SecretKey, SigV4Error, check_skew, is_digest,
};
use icefield_protocol::{ErrorCode, Timestamp};
use proptest::prelude::*;

use super::{KEY, Refusal, Request, SECRET, create_vault};

fn signed() -> Request {
    create_vault().signed_whole()
}

fn refusal(request: &Request) -> SigV4Error {
    match request.verdict() {
        Err(Refusal::Signature(error)) => error,
        other => panic!("{other:?} for {request:?}"),
    }
}

/// Returns the signed sample with something in its `Authorization` replaced.
fn rewritten(from: &str, to: &str) -> Request {
    let value = signed().value("authorization");
    assert!(value.contains(from), "{value}");
    signed().instead("authorization", &value.replace(from, to))
}

#[test]
fn a_request_without_credentials_is_told_so() {
    let error = refusal(&create_vault());
    assert_eq!(
        (&error, error.code()),
        (&SigV4Error::Missing, ErrorCode::MissingAuthenticationToken)
    );
}

#[test]
fn more_than_one_set_of_credentials_is_refused() {
    let twice = signed().with("authorization", &signed().value("authorization"));
    assert!(matches!(refusal(&twice), SigV4Error::Mixed(_)));
    for parameter in [
        "X-Amz-Signature=00",
        "x-amz-credential=a",
        "a=b&X-Amz-Algorithm",
        "%58-Amz-Security-Token=t",
        "X-Amz-Expires=60",
        "AWSAccessKeyId=a&Signature=b",
    ] {
        let mut request = create_vault();
        request.query = parameter.into();
        assert!(matches!(refusal(&request.clone()), SigV4Error::Mixed(_)), "{parameter}");
        assert!(matches!(refusal(&request.signed_whole()), SigV4Error::Mixed(_)), "{parameter}");
    }
}

#[test]
fn other_algorithms_are_refused() {
    for other in ["AWS4-ECDSA-P256-SHA256", "AWS4-HMAC-SHA1", "aws4-hmac-sha256", "Bearer", ""] {
        let error = refusal(&rewritten("AWS4-HMAC-SHA256", other));
        assert_eq!(error, SigV4Error::Algorithm, "{other}");
    }
    assert_eq!(refusal(&create_vault().with("authorization", "")), SigV4Error::Algorithm);
}

#[test]
fn the_header_is_read_strictly() {
    let hex = "3ce5b2f2fffac9262b4da9256f8d086b4aaf42eba5f111c21681a65a127b7c2a";
    for (from, to) in [
        ("Credential=", "credential="),
        ("Credential=", " Credential="),
        ("AKIAIOSFODNN7EXAMPLE", "AKIA"),
        ("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7-EXAMPLE"),
        ("/20120525/", "/2012-5-25/"),
        ("/us-east-1/", "//"),
        ("/us-east-1/", "/us east/"),
        ("/us-east-1/glacier/", "/glacier/"),
        ("/aws4_request", ""),
        ("/aws4_request", "/aws4"),
        ("/aws4_request", "/aws4_request/aws4_request"),
        ("host;", ""),
        ("host;", "host;host;"),
        ("host;", "Host;"),
        ("host;", ";host;"),
        ("host;x-amz-date", "x-amz-date;host"),
        ("host;x-amz-date;x-amz-glacier-version", ""),
        (", SignedHeaders=", ", Signature=00, SignedHeaders="),
        (", SignedHeaders=", ",  SignedHeaders="),
        (", SignedHeaders=", " SignedHeaders="),
        (hex, ""),
        (hex, &hex[1..]),
        (hex, &hex.to_uppercase()),
        (hex, &format!("{hex}00")),
        (hex, &format!("{hex}, Extra=1")),
        (hex, &"g".repeat(64)),
    ] {
        let error = refusal(&rewritten(from, to));
        let unsigned = from == "host;" && to.is_empty();
        let expected = if unsigned {
            error == SigV4Error::UnsignedHeader("host".to_owned())
        } else {
            matches!(error, SigV4Error::Malformed(_))
        };
        assert!(expected, "{from} -> {to}: {error:?}");
        assert_eq!(error.code(), ErrorCode::InvalidSignature);
    }
}

#[test]
fn overlong_requests_are_refused_before_they_cost_anything() {
    let long = signed().with("x", &"x".repeat(MAX_HEAD_BYTES));
    assert_eq!(refusal(&long), SigV4Error::Malformed("its head is too long"));
    let names = format!("host;{};x-amz-date", "x".repeat(9000));
    let error = refusal(&rewritten("host;x-amz-date", &names));
    assert_eq!(error, SigV4Error::Malformed("the Authorization header is too long"));
}

/// Without this a value with a line break could pass for two headers.
#[test]
fn control_characters_are_refused() {
    for value in ["a\nx-amz-b:c", "a\rb", "a\0b", "a\x7fb"] {
        let request = create_vault().with("x-amz-a", value).signed_whole();
        assert_eq!(refusal(&request), SigV4Error::Malformed("its head has control characters"));
    }
    let mut path = signed();
    path.path = b"/-/vaults\n/x".to_vec();
    assert_eq!(refusal(&path), SigV4Error::Malformed("its head has control characters"));
}

#[test]
fn host_and_every_amz_header_must_be_signed() {
    let names = ["host", "x-amz-date", "x-amz-glacier-version"];
    for missing in 0..names.len() {
        let mut signed = names.to_vec();
        let name = signed.remove(missing).to_owned();
        let error = refusal(&create_vault().signed(&signed));
        assert_eq!(error, SigV4Error::UnsignedHeader(name));
    }
    for added in ["x-amz-security-token", "x-amz-archive-description", "X-Amz-Anything"] {
        let error = refusal(&signed().with(added, "value"));
        assert_eq!(error, SigV4Error::UnsignedHeader(added.to_ascii_lowercase()));
    }
}

#[test]
fn headers_that_are_signed_must_be_there() {
    let signed = create_vault().with("content-type", "text/plain").signed_whole();
    assert_eq!(signed.verdict(), Ok(()));
    let error = refusal(&signed.without("content-type"));
    assert_eq!(error, SigV4Error::AbsentHeader("content-type".to_owned()));
}

#[test]
fn repeated_headers_are_signed_as_one_list_in_order() {
    let signed = create_vault().with("x-amz-a", "1").with("x-amz-a", "2").signed_whole();
    assert_eq!(signed.verdict(), Ok(()));
    assert_eq!(signed.clone().instead("x-amz-a", "1,2").verdict(), Ok(()));
    assert_eq!(refusal(&signed.clone().instead("x-amz-a", "2,1")), SigV4Error::Mismatch);
    assert_eq!(refusal(&signed.instead("x-amz-a", "1")), SigV4Error::Mismatch);
}

#[test]
fn the_body_is_signed_by_its_digest_only() {
    for word in ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "", &"0".repeat(63)] {
        assert!(!is_digest(word), "{word}");
        let mut request = create_vault();
        request.body_hash = word.into();
        assert_eq!(refusal(&request.signed_whole()), SigV4Error::BodyHash);
    }
    assert!(is_digest(&"0a".repeat(32)) && is_digest(&"0A".repeat(32)));
    assert_eq!(refusal(&signed().with_body(b"x")), SigV4Error::Mismatch);
    let mut upper = signed();
    upper.body_hash.make_ascii_uppercase();
    assert_eq!(upper.verdict(), Ok(()));
}

#[test]
fn the_date_is_that_of_the_scope_and_in_its_one_form() {
    let moved = signed().instead("x-amz-date", "20120526T002453Z");
    assert!(matches!(refusal(&moved), SigV4Error::ScopeDate { .. }));
    let later = signed().instead("x-amz-date", "20120525T002454Z");
    assert_eq!(refusal(&later), SigV4Error::Mismatch);
    let mut without = create_vault().without("x-amz-date").signed_whole();
    assert_eq!(refusal(&without), SigV4Error::DateMissing);
    without = without.with("date", "20120525T002453Z");
    assert_eq!(without.verdict(), Ok(()));
    let rfc = "Fri, 25 May 2012 00:24:53 GMT";
    assert!(matches!(refusal(&without.instead("date", rfc)), SigV4Error::Malformed(_)));
    assert_eq!(signed().with("date", rfc).verdict(), Ok(()));
    let twice = signed().with("x-amz-date", "20120525T002453Z");
    assert_eq!(refusal(&twice), SigV4Error::Malformed("the date is given twice"));
    for bad in
        ["", "20120525T002453", "20120532T002453Z", "2012-05-25T00:24:53Z", "20120525T002461Z"]
    {
        assert_eq!(RequestTime::parse(bad), None, "{bad}");
    }
}

#[test]
fn a_request_is_of_now_within_the_window_to_the_second() {
    let time = RequestTime::parse("20121108T030749Z").unwrap();
    let window = Duration::from_secs(300);
    let check = |now: &str| check_skew(time, Timestamp::parse(now).unwrap(), window);
    for now in ["2012-11-08T03:02:49Z", "2012-11-08T03:07:49Z", "2012-11-08T03:12:49.999Z"] {
        assert_eq!(check(now), Ok(()), "{now}");
    }
    // As the service has been seen to say it.
    let expired = check("2012-11-08T03:18:04Z").unwrap_err();
    assert_eq!(
        expired.to_string(),
        "Signature expired: 20121108T030749Z is now earlier than 20121108T031304Z (20121108T031804Z - 5 min.)"
    );
    assert_eq!(expired.code(), ErrorCode::InvalidSignature);
    assert!(matches!(check("2012-11-08T03:12:50Z"), Err(SigV4Error::Expired { .. })));
    let early = check("2012-11-08T03:02:48.999Z").unwrap_err();
    assert_eq!(
        early.to_string(),
        "Signature not yet current: 20121108T030749Z is still later than 20121108T030748Z (20121108T030248Z + 5 min.)"
    );
    assert_eq!(check_skew(time, Timestamp::UNIX_EPOCH, Duration::MAX), Ok(()));
}

#[test]
fn secrets_are_not_shown() {
    let secret = SecretKey::new(SECRET);
    assert_eq!(format!("{secret:?}"), "SecretKey(..)");
    assert_eq!(secret.as_str(), SECRET);
    assert!(!format!("{:?}", refusal(&signed().with_body(b"x"))).contains("wJalr"));
}

#[test]
fn access_keys_have_their_form() {
    for good in [KEY, "test_access_key_1", &"A".repeat(128)] {
        assert_eq!(AccessKeyId::parse(good).unwrap().to_string(), good);
    }
    for bad in
        ["", "AKIDEXAMPLE", "AKIAIOSFODNN7-EXAMPLE", "AKIAIOSFODNN7/EXAMPLE", &"A".repeat(129)]
    {
        assert!(AccessKeyId::parse(bad).is_err(), "{bad}");
    }
    let read: AccessKeyId = serde_json::from_str(&format!("{KEY:?}")).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), format!("{KEY:?}"));
    assert!(serde_json::from_str::<AccessKeyId>("\"short\"").is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_a_panic(
        [method, path, query, value, body_hash]: [Vec<u8>; 5],
        headers: Vec<(Vec<u8>, Vec<u8>)>,
    ) {
        let mut request = Request { method, path, query, headers, body_hash };
        prop_assert!(request.verdict().is_err());
        request.headers.push((b"authorization".to_vec(), value));
        prop_assert!(request.verdict().is_err());
    }

    #[test]
    fn any_text_in_any_place_of_the_header_is_judged_without_a_panic(
        [key, scope, names, signature, date]: [String; 5],
        query: String,
    ) {
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={key}/{scope}/aws4_request, SignedHeaders={names}, Signature={signature}"
        );
        let mut request = create_vault().instead("x-amz-date", &date).with("authorization", &value);
        request.query = query.into_bytes();
        prop_assert!(request.verdict().is_err());
        let scoped = rewritten("20120525/us-east-1/glacier", &scope);
        prop_assert!(scoped.verdict().is_err());
    }

    #[test]
    fn what_is_signed_verifies(
        path in "(/[ -~é]{0,12}){1,4}",
        query in "[ -~é]{0,40}",
        values in prop::collection::vec(("x-amz-[a-z]{1,3}", "[\t -~é]{0,30}"), 0..5),
        body: Vec<u8>,
    ) {
        let mut request = create_vault().with_body(&body);
        request.path = path.into_bytes();
        request.query = query.into_bytes();
        for (name, value) in &values {
            request = request.with(name, value);
        }
        let verdict = request.signed_whole().verdict();
        let credentials = matches!(verdict, Err(Refusal::Signature(SigV4Error::Mixed(_))));
        prop_assert!(verdict.is_ok() || credentials, "{:?}", verdict);
    }
}
