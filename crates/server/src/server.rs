//! A server that runs: connections, the pipeline behind them, and the work in the background, all owned by one value.
//!
//! Starting needs an engine and a listener that is bound already, so that whoever starts knows the address and has met
//! the errors of binding. Stopping lets requests in flight end, then the work in the background, in that order: a request
//! may still ask for a job.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
};

use icefield_engine::Engine;
use tokio::{net::TcpListener, sync::Mutex, task::JoinHandle};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    auth::Authenticator,
    background::{Background, JobBell},
    connection::{self, ConnectionError, Gauges, Service},
    control::{self, Administrator},
    exchange::Observer,
    notify::{Notifier, NotifyCounters},
    operate::{AccessLog, AuditLog, Monitor, RequestMetrics, ScrubCounters, compact, scrub, tell},
    pipeline::Pipeline,
    settings::ServerSettings,
    throttle::Throttle,
};

/// Starts servers.
#[derive(Debug)]
pub struct Server {
    _private: (),
}

/// Who watches a server, beside its log.
#[derive(Debug, Default)]
pub struct Watch {
    /// Are told of every request.
    pub observers: Vec<Arc<dyn Observer>>,
    /// Where metrics and health are told.
    pub metrics: Option<TcpListener>,
    /// Gets a line for every change before it is answered.
    pub audit: Option<AuditLog>,
}

/// A server that runs. Dropping it ends it without waiting.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    gauges: Gauges,
    counters: NotifyCounters,
    /// Asks connections for an end, also when this is dropped.
    shutdown: DropGuard,
    /// The same for the work in the background.
    stop: DropGuard,
    broken: CancellationToken,
    connections: JoinHandle<Result<(), ConnectionError>>,
    background: TaskTracker,
}

/// Why a server could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The listener has no address.
    #[error("cannot tell the address of the listener")]
    Address(#[source] io::Error),
    /// Connections cannot be served.
    #[error("cannot serve connections")]
    Connections(#[from] ConnectionError),
    /// A sync to disk failed.
    #[error("a sync to disk failed, so nothing more is stored: check the disk, then start again")]
    Fenced,
    /// A task ended that should not have.
    #[error("the server broke down")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Server {
    /// Begins to serve the engine's vaults at the listener.
    ///
    /// # Errors
    ///
    /// When the listener has no address, or certificate and key cannot be used. What only shows later is told by
    /// [`Running::ended`].
    pub fn start(
        engine: Engine,
        settings: ServerSettings,
        listener: TcpListener,
    ) -> Result<Running, ServerError> {
        Self::start_observed(engine, settings, listener, Vec::new())
    }

    /// Does what [`start`](Self::start) does, and tells the observers of every request.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn start_observed(
        engine: Engine,
        settings: ServerSettings,
        listener: TcpListener,
        observers: Vec<Arc<dyn Observer>>,
    ) -> Result<Running, ServerError> {
        Self::start_watched(engine, settings, listener, Watch { observers, ..Watch::default() })
    }

    /// Does what [`start`](Self::start) does, and lets itself be watched.
    ///
    /// # Errors
    ///
    /// As there, also for the listener of the metrics.
    pub fn start_watched(
        engine: Engine,
        settings: ServerSettings,
        listener: TcpListener,
        watch: Watch,
    ) -> Result<Running, ServerError> {
        let Watch { mut observers, metrics, audit } = watch;
        let metrics_address = metrics.as_ref().map(TcpListener::local_addr).transpose();
        let metrics_address = metrics_address.map_err(ServerError::Address)?;
        let requests = Arc::new(RequestMetrics::default());
        observers.push(Arc::<RequestMetrics>::clone(&requests));
        observers.push(Arc::new(AccessLog));
        let address = listener.local_addr().map_err(ServerError::Address)?;
        if let Some(files) = &settings.tls {
            connection::check_tls(files, &settings.limits)?;
        }
        let (shutdown, stop) = (CancellationToken::new(), CancellationToken::new());
        let (broken, bell, gauges) =
            (CancellationToken::new(), JobBell::default(), Gauges::default());
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        let base = settings.public_url.clone().unwrap_or_else(|| format!("{scheme}://{address}"));
        let notifier = Arc::new(Notifier::new(engine.clone(), &base, settings.notify.clone()));
        let pipeline = Pipeline {
            bell: bell.clone(),
            audit: audit.clone(),
            broken: broken.clone(),
            ..pipeline(&engine, &settings, &notifier, observers)
        };
        let served = connection::serve(
            listener,
            settings.tls,
            settings.limits,
            gauges.clone(),
            Arc::new(pipeline),
            shutdown.clone(),
        );
        let connections = tokio::spawn(served);
        let background = TaskTracker::new();
        let (engine_dir, administrator) =
            (engine.store().dir(), Administrator::new(engine.clone()).audited(audit.clone()));
        let started = engine.store().clock().now();
        let failures = Arc::<AtomicU64>::default();
        let monitor = Monitor {
            engine: engine.clone(),
            requests,
            gauges: gauges.clone(),
            notifications: notifier.counters().clone(),
            scrub: ScrubCounters::new(started),
            freed: Arc::default(),
            audit,
            failures: Arc::clone(&failures),
            broken: broken.clone(),
            started,
            counted: Mutex::default(),
        };
        let work = Background { engine, stop: stop.clone(), broken: broken.clone(), failures };
        if let Some(rate) = settings.scrub_bytes_per_second {
            background.spawn(scrub(work.clone(), rate, monitor.scrub.clone()));
        }
        if let Some(rate) = settings.compaction_bytes_per_second {
            let (interval, freed) = (settings.housekeeping_interval, Arc::clone(&monitor.freed));
            background.spawn(compact(work.clone(), rate, interval, freed));
        }
        if let Some(metrics) = metrics {
            background.spawn(tell(metrics, Arc::new(monitor), stop.clone()));
        }
        if let Some(dir) = engine_dir {
            background.spawn(control::serve(dir, administrator, stop.clone()));
        }
        let counters = notifier.counters().clone();
        background.spawn(work.clone().run_jobs(bell));
        background.spawn(notifier.run(work.clone()));
        background.spawn(work.clone().keep_house(settings.housekeeping_interval));
        background.spawn(work.tick());
        background.close();
        let (shutdown, stop) = (shutdown.drop_guard(), stop.drop_guard());
        Ok(Running {
            address,
            metrics_address,
            gauges,
            counters,
            shutdown,
            stop,
            broken,
            connections,
            background,
        })
    }

    /// Returns what answers the requests of a server, for whoever has connections of their own. Nothing is done in the
    /// background: somebody else has to run the jobs and keep house.
    #[must_use]
    pub fn service(
        engine: &Engine,
        settings: &ServerSettings,
        observers: Vec<Arc<dyn Observer>>,
    ) -> Arc<dyn Service> {
        let base = settings.public_url.as_deref().unwrap_or_default();
        let notifier = Notifier::new(engine.clone(), base, settings.notify.clone());
        Arc::new(pipeline(engine, settings, &Arc::new(notifier), observers))
    }
}

/// Makes what answers requests, with a bell that nobody hears and without an audit log.
fn pipeline(
    engine: &Engine,
    settings: &ServerSettings,
    notifier: &Arc<Notifier>,
    observers: Vec<Arc<dyn Observer>>,
) -> Pipeline {
    let region = settings.strict_scope.then(|| engine.region().clone());
    Pipeline {
        engine: engine.clone(),
        authenticator: Authenticator::new(settings.skew, region, settings.max_json_bytes),
        local_hosts_only: settings.local_hosts_only,
        throttle: settings.requests_per_second.map(Throttle::new),
        bell: JobBell::default(),
        notifier: Arc::clone(notifier),
        observers: observers.into(),
        audit: None,
        broken: CancellationToken::new(),
    }
}

impl Running {
    /// Returns where the server listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns where metrics and health are told.
    #[must_use]
    pub const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Returns what the connections are doing.
    #[must_use]
    pub const fn gauges(&self) -> &Gauges {
        &self.gauges
    }

    /// Returns how delivering notifications goes.
    #[must_use]
    pub const fn notifications(&self) -> &NotifyCounters {
        &self.counters
    }

    /// Waits until the server cannot go on, and tells why. [`stop`](Self::stop) has to be called all the same. Cancel safe.
    pub async fn ended(&mut self) -> ServerError {
        tokio::select! {
            () = self.broken.cancelled() => ServerError::Fenced,
            end = &mut self.connections => match end {
                Ok(Err(error)) => error.into(),
                Ok(Ok(())) => ServerError::Broken("connections are no longer accepted".into()),
                Err(error) => ServerError::Broken(error.into()),
            },
        }
    }

    /// Stops: no more connections, requests in flight end (or are cut after [`Limits::shutdown`]), then the work in the
    /// background. The engine is left open.
    ///
    /// [`Limits::shutdown`]: crate::connection::Limits::shutdown
    ///
    /// # Errors
    ///
    /// What made the server end before, if anything did.
    pub async fn stop(self) -> Result<(), ServerError> {
        let Self { shutdown, stop, broken, connections, background, .. } = self;
        drop(shutdown);
        let served = if connections.is_finished() { Ok(Ok(())) } else { connections.await };
        drop(stop);
        background.wait().await;
        match served {
            _ if broken.is_cancelled() => Err(ServerError::Fenced),
            Ok(served) => Ok(served?),
            Err(error) => Err(ServerError::Broken(error.into())),
        }
    }
}
