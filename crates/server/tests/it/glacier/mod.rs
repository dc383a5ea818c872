//! The service as clients see it: signed requests over a socket, answers byte for byte.
//!
//! What is tested here is the wiring; the rules of Glacier are tested in the engine.

mod authentication;
mod lifecycle;
mod order;
mod outputs;
mod request;
mod routing;
mod uploads;
mod wire;
pub(crate) mod world;
