//! Writes a sample table out of a schema: every key with its documentation and its default.

use super::schema::{FieldSchema, TableSchema};
use super::text;
use super::value::Kind;

/// A table `[[kind.name]]` in which every key stands as a comment with its default, after its
/// documentation. Comments with two marks are for reading, those with one are the lines to take the
/// mark from.
pub fn sample(schema: &TableSchema, kind: &str, name: &str) -> String {
    let mut out = String::new();
    let mut header = String::new();
    text::push_key(&mut header, kind);
    header.push('.');
    text::push_key(&mut header, name);
    for line in schema.doc.lines() {
        out.push_str(if line.is_empty() { "#" } else { "# " });
        out.push_str(line);
        out.push('\n');
    }
    out.push_str(&format!("[[{header}]]\n"));
    fields(&mut out, schema, &header, "  ");
    out
}

fn fields(out: &mut String, schema: &TableSchema, header: &str, indent: &str) {
    // TOML wants a table's own keys before its tables.
    let (tables, plain): (Vec<_>, Vec<_>) =
        schema.fields.iter().partition(|field| has_header(field));
    for field in plain {
        documentation(out, field, indent);
        let mut line = String::new();
        text::push_key(&mut line, &field.key);
        line.push_str(" = ");
        line.push_str(
            &field.default.clone().unwrap_or_else(|| example(&field.kind, &field.choices)),
        );
        out.push_str(&format!("{indent}# {line}\n"));
    }
    for field in tables {
        documentation(out, field, indent);
        let mut inner = format!("{header}.");
        text::push_key(&mut inner, &field.key);
        let list = matches!(field.kind, Kind::List(_));
        if matches!(field.kind, Kind::Map(_)) {
            inner.push_str(".example");
        }
        let title = if list { format!("[[{inner}]]") } else { format!("[{inner}]") };
        out.push_str(&format!("{indent}# {title}\n"));
        if let Some(table) = &field.table {
            fields(out, table, &inner, &format!("{indent}  "));
        }
    }
}

/// Whether the key is shown as a table of its own instead of on one line.
fn has_header(field: &FieldSchema) -> bool {
    match &field.kind {
        Kind::Table => true,
        Kind::List(inner) | Kind::Map(inner) => **inner == Kind::Table,
        _ => false,
    }
}

fn documentation(out: &mut String, field: &FieldSchema, indent: &str) {
    for line in field.doc.lines() {
        let line = format!("{indent}## {line}");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    if !field.choices.is_empty() {
        let words: Vec<String> = field.choices.iter().map(|word| text::quote(word)).collect();
        out.push_str(&format!("{indent}## One of {}.\n", words.join(", ")));
    }
}

/// Something of the right kind, for a key that is unset by default.
fn example(kind: &Kind, choices: &[String]) -> String {
    match kind {
        Kind::Bool => "false".into(),
        Kind::Integer => "0".into(),
        Kind::Float => "0.0".into(),
        Kind::Choice => choices.first().map_or_else(|| "\"\"".into(), |word| text::quote(word)),
        Kind::Duration => "\"0s\"".into(),
        Kind::Size => "\"0B\"".into(),
        Kind::List(_) => "[]".into(),
        Kind::Map(_) | Kind::Table => "{}".into(),
        Kind::String | Kind::Secret | Kind::Any => "\"\"".into(),
    }
}
