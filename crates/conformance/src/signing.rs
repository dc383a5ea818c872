//! Signature Version 4 from the client's side, with the freedom to do it wrong.
//!
//! Written on its own and not with the workspace's signer: a mistake shared by signer and verifier would not show.

use aws_lc_rs::hmac;
use icefield_treehash::LinearHash;

/// The two ways in which clients write paths into what they sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathForm {
    /// Every segment encoded once more (SDKs).
    EncodedAgain,
    /// As it is sent (boto 2, mt-aws-glacier).
    AsSent,
}

/// The two ways in which clients write spaces inside a signed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpaceForm {
    /// Runs become one space.
    Collapsed,
    /// Kept in values with a double quote (boto 2).
    KeptBesideQuotes,
}

/// Everything that a signature covers.
#[derive(Debug)]
pub(crate) struct Signing<'a> {
    pub(crate) secret: &'a str,
    /// `yyyymmddThhmmssZ`.
    pub(crate) time: &'a str,
    /// `yyyymmdd/region/service/aws4_request`.
    pub(crate) scope: &'a str,
    pub(crate) method: &'a str,
    /// Path and query as sent.
    pub(crate) target: &'a str,
    /// Lower-case names and values of the signed headers; values of any bytes.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body_hash: &'a str,
    pub(crate) path_form: PathForm,
    pub(crate) space_form: SpaceForm,
}

impl Signing<'_> {
    /// Returns the names of the signed headers as `SignedHeaders` has them.
    pub(crate) fn signed_headers(&self) -> String {
        let mut names: Vec<_> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.join(";")
    }

    /// Returns the signature in hex.
    pub(crate) fn signature(&self) -> String {
        let request = LinearHash::of(&self.canonical_request());
        let text = format!("AWS4-HMAC-SHA256\n{}\n{}\n{request}", self.time, self.scope);
        let first = format!("AWS4{}", self.secret).into_bytes();
        let key = self.scope.split('/').fold(first, |key, word| mac(&key, word.as_bytes()));
        mac(&key, text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn canonical_request(&self) -> Vec<u8> {
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let path = match self.path_form {
            PathForm::EncodedAgain => encoded(path.as_bytes(), b"/"),
            PathForm::AsSent => path.to_owned(),
        };
        let start = format!("{}\n{path}\n{}\n", self.method, canonical_query(query));
        let line = |(name, value): &(String, Vec<u8>)| {
            [name.as_bytes(), b":", &self.spaced(value), b"\n"].concat()
        };
        let mut headers: Vec<_> = self.headers.iter().map(line).collect();
        headers.sort_unstable();
        let end = format!("\n{}\n{}", self.signed_headers(), self.body_hash);
        [start.into_bytes(), headers.concat(), end.into_bytes()].concat()
    }

    fn spaced(&self, value: &[u8]) -> Vec<u8> {
        if self.space_form == SpaceForm::KeptBesideQuotes && value.contains(&b'"') {
            return value.trim_ascii().to_vec();
        }
        let words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(&b' ')
    }
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

/// Percent-encodes all but unreserved characters and `keep`.
pub(crate) fn encoded(text: &[u8], keep: &[u8]) -> String {
    let mut out = String::new();
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn canonical_query(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (encoded(&decoded(name), b""), encoded(&decoded(value), b""))
    });
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match pair.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{PathForm, Signing, SpaceForm};

    /// "Example Signature Calculation" of the developer guide.
    #[test]
    fn the_published_example_gives_its_signature() {
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let signing = Signing {
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            time: "20120525T002453Z",
            scope: "20120525/us-east-1/glacier/aws4_request",
            method: "PUT",
            target: "/-/vaults/examplevault",
            headers: vec![
                header("host", "glacier.us-east-1.amazonaws.com"),
                header("x-amz-date", "20120525T002453Z"),
                header("x-amz-glacier-version", "2012-06-01"),
            ],
            body_hash: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            path_form: PathForm::EncodedAgain,
            space_form: SpaceForm::Collapsed,
        };
        let published = "3ce5b2f2fffac9262b4da9256f8d086b4aaf42eba5f111c21681a65a127b7c2a";
        assert_eq!(signing.signature(), published);
    }
}
