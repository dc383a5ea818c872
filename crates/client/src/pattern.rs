//! Patterns over catalog paths, and the nearest names for messages when nothing matches.
//!
//! `*` matches any bytes inside a path segment, `**` crosses segments, everything else stands for itself: `[`, `?` and
//! braces are common in file names and need no escape; only a literal star does, written `\*`. A pattern without `/`
//! matches a name at any depth, one with `/` the path from its beginning, and whatever matches a folder matches all
//! below it. Matching is on bytes, so names that are not UTF-8 are matched like any other, in time linear in the path
//! for the usual pattern; that is why no glob crate (text patterns, more wildcards than are wanted) is used.

use std::fmt;

use crate::path::CatalogPath;

/// One pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Vec<u8>,
    tokens: Vec<Token>,
    /// It has no `/`: any segment may match.
    any_depth: bool,
}

/// The bytes are not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// There is nothing to match.
    #[error("the pattern is empty, use `**` for everything")]
    Empty,
    /// It has a segment that no catalog path has.
    #[error("a pattern has no `..` and no empty segment, as no path in a catalog has one")]
    Segment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `*`: any bytes but `/`.
    Star,
    /// `**`: any bytes.
    DoubleStar,
    /// `**/` at the beginning of a segment: any number of whole segments.
    Segments,
}

impl Pattern {
    /// Reads a pattern. `./` in front and `/` behind change nothing; `/` in front ties it to the beginning of the path.
    ///
    /// # Errors
    ///
    /// When nothing remains, or a segment is empty or `..`.
    pub fn parse(text: impl Into<Vec<u8>>) -> Result<Self, InvalidPattern> {
        let text = text.into();
        let mut rest = text.as_slice();
        while let Some(shorter) = rest.strip_prefix(b"./") {
            rest = shorter;
        }
        while let Some(shorter) = rest.strip_suffix(b"/") {
            rest = shorter;
        }
        let tied = rest.strip_prefix(b"/");
        let any_depth = tied.is_none() && !rest.contains(&b'/');
        let rest = tied.unwrap_or(rest);
        if rest.is_empty() {
            return Err(InvalidPattern::Empty);
        }
        if rest.split(|b| *b == b'/').any(|segment| segment.is_empty() || segment == b"..") {
            return Err(InvalidPattern::Segment);
        }
        let tokens = tokens(rest);
        Ok(Self { text, tokens, any_depth })
    }

    /// Returns the pattern of a path and all below it.
    pub fn of(path: &CatalogPath) -> Self {
        let tokens = path.as_bytes().iter().copied().map(Token::Byte).collect();
        let text = [b"/", path.as_bytes()].concat();
        Self { text, tokens, any_depth: false }
    }

    /// Whether the pattern matches the path or a folder above it.
    pub fn matches(&self, path: &CatalogPath) -> bool {
        let bytes = path.as_bytes();
        if !self.any_depth {
            return matches_prefix(&self.tokens, bytes);
        }
        let starts = bytes.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at + 1);
        std::iter::once(0).chain(starts).any(|start| matches_prefix(&self.tokens, &bytes[start..]))
    }

    /// Returns the path that the pattern names if it has no wildcard and is tied to the beginning of the path.
    pub fn literal(&self) -> Option<Vec<u8>> {
        let byte = |token: &Token| match token {
            Token::Byte(byte) => Some(*byte),
            _ => None,
        };
        if self.any_depth { None } else { self.tokens.iter().map(byte).collect() }
    }
}

/// Patterns of which any may match, and which of them have.
#[derive(Debug)]
pub(crate) struct Choice<'a> {
    patterns: Vec<(&'a Pattern, bool)>,
}

impl<'a> Choice<'a> {
    pub(crate) fn of(patterns: &'a [Pattern]) -> Self {
        Self { patterns: patterns.iter().map(|pattern| (pattern, false)).collect() }
    }

    /// Whether any of the patterns matches.
    pub(crate) fn matches(&mut self, path: &CatalogPath) -> bool {
        let mut any = false;
        for (pattern, has_matched) in &mut self.patterns {
            if (!any || !*has_matched) && pattern.matches(path) {
                (any, *has_matched) = (true, true);
            }
        }
        any
    }

    /// Returns the places of the patterns that have matched nothing.
    pub(crate) fn unmatched(self) -> Vec<usize> {
        let places = self.patterns.into_iter().enumerate();
        places.filter(|(_, (_, has_matched))| !has_matched).map(|(place, _)| place).collect()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text))
    }
}

fn tokens(mut rest: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(rest.len());
    let mut segment_begins = true;
    while let Some(&byte) = rest.first() {
        let (token, length) = match rest {
            [b'*', b'*', b'/', ..] if segment_begins => (Token::Segments, 3),
            [b'*', b'*', ..] => (Token::DoubleStar, 2),
            [b'*', ..] => (Token::Star, 1),
            [b'\\', b'*', ..] => (Token::Byte(b'*'), 2),
            _ => (Token::Byte(byte), 1),
        };
        segment_begins = matches!(token, Token::Segments | Token::Byte(b'/'));
        tokens.push(token);
        rest = &rest[length..];
    }
    tokens
}

/// Where to go on when what was taken turns out wrong: one step more for the wildcard that came last.
#[derive(Clone, Copy)]
struct Retry {
    /// The token after the wildcard.
    token: usize,
    /// Where that token was tried last.
    at: usize,
}

/// Whether the tokens match `text`, or a beginning of it that ends before a `/`.
///
/// Only the last wildcard of each kind is ever tried again: what an earlier one could take more, the later one can take
/// as well; and a `*` is given up for a `**` before it, because a `*` cannot cross a `/`.
fn matches_prefix(tokens: &[Token], text: &[u8]) -> bool {
    let (mut token, mut at) = (0, 0);
    let (mut star, mut crossing): (Option<Retry>, Option<(Retry, bool)>) = (None, None);
    loop {
        match tokens.get(token) {
            None if at == text.len() || text[at] == b'/' => return true,
            Some(Token::Byte(byte)) if text.get(at) == Some(byte) => {
                (token, at) = (token + 1, at + 1);
                continue;
            }
            Some(Token::Star) => {
                token += 1;
                star = Some(Retry { token, at });
                continue;
            }
            Some(kind @ (Token::DoubleStar | Token::Segments)) => {
                token += 1;
                star = None;
                crossing = Some((Retry { token, at }, *kind == Token::Segments));
                continue;
            }
            _ => {}
        }
        if let Some(retry) = &mut star {
            if text.get(retry.at).is_some_and(|byte| *byte != b'/') {
                retry.at += 1;
                (token, at) = (retry.token, retry.at);
                continue;
            }
            star = None;
        }
        let Some((retry, whole_segments)) = &mut crossing else { return false };
        let step = if *whole_segments {
            text[retry.at..].iter().position(|byte| *byte == b'/').map(|slash| slash + 1)
        } else {
            (retry.at < text.len()).then_some(1)
        };
        let Some(step) = step else { return false };
        retry.at += step;
        (token, at) = (retry.token, retry.at);
    }
}

/// Returns up to `most` of the `names` that look most like `wanted`, the likest first; none if none is like it.
pub fn nearest_names<N: AsRef<str>>(
    wanted: &str,
    names: impl IntoIterator<Item = N>,
    most: usize,
) -> Vec<N> {
    let lower = wanted.to_lowercase();
    let mut near: Vec<(usize, N)> = Vec::new();
    for name in names {
        let distance = strsim::damerau_levenshtein(&lower, &name.as_ref().to_lowercase());
        // A third of the letters may be wrong, and at least one.
        if distance <= (wanted.chars().count() / 3).max(1) {
            let place = near.partition_point(|(other, _)| *other <= distance);
            near.insert(place, (distance, name));
            near.truncate(most);
        }
    }
    near.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use super::{Choice, InvalidPattern, Pattern, Token, matches_prefix, nearest_names};
    use crate::path::CatalogPath;

    fn matches(pattern: &[u8], path: &[u8]) -> bool {
        Pattern::parse(pattern).unwrap().matches(&CatalogPath::parse(path).unwrap())
    }

    #[test]
    fn a_star_stays_inside_a_segment_and_two_cross_it() {
        assert!(matches(b"a/*.fit", b"a/x.fit"));
        assert!(!matches(b"a/*.fit", b"a/b/x.fit"));
        assert!(matches(b"a/**.fit", b"a/b/x.fit"));
        assert!(matches(b"a/**/x.fit", b"a/x.fit"));
        assert!(matches(b"a/**/x.fit", b"a/b/c/x.fit"));
        assert!(!matches(b"a/**/x.fit", b"a/b/yx.fit"));
        assert!(matches(b"**", b"a/b"));
    }

    #[test]
    fn a_folder_means_all_below_it_and_no_more() {
        for pattern in [&b"photos"[..], b"photos/", b"/photos", b"./photos", b"ph*", b"/ph*s"] {
            assert!(matches(pattern, b"photos/2024/a.fit"), "{pattern:?}");
        }
        assert!(!matches(b"photos", b"photos2/a"));
        assert!(matches(b"photos/2024", b"photos/2024/a.fit"));
        assert!(!matches(b"photos/20", b"photos/2024/a.fit"));
    }

    #[test]
    fn without_a_slash_names_match_at_any_depth() {
        assert!(matches(b"*.fit", b"a/b/x.fit"));
        assert!(matches(b"2024", b"photos/2024/a.fit"));
        assert!(!matches(b"/2024", b"photos/2024/a.fit"));
        assert!(!matches(b"photos/x", b"deep/photos/x"));
    }

    #[test]
    fn other_bytes_stand_for_themselves() {
        assert!(matches(b"a[1].{x}?", b"a[1].{x}?"));
        assert!(!matches(b"a[1]", b"a1"));
        assert!(matches(b"\xff*", b"d/\xff\xfe"));
        assert!(matches(b"x\\*y", b"x*y"));
        assert!(!matches(b"x\\*y", b"xzy"));
        assert!(matches(b"x\\y", b"x\\y"));
        assert!(matches(b"-rf", b"-rf"));
    }

    #[test]
    fn the_pattern_of_a_path_takes_its_stars_as_they_are() {
        let path = |text: &str| CatalogPath::parse(text).unwrap();
        let pattern = Pattern::of(&path("a*/\\*"));
        assert!(pattern.matches(&path("a*/\\*")) && pattern.matches(&path("a*/\\*/x")));
        assert!(!pattern.matches(&path("ab/\\*")) && !pattern.matches(&path("x/a*/\\*")));
    }

    #[test]
    fn a_choice_tells_which_patterns_matched_nothing() {
        let patterns = ["a", "x*", "*"].map(|text| Pattern::parse(text).unwrap());
        let mut choice = Choice::of(&patterns);
        assert!(choice.matches(&CatalogPath::parse("a").unwrap()));
        assert_eq!(choice.unmatched(), [1]);
    }

    #[test]
    fn patterns_that_could_never_match_are_refused() {
        assert_eq!(Pattern::parse(""), Err(InvalidPattern::Empty));
        assert_eq!(Pattern::parse("./"), Err(InvalidPattern::Empty));
        assert_eq!(Pattern::parse("a/../b"), Err(InvalidPattern::Segment));
        assert_eq!(Pattern::parse("a//b"), Err(InvalidPattern::Segment));
    }

    #[test]
    fn near_names_come_first_and_strangers_not_at_all() {
        let names = ["photos", "films", "photo", "phtoos2"];
        assert_eq!(nearest_names("phtoos", names, 3), ["photos", "phtoos2", "photo"]);
        assert_eq!(nearest_names("PHOTOS", names, 1), ["photos"]);
        assert!(nearest_names("taxes", names, 3).is_empty());
    }

    /// The definition, by trying everything.
    fn by_definition(tokens: &[Token], text: &[u8]) -> bool {
        let Some((first, rest)) = tokens.split_first() else {
            return text.is_empty() || text[0] == b'/';
        };
        match first {
            Token::Byte(byte) => text.first() == Some(byte) && by_definition(rest, &text[1..]),
            Token::Star => {
                let end = text.iter().position(|b| *b == b'/').unwrap_or(text.len());
                (0..=end).any(|at| by_definition(rest, &text[at..]))
            }
            Token::DoubleStar => (0..=text.len()).any(|at| by_definition(rest, &text[at..])),
            Token::Segments => {
                let starts = (1..=text.len()).filter(|at| text[at - 1] == b'/');
                std::iter::once(0).chain(starts).any(|at| by_definition(rest, &text[at..]))
            }
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_definition(
            pattern in "([ab]|\\*|\\*\\*|/|\\*\\*/){1,9}",
            text in "[ab]{1,3}(/[ab]{1,3}){0,3}",
        ) {
            let tokens = super::tokens(pattern.as_bytes());
            let text = text.as_bytes();
            prop_assert_eq!(matches_prefix(&tokens, text), by_definition(&tokens, text));
        }

        #[test]
        fn any_bytes_are_a_pattern_or_refused(bytes: Vec<u8>) {
            drop(Pattern::parse(bytes));
        }
    }
}
