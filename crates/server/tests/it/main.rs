//! The server over real sockets of this machine.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod connection;
mod glacier;
mod hostile;
mod notify;
mod operate;
