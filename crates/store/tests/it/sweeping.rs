//! A sweep beside those who store archives.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use icefield_protocol::Timestamp;
use icefield_store::{ManualClock, Store};

use crate::support::{bytes, create_vault, open, problems, put_as_file, rows};

const TASKS: usize = 4;

/// The sweep listed what is staged, and asked afterwards who uses it: an archive that was committed in between was no longer
/// in use and had been staged, so its file was removed. Of 4,000 archives that were acknowledged, 271 were lost.
async fn nothing_stored_beside_a_sweep_is_lost(store: Store, archives_each: usize) {
    let vault = create_vault(&store, "photos").await;
    let done = Arc::new(AtomicBool::new(false));
    let sweeper = tokio::spawn({
        let (store, done) = (store.clone(), Arc::clone(&done));
        async move {
            let mut sweeps = 0_u64;
            while !done.load(Ordering::SeqCst) {
                store.sweep().await.unwrap();
                sweeps += 1;
            }
            sweeps
        }
    });
    let tasks = (0..TASKS).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            for index in 0..archives_each {
                let description = format!("{task}/{index}");
                put_as_file(&store, vault, &description, bytes(100 + index)).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    assert!(sweeper.await.unwrap() > 1, "no sweep ran beside them");
    assert_eq!(rows(&store, vault).await.len(), TASKS * archives_each);
    assert_eq!(problems(&store).await, [""; 0]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_stored_in_memory_beside_a_sweep_is_lost() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_millis(1_763_788_414_000)));
    nothing_stored_beside_a_sweep_is_lost(Store::in_memory(clock).await.unwrap(), 250).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_stored_on_disk_beside_a_sweep_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    nothing_stored_beside_a_sweep_is_lost(open(dir.path()).await, 100).await;
}
