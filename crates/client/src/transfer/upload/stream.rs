//! One stream of unknown length, read once.

use std::{
    io::{self, Read},
    sync::Arc,
};

use icefield_protocol::{
    ByteRange, PartSize, Timestamp, TreeHash, UploadId, UploadToken, limits::MAX_PARTS,
};
use tokio::sync::mpsc;

use super::{
    UploadContext, UploadError, UploadedFile,
    record::{Done, Settle},
    run::{Run, Trouble},
    send::{Sent, abort},
};
use crate::{
    catalog::{Entry, FileTime, Kind},
    description::ArchiveNote,
    local,
    path::CatalogPath,
    target::NewArchive,
    transfer::{
        plan::PlanError,
        source::{StreamPart, read_stream},
    },
};

/// Part size unless asked for otherwise: three of them are in memory. Larger ones wait in temporary files.
const PART_BYTES: u64 = 32 << 20;

/// Mode of a file that comes from a stream, which has none.
const MODE: u32 = 0o644;

/// Sends the stream and hands over what it became; aborts what was begun if it did not come to its end.
pub(super) async fn send(
    run: Arc<Run>,
    path: CatalogPath,
    reader: Box<dyn Read + Send>,
    done: mpsc::Sender<Done>,
) {
    let mut streaming = Streaming { run: &run, path: &path, upload: None };
    let sent = tokio::select! {
        biased;
        () = run.halted() => Err(Trouble::Halt(UploadError::Cancelled)),
        sent = streaming.send(reader) => sent,
    };
    if let (Err(_), Some(upload)) = (&sent, &streaming.upload) {
        abort(&run, upload).await;
    }
    let settled = match sent {
        Ok(settled) => settled,
        Err(Trouble::Halt(why)) => return run.stop(why),
        Err(Trouble::File(error)) => {
            let local = local::path(path.as_bytes());
            Done::Failed { path: Some(path), local, error, settle: Settle::Nothing }
        }
        Err(Trouble::HeldElsewhere) => Done::Held { path },
    };
    drop(done.send(settled).await);
}

struct Streaming<'a> {
    run: &'a Arc<Run>,
    path: &'a CatalogPath,
    /// The upload that was begun.
    upload: Option<UploadId>,
}

impl Streaming<'_> {
    async fn send(&mut self, reader: Box<dyn Read + Send>) -> Result<Done, Trouble> {
        let started = self.run.now();
        let part_size = match self.run.options.part_size {
            Some(asked) => asked.max(self.run.context.target.limits().smallest_part),
            None => PartSize::new(PART_BYTES).expect("32 MiB is a part size"),
        };
        let mut parts = read_stream(reader, part_size.bytes());
        let first = next(&mut parts).await?;
        let note = self.note(started);
        if first.bytes.size() == 0 {
            return Ok(Done::Bare { entry: entry(note, 0), is_new: true, settle: Settle::Nothing });
        }
        if self.run.options.dry_run {
            return Ok(Done::Would { path: note.path, size: first.bytes.size() });
        }
        let (description, is_untold) = self.run.describe(&note);
        let path = note.path.clone();
        let new = NewArchive { path, description, token: random_token()?, tree_hash: None };
        let (sent, size) = if first.is_last {
            (self.single(&first, &new).await?, first.bytes.size())
        } else {
            self.multipart(first, parts, part_size, &new).await?
        };
        let finished = self.run.now();
        let entry = Entry {
            tree_hash: Some(sent.tree_hash),
            archive: Some(sent.archive.clone()),
            uploaded: finished,
            description: new.description.map(String::from),
            ..entry(note, size)
        };
        let file = UploadedFile {
            entry,
            local: None,
            vault: self.run.context.vault.clone(),
            archive: sent.archive,
            tree_hash: sent.tree_hash,
            parts: sent.parts,
            started,
            finished,
        };
        Ok(Done::Stored { file, is_untold, room: None })
    }

    /// A stream has no time and mode of its own: it is as new as its upload.
    fn note(&self, now: Timestamp) -> ArchiveNote {
        let millis = now.unix_millis();
        let nanos = u32::try_from(millis.rem_euclid(1000) * 1_000_000).unwrap_or_default();
        let mtime = FileTime { seconds: millis.div_euclid(1000), nanos };
        ArchiveNote { path: self.path.clone(), mtime: Some(mtime), mode: Some(MODE) }
    }

    async fn single(&self, part: &StreamPart, new: &NewArchive) -> Result<Sent, Trouble> {
        let UploadContext { target, vault, .. } = &self.run.context;
        let archived =
            target.upload_archive(vault, new, &self.run.metered(part.bytes.body())).await;
        let archived = archived.map_err(|error| Run::trouble(self.path, error))?;
        Ok(Sent { archive: archived.archive, tree_hash: archived.tree_hash, parts: 1 })
    }

    /// Sends part after part; while one is sent the next is read.
    async fn multipart(
        &mut self,
        first: StreamPart,
        mut parts: mpsc::Receiver<io::Result<StreamPart>>,
        part_size: PartSize,
        new: &NewArchive,
    ) -> Result<(Sent, u64), Trouble> {
        let UploadContext { target, vault, .. } = &self.run.context;
        let trouble = |error| Run::trouble(self.path, error);
        let upload = target.initiate_upload(vault, part_size, new).await.map_err(trouble)?;
        self.upload = Some(upload.clone());
        let mut hashes: Vec<TreeHash> = Vec::new();
        let mut size = 0;
        let mut part = first;
        loop {
            let range = ByteRange { first: size, last: size + part.bytes.size() - 1 };
            let body = self.run.metered(part.bytes.body());
            let stored = target.upload_part(vault, &upload, range, &body).await;
            hashes.push(stored.map_err(trouble)?.tree_hash);
            size += part.bytes.size();
            if part.is_last {
                break;
            }
            if hashes.len() as u64 == MAX_PARTS {
                return Err(Trouble::File(PlanError::TooManyParts { size, part_size }.into()));
            }
            part = next(&mut parts).await?;
        }
        let count = u32::try_from(hashes.len()).unwrap_or(u32::MAX);
        let tree_hash = TreeHash::combine(hashes);
        let archive =
            target.complete_upload(vault, &upload, size, tree_hash).await.map_err(trouble)?;
        Ok((Sent { archive, tree_hash, parts: count }, size))
    }
}

async fn next(parts: &mut mpsc::Receiver<io::Result<StreamPart>>) -> Result<StreamPart, Trouble> {
    let ended = || io::Error::other("the reading thread ended");
    let part = parts.recv().await.unwrap_or_else(|| Err(ended()));
    part.map_err(|error| Trouble::Halt(UploadError::Stream(error)))
}

pub(super) fn random_token() -> Result<UploadToken, Trouble> {
    let mut token = [0; 16];
    getrandom::fill(&mut token).map_err(|_| Trouble::Halt(UploadError::Random))?;
    Ok(UploadToken::from_bytes(token))
}

fn entry(note: ArchiveNote, size: u64) -> Entry {
    Entry {
        path: note.path,
        kind: Kind::File,
        size,
        mtime: note.mtime,
        mode: note.mode,
        link_target: None,
        tree_hash: None,
        archive: None,
        uploaded: Timestamp::UNIX_EPOCH,
        description: None,
        manifest: None,
    }
}
