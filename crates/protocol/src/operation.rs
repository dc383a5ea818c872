//! The 33 operations of the service, by name.

use std::fmt;
use std::str::FromStr;

/// Defines the enum and its names in one place.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// An operation of the service, version 2012-06-01.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation { $($(#[$doc])* $name,)* }

        impl Operation {
            /// Every operation.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the name, as SDKs have it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Returns the action that policies name.
            #[must_use]
            pub const fn action(self) -> &'static str {
                match self { $(Self::$name => concat!("glacier:", stringify!($name)),)* }
            }
        }
    };
}

operations! {
    /// Makes a vault.
    CreateVault,
    /// Tells of a vault.
    DescribeVault,
    /// Lists the vaults of an account.
    ListVaults,
    /// Removes an empty vault.
    DeleteVault,
    /// Says which ends of jobs are told to which topic.
    SetVaultNotifications,
    /// Tells the notification configuration.
    GetVaultNotifications,
    /// Removes the notification configuration.
    DeleteVaultNotifications,
    /// Sets the vault's access policy.
    SetVaultAccessPolicy,
    /// Tells the vault's access policy.
    GetVaultAccessPolicy,
    /// Removes the vault's access policy.
    DeleteVaultAccessPolicy,
    /// Puts a lock policy in force, for 24 hours unless it is completed.
    InitiateVaultLock,
    /// Makes the lock policy final.
    CompleteVaultLock,
    /// Takes a lock policy back that is not final.
    AbortVaultLock,
    /// Tells the lock policy and its state.
    GetVaultLock,
    /// Adds or replaces tags.
    AddTagsToVault,
    /// Removes tags.
    RemoveTagsFromVault,
    /// Lists the tags of a vault.
    ListTagsForVault,
    /// Stores an archive in one request.
    UploadArchive,
    /// Deletes an archive.
    DeleteArchive,
    /// Begins an archive in parts.
    InitiateMultipartUpload,
    /// Stores a part.
    UploadMultipartPart,
    /// Lists the parts of an upload.
    ListParts,
    /// Lists uploads in progress.
    ListMultipartUploads,
    /// Makes an archive of the parts.
    CompleteMultipartUpload,
    /// Discards an upload.
    AbortMultipartUpload,
    /// Starts a retrieval.
    InitiateJob,
    /// Tells of a job.
    DescribeJob,
    /// Lists the jobs of a vault.
    ListJobs,
    /// Reads what a job has made ready.
    GetJobOutput,
    /// Tells the account's data retrieval policy.
    GetDataRetrievalPolicy,
    /// Sets the account's data retrieval policy.
    SetDataRetrievalPolicy,
    /// Buys a unit of provisioned capacity.
    PurchaseProvisionedCapacity,
    /// Lists the units of provisioned capacity.
    ListProvisionedCapacity,
}

impl Operation {
    /// Whether the operation is about one vault; the others are about an account.
    #[must_use]
    pub const fn has_vault(self) -> bool {
        !matches!(
            self,
            Self::ListVaults
                | Self::GetDataRetrievalPolicy
                | Self::SetDataRetrievalPolicy
                | Self::PurchaseProvisionedCapacity
                | Self::ListProvisionedCapacity
        )
    }

    /// Whether only the owner's own account may ask for it ("Access Control"): the account of the path must be the caller's.
    #[must_use]
    pub const fn is_for_own_account(self) -> bool {
        !self.has_vault()
            || matches!(
                self,
                Self::CreateVault
                    | Self::InitiateVaultLock
                    | Self::CompleteVaultLock
                    | Self::AbortVaultLock
                    | Self::AddTagsToVault
                    | Self::RemoveTagsFromVault
                    | Self::ListTagsForVault
            )
    }

    /// Whether the body is the bytes of an archive or a part: streamed, and signed by its announced hash.
    #[must_use]
    pub const fn has_payload(self) -> bool {
        matches!(self, Self::UploadArchive | Self::UploadMultipartPart)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is not the name of an operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an operation of the service")]
pub struct UnknownOperation(pub String);

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(text: &str) -> Result<Self, UnknownOperation> {
        let known = Self::ALL.iter().find(|operation| operation.as_str() == text);
        known.copied().ok_or_else(|| UnknownOperation(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::Operation;

    #[test]
    fn there_are_33_operations_and_their_names_are_read_back() {
        assert_eq!(Operation::ALL.len(), 33);
        for operation in Operation::ALL {
            assert_eq!(operation.as_str().parse(), Ok(*operation));
            assert_eq!(operation.action(), format!("glacier:{operation}"));
        }
    }
}
