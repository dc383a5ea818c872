//! The grammar of the `Authorization` header.
//!
//! ```text
//! AWS4-HMAC-SHA256 Credential=KEY/20120525/us-east-1/glacier/aws4_request, SignedHeaders=host;x-amz-date, Signature=HEX
//! ```
//!
//! Read exactly as clients write it: the three fields in this order, separated by `, ` or `,`; header names in lower
//! case, sorted, each once; the signature in lower-case hex. A second spelling of the same thing helps nobody but whoever
//! looks for a difference between two readers of it.

use std::fmt;

use super::key::AccessKeyId;
use super::{ALGORITHM, MAX_HEAD_BYTES, RequestHead, SCOPE_END, SigV4Error};
use crate::LinearHash;

/// The most bytes that an `Authorization` header may have; clients send a few hundred.
const MAX_AUTHORIZATION_BYTES: usize = 8 * 1024;

/// The most bytes of a region or service in a scope.
const MAX_SCOPE_PART_BYTES: usize = 64;

/// What an `Authorization` header claims; nothing of it is true before [`Authorization::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Whose secret signed the request.
    pub access_key: AccessKeyId,
    /// What the signing key was derived for.
    pub scope: Scope,
    /// The names of the signed headers: lower case, sorted, each once, at least one.
    pub signed_headers: Vec<String>,
    /// The signature.
    pub signature: [u8; 32],
}

/// The day, region and service that a signing key is for. `Display` writes it as it is signed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The day as `yyyymmdd`.
    pub date: String,
    /// The region. What the client took for it: some derive it from the host name, and `127` is seen.
    pub region: String,
    /// The service, with the same caveat.
    pub service: String,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{SCOPE_END}", self.date, self.region, self.service)
    }
}

impl Scope {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let [date, region, service, end] = [(); 4].map(|()| parts.next());
        let (date, region, service) = (date?, region?, service?);
        let dated = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
        let ends = end? == SCOPE_END && parts.next().is_none();
        (dated && ends && is_scope_part(region) && is_scope_part(service)).then(|| Self {
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
        })
    }
}

fn is_scope_part(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b'=' | b'/');
    (1..=MAX_SCOPE_PART_BYTES).contains(&text.len()) && text.bytes().all(legal)
}

impl Authorization {
    /// Reads the one `Authorization` header of a request.
    ///
    /// # Errors
    ///
    /// When there is none or more than one, when the query carries credentials too, when the head is larger than
    /// [`MAX_HEAD_BYTES`] or has control characters, and when the header departs from the grammar.
    pub fn of(head: &RequestHead<'_>) -> Result<Self, SigV4Error> {
        if head.bytes() > MAX_HEAD_BYTES {
            return Err(SigV4Error::Malformed("its head is too long"));
        }
        if !head.is_unambiguous() {
            return Err(SigV4Error::Malformed("its head has control characters"));
        }
        if has_query_credentials(head.query) {
            return Err(SigV4Error::Mixed("credentials in the query are not supported"));
        }
        let mut values = head.values("authorization");
        let value = values.next().ok_or(SigV4Error::Missing)?;
        if values.next().is_some() {
            return Err(SigV4Error::Mixed("there is more than one"));
        }
        if value.len() > MAX_AUTHORIZATION_BYTES {
            return Err(SigV4Error::Malformed("the Authorization header is too long"));
        }
        let text = str::from_utf8(value)
            .map_err(|_| SigV4Error::Malformed("the Authorization header is not text"))?;
        Self::parse(text)
    }

    fn parse(text: &str) -> Result<Self, SigV4Error> {
        let (algorithm, fields) = text.split_once(' ').unwrap_or((text, ""));
        if algorithm != ALGORITHM {
            return Err(SigV4Error::Algorithm);
        }
        let [credential, signed_headers, signature] = split_fields(fields).ok_or(
            SigV4Error::Malformed("the Authorization header needs Credential, SignedHeaders and Signature, in that order"),
        )?;
        let (access_key, scope) = parse_credential(credential).ok_or(SigV4Error::Malformed(
            "the Credential is not of the form KEY/yyyymmdd/REGION/SERVICE/aws4_request",
        ))?;
        let signed_headers = parse_names(signed_headers).ok_or(SigV4Error::Malformed(
            "SignedHeaders must be names in lower case, sorted, each once, separated by semicolons",
        ))?;
        let signature = parse_signature(signature)
            .ok_or(SigV4Error::Malformed("the Signature is not 64 lower-case hex digits"))?;
        Ok(Self { access_key, scope, signed_headers, signature })
    }
}

/// Returns whether a parameter of the query belongs to a presigned request of this or an older kind.
fn has_query_credentials(query: &str) -> bool {
    let is_credential = |parameter: &str| {
        let name = super::canonical::decoded(parameter.split('=').next().unwrap_or(""));
        let name = name.to_ascii_lowercase();
        name.starts_with(b"x-amz-") || name == b"awsaccesskeyid"
    };
    query.split('&').any(is_credential)
}

fn split_fields(fields: &str) -> Option<[&str; 3]> {
    let (credential, rest) = fields.strip_prefix("Credential=")?.split_once(',')?;
    let (signed_headers, rest) =
        without_space(rest).strip_prefix("SignedHeaders=")?.split_once(',')?;
    let signature = without_space(rest).strip_prefix("Signature=")?;
    Some([credential, signed_headers, signature])
}

fn without_space(text: &str) -> &str {
    text.strip_prefix(' ').unwrap_or(text)
}

fn parse_credential(text: &str) -> Option<(AccessKeyId, Scope)> {
    let (access_key, scope) = text.split_once('/')?;
    Some((access_key.parse().ok()?, Scope::parse(scope)?))
}

fn parse_names(text: &str) -> Option<Vec<String>> {
    let names: Vec<String> = text.split(';').map(str::to_owned).collect();
    let sorted = names.windows(2).all(|pair| pair[0] < pair[1]);
    (sorted && names.iter().all(|name| is_name(name))).then_some(names)
}

/// Returns whether the text is the name of a header, in lower case.
fn is_name(text: &str) -> bool {
    let legal =
        |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9') || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(legal)
}

fn parse_signature(text: &str) -> Option<[u8; 32]> {
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    text.parse::<LinearHash>().ok().filter(|_| lower).map(|hash| *hash.as_bytes())
}
