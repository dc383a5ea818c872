//! HTTP in front of the engine: connections, authentication, operations, notifications.
//!
//! Data flows one way: `connection` (sockets, limits) > `auth` (who asks) > `route` (what is asked) > `ops` (one file per
//! operation) > engine. No rule of Glacier lives here.

pub mod connection;
