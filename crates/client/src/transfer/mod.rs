//! Moving files to a target: planned, bounded, resumable.
//!
//! [`plan`] cuts a file, [`source`] reads it and notices changes, [`rate`] says when bytes may go, and [`upload()`] puts
//! it together:
//!
//! ```text
//! walk > choose (newest entries, claims) > send (single or parts) > record (catalog, one transaction a batch) > caller
//! ```

pub mod cancel;
pub mod estimate;
pub mod plan;
pub mod rate;
pub mod source;
pub mod spool;
pub mod upload;

pub use cancel::{Cancel, Canceller};
pub use rate::{RateLimit, Throttle};
pub use upload::{
    Describe, FileError, Opener, Outcome, UploadContext, UploadError, UploadOptions, UploadReport,
    UploadedFile, upload, upload_found, upload_stream,
};

/// Runs blocking work on the runtime's pool for it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panicked) => std::panic::resume_unwind(panicked),
            // Only a runtime that shuts down cancels blocking work, and it polls nobody afterwards.
            Err(_) => std::future::pending().await,
        },
    }
}
