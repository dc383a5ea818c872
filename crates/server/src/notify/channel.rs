//! Ways to a destination: one file each, behind one trait.

use std::{error::Error, time::Duration};

use async_trait::async_trait;

use super::envelope::Message;

/// How long connecting may take.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// How long an attempt may take in all.
pub(super) const ATTEMPT: Duration = Duration::from_secs(15);
/// Longest text of an error that is kept.
const MAX_ERROR_BYTES: usize = 500;

/// A way to one destination.
///
/// # Contract
///
/// `deliver` returns once the other side has said that it has the message, or an error. It may be dropped at any time; the
/// message is then sent once more later. Nothing is retried inside.
#[async_trait]
pub(super) trait Channel: Send + Sync {
    /// Sends one message.
    async fn deliver(&self, message: &Message) -> Result<(), Undelivered>;
}

/// Why a message did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct Undelivered {
    /// Whether it is about the destination and not about this message: another one would fare no better now.
    pub(super) unreachable: bool,
    text: String,
}

impl Undelivered {
    /// The destination cannot be reached, or is not well.
    pub(super) fn unreachable(error: &(dyn Error + 'static)) -> Self {
        Self { unreachable: true, text: chain(error) }
    }

    /// The destination does not want this message.
    pub(super) fn refused(error: &(dyn Error + 'static)) -> Self {
        Self { unreachable: false, text: chain(error) }
    }

    /// The destination cannot be reached, for a reason of ours.
    pub(super) fn because(text: impl Into<String>) -> Self {
        Self { unreachable: true, text: bounded(text.into()) }
    }
}

/// An error with all its reasons.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let reason = error.to_string();
        if !text.ends_with(&reason) {
            text = format!("{text}: {reason}");
        }
        source = error.source();
    }
    bounded(text)
}

fn bounded(mut text: String) -> String {
    let end = (0..=MAX_ERROR_BYTES).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or(0));
    text
}
