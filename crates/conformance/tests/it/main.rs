//! Tests against a real `icefield serve`, over the network, by clients that know nothing of each other.
//!
//! The program is the one that `ICEFIELD_BIN` names (`cargo xtask test` sets it to the release
//! build), else the debug build in the same target folder. Each test starts a server of its own, on
//! ports the system chooses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers as well")]
#![expect(clippy::print_stderr, reason = "a test tells what it left out")]

mod client;
mod endurance;
mod foreign;
mod notify;
mod process;
mod seed;
mod suite;
