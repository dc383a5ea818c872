//! Figures of several rounds, and how they are shown.

use std::time::Duration;

/// Returns the one in the middle; of none, not a number.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns the round in the middle by this measure.
pub(crate) fn middle<T>(rounds: &[T], measure: impl Fn(&T) -> f64) -> Option<&T> {
    let mut sorted: Vec<_> = rounds.iter().collect();
    sorted.sort_by(|a, b| measure(a).total_cmp(&measure(b)));
    sorted.get(sorted.len() / 2).copied()
}

/// Returns the ratio in the middle of those within each round.
pub(crate) fn ratio<T>(of: &[T], to: &[T], measure: impl Fn(&T) -> f64) -> f64 {
    median(of.iter().zip(to).map(|(of, to)| measure(of) / measure(to)))
}

/// Megabytes (10^6) a second.
pub(crate) fn megabytes(rate: f64) -> String {
    format!("{:.0}", rate / 1e6)
}

pub(crate) fn times(ratio: f64) -> String {
    if ratio >= 20.0 { format!("{ratio:.0}x") } else { format!("{ratio:.2}x") }
}

pub(crate) fn percent(part: f64) -> String {
    format!("{:.0} %", 100.0 * part)
}

pub(crate) fn millis(wait: Duration) -> String {
    let millis = wait.as_secs_f64() * 1e3;
    if millis < 10.0 { format!("{millis:.2}") } else { format!("{millis:.0}") }
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{}", bytes >> 20)
}
