//! The 33 operations, one file each: read the rest of the request, let the engine do it, write the answer.
//!
//! No rule of Glacier lives here; what is checked is the form of what was sent. Each takes the permission for itself by
//! value, so none can be called without one, or with one for something else.

mod abort_multipart_upload;
mod abort_vault_lock;
mod add_tags_to_vault;
mod complete_multipart_upload;
mod complete_vault_lock;
mod create_vault;
mod delete_archive;
mod delete_vault;
mod delete_vault_access_policy;
mod delete_vault_notifications;
mod describe_job;
mod describe_vault;
mod get_data_retrieval_policy;
mod get_job_output;
mod get_vault_access_policy;
mod get_vault_lock;
mod get_vault_notifications;
mod initiate_job;
mod initiate_multipart_upload;
mod initiate_vault_lock;
mod list_jobs;
mod list_multipart_uploads;
mod list_parts;
mod list_provisioned_capacity;
mod list_tags_for_vault;
mod list_vaults;
mod purchase_provisioned_capacity;
mod remove_tags_from_vault;
mod set_data_retrieval_policy;
mod set_vault_access_policy;
mod set_vault_notifications;
mod upload_archive;
mod upload_multipart_part;

use icefield_engine::{Access, policy::ContextKeys};
use icefield_protocol::{ArchiveId, ErrorCode, LinearHash, Operation};

use crate::{error::ApiError, json::Object, request::Call, response::Reply};

/// Does what was asked for.
pub(crate) async fn answer(call: Call<'_>, access: Access) -> Result<Reply, ApiError> {
    match access.operation() {
        Operation::CreateVault => create_vault::create_vault(call, access).await,
        Operation::DescribeVault => describe_vault::describe_vault(call, access).await,
        Operation::ListVaults => list_vaults::list_vaults(call, access).await,
        Operation::DeleteVault => delete_vault::delete_vault(call, access).await,
        Operation::SetVaultNotifications => {
            set_vault_notifications::set_vault_notifications(call, access).await
        }
        Operation::GetVaultNotifications => {
            get_vault_notifications::get_vault_notifications(call, access).await
        }
        Operation::DeleteVaultNotifications => {
            delete_vault_notifications::delete_vault_notifications(call, access).await
        }
        Operation::SetVaultAccessPolicy => {
            set_vault_access_policy::set_vault_access_policy(call, access).await
        }
        Operation::GetVaultAccessPolicy => {
            get_vault_access_policy::get_vault_access_policy(call, access).await
        }
        Operation::DeleteVaultAccessPolicy => {
            delete_vault_access_policy::delete_vault_access_policy(call, access).await
        }
        Operation::InitiateVaultLock => {
            initiate_vault_lock::initiate_vault_lock(call, access).await
        }
        Operation::CompleteVaultLock => {
            complete_vault_lock::complete_vault_lock(call, access).await
        }
        Operation::AbortVaultLock => abort_vault_lock::abort_vault_lock(call, access).await,
        Operation::GetVaultLock => get_vault_lock::get_vault_lock(call, access).await,
        Operation::AddTagsToVault => add_tags_to_vault::add_tags_to_vault(call, access).await,
        Operation::RemoveTagsFromVault => {
            remove_tags_from_vault::remove_tags_from_vault(call, access).await
        }
        Operation::ListTagsForVault => list_tags_for_vault::list_tags_for_vault(call, access).await,
        Operation::UploadArchive => upload_archive::upload_archive(call, access).await,
        Operation::DeleteArchive => delete_archive::delete_archive(call, access).await,
        Operation::InitiateMultipartUpload => {
            initiate_multipart_upload::initiate_multipart_upload(call, access).await
        }
        Operation::UploadMultipartPart => {
            upload_multipart_part::upload_multipart_part(call, access).await
        }
        Operation::ListParts => list_parts::list_parts(call, access).await,
        Operation::ListMultipartUploads => {
            list_multipart_uploads::list_multipart_uploads(call, access).await
        }
        Operation::CompleteMultipartUpload => {
            complete_multipart_upload::complete_multipart_upload(call, access).await
        }
        Operation::AbortMultipartUpload => {
            abort_multipart_upload::abort_multipart_upload(call, access).await
        }
        Operation::InitiateJob => initiate_job::initiate_job(call, access).await,
        Operation::DescribeJob => describe_job::describe_job(call, access).await,
        Operation::ListJobs => list_jobs::list_jobs(call, access).await,
        Operation::GetJobOutput => get_job_output::get_job_output(call, access).await,
        Operation::GetDataRetrievalPolicy => {
            get_data_retrieval_policy::get_data_retrieval_policy(call, access).await
        }
        Operation::SetDataRetrievalPolicy => {
            set_data_retrieval_policy::set_data_retrieval_policy(call, access).await
        }
        Operation::PurchaseProvisionedCapacity => {
            purchase_provisioned_capacity::purchase_provisioned_capacity(call, access).await
        }
        Operation::ListProvisionedCapacity => {
            list_provisioned_capacity::list_provisioned_capacity(call, access).await
        }
    }
}

/// Returns the archive that a request is about, as far as its text can be one.
pub(crate) fn archive_of(
    operation: Operation,
    id: &str,
    body: Option<&Object>,
) -> Option<ArchiveId> {
    match operation {
        Operation::DeleteArchive => ArchiveId::parse_issued(id).ok(),
        Operation::InitiateJob => body.and_then(initiate_job::archive_of),
        _ => None,
    }
}

/// Returns what the body says that policies may ask about: the tags that it adds or removes.
///
/// A body that cannot be read says nothing; the operation will refuse it.
pub(crate) fn said(operation: Operation, body: Option<&Object>) -> ContextKeys {
    let said = body.and_then(|body| match operation {
        Operation::AddTagsToVault => {
            add_tags_to_vault::tags(body).ok().map(|tags| ContextKeys::of_tags(&tags))
        }
        Operation::RemoveTagsFromVault => {
            remove_tags_from_vault::keys(body).ok().map(|keys| ContextKeys::of_tag_keys(&keys))
        }
        _ => None,
    });
    said.unwrap_or_default()
}

/// A text that cannot be an ID was never one.
fn not_found(what: &str, id: &str) -> ApiError {
    ApiError::new(ErrorCode::ResourceNotFound, format!("The {what} ID was not found: {id}"))
}

/// Compares the bytes that came with those that were signed.
fn check_linear(computed: Option<LinearHash>, expected: LinearHash) -> Result<(), ApiError> {
    match computed {
        Some(computed) if computed == expected => Ok(()),
        Some(computed) => Err(ApiError::other_body(computed, expected)),
        None => Err(ApiError::internal("hashing a payload", "its linear hash was not computed")),
    }
}
