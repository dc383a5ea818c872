//! The canonical form of a request: what is hashed, and then signed.
//!
//! Clients differ in two places, and no request tells which client sent it. [`paths`] and [`header_blocks`] return the
//! forms to try, mostly one.

use std::borrow::Cow;
use std::fmt::Write;

use super::{ALGORITHM, RequestHead, RequestTime, Scope, SigV4Error};
use crate::LinearHash;

/// Returns the forms of the path: each segment encoded once more, as SDKs sign it, and the path as sent, as other
/// clients do.
///
/// The two differ only where a byte is not one of `A-Za-z0-9-_.~/`, so for no name that the service allows: a path that
/// is taken for the other form of another path names nothing.
pub(super) fn paths<'a>(path: &'a str) -> Vec<Cow<'a, str>> {
    let sent = if path.is_empty() { "/" } else { path };
    let mut encoded = String::with_capacity(sent.len());
    encode(sent.as_bytes(), b"/", &mut encoded);
    if encoded == sent { vec![Cow::Borrowed(sent)] } else { vec![encoded.into(), sent.into()] }
}

/// Returns the query with its parameters decoded, encoded in the one way, and sorted.
///
/// A `+` is a plus and a `%` without two hex digits is a per cent sign.
pub(super) fn query(query: &str) -> String {
    let mut parameters: Vec<(String, String)> = query
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .map(|(name, value)| (recoded(name), recoded(value)))
        .collect();
    parameters.sort_unstable();
    let mut out = String::with_capacity(query.len());
    for (name, value) in &parameters {
        let separator = if out.is_empty() { "" } else { "&" };
        out.extend([separator, name, "=", value]);
    }
    out
}

fn recoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    encode(&decoded(text), b"", &mut out);
    out
}

/// Writes `bytes` percent-encoded, except what is unreserved in a URI and what is in `kept`.
fn encode(bytes: &[u8], kept: &[u8], out: &mut String) {
    for &byte in bytes {
        let unreserved = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        if unreserved || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes everything");
        }
    }
}

/// Returns the bytes that a percent-encoded text stands for; what is no escape stands for itself.
#[must_use]
pub fn decoded(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = if byte == b'%' { escaped(tail) } else { None };
        out.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    out
}

fn escaped(digits: &[u8]) -> Option<u8> {
    let digit = |index: usize| char::from(*digits.get(index)?).to_digit(16);
    u8::try_from(16 * digit(0)? + digit(1)?).ok()
}

/// Returns the forms of the signed headers: runs of spaces collapsed everywhere, and, where it makes a difference, kept
/// in values with a quotation mark, as boto 2 does.
///
/// # Errors
///
/// When the request lacks one of the names.
pub(super) fn header_blocks(
    head: &RequestHead<'_>,
    names: &[impl AsRef<str>],
) -> Result<Vec<Vec<u8>>, SigV4Error> {
    let collapsed = header_block(head, names, false)?;
    let kept = header_block(head, names, true)?;
    Ok(if kept == collapsed { vec![collapsed] } else { vec![collapsed, kept] })
}

fn header_block(
    head: &RequestHead<'_>,
    names: &[impl AsRef<str>],
    quoted_kept: bool,
) -> Result<Vec<u8>, SigV4Error> {
    let mut out = Vec::with_capacity(512);
    for name in names {
        let name = name.as_ref();
        let before = out.len();
        for value in head.values(name) {
            out.extend_from_slice(if out.len() == before { name.as_bytes() } else { b"" });
            out.push(if out.len() == before + name.len() { b':' } else { b',' });
            push_value(value, quoted_kept, &mut out);
        }
        if out.len() == before {
            return Err(SigV4Error::AbsentHeader(name.to_owned()));
        }
        out.push(b'\n');
    }
    Ok(out)
}

/// Writes a value without the white space around it, and with its runs of spaces as one space.
fn push_value(value: &[u8], quoted_kept: bool, out: &mut Vec<u8>) {
    let value = value.trim_ascii();
    if quoted_kept && value.contains(&b'"') {
        out.extend_from_slice(value);
        return;
    }
    let mut previous = 0;
    for &byte in value {
        if !(byte == b' ' && previous == b' ') {
            out.push(byte);
        }
        previous = byte;
    }
}

/// Returns the canonical request of these parts.
pub(super) fn request(
    method: &str,
    path: &str,
    query: &str,
    headers: &[u8],
    names: &str,
    body_hash: &str,
) -> Vec<u8> {
    [
        method.as_bytes(),
        b"\n",
        path.as_bytes(),
        b"\n",
        query.as_bytes(),
        b"\n",
        headers,
        b"\n",
        names.as_bytes(),
        b"\n",
        body_hash.as_bytes(),
    ]
    .concat()
}

/// Returns the string to sign for a canonical request.
pub(super) fn string_to_sign(time: RequestTime, scope: &Scope, request: &[u8]) -> String {
    format!("{ALGORITHM}\n{time}\n{scope}\n{}", LinearHash::of(request))
}
