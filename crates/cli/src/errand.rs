//! The command in hand as an errand: noted when it has been agreed to, ended when there is nothing to go on with.

use std::{ffi::OsString, sync::Mutex};

use icefield_client::{
    TargetError,
    catalog::{Catalog, CatalogError, Run},
    price::Usd,
    retrieval::RetrieveError,
    transfer::UploadError,
};
use icefield_protocol::Timestamp;

use crate::failure::{Exit, Failure};

/// The words of the command in hand, and what the journal knows of it.
#[derive(Debug)]
pub(crate) struct InHand {
    words: Vec<OsString>,
    begun: Mutex<Option<Begun>>,
}

#[derive(Debug)]
struct Begun {
    catalog: Catalog,
    id: i64,
    /// Shows that somebody is at it.
    _run: Run,
}

impl InHand {
    pub(crate) fn new(words: Vec<OsString>) -> Self {
        Self { words, begun: Mutex::new(None) }
    }

    /// Notes the command: from here on `icefield watch` goes on with it, for what was `agreed` to. `target` is the one that it
    /// was given for.
    pub(crate) fn begin(
        &self,
        catalog: &Catalog,
        target: Option<&str>,
        agreed: Option<Usd>,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let mut words = self.words.clone();
        // Whoever goes on may have another default.
        if let Some(target) = target {
            words.extend([OsString::from("--target"), OsString::from(target)]);
        }
        let run = catalog.begin_run(&words_of(&words))?;
        let id = catalog.begin_errand(&run, &words, &std::env::current_dir()?, agreed, now)?;
        let begun = Begun { catalog: catalog.clone(), id, _run: run };
        *self.begun.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(begun);
        Ok(())
    }

    /// Ends the errand, unless there is something to go on with.
    pub(crate) fn end(&self, ended: &anyhow::Result<Exit>) -> Result<(), CatalogError> {
        let begun = self.begun.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        match begun {
            Some(begun) if !goes_on(ended) => begun.catalog.end_errand(begun.id),
            _ => Ok(()),
        }
    }
}

/// Whether the same command, typed again, would go on.
fn goes_on(ended: &anyhow::Result<Exit>) -> bool {
    let error = match ended {
        Ok(exit) => return matches!(exit, Exit::NotReady | Exit::Interrupted),
        Err(error) => error,
    };
    error.chain().any(|cause| {
        let failure = cause.downcast_ref::<Failure>();
        let upload = cause.downcast_ref::<UploadError>();
        let retrieval = cause.downcast_ref::<RetrieveError>();
        let target = cause.downcast_ref::<TargetError>();
        failure.is_some_and(|failure| matches!(failure.exit, Exit::NotReady | Exit::Interrupted))
            || matches!(upload, Some(UploadError::Target { .. } | UploadError::Cancelled))
            || matches!(retrieval, Some(RetrieveError::Target(_)))
            || matches!(target, Some(TargetError::Transport { .. } | TargetError::Full { .. }))
    })
}

/// The words as they could be typed.
pub(crate) fn words_of(words: &[OsString]) -> String {
    let quoted = |word: &OsString| {
        let text = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            text.into_owned()
        } else {
            format!("'{}'", text.replace('\'', "'\\''"))
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use icefield_client::TargetError;

    use super::{goes_on, words_of};
    use crate::failure::{Exit, Failure};

    #[test]
    fn what_was_cut_off_is_gone_on_with_and_what_cannot_be_done_is_not() {
        for exit in [Exit::NotReady, Exit::Interrupted] {
            assert!(goes_on(&Ok(exit)), "{exit:?}");
        }
        for exit in [Exit::Done, Exit::Some, Exit::Failed] {
            assert!(!goes_on(&Ok(exit)), "{exit:?}");
        }
        let broken = TargetError::Transport { what: "reset".to_owned() };
        assert!(goes_on(&Err(anyhow::Error::from(broken).context("uploading"))));
        assert!(goes_on(&Err(Failure::not_ready("later").into())));
        assert!(!goes_on(&Err(Failure::failed("no vault").into())));
    }

    #[test]
    fn words_can_be_typed_as_they_are_shown() {
        let words = ["upload", "west:photos", "it's here", ""].map(Into::into);
        assert_eq!(words_of(&words), "upload west:photos 'it'\\''s here' ''");
    }
}
