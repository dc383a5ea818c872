//! Settings as documents of the store: read as a whole, changed from the version that was read.

use bytes::Bytes;
use icefield_store::{
    Entry, Outcome,
    entry::{DocumentEntry, DocumentName},
    ledger::VaultRow,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{engine::Engine, error::EngineError};

/// How often a change is made again because another one came first.
const ATTEMPTS: usize = 32;

/// What becomes of a document.
#[derive(Debug)]
pub(crate) enum Change<T> {
    /// It stays as it is.
    Keep,
    /// It is this.
    Set(T),
    /// It is gone.
    Remove,
}

/// A name made of parts that cannot break it.
pub(crate) fn name(text: &str) -> Result<DocumentName, EngineError> {
    DocumentName::parse(text).map_err(|error| EngineError::unexpected("naming a document", &error))
}

impl Engine {
    /// Reads a document.
    pub(crate) async fn document<T: DeserializeOwned>(
        &self,
        name: &DocumentName,
    ) -> Result<Option<T>, EngineError> {
        let row = self.store().ledger().document(name).await?;
        row.map(|row| read(row.value)).transpose()
    }

    /// Reads the documents whose names begin with `prefix`, in the order of their names, with what follows the prefix.
    pub(crate) async fn documents<T: DeserializeOwned>(
        &self,
        prefix: &str,
    ) -> Result<Vec<(String, T)>, EngineError> {
        const PAGE: usize = 1000;
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let rows = self.store().ledger().documents(prefix, after.as_ref(), PAGE).await?;
            after = rows.last().map(|row| row.name.clone());
            let last = rows.len() < PAGE;
            for row in rows {
                let name = row.name.as_str().strip_prefix(prefix).unwrap_or_default().to_owned();
                found.push((name, read(row.value)?));
            }
            if last {
                return Ok(found);
            }
        }
    }

    /// Changes a document, durably on return. When another change comes in between, `change` is asked again with what
    /// is there then.
    ///
    /// # Errors
    ///
    /// Those of `change`, which leave the document as it is; `VaultNotFound` when it belongs to a vault that is gone.
    pub(crate) async fn change<T, R>(
        &self,
        name: &DocumentName,
        vault: Option<&VaultRow>,
        mut change: impl FnMut(Option<T>) -> Result<(Change<T>, R), EngineError>,
    ) -> Result<R, EngineError>
    where
        T: Serialize + DeserializeOwned,
    {
        for _ in 0..ATTEMPTS {
            let row = self.store().ledger().document(name).await?;
            let (after, found) = match row {
                Some(row) => (Some(row.version), Some(read(row.value)?)),
                None => (None, None),
            };
            let (change, result) = change(found)?;
            let value = match change {
                Change::Keep => return Ok(result),
                Change::Remove if after.is_none() => return Ok(result),
                Change::Remove => None,
                Change::Set(value) => Some(written(&value)?),
            };
            let entry = Entry::Document(DocumentEntry {
                name: name.clone(),
                vault: vault.map(|vault| vault.number),
                version: self.store().next_number(),
                after,
                value,
                at: self.now(),
            });
            match self.store().commit(entry, Bytes::new()).await?.0 {
                Outcome::Done { .. } => return Ok(result),
                Outcome::DocumentChanged(_) => {}
                Outcome::VaultGone => {
                    let arn = vault.map(|vault| self.arn_of(vault));
                    return Err(arn.map_or_else(
                        || EngineError::unexpected("changing a document", name),
                        EngineError::VaultNotFound,
                    ));
                }
                other => return Err(EngineError::unexpected("changing a document", &other)),
            }
        }
        Err(EngineError::unexpected("changing a document, too often in between changed", name))
    }
}

/// Reads the value of a document.
pub(crate) fn read<T: DeserializeOwned>(value: Value) -> Result<T, EngineError> {
    serde_json::from_value(value)
        .map_err(|error| EngineError::unexpected("reading a document", &error))
}

fn written<T: Serialize>(value: &T) -> Result<Value, EngineError> {
    serde_json::to_value(value)
        .map_err(|error| EngineError::unexpected("writing a document", &error))
}
