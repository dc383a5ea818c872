//! What AVX-512 and AVX2 have in common: SHA-256 in lanes, above operations on a register.

/// Defines `advance` and the functions of FIPS 180-4, 4.1.2, for `$width` lanes in registers of type `$vector`.
///
/// The module has to have `load_state`, `store_state`, `load_message`, `add`, `splat`, `rotate`, `shift`, `xor`,
/// `choose` and `majority` with the same features.
macro_rules! lanes {
    ($vector:ty, $width:literal, $features:literal) => {
        /// Advances `N` hashes of the message in each lane. The schedule, which depends on the message alone, is shared.
        #[target_feature(enable = $features)]
        fn advance<const N: usize>(columns: [&mut Columns; N], messages: &[&[Block]; MAX_LANES]) {
            let count = messages[..$width].iter().map(|blocks| blocks.len()).min().unwrap_or(0);
            let messages: [&[Block]; $width] = std::array::from_fn(|lane| &messages[lane][..count]);
            let mut states = [[splat(0); 8]; N];
            for (state, columns) in states.iter_mut().zip(&columns) {
                *state = load_state(columns);
            }
            for index in 0..count {
                let before = states;
                let mut words = load_message(&messages, index);
                for (sixteen, constants) in ROUND_CONSTANTS.as_chunks::<16>().0.iter().enumerate() {
                    macro_rules! round {
                        ($round:literal) => {
                            if sixteen > 0 {
                                words[$round] = add(
                                    add(words[$round], sigma_0(words[($round + 1) % 16])),
                                    add(words[($round + 9) % 16], sigma_1(words[($round + 14) % 16])),
                                );
                            }
                            let word = add(words[$round], splat(constants[$round]));
                            for state in &mut states {
                                // Letters move by one place a round; here the letters stay and the places move.
                                let place = |letter: usize| (letter + 16 - $round) % 8;
                                let [a, b, c, d, e, f, g, h] = [0, 1, 2, 3, 4, 5, 6, 7].map(place);
                                let first = add(
                                    add(add(state[h], word), choose(state[e], state[f], state[g])),
                                    sum_1(state[e]),
                                );
                                let second = add(sum_0(state[a]), majority(state[a], state[b], state[c]));
                                state[d] = add(state[d], first);
                                state[h] = add(first, second);
                            }
                        };
                    }
                    sixteen_times!(round);
                }
                for (state, before) in states.iter_mut().zip(before) {
                    for (word, before) in state.iter_mut().zip(before) {
                        *word = add(*word, before);
                    }
                }
            }
            for (columns, state) in columns.into_iter().zip(states) {
                store_state(columns, state);
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn sum_0(word: $vector) -> $vector {
            xor(rotate::<2>(word), rotate::<13>(word), rotate::<22>(word))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn sum_1(word: $vector) -> $vector {
            xor(rotate::<6>(word), rotate::<11>(word), rotate::<25>(word))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn sigma_0(word: $vector) -> $vector {
            xor(rotate::<7>(word), rotate::<18>(word), shift::<3>(word))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn sigma_1(word: $vector) -> $vector {
            xor(rotate::<17>(word), rotate::<19>(word), shift::<10>(word))
        }
    };
}

pub(super) use lanes;
