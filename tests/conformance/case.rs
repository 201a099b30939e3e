//! Finds the cases and what each of them needs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use headwater_tests::points::{self, Point};

/// What a case is about, which decides how it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Trees of /proc, one for each gather.
    Proc,
    /// Messages for a listener, in order.
    Sequence,
    /// Files in, points out.
    Pipeline,
    /// Points in, text out.
    Serializer,
}

/// One case.
pub struct Case {
    /// Its folder below the data, or its file.
    pub name: String,
    pub kind: Kind,
    /// The folder with its files.
    pub folder: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
}

/// All cases below the data's folder.
pub fn find(data: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    visit(data, data, &mut cases);
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!cases.is_empty(), "there are no cases in {}", data.display());
    cases
}

fn visit(data: &Path, folder: &Path, cases: &mut Vec<Case>) {
    let name = |path: &Path| path.strip_prefix(data).unwrap_or(path).display().to_string();
    for entry in entries(folder) {
        if entry.is_dir() {
            visit(data, &entry, cases);
        } else if entry.ends_with("telegraf.conf") || entry.ends_with("config.toml") {
            let kind = if proc_trees(folder).is_empty() {
                if folder.join("sequence.json").is_file() { Kind::Sequence } else { Kind::Pipeline }
            } else {
                Kind::Proc
            };
            cases.push(Case { name: name(folder), kind, folder: folder.into(), config: entry });
        } else if entry.extension().is_some_and(|e| e == "conf") {
            cases.push(Case {
                name: name(&entry.with_extension("")),
                kind: Kind::Serializer,
                folder: folder.into(),
                config: entry,
            });
        }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = std::fs::read_dir(folder);
    let read = read.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = read.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The folders `proc`, `proc0` and so on.
pub fn proc_trees(folder: &Path) -> Vec<PathBuf> {
    let is_tree = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.strip_prefix("proc");
        path.is_dir() && number.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()))
    };
    entries(folder).into_iter().filter(is_tree).collect()
}

impl Case {
    /// The family of things tested, which is the serializer's name for serializers.
    pub fn subject(&self) -> String {
        let parent =
            if self.kind == Kind::Serializer { Some(&*self.folder) } else { self.folder.parent() };
        parent.and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The configuration as it stands.
    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.config)
            .unwrap_or_else(|error| panic!("{}: {error}", self.config.display()))
    }

    /// The configuration with its paths mapped: relative ones stand below the plugin's folder, where
    /// the cases of that plugin stand in `testcases` or `testdata`.
    pub fn mapped(&self) -> String {
        let plugin = self.folder.parent().unwrap_or(&self.folder).display().to_string();
        let mut text = self.text().replace("inputs.test]]", "inputs.file]]");
        text = text.replace("inputs.test.", "inputs.file.");
        for folder in ["./testcases/", "testcases/", "./testdata/", "testdata/"] {
            text = text.replace(folder, &format!("{plugin}/"));
        }
        text
    }

    /// The plugins it uses, as `inputs.file` or `parsers.influx`.
    pub fn needs(&self) -> Result<BTreeSet<String>, String> {
        let mut needs = BTreeSet::new();
        if self.kind == Kind::Serializer {
            needs.insert(format!("serializers.{}", self.subject()));
            needs.insert("parsers.influx".into());
            return Ok(needs);
        }
        let text = self.mapped();
        let config: toml::Table = text
            .parse()
            .map_err(|error| format!("{} is not TOML: {error}", self.config.display()))?;
        for section in ["inputs", "processors", "aggregators", "outputs"] {
            let Some(plugins) = config.get(section).and_then(toml::Value::as_table) else {
                continue;
            };
            for (name, instances) in plugins {
                needs.insert(format!("{section}.{name}"));
                for instance in instances.as_array().map_or(&[][..], Vec::as_slice) {
                    if let Some(format) = instance.get("data_format").and_then(toml::Value::as_str)
                    {
                        needs.insert(format!("parsers.{}", parser(format)));
                    }
                }
            }
        }
        Ok(needs)
    }

    /// The points of a file of line protocol, if it is there.
    pub fn points(folder: &Path, name: &str) -> Option<Vec<Point>> {
        let text = std::fs::read_to_string(folder.join(name)).ok()?;
        Some(points::parse(&text))
    }
}

/// The parser behind a format: one parser has several names.
fn parser(format: &str) -> &str {
    match format {
        "xpath_json" | "xpath_xml" | "xpath_cbor" | "xpath_msgpack" | "xpath_protobuf" => "xpath",
        other => other,
    }
}
