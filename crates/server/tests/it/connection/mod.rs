//! Connections over real sockets, with limits short enough to be waited for.

mod accepting;
mod bodies;
mod calls;
mod heads;
mod refusals;
mod responses;
mod shutdown;
mod slow;
mod tls;
mod world;
