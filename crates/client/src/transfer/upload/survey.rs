//! What an upload has before it, as far as names, sizes and times tell; nothing is read but folders.

use std::ops::ControlFlow;

use icefield_protocol::PartSize;

use super::choose::{Choice, choice};
use crate::{
    catalog::{Catalog, CatalogError, Kind, VaultRef},
    path::CatalogPath,
    target::Limits,
    transfer::plan::{Plan, plan},
    walk::{Found, Item, Roots, Selection, walk},
};

/// Things that are looked up in the catalog together.
const BATCH: usize = 256;

/// How the survey decides, as the upload does.
#[derive(Debug, Clone, Copy)]
pub struct SurveyOptions {
    /// Size of parts, as in [`UploadOptions`](super::UploadOptions).
    pub part_size: Option<PartSize>,
    /// Whether files that are unchanged are sent again.
    pub force: bool,
    /// Whether every file has to be read to find out whether it is unchanged.
    pub checksum: bool,
    /// What fits into the target's archives.
    pub limits: Limits,
}

/// What a survey found besides the files to be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Surveyed {
    /// Files that are in the vault already.
    pub unchanged: u64,
    /// Folders, links and empty files that are new: they go into one archive together.
    pub noted: u64,
}

/// Tells `on_file` the size and the plan of every file that an upload to the vault would send, or read to find out.
/// Blocking.
///
/// What cannot be read or archived is left out; the upload names it.
///
/// # Errors
///
/// When the catalog fails.
pub fn survey(
    catalog: &Catalog,
    vault: VaultRef,
    (roots, selection): (&Roots, &Selection),
    options: SurveyOptions,
    on_file: &mut dyn FnMut(u64, &Plan),
) -> Result<Surveyed, CatalogError> {
    let mut found = Surveyed::default();
    let mut batch = Vec::with_capacity(BATCH);
    let mut failed = Ok(());
    let mut look_up = |batch: &mut Vec<Item>| -> Result<(), CatalogError> {
        let paths: Vec<CatalogPath> = batch.iter().map(|item| item.path.clone()).collect();
        let mut newest = catalog.newest_many(vault, &paths)?;
        for item in batch.drain(..) {
            let known = newest.remove(&item.path);
            match choice(&item, known, options.force, options.checksum) {
                Choice::Compare(_) | Choice::Send => {
                    let size = item.identity.size;
                    if let Ok(plan) = plan(size, options.part_size, options.limits) {
                        on_file(size, &plan);
                    }
                }
                Choice::Note | Choice::NoteTimes(_) => found.noted += 1,
                Choice::Unchanged(_) | Choice::Touch(_) => {
                    found.unchanged += u64::from(item.kind == Kind::File);
                }
            }
        }
        Ok(())
    };
    let _ = walk(roots, selection, &mut |one| {
        if let Found::Item(item) = one {
            batch.push(item);
        }
        if batch.len() == BATCH {
            failed = look_up(&mut batch);
        }
        if failed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    failed?;
    look_up(&mut batch)?;
    Ok(found)
}
