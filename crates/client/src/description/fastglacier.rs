//! FastGlacier, and the programs that write as it does: a few elements of XML.
//!
//! Version 1 is `<ArchiveMetadata><Path>..</Path></ArchiveMetadata>`, later ones are
//! `<m><v>4</v><p>..</p><lm>20190103T124510Z</lm><ce>0:0:MD5:SIZE</ce></m>`: the path in Base64, the time of modification,
//! whether the archive is compressed and encrypted, and MD5 and size of the file before. `ce` came with version 3, its
//! size with 4, and other writers leave it out. A path that ends in `/` is a folder, whose archive is one byte.

use super::{Packing, Told, base64, basic_time};

/// Whether a description is of this family.
pub(super) fn is_marked(text: &str) -> bool {
    text.starts_with("<m>") || text.starts_with("<ArchiveMetadata>")
}

/// Reads a description; none when it tells no path.
pub(super) fn decode(text: &str) -> Option<Told> {
    let path = element(text, "p").or_else(|| element(text, "Path"))?;
    let mut path = base64(path).filter(|path| !path.is_empty())?;
    let is_folder = path.ends_with(b"/") || path.ends_with(b"\\");
    while path.len() > 1 && matches!(path.last(), Some(b'/' | b'\\')) {
        path.pop();
    }
    Some(Told {
        path,
        is_folder,
        mtime: element(text, "lm").and_then(basic_time::parse),
        packing: element(text, "ce").map(packing).unwrap_or_default(),
    })
}

/// Returns the content of an element, without the white space around it.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(content.trim())
}

fn packing(text: &str) -> Packing {
    let mut fields = text.split(':').map(str::trim);
    let mut flag = || fields.next() == Some("1");
    let (is_compressed, is_encrypted) = (flag(), flag());
    let original_md5 = fields.next().and_then(md5);
    let original_size = fields.next().and_then(|size| size.parse().ok());
    Packing { is_compressed, is_encrypted, original_md5, original_size }
}

fn md5(text: &str) -> Option<[u8; 16]> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = if is_hex { u128::from_str_radix(text, 16).ok()? } else { return None };
    Some(number.to_be_bytes())
}
