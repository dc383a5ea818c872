//! What is no policy, and what the refusal says.

use icefield_engine::policy::{Policy, PolicyKind};
use icefield_protocol::limits::MAX_POLICY_BYTES;
use serde::Deserialize;
use serde_json::Value;

use super::vault;

/// A text that is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    name: String,
    /// `identity`, unless it is a vault's: `access` or `lock`.
    kind: Option<String>,
    policy: Option<Value>,
    /// Instead of `policy`: what JSON cannot say.
    text: Option<String>,
    /// A part of the message.
    says: String,
}

#[test]
fn what_is_no_policy_is_refused_with_its_place() {
    let refusals: Vec<Refusal> = serde_json::from_str(include_str!("cases/refused.json")).unwrap();
    for Refusal { name, kind, policy, text, says } in refusals {
        let text = text.unwrap_or_else(|| policy.unwrap().to_string());
        let kind = match kind.as_deref() {
            None => PolicyKind::Identity,
            Some("access") => PolicyKind::VaultAccess(vault()),
            Some("lock") => PolicyKind::VaultLock(vault()),
            Some(other) => panic!("{name}: no kind {other}"),
        };
        let error = match Policy::parse(&text, kind) {
            Ok(_) => panic!("{name}: was accepted"),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(&says), "{name}: says {error:?}, not {says:?}");
    }
}

/// A policy of exactly so many bytes.
fn padded(bytes: usize) -> String {
    let start = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"},"Id":""#;
    format!("{start}{}\"}}", "x".repeat(bytes - start.len() - 2))
}

#[test]
fn policies_end_at_20480_bytes() {
    assert!(Policy::parse(&padded(20_480), PolicyKind::Identity).is_ok());
    let error = Policy::parse(&padded(20_481), PolicyKind::Identity).unwrap_err();
    assert!(error.to_string().contains("has 20481 bytes"), "{error}");
    assert_eq!(MAX_POLICY_BYTES, 20_480);
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("{}1{}", "[".repeat(9_000), "]".repeat(9_000));
    assert!(Policy::parse(&deep, PolicyKind::Identity).is_err());
    let deep = format!(r#"{{"Statement":{deep}}}"#);
    assert!(Policy::parse(&deep, PolicyKind::Identity).is_err());
}

#[test]
fn what_iam_accepts_besides_is_accepted() {
    for text in [
        r#" {"Statement": [{"Sid": "", "Effect": "Allow", "Action": "*", "Resource": "*"}, {"Sid": "", "Effect": "Allow", "Action": "*", "Resource": "*"}]} "#,
        r#"{"Id": "some id", "Version": "2008-10-17", "Statement": {"Sid": "with spaces and-hyphens", "Effect": "Deny", "NotAction": ["s3:*", "ec2:Describe*"], "NotResource": "arn:aws:s3:::x"}}"#,
        r#"{"Statement": {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": {"StringLike": {"s3:prefix": ["", "home/"]}}}}"#,
        r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::*:role/${aws:username}"}}"#,
    ] {
        assert!(Policy::parse(text, PolicyKind::Identity).is_ok(), "{text}");
    }
}
