//! Fluent Bit's statements as the binder gets them: what they become, and what is refused.

use crate::bind::{self, Options};
use crate::canonical;
use crate::parse;

fn statement(query: &str) -> crate::ast::Statement {
    match parse::parse(query) {
        Ok(mut statements) => statements.remove(0),
        Err(error) => panic!("{query}: {}", error.sentence(query)),
    }
}

/// The sentence of a query that is refused.
fn refused(query: &str) -> String {
    let options = Options::default();
    let bound = parse::parse(query).and_then(|statements| {
        statements
            .iter()
            .map(|statement| bind::bind(statement, &options))
            .collect::<Result<Vec<_>, _>>()
    });
    match bound {
        Ok(_) => panic!("accepted: {query}"),
        Err(error) => error.sentence(query),
    }
}

fn filter(condition: &str) -> String {
    let query = format!("SELECT * FROM STREAM:m WHERE {condition};");
    canonical::text(statement(&query).filter.as_ref().unwrap())
}

fn columns(list: &str) -> Vec<String> {
    let statement = statement(&format!("SELECT {list} FROM STREAM:m;"));
    let items = statement.items.iter().map(|item| match item {
        crate::ast::Item::Star(_) | crate::ast::Item::StarOf(_) => "*".to_owned(),
        crate::ast::Item::Expr { expr, alias } => {
            let name =
                alias.as_ref().map_or_else(|| canonical::text(expr), |name| name.text.clone());
            format!("{name} = {}", canonical::text(expr))
        }
    });
    items.collect()
}

#[test]
fn columns_are_called_as_there() {
    assert_eq!(
        columns(
            "*, a, log.level, map['a']['b'], map['a'] AS x, COUNT( * ), sum(map['a']['b']), avg(a) AS mean, upper(a)"
        ),
        [
            "*",
            "a = a",
            "log.level = log.level",
            "map['a']['b'] = map_a_b",
            "x = map_a",
            "COUNT(*) = count(*)",
            "SUM(map['a']['b']) = sum(number(map_a_b))",
            "mean = avg(number(a))",
            "upper(a) = upper(a)",
        ]
    );
    assert_eq!(
        columns("RECORD_TAG(), record_time(), UNIX_TIMESTAMP() AS ts, NOW()"),
        [
            "RECORD_TAG() = coalesce(tag('tag'), measurement)",
            "RECORD_TIME() = to_unixtime(time)",
            "ts = cast(floor(to_unixtime(current_timestamp())) AS bigint)",
            "NOW() = replace(replace(cast(date_trunc('second', current_timestamp()) AS text), 'T', ' '), 'Z', '')",
        ]
    );
    assert_eq!(
        columns("TIMESERIES_FORECAST(cpu_p, 60)"),
        ["TIMESERIES_FORECAST(cpu_p) = forecast(number(cpu_p), '1m')"]
    );
}

#[test]
fn texts_are_read_as_numbers_where_they_meet_numbers() {
    for (condition, wanted) in [
        ("bytes > 10.29", "number(bytes) > 10.29"),
        ("-1 <> bytes", "-1 <> number(bytes)"),
        ("word = 'rlz'", "word = 'rlz'"),
        ("map['a']['b'] = 123", "number(map_a_b) = 123"),
        ("a BETWEEN 1 AND 2", "number(a) BETWEEN 1 AND 2"),
        ("a IN (1, 2)", "number(a) IN (1, 2)"),
        ("a IN (1, 'x')", "a IN (1, 'x')"),
        ("a > b", "a > b"),
        ("time > 5", "time > 5"),
    ] {
        assert_eq!(filter(condition), wanted);
    }
}

#[test]
fn functions_of_records() {
    for (condition, wanted) in [
        ("@record.contains(a)", "a IS NOT NULL"),
        ("NOT @record.contains(map['x']['y'])", "NOT (map_x_y IS NOT NULL)"),
        ("a = 1 AND @RECORD.CONTAINS(b)", "(number(a) = 1) AND (b IS NOT NULL)"),
        ("@record.time() > 1.5", "to_unixtime(time) > 1.5"),
    ] {
        assert_eq!(filter(condition), wanted);
    }
}

#[test]
fn tags_select_streams() {
    let tag = |pattern: &str| {
        let query = format!("SELECT a FROM TAG:'{pattern}' WHERE a > 1;");
        let statement = statement(&query);
        assert_eq!(statement.source.kind, crate::ast::SourceKind::All);
        canonical::text(statement.filter.as_ref().unwrap())
    };
    let coalesced = "coalesce(tag('tag'), measurement)";
    assert_eq!(tag("app"), format!("({coalesced} = 'app') AND (number(a) > 1)"));
    assert_eq!(tag("app.*"), format!("({coalesced} LIKE 'app.%') AND (number(a) > 1)"));
    assert_eq!(tag("a_%*"), format!("({coalesced} LIKE 'a\\_\\%%') AND (number(a) > 1)"));
}

#[test]
fn names_and_windows() {
    let keys = |query: &str| {
        let statement = statement(query);
        statement.group_by.iter().map(canonical::text).collect::<Vec<_>>()
    };
    let all = statement("CREATE STREAM s WITH (tag='t') AS SELECT * FROM STREAM:tail.0;");
    assert_eq!(all.stream.unwrap().text, "s");
    assert_eq!(all.tag.unwrap().text, "t");
    assert_eq!(all.source.kind, crate::ast::SourceKind::Name("tail.0".to_owned()));
    assert_eq!(keys("SELECT a FROM STREAM:m;"), [""; 0]);
    assert_eq!(keys("SELECT COUNT(*) FROM STREAM:m;"), ["time('1s')"]);
    assert_eq!(
        keys(
            "SELECT COUNT(*) FROM STREAM:m WINDOW TUMBLING (5 SECOND) WHERE a > 1 GROUP BY b, map['c'];"
        ),
        ["time('5s')", "b", "map_c"]
    );
    assert_eq!(
        keys(
            "SELECT COUNT(*) FROM STREAM:m WINDOW HOPPING (1 HOUR, ADVANCE BY 2 minutes) HAVING COUNT(*) > 1"
        ),
        ["hop('2m', '1h')"]
    );
}

#[test]
fn aggregates_of_a_pattern_are_called_by_it() {
    let name = |query: &str, name: &str| {
        let options = Options { name: name.to_owned(), ..Options::default() };
        bind::bind(&statement(query), &options).unwrap().name
    };
    let fixed = |name: &str| crate::plan::ResultName::Fixed(name.to_owned());
    for (pattern, wanted) in [
        ("app", "app_sql"),
        ("app.*", "app_sql"),
        ("*.log", "log_sql"),
        ("kube.*.web-1_*", "kube.web-1_sql"),
        ("*", "tag_sql"),
        ("**", "tag_sql"),
    ] {
        let query = format!("SELECT COUNT(*) FROM TAG:'{pattern}' WINDOW TUMBLING (5 SECOND);");
        assert_eq!(name(&query, ""), fixed(wanted));
        assert_eq!(name(&query, "set"), fixed("set"));
        assert_eq!(name(&format!("CREATE STREAM s AS {query}"), ""), fixed("s"));
    }
    let points = name("SELECT a FROM TAG:'app.*';", "");
    assert_eq!(points, crate::plan::ResultName::Derived);
}

#[test]
fn what_cannot_run_is_refused_with_its_place() {
    for (query, wanted) in [
        ("SELECT * FROM TAG:app", "line 1, column 15, at `TAG:app`: expected a quoted pattern"),
        ("SELECT * FROM STREAM:'x'", "line 1, column 15, at `STREAM:'x'`: expected the name"),
        (
            "SELECT *\nFROM STREAM:a WINDOW TUMBLING (0 SECOND)",
            "line 2, column 32, at `0`: expected a whole number",
        ),
        ("SELECT COUNT(*) FROM STREAM:a WINDOW TUMBLING (5 YEAR)", "at `YEAR`: expected SECOND"),
        (
            "SELECT COUNT(*) FROM STREAM:a WINDOW HOPPING (5 SECOND)",
            "column 55, at `)`: expected `, ADVANCE BY`",
        ),
        (
            "SELECT COUNT(*) FROM STREAM:a WINDOW HOPPING (5 SECOND, ADVANCE BY 6 SECOND)",
            "at `6 SECOND`: the window advances by more",
        ),
        (
            "SELECT COUNT(*) FROM STREAM:a WINDOW TUMBLING (99999999999 HOUR)",
            "longer than can be counted",
        ),
        ("SELECT * FROM STREAM:a LIMIT 5", "column 24, at `LIMIT`: LIMIT is not supported"),
        (
            "SELECT * FROM STREAM:a WHERE @record.age() > 1",
            "column 38, at `age`: the record's functions are",
        ),
        ("SELECT * FROM STREAM:a WHERE @record.contains(1)", "expected @record.contains(key)"),
        ("SELECT RECORD_TAG(a) FROM STREAM:a", "expected RECORD_TAG()"),
        (
            "SELECT * FROM STREAM:a WHERE @level = 'error'",
            "column 30, at `@`: the record's functions are @record.contains(key) and @record.time(); a key with an @ stands in double quotes",
        ),
        (
            "SELECT * FROM STREAM:my-app",
            "column 15, at `STREAM:my-`: expected the name of a stream",
        ),
        (
            "SELECT * FROM STREAM:tail.* WHERE a > 1",
            "at `STREAM:tail.*`: expected the name of a stream or measurement, such as FROM STREAM:cpu; one with other characters stands in double quotes: FROM STREAM:\"my-app\"; patterns stand in FROM TAG:'app.*'",
        ),
        (
            "CREATE STREAM my-s AS SELECT * FROM STREAM:a",
            "column 15, at `my-`: a name with other characters",
        ),
        (
            "CREATE STREAM s(tag='t') AS SELECT * FROM STREAM:a",
            "at `(`: expected [WITH (...)] AS SELECT",
        ),
        (
            "SELECT COUNT(*) FROM STREAM:a WINDOW SLIDING (5 SECOND)",
            "column 38, at `SLIDING`: there is no such window; the forms that work are WINDOW TUMBLING",
        ),
        ("SELECT map[1] FROM STREAM:a", "column 12, at `1`: expected a quoted key"),
        ("SELECT map[", "line 1"),
        ("SELECT a FROM STREAM:", "expected the name"),
        (
            "CREATE STREAM s WITH (seconds='5') AS SELECT a FROM STREAM:b",
            "column 23, at `seconds`: there is no property `seconds`",
        ),
        (
            "CREATE STREAM s WITH (tag=5) AS SELECT a FROM STREAM:b",
            "column 27, at `5`: expected WITH",
        ),
        ("CREATE STREAM s WITH (tag='') AS SELECT a FROM STREAM:b", "the tag is empty"),
        ("CREATE STREAM s WITH (tag='a', tag='b') AS SELECT a FROM STREAM:b", "twice"),
        (
            "CREATE STREAM s SELECT a FROM STREAM:b",
            "column 17, at `SELECT`: expected [WITH (...)] AS SELECT",
        ),
        (
            "CREATE STREAM s WITH (tag='t') AS SELECT a AS tag FROM STREAM:b",
            "a column is called `tag` too",
        ),
        (
            "SELECT a, MIN(a) FROM STREAM:b",
            "column 8, at `a`: a column in SELECT must stand in GROUP BY",
        ),
        ("SELECT *, COUNT(a) FROM STREAM:b", "`*` cannot be grouped"),
        (
            "SELECT TIMESERIES_FORECAST(a) FROM STREAM:b",
            "expected TIMESERIES_FORECAST(key, seconds)",
        ),
        (
            "SELECT a FROM STREAM:m LEFT JOIN STREAM:n ON a = b",
            "at `JOIN`: such a statement has one source",
        ),
        (
            "SELECT COUNT(*) FROM STREAM:a WINDOW TUMBLING (1 SECOND) WINDOW TUMBLING (2 SECOND)",
            "second window",
        ),
    ] {
        let got = refused(query);
        assert!(got.contains(wanted), "{query}\n{got}\n{wanted}");
    }
}

#[test]
fn ordinary_statements_stay_ordinary() {
    let statement = statement("SELECT sum(a), \"a.b\" FROM m WHERE a > 1 GROUP BY time('1s')");
    assert!(
        statement
            .items
            .iter()
            .all(|item| matches!(item, crate::ast::Item::Expr { alias: None, .. }))
    );
    assert_eq!(canonical::text(statement.filter.as_ref().unwrap()), "a > 1");
    assert!(refused("SELECT a FROM m:b").contains("FROM STREAM:name and FROM TAG:'pattern' work"));
}
