//! The part size of a multipart upload: 13 values.

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_PART_SIZE_BYTES, MIN_PART_SIZE_BYTES};

/// The size of every part but the last: a power of two from 1 MiB to 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct PartSize(u64);

/// The number is not a part size. Its text is the service's own, word for word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Invalid part size: {0}. Part size must not be null, must be a power of two and be between 1048576 and 4294967296 bytes."
)]
pub struct InvalidPartSize(pub u64);

impl PartSize {
    /// Checks a part size in bytes ("Initiate Multipart Upload (POST multipart-uploads)").
    ///
    /// # Errors
    ///
    /// When it is not a power of two from 1 MiB to 4 GiB.
    pub fn new(bytes: u64) -> Result<Self, InvalidPartSize> {
        let fits = (MIN_PART_SIZE_BYTES..=MAX_PART_SIZE_BYTES).contains(&bytes);
        if fits && bytes.is_power_of_two() { Ok(Self(bytes)) } else { Err(InvalidPartSize(bytes)) }
    }

    /// Returns the size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Returns how many parts `total` bytes need, the last one possibly shorter.
    #[must_use]
    pub const fn count(self, total: u64) -> u64 {
        total.div_ceil(self.0)
    }
}

impl TryFrom<u64> for PartSize {
    type Error = InvalidPartSize;

    fn try_from(bytes: u64) -> Result<Self, InvalidPartSize> {
        Self::new(bytes)
    }
}

impl From<PartSize> for u64 {
    fn from(size: PartSize) -> Self {
        size.0
    }
}

#[cfg(test)]
mod tests {
    use super::PartSize;
    use crate::limits::{MAX_ARCHIVE_SIZE_BYTES, MAX_PART_SIZE_BYTES, MAX_PARTS};

    #[test]
    fn thirteen_powers_of_two_are_part_sizes() {
        let sizes: Vec<u64> =
            (0..64).map(|shift| 1 << shift).filter(|&n| PartSize::new(n).is_ok()).collect();
        assert_eq!((sizes.len(), sizes[0], sizes[12]), (13, 1_048_576, 4_294_967_296));
        for bad in [0, 1, 3 << 20, (1 << 20) + 1, 10_485_760, u64::MAX] {
            assert!(PartSize::new(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn the_error_is_the_text_of_the_service() {
        assert_eq!(
            PartSize::new(0).unwrap_err().to_string(),
            "Invalid part size: 0. Part size must not be null, must be a power of two and be between 1048576 and 4294967296 bytes."
        );
    }

    #[test]
    fn count_includes_a_short_last_part() {
        let size = PartSize::new(1 << 20).unwrap();
        assert_eq!([0, 1, 1 << 20, (1 << 20) + 1].map(|total| size.count(total)), [0, 1, 1, 2]);
        assert_eq!(
            PartSize::new(MAX_PART_SIZE_BYTES).unwrap().count(MAX_ARCHIVE_SIZE_BYTES),
            MAX_PARTS
        );
    }
}
