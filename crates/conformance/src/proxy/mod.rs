//! A proxy between a client and a server that does what networks do: it cuts, stalls, loses, damages and refuses.
//!
//! ```text
//! client <--> exchange (one request, one answer) <--> upstream
//!                |   ^
//!                |   +-- plan: the fault of request N, a pure function
//!                +-----> log: what was asked, what was done to it, who knows of the answer
//! ```
//!
//! It speaks plain HTTP/1.1 and streams: a head is read whole, a body passes piece by piece. Each request gets a connection
//! of its own to the upstream, so that nothing but the plan decides what breaks. Faults happen at [`Moment`]s of an
//! exchange and not at points in time, so that a run with the same seed does the same and nothing here sleeps.
//!
//! What counts in the end is the log: only the proxy knows which answers a client got completely, and so what a client may
//! send again and what it may not.

mod exchange;
mod gate;
mod log;
mod message;
mod plan;
mod refusal;
#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use self::{gate::Gate, log::Book};
pub use self::{
    log::{Answered, Asked, Exchange, Log, Reached},
    plan::{Fault, Moment, Plan, Storm},
    refusal::Refusal,
};

/// A proxy on a port of its own. Dropping it ends it, and every connection through it.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What all connections share.
struct Shared {
    upstream: SocketAddr,
    book: Book,
    gate: Gate,
    connections: AtomicU64,
}

impl Proxy {
    /// Starts a proxy in front of `upstream` that does no harm yet.
    ///
    /// # Errors
    ///
    /// When there is no port to listen on.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            book: Book::default(),
            gate: Gate::default(),
            connections: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Follows a plan from the next request on, until `at_most` faults have been injected.
    pub fn follow(&self, plan: impl Plan, at_most: u64) {
        self.shared.book.follow(Box::new(plan), at_most);
    }

    /// Returns how many faults of the plan are left.
    #[must_use]
    pub fn faults_left(&self) -> u64 {
        self.shared.book.faults_left()
    }

    /// Returns what has happened so far.
    #[must_use]
    pub fn log(&self) -> Log {
        self.shared.book.log()
    }

    /// Waits until an exchange is held by [`Fault::Held`].
    ///
    /// Cancel safe.
    pub async fn held(&self) {
        self.shared.gate.held().await;
    }

    /// Waits until no exchange is under way.
    ///
    /// Cancel safe.
    pub async fn quiet(&self) {
        self.shared.gate.quiet().await;
    }

    /// Lets go of everything that is held: those exchanges end without an answer.
    pub fn release(&self) {
        self.shared.gate.release();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Connections end with the proxy, because they are dropped with this.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A client that has gone again needs no connection.
                if let Ok((client, _)) = accepted {
                    connections.spawn(serve(client, Arc::clone(&shared)));
                }
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn serve(client: TcpStream, shared: Arc<Shared>) {
    let number = shared.connections.fetch_add(1, Ordering::Relaxed);
    // Whatever breaks here is what the client sees; it is in the log.
    drop(exchange::all(client, number, &shared).await);
}
