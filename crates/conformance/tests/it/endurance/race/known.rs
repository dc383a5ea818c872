//! What clients were told, all of them together.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
};

/// ID, size, and tree hash of an archive.
pub(super) type Told = (String, u64, String);

/// Operations that cross each other.
const CONTESTED: [&str; 6] = [
    "UploadArchive",
    "DeleteArchive",
    "UploadMultipartPart",
    "CompleteMultipartUpload",
    "AbortMultipartUpload",
    "GetJobOutput",
];

#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Facts>);

#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Archives by ID, with their vaults. Deleted ones stay.
    pub(super) archives: BTreeMap<String, (&'static str, Told)>,
    pub(super) deleted: BTreeSet<String>,
    pub(super) uploads: Vec<Upload>,
    pub(super) jobs: Vec<(&'static str, String)>,
    /// Answers by operation and status.
    pub(super) answers: BTreeMap<(&'static str, u16), u64>,
}

#[derive(Debug)]
pub(super) struct Upload {
    pub(super) vault: &'static str,
    pub(super) id: String,
    /// The archives that it became, by what its completions were told.
    pub(super) became: BTreeSet<String>,
    pub(super) aborted: bool,
}

impl Known {
    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap()
    }

    /// Returns the archives that have to be there.
    pub(super) fn archives_of(&self, vault: &str) -> BTreeSet<Told> {
        let facts = self.facts();
        let there = facts
            .archives
            .iter()
            .filter(|(id, (of, _))| *of == vault && !facts.deleted.contains(*id));
        there.map(|(_, (_, told))| told.clone()).collect()
    }

    /// Fails when an upload has become two archives, or one although it was aborted.
    pub(super) fn uploads_ended_once(&self) {
        for upload in &self.facts().uploads {
            let ends = upload.became.len() + usize::from(upload.aborted);
            assert!(ends <= 1, "{upload:?}");
        }
    }

    /// Tells how often each answer came. Fails when what the race is about never succeeded: then nothing was tested.
    pub(super) fn figures(&self) -> String {
        let facts = self.facts();
        let succeeded = |name: &str| {
            let mut answers = facts.answers.iter();
            answers.any(|((of, status), _)| *of == name && *status < 300)
        };
        let line =
            |((name, status), count): (&(&str, u16), &u64)| format!("{name} {status}: {count}");
        let lines: Vec<_> = facts.answers.iter().map(line).collect();
        let text = lines.join(", ");
        assert!(CONTESTED.iter().all(|name| succeeded(name)), "{text}");
        text
    }
}
