//! A server under load, and what it is sent.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpStream},
    path::Path,
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

use crate::http::{Connection, Request};

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(30);

/// Where objects are put.
pub(crate) const BUCKET: &str = "bench";

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Glacier,
    /// The same, with archives in one request only.
    GlacierWithoutParts,
    S3,
    /// `PUT` of a file, as WebDAV has it.
    Files,
}

impl Speaks {
    const fn glacier(self) -> bool {
        matches!(self, Self::Glacier | Self::GlacierWithoutParts)
    }
}

/// A running server; ended when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) speaks: Speaks,
    /// Access key and its secret, where requests are signed.
    key: Option<(AccessKeyId, SecretKey)>,
    /// How long it took until it answered.
    pub(crate) ready_after: Duration,
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
    /// Takes bytes as they are.
    pub(crate) fn of(bytes: Bytes) -> Self {
        let mut hasher = Hasher::new(Roles { linear: false });
        hasher.update(&bytes);
        let (linear, tree) = (LinearHash::of(&bytes), hasher.finish().tree);
        Self { bytes, linear, tree }
    }

    /// Makes so many of one length that do not compress and have no MiB in common, in little memory: slices of the same
    /// bytes that begin at other places. Who stores equal blocks once gains nothing.
    pub(crate) fn many(len: usize, count: usize) -> Vec<Self> {
        const STRIDE: usize = 4096 + 64;
        let bytes = random(len + count * STRIDE);
        (0..count).map(|n| Self::of(bytes.slice(n * STRIDE..n * STRIDE + len))).collect()
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
        Self::icefield_by(Command::new(program), data)
    }

    /// The same, with the program, or what runs it, already in the command.
    pub(crate) fn icefield_by(mut command: Command, data: &Path) -> Result<Self> {
        let begin = Instant::now();
        let mut child = command
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
        let (speaks, ready_after) = (Speaks::Glacier, begin.elapsed());
        let name = "icefield";
        let _stdout = Some(stdout);
        let server = Self { name, address, speaks, key, ready_after, child, _stdout };
        server.make_vault()?;
        Ok(server)
    }

    /// Takes a process that was started to listen at `address`, once it does.
    pub(crate) fn started(
        name: &'static str,
        address: SocketAddr,
        speaks: Speaks,
        key: Option<(AccessKeyId, SecretKey)>,
        child: Child,
    ) -> Result<Self> {
        let begin = Instant::now();
        let ready_after = Duration::ZERO;
        let mut server = Self { name, address, speaks, key, ready_after, child, _stdout: None };
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{name} ended: {status}");
            }
            ensure!(begin.elapsed() < START, "{name} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        server.ready_after = begin.elapsed();
        Ok(server)
    }

    /// Makes the vault that everything goes to, where there are vaults.
    pub(crate) fn make_vault(&self) -> Result<()> {
        let vault = self.request("PUT", "/-/vaults/v", "", &[], None);
        Connection::to(self.address).send(&vault)?.success().map(drop)
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
        if self.speaks.glacier() {
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
            Speaks::Glacier | Speaks::GlacierWithoutParts => {
                self.request("POST", "/-/vaults/v/archives", "", &[], Some(payload))
            }
            Speaks::S3 => self.request("PUT", &format!("/{BUCKET}/{name}"), "", &[], Some(payload)),
            Speaks::Files => self.request("PUT", &format!("/{name}"), "", &[], Some(payload)),
        }
    }
}

/// Returns bytes that do not compress.
pub(crate) fn random(len: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let mut bytes = Vec::with_capacity(len + 8);
    words.take(len.div_ceil(8)).for_each(|word| bytes.extend_from_slice(&word));
    bytes.truncate(len);
    bytes.into()
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
