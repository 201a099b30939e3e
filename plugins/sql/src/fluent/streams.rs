//! Fluent Bit's `streams.conf`: sections `[STREAM_TASK]` with a `Name` and the statement behind
//! `Exec`.

use std::io::Read;

/// Bytes of a file.
const MAX_FILE: u64 = 64 << 10;
/// Statements stand in such sections.
const SECTION: &str = "[STREAM_TASK]";

/// The statements of a file: its text, in which all else became blank, so that places in the one are
/// places in the other.
///
/// # Errors
/// A sentence that says what is wrong, and in which line.
pub fn read(path: &str) -> Result<String, String> {
    let wrong = |error: std::io::Error| format!("{path} cannot be read: {error}");
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(wrong)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("{path} has more than {MAX_FILE} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{path} is not in UTF-8"))?;
    statements(&text).map_err(|error| format!("{path}, {error}"))
}

/// A section whose statement or name may still come.
struct Task {
    line: usize,
    name: bool,
    exec: bool,
}

impl Task {
    fn end(task: Option<Task>) -> Result<(), String> {
        let Some(Task { line, name, exec }) = task else { return Ok(()) };
        let missing = match (name, exec) {
            (true, true) => return Ok(()),
            (false, _) => "Name",
            (true, false) => "Exec",
        };
        Err(format!("line {line}: the section has no `{missing}`"))
    }
}

fn statements(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut task: Option<Task> = None;
    let mut any = false;
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let number = at + 1;
        let wrong = |what: &str| Err(format!("line {number}: {what}"));
        if at > 0 {
            out.push('\n');
        }
        let words = line.trim();
        if words.is_empty() || words.starts_with('#') {
            continue;
        }
        if words.starts_with('[') {
            if !words.eq_ignore_ascii_case(SECTION) {
                return wrong(&format!(
                    "`{words}` is no section of such a file; expected {SECTION}"
                ));
            }
            Task::end(task.replace(Task { line: number, name: false, exec: false }))?;
            continue;
        }
        let (key, value) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
        let value = value.trim();
        if key.starts_with('@') {
            return wrong(&format!(
                "the command `{key}` is not supported; write the sections into one file, with their values"
            ));
        }
        let Some(task) = &mut task else {
            return wrong(&format!("`{key}` stands in no section; expected {SECTION}"));
        };
        let (is_name, is_exec) =
            (key.eq_ignore_ascii_case("name"), key.eq_ignore_ascii_case("exec"));
        if !is_name && !is_exec {
            let hint =
                if task.exec { "; a statement stands on one line, behind `Exec`" } else { "" };
            return wrong(&format!("there is no key `{key}`; expected `Name` or `Exec`{hint}"));
        }
        let seen = if is_name { &mut task.name } else { &mut task.exec };
        if std::mem::replace(seen, true) {
            return wrong(&format!("`{key}` stands twice in this section"));
        }
        if value.is_empty() {
            return wrong(&format!("`{key}` has no value"));
        }
        if is_exec && value.starts_with(['"', '\'']) {
            return wrong("the statement stands behind `Exec` without quotes");
        }
        if is_exec {
            any = true;
            // It ends what stands before; the statement keeps its place.
            out.push(';');
            let end = line.trim_end();
            let before = end.chars().count() - value.chars().count();
            out.extend(std::iter::repeat_n(' ', before.saturating_sub(1)));
            out.push_str(value);
        }
    }
    Task::end(task)?;
    match any {
        true => Ok(out),
        false => {
            Err(format!("line 1: there is no statement; expected {SECTION} with Name and Exec"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_keep_their_places() {
        let text = "# tasks\n[STREAM_TASK]\n    Name  a\n    Exec  CREATE STREAM a AS SELECT 'ä' FROM STREAM:b;\n\n\
                    [stream_task]\r\n\tname b\r\n\texec SELECT c FROM STREAM:a\r\n";
        let got = statements(text).unwrap();
        let lines: Vec<&str> = got.lines().collect();
        assert_eq!(
            lines,
            [
                "",
                "",
                "",
                ";         CREATE STREAM a AS SELECT 'ä' FROM STREAM:b;",
                "",
                "",
                "",
                ";     SELECT c FROM STREAM:a"
            ]
        );
        for (at, line) in text.lines().enumerate() {
            if let Some(column) = line.find("SELECT") {
                assert_eq!(lines[at].find("SELECT"), Some(column));
            }
        }
        assert_eq!(crate::parse::parse(&got).unwrap().len(), 2);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, wanted) in [
            ("", "line 1: there is no statement"),
            ("# nothing\n", "there is no statement"),
            ("[SERVICE]\n", "line 1: `[SERVICE]` is no section"),
            ("\nName a", "line 2: `Name` stands in no section"),
            ("[STREAM_TASK]\nName a", "line 1: the section has no `Exec`"),
            ("[STREAM_TASK]\nExec SELECT a FROM STREAM:b;", "line 1: the section has no `Name`"),
            ("[STREAM_TASK]\nName a\n[STREAM_TASK]\n", "line 1: the section has no `Exec`"),
            ("[STREAM_TASK]\nName a\nName b", "line 3: `Name` stands twice"),
            ("[STREAM_TASK]\nName a\nExec", "line 3: `Exec` has no value"),
            ("[STREAM_TASK]\nName a\nquery SELECT", "line 3: there is no key `query`"),
            ("@INCLUDE other.conf", "line 1: the command `@INCLUDE` is not supported"),
            ("[STREAM_TASK]\nName a\n@SET x=1", "line 3: the command `@SET` is not supported"),
            (
                "[STREAM_TASK]\nName a\nExec SELECT a\n  FROM STREAM:b;",
                "line 4: there is no key `FROM`; expected `Name` or `Exec`; a statement stands on one line",
            ),
            (
                "[STREAM_TASK]\nName a\nExec \"SELECT a FROM STREAM:b;\"",
                "line 3: the statement stands behind `Exec` without quotes",
            ),
        ] {
            let error = statements(text).unwrap_err();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
    }
}
