//! One file in parts: begun or gone on with, every part noted when it is stored, completed at the end.
//!
//! What the target lists is the truth about which parts are there, what the journal says is the truth about what they
//! were made of; a part counts when both have it with the same mark. One that the journal does not have, because the run
//! died before it was noted, counts when the target lists it with the tree hash of the file's bytes. An upload that the target does not know any more
//! either was completed by a run that died before it could record that (then completing it again tells the archive), or
//! has expired (then all is sent again). Completing tells an archive that was deleted since, too; whether it was, the
//! upload's token tells.

use std::{collections::BTreeMap, fmt, sync::Arc};

use futures_util::{StreamExt, stream};
use icefield_protocol::{ArchiveId, ErrorCode, PartSize, TreeHash, UploadDescription, UploadId};

use super::{
    FileError, UploadContext, blocking,
    run::{Run, Trouble},
    send::{Opened, Sent, abort, hash, mismatch},
};
use crate::{
    catalog::{Claim, JournalledPart},
    target::{NewArchive, PartMark, StoredPart, TargetError},
    transfer::plan::{Parts, Plan, SINGLE_MAX_BYTES},
};

/// What an upload in parts is known by.
pub(super) struct Ticket {
    /// Its claim in the journal; the manifest has none.
    claim: Option<i64>,
    pub(super) upload: Option<(UploadId, PartSize)>,
    /// Parts that the journal knows.
    parts: BTreeMap<u32, JournalledPart>,
    /// Whether an earlier run held the claim.
    is_adopted: bool,
    /// Whether its completion was asked for, and no answer noted.
    is_completing: bool,
}

impl Ticket {
    pub(super) fn of(claim: &Claim) -> Self {
        Self {
            claim: Some(claim.id),
            upload: claim.upload.clone(),
            parts: claim.parts.clone(),
            is_adopted: claim.is_adopted,
            is_completing: claim.is_completing,
        }
    }

    /// One that no later run will know of.
    pub(super) fn unclaimed() -> Self {
        let parts = BTreeMap::new();
        Self { claim: None, upload: None, parts, is_adopted: false, is_completing: false }
    }
}

/// Sends a file in parts.
pub(super) async fn multipart(
    run: &Arc<Run>,
    what: &(dyn fmt::Display + Sync),
    opened: &Opened,
    planned: Plan,
    ticket: &mut Ticket,
    new: &NewArchive,
) -> Result<Sent, Trouble> {
    let _slot = run.multiparts.acquire().await.ok();
    let sending = Sending { run, what, opened };
    if let Some((upload, part_size)) = ticket.upload.clone() {
        let parts = Parts::new(opened.size(), part_size).map_err(file_trouble)?;
        if let Some(there) = sending.list(&upload, parts).await? {
            let known = sending.known(there, parts, ticket).await?;
            run.found_there(known.keys().map(|index| parts.range(*index).len()).sum());
            return sending.go_on(&upload, parts, known, ticket).await;
        }
        if let Some(sent) = sending.completed_before(&upload, parts, ticket, new).await? {
            run.found_there(parts.size());
            return Ok(sent);
        }
        if ticket.is_completing {
            return Err(Trouble::File(FileError::Target(TargetError::CompletedUnseen)));
        }
        // It has expired: the token that it was begun with is used up.
        return Err(Trouble::File(FileError::Target(TargetError::UsedToken)));
    }
    let parts = match planned {
        Plan::Multipart(parts) => parts,
        // It had been begun in parts, of a size that is not asked for now.
        Plan::Single => Parts::new(opened.size(), single_part()).map_err(file_trouble)?,
    };
    let upload = sending.begin(parts.part_size(), ticket, new).await?;
    sending.go_on(&upload, parts, BTreeMap::new(), ticket).await
}

fn file_trouble(error: crate::transfer::plan::PlanError) -> Trouble {
    Trouble::File(error.into())
}

fn single_part() -> PartSize {
    PartSize::new(SINGLE_MAX_BYTES).expect("64 MiB is a part size")
}

struct Sending<'a> {
    run: &'a Arc<Run>,
    what: &'a (dyn fmt::Display + Sync),
    opened: &'a Opened,
}

impl Sending<'_> {
    async fn begin(
        &self,
        part_size: PartSize,
        ticket: &mut Ticket,
        new: &NewArchive,
    ) -> Result<UploadId, Trouble> {
        let UploadContext { target, vault, .. } = &self.run.context;
        let upload = match self.stray(part_size, ticket, new).await? {
            Some(stray) => stray,
            None => {
                let begun = target.initiate_upload(vault, part_size, new).await;
                begun.map_err(|error| self.trouble(error))?
            }
        };
        if let Some(claim) = ticket.claim {
            let begun = upload.clone();
            self.run
                .catalog(move |catalog, _| catalog.begin_upload(claim, &begun, part_size))
                .await?;
        }
        ticket.upload = Some((upload.clone(), part_size));
        Ok(upload)
    }

    /// Finds an upload that a dead run had begun for this file and could not note any more.
    ///
    /// Where tokens are kept the repeated initiation finds it.
    async fn stray(
        &self,
        part_size: PartSize,
        ticket: &Ticket,
        new: &NewArchive,
    ) -> Result<Option<UploadId>, Trouble> {
        let UploadContext { target, vault, .. } = &self.run.context;
        if !ticket.is_adopted || target.keeps_tokens() || !self.run.tells_paths() {
            return Ok(None);
        }
        let mut marker: Option<String> = None;
        loop {
            let page = target.list_uploads(vault, marker.as_deref()).await;
            let page = page.map_err(|error| self.trouble(error))?;
            let is_like = |upload: &UploadDescription| {
                upload.description == new.description && upload.part_size == part_size
            };
            for found in page.items.into_iter().filter(is_like) {
                let upload = found.upload_id.clone();
                let known = self
                    .run
                    .catalog(move |catalog, run| catalog.upload_known(run.vault, &upload))
                    .await?;
                if !known {
                    return Ok(Some(found.upload_id));
                }
            }
            match page.marker {
                Some(next) => marker = Some(next),
                None => return Ok(None),
            }
        }
    }

    /// Returns the parts that the target has, or `None` when it does not know the upload.
    async fn list(
        &self,
        upload: &UploadId,
        parts: Parts,
    ) -> Result<Option<BTreeMap<u32, PartMark>>, Trouble> {
        let UploadContext { target, vault, .. } = &self.run.context;
        let mut there = BTreeMap::new();
        let mut marker: Option<String> = None;
        loop {
            let page = match target.list_parts(vault, upload, marker.as_deref()).await {
                Ok(page) => page,
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(self.trouble(error)),
            };
            let known = page
                .items
                .into_iter()
                .filter_map(|part| Some((parts.index_of(part.range)?, part.mark)));
            there.extend(known);
            match page.marker {
                Some(next) => marker = Some(next),
                None => return Ok(Some(there)),
            }
        }
    }

    /// Returns which of the listed parts are of this file; those that the journal has not are compared with it, and noted.
    async fn known(
        &self,
        there: BTreeMap<u32, PartMark>,
        parts: Parts,
        ticket: &Ticket,
    ) -> Result<BTreeMap<u32, TreeHash>, Trouble> {
        let mut known = BTreeMap::new();
        for (index, mark) in there {
            match (ticket.parts.get(&index), mark) {
                (Some(noted), mark) => {
                    if noted.mark == mark {
                        known.insert(index, noted.tree_hash);
                    }
                }
                (None, PartMark::TreeHash(listed)) => {
                    let body = Arc::clone(&self.opened.source).body(parts.range(index)).await?;
                    if hash(self.run, &body).await? == listed {
                        self.note(ticket.claim, index, listed, PartMark::TreeHash(listed)).await?;
                        known.insert(index, listed);
                    }
                }
                (None, PartMark::Etag(_)) => {}
            }
        }
        Ok(known)
    }

    async fn note(
        &self,
        claim: Option<i64>,
        index: u32,
        tree_hash: TreeHash,
        mark: PartMark,
    ) -> Result<(), Trouble> {
        let Some(claim) = claim else { return Ok(()) };
        let part = JournalledPart { tree_hash, mark };
        Ok(self.run.catalog(move |catalog, _| catalog.record_part(claim, index, &part)).await?)
    }

    /// Asks for the archive of an upload that a dead run may have completed.
    async fn completed_before(
        &self,
        upload: &UploadId,
        parts: Parts,
        ticket: &Ticket,
        new: &NewArchive,
    ) -> Result<Option<Sent>, Trouble> {
        // Every part is noted before the upload is completed.
        if ticket.parts.len() != usize::try_from(parts.count()).unwrap_or(usize::MAX) {
            return Ok(None);
        }
        let UploadContext { target, vault, .. } = &self.run.context;
        if !target.keeps_tokens() {
            return Ok(None);
        }
        let tree_hash = TreeHash::combine(ticket.parts.values().map(|part| part.tree_hash));
        let completed = target
            .completed_upload(vault, upload, parts.part_size(), new, parts.size(), tree_hash)
            .await
            .map_err(|error| self.trouble(error))?;
        Ok(completed.map(|archive| Sent { archive, tree_hash, parts: parts.count() }))
    }

    /// Begins afresh: the target does not know the upload, or would not complete it.
    async fn forget(&self, ticket: &mut Ticket) -> Result<(), Trouble> {
        if let Some(claim) = ticket.claim {
            self.run.catalog(move |catalog, _| catalog.forget_upload(claim)).await?;
        }
        ticket.upload = None;
        ticket.parts.clear();
        Ok(())
    }

    /// Sends what is missing and completes the upload.
    async fn go_on(
        &self,
        upload: &UploadId,
        parts: Parts,
        mut known: BTreeMap<u32, TreeHash>,
        ticket: &mut Ticket,
    ) -> Result<Sent, Trouble> {
        let missing: Vec<u32> =
            (0..parts.count()).filter(|index| !known.contains_key(index)).collect();
        let claim = ticket.claim;
        let mut sent = stream::iter(missing)
            .map(|index| self.part(upload, parts, index, claim))
            .buffer_unordered(self.run.options.concurrency.get());
        while let Some(part) = sent.next().await {
            let (index, tree_hash) = part?;
            known.insert(index, tree_hash);
        }
        drop(sent);
        let source = Arc::clone(&self.opened.source);
        blocking(move || source.check()).await?;
        let tree_hash = TreeHash::combine(known.into_values());
        if let Some(known) = self.opened.source.tree_hash().filter(|known| *known != tree_hash) {
            abort(self.run, upload).await;
            self.forget(ticket).await?;
            return Err(mismatch(known, tree_hash));
        }
        if let (Some(claim), false) = (claim, self.run.context.target.keeps_tokens()) {
            // Should the answer be lost, nobody could tell a completed upload from one that has expired.
            self.run
                .catalog(move |catalog, run| catalog.note_completing(claim, tree_hash, run.now()))
                .await?;
        }
        match self.complete(upload, parts.size(), tree_hash).await {
            Ok(archive) => Ok(Sent { archive, tree_hash, parts: parts.count() }),
            // The parts are not what was noted of them, and would never be.
            Err(error @ TargetError::Service { code: ErrorCode::InvalidParameterValue, .. }) => {
                abort(self.run, upload).await;
                self.forget(ticket).await?;
                Err(Trouble::File(FileError::Target(error)))
            }
            Err(error) => Err(self.trouble(error)),
        }
    }

    async fn part(
        &self,
        upload: &UploadId,
        parts: Parts,
        index: u32,
        claim: Option<i64>,
    ) -> Result<(u32, TreeHash), Trouble> {
        let UploadContext { target, vault, .. } = &self.run.context;
        let range = parts.range(index);
        let permit = self.run.bodies.acquire().await.ok();
        let body = self.run.metered(Arc::clone(&self.opened.source).body(range).await?);
        let stored = target.upload_part(vault, upload, range, &body).await;
        let StoredPart { tree_hash, mark } = stored.map_err(|error| self.trouble(error))?;
        drop(permit);
        self.note(claim, index, tree_hash, mark).await?;
        Ok((index, tree_hash))
    }

    async fn complete(
        &self,
        upload: &UploadId,
        size: u64,
        tree_hash: TreeHash,
    ) -> Result<ArchiveId, TargetError> {
        let UploadContext { target, vault, .. } = &self.run.context;
        target.complete_upload(vault, upload, size, tree_hash).await
    }

    fn trouble(&self, error: TargetError) -> Trouble {
        Run::trouble(&self.what, error)
    }
}
