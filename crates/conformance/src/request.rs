//! A request as a case builds it: signed like a client's unless the case says otherwise.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use icefield_protocol::Timestamp;
use icefield_treehash::LinearHash;
use serde_json::Value;

use crate::answer::{Answer, summary};
use crate::bytes::{linear, tree};
use crate::context::Context;
use crate::endpoint::Credentials;
use crate::http::{Connection, Delivery, NoAnswer, RawAnswer};
use crate::model::operation_of;
use crate::outcome::{Failed, shortened};
use crate::rules;
use crate::signing::{PathForm, Signing, SpaceForm, encoded};

/// The header that names the version of the interface.
pub(crate) const VERSION: &str = "x-amz-glacier-version";

/// A request to be sent by `await`; the answer has passed the central rules.
#[derive(Clone, Debug)]
#[must_use = "a request is sent by awaiting it"]
pub(crate) struct Request {
    context: Context,
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    /// Added after signing.
    unsigned: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    length: Length,
    delivery: Delivery,
    credentials: Option<Credentials>,
    /// Added to the time of signing, in seconds.
    shift: i64,
    dated: bool,
    scope: Option<fn(&str) -> String>,
    body_hash: Option<String>,
    path_form: PathForm,
    space_form: SpaceForm,
    skip_signing: Vec<String>,
    rewrite: Option<fn(&str) -> Vec<String>>,
}

#[derive(Clone, Debug)]
enum Length {
    OfBody,
    Said(String),
    None,
    Chunked,
}

impl Request {
    pub(crate) fn new(context: &Context, method: &str, target: impl Into<String>) -> Self {
        Self {
            context: context.clone(),
            method: method.to_owned(),
            target: target.into(),
            headers: vec![(VERSION.to_owned(), b"2012-06-01".to_vec())],
            unsigned: Vec::new(),
            body: Vec::new(),
            length: if method == "GET" { Length::None } else { Length::OfBody },
            delivery: Delivery::Whole,
            credentials: Some(context.owner().clone()),
            shift: 0,
            dated: true,
            scope: None,
            body_hash: None,
            path_form: PathForm::EncodedAgain,
            space_form: SpaceForm::Collapsed,
            skip_signing: Vec::new(),
            rewrite: None,
        }
    }

    /// Adds a header, or replaces it.
    pub(crate) fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let mut this = self.without(name);
        this.headers.push((name.to_owned(), value.as_ref().to_vec()));
        this
    }

    /// Adds a header beside one of the same name.
    pub(crate) fn also(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.length = Length::OfBody;
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
    }

    /// Sends the bytes of an archive or part with both hashes.
    pub(crate) fn payload(self, bytes: &[u8]) -> Self {
        self.header("x-amz-content-sha256", linear(bytes))
            .header("x-amz-sha256-tree-hash", tree(bytes))
            .body(bytes)
    }

    /// Announces a length, whatever the body's is.
    pub(crate) fn length(mut self, length: impl ToString) -> Self {
        self.length = Length::Said(length.to_string());
        self
    }

    pub(crate) fn without_length(mut self) -> Self {
        self.length = Length::None;
        self
    }

    pub(crate) fn chunked(mut self) -> Self {
        self.length = Length::Chunked;
        self
    }

    pub(crate) fn expecting_continue(mut self) -> Self {
        self.delivery = Delivery::AfterContinue;
        self.header("expect", "100-continue")
    }

    /// Sends only the first bytes of the body, then no more.
    pub(crate) fn cut_after(mut self, length: usize) -> Self {
        self.delivery = Delivery::CutAfter(length);
        self
    }

    /// Sends only the first bytes of the body, then nothing for as long as it takes.
    pub(crate) fn stalled_after(mut self, length: usize) -> Self {
        self.delivery = Delivery::StallAfter(length);
        self
    }

    pub(crate) fn by(mut self, credentials: &Credentials) -> Self {
        self.credentials = Some(credentials.clone());
        self
    }

    pub(crate) fn anonymous(mut self) -> Self {
        self.credentials = None;
        self
    }

    /// Signs as of this many seconds later.
    pub(crate) fn shifted(mut self, seconds: i64) -> Self {
        self.shift = seconds;
        self
    }

    /// Leaves `x-amz-date` out.
    pub(crate) fn undated(mut self) -> Self {
        self.dated = false;
        self
    }

    /// Signs with the scope that `change` makes of the right one.
    pub(crate) fn scope(mut self, change: fn(&str) -> String) -> Self {
        self.scope = Some(change);
        self
    }

    /// Signs this as the hash of the body.
    pub(crate) fn signing_hash(mut self, hash: impl Into<String>) -> Self {
        self.body_hash = Some(hash.into());
        self
    }

    pub(crate) fn path_form(mut self, form: PathForm) -> Self {
        self.path_form = form;
        self
    }

    pub(crate) fn space_form(mut self, form: SpaceForm) -> Self {
        self.space_form = form;
        self
    }

    /// Sends the header, but leaves it out of what is signed.
    pub(crate) fn without_signing(mut self, name: &str) -> Self {
        self.skip_signing.push(name.to_ascii_lowercase());
        self
    }

    /// Adds a header that was not signed.
    pub(crate) fn unsigned(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.unsigned.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Sends what `change` makes of the `Authorization` header: none, one or more.
    pub(crate) fn authorization(mut self, change: fn(&str) -> Vec<String>) -> Self {
        self.rewrite = Some(change);
        self
    }

    /// Names this account in the path.
    pub(crate) fn for_account(mut self, account: &str) -> Self {
        let rest = self.target.strip_prefix("/-").unwrap_or(&self.target);
        self.target = format!("/{account}{rest}");
        self
    }

    /// Puts credentials into the query and nowhere else.
    pub(crate) fn presigned(mut self, key: &Credentials) -> Self {
        let time = basic(self.context.now());
        let scope = format!("{}/{}/glacier/aws4_request", &time[..8], self.context.region());
        let credential = encoded(format!("{}/{scope}", key.access_key).as_bytes(), b"");
        let join = if self.target.contains('?') { '&' } else { '?' };
        self.target.push_str(&format!(
            "{join}X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={time}\
             &X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Signature={}",
            "0".repeat(64)
        ));
        self.anonymous()
    }

    /// Carries the signature of another request.
    pub(crate) fn signed_as(self, other: &Self) -> Self {
        let head = String::from_utf8_lossy(&other.wire().0).into_owned();
        let mut fields = head.lines().filter_map(|line| line.strip_prefix("authorization: "));
        let value = fields.next().unwrap_or_default().to_owned();
        self.anonymous().header("authorization", value)
    }

    /// Returns head and body as they go over the wire.
    pub(crate) fn wire(&self) -> (Vec<u8>, Vec<u8>) {
        let now = self.context.now().unix_millis() + self.shift * 1000;
        let time = basic(Timestamp::from_unix_millis(now));
        let mut headers = vec![("host".to_owned(), self.context.authority().into_bytes())];
        if self.dated {
            headers.push(("x-amz-date".to_owned(), time.clone().into_bytes()));
        }
        headers.extend(self.headers.iter().cloned());
        if let Some(token) = self.credentials.as_ref().and_then(|key| key.token.clone()) {
            headers.push(("x-amz-security-token".to_owned(), token.into_bytes()));
        }
        let values = self.credentials.as_ref().map(|key| self.authorize(key, &headers, &time));
        for value in values.into_iter().flatten() {
            headers.push(("authorization".to_owned(), value.into_bytes()));
        }
        match &self.length {
            Length::OfBody => {
                headers.push(("content-length".to_owned(), self.body.len().to_string().into()));
            }
            Length::Said(text) => headers.push(("content-length".to_owned(), text.clone().into())),
            Length::Chunked => headers.push(("transfer-encoding".to_owned(), b"chunked".to_vec())),
            Length::None => {}
        }
        headers.extend(self.unsigned.iter().cloned());
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in headers {
            head.extend([name.as_bytes(), b": ", &value, b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        let body = match self.length {
            Length::Chunked => chunks_of(&self.body),
            _ => self.body.clone(),
        };
        (head, body)
    }

    fn authorize(
        &self,
        key: &Credentials,
        headers: &[(String, Vec<u8>)],
        time: &str,
    ) -> Vec<String> {
        let signed = |name: &str| {
            name.starts_with("x-amz-") || ["host", "range", "content-range", "date"].contains(&name)
        };
        let headers = headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
            .filter(|(name, _)| signed(name) && !self.skip_signing.contains(name));
        let scope = format!("{}/{}/glacier/aws4_request", &time[..8], self.context.region());
        let scope = self.scope.map_or(scope.clone(), |change| change(&scope));
        let body_hash = match &self.body_hash {
            Some(hash) => hash.clone(),
            None => LinearHash::of(&self.body).to_string(),
        };
        let signing = Signing {
            secret: &key.secret,
            time,
            scope: &scope,
            method: &self.method,
            target: &self.target,
            headers: headers.collect(),
            body_hash: &body_hash,
            path_form: self.path_form,
            space_form: self.space_form,
        };
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={}, Signature={}",
            key.access_key,
            signing.signed_headers(),
            signing.signature()
        );
        self.rewrite.map_or_else(|| vec![value.clone()], |change| change(&value))
    }

    /// Sends the request; no rule is checked, and no answer is an answer too.
    pub(crate) async fn raw(self) -> Result<RawAnswer, NoAnswer> {
        let mut connection = Connection::open(&self.context.authority()).await?;
        self.raw_on(&mut connection).await
    }

    /// The same on a connection that is kept.
    pub(crate) async fn raw_on(self, connection: &mut Connection) -> Result<RawAnswer, NoAnswer> {
        let (head, body) = self.wire();
        let answer = connection.send(&head, &body, self.delivery).await;
        let sent = format!(
            "{} ({} bytes of body)",
            shortened(&String::from_utf8_lossy(&head)),
            body.len()
        );
        let came = match &answer {
            Ok(raw) => summary(raw),
            Err(error) => error.to_string(),
        };
        self.context.note(sent, came);
        answer
    }

    /// Sends the request on a connection that is kept, and checks the rules.
    pub(crate) async fn on(self, connection: &mut Connection) -> Result<Answer, Failed> {
        let (method, operation) = (self.method.clone(), operation_of(&self.method, &self.target));
        let context = self.context.clone();
        let raw = self.raw_on(connection).await?;
        let answer = Answer { operation, raw };
        context.remember(&answer);
        if context.is_strict() {
            rules::check(&answer, &method)?;
        }
        Ok(answer)
    }
}

impl IntoFuture for Request {
    type Output = Result<Answer, Failed>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut connection = Connection::open(&self.context.authority()).await?;
            self.on(&mut connection).await
        })
    }
}

/// A time as signatures have it: `20120525T002453Z`.
pub(crate) fn basic(time: Timestamp) -> String {
    time.to_seconds_string().replace(['-', ':'], "")
}

/// The body in two chunks.
fn chunks_of(body: &[u8]) -> Vec<u8> {
    let (first, second) = body.split_at(body.len() / 2);
    let mut out = Vec::new();
    for chunk in [first, second].into_iter().filter(|chunk| !chunk.is_empty()) {
        out.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        out.extend([chunk, b"\r\n"].concat());
    }
    out.extend(b"0\r\n\r\n");
    out
}
