//! Servers that other people wrote, each set up to do what icefield does as far as it can.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use icefield_protocol::sigv4::{AccessKeyId, SecretKey};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use crate::{
    options::Options,
    server::{BUCKET, Server, Speaks},
};

/// Bytes of a body that nginx keeps in memory before it writes them: a part of the largest that are sent.
const NGINX_BODY: &str = "64m";
const GARAGE_KEY: &str = "GK0123456789abcdef01234567";
const GARAGE_SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const KEY: &str = "ICEFIELDBENCHMARK000";
const SECRET: &str = "benchmark/only/secret/of/icefield/peers/";

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Icefield,
    Garage,
    Nginx,
    S3s,
    Moto,
}

impl Peer {
    /// All, icefield first.
    pub(crate) const ALL: [Self; 5] =
        [Self::Icefield, Self::Garage, Self::Nginx, Self::S3s, Self::Moto];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Icefield => "icefield",
            Self::Garage => "Garage, fsync on",
            Self::Nginx => "nginx DAV",
            Self::S3s => "s3s-fs (no sync)",
            Self::Moto => "moto (in memory)",
        }
    }

    /// Starts it with its files in the folder `home`, which is there and empty.
    pub(crate) fn start(self, options: &Options, home: &Path) -> Result<Server> {
        match self {
            Self::Icefield => Server::icefield(&options.icefield, &home.join("data")),
            Self::Garage => garage(options, home),
            Self::Nginx => nginx(home),
            Self::S3s => s3s(home),
            Self::Moto => moto(options),
        }
    }
}

/// Starts nginx as a WebDAV server. It has no setting that syncs, so the file system is told to do it for every write, where
/// it can be told so.
pub(crate) fn nginx(home: &Path) -> Result<Server> {
    let address = free_address()?;
    for folder in ["files", "body"] {
        fs::create_dir_all(home.join(folder))?;
    }
    // What is written in one go is synced in one go, and the name after it.
    let synced = marked(&home.join("body"), IFlags::SYNC)
        .and_then(|()| marked(&home.join("files"), IFlags::SYNC | IFlags::DIRSYNC));
    let name =
        if synced.is_ok() { "nginx DAV, folder with chattr +S" } else { "nginx DAV (no sync)" };
    // The user counts only when root runs this, whose folders nobody else may look into.
    let config = format!(
        "daemon off; user root; pid nginx.pid; error_log stderr error; worker_processes 2;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; client_max_body_size 0; client_body_temp_path body;
            client_body_buffer_size {NGINX_BODY};
            proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
            sendfile on;
            keepalive_requests 1000000000;
            server {{ listen {address}; location / {{
                root files; dav_methods PUT DELETE; create_full_put_path on;
            }} }}
        }}"
    );
    fs::write(home.join("nginx.conf"), config)?;
    let program = ["nginx", "/usr/sbin/nginx"].into_iter().find(|program| {
        let mut asked = Command::new(program);
        asked.arg("-v").stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    });
    let Some(program) = program else { bail!("nginx is not installed") };
    let child = Command::new(program)
        .args(["-c", "nginx.conf", "-p"])
        .arg(home)
        .stdin(Stdio::null())
        .stderr(File::create(home.join("log"))?)
        .spawn()
        .context("could not start nginx")?;
    Server::started(name, address, Speaks::Files, None, child)
}

/// Removes what a server has left in its folder, without a sync for each file.
pub(crate) fn remove(home: &Path) -> Result<()> {
    let files = home.join("files");
    if let Ok(folder) = File::open(files)
        && let Ok(flags) = ioctl_getflags(&folder)
    {
        ioctl_setflags(&folder, flags - (IFlags::SYNC | IFlags::DIRSYNC)).ok();
    }
    Ok(fs::remove_dir_all(home)?)
}

fn marked(folder: &Path, flags: IFlags) -> Result<()> {
    let folder = File::open(folder)?;
    let flags = ioctl_getflags(&folder)? | flags;
    ioctl_setflags(&folder, flags)?;
    ensure!(ioctl_getflags(&folder)?.contains(flags), "the flags do not stay");
    Ok(())
}

/// Starts `moto_server`, which keeps everything in memory.
fn moto(options: &Options) -> Result<Server> {
    let python = options.python.as_ref();
    let python = python.context("ICEFIELD_PYTHON is not set (cargo xtask tools sets it)")?;
    let address = free_address()?;
    let child = Command::new(python)
        .args(["-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p"])
        .arg(address.port().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("could not start moto")?;
    // It finds out from the signature which service is meant, and does not check it.
    let key = Some((key(KEY)?, SecretKey::new(SECRET.to_owned())));
    let server =
        Server::started(Peer::Moto.name(), address, Speaks::GlacierWithoutParts, key, child)?;
    server.make_vault()?;
    Ok(server)
}

/// Starts s3s-fs, which this program has a hidden command for.
fn s3s(home: &Path) -> Result<Server> {
    fs::create_dir_all(home.join("files").join(BUCKET))?;
    let address = free_address()?;
    let child = Command::new(std::env::current_exe()?)
        .args(["serve-s3s", &address.to_string(), KEY, SECRET])
        .arg(home.join("files"))
        .stdin(Stdio::null())
        .spawn()
        .context("could not start s3s-fs")?;
    let key = Some((key(KEY)?, SecretKey::new(SECRET.to_owned())));
    Server::started(Peer::S3s.name(), address, Speaks::S3, key, child)
}

/// Starts Garage as a cluster of one node that syncs data and metadata.
fn garage(options: &Options, home: &Path) -> Result<Server> {
    let program = options.garage.as_deref().unwrap_or(Path::new("garage"));
    let (api, rpc) = (free_address()?, free_address()?);
    let config = home.join("garage.toml");
    let folder = |name: &str| home.join(name).to_string_lossy().into_owned();
    let text = format!(
        "metadata_dir = {:?}\ndata_dir = {:?}\nmetadata_fsync = true\ndata_fsync = true\n\
         db_engine = \"lmdb\"\nreplication_factor = 1\nrpc_bind_addr = \"{rpc}\"\n\
         rpc_public_addr = \"{rpc}\"\nrpc_secret = \"{GARAGE_SECRET}\"\n\
         [s3_api]\ns3_region = \"us-east-1\"\napi_bind_addr = \"{api}\"\n\
         root_domain = \".s3.localhost\"\n",
        folder("meta"),
        folder("blocks"),
    );
    fs::write(&config, text)?;
    let command = |arguments: &[&str]| {
        let mut command = Command::new(program);
        command.arg("-c").arg(&config).args(arguments).stdin(Stdio::null());
        command
    };
    let child = command(&["server"])
        .env("RUST_LOG", "garage=warn")
        .stdout(Stdio::null())
        .stderr(File::create(home.join("log"))?)
        .spawn()
        .context("garage is not installed (ICEFIELD_GARAGE names its program)")?;
    let key = Some((key(GARAGE_KEY)?, SecretKey::new(GARAGE_SECRET.to_owned())));
    let server = Server::started(Peer::Garage.name(), api, Speaks::S3, key, child)?;
    let ask = |arguments: &[&str]| -> Result<String> {
        let done = command(arguments).env("RUST_LOG", "error").output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "garage {}: {said}", arguments.join(" "));
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    };
    let node = ask(&["node", "id", "-q"])?;
    let node = node.split('@').next().unwrap_or_default();
    ask(&["layout", "assign", "-z", "here", "-c", "1T", node])?;
    ask(&["layout", "apply", "--version", "1"])?;
    ask(&["key", "import", "--yes", GARAGE_KEY, GARAGE_SECRET])?;
    ask(&["bucket", "create", BUCKET])?;
    ask(&["bucket", "allow", "--read", "--write", "--owner", BUCKET, "--key", GARAGE_KEY])?;
    Ok(server)
}

fn key(text: &str) -> Result<AccessKeyId> {
    AccessKeyId::parse(text).context("no access key")
}

/// An address where nothing listens, for servers that cannot be asked where they do.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
