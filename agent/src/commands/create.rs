//! `headwater config create`: a sample configuration, made of the plugins' own samples.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use headwater_plugin_api::config::{Config as _, nearest, sample};

use crate::config::{AgentConfig, LoadOptions};
use crate::loader::{PluginKind, Registry};

use super::flags::Options;
use super::{print, setup};

/// What a sample without filters begins with; all other plugins follow as comments.
const DEFAULTS: &[(PluginKind, &[&str])] = &[
    (
        PluginKind::Input,
        &["cpu", "disk", "diskio", "kernel", "mem", "net", "processes", "swap", "system"],
    ),
    (PluginKind::Processor, &[]),
    (PluginKind::Aggregator, &[]),
    (PluginKind::Output, &["file"]),
];

/// The sections in their order, beside those of plugins.
const AGENT: &str = "agent";
const GLOBAL_TAGS: &str = "global_tags";

/// Prints the sample on `out`, or on `err` why there is none.
pub fn run(options: &Options, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let no_directories: &[PathBuf] = &[];
    let registry = setup::registry_with(&options.plugin_directories, no_directories);
    for warning in registry.warnings() {
        print(err, format_args!("warning: {warning}\n"));
    }
    match create(&options.load, &registry) {
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

fn create(options: &LoadOptions, registry: &Registry) -> Result<String, String> {
    let known = DEFAULTS.iter().map(|(kind, _)| kind.plural()).chain([AGENT, GLOBAL_TAGS]);
    let known: Vec<&str> = known.collect();
    for name in options.section_filter.iter().flatten() {
        if !known.contains(&name.as_str()) {
            let near =
                nearest(name, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            let near = near.unwrap_or_else(|| format!("the sections are {}", known.join(", ")));
            return Err(format!("`{name}` is no section; {near}"));
        }
    }
    let wants = |section: &str| {
        options.section_filter.as_ref().is_none_or(|names| names.iter().any(|n| n == section))
    };
    let mut out = String::from(
        "# A configuration of headwater. Lines with ## tell about the option under them; take the #\n\
         # from an option to set it. `headwater config check` says what is wrong with a file.\n",
    );
    if wants(AGENT) {
        out.push('\n');
        out.push_str(&agent_sample());
    }
    if wants(GLOBAL_TAGS) {
        out.push_str(
            "\n# Tags for all points, unless they have them already.\n\
             [global_tags]\n  # dc = \"eu-west-1\"\n  # rack = \"$RACK\"\n",
        );
    }
    for (kind, defaults) in DEFAULTS {
        if wants(kind.plural()) {
            plugins(&mut out, *kind, defaults, options, registry)?;
        }
    }
    Ok(out)
}

/// The schema writes plugins' tables; the agent's is alike but for its title.
fn agent_sample() -> String {
    sample(&AgentConfig::schema(), AGENT, "x").replacen("[[agent.x]]", "[agent]", 1)
}

fn plugins(
    out: &mut String,
    kind: PluginKind,
    defaults: &[&str],
    options: &LoadOptions,
    registry: &Registry,
) -> Result<(), String> {
    let filters = [
        (PluginKind::Input, &options.input_filter),
        (PluginKind::Processor, &options.processor_filter),
        (PluginKind::Aggregator, &options.aggregator_filter),
        (PluginKind::Output, &options.output_filter),
    ];
    let own = filters.iter().find(|(of, _)| *of == kind).and_then(|(_, names)| names.as_ref());
    let mut add = |name: &str, commented: bool| -> Result<(), String> {
        let sample = registry.sample(kind, name).map_err(|error| error.to_string())?;
        out.push('\n');
        for line in sample.lines() {
            let mark = match (commented, line.is_empty()) {
                (false, _) => "",
                (true, true) => "#",
                (true, false) => "# ",
            };
            out.push_str(mark);
            out.push_str(line);
            out.push('\n');
        }
        Ok(())
    };
    if let Some(names) = own {
        return names.iter().try_for_each(|name| add(name, false));
    }
    let present = registry.names(kind);
    for name in defaults.iter().filter(|name| present.contains(name)) {
        add(name, false)?;
    }
    // With a filter of any kind, somebody wants a small file.
    if filters.iter().all(|(_, names)| names.is_none()) {
        for name in present.iter().filter(|name| !defaults.contains(name)) {
            // A library that cannot be opened does not spoil the others' samples.
            let _ = add(name, true);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing_registered() -> Registry {
        setup::registry_with(&[], &[])
    }

    #[test]
    fn the_agents_table_is_toml_with_and_without_its_marks() {
        let text = agent_sample();
        assert!(text.contains("\n[agent]\n"), "{text}");
        let options: String = text
            .lines()
            .map(|line| match line.trim_start() {
                doc if doc.starts_with("##") => String::new(),
                option => {
                    option.strip_prefix("# ").filter(|o| o.contains(" = ")).unwrap_or("").to_owned()
                }
            })
            .collect::<Vec<_>>()
            .join("\n");
        let read: AgentConfig = headwater_plugin_api::config::parse(&options).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", AgentConfig::default()));
        assert!(options.contains("interval = \"10s\""));
    }

    #[test]
    fn sections() {
        let registry = nothing_registered();
        let create = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let options = LoadOptions { section_filter: Some(names), ..LoadOptions::default() };
            create(&options, &registry)
        };
        let tags = create(&["global_tags"]).unwrap();
        assert!(tags.contains("[global_tags]") && !tags.contains("[agent]"));
        assert!(create(&["agnt"]).unwrap_err().contains("did you mean `agent`?"));
    }

    #[test]
    fn a_plugin_that_is_not_there_is_told() {
        let registry = nothing_registered();
        let options = LoadOptions {
            input_filter: Some(vec!["no_such_thing".into()]),
            ..LoadOptions::default()
        };
        let error = create(&options, &registry).unwrap_err();
        assert!(error.contains("no_such_thing"), "{error}");
    }
}
