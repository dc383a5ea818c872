//! A client that keeps its connection and leaves nothing unseen: any answer is returned, none at all is a failure.

use icefield_conformance::{
    Credentials,
    http::{Connection, Delivery, RawAnswer},
};
use icefield_protocol::{
    LinearHash, Timestamp,
    sigv4::{RequestHead, SecretKey, Signer},
};
use serde_json::Value;

const SIGNED: &[&str] =
    &["content-range", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-glacier-version"];

pub(crate) struct Client {
    authority: String,
    region: String,
    credentials: Credentials,
    connection: Connection,
}

/// What is asked: method, path below the account, header fields, body.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

impl Client {
    pub(crate) async fn connect(authority: &str, region: &str, credentials: &Credentials) -> Self {
        let connection = Connection::open(authority).await.unwrap();
        let credentials = credentials.clone();
        Self { authority: authority.to_owned(), region: region.to_owned(), credentials, connection }
    }

    /// Asks at the time `now`, which is that of the server, too.
    pub(crate) async fn send(&mut self, now: Timestamp, ask: &Ask<'_>) -> RawAnswer {
        let head = self.head(now, ask);
        let sent = self.connection.send(head.as_bytes(), ask.body, Delivery::Whole).await;
        let answer = sent.unwrap_or_else(|none| panic!("{} {}: {none}", ask.method, ask.path));
        if field(&answer, "connection") == Some("close") {
            self.connection = Connection::open(&self.authority).await.unwrap();
        }
        answer
    }

    fn head(&self, now: Timestamp, ask: &Ask<'_>) -> String {
        let date: String =
            now.to_seconds_string().chars().filter(|byte| !"-:".contains(*byte)).collect();
        let hash = LinearHash::of(ask.body).to_string();
        let mut headers = vec![
            ("host", self.authority.as_str()),
            ("x-amz-content-sha256", &hash),
            ("x-amz-date", &date),
            ("x-amz-glacier-version", "2012-06-01"),
        ];
        headers.extend_from_slice(ask.headers);
        let target = format!("/-{}", ask.path);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let signed = RequestHead {
            method: ask.method,
            path,
            query,
            headers: headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect(),
        };
        let mut names = SIGNED.to_vec();
        names
            .extend(headers.iter().map(|(name, _)| name).filter(|name| name.starts_with("x-amz-")));
        let signer = Signer {
            access_key: &self.credentials.access_key.parse().unwrap(),
            secret: &SecretKey::new(self.credentials.secret.as_str()),
            region: &self.region,
            service: "glacier",
        };
        let authorization = signer.authorize(&signed, &names, now, &hash);
        let mut head = format!("{} {target} HTTP/1.1\r\n", ask.method);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n", ask.body.len());
        head + &format!("authorization: {authorization}\r\n\r\n")
    }
}

pub(crate) fn field<'a>(answer: &'a RawAnswer, name: &str) -> Option<&'a str> {
    let found = answer.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

pub(crate) fn json(answer: &RawAnswer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("no JSON: {answer:?}"))
}
