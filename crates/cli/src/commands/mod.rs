//! The commands, one file each: a struct whose doc comments are the help, and a function that runs it.

pub(crate) mod account;
pub(crate) mod capacity;
pub(crate) mod completions;
pub(crate) mod delete;
pub(crate) mod duplicates;
pub(crate) mod inventory;
pub(crate) mod job;
pub(crate) mod key;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod migrate;
pub(crate) mod policy;
pub(crate) mod retrieval_policy;
pub(crate) mod retrieve;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod target;
pub(crate) mod topic;
pub(crate) mod upload;
pub(crate) mod uploads;
pub(crate) mod user;
pub(crate) mod vault;
pub(crate) mod verify;
pub(crate) mod watch;
pub(crate) mod would;

use crate::{args::Command, failure::Exit, session::Session};

/// Runs the command.
pub(crate) async fn run(command: Command, session: &Session) -> anyhow::Result<Exit> {
    match command {
        Command::Upload(upload) => upload::run(upload, session).await,
        Command::List(list) => list::run(list, session).await,
        Command::Retrieve(retrieve) => retrieve::run(retrieve, session).await,
        Command::Delete(delete) => delete::run(delete, session).await,
        Command::Duplicates(duplicates) => duplicates::run(&duplicates, session).await,
        Command::Verify(verify) => verify::run(verify, session).await,
        Command::Status(status) => status::run(status, session).await,
        Command::Watch(watch) => watch::run(watch, session).await,
        Command::Migrate(migrate) => migrate::run(migrate, session).await,
        Command::Inventory(inventory) => inventory::run(inventory, session).await,
        Command::Uploads(uploads) => uploads::run(uploads, session).await,
        Command::Vault(vault) => vault::run(vault, session).await,
        Command::Job(job) => job::run(job, session).await,
        Command::RetrievalPolicy(policy) => retrieval_policy::run(policy, session).await,
        Command::Capacity(capacity) => capacity::run(capacity, session).await,
        Command::Target(target) => target::run(target, session).await,
        // Ends by itself when it is interrupted, so the caller runs it.
        Command::Serve(serve) => serve::run(serve, None, session, std::future::pending()).await,
        Command::Account(account) => account::run(account, session).await,
        Command::User(user) => user::run(user, session).await,
        Command::Key(key) => key::run(key, session).await,
        Command::Topic(topic) => topic::run(topic, session).await,
        Command::Policy(policy) => policy::run(policy, session).await,
        Command::Store(store) => store::run(store, session).await,
        Command::Completions(completions) => completions::run(&completions),
        Command::Man(man) => man::run(&man),
    }
}
