//! Rows and entries for the rules, each told apart by a number.

use icefield_protocol::{
    AccountId, ArchiveId, Description, InventoryFormat, JobStatus, PartSize, Tier, Timestamp,
    TreeHash, UploadToken, VaultName,
};
use serde_json::json;

use crate::{
    entry::{
        ArchiveEntry, ArchiveNumber, Content, DeliveryNumber, DocumentEntry, DocumentName, Entry,
        Extent, IdSeal, JobNumber, Outcome, PayloadId, UploadNumber, VaultNumber,
    },
    ledger::{
        ArchiveQuery, ArchiveRow, DeliveryRow, JobKind, JobRow, Ledger, PartRow, UploadRow,
        UploadState, VaultRow,
    },
    payload::{LogPosition, RecordPlace},
};

pub(super) const MIB: u64 = 1 << 20;
pub(super) const V: VaultNumber = VaultNumber(1);
pub(super) const RECORD_BYTES: u64 = 500;

pub(super) fn account(n: u64) -> AccountId {
    AccountId::parse(&format!("{n:012}")).unwrap()
}

pub(super) fn name(text: &str) -> VaultName {
    VaultName::parse(text).unwrap()
}

/// The time `seconds` after the start of the test.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(1_700_000_000_000 + seconds * 1000)
}

pub(super) fn payload(n: u64) -> PayloadId {
    PayloadId::from_bytes((u128::from(n) | 0xF1_u128 << 120).to_be_bytes())
}

pub(super) fn hash(n: u64) -> TreeHash {
    TreeHash::of_leaf(&n.to_be_bytes())
}

pub(crate) fn extent(n: u64) -> Extent {
    Extent { payload: payload(n), size: MIB, tree_hash: hash(n) }
}

pub(super) fn token(n: u8) -> UploadToken {
    UploadToken::from_bytes([n; 16])
}

pub(super) fn seal(n: u64) -> IdSeal {
    IdSeal { key: 3, salt: u128::from(n).to_be_bytes() }
}

pub(super) fn place(n: u64) -> RecordPlace {
    let at = LogPosition { pack: 1 + u32::try_from(n % 3).unwrap(), offset: n * RECORD_BYTES };
    RecordPlace { at, length: RECORD_BYTES }
}

pub(super) fn vault_created(number: VaultNumber, text: &str) -> Entry {
    Entry::VaultCreated { vault: number, account: account(1), name: name(text), created: at(0) }
}

pub(super) fn vault_deleted(vault: VaultNumber, writes: u64) -> Entry {
    Entry::VaultDeleted { vault, writes, deleted: at(99) }
}

pub(super) fn archive_deleted(number: u64) -> Entry {
    Entry::ArchiveDeleted { vault: V, number: ArchiveNumber(number), deleted: at(50) }
}

/// A small archive of vault `V`, created as many seconds after the start as its number says.
pub(super) fn small(number: u64) -> ArchiveEntry {
    ArchiveEntry {
        vault: V,
        number: ArchiveNumber(number),
        id: ArchiveId::parse("not-looked-at").unwrap(),
        seal: seal(number),
        description: None,
        created: at(i64::try_from(number).unwrap()),
        aged: None,
        size: 7,
        tree_hash: hash(number),
        token: None,
        upload: None,
        content: Content::Here,
    }
}

/// An archive of vault `V` in these payload files of a MiB each.
pub(super) fn filed(number: u64, files: &[u64]) -> ArchiveEntry {
    let extents: Vec<_> = files.iter().map(|file| extent(*file)).collect();
    let size = MIB * files.len() as u64;
    let tree_hash = if let [only] = files { hash(*only) } else { hash(number) };
    ArchiveEntry { size, tree_hash, content: Content::Extents(extents), ..small(number) }
}

pub(super) fn described(text: &str) -> Option<Description> {
    Description::parse(text).unwrap()
}

pub(crate) fn upload_row(number: u64) -> UploadRow {
    UploadRow {
        number: UploadNumber(number),
        vault: V,
        seal: seal(number),
        description: described("an upload"),
        part_size: PartSize::new(MIB).unwrap(),
        token: None,
        created: at(0),
        touched: at(0),
        state: UploadState::InProgress,
    }
}

pub(super) fn part(index: u32, file: u64) -> PartRow {
    PartRow { index, extent: extent(file) }
}

pub(super) fn archive_job(number: u64, archive: u64) -> JobRow {
    JobRow {
        number: JobNumber(number),
        vault: V,
        seal: seal(number),
        kind: JobKind::Archive {
            archive: ArchiveNumber(archive),
            range: (0, 6),
            range_given: false,
            tier: Tier::Standard,
        },
        description: None,
        sns_topic: None,
        created: at(0),
        due: at(10),
        status: JobStatus::InProgress,
        message: None,
        completed: None,
        output: None,
    }
}

/// A job of an archive of any vault.
pub(crate) fn archive_job_of(vault: VaultNumber, number: u64, archive: u64) -> JobRow {
    JobRow { vault, ..archive_job(number, archive) }
}

pub(crate) fn inventory_job(number: u64, writes: u64) -> JobRow {
    let kind = JobKind::Inventory {
        format: InventoryFormat::Json,
        writes,
        date: at(1),
        start: None,
        end: None,
        limit: None,
        after: None,
    };
    JobRow { kind, ..archive_job(number, 0) }
}

/// A version of a document, at a value that tells which.
pub(super) fn document(text: &str, after: Option<u64>, version: u64) -> DocumentEntry {
    DocumentEntry {
        name: document_name(text),
        vault: None,
        version,
        after,
        value: Some(json!({ "version": version, "tags": ["ä", null, -0.1] })),
        at: at(8),
    }
}

pub(super) fn document_name(text: &str) -> DocumentName {
    DocumentName::parse(text).unwrap()
}

/// A message on its way, to be tried as many seconds after the start as its number says.
pub(super) fn delivery(number: u64) -> DeliveryRow {
    DeliveryRow {
        number: DeliveryNumber(number),
        topic: "arn:aws:sns:us-west-2:012345678901:ready".to_owned(),
        destination: "1".to_owned(),
        message_id: format!("message-{number}"),
        message: "{\"Action\":\"ArchiveRetrieval\"}".to_owned(),
        created: at(1),
        attempts: 0,
        next: at(i64::try_from(number).unwrap()),
        dead: false,
        error: None,
    }
}

/// Applies entries, each with a record of its own, and moves the mark by a record for each.
pub(super) async fn apply(ledger: &dyn Ledger, entries: Vec<Entry>) -> Vec<Outcome> {
    let mut mark = ledger.mark().await.unwrap();
    let mut records = Vec::new();
    for entry in entries {
        records.push((entry, RecordPlace { at: mark, length: RECORD_BYTES }));
        mark.offset += RECORD_BYTES;
    }
    ledger.apply(records, mark).await.unwrap()
}

pub(super) async fn apply_one(ledger: &dyn Ledger, entry: Entry) -> Outcome {
    apply(ledger, vec![entry]).await[0]
}

/// Applies an archive that is not refused; returns the write counter.
pub(super) async fn create(ledger: &dyn Ledger, entry: ArchiveEntry) -> u64 {
    match apply_one(ledger, Entry::ArchiveCreated(entry)).await {
        Outcome::Done { writes } => writes,
        other => panic!("refused: {other:?}"),
    }
}

pub(super) async fn delete(ledger: &dyn Ledger, number: u64) {
    let outcome = apply_one(ledger, archive_deleted(number)).await;
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
}

/// Applies a version of a document that is not refused.
pub(super) async fn put_document(
    ledger: &dyn Ledger,
    text: &str,
    after: Option<u64>,
    version: u64,
) {
    let outcome = apply_one(ledger, Entry::Document(document(text, after, version))).await;
    assert_eq!(outcome, Outcome::Done { writes: version });
}

/// Creates vault `V`.
pub(super) async fn with_vault(ledger: &dyn Ledger) {
    assert_eq!(apply_one(ledger, vault_created(V, "v")).await, Outcome::Done { writes: 0 });
}

pub(super) async fn vault(ledger: &dyn Ledger) -> VaultRow {
    ledger.vault_by_number(V).await.unwrap().unwrap()
}

pub(super) async fn archive(ledger: &dyn Ledger, number: u64) -> Option<ArchiveRow> {
    ledger.archive(ArchiveNumber(number)).await.unwrap()
}

pub(super) async fn upload_state(ledger: &dyn Ledger, number: u64) -> Option<UploadState> {
    ledger.upload(UploadNumber(number)).await.unwrap().map(|row| row.state)
}

/// The payload files that an archive has, by their numbers.
pub(super) async fn files(ledger: &dyn Ledger, number: u64) -> Vec<u64> {
    let extents = ledger.extents(ArchiveNumber(number)).await.unwrap();
    extents.iter().map(|extent| file_number(extent.payload)).collect()
}

/// Everything that is staged, by number.
pub(super) async fn staged(ledger: &dyn Ledger) -> Vec<u64> {
    let ids = ledger.staged(None, usize::MAX).await.unwrap();
    ids.into_iter().map(file_number).collect()
}

pub(super) async fn stage(ledger: &dyn Ledger, files: &[u64]) {
    ledger.stage(files.iter().map(|file| payload(*file)).collect()).await.unwrap();
}

/// Stages the files and makes them parts 0, 1, ... of an upload in progress.
pub(super) async fn put_parts(ledger: &dyn Ledger, upload: u64, files: &[u64]) {
    stage(ledger, files).await;
    for (index, file) in (0..).zip(files) {
        let put = ledger.put_part(UploadNumber(upload), part(index, *file), at(1)).await;
        assert!(put.unwrap());
    }
}

pub(super) async fn dead_bytes(ledger: &dyn Ledger) -> u64 {
    ledger.stat().await.unwrap().dead_bytes
}

pub(super) const fn everything(vault: VaultNumber) -> ArchiveQuery {
    ArchiveQuery { vault, writes: u64::MAX, after: None, start: None, end: None, limit: usize::MAX }
}

/// The numbers of the archives that a query lists.
pub(super) async fn listed(ledger: &dyn Ledger, query: ArchiveQuery) -> Vec<u64> {
    let rows = ledger.archives(query).await.unwrap();
    rows.iter().map(|row| row.number.0).collect()
}

fn file_number(id: PayloadId) -> u64 {
    let value = u128::from_be_bytes(*id.as_bytes()) & u128::from(u64::MAX);
    u64::try_from(value).unwrap()
}
