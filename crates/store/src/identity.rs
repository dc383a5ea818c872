//! Who a store is, and the keys that seal its IDs: `store.json` and `keys.json`.
//!
//! Both are JSON whose last line but one is a check: the SHA-256 of everything before that line. So every bit of them is
//! covered, and `head -n -2 store.json | sha256sum` shows the same digits. The format number stays readable like this in all
//! future formats.

use std::{fmt, path::Path, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use icefield_protocol::{AccountId, Region, Timestamp};
use icefield_treehash::TreeHash;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    error::StoreError,
    layout::{IDENTITY_FILE, KEYS_FILE},
    payload::disk::{
        fenced::{Disk, damaged},
        volume::Folder,
    },
    random::random,
};

/// The newest format of a store that this version reads, and the one it writes.
pub const FORMAT: u32 = 1;

/// Longest such file in bytes.
const MAX_FILE_BYTES: usize = 1 << 20;

/// Who a store is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Format of the folder.
    pub format: u32,
    /// 32 hex digits, random.
    pub store_id: String,
    /// The first account.
    pub account: AccountId,
    /// When the store was created.
    pub created: Timestamp,
    /// The region it answers for, once it was served with one.
    pub region: Option<Region>,
}

impl Identity {
    /// Makes up a new store.
    pub(crate) fn generate(created: Timestamp) -> Self {
        let store_id = format!("{:032x}", u128::from_be_bytes(random()));
        let digits = u64::from_be_bytes(random()) % 1_000_000_000_000;
        let account = AccountId::parse(&format!("{digits:012}")).expect("twelve digits");
        Self { format: FORMAT, store_id, account, created, region: None }
    }

    /// Reads who the store in `dir` is, without taking it: also while another process owns it. `None` where there is none.
    ///
    /// # Errors
    ///
    /// `NewerFormat`, and `Damaged` when its check fails.
    pub fn of(dir: &Path) -> Result<Option<Self>, StoreError> {
        Self::read(&Disk::new(Arc::new(Folder::new(dir))))
    }

    pub(crate) fn read(disk: &Disk) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = disk.read_small(IDENTITY_FILE, MAX_FILE_BYTES)? else { return Ok(None) };
        let format: Format = checked(IDENTITY_FILE, &bytes)?;
        if format.format > FORMAT {
            let path = disk.volume().root().to_owned();
            return Err(StoreError::NewerFormat { path, found: format.format, supported: FORMAT });
        }
        checked(IDENTITY_FILE, &bytes).map(Some)
    }

    pub(crate) fn write(&self, disk: &Disk) -> Result<(), StoreError> {
        publish(disk, IDENTITY_FILE, self)
    }
}

/// The part of the identity that every format has.
#[derive(Debug, Deserialize)]
struct Format {
    format: u32,
}

/// The keys that seal IDs. Old ones stay valid; new IDs use the newest.
#[derive(Clone)]
pub struct IdKeys {
    keys: Vec<IdKey>,
}

#[derive(Clone)]
struct IdKey {
    number: u16,
    key: [u8; 32],
    created: Timestamp,
}

impl IdKeys {
    /// Makes up the first key.
    pub(crate) fn generate(created: Timestamp) -> Self {
        Self { keys: vec![IdKey { number: 1, key: random(), created }] }
    }

    /// Returns number and key for new IDs.
    pub fn newest(&self) -> (u16, &[u8; 32]) {
        let newest = self.keys.iter().max_by_key(|key| key.number);
        newest.map(|key| (key.number, &key.key)).expect("a store has at least one key")
    }

    /// Returns the key of an ID that names this number.
    pub fn by_number(&self, number: u16) -> Option<&[u8; 32]> {
        self.keys.iter().find(|key| key.number == number).map(|key| &key.key)
    }

    /// Reads the keys of a store, `None` where there are none.
    pub(crate) fn read(disk: &Disk) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = disk.read_small(KEYS_FILE, MAX_FILE_BYTES)? else { return Ok(None) };
        let file: KeysFile = checked(KEYS_FILE, &bytes)?;
        let keys = file.keys.into_iter().map(|key| {
            let bytes: TreeHash = key.key.parse().ok()?;
            Some(IdKey { number: key.number, key: *bytes.as_bytes(), created: key.created })
        });
        let keys: Option<Vec<IdKey>> = keys.collect();
        match keys {
            Some(keys) if !keys.is_empty() => Ok(Some(Self { keys })),
            _ => Err(damaged(KEYS_FILE, "no keys in it, or one that is not 64 hex digits")),
        }
    }

    pub(crate) fn write(&self, disk: &Disk) -> Result<(), StoreError> {
        let keys = self.keys.iter().map(|key| KeyLine {
            number: key.number,
            key: TreeHash::from_bytes(key.key).to_string(),
            created: key.created,
        });
        publish(disk, KEYS_FILE, &KeysFile { keys: keys.collect() })
    }
}

impl fmt::Debug for IdKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| key.number)).finish()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysFile {
    keys: Vec<KeyLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyLine {
    number: u16,
    key: String,
    created: Timestamp,
}

/// Writes the JSON of `value` with its check.
fn publish(disk: &Disk, path: &str, value: &impl Serialize) -> Result<(), StoreError> {
    disk.writable()?;
    let text = with_check(value);
    let published = disk.volume().publish(path, text.as_bytes());
    published.map_err(|error| disk.failed("writing", path, error))
}

fn with_check(value: &impl Serialize) -> String {
    let json = serde_json::to_string_pretty(value).expect("plain data");
    let fields = json.strip_suffix("\n}").expect("an object with fields ends like this");
    let covered = format!("{fields},\n");
    let check = check_of(covered.as_bytes());
    format!("{covered}{check}")
}

/// The last two lines: the check of what stands before them.
fn check_of(covered: &[u8]) -> String {
    let hash: String =
        digest(&SHA256, covered).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("  \"check\": \"{hash}\"\n}}\n")
}

/// Reads JSON that [`with_check`] wrote; a changed bit anywhere is damage.
fn checked<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, StoreError> {
    let check_len = check_of(b"").len();
    let (covered, check) = bytes.split_at(bytes.len().saturating_sub(check_len));
    if check != check_of(covered).as_bytes() {
        return Err(damaged(path, "its check does not fit"));
    }
    // What is covered is an object without its end: `{ ... ,\n`.
    let fields = covered.strip_suffix(b",\n").unwrap_or(covered);
    let json = [fields, b"}".as_slice()].concat();
    serde_json::from_slice(&json).map_err(|error| damaged(path, error.to_string()))
}
