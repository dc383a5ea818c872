//! The one binary: `icefield upload`, `icefield retrieve`, and everything else a person does with vaults.
//!
//! Data flows `commands` > `client` (plan, transfer, catalog) > target. This crate owns what the libraries must not touch:
//! arguments, environment, terminal, prompts and exit codes.

mod admin;
mod args;
mod commands;
mod config;
mod cost;
mod embedded;
mod errand;
mod failure;
mod log;
mod output;
mod progress;
mod prompt;
mod remote;
mod s3;
mod service;
mod session;

use std::{process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    args::{Cli, Command},
    failure::{Exit, report},
    session::Session,
};

/// Threads for blocking work: reading, writing, syncing.
const BLOCKING_THREADS: usize = 64;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The service reads its settings first.
    let begun = match cli.command {
        Command::Serve(_) => Ok(()),
        _ => log::begin(&cli.global),
    };
    let ended = begun.and_then(|()| run(cli));
    match ended {
        Ok(exit) => exit.into(),
        Err(error) if is_broken_pipe(&error) => Exit::Done.into(),
        Err(error) => report(&error, &mut anstream::stderr()).into(),
    }
}

fn run(mut cli: Cli) -> anyhow::Result<Exit> {
    // For the service the named file is its own, not that of client commands.
    let served = matches!(cli.command, Command::Serve(_));
    let config = if served { cli.global.config.take() } else { None };
    let session = Session::new(cli.global, std::env::args_os().skip(1).collect())?;
    let progress = Arc::clone(&session.progress);
    let when_interrupted = cli.command.when_interrupted(session.global.dry_run);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(async {
        let interrupted = interrupted();
        if let Command::Serve(serve) = cli.command {
            return Box::pin(commands::serve::run(serve, config, &session, interrupted)).await;
        }
        tokio::select! {
            ended = Box::pin(commands::run(cli.command, &session)) => ended,
            () = interrupted => Ok(Exit::Interrupted),
        }
    });
    progress.finish();
    session.end_errand(&ended)?;
    if let Ok(Exit::Interrupted) = ended {
        progress.say(&when_interrupted);
    }
    // Blocking work that is under way (a file being read) must not hold up the end.
    runtime.shutdown_background();
    ended
}

/// Waits for Ctrl-C, or for the system's request to end. What comes before the wait has begun is not missed, and does not
/// end the process, from the call on.
fn interrupted() -> impl Future<Output = ()> {
    let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    async {
        let [mut interrupt, mut terminate] = signals;
        tokio::select! {
            () = received(&mut interrupt) => {}
            () = received(&mut terminate) => {}
        }
    }
}

async fn received(signal: &mut std::io::Result<Signal>) {
    match signal {
        Ok(signal) => drop(signal.recv().await),
        // Where no signal handler can be set, the system's own ends the process.
        Err(_) => std::future::pending().await,
    }
}

/// Whoever read our output has gone (`icefield list | head`): no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
