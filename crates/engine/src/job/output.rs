//! What a job's output is: which bytes, of how many, with which hash ("Get Job Output (GET output)").

use std::fmt;

use icefield_protocol::{ByteRange, Description, InventoryFormat, JobId, JobStatus, Operation};
use icefield_store::ledger::{JobKind, JobRow};
use icefield_treehash::{TreeHash, range::is_tree_aligned};

use super::read::{OutputReader, StoredBytes};
use crate::{access::Access, engine::Engine, error::EngineError};

/// Bytes of an output that are asked for, before its length is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestedRange {
    /// From the first to the last, both included; an end beyond the output is clamped.
    FromTo(u64, u64),
    /// From here to the end.
    From(u64),
    /// The last so many.
    Last(u64),
}

impl RequestedRange {
    /// Resolves the range against `total` bytes, as RFC 2616 has it.
    fn resolve(self, total: u64) -> Result<ByteRange, EngineError> {
        let end = total.saturating_sub(1);
        let (first, last) = match self {
            Self::FromTo(first, last) => (first, last),
            Self::From(first) => (first, end),
            Self::Last(0) => (total, end),
            Self::Last(count) => (total.saturating_sub(count), end),
        };
        if first >= total || last < first {
            return Err(EngineError::InvalidOutputRange { requested: self.to_string(), total });
        }
        Ok(ByteRange { first, last: last.min(end) })
    }
}

impl fmt::Display for RequestedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromTo(first, last) => write!(f, "bytes={first}-{last}"),
            Self::From(first) => write!(f, "bytes={first}-"),
            Self::Last(count) => write!(f, "bytes=-{count}"),
        }
    }
}

/// The output of a job, or a range of it.
#[derive(Debug)]
pub struct JobOutput {
    /// Length of the whole output in bytes.
    pub total: u64,
    /// The bytes of the output that [`reader`](Self::reader) yields.
    pub range: ByteRange,
    /// Tree hash of exactly these bytes, for archives and aligned ranges.
    pub tree_hash: Option<TreeHash>,
    /// Description of the archive.
    pub description: Option<Description>,
    /// Media type.
    pub content_type: &'static str,
    /// The bytes.
    pub reader: OutputReader,
}

impl Engine {
    /// Opens the output of a succeeded job, whole or a range of it.
    ///
    /// # Errors
    ///
    /// `VaultNotFound`; `JobNotFound`, also for an expired job; `JobNotAvailable` for one in progress or failed;
    /// `InvalidOutputRange` when the range has no byte of the output; `Damaged` when the hash of a range cannot be told
    /// from what is stored; `TooManyOutputs` when those that are being read need all the memory there is for them.
    pub async fn job_output(
        &self,
        access: &Access,
        id: &JobId,
        range: Option<RequestedRange>,
    ) -> Result<JobOutput, EngineError> {
        let vault = self.vault(access, Operation::GetJobOutput).await?;
        let row = self.job(&vault, id).await?;
        if row.status != JobStatus::Succeeded {
            return Err(EngineError::JobNotAvailable(id.clone()));
        }
        match row.kind {
            JobKind::Archive { archive, range: (first, last), .. } => {
                let archive = self.store().ledger().archive(archive).await?;
                let archive = archive
                    .ok_or_else(|| EngineError::unexpected("finding the archive of a job", id))?;
                let job_range = ByteRange { first, last };
                let total = job_range.len();
                let range = resolved(range, total)?;
                let absolute = ByteRange { first: first + range.first, last: first + range.last };
                let bytes = self.stored_bytes(&archive).await?;
                let aligned = is_tree_aligned(archive.size, first, last)
                    && is_tree_aligned(total, range.first, range.last);
                let tree_hash =
                    if aligned { Some(bytes.tree_hash(self, absolute).await?) } else { None };
                Ok(JobOutput {
                    total,
                    range,
                    tree_hash,
                    description: archive.description,
                    content_type: "application/octet-stream",
                    reader: bytes.read(self, absolute)?,
                })
            }
            JobKind::Inventory { format, .. } => {
                let (total, bytes) = inventory_bytes(&row, id)?;
                let range = resolved(range, total)?;
                Ok(JobOutput {
                    total,
                    range,
                    tree_hash: None,
                    description: None,
                    content_type: match format {
                        InventoryFormat::Json => "application/json",
                        InventoryFormat::Csv => "text/csv",
                    },
                    reader: bytes.read(self, range)?,
                })
            }
        }
    }
}

fn resolved(range: Option<RequestedRange>, total: u64) -> Result<ByteRange, EngineError> {
    range.unwrap_or(RequestedRange::From(0)).resolve(total)
}

fn inventory_bytes(row: &JobRow, id: &JobId) -> Result<(u64, StoredBytes), EngineError> {
    let output = row.output.ok_or_else(|| EngineError::unexpected("finding an inventory", id))?;
    let bytes = StoredBytes::of_file(format!("the output of job {id}"), output.extent);
    Ok((output.extent.size, bytes))
}

#[cfg(test)]
mod tests {
    use icefield_protocol::ByteRange;

    use super::RequestedRange::{From, FromTo, Last};

    #[test]
    fn ranges_are_clamped_to_the_output_or_refused() {
        let whole = ByteRange { first: 0, last: 9 };
        for (asked, first, last) in [
            (FromTo(0, 9), 0, 9),
            (FromTo(4, 400), 4, 9),
            (FromTo(9, 9), 9, 9),
            (From(3), 3, 9),
            (Last(4), 6, 9),
            (Last(400), 0, 9),
        ] {
            assert_eq!(asked.resolve(10).unwrap(), ByteRange { first, last }, "{asked}");
        }
        assert_eq!(From(0).resolve(whole.len()).unwrap(), whole);
        for asked in [FromTo(10, 12), FromTo(5, 4), From(10), Last(0)] {
            let message = asked.resolve(10).unwrap_err().to_string();
            assert_eq!(message, format!("Invalid Range: {asked} of an output of 10 bytes"));
        }
    }
}
