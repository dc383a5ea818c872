//! The socket: who may connect, one line in, one line out.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    execute::Administrator,
    request::{Answer, Refusal, Request},
};
use icefield_protocol::ErrorCode;

/// Its name in the store's folder.
const SOCKET: &str = "control.sock";
/// Longest request: a policy and its surroundings, escaped.
const MAX_REQUEST_BYTES: u64 = 256 << 10;
/// Longest answer.
const MAX_ANSWER_BYTES: u64 = 256 << 20;
/// How long a client may take to say what it wants.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Commands at once.
const MAX_CONNECTIONS: usize = 16;

/// Why the server that owns a store could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody answers there.
    #[error("no server answers at {}", path.display())]
    NobodyThere {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The connection broke, or the answer is none.
    #[error("the server at {} broke off", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Whether there is a socket to ask a server through.
#[must_use]
pub fn is_served(dir: &Path) -> bool {
    fs::metadata(dir.join(SOCKET)).is_ok_and(|found| found.file_type().is_socket())
}

/// Asks the server that owns the store in `dir`, and waits for its answer, however long it takes.
///
/// # Errors
///
/// `NobodyThere` when no server listens (a server that was killed leaves its socket).
pub async fn ask(dir: &Path, request: &Request) -> Result<Answer, AskError> {
    let path = dir.join(SOCKET);
    let stream = UnixStream::connect(&path).await;
    let stream = stream.map_err(|source| AskError::NobodyThere { path: path.clone(), source })?;
    exchange(stream, request).await.map_err(|source| AskError::Broken { path, source })
}

async fn exchange(mut stream: UnixStream, request: &Request) -> io::Result<Answer> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    Ok(serde_json::from_slice(&answer)?)
}

/// Takes commands until the end. What is at `DIR/control.sock` was left by a server that is no more: the store's lock
/// has seen to that.
///
/// A server without its socket serves all the same; the log says why there is none (a path of more than about 100 bytes, a
/// file system without sockets).
pub(crate) async fn serve(dir: PathBuf, administrator: Administrator, stop: CancellationToken) {
    let path = dir.join(SOCKET);
    let listener = match bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "no commands of the owner are taken");
            return;
        }
    };
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) if tasks.len() < MAX_CONNECTIONS => {
                let (administrator, stop) = (administrator.clone(), stop.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        served = talk(stream, administrator) => note(served),
                        () = stop.cancelled() => {}
                    }
                });
            }
            Ok((stream, _)) => drop(stream),
            Err(error) => note(Err(error)),
        }
    }
    tasks.close();
    tasks.wait().await;
    note(fs::remove_file(&path));
}

fn note(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "the control socket");
    }
}

/// Makes the socket anew. Its folder is its owner's alone, so nobody can connect before the mode is set.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn talk(stream: UnixStream, administrator: Administrator) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer != rustix::process::geteuid().as_raw() {
        tracing::warn!(uid = peer, "another user tried the control socket");
        return Ok(());
    }
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    let mut read = BufReader::new(read.take(MAX_REQUEST_BYTES));
    let arrived = timeout(REQUEST_TIME, read.read_until(b'\n', &mut line)).await;
    let answer = match arrived {
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        Ok(read) => {
            read?;
            match serde_json::from_slice(&line) {
                Ok(request) => administrator.execute(request).await,
                Err(error) => Answer::Refused(Refusal::new(ErrorCode::Serialization, error)),
            }
        }
    };
    write.write_all(&serde_json::to_vec(&answer)?).await?;
    write.shutdown().await
}
