//! Files as UTF-8: byte order marks are removed, UTF-16 (Windows PowerShell's `-Encoding Unicode`) is decoded on the way.

use std::io::{self, BufRead, BufReader, Cursor, Read};

/// Returns the text of `reader` as UTF-8. Bytes that are neither are left as they are.
pub(super) fn decoded<'a>(mut reader: impl Read + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut start = Vec::new();
    reader.by_ref().take(4).read_to_end(&mut start)?;
    let whole = |skip: usize| Cursor::new(start[skip..].to_vec()).chain(reader);
    Ok(match *start.as_slice() {
        [0xef, 0xbb, 0xbf, ..] => Box::new(BufReader::new(whole(3))),
        [0xff, 0xfe, ..] => Box::new(BufReader::new(Utf16::new(whole(2), u16::from_le_bytes))),
        [0xfe, 0xff, ..] => Box::new(BufReader::new(Utf16::new(whole(2), u16::from_be_bytes))),
        [_, 0, _, 0] => Box::new(BufReader::new(Utf16::new(whole(0), u16::from_le_bytes))),
        [0, _, 0, _] => Box::new(BufReader::new(Utf16::new(whole(0), u16::from_be_bytes))),
        _ => Box::new(BufReader::new(whole(0))),
    })
}

/// Decodes UTF-16; a lone surrogate or a torn last unit becomes U+FFFD.
struct Utf16<R> {
    reader: R,
    unit: fn([u8; 2]) -> u16,
    /// Bytes that are not yet whole units, then units that are not yet whole characters.
    raw: Vec<u8>,
    utf8: Cursor<Vec<u8>>,
    ended: bool,
}

const BLOCK_BYTES: usize = 16 << 10;

impl<R: Read> Utf16<R> {
    fn new(reader: R, unit: fn([u8; 2]) -> u16) -> Self {
        Self { reader, unit, raw: Vec::new(), utf8: Cursor::default(), ended: false }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut block = vec![0; BLOCK_BYTES];
        let read = self.reader.read(&mut block)?;
        self.ended = read == 0;
        self.raw.extend_from_slice(&block[..read]);
        let mut units: Vec<u16> =
            self.raw.chunks_exact(2).map(|pair| (self.unit)([pair[0], pair[1]])).collect();
        let mut used = units.len() * 2;
        if !self.ended && units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit)) {
            units.pop();
            used -= 2;
        }
        self.raw.drain(..used);
        let mut text: String = char::decode_utf16(units)
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        if self.ended && !self.raw.is_empty() {
            self.raw.clear();
            text.push(char::REPLACEMENT_CHARACTER);
        }
        self.utf8 = Cursor::new(text.into_bytes());
        Ok(())
    }
}

impl<R: Read> Read for Utf16<R> {
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
            prop_assert_eq!(text(&wide(u16::to_le_bytes)), content.as_str());
            prop_assert_eq!(text(&wide(u16::to_be_bytes)), content.as_str());
            prop_assert_eq!(text(format!("\u{feff}{content}").as_bytes()), content.as_str());
        }
    }

    #[test]
    fn torn_utf16_ends_with_a_replacement_character() {
        assert_eq!(text(b"\xff\xfea\0\x3d\xd8"), "a\u{fffd}");
        assert_eq!(text(b"\xff\xfea\0b"), "a\u{fffd}");
        assert_eq!(text(b"\"\0F\0"), "\"F");
    }
}
