//! The shape of a listed archive in JSON, written and read.

use std::{
    cell::Cell,
    fmt,
    io::{ErrorKind, Read},
    rc::Rc,
};

use icefield_protocol::{ArchiveId, Timestamp, TreeHash, shortened};
use serde::{
    Deserialize, Deserializer as _, Serialize,
    de::{SeqAccess, Visitor},
};

use super::{FileItem, ReadError, Refusal, files::Metered};
use crate::{
    catalog::{Entry, FileTime, Kind},
    description::{join_bytes, octal, parse_octal, split_bytes},
    path::CatalogPath,
};

/// A listed archive, or a listed thing without bytes: then `archive_id` is null.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listed {
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    archive_id: Option<ArchiveId>,
    size: Option<u64>,
    tree_hash: Option<TreeHash>,
    modified: Option<String>,
    uploaded: Option<Timestamp>,
    description: Option<String>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link_target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link_target_base64: Option<String>,
}

impl From<&Entry> for Listed {
    fn from(entry: &Entry) -> Self {
        let target = entry.link_target.as_deref();
        Self {
            path: entry.path.to_lossy().into_owned(),
            path_base64: split_bytes(entry.path.as_bytes()).1,
            archive_id: entry.archive.clone(),
            size: entry.known_size(),
            tree_hash: entry.tree_hash,
            modified: entry.mtime.and_then(FileTime::to_rfc3339),
            uploaded: entry.known_uploaded(),
            description: entry.description.clone(),
            mode: entry.mode.map(octal),
            kind: Some(entry.kind.as_str().to_owned()),
            link_target: target.map(|target| String::from_utf8_lossy(target).into_owned()),
            link_target_base64: target.and_then(|target| split_bytes(target).1),
        }
    }
}

impl Listed {
    fn into_entry(self) -> Result<Entry, String> {
        let path = join_bytes(Some(self.path), self.path_base64).ok_or("the path is not Base64")?;
        let path = CatalogPath::parse(path).map_err(|error| error.to_string())?;
        let kind = self.kind.as_deref().map_or(Some(Kind::File), Kind::from_word);
        let kind = kind.ok_or_else(|| format!("{path}: this is no kind of entry"))?;
        let link_target = join_bytes(self.link_target, self.link_target_base64);
        let has_bytes = self.archive_id.is_some();
        if (kind == Kind::Link) != link_target.is_some() || (has_bytes && kind == Kind::Link) {
            return Err(format!("{path}: the kind is {kind}, but the rest is not that of one"));
        }
        let size = self.size.unwrap_or(0);
        if i64::try_from(size).is_err() || (size > 0 && !has_bytes) {
            return Err(format!("{path}: the size is wrong"));
        }
        Ok(Entry {
            path,
            kind,
            size,
            mtime: self.modified.and_then(|text| text.parse().ok()),
            mode: self.mode.as_deref().and_then(parse_octal),
            link_target,
            tree_hash: self.tree_hash,
            archive: self.archive_id,
            uploaded: self.uploaded.unwrap_or(Timestamp::UNIX_EPOCH),
            description: self.description,
            manifest: None,
        })
    }

    fn into_item(self, number: u64) -> FileItem {
        match self.into_entry() {
            Ok(entry) => FileItem::Entry(entry),
            Err(why) => FileItem::Refused(Refusal { place: format!("item {number}"), why }),
        }
    }
}

type Receiver<'a, E> = &'a mut dyn FnMut(FileItem) -> Result<(), E>;

/// Reads JSON lines.
pub(super) fn read_lines<E>(reader: impl Read, each: Receiver<'_, E>) -> Result<(), ReadError<E>> {
    let since_row = Rc::new(Cell::new(0));
    let reader = Metered { reader, since_row: Rc::clone(&since_row) };
    let values = serde_json::Deserializer::from_reader(reader).into_iter::<Listed>();
    for (number, listed) in (1..).zip(values) {
        since_row.set(0);
        let item = listed.map_err(|error| broken(error, number))?.into_item(number);
        each(item).map_err(ReadError::Receiver)?;
    }
    Ok(())
}

/// Reads one JSON array.
pub(super) fn read_array<E>(reader: impl Read, each: Receiver<'_, E>) -> Result<(), ReadError<E>> {
    let since_row = Rc::new(Cell::new(0));
    let reader = Metered { reader, since_row: Rc::clone(&since_row) };
    let mut array = Array { each, items: 0, refusal: None, since_row };
    let mut document = serde_json::Deserializer::from_reader(reader);
    let read = document.deserialize_seq(&mut array).and_then(|()| document.end());
    match (read, array.refusal) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(refusal)) => Err(ReadError::Receiver(refusal)),
        (Err(error), None) => Err(broken(error, array.items + 1)),
    }
}

fn broken<E>(error: serde_json::Error, number: u64) -> ReadError<E> {
    if error.is_io() && error.io_error_kind() != Some(ErrorKind::InvalidData) {
        ReadError::Read(error.into())
    } else {
        let problem = shortened(&error.to_string());
        ReadError::Malformed { place: format!("item {number}"), problem }
    }
}

struct Array<'a, E> {
    each: Receiver<'a, E>,
    items: u64,
    refusal: Option<E>,
    since_row: Rc<Cell<usize>>,
}

impl<'de, E> Visitor<'de> for &mut Array<'_, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of listed archives")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(listed) = list.next_element::<Listed>()? {
            if let Err(refusal) = (self.each)(listed.into_item(self.items + 1)) {
                self.refusal = Some(refusal);
                return Err(serde::de::Error::custom("the receiver refused"));
            }
            self.items += 1;
            self.since_row.set(0);
        }
        Ok(())
    }
}
