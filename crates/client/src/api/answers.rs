//! The pages and documents that answers hold.

use icefield_protocol::{
    CapacityUnit, JobDescription, PartDescription, RetrievalPolicy, Tags, UploadDescription,
    VaultDescription,
};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VaultList {
    #[serde(default)]
    pub(super) marker: Option<String>,
    pub(super) vault_list: Vec<VaultDescription>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PartList {
    #[serde(default)]
    pub(super) marker: Option<String>,
    pub(super) parts: Vec<PartDescription>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UploadList {
    #[serde(default)]
    pub(super) marker: Option<String>,
    pub(super) uploads_list: Vec<UploadDescription>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct JobList {
    #[serde(default)]
    pub(super) marker: Option<String>,
    pub(super) job_list: Vec<JobDescription>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagList {
    pub(super) tags: Tags,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VaultPolicy {
    pub(super) policy: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AccountPolicy {
    pub(super) policy: RetrievalPolicy,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CapacityList {
    #[serde(default)]
    pub(super) provisioned_capacity_list: Vec<CapacityUnit>,
}
