//! How a file is cut: a pure function from its size and the user's wish to one request or parts.
//!
//! The defaults weigh three things against each other: few requests (each costs a fee and a round trip), little to send
//! again after a break, and the service's 10,000 parts. So up to 64 MiB go in one request, and parts are about a
//! two-thousandth of the file, from 8 (where the target wants no more) to 128 MiB, larger only where 10,000 parts would not do.

use icefield_protocol::{
    ByteRange, PartSize,
    limits::{MAX_ARCHIVE_SIZE_BYTES, MAX_PART_SIZE_BYTES, MAX_PARTS, MIN_PART_SIZE_BYTES},
};

use crate::target::Limits;

/// Largest file that goes in one request.
pub const SINGLE_MAX_BYTES: u64 = 64 << 20;

/// Number of parts aimed at between floor and ceiling.
const PARTS_AIMED_AT: u64 = 2000;

/// How a file is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// In one request.
    Single,
    /// In parts.
    Multipart(Parts),
}

impl Plan {
    /// Returns how many bodies the bytes go in.
    pub fn bodies(&self) -> u64 {
        match self {
            Self::Single => 1,
            Self::Multipart(parts) => parts.count().into(),
        }
    }
}

/// A file cut into parts of one size, the last one possibly shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    size: u64,
    part_size: PartSize,
    count: u32,
}

/// Why there is no plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The file is larger than an archive can be.
    #[error(
        "{size} bytes are more than an archive can hold there ({largest}): split the file first"
    )]
    TooLarge {
        /// Size of the file in bytes.
        size: u64,
        /// The largest archive in bytes.
        largest: u64,
    },
    /// There is nothing to send.
    #[error("an archive has at least one byte")]
    Empty,
    /// Ten thousand parts of the wanted size are not enough.
    #[error("{size} bytes need more than 10,000 parts of {} bytes", .part_size.bytes())]
    TooManyParts {
        /// Size of the file in bytes.
        size: u64,
        /// The part size.
        part_size: PartSize,
    },
}

/// Plans a file of `size` bytes for a target, cut into parts of the size that was asked for, if any.
///
/// A wish too small for the target, or for 10,000 parts, is raised to the next size that does; compare [`Parts::part_size`] to tell.
///
/// # Errors
///
/// When the file is empty or larger than any archive.
pub fn plan(size: u64, wished: Option<PartSize>, limits: Limits) -> Result<Plan, PlanError> {
    let wished = wished.map(|wish| wish.max(limits.smallest_part));
    let largest = limits.largest_archive_bytes.min(MAX_ARCHIVE_SIZE_BYTES);
    // A request that breaks is sent again from its beginning.
    let unasked = (limits.unasked_part_bytes * 4).max(limits.smallest_part.bytes());
    let single_max = wished.map_or(unasked, PartSize::bytes).min(SINGLE_MAX_BYTES);
    match size {
        0 => Err(PlanError::Empty),
        size if size > largest => Err(PlanError::TooLarge { size, largest }),
        size if size <= single_max => Ok(Plan::Single),
        size => Parts::new(size, part_size(size, wished, limits)).map(Plan::Multipart),
    }
}

fn part_size(size: u64, wished: Option<PartSize>, limits: Limits) -> PartSize {
    let aimed = size.div_ceil(PARTS_AIMED_AT).next_power_of_two();
    let unasked = aimed.max(limits.usual_part_bytes).min(limits.unasked_part_bytes);
    let chosen = wished.map_or(unasked.max(limits.smallest_part.bytes()), PartSize::bytes);
    let needed = size.div_ceil(MAX_PARTS).next_power_of_two().max(MIN_PART_SIZE_BYTES);
    PartSize::new(chosen.max(needed).min(MAX_PART_SIZE_BYTES))
        .expect("a power of two between the smallest and the largest part size")
}

impl Parts {
    /// Cuts `size` bytes into parts of `part_size`.
    ///
    /// # Errors
    ///
    /// When there are none, or more than 10,000.
    pub fn new(size: u64, part_size: PartSize) -> Result<Self, PlanError> {
        match u32::try_from(part_size.count(size)) {
            Ok(0) => Err(PlanError::Empty),
            Ok(count) if u64::from(count) <= MAX_PARTS => Ok(Self { size, part_size, count }),
            _ => Err(PlanError::TooManyParts { size, part_size }),
        }
    }

    /// Returns the size of every part but the last.
    pub fn part_size(&self) -> PartSize {
        self.part_size
    }

    /// Returns the size of the whole in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the number of parts, from 1 to 10,000.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns where part `index`, counted from 0, lies.
    ///
    /// # Panics
    ///
    /// When there is no such part.
    pub fn range(&self, index: u32) -> ByteRange {
        assert!(index < self.count, "part {index} of {}", self.count);
        let first = u64::from(index) * self.part_size.bytes();
        let last = (first + self.part_size.bytes()).min(self.size) - 1;
        ByteRange { first, last }
    }

    /// Returns the index of the part that is exactly this range, if there is one.
    pub fn index_of(&self, range: ByteRange) -> Option<u32> {
        let index = u32::try_from(range.first / self.part_size.bytes()).ok()?;
        (index < self.count && self.range(index) == range).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use icefield_protocol::{
        PartSize,
        limits::{MAX_ARCHIVE_SIZE_BYTES, MAX_PARTS},
    };
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::{Parts, Plan, PlanError, SINGLE_MAX_BYTES};
    use crate::target::Limits;

    const MIB: u64 = 1 << 20;

    fn plan(size: u64, wished: Option<PartSize>) -> Result<Plan, PlanError> {
        super::plan(size, wished, Limits::of_vaults())
    }

    fn parts(size: u64, wished: Option<u64>) -> Parts {
        match plan(size, wished.map(|bytes| PartSize::new(bytes).unwrap())).unwrap() {
            Plan::Multipart(parts) => parts,
            Plan::Single => panic!("{size} went in one request"),
        }
    }

    #[test]
    fn small_files_go_in_one_request() {
        assert_eq!(plan(1, None), Ok(Plan::Single));
        assert_eq!(plan(SINGLE_MAX_BYTES, None), Ok(Plan::Single));
        assert_eq!(parts(SINGLE_MAX_BYTES + 1, None).part_size().bytes(), 8 * MIB);
        assert_eq!(parts(3 * MIB, Some(MIB)).count(), 3, "who asks for parts gets parts");
        assert_eq!(plan(MIB, Some(PartSize::new(MIB).unwrap())), Ok(Plan::Single));
    }

    #[test]
    fn parts_grow_with_the_file() {
        assert_eq!(parts(6 << 30, None).part_size().bytes(), 8 * MIB);
        assert_eq!(parts(100 << 30, None).part_size().bytes(), 64 * MIB);
        assert_eq!(parts(1 << 40, None).part_size().bytes(), 128 * MIB);
        assert_eq!(parts(2 << 40, None).part_size().bytes(), 256 * MIB, "10,000 parts must do");
        assert_eq!(u64::from(parts(MAX_ARCHIVE_SIZE_BYTES, None).count()), MAX_PARTS);
    }

    #[test]
    fn a_wish_is_raised_only_where_ten_thousand_parts_are_not_enough() {
        assert_eq!(parts(10_000 * MIB, Some(MIB)).part_size().bytes(), MIB);
        assert_eq!(parts(10_000 * MIB + 1, Some(MIB)).part_size().bytes(), 2 * MIB);
    }

    #[test]
    fn what_no_archive_can_hold_is_refused() {
        let size = MAX_ARCHIVE_SIZE_BYTES + 1;
        assert_eq!(plan(size, None), Err(PlanError::TooLarge { size, largest: size - 1 }));
        assert_eq!(plan(0, None), Err(PlanError::Empty));
    }

    #[test]
    fn a_target_that_wants_larger_parts_and_smaller_archives_gets_them() {
        let smallest_part = PartSize::new(8 * MIB).unwrap();
        let limits =
            Limits { smallest_part, largest_archive_bytes: 5 << 40, ..Limits::of_vaults() };
        let wish = PartSize::new(MIB).ok();
        assert_eq!(super::plan(8 * MIB, wish, limits), Ok(Plan::Single));
        let Ok(Plan::Multipart(parts)) = super::plan(9 * MIB, wish, limits) else { panic!() };
        assert_eq!(parts.part_size(), smallest_part);
        let refused = super::plan((5 << 40) + 1, None, limits);
        assert_eq!(refused, Err(PlanError::TooLarge { size: (5 << 40) + 1, largest: 5 << 40 }));
    }

    #[test]
    fn a_target_without_a_line_gets_larger_parts() {
        let limits = Limits { usual_part_bytes: 32 * MIB, ..Limits::of_vaults() };
        let part = |size| match super::plan(size, None, limits) {
            Ok(Plan::Multipart(parts)) => parts.part_size().bytes(),
            other => panic!("{other:?}"),
        };
        assert_eq!(part(SINGLE_MAX_BYTES + 1), 32 * MIB);
        assert_eq!(part(1 << 40), 128 * MIB, "as everywhere");
    }

    #[test]
    fn a_thin_line_gets_small_parts_and_a_fast_one_what_it_had() {
        let part = |rate: f64, size| match super::plan(
            size,
            None,
            Limits::of_vaults().at_rate(Some(rate)),
        ) {
            Ok(Plan::Multipart(parts)) => parts.part_size().bytes(),
            other => panic!("{other:?}"),
        };
        assert_eq!(part(40_000.0, 100 * MIB), MIB, "300 kbit/s");
        assert_eq!(part(1_500_000.0, 100 * MIB), 2 * MIB, "12 Mbit/s");
        assert_eq!(part(1e9, 100 * MIB), 8 * MIB);
        assert_eq!(part(1e9, 1 << 40), 128 * MIB);
        assert_eq!(part(40_000.0, 1 << 40), 128 * MIB, "10,000 parts must do");
    }

    proptest! {
        #[test]
        fn every_byte_lies_in_exactly_one_part(
            size in SINGLE_MAX_BYTES + 1..=MAX_ARCHIVE_SIZE_BYTES,
            shift in proptest::option::of(20u32..=32),
        ) {
            let wished = shift.map(|shift| PartSize::new(1 << shift).unwrap());
            let Plan::Multipart(parts) = plan(size, wished).unwrap() else { panic!("one request") };
            prop_assert!(u64::from(parts.count()) <= MAX_PARTS);
            prop_assert!(wished.is_none_or(|wish| parts.part_size() >= wish));
            let mut next = 0;
            for index in 0..parts.count() {
                let range = parts.range(index);
                prop_assert_eq!(range.first, next);
                prop_assert!(range.len() == parts.part_size().bytes() || index + 1 == parts.count());
                prop_assert_eq!(parts.index_of(range), Some(index));
                next = range.last + 1;
            }
            prop_assert_eq!(next, size);
        }
    }
}
