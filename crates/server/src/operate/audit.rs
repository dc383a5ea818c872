//! The audit log: one line of JSON for each change that somebody who proved who they are has asked for, chained by hashes.
//!
//! ```text
//! begin ──> Ticket (room for the line is reserved) ──> the change ──> record ──> line on disk ──> answer
//!                                                  └──> dropped: the line says that the outcome is not known
//! ```
//!
//! A thread of its own writes all lines that wait with one write and one sync. A line ends with `"hash"`: the SHA-256 of the
//! hash of the line before it and of the line itself up to there, both as text. So a line that was changed, removed or put
//! in shows, with no more than a shell to find it.
//!
//! No success is answered whose line is not on disk, and when a line cannot be written changes are refused until one can.

use std::{
    fs::{File, Metadata},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
};

use icefield_protocol::{Clock, LinearHash};
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use tokio::sync::{
    mpsc::{self, OwnedPermit},
    oneshot,
};

/// Hash that the first line goes on from.
const BEGIN: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// What every line begins with.
const LINE_START: &[u8] = b"{\"time\":\"";
/// Between a line and its hash.
const HASH_KEY: &str = ",\"hash\":\"";
/// Longest line; texts in it are cut to a thousand bytes, which JSON may write six times as long.
const MAX_LINE_BYTES: u64 = 64 << 10;
/// Longest text of a line's member.
const MAX_TEXT_BYTES: usize = 1000;
/// Changes under way at once: more than there are connections.
const MAX_TICKETS: usize = 1 << 16;
/// Lines of one write.
const MAX_BATCH: usize = 1024;

/// An audit log that is written to. Clones write the same one; the last one that goes waits for its lines.
#[derive(Debug, Clone)]
pub struct AuditLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    state: Arc<State>,
    /// Both are there until the end.
    lines: Option<mpsc::Sender<Line>>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    failed: AtomicBool,
    written: AtomicU64,
}

/// The audit log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It cannot be opened, or is no audit log.
    #[error("cannot open the audit log {}", path.display())]
    Open {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A line could not be written.
    #[error("the audit log {} cannot be written", path.display())]
    Write {
        /// Where it is.
        path: PathBuf,
    },
}

/// A change that is asked for: who, from where, what.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Change {
    pub(crate) request_id: String,
    /// The ARN of who asks; `owner` on the control socket or the command line, `token` at an address that only a destination
    /// of a topic was told.
    pub(crate) principal: String,
    pub(crate) access_key: Option<String>,
    pub(crate) source: String,
    pub(crate) operation: String,
    pub(crate) account: Option<String>,
    pub(crate) vault: Option<String>,
    /// The archive, upload, job, lock, user, key or topic that was named.
    pub(crate) resource: Option<String>,
}

/// How it ended.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Outcome {
    /// What was made: its location, or name.
    pub(crate) created: Option<String>,
    pub(crate) status: Option<u16>,
    /// `OK`, the error's name, or `Unknown` when nobody was left to be answered: it may have been done.
    pub(crate) code: String,
}

#[derive(Debug, Serialize)]
struct Record<'a> {
    time: String,
    #[serde(flatten)]
    change: &'a Change,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

#[derive(Debug)]
struct Line {
    /// JSON without its last brace.
    body: String,
    /// Gets whether the line is on disk.
    done: Option<oneshot::Sender<bool>>,
}

impl AuditLog {
    /// Opens the log, makes one if there is none, and goes on from its last line. A line that was cut off by a crash, and so
    /// was never acknowledged, is removed. Blocks.
    ///
    /// # Errors
    ///
    /// `Open` when it cannot be read and written, another process writes it, or its end is no line of an audit log.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, AuditError> {
        let failed = |source| AuditError::Open { path: path.to_owned(), source };
        let writer = Writer::open(path, BEGIN).map_err(failed)?;
        tracing::info!(path = %path.display(), hash = writer.hash, "the audit log goes on from this hash");
        let (lines, waiting) = mpsc::channel(MAX_TICKETS);
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let run = move || writer.run(waiting, &shared);
        let writer = thread::Builder::new().name("audit".to_owned()).spawn(run).map_err(failed)?;
        let (lines, writer) = (Some(lines), Some(writer));
        Ok(Self(Arc::new(Shared { path: path.to_owned(), clock, state, lines, writer })))
    }

    /// Begins a change: whatever becomes of it, a line will be written.
    ///
    /// # Errors
    ///
    /// `Write` when lines cannot be written at present; then the change must not be made.
    pub(crate) async fn begin(&self, change: Change) -> Result<Ticket, AuditError> {
        let shared = &self.0;
        let lines = shared.lines.clone().ok_or_else(|| self.refusal())?;
        let permit = lines.clone().reserve_owned().await.map_err(|_| self.refusal())?;
        let ticket = Ticket { audit: self.clone(), permit: Some(permit), change };
        if !self.is_failed() {
            return Ok(ticket);
        }
        // A first line that can be written ends the failure.
        let resumed = Change { operation: "AuditLogResumed".to_owned(), ..Change::default() };
        let permit = lines.reserve_owned().await.map_err(|_| self.refusal())?;
        let trial = Ticket { audit: self.clone(), permit: Some(permit), change: resumed };
        match trial.record(Outcome { code: "OK".to_owned(), ..Outcome::default() }).await {
            Ok(()) => Ok(ticket),
            Err(error) => {
                ticket.forget();
                Err(error)
            }
        }
    }

    /// Whether the last line could not be written.
    pub(crate) fn is_failed(&self) -> bool {
        self.0.state.failed.load(SeqCst)
    }

    /// Returns how many lines were written since it was opened.
    pub(crate) fn written(&self) -> u64 {
        self.0.state.written.load(SeqCst)
    }

    fn refusal(&self) -> AuditError {
        AuditError::Write { path: self.0.path.clone() }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.lines.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the audit log broke down");
        }
    }
}

/// A change under way. Dropping it writes that its outcome is unknown.
#[derive(Debug)]
pub(crate) struct Ticket {
    audit: AuditLog,
    permit: Option<OwnedPermit<Line>>,
    change: Change,
}

impl Ticket {
    /// Writes the line, and waits until it is on disk. It is written even when nobody waits any more.
    ///
    /// # Errors
    ///
    /// `Write` when it could not be; then no success may be answered.
    pub(crate) async fn record(mut self, outcome: Outcome) -> Result<(), AuditError> {
        let (done, written) = oneshot::channel();
        self.send(&outcome, Some(done));
        if written.await.unwrap_or(false) { Ok(()) } else { Err(self.audit.refusal()) }
    }

    /// Nothing was begun, so there is nothing to tell.
    fn forget(mut self) {
        drop(self.permit.take());
    }

    fn send(&mut self, outcome: &Outcome, done: Option<oneshot::Sender<bool>>) {
        let Some(permit) = self.permit.take() else { return };
        let change = self.change.cut();
        let outcome = Outcome { created: outcome.created.as_deref().map(cut), ..outcome.clone() };
        let time = self.audit.0.clock.now().to_millis_string();
        let record = Record { time, change: &change, outcome: &outcome };
        let mut body = serde_json::to_string(&record).expect("texts and numbers are JSON");
        // The brace.
        body.pop();
        drop(permit.send(Line { body, done }));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.send(&Outcome { code: "Unknown".to_owned(), ..Outcome::default() }, None);
    }
}

impl Change {
    fn cut(&self) -> Self {
        let cut_some = |text: &Option<String>| text.as_deref().map(cut);
        Self {
            request_id: cut(&self.request_id),
            principal: cut(&self.principal),
            access_key: cut_some(&self.access_key),
            source: cut(&self.source),
            operation: cut(&self.operation),
            account: cut_some(&self.account),
            vault: cut_some(&self.vault),
            resource: cut_some(&self.resource),
        }
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned()
}

/// The file, and where it ends.
#[derive(Debug)]
struct Writer {
    path: PathBuf,
    file: File,
    length: u64,
    /// Of the last line.
    hash: String,
    /// Why nothing can be written any more: what is on disk is not known.
    broken: bool,
}

impl Writer {
    /// Opens a log; an empty one goes on from `hash`.
    fn open(path: &Path, hash: &str) -> io::Result<Self> {
        let mut file =
            File::options().read(true).append(true).create(true).mode(0o600).open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::other("another process writes it"))?;
        if let Some(folder) = path.parent() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder)?.sync_all()?;
        }
        let all = file.metadata()?.len();
        file.seek(SeekFrom::Start(all.saturating_sub(2 * MAX_LINE_BYTES)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        let whole = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let (lines, torn) = end.split_at(whole);
        let length = all - torn.len() as u64;
        let hash = match lines.strip_suffix(b"\n") {
            None if length == 0 => hash.to_owned(),
            None => return Err(not_a_log()),
            Some(lines) => {
                let last = lines.rsplit(|byte| *byte == b'\n').next().unwrap_or(lines);
                hash_of(last).ok_or_else(not_a_log)?
            }
        };
        if !torn.is_empty() {
            if !(LINE_START.starts_with(torn) || torn.starts_with(LINE_START)) {
                return Err(not_a_log());
            }
            tracing::warn!(path = %path.display(), bytes = torn.len(), "removed a line that was cut off");
            file.set_len(length)?;
            file.sync_all()?;
        }
        Ok(Self { path: path.to_owned(), file, length, hash, broken: false })
    }

    /// Writes what comes until nobody is left to send.
    fn run(mut self, mut lines: mpsc::Receiver<Line>, state: &State) {
        let mut batch = Vec::new();
        while lines.blocking_recv_many(&mut batch, MAX_BATCH) > 0 {
            let appended = self.append(&batch);
            match &appended {
                Ok(()) => state.written.fetch_add(batch.len() as u64, SeqCst),
                Err(error) => {
                    // What could not be kept there is at least told here.
                    for line in &batch {
                        tracing::error!(%error, line = line.body, "a line of the audit log is lost");
                    }
                    0
                }
            };
            state.failed.store(appended.is_err(), SeqCst);
            for line in batch.drain(..) {
                // Whoever has gone needs no answer.
                let _gone = line.done.map(|done| done.send(appended.is_ok()));
            }
        }
        tracing::info!(path = %self.path.display(), hash = self.hash, "the audit log ends with this hash");
    }

    fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier line could not be made durable"));
        }
        self.follow()?;
        let mut hash = self.hash.clone();
        let mut text = String::new();
        for Line { body, .. } in lines {
            hash = LinearHash::of(format!("{hash}{body}").as_bytes()).to_string();
            text.extend([body, HASH_KEY, &hash, "\"}\n"]);
        }
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            // Half a line must not stay; if it does, nothing may follow it.
            self.broken = self.file.set_len(self.length).is_err();
            return Err(error);
        }
        // A sync that failed is not tried again: the system may have forgotten what it could not write.
        self.file.sync_data().inspect_err(|_| self.broken = true)?;
        self.length += text.len() as u64;
        self.hash = hash;
        Ok(())
    }

    /// Begins a new file when somebody has moved the old one away; the chain goes on.
    fn follow(&mut self) -> io::Result<()> {
        let file = |found: Metadata| (found.dev(), found.ino());
        let at_path = match std::fs::metadata(&self.path) {
            Ok(found) => Some(file(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if at_path != Some(file(self.file.metadata()?)) {
            *self = Self::open(&self.path, &self.hash)?;
        }
        Ok(())
    }
}

fn not_a_log() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its last line is not one of an audit log")
}

/// The hash that a line ends with.
fn hash_of(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?;
    let (_, rest) = line.rsplit_once(HASH_KEY)?;
    let hash = rest.strip_suffix("\"}")?;
    let is_hash = hash.len() == BEGIN.len() && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| hash.to_owned())
}

#[cfg(test)]
mod tests;
