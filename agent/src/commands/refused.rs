//! `headwater config refused`: every option that users may bring along and that is refused, with the
//! reason. It is made from the schemas that the options themselves are checked against.

use std::io::Write;
use std::process::ExitCode;

use headwater_plugin_api::config::{RefusedKey, TableSchema};

use super::flags::Options;
use super::{print, setup};
use crate::config::{self, Schemas as _};
use crate::loader::Registry;

use super::schemas::RegistrySchemas;

/// Prints the list.
pub fn run(options: &Options, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let registry = setup::registry_with(&options.plugin_directories, &[]);
    match list(&registry) {
        Ok(text) => {
            print(out, format_args!("{text}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            print(err, format_args!("error: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// One line for each refused option: table, key, reason.
fn list(registry: &Registry) -> Result<String, String> {
    let mut lines = Vec::new();
    add(&mut lines, "agent", &config::agent_schema().refused);
    let kinds = config::PluginKind::WITH_TABLES;
    for kind in kinds {
        let common = config::common_schema(kind);
        add(&mut lines, &format!("{}.*", kind.section()), &common.refused);
    }
    let with_formats =
        kinds.into_iter().chain([config::PluginKind::Parser, config::PluginKind::Serializer]);
    let schemas = RegistrySchemas(registry);
    for kind in with_formats {
        for name in schemas.names(kind) {
            let text = schemas.schema(kind, &name)?.text;
            let schema = TableSchema::from_text(&text)
                .map_err(|error| format!("the schema of {kind} `{name}`: {error}"))?;
            let table = format!("{}.{name}", kind.section());
            add(&mut lines, &table, &schema.refused);
            for field in &schema.fields {
                if let Some(nested) = &field.table {
                    add(&mut lines, &format!("{table}.{}", field.key), &nested.refused);
                }
            }
        }
    }
    Ok(lines.concat())
}

fn add(lines: &mut Vec<String>, table: &str, refused: &[RefusedKey]) {
    lines.extend(refused.iter().map(|key| format!("{table}: {}: {}\n", key.key, key.reason)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_table_key_and_reason() {
        let registry = setup::registry_with(&[], &[]);
        let text = list(&registry).unwrap();
        assert!(text.contains("agent: logtarget: "), "{text}");
        assert!(text.contains("inputs.*: metricpass: "), "{text}");
        for line in text.lines() {
            assert_eq!(line.splitn(3, ": ").filter(|part| !part.is_empty()).count(), 3, "{line}");
        }
    }
}
