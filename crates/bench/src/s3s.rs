//! s3s-fs as a process of its own, so that what it takes can be told apart. It keeps objects as files, and syncs none.

use std::{net::SocketAddr, path::Path};

use anyhow::{Result, anyhow};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tokio::{net::TcpListener, runtime::Builder};

/// Serves the folder until the process is ended.
pub(crate) fn serve(folder: &Path, address: SocketAddr, key: &str, secret: &str) -> Result<()> {
    let files = s3s_fs::FileSystem::new(folder).map_err(|error| anyhow!("{error:?}"))?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(key, secret));
    let service = builder.build();
    Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(address).await?;
        loop {
            let (connection, _) = listener.accept().await?;
            let service = service.clone();
            tokio::spawn(async move {
                // A client may go away.
                let io = TokioIo::new(connection);
                drop(http1::Builder::new().serve_connection(io, service).await);
            });
        }
    })
}
