//! The time of day, injected: nothing in the library asks the system for it.

pub use icefield_protocol::Clock;
