//! The plan of a query as JSON: what each statement reads and makes, and what of it is worked out for
//! each series, each point and each window.

use crate::ast::{Expr, ExprKind, Frame, Item, Literal, Name, Scope, Statement};
use crate::bind::names;
use crate::canonical;
use crate::duration;
use crate::parse;
use crate::plan::{Action, Node, Output, Plan, ResultName, Role};

/// The functions of GROUP BY that are windows. `date_bin` and `time_bucket` are some over `time`.
const WINDOWS: &[&str] = &["time", "tumble", "hop", "session", "rows"];

/// The plans of a query, as one line of JSON:
/// `{"statements":[{"name":…,"reads":…,"window":…,"step_ns":…,"star":…,"columns":[…],"work":[…]}]}`.
///
/// A statement without a name of its own has null: each point's measurement is followed by `_sql`.
/// A statement with OVER has the windows of its functions as its window.
/// The step is the shortest time from one window to the next, if there is one. A column has `name`, `text`, `role` (`time`, `window_start`, `window_end`, `tag`, `key`, which is a
/// tag if it is text and else a field, or `field`) and whether its values are moments (`time`). Work
/// has `per` (`series`, `point`, `window`, or `row` in statements with OVER), `text`, and in `unless` the names that make it a matter
/// of each point where they are fields.
pub fn json(query: &str, plans: &[Plan]) -> String {
    // It was parsed before, or there would be no plans.
    let statements = parse::parse(query).unwrap_or_default();
    let each = statements.iter().zip(plans).map(|(statement, plan)| one(query, statement, plan));
    format!("{{\"statements\":{}}}", list(each))
}

fn one(query: &str, statement: &Statement, plan: &Plan) -> String {
    let name = match &plan.name {
        ResultName::Fixed(name) => quoted(name),
        ResultName::Derived => "null".to_owned(),
    };
    let window = statement.group_by.iter().find(|expr| is_window(expr));
    let over = windows(statement);
    let (star, outputs): (bool, &[Output]) = match &plan.action {
        Action::Project { star, outputs } => (*star, outputs),
        Action::Aggregate(aggregate) => (false, &aggregate.outputs),
        Action::Over(over) => (over.star, &over.outputs),
        Action::Join(_) | Action::Side(_) => (false, &[]),
        Action::Snapshot(_) | Action::Flush => (true, &[]),
    };
    let sources = match &statement.join {
        None => statement.source.area,
        Some(join) => statement.source.area.to(join.right.area),
    };
    let texts: Vec<String> = statement
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Expr { expr, .. } => Some(canonical::text(expr)),
            Item::Star(_) | Item::StarOf(_) => None,
        })
        .chain(statement.tag.iter().map(|tag| quoted_text(&tag.text)))
        .collect();
    let shown = outputs.iter().filter(|output| output.role != Role::HiddenKey);
    let columns = shown.zip(&texts).map(|(output, text)| {
        let role = role(output);
        let time = matches!(output.node, Node::Time | Node::Moment(_))
            || role == "time"
            || role.starts_with("window");
        let (name, text) = (quoted(&output.name), quoted(text));
        format!("{{\"name\":{name},\"text\":{text},\"role\":\"{role}\",\"time\":{time}}}")
    });
    format!(
        "{{\"name\":{name},\"reads\":{},\"window\":{},\"step_ns\":{},\"star\":{star},\"columns\":{},\
         \"work\":{}}}",
        quoted(&sources.text(query)),
        match (window, over.is_empty()) {
            (Some(expr), _) => quoted(&canonical::text(expr)),
            (None, false) => quoted(&over.join("; ")),
            (None, true) => "null".to_owned(),
        },
        window.and_then(step).map_or("null".to_owned(), |step| step.to_string()),
        list(columns),
        list(work(statement, plan, &texts).into_iter()),
    )
}

/// A text as SQL writes it.
fn quoted_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What makes points partners, what is looked at before, and which columns joined rows take over.
fn joined(plan: &Plan, out: &mut Vec<String>) {
    let Action::Join(join) = &plan.action else { return };
    let kind = match (join.asof, join.keeps_left) {
        (true, false) => "ASOF JOIN",
        (true, true) => "ASOF LEFT JOIN",
        (false, false) => "JOIN",
        (false, true) => "LEFT JOIN",
    };
    let told = join.told.iter().map(|(what, text)| format!("{kind}, {what}: {text}"));
    out.extend(told.map(|text| piece("point", &text, &[])));
    let carried = join.sides.iter().flat_map(|side| match &side.action {
        Action::Side(side) => side.carried.as_slice(),
        _ => &[],
    });
    let names = carried.map(|carried| carried.name.as_str()).chain(join.partner_time.as_deref());
    let names = names.collect::<Vec<_>>().join(", ");
    out.push(piece("point", &format!("{kind}, keeps: {names}"), &[]));
}

/// The different windows of OVER, with the frames that are not written.
fn windows(statement: &Statement) -> Vec<String> {
    let mut found = Vec::new();
    for item in &statement.items {
        let Item::Expr { expr, .. } = item else { continue };
        names::visit(expr, &mut |expr| {
            let ExprKind::Call(call) = &expr.kind else { return };
            let Some(over) = &call.over else { return };
            let named = |name: &Name| statement.windows.iter().find(|(n, _)| n.text == name.text);
            let over = over.window.as_ref().and_then(named).map_or(&**over, |(_, over)| over);
            let keys: Vec<String> = over.partition_by.iter().map(canonical::text).collect();
            let partition = match keys.is_empty() {
                true => String::new(),
                false => format!("PARTITION BY {} ", keys.join(", ")),
            };
            let frame = match call.name.as_str() {
                "lag" | "row_number" => "ORDER BY time".to_owned(),
                _ => canonical::frame_text(over.frame.unwrap_or(Frame::Range(None))),
            };
            let text = format!("OVER ({partition}{frame})");
            if !found.contains(&text) {
                found.push(text);
            }
        });
    }
    found
}

/// The keys of PARTITION BY, which all windows share.
fn partition_by(statement: &Statement) -> Vec<String> {
    let mut keys = Vec::new();
    for item in &statement.items {
        let Item::Expr { expr, .. } = item else { continue };
        names::visit(expr, &mut |expr| {
            let ExprKind::Call(call) = &expr.kind else { return };
            let named = call
                .over
                .iter()
                .filter_map(|over| over.window.as_ref())
                .filter_map(|name| statement.windows.iter().find(|(n, _)| n.text == name.text));
            let over = named.map(|(_, over)| over).next().or(call.over.as_deref());
            if let (Some(over), true) = (over, keys.is_empty()) {
                keys = over.partition_by.iter().map(canonical::text).collect();
            }
        });
    }
    keys
}

fn role(output: &Output) -> &'static str {
    match (output.role, &output.node) {
        (Role::Time, _) => "time",
        (Role::Tag, _) => "tag",
        (Role::Key | Role::HiddenKey, _) => "key",
        (Role::Field, Node::WindowStart) => "window_start",
        (Role::Field, Node::WindowEnd) => "window_end",
        (Role::Field, _) => "field",
    }
}

fn is_window(expr: &Expr) -> bool {
    let ExprKind::Call(call) = &expr.kind else { return false };
    let over_time = matches!(
        call.args.get(1).map(|expr| &expr.kind),
        Some(ExprKind::Column { scope: Scope::Any, name, .. }) if name == "time"
    );
    WINDOWS.contains(&call.name.as_str())
        || matches!(call.name.as_str(), "date_bin" | "time_bucket") && over_time
}

/// The shortest time from one window to the next: the first argument of all forms, but for those
/// that count rows.
fn step(window: &Expr) -> Option<i64> {
    let ExprKind::Call(call) = &window.kind else { return None };
    match &call.args.first()?.kind {
        ExprKind::Literal(Literal::Interval(nanos)) => Some(*nanos),
        ExprKind::Literal(Literal::Text(text)) => duration::parse(text),
        _ => None,
    }
}

/// What is worked out, each with how often.
fn work(statement: &Statement, plan: &Plan, items: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    let mut conditions = Vec::new();
    if let Some(filter) = &statement.filter {
        conjuncts(filter, &mut conditions);
    }
    if let Some(join) = plan.join.as_deref() {
        // It tells the conditions too, for it has some of them.
        joined(join, &mut out);
        conditions.clear();
    }
    if let Some(table) = &plan.table {
        let kind = if table.keeps_left { "LEFT JOIN" } else { "JOIN" };
        let texts = |of| table.told.iter().filter(move |(what, _)| *what == of);
        for (node, (_, text)) in table.keys.iter().zip(texts("key")) {
            out.push(by_series(node, plan, &format!("{kind} with a table, key: {text}")));
        }
        conditions.extend(texts("rows").map(|(_, text)| text.clone()));
    }
    for (node, text) in plan.filters.iter().zip(conditions) {
        out.push(by_series(node, plan, &format!("WHERE {text}")));
    }
    let mut over = Vec::new();
    let mut aggregates = Vec::new();
    let expressions = statement.items.iter().filter_map(|item| match item {
        Item::Expr { expr, .. } => Some(expr),
        Item::Star(_) | Item::StarOf(_) => None,
    });
    for expr in expressions.chain(&statement.having) {
        names::visit(expr, &mut |expr| {
            let ExprKind::Call(call) = &expr.kind else { return };
            let list = match &call.over {
                Some(_) => &mut over,
                None if names::is_aggregate(&call.name) => &mut aggregates,
                None => return,
            };
            let text = canonical::text(expr);
            if !list.contains(&text) {
                list.push(text);
            }
        });
    }
    if let Action::Over(bound) = &plan.action {
        for (node, text) in bound.keys.iter().zip(partition_by(statement)) {
            out.push(by_series(node, plan, &format!("PARTITION BY {text}")));
        }
        out.extend(over.iter().map(|text| piece("point", &format!("adds to {text}"), &[])));
        let star = bound.star.then_some("*");
        let all = star.into_iter().chain(items.iter().map(String::as_str));
        out.push(piece("row", &format!("SELECT {}", all.collect::<Vec<_>>().join(", ")), &[]));
        return out;
    }
    let Action::Aggregate(aggregate) = &plan.action else {
        let star =
            statement.items.iter().any(|item| matches!(item, Item::Star(_) | Item::StarOf(_)));
        let all = star.then_some("*").into_iter().chain(items.iter().map(String::as_str));
        out.push(piece("point", &format!("SELECT {}", all.collect::<Vec<_>>().join(", ")), &[]));
        return out;
    };
    let mut keys: Vec<String> = Vec::new();
    for expr in statement.group_by.iter().filter(|expr| !is_window(expr)) {
        let text = canonical::text(expr);
        if !keys.contains(&text) {
            keys.push(text);
        }
    }
    for (node, text) in aggregate.keys.iter().zip(&keys) {
        out.push(by_series(node, plan, &format!("GROUP BY {text}")));
    }
    out.extend(aggregates.iter().map(|text| piece("point", &format!("adds to {text}"), &[])));
    if let Some(having) = &statement.having {
        out.push(piece("window", &format!("HAVING {}", canonical::text(having)), &[]));
    }
    out.push(piece("window", &format!("SELECT {}", items.join(", ")), &[]));
    out
}

fn conjuncts(expr: &Expr, out: &mut Vec<String>) {
    match &expr.kind {
        ExprKind::And(list) => list.iter().for_each(|part| conjuncts(part, out)),
        _ => out.push(canonical::text(expr)),
    }
}

/// What its columns decide: the series, unless one of them is a field.
fn by_series(node: &Node, plan: &Plan, text: &str) -> String {
    let (mut field, mut unless) = (node.needs_point(), Vec::new());
    node.visit(&mut |node| {
        let Node::Column(number) = node else { return };
        let Some(column) = plan.columns.get(*number) else { return };
        let mut of_table = plan.table.iter().flat_map(|table| &table.columns);
        match column.scope {
            _ if of_table.any(|of| of.name == column.name) => field = true,
            Scope::Field => field = true,
            Scope::Any if !unless.contains(&column.name.as_str()) => unless.push(&column.name),
            Scope::Any | Scope::Tag => {}
        }
    });
    match field {
        true => piece("point", text, &[]),
        false => piece("series", text, &unless),
    }
}

fn piece(per: &str, text: &str, unless: &[&str]) -> String {
    let unless = list(unless.iter().map(|name| quoted(name)));
    format!("{{\"per\":\"{per}\",\"text\":{},\"unless\":{unless}}}", quoted(text))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use headwater_plugin_api::plugin::Level;
    use headwater_plugin_api::testkit;

    use crate::sql::Sql;

    fn explained(query: &str) -> String {
        let config = format!("explain = true\nquery = '''{query}'''");
        let driven = testkit::processor::<Sql>(&config).map_err(|e| e.to_string()).unwrap();
        let logs = driven.host.logs.lock().unwrap();
        assert_eq!(logs.len(), 1, "{logs:?}");
        assert_eq!(logs[0].0, Level::Information);
        logs[0].1.clone()
    }

    #[test]
    fn a_window_tells_series_points_and_windows_apart() {
        let text = explained(
            "CREATE STREAM w AS SELECT window_start(), host, avg(v) AS \"a\"\"b\" FROM cpu \
             WHERE cpu = 'x' AND field('v') > 1 AND tag('z') LIKE 'q%' \
             GROUP BY time('1m'), host HAVING count(*) > 2",
        );
        let expected = concat!(
            r#"{"statements":[{"name":"w","reads":"cpu","window":"time('1m')","step_ns":60000000000,"star":false,"#,
            r#""columns":[{"name":"window_start()","text":"window_start()","role":"window_start","time":true},"#,
            r#"{"name":"host","text":"host","role":"key","time":false},"#,
            r#"{"name":"a\"b","text":"avg(v)","role":"field","time":false}],"#,
            r#""work":[{"per":"series","text":"WHERE cpu = 'x'","unless":["cpu"]},"#,
            r#"{"per":"point","text":"WHERE field('v') > 1","unless":[]},"#,
            r#"{"per":"series","text":"WHERE tag('z') LIKE 'q%'","unless":[]},"#,
            r#"{"per":"series","text":"GROUP BY host","unless":["host"]},"#,
            r#"{"per":"point","text":"adds to avg(v)","unless":[]},"#,
            r#"{"per":"point","text":"adds to count(*)","unless":[]},"#,
            r#"{"per":"window","text":"HAVING count(*) > 2","unless":[]},"#,
            r#"{"per":"window","text":"SELECT window_start(), host, avg(v)","unless":[]}]}]}"#,
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn sliding_windows_tell_partitions_frames_and_rows() {
        let text = explained(
            "SELECT v - avg(v) OVER w AS away, lag(v) OVER (PARTITION BY host) AS l FROM cpu \
             WHERE v > 1 WINDOW w AS (PARTITION BY host RANGE '5m' PRECEDING)",
        );
        let expected = concat!(
            r#"{"statements":[{"name":"cpu_sql","reads":"cpu","#,
            r#""window":"OVER (PARTITION BY host RANGE INTERVAL '5m' PRECEDING); OVER (PARTITION BY host ORDER BY time)","#,
            r#""step_ns":null,"star":false,"#,
            r#""columns":[{"name":"away","text":"v - avg(v) OVER w","role":"field","time":false},"#,
            r#"{"name":"l","text":"lag(v) OVER (PARTITION BY host)","role":"field","time":false}],"#,
            r#""work":[{"per":"series","text":"WHERE v > 1","unless":["v"]},"#,
            r#"{"per":"series","text":"PARTITION BY host","unless":["host"]},"#,
            r#"{"per":"point","text":"adds to avg(v) OVER w","unless":[]},"#,
            r#"{"per":"point","text":"adds to lag(v) OVER (PARTITION BY host)","unless":[]},"#,
            r#"{"per":"row","text":"SELECT v - avg(v) OVER w, lag(v) OVER (PARTITION BY host)","unless":[]}]}]}"#,
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_join_with_a_table_tells_what_finds_its_rows() {
        let folder = std::env::temp_dir();
        let file = folder.join(format!("headwater-explained-{}.csv", std::process::id()));
        std::fs::write(&file, "name,dc\na,x\n").unwrap();
        let query = "SELECT c.*, h.dc FROM cpu c JOIN hosts h ON c.host = h.name AND h.dc <> 'y' \
                     WHERE c.cpu = 'total'";
        let config = format!(
            "explain = true\nquery = \"{query}\"\ntables.hosts.file = '{}'",
            file.display()
        );
        let driven = testkit::processor::<Sql>(&config).map_err(|e| e.to_string()).unwrap();
        std::fs::remove_file(&file).unwrap();
        let text = driven.host.logs.lock().unwrap()[0].1.clone();
        let expected = concat!(
            r#""work":[{"per":"series","text":"JOIN with a table, key: c.host = h.name","unless":["host"]},"#,
            r#"{"per":"series","text":"WHERE c.cpu = 'total'","unless":["cpu"]},"#,
            r#"{"per":"point","text":"WHERE h.dc <> 'y'","unless":[]},"#,
            r#"{"per":"point","text":"SELECT *, h.dc","unless":[]}]"#,
        );
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn a_join_tells_its_keys_its_bounds_and_what_is_looked_at_before() {
        let text = explained(
            "SELECT a.host, b.time AS t, b.w FROM m a ASOF LEFT JOIN measurements('n*') AS b \
             MATCH_CONDITION (a.time > b.time) ON a.host = lower(b.host) AND b.w > 1 \
             AND b.time >= a.time - INTERVAL '30s' WHERE a.v > 2 AND b.w < 9",
        );
        let expected = concat!(
            r#"{"per":"point","text":"ASOF LEFT JOIN, bounds: b.time from a.time - 30s to a.time - 1ns","unless":[]},"#,
            r#"{"per":"point","text":"ASOF LEFT JOIN, key: a.host = lower(b.host)","unless":[]},"#,
            r#"{"per":"point","text":"ASOF LEFT JOIN, second source only where: b.w > 1","unless":[]},"#,
            r#"{"per":"point","text":"ASOF LEFT JOIN, first source only where: a.v > 2","unless":[]},"#,
            r#"{"per":"point","text":"ASOF LEFT JOIN, rows: b.w < 9","unless":[]},"#,
            r#"{"per":"point","text":"ASOF LEFT JOIN, keeps: a.host, b.w, b.time","unless":[]},"#,
            r#"{"per":"point","text":"SELECT a.host, b.time, b.w","unless":[]}]}]}"#,
        );
        assert!(text.ends_with(expected), "{text}");
        assert!(text.contains(r#""reads":"m a ASOF LEFT JOIN measurements('n*') AS b""#), "{text}");
    }

    #[test]
    fn a_chain_of_projections() {
        let text = explained("SELECT *, time AS t, v + 1 AS w FROM *; SELECT time, w FROM a");
        let expected = concat!(
            r#"{"statements":[{"name":null,"reads":"*","window":null,"step_ns":null,"star":true,"#,
            r#""columns":[{"name":"t","text":"time","role":"field","time":true},"#,
            r#"{"name":"w","text":"v + 1","role":"field","time":false}],"#,
            r#""work":[{"per":"point","text":"SELECT *, time, v + 1","unless":[]}]},"#,
            r#"{"name":"a_sql","reads":"a","window":null,"step_ns":null,"star":false,"#,
            r#""columns":[{"name":"time","text":"time","role":"time","time":true},"#,
            r#"{"name":"w","text":"w","role":"field","time":false}],"#,
            r#""work":[{"per":"point","text":"SELECT time, w","unless":[]}]}]}"#,
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn rows_tell_which_statement_made_them() {
        let config = "explain = true\nquery = \"CREATE STREAM a AS SELECT v FROM m; \
                      CREATE STREAM a AS SELECT v + 1 AS w FROM a\"\ndrop_original = true";
        let mut driven = testkit::processor::<Sql>(config).map_err(|e| e.to_string()).unwrap();
        let mut builder = headwater_plugin_api::batch::BatchBuilder::default();
        builder.point("m").field("v", 1_i64).finish(5).unwrap();
        let batch = builder.finish().unwrap();
        let (made, result) = driven.process(0, batch);
        result.unwrap();
        let mut seen: Vec<(u64, String)> = made
            .batches
            .iter()
            .map(|batch| (batch.sequence(), testkit::lines([batch]).concat()))
            .collect();
        seen.sort();
        assert_eq!(seen, [(0, "a v=1i 5".to_owned()), (1, "a w=2i 5".to_owned())]);
    }
}
