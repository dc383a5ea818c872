//! `icefield account create|list`.

use clap::Subcommand;
use icefield_server::control::{AccountRecord, Answer, Request};

use crate::{
    admin::{Data, administer},
    failure::Exit,
    output::{Record, one, stdout_rows},
    session::Session,
};

/// Accounts of a store: each has vaults, users and keys of its own
#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Make an account with a new number
    Create(Data),
    /// List the accounts
    #[command(visible_alias = "ls")]
    List(Data),
}

impl Record for AccountRecord {
    const COLUMNS: &'static [&'static str] = &["account", "created", "first"];
    const HEADINGS: &'static [&'static str] = &["ACCOUNT", "CREATED", "FIRST"];

    fn cells(&self) -> Vec<String> {
        let first = if self.first { "yes" } else { "" };
        vec![self.account.to_string(), self.created.to_string(), first.to_owned()]
    }
}

/// Runs the command.
pub(crate) async fn run(command: Account, session: &Session) -> anyhow::Result<Exit> {
    let (data, request, creates) = match &command {
        Account::Create(data) => (data, Request::CreateAccount, true),
        Account::List(data) => (data, Request::ListAccounts, false),
    };
    let Answer::Accounts(accounts) = administer(session, data, request).await? else {
        return Ok(Exit::Failed);
    };
    if creates && let [account] = accounts.as_slice() {
        one(session.format(), account)?;
        session.progress.note(format!(
            "hint: make a key for it: icefield key create --account {}",
            account.account
        ));
        return Ok(Exit::Done);
    }
    let mut rows = stdout_rows(session.format());
    for account in &accounts {
        rows.push(account)?;
    }
    rows.finish()?;
    Ok(Exit::Done)
}
