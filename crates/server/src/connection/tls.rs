//! Certificates: read from PEM files, and read again when the files change.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use tokio::time::Instant;

/// The files of a server's identity, in PEM form.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, followed by those of its issuers.
    pub certificate: PathBuf,
    /// The private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// Why a pair of certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds no certificate or no key.
    #[error("{} does not hold what it should", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The two do not go together, or are of a kind that is not supported.
    #[error("certificate and key cannot be used")]
    Unusable(#[from] rustls::Error),
}

/// The identity in use. Connections keep the one they began with.
#[derive(Debug)]
pub(crate) struct Identity {
    files: TlsFiles,
    every: Duration,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// The files as they were when they were last read, whether or not they could be used.
    stamps: [Option<Stamp>; 2],
    looked: Instant,
}

impl Identity {
    /// Reads the files, which have to be usable at the start.
    pub(crate) fn load(files: TlsFiles, every: Duration) -> Result<Self, TlsError> {
        let stamps = files.stamps();
        let config = Arc::new(files.read()?);
        let current = Mutex::new(Current { config, stamps, looked: Instant::now() });
        Ok(Self { files, every, current })
    }

    /// Returns the configuration for a connection that begins now.
    ///
    /// A changed pair of files is taken if it can be used; if not, the old one stays and the log says why. Reads a few
    /// kilobytes, and only after a change.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= self.every {
            current.looked = Instant::now();
            self.renew(&mut current);
        }
        Arc::clone(&current.config)
    }

    fn renew(&self, current: &mut Current) {
        // Before reading: what changes while it is read is seen at the next look.
        let stamps = self.files.stamps();
        if stamps == current.stamps {
            return;
        }
        current.stamps = stamps;
        match self.files.read() {
            Ok(config) => {
                tracing::info!(path = %self.files.certificate.display(), "renewed the TLS certificate");
                current.config = Arc::new(config);
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the changed TLS certificate is not used, the old one stays");
            }
        }
    }
}

impl TlsFiles {
    fn stamps(&self) -> [Option<Stamp>; 2] {
        [Stamp::of(&self.certificate), Stamp::of(&self.key)]
    }

    fn read(&self) -> Result<ServerConfig, TlsError> {
        let chain = CertificateDer::pem_slice_iter(&read(&self.certificate)?)
            .collect::<Result<Vec<_>, _>>()
            .and_then(
                |chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) },
            )
            .map_err(|source| TlsError::Malformed { path: self.certificate.clone(), source })?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|source| TlsError::Malformed { path: self.key.clone(), source })?;
        // Named, because the default of the process panics as soon as a second provider is compiled in.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
}

/// What tells one version of a file from another.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let data = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&data);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Self { modified: data.modified().ok(), length: data.len(), inode })
    }
}
