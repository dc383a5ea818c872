//! What an entry of the log does to the tables in memory.

use super::Tables;
use crate::{
    document::{DocumentEntry, DocumentRow},
    entry::{ArchiveEntry, ArchiveNumber, Entry, Outcome, UploadNumber, VaultNumber},
    ledger::{ArchiveRow, Stored, UploadRow, UploadState, VaultRow},
    payload::RecordPlace,
};

impl Tables {
    pub(super) fn apply(&mut self, entry: Entry, place: RecordPlace) -> Outcome {
        self.used_number(entry.highest_number());
        match entry {
            Entry::VaultCreated { vault, account, name, created } => self.create_vault(VaultRow {
                number: vault,
                account,
                name,
                created,
                writes: 0,
                archives: 0,
                bytes: 0,
                inventory: None,
            }),
            Entry::VaultDeleted { vault, writes, .. } => self.delete_vault(vault, writes),
            Entry::ArchiveCreated(entry) => self.create_archive(entry, place),
            Entry::ArchiveDeleted { vault, number, .. } => self.delete_archive(vault, number),
            Entry::Document(entry) => self.change_document(entry),
        }
    }

    fn create_vault(&mut self, row: VaultRow) -> Outcome {
        let key = (row.account.clone(), row.name.clone());
        if let Some(number) = self.vault_names.get(&key) {
            return Outcome::VaultExists(*number);
        }
        if self.vaults.contains_key(&row.number) {
            return Outcome::VaultExists(row.number);
        }
        self.vault_names.insert(key, row.number);
        self.vaults.insert(row.number, row);
        Outcome::Done { writes: 0 }
    }

    fn delete_vault(&mut self, vault: VaultNumber, writes: u64) -> Outcome {
        let Some(row) = self.vaults.get(&vault) else { return Outcome::VaultGone };
        if row.archives != 0 || row.writes != writes {
            return Outcome::VaultChanged;
        }
        self.vault_names.remove(&(row.account.clone(), row.name.clone()));
        self.vaults.remove(&vault);
        let deleted = self.deleted.iter().filter(|(of, _)| *of == vault);
        for number in deleted.map(|(_, number)| *number).collect::<Vec<_>>() {
            self.discard_archive(number);
        }
        let uploads = self.uploads.extract_if(.., |_, row| row.vault == vault);
        for number in uploads.map(|(number, _)| number).collect::<Vec<_>>() {
            self.stage_parts(number);
        }
        let jobs = self.jobs.extract_if(.., |_, row| row.vault == vault);
        let outputs = jobs.filter_map(|(_, row)| row.output);
        self.staged.extend(outputs.map(|output| output.extent.payload));
        self.tokens.retain(|(of, _), _| *of != vault);
        self.completed.retain(|(of, _), _| *of != vault);
        self.documents.retain(|_, row| row.vault != Some(vault));
        self.removed_documents.retain(|_, (of, _)| *of != Some(vault));
        Outcome::Done { writes }
    }

    fn create_archive(&mut self, entry: ArchiveEntry, place: RecordPlace) -> Outcome {
        let by_token = entry.token.and_then(|token| self.tokens.get(&(entry.vault, token)));
        let by_upload = entry.upload.and_then(|upload| self.completed.get(&(entry.vault, upload)));
        let same_number = self.archives.get(&entry.number).map(|row| &row.number);
        let earlier = by_token.or(by_upload).or(same_number).copied();
        if !self.vaults.contains_key(&entry.vault) {
            return self.refuse_archive(&entry, Outcome::VaultGone);
        }
        if let Some(first) = earlier {
            return self.refuse_archive(&entry, Outcome::Repeat(first));
        }
        let Some(vault) = self.vaults.get_mut(&entry.vault) else { return Outcome::VaultGone };
        vault.writes += 1;
        vault.archives += 1;
        vault.bytes = vault.bytes.saturating_add(entry.size);
        let created_write = vault.writes;
        let stored = Stored::of(&entry, place);
        self.take_extents(&entry, stored);
        if let Some(token) = entry.token {
            self.tokens.insert((entry.vault, token), entry.number);
        }
        if let Some(upload) = entry.upload {
            self.complete_upload(upload, &entry);
        }
        self.archives_of_vault.insert((entry.vault, entry.number));
        let row = ArchiveRow {
            vault: entry.vault,
            number: entry.number,
            seal: entry.seal,
            description: entry.description,
            created: entry.created,
            aged: entry.aged,
            size: entry.size,
            tree_hash: entry.tree_hash,
            stored,
            created_write,
            deleted_write: None,
        };
        self.archives.insert(row.number, row);
        Outcome::Done { writes: created_write }
    }

    /// Makes the entry's files the archive's own: out of staging, and into the parts of its upload when they are several.
    fn take_extents(&mut self, entry: &ArchiveEntry, stored: Stored) {
        if let Stored::Parts(upload) = stored {
            self.stage_parts(upload);
            let numbered = (0..).zip(entry.extents());
            self.parts.extend(numbered.map(|(index, extent)| ((upload, index), *extent)));
        } else if let Some(upload) = entry.upload {
            self.stage_parts(upload);
        }
        for extent in entry.extents() {
            self.staged.remove(&extent.payload);
        }
    }

    fn complete_upload(&mut self, upload: UploadNumber, entry: &ArchiveEntry) {
        self.completed.insert((entry.vault, upload), entry.number);
        let state = UploadState::Completed(entry.number);
        if let Some(row) = self.uploads.get_mut(&upload) {
            row.state = state;
            row.touched = entry.created;
            return;
        }
        let token = entry.token.filter(|token| self.upload_by_token(entry.vault, *token).is_none());
        let row = UploadRow {
            number: upload,
            vault: entry.vault,
            seal: entry.seal,
            description: entry.description.clone(),
            part_size: entry.part_size(),
            token,
            created: entry.created,
            touched: entry.created,
            state,
        };
        self.uploads.insert(upload, row);
    }

    /// Turns an archive away: its upload has ended, its bytes stay as they are, in files and in its record. Over a damaged log
    /// it may be refused because of what cannot be read, so it is not taken for dead.
    fn refuse_archive(&mut self, entry: &ArchiveEntry, outcome: Outcome) -> Outcome {
        let Some(upload) = entry.upload else { return outcome };
        let state = match outcome {
            Outcome::Repeat(first) => {
                self.completed.entry((entry.vault, upload)).or_insert(first);
                UploadState::Completed(first)
            }
            _ => UploadState::Aborted,
        };
        if let Some(row) = self.uploads.get_mut(&upload)
            && row.state == UploadState::InProgress
        {
            row.state = state;
            row.touched = entry.created;
            self.stage_parts(upload);
        }
        outcome
    }

    fn delete_archive(&mut self, vault: VaultNumber, number: ArchiveNumber) -> Outcome {
        let Some(vault) = self.vaults.get_mut(&vault) else { return Outcome::VaultGone };
        let archive = self.archives.get_mut(&number);
        let live = archive.filter(|row| row.vault == vault.number && row.deleted_write.is_none());
        let Some(row) = live else { return Outcome::ArchiveGone };
        vault.writes += 1;
        vault.archives = vault.archives.saturating_sub(1);
        vault.bytes = vault.bytes.saturating_sub(row.size);
        row.deleted_write = Some(vault.writes);
        self.deleted.insert((vault.number, number));
        Outcome::Done { writes: vault.writes }
    }

    fn change_document(&mut self, entry: DocumentEntry) -> Outcome {
        if entry.vault.is_some_and(|vault| !self.vaults.contains_key(&vault)) {
            return Outcome::VaultGone;
        }
        let there = self.documents.get(&entry.name).map(|row| row.version);
        let removed = self.removed_documents.get(&entry.name).map(|(_, version)| *version);
        if !entry.fits(there.or(removed).unwrap_or(0), there.is_some()) {
            return Outcome::DocumentChanged(there);
        }
        let DocumentEntry { name, vault, version, value, .. } = entry;
        self.documents.remove(&name);
        self.removed_documents.remove(&name);
        if let Some(value) = value {
            self.documents.insert(name.clone(), DocumentRow { name, vault, version, value });
        } else {
            self.removed_documents.insert(name, (vault, version));
        }
        Outcome::Done { writes: version }
    }

    /// Forgets an archive that nothing needs any more.
    pub(super) fn discard_archive(&mut self, number: ArchiveNumber) {
        let Some(row) = self.archives.remove(&number) else { return };
        self.archives_of_vault.remove(&(row.vault, number));
        self.deleted.remove(&(row.vault, number));
        match row.stored {
            Stored::Record(place) if row.size > 0 => {
                self.dead_bodies.insert(place.at, (number, row.size));
            }
            Stored::Record(_) => {}
            Stored::File(payload) => {
                self.staged.insert(payload);
            }
            Stored::Parts(upload) => self.stage_parts(upload),
        }
    }
}
