//! The command line: global options and the table of commands. Each command's own options are in its file.

use std::{fmt, path::PathBuf, str::FromStr};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use icefield_protocol::VaultName;

use crate::commands;

/// Archive files for decades, and get them back byte for byte.
///
/// A vault holds archives; an archive is one uploaded file. Without any configuration everything goes into a store on this
/// machine ($ICEFIELD_STORE, else icefield/store in the user's data folder): no account, no server, no network, no cost.
#[derive(Debug, Parser)]
#[command(
    name = "icefield",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = "Begin with:\n  icefield upload --create photos ~/Pictures    archive a folder\n  icefield list photos                          see what is archived\n  icefield retrieve photos --to ~/back          get it back, verified\n\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 some items failed or differ, 75 not ready yet (run it again), 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes, before or after its own words.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Use this target (see `icefield target list`); the same as writing TARGET:VAULT
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) target: Option<String>,
    /// Form of the data on standard output
    #[arg(long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORM")]
    pub(crate) output: Format,
    /// Read this configuration instead of icefield/config.toml in the user's configuration folder
    #[arg(long, global = true, env = "ICEFIELD_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Override the target's region
    #[arg(long, global = true, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// Override the target's credentials profile
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Override the target's endpoint
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// Take prices from this file in place of those inside (docs/costs.md)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) prices: Option<PathBuf>,
    /// No progress, only errors and the data
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Tell more; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Also write what happens to this file, with times
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(short = 'n', long, global = true)]
    pub(crate) dry_run: bool,
    /// Answer yes to every question
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
    /// How long to wait while another process uses the store
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) lock_wait: std::time::Duration,
}

/// Form of the data on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// One array (one object where there is only one)
    Json,
    /// One object a line, as results come
    Jsonl,
    /// Comma-separated values with a header line
    Csv,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(visible_alias = "put")]
    Upload(commands::upload::Upload),
    #[command(visible_alias = "ls")]
    List(commands::list::List),
    #[command(visible_alias = "get")]
    Retrieve(commands::retrieve::Retrieve),
    #[command(visible_alias = "rm")]
    Delete(commands::delete::Delete),
    Duplicates(commands::duplicates::Duplicates),
    Verify(commands::verify::Verify),
    Status(commands::status::Status),
    Watch(commands::watch::Watch),
    Migrate(commands::migrate::Migrate),
    #[command(subcommand)]
    Inventory(commands::inventory::Inventory),
    #[command(subcommand)]
    Uploads(commands::uploads::Uploads),
    #[command(subcommand)]
    Vault(commands::vault::Vault),
    #[command(subcommand)]
    Job(commands::job::Job),
    #[command(subcommand)]
    RetrievalPolicy(commands::retrieval_policy::RetrievalPolicy),
    #[command(subcommand)]
    Capacity(commands::capacity::Capacity),
    #[command(subcommand)]
    Target(commands::target::Target),
    Serve(Box<commands::serve::Serve>),
    #[command(subcommand)]
    Account(commands::account::Account),
    #[command(subcommand)]
    User(commands::user::User),
    #[command(subcommand)]
    Key(commands::key::Key),
    #[command(subcommand)]
    Topic(commands::topic::Topic),
    #[command(subcommand)]
    Policy(commands::policy::Policy),
    #[command(subcommand)]
    Store(commands::store::Store),
    Completions(commands::completions::Completions),
    Man(commands::man::Man),
}

impl Command {
    /// What to tell a user who interrupts the command.
    pub(crate) fn when_interrupted(&self, dry_run: bool) -> String {
        use commands::{capacity::Capacity, retrieval_policy::RetrievalPolicy, uploads::Uploads};
        use commands::{inventory::Inventory, job::Job, store::Store, target::Target};
        let changes_nothing = match self {
            Self::List(_) | Self::Duplicates(_) | Self::Verify(_) | Self::Status(_) => true,
            Self::Completions(_) | Self::Man(_) => true,
            Self::Inventory(command) => {
                matches!(command, Inventory::Show { .. } | Inventory::Export(_))
            }
            Self::Uploads(command) => !matches!(command, Uploads::Abort(_)),
            Self::Vault(command) => command.only_tells(),
            Self::RetrievalPolicy(command) => matches!(command, RetrievalPolicy::Get { .. }),
            Self::Capacity(command) => matches!(command, Capacity::List { .. }),
            Self::Job(command) => !matches!(command, Job::Start(_)),
            Self::Target(command) => matches!(command, Target::List | Target::Test { .. }),
            Self::Store(command) => matches!(command, Store::Check(_) | Store::Stat(_)),
            Self::Policy(_) => true,
            Self::Upload(_) | Self::Retrieve(_) | Self::Delete(_) | Self::Serve(_) => false,
            Self::Watch(_) | Self::Migrate(_) => false,
            Self::Account(_) | Self::User(_) | Self::Key(_) | Self::Topic(_) => false,
        };
        match self {
            _ if changes_nothing || dry_run => "interrupted".to_owned(),
            Self::Upload(upload) if upload.is_stream() => upload.when_stream_interrupted(),
            _ => {
                "interrupted: what was done is kept; run the same command again to go on".to_owned()
            }
        }
    }
}

/// A vault, `VAULT` or `TARGET:VAULT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VaultArg {
    pub(crate) target: Option<String>,
    pub(crate) vault: VaultName,
}

impl FromStr for VaultArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (target, vault) = match text.split_once(':') {
            Some(("", _)) => return Err("the target's name before `:` is empty".to_owned()),
            Some((target, vault)) => (Some(target.to_owned()), vault),
            None => (None, text),
        };
        let vault = VaultName::parse(vault).map_err(|error| error.to_string())?;
        Ok(Self { target, vault })
    }
}

impl fmt::Display for VaultArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Some(target) => write!(f, "{target}:{}", self.vault),
            None => self.vault.fmt(f),
        }
    }
}

/// A target for account-wide commands, `TARGET:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetArg(pub(crate) String);

impl FromStr for TargetArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_suffix(':') {
            Some(name) if !name.is_empty() && !name.contains(':') => Ok(Self(name.to_owned())),
            _ => Err("a target is written with a colon at its end: TARGET:".to_owned()),
        }
    }
}
