//! What a retrieval will do: selected from the catalog, compared with the destination, nothing changed yet.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{StreamExt as _, stream};
use icefield_protocol::{ArchiveId, ByteRange};
use icefield_treehash::TreeHash;

use super::{RetrieveContext, RetrieveError, RetrieveOptions, blocking, chain};
use crate::{
    catalog::{CatalogError, Entry, EntryQuery, FileTime, Kind, total},
    life::{MeetError, meet},
    path::CatalogPath,
    pattern::Choice,
    place::{Attributes, Destination, Found},
    verify::hash_file,
};

/// Files that are hashed at a time to see whether they are there already.
const HASHED_AT_ONCE: usize = 16;

/// What a retrieval will do.
#[derive(Debug, Default)]
pub struct Plan {
    /// Folders, each before what is in it.
    pub folders: Vec<Entry>,
    /// Links and empty files, which need no job.
    pub made: Vec<Entry>,
    /// Files whose bytes have to come from the target.
    pub files: Vec<PlannedFile>,
    /// Files and links that are there already.
    pub skipped: Vec<Entry>,
    /// What cannot be put in its place, and why.
    pub refused: Vec<(Entry, String)>,
    /// The patterns that match nothing, by their place among the options.
    pub unmatched: Vec<usize>,
}

impl Plan {
    /// Bytes that have to come from the target, as far as known.
    pub fn bytes(&self) -> u64 {
        total(self.files.iter().filter_map(PlannedFile::wanted_bytes))
    }

    /// Whether nothing was selected at all.
    pub fn is_empty(&self) -> bool {
        let Self { folders, made, files, skipped, refused, unmatched: _ } = self;
        folders.is_empty()
            && made.is_empty()
            && files.is_empty()
            && skipped.is_empty()
            && refused.is_empty()
    }
}

/// A file whose bytes have to come from the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Where it belongs.
    pub path: CatalogPath,
    /// The archive.
    pub archive: ArchiveId,
    /// Size of the archive, unless unknown.
    pub size: Option<u64>,
    /// Tree hash of the archive, unless unknown.
    pub tree_hash: Option<TreeHash>,
    /// Recorded modification time.
    pub mtime: Option<FileTime>,
    /// Recorded permission bits.
    pub mode: Option<u32>,
    /// The part that is wanted; `None` is the whole.
    pub range: Option<ByteRange>,
}

impl PlannedFile {
    /// Bytes that will be written, as far as known.
    pub fn wanted_bytes(&self) -> Option<u64> {
        match self.range {
            Some(range) => Some(range.len()),
            None => self.size,
        }
    }

    fn new(entry: &Entry, archive: ArchiveId, range: Option<ByteRange>) -> Self {
        Self {
            path: entry.path.clone(),
            archive,
            size: entry.known_size(),
            tree_hash: entry.tree_hash,
            mtime: entry.mtime,
            mode: entry.mode,
            range,
        }
    }
}

/// Plans a retrieval: looks whether the vault is the one the catalog knows, and reads the catalog and the destination.
///
/// # Errors
///
/// When the catalog fails, the target does not answer, or a range is asked for and not exactly one file selected.
pub async fn plan(
    context: &RetrieveContext,
    options: &RetrieveOptions,
) -> Result<Plan, RetrieveError> {
    let RetrieveContext { target, catalog, vault_name, vault, events, .. } = context;
    let met = meet(&**target, catalog, vault_name, *vault, &**events).await;
    met.map_err(|error| match error {
        MeetError::Target(error) => RetrieveError::from(error),
        MeetError::Catalog(error) => error.into(),
    })?;
    let (entries, unmatched) = {
        let (context, options) = (context.clone(), options.clone());
        blocking(move || select(&context, &options)).await?
    };
    if options.range.is_some() {
        check_range(&entries, options)?;
    }
    let overwrite = options.overwrite;
    let range = options.range;
    let to = options.to.clone();
    let destination = blocking(move || Destination::existing(&to)).await.map(Arc::new);
    let decided = {
        let destination = destination.clone();
        blocking(move || {
            let decide_one = |entry: Entry| {
                let found = match &destination {
                    Some(destination) => destination.look(&entry.path),
                    None => Ok(Found::Nothing),
                };
                let decision = match found {
                    Ok(found) => decide(&entry, &found, overwrite, range),
                    Err(error) => Decision::Refuse(chain(&error)),
                };
                (entry, decision)
            };
            entries.into_iter().map(decide_one).collect::<Vec<_>>()
        })
        .await
    };
    let mut plan = Plan { unmatched, ..Plan::default() };
    let mut to_hash = Vec::new();
    for (entry, decision) in decided {
        match decision {
            Decision::Hash => to_hash.push(entry),
            decision => plan.add(entry, decision, range),
        }
    }
    let Some(destination) = destination else { return Ok(plan) };
    let hashed = stream::iter(to_hash)
        .map(|entry| compare(context, Arc::clone(&destination), entry, overwrite))
        .buffered(HASHED_AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    for (entry, decision) in hashed {
        plan.add(entry, decision, range);
    }
    plan.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(plan)
}

impl Plan {
    fn add(&mut self, entry: Entry, decision: Decision, range: Option<ByteRange>) {
        match (decision, entry.kind, entry.archive.clone()) {
            (Decision::Refuse(why), _, _) => self.refused.push((entry, why)),
            (Decision::Skip, _, _) => self.skipped.push(entry),
            (Decision::Make | Decision::Hash, Kind::Folder, _) => self.folders.push(entry),
            (Decision::Make | Decision::Hash, Kind::File, Some(archive)) => {
                self.files.push(PlannedFile::new(&entry, archive, range));
            }
            (Decision::Make | Decision::Hash, Kind::File | Kind::Link, _) => self.made.push(entry),
        }
    }
}

/// What is to be done about one entry.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Make,
    Skip,
    /// Equal size: the content decides.
    Hash,
    Refuse(String),
}

/// Decides from what is at the destination.
fn decide(entry: &Entry, found: &Found, overwrite: bool, range: Option<ByteRange>) -> Decision {
    let different = |attributes: &Attributes| {
        if overwrite {
            return Decision::Make;
        }
        Decision::Refuse(format!(
            "a different file is at the destination already ({} bytes, not {}); allow overwriting to replace it",
            attributes.size, entry.size
        ))
    };
    match (entry.kind, found) {
        (_, Found::Nothing) | (Kind::Folder, Found::Folder(_)) => Decision::Make,
        (Kind::Link, Found::Link { target, .. }) if entry.link_target.as_ref() == Some(target) => {
            Decision::Skip
        }
        (Kind::Link, Found::Link { .. } | Found::File(_)) | (Kind::File, Found::Link { .. })
            if overwrite =>
        {
            Decision::Make
        }
        (Kind::File, Found::File(_)) if range.is_some() && !overwrite => Decision::Refuse(
            "a file is at the destination already; allow overwriting to replace it".into(),
        ),
        (Kind::File, Found::File(_)) if range.is_some() => Decision::Make,
        (Kind::File, Found::File(attributes)) if entry.archive.is_none() => {
            if attributes.size == 0 { Decision::Skip } else { different(attributes) }
        }
        (Kind::File, Found::File(attributes)) if entry.tree_hash.is_some() => {
            if entry.known_size().is_none_or(|size| size == attributes.size) {
                Decision::Hash
            } else {
                different(attributes)
            }
        }
        (Kind::File, Found::File(attributes)) => different(attributes),
        (Kind::Folder, _) => Decision::Refuse(format!(
            "{} is at the destination where a folder belongs; move it away",
            found.what()
        )),
        (Kind::Link, Found::Link { .. } | Found::File(_)) | (Kind::File, Found::Link { .. }) => {
            Decision::Refuse(format!(
                "{} is at the destination already; allow overwriting to replace it",
                found.what()
            ))
        }
        (Kind::File | Kind::Link, Found::Folder(_) | Found::Other) => Decision::Refuse(format!(
            "{} is at the destination already; move it away, it is never replaced",
            found.what()
        )),
    }
}

/// Reads a file of equal size to see whether it is the one.
async fn compare(
    context: &RetrieveContext,
    destination: Arc<Destination>,
    entry: Entry,
    overwrite: bool,
) -> (Entry, Decision) {
    let path = entry.path.clone();
    let opened = blocking(move || destination.open_file(&path)).await;
    let hashed = match opened {
        Ok(file) => hash_file(&context.hashing, file).await.map_err(|error| chain(&error)),
        Err(error) => Err(chain(&error)),
    };
    let decision = match hashed {
        Ok((_, hash)) if Some(hash) == entry.tree_hash => Decision::Skip,
        Ok(_) if overwrite => Decision::Make,
        Ok(_) => Decision::Refuse(
            "a file of other content is at the destination already; allow overwriting to replace it"
                .to_owned(),
        ),
        Err(why) => Decision::Refuse(format!("the file at the destination cannot be read: {why}")),
    };
    (entry, decision)
}

/// Selects the entries, sorted by path, each path once; tells which patterns match none.
fn select(
    context: &RetrieveContext,
    options: &RetrieveOptions,
) -> Result<(Vec<Entry>, Vec<usize>), RetrieveError> {
    let RetrieveContext { catalog, vault, .. } = context;
    let mut choice = Choice::of(&options.patterns);
    let mut selected = |path: &CatalogPath| options.patterns.is_empty() || choice.matches(path);
    let mut by_path = BTreeMap::new();
    if !options.archive_ids.is_empty() {
        for archive in &options.archive_ids {
            let known = catalog.by_archive(*vault, archive)?.into_iter().next_back();
            let entry = known.map_or_else(|| unknown(archive), Ok)?;
            let path = entry.path.clone();
            if let Some(other) = by_path.insert(path, entry) {
                return Err(RetrieveError::Options(format!(
                    "two of the archives have the path `{}`; retrieve them into different folders",
                    other.path
                )));
            }
        }
        return Ok((by_path.into_values().collect(), Vec::new()));
    } else if let Some(from) = &options.from {
        let chosen = from.iter().filter(|entry| selected(&entry.path));
        by_path.extend(chosen.map(|entry| (entry.path.clone(), entry.clone())));
    } else {
        let query = EntryQuery { versions: false, as_of: options.as_of };
        let mut chosen = Vec::new();
        catalog.for_each(*vault, &query, &mut |entry: Entry| {
            if selected(&entry.path) {
                chosen.push(entry);
            }
            Ok::<(), CatalogError>(())
        })?;
        return Ok((chosen, choice.unmatched()));
    }
    Ok((by_path.into_values().collect(), choice.unmatched()))
}

/// An archive that only its ID is known of.
fn unknown(archive: &ArchiveId) -> Result<Entry, RetrieveError> {
    let path = CatalogPath::parse(archive.as_str())
        .map_err(|error| RetrieveError::Options(error.to_string()))?;
    Ok(Entry::named(path, archive.clone()))
}

/// A range needs one file, and bytes that this file has.
fn check_range(entries: &[Entry], options: &RetrieveOptions) -> Result<(), RetrieveError> {
    let mut files = entries.iter().filter(|entry| entry.archive.is_some());
    let (Some(file), None, Some(range)) = (files.next(), files.next(), options.range) else {
        return Err(RetrieveError::Options(
            "a range needs exactly one file; name it by its whole path or its archive ID".into(),
        ));
    };
    if file.size > 0 && range.last >= file.size {
        return Err(RetrieveError::Options(format!(
            "the range {range} is not within `{}`, which has {} bytes, 0-{}",
            file.path,
            file.size,
            file.size - 1
        )));
    }
    Ok(())
}
