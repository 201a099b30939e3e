//! The plan for a person.

use super::plan::{Statement, Work};

/// Each statement: what it reads, its window, its columns, and what is worked out how often.
pub fn text(statements: &[Statement]) -> String {
    let mut out = String::new();
    for (at, statement) in statements.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        let name = statement.name.as_deref().unwrap_or("(the measurement)_sql");
        out.push_str(&format!("statement {} of {}: {name}\n", at + 1, statements.len()));
        line(&mut out, "reads", &statement.reads);
        line(&mut out, "window", statement.window.as_deref().unwrap_or("none: point by point"));
        let star = statement.star.then_some("*");
        let names = statement.columns.iter().map(|column| column.name.as_str());
        line(&mut out, "columns", &star.into_iter().chain(names).collect::<Vec<_>>().join(", "));
        for (per, title) in [
            ("series", "per series"),
            ("point", "per point"),
            ("window", "per window"),
            ("row", "per row"),
        ] {
            let mut title = title;
            for work in statement.work.iter().filter(|work| work.per == per) {
                line(&mut out, title, &sentence(work));
                title = "";
            }
        }
    }
    out
}

fn line(out: &mut String, title: &str, text: &str) {
    out.push_str(&format!("  {title:<12}{text}\n"));
}

fn sentence(work: &Work) -> String {
    match work.unless.as_slice() {
        [] => work.text.clone(),
        [name] => format!("{} (per point where {name} is a field)", work.text),
        names => {
            format!("{} (per point where one of {} is a field)", work.text, names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sql::plan::{Column, Role};

    #[test]
    fn a_windowed_statement_and_one_without() {
        let work = |per: &str, text: &str, unless: &[&str]| Work {
            per: per.into(),
            text: text.into(),
            unless: unless.iter().map(|name| (*name).into()).collect(),
        };
        let column = |name: &str| Column { name: name.into(), role: Role::Field, time: false };
        let windowed = Statement {
            name: Some("w".into()),
            reads: "cpu".into(),
            window: Some("time('1m')".into()),
            step_ns: None,
            star: false,
            columns: vec![column("host"), column("idle")],
            work: vec![
                work("series", "WHERE a = b", &["a", "b"]),
                work("series", "GROUP BY host", &["host"]),
                work("point", "adds to avg(x)", &[]),
                work("window", "SELECT host, avg(x)", &[]),
            ],
        };
        let plain = Statement { star: true, reads: "*".into(), ..Statement::default() };
        assert_eq!(
            text(&[windowed, plain]),
            "statement 1 of 2: w
  reads       cpu
  window      time('1m')
  columns     host, idle
  per series  WHERE a = b (per point where one of a, b is a field)
              GROUP BY host (per point where host is a field)
  per point   adds to avg(x)
  per window  SELECT host, avg(x)

statement 2 of 2: (the measurement)_sql
  reads       *
  window      none: point by point
  columns     *
"
        );
    }
}
