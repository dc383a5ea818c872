//! Archives of a single request, and the deletion of archives.
//!
//! ```text
//! receive_archive   vault, size, token     nothing is stored yet
//! write ...         hash and store         memory or a staged payload file
//! finish            hashes                 the caller may compare the linear hash of a signed request
//! commit            tree hash, record      the archive becomes visible here or not at all
//! ```

use bytes::Bytes;
use icefield_protocol::{ArchiveId, Description, Operation, UploadToken, limits};
use icefield_store::{
    ArchiveEntry, Content, Entry, Outcome,
    entry::ArchiveNumber,
    ledger::{ArchiveRow, VaultRow},
};
use icefield_treehash::{Hashed, LinearHash, TreeHash};

use crate::{
    access::Access,
    body::{Collected, Collecting, Declared, Drain, StagedFile, Storing, check},
    engine::Engine,
    error::EngineError,
    policy::ContextKeys,
};

/// What is said about an archive before its bytes come.
#[derive(Debug, Clone)]
pub struct NewArchive {
    /// The user's description.
    pub description: Option<Description>,
    /// The caller's name for this put: a repeat is answered with the first result.
    pub token: Option<UploadToken>,
    /// Exact length in bytes: 1 to 4 GiB.
    pub size: u64,
    /// Whether the linear hash is wanted, too.
    pub linear: bool,
}

/// An archive that is stored durably.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredArchive {
    /// Its ID.
    pub id: ArchiveId,
    /// Its tree hash.
    pub tree_hash: TreeHash,
    /// Its length in bytes.
    pub size: u64,
    /// Linear hash of the bytes that came, if it was wanted.
    pub linear: Option<LinearHash>,
}

/// An archive whose bytes are coming. Dropping it stores nothing.
#[derive(Debug)]
pub struct Receiving {
    engine: Engine,
    body: Incoming,
}

#[derive(Debug)]
enum Incoming {
    New {
        put: Put,
        keeping: Keeping,
    },
    /// The token has made this archive before.
    Repeat {
        first: ArchiveRow,
        drain: Drain,
    },
}

/// An archive whose bytes have come completely. Dropping it stores nothing.
#[derive(Debug)]
pub struct HashedArchive {
    engine: Engine,
    body: Complete,
}

#[derive(Debug)]
enum Complete {
    New { put: Put, hashed: Hashed, kept: Kept },
    Repeat { first: ArchiveRow, linear: Option<LinearHash> },
}

/// To be written into the commit record.
#[derive(Debug)]
struct Put {
    vault: VaultRow,
    description: Option<Description>,
    token: Option<UploadToken>,
}

/// Where the bytes of a new archive go.
#[derive(Debug)]
enum Keeping {
    Memory(Collecting),
    File(Storing),
}

/// Where the bytes of a new archive are until it is committed.
#[derive(Debug)]
enum Kept {
    Memory(Collected),
    File(StagedFile),
}

impl Keeping {
    /// Begins to keep an archive: in memory if it is small and there is room, else in a file.
    async fn begin(engine: &Engine, size: u64, linear: bool) -> Result<Self, EngineError> {
        let declared = Declared::Archive(size);
        let small = size < engine.settings().small_archive_bytes;
        match small.then(|| Collecting::begin(engine, declared, linear)).flatten() {
            Some(collecting) => Ok(Self::Memory(collecting)),
            None => Ok(Self::File(Storing::begin(engine, declared, linear).await?)),
        }
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), EngineError> {
        match self {
            Self::Memory(collecting) => collecting.write(&bytes),
            Self::File(storing) => storing.write(bytes).await,
        }
    }

    async fn finish(self, engine: &Engine) -> Result<(Hashed, Kept), EngineError> {
        match self {
            Self::Memory(collecting) => {
                let (hashed, collected) = collecting.finish(engine).await?;
                Ok((hashed, Kept::Memory(collected)))
            }
            Self::File(storing) => {
                let (hashed, file) = storing.finish().await?;
                Ok((hashed, Kept::File(file)))
            }
        }
    }
}

impl Engine {
    /// Begins to receive an archive.
    ///
    /// When the token has made an archive before, the bytes are counted and dropped and [`Receiving::commit`] answers
    /// with that archive.
    ///
    /// # Errors
    ///
    /// `VaultNotFound`; `InvalidContentLength` of nothing or of more than 4 GiB; `UsedToken` when the token's archive
    /// was deleted since (also from the commit): success would tell of bytes that are not there.
    pub async fn receive_archive(
        &self,
        access: &Access,
        new: NewArchive,
    ) -> Result<Receiving, EngineError> {
        let vault = self.vault(access, Operation::UploadArchive).await?;
        let sizes = limits::MIN_ARCHIVE_SIZE_BYTES..=limits::MAX_SINGLE_UPLOAD_BYTES;
        if !sizes.contains(&new.size) {
            return Err(EngineError::InvalidContentLength(new.size));
        }
        let first = match new.token {
            Some(token) => self.first_of(&vault, token).await?,
            None => None,
        };
        let NewArchive { description, token, size, linear } = new;
        let body = if let Some(first) = first {
            Incoming::Repeat { first, drain: Drain::begin(Declared::Archive(size), linear) }
        } else {
            let keeping = Keeping::begin(self, size, linear).await?;
            Incoming::New { put: Put { vault, description, token }, keeping }
        };
        Ok(Receiving { engine: self.clone(), body })
    }

    /// Deletes an archive; one that is deleted already is fine.
    ///
    /// # Errors
    ///
    /// `AccessDenied`, also by a lock that came into force since the permission; `VaultNotFound`; `ArchiveNotFound` for what was never an archive ID here; `ForeignArchive` for an archive of
    /// another vault.
    pub async fn delete_archive(&self, access: &Access, id: &ArchiveId) -> Result<(), EngineError> {
        let _decided_by_what_holds = self.inner.deciding.read().await;
        let delete = Operation::DeleteArchive;
        let vault = self.decide_again(access, delete, Some(id), &ContextKeys::new()).await?;
        let Some(row) = self.archive(&vault, id).await? else {
            return Ok(());
        };
        let vault = self.settle_inventory(vault).await?;
        let entry =
            Entry::ArchiveDeleted { vault: vault.number, number: row.number, deleted: self.now() };
        match self.store().commit(entry, Bytes::new()).await?.0 {
            Outcome::Done { .. } | Outcome::ArchiveGone => Ok(()),
            Outcome::VaultGone => Err(EngineError::VaultNotFound(self.arn_of(&vault))),
            other => Err(EngineError::unexpected("deleting an archive", &other)),
        }
    }

    /// Finds an archive of the vault that is not deleted.
    ///
    /// # Errors
    ///
    /// `ArchiveNotFound` for an ID that was never given; `ForeignArchive` for one that another vault gave.
    pub(crate) async fn archive(
        &self,
        vault: &VaultRow,
        id: &ArchiveId,
    ) -> Result<Option<ArchiveRow>, EngineError> {
        let Some(opened) = self.ids().open_archive(id.as_str()) else {
            return Err(EngineError::ArchiveNotFound(id.clone()));
        };
        if opened.vault != vault.number {
            return Err(EngineError::ForeignArchive(self.arn_of(vault)));
        }
        let row = self.store().ledger().archive(opened.number).await?;
        Ok(row.filter(|row| row.seal == opened.seal && row.deleted_write.is_none()))
    }

    /// Finds the archive that the token has made before.
    ///
    /// # Errors
    ///
    /// `UsedToken` when it was deleted since.
    pub(crate) async fn first_of(
        &self,
        vault: &VaultRow,
        token: UploadToken,
    ) -> Result<Option<ArchiveRow>, EngineError> {
        let first = self.store().ledger().archive_by_token(vault.number, token).await?;
        match first {
            Some(first) if first.deleted_write.is_some() => Err(EngineError::UsedToken(token)),
            first => Ok(first),
        }
    }

    async fn store_archive(
        &self,
        put: Put,
        hashed: &Hashed,
        content: Content,
        body: Bytes,
    ) -> Result<Committed, EngineError> {
        let vault = self.settle_inventory(put.vault).await?;
        let number = ArchiveNumber(self.store().next_number());
        let seal = self.ids().new_seal()?;
        let entry = ArchiveEntry {
            vault: vault.number,
            number,
            id: self.ids().archive(&seal, vault.number, number)?,
            seal,
            description: put.description,
            created: self.now(),
            aged: Some(self.compliance_time()),
            size: hashed.size,
            tree_hash: hashed.tree,
            token: put.token,
            upload: None,
            content,
        };
        self.commit_archive(&vault, entry, body).await
    }

    pub(crate) fn archive_id(&self, row: &ArchiveRow) -> Result<ArchiveId, EngineError> {
        self.ids().archive(&row.seal, row.vault, row.number)
    }

    /// Writes the commit record of an archive and returns the archive that exists then: this one, or the one that the
    /// same token or upload has made before.
    pub(crate) async fn commit_archive(
        &self,
        vault: &VaultRow,
        entry: ArchiveEntry,
        body: Bytes,
    ) -> Result<Committed, EngineError> {
        let ArchiveEntry { id, size, tree_hash, token, .. } = entry.clone();
        match self.store().commit(Entry::ArchiveCreated(entry), body).await?.0 {
            Outcome::Done { .. } => Ok(Committed { id, size, tree_hash }),
            Outcome::Repeat(number) => {
                let first = self.store().ledger().archive(number).await?;
                match (first, token) {
                    (Some(first), None) => Committed::repeat(self, &first),
                    (Some(first), Some(_)) if first.deleted_write.is_none() => {
                        Committed::repeat(self, &first)
                    }
                    // Deleted, perhaps forgotten, too, so that only its token is still known.
                    (_, Some(token)) => Err(EngineError::UsedToken(token)),
                    (None, None) => {
                        Err(EngineError::unexpected("finding the archive of a repeat", &number))
                    }
                }
            }
            Outcome::VaultGone => Err(EngineError::VaultNotFound(self.arn_of(vault))),
            other => Err(EngineError::unexpected("storing an archive", &other)),
        }
    }
}

/// The archive that a commit has left.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) id: ArchiveId,
    pub(crate) size: u64,
    pub(crate) tree_hash: TreeHash,
}

impl Committed {
    fn repeat(engine: &Engine, row: &ArchiveRow) -> Result<Self, EngineError> {
        let id = engine.archive_id(row)?;
        Ok(Self { id, size: row.size, tree_hash: row.tree_hash })
    }
}

impl Receiving {
    /// Takes the next bytes, in buffers of any length; best 1 MiB each.
    ///
    /// Not cancel safe: an archive whose `write` was dropped midway cannot be committed.
    ///
    /// # Errors
    ///
    /// `InvalidContentLength` when more comes than was said.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), EngineError> {
        match &mut self.body {
            Incoming::New { keeping, .. } => keeping.write(bytes).await,
            Incoming::Repeat { drain, .. } => drain.write(&bytes),
        }
    }

    /// Ends the bytes and returns their hashes, before anything is stored.
    ///
    /// # Errors
    ///
    /// `InvalidContentLength` when less came than was said.
    pub async fn finish(self) -> Result<HashedArchive, EngineError> {
        let body = match self.body {
            Incoming::New { put, keeping } => {
                let (hashed, kept) = keeping.finish(&self.engine).await?;
                Complete::New { put, hashed, kept }
            }
            Incoming::Repeat { first, drain } => {
                Complete::Repeat { first, linear: drain.finish()? }
            }
        };
        Ok(HashedArchive { engine: self.engine, body })
    }

    /// Ends the bytes and stores the archive: [`finish`](Self::finish), then [`HashedArchive::commit`].
    ///
    /// # Errors
    ///
    /// Those of both.
    pub async fn commit(self, expected: Option<TreeHash>) -> Result<StoredArchive, EngineError> {
        self.finish().await?.commit(expected).await
    }
}

impl HashedArchive {
    /// Returns the linear hash of the bytes that came, if it was wanted.
    #[must_use]
    pub const fn linear(&self) -> Option<LinearHash> {
        match &self.body {
            Complete::New { hashed, .. } => hashed.linear,
            Complete::Repeat { linear, .. } => *linear,
        }
    }

    /// Returns the tree hash of the archive.
    #[must_use]
    pub const fn tree_hash(&self) -> TreeHash {
        match &self.body {
            Complete::New { hashed, .. } => hashed.tree,
            Complete::Repeat { first, .. } => first.tree_hash,
        }
    }

    /// Stores the archive; durable on return.
    ///
    /// # Errors
    ///
    /// `ChecksumMismatch` when it has another tree hash than `expected`; `VaultNotFound` when the vault was deleted
    /// meanwhile.
    pub async fn commit(self, expected: Option<TreeHash>) -> Result<StoredArchive, EngineError> {
        let linear = self.linear();
        check(expected, self.tree_hash())?;
        let Committed { id, size, tree_hash } = match self.body {
            Complete::Repeat { first, .. } => Committed::repeat(&self.engine, &first)?,
            Complete::New { put, hashed, kept } => {
                let engine = &self.engine;
                match kept {
                    Kept::Memory(collected) => {
                        let body = collected.bytes.clone();
                        engine.store_archive(put, &hashed, Content::Here, body).await?
                    }
                    Kept::File(file) => {
                        let (extent, name) = file.finish(&hashed).await?;
                        let content = Content::Extents(vec![extent]);
                        let committed =
                            engine.store_archive(put, &hashed, content, Bytes::new()).await?;
                        name.settled();
                        committed
                    }
                }
            }
        };
        Ok(StoredArchive { id, tree_hash, size, linear })
    }
}
