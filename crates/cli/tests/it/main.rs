//! Whole-system tests: the program as a user runs it, on real files, from the command line to the disk.
//!
//! Each test has a [`Sandbox`](sandbox::Sandbox), a home of its own. The program is the one that `ICEFIELD_BIN` names
//! (`cargo xtask test` sets it to the release build), else the one cargo has built for the tests. Nothing waits for
//! time to pass: what has to be caught in the middle is watched, through [`Watched`](process::Watched), until it is
//! there. Tests marked `long` do the same as their short siblings with the sizes that icefield promises to handle;
//! `cargo xtask test --long` runs them too.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers as well")]
#![expect(
    clippy::print_stderr,
    reason = "a test tells its seed, what it measured, and what it left out"
)]

#[path = "../../../client/tests/it/s3/bucket/mod.rs"]
#[expect(dead_code, reason = "the client's own tests look at more of it")]
mod bucket;
mod differ;
mod process;
mod sandbox;
mod trees;

mod account_wide;
mod bad_input;
mod buckets;
mod changing_file;
mod costs;
mod damage;
mod delete;
mod duplicates;
mod foreign;
mod forms;
mod full_disk;
mod help;
mod inventory;
mod jobs;
mod killed;
mod large_inventory;
mod locked;
mod many_files;
mod memory;
mod operate;
mod ordinary_user;
mod pages;
mod readme;
mod remote;
mod retrieve;
mod round_trip;
mod selection;
mod served;
mod service;
mod settings;
mod store;
mod strange_paths;
mod targets;
mod unchanged;
mod upload;
mod uploads;
mod usr_share;
mod vaults;
mod verify;
