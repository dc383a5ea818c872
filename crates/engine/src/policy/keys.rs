//! What is known about a request: condition keys and their values.

use std::collections::BTreeMap;

use icefield_protocol::{TagKey, Tags};

use super::principal::PrincipalRef;

/// The names of condition keys that requests here can carry.
pub mod key {
    /// Age in whole days of the archive that the request is about, by the vault's clock.
    pub const ARCHIVE_AGE_IN_DAYS: &str = "glacier:ArchiveAgeInDays";
    /// Prefix of the vault's tags: `glacier:ResourceTag/` and the tag's key.
    pub const GLACIER_RESOURCE_TAG: &str = "glacier:ResourceTag/";
    /// The same tags under the name that every service has.
    pub const RESOURCE_TAG: &str = "aws:ResourceTag/";
    /// Date and time of the request, ISO 8601.
    pub const CURRENT_TIME: &str = "aws:CurrentTime";
    /// Date and time of the request, in seconds since 1970.
    pub const EPOCH_TIME: &str = "aws:EpochTime";
    /// Address of the caller.
    pub const SOURCE_IP: &str = "aws:SourceIp";
    /// Whether the request came over TLS.
    pub const SECURE_TRANSPORT: &str = "aws:SecureTransport";
    /// The `User-Agent` header.
    pub const USER_AGENT: &str = "aws:UserAgent";
    /// The `Referer` header.
    pub const REFERER: &str = "aws:Referer";
    /// Region of the endpoint that was called.
    pub const REQUESTED_REGION: &str = "aws:RequestedRegion";
    /// ARN of the caller.
    pub const PRINCIPAL_ARN: &str = "aws:PrincipalArn";
    /// Account of the caller.
    pub const PRINCIPAL_ACCOUNT: &str = "aws:PrincipalAccount";
    /// `Account` for root, `User` for a user.
    pub const PRINCIPAL_TYPE: &str = "aws:PrincipalType";
    /// Whether an AWS service makes the call itself; never so here.
    pub const PRINCIPAL_IS_AWS_SERVICE: &str = "aws:PrincipalIsAWSService";
    /// Name of the calling user; absent for root.
    pub const USERNAME: &str = "aws:username";
    /// Identifier of the caller: the account's number for root.
    pub const USERID: &str = "aws:userid";
    /// Whether temporary credentials were given out with a second factor; absent for long-term ones.
    pub const MULTI_FACTOR_AUTH_PRESENT: &str = "aws:MultiFactorAuthPresent";
    /// Seconds since the second factor was shown.
    pub const MULTI_FACTOR_AUTH_AGE: &str = "aws:MultiFactorAuthAge";
    /// When temporary credentials were given out; absent for long-term ones.
    pub const TOKEN_ISSUE_TIME: &str = "aws:TokenIssueTime";
    /// Account that owns the resource.
    pub const RESOURCE_ACCOUNT: &str = "aws:ResourceAccount";
    /// Keys of the tags that a request adds or removes; many-valued.
    pub const TAG_KEYS: &str = "aws:TagKeys";
    /// Prefix of the tags that a request adds: `aws:RequestTag/` and the tag's key.
    pub const REQUEST_TAG: &str = "aws:RequestTag/";
}

/// Longest value that is kept, in characters; the rest of a longer one is cut off.
///
/// Only headers that callers write as they like can be longer. Without a bound, one such header and one policy made for
/// it would cost the product of their lengths.
const MAX_VALUE_CHARS: usize = 2048;

/// Prefixes of names that end with the key of a tag.
const TAG_PREFIXES: [&str; 3] = [key::GLACIER_RESOURCE_TAG, key::RESOURCE_TAG, key::REQUEST_TAG];

/// The keys of one request. Names are compared without case, as IAM does.
///
/// The key of a tag in a name is where that is not enough: tags know case. Two tags that differ in nothing else are one
/// condition key with two values, and with a second one somebody could talk over the first. So `readings` tells
/// every way in which such a request can be understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContextKeys {
    /// By name in lower case.
    folded: BTreeMap<String, Vec<String>>,
    /// Those of tags, by prefix in lower case and the tag's key as it is.
    exact: BTreeMap<String, Vec<String>>,
}

impl ContextKeys {
    /// No keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The keys that follow from who asks: its ARN, account, type, and the name of a user.
    #[must_use]
    pub fn of_principal(principal: &PrincipalRef<'_>) -> Self {
        let keys = Self::new()
            .with(key::PRINCIPAL_ARN, principal.arn())
            .with(key::PRINCIPAL_ACCOUNT, principal.account.as_str())
            .with(key::PRINCIPAL_IS_AWS_SERVICE, "false");
        match principal.user {
            Some(user) => keys.with(key::PRINCIPAL_TYPE, "User").with(key::USERNAME, user),
            None => keys
                .with(key::PRINCIPAL_TYPE, "Account")
                .with(key::USERID, principal.account.as_str()),
        }
    }

    /// The keys of a request that adds these tags.
    #[must_use]
    pub fn of_tags(tags: &Tags) -> Self {
        tags.iter().fold(Self::of_tag_keys(tags.keys()), |keys, (name, value)| {
            keys.with(&format!("{}{name}", key::REQUEST_TAG), value.as_str())
        })
    }

    /// The keys of a request that removes the tags of these keys.
    #[must_use]
    pub fn of_tag_keys<'a>(names: impl IntoIterator<Item = &'a TagKey>) -> Self {
        Self::new().with_many(key::TAG_KEYS, names.into_iter().map(TagKey::as_str))
    }

    /// Adds a value. Values under names that differ only in case add up: two such tags are one key with two values.
    #[must_use]
    pub fn with(self, name: &str, value: impl Into<String>) -> Self {
        self.with_many(name, [value])
    }

    /// Adds the values of a many-valued key. Without any the key stays absent.
    #[must_use]
    pub fn with_many<V: Into<String>>(
        mut self,
        name: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values: Vec<String> = values.into_iter().map(|value| shortened(value.into())).collect();
        if let Some(exact) = of_tag(name) {
            self.exact.entry(exact).or_default().extend(values.clone());
        }
        self.folded.entry(name.to_lowercase()).or_default().extend(values);
        self
    }

    /// Adds all keys of `other`.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        let mut keys = self;
        for (mine, more) in [(&mut keys.folded, &other.folded), (&mut keys.exact, &other.exact)] {
            for (name, values) in more {
                mine.entry(name.clone()).or_default().extend(values.iter().cloned());
            }
        }
        keys
    }

    /// Sets the values of a key in place of those that it has.
    #[must_use]
    pub fn instead(mut self, name: &str, value: impl Into<String>) -> Self {
        self.folded.remove(&name.to_lowercase());
        self.with(name, value)
    }

    /// Returns every way to understand a key: its values; for the name of a tag, which tags with another case may talk
    /// over, those of each tag of that name by itself and those of the tag that is written just so.
    pub(super) fn readings(&self, name: &str) -> Vec<&[String]> {
        let folded = self.get(name);
        let Some(exact) = of_tag(name) else { return vec![folded] };
        let exact = self.exact.get(&exact).map_or(&[][..], Vec::as_slice);
        if exact == folded {
            return vec![folded];
        }
        folded.chunks(1).chain([exact]).collect()
    }

    /// Returns the values of a key; empty when it is absent.
    #[must_use]
    pub fn get(&self, name: &str) -> &[String] {
        self.folded.get(&name.to_lowercase()).map_or(&[], Vec::as_slice)
    }

    /// The value of a key that has exactly one.
    pub(super) fn single(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            [value] => Some(value),
            _ => None,
        }
    }
}

fn shortened(mut value: String) -> String {
    if let Some((end, _)) = value.char_indices().nth(MAX_VALUE_CHARS) {
        value.truncate(end);
    }
    value
}

/// Returns the name with its prefix in lower case and the tag's key as it is, if it is the name of a tag.
fn of_tag(name: &str) -> Option<String> {
    TAG_PREFIXES.iter().find_map(|prefix| {
        let (start, tag) = name.split_at_checked(prefix.len())?;
        let is_tag = start.eq_ignore_ascii_case(prefix) && !tag.is_empty();
        is_tag.then(|| format!("{}{tag}", start.to_ascii_lowercase()))
    })
}

/// Whether a vault policy may name the key: what a request can carry, and what AWS has for every service.
///
/// A key that can never be present would make a rule that is never enforced, and a slip of the pen is such a key.
pub(super) fn is_known(name: &str) -> bool {
    let name = name.to_lowercase();
    let tag =
        |prefix: &str| name.strip_prefix(&prefix.to_lowercase()).is_some_and(|tag| !tag.is_empty());
    GLOBAL_KEYS.iter().any(|known| name == known.to_lowercase())
        || name == key::ARCHIVE_AGE_IN_DAYS.to_lowercase()
        || [key::GLACIER_RESOURCE_TAG, key::RESOURCE_TAG, key::REQUEST_TAG, "aws:PrincipalTag/"]
            .iter()
            .any(|prefix| tag(prefix))
}

/// AWS's global condition keys without a tag in their name ("AWS global condition context keys").
const GLOBAL_KEYS: &[&str] = &[
    "aws:AssumedRoot",
    "aws:CalledVia",
    "aws:CalledViaFirst",
    "aws:CalledViaLast",
    "aws:ChatbotSourceArn",
    "aws:CurrentTime",
    "aws:Ec2InstanceSourcePrivateIPv4",
    "aws:Ec2InstanceSourceVpc",
    "aws:EpochTime",
    "aws:FederatedProvider",
    "aws:MultiFactorAuthAge",
    "aws:MultiFactorAuthPresent",
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:PrincipalIsAWSService",
    "aws:PrincipalOrgID",
    "aws:PrincipalOrgPaths",
    "aws:PrincipalServiceName",
    "aws:PrincipalServiceNamesList",
    "aws:PrincipalType",
    "aws:Referer",
    "aws:RequestedRegion",
    "aws:ResourceAccount",
    "aws:ResourceOrgID",
    "aws:ResourceOrgPaths",
    "aws:SecureTransport",
    "aws:SourceAccount",
    "aws:SourceArn",
    "aws:SourceIdentity",
    "aws:SourceIp",
    "aws:SourceOrgID",
    "aws:SourceOrgPaths",
    "aws:SourceVpc",
    "aws:SourceVpcArn",
    "aws:SourceVpce",
    "aws:TagKeys",
    "aws:TokenIssueTime",
    "aws:UserAgent",
    "aws:ViaAWSService",
    "aws:VpceAccount",
    "aws:VpceOrgID",
    "aws:VpceOrgPaths",
    "aws:VpcSourceIp",
    "aws:userid",
    "aws:username",
];

#[cfg(test)]
mod tests {
    use super::{ContextKeys, key};

    #[test]
    fn long_values_are_cut_at_a_character() {
        let keys = ContextKeys::new().with(key::USER_AGENT, "é".repeat(3000));
        assert_eq!(keys.get(key::USER_AGENT), ["é".repeat(2048)]);
        let keys = ContextKeys::new().with(key::USER_AGENT, "é".repeat(2048));
        assert_eq!(keys.get(key::USER_AGENT), ["é".repeat(2048)]);
    }
}
