//! Names: vaults, accounts, regions, and the ARN that joins them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::MAX_VAULT_NAME_BYTES;
use crate::text::{checked_text, serde_as_text};

/// The name of a vault, unique in an account and region. Ordered by bytes, as lists are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VaultName(String);

/// The text is not a vault name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a vault name: a name has 1 to 255 characters of a-z, A-Z, 0-9, `_`, `-` and `.`, and is not `.` or `..`"
)]
pub struct InvalidVaultName(pub String);

impl VaultName {
    /// Checks a vault name ("Create Vault (PUT vault)").
    ///
    /// `.` and `..` are refused beyond the service's rule: clients that normalise paths cannot sign them.
    ///
    /// # Errors
    ///
    /// When the rule is broken; the error names it.
    pub fn parse(text: &str) -> Result<Self, InvalidVaultName> {
        Self::check(text)?;
        Ok(Self(text.to_owned()))
    }

    fn check(text: &str) -> Result<(), InvalidVaultName> {
        let fits = (1..=MAX_VAULT_NAME_BYTES).contains(&text.len()) && text != "." && text != "..";
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if fits && text.bytes().all(legal) {
            Ok(())
        } else {
            Err(InvalidVaultName(text.to_owned()))
        }
    }
}

checked_text!(VaultName, InvalidVaultName);

/// The number of an account: 12 digits, leading zeros included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(String);

/// The text is not an account number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an account: an account is a number of 12 digits without hyphens")]
pub struct InvalidAccountId(pub String);

impl AccountId {
    /// Checks an account number.
    ///
    /// # Errors
    ///
    /// When the text is not exactly 12 digits; the hyphenated form is refused too.
    pub fn parse(text: &str) -> Result<Self, InvalidAccountId> {
        Self::check(text)?;
        Ok(Self(text.to_owned()))
    }

    fn check(text: &str) -> Result<(), InvalidAccountId> {
        let legal = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        if legal { Ok(()) } else { Err(InvalidAccountId(text.to_owned())) }
    }
}

checked_text!(AccountId, InvalidAccountId);

/// The name of a region, such as `us-west-2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(String);

/// The text is not a region.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a region: a region has 1 to 63 lower-case letters, digits and hyphens")]
pub struct InvalidRegion(pub String);

impl Region {
    /// Checks the form of a region; whether there is such a region is not known here.
    ///
    /// # Errors
    ///
    /// When the text is empty, longer than a host label, or has other characters.
    pub fn parse(text: &str) -> Result<Self, InvalidRegion> {
        Self::check(text)?;
        Ok(Self(text.to_owned()))
    }

    fn check(text: &str) -> Result<(), InvalidRegion> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=63).contains(&text.len());
        if fits && text.bytes().all(legal) { Ok(()) } else { Err(InvalidRegion(text.to_owned())) }
    }
}

checked_text!(Region, InvalidRegion);

/// The full name of a vault: `arn:aws:glacier:{region}:{account}:vaults/{vault}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VaultArn {
    /// The region of the vault.
    pub region: Region,
    /// The account that owns the vault.
    pub account: AccountId,
    /// The name of the vault.
    pub vault: VaultName,
}

/// The text is not the ARN of a vault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a vault ARN of the form `arn:aws:glacier:REGION:ACCOUNT:vaults/VAULT`")]
pub struct InvalidVaultArn(pub String);

impl fmt::Display for VaultArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:aws:glacier:{}:{}:vaults/{}", self.region, self.account, self.vault)
    }
}

impl FromStr for VaultArn {
    type Err = InvalidVaultArn;

    /// Reads an ARN of any partition that has Glacier (`aws`, `aws-cn`, `aws-us-gov`); it is written as `aws`.
    fn from_str(text: &str) -> Result<Self, InvalidVaultArn> {
        parse_arn(text).ok_or_else(|| InvalidVaultArn(text.to_owned()))
    }
}

serde_as_text!(VaultArn);

fn parse_arn(text: &str) -> Option<VaultArn> {
    let (partition, rest) = text.strip_prefix("arn:")?.split_once(":glacier:")?;
    if !matches!(partition, "aws" | "aws-cn" | "aws-us-gov") {
        return None;
    }
    let (region, rest) = rest.split_once(':')?;
    let (account, resource) = rest.split_once(':')?;
    Some(VaultArn {
        region: region.parse().ok()?,
        account: account.parse().ok()?,
        vault: resource.strip_prefix("vaults/")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::{AccountId, Region, VaultArn, VaultName};

    #[test]
    fn vault_names_follow_the_rule_of_the_service() {
        for good in ["examplevault", "A", "a.b_c-D9", "...", "-", &"x".repeat(255)] {
            assert_eq!(VaultName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a b", "testz:z", "a/b", "é", "a\n", &"x".repeat(256)] {
            assert!(VaultName::parse(bad).is_err(), "{bad:?} was accepted");
        }
        let message = VaultName::parse("a/b").unwrap_err().to_string();
        assert!(message.contains("1 to 255 characters"), "{message}");
    }

    #[test]
    fn vault_names_sort_by_bytes_with_upper_case_first() {
        let mut names: Vec<VaultName> =
            ["b", "a", "Z", "_", "-"].map(|name| name.parse().unwrap()).to_vec();
        names.sort();
        assert_eq!(names.iter().map(VaultName::as_str).collect::<String>(), "-Z_ab");
    }

    #[test]
    fn accounts_are_twelve_digits() {
        assert_eq!(AccountId::parse("012345678901").unwrap().to_string(), "012345678901");
        for bad in ["", "-", "1234-5678-9012", "12345678901", "1234567890123", "12345678901x"] {
            assert!(AccountId::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn regions_are_lower_case_labels() {
        assert!(Region::parse("us-gov-west-1").is_ok());
        for bad in ["", "US-WEST-2", "us_west", "a:b", &"x".repeat(64)] {
            assert!(Region::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn arns_are_written_and_read() {
        let text = "arn:aws:glacier:us-west-2:012345678901:vaults/examplevault";
        let arn: VaultArn = text.parse().unwrap();
        assert_eq!(arn.to_string(), text);
        assert_eq!(arn.vault.as_str(), "examplevault");
        assert_eq!(serde_json::to_string(&arn).unwrap(), format!("{text:?}"));
        assert_eq!(serde_json::from_str::<VaultArn>(&format!("{text:?}")).unwrap(), arn);
        for bad in [
            "",
            "examplevault",
            "arn:aws:s3:us-west-2:012345678901:vaults/v",
            "arn:other:glacier:us-west-2:012345678901:vaults/v",
            "arn:aws:glacier:us-west-2:12345:vaults/v",
            "arn:aws:glacier:us-west-2:012345678901:policies/v",
            "arn:aws:glacier:us-west-2:012345678901:vaults/",
            "arn:aws:glacier:us-west-2:012345678901:vaults/a/b",
        ] {
            assert!(bad.parse::<VaultArn>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn serde_checks_what_it_reads() {
        assert!(serde_json::from_str::<VaultName>("\"a b\"").is_err());
        assert!(serde_json::from_str::<AccountId>("\"-\"").is_err());
        assert_eq!(serde_json::from_str::<Region>("\"us-west-2\"").unwrap().as_str(), "us-west-2");
    }
}
