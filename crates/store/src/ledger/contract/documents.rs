//! Documents: versions, vaults, lists.

use serde_json::{Value, json};

use super::fixtures::{
    V, apply, apply_one, document, document_name, put_document, vault_created, vault_deleted,
    with_vault,
};
use crate::{
    document::{DocumentEntry, DocumentRow},
    entry::{Entry, Outcome, VaultNumber},
    ledger::Ledger,
};

async fn found(ledger: &dyn Ledger, text: &str) -> Option<DocumentRow> {
    ledger.document(&document_name(text)).await.unwrap()
}

async fn version(ledger: &dyn Ledger, text: &str) -> Option<u64> {
    found(ledger, text).await.map(|row| row.version)
}

fn of_vault(vault: VaultNumber, after: Option<u64>, version: u64) -> Entry {
    let entry = document(&format!("vault/{vault}"), after, version);
    Entry::Document(DocumentEntry { vault: Some(vault), ..entry })
}

fn removal(text: &str, after: Option<u64>, version: u64) -> Entry {
    Entry::Document(DocumentEntry { value: None, ..document(text, after, version) })
}

pub(super) async fn a_document_keeps_everything_that_was_recorded(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    assert_eq!(found(ledger, "clock").await, None);
    let value = json!({
        "policy": "{\"Statement\":[]}",
        "tags": { "b": "ü\n", "a": "" },
        "numbers": [0, -1, u64::MAX, i64::MIN, 0.1, 1e300, 2.225_073_858_507_201e-308],
        "nothing": [null, {}, []],
    });
    let name = document_name("vault/1");
    let entry = DocumentEntry {
        name: name.clone(),
        vault: Some(V),
        value: Some(value.clone()),
        ..document("vault/1", None, 4)
    };
    assert_eq!(apply_one(ledger, Entry::Document(entry)).await, Outcome::Done { writes: 4 });
    let expected = DocumentRow { name, vault: Some(V), version: 4, value };
    assert_eq!(found(ledger, "vault/1").await, Some(expected));
    for value in [json!(false), json!(""), json!(7)] {
        let entry = DocumentEntry { value: Some(value), ..document("clock", None, 5) };
        let value: Option<Value> = entry.value.clone();
        apply_one(ledger, Entry::Document(entry)).await;
        assert_eq!(found(ledger, "clock").await.map(|row| row.value), value);
        assert_eq!(
            apply_one(ledger, removal("clock", Some(5), 6)).await,
            Outcome::Done { writes: 6 }
        );
    }
    assert_eq!(found(ledger, "clock").await, None);
}

pub(super) async fn a_change_of_another_version_than_the_one_found_is_refused(ledger: &dyn Ledger) {
    put_document(ledger, "clock", None, 4).await;
    let put = |after, version| Entry::Document(document("clock", after, version));
    let changed = Outcome::DocumentChanged(Some(4));
    for entry in [put(None, 5), put(Some(3), 5), removal("clock", None, 5)] {
        assert_eq!(apply_one(ledger, entry).await, changed);
        assert_eq!(version(ledger, "clock").await, Some(4));
    }
    let outcomes = apply(ledger, vec![put(Some(4), 7), put(Some(4), 6), put(Some(7), 8)]).await;
    let expected = [
        Outcome::Done { writes: 7 },
        Outcome::DocumentChanged(Some(7)),
        Outcome::Done { writes: 8 },
    ];
    assert_eq!(outcomes, expected);
    let outcomes = apply(ledger, vec![removal("clock", Some(8), 9), put(Some(8), 10)]).await;
    assert_eq!(outcomes, [Outcome::Done { writes: 9 }, Outcome::DocumentChanged(None)]);
    put_document(ledger, "clock", None, 11).await;
    assert_eq!(version(ledger, "clock").await, Some(11));
    assert_eq!(apply_one(ledger, put(Some(8), 12)).await, Outcome::DocumentChanged(Some(11)));
}

/// One damaged record would have taken all later versions of its document with it in a rebuild.
pub(super) async fn a_change_after_a_version_whose_record_is_lost_is_taken(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    assert_eq!(apply_one(ledger, of_vault(V, Some(4), 5)).await, Outcome::Done { writes: 5 });
    assert_eq!(version(ledger, "vault/1").await, Some(5), "the first version is lost");
    assert_eq!(apply_one(ledger, of_vault(V, Some(7), 8)).await, Outcome::Done { writes: 8 });
    assert_eq!(
        apply_one(ledger, removal("vault/1", Some(9), 10)).await,
        Outcome::Done { writes: 10 }
    );
    assert_eq!(version(ledger, "vault/1").await, None);
    let late = of_vault(V, Some(9), 11);
    assert_eq!(apply_one(ledger, late).await, Outcome::DocumentChanged(None), "it was removed");
}

pub(super) async fn a_removal_takes_one_document_and_may_find_none(ledger: &dyn Ledger) {
    put_document(ledger, "key/A", None, 4).await;
    put_document(ledger, "key/B", None, 5).await;
    let outcomes =
        apply(ledger, vec![removal("key/A", Some(4), 6), removal("key/C", None, 7)]).await;
    assert_eq!(outcomes, [Outcome::Done { writes: 6 }, Outcome::Done { writes: 7 }]);
    assert_eq!((version(ledger, "key/A").await, version(ledger, "key/B").await), (None, Some(5)));
}

pub(super) async fn a_vault_takes_its_documents_with_it(ledger: &dyn Ledger) {
    let other = VaultNumber(2);
    with_vault(ledger).await;
    apply_one(ledger, vault_created(other, "other")).await;
    put_document(ledger, "clock", None, 3).await;
    apply(ledger, vec![of_vault(V, None, 4), of_vault(other, None, 5)]).await;
    assert_eq!(apply_one(ledger, vault_deleted(V, 3)).await, Outcome::VaultChanged);
    assert_eq!(version(ledger, "vault/1").await, Some(4), "a refused deletion takes nothing");
    assert_eq!(apply_one(ledger, vault_deleted(V, 0)).await, Outcome::Done { writes: 0 });
    assert_eq!(found(ledger, "vault/1").await, None);
    assert_eq!(version(ledger, "vault/2").await, Some(5));
    assert_eq!(version(ledger, "clock").await, Some(3));
    for late in [of_vault(V, Some(4), 6), of_vault(V, None, 6)] {
        assert_eq!(apply_one(ledger, late).await, Outcome::VaultGone);
    }
    assert_eq!(found(ledger, "vault/1").await, None);
}

pub(super) async fn a_document_changes_nothing_of_its_vault(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    let before = ledger.vault_by_number(V).await.unwrap();
    apply_one(ledger, of_vault(V, None, 4)).await;
    assert_eq!(ledger.vault_by_number(V).await.unwrap(), before);
    assert_eq!(ledger.purge(9).await.unwrap(), 0);
    assert_eq!(version(ledger, "vault/1").await, Some(4));
}

pub(super) async fn documents_are_listed_by_bytes_of_their_names(ledger: &dyn Ledger) {
    let names =
        ["user/1/b", "user/1", "user/1/a", "user/1/Z", "user/10/a", "user-1", "z", "user/1/a/b"];
    for (version, text) in (2..).zip(names) {
        put_document(ledger, text, None, version).await;
    }
    let list = async |prefix: &str, after: Option<&str>, limit| {
        let after = after.map(document_name);
        let rows = ledger.documents(prefix, after.as_ref(), limit).await.unwrap();
        rows.iter().map(|row| row.name.to_string()).collect::<Vec<_>>()
    };
    let of_one = ["user/1/Z", "user/1/a", "user/1/a/b", "user/1/b"];
    assert_eq!(list("user/1/", None, 9).await, of_one);
    assert_eq!(list("user/1/", Some("user/1/a"), 9).await, of_one[2..]);
    assert_eq!(list("user/1/", Some("user/1/a0"), 1).await, of_one[3..]);
    assert_eq!(list("user/1/", Some("clock"), 1).await, of_one[..1]);
    assert_eq!(list("user/1/", Some("user/2"), 9).await, Vec::<String>::new());
    assert_eq!(list("z", None, 9).await, ["z"]);
    assert_eq!(list("zz", None, 9).await, Vec::<String>::new());
    assert_eq!(list("", None, 0).await, Vec::<String>::new());
    let all = list("", None, 99).await;
    let mut sorted: Vec<String> = names.map(str::to_owned).into();
    sorted.sort_unstable();
    assert_eq!(all, sorted);
    let rows = ledger.documents("z", None, 1).await.unwrap();
    assert_eq!(rows.first(), found(ledger, "z").await.as_ref());
}
