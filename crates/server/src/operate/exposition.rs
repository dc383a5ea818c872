//! Numbers in the text form that Prometheus reads, version 0.0.4.

use std::fmt::{Display, Write as _};

use super::names::Metric;

/// A text that grows. Each metric is written once, with all its samples.
#[derive(Debug, Default)]
pub(crate) struct Exposition(String);

impl Exposition {
    /// Begins a metric with labels; its samples follow.
    pub(crate) fn begin(&mut self, metric: &Metric) {
        let Metric { name, kind, about, .. } = metric;
        let about = about.replace('\\', r"\\").replace('\n', r"\n");
        self.line(format_args!("# HELP {name} {about}"));
        self.line(format_args!("# TYPE {name} {}", kind.as_str()));
    }

    /// Adds a sample; the suffix is that of a histogram's parts.
    pub(crate) fn sample(
        &mut self,
        metric: &Metric,
        suffix: &str,
        labels: &[(&str, &str)],
        value: impl Display,
    ) {
        let pairs = labels.iter().map(|(name, text)| {
            let text = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            format!("{name}=\"{text}\"")
        });
        let pairs: Vec<_> = pairs.collect();
        let name = metric.name;
        if pairs.is_empty() {
            self.line(format_args!("{name}{suffix} {value}"));
        } else {
            self.line(format_args!("{name}{suffix}{{{}}} {value}", pairs.join(",")));
        }
    }

    /// Adds a metric that is one number.
    pub(crate) fn number(&mut self, metric: &Metric, value: impl Display) {
        self.begin(metric);
        self.sample(metric, "", &[], value);
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.0.write_fmt(line).expect("a string takes everything");
        self.0.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::Exposition;
    use crate::operate::names::REQUESTS;

    #[test]
    fn labels_cannot_break_out_of_their_line() {
        let mut exposition = Exposition::default();
        exposition.sample(&REQUESTS, "", &[("code", "a\"b\\c\nd")], 7);
        let expected = "icefield_requests_total{code=\"a\\\"b\\\\c\\nd\"} 7\n";
        assert_eq!(exposition.into_text(), expected);
    }
}
