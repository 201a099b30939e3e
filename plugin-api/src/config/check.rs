//! Holds a table against a schema and finds everything that is wrong with its keys, each with its
//! place.
//!
//! Plugin and agent use the same check: the agent to report all errors of all files at once, the
//! plugin to be safe under any caller. It knows keys and kinds; what a value means is left to the
//! plugin.

use std::ops::Range;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::error::ConfigError;
use super::nearest::nearest;
use super::read::unknown_key;
use super::schema::{FieldSchema, TableSchema};
use super::value::Kind;
use super::{Duration, Size};

/// More errors than this are not collected from one table.
pub const ERRORS_MAX: usize = 100;

/// Everything that is wrong with `table`, in the order of the text.
pub fn check(table: &DeTable<'_>, schema: &TableSchema) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let mut path = Vec::new();
    check_table(table, schema, &mut path, &mut errors);
    errors.sort_by_key(|error| error.span.as_ref().map_or(0, |span| span.start));
    errors
}

fn report(
    errors: &mut Vec<ConfigError>,
    path: &[String],
    span: Range<usize>,
    message: String,
    suggestion: Option<&str>,
) {
    if errors.len() < ERRORS_MAX {
        errors.push(ConfigError {
            message,
            span: Some(span),
            key: Some(path.join(".")),
            suggestion: suggestion.map(str::to_owned),
        });
    }
}

fn check_table(
    table: &DeTable<'_>,
    schema: &TableSchema,
    path: &mut Vec<String>,
    errors: &mut Vec<ConfigError>,
) {
    let mut seen: Vec<(&str, &Spanned<DeString<'_>>)> = Vec::new();
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        path.push(name.to_owned());
        if let Some(field) = schema.field(name) {
            if let Some((_, other)) = seen.iter().find(|(proper, _)| *proper == field.key) {
                // The map is sorted by name; the later of the two in the text is the one to blame.
                let (first, second) = if key.span().start < other.span().start {
                    (key, *other)
                } else {
                    (*other, key)
                };
                let message = format!(
                    "`{}` and `{}` are names of the same key; keep one of them",
                    first.get_ref(),
                    second.get_ref()
                );
                path.pop();
                path.push(second.get_ref().to_string());
                report(errors, path, second.span(), message, None);
                path.pop();
                path.push(name.to_owned());
            }
            seen.push((field.key.as_str(), key));
            check_value(value, &field.kind, field, path, errors);
        } else {
            let (message, near) = unknown_key(name, schema);
            report(errors, path, key.span(), message, near);
        }
        path.pop();
    }
}

fn check_value(
    value: &Spanned<DeValue<'_>>,
    kind: &Kind,
    field: &FieldSchema,
    path: &mut Vec<String>,
    errors: &mut Vec<ConfigError>,
) {
    let wrong = |errors: &mut Vec<ConfigError>, path: &[String], near: Option<&str>| {
        let message = format!(
            "`{}` takes {}, not {}",
            path.last().map_or("", String::as_str),
            describe(kind, field),
            show(value.get_ref(), *kind == Kind::Secret)
        );
        report(errors, path, value.span(), message, near);
    };
    match (kind, value.get_ref()) {
        (Kind::Any, _)
        | (Kind::Bool, DeValue::Boolean(_))
        | (Kind::Integer, DeValue::Integer(_))
        | (Kind::Float, DeValue::Integer(_) | DeValue::Float(_))
        | (Kind::String | Kind::Secret, DeValue::String(_)) => {}
        (Kind::Choice, DeValue::String(word)) => {
            if !field.choices.iter().any(|choice| choice == word.as_ref()) {
                let near = nearest(word, &field.choices);
                wrong(errors, path, near);
            }
        }
        (Kind::Duration, DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_)) => {
            read_as::<Duration>(value, path, errors);
        }
        (Kind::Size, DeValue::String(_) | DeValue::Integer(_)) => {
            read_as::<Size>(value, path, errors)
        }
        (Kind::List(inner), DeValue::Array(items)) => {
            for item in items.iter() {
                check_value(item, inner, field, path, errors);
            }
        }
        (Kind::Map(inner), DeValue::Table(table)) => {
            for (key, value) in table {
                path.push(key.get_ref().to_string());
                check_value(value, inner, field, path, errors);
                path.pop();
            }
        }
        (Kind::Table, DeValue::Table(table)) => {
            if let Some(schema) = &field.table {
                check_table(table, schema, path, errors);
            }
        }
        _ => wrong(errors, path, None),
    }
}

fn read_as<'de, T: Deserialize<'de>>(
    value: &Spanned<DeValue<'de>>,
    path: &[String],
    errors: &mut Vec<ConfigError>,
) {
    let read = T::deserialize(value.clone().into_deserializer());
    if let Err(error) = read {
        let name = path.last().map_or("", String::as_str);
        report(errors, path, value.span(), format!("`{name}`: {}", error.message()), None);
    }
}

fn describe(kind: &Kind, field: &FieldSchema) -> String {
    match kind {
        Kind::Bool => "true or false".into(),
        Kind::Integer => "an integer".into(),
        Kind::Float => "a number".into(),
        Kind::String => "a string".into(),
        Kind::Choice => {
            let words: Vec<String> =
                field.choices.iter().map(|word| format!("\"{word}\"")).collect();
            match words.as_slice() {
                [first @ .., last] if !first.is_empty() => {
                    format!("{} or {last}", first.join(", "))
                }
                words => words.concat(),
            }
        }
        Kind::Duration => "a duration such as \"10s\" or a number of seconds".into(),
        Kind::Size => "a size such as \"10MB\" or a number of bytes".into(),
        Kind::Secret => "a string (a secret)".into(),
        Kind::Table => "a table".into(),
        Kind::List(inner) if **inner == Kind::Table => "a list of tables ([[...]])".into(),
        Kind::List(inner) => format!("a list, each item {}", describe(inner, field)),
        Kind::Map(inner) => format!("a table, each value {}", describe(inner, field)),
        Kind::Any => "any value".into(),
    }
}

/// Strings longer than this are cut in messages.
const SHOWN_CHARS_MAX: usize = 40;

fn show(value: &DeValue<'_>, hide: bool) -> String {
    let (name, text) = match value {
        DeValue::String(text) => {
            let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            if shown.len() < text.len() {
                shown.push('…');
            }
            ("the string", super::text::quote(&shown))
        }
        DeValue::Integer(number) => ("the integer", number.to_string()),
        DeValue::Float(number) => ("the float", number.to_string()),
        DeValue::Boolean(value) => ("the boolean", value.to_string()),
        DeValue::Datetime(time) => ("the date", time.to_string()),
        DeValue::Array(_) => return "a list".into(),
        DeValue::Table(_) => return "a table".into(),
    };
    if hide { name.replacen("the", "a value of the kind", 1) } else { format!("{name} {text}") }
}
