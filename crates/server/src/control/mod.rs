//! Administration of a store: the commands of its owner, beside a running server and without one.
//!
//! ```text
//! command line ──> store is free:     Administrator::execute, in the same process
//!              └─> a server owns it:  ask ──> DIR/control.sock ──> Administrator::execute in the server
//! ```
//!
//! The commands are data, [`Request`], and so are the answers, so both ways do the same. On the socket each is one line of
//! JSON, one request a connection. Only the user that runs the server may connect.

mod execute;
mod request;
mod socket;

pub use execute::Administrator;
pub use request::{
    AccountRecord, Answer, CompactedRecord, DeadRecord, DecisionRecord, KeyRecord, Refusal,
    Request, ScrubRecord, StatRecord, TopicRecord, UserRecord, WhatIf,
};
pub(crate) use socket::serve;
pub use socket::{AskError, ask, is_served};
