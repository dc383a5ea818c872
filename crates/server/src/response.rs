//! Answers, framed as old clients need them ("Response Syntax" of the operations).
//!
//! A body has its exact length and the type `application/json` to the letter; an empty one has no type, because some
//! clients parse whatever is called JSON. 201 and 202 say that their body is empty; 204 cannot have one.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION},
};
use http_body_util::{BodyExt as _, Full};
use serde::Serialize;

use crate::{
    connection::ResponseBody,
    error::{ApiError, Then},
    header,
};

/// To the letter: some clients compare.
const JSON: &str = "application/json";

/// An answer that lacks only what every answer has.
#[derive(Debug)]
pub(crate) struct Reply(Response<ResponseBody>);

impl Reply {
    fn empty(status: StatusCode) -> Self {
        let mut response = Response::new(whole(Bytes::new()));
        *response.status_mut() = status;
        Self(response)
    }

    /// 204.
    pub(crate) fn no_content() -> Self {
        Self::empty(StatusCode::NO_CONTENT)
    }

    /// 201 without a `Location`.
    pub(crate) fn created() -> Self {
        Self::empty(StatusCode::CREATED).with(CONTENT_LENGTH, HeaderValue::from_static("0"))
    }

    /// 201 of something that lies at `location`.
    pub(crate) fn created_at(location: &str) -> Result<Self, ApiError> {
        Self::created().header(LOCATION, location)
    }

    /// 202 of a job that lies at `location`.
    pub(crate) fn accepted_at(location: &str) -> Result<Self, ApiError> {
        Self::empty(StatusCode::ACCEPTED)
            .with(CONTENT_LENGTH, HeaderValue::from_static("0"))
            .header(LOCATION, location)
    }

    /// 200 with compact JSON.
    pub(crate) fn json(value: &impl Serialize) -> Result<Self, ApiError> {
        let text = serde_json::to_vec(value);
        let text = text.map_err(|error| ApiError::internal("writing an answer", error))?;
        let length = text.len() as u64;
        Ok(Self::stream(StatusCode::OK, length, JSON, whole(text.into())))
    }

    /// A body of exactly `length` bytes.
    pub(crate) fn stream(
        status: StatusCode,
        length: u64,
        content_type: &'static str,
        body: ResponseBody,
    ) -> Self {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        Self(response)
            .with(CONTENT_LENGTH, HeaderValue::from(length))
            .with(CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    /// Adds a header whose value is a text of ours.
    pub(crate) fn header(self, name: HeaderName, value: &str) -> Result<Self, ApiError> {
        Ok(self.with(name, header::value(value)?))
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers_mut().insert(name, value);
        self
    }

    pub(crate) fn into_response(self) -> Response<ResponseBody> {
        self.0
    }
}

fn whole(bytes: Bytes) -> ResponseBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// The body of every error ("Error Responses"), in this order.
#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
    r#type: &'a str,
}

/// Returns an error's whole answer but for what every answer has.
pub(crate) fn error_body(error: &ApiError) -> Response<Bytes> {
    let body = ErrorBody {
        code: error.code.as_str(),
        message: &error.message,
        r#type: error.code.kind().as_str(),
    };
    let text = serde_json::to_vec(&body).expect("three strings can be written");
    let length = HeaderValue::from(text.len());
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() =
        StatusCode::from_u16(error.code.status()).expect("the table has statuses");
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(header::ERROR_TYPE, HeaderValue::from_static(error.code.as_str()));
    if error.then == Then::CloseConnection {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl From<&ApiError> for Reply {
    fn from(error: &ApiError) -> Self {
        Self(error_body(error).map(whole))
    }
}
