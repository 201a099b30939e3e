//! The configuration of the `sql` processor: what the command sets, and what `--option` adds, checked
//! like the table of a configuration file.

use headwater_plugin_api::config::{
    Kind, TableSchema, check, nearest, push_key, quote, unknown_key,
};
use toml::de::DeTable;

use super::request::{SqlOptions, TableOption};

/// Options that the command sets itself, and why nobody else can.
const OWN: &[(&str, &str)] = &[
    ("query", "the statement is the first argument, or stands in --query-file"),
    ("explain", "use --explain"),
    ("drop_original", "results alone are printed"),
    ("checkpoint", "every run begins anew"),
    ("tables", "use --table NAME=FILE"),
];

/// Some 292 years ahead of the points before them: where these are the clock, points from any time are
/// taken. Where files are followed the clock is the one on the wall, and the option as in the agent.
const MAX_FUTURE: &str = "106751d";

/// The configuration as TOML, for a processor of that schema.
///
/// # Errors
/// A sentence that names the option.
pub fn config(schema: &TableSchema, query: &str, asked: &SqlOptions) -> Result<String, String> {
    let (mut given, options) = (String::new(), &asked.options);
    for (at, (key, value)) in options.iter().enumerate() {
        if let Some((_, why)) = OWN.iter().find(|(own, _)| own == key) {
            return Err(format!("--option {key} cannot be set: {why}"));
        }
        if key == "max_future" && !asked.follow {
            return Err(
                "--option max_future cannot be set: without --follow points from any time are taken"
                    .to_owned(),
            );
        }
        if options[..at].iter().any(|(before, _)| before == key) {
            return Err(format!("--option {key} is given twice"));
        }
        let Some(field) = schema.field(key) else {
            let (message, near) = unknown_key(key, schema);
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return Err(format!("--option {key}: {message}{near}"));
        };
        push_key(&mut given, key);
        given.push_str(&format!(" = {}\n", as_toml(&field.kind, value)));
    }
    let tables = tables(&asked.tables, schema)?;
    for (flag, given) in [("--option", &given), ("--table", &tables)] {
        let table = DeTable::parse(given)
            .map_err(|error| format!("{flag}: {}: {}", error.message(), given.trim_end()))?;
        if let Some(error) = check(table.get_ref(), schema).first() {
            return Err(format!("{flag} {error}"));
        }
    }
    let max_future = match asked.follow {
        true => String::new(),
        false => format!("max_future = {}\n", quote(MAX_FUTURE)),
    };
    Ok(format!(
        "{given}{tables}query = {}\nexplain = true\ndrop_original = true\n{max_future}",
        quote(query)
    ))
}

/// The options of tables, as TOML.
///
/// # Errors
/// A table has no such option.
fn tables(options: &[TableOption], schema: &TableSchema) -> Result<String, String> {
    let mut out = String::new();
    // Without tables in the schema the first of their options is refused, as any that it does not know.
    let known = schema.field("tables").and_then(|field| field.table.as_ref());
    for TableOption { table, key, value } in options {
        let field = known.and_then(|known| known.field(key));
        if let (Some(known), None) = (known, field) {
            let hint = match nearest(key, known.names()) {
                Some(near) => format!("did you mean {table}.{near}?"),
                None => format!("there are {}", known.names().collect::<Vec<_>>().join(", ")),
            };
            return Err(format!("--table: a table has no option {key:?}; {hint}"));
        }
        out.push_str("tables.");
        push_key(&mut out, table);
        out.push('.');
        push_key(&mut out, key);
        let value = field.map_or_else(|| quote(value), |field| as_toml(&field.kind, value));
        out.push_str(&format!(" = {value}\n"));
    }
    Ok(out)
}

/// A value as it is typed in a shell, without TOML's quotes.
fn as_toml(kind: &Kind, value: &str) -> String {
    match kind {
        Kind::Bool | Kind::Integer | Kind::Float | Kind::Any if !value.is_empty() => {
            value.to_owned()
        }
        Kind::List(inner) if !value.starts_with('[') => {
            let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
            format!("[{}]", items.map(|item| as_toml(inner, item)).collect::<Vec<_>>().join(", "))
        }
        Kind::List(_) | Kind::Map(_) | Kind::Table => value.to_owned(),
        _ => quote(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    headwater_plugin_api::choice! {
        enum Late { Drop = "drop", Pass = "pass" }
    }

    headwater_plugin_api::config! {
        /// As the processor's.
        struct Options {
            /// A text.
            pub query: String = String::new(),
            /// A length of time.
            pub delay: headwater_plugin_api::config::Duration = headwater_plugin_api::config::Duration::ZERO,
            /// One of some words.
            pub late: Late = Late::Drop,
            /// A number.
            pub max_groups: u32 = 1,
            /// A list.
            pub tags: Vec<String> = Vec::new(),
            /// A length of time.
            pub max_future: headwater_plugin_api::config::Duration = headwater_plugin_api::config::Duration::ZERO,
            /// Tables.
            pub tables: std::collections::BTreeMap<String, Table> = std::collections::BTreeMap::new(),
        }
        refused { "joins" = "there are no joins" }
    }

    headwater_plugin_api::config! {
        /// As the processor's.
        struct Table {
            /// A text.
            pub file: String = String::new(),
            /// A character.
            pub separator: char = ',',
        }
    }

    fn read(options: &[(&str, &str)]) -> Result<String, String> {
        let schema = headwater_plugin_api::config::schema_text::<Options>();
        let schema = TableSchema::from_text(&schema).unwrap();
        let options = options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let asked = SqlOptions { options, ..SqlOptions::default() };
        config(&schema, "SELECT \"a\"", &asked)
    }

    #[test]
    fn points_of_followed_files_may_come_too_early() {
        let schema = headwater_plugin_api::config::schema_text::<Options>();
        let schema = TableSchema::from_text(&schema).unwrap();
        let options = vec![("max_future".to_owned(), "1h".to_owned())];
        let asked = SqlOptions { options, follow: true, ..SqlOptions::default() };
        let text = config(&schema, "q", &asked).unwrap();
        assert!(text.starts_with("max_future = \"1h\"\n"), "{text}");
        assert_eq!(text.matches("max_future").count(), 1);
        let plain = config(&schema, "q", &SqlOptions { follow: true, ..SqlOptions::default() });
        assert!(!plain.unwrap().contains("max_future"));
    }

    #[test]
    fn tables_are_tables() {
        let schema = headwater_plugin_api::config::schema_text::<Options>();
        let schema = TableSchema::from_text(&schema).unwrap();
        let read = |words: &[&str]| {
            let mut asked = SqlOptions::default();
            words.iter().for_each(|word| asked.add_table(word).unwrap());
            config(&schema, "q", &asked)
        };
        let text = read(&["my hosts=h.csv", "my hosts.separator=;", "b=b.csv"]).unwrap();
        let tables = "tables.\"my hosts\".file = \"h.csv\"\n\
                      tables.\"my hosts\".separator = \";\"\ntables.b.file = \"b.csv\"\n";
        assert!(text.starts_with(&format!("{tables}query = \"q\"\n")), "{text}");
        let error = read(&["a=a.csv", "a.format=csv"]).unwrap_err();
        let expected = "--table: a table has no option \"format\"; there are file, separator";
        assert_eq!(error, expected);
        let error = read(&["a=a.csv", "a.seperator=;"]).unwrap_err();
        assert_eq!(
            error,
            "--table: a table has no option \"seperator\"; did you mean a.separator?"
        );
    }

    #[test]
    fn values_need_no_quotes() {
        let text =
            read(&[("delay", "10s"), ("late", "pass"), ("max_groups", "7"), ("tags", "a,b")]);
        assert_eq!(
            text.unwrap(),
            "delay = \"10s\"\nlate = \"pass\"\nmax_groups = 7\ntags = [\"a\", \"b\"]\n\
             query = \"SELECT \\\"a\\\"\"\nexplain = true\ndrop_original = true\n\
             max_future = \"106751d\"\n"
        );
    }

    #[test]
    fn errors_name_the_option() {
        let error = |key, value| read(&[(key, value)]).unwrap_err();
        assert!(error("dely", "1s").contains("did you mean `delay`?"), "{}", error("dely", "1s"));
        assert!(error("delay", "soon").starts_with("--option "), "{}", error("delay", "soon"));
        assert!(error("late", "pas").contains("`late` takes"), "{}", error("late", "pas"));
        assert!(error("max_groups", "many").starts_with("--option"));
        assert!(error("joins", "x").contains("there are no joins"));
        assert!(error("tables", "x").contains("use --table NAME=FILE"));
        assert!(error("query", "x").contains("first argument"));
        assert!(error("max_future", "1m").contains("from any time"));
        let twice = read(&[("delay", "1s"), ("delay", "2s")]).unwrap_err();
        assert_eq!(twice, "--option delay is given twice");
    }
}
