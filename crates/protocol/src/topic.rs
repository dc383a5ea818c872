//! Topics: who is told when a job has ended.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{AccountId, Region};
use crate::text::{checked_text, serde_as_text};

/// Longest name of a topic.
const MAX_NAME_BYTES: usize = 256;

/// The name of a topic, unique in an account and region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicName(String);

/// The text is not the name of a topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of a topic: a name has 1 to 256 characters of a-z, A-Z, 0-9, `_` and `-`, and may end in `.fifo`"
)]
pub struct InvalidTopicName(pub String);

impl TopicName {
    /// Checks a name as SNS has it ("CreateTopic", Amazon SNS API reference).
    ///
    /// # Errors
    ///
    /// When the rule is broken; the error names it.
    pub fn parse(text: &str) -> Result<Self, InvalidTopicName> {
        Self::check(text)?;
        Ok(Self(text.to_owned()))
    }

    fn check(text: &str) -> Result<(), InvalidTopicName> {
        let stem = text.strip_suffix(".fifo").unwrap_or(text);
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !stem.is_empty() && text.len() <= MAX_NAME_BYTES && stem.bytes().all(legal) {
            Ok(())
        } else {
            Err(InvalidTopicName(text.to_owned()))
        }
    }
}

checked_text!(TopicName, InvalidTopicName);

/// The full name of a topic, `arn:aws:sns:REGION:ACCOUNT:NAME`; other partitions than `aws` are read and kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicArn {
    partition: String,
    /// The region.
    pub region: Region,
    /// The owner.
    pub account: AccountId,
    /// The name.
    pub name: TopicName,
}

/// The text is not the ARN of a topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the ARN of a topic: it has the form arn:aws:sns:REGION:ACCOUNT:NAME")]
pub struct InvalidTopicArn(pub String);

impl TopicArn {
    /// Joins the parts.
    #[must_use]
    pub fn new(region: Region, account: AccountId, name: TopicName) -> Self {
        Self { partition: "aws".to_owned(), region, account, name }
    }
}

impl fmt::Display for TopicArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, region, account, name } = self;
        write!(f, "arn:{partition}:sns:{region}:{account}:{name}")
    }
}

impl FromStr for TopicArn {
    type Err = InvalidTopicArn;

    fn from_str(text: &str) -> Result<Self, InvalidTopicArn> {
        let parts: Vec<&str> = text.split(':').collect();
        let parsed = match parts.as_slice() {
            [
                "arn",
                partition @ ("aws" | "aws-cn" | "aws-us-gov"),
                "sns",
                region,
                account,
                name,
            ] => {
                let parse = || {
                    Some(Self {
                        partition: (*partition).to_owned(),
                        region: region.parse().ok()?,
                        account: account.parse().ok()?,
                        name: name.parse().ok()?,
                    })
                };
                parse()
            }
            _ => None,
        };
        parsed.ok_or_else(|| InvalidTopicArn(text.to_owned()))
    }
}

serde_as_text!(TopicArn);

#[cfg(test)]
mod tests {
    use super::TopicArn;

    #[test]
    fn arns_are_read_and_written_and_others_refused() {
        for arn in [
            "arn:aws:sns:us-west-2:012345678901:my_topic-1",
            "arn:aws-cn:sns:cn-north-1:012345678901:t.fifo",
        ] {
            assert_eq!(arn.parse::<TopicArn>().unwrap().to_string(), arn);
        }
        for arn in [
            "",
            "my-topic",
            "arn:aws:sqs:us-west-2:012345678901:queue",
            "arn:aws:sns:us-west-2:0123:t",
            "arn:aws:sns:us-west-2:012345678901:",
            "arn:aws:sns:us-west-2:012345678901:a b",
            "arn:aws:sns:us-west-2:012345678901:a:b",
        ] {
            assert!(arn.parse::<TopicArn>().is_err(), "{arn}");
        }
    }
}
