//! The data retrieval policy of an account: how much may be retrieved.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{ErrorCode, ServiceError};
use crate::limits::MAX_BYTES_PER_HOUR;

/// How much may be retrieved ("Set Data Retrieval Policy (PUT policy)").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetrievalPolicy {
    /// Everything.
    #[default]
    None,
    /// No more than the daily allowance.
    FreeTier,
    /// No more than this rate: 1 to 2^63 - 1.
    BytesPerHour(u64),
}

/// `{"Rules":[{"BytesPerHour":n,"Strategy":"..."}]}`, exactly one rule.
#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(rename = "Rules")]
    rules: Option<Vec<Rule>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes_per_hour: Option<serde_json::Value>,
    strategy: Option<String>,
}

impl RetrievalPolicy {
    /// Reads the member `Policy` of a request or an answer.
    ///
    /// # Errors
    ///
    /// `MissingParameterValue` when `Rules`, `Strategy` or a rate that the strategy needs is missing, else `InvalidParameterValue`.
    pub fn from_json(policy: &serde_json::Value) -> Result<Self, ServiceError> {
        let invalid = |what: &str| ServiceError::new(ErrorCode::InvalidParameterValue, what);
        let missing = |name: &str| {
            let text = format!("Required parameter missing: {name}");
            ServiceError::new(ErrorCode::MissingParameterValue, text)
        };
        let wire = Wire::deserialize(policy).map_err(|_| invalid("Invalid Policy"))?;
        let mut rules = wire.rules.ok_or_else(|| missing("Rules"))?.into_iter();
        let (Some(rule), None) = (rules.next(), rules.next()) else {
            return Err(invalid("Invalid Rules: a policy has exactly one rule"));
        };
        let rate = rule.bytes_per_hour.filter(|rate| !rate.is_null());
        let strategy = rule.strategy.ok_or_else(|| missing("Strategy"))?;
        match (strategy.as_str(), rate) {
            ("BytesPerHour", None) => Err(missing("BytesPerHour")),
            ("BytesPerHour", Some(rate)) => rate
                .as_u64()
                .filter(|rate| (1..=MAX_BYTES_PER_HOUR).contains(rate))
                .map(Self::BytesPerHour)
                .ok_or_else(|| invalid(&format!("Invalid BytesPerHour: {rate}"))),
            ("None", None) => Ok(Self::None),
            ("FreeTier", None) => Ok(Self::FreeTier),
            ("None" | "FreeTier", Some(_)) => {
                Err(invalid(&format!("Invalid BytesPerHour: not allowed with strategy {strategy}")))
            }
            _ => Err(invalid(&format!("Invalid Strategy: {strategy}"))),
        }
    }

    fn wire(self) -> Wire {
        let (strategy, rate) = match self {
            Self::None => ("None", None),
            Self::FreeTier => ("FreeTier", None),
            Self::BytesPerHour(rate) => ("BytesPerHour", Some(rate.into())),
        };
        Wire {
            rules: Some(vec![Rule { bytes_per_hour: rate, strategy: Some(strategy.to_owned()) }]),
        }
    }
}

impl Serialize for RetrievalPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.wire().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RetrievalPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Self::from_json(&value).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_string};

    use super::RetrievalPolicy;
    use crate::error::ErrorCode;

    #[test]
    fn policies_have_the_wire_form() {
        for (policy, text) in [
            (RetrievalPolicy::None, r#"{"Rules":[{"Strategy":"None"}]}"#),
            (RetrievalPolicy::FreeTier, r#"{"Rules":[{"Strategy":"FreeTier"}]}"#),
            (
                RetrievalPolicy::BytesPerHour(10),
                r#"{"Rules":[{"BytesPerHour":10,"Strategy":"BytesPerHour"}]}"#,
            ),
        ] {
            assert_eq!(to_string(&policy).unwrap(), text);
            assert_eq!(serde_json::from_str::<RetrievalPolicy>(text).unwrap(), policy);
        }
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        use ErrorCode::{InvalidParameterValue as Invalid, MissingParameterValue as Missing};
        for (policy, code) in [
            (json!({}), Missing),
            (json!({"Rules": []}), Invalid),
            (json!({"Rules": [{"Strategy": "None"}, {"Strategy": "None"}]}), Invalid),
            (json!({"Rules": [{}]}), Missing),
            (json!({"Rules": [{"Strategy": "Most"}]}), Invalid),
            (json!({"Rules": [{"Strategy": "BytesPerHour"}]}), Missing),
            (json!({"Rules": [{"Strategy": "BytesPerHour", "BytesPerHour": 0}]}), Invalid),
            (json!({"Rules": [{"Strategy": "BytesPerHour", "BytesPerHour": 1u64 << 63}]}), Invalid),
            (json!({"Rules": [{"Strategy": "BytesPerHour", "BytesPerHour": "1"}]}), Invalid),
            (json!({"Rules": [{"Strategy": "None", "BytesPerHour": 1}]}), Invalid),
            (json!("None"), Invalid),
        ] {
            assert_eq!(RetrievalPolicy::from_json(&policy).unwrap_err().code, code, "{policy}");
        }
    }
}
