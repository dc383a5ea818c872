//! The one thread that writes, and its group commit.
//!
//! A change is a function on the connection. The thread takes every change that waits, up to a limit, runs each in a
//! savepoint of one transaction, commits, and only then answers all of them: what a transaction costs is mostly its
//! sync, so changes that wait for each other share one. A change that fails is rolled back alone; a commit that fails is
//! the failure of all. Dropping the future of a change harms nothing: the thread finishes what it took.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::failure::Failure;

/// Changes in one transaction at most; bounds how long the first of them waits for the others.
const MAX_CHANGES_PER_COMMIT: usize = 256;
/// Changes that may wait; further callers wait for room.
const MAX_WAITING_CHANGES: usize = 1024;

/// The writing connection, owned by its thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Box<dyn Change>>>>,
    thread: Mutex<Option<JoinHandle<Result<(), Failure>>>>,
}

impl Writer {
    /// Hands the connection to a new thread.
    pub(super) fn start(db: Connection) -> io::Result<Self> {
        let (queue, waiting) = mpsc::channel(MAX_WAITING_CHANGES);
        let thread =
            thread::Builder::new().name("ledger-writer".into()).spawn(move || run(db, waiting))?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    /// Runs `change` in a transaction and returns its result after the commit.
    pub(super) async fn write<T, F>(&self, change: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let queue = lock(&self.queue).clone().ok_or(Failure::Closed)?;
        let (reply, answer) = oneshot::channel();
        let pending = Pending { change: Some(change), result: Err(Failure::Closed), reply };
        queue.send(Box::new(pending)).await.map_err(|_| Failure::Closed)?;
        answer.await.map_err(|_| Failure::Closed)?
    }

    /// Lets the thread finish what waits, moves the write-ahead log into the file and closes it. Blocks. A second call
    /// does nothing.
    pub(super) fn close(&self) -> Result<(), Failure> {
        drop(lock(&self.queue).take());
        match lock(&self.thread).take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_panic)) => Err(Failure::Closed),
            None => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Err(failure) = self.close() {
            tracing::error!(%failure, "closing the ledger failed");
        }
    }
}

/// Both mutexes guard one `Option`, which a panic elsewhere cannot leave half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A change of any type on its way through the thread.
trait Change: Send {
    /// Runs and keeps the result; tells of a failure.
    fn run(&mut self, db: &Connection) -> Result<(), Failure>;

    /// Answers with the result if the commit succeeded, and with its failure otherwise.
    fn answer(self: Box<Self>, commit: Result<(), Failure>);
}

struct Pending<T, F> {
    change: Option<F>,
    result: Result<T, Failure>,
    reply: oneshot::Sender<Result<T, Failure>>,
}

impl<T, F> Change for Pending<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, db: &Connection) -> Result<(), Failure> {
        let Some(change) = self.change.take() else { return Ok(()) };
        self.result = in_savepoint(db, change).map_err(Failure::from);
        self.result.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    fn answer(self: Box<Self>, commit: Result<(), Failure>) {
        // Nobody may be waiting any more; the change is made all the same.
        drop(self.reply.send(commit.and(self.result)));
    }
}

fn run(mut db: Connection, mut queue: mpsc::Receiver<Box<dyn Change>>) -> Result<(), Failure> {
    let mut fenced = false;
    let mut changes = Vec::with_capacity(MAX_CHANGES_PER_COMMIT);
    while queue.blocking_recv_many(&mut changes, MAX_CHANGES_PER_COMMIT) > 0 {
        let commit = if fenced { Err(Failure::Fenced) } else { commit(&mut db, &mut changes) };
        fenced |= matches!(commit, Err(Failure::Fenced));
        for change in changes.drain(..) {
            change.answer(commit.clone());
        }
    }
    if fenced {
        return Err(Failure::Fenced);
    }
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    db.close().map_err(|(_, error)| error.into())
}

/// Runs the changes in one transaction.
fn commit(db: &mut Connection, changes: &mut [Box<dyn Change>]) -> Result<(), Failure> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for change in changes {
        let Err(failure) = change.run(&transaction) else { continue };
        // After some failures (no space, for one) SQLite has ended the transaction, with it the changes before.
        if transaction.is_autocommit() || matches!(failure, Failure::Fenced) {
            return Err(failure);
        }
    }
    Ok(transaction.commit()?)
}

fn in_savepoint<T>(
    db: &Connection,
    change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let step = |sql| db.prepare_cached(sql)?.execute([]);
    step("SAVEPOINT change")?;
    let result = change(db);
    if result.is_err() && !db.is_autocommit() && step("ROLLBACK TO change").is_err() {
        // Without this step back the change might be half in: give up the whole transaction.
        step("ROLLBACK")?;
    }
    if !db.is_autocommit() {
        step("RELEASE change")?;
    }
    result
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Context};

    use rusqlite::Connection;
    use tempfile::TempDir;

    use super::{Failure, Writer};

    fn writer(folder: &TempDir) -> Writer {
        let db = Connection::open(folder.path().join("x.db")).unwrap();
        db.execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE t (n INTEGER PRIMARY KEY, b BLOB) STRICT;",
        )
        .unwrap();
        Writer::start(db).unwrap()
    }

    fn insert(n: i64) -> impl FnOnce(&Connection) -> rusqlite::Result<i64> + Send + 'static {
        move |db| {
            db.execute("INSERT INTO t (n) VALUES (?1)", [n])?;
            Ok(n)
        }
    }

    async fn count(writer: &Writer) -> i64 {
        writer.write(|db| db.query_one("SELECT count(*) FROM t", [], |r| r.get(0))).await.unwrap()
    }

    #[tokio::test]
    async fn a_change_that_fails_takes_none_of_its_neighbours_with_it() {
        let folder = TempDir::new().unwrap();
        let writer = writer(&folder);
        let half = |db: &Connection| {
            db.execute("INSERT INTO t (n) VALUES (3)", [])?;
            db.execute("INSERT INTO t (n) VALUES (1)", [])
        };
        let (one, half, two) =
            tokio::join!(writer.write(insert(1)), writer.write(half), writer.write(insert(2)));
        assert_eq!((one.unwrap(), two.unwrap()), (1, 2));
        assert!(matches!(half, Err(Failure::Other(_))), "{half:?}");
        assert_eq!(count(&writer).await, 2);
    }

    #[tokio::test]
    async fn a_full_volume_is_told_to_all_and_room_makes_it_work_again() {
        let folder = TempDir::new().unwrap();
        let writer = writer(&folder);
        writer.write(insert(1)).await.unwrap();
        let limit = |pages: u32| {
            move |db: &Connection| {
                db.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            }
        };
        writer.write(limit(1)).await.unwrap();
        let big = |db: &Connection| db.execute("INSERT INTO t VALUES (9, zeroblob(100000))", []);
        assert!(matches!(writer.write(big).await, Err(Failure::Full)));
        assert_eq!(count(&writer).await, 1);
        writer.write(limit(1000)).await.unwrap();
        writer.write(big).await.unwrap();
        assert_eq!(count(&writer).await, 2);
    }

    #[tokio::test]
    async fn a_change_whose_future_is_dropped_is_finished() {
        let folder = TempDir::new().unwrap();
        let writer = writer(&folder);
        {
            let mut dropped = pin!(writer.write(insert(1)));
            let waker = futures_util::task::noop_waker();
            assert!(dropped.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(count(&writer).await, 1);
    }

    #[tokio::test]
    async fn closing_finishes_what_waits_and_leaves_one_file() {
        let folder = TempDir::new().unwrap();
        let writer = writer(&folder);
        let changes = futures_util::future::join_all((0..500).map(|n| writer.write(insert(n))));
        assert!(changes.await.into_iter().all(|change| change.is_ok()));
        writer.close().unwrap();
        assert!(matches!(writer.write(insert(501)).await, Err(Failure::Closed)));
        let files: Vec<_> =
            folder.path().read_dir().unwrap().map(|f| f.unwrap().file_name()).collect();
        assert_eq!(files, ["x.db"]);
        let db = Connection::open(folder.path().join("x.db")).unwrap();
        let count: i64 = db.query_one("SELECT count(*) FROM t", [], |r| r.get(0)).unwrap();
        assert_eq!(count, 500);
    }
}
