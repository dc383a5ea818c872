//! Requests that hyper refuses by itself, because it cannot read them.
//!
//! No service ever sees such a request: hyper writes an answer without a body and closes. Whatever is written while no
//! request is being served is such an answer. It is caught here before it reaches the socket, and goes out with the
//! fields and the body that the service gives to every error.

use std::fmt::Write as _;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use http::{Response, StatusCode};

/// The end of a head.
const BLANK_LINE: &[u8] = b"\r\n\r\n";

/// Catches one answer of hyper's and holds what is to be written in its place.
#[derive(Debug, Default)]
pub(crate) struct Refusal {
    caught: Vec<u8>,
    out: BytesMut,
}

impl Refusal {
    /// Takes what hyper writes. Once the head is complete, `answer` says what the service would have said.
    ///
    /// Returns whether this completed an answer.
    pub(crate) fn catch(
        &mut self,
        bytes: &[u8],
        answer: impl FnOnce(StatusCode) -> Response<Bytes>,
    ) -> bool {
        self.caught.extend_from_slice(bytes);
        if !self.caught.ends_with(BLANK_LINE) {
            return false;
        }
        let caught = std::mem::take(&mut self.caught);
        let head = String::from_utf8_lossy(&caught);
        self.out.extend_from_slice(&render(&head, answer));
        true
    }

    /// Returns what is still to be written.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.out
    }

    pub(crate) fn advance(&mut self, written: usize) {
        self.out.advance(written);
    }
}

/// Writes the service's answer under hyper's status line, with hyper's date.
fn render(head: &str, answer: impl FnOnce(StatusCode) -> Response<Bytes>) -> Vec<u8> {
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let (parts, body) = answer(status.unwrap_or(StatusCode::BAD_REQUEST)).into_parts();

    let mut text = format!("{status_line}\r\n{CONNECTION}: close\r\n");
    if let Some(date) = lines.find(|line| line.starts_with("date:")) {
        text.push_str(date);
        text.push_str("\r\n");
    }
    // Writing to a string cannot fail.
    let _infallible = write!(text, "{CONTENT_LENGTH}: {}\r\n", body.len());
    let mut out = text.into_bytes();
    for (name, value) in &parts.headers {
        if [CONNECTION, CONTENT_LENGTH, DATE].contains(name) {
            continue;
        }
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(piece);
        }
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: StatusCode) -> Response<Bytes> {
        Response::builder()
            .header("x-id", "7")
            .header("content-type", "application/json")
            .header("content-length", "999")
            .body(Bytes::from(format!("{{\"status\":{}}}", status.as_u16())))
            .unwrap()
    }

    #[test]
    fn an_answer_of_hyper_goes_out_with_the_fields_and_the_body_of_the_service() {
        let mut refusal = Refusal::default();
        let status = "HTTP/1.1 431 Request Header Fields Too Large\r\n";
        assert!(!refusal.catch(status.as_bytes(), answer));
        assert!(refusal.catch(b"content-length: 0\r\ndate: Sun\r\n\r\n", answer));
        let text = String::from_utf8(refusal.pending().to_vec()).unwrap();
        let expected = format!(
            "{status}connection: close\r\ndate: Sun\r\ncontent-length: 14\r\nx-id: 7\r\n\
             content-type: application/json\r\n\r\n{{\"status\":431}}"
        );
        assert_eq!(text, expected);
    }
}
