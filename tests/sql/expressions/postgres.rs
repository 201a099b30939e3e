//! PostgreSQL: a server of its own in a temporary folder, on a Unix socket alone.

use std::io::Write as _;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use headwater_tests::paths::Folder;
use headwater_tests::servers::Server;
use headwater_tests::wait;
use rustix::process::{Pid, Signal, getuid, kill_process};

use super::generate::type_of;
use super::node::Node;
use crate::table::{Kind, Table};
use crate::value::Value;

/// A running server, stopped when it is dropped.
pub struct Postgres {
    server: Server,
    programs: PathBuf,
}

/// The newest version's programs.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin"));
    found.filter(|bin| bin.join("initdb").is_file()).max().unwrap_or_else(|| {
        panic!("PostgreSQL is not installed: apt-get install -y --no-install-recommends postgresql")
    })
}

/// A command as the user `postgres` if this is root, whom the server refuses.
fn command(program: PathBuf) -> Command {
    if !getuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    // Ended with the test, even if that is killed.
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=QUIT"]);
    command.arg(program);
    command
}

/// The user's and the group's number of `postgres`.
fn owner() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let mut numbers = line.expect("the user postgres").split(':').skip(2).map(str::parse);
    (numbers.next().unwrap().unwrap(), numbers.next().unwrap().unwrap())
}

fn run(mut command: Command, what: &str) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{what}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {said}");
}

impl Postgres {
    /// Starts one with what expressions need.
    pub fn start() -> Postgres {
        let programs = programs();
        let folder = Folder::new();
        let data = folder.join("data");
        std::fs::create_dir(&data).unwrap();
        if getuid().is_root() {
            let (user, group) = owner();
            chown(folder.path(), Some(user), Some(group)).unwrap();
            chown(&data, Some(user), Some(group)).unwrap();
        }
        let mut init = command(programs.join("initdb"));
        // Sorted by bytes; letter case as Unicode has it.
        init.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8"]);
        init.args(["--lc-collate=C", "--lc-ctype=C.UTF-8"]).arg("--pgdata").arg(&data);
        init.current_dir(folder.path());
        run(init, "initdb");
        let mut postgres = command(programs.join("postgres"));
        postgres.arg("-D").arg(&data).arg("-k").arg(folder.path());
        for setting in [
            "listen_addresses=",
            "fsync=off",
            "full_page_writes=off",
            "synchronous_commit=off",
            "timezone=UTC",
            "log_timezone=UTC",
            "autovacuum=off",
            "jit=off",
            "max_parallel_workers_per_gather=0",
            "log_min_error_statement=panic",
        ] {
            postgres.arg("-c").arg(setting);
        }
        let socket = folder.join(".s.PGSQL.5432");
        let server = Server::start("postgres", postgres, folder, || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        let postgres = Postgres { server, programs };
        wait::until("PostgreSQL", || postgres.psql("SELECT 1;").is_ok().then_some(()));
        postgres.psql(include_str!("prelude.sql")).unwrap_or_else(|error| panic!("{error}"));
        postgres
    }

    /// Runs a script: what it printed, or the errors.
    fn psql(&self, script: &str) -> Result<String, String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "postgres", "-h"]);
        psql.arg(self.server.folder().path()).env("PGCLIENTENCODING", "UTF8");
        let mut child = psql
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("psql: {error}"));
        let mut input = child.stdin.take().unwrap();
        // It reads on while it answers.
        let output = std::thread::scope(|scope| {
            scope.spawn(move || input.write_all(script.as_bytes()));
            child.wait_with_output().unwrap()
        });
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }

    /// Creates a table with its rows.
    pub fn load(&self, table: &Table) {
        let mut script = format!("CREATE TABLE {} (\"time\" timestamptz", table.name);
        for column in table.columns {
            script.push_str(&format!(", {} {}", column.name, type_of(column.kind)));
        }
        script.push_str(&format!(");\nCOPY {} FROM STDIN;\n", table.name));
        for row in &table.rows {
            let micros = row.time / 1_000;
            script.push_str(&format!("{}", At(micros)));
            for value in &row.values {
                script.push('\t');
                script.push_str(&match value {
                    Value::Null => "\\N".to_owned(),
                    Value::Text(text) => text.replace('\\', "\\\\"),
                    other => other.to_string(),
                });
            }
            script.push('\n');
        }
        script.push_str("\\.\n");
        self.psql(&script).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The values of expressions: for each row of the table by its `id`, or for one of them.
    pub fn values(
        &self,
        table: &str,
        one: Option<usize>,
        nodes: &[&Node],
    ) -> Result<Vec<Vec<Value>>, String> {
        let columns: Vec<String> = nodes.iter().map(|node| column(node)).collect();
        let condition = one.map_or_else(String::new, |id| format!("WHERE id = {id} "));
        let select = format!("SELECT {} FROM {table} {condition}ORDER BY id", columns.join(", "));
        let text = self.psql(&format!("COPY ({select}) TO STDOUT;"))?;
        let row = |line: &str| {
            line.split('\t').zip(nodes).map(|(cell, node)| read(cell, node.kind)).collect()
        };
        Ok(text.lines().map(row).collect())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once, but in order: what it holds of the system it gives back.
        if let Some(pid) = Pid::from_raw(self.server.pid() as i32) {
            let _ = kill_process(pid, Signal::QUIT);
        }
        let file = self.server.folder().join("data/postmaster.pid");
        let _ = wait::poll(wait::PATIENCE, || (!file.exists()).then_some(()));
    }
}

/// Microseconds since the epoch, as PostgreSQL reads times.
struct At(i64);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A day that both have, and seconds of the day beyond: a text without a calendar of ours.
        let (days, rest) = (self.0.div_euclid(86_400_000_000), self.0.rem_euclid(86_400_000_000));
        let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
        let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        // Julian days, which begin with a J.
        write!(f, "J{} {h:02}:{m:02}:{s:02}.{micros:06}+00", days + 2_440_588)
    }
}

/// What is selected: times in microseconds.
fn column(node: &Node) -> String {
    let text = &node.theirs.text;
    match node.kind {
        Kind::Time | Kind::Span => format!("(extract(epoch from ({text})) * 1000000)::bigint"),
        _ => format!("({text})"),
    }
}

fn read(cell: &str, kind: Kind) -> Value {
    if cell == "\\N" {
        return Value::Null;
    }
    match kind {
        Kind::Bool => Value::Bool(cell == "t"),
        Kind::Time | Kind::Span => Value::Int(cell.parse::<i128>().unwrap() * 1_000),
        Kind::Text => Value::Text(unescaped(cell)),
        Kind::Int | Kind::Float => match cell.parse::<i128>() {
            Ok(value) if kind == Kind::Int => Value::Int(value),
            _ => Value::Float(cell.parse().unwrap_or_else(|_| panic!("{cell} is no number"))),
        },
    }
}

fn unescaped(cell: &str) -> String {
    let mut out = String::with_capacity(cell.len());
    let mut chars = cell.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            c => c,
        });
    }
    out
}
