//! The samples of the developer guide and the test suite of AWS.
//!
//! Of the suite everything that is signed in a header; presigned requests (its `query-*` files) are not part of the
//! service and not in the data.

use icefield_protocol::sigv4::SigV4Error;
use serde::Deserialize;

use super::{KEY, Refusal, Request, SECRET, create_vault};

/// "Signing Requests", the example of the calculation.
#[test]
fn the_sample_of_the_guide_is_signed_and_verified() {
    let signed = create_vault().signed_whole();
    assert_eq!(
        signed.value("authorization"),
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20120525/us-east-1/glacier/aws4_request, \
         SignedHeaders=host;x-amz-date;x-amz-glacier-version, \
         Signature=3ce5b2f2fffac9262b4da9256f8d086b4aaf42eba5f111c21681a65a127b7c2a"
    );
    assert_eq!(signed.verdict(), Ok(()));
}

/// "Signing Requests", the example with a payload hash. The inputs printed there give another signature than the one
/// printed; these inputs give the one printed.
#[test]
fn the_sample_of_the_guide_with_a_body_verifies() {
    let body = b"Welcome to Amazon Glacier.";
    let hash = "726e392cb4d09924dbad1cc0ba3b00c3643d03d14cb4b823e2f041cff612a628";
    let request = Request::new(
        "POST",
        "/-/vaults/examplevault/archives",
        &[
            ("host", "glacier.us-east-1.amazonaws.com"),
            ("x-amz-content-sha256", hash),
            ("x-amz-date", "20120507T000000Z"),
            ("x-amz-glacier-version", "2012-06-01"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20120507/us-east-1/glacier/aws4_request,\
                 SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-glacier-version,\
                 Signature=b092397439375d59119072764a1e9a144677c43d9906fd98a5742c57a2855de6",
            ),
        ],
    )
    .with_body(body);
    assert_eq!(request.body_hash, hash.as_bytes());
    assert_eq!(request.verdict(), Ok(()));
    let other = request.with_body(b"Welcome to S3 Glacier.");
    assert_eq!(other.verdict(), Err(SigV4Error::Mismatch.into()));
}

#[derive(Deserialize)]
struct Suite {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    /// Whether the client removes dots and doubled slashes from the path before it signs.
    normalize: bool,
    secret_key: String,
    signed_request: String,
}

#[test]
fn the_test_suite_of_aws_verifies() {
    let suite: Suite =
        serde_json::from_str(include_str!("../../data/sigv4/test-suite.json")).unwrap();
    assert_eq!(suite.vectors.len(), 38);
    for vector in suite.vectors {
        let mut request = read(&vector.signed_request);
        if vector.normalize {
            request.path = normalized(&request.path);
        }
        let verdict = request.verdict_of(KEY, &vector.secret_key);
        if vector.name == "post-sts-header-after" {
            // A service may have its token added after signing. Glacier's is signed, as every `x-amz-*` header is.
            let unsigned = SigV4Error::UnsignedHeader("x-amz-security-token".to_owned());
            assert_eq!(verdict, Err(Refusal::Signature(unsigned)));
            request = request.without("x-amz-security-token");
        } else {
            assert_eq!(verdict, Ok(()), "{}", vector.name);
        }
        assert_eq!(request.verdict_of(KEY, &vector.secret_key), Ok(()), "{}", vector.name);
        let wrong = request.verdict_of(KEY, &format!("{SECRET}x"));
        assert_eq!(wrong, Err(SigV4Error::Mismatch.into()), "{}", vector.name);
    }
}

/// The server has no path that normalising would change, so what a client normalises is the client's business.
#[test]
fn a_path_is_not_normalised_when_verified() {
    let mut signed = create_vault().signed_whole();
    signed.path = b"/-/vaults/./examplevault".to_vec();
    assert_eq!(signed.verdict(), Err(SigV4Error::Mismatch.into()));
}

/// Reads a request of the suite: lines folded as HTTP once allowed, no space after the colon of a header.
fn read(text: &str) -> Request {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let line = lines.next().unwrap().strip_suffix(" HTTP/1.1").unwrap();
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::new(method, path, &[]).with_body(body.as_bytes());
    for line in lines {
        if line.starts_with(' ') {
            request.headers.last_mut().unwrap().1.extend_from_slice(line.as_bytes());
        } else {
            let (name, value) = line.split_once(':').unwrap();
            // The access key of the suite is shorter than access keys are; it is not part of what is signed.
            let value =
                value.trim_start().replace("Credential=AKIDEXAMPLE", &format!("Credential={KEY}"));
            request = request.with(&name.to_ascii_lowercase(), &value);
        }
    }
    request
}

/// Removes dot segments and doubled slashes, as clients of most services do before they sign.
fn normalized(path: &[u8]) -> Vec<u8> {
    let path = str::from_utf8(path).unwrap();
    let mut kept = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/")).into_bytes()
}
