//! `icefield retrieval-policy get|set`.

use clap::Subcommand;
use icefield_protocol::{RetrievalPolicy as Policy, limits::MAX_BYTES_PER_HOUR};
use serde::Serialize;

use crate::{
    args::TargetArg,
    commands::{upload::parse_size, vault::administration},
    failure::Exit,
    output::{Record, one, size},
    session::Session,
};

/// Limit how much an account may retrieve
///
/// The data retrieval policy of the account refuses standard retrievals that would exceed it, whoever starts them.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  icefield retrieval-policy set 10GiB          no more than 10 GiB an hour\n  icefield retrieval-policy set west: none     everything, in the account of the target `west`\n  icefield retrieval-policy get"
)]
pub(crate) enum RetrievalPolicy {
    /// Show the account's data retrieval policy
    Get {
        /// The target, as TARGET:
        #[arg(id = "place", value_name = "TARGET:")]
        target: Option<TargetArg>,
    },
    /// Set the account's data retrieval policy; it holds for retrievals that are started from now on
    #[command(allow_missing_positional = true)]
    Set {
        /// The target, as TARGET:
        #[arg(id = "place", value_name = "TARGET:")]
        target: Option<TargetArg>,
        /// `none` (everything), `free-tier` (the daily allowance), or bytes per hour, such as 10GiB
        #[arg(value_name = "LIMIT", value_parser = parse_limit)]
        limit: Policy,
    },
}

/// Reads a policy as users write it.
fn parse_limit(text: &str) -> Result<Policy, String> {
    let wrong = || "a limit is none, free-tier, or bytes per hour such as 10GiB".to_owned();
    match text {
        "none" => Ok(Policy::None),
        "free-tier" => Ok(Policy::FreeTier),
        _ => match parse_size(text) {
            Ok(rate @ 1..=MAX_BYTES_PER_HOUR) => Ok(Policy::BytesPerHour(rate)),
            Ok(_) | Err(_) => Err(wrong()),
        },
    }
}

#[derive(Debug, Serialize)]
struct PolicyRecord {
    strategy: &'static str,
    bytes_per_hour: Option<u64>,
}

impl PolicyRecord {
    fn of(policy: Policy) -> Self {
        let (strategy, bytes_per_hour) = match policy {
            Policy::None => ("none", None),
            Policy::FreeTier => ("free-tier", None),
            Policy::BytesPerHour(rate) => ("bytes-per-hour", Some(rate)),
        };
        Self { strategy, bytes_per_hour }
    }
}

impl Record for PolicyRecord {
    const COLUMNS: &'static [&'static str] = &["strategy", "bytes_per_hour"];
    const HEADINGS: &'static [&'static str] = &["STRATEGY", "PER HOUR"];

    fn cells(&self) -> Vec<String> {
        let rate = self.bytes_per_hour.map_or_else(|| "no limit".to_owned(), size);
        let rate =
            if self.strategy == "free-tier" { "the daily allowance".to_owned() } else { rate };
        vec![self.strategy.to_owned(), rate]
    }
}

/// Runs the command.
pub(crate) async fn run(command: RetrievalPolicy, session: &Session) -> anyhow::Result<Exit> {
    match command {
        RetrievalPolicy::Get { target } => get(target.as_ref(), session).await,
        RetrievalPolicy::Set { target, limit } => set(target.as_ref(), limit, session).await,
    }
}

async fn get(target: Option<&TargetArg>, session: &Session) -> anyhow::Result<Exit> {
    let open = session.target(target.map(|target| target.0.as_str()), false).await?;
    let policy = administration(&open.target)?.retrieval_policy().await?;
    one(session.format(), &PolicyRecord::of(policy))?;
    open.close().await?;
    Ok(Exit::Done)
}

async fn set(
    target: Option<&TargetArg>,
    policy: Policy,
    session: &Session,
) -> anyhow::Result<Exit> {
    let open = session.target(target.map(|target| target.0.as_str()), false).await?;
    let settings = administration(&open.target)?;
    let what = match policy {
        Policy::None => "let everything be retrieved".to_owned(),
        Policy::FreeTier => "let the daily allowance be retrieved".to_owned(),
        Policy::BytesPerHour(rate) => format!("let {} an hour be retrieved", size(rate)),
    };
    if session.global.dry_run {
        session
            .progress
            .say(&format!("would {what} from all vaults in {}", open.target.describe()));
    } else {
        settings.set_retrieval_policy(policy).await?;
        one(session.format(), &PolicyRecord::of(policy))?;
    }
    open.close().await?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use icefield_protocol::RetrievalPolicy as Policy;

    use super::parse_limit;

    #[test]
    fn limits_are_words_or_sizes() {
        for (text, policy) in [
            ("none", Policy::None),
            ("free-tier", Policy::FreeTier),
            ("1", Policy::BytesPerHour(1)),
            ("10GiB", Policy::BytesPerHour(10 << 30)),
        ] {
            assert_eq!(parse_limit(text), Ok(policy));
        }
        for text in ["", "0", "some", "-1", "8388608TiB", "99999999TiB"] {
            assert!(parse_limit(text).is_err(), "{text:?} was accepted");
        }
    }
}
