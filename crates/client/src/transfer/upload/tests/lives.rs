//! A vault that is no longer what the catalog remembers.

use super::Bench;

/// Everything "was archived already", and the run ended well, although the vault had been deleted and made again.
#[tokio::test]
async fn a_vault_that_was_made_again_gets_everything_again() {
    let bench = Bench::new();
    bench.write("a", b"one");
    assert_eq!(bench.run_well().await.uploaded, 1);
    assert_eq!(bench.run_well().await.skipped, 2);
    assert_eq!(bench.events.warnings(), [""; 0]);
    {
        let mut state = bench.target.state.lock().unwrap();
        state.archives.clear();
        state.created += 1;
    }
    assert_eq!(bench.run_well().await.uploaded, 1);
    let warnings = bench.events.warnings();
    assert!(warnings[0].contains("deleted and made again"), "{warnings:?}");
    assert_eq!(bench.run_well().await.skipped, 2);
    assert_eq!(bench.events.warnings().len(), 1, "it is met once");
}

/// The same without a word, when the store had been restored from a backup that was older than the catalog.
#[tokio::test]
async fn a_vault_that_holds_less_than_is_known_is_warned_of() {
    let bench = Bench::new();
    bench.write("a", b"one");
    bench.run_well().await;
    bench.target.state.lock().unwrap().archives.clear();
    bench.run_well().await;
    let warnings = bench.events.warnings();
    // The file and the manifest, which tells of the folder.
    assert!(warnings[0].contains("holds 0 archives and the catalog knows 2"), "{warnings:?}");
    assert!(warnings[0].contains("icefield inventory refresh v"), "{warnings:?}");
}
