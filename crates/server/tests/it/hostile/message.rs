//! A request as bytes, as a client writes it and as it arrives.

use http::{HeaderName, HeaderValue, Method, Request, Uri};
use icefield_protocol::{
    LinearHash, Timestamp,
    sigv4::{AccessKeyId, RequestHead, RequestTime, SecretKey, Signer},
};
use icefield_server::connection::Body;
use icefield_treehash::TreeHash;

/// Who signs.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) access_key: AccessKeyId,
    pub(super) secret: SecretKey,
    pub(super) token: Option<String>,
}

/// How clients write and sign ("Signing Requests"), as far as they differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Client {
    /// Signs whatever it knows of when it signs; its connection adds the rest.
    Boto3,
    /// Signs `host` and the headers of the service alone, for a region and a service that it made up.
    Boto2,
    /// Signs everything, announces the hash of every body, and sends one with every POST and PUT.
    JavaScript,
}

/// A request as bytes, before anything is checked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) method: Vec<u8>,
    pub(super) path: Vec<u8>,
    pub(super) query: Vec<u8>,
    pub(super) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

impl Message {
    pub(super) fn new(method: &str, path: &str) -> Self {
        let (query, headers, body) = Default::default();
        Self { method: method.into(), path: path.into(), query, headers, body }
    }

    pub(super) fn query(mut self, query: &str) -> Self {
        self.query = query.into();
        self
    }

    pub(super) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.into(), value.to_string().into_bytes()));
        self
    }

    pub(super) fn json(mut self, body: &serde_json::Value) -> Self {
        self.body = body.to_string().into_bytes();
        self
    }

    /// Sets the body of an upload and the hashes that go with it.
    pub(super) fn payload(mut self, body: Vec<u8>) -> Self {
        self = self.with("x-amz-content-sha256", LinearHash::of(&body)).tree_hash_of(&body);
        self.body = body;
        self
    }

    pub(super) fn tree_hash_of(self, body: &[u8]) -> Self {
        let leaves = body.chunks(1 << 20).map(TreeHash::of_leaf);
        self.with("x-amz-sha256-tree-hash", TreeHash::combine(leaves))
    }

    /// Signs the request as the client does, after adding the headers that it sends with every request.
    pub(super) fn signed(mut self, client: Client, who: &Who, time: Timestamp) -> Self {
        let writes = self.method == b"POST" || self.method == b"PUT";
        if client == Client::JavaScript && writes && self.body.is_empty() {
            self.body = b"{}".to_vec();
        }
        let hash = LinearHash::of(&self.body).to_string();
        if client == Client::JavaScript && self.values("x-amz-content-sha256").next().is_none() {
            self =
                self.with("X-Amz-Content-Sha256", &hash).with("Content-Type", "application/json");
        }
        if writes {
            let length = self.body.len();
            self = self.with("Content-Length", length);
        }
        self = self
            .with("Host", "glacier.example:443")
            .with("x-amz-glacier-version", "2012-06-01")
            .with("X-Amz-Date", RequestTime::of(time))
            .with("User-Agent", "a client/1.0 (like others)");
        if let Some(token) = &who.token {
            self = self.with("x-amz-security-token", token);
        }
        let authorization = self.authorization(client, who, time, &hash);
        self.with("Authorization", authorization).with("Accept-Encoding", "identity")
    }

    fn authorization(&self, client: Client, who: &Who, time: Timestamp, hash: &str) -> String {
        let arrived = self.normal();
        let headers: Vec<(&str, &[u8])> = arrived
            .headers
            .iter()
            .map(|(name, value)| (str::from_utf8(name).unwrap(), value.as_slice()))
            .collect();
        let text = |bytes| str::from_utf8(bytes).unwrap();
        let head = RequestHead {
            method: text(&self.method),
            path: text(&self.path),
            query: text(&self.query),
            headers: headers.clone(),
        };
        let (region, service) =
            if client == Client::Boto2 { ("0", "127") } else { ("us-west-2", "glacier") };
        let signs = |name: &&str| match client {
            Client::Boto3 => !["content-length", "user-agent"].contains(name),
            Client::Boto2 => *name == "host" || name.starts_with("x-amz-") || *name == TOKEN,
            Client::JavaScript => true,
        };
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).filter(signs).collect();
        let signer = Signer { access_key: &who.access_key, secret: &who.secret, region, service };
        let value = signer.authorize(&head, &names, time, hash);
        if client == Client::Boto2 { value.replace(", ", ",") } else { value }
    }

    /// Returns the values of a header; `name` is in lower case.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let same = move |one: &[u8]| one.eq_ignore_ascii_case(name.as_bytes());
        self.headers.iter().filter(move |(one, _)| same(one)).map(|(_, value)| value.as_slice())
    }

    /// Sets another body, and the length as a connection would announce it.
    pub(super) fn set_body(&mut self, body: Vec<u8>) {
        let length = body.len().to_string().into_bytes();
        self.body = body;
        let named = |(name, _): &&mut (Vec<u8>, Vec<u8>)| name.eq_ignore_ascii_case(LENGTH);
        match self.headers.iter_mut().find(named) {
            Some((_, value)) => *value = length,
            None => self.headers.push((LENGTH.to_vec(), length)),
        }
    }

    /// Returns the request with names in lower case and values without the space around them.
    fn normal(&self) -> Self {
        let trimmed = |(name, value): &(Vec<u8>, Vec<u8>)| {
            (name.to_ascii_lowercase(), value.trim_ascii().to_vec())
        };
        Self { headers: self.headers.iter().map(trimmed).collect(), ..self.clone() }
    }

    /// Returns what a connection hands over: with as much of a body as was announced. None when it hands nothing over.
    pub(super) fn arrived(&self) -> Option<(Self, Request<Body>)> {
        let mut normal = self.normal();
        let lengths: Vec<&[u8]> = self.values("content-length").collect();
        let length = match lengths.as_slice() {
            [] => 0,
            [first, rest @ ..] if rest.iter().all(|one| one == first) => digits(first)?,
            _ => return None,
        };
        if self.values("transfer-encoding").next().is_some() || length > normal.body.len() {
            return None;
        }
        normal.body.truncate(length);
        let mark: &[u8] = if self.query.is_empty() { b"" } else { b"?" };
        let target = [&self.path, mark, &self.query].concat();
        let mut request = Request::new(Body::from_bytes(normal.body.clone()));
        *request.method_mut() = Method::from_bytes(&self.method).ok()?;
        *request.uri_mut() = Uri::try_from(target).ok()?;
        for (name, value) in &normal.headers {
            let name = HeaderName::from_bytes(name).ok()?;
            request.headers_mut().append(name, HeaderValue::from_bytes(value).ok()?);
        }
        Some((normal, request))
    }

    pub(super) fn shown(&self) -> String {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let line =
            |(name, value): &(Vec<u8>, Vec<u8>)| format!("\n  {}: {}", text(name), text(value));
        let headers: String = self.headers.iter().map(line).collect();
        let (method, path) = (text(&self.method), text(&self.path));
        format!("{method} {path}?{}{headers}\n\n  {}", text(&self.query), text(&self.body))
    }
}

const LENGTH: &[u8] = b"content-length";

/// The header of our own that has to be signed like those of the service.
pub(super) const TOKEN: &str = "x-icefield-upload-token";

fn digits(text: &[u8]) -> Option<usize> {
    let text = str::from_utf8(text).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
