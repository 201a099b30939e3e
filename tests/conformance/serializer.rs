//! Cases of serializers: the points stand as comments in the configuration, the text beside it.

use std::path::{Path, PathBuf};

use headwater_tests::agent::Setup;
use headwater_tests::paths::Folder;

use crate::case::Case;

/// Points from a file, through the serializer, to a file.
pub fn config(case: &Case, folder: &Folder) -> String {
    let input = folder.write("input.influx", input(&case.text()).join("\n") + "\n");
    let batch = if case.name.ends_with("batch") { "use_batch_format = true\n" } else { "" };
    format!(
        "[agent]\nomit_hostname = true\n[[inputs.file]]\nfiles = [{input:?}]\ndata_format = \"influx\"\n\
         [[outputs.file]]\nfiles = [\"{}\"]\n{batch}data_format = \"{}\"\n{}",
        folder.join("text").display(),
        case.subject(),
        case.text()
    )
}

/// The lines behind `# Input:`.
fn input(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.strip_prefix('#').map(str::trim));
    let lines = lines.skip_while(|line| *line != Some("Input:")).skip(1);
    lines.map_while(|line| line.filter(|line| !line.is_empty())).map(str::to_owned).collect()
}

/// The expected text: named behind `# Output File:`, else the longest name that the case's begins
/// with.
fn expected(case: &Case) -> Option<PathBuf> {
    let text = case.text();
    let named = text.lines().skip_while(|line| *line != "# Output File:").nth(1);
    if let Some(name) = named.and_then(|line| line.rsplit('/').next()) {
        return Some(case.folder.join(name));
    }
    let stem = case.config.file_stem()?.to_str()?;
    let mut best: Option<(usize, PathBuf)> = None;
    for entry in std::fs::read_dir(&case.folder).ok()?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(prefix) = name.strip_suffix("_out.json") else { continue };
        if stem.starts_with(prefix) && best.as_ref().is_none_or(|(len, _)| *len < prefix.len()) {
            best = Some((prefix.len(), entry.path()));
        }
    }
    best.map(|(_, path)| path)
}

/// Serializes the points and compares the text: as JSON where it is JSON.
pub fn run(case: &Case, agent: &Path) -> Result<(), String> {
    let path = expected(case).ok_or("there is no file with the expected text")?;
    let expected =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let folder = Folder::new();
    let ended = Setup::of(agent, &config(case, &folder)).args(["--once"]).run();
    let found = std::fs::read_to_string(folder.join("text")).unwrap_or_default();
    let same = if path.extension().is_some_and(|extension| extension == "json") {
        json(&expected)? == json(&found)?
    } else {
        expected.trim_end() == found.trim_end()
    };
    if same && ended.status.success() {
        return Ok(());
    }
    Err(format!("expected:\n{expected}\nfound:\n{found}\nlog:\n{}", ended.log))
}

/// The JSON values that stand one behind the other.
fn json(text: &str) -> Result<Vec<serde_json::Value>, String> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    values
        .map(|value| {
            value.map(numbers_as_doubles).map_err(|error| format!("not JSON: {error}\n{text}"))
        })
        .collect()
}

/// JSON does not tell 1 from 1.0.
fn numbers_as_doubles(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(number) => Value::from(number.as_f64()),
        Value::Array(values) => values.into_iter().map(numbers_as_doubles).collect(),
        Value::Object(map) => {
            map.into_iter().map(|(key, value)| (key, numbers_as_doubles(value))).collect()
        }
        other => other,
    }
}
