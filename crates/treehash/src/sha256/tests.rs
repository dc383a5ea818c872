//! Every kernel of the machine, by name, against the library; and what happens to one that is wrong.

use aws_lc_rs::digest::{SHA256, digest};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::Config;
use proptest::{prop_assert_eq, proptest};

use super::advance::Job;
use super::kernels::{Columns, Kernels, Lanes, MAX_LANES, Streams, Wide};
use super::portable::Portable;
use super::{BLOCK_SIZE, Block, Ending, State, kernels, selftest, sha256};

const LEAF_SIZE: usize = crate::LEAF_SIZE;

/// All kernels that this machine can run, and lanes that are used however few messages there are.
fn all() -> Vec<Kernels> {
    let mut all = Kernels::candidates();
    let eager = all.iter().filter_map(|kernels| {
        let wide = Wide { fewest_single: 1, fewest_twin: 1, ..kernels.wide? };
        Some(Kernels { wide: Some(wide), ..*kernels })
    });
    let eager: Vec<_> = eager.collect();
    all.extend(eager);
    all.push(Kernels::PORTABLE);
    all
}

fn library(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

fn data(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

/// Lengths beside every border up to three blocks, and beside those of a leaf.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=3 * BLOCK_SIZE + 1).chain(LEAF_SIZE - 65..=LEAF_SIZE)
}

#[test]
fn every_kernel_passes_the_self_test() {
    for kernels in all() {
        assert!(selftest::passes(&kernels), "{kernels:?}");
    }
}

#[test]
fn the_published_examples_have_their_digests() {
    // FIPS 180-4, "SHA256ShortMsg" of the validation program.
    for (message, hex) in [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
    ] {
        let hash: crate::LinearHash = hex.parse().unwrap();
        assert_eq!(&sha256(message.as_bytes()), hash.as_bytes());
        for kernels in all() {
            assert_eq!(&kernels.digests(&[message.as_bytes()])[0], hash.as_bytes(), "{kernels:?}");
        }
    }
}

#[test]
fn every_length_around_the_borders_is_hashed_as_the_library_does() {
    let bytes = data(LEAF_SIZE);
    for length in lengths() {
        let message = &bytes[bytes.len() - length..];
        let expected = library(message);
        for kernels in all() {
            assert_eq!(kernels.digests(&[message]), [expected], "{length} bytes, {kernels:?}");
        }
    }
}

#[test]
fn every_number_of_lanes_is_hashed_as_the_library_does() {
    let bytes = data(1 << 16);
    for kernels in all() {
        for count in 0..=2 * MAX_LANES + 1 {
            for length in [1, 64, 119, 120, 1000] {
                // Every message at another alignment.
                let messages: Vec<_> = (0..count).map(|n| &bytes[n * 1001..][..length]).collect();
                let expected: Vec<_> = messages.iter().map(|message| library(message)).collect();
                assert_eq!(
                    kernels.digests(&messages),
                    expected,
                    "{count} of {length}, {kernels:?}"
                );
            }
        }
    }
}

#[test]
fn leaves_of_whole_length_are_hashed_in_every_number_of_lanes() {
    let bytes = data(LEAF_SIZE + MAX_LANES);
    let expected: Vec<_> = (0..MAX_LANES).map(|n| library(&bytes[n..][..LEAF_SIZE])).collect();
    for kernels in Kernels::candidates() {
        for count in 1..=MAX_LANES {
            let messages: Vec<_> = (0..count).map(|n| &bytes[n..][..LEAF_SIZE]).collect();
            assert_eq!(kernels.digests(&messages), expected[..count], "{count}, {kernels:?}");
        }
    }
}

/// What [`Kernels::advance`] has to come to, by the portable kernel.
fn advanced(state: State, blocks: &[Block]) -> State {
    let mut state = state;
    Portable.one(&mut state, blocks);
    state
}

proptest! {
    #![proptest_config(Config::with_cases(64))]

    #[test]
    fn messages_of_any_lengths_share_the_lanes(lengths in vec(0..3000_usize, 0..40), offset in 0..64_usize) {
        let bytes = data(4096);
        let messages: Vec<_> = lengths.iter().enumerate().map(|(n, &length)| &bytes[offset + n..][..length]).collect();
        let expected: Vec<_> = messages.iter().map(|message| library(message)).collect();
        for kernels in all() {
            prop_assert_eq!(kernels.digests(&messages), expected.clone(), "{:?}", kernels);
        }
    }

    #[test]
    fn two_hashes_of_the_same_blocks_advance_together(
        jobs in vec((any::<[[u32; 8]; 2]>(), 0..40_usize), 0..40),
        offset in 0..64_usize,
    ) {
        let bytes = data(4096);
        let jobs: Vec<_> = jobs.into_iter().enumerate().map(|(n, (states, count))| {
            let (blocks, _) = bytes[offset + n..].as_chunks();
            (states.map(State), &blocks[..count])
        }).collect();
        let expected: Vec<_> =
            jobs.iter().map(|(states, blocks)| states.map(|state| advanced(state, blocks))).collect();
        for kernels in all() {
            let mut jobs: Vec<_> = jobs.iter().map(|&(states, blocks)| Job { states, blocks }).collect();
            kernels.advance(&mut jobs);
            let found: Vec<_> = jobs.iter().map(|job| job.states).collect();
            prop_assert_eq!(found, expected.clone(), "{:?}", kernels);
        }
    }

    #[test]
    fn an_ending_is_what_the_library_pads_with(bytes in vec(any::<u8>(), 0..BLOCK_SIZE), blocks in 0..100_u64) {
        let prefix = vec![0; usize::try_from(blocks).unwrap() * BLOCK_SIZE];
        let state = advanced(State::INITIAL, prefix.as_chunks().0);
        let message = [prefix, bytes.clone()].concat();
        let ending = Ending::new(&bytes, message.len() as u64);
        prop_assert_eq!(advanced(state, ending.blocks()).digest(), library(&message));
    }
}

/// A kernel that flips a bit of one result: of the one that is told.
#[derive(Clone, Copy, PartialEq)]
enum Broken {
    One,
    Two,
    Twin,
    Single(usize),
    WideTwin(usize),
}

impl Streams for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn one(&self, state: &mut State, blocks: &[Block]) {
        Portable.one(state, blocks);
        state.0[7] ^= u32::from(*self == Self::One);
    }

    fn two(&self, [first, second]: [&mut State; 2], blocks: [&[Block]; 2]) {
        Portable.two([first, &mut *second], blocks);
        second.0[0] ^= u32::from(*self == Self::Two);
    }

    fn twin(&self, [first, second]: [&mut State; 2], blocks: &[Block]) {
        Portable.twin([first, &mut *second], blocks);
        second.0[3] ^= u32::from(*self == Self::Twin);
    }
}

impl Lanes for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn width(&self) -> usize {
        MAX_LANES
    }

    fn single(&self, states: &mut Columns, blocks: &[&[Block]; MAX_LANES]) {
        for (lane, blocks) in blocks.iter().enumerate() {
            states.put(lane, &advanced(states.state(lane), blocks));
        }
        if let Self::Single(lane) = *self {
            states.0[5][lane] ^= 1 << 31;
        }
    }

    fn twin(&self, [first, second]: [&mut Columns; 2], blocks: &[&[Block]; MAX_LANES]) {
        for states in [first, &mut *second] {
            Self::One.single(states, blocks);
        }
        if let Self::WideTwin(lane) = *self {
            second.0[5][lane] ^= 1;
        }
    }
}

/// The table of a machine on which one kernel is wrong. A static one, as tables hold for the life of the process.
fn broken_table(broken: &'static Broken) -> Kernels {
    let wide = Wide { lanes: broken, fewest_single: 10, fewest_twin: 10 };
    Kernels { streams: broken, wide: Some(wide) }
}

#[test]
fn a_table_with_one_wrong_kernel_falls_back_to_the_portable_one() {
    static BROKEN: [Broken; 7] = [
        Broken::One,
        Broken::Two,
        Broken::Twin,
        Broken::Single(0),
        Broken::Single(15),
        Broken::WideTwin(0),
        Broken::WideTwin(15),
    ];
    for broken in &BROKEN {
        let chosen = Kernels::choose(&[broken_table(broken)]);
        assert_eq!(chosen.streams.name(), Portable.name());
        assert!(chosen.wide.is_none());
        assert_eq!(chosen.digests(&[b"abc"]), [library(b"abc")]);
    }
}

#[test]
fn the_next_table_takes_the_place_of_a_wrong_one() {
    // Without lanes nothing of this one is wrong.
    let good = Kernels { streams: &Broken::Single(0), wide: None };
    let chosen = Kernels::choose(&[broken_table(&Broken::Twin), good]);
    assert_eq!(chosen.streams.name(), "broken");
    assert!(chosen.wide.is_none());
}

#[test]
fn the_kernels_of_the_machine_are_the_first_that_it_has() {
    let first = Kernels::candidates().first().copied().unwrap_or(Kernels::PORTABLE);
    assert_eq!(format!("{:?}", kernels()), format!("{first:?}"));
}
