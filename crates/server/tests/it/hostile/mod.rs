//! Requests that must not get through, to a service without sockets: each of many thousands costs a call and no connection.
//!
//! `mutation` changes requests that were signed; `matrix` sends those of everybody who may not. Both ask two questions: what
//! is answered, and whether anything in the store is another than before.

mod change;
mod matrix;
mod meaning;
mod message;
mod mutation;
mod requests;
mod state;
mod world;
