//! IDs as sealed records: an ID names its vault and row to the engine, and nothing to anybody else.
//!
//! ```text
//! version 1 | key number 2 | nonce 12 | sealed: vault 8, number 8, salt 16, zeros | tag 16
//! ```
//!
//! Written as base64url without padding: 138 characters for an archive, 92 for a job or an upload, as clients expect.
//! The version makes the first character `A`, so an ID never begins with `-`. The nonce is the salt's beginning, so
//! the ledger keeps only [`IdSeal`] (key number and salt) and the ID is made again from it. AES-256-GCM-SIV stays safe
//! should a nonce repeat. What the ID is of is in the associated data, so one kind is refused in the place of another.
//!
//! Inventory markers are sealed in the same way.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey},
    error::Unspecified,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use icefield_protocol::{ArchiveId, JobId, Timestamp, UploadId};
use icefield_store::{
    IdSeal,
    entry::{ArchiveNumber, JobNumber, UploadNumber, VaultNumber},
};

use crate::error::EngineError;

const VERSION: u8 = 1;
const HEADER_LEN: usize = 3;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const ARCHIVE_LEN: usize = 72;
const SHORT_LEN: usize = 38;
const MARKER_LEN: usize = 32;

/// Fills a buffer with random bytes; injected, so that a simulation can repeat itself.
pub(crate) type FillRandom = fn(&mut [u8]) -> Result<(), Unspecified>;

/// What an ID says once it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opened<N> {
    pub(crate) vault: VaultNumber,
    pub(crate) number: N,
    /// To be compared with the row's: numbers may be used again by a ledger that was rebuilt.
    pub(crate) seal: IdSeal,
}

/// Where an inventory goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InventoryMarker {
    pub(crate) vault: VaultNumber,
    /// The snapshot: write counter and date.
    pub(crate) writes: u64,
    pub(crate) date: Timestamp,
    /// The last archive that was listed.
    pub(crate) after: ArchiveNumber,
}

/// Makes and opens IDs and markers with the store's keys.
pub(crate) struct Sealer {
    keys: BTreeMap<u16, LessSafeKey>,
    newest: u16,
    fill: FillRandom,
}

impl Sealer {
    /// Takes the keys of the store; the highest number seals what is new.
    ///
    /// # Errors
    ///
    /// Without any key.
    pub(crate) fn new(
        keys: impl IntoIterator<Item = (u16, [u8; 32])>,
        fill: FillRandom,
    ) -> Result<Self, EngineError> {
        let keys: BTreeMap<u16, LessSafeKey> = keys
            .into_iter()
            .map(|(number, key)| {
                let key = UnboundKey::new(&AES_256_GCM_SIV, &key).expect("the key has 32 bytes");
                (number, LessSafeKey::new(key))
            })
            .collect();
        let newest = *keys.keys().next_back().ok_or(EngineError::KeyMissing(1))?;
        Ok(Self { keys, newest, fill })
    }

    /// Returns what a new ID is made from: the newest key and a random salt.
    pub(crate) fn new_seal(&self) -> Result<IdSeal, EngineError> {
        let mut salt = [0; 16];
        (self.fill)(&mut salt).map_err(|Unspecified| EngineError::NoRandomness)?;
        Ok(IdSeal { key: self.newest, salt })
    }

    pub(crate) fn archive(
        &self,
        seal: &IdSeal,
        vault: VaultNumber,
        number: ArchiveNumber,
    ) -> Result<ArchiveId, EngineError> {
        let text = self.id::<ARCHIVE_LEN>(b"archive", seal, vault, number.0)?;
        Ok(ArchiveId::parse(&text).expect("base64url is the alphabet of IDs"))
    }

    pub(crate) fn upload(
        &self,
        seal: &IdSeal,
        vault: VaultNumber,
        number: UploadNumber,
    ) -> Result<UploadId, EngineError> {
        let text = self.id::<SHORT_LEN>(b"upload", seal, vault, number.0)?;
        Ok(UploadId::parse(&text).expect("base64url is the alphabet of IDs"))
    }

    pub(crate) fn job(
        &self,
        seal: &IdSeal,
        vault: VaultNumber,
        number: JobNumber,
    ) -> Result<JobId, EngineError> {
        let text = self.id::<SHORT_LEN>(b"job", seal, vault, number.0)?;
        Ok(JobId::parse(&text).expect("base64url is the alphabet of IDs"))
    }

    pub(crate) fn open_archive(&self, text: &str) -> Option<Opened<ArchiveNumber>> {
        self.open_id::<ARCHIVE_LEN, _>(b"archive", text, ArchiveNumber)
    }

    pub(crate) fn open_upload(&self, text: &str) -> Option<Opened<UploadNumber>> {
        self.open_id::<SHORT_LEN, _>(b"upload", text, UploadNumber)
    }

    pub(crate) fn open_job(&self, text: &str) -> Option<Opened<JobNumber>> {
        self.open_id::<SHORT_LEN, _>(b"job", text, JobNumber)
    }

    /// Writes a marker with the key of the job it belongs to. The same marker has always the same text (its nonce is
    /// constant, which this cipher bears), so that a job can tell the marker of its request again.
    pub(crate) fn marker(&self, key: u16, marker: &InventoryMarker) -> Result<String, EngineError> {
        let mut plain = [0; MARKER_LEN];
        plain[..8].copy_from_slice(&marker.vault.0.to_be_bytes());
        plain[8..16].copy_from_slice(&marker.writes.to_be_bytes());
        plain[16..24].copy_from_slice(&marker.date.unix_millis().to_be_bytes());
        plain[24..].copy_from_slice(&marker.after.0.to_be_bytes());
        self.seal(b"inventory marker", key, [0; NONCE_LEN], &plain)
    }

    pub(crate) fn open_marker(&self, text: &str) -> Option<InventoryMarker> {
        let (_, nonce, plain) = self.open::<MARKER_LEN>(b"inventory marker", text)?;
        (nonce == [0; NONCE_LEN]).then(|| InventoryMarker {
            vault: VaultNumber(number_at(&plain, 0)),
            writes: number_at(&plain, 8),
            date: Timestamp::from_unix_millis(number_at(&plain, 16).cast_signed()),
            after: ArchiveNumber(number_at(&plain, 24)),
        })
    }

    fn id<const LEN: usize>(
        &self,
        kind: &[u8],
        seal: &IdSeal,
        vault: VaultNumber,
        number: u64,
    ) -> Result<String, EngineError> {
        let mut plain = [0; LEN];
        plain[..8].copy_from_slice(&vault.0.to_be_bytes());
        plain[8..16].copy_from_slice(&number.to_be_bytes());
        plain[16..32].copy_from_slice(&seal.salt);
        self.seal(kind, seal.key, nonce_of(&seal.salt), &plain)
    }

    fn open_id<const LEN: usize, N>(
        &self,
        kind: &[u8],
        text: &str,
        named: fn(u64) -> N,
    ) -> Option<Opened<N>> {
        let (key, nonce, plain) = self.open::<LEN>(kind, text)?;
        let mut salt = [0; 16];
        salt.copy_from_slice(&plain[16..32]);
        // Only the one spelling that is made again from the row counts.
        let genuine = nonce == nonce_of(&salt) && plain[32..].iter().all(|&byte| byte == 0);
        genuine.then(|| Opened {
            vault: VaultNumber(number_at(&plain, 0)),
            number: named(number_at(&plain, 8)),
            seal: IdSeal { key, salt },
        })
    }

    fn seal(
        &self,
        kind: &[u8],
        key: u16,
        nonce: [u8; NONCE_LEN],
        plain: &[u8],
    ) -> Result<String, EngineError> {
        let cipher = self.keys.get(&key).ok_or(EngineError::KeyMissing(key))?;
        let mut sealed = plain.to_vec();
        cipher
            .seal_in_place_append_tag(Nonce::from(&nonce), Aad::from(kind), &mut sealed)
            .expect("a few bytes can be sealed");
        let mut record = Vec::with_capacity(HEADER_LEN + NONCE_LEN + sealed.len());
        record.push(VERSION);
        record.extend_from_slice(&key.to_be_bytes());
        record.extend_from_slice(&nonce);
        record.extend_from_slice(&sealed);
        Ok(URL_SAFE_NO_PAD.encode(record))
    }

    fn open<const LEN: usize>(
        &self,
        kind: &[u8],
        text: &str,
    ) -> Option<(u16, [u8; NONCE_LEN], [u8; LEN])> {
        let mut record = URL_SAFE_NO_PAD.decode(text).ok()?;
        if record.len() != HEADER_LEN + NONCE_LEN + LEN + TAG_LEN || record[0] != VERSION {
            return None;
        }
        let key = u16::from_be_bytes([record[1], record[2]]);
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&record[HEADER_LEN..HEADER_LEN + NONCE_LEN]);
        let sealed = &mut record[HEADER_LEN + NONCE_LEN..];
        let cipher = self.keys.get(&key)?;
        let plain = cipher.open_in_place(Nonce::from(&nonce), Aad::from(kind), sealed).ok()?;
        let plain = <[u8; LEN]>::try_from(&*plain).ok()?;
        Some((key, nonce, plain))
    }
}

impl fmt::Debug for Sealer {
    /// Shows no key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("newest", &self.newest).finish_non_exhaustive()
    }
}

fn nonce_of(salt: &[u8; 16]) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce.copy_from_slice(&salt[..NONCE_LEN]);
    nonce
}

fn number_at(plain: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&plain[at..at + 8]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use icefield_protocol::Timestamp;
    use icefield_store::entry::{ArchiveNumber, JobNumber, UploadNumber, VaultNumber};

    use super::{InventoryMarker, Sealer};
    use crate::error::EngineError;

    const VAULT: VaultNumber = VaultNumber(7);

    fn sealer(keys: &[u16]) -> Sealer {
        let keys = keys.iter().map(|&number| (number, [number.to_be_bytes()[1]; 32]));
        Sealer::new(keys, aws_lc_rs::rand::fill).unwrap()
    }

    #[test]
    fn ids_have_the_lengths_of_the_service_and_never_begin_with_a_hyphen() {
        let ids = sealer(&[1]);
        for number in 0..200 {
            let seal = ids.new_seal().unwrap();
            let archive = ids.archive(&seal, VAULT, ArchiveNumber(number)).unwrap();
            let job = ids.job(&seal, VAULT, JobNumber(number)).unwrap();
            let upload = ids.upload(&seal, VAULT, UploadNumber(number)).unwrap();
            assert_eq!(
                [archive.as_str().len(), job.as_str().len(), upload.as_str().len()],
                [138, 92, 92]
            );
            assert!(
                [archive.as_str(), job.as_str(), upload.as_str()]
                    .iter()
                    .all(|id| id.starts_with('A'))
            );
        }
    }

    #[test]
    fn an_id_is_made_again_from_its_seal_and_opens_to_its_row() {
        let ids = sealer(&[1]);
        let seal = ids.new_seal().unwrap();
        let id = ids.archive(&seal, VAULT, ArchiveNumber(9)).unwrap();
        assert_eq!(ids.archive(&seal, VAULT, ArchiveNumber(9)).unwrap(), id);
        let opened = ids.open_archive(id.as_str()).unwrap();
        assert_eq!((opened.vault, opened.number, opened.seal), (VAULT, ArchiveNumber(9), seal));
    }

    #[test]
    fn a_kind_of_id_is_refused_in_the_place_of_another() {
        let ids = sealer(&[1]);
        let seal = ids.new_seal().unwrap();
        let job = ids.job(&seal, VAULT, JobNumber(9)).unwrap();
        assert!(ids.open_job(job.as_str()).is_some());
        assert!(ids.open_upload(job.as_str()).is_none());
        assert!(ids.open_archive(job.as_str()).is_none());
    }

    #[test]
    fn a_change_of_any_bit_is_refused() {
        let ids = sealer(&[1]);
        let id = ids.archive(&ids.new_seal().unwrap(), VAULT, ArchiveNumber(9)).unwrap();
        let record = URL_SAFE_NO_PAD.decode(id.as_str()).unwrap();
        for bit in 0..record.len() * 8 {
            let mut forged = record.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(ids.open_archive(&URL_SAFE_NO_PAD.encode(forged)).is_none(), "bit {bit}");
        }
        for text in ["", "A", &id.as_str()[..137], &format!("{}A", id.as_str()), "-", "é"] {
            assert!(ids.open_archive(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn old_keys_stay_valid_and_new_ids_use_the_newest() {
        let old = sealer(&[1]);
        let id = old.archive(&old.new_seal().unwrap(), VAULT, ArchiveNumber(9)).unwrap();
        let both = sealer(&[1, 300]);
        assert_eq!(both.open_archive(id.as_str()).unwrap().seal.key, 1);
        let newer = both.new_seal().unwrap();
        assert_eq!(newer.key, 300);
        let newer = both.archive(&newer, VAULT, ArchiveNumber(9)).unwrap();
        assert!(old.open_archive(newer.as_str()).is_none());
        assert!(Sealer::new([], aws_lc_rs::rand::fill).is_err());
        let lost = icefield_store::IdSeal { key: 2, salt: [0; 16] };
        assert!(matches!(
            both.archive(&lost, VAULT, ArchiveNumber(9)),
            Err(EngineError::KeyMissing(2))
        ));
    }

    #[test]
    fn markers_are_read_back_and_have_one_text() {
        let ids = sealer(&[1]);
        let marker = InventoryMarker {
            vault: VAULT,
            writes: 12,
            date: Timestamp::from_unix_millis(-5),
            after: ArchiveNumber(9),
        };
        let text = ids.marker(1, &marker).unwrap();
        assert_eq!(ids.marker(1, &marker).unwrap(), text);
        assert_eq!(ids.open_marker(&text), Some(marker));
        assert_eq!(sealer(&[2]).open_marker(&text), None);
        assert_eq!(ids.open_marker("10"), None);
    }
}
