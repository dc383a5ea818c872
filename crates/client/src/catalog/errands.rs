//! Errands: commands that were begun and have not ended, so that somebody else can go on with them.
//!
//! What a run has done is in the other journals; an errand is what was wanted, in the user's own words. The same words in
//! the same folder are the same errand, so whoever types a command again and ends it has ended the errand. What the words
//! do not tell is the price that the user has agreed to.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use icefield_protocol::Timestamp;
use rusqlite::params;

use super::{Catalog, CatalogError, Run, native, run::Living};
use crate::price::Usd;

/// A command that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// Its number in the journal.
    pub id: i64,
    /// The words of the command line, without the program.
    pub words: Vec<OsString>,
    /// The folder it was given in.
    pub folder: PathBuf,
    /// When it was given first.
    pub begun: Timestamp,
    /// What its user has agreed to pay for it at most; none where nobody was asked.
    pub agreed: Option<Usd>,
    /// Whether a run that is alive does it.
    pub held: bool,
}

impl Catalog {
    /// Notes a command that `run` begins, or goes on with, and what its user has `agreed` to pay; returns its number.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn begin_errand(
        &self,
        run: &Run,
        words: &[OsString],
        folder: &Path,
        agreed: Option<Usd>,
        now: Timestamp,
    ) -> Result<i64, CatalogError> {
        let words = joined(words);
        self.write(|tx| {
            tx.execute(
                "INSERT INTO errand (words, folder, begun, run, agreed) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT (words, folder)
                     DO UPDATE SET run = excluded.run, agreed = excluded.agreed",
                params![
                    words,
                    native::to_bytes(folder),
                    now.unix_millis(),
                    run.name(),
                    agreed.map(|usd| usd.nanos().cast_signed())
                ],
            )?;
            let id = "SELECT id FROM errand WHERE words = ? AND folder = ?";
            Ok(tx.query_row(id, params![words, native::to_bytes(folder)], |row| row.get(0))?)
        })
    }

    /// Notes that a command has ended, and there is nothing to go on with.
    pub fn end_errand(&self, errand: i64) -> Result<(), CatalogError> {
        self.write(|tx| {
            tx.execute("DELETE FROM errand WHERE id = ?", [errand])?;
            Ok(())
        })
    }

    /// Lists the commands that have begun and not ended, the oldest first.
    ///
    /// # Errors
    ///
    /// When the database or the lock files fail.
    pub fn errands(&self) -> Result<Vec<Errand>, CatalogError> {
        let mut living = Living::new(self);
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT id, words, folder, begun, run, agreed FROM errand ORDER BY id",
            )?;
            let mut rows = select.query([])?;
            let mut errands = Vec::new();
            while let Some(row) = rows.next()? {
                errands.push(Errand {
                    id: row.get(0)?,
                    words: split(row.get(1)?),
                    folder: native::from_bytes(row.get(2)?),
                    begun: Timestamp::from_unix_millis(row.get(3)?),
                    agreed: row
                        .get::<_, Option<i64>>(5)?
                        .map(|nanos| Usd::from_nanos(nanos.cast_unsigned())),
                    held: living.holds(row.get::<_, Option<String>>(4)?.as_deref())?,
                });
            }
            Ok(errands)
        })
    }
}

/// No word of a command line has a NUL.
fn joined(words: &[OsString]) -> Vec<u8> {
    let bytes: Vec<&[u8]> = words.iter().map(|word| OsStr::as_encoded_bytes(word)).collect();
    bytes.join(&0)
}

fn split(words: Vec<u8>) -> Vec<OsString> {
    words.split(|byte| *byte == 0).map(|word| native::from_bytes(word.to_vec()).into()).collect()
}
