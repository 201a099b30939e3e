//! Rows on their way to standard output: as a table, line protocol, JSON or CSV.

use std::fmt::Write;
use std::sync::Arc;

use headwater_plugin_api::abi::instance::SerializerInstance;
use headwater_plugin_api::abi::serve;
use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::batch::layout::Row;
use headwater_plugin_api::plugin::{Context, Error};

use super::host::CommandHost;
use super::plan::Statement;
use super::request::Output;
use super::rows::{Cell, Places, Shape};
use super::table::{self, Widths};
use crate::loader::Registry;

/// Rows that are looked at before a table's columns are set, and before those of a `*` in CSV are.
const SCREEN: usize = 50;
const STAR_ROWS: usize = 1000;

/// Prints the rows of statements.
pub struct Printer {
    output: Output,
    shapes: Vec<Shape>,
    widths: Vec<Option<Widths>>,
    /// The first statement whose rows are printed: the last one, unless all are asked for.
    first: usize,
    serializer: Option<SerializerInstance>,
    /// Rows of one statement that wait for the columns to be set.
    pending: Vec<Batch>,
    waiting: usize,
    /// The statement whose header stands above.
    header: Option<usize>,
    /// What is to be written.
    pub out: Vec<u8>,
    /// Rows that were printed.
    pub rows: u64,
}

impl Printer {
    /// # Errors
    /// There is no serializer for line protocol, or several statements do not go with the form.
    pub fn new(
        output: Output,
        statements: &[Statement],
        all: bool,
        registry: &Registry,
        host: &Arc<CommandHost>,
    ) -> Result<Printer, Error> {
        if output == Output::Csv && all && statements.len() > 1 {
            return Err(Error::failed(
                "--all with --output csv: statements have columns of their own and CSV has one \
                 header; use json, influx or table",
            ));
        }
        let serializer = match output {
            Output::Influx => Some(serializer(registry, host)?),
            _ => None,
        };
        Ok(Printer {
            output,
            shapes: statements.iter().map(Shape::new).collect(),
            widths: statements.iter().map(|_| None).collect(),
            first: if all { 0 } else { statements.len().saturating_sub(1) },
            serializer,
            pending: Vec::new(),
            waiting: 0,
            header: None,
            out: Vec::new(),
            rows: 0,
        })
    }

    /// Takes rows of one statement.
    ///
    /// # Errors
    /// The serializer's.
    pub fn take(&mut self, batch: Batch) -> Result<(), Error> {
        let number = usize::try_from(batch.sequence()).unwrap_or(usize::MAX);
        if number < self.first || number >= self.shapes.len() {
            return Ok(());
        }
        self.rows += batch.len() as u64;
        if let Some(serializer) = &mut self.serializer {
            return serializer.serialize(&Context::new(0, None, None), &batch, &mut self.out);
        }
        if self.pending.first().is_some_and(|first| first.sequence() != batch.sequence()) {
            self.flush();
        }
        self.shapes[number].learn(&batch);
        let wait = match self.output {
            Output::Json | Output::Influx => 0,
            Output::Table if self.widths[number].is_some() => 0,
            Output::Table => SCREEN,
            Output::Csv if self.header.is_none() && self.shapes[number].is_star() => STAR_ROWS,
            Output::Csv => 0,
        };
        self.waiting += batch.len();
        self.pending.push(batch);
        if self.waiting >= wait {
            self.flush();
        }
        Ok(())
    }

    /// Writes what waits.
    pub fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        self.waiting = 0;
        let Some(number) = pending.first().map(|batch| batch.sequence() as usize) else { return };
        if self.output == Output::Table && self.widths[number].is_none() {
            let mut widths = Widths::new(self.shapes[number].columns());
            let mut left = SCREEN;
            each(&self.shapes[number], &pending, |_, _, cells| {
                if left > 0 {
                    widths.see(cells);
                    left -= 1;
                }
            });
            self.widths[number] = Some(widths);
        }
        self.head(number);
        let shape = &self.shapes[number];
        let out = &mut self.out;
        let (output, named) = (self.output, self.first + 1 < self.shapes.len());
        let widths = self.widths[number].as_ref();
        let mut text = String::new();
        let keys: Vec<String> = match output {
            Output::Json => shape.columns().iter().map(|column| key(&column.name)).collect(),
            _ => Vec::new(),
        };
        each(shape, &pending, |batch, row, cells| {
            if let (Output::Table, Some(widths)) = (output, widths) {
                return widths.line(out, cells.iter().map(|cell| table::text(*cell)));
            }
            text.clear();
            match output {
                Output::Csv => csv(&mut text, cells),
                _ => {
                    let stream = named.then(|| batch.series(row.series).name());
                    json(&mut text, stream, &keys, shape.is_star(), cells);
                }
            }
            text.push('\n');
            out.extend_from_slice(text.as_bytes());
        });
    }

    /// Writes the header, if it is not the last one that was written.
    fn head(&mut self, number: usize) {
        if self.header == Some(number) {
            return;
        }
        let columns = self.shapes[number].columns();
        match (self.output, &self.widths[number]) {
            (Output::Table, Some(widths)) => {
                if self.header.is_some() {
                    self.out.push(b'\n');
                }
                widths.line(&mut self.out, columns.iter().map(|column| &column.name));
            }
            (Output::Csv, _) => {
                let mut text = String::new();
                let names: Vec<Cell<'_>> = columns.iter().map(|c| Cell::Text(&c.name)).collect();
                csv(&mut text, &names);
                text.push('\n');
                self.out.extend_from_slice(text.as_bytes());
            }
            _ => return,
        }
        self.header = Some(number);
        self.shapes[number].fix();
    }

    /// Names of columns of `*` that first came when the header was printed.
    pub fn missed(&self) -> Vec<&str> {
        self.shapes.iter().flat_map(|shape| &shape.missed).map(String::as_str).collect()
    }

    /// Ends: a statement that made no rows has its header all the same.
    pub fn end(&mut self) {
        self.flush();
        if self.header.is_none() && self.output == Output::Csv {
            self.head(self.first);
        }
    }
}

fn serializer(registry: &Registry, host: &Arc<CommandHost>) -> Result<SerializerInstance, Error> {
    let loaded = registry.serializer("influx").map_err(|error| Error::failed(error.to_string()))?;
    let services = Arc::clone(host) as Arc<dyn serve::HostServices>;
    // Otherwise large unsigned integers would be cut off.
    let config = "influx_uint_support = true\n";
    let mut instance = SerializerInstance::make(&loaded.plugin, config, serve::host(services))?;
    instance.base.init(&Context::new(0, None, None))?;
    Ok(instance)
}

fn each<'a>(
    shape: &Shape,
    batches: &'a [Batch],
    mut f: impl FnMut(&'a Batch, &'a Row, &[Cell<'a>]),
) {
    let mut cells = Vec::new();
    for batch in batches {
        let mut places = Places::default();
        for (_, row) in batch.rows() {
            shape.cells(batch, row, &mut places, &mut cells);
            f(batch, row, &cells);
        }
    }
}

fn key(name: &str) -> String {
    let mut out = String::new();
    push_json(&mut out, name);
    out.push(':');
    out
}

/// One object, with `stream` at its beginning if there are several statements. A `*` leaves out what
/// a point does not have.
fn json(
    out: &mut String,
    stream: Option<&str>,
    keys: &[String],
    is_star: bool,
    cells: &[Cell<'_>],
) {
    out.push('{');
    if let Some(stream) = stream {
        out.push_str("\"stream\":");
        push_json(out, stream);
    }
    for (key, cell) in keys.iter().zip(cells) {
        if is_star && *cell == Cell::Null {
            continue;
        }
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(key);
        // Writing to a string cannot fail.
        let _ = match cell {
            Cell::Null => write!(out, "null"),
            Cell::Bool(value) => write!(out, "{value}"),
            Cell::Int(value) | Cell::Time(value) => write!(out, "{value}"),
            Cell::UInt(value) => write!(out, "{value}"),
            Cell::Float(value) => write!(out, "{value:?}"),
            Cell::Text(text) => {
                push_json(out, text);
                Ok(())
            }
        };
    }
    out.push('}');
}

fn push_json(out: &mut String, text: &str) {
    out.push('"');
    if !text.bytes().any(|byte| matches!(byte, 0..b' ' | b'"' | b'\\')) {
        out.push_str(text);
        out.push('"');
        return;
    }
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// One line after RFC 4180, whose line ends are left to be those of this system. An empty text is
/// quoted, NULL is not.
fn csv(out: &mut String, cells: &[Cell<'_>]) {
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let _ = match cell {
            Cell::Null => Ok(()),
            Cell::Bool(value) => write!(out, "{value}"),
            Cell::Int(value) | Cell::Time(value) => write!(out, "{value}"),
            Cell::UInt(value) => write!(out, "{value}"),
            Cell::Float(value) => write!(out, "{value:?}"),
            Cell::Text(text) if text.is_empty() || text.contains([',', '"', '\n', '\r']) => {
                write!(out, "\"{}\"", text.replace('"', "\"\""))
            }
            Cell::Text(text) => {
                out.push_str(text);
                Ok(())
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Role;
    use super::super::rows::tests::{batch, column, statement};
    use super::*;
    use crate::commands::setup;

    fn printed(output: Output, statements: &[Statement], all: bool, batches: &[Batch]) -> String {
        let registry = setup::registry_with(&[], &[]);
        let host = Arc::new(CommandHost::new(0));
        let mut printer = Printer::new(output, statements, all, &registry, &host).unwrap();
        batches.iter().for_each(|batch| printer.take(batch.clone()).unwrap());
        printer.end();
        String::from_utf8(printer.out).unwrap()
    }

    fn columns() -> Statement {
        statement(
            false,
            vec![
                column("host", Role::Key, false),
                column("f", Role::Field, false),
                column("i", Role::Field, false),
                column("u", Role::Field, false),
                column("ok", Role::Field, false),
                column("text", Role::Field, false),
                column("end", Role::Field, true),
            ],
        )
    }

    #[test]
    fn json_keeps_every_digit_and_the_order() {
        assert_eq!(
            printed(Output::Json, &[columns()], false, &[batch()]),
            concat!(
                r#"{"host":"a,\"b\"","f":0.1,"i":-9223372036854775808,"u":18446744073709551615,"#,
                r#""ok":true,"text":"x\ny","end":1700000000000000000}"#,
                "\n",
                r#"{"host":null,"f":1e300,"i":null,"u":null,"ok":null,"text":null,"end":null}"#,
                "\n"
            )
        );
    }

    #[test]
    fn csv_quotes_what_must_be() {
        assert_eq!(
            printed(Output::Csv, &[columns()], false, &[batch()]),
            "host,f,i,u,ok,text,end\n\
             \"a,\"\"b\"\"\",0.1,-9223372036854775808,18446744073709551615,true,\"x\ny\",\
             1700000000000000000\n\
             ,1e300,,,,,\n"
        );
        assert_eq!(
            printed(Output::Csv, &[columns()], false, &[]),
            "host,f,i,u,ok,text,end\n",
            "a header without rows"
        );
    }

    #[test]
    fn a_table_is_aligned() {
        let shown = statement(
            false,
            vec![
                column("time", Role::Time, true),
                column("a_long_name", Role::Field, false),
                column("f", Role::Field, false),
                column("host", Role::Key, false),
            ],
        );
        assert_eq!(
            printed(Output::Table, &[shown], false, &[batch()]),
            concat!(
                "time                            a_long_name      f  host\n",
                "2023-11-14T22:13:20.5Z                         0.1  a,\"b\"\n",
                "1970-01-01T00:00:00.000000005Z               1e300\n",
            )
        );
    }

    #[test]
    fn a_star_has_what_there_is() {
        let star = statement(true, vec![]);
        let text = printed(Output::Json, std::slice::from_ref(&star), false, &[batch()]);
        assert_eq!(text.lines().nth(1), Some(r#"{"time":5,"zone":"z","f":1e300}"#));
        let text = printed(Output::Csv, &[star], false, &[batch()]);
        assert_eq!(text.lines().next(), Some("time,host,zone,f,i,u,ok,text,end"));
        assert_eq!(text.lines().last(), Some("5,,z,1e300,,,,,"));
    }

    #[test]
    fn of_a_chain_the_last_statement_unless_all_are_asked_for() {
        let one = statement(false, vec![column("f", Role::Field, false)]);
        let mut second = batch();
        second.set_sequence(1);
        let (chain, rows) = ([one.clone(), one], [batch(), second]);
        assert_eq!(printed(Output::Json, &chain, false, &rows), "{\"f\":0.1}\n{\"f\":1e300}\n");
        let text = printed(Output::Json, &chain, true, &rows);
        assert_eq!(text.lines().count(), 4);
        assert_eq!(text.lines().next(), Some("{\"stream\":\"r\",\"f\":0.1}"));
        let text = printed(Output::Table, &chain, true, &rows);
        assert_eq!(text, "    f\n  0.1\n1e300\n\n    f\n  0.1\n1e300\n");
        let (registry, host) = (setup::registry_with(&[], &[]), Arc::new(CommandHost::new(0)));
        let refused = Printer::new(Output::Csv, &chain, true, &registry, &host).err().unwrap();
        assert!(refused.to_string().contains("one header"));
    }
}
