//! Random choices that can be made again from their seed (SplitMix64).

use std::ops::Range;

/// A sequence of numbers that look random, the same for the same seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins the sequence of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Begins a sequence of its own for one of many.
    #[must_use]
    pub fn of(seed: u64, number: u64) -> Self {
        let mut mixed = Self(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Self(mixed.next())
    }

    /// Returns the next number.
    #[expect(clippy::should_implement_trait, reason = "it has no end, so it is no iterator's")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number of `range`, which must not be empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// Returns an index into something that has `length` items, at least one.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.next() % length as u64).expect("it is below a usize")
    }

    /// Returns one of `choices`, of which there must be one.
    pub fn choice<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// Returns `length` bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_seed_gives_its_sequence_again_and_neighbours_share_nothing() {
        let first = |seed, number| Random::of(seed, number).next();
        assert_eq!(first(7, 0), first(7, 0));
        assert_ne!(first(7, 0), first(7, 1));
        assert_ne!(first(7, 0), first(8, 0));
        let mut random = Random::new(1);
        assert!((0..1000).map(|_| random.within(3..5)).all(|number| (3..5).contains(&number)));
        assert_eq!(random.bytes(13).len(), 13);
    }
}
