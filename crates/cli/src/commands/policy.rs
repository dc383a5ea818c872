//! `icefield policy simulate`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use icefield_protocol::{AccountId, ArchiveId, Operation, UserName, VaultName};
use icefield_server::control::{Answer, DecisionRecord, Request, WhatIf};

use crate::{
    admin::{Data, administer},
    failure::{Exit, Failure},
    output::{Record, one},
    session::Session,
};

/// The age of an archive, as policies name it.
const AGE: &str = "glacier:ArchiveAgeInDays";

/// What policies come to
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Tell whether a request would be allowed, and which statement decides
    ///
    /// Exits with 0 when it would be allowed, and with 3 when it would be refused.
    Simulate(Box<Simulate>),
}

/// A request that nobody makes.
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The operation, such as DeleteArchive or glacier:DeleteArchive
    #[arg(value_parser = operation)]
    operation: Operation,
    /// The vault it is about
    vault: Option<VaultName>,
    /// Who asks: a user (default: the account's root)
    #[arg(long, value_name = "NAME")]
    user: Option<UserName>,
    /// The account of who asks (default: the store's first)
    #[arg(long, value_name = "NUMBER")]
    account: Option<AccountId>,
    /// The owner of the vault (default: the account of who asks)
    #[arg(long, value_name = "NUMBER")]
    owner: Option<AccountId>,
    /// The archive it is about: its age counts
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    archive_id: Option<ArchiveId>,
    /// A condition key of the request, such as aws:SourceIp=192.0.2.7; may be repeated
    #[arg(long = "key", value_name = "NAME=VALUE")]
    keys: Vec<String>,
    #[command(flatten)]
    data: Data,
}

fn operation(text: &str) -> Result<Operation, String> {
    let name = text.strip_prefix("glacier:").unwrap_or(text);
    name.parse().map_err(|error: icefield_protocol::UnknownOperation| error.to_string())
}

impl Record for DecisionRecord {
    const COLUMNS: &'static [&'static str] = &["allowed", "decided_by", "principal", "action"];
    const HEADINGS: &'static [&'static str] = &["DECISION", "BECAUSE OF", "PRINCIPAL", "ACTION"];

    fn cells(&self) -> Vec<String> {
        let decision = if self.allowed { "allowed" } else { "refused" };
        vec![
            decision.to_owned(),
            self.decided_by.clone(),
            self.principal.clone(),
            self.action.clone(),
        ]
    }
}

/// Runs the command.
pub(crate) async fn run(command: Policy, session: &Session) -> anyhow::Result<Exit> {
    let Policy::Simulate(simulate) = command;
    let mut context: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for key in &simulate.keys {
        let (name, value) = key.split_once('=').ok_or_else(|| {
            Failure::usage(format!("--key {key}: a condition key is written NAME=VALUE"))
        })?;
        if name == AGE && simulate.archive_id.is_some() {
            return Err(Failure::usage(format!(
                "the archive has an age of its own: leave out --archive-id or --key {AGE}"
            ))
            .into());
        }
        context.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    if simulate.operation.has_vault() != simulate.vault.is_some() {
        let (operation, needs) = (simulate.operation, simulate.operation.has_vault());
        let what =
            if needs { "is about a vault: name it" } else { "is about an account: name no vault" };
        return Err(Failure::usage(format!("{operation} {what}")).into());
    }
    let what_if = WhatIf {
        account: simulate.account,
        user: simulate.user,
        operation: simulate.operation,
        owner: simulate.owner,
        vault: simulate.vault,
        archive: simulate.archive_id,
        context,
    };
    let aged = matches!(what_if.operation, Operation::DeleteArchive | Operation::InitiateJob);
    let without_age = aged && what_if.archive.is_none() && !what_if.context.contains_key(AGE);
    let request = Request::Simulate(Box::new(what_if));
    let Answer::Decision(decision) = administer(session, &simulate.data, request).await? else {
        return Ok(Exit::Failed);
    };
    one(session.format(), &decision)?;
    if without_age {
        session.progress.note(format!(
            "no archive was named, so rules about its age did not apply: --archive-id ID, or --key {AGE}=DAYS"
        ));
    }
    Ok(if decision.allowed { Exit::Done } else { Exit::Some })
}
