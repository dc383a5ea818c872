//! The accept loop.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;

use super::line::Line;
use super::{Server, talk};

/// How long nothing is accepted after the system had no descriptor or no memory left. Connections that end meanwhile
/// make room; trying again at once would only burn a processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until the shutdown, as many at a time as the limit allows.
pub(crate) async fn run(server: &Arc<Server>, listener: TcpListener) {
    let mut exhausted = false;
    loop {
        match server.shutdown.run_until_cancelled(listener.accept()).await {
            None => return,
            Some(Ok((stream, address))) => {
                exhausted = false;
                // Only with a connection at hand is it worth closing another one. All others wait in the backlog.
                let slot = server.shutdown.run_until_cancelled(server.crowd.slot()).await;
                let Some(slot) = slot else { return };
                let open = server.gauges.accept();
                let line = Arc::new(Line::new(server.crowd.seat()));
                let talk = talk::run(Arc::clone(server), Arc::clone(&line), stream, address);
                let gauges = server.gauges.clone();
                server.tasks.spawn(server.cut.clone().run_until_cancelled_owned(async move {
                    tokio::select! {
                        // What has come in is looked at before anything is closed.
                        biased;
                        () = talk => {}
                        () = line.dismissed() => gauges.shed(),
                    }
                    // The slot last: who gets it must not find this line any more.
                    drop(line);
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
