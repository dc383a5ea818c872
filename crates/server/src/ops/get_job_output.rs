use std::io;

use futures_util::stream;
use http::{
    HeaderValue, StatusCode,
    header::{ACCEPT_RANGES, CONTENT_RANGE, RANGE},
};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use icefield_engine::{Access, EngineError, JobOutput, OutputReader, RequestedRange};

use super::describe_job::job_id;
use crate::{connection::ResponseBody, error::ApiError, header, request::Call, response::Reply};

/// Get Job Output: `GET /{account}/vaults/{vault}/jobs/{id}/output`.
///
/// Each MiB is verified before it is sent. What is found damaged after the head was sent cuts the connection, so that the
/// bytes before are never taken for all. Source: Glacier API reference, "Get Job Output (GET output)".
pub(super) async fn get_job_output(call: Call<'_>, access: Access) -> Result<Reply, ApiError> {
    let requested = requested_range(&call)?;
    let id = job_id(&call)?;
    let output = call.engine.job_output(&access, &id, requested).await?;
    let JobOutput { total, range, tree_hash, description, content_type, reader } = output;
    let status = if requested.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut reply = Reply::stream(status, range.len(), content_type, streamed(reader))
        .with(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if requested.is_some() {
        reply = reply.header(CONTENT_RANGE, &format!("bytes {range}/{total}"))?;
    }
    if let Some(hash) = tree_hash {
        reply = reply.header(header::TREE_HASH, &hash.to_string())?;
    }
    if let Some(description) = description {
        reply = reply.header(header::DESCRIPTION, description.as_str())?;
    }
    Ok(reply)
}

fn streamed(reader: OutputReader) -> ResponseBody {
    let frames = stream::unfold(reader, |mut reader| async move {
        let next = reader.next().await?;
        Some((next.map(Frame::data).map_err(broken), reader))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn broken(error: EngineError) -> io::Error {
    let error = ApiError::from(error);
    error.log();
    io::Error::other(error.message)
}

/// Reads the header `Range`: one range, in any of the three forms of RFC 2616.
fn requested_range(call: &Call<'_>) -> Result<Option<RequestedRange>, ApiError> {
    let Some(text) = header::text(call.headers(), &RANGE) else { return Ok(None) };
    range_of(&text).map(Some).ok_or_else(|| ApiError::invalid(format!("Invalid Range: {text}")))
}

fn range_of(text: &str) -> Option<RequestedRange> {
    let (unit, ends) = text.split_once('=')?;
    if !unit.trim_end().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = ends.split_once('-')?;
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| digits)
    };
    match (first.trim(), last.trim()) {
        ("", count) => number(count).map(RequestedRange::Last),
        (first, "") => number(first).map(RequestedRange::From),
        (first, last) => Some(RequestedRange::FromTo(number(first)?, number(last)?)),
    }
}

#[cfg(test)]
mod tests {
    use icefield_engine::RequestedRange::{From, FromTo, Last};

    use super::range_of;

    #[test]
    fn one_range_of_three_forms_is_read() {
        for (text, range) in [
            ("bytes=0-9", FromTo(0, 9)),
            ("Bytes = 4 - 8", FromTo(4, 8)),
            ("bytes=7-", From(7)),
            ("bytes=-5", Last(5)),
        ] {
            assert_eq!(range_of(text), Some(range), "{text}");
        }
        for text in [
            "",
            "bytes",
            "bytes 0-9",
            "bytes=",
            "bytes=-",
            "bytes=0-1,3-4",
            "bytes=+1-2",
            "bytes=a-b",
        ] {
            assert_eq!(range_of(text), None, "{text}");
        }
    }
}
