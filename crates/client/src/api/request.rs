//! A request before it is signed.

use bytes::Bytes;
use http::Method;
use icefield_protocol::VaultName;
use serde::Serialize;

use super::payload::Payload;

/// What a repeat of a request means when nobody knows whether it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The same.
    Same,
    /// Perhaps a second one: it has to be looked up first.
    Another,
}

/// A request for one operation.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// Path and query, percent-encoded.
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) text: Bytes,
    pub(super) payload: Option<&'a Payload<'a>>,
    pub(super) repeat: Repeat,
}

impl<'a> Request<'a> {
    /// About an account: `path` follows `/-`.
    pub(super) fn account(method: Method, path: &str) -> Self {
        Self {
            method,
            path: format!("/-{path}"),
            headers: Vec::new(),
            text: Bytes::new(),
            payload: None,
            repeat: Repeat::Same,
        }
    }

    /// About what another request was about.
    pub(super) fn at(method: Method, path: &str) -> Self {
        Self { path: path.to_owned(), ..Self::account(method, "") }
    }

    /// About a vault: `path` follows the vault's name.
    pub(super) fn vault(method: Method, vault: &VaultName, path: &str) -> Self {
        Self::account(method, &format!("/vaults/{vault}{path}"))
    }

    pub(super) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// Adds a parameter to the query.
    pub(super) fn query(mut self, name: &str, value: &str) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(name);
        self.path.push('=');
        self.path.push_str(&encoded(value));
        self
    }

    /// Goes on where a page has ended.
    pub(super) fn marker(self, marker: Option<&str>) -> Self {
        match marker {
            Some(marker) => self.query("marker", marker),
            None => self,
        }
    }

    pub(super) fn json(mut self, body: &impl Serialize) -> Self {
        self.text = serde_json::to_vec(body).expect("the protocol's values are JSON").into();
        self
    }

    pub(super) fn payload(mut self, payload: &'a Payload<'a>) -> Self {
        self.payload = Some(payload);
        self
    }

    pub(super) fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }
}

/// Percent-encodes all but what a URL never encodes, as signatures have it.
pub(super) fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(byte.into());
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::Request;

    #[test]
    fn values_of_a_query_are_encoded() {
        let request = Request::account(Method::GET, "/vaults").marker(Some("arn:aws/ü+ ~"));
        assert_eq!(request.path, "/-/vaults?marker=arn%3Aaws%2F%C3%BC%2B%20~");
        assert_eq!(request.query("limit", "5").path.split('&').count(), 2);
    }
}
