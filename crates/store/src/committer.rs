//! The one task that commits: records into the log with one sync, then into the ledger in one transaction, then answers.
//!
//! ```text
//! callers ──> queue ──> append(batch n+1) ─┐
//!                       apply (batch n)  ──┴─> answer batch n
//! ```
//!
//! While a batch is applied to the ledger, the next one, of all that came meanwhile, is appended to the log. A batch that is
//! in the log but could not be applied leaves the ledger behind; nothing more is appended until it has caught up from
//! the log, as when a store is opened.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::join;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    entry::{Content, Entry, Outcome, PayloadId},
    error::StoreError,
    ledger::Ledger,
    payload::{LogPosition, NewRecord, Payload, RecordPlace},
    recovery::catch_up,
    reservation::Reservations,
};

/// Requests that may wait.
const QUEUE_LEN: usize = 1024;
/// Memory that waiting requests may take.
const QUEUE_BYTES: usize = 32 << 20;
/// Records of one batch.
const BATCH_RECORDS: usize = 256;
/// Memory of one batch, but for its last record.
const BATCH_BYTES: usize = 8 << 20;

type Committed = Result<(Outcome, RecordPlace), StoreError>;

#[derive(Debug)]
struct Request {
    record: NewRecord,
    cost: usize,
    answer: oneshot::Sender<Committed>,
    _room: OwnedSemaphorePermit,
}

/// The callers' side.
#[derive(Debug)]
pub(crate) struct Committer {
    queue: Mutex<Option<mpsc::Sender<Request>>>,
    room: Arc<Semaphore>,
    task: Mutex<Option<JoinHandle<()>>>,
    reservations: Arc<Reservations>,
}

impl Committer {
    /// Starts the task. `owned` lives as long as the task may write.
    pub(crate) fn start(
        payload: Arc<dyn Payload>,
        ledger: Arc<dyn Ledger>,
        reservations: Arc<Reservations>,
        owned: impl Send + 'static,
    ) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE_LEN);
        let work = Work {
            payload,
            ledger,
            reservations: Arc::clone(&reservations),
            behind: false,
            fenced: false,
        };
        let task = tokio::spawn(async move {
            work.run(requests).await;
            drop(owned);
        });
        Self {
            queue: Mutex::new(Some(queue)),
            room: Arc::new(Semaphore::new(QUEUE_BYTES)),
            task: Mutex::new(Some(task)),
            reservations,
        }
    }

    /// Hands a record over and waits for its turn. Once it was handed over, dropping the future does not take it back.
    pub(crate) async fn commit(&self, entry: Entry, body: Bytes) -> Committed {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let queue = queue.ok_or(StoreError::Closed)?;
        let cost = cost(&entry, &body);
        let permits = u32::try_from(cost.min(QUEUE_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await;
        let room = room.map_err(|_| StoreError::Closed)?;
        let place = queue.reserve().await.map_err(|_| StoreError::Closed)?;
        let (answer, committed) = oneshot::channel();
        self.reservations.pin(extents(&entry));
        place.send(Request { record: NewRecord { entry, body }, cost, answer, _room: room });
        drop(queue);
        committed.await.map_err(|_| StoreError::Closed)?
    }

    /// Takes no more, and waits until everything that was taken is answered.
    pub(crate) async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = match task {
            Some(task) => Some(task.await),
            None => None,
        } && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Roughly the memory of a request in bytes, with its JSON.
fn cost(entry: &Entry, body: &Bytes) -> usize {
    let value = match entry {
        Entry::Document(document) => document.value_bytes(),
        _ => 0,
    };
    4096 + 400 * extents(entry).count() + value + body.len()
}

fn extents(entry: &Entry) -> impl Iterator<Item = PayloadId> {
    let extents = match entry {
        Entry::ArchiveCreated(archive) => match &archive.content {
            Content::Extents(extents) => extents.as_slice(),
            Content::Here => &[],
        },
        _ => &[],
    };
    extents.iter().map(|extent| extent.payload)
}

/// Records that are in the log, to be applied and answered.
#[derive(Debug, Default)]
struct Batch {
    entries: Vec<(Entry, RecordPlace)>,
    answers: Vec<(oneshot::Sender<Committed>, RecordPlace)>,
    pinned: Vec<PayloadId>,
    end: LogPosition,
    _room: Vec<OwnedSemaphorePermit>,
}

/// The task's side.
#[derive(Debug)]
struct Work {
    payload: Arc<dyn Payload>,
    ledger: Arc<dyn Ledger>,
    reservations: Arc<Reservations>,
    /// The log has records that the ledger has not.
    behind: bool,
    /// The ledger failed in a way that waiting does not heal.
    fenced: bool,
}

impl Work {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut appended = Batch::default();
        loop {
            let waiting = match appended.answers.is_empty() {
                true => match requests.recv().await {
                    Some(first) => take_waiting(&mut requests, Some(first)),
                    None => return,
                },
                false => take_waiting(&mut requests, None),
            };
            if let Err(error) = self.ready().await {
                self.refuse(waiting, &error);
                continue;
            }
            let batch = std::mem::take(&mut appended);
            let (next, applied) = join(self.append(waiting), self.apply(batch)).await;
            appended = next;
            if let Err(error) = applied {
                self.behind = true;
                self.fenced = !matches!(error, StoreError::Full { .. });
                tracing::error!(error = &error as &dyn std::error::Error, "the ledger failed");
                for (answer, _) in std::mem::take(&mut appended).answers {
                    send(answer, Err(error.again()));
                }
            }
        }
    }

    /// Brings the ledger up to the log, or says why nothing can be committed.
    async fn ready(&mut self) -> Result<(), StoreError> {
        if self.fenced {
            return Err(StoreError::Fenced);
        }
        if self.behind {
            catch_up(&*self.payload, &*self.ledger, false).await?;
            self.behind = false;
        }
        Ok(())
    }

    async fn append(&self, waiting: Vec<Request>) -> Batch {
        let mut batch = Batch::default();
        if waiting.is_empty() {
            return batch;
        }
        let mut records = Vec::with_capacity(waiting.len());
        let mut answers = Vec::with_capacity(waiting.len());
        for request in waiting {
            batch.pinned.extend(extents(&request.record.entry));
            batch._room.push(request._room);
            records.push(request.record);
            answers.push(request.answer);
        }
        let entries: Vec<Entry> = records.iter().map(|record| record.entry.clone()).collect();
        match self.payload.append(records).await {
            Ok(places) => {
                if let Some(last) = places.last() {
                    let LogPosition { pack, offset } = last.at;
                    batch.end = LogPosition { pack, offset: offset + last.length };
                }
                batch.entries = entries.into_iter().zip(places.iter().copied()).collect();
                batch.answers = answers.into_iter().zip(places).collect();
                batch
            }
            Err(error) => {
                self.reservations.unpin(&batch.pinned);
                answers.into_iter().for_each(|answer| send(answer, Err(error.again())));
                Batch::default()
            }
        }
    }

    async fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        if batch.answers.is_empty() {
            return Ok(());
        }
        match self.ledger.apply(batch.entries, batch.end).await {
            Ok(outcomes) => {
                self.reservations.settle(&batch.pinned);
                for ((answer, place), outcome) in batch.answers.into_iter().zip(outcomes) {
                    send(answer, Ok((outcome, place)));
                }
                Ok(())
            }
            Err(error) => {
                // The records are in the log, so their payloads stay pinned: they will be applied.
                batch.answers.into_iter().for_each(|(answer, _)| send(answer, Err(error.again())));
                Err(error)
            }
        }
    }

    fn refuse(&self, waiting: Vec<Request>, error: &StoreError) {
        for request in waiting {
            self.reservations.unpin(&extents(&request.record.entry).collect::<Vec<_>>());
            send(request.answer, Err(error.again()));
        }
    }
}

/// Takes what waits, up to a batch.
fn take_waiting(requests: &mut mpsc::Receiver<Request>, first: Option<Request>) -> Vec<Request> {
    let mut bytes = 0;
    let mut waiting = Vec::new();
    let mut next = first;
    loop {
        let Some(request) = next.take().or_else(|| requests.try_recv().ok()) else { break };
        bytes += request.cost;
        waiting.push(request);
        if waiting.len() >= BATCH_RECORDS || bytes >= BATCH_BYTES {
            break;
        }
    }
    waiting
}

/// Answers; a caller that has gone away does not mind.
fn send(answer: oneshot::Sender<Committed>, committed: Committed) {
    drop(answer.send(committed));
}
