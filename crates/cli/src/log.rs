//! The log: of a command to `--log-file` and with `-v` to standard error, of the service always to standard error.
//!
//! The service writes a line of JSON for each event when no terminal reads it: `time`, `level`, `target`, `message`, and the
//! fields of the event and of the spans around it, so that every line about a request has its `request_id`. Libraries are
//! heard from warnings on only: what they tell beyond that may hold what was signed, and with what.

use std::{
    error::Error,
    fmt,
    fs::File,
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    str::FromStr,
    sync::Arc,
};

use anyhow::Context as _;
use icefield_protocol::Clock;
use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use crate::{args::Global, progress::SAID};

/// What all crates of icefield begin with.
const OURS: &str = "icefield";

/// How the service writes its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogForm {
    Text,
    Json,
}

impl FromStr for LogForm {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("the form of the log is text or json"),
        }
    }
}

/// Begins the log of a command.
pub(crate) fn begin(global: &Global) -> anyhow::Result<()> {
    let level = match global.verbose {
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let is_terminal = io::stderr().is_terminal();
    let to_terminal = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(is_terminal)
        .without_time();
    // What was said to the user is not told a second time.
    let not_said = Targets::new().with_default(level).with_target(SAID, LevelFilter::OFF);
    let to_file = global.log_file.as_deref().map(open).transpose()?;
    let to_file = to_file
        .map(|file| tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Arc::new(file)));
    tracing_subscriber::registry()
        .with(to_terminal.with_filter(not_said))
        .with(to_file.map(|layer| layer.with_filter(LevelFilter::DEBUG)))
        .init();
    Ok(())
}

/// Begins the log of the service, to `--log-file` if there is one. Without a `form` a terminal gets text.
pub(crate) fn begin_service(
    global: &Global,
    form: Option<LogForm>,
    level: LevelFilter,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<()> {
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (_, 0) => level,
        (..) => level.max(LevelFilter::DEBUG),
    };
    let others = level.min(LevelFilter::WARN);
    let heard = Targets::new().with_default(others).with_target(OURS, level);
    let is_terminal = global.log_file.is_none() && io::stderr().is_terminal();
    let usual = if is_terminal { LogForm::Text } else { LogForm::Json };
    let file = Arc::new(global.log_file.as_deref().map(open).transpose()?);
    let to = move || Output(Arc::clone(&file));
    let (text, json) = match form.unwrap_or(usual) {
        LogForm::Text => {
            let text = tracing_subscriber::fmt::layer().with_ansi(is_terminal).with_writer(to);
            (Some(text), None)
        }
        LogForm::Json => (None, Some(JsonLines { clock, to: to() })),
    };
    tracing_subscriber::registry().with(heard).with(text).with(json).init();
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<File> {
    let file = File::options().create(true).append(true).open(path);
    file.with_context(|| format!("cannot write the log file {}", path.display()))
}

/// The file, or standard error.
#[derive(Debug)]
struct Output(Arc<Option<File>>);

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &*self.0 {
            Some(file) => (&mut &*file).write(bytes),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes events as lines of JSON.
#[derive(Debug)]
struct JsonLines {
    clock: Arc<dyn Clock>,
    to: Output,
}

/// What a span or an event says.
#[derive(Debug, Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        self.put(field, text);
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.0.extend(of_span.0.clone());
            }
        }
        event.record(&mut fields);
        let metadata = event.metadata();
        for (key, text) in [
            ("time", self.clock.now().to_millis_string()),
            ("level", metadata.level().as_str().to_ascii_lowercase()),
            ("target", metadata.target().to_owned()),
        ] {
            fields.0.insert(key.to_owned(), text.into());
        }
        let line = format!("{}\n", Value::Object(fields.0));
        // Whoever read the log has gone; the service goes on.
        let _lost = Output(Arc::clone(&self.to.0)).write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use icefield_protocol::Timestamp;
    use icefield_store::{ManualClock, StoreError};
    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::{JsonLines, Output};

    #[test]
    fn a_line_has_the_fields_of_its_spans_and_the_sources_of_its_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_millis(1)));
        let to = Output(Arc::new(Some(file.reopen().unwrap())));
        let subscriber = tracing_subscriber::registry().with(JsonLines { clock, to });
        tracing::subscriber::with_default(subscriber, || {
            let span =
                tracing::info_span!("request", request_id = "a", vault = tracing::field::Empty);
            span.record("vault", "films");
            let source = io::Error::other("disk on fire");
            let error = StoreError::Io { doing: "writing", path: "x".into(), source };
            span.in_scope(|| {
                tracing::error!(error = &error as &dyn std::error::Error, count = 3_u64, "failed");
            });
        });
        let text = std::fs::read_to_string(file.path()).unwrap();
        let line: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({
            "time": "1970-01-01T00:00:00.001Z", "level": "error", "target": "icefield::log::tests",
            "message": "failed", "request_id": "a", "vault": "films", "count": 3,
            "error": "writing x: disk on fire",
        });
        assert_eq!(line, expected);
    }
}
