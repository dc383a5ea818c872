//! Many messages of any length onto the kernels there are.
//!
//! The longest go first, and a lane that is free takes the next message. Once too few are left to be worth the lanes,
//! they go on in pairs, and the last one alone.

use super::kernels::{Columns, Kernels, MAX_LANES, Wide};
use super::{BLOCK_SIZE, Block, Ending, State};

/// Blocks that `N` hashes, one or two, have to take up.
pub(crate) struct Job<'a, const N: usize> {
    pub(crate) states: [State; N],
    pub(crate) blocks: &'a [Block],
}

impl Kernels {
    /// Returns the digests of `messages`, in order.
    pub(crate) fn digests(&self, messages: &[&[u8]]) -> Vec<[u8; 32]> {
        let mut bodies: Vec<_> = messages
            .iter()
            .map(|message| Job { states: [State::INITIAL], blocks: message.as_chunks().0 })
            .collect();
        self.advance(&mut bodies);
        let endings = bodies.iter().zip(messages).map(|(body, message)| {
            let (_, rest) = message.as_chunks::<BLOCK_SIZE>();
            (body.states[0], Ending::new(rest, message.len() as u64))
        });
        self.ended_all(endings)
    }

    /// Returns the digests of messages, each given by what is taken up and what is not.
    pub(crate) fn ended_all(
        &self,
        messages: impl Iterator<Item = (State, Ending)>,
    ) -> Vec<[u8; 32]> {
        let messages: Vec<_> = messages.collect();
        let mut endings: Vec<_> = messages
            .iter()
            .map(|(state, ending)| Job { states: [*state], blocks: ending.blocks() })
            .collect();
        self.advance(&mut endings);
        endings.iter().map(|ending| ending.states[0].digest()).collect()
    }

    /// Advances every job to the end of its blocks.
    pub(crate) fn advance<const N: usize>(&self, jobs: &mut [Job<'_, N>]) {
        const { assert!(N == 1 || N == 2, "a byte has two roles at most") };
        let mut waiting: Vec<_> = jobs.iter_mut().filter(|job| !job.blocks.is_empty()).collect();
        if let Some(wide) = &self.wide {
            waiting.sort_by_key(|job| job.blocks.len());
            wide.advance(&mut waiting);
        }
        self.advance_few(waiting);
    }

    fn advance_few<const N: usize>(&self, jobs: Vec<&mut Job<'_, N>>) {
        let mut jobs = jobs.into_iter();
        let mut next = jobs.next();
        while let Some(first) = next.take() {
            match (first.states.as_mut_slice(), jobs.next()) {
                ([leaf, linear], second) => {
                    self.streams.twin([leaf, linear], first.blocks);
                    next = second;
                }
                (_, Some(second)) => {
                    next = self.advance_pair(first, second).or_else(|| jobs.next());
                }
                (states, None) => {
                    for state in states {
                        self.streams.one(state, first.blocks);
                    }
                }
            }
        }
    }

    /// Advances both until one is at its end, and returns the one that is not.
    fn advance_pair<'j, 'a, const N: usize>(
        &self,
        first: &'j mut Job<'a, N>,
        second: &'j mut Job<'a, N>,
    ) -> Option<&'j mut Job<'a, N>> {
        let count = first.blocks.len().min(second.blocks.len());
        let blocks = [first.take(count), second.take(count)];
        self.streams.two([&mut first.states[0], &mut second.states[0]], blocks);
        [first, second].into_iter().find(|job| !job.blocks.is_empty())
    }
}

impl Wide {
    /// Takes jobs from the end of `waiting`, sorted by length, and leaves there what is too little for the lanes.
    fn advance<const N: usize>(&self, waiting: &mut Vec<&mut Job<'_, N>>) {
        let fewest = if N == 1 { self.fewest_single } else { self.fewest_twin };
        let mut active: Vec<&mut Job<'_, N>> = Vec::with_capacity(self.lanes.width());
        loop {
            let free = self.lanes.width() - active.len();
            active.extend(waiting.drain(waiting.len().saturating_sub(free)..).rev());
            if active.len() < fewest {
                break;
            }
            self.advance_row(&mut active);
            active.retain(|job| !job.blocks.is_empty());
        }
        *waiting = active;
    }

    /// Advances all by as many blocks as the shortest has.
    fn advance_row<const N: usize>(&self, active: &mut [&mut Job<'_, N>]) {
        let Some(count) = active.iter().map(|job| job.blocks.len()).min() else { return };
        // Lanes without a job hash what the first one has, and nobody reads the result.
        let mut blocks = [&active[0].blocks[..count]; MAX_LANES];
        let mut columns = [Columns([[0; MAX_LANES]; 8]); N];
        for (lane, job) in active.iter_mut().enumerate() {
            blocks[lane] = job.take(count);
            for (columns, state) in columns.iter_mut().zip(&job.states) {
                columns.put(lane, state);
            }
        }
        match columns.as_mut_slice() {
            [leaf, linear] => self.lanes.twin([leaf, linear], &blocks),
            single => single.iter_mut().for_each(|states| self.lanes.single(states, &blocks)),
        }
        for (lane, job) in active.iter_mut().enumerate() {
            for (columns, state) in columns.iter().zip(&mut job.states) {
                *state = columns.state(lane);
            }
        }
    }
}

impl<'a, const N: usize> Job<'a, N> {
    /// Takes the next blocks off.
    fn take(&mut self, count: usize) -> &'a [Block] {
        let (taken, rest) = self.blocks.split_at(count);
        self.blocks = rest;
        taken
    }
}

impl Columns {
    pub(super) fn put(&mut self, lane: usize, state: &State) {
        for (row, word) in self.0.iter_mut().zip(state.0) {
            row[lane] = word;
        }
    }

    pub(super) fn state(&self, lane: usize) -> State {
        State(self.0.map(|row| row[lane]))
    }
}
