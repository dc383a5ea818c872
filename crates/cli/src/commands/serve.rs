//! `icefield serve`: the service.

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use clap::Args;
use icefield_engine::{Engine, Settings};
use icefield_protocol::sigv4::{AccessKeyId, SecretKey};
use icefield_server::{Server, Watch};
use icefield_store::{OpenOptions, Store, StoreError};
use tokio::net::TcpListener;
use tracing_subscriber::filter::LevelFilter;

use crate::{
    failure::{Exit, Failure},
    log::{self, LogForm},
    service::{NONE, Service, Value, audit_log, master_key, region},
    session::Session,
};

/// Where the service listens unless it is told otherwise.
const LISTEN: &str = "127.0.0.1:9440";
/// Where metrics and health are told.
const METRICS_LISTEN: &str = "127.0.0.1:9441";
/// Files that are open whoever connects: the store's, the ledger's, sockets.
const OWN_FILES: usize = 256;
/// A socket, and a payload file with its hashes.
const FILES_PER_CONNECTION: usize = 3;
/// The key of `--dev`: known to everybody, so it opens nothing but what `--dev` serves.
const DEV_ACCESS_KEY: &str = "ICEFIELDDEVELOPMENT0";
const DEV_SECRET_KEY: &str = "development/only/secret/of/icefield/serve";

/// Serve a store to programs that speak the Glacier API
///
/// Settings that are no options here stand in icefield/serve.toml in the user's configuration folder (or --config FILE), or in
/// the environment as ICEFIELD_...; docs/configuration.md lists them.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The store's folder (default: the embedded store)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to listen (default: 127.0.0.1:9440)
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where to tell metrics and health (default: 127.0.0.1:9441, nowhere with --dev; `none` for nowhere)
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<String>,
    /// For trying things out: on this machine only, in memory unless --data is given, without delays, with a key that
    /// everybody knows
    #[arg(long)]
    dev: bool,
}

/// Serves until `asked_to_end`, with the settings of the file `config` if one was named.
pub(crate) async fn run(
    serve: Box<Serve>,
    config: Option<PathBuf>,
    session: &Session,
    asked_to_end: impl Future<Output = ()>,
) -> anyhow::Result<Exit> {
    if session.global.dry_run {
        return Err(Failure::usage("serve has no --dry-run: nothing was done").into());
    }
    let mut service = Service::load(config.as_deref())?;
    service.set("data", "--data", serve.data.as_ref().map(|data| data.display()));
    service.set("listen", "--listen", serve.listen.as_ref());
    service.set("metrics_listen", "--metrics-listen", serve.metrics_listen.as_ref());
    service.set("region", "--region", session.global.region.as_ref());
    let mut settings = service.server()?;
    begin_log(&service, session)?;

    let listen = service.value("listen").map_or(LISTEN, |value| value.text.as_str()).to_owned();
    settings.local_hosts_only = serve.dev;
    allow_many_files(&mut settings.limits.connections);
    let listener = bind(&listen, "--listen").await?;
    let usual = if serve.dev { NONE } else { METRICS_LISTEN };
    let metrics = match service.value("metrics_listen").map_or(usual, |value| &value.text) {
        NONE => None,
        listen => Some(bind(listen, "--metrics-listen").await?),
    };
    let address = listener.local_addr().context("the listener has no address")?;
    if serve.dev && !address.ip().is_loopback() {
        return Err(Failure::usage(format!(
            "--dev has a key that everybody knows, so it does not listen on {address}"
        ))
        .hint("listen on 127.0.0.1, or leave --dev out and make a key: icefield key create")
        .into());
    }
    if address.ip().is_unspecified() && settings.public_url.is_none() {
        tracing::warn!(
            "messages about notifications lead to {address}, which is nobody's address: set public_url"
        );
    }
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let endpoint = settings.public_url.clone().unwrap_or_else(|| format!("{scheme}://{address}"));

    let engine = open(&serve, &service, session, &endpoint).await?;
    let account = engine.account().clone();
    let region = engine.region().clone();
    let audit = match audit_log(&service, engine.store()) {
        Ok(audit) => audit,
        Err(error) => {
            engine.close().await;
            return Err(Failure::failed("changes could not be told of")
                .because(error)
                .hint("audit_log names another file, or `none`")
                .into());
        }
    };
    let watch = Watch { metrics, audit, ..Watch::default() };
    let mut running = Server::start_watched(engine.clone(), settings, listener, watch)?;
    say(&format!("endpoint: {endpoint}"))?;
    if serve.dev {
        say(&format!("access key: {DEV_ACCESS_KEY}"))?;
        say(&format!("secret key: {DEV_SECRET_KEY}"))?;
    }
    say(&format!("account: {account}"))?;
    say(&format!("region: {region}"))?;
    if let Some(address) = running.metrics_address() {
        say(&format!("metrics: http://{address}/metrics"))?;
    }
    tracing::info!(endpoint, version = env!("CARGO_PKG_VERSION"), "the service has begun");

    let broken = tokio::select! {
        () = asked_to_end => None,
        error = running.ended() => Some(error),
    };
    tracing::info!("the service is ending: requests that have begun are finished");
    let stopped = running.stop().await;
    engine.close().await;
    match broken.or(stopped.err()) {
        None => Ok(Exit::Done),
        Some(error) => Err(Failure::failed("the service had to end")
            .because(error)
            .hint("look at the disk, then run `icefield store check` before the store is served again")
            .into()),
    }
}

/// Each connection is an open file, and so is what is written for it: takes all files that the system allows, and no more
/// connections than leave enough of them.
fn allow_many_files(connections: &mut usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let files = match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays as it is");
            current
        }
    };
    let files = files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    let fit = files.saturating_sub(OWN_FILES) / FILES_PER_CONNECTION;
    if *connections > fit {
        let needed = *connections * FILES_PER_CONNECTION + OWN_FILES;
        tracing::info!(
            files,
            needed,
            connections = fit,
            "fewer connections at once than set, because of the limit of open files"
        );
        *connections = fit.max(1);
    }
}

fn begin_log(service: &Service, session: &Session) -> anyhow::Result<()> {
    let form: Option<LogForm> = service.value("log_format").map(Value::parsed).transpose()?;
    let level = service.value("log_level").map_or(Ok(LevelFilter::INFO), Value::parsed)?;
    log::begin_service(&session.global, form, level, Arc::clone(&session.clock))
}

async fn bind(listen: &str, option: &str) -> Result<TcpListener, Failure> {
    let failed = |error: std::io::Error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("another program listens there: choose another port with {option}")
            }
            std::io::ErrorKind::PermissionDenied => {
                format!("ports below 1024 need a privilege: choose another with {option}")
            }
            _ => "an address is written 127.0.0.1:9440, or [::]:9440 for everywhere".to_owned(),
        };
        Failure::usage(format!("cannot listen on {listen}")).because(error).hint(hint)
    };
    TcpListener::bind(listen).await.map_err(failed)
}

/// Opens the store and puts the engine on it.
async fn open(
    serve: &Serve,
    service: &Service,
    session: &Session,
    endpoint: &str,
) -> anyhow::Result<Engine> {
    let settings = service.engine(serve.dev)?;
    let (store, master_key) = match (serve.dev, service.path("data")) {
        (true, None) => {
            let store = Store::in_memory(Arc::clone(&session.clock)).await?;
            (store, icefield_engine::MasterKey::generate()?)
        }
        (dev, data) => {
            let path = session.store_path(data.as_ref())?;
            let file = service.master_key_file()?;
            // One that nobody could ask anything would only be in the way.
            let create = dev || service.value("root_access_key_id").is_some();
            let store = open_store(&path, create, session, endpoint).await?;
            match master_key(&file, &store).await {
                Ok(key) => (store, key),
                Err(error) => {
                    store.close().await;
                    return Err(error);
                }
            }
        }
    };
    let region = region(service, &store)?;
    store.set_region(region.clone()).await?;
    let settings = Settings { region, ..settings };
    let engine = Engine::open_with(store, settings, Some(&master_key)).await?;
    if let Err(error) = admit(serve, service, &engine).await {
        engine.close().await;
        return Err(error);
    }
    Ok(engine)
}

async fn open_store(
    path: &Path,
    create: bool,
    session: &Session,
    endpoint: &str,
) -> anyhow::Result<Store> {
    let opening = async |options: OpenOptions| {
        let address = Some(endpoint.to_owned());
        let options = OpenOptions { program: "icefield serve".to_owned(), address, ..options };
        Store::open(path, options).await
    };
    match session.when_free(create, opening).await {
        Err(error @ StoreError::NotAStore { .. }) => {
            Err(Failure::usage(format!("there is no store to serve at {}", path.display()))
                .because(error)
                .hint(format!(
                    "icefield key create --data {0} makes one, with its first access key",
                    path.display()
                ))
                .hint("to try things out without one: icefield serve --dev")
                .into())
        }
        opened => Ok(opened?),
    }
}

/// Sees to it that somebody can sign a request.
async fn admit(serve: &Serve, service: &Service, engine: &Engine) -> anyhow::Result<()> {
    if serve.dev {
        let key = AccessKeyId::parse(DEV_ACCESS_KEY).expect("letters and digits");
        engine.lend_root_key(key, SecretKey::new(DEV_SECRET_KEY));
        return Ok(());
    }
    match (service.value("root_access_key_id"), service.value("root_secret_access_key")) {
        (Some(key), Some(secret)) => {
            let key: AccessKeyId = key.parsed()?;
            engine.set_root_key(&key, &SecretKey::new(secret.text.as_str())).await?;
        }
        (None, None) => {}
        _ => {
            return Err(Failure::usage(
                "root_access_key_id and root_secret_access_key belong together",
            )
            .hint("give both, or neither and make a key: icefield key create")
            .into());
        }
    }
    let keys = engine.keys().await?;
    if keys.is_empty() {
        return Err(Failure::usage("nobody could sign a request: the store has no access key")
            .hint("make one: icefield key create (with --data DIR for a store in another place)")
            .hint("to try things out without one: icefield serve --dev")
            .into());
    }
    // A wrong master key is better found now than by every request.
    for key in keys {
        engine.credential(&key.access_key).await.map_err(|error| {
            Failure::failed("the secret of an access key cannot be read")
                .because(error)
                .hint("ICEFIELD_MASTER_KEY_FILE or master_key_file names the file that was used when the keys were made")
                .hint(format!("to do without this one: icefield key revoke {}", key.access_key))
        })?;
    }
    Ok(())
}

/// Tells where and how the service is reached, on standard output, at once.
#[expect(clippy::print_stdout, reason = "what scripts read")]
fn say(line: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    println!("{line}");
    std::io::stdout().flush()
}
