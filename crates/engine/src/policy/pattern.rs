//! Text with wildcards and policy variables.
//!
//! A pattern is a row of tokens. Variables are put in at evaluation, and what they bring is plain text: a user called
//! `*` matches nothing but itself. Matching walks the text once and goes back only to the last `*`, so its cost is at
//! most the product of both lengths, and linear for what people write.

use std::borrow::Cow;

use super::keys::ContextKeys;

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// This character.
    Char(char),
    /// `?`: any one character.
    One,
    /// `*`: any characters, or none.
    Any,
    /// `${name}` or `${name, 'default'}`.
    Variable { name: String, default: Option<String> },
}

/// Which characters of a text mean more than themselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Syntax {
    /// `*` and `?` are wildcards.
    pub(super) wildcards: bool,
    /// `${...}` is a variable: in documents of version 2012-10-17.
    pub(super) variables: bool,
}

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Token>);

impl Pattern {
    /// Compiles a text; says what is wrong with its variables.
    pub(super) fn parse(text: &str, syntax: Syntax) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(variable) = rest.strip_prefix("${").filter(|_| syntax.variables) {
                let (token, after) = parse_variable(variable).ok_or_else(|| {
                    format!("{text:?} has a policy variable that is not understood")
                })?;
                tokens.push(token);
                rest = after;
                continue;
            }
            tokens.push(match first {
                '*' if syntax.wildcards => Token::Any,
                '?' if syntax.wildcards => Token::One,
                other => Token::Char(other),
            });
            rest = &rest[first.len_utf8()..];
        }
        Ok(Self(tokens))
    }

    /// The names of its variables.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|token| match token {
            Token::Variable { name, .. } => Some(name.as_str()),
            Token::Char(_) | Token::One | Token::Any => None,
        })
    }

    pub(super) fn tokens(&self) -> &[Token] {
        &self.0
    }

    /// Puts the variables in. `None` when one has neither a single value nor a default: then nothing matches.
    pub(super) fn resolve(&self, keys: &ContextKeys) -> Option<Cow<'_, [Token]>> {
        if self.variables().next().is_none() {
            return Some(Cow::Borrowed(&self.0));
        }
        let mut resolved = Vec::new();
        for token in &self.0 {
            let Token::Variable { name, default } = token else {
                resolved.push(token.clone());
                continue;
            };
            let value = keys.single(name).or(default.as_deref())?;
            resolved.extend(value.chars().map(Token::Char));
        }
        Some(Cow::Owned(resolved))
    }

    /// The widest the pattern can be: each variable may be anything.
    pub(super) fn widest(&self) -> Vec<Token> {
        let widen = |token: &Token| match token {
            Token::Variable { .. } => Token::Any,
            other => other.clone(),
        };
        self.0.iter().map(widen).collect()
    }
}

/// Reads a variable after its `${`, and returns what follows its `}`.
///
/// `${*}`, `${?}` and `${$}` are those characters themselves.
fn parse_variable(text: &str) -> Option<(Token, &str)> {
    for special in ['*', '?', '$'] {
        if let Some(rest) = text.strip_prefix(special).and_then(|rest| rest.strip_prefix('}')) {
            return Some((Token::Char(special), rest));
        }
    }
    let end = text.find([',', '}'])?;
    let (name, rest) = text.split_at(end);
    let is_key = name.split_once(':').is_some_and(|(prefix, key)| {
        !prefix.is_empty() && !key.is_empty() && !name.contains(['$', '{', '\'', '*', '?'])
    });
    if !is_key || name.trim() != name {
        return None;
    }
    let name = name.to_owned();
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((Token::Variable { name, default: None }, rest));
    }
    let quoted = rest.strip_prefix(',')?.trim_start().strip_prefix('\'')?;
    let (default, rest) = quoted.split_once('\'')?;
    let rest = rest.trim_start().strip_prefix('}')?;
    Some((Token::Variable { name, default: Some(default.to_owned()) }, rest))
}

/// Whether case counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Sensitive,
    Ignored,
}

/// Whether tokens match the whole of a text. A variable that was not put in matches nothing.
pub(super) fn matches(tokens: &[Token], text: &str, case: Case) -> bool {
    let text: Vec<char> = text.chars().collect();
    let same = |a: char, b: char| match case {
        Case::Sensitive => a == b,
        Case::Ignored => a == b || a.to_lowercase().eq(b.to_lowercase()),
    };
    let (mut at, mut token) = (0, 0);
    // The last `*` seen, and where the text goes on that it does not cover.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        let fits = match tokens.get(token) {
            Some(Token::Any) => {
                star = Some((token, at));
                token += 1;
                continue;
            }
            Some(Token::One) => true,
            Some(Token::Char(wanted)) => same(*wanted, text[at]),
            Some(Token::Variable { .. }) | None => false,
        };
        if fits {
            (at, token) = (at + 1, token + 1);
        } else if let Some((star_token, covered)) = star {
            // Let it cover one character more. Earlier stars need no second try: the last one can cover what they could.
            star = Some((star_token, covered + 1));
            (at, token) = (covered + 1, star_token + 1);
        } else {
            return false;
        }
    }
    tokens[token..].iter().all(|token| *token == Token::Any)
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use super::{Case, Pattern, Syntax, Token, matches};
    use crate::policy::ContextKeys;

    const ALL: Syntax = Syntax { wildcards: true, variables: true };

    fn compiled(text: &str) -> Pattern {
        Pattern::parse(text, ALL).unwrap()
    }

    /// Matches by trying everything.
    fn naive(tokens: &[Token], text: &[char]) -> bool {
        match (tokens, text) {
            ([], rest) => rest.is_empty(),
            ([Token::Any, more @ ..], rest) => {
                naive(more, rest) || (!rest.is_empty() && naive(tokens, &rest[1..]))
            }
            ([Token::One, more @ ..], [_, rest @ ..]) => naive(more, rest),
            ([Token::Char(wanted), more @ ..], [first, rest @ ..]) => {
                wanted == first && naive(more, rest)
            }
            _ => false,
        }
    }

    #[test]
    fn variables_are_plain_text_once_they_are_put_in() {
        let pattern = compiled("a/${aws:username}/*");
        let tokens = |name: &str| {
            let keys = ContextKeys::new().with("AWS:UserName", name);
            pattern.resolve(&keys).map(|tokens| tokens.into_owned())
        };
        assert!(matches(&tokens("anna").unwrap(), "a/anna/x", Case::Sensitive));
        assert!(matches(&tokens("*").unwrap(), "a/*/x", Case::Sensitive));
        assert!(!matches(&tokens("*").unwrap(), "a/anna/x", Case::Sensitive));
        assert!(pattern.resolve(&ContextKeys::new()).is_none());
    }

    #[test]
    fn the_default_of_a_variable_stands_in_for_an_absent_key() {
        let pattern = compiled("${aws:username, 'no}body'}!");
        let none = ContextKeys::new();
        assert!(matches(&pattern.resolve(&none).unwrap(), "no}body!", Case::Sensitive));
        let keys = none.with("aws:username", "anna");
        assert!(matches(&pattern.resolve(&keys).unwrap(), "anna!", Case::Sensitive));
        let many = keys.with("aws:username", "otto");
        assert!(matches(&pattern.resolve(&many).unwrap(), "no}body!", Case::Sensitive));
    }

    #[test]
    fn escaped_wildcards_are_themselves() {
        let pattern = compiled("${*}${?}${$}");
        assert!(matches(pattern.tokens(), "*?$", Case::Sensitive));
        assert!(!matches(pattern.tokens(), "abc", Case::Sensitive));
    }

    #[test]
    fn malformed_variables_are_refused_and_lone_dollars_are_not() {
        for bad in [
            "${",
            "${}",
            "${a}",
            "${a:b",
            "${a:b,c}",
            "${a:b, 'c}",
            "${a:b 'c'}",
            "${ a:b}",
            "${a:${b}}",
        ] {
            assert!(Pattern::parse(bad, ALL).is_err(), "{bad}");
        }
        for good in ["$", "$a", "{}", "$$", "a}"] {
            assert!(Pattern::parse(good, ALL).is_ok(), "{good}");
        }
        let old = Pattern::parse("${", Syntax { wildcards: true, variables: false });
        assert!(matches(old.unwrap().tokens(), "${", Case::Sensitive));
    }

    #[test]
    fn a_pattern_made_to_explode_does_not() {
        let pattern = compiled(&"*a".repeat(10_000));
        assert!(!matches(pattern.tokens(), &format!("{}b", "a".repeat(20_000)), Case::Sensitive));
    }

    proptest! {
        #[test]
        fn the_glob_agrees_with_a_naive_matcher(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let pattern = compiled(&pattern);
            let letters: Vec<char> = text.chars().collect();
            prop_assert_eq!(
                matches(pattern.tokens(), &text, Case::Sensitive),
                naive(pattern.tokens(), &letters)
            );
        }

        #[test]
        fn any_text_is_a_pattern_or_refused_without_a_panic(text: String) {
            drop(Pattern::parse(&text, ALL));
            drop(Pattern::parse(&format!("${{{text}"), ALL));
        }
    }
}
