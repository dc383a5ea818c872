//! Every operation times every way of not being allowed: nothing is let through, and nothing has changed.
//!
//! The operations are those of [`Operation::ALL`]: a new one does not compile until it has a request here.

use icefield_protocol::{ErrorCode, Operation};
use serde_json::{Value, json};

use super::{allowing, deny, stranger};
use crate::context::{Archive, Context, Upload, Vault};
use crate::endpoint::Credentials;
use crate::outcome::{Failed, Outcome, holds, same};
use crate::request::{Request, VERSION};
use crate::suite::cases;

cases![
    "1.9" nothing_passes_for_the_owner_is_no_test_without_the_owner,
    "1.9" nothing_passes_without_authorization,
    "1.9" nothing_passes_with_an_empty_authorization,
    "1.9" nothing_passes_with_another_kind_of_authorization,
    "1.9" nothing_passes_with_an_unknown_key,
    "1.9" nothing_passes_with_a_wrong_secret,
    "1.9" nothing_passes_with_an_empty_secret,
    "1.9" nothing_passes_with_an_expired_date,
    "1.9" nothing_passes_with_a_date_of_last_year,
    "1.9" nothing_passes_with_a_future_date,
    "1.9" nothing_passes_with_a_scope_of_another_day,
    "1.9" nothing_passes_without_a_date,
    "1.9" nothing_passes_with_an_unsigned_header_of_the_service,
    "1.9" nothing_passes_with_an_unsigned_version,
    "1.9" nothing_passes_with_the_hash_of_another_body,
    "1.9" nothing_passes_with_an_unsigned_payload,
    "1.9" nothing_passes_with_a_streaming_payload,
    "1.9" nothing_passes_with_credentials_in_the_query,
    "1.9" nothing_passes_with_two_authorizations,
    "1.9" nothing_passes_with_a_second_authorization_of_a_stranger,
    "1.9" nothing_passes_with_another_algorithm,
    "1.9" nothing_passes_with_an_asymmetric_algorithm,
    "1.9" nothing_passes_with_a_signature_of_zeros,
    "1.9" nothing_passes_with_an_empty_signature,
    "1.9" nothing_passes_with_the_signature_of_another_request,
    "1.9" nothing_passes_with_no_signed_headers,
    "1.9" nothing_passes_with_an_unsigned_host,
    "1.9" nothing_passes_with_a_garbage_token,
    "1.9" [Session] nothing_passes_with_a_temporary_key_without_token,
    "1.9" [Session] nothing_passes_with_a_temporary_key_and_a_garbage_token,
    "7.3" [User] nothing_passes_for_a_user_without_policy,
    "7.3" [Other] nothing_passes_for_a_user_of_another_account,
    "1.2" nothing_passes_for_another_account_number,
    "1.2" nothing_passes_for_a_malformed_account_number,
    "1.3" nothing_passes_without_the_version,
    "1.3" nothing_passes_with_another_version,
];

/// Things for the operations to be about.
struct Stage {
    vault: Vault,
    /// Does not exist.
    unmade: Vault,
    archive: Archive,
    upload: Upload,
    job: String,
    lock: String,
}

impl Stage {
    async fn new(c: &Context) -> Result<Self, Failed> {
        let vault = c.vault().await?;
        let archive = vault.archive(b"abc".to_vec()).await?;
        let upload = vault.upload(1).await?;
        upload.part(0, b"abc").await?.status(204)?;
        let job = vault.job(&json!({"Type": "archive-retrieval", "ArchiveId": archive.id})).await?;
        vault
            .post("/tags?operation=add")
            .json(&json!({"Tags": {"kept": "yes"}}))
            .await?
            .status(204)?;
        let denied = json!({"DateLessThan": {"aws:CurrentTime": "2013-01-01T00:00:00Z"}});
        let lock = deny(&vault, "glacier:DeleteVault", denied).await?;
        Ok(Self { unmade: c.no_vault(), vault, archive, upload, job, lock })
    }

    /// A request that would be granted to the owner, or answered for what is about the vault.
    fn request(&self, c: &Context, operation: Operation) -> Request {
        let v = &self.vault;
        match operation {
            Operation::CreateVault => self.unmade.put(""),
            Operation::DescribeVault => v.get(""),
            Operation::ListVaults => c.get("/-/vaults"),
            Operation::DeleteVault => v.delete(""),
            Operation::SetVaultNotifications => v.put("/notification-configuration").json(&json!({"SNSTopic": "arn:aws:sns:us-west-2:012345678901:t", "Events": ["ArchiveRetrievalCompleted"]})),
            Operation::GetVaultNotifications => v.get("/notification-configuration"),
            Operation::DeleteVaultNotifications => v.delete("/notification-configuration"),
            Operation::SetVaultAccessPolicy => v.put("/access-policy").json(&json!({"Policy": allowing(v)})),
            Operation::GetVaultAccessPolicy => v.get("/access-policy"),
            Operation::DeleteVaultAccessPolicy => v.delete("/access-policy"),
            Operation::InitiateVaultLock => v.post("/lock-policy").json(&json!({"Policy": allowing(v)})),
            Operation::CompleteVaultLock => v.post(format!("/lock-policy/{}", self.lock)),
            Operation::AbortVaultLock => v.delete("/lock-policy"),
            Operation::GetVaultLock => v.get("/lock-policy"),
            Operation::AddTagsToVault => v.post("/tags?operation=add").json(&json!({"Tags": {"evil": "yes"}})),
            Operation::RemoveTagsFromVault => v.post("/tags?operation=remove").json(&json!({"TagKeys": ["kept"]})),
            Operation::ListTagsForVault => v.get("/tags"),
            Operation::UploadArchive => v.post("/archives").payload(b"evil"),
            Operation::DeleteArchive => v.delete(format!("/archives/{}", self.archive.id)),
            Operation::InitiateMultipartUpload => v.post("/multipart-uploads").header("x-amz-part-size", "1048576"),
            Operation::UploadMultipartPart => self.upload.part(0, b"evil"),
            Operation::ListParts => self.upload.list(""),
            Operation::ListMultipartUploads => v.get("/multipart-uploads"),
            Operation::CompleteMultipartUpload => self.upload.complete(b"abc"),
            Operation::AbortMultipartUpload => v.delete(self.upload.path()),
            Operation::InitiateJob => v.post("/jobs").json(&json!({"Type": "archive-retrieval", "ArchiveId": self.archive.id})),
            Operation::DescribeJob => v.get(format!("/jobs/{}", self.job)),
            Operation::ListJobs => v.get("/jobs"),
            Operation::GetJobOutput => v.output(&self.job),
            Operation::GetDataRetrievalPolicy => c.get("/-/policies/data-retrieval"),
            Operation::SetDataRetrievalPolicy => c.put("/-/policies/data-retrieval").json(&json!({"Policy": {"Rules": [{"Strategy": "BytesPerHour", "BytesPerHour": 1}]}})),
            Operation::PurchaseProvisionedCapacity => c.post("/-/provisioned-capacity"),
            Operation::ListProvisionedCapacity => c.get("/-/provisioned-capacity"),
        }
    }

    /// All that shows of the stage.
    async fn state(&self, c: &Context) -> Result<Vec<Value>, Failed> {
        let v = &self.vault;
        let mut state = vec![v.describe_job(&self.job).await?["ArchiveId"].clone()];
        for rest in ["/tags", "/lock-policy", "/multipart-uploads", &self.upload.path()] {
            state.push(v.get(rest).await?.status(200)?.json()?);
        }
        for rest in ["/access-policy", "/notification-configuration"] {
            v.get(rest).await?.refused(ErrorCode::ResourceNotFound)?;
        }
        for path in ["/-/policies/data-retrieval", "/-/provisioned-capacity"] {
            state.push(c.get(path).await?.status(200)?.json()?);
        }
        let jobs = v.get("/jobs").await?.status(200)?.json()?;
        state.push(json!(jobs["JobList"].as_array().map_or(0, Vec::len)));
        let described = v.describe().await?;
        state.push(json!([described["NumberOfArchives"], described["SizeInBytes"]]));
        self.unmade.get("").await?.refused(ErrorCode::ResourceNotFound)?;
        Ok(state)
    }
}

/// Sends a request for every operation, changed by `change`, and expects every one to be refused with one of `codes`.
async fn nothing_passes(
    c: &Context,
    change: fn(&Context, Request) -> Result<Request, Failed>,
    codes: &[ErrorCode],
) -> Outcome {
    let stage = Stage::new(c).await?;
    let before = stage.state(c).await?;
    let mut passed = Vec::new();
    for operation in Operation::ALL {
        let answer = change(c, stage.request(c, *operation))?.await;
        if let Err(failed) = answer.and_then(|answer| answer.refused_by(codes)) {
            passed.push(format!("{operation}: {failed}"));
        }
    }
    holds(&passed.join(" | "), passed.is_empty())?;
    same("state", stage.state(c).await?, before)?;
    // The archive is still there.
    stage.vault.job(&json!({"Type": "archive-retrieval", "ArchiveId": stage.archive.id})).await?;
    stage.vault.delete("/lock-policy").await?.status(204)?;
    Ok(())
}

/// Shared by the ways that do not even name a key.
const NO_KEY: &[ErrorCode] = &[ErrorCode::MissingAuthenticationToken];
/// Shared by the ways that a wrong signature may show in.
const WRONG: &[ErrorCode] = &[ErrorCode::InvalidSignature];
/// Shared by the ways that are no signature at all.
const UNREADABLE: &[ErrorCode] =
    &[ErrorCode::InvalidSignature, ErrorCode::MissingAuthenticationToken];
async fn nothing_passes_for_the_owner_is_no_test_without_the_owner(c: &Context) -> Outcome {
    // The requests are right: all but those that depend on state are granted to the owner.
    let stage = Stage::new(c).await?;
    for operation in [
        Operation::DescribeVault,
        Operation::ListVaults,
        Operation::ListTagsForVault,
        Operation::UploadArchive,
        Operation::UploadMultipartPart,
        Operation::ListParts,
        Operation::ListJobs,
        Operation::DescribeJob,
        Operation::GetVaultLock,
        Operation::AddTagsToVault,
        Operation::InitiateJob,
        Operation::SetVaultAccessPolicy,
        Operation::CreateVault,
        Operation::AbortVaultLock,
        Operation::DeleteArchive,
    ] {
        let answer = stage.request(c, operation).await?;
        holds(&answer.summary(), answer.raw.status < 300)?;
    }
    Ok(())
}

async fn nothing_passes_without_authorization(c: &Context) -> Outcome {
    nothing_passes(c, |_, request| Ok(request.anonymous()), NO_KEY).await
}

async fn nothing_passes_with_an_empty_authorization(c: &Context) -> Outcome {
    nothing_passes(c, |_, request| Ok(request.anonymous().header("authorization", "")), UNREADABLE)
        .await
}

async fn nothing_passes_with_another_kind_of_authorization(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |_, request| Ok(request.anonymous().header("authorization", "Basic YTpi")),
        UNREADABLE,
    )
    .await
}

async fn nothing_passes_with_an_unknown_key(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |c, request| {
            Ok(request.by(&Credentials::new("AKIAUNKNOWNUNKNOWNXX", c.owner().secret.clone())))
        },
        &[ErrorCode::UnrecognizedClient],
    )
    .await
}

async fn nothing_passes_with_a_wrong_secret(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |c, request| {
            Ok(request.by(&Credentials::new(
                c.owner().access_key.clone(),
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYwrongKEY+",
            )))
        },
        WRONG,
    )
    .await
}

async fn nothing_passes_with_an_empty_secret(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |c, request| Ok(request.by(&Credentials::new(c.owner().access_key.clone(), ""))),
        WRONG,
    )
    .await
}

async fn nothing_passes_with_an_expired_date(c: &Context) -> Outcome {
    nothing_passes(c, |_, request| Ok(request.shifted(-3600)), WRONG).await
}

async fn nothing_passes_with_a_date_of_last_year(c: &Context) -> Outcome {
    nothing_passes(c, |_, request| Ok(request.shifted(-365 * 86_400)), WRONG).await
}

async fn nothing_passes_with_a_future_date(c: &Context) -> Outcome {
    nothing_passes(c, |_, request| Ok(request.shifted(3600)), WRONG).await
}

async fn nothing_passes_with_a_scope_of_another_day(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |_, request| Ok(request.scope(|scope| format!("20120525{}", &scope[8..]))),
        UNREADABLE,
    )
    .await
}

async fn nothing_passes_without_a_date(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |_, request| Ok(request.undated()),
        &[
            ErrorCode::InvalidSignature,
            ErrorCode::MissingAuthenticationToken,
            ErrorCode::MissingParameterValue,
        ],
    )
    .await
}

async fn nothing_passes_with_an_unsigned_header_of_the_service(c: &Context) -> Outcome {
    nothing_passes(c, |_, request| Ok(request.unsigned("x-amz-other", "1")), WRONG).await
}

async fn nothing_passes_with_an_unsigned_version(c: &Context) -> Outcome {
    nothing_passes(c, |_, request| Ok(request.without_signing("x-amz-glacier-version")), WRONG)
        .await
}

async fn nothing_passes_with_the_hash_of_another_body(c: &Context) -> Outcome {
    nothing_passes(c, |_, request| Ok(request.signing_hash("0".repeat(64))), WRONG).await
}

async fn nothing_passes_with_an_unsigned_payload(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |_, request| {
            Ok(request
                .signing_hash("UNSIGNED-PAYLOAD")
                .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD"))
        },
        &[ErrorCode::InvalidSignature, ErrorCode::InvalidParameterValue],
    )
    .await
}

async fn nothing_passes_with_a_streaming_payload(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |_, request| {
            Ok(request
                .signing_hash("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
                .header("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"))
        },
        &[ErrorCode::InvalidSignature, ErrorCode::InvalidParameterValue],
    )
    .await
}

async fn nothing_passes_with_credentials_in_the_query(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |c, request| Ok(request.presigned(c.owner())),
        &[ErrorCode::InvalidSignature, ErrorCode::MissingAuthenticationToken],
    )
    .await
}

async fn nothing_passes_with_two_authorizations(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |_, request| Ok(request.authorization(|value| vec![value.to_owned(), value.to_owned()])),
        UNREADABLE,
    )
    .await
}

async fn nothing_passes_with_a_second_authorization_of_a_stranger(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |_, request| {
            Ok(request.authorization(|value| vec![value.to_owned(), "Basic YTpi".to_owned()]))
        },
        UNREADABLE,
    )
    .await
}

async fn nothing_passes_with_another_algorithm(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |_, request| {
            Ok(request.authorization(|value| {
                vec![value.replacen("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1", 1)]
            }))
        },
        UNREADABLE,
    )
    .await
}

async fn nothing_passes_with_an_asymmetric_algorithm(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |_, request| {
            Ok(request.authorization(|value| {
                vec![value.replacen("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256", 1)]
            }))
        },
        UNREADABLE,
    )
    .await
}

async fn nothing_passes_with_a_signature_of_zeros(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |_, request| {
            Ok(request.authorization(|value| {
                vec![format!("{}{}", &value[..value.len() - 64], "0".repeat(64))]
            }))
        },
        WRONG,
    )
    .await
}

async fn nothing_passes_with_an_empty_signature(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |_, request| Ok(request.authorization(|value| vec![value[..value.len() - 64].to_owned()])),
        UNREADABLE,
    )
    .await
}

async fn nothing_passes_with_the_signature_of_another_request(c: &Context) -> Outcome {
    nothing_passes(c, |c, request| Ok(request.signed_as(&c.get("/-/vaults?other=1"))), WRONG).await
}

async fn nothing_passes_with_no_signed_headers(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |_, request| {
            Ok(request.authorization(|value| {
                let (start, rest) = value.split_once("SignedHeaders=").unwrap_or((value, ","));
                let end = rest.split_once(',').map_or("", |(_, end)| end);
                vec![format!("{start}SignedHeaders=,{end}")]
            }))
        },
        UNREADABLE,
    )
    .await
}

async fn nothing_passes_with_an_unsigned_host(c: &Context) -> Outcome {
    nothing_passes(c, |_, request| Ok(request.without_signing("host")), UNREADABLE).await
}

async fn nothing_passes_with_a_garbage_token(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |_, request| Ok(request.header("x-amz-security-token", "garbage")),
        &[ErrorCode::UnrecognizedClient, ErrorCode::InvalidSignature],
    )
    .await
}

async fn nothing_passes_with_a_temporary_key_without_token(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |c, request| Ok(request.by(&Credentials { token: None, ..c.session()?.clone() })),
        &[
            ErrorCode::UnrecognizedClient,
            ErrorCode::InvalidSignature,
            ErrorCode::MissingAuthenticationToken,
        ],
    )
    .await
}

async fn nothing_passes_with_a_temporary_key_and_a_garbage_token(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |c, request| {
            Ok(request
                .by(&Credentials { token: Some("garbage".to_owned()), ..c.session()?.clone() }))
        },
        &[
            ErrorCode::UnrecognizedClient,
            ErrorCode::InvalidSignature,
            ErrorCode::MissingAuthenticationToken,
        ],
    )
    .await
}

async fn nothing_passes_for_a_user_without_policy(c: &Context) -> Outcome {
    nothing_passes(c, |c, request| Ok(request.by(c.user()?)), &[ErrorCode::AccessDenied]).await
}

async fn nothing_passes_for_a_user_of_another_account(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |c, request| Ok(request.by(c.other()?).for_account(c.account())),
        &[ErrorCode::AccessDenied],
    )
    .await
}

async fn nothing_passes_for_another_account_number(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |c, request| Ok(request.for_account(&stranger(c))),
        &[ErrorCode::AccessDenied],
    )
    .await
}

async fn nothing_passes_for_a_malformed_account_number(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |_, request| Ok(request.for_account("1234-5678-9012")),
        &[ErrorCode::InvalidParameterValue],
    )
    .await
}

async fn nothing_passes_without_the_version(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |_, request| Ok(request.without(VERSION)),
        &[ErrorCode::MissingParameterValue],
    )
    .await
}

async fn nothing_passes_with_another_version(c: &Context) -> Outcome {
    nothing_passes(
        c,
        |_, request| Ok(request.header(VERSION, "2012-06-02")),
        &[ErrorCode::InvalidParameterValue],
    )
    .await
}
