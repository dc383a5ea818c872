//! Stores with more in them than anybody wants to send first: the facts are put into the ledger, the bytes are not there.
//!
//! What is measured on them (starting, listing, completing) looks at the ledger and at no payload.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use icefield_protocol::{ArchiveId, Description, Timestamp, VaultName};
use icefield_store::{
    ArchiveEntry, Content, Entry, Extent, IdSeal, OpenOptions, Outcome, Store,
    entry::{ArchiveNumber, VaultNumber},
    ledger::PartRow,
    payload::RecordPlace,
};
use icefield_treehash::TreeHash;
use tokio::{runtime::Builder, task::JoinSet};

use crate::server::now;

/// Archives that are recorded in one transaction.
const BATCH: u64 = 10_000;
/// Parts that are recorded at once.
const AT_ONCE: u32 = 500;

/// Puts archives into the vault `v` of a store that no server has open.
pub(crate) fn archives(data: &Path, count: u64) -> Result<()> {
    Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let store = Store::open(data, OpenOptions::default()).await?;
        let vault = vault(&store).await?;
        // The log has none of them, so the ledger stays at the place of the log where it was.
        let mark = store.ledger().mark().await?;
        let place = RecordPlace { at: mark, length: 0 };
        let (key, _) = store.id_keys().newest();
        let begin = now().unix_millis() - i64::try_from(count)?;
        for first in (0..count).step_by(usize::try_from(BATCH)?) {
            let entries = (first..count.min(first + BATCH)).map(|n| {
                let created = Timestamp::from_unix_millis(begin + n.cast_signed());
                Ok((Entry::ArchiveCreated(archive(&store, vault, key, n, created)?), place))
            });
            let outcomes = store.ledger().apply(entries.collect::<Result<_>>()?, mark).await?;
            let done = |outcome: &Outcome| matches!(outcome, Outcome::Done { .. });
            ensure!(outcomes.iter().all(done), "an archive was refused");
        }
        store.close().await;
        Ok(())
    })
}

fn archive(
    store: &Store,
    vault: VaultNumber,
    key: u16,
    n: u64,
    created: Timestamp,
) -> Result<ArchiveEntry> {
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&n.wrapping_mul(0xd134_2543_de82_ef95).to_be_bytes());
    let day = n / 5000;
    let description = format!("observations/{day:05}/frame-{n:010}.fit");
    Ok(ArchiveEntry {
        vault,
        number: ArchiveNumber(store.next_number()),
        // The ledger makes it anew from the seal.
        id: ArchiveId::parse("AAEA")?,
        seal: IdSeal { key, salt },
        description: Description::parse(&description)?,
        created,
        aged: None,
        size: 4096 + n % 1000,
        tree_hash: TreeHash::from_bytes(hash),
        token: None,
        upload: None,
        content: Content::Here,
    })
}

/// Gives the only upload in progress the parts from `first` on, all of the same size and hash.
pub(crate) fn parts(data: &Path, first: u32, count: u32, size: u64, hash: TreeHash) -> Result<()> {
    Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let store = Store::open(data, OpenOptions::default()).await?;
        let uploads = store.ledger().uploads(vault(&store).await?, None, 1).await?;
        let upload = uploads.first().context("no upload is in progress")?.number;
        let mut index = first;
        while index < count {
            let mut running = JoinSet::new();
            let end = count.min(index + AT_ONCE);
            for index in index..end {
                let store = store.clone();
                running.spawn(async move {
                    let extent = Extent { payload: store.reserve().await?, size, tree_hash: hash };
                    let part = PartRow { index, extent };
                    anyhow::Ok(store.ledger().put_part(upload, part, now()).await?)
                });
            }
            while let Some(ended) = running.join_next().await {
                ensure!(ended??, "the upload has ended");
            }
            index = end;
        }
        store.close().await;
        Ok(())
    })
}

async fn vault(store: &Store) -> Result<VaultNumber> {
    let name = VaultName::parse("v")?;
    let found = store.ledger().vault(&store.identity().account, &name).await?;
    Ok(found.context("no vault")?.number)
}
