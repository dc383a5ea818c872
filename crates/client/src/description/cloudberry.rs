//! CloudBerry and MSP360: `{"Path":"a/+AOk-.fit","UTCDateModified":"20190103T124510Z","Flags":0}`.
//!
//! The path is in UTF-7. Flags are 1 for compressed, 2 for encrypted, 3 for both. Some descriptions have lower-case
//! names, and some have lost a layer of escapes on their way: `{""Path"":""a""}` or `{\"Path\":\"a\"}`.

use serde_json::{Map, Value};

use super::{Packing, Told, basic_time};
use crate::utf7;

const COMPRESSED: u64 = 1;
const ENCRYPTED: u64 = 2;

/// Reads a description; none when it is of another family.
pub(super) fn decode(text: &str) -> Option<Told> {
    if !text.starts_with('{') {
        return None;
    }
    let undoubled = || serde_json::from_str(&text.replace("\"\"", "\"")).ok();
    let unescaped = || {
        let unescaped: String = serde_json::from_str(&format!("\"{text}\"")).ok()?;
        serde_json::from_str(&unescaped).ok()
    };
    let object: Map<String, Value> =
        serde_json::from_str(text).ok().or_else(undoubled).or_else(unescaped)?;
    let member = |name: &str| {
        object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    // Of a version that is still to come.
    if member("icefield").is_some() {
        return None;
    }
    let path = member("path")?.as_str()?;
    let path = utf7::decode(path).unwrap_or_else(|| path.to_owned());
    let mtime = member("UTCDateModified").and_then(Value::as_str).and_then(basic_time::parse);
    let flags = member("Flags").and_then(number).unwrap_or(0);
    let packing = Packing {
        is_compressed: flags & COMPRESSED != 0,
        is_encrypted: flags & ENCRYPTED != 0,
        ..Packing::default()
    };
    Some(Told { path: path.into_bytes(), is_folder: false, mtime, packing })
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}
