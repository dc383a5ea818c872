//! What a command works with: the target it was told to use, the catalog, and a place to show progress.

use std::{
    ffi::OsString,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use icefield_client::{
    Events, Target,
    api::LearnError,
    catalog::{Catalog, Errand, VaultRef},
    pattern::nearest_names,
    price::Usd,
};
use icefield_engine::Settings;
use icefield_protocol::{VaultArn, VaultDescription, VaultName};
use icefield_store::{Clock, Identity, OpenOptions, Store, StoreError, SystemClock};
use icefield_treehash::HashPool;
use time::UtcOffset;

use crate::{
    args::{Format, Global, VaultArg},
    config::{Config, TargetConfig},
    embedded::{Embedded, identity},
    errand::InHand,
    failure::{Exit, Failure},
    progress::Progress,
    remote::{self, RemotePlace},
    s3,
};

/// The global options and the configuration.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) global: Global,
    pub(crate) config: Config,
    pub(crate) progress: Arc<Progress>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Offset of local time from UTC, for timetables.
    pub(crate) local_offset: UtcOffset,
    /// The errand that is gone on with, where nobody is at hand to be asked.
    pub(crate) going_on: Option<Errand>,
    hashing: OnceLock<HashPool>,
    errand: InHand,
}

impl Session {
    /// Begins; `words` are those of the command line, without the program.
    pub(crate) fn new(global: Global, words: Vec<OsString>) -> anyhow::Result<Self> {
        let config = Config::load(&global)?;
        let progress = Arc::new(Progress::new(global.quiet));
        let local_offset = UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC);
        Ok(Self {
            global,
            config,
            progress,
            clock: Arc::new(SystemClock),
            local_offset,
            going_on: None,
            hashing: OnceLock::new(),
            errand: InHand::new(words),
        })
    }

    /// Goes on with an errand within this command.
    pub(crate) fn beside(other: &Self, global: Global, errand: Errand) -> anyhow::Result<Self> {
        let progress = Arc::clone(&other.progress);
        let session = Self::new(global, errand.words.clone())?;
        drop(session.hashing.set(other.hashing()));
        Ok(Self { progress, going_on: Some(errand), ..session })
    }

    /// Notes that the command about a vault is to be gone on with until it has ended, for what was agreed to.
    pub(crate) fn begin_errand(
        &self,
        catalog: &Catalog,
        vault: &VaultArg,
        agreed: Option<Usd>,
    ) -> anyhow::Result<()> {
        let is_named = vault.target.is_some() || self.global.target.is_some();
        let default = (!is_named).then(|| self.config.default_target());
        self.errand.begin(catalog, default, agreed, self.clock.now())
    }

    /// Ends the errand of the command, if it began one and there is nothing to go on with.
    pub(crate) fn end_errand(&self, ended: &anyhow::Result<Exit>) -> anyhow::Result<()> {
        Ok(self.errand.end(ended)?)
    }

    /// The hashing service for what the target does not hash itself.
    pub(crate) fn hashing(&self) -> HashPool {
        let workers = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.hashing.get_or_init(|| HashPool::new(workers)).clone()
    }

    /// Where the library's events go.
    pub(crate) fn events(&self) -> Arc<dyn Events> {
        Arc::<Progress>::clone(&self.progress)
    }

    /// Form of the data on standard output.
    pub(crate) fn format(&self) -> Format {
        self.global.output
    }

    /// Opens the target called `word`, else the one of the options and the configuration. An embedded store that does not exist
    /// is made when `create` is true.
    pub(crate) async fn target(&self, word: Option<&str>, create: bool) -> anyhow::Result<Opened> {
        self.target_for(word, None, create).await
    }

    /// Opens a target to work with this vault.
    async fn target_for(
        &self,
        word: Option<&str>,
        vault: Option<&VaultName>,
        create: bool,
    ) -> anyhow::Result<Opened> {
        let name = self.config.target_name(&self.global, word)?;
        let target = self.config.target(&name)?;
        match target {
            TargetConfig::Embedded { path } => {
                self.refuse_remote_options(&name)?;
                let path = path.unwrap_or_else(|| self.config.store.clone());
                if !create && !path.exists() {
                    return Err(no_store(&path).into());
                }
                let opening = async |options| Store::open(&path, options).await;
                let store = self.when_free(create, opening).await?;
                let store = Arc::new(Embedded::open(store, path.clone()).await?);
                Ok(Opened { target: Arc::<Embedded>::clone(&store), embedded: Some(store) })
            }
            TargetConfig::VaultApi { region, profile, endpoint, billing, queue } => {
                let place = RemotePlace { region, profile, endpoint, queue };
                let api = remote::vault_api(self, place, billing).await?;
                api.learn(&self.catalog()?, vault).await.map_err(|error| match error {
                    LearnError::Target(error) => anyhow::Error::from(error),
                    other => other.into(),
                })?;
                Ok(Opened { target: api, embedded: None })
            }
            TargetConfig::S3(place) => {
                Ok(Opened { target: s3::target(self, place).await?, embedded: None })
            }
        }
    }

    /// Does with a store's folder what needs the store for itself; says so before it waits for another process.
    pub(crate) async fn when_free<T>(
        &self,
        create: bool,
        open: impl AsyncFn(OpenOptions) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let clock = || Arc::clone(&self.clock);
        let options =
            |lock_wait| OpenOptions { create, lock_wait, clock: clock(), ..OpenOptions::default() };
        let wait = self.global.lock_wait;
        match open(options(Duration::ZERO)).await {
            Err(StoreError::InUse { path, holder }) if !wait.is_zero() => {
                self.progress.note(format!(
                    "waiting up to {}: the store {} is in use by {holder}",
                    humantime::format_duration(wait),
                    path.display()
                ));
                open(options(wait)).await
            }
            done => done,
        }
    }

    fn refuse_remote_options(&self, name: &str) -> Result<(), Failure> {
        let global = &self.global;
        for (option, given) in [
            ("--region", global.region.is_some()),
            ("--profile", global.profile.is_some()),
            ("--endpoint-url", global.endpoint_url.is_some()),
        ] {
            if given {
                return Err(Failure::usage(format!(
                    "{option} says nothing about the embedded target `{name}`"
                ))
                .hint(format!("leave {option} out, or name another target with --target")));
            }
        }
        Ok(())
    }

    /// Opens the catalog.
    pub(crate) fn catalog(&self) -> anyhow::Result<Catalog> {
        let path = &self.config.catalog;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| {
                Failure::failed(format!("cannot make {}", folder.display())).because(error)
            })?;
        }
        Ok(Catalog::open(path)?)
    }

    /// Where the store and the catalog are written: an upload leaves it out, or it would archive what it is writing.
    pub(crate) fn own_places(&self, store: Option<&Path>) -> Vec<PathBuf> {
        let beside_catalog = ["", "-wal", "-shm", "-journal", ".runs"].map(|ending| {
            let mut path = self.config.catalog.clone().into_os_string();
            path.push(ending);
            PathBuf::from(path)
        });
        let resolved = |path: PathBuf| {
            let folder = || path.parent()?.canonicalize().ok();
            let parent = || Some(folder()?.join(path.file_name()?));
            path.canonicalize().ok().or_else(parent).unwrap_or_else(|| path.clone())
        };
        store.map(Path::to_owned).into_iter().chain(beside_catalog).map(resolved).collect()
    }

    /// Opens everything a command about one vault needs.
    pub(crate) async fn vault(
        &self,
        vault: &VaultArg,
        create_store: bool,
    ) -> anyhow::Result<VaultSession> {
        let word = vault.target.as_deref();
        let opened = self.target_for(word, Some(&vault.vault), create_store).await?;
        let catalog = self.catalog()?;
        let known = catalog.vault(opened.target.identity(), &vault.vault)?;
        let (name, written) = (vault.vault.clone(), vault.to_string());
        let is_regional = opened.embedded.is_none();
        Ok(VaultSession { opened, catalog, known, name, written, is_regional })
    }

    /// Opens two vaults; two of one store share it.
    pub(crate) async fn two_vaults(
        &self,
        first: &VaultArg,
        second: &VaultArg,
    ) -> anyhow::Result<(VaultSession, VaultSession)> {
        let place = |vault: &VaultArg| -> anyhow::Result<TargetConfig> {
            let name = self.config.target_name(&self.global, vault.target.as_deref())?;
            Ok(self.config.target(&name)?)
        };
        let opened = self.vault(first, false).await?;
        if place(first)? != place(second)? {
            return Ok((opened, self.vault(second, true).await?));
        }
        if first.vault == second.vault {
            return Err(Failure::usage("both are the same vault").into());
        }
        let shared = Opened { target: Arc::clone(&opened.opened.target), embedded: None };
        let known = opened.catalog.vault(shared.target.identity(), &second.vault)?;
        let second = VaultSession {
            opened: shared,
            catalog: opened.catalog.clone(),
            known,
            name: second.vault.clone(),
            written: second.to_string(),
            is_regional: opened.is_regional,
        };
        Ok((opened, second))
    }

    /// Where the vault's embedded store would be made, if there is none yet.
    pub(crate) fn missing_store(&self, vault: &VaultArg) -> anyhow::Result<Option<PathBuf>> {
        let name = self.config.target_name(&self.global, vault.target.as_deref())?;
        Ok(match self.config.target(&name)? {
            TargetConfig::Embedded { path } => {
                Some(path.unwrap_or_else(|| self.config.store.clone()))
                    .filter(|path| !path.exists())
            }
            TargetConfig::VaultApi { .. } | TargetConfig::S3(_) => None,
        })
    }

    /// Opens the catalog at a vault, without the target: also while another process uses the store.
    pub(crate) async fn known_vault(&self, vault: &VaultArg) -> anyhow::Result<KnownVault> {
        let name = self.config.target_name(&self.global, vault.target.as_deref())?;
        if let TargetConfig::Embedded { .. } = self.config.target(&name)? {
            self.refuse_remote_options(&name)?;
        }
        self.catalog_of(vault).await
    }

    /// The same where the options that say where something is may be about something else than the target.
    pub(crate) async fn catalog_of(&self, vault: &VaultArg) -> anyhow::Result<KnownVault> {
        let name = self.config.target_name(&self.global, vault.target.as_deref())?;
        let catalog = self.catalog()?;
        let (place, region, account) = match self.config.target(&name)? {
            TargetConfig::Embedded { path } => {
                let path = path.unwrap_or_else(|| self.config.store.clone());
                let store = Identity::of(&path)?.ok_or_else(|| no_store(&path))?;
                (identity(&store), Settings::embedded().region, store.account)
            }
            TargetConfig::VaultApi { region, profile, endpoint, billing, queue } => {
                let place = RemotePlace { region, profile, endpoint, queue };
                let api = remote::vault_api(self, place, billing).await?;
                // Who has no credentials at the moment can still look at what is known.
                let key = api.access_key().await.ok();
                let Some(account) = api.recall(&catalog, key.as_deref())? else {
                    return Err(Failure::failed(format!(
                        "nothing is known yet of {}",
                        api.describe()
                    ))
                    .hint(format!("to learn what it holds: icefield inventory refresh {vault}"))
                    .into());
                };
                (api.identity().to_owned(), api.region().clone(), account)
            }
            TargetConfig::S3(place) => {
                let target = s3::target(self, place).await?;
                let VaultArn { region, account, .. } = target.arn(&vault.vault);
                (target.identity().to_owned(), region, account)
            }
        };
        let known = catalog.vault(&place, &vault.vault)?;
        let name = vault.vault.clone();
        let arn = VaultArn { region, account, vault: name.clone() };
        Ok(KnownVault { catalog, known, name, arn })
    }

    /// Where the embedded store of `--data` or of the target is.
    pub(crate) fn store_path(&self, data: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
        if let Some(path) = data {
            return Ok(path.clone());
        }
        let name = self.config.target_name(&self.global, None)?;
        match self.config.target(&name)? {
            TargetConfig::Embedded { path } => {
                Ok(path.unwrap_or_else(|| self.config.store.clone()))
            }
            other => Err(Failure::usage(format!(
                "the target `{name}` is of type {}, not a store on this machine",
                other.kind()
            ))
            .hint("name the store's folder with --data DIR")
            .into()),
        }
    }
}

/// A vault as the catalog knows it.
#[derive(Debug)]
pub(crate) struct KnownVault {
    pub(crate) catalog: Catalog,
    pub(crate) known: VaultRef,
    pub(crate) name: VaultName,
    pub(crate) arn: VaultArn,
}

fn no_store(path: &Path) -> Failure {
    Failure::failed(format!("there is no store in {} yet", path.display()))
        .hint("the first upload makes it: icefield upload --create VAULT PATH")
        .hint("or name another store: ICEFIELD_STORE, or `icefield target add NAME --type embedded --path DIR`")
}

/// An open target.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) target: Arc<dyn Target>,
    embedded: Option<Arc<Embedded>>,
}

impl Opened {
    /// The folder of an embedded store.
    pub(crate) fn store(&self) -> Option<&Path> {
        self.embedded.as_deref().map(Embedded::path)
    }

    /// Ends the work with the target; an embedded store is left clean.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        drop(self.target);
        if let Some(embedded) = self.embedded {
            embedded.close().await?;
        }
        Ok(())
    }
}

/// A vault, as a command works with it.
#[derive(Debug)]
pub(crate) struct VaultSession {
    pub(crate) opened: Opened,
    pub(crate) catalog: Catalog,
    /// The vault's number in the catalog.
    pub(crate) known: VaultRef,
    pub(crate) name: VaultName,
    /// The vault as the user writes it: with its target, if it was named.
    written: String,
    /// Whether there are more vaults of the same target in other regions.
    is_regional: bool,
}

impl VaultSession {
    pub(crate) fn target(&self) -> &Arc<dyn Target> {
        &self.opened.target
    }
}

impl VaultSession {
    /// Checks that the vault exists.
    ///
    /// # Errors
    ///
    /// Without the vault: names the nearest one and how to make it.
    pub(crate) async fn require_vault(&self) -> anyhow::Result<VaultDescription> {
        match self.target().describe_vault(&self.name).await {
            Ok(vault) => Ok(vault),
            Err(error) if error.is_not_found() => {
                let place = self.target().describe();
                let failure =
                    Failure::failed(format!("there is no vault `{}` in {place}", self.name));
                Err(match self.nearest_vault().await? {
                    Some(nearest) => failure.hint(format!("did you mean `{nearest}`?")),
                    None => failure,
                }
                .hint(format!(
                    "to make it: icefield vault create {}, or upload with --create{}",
                    self.written,
                    if self.is_regional {
                        "; a vault belongs to one region, --region names another"
                    } else {
                        ""
                    }
                ))
                .into())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn nearest_vault(&self) -> anyhow::Result<Option<String>> {
        let mut names = Vec::new();
        let mut marker = None;
        loop {
            let page = self.target().list_vaults(marker.as_deref()).await?;
            names.extend(page.items.into_iter().map(|vault| vault.vault_name));
            marker = page.marker;
            if marker.is_none() {
                break;
            }
        }
        let nearest = nearest_names(self.name.as_str(), names.iter().map(VaultName::as_str), 1);
        Ok(nearest.first().map(|name| (*name).to_owned()))
    }
}
