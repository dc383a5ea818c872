//! What the service's own model says of each operation, and which operation a request is.
//!
//! The model is data (`data/output-shapes.json`), so that answers are held against what SDKs were generated from and not
//! against what this workspace believes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use icefield_protocol::Operation;
use serde::Deserialize;
use serde_json::Value;

use crate::outcome::Failed;

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../data/output-shapes.json")).expect("the model is JSON")
});

#[derive(Deserialize)]
struct Model {
    operations: BTreeMap<String, Entry>,
}

/// What the model says of an operation.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) status: u16,
    pub(crate) errors: Vec<String>,
    #[serde(default)]
    pub(crate) headers: Vec<String>,
    pub(crate) output: Option<Value>,
}

/// Returns what the model says of `operation`.
pub(crate) fn entry(operation: Operation) -> &'static Entry {
    MODEL.operations.get(operation.as_str()).expect("every operation is in the model")
}

/// Returns the operation of a request, if it is one.
pub(crate) fn operation_of(method: &str, target: &str) -> Option<Operation> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.strip_suffix('/').unwrap_or(path);
    let matches = |operation: &&Operation| {
        let entry = entry(**operation);
        let (template, wanted) = entry.uri.split_once('?').unwrap_or((&entry.uri, ""));
        entry.method == method
            && fits(template, path)
            && (wanted.is_empty() || query.split('&').any(|pair| pair == wanted))
    };
    Operation::ALL.iter().find(matches).copied()
}

fn fits(template: &str, path: &str) -> bool {
    let (wanted, given): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), path.split('/').collect());
    let same = |(wanted, given): (&&str, &&str)| {
        wanted == given || (wanted.starts_with('{') && !given.is_empty())
    };
    wanted.len() == given.len() && wanted.iter().zip(&given).all(same)
}

/// Checks a JSON answer against the output shape: every member there, none beside, each of its type.
pub(crate) fn check_shape(operation: Operation, answer: &Value) -> Result<(), Failed> {
    match &entry(operation).output {
        Some(shape) => check(shape, answer, operation.as_str()),
        None => Err(Failed::new(format!("{operation} has no JSON output, but came {answer}"))),
    }
}

fn check(shape: &Value, value: &Value, at: &str) -> Result<(), Failed> {
    let wrong = || Failed::new(format!("{at}: {value} is not {shape}"));
    if let Some(name) = shape.as_str() {
        return if is_of(name, value) { Ok(()) } else { Err(wrong()) };
    }
    let (kind, inner) = shape.as_object().and_then(|one| one.iter().next()).ok_or_else(wrong)?;
    match kind.as_str() {
        "nullable" if value.is_null() => Ok(()),
        "nullable" | "optional" => check(inner, value, at),
        "enum" => {
            let known = inner.as_array().is_some_and(|words| words.contains(value));
            if known { Ok(()) } else { Err(wrong()) }
        }
        "list" => {
            let items = value.as_array().ok_or_else(wrong)?;
            items
                .iter()
                .enumerate()
                .try_for_each(|(i, item)| check(inner, item, &format!("{at}[{i}]")))
        }
        "map" => {
            let entries = value.as_object().ok_or_else(wrong)?;
            entries.iter().try_for_each(|(key, item)| check(inner, item, &format!("{at}.{key}")))
        }
        "structure" => check_members(inner, value, at),
        _ => Err(wrong()),
    }
}

fn check_members(members: &Value, value: &Value, at: &str) -> Result<(), Failed> {
    let members = members.as_object().expect("a structure of the model has members");
    let given =
        value.as_object().ok_or_else(|| Failed::new(format!("{at}: {value} is no object")))?;
    if let Some(name) = given.keys().find(|name| !members.contains_key(*name)) {
        return Err(Failed::new(format!("{at}: member {name} is not in the model")));
    }
    members.iter().try_for_each(|(name, shape)| match given.get(name) {
        Some(value) => check(shape, value, &format!("{at}.{name}")),
        None if shape.get("optional").is_some() => Ok(()),
        None => Err(Failed::new(format!("{at}: member {name} is missing"))),
    })
}

fn is_of(name: &str, value: &Value) -> bool {
    let (name, nullable) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
    if value.is_null() {
        return nullable || name == "null";
    }
    match name {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "date" => value.as_str().is_some_and(is_date),
        _ => false,
    }
}

/// Whether a text is a date as JSON answers have it: UTC with exactly three digits of a second.
pub(crate) fn is_date(text: &str) -> bool {
    let form = b"dddd-dd-ddTdd:dd:dd.dddZ";
    let fits =
        |(byte, form): (u8, &u8)| if *form == b'd' { byte.is_ascii_digit() } else { byte == *form };
    text.len() == form.len() && text.bytes().zip(form).all(fits)
}

#[cfg(test)]
mod tests {
    use icefield_protocol::Operation;
    use serde_json::json;

    use super::{MODEL, check_shape, entry, is_date, operation_of};

    #[test]
    fn every_operation_is_in_the_model_and_found_by_its_request() {
        assert_eq!(MODEL.operations.len(), Operation::ALL.len());
        for operation in Operation::ALL {
            let entry = entry(*operation);
            assert_eq!(operation_of(&entry.method, &entry.uri), Some(*operation));
        }
        assert_eq!(operation_of("GET", "/vaults"), None);
    }

    #[test]
    fn shapes_find_what_is_missing_too_much_or_of_another_type() {
        let policy = |answer| check_shape(Operation::GetVaultAccessPolicy, &answer);
        assert!(policy(json!({"Policy": "{}"})).is_ok());
        for bad in [json!({}), json!({"Policy": null}), json!({"Policy": {}}), json!([])] {
            assert!(policy(bad).is_err());
        }
        assert!(policy(json!({"Policy": "{}", "Path": "x"})).is_err());
        let page = json!({"Marker": null, "UploadsList": []});
        assert!(check_shape(Operation::ListMultipartUploads, &page).is_ok());
    }

    #[test]
    fn dates_have_three_digits() {
        assert!(is_date("2013-03-20T17:03:43.221Z"));
        assert!(!is_date("2013-03-20T17:03:43Z") && !is_date("2013-03-20T17:03:43.2211Z"));
    }
}
