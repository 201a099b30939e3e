//! The cases and their records.

use std::path::Path;

use serde_json::{Map, Value};

/// A record: its keys, maps in maps included.
pub type Record = Map<String, Value>;

pub struct Case {
    pub suite: String,

    pub name: String,
    pub kind: String,
    pub query: String,
    /// The statement that was run before, of snapshots.
    pub before: Option<String>,
    pub tag: String,
    /// The batches, in the order in which they came.
    pub files: Vec<Vec<Record>>,
    /// How often all of them come.
    pub times: usize,
    pub expected: Value,
}

/// All cases.
///
/// # Panics
/// If the data is not there or is none.
pub fn read(folder: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(folder.join("cases.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let text = |case: &Value, key: &str| case[key].as_str().map(str::to_owned);
    let mut before = None;
    let read = |case: &Value| {
        let sql = text(case, "as_real_sql");
        let is_create = sql.as_ref().is_some_and(|sql| sql.starts_with("CREATE SNAPSHOT"));
        if is_create {
            before.clone_from(&sql);
        }
        let procedure = case["procedure"].as_str().unwrap_or_default();
        Case {
            suite: text(case, "suite").unwrap(),

            name: text(case, "name").unwrap(),
            kind: text(case, "kind").unwrap(),
            before: before.clone().filter(|_| sql.is_some() && !is_create),
            query: sql.or_else(|| text(case, "query")).unwrap(),
            tag: text(case, "tag").unwrap_or_else(|| "samples".to_owned()),
            files: records(folder, &all["datasets"], case["dataset"].as_str()),
            times: ingested(procedure),
            expected: case["expected"].clone(),
        }
    };
    let cases: Vec<Case> = all["cases"].as_array().unwrap().iter().map(read).collect();
    assert!(!cases.is_empty());
    cases
}

/// The number in `ingested 5 time(s)`.
fn ingested(procedure: &str) -> usize {
    let number = procedure.split_once("ingested ").and_then(|(_, rest)| rest.split_once(" time"));
    number.and_then(|(number, _)| number.parse().ok()).unwrap_or(1)
}

fn records(folder: &Path, datasets: &Value, name: Option<&str>) -> Vec<Vec<Record>> {
    let Some(name) = name else { return Vec::new() };
    if name == "inline-conv" {
        let record = serde_json::json!({"word": "hoge", "num": "123456"});
        return vec![vec![record.as_object().unwrap().clone()]];
    }
    let files = datasets[name]["files"].as_array().unwrap();
    let read = |file: &Value| -> Vec<Record> {
        let text = std::fs::read_to_string(folder.join(file.as_str().unwrap())).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    files.iter().map(read).collect()
}
