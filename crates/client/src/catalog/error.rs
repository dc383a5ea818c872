//! Why the catalog did not do it.

use std::{io, path::PathBuf};

use rusqlite::ErrorCode;

/// The catalog failed. Nothing of the call was kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The file is something else.
    #[error("{} is not a catalog of icefield; choose another file with ICEFIELD_CATALOG", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version of icefield.
    #[error(
        "the catalog {} has version {found}, this icefield knows versions up to {known}; use a newer icefield",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Version of the file.
        found: i64,
        /// Newest version that is known here.
        known: i64,
    },
    /// The file is torn or was changed by something else.
    #[error(
        "the catalog is damaged ({what}); move it away and run `icefield inventory refresh` to make it anew from the vaults"
    )]
    Damaged {
        /// What was found.
        what: String,
    },
    /// A file or folder beside the catalog could not be used.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system gave no random bytes for an upload token.
    #[error("the system gave no random bytes")]
    Random,
    /// The database failed.
    #[error("the catalog's database failed")]
    Database(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for CatalogError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { what: error.to_string() }
            }
            _ => match error {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..) => {
                    Self::Damaged { what: error.to_string() }
                }
                _ => Self::Database(error),
            },
        }
    }
}

impl CatalogError {
    /// A value in the database is not what the catalog writes.
    pub(crate) fn damaged(error: impl ToString) -> Self {
        Self::Damaged { what: error.to_string() }
    }
}
