//! What lies beside a pack: files of higher generations, left by a compaction that a crash has interrupted, or the pack itself,
//! beside which somebody has put an older file of it.
//!
//! Which of the two it is cannot be told from outside. So a file that is complete is removed only when the pack, read from the
//! medium, has every byte that this file has.

use std::sync::Arc;

use crate::{
    error::{Damage, StoreError},
    payload::disk::{
        fenced::damaged,
        pack::{Packs, pack_path},
        rewrite::{is_gap, walk},
    },
};

/// Removes what interrupted compactions left. Names are durable after the next sync of the folder only.
///
/// # Errors
///
/// `Damaged`, with nothing removed, when a file beside a pack may be what is left of it.
pub(super) fn remove(packs: &Packs) -> Result<(), StoreError> {
    let disk = packs.disk();
    let found = beside(packs)?;
    for (number, current, left) in &found {
        judge(packs, *number, *current, *left)?;
    }
    for (number, _, left) in found {
        let path = pack_path(number, left);
        disk.writable()?;
        tracing::info!(path, "removing what an interrupted compaction left");
        disk.volume().remove(&path).map_err(|error| disk.failed("removing", &path, error))?;
    }
    Ok(())
}

/// Says which files beside packs the next opening would not remove, and why.
pub(super) fn check(packs: &Packs) -> Result<Vec<Damage>, StoreError> {
    let mut found = Vec::new();
    for (number, current, left) in beside(packs)? {
        match judge(packs, number, current, left) {
            Ok(()) => {}
            Err(StoreError::Damaged(damage)) => found.push(damage),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Number and generation of each pack that is not alone, and a further generation of it.
fn beside(packs: &Packs) -> Result<Vec<(u32, u32, u32)>, StoreError> {
    let mut found = Vec::new();
    for (number, generations) in packs.list()? {
        if let Some((current, left)) = generations.split_first() {
            found.extend(left.iter().map(|left| (number, *current, *left)));
        }
    }
    Ok(found)
}

/// Succeeds when nothing is lost without the file of generation `left`.
pub(super) fn judge(packs: &Packs, number: u32, current: u32, left: u32) -> Result<(), StoreError> {
    let disk = packs.disk();
    let (path, left_path) = (pack_path(number, current), pack_path(number, left));
    let left = match packs.open_generation(number, left) {
        Ok(left) => left,
        // Torn: the compaction that wrote it did not come to its end.
        Err(StoreError::Damaged(_)) => None,
        Err(error) => return Err(error),
    };
    let Some(left) = left else { return packs.open_generation(number, current).map(drop) };
    let refuse = |why: &str| {
        let what = format!(
            "{why}, and {left_path} beside it may be what is left of the pack: move the damaged one, {path}, away"
        );
        Err(damaged(&path, what))
    };
    let current = match packs.open_generation(number, current) {
        Ok(Some(current)) => Arc::new(current),
        // A compaction has just removed it.
        Ok(None) => return Ok(()),
        Err(StoreError::Damaged(damage)) => return refuse(&damage.what),
        Err(error) => return Err(error),
    };
    let len = current.len(disk)?;
    if left.len(disk)? != len {
        let what = format!(
            "not the same pack as {path}: move the one away that was put there, from a backup perhaps"
        );
        return Err(damaged(&left_path, what));
    }
    let file_len = left.file_len(disk)?;
    if left.gaps().is_none_or(|gaps| gaps.file_len() != file_len) {
        return Ok(());
    }
    current.forget_cached(0, u64::MAX);
    let visit = |at, _: &_, header: &_| Ok(is_gap(&left, at, header));
    match walk(packs, &current, &mut 0, len, u64::MAX, visit) {
        Err(StoreError::Damaged(damage)) => refuse(&damage.what),
        Err(StoreError::Io { source, .. }) => refuse(&format!("cannot be read: {source}")),
        walked => walked,
    }
}
