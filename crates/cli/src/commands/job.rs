//! `icefield job list|describe|start|output`.

use std::{io::Write as _, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use futures_util::StreamExt as _;
use icefield_protocol::{
    ArchiveId, ByteRange, Description, InventoryFormat, InventoryParameters, JobAction,
    JobDescription, JobId, JobRequest, JobStatus, Tier, Timestamp,
};
use serde::Serialize;

use crate::{
    args::VaultArg,
    commands::vault::TopicArg,
    failure::{Exit, Failure, unwritable},
    output::{Record, one, size, stdout_rows},
    session::Session,
};

/// Start single retrieval jobs and fetch their output (`icefield retrieve` does all of it by itself)
#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    /// List the jobs of a vault, running and ended
    #[command(visible_alias = "ls")]
    List {
        /// The vault
        vault: VaultArg,
    },
    /// Describe one job
    Describe {
        /// The vault
        vault: VaultArg,
        /// The job's ID
        #[arg(allow_hyphen_values = true)]
        job_id: JobId,
    },
    /// Start a job: the retrieval of an archive, or of the vault's inventory
    Start(Start),
    /// Fetch the output of a job that has succeeded
    Output {
        /// The vault
        vault: VaultArg,
        /// The job's ID
        #[arg(allow_hyphen_values = true)]
        job_id: JobId,
        /// Write to this new file instead of standard output
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        /// Only these bytes of the output, the last one included
        #[arg(long, value_name = "FIRST-LAST")]
        range: Option<ByteRange>,
    },
}

/// What the job retrieves.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The vault
    vault: VaultArg,
    /// Retrieve this archive
    #[arg(
        long,
        allow_hyphen_values = true,
        required_unless_present = "inventory",
        conflicts_with = "inventory"
    )]
    archive_id: Option<ArchiveId>,
    /// Retrieve the vault's inventory
    #[arg(long)]
    inventory: bool,
    /// Text kept with the job: at most 1,024 printable ASCII characters
    #[arg(long)]
    description: Option<String>,
    /// Tell this topic when the job has ended: its ARN, or its name where it is one of the vault's own account and region
    #[arg(long, value_name = "TOPIC")]
    topic: Option<TopicArg>,
    /// How fast: expedited costs most, bulk least
    #[arg(long, value_parser = parse_tier, default_value = "standard", conflicts_with = "inventory")]
    tier: Tier,
    /// Only these bytes of the archive; both ends on a MiB boundary
    #[arg(long, value_name = "FIRST-LAST", conflicts_with = "inventory")]
    range: Option<ByteRange>,
    /// Form of the inventory
    #[arg(long, value_enum, default_value_t = Form::Json, requires = "inventory")]
    format: Form,
    /// Only archives created at this time or later
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "inventory")]
    start_date: Option<Timestamp>,
    /// Only archives created before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "inventory")]
    end_date: Option<Timestamp>,
    /// At most so many archives
    #[arg(long, requires = "inventory")]
    limit: Option<u64>,
    /// Go on where an earlier job with --limit ended
    #[arg(long, allow_hyphen_values = true, requires = "inventory")]
    marker: Option<String>,
}

/// Form of a vault's inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Json,
    Csv,
}

/// Reads a tier as users write it.
pub(crate) fn parse_tier(text: &str) -> Result<Tier, String> {
    match text.to_ascii_lowercase().as_str() {
        "expedited" => Ok(Tier::Expedited),
        "standard" => Ok(Tier::Standard),
        "bulk" => Ok(Tier::Bulk),
        _ => Err("a tier is one of expedited, standard, bulk".to_owned()),
    }
}

/// Reads the time of `--as-of`: a date alone is the end of that day, so that what was uploaded on it is there.
pub(crate) fn parse_as_of(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(&format!("{text}T23:59:59.999Z")).or_else(|_| parse_time(text))
}

/// Reads a time as users write it.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text)
        .or_else(|_| Timestamp::parse(&format!("{text}T00:00:00Z")))
        .map_err(|_| "a time is written 2024-05-01 or 2024-05-01T12:00:00Z".to_owned())
}

#[derive(Debug, Serialize)]
struct JobRecord {
    job_id: String,
    action: &'static str,
    status: &'static str,
    archive_id: Option<String>,
    size: Option<u64>,
    range: Option<String>,
    tree_hash: Option<String>,
    tier: Option<&'static str>,
    description: Option<String>,
    created: String,
    completed: Option<String>,
    message: Option<String>,
    next_marker: Option<String>,
}

impl JobRecord {
    fn of(job: &JobDescription) -> Self {
        Self {
            job_id: job.job_id.to_string(),
            action: match job.action {
                JobAction::ArchiveRetrieval => "archive-retrieval",
                JobAction::InventoryRetrieval => "inventory-retrieval",
            },
            status: match job.status_code {
                JobStatus::InProgress => "in-progress",
                JobStatus::Succeeded => "succeeded",
                JobStatus::Failed => "failed",
            },
            archive_id: job.archive_id.as_ref().map(ToString::to_string),
            size: job.archive_size_in_bytes.or(job.inventory_size_in_bytes),
            range: job.retrieval_byte_range.map(|range| range.to_string()),
            tree_hash: job.tree_hash.map(|hash| hash.to_string()),
            tier: job.tier.map(|tier| match tier {
                Tier::Expedited => "expedited",
                Tier::Standard => "standard",
                Tier::Bulk => "bulk",
            }),
            description: job.description.as_ref().map(ToString::to_string),
            created: job.creation_date.to_string(),
            completed: job.completion_date.map(|date| date.to_string()),
            message: job.status_message.clone(),
            next_marker: job.next_inventory_retrieval_marker.clone(),
        }
    }
}

impl Record for JobRecord {
    const COLUMNS: &'static [&'static str] = &[
        "job_id",
        "action",
        "status",
        "archive_id",
        "size",
        "range",
        "tree_hash",
        "tier",
        "description",
        "created",
        "completed",
        "message",
        "next_marker",
    ];
    const HEADINGS: &'static [&'static str] =
        &["JOB", "ACTION", "STATUS", "SIZE", "CREATED", "DESCRIPTION"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.job_id.clone(),
            self.action.to_owned(),
            self.status.to_owned(),
            self.size.map(size).unwrap_or_default(),
            self.created.clone(),
            self.description.clone().unwrap_or_default(),
        ]
    }
}

/// A job with all there is to tell people.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct JobDetails(JobRecord);

impl Record for JobDetails {
    const COLUMNS: &'static [&'static str] = JobRecord::COLUMNS;
    const HEADINGS: &'static [&'static str] = &[
        "JOB",
        "ACTION",
        "STATUS",
        "MESSAGE",
        "ARCHIVE ID",
        "SIZE",
        "RANGE",
        "TREE HASH",
        "TIER",
        "CREATED",
        "COMPLETED",
        "DESCRIPTION",
    ];

    fn cells(&self) -> Vec<String> {
        let Self(job) = self;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        vec![
            job.job_id.clone(),
            job.action.to_owned(),
            job.status.to_owned(),
            text(&job.message),
            text(&job.archive_id),
            job.size.map(size).unwrap_or_default(),
            text(&job.range),
            text(&job.tree_hash),
            job.tier.unwrap_or_default().to_owned(),
            job.created.clone(),
            text(&job.completed),
            text(&job.description),
        ]
    }
}

/// Runs the command.
pub(crate) async fn run(command: Job, session: &Session) -> anyhow::Result<Exit> {
    match command {
        Job::List { vault } => list(&vault, session).await,
        Job::Describe { vault, job_id } => describe(&vault, &job_id, session).await,
        Job::Start(command) => start(command, session).await,
        Job::Output { vault, job_id, to, range } => {
            output(&vault, &job_id, to, range, session).await
        }
    }
}

async fn list(vault: &VaultArg, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    open.require_vault().await?;
    let mut rows = stdout_rows(session.format());
    let mut marker = None;
    loop {
        let page = open.target().list_jobs(&open.name, marker.as_deref()).await?;
        for job in &page.items {
            rows.push(&JobRecord::of(job))?;
        }
        marker = page.marker;
        if marker.is_none() {
            break;
        }
    }
    rows.finish()?;
    open.opened.close().await?;
    Ok(Exit::Done)
}

async fn describe(vault: &VaultArg, job_id: &JobId, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    open.require_vault().await?;
    let job = open.target().describe_job(&open.name, job_id).await?;
    one(session.format(), &JobDetails(JobRecord::of(&job)))?;
    open.opened.close().await?;
    Ok(Exit::Done)
}

async fn start(command: Start, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(&command.vault, false).await?;
    let vault = open.require_vault().await?.vault_arn;
    let sns_topic = command.topic.map(|topic| topic.beside(vault).to_string());
    let description = command.description.as_deref().map(Description::parse).transpose();
    let description = description
        .map_err(|error| Failure::usage("the description is not valid").because(error))?
        .flatten();
    let request = match command.archive_id {
        Some(archive) => JobRequest::Archive {
            archive,
            range: command.range,
            tier: command.tier,
            description,
            sns_topic,
        },
        None => JobRequest::Inventory {
            parameters: InventoryParameters {
                start_date: command.start_date,
                end_date: command.end_date,
                limit: command.limit,
                marker: command.marker,
                format: match command.format {
                    Form::Json => InventoryFormat::Json,
                    Form::Csv => InventoryFormat::Csv,
                },
            },
            description,
            sns_topic,
        },
    };
    if session.global.dry_run {
        session.progress.say(&format!("would start a job in the vault {}", open.name));
    } else {
        let job = open.target().initiate_job(&open.name, &request).await.map_err(|error| {
            let failure = Failure::failed("the job was not started");
            match command.range {
                Some(_) => failure.hint("--range FIRST-LAST in bytes: FIRST is a multiple of 1048576 (1MiB), LAST is one less than such a multiple, or the archive's last byte"),
                None => failure,
            }
            .because(error)
        })?;
        one(
            session.format(),
            &JobRecord::of(&open.target().describe_job(&open.name, &job).await?),
        )?;
    }
    open.opened.close().await?;
    Ok(Exit::Done)
}

async fn output(
    vault: &VaultArg,
    job_id: &JobId,
    to: Option<PathBuf>,
    range: Option<ByteRange>,
    session: &Session,
) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    open.require_vault().await?;
    let job = open.target().describe_job(&open.name, job_id).await?;
    if job.status_code == JobStatus::InProgress {
        return Err(Failure::not_ready("the job is still in progress")
            .hint("run the same command again later")
            .into());
    }
    let output = open.target().job_output(&open.name, job_id, range).await?;
    let mut chunks = output.chunks;
    match to {
        None => {
            let mut stdout = std::io::stdout();
            while let Some(chunk) = chunks.next().await {
                stdout.write_all(&chunk?)?;
            }
            stdout.flush()?;
        }
        Some(path) => {
            let unwritable = |error| unwritable(&path, error);
            // The bytes get their name only when all of them are there and verified.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(std::path::Path::new("."));
            let mut file = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
            while let Some(chunk) = chunks.next().await {
                file.write_all(&chunk?).map_err(unwritable)?;
            }
            file.as_file().sync_all().map_err(unwritable)?;
            file.persist_noclobber(&path).map_err(|error| {
                Failure::failed(format!("cannot write {}", path.display()))
                    .hint("an existing file is not replaced: choose another name")
                    .because(error.error)
            })?;
        }
    }
    open.opened.close().await?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::{parse_as_of, parse_time};

    #[test]
    fn a_date_is_the_end_of_its_day_for_as_of_and_its_beginning_otherwise() {
        let text = |time: Result<icefield_protocol::Timestamp, String>| time.unwrap().to_string();
        assert_eq!(text(parse_as_of("2024-05-01")), "2024-05-01T23:59:59.999Z");
        assert_eq!(text(parse_time("2024-05-01")), "2024-05-01T00:00:00.000Z");
        assert_eq!(text(parse_as_of("2024-05-01T12:00:00Z")), "2024-05-01T12:00:00.000Z");
        assert!(parse_as_of("yesterday").is_err());
    }
}
