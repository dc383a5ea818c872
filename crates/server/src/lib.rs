//! HTTP in front of the engine: connections, authentication, operations, notifications.
//!
//! Data flows one way: `connection` (sockets, limits) > `pipeline` (the order of checks: `route`, what is asked; `auth`,
//! who asks) > `ops` (one file per operation) > engine. No rule of Glacier lives here. [`Server::start`] makes it run.

mod auth;
mod background;
pub mod connection;
pub mod control;
mod error;
mod exchange;
mod header;
mod host;
mod json;
pub mod notify;
pub mod operate;
mod ops;
mod pipeline;
mod request;
mod request_id;
mod response;
pub mod route;
mod server;
mod settings;
mod throttle;

pub use exchange::{Observer, RequestFacts};
pub use request_id::RequestId;
pub use server::{Running, Server, ServerError, Watch};
pub use settings::ServerSettings;
