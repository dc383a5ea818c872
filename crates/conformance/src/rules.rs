//! What holds for every answer, whatever was asked ("Common Response Headers", "Error Responses").
//!
//! Checked on each of the thousands of answers of a run, so that a header that leaks or a body without its length is
//! found wherever it happens.

use icefield_protocol::{ErrorCode, Operation};
use serde_json::Value;

use crate::answer::Answer;
use crate::model::{check_shape, entry};
use crate::outcome::{Failed, Outcome, holds, same};

/// Headers that any answer may carry.
const ALWAYS: &[&str] =
    &["x-amzn-requestid", "date", "content-length", "content-type", "connection"];

/// Codes that any operation may answer, beside those that the model lists for it.
const COMMON_CODES: &[ErrorCode] = &[
    ErrorCode::AccessDenied,
    ErrorCode::BadRequest,
    ErrorCode::ExpiredToken,
    ErrorCode::InvalidSignature,
    ErrorCode::MissingAuthenticationToken,
    ErrorCode::Serialization,
    ErrorCode::ServiceUnavailable,
    ErrorCode::Throttling,
    ErrorCode::UnrecognizedClient,
];

/// Texts that only the inside of a server has.
const LEAKS: &[&str] = &["panicked", ".rs:", "sqlite", "rusqlite", "/home/", "os error"];

/// Checks an answer to a request of `method`.
pub(crate) fn check(answer: &Answer, method: &str) -> Outcome {
    check_headers(answer)?;
    match answer.raw.status {
        200 | 206 => check_success(answer),
        201 | 202 => check_created(answer),
        204 => check_no_content(answer),
        400.. => check_refusal(answer, method),
        other => {
            Err(Failed::new(format!("the service has no status {other}: {}", answer.summary())))
        }
    }
}

fn check_headers(answer: &Answer) -> Outcome {
    let mut names: Vec<_> =
        answer.raw.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    for name in &names {
        holds(&format!("unexpected header {name}: {}", answer.summary()), is_known(answer, name))?;
    }
    let doubled = names.windows(2).find(|pair| pair[0] == pair[1]);
    holds(&format!("a header came twice: {}", answer.summary()), doubled.is_none())?;
    let id = answer.header("x-amzn-requestid")?;
    holds(&format!("not a request ID: {id}"), is_id(&id, 47))?;
    let date = answer.header("date")?;
    holds(&format!("not a date: {date}"), is_http_date(&date))?;
    if let Some(connection) = answer.find("connection") {
        same("connection", connection.to_ascii_lowercase(), "close")?;
    }
    Ok(())
}

fn is_known(answer: &Answer, name: &str) -> bool {
    let of_operation =
        |operation: Operation| entry(operation).headers.iter().any(|known| known == name);
    let of_kind = if answer.raw.status < 400 {
        answer.operation.is_some_and(of_operation)
    } else {
        name == "x-amzn-errortype"
    };
    ALWAYS.contains(&name) || of_kind
}

fn check_success(answer: &Answer) -> Outcome {
    let length = answer.header("content-length")?;
    same("content-length", length, answer.raw.body.len().to_string())?;
    let kind = answer.header("content-type")?;
    let operation = answer.operation.ok_or_else(|| Failed::new("200 for what is no operation"))?;
    if operation == Operation::GetJobOutput {
        let known = ["application/octet-stream", "application/json", "text/csv"];
        return holds(&format!("content-type {kind}"), known.contains(&kind.as_str()));
    }
    same("status", answer.raw.status, entry(operation).status)?;
    same("content-type", kind.as_str(), "application/json")?;
    check_shape(operation, &answer.json()?)
}

fn check_created(answer: &Answer) -> Outcome {
    let operation = answer.operation.ok_or_else(|| Failed::new("201 for what is no operation"))?;
    same("status", answer.raw.status, entry(operation).status)?;
    same("content-length", answer.header("content-length")?.as_str(), "0")?;
    holds("an answer of 201 or 202 has a Content-Type", answer.find("content-type").is_none())?;
    check_documented(answer, operation)
}

fn check_no_content(answer: &Answer) -> Outcome {
    let operation = answer.operation.ok_or_else(|| Failed::new("204 for what is no operation"))?;
    same("status", answer.raw.status, entry(operation).status)?;
    holds("an answer of 204 has a Content-Length", answer.find("content-length").is_none())?;
    holds("an answer of 204 has a Content-Type", answer.find("content-type").is_none())?;
    check_documented(answer, operation)
}

/// Every documented header of the operation is there, in its form.
fn check_documented(answer: &Answer, operation: Operation) -> Outcome {
    for name in entry(operation).headers.iter().filter(|name| *name != "x-amz-job-output-path") {
        let value = answer.header(name)?;
        let legal = match name.as_str() {
            "location" => is_location(&value),
            "x-amz-archive-id" => is_id(&value, 138),
            "x-amz-multipart-upload-id" | "x-amz-job-id" => is_id(&value, 92),
            "x-amz-lock-id" | "x-amz-capacity-id" => is_id(&value, 24),
            "x-amz-sha256-tree-hash" => is_hash(&value),
            _ => false,
        };
        holds(&format!("the header {name} has the wrong form: {value}"), legal)?;
    }
    Ok(())
}

fn check_refusal(answer: &Answer, method: &str) -> Outcome {
    if method == "HEAD" {
        return Ok(());
    }
    same("content-type of an error", answer.header("content-type")?.as_str(), "application/json")?;
    let length = answer.header("content-length")?;
    same("content-length", length, answer.raw.body.len().to_string())?;
    let (code, kind) = (answer.member("code"), answer.member("type"));
    let known: ErrorCode = code
        .parse()
        .map_err(|_| Failed::new(format!("not an error of the service: {}", answer.summary())))?;
    same("status of the code", answer.raw.status, known.status())?;
    same("type of the code", kind.as_str(), known.kind().as_str())?;
    let message = answer.member("message");
    holds("an error has no message", !message.is_empty())?;
    let leak = LEAKS.iter().find(|leak| message.contains(**leak));
    holds(&format!("the message tells of the inside: {message}"), leak.is_none())?;
    let text = |text: &str| Value::from(text).to_string();
    let body = format!(
        r#"{{"code":{},"message":{},"type":{}}}"#,
        text(&code),
        text(&message),
        text(&kind)
    );
    same("compact body in the order code, message, type", answer.text(), body)?;
    if let Some(header) = answer.find("x-amzn-errortype") {
        same("x-amzn-ErrorType", header, code.as_str())?;
    }
    let listed = |operation: Operation| entry(operation).errors.contains(&code);
    let documented = COMMON_CODES.contains(&known) || answer.operation.is_none_or(listed);
    holds(&format!("{code} is not documented for {:?}", answer.operation), documented)
}

/// Whether a text is an ID of this length in the service's alphabet.
pub(crate) fn is_id(text: &str, length: usize) -> bool {
    text.len() == length
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Whether a text is a hash as the service writes it: 64 lower-case hex digits.
pub(crate) fn is_hash(text: &str) -> bool {
    text.len() == 64
        && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn is_location(text: &str) -> bool {
    let account = text.strip_prefix('/').and_then(|rest| rest.split_once("/vaults/"));
    account.is_some_and(|(account, vault)| {
        account.len() == 12
            && account.bytes().all(|byte| byte.is_ascii_digit())
            && !vault.is_empty()
    })
}

/// Whether a text has the form `Sun, 06 Nov 1994 08:49:37 GMT`.
fn is_http_date(text: &str) -> bool {
    let form = b"Aaa, dd Aaa dddd dd:dd:dd GMT";
    let fits = |(byte, form): (u8, &u8)| match form {
        b'A' => byte.is_ascii_alphabetic(),
        b'a' => byte.is_ascii_lowercase(),
        b'd' => byte.is_ascii_digit(),
        other => byte == *other,
    };
    text.len() == form.len() && text.bytes().zip(form).all(fits)
}

#[cfg(test)]
mod tests {
    use icefield_protocol::Operation;

    use super::check;
    use crate::answer::Answer;
    use crate::http::RawAnswer;

    const ID: &str = "AAABZpJrTyioDC_HsOmHae8EZp_uBSJr6cnGOLKp_XJCl-Q";

    fn answer(operation: Operation, status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let common = [("x-amzn-RequestId", ID), ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")];
        let fields = common.iter().chain(headers);
        let headers =
            fields.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let raw = RawAnswer { status, headers, body: body.into(), interim: Vec::new() };
        Answer { operation: Some(operation), raw }
    }

    fn json(body: &str) -> Answer {
        let length = body.len().to_string();
        let headers = [("Content-Type", "application/json"), ("Content-Length", length.as_str())];
        answer(Operation::GetVaultAccessPolicy, 200, &headers, body)
    }

    fn refusal(status: u16, body: &str) -> Answer {
        let length = body.len().to_string();
        let headers = [("Content-Type", "application/json"), ("Content-Length", length.as_str())];
        answer(Operation::DescribeVault, status, &headers, body)
    }

    fn without(mut answer: Answer, name: &str) -> Answer {
        answer.raw.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        answer
    }

    fn with(answer: Answer, name: &str, value: &str) -> Answer {
        let mut answer = without(answer, name);
        answer.raw.headers.push((name.to_owned(), value.to_owned()));
        answer
    }

    const POLICY: &str = r#"{"Policy":"{}"}"#;
    const MISSING: &str = r#"{"code":"ResourceNotFoundException","message":"m","type":"Client"}"#;
    const LOCATION: (&str, &str) = ("Location", "/012345678901/vaults/v");

    #[test]
    fn answers_as_documented_pass() {
        check(&json(POLICY), "GET").unwrap();
        check(&refusal(404, MISSING), "GET").unwrap();
        let created = answer(Operation::CreateVault, 201, &[LOCATION, ("Content-Length", "0")], "");
        check(&created, "PUT").unwrap();
        check(&answer(Operation::DeleteVault, 204, &[], ""), "DELETE").unwrap();
    }

    #[test]
    fn headers_that_lack_leak_or_come_twice_fail() {
        let twice = {
            let mut twice = json(POLICY);
            twice.raw.headers.push(("date".to_owned(), "Sun, 06 Nov 1994 08:49:37 GMT".to_owned()));
            twice
        };
        for bad in [
            without(json(POLICY), "x-amzn-RequestId"),
            without(json(POLICY), "date"),
            without(json(POLICY), "content-length"),
            with(json(POLICY), "x-amzn-RequestId", &ID[1..]),
            with(json(POLICY), "date", "1994-11-06T08:49:37Z"),
            with(json(POLICY), "server", "x"),
            with(json(POLICY), "x-amz-archive-id", "x"),
            with(json(POLICY), "transfer-encoding", "chunked"),
            with(json(POLICY), "content-type", "application/json; charset=utf-8"),
            twice,
        ] {
            assert!(check(&bad, "GET").is_err(), "{}", bad.summary());
        }
    }

    #[test]
    fn empty_answers_with_a_type_or_without_their_headers_fail() {
        let created = answer(Operation::CreateVault, 201, &[LOCATION, ("Content-Length", "0")], "");
        for bad in [
            with(created.clone(), "content-type", "application/json"),
            without(created.clone(), "content-length"),
            without(created.clone(), "location"),
            with(created.clone(), "location", "/-/vaults/v"),
            with(created, "location", "http://host/012345678901/vaults/v"),
            answer(Operation::DeleteVault, 204, &[("Content-Length", "0")], ""),
            answer(Operation::CreateVault, 200, &[], ""),
        ] {
            assert!(check(&bad, "PUT").is_err(), "{}", bad.summary());
        }
    }

    #[test]
    fn refusals_of_another_form_fail() {
        for (status, body) in [
            (400, MISSING),
            (404, r#"{"message":"m","code":"ResourceNotFoundException","type":"Client"}"#),
            (404, r#"{"code": "ResourceNotFoundException", "message": "m", "type": "Client"}"#),
            (404, r#"{"code":"ResourceNotFoundException","message":"","type":"Client"}"#),
            (404, r#"{"code":"ResourceNotFoundException","message":"m","type":"Server"}"#),
            (404, r#"{"code":"NotFound","message":"m","type":"Client"}"#),
            (
                404,
                r#"{"code":"ResourceNotFoundException","message":"at src/lib.rs:5","type":"Client"}"#,
            ),
            (400, r#"{"code":"LimitExceededException","message":"m","type":"Client"}"#),
            (404, ""),
        ] {
            assert!(check(&refusal(status, body), "GET").is_err(), "{status} {body}");
        }
        let other = with(refusal(404, MISSING), "x-amzn-ErrorType", "BadRequest");
        assert!(check(&other, "GET").is_err());
    }
}
