//! One request as an operation sees it: who may do it is decided, the vault exists, the rest is to be read.

use http::{HeaderMap, HeaderName, request::Parts};
use icefield_engine::{Access, Engine};
use icefield_protocol::{Description, LinearHash, TreeHash, UploadToken, VaultName};

use crate::{
    background::JobBell,
    error::ApiError,
    exchange::CountedBody,
    header,
    json::Object,
    route::{Target, parameter},
};

/// A request that may be answered.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) engine: &'a Engine,
    /// Rung when a job was initiated.
    pub(crate) bell: &'a JobBell,
    pub(crate) parts: &'a Parts,
    pub(crate) target: &'a Target,
    /// The vault of the path.
    pub(crate) vault: Option<VaultName>,
    /// The body, or why it is no object; empty for payloads.
    pub(crate) json: Result<Object, ApiError>,
    /// The body of an upload.
    pub(crate) payload: Option<Payload>,
}

/// Bytes of an archive or a part, still to come.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) body: Box<CountedBody>,
    /// What they were signed to be.
    pub(crate) hash: LinearHash,
}

impl Call<'_> {
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Takes the body out of the request as an object.
    pub(crate) fn object(&mut self) -> Result<Object, ApiError> {
        std::mem::replace(&mut self.json, Ok(Object::default()))
    }

    /// Takes the payload out of the request.
    pub(crate) fn payload(&mut self) -> Result<Payload, ApiError> {
        let payload = self.payload.take();
        payload.ok_or_else(|| ApiError::internal("finding the body of an upload", "it was read"))
    }

    /// Returns a parameter of the query; one without a value is absent.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let query = self.parts.uri.query().unwrap_or("");
        parameter(query, name).filter(|value| !value.is_empty())
    }

    /// Returns the most items of a page. Any number of digits is a number: what is too large is clamped anyway.
    pub(crate) fn limit(&self) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.parameter("limit") else { return Ok(None) };
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ApiError::invalid(format!("Invalid limit: {text}")));
        }
        Ok(Some(text.parse().unwrap_or(u64::MAX)))
    }

    pub(crate) fn marker(&self) -> Option<String> {
        self.parameter("marker")
    }

    /// Returns the path of the vault, with the number of its owner.
    pub(crate) fn vault_path(&self, access: &Access) -> String {
        let vault = self.vault.as_ref().map_or("", VaultName::as_str);
        format!("/{}/vaults/{vault}", access.account())
    }

    /// Returns the tree hash that must come with a payload or a completion.
    pub(crate) fn tree_hash(&self) -> Result<TreeHash, ApiError> {
        let text = header::required(self.headers(), &header::TREE_HASH)?;
        text.parse().map_err(|_| invalid(&header::TREE_HASH, &text))
    }

    /// Returns the description of an archive to be.
    pub(crate) fn description(&self) -> Result<Option<Description>, ApiError> {
        let name = header::DESCRIPTION;
        let Some(text) = header::text(self.headers(), &name) else { return Ok(None) };
        Description::parse(&text).map_err(|_| invalid(&name, &text))
    }

    /// Returns the client's own name for the put.
    pub(crate) fn upload_token(&self) -> Result<Option<UploadToken>, ApiError> {
        let name = header::UPLOAD_TOKEN;
        let Some(text) = header::text(self.headers(), &name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| invalid(&name, &text))
    }
}

/// A header has a wrong value.
pub(crate) fn invalid(name: &HeaderName, value: &str) -> ApiError {
    ApiError::invalid(format!("Invalid {name}: {value}"))
}
