//! What a dry run would do, as records: the same field `would` in every command.

use icefield_client::{CatalogPath, price::Cost};
use icefield_protocol::ArchiveId;
use serde::Serialize;

use crate::{
    commands::list::path_base64,
    cost::{CostRecord, dollars},
    output::{Record, size},
};

/// One thing that a command without `--dry-run` does.
#[derive(Debug, Serialize)]
pub(crate) struct WouldRecord {
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    archive_id: Option<String>,
    size: Option<u64>,
    would: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// The last record, where somebody charges: `would` is `pay` then.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd_per_month: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<CostRecord>,
}

impl WouldRecord {
    pub(crate) fn new(would: &'static str, path: Option<&CatalogPath>) -> Self {
        Self {
            path: path.map(|path| path.to_lossy().into_owned()),
            path_base64: path.and_then(path_base64),
            archive_id: None,
            size: None,
            would,
            why: None,
            cost_usd: None,
            cost_usd_per_month: None,
            cost: None,
        }
    }

    /// What all of it costs.
    pub(crate) fn pay(cost: &Cost) -> Self {
        Self {
            cost_usd: Some(dollars(cost.once())),
            cost_usd_per_month: Some(dollars(cost.per_month())),
            cost: Some(CostRecord::of(cost)),
            ..Self::new("pay", None)
        }
    }

    pub(crate) fn archive(self, archive: &ArchiveId) -> Self {
        Self { archive_id: Some(archive.to_string()), ..self }
    }

    pub(crate) fn size(self, size: Option<u64>) -> Self {
        Self { size, ..self }
    }

    pub(crate) fn why(self, why: &str) -> Self {
        Self { why: Some(why.to_owned()), ..self }
    }
}

impl Record for WouldRecord {
    const COLUMNS: &'static [&'static str] = &[
        "path",
        "path_base64",
        "archive_id",
        "size",
        "would",
        "why",
        "cost_usd",
        "cost_usd_per_month",
    ];
    const HEADINGS: &'static [&'static str] = &["WOULD", "SIZE", "PATH", "WHY"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.would.to_owned(),
            self.size.map(size).unwrap_or_default(),
            self.path.clone().or_else(|| self.archive_id.clone()).unwrap_or_default(),
            self.why.clone().unwrap_or_default(),
        ]
    }
}
