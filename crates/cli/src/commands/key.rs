//! `icefield key create|list|revoke`.

use std::time::Duration;

use clap::{Args, Subcommand};
use icefield_protocol::{UserName, sigv4::AccessKeyId};
use icefield_server::control::{Answer, KeyRecord, Request};

use crate::{
    admin::{Data, OfAccount, administer},
    failure::Exit,
    output::{Record, one, stdout_rows},
    prompt::confirm,
    session::Session,
};

/// Access keys: what programs sign their requests with
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key and show its secret, this once
    Create(Create),
    /// List the keys of all accounts, without their secrets
    #[command(visible_alias = "ls")]
    List(Data),
    /// Make a key useless at once
    #[command(visible_alias = "rm")]
    Revoke {
        /// The access key
        access_key: AccessKeyId,
        #[command(flatten)]
        data: Data,
    },
}

/// Whose key.
#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    of: OfAccount,
    /// A user of the account (default: its root, which may do everything that no vault denies)
    #[arg(long, value_name = "NAME")]
    user: Option<UserName>,
    /// Temporary: the key ends after this time, at most 36h, and needs a session token
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    session: Option<Duration>,
}

impl Record for KeyRecord {
    const COLUMNS: &'static [&'static str] =
        &["access_key", "secret_key", "session_token", "account", "user", "created", "expires"];
    const HEADINGS: &'static [&'static str] =
        &["ACCESS KEY", "SECRET KEY", "SESSION TOKEN", "ACCOUNT", "USER", "CREATED", "EXPIRES"];

    fn cells(&self) -> Vec<String> {
        let text = |option: Option<String>| option.unwrap_or_default();
        vec![
            self.access_key.to_string(),
            text(self.secret_key.clone()),
            text(self.session_token.clone()),
            self.account.to_string(),
            self.user.as_ref().map_or_else(|| "(root)".to_owned(), ToString::to_string),
            self.created.to_string(),
            text(self.expires.map(|expires| expires.to_string())),
        ]
    }
}

/// Runs the command.
pub(crate) async fn run(command: Key, session: &Session) -> anyhow::Result<Exit> {
    match command {
        Key::Create(Create { of: OfAccount { account, data }, user, session: length }) => {
            let session_seconds = length.map(|length| length.as_secs());
            let request = Request::CreateKey { account, user, session_seconds };
            if let Answer::Keys(keys) = administer(session, &data, request).await? {
                for key in &keys {
                    one(session.format(), key)?;
                }
            }
            session
                .progress
                .note("the secret is shown this once: keep it where your programs look for it");
        }
        Key::List(data) => {
            if let Answer::Keys(keys) = administer(session, &data, Request::ListKeys).await? {
                let mut rows = stdout_rows(session.format());
                for key in &keys {
                    rows.push(key)?;
                }
                rows.finish()?;
            }
        }
        Key::Revoke { access_key, data } => {
            confirm(&session.global, &format!("make the key {access_key} useless for ever"))?;
            administer(session, &data, Request::RevokeKey { access_key }).await?;
        }
    }
    Ok(Exit::Done)
}
