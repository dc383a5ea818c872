//! The name of one request, told to its sender and written into every log line about it.

use std::fmt;

use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// As many characters as the service's own have; scripts and columns were sized for them.
const LENGTH: usize = 47;

/// 47 random characters of `A-Za-z0-9_-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// Returns a new one that nobody can guess.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; 36];
        rand::fill(&mut bytes).expect("the system's random source never fails once seeded");
        let mut text = URL_SAFE_NO_PAD.encode(bytes);
        text.truncate(LENGTH);
        Self(text)
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::RequestId;

    #[test]
    fn request_ids_have_the_length_and_alphabet_of_the_service_and_differ() {
        let (one, other) = (RequestId::random(), RequestId::random());
        assert_ne!(one, other);
        for id in [one, other] {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            assert!(id.as_str().len() == 47 && id.as_str().bytes().all(legal), "{id}");
        }
    }
}
