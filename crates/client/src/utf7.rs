//! UTF-7 (RFC 2152): CloudBerry's paths have it, and files that Windows PowerShell was told to write in it.
//!
//! ASCII stands for itself. Everything else is UTF-16 in Base64 between `+` and the first character that is not of
//! Base64; a `-` there only ends it. `+-` is a plus.

const HIGH_SURROGATES: std::ops::Range<u16> = 0xd800..0xdc00;

/// Decodes a text that comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    run: Option<Run>,
    flawed: bool,
}

/// A stretch of Base64.
#[derive(Debug, Default)]
struct Run {
    bits: u32,
    count: u32,
    high: Option<u16>,
    is_begun: bool,
}

/// Decodes a text; none when no encoder of UTF-7 has written it, so that it may be taken as it stands.
pub(crate) fn decode(text: &str) -> Option<String> {
    let (mut decoder, mut decoded) = (Decoder::default(), String::new());
    decoder.push(text.as_bytes(), &mut decoded);
    decoder.finish(&mut decoded);
    (!decoder.flawed).then_some(decoded)
}

impl Decoder {
    /// Decodes a piece. What stands for no character becomes U+FFFD.
    pub(crate) fn push(&mut self, bytes: &[u8], to: &mut String) {
        for byte in bytes {
            match &mut self.run {
                None if *byte == b'+' => self.run = Some(Run::default()),
                None => self.direct(*byte, to),
                Some(run) => {
                    if let Some(value) = value(*byte) {
                        self.flawed |= run.push(value, to);
                    } else {
                        self.end(*byte == b'-', to);
                        if *byte != b'-' {
                            self.direct(*byte, to);
                        }
                    }
                }
            }
        }
    }

    /// Ends the text.
    pub(crate) fn finish(&mut self, to: &mut String) {
        if self.run.is_some() {
            self.end(false, to);
        }
    }

    fn direct(&mut self, byte: u8, to: &mut String) {
        self.flawed |= !byte.is_ascii();
        to.push(if byte.is_ascii() { byte.into() } else { char::REPLACEMENT_CHARACTER });
    }

    fn end(&mut self, by_minus: bool, to: &mut String) {
        let Some(run) = self.run.take() else { return };
        if !run.is_begun {
            self.flawed |= !by_minus;
            to.push('+');
        } else if run.high.is_some() || run.count >= 6 || run.bits != 0 {
            self.flawed = true;
            to.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

impl Run {
    /// Takes six bits; returns whether they make something that no encoder writes.
    fn push(&mut self, value: u8, to: &mut String) -> bool {
        self.is_begun = true;
        self.bits = self.bits << 6 | u32::from(value);
        self.count += 6;
        if self.count < 16 {
            return false;
        }
        self.count -= 16;
        let unit = u16::try_from(self.bits >> self.count & 0xffff).unwrap_or_default();
        self.bits &= (1 << self.count) - 1;
        self.unit(unit, to)
    }

    fn unit(&mut self, unit: u16, to: &mut String) -> bool {
        let mut flawed = false;
        let units = match self.high.take() {
            None if HIGH_SURROGATES.contains(&unit) => {
                self.high = Some(unit);
                return false;
            }
            high => high.into_iter().chain([unit]),
        };
        for character in char::decode_utf16(units) {
            let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
            // A letter stands for itself, never in Base64.
            flawed |= character == char::REPLACEMENT_CHARACTER || character.is_ascii_alphanumeric();
            to.push(character);
        }
        flawed
    }
}

fn value(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use super::{Decoder, decode};

    /// As .NET encodes.
    fn encoded(text: &str) -> String {
        const BASE64: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let is_direct = |c: char| c.is_ascii_alphanumeric() || " '(),-./:?\r\n\t".contains(c);
        let (mut encoded, mut rest) = (String::new(), text);
        while let Some(first) = rest.chars().next() {
            if is_direct(first) {
                encoded.push(first);
                rest = &rest[1..];
            } else if first == '+' {
                encoded.push_str("+-");
                rest = &rest[1..];
            } else {
                let end = rest.find(|c| is_direct(c) || c == '+').unwrap_or(rest.len());
                let bits: String =
                    rest[..end].encode_utf16().map(|u| format!("{u:016b}")).collect();
                encoded.push('+');
                for six in bits.as_bytes().chunks(6) {
                    let six = format!("{:0<6}", std::str::from_utf8(six).unwrap());
                    encoded.push(BASE64[usize::from_str_radix(&six, 2).unwrap()].into());
                }
                encoded.push('-');
                rest = &rest[end..];
            }
        }
        encoded
    }

    #[test]
    fn published_samples_are_decoded() {
        for (text, expected) in [
            ("A+ImIDkQ.", "A\u{2262}\u{391}."),
            ("Hi Mom -+Jjo--!", "Hi Mom -\u{263a}-!"),
            ("+ZeVnLIqe-", "\u{65e5}\u{672c}\u{8a9e}"),
            ("Item 3 is +AKM-1.", "Item 3 is \u{a3}1."),
            ("1 +- 1", "1 + 1"),
            ("M33/Light/frame +AOk-1.fit", "M33/Light/frame \u{e9}1.fit"),
            ("+2D3eAA-", "\u{1f600}"),
        ] {
            assert_eq!(decode(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_utf7_is_told_apart() {
        for text in ["a+b.txt", "c++", "1+1", "+AGE-", "+2D0-", "\u{e9}", "+AOl-", "a+", "+."] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back_however_it_is_torn(text: String, size in 1_usize..9) {
            let encoded = encoded(&text);
            prop_assert_eq!(decode(&encoded), Some(text.clone()).filter(|t| !t.contains('\u{fffd}')));
            let (mut decoder, mut decoded) = (Decoder::default(), String::new());
            for piece in encoded.as_bytes().chunks(size) {
                decoder.push(piece, &mut decoded);
            }
            decoder.finish(&mut decoded);
            prop_assert_eq!(decoded, text);
        }

        #[test]
        fn any_text_is_decoded_without_a_panic(text: String) {
            drop(decode(&text));
        }
    }
}
