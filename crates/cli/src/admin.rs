//! Commands of a store's owner: done here when the store is free, by the server that owns it otherwise.

use std::path::{Path, PathBuf};

use clap::Args;
use icefield_engine::{Engine, Settings};
use icefield_protocol::AccountId;
use icefield_server::control::{Administrator, Answer, Request, ask, is_served};
use icefield_store::{OpenOptions, Store, StoreError};

use crate::{
    failure::Failure,
    service::{Service, audit_log, master_key, region},
    session::Session,
};

/// Which store.
#[derive(Debug, Args)]
pub(crate) struct Data {
    /// The store's folder (default: the service's `data`, else the embedded store)
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// Which account of which store.
#[derive(Debug, Args)]
pub(crate) struct OfAccount {
    /// The account (default: the store's first)
    #[arg(long, value_name = "NUMBER")]
    pub(crate) account: Option<AccountId>,
    #[command(flatten)]
    pub(crate) data: Data,
}

/// Does what is asked; a refusal is an error.
pub(crate) async fn administer(
    session: &Session,
    data: &Data,
    request: Request,
) -> anyhow::Result<Answer> {
    // `--config` is that of clients here; what the service is told otherwise holds for its owner's commands, too.
    let service = Service::load(None)?;
    let dir = store_dir(session, &service, data)?;
    let answer = match execute(session, &service, &dir, &request).await? {
        Some(answer) => answer,
        None => ask(&dir, &request).await?,
    };
    match answer {
        Answer::Refused(refusal) => Err(Failure::failed(refusal.message).into()),
        answer => Ok(answer),
    }
}

/// The folder of the store that is administered: what the option says, else what the service is told, else the embedded
/// store.
pub(crate) fn store_dir(
    session: &Session,
    service: &Service,
    data: &Data,
) -> anyhow::Result<PathBuf> {
    match (&data.data, service.path("data")) {
        (None, Some(dir)) => Ok(dir),
        (data, _) => session.store_path(data.as_ref()),
    }
}

/// Does it in this process; `None` when a server owns the store.
async fn execute(
    session: &Session,
    service: &Service,
    dir: &Path,
    request: &Request,
) -> anyhow::Result<Option<Answer>> {
    if session.global.dry_run && !request.only_tells() {
        return Err(Failure::usage("this command has no --dry-run: nothing was done").into());
    }
    let opening = async |options: OpenOptions| match Store::open(dir, options).await {
        // Then the server is asked instead.
        Err(StoreError::InUse { .. }) if is_served(dir) => Ok(None),
        opened => opened.map(Some),
    };
    let Some(store) = session.when_free(request.makes_store(), opening).await? else {
        return Ok(None);
    };
    let key = match service.master_key_file() {
        Ok(file) => master_key(&file, &store).await,
        Err(error) => Err(error.into()),
    };
    let key = match key {
        Ok(key) => key,
        Err(error) => {
            store.close().await;
            return Err(error);
        }
    };
    let settings = Settings { region: region(service, &store)?, ..service.engine(false)? };
    let engine = Engine::open_with(store, settings, Some(&key)).await?;
    let audit = if request.only_tells() { None } else { audit_log(service, engine.store())? };
    let answer = Administrator::new(engine.clone()).audited(audit).execute(request.clone()).await;
    engine.close().await;
    Ok(Some(answer))
}
