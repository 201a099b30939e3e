//! `headwater plugins`: what can be used, and where it comes from.

use std::io::Write;
use std::process::ExitCode;

use crate::config::Environment;
use crate::loader::{Listed, PluginKind, Registry};

use super::flags::Options;
use super::{print, setup};

/// Lists plugins on `out`, and libraries that cannot be used on `err`.
pub fn run(
    options: &Options,
    kind: Option<PluginKind>,
    environment: &dyn Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    let registry = setup::registry(options, environment);
    let listed: Vec<Listed> = registry
        .list()
        .into_iter()
        .filter(|plugin| kind.is_none_or(|kind| kind == plugin.kind))
        .collect();
    print(out, format_args!("{}", table(&listed)));
    for warning in registry.warnings() {
        print(err, format_args!("warning: {warning}\n"));
    }
    for fault in registry.faults() {
        let words = format!("plugin library {fault}");
        if !registry.warnings().contains(&words) {
            print(err, format_args!("warning: {words}\n"));
        }
    }
    if listed.is_empty() {
        print(err, format_args!("{}", nothing(kind, &registry)));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// One line for each plugin: kind and name, version, library, summary.
fn table(listed: &[Listed]) -> String {
    let rows: Vec<[String; 4]> = listed.iter().map(row).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut out = String::new();
    for [name, version, library, summary] in &rows {
        let [first, second, third] = widths;
        let line = format!("{name:first$}  {version:second$}  {library:third$}  {summary}");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn row(plugin: &Listed) -> [String; 4] {
    let library = match &plugin.library {
        Some(path) => path.display().to_string(),
        None => "(linked in)".to_owned(),
    };
    let summary = match plugin.hidden {
        true => format!("(not used: one of this name stands above) {}", plugin.summary),
        false => plugin.summary.clone(),
    };
    [format!("{}.{}", plugin.kind.plural(), plugin.name), plugin.version.clone(), library, summary]
}

fn nothing(kind: Option<PluginKind>, registry: &Registry) -> String {
    let what = kind.map_or("plugins", PluginKind::plural);
    let mut out = format!("there are no {what} in");
    for directory in registry.directories() {
        out.push_str(&format!(" {}", directory.path.display()));
    }
    out.push_str("; name another folder with --plugin-directory\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(kind: PluginKind, name: &str, library: Option<&str>, hidden: bool) -> Listed {
        Listed {
            kind,
            name: name.into(),
            version: "1.0".into(),
            summary: format!("About {name}."),
            library: library.map(Into::into),
            hidden,
        }
    }

    #[test]
    fn one_line_for_each() {
        let listed = [
            plugin(PluginKind::Input, "cpu", Some("/usr/lib/a.so"), false),
            plugin(PluginKind::Input, "cpu", Some("/b.so"), true),
            plugin(PluginKind::Output, "file", None, false),
        ];
        assert_eq!(
            table(&listed),
            "inputs.cpu    1.0  /usr/lib/a.so  About cpu.\n\
             inputs.cpu    1.0  /b.so          (not used: one of this name stands above) About cpu.\n\
             outputs.file  1.0  (linked in)    About file.\n"
        );
    }
}
