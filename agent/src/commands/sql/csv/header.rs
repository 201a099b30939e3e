//! The header of a file: what its columns are called, and what they are.

use headwater_plugin_api::config::{GlobSet, nearest};
use headwater_plugin_api::csv::{self, Cell, Kind};
use headwater_plugin_api::time::{TimeFormat, Zone};

use crate::commands::sql::guess;
use crate::commands::sql::request::TimeKey;

/// The column that is the time if nobody says which one is: SQL calls it so, and `--output csv` does.
const TIME: &str = "time";

/// What is said of the columns on the command line.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    pub tags: GlobSet,
    pub time: Option<TimeKey>,
    pub types: Vec<(String, Kind)>,
}

/// What a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Time,
    Tag,
    /// Its kind, once a cell has shown it; whether it was given.
    Field {
        kind: Option<Kind>,
        given: bool,
    },
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub role: Role,
}

/// Reads the columns out of the record that is the header.
///
/// # Errors
/// One has no name or that of another, or there is none of which something is said.
pub fn columns(record: &str, cells: &[Cell], wishes: &Wishes) -> Result<Vec<Column>, String> {
    let mut columns: Vec<Column> = Vec::with_capacity(cells.len());
    for name in csv::names(record, cells)? {
        let given = wishes.types.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        let role = match &wishes.time {
            Some(time) if time.key == name => Role::Time,
            None if name == TIME && given.is_none() => Role::Time,
            _ if wishes.tags.matches(&name) => Role::Tag,
            _ => Role::Field { kind: given, given: given.is_some() },
        };
        columns.push(Column { name, role });
    }
    if let Some(time) = &wishes.time
        && !columns.iter().any(|column| column.role == Role::Time)
    {
        let names = columns.iter().map(|column| column.name.as_str());
        let near = match nearest(&time.key, names.clone()) {
            Some(near) => format!("; did you mean {near}?"),
            None => format!("; there are {}", names.take(20).collect::<Vec<_>>().join(", ")),
        };
        return Err(format!("--time {}: the header has no such column{near}", time.key));
    }
    Ok(columns)
}

/// How times are written, by what is said or by the first of them.
///
/// # Errors
/// It is no time of a known form, or there is no such layout.
pub fn time_format(wishes: &Wishes, first: &str) -> Result<TimeFormat, String> {
    let (key, given) = match &wishes.time {
        Some(time) => (time.key.as_str(), time.format.as_deref()),
        None => (TIME, None),
    };
    let format = match given {
        Some(format) => format.to_owned(),
        None => guess::time_form(first, true).ok_or_else(|| {
            format!(
                "{first:?} is no time of a known form; say how it is written, such as --time \
                 {key}:ms, or --time '{key}:02.01.2006 15:04'"
            )
        })?,
    };
    TimeFormat::new(&format, Zone::Utc).map_err(|error| format!("--time {key}: {error}"))
}

/// The first record, and behind it the next one, if both are whole.
pub fn first_two(head: &[u8], delimiter: u8) -> Option<(&[u8], &[u8])> {
    let mut cells = Vec::new();
    let end = |data: &[u8], cells: &mut Vec<Cell>| {
        csv::record(data, delimiter, false, cells).map(|read| read.unwrap_or_else(|b| b.end))
    };
    let first = end(head, &mut cells)?;
    let second = end(&head[first..], &mut cells).unwrap_or(0);
    Some((&head[..first], &head[first..first + second]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str, wishes: &Wishes) -> Result<Vec<(String, Role)>, String> {
        let mut cells = Vec::new();
        csv::record(header.as_bytes(), b',', true, &mut cells).unwrap().unwrap();
        let columns = columns(header, &cells, wishes)?;
        Ok(columns.into_iter().map(|column| (column.name, column.role)).collect())
    }

    #[test]
    fn columns_and_what_is_said_of_them() {
        let field = |kind, given| Role::Field { kind, given };
        let names = |list: &[(&str, Role)]| {
            list.iter().map(|(name, role)| ((*name).to_owned(), *role)).collect::<Vec<_>>()
        };
        assert_eq!(
            read("time, host ,\"v \"", &Wishes::default()).unwrap(),
            names(&[
                ("time", Role::Time),
                ("host", field(None, false)),
                ("v ", field(None, false))
            ])
        );
        let wishes = Wishes {
            tags: GlobSet::new(&["h*"]).unwrap(),
            time: Some(TimeKey { key: "at".into(), format: None }),
            types: vec![("v".into(), Kind::Text)],
        };
        assert_eq!(
            read("at,host,v,time", &wishes).unwrap(),
            names(&[
                ("at", Role::Time),
                ("host", Role::Tag),
                ("v", field(Some(Kind::Text), true)),
                ("time", field(None, false))
            ])
        );
        assert_eq!(read("a,,b", &wishes).unwrap_err(), "column 2 has no name in the header");
        assert_eq!(read("a,b,a", &wishes).unwrap_err(), "columns 1 and 3 are both called \"a\"");
        assert_eq!(
            read("host,att", &wishes).unwrap_err(),
            "--time at: the header has no such column; did you mean att?"
        );
        assert!(read("x,y", &wishes).unwrap_err().ends_with("such column; there are x, y"));
    }
}
