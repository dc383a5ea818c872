//! What can go wrong in the database, in a form that every change of a failed transaction can be told.

use std::{path::Path, sync::Arc};

use rusqlite::{ErrorCode, ffi};

use crate::error::StoreError;

/// Why the database refused.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Failure {
    /// No room for the file or its write-ahead log.
    #[error("no space left for the ledger")]
    Full,
    /// A sync failed: what the kernel dropped then would be missing under later transactions.
    #[error("a sync of the ledger failed")]
    Fenced,
    /// The writer has ended.
    #[error("the ledger is closed")]
    Closed,
    /// The file is not what was written.
    #[error("the ledger's file is damaged: run `icefield store rebuild` to make it again")]
    Damaged(#[source] Arc<rusqlite::Error>),
    /// Anything else.
    #[error(transparent)]
    Other(Arc<rusqlite::Error>),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error;
        match &error {
            Error::SqliteFailure(cause, _)
                if matches!(
                    cause.extended_code,
                    ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC
                ) =>
            {
                Self::Fenced
            }
            Error::SqliteFailure(cause, _) => match cause.code {
                ErrorCode::DiskFull => Self::Full,
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                    Self::Damaged(Arc::new(error))
                }
                _ => Self::Other(Arc::new(error)),
            },
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..) => Self::Damaged(Arc::new(error)),
            _ => Self::Other(Arc::new(error)),
        }
    }
}

impl Failure {
    /// Tells the caller of the ledger at `path` what was being done.
    pub(super) fn while_doing(self, doing: &'static str, path: &Path) -> StoreError {
        match self {
            Self::Full => StoreError::Full { path: path.to_path_buf() },
            Self::Fenced => StoreError::Fenced,
            Self::Closed => StoreError::Closed,
            Self::Damaged(_) | Self::Other(_) => {
                StoreError::Ledger { doing, source: Box::new(self) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error, path::Path};

    use rusqlite::ffi;

    use super::Failure;
    use crate::error::StoreError;

    fn told(code: i32) -> StoreError {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        Failure::from(error).while_doing("testing", Path::new("/x/ledger.db"))
    }

    #[test]
    fn each_failure_becomes_the_decision_that_the_caller_has_to_take() {
        assert!(matches!(told(ffi::SQLITE_FULL), StoreError::Full { .. }));
        assert!(matches!(told(ffi::SQLITE_IOERR_FSYNC), StoreError::Fenced));
        assert!(matches!(told(ffi::SQLITE_IOERR_DIR_FSYNC), StoreError::Fenced));
        assert!(matches!(told(ffi::SQLITE_IOERR_READ), StoreError::Ledger { .. }));
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_CORRUPT_INDEX] {
            let error = told(code);
            let hint = error.source().map(ToString::to_string).unwrap_or_default();
            assert!(hint.contains("icefield store rebuild"), "{code}: {hint}");
        }
    }
}
