//! Files as UTF-8: byte order marks are removed, and what Windows PowerShell's `-Encoding` can make of a file besides
//! (`Unicode`, `BigEndianUnicode`, `UTF32`, `UTF7`) is decoded on the way.
//!
//! Text of a code page (`Default`, `OEM`) says nothing about itself: its bytes are left as they are.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use crate::utf7;

/// Returns the text of `reader` as UTF-8. Bytes that are of no known encoding are left as they are.
pub(super) fn decoded<'a>(mut reader: impl Read + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut start = Vec::new();
    reader.by_ref().take(4).read_to_end(&mut start)?;
    let whole = |skip: usize| Cursor::new(start[skip..].to_vec()).chain(reader);
    let utf16 = |unit| Encoding::Utf16(unit);
    let utf32 = |unit| Encoding::Utf32(unit);
    let utf7 = || Encoding::Utf7(utf7::Decoder::default());
    let (skip, encoding) = match *start.as_slice() {
        [0xef, 0xbb, 0xbf, ..] => (3, None),
        [0xff, 0xfe, 0, 0] => (4, Some(utf32(u32::from_le_bytes))),
        [0, 0, 0xfe, 0xff] => (4, Some(utf32(u32::from_be_bytes))),
        [0xff, 0xfe, ..] => (2, Some(utf16(u16::from_le_bytes))),
        [0xfe, 0xff, ..] => (2, Some(utf16(u16::from_be_bytes))),
        [_, 0, 0, 0] => (0, Some(utf32(u32::from_le_bytes))),
        [0, 0, 0, _] => (0, Some(utf32(u32::from_be_bytes))),
        [_, 0, _, 0] => (0, Some(utf16(u16::from_le_bytes))),
        [0, _, 0, _] => (0, Some(utf16(u16::from_be_bytes))),
        // A quote, `#`, or a byte order mark.
        [b'+', b'A', b'C', b'I' | b'M'] | [b'+', b'/', b'v', b'8' | b'9' | b'+' | b'/'] => {
            (0, Some(utf7()))
        }
        _ => (0, None),
    };
    Ok(match encoding {
        None => Box::new(BufReader::new(whole(skip))),
        Some(encoding) => Box::new(BufReader::new(Recoded::new(whole(skip), encoding))),
    })
}

enum Encoding {
    Utf16(fn([u8; 2]) -> u16),
    Utf32(fn([u8; 4]) -> u32),
    Utf7(utf7::Decoder),
}

/// Makes UTF-8 of another encoding; what stands for no character becomes U+FFFD.
struct Recoded<R> {
    reader: R,
    encoding: Encoding,
    /// Bytes that are not yet whole characters.
    raw: Vec<u8>,
    utf8: Cursor<Vec<u8>>,
    has_begun: bool,
    ended: bool,
}

const BLOCK_BYTES: usize = 16 << 10;

impl<R: Read> Recoded<R> {
    fn new(reader: R, encoding: Encoding) -> Self {
        let (raw, utf8) = (Vec::new(), Cursor::default());
        Self { reader, encoding, raw, utf8, has_begun: false, ended: false }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut block = vec![0; BLOCK_BYTES];
        let read = self.reader.read(&mut block)?;
        self.ended = read == 0;
        self.raw.extend_from_slice(&block[..read]);
        let mut text = String::new();
        let used = self.encoding.decode(&self.raw, self.ended, &mut text);
        self.raw.drain(..used);
        if self.ended && !self.raw.is_empty() {
            self.raw.clear();
            text.push(char::REPLACEMENT_CHARACTER);
        }
        // UTF-7 has its byte order mark in Base64.
        if !self.has_begun && text.starts_with('\u{feff}') {
            text.remove(0);
        }
        self.has_begun |= !text.is_empty();
        self.utf8 = Cursor::new(text.into_bytes());
        Ok(())
    }
}

impl Encoding {
    /// Decodes whole characters and returns how many bytes they had.
    fn decode(&mut self, raw: &[u8], at_end: bool, to: &mut String) -> usize {
        match self {
            Self::Utf16(unit) => {
                let (pairs, _) = raw.as_chunks();
                let mut units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
                if !at_end && units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit)) {
                    units.pop();
                }
                let used = units.len() * 2;
                let characters = char::decode_utf16(units);
                to.extend(characters.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
                used
            }
            Self::Utf32(unit) => {
                let (quads, _) = raw.as_chunks();
                let character =
                    |quad| char::from_u32(unit(quad)).unwrap_or(char::REPLACEMENT_CHARACTER);
                to.extend(quads.iter().map(|quad| character(*quad)));
                quads.len() * 4
            }
            Self::Utf7(decoder) => {
                decoder.push(raw, to);
                if at_end {
                    decoder.finish(to);
                }
                raw.len()
            }
        }
    }
}

impl<R: Read> Read for Recoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.utf8.read(buffer)?;
            if read > 0 || self.ended || buffer.is_empty() {
                return Ok(read);
            }
            self.fill()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use proptest::{prop_assert_eq, proptest};

    use super::decoded;

    /// Yields one byte at a time, so that units and characters are torn everywhere.
    struct Dripping<'a>(&'a [u8]);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(1);
            self.0.read(&mut buffer[..length])
        }
    }

    fn text(bytes: &[u8]) -> String {
        let mut text = Vec::new();
        decoded(Dripping(bytes)).unwrap().read_to_end(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    proptest! {
        #[test]
        fn text_is_the_same_in_every_encoding(content: String) {
            let wide = |unit: fn(u16) -> [u8; 2]| {
                let marked = format!("\u{feff}{content}");
                marked.encode_utf16().flat_map(unit).collect::<Vec<u8>>()
            };
            let wider = |unit: fn(u32) -> [u8; 4]| {
                let marked = format!("\u{feff}{content}");
                marked.chars().flat_map(|c| unit(c.into())).collect::<Vec<u8>>()
            };
            // A NUL after the mark of UTF-16 is the mark of UTF-32.
            if !content.starts_with('\0') {
                prop_assert_eq!(text(&wide(u16::to_le_bytes)), content.as_str());
            }
            prop_assert_eq!(text(&wide(u16::to_be_bytes)), content.as_str());
            prop_assert_eq!(text(&wider(u32::to_le_bytes)), content.as_str());
            prop_assert_eq!(text(&wider(u32::to_be_bytes)), content.as_str());
            prop_assert_eq!(text(format!("\u{feff}{content}").as_bytes()), content.as_str());
        }
    }

    #[test]
    fn torn_text_ends_with_a_replacement_character() {
        assert_eq!(text(b"\xff\xfea\0\x3d\xd8"), "a\u{fffd}");
        assert_eq!(text(b"\xff\xfea\0b"), "a\u{fffd}");
        assert_eq!(text(b"\"\0F\0"), "\"F");
        assert_eq!(text(b"\"\0\0\0F\0"), "\"\u{fffd}");
    }

    #[test]
    fn utf7_is_known_by_a_quote_a_number_sign_or_its_mark() {
        for (encoded, expected) in [
            ("+ACM-TYPE a+AOk-", "#TYPE a\u{e9}"),
            ("+ACI-FilePath+ACI-,", "\"FilePath\","),
            ("+/v8-a+AOk-", "a\u{e9}"),
            ("+ACI", "\""),
        ] {
            assert_eq!(text(encoded.as_bytes()), expected);
        }
    }
}
