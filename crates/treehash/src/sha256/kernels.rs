//! What a kernel is, and the choice of those that a machine gets.

use std::fmt;
use std::sync::OnceLock;

use super::portable::Portable;
use super::{Block, Ending, State, selftest};

/// Kernels for a message or two, each in registers of its own.
pub(super) trait Streams: Sync {
    /// The name that people read.
    fn name(&self) -> &'static str;

    /// Advances one message.
    fn one(&self, state: &mut State, blocks: &[Block]);

    /// Advances two messages by the same number of blocks.
    fn two(&self, states: [&mut State; 2], blocks: [&[Block]; 2]) {
        for (state, blocks) in states.into_iter().zip(blocks) {
            self.one(state, blocks);
        }
    }

    /// Whether [`twin`](Self::twin) costs less than two passes.
    fn twin_is_shared(&self) -> bool {
        false
    }

    /// Advances two hashes of the same blocks.
    fn twin(&self, [first, second]: [&mut State; 2], blocks: &[Block]) {
        // Short enough that the second pass finds the blocks in the first-level cache.
        for stride in blocks.chunks(128) {
            self.one(first, stride);
            self.one(second, stride);
        }
    }
}

/// The most lanes that a kernel has.
pub(crate) const MAX_LANES: usize = 16;

/// Word `w` of the state in lane `l` at `[w][l]`, as wide registers hold it.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Columns(pub(super) [[u32; MAX_LANES]; 8]);

/// Kernels for many messages, each in a lane of wide registers.
pub(super) trait Lanes: Sync {
    /// The name that people read.
    fn name(&self) -> &'static str;

    /// How many lanes there are, at most [`MAX_LANES`]; further columns and blocks are left alone.
    fn width(&self) -> usize;

    /// Advances one message per lane by the same number of blocks.
    fn single(&self, states: &mut Columns, blocks: &[&[Block]; MAX_LANES]);

    /// Advances two hashes of the same blocks per lane.
    fn twin(&self, states: [&mut Columns; 2], blocks: &[&[Block]; MAX_LANES]);
}

/// Lanes, and from how many messages on they are faster than the streams beside them.
#[derive(Clone, Copy)]
pub(super) struct Wide {
    pub(super) lanes: &'static dyn Lanes,
    pub(super) fewest_single: usize,
    pub(super) fewest_twin: usize,
}

/// The kernels that are used together.
#[derive(Clone, Copy)]
pub(crate) struct Kernels {
    pub(super) streams: &'static dyn Streams,
    pub(super) wide: Option<Wide>,
}

impl Kernels {
    pub(super) const PORTABLE: Self = Self { streams: &Portable, wide: None };

    /// Returns what this machine can run, the fastest first. What comes later takes the place of what fails.
    pub(super) fn candidates() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        return super::x86::candidates();
        #[cfg(target_arch = "aarch64")]
        return super::aarch64::candidates();
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        return Vec::new();
    }

    /// Returns the first of `candidates` that hashes right, or else the portable kernel.
    pub(super) fn choose(candidates: &[Self]) -> Self {
        candidates.iter().copied().find(selftest::passes).unwrap_or(Self::PORTABLE)
    }

    /// Advances one message.
    pub(crate) fn one(&self, state: &mut State, blocks: &[Block]) {
        self.streams.one(state, blocks);
    }

    /// Returns whether two hashes of one message, without lanes, cost less together than apart.
    pub(crate) fn twin_is_shared(&self) -> bool {
        self.streams.twin_is_shared()
    }

    /// Returns whether `count` messages would go into lanes.
    pub(crate) fn has_lanes(&self, count: usize) -> bool {
        self.wide.is_some_and(|wide| count >= wide.fewest_single)
    }

    /// Returns whether `count` messages with two hashes each would go into lanes.
    pub(crate) fn has_lanes_for_twins(&self, count: usize) -> bool {
        self.wide.is_some_and(|wide| count >= wide.fewest_twin)
    }

    /// Advances two hashes of the same blocks.
    pub(crate) fn twin(&self, states: [&mut State; 2], blocks: &[Block]) {
        self.streams.twin(states, blocks);
    }

    /// Returns the digest of a message of `length_bytes`, of which only `rest`, less than a block, is not taken up.
    pub(crate) fn ended(&self, mut state: State, rest: &[u8], length_bytes: u64) -> [u8; 32] {
        self.one(&mut state, Ending::new(rest, length_bytes).blocks());
        state.digest()
    }
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.streams.name())?;
        match &self.wide {
            Some(wide) => {
                write!(
                    f,
                    ", {} in {} lanes from {}",
                    wide.lanes.name(),
                    wide.lanes.width(),
                    wide.fewest_single
                )
            }
            None => Ok(()),
        }
    }
}

/// Returns the kernels of this machine.
pub(crate) fn kernels() -> &'static Kernels {
    static CHOSEN: OnceLock<Kernels> = OnceLock::new();
    CHOSEN.get_or_init(|| Kernels::choose(&Kernels::candidates()))
}
