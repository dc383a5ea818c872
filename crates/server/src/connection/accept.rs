//! The accept loop.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Server, talk};

/// How long nothing is accepted after the system had no descriptor or no memory left. Connections that end meanwhile
/// make room; trying again at once would only burn a processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until the shutdown, as many at a time as the limit allows.
pub(crate) async fn run(server: &Arc<Server>, listener: TcpListener) {
    let slots = Arc::new(Semaphore::new(server.limits.connections.min(Semaphore::MAX_PERMITS)));
    let mut exhausted = false;
    loop {
        // Taken before accepting, so that who does not fit waits in the backlog and costs nothing.
        let slot = async {
            Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed")
        };
        let Some(slot) = server.shutdown.run_until_cancelled(slot).await else { return };
        match server.shutdown.run_until_cancelled(listener.accept()).await {
            None => return,
            Some(Ok((stream, address))) => {
                exhausted = false;
                let open = server.gauges.accept();
                let talk = talk::run(Arc::clone(server), stream, address);
                server.tasks.spawn(server.cut.clone().run_until_cancelled_owned(async move {
                    talk.await;
                    drop((open, slot));
                }));
            }
            Some(Err(error)) if concerns_one_connection(&error) => server.gauges.refuse(),
            Some(Err(error)) => {
                server.gauges.refuse();
                if !exhausted {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "cannot accept connections, trying again");
                }
                exhausted = true;
                drop(slot);
                // Ends early at the shutdown.
                if timeout(ACCEPT_PAUSE, server.shutdown.cancelled()).await.is_ok() {
                    return;
                }
            }
        }
    }
}

/// Whether the connection went away while it waited to be accepted.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}
