//! Servers under load: icefield, and those that store bytes elsewhere.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use icefield_protocol::{
    Timestamp,
    sigv4::{AccessKeyId, RequestHead, RequestTime, SecretKey, Signer},
};
use icefield_treehash::{Hasher, LinearHash, Roles, TreeHash};
use tempfile::TempDir;

use crate::http::{Connection, Request};

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(30);

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Glacier,
    S3,
    /// `PUT` of a file, as WebDAV has it.
    Files,
}

/// A running server; ended when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) speaks: Speaks,
    /// Access key and its secret, where requests are signed.
    key: Option<(AccessKeyId, SecretKey)>,
    child: Child,
    _stdout: Option<BufReader<ChildStdout>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing it holds outlives it. nginx' workers end with their master.
        let asked = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(asked, rustix::process::Signal::TERM).ok();
        let begin = Instant::now();
        while begin.elapsed() < START && !matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Bytes to be stored, with their hashes.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    pub(crate) bytes: Bytes,
    linear: LinearHash,
    pub(crate) tree: TreeHash,
}

impl Payload {
    /// Makes bytes that do not compress and in which no two MiB are the same.
    pub(crate) fn random(len: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let words = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        let bytes: Vec<u8> = words.take(len.div_ceil(8)).flatten().take(len).collect();
        let mut hasher = Hasher::new(Roles { linear: false });
        hasher.update(&bytes);
        let (linear, tree) = (LinearHash::of(&bytes), hasher.finish().tree);
        Self { bytes: bytes.into(), linear, tree }
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl Server {
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Starts `icefield serve` on a store in the folder `data`.
    pub(crate) fn icefield(program: &Path, data: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .env("ICEFIELD_MASTER_KEY_FILE", data.with_extension("key"))
            .env("HOME", data.with_extension("home"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(data.with_extension("log"))?)
            .spawn()
            .context("could not start icefield")?;
        let mut stdout = BufReader::new(child.stdout.take().context("no output")?);
        let mut told = |name: &str| -> Result<String> {
            let mut line = String::new();
            stdout.read_line(&mut line)?;
            let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": "));
            Ok(value.with_context(|| format!("`{name}` expected, got {line:?}"))?.trim().to_owned())
        };
        let address = told("endpoint")?;
        let address = address.strip_prefix("http://").context("no http endpoint")?.parse()?;
        let access_key = AccessKeyId::parse(&told("access key")?).context("no access key")?;
        let key = Some((access_key, SecretKey::new(told("secret key")?)));
        let speaks = Speaks::Glacier;
        let server = Self { name: "icefield", address, speaks, key, child, _stdout: Some(stdout) };
        let vault = server.request("PUT", "/-/vaults/v", "", &[], None);
        Connection::to(address).send(&vault)?.success()?;
        Ok(server)
    }

    /// Starts nginx as a WebDAV server in the folder `home`; what it stores is not synced.
    pub(crate) fn nginx(home: &Path) -> Result<Self> {
        let address = free_address()?;
        fs::create_dir_all(home.join("files"))?;
        let config = format!(
            "daemon off; pid nginx.pid; error_log stderr error; worker_processes 2;
            events {{ worker_connections 1024; }}
            http {{
                access_log off; client_max_body_size 0; client_body_temp_path body;
                proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
                sendfile on;
                keepalive_requests 1000000000;
                server {{ listen {address}; location / {{
                    root files; dav_methods PUT DELETE; create_full_put_path on;
                }} }}
            }}"
        );
        fs::write(home.join("nginx.conf"), config)?;
        let child = Command::new("nginx")
            .args(["-c", "nginx.conf", "-p"])
            .arg(home)
            .stdin(Stdio::null())
            .spawn()
            .context("could not start nginx")?;
        Self::started("nginx DAV (no sync)", address, Speaks::Files, child)
    }

    /// Starts `moto_server` of the Python `python`; it keeps everything in memory.
    pub(crate) fn moto(python: &Path) -> Result<Self> {
        let address = free_address()?;
        let child = Command::new(python)
            .args(["-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p"])
            .arg(address.port().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("could not start moto")?;
        let server = Self::started("moto (in memory)", address, Speaks::Glacier, child)?;
        let vault = server.request("PUT", "/-/vaults/v", "", &[], None);
        Connection::to(address).send(&vault)?.success()?;
        Ok(server)
    }

    fn started(
        name: &'static str,
        address: SocketAddr,
        speaks: Speaks,
        child: Child,
    ) -> Result<Self> {
        let mut server = Self { name, address, speaks, key: None, child, _stdout: None };
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{name} ended: {status}");
            }
            ensure!(begin.elapsed() < START, "{name} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Prepares a request, signed where the server wants that. It can be sent as often as wanted within a quarter of an
    /// hour.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
        payload: Option<&Payload>,
    ) -> Request {
        let now = now();
        let host = self.address.to_string();
        let linear = payload.map_or_else(|| LinearHash::of(b""), |payload| payload.linear);
        let (linear, date) = (linear.to_string(), RequestTime::of(now).text().to_owned());
        let tree = payload.map(|payload| payload.tree.to_string());
        let length = payload.map(|payload| payload.len().to_string());
        let mut all = vec![("host", host.as_str())];
        if self.speaks != Speaks::Files {
            all.extend([("x-amz-date", date.as_str()), ("x-amz-content-sha256", &linear)]);
        }
        if self.speaks == Speaks::Glacier {
            all.push(("x-amz-glacier-version", "2012-06-01"));
            all.extend(tree.as_ref().map(|tree| ("x-amz-sha256-tree-hash", tree.as_str())));
        }
        all.extend(headers);
        let head = RequestHead {
            method,
            path,
            query,
            headers: all.iter().map(|(name, value)| (*name, value.as_bytes())).collect(),
        };
        let authorization = self.key.as_ref().map(|(access_key, secret)| {
            let service = if self.speaks == Speaks::S3 { "s3" } else { "glacier" };
            let signer = Signer { access_key, secret, region: "us-east-1", service };
            let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
            signer.authorize(&head, &names, now, &linear)
        });
        all.extend(authorization.as_ref().map(|value| ("authorization", value.as_str())));
        match &length {
            Some(length) => all.push(("content-length", length)),
            None if method != "GET" => all.push(("content-length", "0")),
            None => {}
        }
        let join = if query.is_empty() { "" } else { "?" };
        let mut text = format!("{method} {path}{join}{query} HTTP/1.1\r\n");
        for (name, value) in all {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let body = payload.map(|payload| payload.bytes.clone()).unwrap_or_default();
        Request { head: text, body }
    }

    /// Prepares the storing of one archive, object or file. A name that is there already is written again.
    pub(crate) fn put(&self, name: &str, payload: &Payload) -> Request {
        match self.speaks {
            Speaks::Glacier => self.request("POST", "/-/vaults/v/archives", "", &[], Some(payload)),
            Speaks::S3 => self.request("PUT", &format!("/v/{name}"), "", &[], Some(payload)),
            Speaks::Files => self.request("PUT", &format!("/{name}"), "", &[], Some(payload)),
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// An address where nothing listens, for servers that cannot be asked where they do.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A fresh folder below `root`.
pub(crate) fn folder(root: &Path) -> Result<(TempDir, PathBuf)> {
    let folder = TempDir::new_in(root)?;
    let inside = folder.path().join("data");
    Ok((folder, inside))
}
