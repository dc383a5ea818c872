//! Jobs: what is asked for, and what is told about them.

use std::fmt;
use std::str::FromStr;

use icefield_treehash::TreeHash;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::description::{Description, none_if_empty};
use crate::id::{ArchiveId, JobId};
use crate::name::VaultArn;
use crate::range::ByteRange;
use crate::text::serde_as_text;
use crate::timestamp::Timestamp;

/// A word is not one of those that the service knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not {what}; known are {known}")]
pub struct UnknownWord {
    word: String,
    what: &'static str,
    known: &'static str,
}

/// Defines an enum whose variants are words of the wire.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, $known:literal,
     $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Returns the wire spelling.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(UnknownWord { word: word.to_owned(), what: $what, known: $known }),
                }
            }
        }

        serde_as_text!($name);
    };
}

words!(
    /// What a job does.
    JobAction, "a job action", "ArchiveRetrieval and InventoryRetrieval",
    /// Makes the bytes of an archive readable.
    ArchiveRetrieval = "ArchiveRetrieval",
    /// Writes the list of a vault's archives.
    InventoryRetrieval = "InventoryRetrieval",
);

words!(
    /// How far a job is.
    JobStatus, "a job status", "InProgress, Succeeded and Failed",
    /// Not finished.
    InProgress = "InProgress",
    /// Its output can be read.
    Succeeded = "Succeeded",
    /// It has no output, and will not have any.
    Failed = "Failed",
);

words!(
    /// How soon an archive is wanted.
    Tier, "a retrieval tier", "Expedited, Standard and Bulk",
    /// Minutes.
    Expedited = "Expedited",
    /// Hours.
    Standard = "Standard",
    /// Many hours, at the lowest price.
    Bulk = "Bulk",
);

words!(
    /// The form of an inventory.
    InventoryFormat, "an inventory format", "JSON and CSV",
    /// One JSON object.
    Json = "JSON",
    /// Lines with five fields.
    Csv = "CSV",
);

/// Which part of an inventory is asked for, and in which form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InventoryParameters {
    /// Archives created before this time only.
    #[serde(default)]
    pub end_date: Option<Timestamp>,
    /// The form of the output.
    #[serde(default = "json_format")]
    pub format: InventoryFormat,
    /// At most that many archives; a string on the wire, and a number is read too.
    #[serde(default, serialize_with = "limit_as_string", deserialize_with = "limit_from_any")]
    pub limit: Option<u64>,
    /// Where an earlier inventory stopped.
    #[serde(default)]
    pub marker: Option<String>,
    /// Archives created at or after this time only.
    #[serde(default)]
    pub start_date: Option<Timestamp>,
}

impl Default for InventoryParameters {
    /// The whole inventory, as JSON.
    fn default() -> Self {
        Self {
            end_date: None,
            format: InventoryFormat::Json,
            limit: None,
            marker: None,
            start_date: None,
        }
    }
}

const fn json_format() -> InventoryFormat {
    InventoryFormat::Json
}

fn limit_as_string<S: Serializer>(limit: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    match limit {
        Some(limit) => serializer.collect_str(limit),
        None => serializer.serialize_none(),
    }
}

fn limit_from_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Limit {
        Number(u64),
        Text(String),
    }
    Ok(match Option::deserialize(deserializer)? {
        None => None,
        Some(Limit::Number(limit)) => Some(limit),
        Some(Limit::Text(text)) => Some(text.parse().map_err(serde::de::Error::custom)?),
    })
}

/// A job that is asked for ("Initiate Job (POST jobs)").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobRequest {
    /// Make an archive readable.
    Archive {
        /// The archive.
        archive: ArchiveId,
        /// The part of it that is wanted, aligned to MiB; `None` is the whole.
        range: Option<ByteRange>,
        /// How soon.
        tier: Tier,
        /// A text that comes back with the job.
        description: Option<Description>,
        /// The topic to be told when the job is done.
        sns_topic: Option<String>,
    },
    /// Write an inventory.
    Inventory {
        /// Which part, and in which form.
        parameters: InventoryParameters,
        /// A text that comes back with the job.
        description: Option<Description>,
        /// The topic to be told when the job is done.
        sns_topic: Option<String>,
    },
}

impl JobRequest {
    /// Returns the archive of a retrieval.
    #[must_use]
    pub const fn archive(&self) -> Option<&ArchiveId> {
        match self {
            Self::Archive { archive, .. } => Some(archive),
            Self::Inventory { .. } => None,
        }
    }
}

/// A job as described ("Describe Job (GET JobID)").
///
/// What does not apply to a job is `null` on the wire, never absent: old clients index every member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct JobDescription {
    /// What the job does.
    pub action: JobAction,
    /// The archive; `None` for an inventory.
    #[serde(default)]
    pub archive_id: Option<ArchiveId>,
    /// Tree hash of the whole archive, also when only a range was asked for.
    #[serde(rename = "ArchiveSHA256TreeHash", default)]
    pub archive_tree_hash: Option<TreeHash>,
    /// Size of the whole archive, also when only a range was asked for.
    #[serde(default)]
    pub archive_size_in_bytes: Option<u64>,
    /// Whether the job has ended, well or not.
    pub completed: bool,
    /// When it ended.
    #[serde(default)]
    pub completion_date: Option<Timestamp>,
    /// When it was asked for.
    pub creation_date: Timestamp,
    /// What was asked for; `None` for an archive.
    #[serde(default)]
    pub inventory_retrieval_parameters: Option<InventoryParameters>,
    /// Size of the inventory, once there is one.
    #[serde(default)]
    pub inventory_size_in_bytes: Option<u64>,
    /// The text that came with the request.
    #[serde(rename = "JobDescription", default, deserialize_with = "none_if_empty")]
    pub description: Option<Description>,
    /// The job.
    pub job_id: JobId,
    /// Of retired select jobs only.
    #[serde(default)]
    pub job_output_path: Option<String>,
    /// Where the inventory stopped, when it was limited and there is more.
    #[serde(default)]
    pub next_inventory_retrieval_marker: Option<String>,
    /// Of retired select jobs only.
    #[serde(default)]
    pub output_location: Option<serde_json::Value>,
    /// The bytes of the archive that the output has; the whole archive when no range was asked for.
    #[serde(default)]
    pub retrieval_byte_range: Option<ByteRange>,
    /// Of retired select jobs only.
    #[serde(default)]
    pub select_parameters: Option<serde_json::Value>,
    /// Tree hash of the output; `None` when its range is no node of the archive's tree.
    #[serde(rename = "SHA256TreeHash", default)]
    pub tree_hash: Option<TreeHash>,
    /// The topic that is told when the job is done.
    #[serde(rename = "SNSTopic", default)]
    pub sns_topic: Option<String>,
    /// How far the job is.
    pub status_code: JobStatus,
    /// The same in words, or why it failed.
    #[serde(default)]
    pub status_message: Option<String>,
    /// How soon the archive was wanted; `None` for an inventory.
    #[serde(default)]
    pub tier: Option<Tier>,
    /// The vault.
    #[serde(rename = "VaultARN")]
    pub vault_arn: VaultArn,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_str, from_value, json, to_value};

    use super::{InventoryParameters, JobDescription, JobStatus, Tier};

    #[test]
    fn an_archive_job_has_every_member_and_explicit_nulls() {
        let hash = "9628195fcdbcbbe76cdde932d4646fa7de5f219fb39823836d81f0cc0e18aa67";
        let job = json!({
            "Action": "ArchiveRetrieval",
            "ArchiveId": "NkbByEejwEggmBz2fTHgJrg0XBoDfjP4q6iu87",
            "ArchiveSHA256TreeHash": hash,
            "ArchiveSizeInBytes": 16_777_216,
            "Completed": false,
            "CompletionDate": null,
            "CreationDate": "2012-05-15T17:21:39.339Z",
            "InventoryRetrievalParameters": null,
            "InventorySizeInBytes": null,
            "JobDescription": "My ArchiveRetrieval Job",
            "JobId": "HkF9p6o7yjhFx-K3CGl6fuSm6VzW9T7esGQfco8nUXVYwS0jlb5gq1JZ55yHgt5vP54ZShjoQzQVVh7vEXAMPLEjobID",
            "JobOutputPath": null,
            "NextInventoryRetrievalMarker": null,
            "OutputLocation": null,
            "RetrievalByteRange": "0-16777215",
            "SelectParameters": null,
            "SHA256TreeHash": hash,
            "SNSTopic": "arn:aws:sns:us-west-2:012345678901:mytopic",
            "StatusCode": "InProgress",
            "StatusMessage": "Operation in progress.",
            "Tier": "Bulk",
            "VaultARN": "arn:aws:glacier:us-west-2:012345678901:vaults/examplevault",
        });
        let read: JobDescription = from_value(job.clone()).unwrap();
        assert_eq!((read.status_code, read.tier), (JobStatus::InProgress, Some(Tier::Bulk)));
        assert_eq!(to_value(&read).unwrap(), job);

        let mut empty = job.clone();
        empty["JobDescription"] = json!("");
        assert_eq!(from_value::<JobDescription>(empty).unwrap().description, None);

        let present: serde_json::Map<String, Value> = job
            .as_object()
            .unwrap()
            .clone()
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect();
        assert_eq!(
            from_value::<JobDescription>(Value::Object(present)).unwrap(),
            read,
            "absent members are null"
        );
    }

    #[test]
    fn inventory_parameters_write_the_limit_as_a_string_and_read_both() {
        let text = r#"{"EndDate":null,"Format":"CSV","Limit":"10000","Marker":null,"StartDate":"2013-03-20T17:03:43.000Z"}"#;
        let read: InventoryParameters = from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!(from_str::<InventoryParameters>(r#"{"Limit":5}"#).unwrap().limit, Some(5));
        assert_eq!(from_str::<InventoryParameters>("{}").unwrap(), InventoryParameters::default());
        assert!(from_str::<InventoryParameters>(r#"{"Limit":"-1"}"#).is_err());
    }

    #[test]
    fn an_unknown_word_is_refused_with_the_known_ones() {
        let message = "finished".parse::<JobStatus>().unwrap_err().to_string();
        assert_eq!(
            message,
            "\"finished\" is not a job status; known are InProgress, Succeeded and Failed"
        );
        assert!("standard".parse::<Tier>().is_err(), "words are case-sensitive");
    }
}
