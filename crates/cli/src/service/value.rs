//! Settings as text: how each kind is read, and what is said when it cannot be.

use std::{fmt, str::FromStr, time::Duration};

use icefield_engine::Delays;

use crate::{commands::upload::parse_size, failure::Failure};

/// The text of a setting, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) key: &'static str,
    pub(crate) text: String,
    /// `--listen`, `ICEFIELD_LISTEN`, or the file.
    pub(crate) from: String,
}

impl Value {
    /// Reads it with `read`, which says what is wrong.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        read(&self.text)
            .map_err(|wrong| Failure::usage(format!("{} in {}: {wrong}", self.key, self.from)))
    }

    pub(crate) fn parsed<T: FromStr<Err: fmt::Display>>(&self) -> Result<T, Failure> {
        self.read(|text| text.parse().map_err(|error: T::Err| format!("{text:?}: {error}")))
    }

    pub(crate) fn duration(&self) -> Result<Duration, Failure> {
        self.read(duration)
    }

    pub(crate) fn bytes(&self) -> Result<u64, Failure> {
        self.read(parse_size)
    }

    pub(crate) fn delays(&self) -> Result<Delays, Failure> {
        self.read(delays)
    }

    /// A list, separated by commas.
    pub(crate) fn words(&self) -> Vec<String> {
        let words = self.text.split(',').map(str::trim).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{text:?} is not a duration such as `30s` or `24h`: {error}"))
}

fn delays(text: &str) -> Result<Delays, String> {
    let mut delays = Delays::NONE;
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let (tier, delay) = word.split_once('=').ok_or_else(|| {
            format!("{word:?} is not of the form expedited=1m,standard=4h,bulk=8h")
        })?;
        let delay = duration(delay)?;
        match tier.trim() {
            "expedited" => delays.expedited = delay,
            "standard" => delays.standard = delay,
            "bulk" => delays.bulk = delay,
            other => return Err(format!("{other:?} is not a tier: expedited, standard or bulk")),
        }
    }
    Ok(delays)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Value { key: "retrieval_delay", text: text.to_owned(), from: "a test".to_owned() }
    }

    #[test]
    fn delays_name_tiers_and_the_rest_is_none() {
        let delays = value("standard=4h, bulk=30s").delays().unwrap();
        assert_eq!(delays.expedited, Duration::ZERO);
        assert_eq!(
            (delays.standard, delays.bulk),
            (Duration::from_hours(4), Duration::from_secs(30))
        );
        for text in ["4h", "slow=1h", "bulk=soon"] {
            let message = value(text).delays().unwrap_err().to_string();
            assert!(message.starts_with("retrieval_delay in a test: "), "{message}");
        }
    }
}
