//! Newest versions that can exist beside each other.
//!
//! A path may have been a folder and then a file, or the other way round, and nobody tells the catalog that something was
//! deleted. So of a file or link and what lies below its path, what came first is left out.
//!
//! Entries come in the order of their bytes, where `a-b` stands between `a` and `a/b`. All paths that begin with the bytes
//! of another follow it without a gap, so what may still have something below it is a stack.

use rusqlite::{CachedStatement, Connection, params};

use super::{Entry, Kind, VaultRef};
use crate::path::CatalogPath;

/// Looks at the newest version of each path, in the order of the paths.
pub(super) struct Tree<'a> {
    newer_below: CachedStatement<'a>,
    vault: VaultRef,
    until: i64,
    /// Files and links whose bytes the current path begins with.
    above: Vec<(CatalogPath, Age)>,
}

/// When it was archived, and its number, which decides between equals.
type Age = (i64, i64);

impl<'a> Tree<'a> {
    /// Begins with the first path.
    pub(super) fn new(
        connection: &'a Connection,
        vault: VaultRef,
        until: i64,
    ) -> rusqlite::Result<Self> {
        let newer_below = connection.prepare_cached(
            "SELECT 1 FROM entry WHERE vault = ?1 AND path > ?2 AND path < ?3 AND gone IS NULL
             AND uploaded <= ?4 AND (uploaded, id) > (?5, ?6) LIMIT 1",
        )?;
        Ok(Self { newer_below, vault, until, above: Vec::new() })
    }

    /// Whether the tree has this entry with the number `id`; `next` is the path that comes after it.
    pub(super) fn has(
        &mut self,
        entry: &Entry,
        id: i64,
        next: Option<&CatalogPath>,
    ) -> rusqlite::Result<bool> {
        let path = entry.path.as_bytes();
        let age = (entry.uploaded.unix_millis(), id);
        while self.above.pop_if(|(above, _)| !path.starts_with(above.as_bytes())).is_some() {}
        let is_below = |above: &CatalogPath| path.get(above.as_bytes().len()) == Some(&b'/');
        let is_covered = self.above.iter().any(|(above, since)| is_below(above) && *since > age);
        let has_more = next.is_some_and(|next| next.as_bytes().starts_with(path));
        if entry.kind == Kind::Folder || !has_more {
            return Ok(!is_covered);
        }
        self.above.push((entry.path.clone(), age));
        Ok(!is_covered && !self.has_newer_below(path, age)?)
    }

    fn has_newer_below(&mut self, path: &[u8], age: Age) -> rusqlite::Result<bool> {
        let first = [path, b"/"].concat();
        // The byte after the slash.
        let end = [path, b"0"].concat();
        self.newer_below.exists(params![self.vault.0, first, end, self.until, age.0, age.1])
    }
}
