//! DuckDB: one Python process for the whole run, in a virtual environment under the target folder.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use headwater_tests::paths;
use serde_json::{Value as Json, json};

use crate::table::{Kind, Row, Table};
use crate::value::Value;

const VERSION: &str = "1.4.5";

/// A running DuckDB, which ends when this is dropped.
pub struct DuckDb {
    child: Child,
    /// None once it is to end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

fn run(program: &Path, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    let line = arguments.join(" ");
    assert!(
        output.status.success(),
        "{} {line}: {said}\nIt needs Python 3 with venv (apt-get install -y \
         --no-install-recommends python3-venv) and, once, the package index",
        program.display()
    );
}

/// Python with DuckDB, which the first test that asks installs.
fn python() -> PathBuf {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(install).clone()
}

fn install() -> PathBuf {
    let build = paths::build_folder();
    let folder = build.parent().unwrap_or(&build).join(format!("duckdb-{VERSION}"));
    let python = folder.join("bin/python");
    let check = format!("import duckdb; assert duckdb.__version__ == '{VERSION}'");
    let there = || {
        let mut command = Command::new(&python);
        let status = command.args(["-I", "-c", &check]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !there() {
        run(Path::new("python3"), &["-m", "venv", "--clear", &folder.to_string_lossy()]);
        let package = format!("duckdb=={VERSION}");
        run(&python, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", &package]);
        assert!(there(), "{} has no DuckDB {VERSION}", python.display());
    }
    python
}

impl DuckDb {
    pub fn start() -> DuckDb {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/duckdb.py");
        let mut command = Command::new(python());
        // Isolated: the script's folder is none to import from.
        command.arg("-I").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("python: {error}"));
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        DuckDb { child, input, output }
    }

    fn ask(&mut self, request: &Json) -> Result<Json, String> {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{request}").unwrap();
        input.flush().unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let mut reply: Json = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("DuckDB's process said {line:?}: {error}"));
        match reply["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(reply["rows"].take()),
        }
    }

    /// Makes a table of these rows, in place of one of that name.
    pub fn load(&mut self, table: &Table, rows: &[&Row]) {
        let mut columns = vec![json!(["time", "BIGINT"])];
        let mut values = vec![Json::from(rows.iter().map(|row| row.time).collect::<Vec<_>>())];
        for (at, column) in table.columns.iter().enumerate() {
            let kind = match column.kind {
                Kind::Int if column.unsigned => "UBIGINT",
                Kind::Int | Kind::Time | Kind::Span => "BIGINT",
                Kind::Float => "DOUBLE",
                Kind::Text => "VARCHAR",
                Kind::Bool => "BOOLEAN",
            };
            columns.push(json!([column.name, kind]));
            values.push(rows.iter().map(|row| cell(&row.values[at])).collect());
        }
        let request = json!({"load": table.name, "columns": columns, "values": values});
        self.ask(&request).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The rows of a statement.
    pub fn rows(&mut self, statement: &str) -> Result<Vec<Vec<Json>>, String> {
        let rows = self.ask(&json!({"sql": statement}))?;
        Ok(serde_json::from_value(rows).unwrap())
    }
}

fn cell(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => match i64::try_from(*value) {
            Ok(value) => value.into(),
            Err(_) => u64::try_from(*value).unwrap().into(),
        },
        Value::Float(value) => (*value).into(),
        Value::Text(text) => text.as_str().into(),
    }
}

/// A value of a row, as ours are.
pub fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::String(text) => Value::Text(text.clone()),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Value::Int(value.into()),
            (None, Some(value)) => Value::Int(value.into()),
            (None, None) => Value::Float(number.as_f64().unwrap()),
        },
        other => panic!("{other} is no value"),
    }
}

impl Drop for DuckDb {
    fn drop(&mut self) {
        // At the end of its input it ends.
        self.input = None;
        let _ = self.child.wait();
    }
}
