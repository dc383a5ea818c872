//! Data on standard output: a table for people, JSON, JSON lines or CSV for scripts.
//!
//! A command declares its record once, as a serializable struct with [`Record`]; rows are written as they come, except
//! that a table is laid out in pages of [`TABLE_PAGE_ROWS`].

use std::io::{self, IsTerminal, Write};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;

use crate::args::Format;

/// Rows that are laid out together; a longer list is written in several such pages.
const TABLE_PAGE_ROWS: usize = 1000;

/// Files that a table on a terminal names at most, where a summary follows.
pub(crate) const ROWS_FOR_PEOPLE: u64 = 50;

/// One line of a command's data. Field names are the contract of the JSON and CSV forms.
pub(crate) trait Record: Serialize {
    /// Columns of the CSV form: names of fields; one that a record lacks stays empty.
    const COLUMNS: &'static [&'static str];

    /// Headings of the table.
    const HEADINGS: &'static [&'static str];

    /// Cells of the table, as many as headings, written for people.
    fn cells(&self) -> Vec<String>;
}

/// Writes records to standard output.
pub(crate) struct Rows<W: Write> {
    format: Format,
    to: W,
    written: u64,
    table: Vec<Vec<String>>,
    headings: &'static [&'static str],
    /// Whether a person looks at it: then archive IDs are shortened.
    is_terminal: bool,
    /// Rows of a table that a terminal gets at most.
    at_most: Option<u64>,
}

impl<W: Write> std::fmt::Debug for Rows<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("format", &self.format)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

/// Rows on standard output.
pub(crate) fn stdout_rows(format: Format) -> Rows<io::BufWriter<io::Stdout>> {
    let is_terminal = io::stdout().is_terminal();
    Rows { is_terminal, ..Rows::new(format, io::BufWriter::new(io::stdout())) }
}

impl<W: Write> Rows<W> {
    pub(crate) fn new(format: Format, to: W) -> Self {
        Self {
            format,
            to,
            written: 0,
            table: Vec::new(),
            headings: &[],
            is_terminal: false,
            at_most: None,
        }
    }

    /// Shows a terminal no more rows of a table than this; all other forms and places get every row.
    pub(crate) fn at_most(mut self, rows: u64) -> Self {
        self.at_most = Some(rows);
        self
    }

    fn is_held_back(&self) -> bool {
        let is_for_people = self.is_terminal && self.format == Format::Table;
        is_for_people && self.at_most.is_some_and(|rows| self.written >= rows)
    }

    /// Names how many rows were not shown, and how to see them.
    pub(crate) fn held_back(&self) -> Option<String> {
        let more = self.written.saturating_sub(self.at_most?);
        (more > 0 && self.is_held_back())
            .then(|| format!("and {more} more: --output jsonl shows all of them"))
    }

    /// Writes one record; in JSON lines and CSV it is on its way when this returns.
    pub(crate) fn push<R: Record>(&mut self, record: &R) -> io::Result<()> {
        self.headings = R::HEADINGS;
        match self.format {
            Format::Table if self.is_held_back() => {}
            Format::Table => {
                self.table.push(record.cells());
                if self.table.len() >= TABLE_PAGE_ROWS {
                    self.write_page()?;
                }
            }
            Format::Json => {
                self.to.write_all(if self.written == 0 { b"[\n" } else { b",\n" })?;
                serde_json::to_writer(&mut self.to, record)?;
            }
            Format::Jsonl => {
                serde_json::to_writer(&mut self.to, record)?;
                self.to.write_all(b"\n")?;
                self.to.flush()?;
            }
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(&mut self.to);
                if self.written == 0 {
                    writer.write_record(R::COLUMNS)?;
                }
                let fields = serde_json::to_value(record)?;
                writer.write_record(R::COLUMNS.iter().map(|column| match &fields[column] {
                    serde_json::Value::Null => String::new(),
                    serde_json::Value::String(text) => text.clone(),
                    other => other.to_string(),
                }))?;
                writer.flush()?;
            }
        }
        self.written += 1;
        Ok(())
    }

    /// Ends the data: closes the array, lays out what is left of the table, flushes.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        match self.format {
            Format::Table if !self.table.is_empty() => self.write_page()?,
            Format::Json if self.written == 0 => self.to.write_all(b"[]\n")?,
            Format::Json => self.to.write_all(b"\n]\n")?,
            Format::Table | Format::Jsonl | Format::Csv => {}
        }
        self.to.flush()
    }

    fn write_page(&mut self) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.headings);
        for row in self.table.drain(..) {
            let cells = row.iter().zip(self.headings).map(|(cell, heading)| match *heading {
                "ARCHIVE ID" if self.is_terminal => short_id(cell),
                _ => printable(cell),
            });
            table.add_row(cells);
        }
        for (index, heading) in self.headings.iter().enumerate() {
            let Some(column) = table.column_mut(index) else { continue };
            column.set_padding((0, 2));
            if matches!(*heading, "SIZE" | "SIZE WITH OVERHEAD" | "FILES" | "ARCHIVES" | "BYTES") {
                column.set_cell_alignment(CellAlignment::Right);
            }
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(2)));
        }
        for line in table.lines() {
            writeln!(self.to, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Writes one object: a two-column table, or one JSON object, or a CSV of one row.
pub(crate) fn one<R: Record>(format: Format, record: &R) -> io::Result<()> {
    let mut to = io::stdout().lock();
    match format {
        Format::Table => {
            let width = R::HEADINGS.iter().map(|heading| heading.len()).max().unwrap_or(0);
            for (heading, cell) in R::HEADINGS.iter().zip(record.cells()) {
                writeln!(to, "{heading:width$}  {}", printable(&cell))?;
            }
        }
        Format::Json | Format::Jsonl => {
            serde_json::to_writer(&mut to, record)?;
            to.write_all(b"\n")?;
        }
        Format::Csv => {
            let mut rows = Rows::new(format, &mut to);
            rows.push(record)?;
            rows.finish()?;
        }
    }
    to.flush()
}

/// Escapes what steers a terminal, so that a name in a table cannot.
pub(crate) fn printable(text: &str) -> String {
    escaped(text, steers)
}

/// Escapes what steers a terminal, but not the ends of lines: what names, servers and files say is in messages, too.
pub(crate) fn printable_lines(text: &str) -> String {
    escaped(text, |c| steers(c) && c != '\n')
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let one = |c: char| match is_escaped(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    if text.chars().any(&is_escaped) { text.chars().map(one).collect() } else { text.to_owned() }
}

/// Whether it is a control character, or turns the direction of the text around it.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The beginning of a long ID: enough to compare by eye.
pub(crate) fn short_id(id: &str) -> String {
    const KEPT: usize = 16;
    match id.char_indices().nth(KEPT) {
        Some((end, _)) => format!("{}...", &id[..end]),
        None => id.to_owned(),
    }
}

/// A number with its noun: `1 file`, `2 files`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// A size for people: `64MiB`, `1.5GiB`, `17B`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut unit = 0;
    let mut divisor = 1024_u64;
    while unit + 1 < UNITS.len() && bytes / divisor >= 1024 {
        divisor *= 1024;
        unit += 1;
    }
    if bytes.is_multiple_of(divisor) {
        return format!("{}{}", bytes / divisor, UNITS[unit]);
    }
    let tenths = (u128::from(bytes) * 10 + u128::from(divisor) / 2) / u128::from(divisor);
    format!("{}.{}{}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::{Record, Rows, count, printable, size};
    use crate::args::Format;

    #[derive(serde::Serialize)]
    struct Row {
        path: &'static str,
        size: u64,
    }

    impl Record for Row {
        const COLUMNS: &'static [&'static str] = &["path", "size"];
        const HEADINGS: &'static [&'static str] = &["PATH", "SIZE"];

        fn cells(&self) -> Vec<String> {
            vec![self.path.to_owned(), size(self.size)]
        }
    }

    fn written(format: Format, rows: &[Row]) -> String {
        let mut bytes = Vec::new();
        let mut out = Rows::new(format, &mut bytes);
        for row in rows {
            out.push(row).unwrap();
        }
        out.finish().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_form_holds_the_same_rows() {
        let rows = [Row { path: "a,b", size: 1 }, Row { path: "c", size: 65536 }];
        assert_eq!(
            written(Format::Jsonl, &rows),
            "{\"path\":\"a,b\",\"size\":1}\n{\"path\":\"c\",\"size\":65536}\n"
        );
        assert_eq!(
            written(Format::Json, &rows),
            "[\n{\"path\":\"a,b\",\"size\":1},\n{\"path\":\"c\",\"size\":65536}\n]\n"
        );
        assert_eq!(written(Format::Csv, &rows), "path,size\n\"a,b\",1\nc,65536\n");
        assert_eq!(written(Format::Json, &[]), "[]\n");
        let table = written(Format::Table, &rows);
        assert_eq!(table.lines().count(), 3, "{table}");
        assert!(table.contains("64KiB"), "{table}");
    }

    #[test]
    fn a_terminal_gets_some_rows_with_short_ids_and_a_script_all_of_them() {
        #[derive(serde::Serialize)]
        struct Archive {
            id: String,
        }

        impl Record for Archive {
            const COLUMNS: &'static [&'static str] = &["id"];
            const HEADINGS: &'static [&'static str] = &["ARCHIVE ID"];

            fn cells(&self) -> Vec<String> {
                vec![self.id.clone()]
            }
        }

        let write = |is_terminal, format| {
            let mut bytes = Vec::new();
            let mut out = Rows { is_terminal, ..Rows::new(format, &mut bytes) }.at_most(2);
            for number in 0..5 {
                out.push(&Archive { id: format!("{number}{}", "x".repeat(137)) }).unwrap();
            }
            let held_back = out.held_back();
            out.finish().unwrap();
            (String::from_utf8(bytes).unwrap(), held_back)
        };
        let (seen, held_back) = write(true, Format::Table);
        assert_eq!(seen, "ARCHIVE ID\n0xxxxxxxxxxxxxxx...\n1xxxxxxxxxxxxxxx...\n");
        assert_eq!(held_back.unwrap(), "and 3 more: --output jsonl shows all of them");
        for (is_terminal, format) in [(false, Format::Table), (true, Format::Csv)] {
            let (all, held_back) = write(is_terminal, format);
            assert_eq!((all.lines().count(), held_back), (6, None), "{all}");
            assert_eq!(all.lines().last().unwrap().len(), 138, "{all}");
        }
    }

    #[test]
    fn one_is_not_called_many() {
        assert_eq!([0, 1, 2].map(|n| count(n, "file")), ["0 files", "1 file", "2 files"]);
    }

    #[test]
    fn sizes_are_binary_and_short() {
        assert_eq!(
            [0, 1023, 1024, 64 << 20, (3 << 30) + (1 << 29), 1_000_000].map(size),
            ["0B", "1023B", "1KiB", "64MiB", "3.5GiB", "976.6KiB"]
        );
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }
}
