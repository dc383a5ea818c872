//! ARNs with wildcards, segment by segment.

use super::pattern::{Case, Token, matches};

/// Segments of an ARN; the last one keeps its colons.
const SEGMENTS: usize = 6;

/// Whether the `Resource` pattern covers the resource ("IAM JSON policy elements: Resource").
///
/// A wildcard stays within its segment, except a `*` that ends one: that goes on across colons.
pub(super) fn covers(pattern: &[Token], resource: &str) -> bool {
    let pattern = split(pattern);
    let resource: Vec<&str> = resource.splitn(SEGMENTS, ':').collect();
    segments_cover(&pattern, &resource)
}

fn segments_cover(pattern: &[&[Token]], resource: &[&str]) -> bool {
    let ([first, pattern @ ..], [segment, resource @ ..]) = (pattern, resource) else {
        return pattern.is_empty() && resource.is_empty();
    };
    if !matches(first, segment, Case::Sensitive) {
        return false;
    }
    let goes_on = first.last() == Some(&Token::Any);
    segments_cover(pattern, resource)
        || goes_on && (1..=resource.len()).any(|more| segments_cover(pattern, &resource[more..]))
}

/// Whether the pattern of `ArnEquals` or `ArnLike` matches the ARN: each of the six segments for itself.
pub(super) fn arn_matches(pattern: &[Token], arn: &str) -> bool {
    let pattern = split(pattern);
    let arn: Vec<&str> = arn.splitn(SEGMENTS, ':').collect();
    arn.len() == SEGMENTS
        && pattern.len() == SEGMENTS
        && pattern.iter().zip(arn).all(|(one, segment)| matches(one, segment, Case::Sensitive))
}

/// Splits tokens at colons, as an ARN is split.
pub(super) fn split(tokens: &[Token]) -> Vec<&[Token]> {
    tokens.splitn(SEGMENTS, |token| *token == Token::Char(':')).collect()
}

#[cfg(test)]
mod tests {
    use super::{arn_matches, covers};
    use crate::policy::pattern::{Pattern, Syntax};

    const VAULT: &str = "arn:aws:glacier:us-west-2:012345678901:vaults/photos";

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text, Syntax { wildcards: true, variables: false }).unwrap()
    }

    #[test]
    fn a_star_at_the_end_of_a_segment_crosses_colons_and_no_other_does() {
        for good in [
            "*",
            "arn:*",
            "arn:aws:glacier:*",
            "arn:aws:glacier:*:vaults/photos",
            "arn:aws:glacier:us-west-?:*:vaults/p*s",
            "arn:aws:glacier:us-*-2:0123*:vaults/*",
            VAULT,
        ] {
            assert!(covers(pattern(good).tokens(), VAULT), "{good}");
        }
        for bad in [
            "",
            "arn",
            "?",
            "arn:aws:glacier:us-west-2:012345678901:vaults/photo",
            "arn:aws:glacier:us-*1:vaults/photos",
            "arn:aws:glacier:u*1:*",
            "arn:aws:glacier:us-west-2?012345678901:vaults/photos",
            "arn:aws:glacier:us-west-2:012345678901:vaults/photos:x",
            "arn:aws:s3:*",
        ] {
            assert!(!covers(pattern(bad).tokens(), VAULT), "{bad}");
        }
    }

    #[test]
    fn arn_conditions_compare_all_six_segments() {
        let user = "arn:aws:iam::012345678901:user/anna";
        assert!(arn_matches(pattern("arn:aws:iam::*:user/*").tokens(), user));
        assert!(arn_matches(pattern("*:*:*:*:*:*").tokens(), user));
        assert!(!arn_matches(pattern("arn:aws:iam::*").tokens(), user));
        assert!(!arn_matches(pattern("*").tokens(), user));
        assert!(!arn_matches(pattern("arn:aws:iam::*:user/*").tokens(), "anna"));
        assert!(!arn_matches(pattern("*:*:*:*:*:*").tokens(), "anna"));
    }
}
