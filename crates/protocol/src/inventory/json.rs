//! The JSON form: one object with a list.
//!
//! Members are written in the order of the service. Any order is read, as well as white space, unknown members, a
//! null or absent description, and dates with a fraction.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::rc::Rc;

use icefield_treehash::TreeHash;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{InventoryError, InventoryHead, InventoryItem, shortened};
use crate::id::ArchiveId;
use crate::name::VaultArn;
use crate::timestamp::Timestamp;

/// Most bytes of one item, and of the head: hundreds of times what they need. More would be held in memory.
const MAX_ITEM_BYTES: usize = 1 << 20;

/// Writes an inventory as JSON. Without [`finish`](Self::finish) the document is cut off, and readers say so.
#[derive(Debug)]
pub struct JsonInventoryWriter<W> {
    writer: W,
    empty: bool,
}

impl<W: Write> JsonInventoryWriter<W> {
    /// Begins the inventory of a vault, taken at `date`.
    ///
    /// # Errors
    ///
    /// When `writer` fails. Many small pieces are written, so it should be buffered.
    pub fn new(mut writer: W, vault_arn: &VaultArn, date: Timestamp) -> io::Result<Self> {
        // An ARN and a date have no character that JSON escapes.
        write!(
            writer,
            r#"{{"VaultARN":"{vault_arn}","InventoryDate":"{}","ArchiveList":["#,
            date.to_seconds_string()
        )?;
        Ok(Self { writer, empty: true })
    }

    /// Adds an archive.
    ///
    /// # Errors
    ///
    /// When the writer fails.
    pub fn item(&mut self, item: &InventoryItem) -> io::Result<()> {
        if !self.empty {
            self.writer.write_all(b",")?;
        }
        self.empty = false;
        let wire = WireItem {
            archive_id: &item.archive_id,
            description: &item.description,
            creation_date: item.created.to_seconds_string(),
            size: item.size,
            tree_hash: item.tree_hash,
        };
        serde_json::to_writer(&mut self.writer, &wire).map_err(io::Error::from)
    }

    /// Ends the document, flushes, and returns the writer.
    ///
    /// # Errors
    ///
    /// When the writer fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.writer.write_all(b"]}")?;
        self.writer.flush()?;
        Ok(self.writer)
    }
}

#[derive(Serialize)]
struct WireItem<'a> {
    #[serde(rename = "ArchiveId")]
    archive_id: &'a ArchiveId,
    #[serde(rename = "ArchiveDescription")]
    description: &'a str,
    #[serde(rename = "CreationDate")]
    creation_date: String,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "SHA256TreeHash")]
    tree_hash: Option<TreeHash>,
}

#[derive(Deserialize)]
struct ReadItem {
    #[serde(rename = "ArchiveId")]
    archive_id: ArchiveId,
    #[serde(rename = "ArchiveDescription", default)]
    description: Option<String>,
    #[serde(rename = "CreationDate")]
    created: Timestamp,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "SHA256TreeHash", default)]
    tree_hash: Option<TreeHash>,
}

impl From<ReadItem> for InventoryItem {
    fn from(item: ReadItem) -> Self {
        let ReadItem { archive_id, description, created, size, tree_hash } = item;
        Self { archive_id, description: description.unwrap_or_default(), created, size, tree_hash }
    }
}

/// Reads an inventory in JSON and hands every item to `receiver`, in the order of the document.
///
/// # Errors
///
/// When `reader` fails, the document is not a whole inventory (the error names the item), or `receiver` refuses.
pub fn read_json<E>(
    reader: impl Read,
    receiver: &mut dyn FnMut(InventoryItem) -> Result<(), E>,
) -> Result<InventoryHead, InventoryError<E>> {
    let since_item = Rc::new(Cell::new(0));
    let reader = Metered { reader, since_item: Rc::clone(&since_item) };
    let head = InventoryHead::default();
    let mut reading = Reading { receiver, head, in_list: false, refusal: None, since_item };
    let mut document = serde_json::Deserializer::from_reader(BufReader::new(reader));
    let read = document.deserialize_map(HeadVisitor(&mut reading)).and_then(|()| document.end());
    let Reading { head, in_list, refusal, .. } = reading;
    match (read, refusal) {
        (Ok(()), _) => Ok(head),
        (Err(_), Some(source)) => Err(InventoryError::Receiver { item: head.items + 1, source }),
        (Err(error), None)
            if error.is_io() && error.io_error_kind() != Some(io::ErrorKind::InvalidData) =>
        {
            Err(InventoryError::Read { items: head.items, source: error.into() })
        }
        (Err(error), None) => {
            let place =
                if in_list { format!("item {}", head.items + 1) } else { "its head".to_owned() };
            Err(InventoryError::Malformed { place, problem: shortened(&error.to_string()) })
        }
    }
}

/// Ends an item that never ends.
struct Metered<R> {
    reader: R,
    since_item: Rc<Cell<usize>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.since_item.set(self.since_item.get() + read);
        if self.since_item.get() > MAX_ITEM_BYTES {
            let problem = format!("it is longer than {MAX_ITEM_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(read)
    }
}

struct Reading<'r, E> {
    receiver: &'r mut dyn FnMut(InventoryItem) -> Result<(), E>,
    head: InventoryHead,
    in_list: bool,
    refusal: Option<E>,
    since_item: Rc<Cell<usize>>,
}

struct HeadVisitor<'a, 'r, E>(&'a mut Reading<'r, E>);

impl<'de, E> Visitor<'de> for HeadVisitor<'_, '_, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vault inventory")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut listed = false;
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "VaultARN" => self.0.head.vault_arn = members.next_value()?,
                "InventoryDate" => self.0.head.date = members.next_value()?,
                "ArchiveList" if listed => return Err(A::Error::duplicate_field("ArchiveList")),
                "ArchiveList" => {
                    members.next_value_seed(List(self.0))?;
                    listed = true;
                }
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        if listed { Ok(()) } else { Err(A::Error::missing_field("ArchiveList")) }
    }
}

struct List<'a, 'r, E>(&'a mut Reading<'r, E>);

impl<'de, E> DeserializeSeed<'de> for List<'_, '_, E> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, E> Visitor<'de> for List<'_, '_, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of archives")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Reading { receiver, head, in_list, refusal, since_item } = self.0;
        *in_list = true;
        while let Some(item) = items.next_element::<ReadItem>()? {
            if let Err(source) = receiver(item.into()) {
                *refusal = Some(source);
                return Err(A::Error::custom("the receiver refused an item"));
            }
            head.items += 1;
            since_item.set(0);
        }
        *in_list = false;
        Ok(())
    }
}
