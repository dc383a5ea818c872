//! What is told about a vault.

use serde::{Deserialize, Serialize};

use crate::name::{VaultArn, VaultName};
use crate::timestamp::Timestamp;

/// A vault as described ("Describe Vault (GET vault)"). The counters are those of the last inventory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VaultDescription {
    /// When the vault was created.
    pub creation_date: Timestamp,
    /// When the last inventory was taken.
    #[serde(default)]
    pub last_inventory_date: Option<Timestamp>,
    /// Archives in the last inventory; 0 before the first one.
    #[serde(default, deserialize_with = "null_as_zero")]
    pub number_of_archives: u64,
    /// Bytes in the last inventory, the overhead of 32 KiB per archive included.
    #[serde(default, deserialize_with = "null_as_zero")]
    pub size_in_bytes: u64,
    /// The full name.
    #[serde(rename = "VaultARN")]
    pub vault_arn: VaultArn,
    /// The name.
    pub vault_name: VaultName,
}

/// The developer guide has null counters before the first inventory, the live service 0 or nothing.
fn null_as_zero<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_string};

    use super::VaultDescription;

    #[test]
    fn a_vault_without_inventory_has_explicit_nulls_and_zero_counters() {
        let text = r#"{"CreationDate":"2012-02-20T17:01:45.198Z","LastInventoryDate":null,"NumberOfArchives":0,"SizeInBytes":0,"VaultARN":"arn:aws:glacier:us-west-2:012345678901:vaults/examplevault","VaultName":"examplevault"}"#;
        let vault: VaultDescription = serde_json::from_str(text).unwrap();
        assert_eq!(to_string(&vault).unwrap(), text);
        assert_eq!(vault.last_inventory_date, None);
    }

    #[test]
    fn null_and_absent_members_are_read_alike() {
        let required = json!({
            "CreationDate": "2012-02-20T17:01:45.198Z",
            "VaultARN": "arn:aws:glacier:us-west-2:012345678901:vaults/v",
            "VaultName": "v",
        });
        let mut nulls = required.clone();
        for member in ["LastInventoryDate", "NumberOfArchives", "SizeInBytes"] {
            nulls[member] = json!(null);
        }
        let absent: VaultDescription = from_value(required).unwrap();
        assert_eq!(absent, from_value(nulls).unwrap());
    }
}
