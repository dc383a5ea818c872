//! `icefield user create|list|delete` and `icefield user policy get|set|remove`.

use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use icefield_protocol::UserName;
use icefield_server::control::{Answer, Request, UserRecord};
use serde::Serialize;

use crate::{
    admin::{OfAccount, administer},
    failure::{Exit, Failure},
    output::{Record, one, stdout_rows},
    prompt::confirm,
    session::Session,
};

/// More than any policy may have.
const MAX_POLICY_BYTES: u64 = 1 << 20;

/// Users of an account: each may do what its policies allow, and nothing else
#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Make a user without any rights
    Create(Named),
    /// List the users of an account
    #[command(visible_alias = "ls")]
    List(OfAccount),
    /// Remove a user, its policies and its keys
    #[command(visible_alias = "rm")]
    Delete(Named),
    /// What a user may do
    #[command(subcommand)]
    Policy(Policy),
}

/// The policies of a user.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Show the policies of a user, or one of them as it was written
    Get {
        #[command(flatten)]
        user: Named,
        /// The policy's name; without it all are listed
        policy: Option<String>,
    },
    /// Give a user a policy, in place of one of the same name
    Set {
        #[command(flatten)]
        user: Named,
        /// The policy's name
        policy: String,
        /// The document in IAM's language, `-` for standard input
        file: PathBuf,
    },
    /// Take a policy from a user
    #[command(visible_alias = "rm")]
    Remove {
        #[command(flatten)]
        user: Named,
        /// The policy's name
        policy: String,
    },
}

/// A user.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The user's name
    user: UserName,
    #[command(flatten)]
    of: OfAccount,
}

impl Record for UserRecord {
    const COLUMNS: &'static [&'static str] = &["user", "account", "created", "policies"];
    const HEADINGS: &'static [&'static str] = &["USER", "ACCOUNT", "CREATED", "POLICIES"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.user.to_string(),
            self.account.to_string(),
            self.created.to_string(),
            self.policies.join(", "),
        ]
    }
}

#[derive(Debug, Serialize)]
struct PolicyRecord {
    name: String,
    policy: String,
}

impl Record for PolicyRecord {
    const COLUMNS: &'static [&'static str] = &["name", "policy"];
    const HEADINGS: &'static [&'static str] = &["NAME", "POLICY"];

    fn cells(&self) -> Vec<String> {
        vec![self.name.clone(), self.policy.clone()]
    }
}

/// Runs the command.
pub(crate) async fn run(command: User, session: &Session) -> anyhow::Result<Exit> {
    match command {
        User::Create(Named { user, of }) => {
            let request = Request::CreateUser { account: of.account, user };
            if let Answer::Users(users) = administer(session, &of.data, request).await? {
                for user in &users {
                    one(session.format(), user)?;
                }
            }
            session.progress.note(
                "hint: icefield user policy set gives it rights, icefield key create --user a key",
            );
        }
        User::List(of) => {
            let request = Request::ListUsers { account: of.account };
            if let Answer::Users(users) = administer(session, &of.data, request).await? {
                let mut rows = stdout_rows(session.format());
                for user in &users {
                    rows.push(user)?;
                }
                rows.finish()?;
            }
        }
        User::Delete(Named { user, of }) => {
            confirm(
                &session.global,
                &format!("remove the user {user} with its policies and keys"),
            )?;
            let request = Request::DeleteUser { account: of.account, user };
            administer(session, &of.data, request).await?;
        }
        User::Policy(policy) => return run_policy(policy, session).await,
    }
    Ok(Exit::Done)
}

async fn run_policy(command: Policy, session: &Session) -> anyhow::Result<Exit> {
    match command {
        Policy::Get { user: Named { user, of }, policy } => {
            let request = Request::UserPolicies { account: of.account, user: user.clone() };
            let Answer::Policies(mut policies) = administer(session, &of.data, request).await?
            else {
                return Ok(Exit::Failed);
            };
            if let Some(name) = policy {
                let text = policies.remove(&name).ok_or_else(|| {
                    Failure::failed(format!("the user {user} has no policy {name:?}"))
                        .hint(format!("icefield user policy get {user} lists its policies"))
                })?;
                writeln!(std::io::stdout(), "{text}")?;
                return Ok(Exit::Done);
            }
            let mut rows = stdout_rows(session.format());
            for (name, policy) in policies {
                rows.push(&PolicyRecord { name, policy })?;
            }
            rows.finish()?;
        }
        Policy::Set { user: Named { user, of }, policy, file } => {
            let text = read_policy(&file)?;
            let account = of.account;
            let request = Request::SetUserPolicy { account, user, name: policy, text };
            administer(session, &of.data, request).await?;
        }
        Policy::Remove { user: Named { user, of }, policy } => {
            let request = Request::RemoveUserPolicy { account: of.account, user, name: policy };
            administer(session, &of.data, request).await?;
        }
    }
    Ok(Exit::Done)
}

/// Reads a policy from a file or from standard input.
pub(crate) fn read_policy(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().take(MAX_POLICY_BYTES).read_to_string(&mut text)
    } else {
        std::fs::File::open(file)
            .and_then(|open| open.take(MAX_POLICY_BYTES).read_to_string(&mut text))
    }
    .with_context(|| format!("cannot read the policy {}", file.display()))?;
    Ok(text)
}
