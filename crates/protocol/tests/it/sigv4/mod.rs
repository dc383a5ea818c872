//! Signature Version 4: a request to change, sign and judge as a server would.

mod clients;
mod mutation;
mod refusals;
mod vectors;

use icefield_protocol::sigv4::{
    AccessKeyId, Authorization, RequestHead, SecretKey, SigV4Error, Signer, request_time,
};
use icefield_protocol::{LinearHash, Timestamp};

pub(crate) const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// A request as bytes arrive, before anything is checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: Vec<u8>,
    pub(crate) path: Vec<u8>,
    pub(crate) query: Vec<u8>,
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) body_hash: Vec<u8>,
}

impl Request {
    /// Returns a request with an empty body.
    pub(crate) fn new(method: &str, path: &str, headers: &[(&str, &str)]) -> Self {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let bytes = |text: &str| text.as_bytes().to_vec();
        Self {
            method: bytes(method),
            path: bytes(path),
            query: bytes(query),
            headers: headers.iter().map(|(name, value)| (bytes(name), bytes(value))).collect(),
            body_hash: LinearHash::of(b"").to_string().into_bytes(),
        }
    }

    pub(crate) fn with_body(mut self, body: &[u8]) -> Self {
        self.body_hash = LinearHash::of(body).to_string().into_bytes();
        self
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(one, _)| !one.eq_ignore_ascii_case(name.as_bytes()));
        self
    }

    /// Returns the request with these values of `name` alone.
    pub(crate) fn instead(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    /// Returns the first value of a header.
    pub(crate) fn value(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(one, _)| one == name.as_bytes()).unwrap();
        String::from_utf8(found.1.clone()).unwrap()
    }

    /// Signs `names` at 2012-05-25T00:24:53Z, which `x-amz-date` has to say.
    pub(crate) fn signed(self, names: &[&str]) -> Self {
        let value = self
            .judge_head(|head, body_hash| {
                let signer = Signer {
                    access_key: &AccessKeyId::parse(KEY).unwrap(),
                    secret: &SecretKey::new(SECRET),
                    region: "us-east-1",
                    service: "glacier",
                };
                let time = Timestamp::parse("2012-05-25T00:24:53Z").unwrap();
                signer.authorize(head, names, time, body_hash)
            })
            .unwrap();
        self.with("authorization", &value)
    }

    /// Signs every header.
    pub(crate) fn signed_whole(self) -> Self {
        let names: Vec<String> = self
            .headers
            .iter()
            .map(|(name, _)| String::from_utf8(name.to_ascii_lowercase()).unwrap())
            .collect();
        self.signed(&names.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub(crate) fn verdict(&self) -> Result<(), Refusal> {
        self.verdict_of(KEY, SECRET)
    }

    /// Judges the request as a server does that knows one access key.
    pub(crate) fn verdict_of(&self, key: &str, secret: &str) -> Result<(), Refusal> {
        let judged = self.judge_head(|head, body_hash| {
            let authorization = Authorization::of(head)?;
            if authorization.access_key.as_str() != key {
                return Err(Refusal::UnknownKey);
            }
            let time = request_time(head)?;
            Ok(authorization.verify(head, &SecretKey::new(secret), time, body_hash)?)
        });
        judged.unwrap_or(Err(Refusal::NotHttp))
    }

    /// Hands over the request as an HTTP server would, with names in lower case, or nothing when it is no HTTP.
    fn judge_head<T>(&self, judge: impl FnOnce(&RequestHead<'_>, &str) -> T) -> Option<T> {
        let text = |bytes| str::from_utf8(bytes).ok();
        let names: Vec<Vec<u8>> =
            self.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        let mut headers = Vec::new();
        for (name, (_, value)) in names.iter().zip(&self.headers) {
            headers.push((text(name)?, value.as_slice()));
        }
        let head = RequestHead {
            method: text(&self.method)?,
            path: text(&self.path)?,
            query: text(&self.query)?,
            headers,
        };
        Some(judge(&head, text(&self.body_hash)?))
    }
}

/// Why a request did not get in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// Its signature was refused.
    Signature(SigV4Error),
    /// No secret belongs to its access key.
    UnknownKey,
    /// It is not even text where HTTP needs text.
    NotHttp,
}

impl From<SigV4Error> for Refusal {
    fn from(error: SigV4Error) -> Self {
        Self::Signature(error)
    }
}

/// The first published sample.
pub(crate) fn create_vault() -> Request {
    Request::new(
        "PUT",
        "/-/vaults/examplevault",
        &[
            ("host", "glacier.us-east-1.amazonaws.com"),
            ("x-amz-date", "20120525T002453Z"),
            ("x-amz-glacier-version", "2012-06-01"),
        ],
    )
}
