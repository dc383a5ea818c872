//! Encrypted connections, and certificates that change.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use http::Request;
use icefield_server::connection::{Body, ConnectionError, Limits, Peer, TlsError, TlsFiles};
use rcgen::CertifiedKey;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::world::{PATIENCE, Raw, Running, SHORT, answer, measure, patient, start_with};

/// Certificate and key in a folder, and what clients have to trust.
struct Identity {
    folder: TempDir,
    certificate: CertificateDer<'static>,
}

impl Identity {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificate = write(folder.path());
        Self { folder, certificate }
    }

    fn files(&self) -> TlsFiles {
        files(self.folder.path())
    }

    fn renew(&mut self) {
        self.certificate = write(self.folder.path());
    }

    async fn connect(&self, server: &Running) -> Raw<TlsStream<TcpStream>> {
        self.try_connect(server, &version::TLS13, b"http/1.1").await.unwrap()
    }

    async fn try_connect(
        &self,
        server: &Running,
        version: &'static SupportedProtocolVersion,
        protocol: &[u8],
    ) -> std::io::Result<Raw<TlsStream<TcpStream>>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(server.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        Ok(Raw::new(timeout(PATIENCE, handshake).await.unwrap()?))
    }
}

fn files(folder: &Path) -> TlsFiles {
    TlsFiles { certificate: folder.join("certificate.pem"), key: folder.join("key.pem") }
}

/// Writes a new pair.
fn write(folder: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = files(folder);
    // A new file each time, as tools that renew certificates make it.
    let _not_there = fs::remove_file(&files.certificate);
    fs::write(&files.certificate, cert.pem()).unwrap();
    let _not_there = fs::remove_file(&files.key);
    fs::write(&files.key, signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

#[tokio::test]
async fn requests_are_served_over_both_versions_of_tls() {
    let identity = Identity::new();
    let server = start_with(patient(), Some(identity.files()), |peer: Peer, request| async move {
        assert!(peer.secure);
        measure(peer, request).await
    })
    .await;
    for version in [&version::TLS12, &version::TLS13] {
        let mut client = identity.try_connect(&server, version, b"http/1.1").await.unwrap();
        assert_eq!(client.stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
        for length in [0, 1, 5 << 20] {
            client.post(&vec![7; length]).await;
            assert_eq!(client.answer().await.body, length.to_string());
        }
    }
    assert!(identity.try_connect(&server, &version::TLS13, b"h2").await.is_err());
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_given_up() {
    let identity = Identity::new();
    let limits = Limits { tls_handshake: SHORT, ..patient() };
    let server = start_with(limits, Some(identity.files()), measure).await;
    let begun = Instant::now();
    server.connect().await.closed().await;
    assert!(begun.elapsed() >= SHORT);
    assert_eq!(server.gauges.refused(), 1);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_makes_room_for_others() {
    let identity = Identity::new();
    let limits = Limits { connections: 1, ..patient() };
    let server = start_with(limits, Some(identity.files()), measure).await;
    let mut silent = server.connect().await;
    assert_eq!(identity.connect(&server).await.get().await.status, 200);
    silent.closed().await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_handshakes() {
    let identity = Identity::new();
    let server = start_with(patient(), Some(identity.files()), measure).await;
    let mut silent = server.connect().await;
    assert_eq!(identity.connect(&server).await.get().await.status, 200);
    server.shutdown.cancel();
    silent.closed().await;
    server.ended().await;
}

#[tokio::test]
async fn a_changed_certificate_is_used_by_new_connections() {
    let mut identity = Identity::new();
    let server = start_with(patient(), Some(identity.files()), measure).await;
    let mut old = identity.connect(&server).await;
    identity.renew();
    let mut new = identity.connect(&server).await;
    assert_eq!((old.get().await.status, new.get().await.status), (200, 200));
}

#[tokio::test]
async fn a_changed_certificate_that_cannot_be_used_leaves_the_old_one() {
    let mut identity = Identity::new();
    let server = start_with(patient(), Some(identity.files()), measure).await;
    assert_eq!(identity.connect(&server).await.get().await.status, 200);
    let certificate = fs::read(identity.files().certificate).unwrap();
    let other = Identity::new();
    let others = [fs::read(other.files().certificate).unwrap(), b"nonsense".to_vec(), Vec::new()];
    for unusable in others {
        fs::write(identity.files().certificate, unusable).unwrap();
        assert_eq!(identity.connect(&server).await.get().await.status, 200);
    }
    fs::remove_file(identity.files().certificate).unwrap();
    assert_eq!(identity.connect(&server).await.get().await.status, 200);
    fs::write(identity.files().certificate, certificate).unwrap();
    assert_eq!(identity.connect(&server).await.get().await.status, 200);
    identity.renew();
    assert_eq!(identity.connect(&server).await.get().await.status, 200);
}

#[tokio::test]
async fn a_server_does_not_start_without_a_usable_pair() {
    let identity = Identity::new();
    fs::write(identity.files().key, "nonsense").unwrap();
    let server = start_with(patient(), Some(identity.files()), measure).await;
    let error = server.task.await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectionError::Tls(TlsError::Malformed { .. })), "{error:?}");

    fs::write(identity.files().key, fs::read(Identity::new().files().key).unwrap()).unwrap();
    let server = start_with(patient(), Some(identity.files()), measure).await;
    let error = server.task.await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectionError::Tls(TlsError::Unusable(_))), "{error:?}");

    fs::remove_file(identity.files().key).unwrap();
    let server = start_with(patient(), Some(identity.files()), measure).await;
    let error = server.task.await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectionError::Tls(TlsError::Unreadable { .. })), "{error:?}");
}

#[tokio::test]
async fn refusals_arrive_over_tls_too() {
    let identity = Identity::new();
    let refuse = |_, _: Request<Body>| async { answer(403, "not you") };
    let server = start_with(Limits::default(), Some(identity.files()), refuse).await;
    let mut client = identity.connect(&server).await;
    let length = 64 << 20;
    client.send(format!("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: {length}\r\n\r\n")).await;
    let _broken = timeout(PATIENCE, client.stream.write_all(&vec![7; length])).await.unwrap();
    assert_eq!(client.answer().await.body, "not you");

    let mut client = identity.connect(&server).await;
    client.send("nonsense\r\n\r\n").await;
    assert_eq!(client.answer().await.body, "refused with 400");
}
