//! The targets against services that speak the wire.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers as well")]
#![expect(clippy::print_stderr, reason = "a test tells what it left out")]

mod s3;
