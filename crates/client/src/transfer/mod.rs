//! Moving files to a target: planned, bounded, resumable.
//!
//! [`plan`] cuts a file, [`source`] reads it and notices changes, [`rate`] and [`retry`] say when a request may go, and
//! [`upload`] puts it together:
//!
//! ```text
//! walk > choose (newest entries, claims) > send (single or parts) > record (catalog, one transaction a batch) > caller
//! ```

pub mod cancel;
pub mod plan;
pub mod rate;
pub mod retry;
pub mod source;

pub use cancel::{Cancel, Canceller};
pub use rate::{RateLimit, Throttle};
pub use retry::RetryPolicy;
