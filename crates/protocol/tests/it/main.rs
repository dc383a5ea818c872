//! What signatures promise, from outside: published vectors, other signers, forgeries.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod sigv4;
