//! What is told about a multipart upload and its parts.

use icefield_treehash::TreeHash;
use serde::{Deserialize, Serialize};

use crate::description::{Description, none_if_empty};
use crate::id::UploadId;
use crate::name::VaultArn;
use crate::part_size::PartSize;
use crate::range::ByteRange;
use crate::timestamp::Timestamp;

/// A multipart upload in progress ("List Multipart Uploads (GET multipart-uploads)").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadDescription {
    /// The description that the archive will have.
    #[serde(rename = "ArchiveDescription", default, deserialize_with = "none_if_empty")]
    pub description: Option<Description>,
    /// When the upload was begun.
    #[serde(rename = "CreationDate")]
    pub creation_date: Timestamp,
    /// The upload.
    #[serde(rename = "MultipartUploadId")]
    pub upload_id: UploadId,
    /// The size of every part but the last.
    #[serde(rename = "PartSizeInBytes")]
    pub part_size: PartSize,
    /// The vault that the archive will be in.
    #[serde(rename = "VaultARN")]
    pub vault_arn: VaultArn,
}

/// A part that was received completely ("List Parts (GET uploadID)").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartDescription {
    /// Where the part lies in the archive.
    #[serde(rename = "RangeInBytes")]
    pub range: ByteRange,
    /// The tree hash of the part.
    #[serde(rename = "SHA256TreeHash")]
    pub tree_hash: TreeHash,
}

#[cfg(test)]
mod tests {
    use super::{PartDescription, UploadDescription};

    #[test]
    fn uploads_and_parts_have_the_wire_form() {
        let upload = r#"{"ArchiveDescription":null,"CreationDate":"2012-03-19T23:20:59.130Z","MultipartUploadId":"OW2fM5iVylEpFEMM9_HpKowRapC3vn5sSL39_396UW9zLFUWVrnRHaPjUJddQ5OxSHVXjYtrN47NBZ-khxOjyEXAMPLE","PartSizeInBytes":4194304,"VaultARN":"arn:aws:glacier:us-west-2:012345678901:vaults/demo1-vault"}"#;
        let read: UploadDescription = serde_json::from_str(upload).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), upload);

        let part = r#"{"RangeInBytes":"4194304-8388607","SHA256TreeHash":"0195875365afda349fc21c84c099987164d4bc63dd1a7c0f6d2d9bc5c2a1f1b7"}"#;
        let read: PartDescription = serde_json::from_str(part).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), part);
        assert_eq!(read.range.len(), 4_194_304);
    }
}
