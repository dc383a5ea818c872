//! The Glacier wire, version 2012-06-01, without any wire: what server, engine and client must agree on.
//!
//! Everything here is pure: no runtime, no files, no sockets, no clock. Text from outside becomes a value only through
//! a `parse` that checks it, so a value that exists is valid everywhere.
//!
//! * What things are called: [`name`], [`id`], [`description`].
//! * What can be asked for: [`operation`].
//! * How much and where: [`limits`], [`part_size`], [`range`], [`timestamp`].
//! * Who asks: [`sigv4`].
//! * What is answered: [`error`], [`page`], [`vault`], [`upload`], [`job`], [`lock`], [`tags`], [`notification`].
//! * The list of a vault's archives as a document: [`inventory`].

pub mod capacity;
pub mod clock;
pub mod description;
pub mod error;
pub mod id;
pub mod inventory;
pub mod job;
pub mod limits;
pub mod lock;
pub mod name;
pub mod notification;
pub mod operation;
pub mod page;
pub mod part_size;
pub mod range;
pub mod retrieval_policy;
pub mod sigv4;
pub mod tags;
mod text;
pub mod timestamp;
pub mod topic;
pub mod upload;
pub mod user;
pub mod vault;

pub use capacity::CapacityUnit;
pub use clock::{Clock, ManualClock};
pub use description::{Description, InvalidDescription};
pub use error::{ErrorCode, ErrorKind, ServiceError, UnknownErrorCode};
pub use icefield_treehash::{LinearHash, ParseHashError, TreeHash};
pub use id::{
    ArchiveId, CapacityId, InvalidId, InvalidUploadToken, JobId, LockId, UploadId, UploadToken,
};
pub use inventory::{
    CsvInventoryWriter, InventoryError, InventoryHead, InventoryItem, JsonInventoryWriter,
    read_csv, read_json, shortened,
};
pub use job::{
    InventoryFormat, InventoryParameters, JobAction, JobDescription, JobRequest, JobStatus, Tier,
    UnknownWord,
};
pub use lock::{LockDescription, LockState};
pub use name::{
    AccountId, InvalidAccountId, InvalidRegion, InvalidVaultArn, InvalidVaultName, Region,
    VaultArn, VaultName,
};
pub use notification::{NotificationConfiguration, NotificationEvent};
pub use operation::{Operation, UnknownOperation};
pub use page::Page;
pub use part_size::{InvalidPartSize, PartSize};
pub use range::{ByteRange, InvalidRange};
pub use retrieval_policy::RetrievalPolicy;
pub use tags::{InvalidTag, TagKey, TagValue, Tags};
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use topic::{InvalidTopicArn, InvalidTopicName, TopicArn, TopicName};
pub use upload::{PartDescription, UploadDescription};
pub use user::{InvalidUserName, UserName};
pub use vault::VaultDescription;
