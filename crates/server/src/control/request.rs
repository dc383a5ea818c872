//! What can be asked, and what is answered.

use std::collections::BTreeMap;

use icefield_engine::Endpoint;
use icefield_protocol::{
    AccountId, ArchiveId, ErrorCode, Operation, Timestamp, TopicName, UserName, VaultName,
    sigv4::AccessKeyId,
};
use icefield_store::StoreStat;
use serde::{Deserialize, Serialize};

/// A command of the store's owner. Without an `account` the store's first one is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Make an account.
    CreateAccount,
    /// List accounts.
    ListAccounts,
    /// Make a user.
    CreateUser {
        /// Its account.
        account: Option<AccountId>,
        /// Its name.
        user: UserName,
    },
    /// List users.
    ListUsers {
        /// Their account.
        account: Option<AccountId>,
    },
    /// Remove a user with its policies and keys.
    DeleteUser {
        /// Its account.
        account: Option<AccountId>,
        /// Its name.
        user: UserName,
    },
    /// Show the policies of a user.
    UserPolicies {
        /// The user's account.
        account: Option<AccountId>,
        /// The user.
        user: UserName,
    },
    /// Give a user a policy.
    SetUserPolicy {
        /// The user's account.
        account: Option<AccountId>,
        /// The user.
        user: UserName,
        /// The policy's name.
        name: String,
        /// The document.
        text: String,
    },
    /// Take a policy from a user.
    RemoveUserPolicy {
        /// The user's account.
        account: Option<AccountId>,
        /// The user.
        user: UserName,
        /// The policy's name.
        name: String,
    },
    /// Make an access key.
    CreateKey {
        /// The account.
        account: Option<AccountId>,
        /// The user; without one the key is the account's root's.
        user: Option<UserName>,
        /// Length of a session in seconds; without one the key is for ever.
        session_seconds: Option<u64>,
    },
    /// List access keys of all accounts.
    ListKeys,
    /// Make an access key useless.
    RevokeKey {
        /// The key.
        access_key: AccessKeyId,
    },
    /// Add a destination to a topic.
    AddTopic {
        /// The topic's account.
        account: Option<AccountId>,
        /// The topic.
        topic: TopicName,
        /// The destination.
        to: Endpoint,
    },
    /// List topics with their destinations.
    ListTopics {
        /// Their account.
        account: Option<AccountId>,
    },
    /// Remove a topic, or one of its destinations.
    RemoveTopic {
        /// The topic's account.
        account: Option<AccountId>,
        /// The topic.
        topic: TopicName,
        /// The destination's ID.
        destination: Option<String>,
    },
    /// Send a test message to every destination of a topic.
    TestTopic {
        /// The topic's account.
        account: Option<AccountId>,
        /// The topic.
        topic: TopicName,
    },
    /// List messages that could not be delivered.
    ListDead,
    /// Try to deliver such a message again, or all of them.
    RetryDead {
        /// Its number; without one all are tried.
        number: Option<u64>,
    },
    /// Forget such a message.
    ForgetDead {
        /// Its number.
        number: u64,
    },
    /// Tell how a request would be decided.
    Simulate(Box<WhatIf>),
    /// Count and measure.
    Stat,
    /// Verify every byte, beside whatever else goes on.
    Scrub,
    /// Give the room of deleted archives in packs back, beside whatever else goes on.
    Compact,
}

impl Request {
    /// Whether it changes nothing.
    #[must_use]
    pub const fn only_tells(&self) -> bool {
        matches!(
            self,
            Self::ListAccounts
                | Self::ListUsers { .. }
                | Self::UserPolicies { .. }
                | Self::ListKeys
                | Self::ListTopics { .. }
                | Self::ListDead
                | Self::Simulate(_)
                | Self::Stat
                | Self::Scrub
        )
    }

    /// Whether it makes a store where there is none; the others have nothing to do without one.
    #[must_use]
    pub const fn makes_store(&self) -> bool {
        !self.only_tells() && !matches!(self, Self::Compact)
    }
}

/// A request that nobody has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhatIf {
    /// The caller's account.
    pub account: Option<AccountId>,
    /// The caller; without one it is the account's root.
    pub user: Option<UserName>,
    /// What it would ask for.
    #[serde(with = "as_name")]
    pub operation: Operation,
    /// The owner of what it would ask about; without one the caller's account.
    pub owner: Option<AccountId>,
    /// The vault.
    pub vault: Option<VaultName>,
    /// The archive.
    pub archive: Option<ArchiveId>,
    /// Condition keys of the request.
    #[serde(default)]
    pub context: BTreeMap<String, Vec<String>>,
}

mod as_name {
    //! Operations by their names.

    use icefield_protocol::Operation;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        operation: &Operation,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(operation.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Operation, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done,
    /// Accounts, one that was just made included.
    Accounts(Vec<AccountRecord>),
    /// Users, one that was just made included.
    Users(Vec<UserRecord>),
    /// Policies of a user by name.
    Policies(BTreeMap<String, String>),
    /// Keys. Only one that was just made has its secret.
    Keys(Vec<KeyRecord>),
    /// Topics, a destination a record.
    Topics(Vec<TopicRecord>),
    /// How many there were of what was asked for.
    Count(u64),
    /// Messages that could not be delivered.
    Dead(Vec<DeadRecord>),
    /// How a request would be decided.
    Decision(DecisionRecord),
    /// Counts and sizes.
    Stat(StatRecord),
    /// What a scrub has found.
    Scrub(ScrubRecord),
    /// Packs that were looked at by a compaction.
    Compacted(Vec<CompactedRecord>),
    /// It cannot be done.
    Refused(Refusal),
}

/// Why something cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The code, as the service would have it.
    pub code: String,
    /// In words.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl ToString) -> Self {
        Self { code: code.as_str().to_owned(), message: message.to_string() }
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// Its number.
    pub account: AccountId,
    /// When it was made.
    pub created: Timestamp,
    /// Whether the store was made with it.
    pub first: bool,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    /// Its name.
    pub user: UserName,
    /// Its account.
    pub account: AccountId,
    /// When it was made.
    pub created: Timestamp,
    /// Names of its policies.
    pub policies: Vec<String>,
}

/// An access key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The public half.
    pub access_key: AccessKeyId,
    /// The secret half, of one that was just made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<String>,
    /// What has to be sent with every request of a session, of one that was just made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<String>,
    /// The account it acts for.
    pub account: AccountId,
    /// The user it acts as; none is the account's root.
    pub user: Option<UserName>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends, if it is a session's.
    pub expires: Option<Timestamp>,
}

impl std::fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRecord").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// A destination of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicRecord {
    /// The topic's ARN.
    pub topic: String,
    /// The destination's ID.
    pub destination: String,
    /// Its kind: `webhook`, `email`, `sns` or `sqs`.
    pub kind: String,
    /// Its address.
    pub to: String,
    /// Whether messages go there: a web hook has to consent first.
    pub confirmed: bool,
}

/// A message that could not be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadRecord {
    /// Its number.
    pub number: u64,
    /// The topic's ARN.
    pub topic: String,
    /// The destination's ID.
    pub destination: String,
    /// When what it tells of happened.
    pub created: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last try failed.
    pub error: Option<String>,
    /// What it says.
    pub message: String,
}

/// How a request would be decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// Whether it is allowed.
    pub allowed: bool,
    /// By what, in words.
    pub decided_by: String,
    /// The caller's ARN.
    pub principal: String,
    /// The action.
    pub action: String,
}

/// What the store holds and what room it takes, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it; they are those of `icefield store stat`")]
pub struct StatRecord {
    pub store_id: String,
    pub account: AccountId,
    pub created: Timestamp,
    pub vaults: u64,
    pub archives: u64,
    pub size: u64,
    pub uploads: u64,
    pub jobs: u64,
    pub documents: u64,
    pub deliveries: u64,
    pub dead_deliveries: u64,
    pub pack_bytes: u64,
    pub file_bytes: u64,
    pub dead_bytes: u64,
}

impl From<StoreStat> for StatRecord {
    fn from(stat: StoreStat) -> Self {
        let StoreStat { identity, ledger, pack_bytes, file_bytes } = stat;
        Self {
            store_id: identity.store_id,
            account: identity.account,
            created: identity.created,
            vaults: ledger.vaults,
            archives: ledger.archives,
            size: ledger.bytes,
            uploads: ledger.uploads,
            jobs: ledger.jobs,
            documents: ledger.documents,
            deliveries: ledger.deliveries,
            dead_deliveries: ledger.dead_deliveries,
            pack_bytes,
            file_bytes,
            dead_bytes: ledger.dead_bytes,
        }
    }
}

/// What a scrub has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubRecord {
    /// Bytes that were read and verified.
    pub bytes: u64,
    /// What is not as it was stored: where, and what is wrong.
    pub problems: Vec<String>,
}

/// What a compaction has made of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactedRecord {
    /// The pack's number.
    pub pack: u32,
    /// By how many bytes it is shorter.
    pub freed_bytes: u64,
    /// Why it was left as it is; `None` if it was not.
    pub left_alone: Option<String>,
    /// Whether that is damage.
    pub damaged: bool,
    /// Whether it would have been compacted, had there been room and had the disk done as it was told.
    pub failed: bool,
}
