//! What is refused, with its place; what is accepted in several spellings.

use super::*;
use crate::parse;

fn error(query: &str) -> String {
    let bound = parse::parse(query).and_then(|statements| {
        statements.iter().try_for_each(|s| bind(s, &Options::default()).map(|_| ()))
    });
    match bound {
        Ok(()) => panic!("accepted: {query}"),
        Err(error) => error.sentence(query),
    }
}

/// Queries with the place of the error, the text that stands there, and a part of the sentence.
fn check(cases: &[(&str, &str, &str, &str)]) {
    for (query, place, text, part) in cases {
        let sentence = error(query);
        let expected = match text.is_empty() {
            true => format!("{place}: "),
            false => format!("{place}, at `{text}`: "),
        };
        assert!(sentence.starts_with(&expected), "{query}\n  got: {sentence}\n  not: {expected}");
        assert!(sentence.contains(part), "{query}\n  got: {sentence}\n  not: {part}");
    }
}

#[test]
fn statements_that_are_none() {
    check(&[
        ("", "line 1, column 1", "", "there is no statement"),
        (" ; ", "line 1, column 1", "", "there is no statement"),
        ("DELETE FROM cpu", "line 1, column 1", "DELETE", "expected SELECT or CREATE STREAM"),
        ("CREATE TABLE t", "line 1, column 8", "TABLE", "expected STREAM"),
        ("CREATE STREAM s SELECT 1", "line 1, column 17", "SELECT", "expected AS SELECT"),
        ("SELECT FROM cpu", "line 1, column 1", "SELECT FROM cpu", "expected columns"),
        ("SELECT a", "line 1, column 1", "SELECT a", "expected FROM"),
        ("SELECT a FROM", "line 1, column 14", "", "end of the statement"),
        ("SELECT a FROM cpu\nWHERE", "line 2, column 6", "", "end of the statement"),
        ("SELECT a,\n  b c d FROM m", "line 2, column 7", "d", "expected"),
        ("SELECT 'abc FROM m", "line 1, column 8", "", "Unterminated string literal"),
        ("SELECT a FROM m; SELECT", "line 1, column 24", "", "expected an expression"),
        ("SELECT a FROM m extra words", "line 1, column 23", "words", "expected the end"),
    ]);
}

#[test]
fn clauses_that_are_not_honoured() {
    check(&[
        ("SELECT a FROM m ORDER BY a", "line 1, column 26", "a", "ORDER BY is not supported"),
        ("SELECT a FROM m LIMIT 3", "line 1, column 23", "3", "LIMIT is not supported"),
        (
            "SELECT DISTINCT a FROM m",
            "line 1, column 1",
            "SELECT DISTINCT a FROM m",
            "SELECT DISTINCT",
        ),
        (
            "SELECT m.a FROM m JOIN n ON m.a = n.a",
            "line 1, column 29",
            "m.a = n.a",
            "the join has no bound in time, and streams have no end",
        ),
        (
            "SELECT m.a FROM m JOIN n ON m.a = n.a",
            "line 1, column 29",
            "m.a = n.a",
            "INTERVAL '5s'; if `n` is a table, [processors.sql.tables.n] or --table n=FILE names its file",
        ),
        (
            "SELECT a FROM m, n",
            "line 1, column 18",
            "n",
            "has no bound in time; the forms that work",
        ),
        ("SELECT a FROM (SELECT b FROM m)", "line 1, column 16", "SELECT b FROM m", "a subquery"),
        (
            "WITH x AS (SELECT 1) SELECT a FROM x",
            "line 1, column 1",
            "WITH",
            "expected SELECT or CREATE STREAM",
        ),
        (
            "SELECT a FROM m UNION SELECT a FROM n",
            "line 1, column 1",
            "SELECT a FROM m",
            "several statements",
        ),
        (
            "CREATE STREAM s WITH (tag='t') AS SELECT a FROM m",
            "line 1, column 17",
            "WITH",
            "not supported",
        ),
        (
            "SELECT sum(a) OVER (GROUPS 1 PRECEDING) FROM m",
            "line 1, column 8",
            "sum(a)",
            "GROUPS is not supported",
        ),
        ("SELECT time -> 'b' FROM m", "line 1, column 8", "time", "expected text -> 'key'"),
        (
            "SELECT date_trunc('day', time, 'Europe/Nowhere') FROM m",
            "line 1, column 32",
            "'Europe/Nowhere'",
            "no time zone that this system knows",
        ),
        (
            "SELECT date_trunc('day', time, host) FROM m",
            "line 1, column 32",
            "host",
            "expected a quoted time zone",
        ),
        ("SELECT n.a FROM m", "line 1, column 8", "n.a", "there is no source `n`, expected `m`"),
        ("SELECT m.a FROM m AS n", "line 1, column 8", "m.a", "`m` is called `n` here"),
        ("SELECT m.a.b FROM m", "line 1, column 8", "m.a.b", "such as cpu.host"),
        ("SELECT x.a FROM *", "line 1, column 8", "x.a", "give the source that name with AS"),
        (
            "SELECT a FROM m WHERE a IN (SELECT b FROM n)",
            "line 1, column 23",
            "a IN (SELECT b FROM n)",
            "a subquery",
        ),
    ]);
}

#[test]
fn aggregates_that_are_called_wrongly() {
    let cases = [
        ("count(DISTINCT *)", 8, "count", "expected count(DISTINCT x)"),
        ("lower(DISTINCT a)", 8, "lower(DISTINCT a)", "such as count(DISTINCT x)"),
        ("lower(a) FILTER (WHERE b > 1)", 31, "b > 1", "such as count(*) FILTER"),
        ("sum(a) FILTER (WHERE 5)", 29, "5", "expected a condition"),
        ("sum(a) FILTER (WHERE max(b) > 1)", 29, "max(b) > 1", "inside another"),
        ("sum(DISTINCT 'x')", 21, "'x'", "expected a number"),
        ("quantile(a)", 8, "quantile(a)", "expected quantile(x, p), such as quantile(x, 0.95)"),
        ("quantile(a, 95)", 20, "95", "from 0 to 1; expected quantile(x, p)"),
        ("quantile(a, -0.1)", 21, "0.1", "from 0 to 1"),
        ("quantile(a, b)", 20, "b", "the share is a constant from 0 to 1"),
        ("quantile('x', 0.5)", 17, "'x'", "this is text; expected a number"),
        ("median(a, 0.5)", 8, "median(a, 0.5)", "expected median(x)"),
        ("any_value(*)", 8, "any_value", "expected any_value(x)"),
        ("partial(a)", 16, "a", "expected partial(f(x)), such as partial(avg(x))"),
        ("partial(lower(a))", 16, "lower(a)", "expected partial(f(x))"),
        ("partial(partial(sum(a)))", 16, "partial(sum(a))", "expected partial(f(x))"),
        ("partial()", 8, "partial", "expected partial(f(x))"),
        (
            "partial(count(DISTINCT a))",
            16,
            "count(DISTINCT a)",
            "the form that works is partial(approx_distinct(x))",
        ),
        (
            "partial(sum(a)) FILTER (WHERE b > 1)",
            38,
            "b > 1",
            "FILTER belongs to the aggregate inside, as in partial(f(x) FILTER (WHERE condition))",
        ),
        ("merge(avg)", 8, "merge(avg)", "such as merge(avg, idle) or merge(quantile"),
        ("merge(a, b)", 14, "a", "there is no aggregate `a`; expected merge(f, column)"),
        ("merge('avg', b)", 14, "'avg'", "expected merge(f, column)"),
        ("merge(avg, b, 0.5)", 8, "merge(avg, b, 0.5)", "expected merge(f, column)"),
        ("merge(quantile, b)", 8, "merge(quantile, b)", "merge(quantile, idle, 0.95)"),
        ("merge(quantile, b, 2)", 27, "2", "from 0 to 1"),
        ("merge(avg, 5)", 19, "5", "this is an integer; expected states"),
        ("merge(DISTINCT avg, b)", 8, "merge(DISTINCT avg, b)", "states are merged"),
        ("sum(merge(avg, b))", 12, "merge(avg, b)", "inside another"),
        ("aprox_distinct(a)", 8, "aprox_distinct(a)", "did you mean approx_distinct?"),
        ("exact_quantile(a, 2)", 26, "2", "from 0 to 1; expected exact_quantile(x, p)"),
        ("forecast(a)", 8, "forecast(a)", "such as forecast(x, '1h')"),
        ("forecast(a, b)", 20, "b", "not a constant length of time"),
        ("forecast('x', '1h')", 17, "'x'", "expected a number"),
        ("histogram(a, 5)", 21, "5", "not a list of 1 to 20 constant numbers that rise"),
        ("histogram(a, ARRAY[2, 1])", 27, "2, 1", "numbers that rise"),
        ("histogram(a, ARRAY[b])", 27, "b", "not a constant number"),
        ("topk(a, 0)", 16, "0", "not a constant from 1 to 1000"),
        ("string_agg(a)", 8, "string_agg(a)", "such as string_agg(x, ', ')"),
        ("string_agg(a, b)", 22, "b", "a constant text of at most 16 bytes"),
        ("mode(DISTINCT a)", 8, "mode(DISTINCT a)", "DISTINCT cannot stand in mode"),
        ("partial(topk(a, 3))", 16, "topk(a, 3)", "the state of topk has no bound"),
        ("merge(rate, a)", 14, "rate", "rate has no states"),
        ("merge(histogram, a)", 8, "merge(histogram, a)", "expected merge(f, column)"),
    ];
    for (call, column, text, part) in cases {
        let query = format!("SELECT {call} AS x FROM m GROUP BY time('1s')");
        check(&[(&query, &format!("line 1, column {column}"), text, part)]);
    }
    check(&[(
        "SELECT a FROM m WHERE merge(avg, a) > 1",
        "line 1, column 23",
        "merge(avg, a)",
        "an aggregate cannot stand in WHERE",
    )]);
}

#[test]
fn names_and_kinds_that_do_not_fit() {
    check(
        &[
            ("SELECT lowr(a) FROM m", "line 1, column 8", "lowr(a)", "did you mean lower?"),
            (
                "SELECT round() FROM m",
                "line 1, column 8",
                "round",
                "expected round(number [, integer])",
            ),
            (
                "SELECT lower(a, b) FROM m",
                "line 1, column 8",
                "lower(a, b)",
                "expected lower(text)",
            ),
            (
                "SELECT lower(5) FROM m",
                "line 1, column 14",
                "5",
                "this is an integer; expected lower(text)",
            ),
            ("SELECT 'a' + time FROM m", "line 1, column 8", "'a' + time", "do not go together"),
            ("SELECT a FROM m WHERE 5", "line 1, column 23", "5", "expected a condition"),
            (
                "SELECT a FROM m WHERE a > 1 AND time",
                "line 1, column 33",
                "time",
                "expected a condition",
            ),
            (
                "SELECT a FROM m\nWHERE lower(host) > time",
                "line 2, column 7",
                "lower(host) > time",
                "cannot be compared",
            ),
            ("SELECT a FROM m WHERE a ~ '('", "line 1, column 27", "'('", "no regular expression"),
            (
                "SELECT a FROM m WHERE a LIKE b",
                "line 1, column 30",
                "b",
                "expected a quoted pattern",
            ),
            (
                "SELECT a FROM m WHERE host LIKE 'a%\\'",
                "line 1, column 33",
                "'a%\\'",
                "ends in its escape character; write `\\\\`",
            ),
            (
                "SELECT a FROM m WHERE host NOT ILIKE 'a!!!' ESCAPE '!'",
                "line 1, column 38",
                "'a!!!'",
                "write `!!` for that character itself",
            ),
            (
                "SELECT CASE WHEN a THEN 1 ELSE 'x' END FROM m",
                "line 1, column 32",
                "'x'",
                "this is text, another branch is an integer",
            ),
            ("SELECT a::date FROM m", "line 1, column 8", "a", "cannot cast to DATE"),
            (
                "SELECT a::VARCHAR(2) FROM m",
                "line 1, column 8",
                "a",
                "cannot cast to VARCHAR(2): casts cut nothing off; write VARCHAR, and left(",
            ),
            (
                "SELECT CAST(a AS DECIMAL(10,2)) FROM m",
                "line 1, column 13",
                "a",
                "DECIMAL(10,2): casts",
            ),
            ("SELECT a::TIMESTAMP(0) FROM m", "line 1, column 8", "a", "date_trunc(unit, time)"),
            (
                "SELECT date_bin('0s', time) FROM m",
                "line 1, column 17",
                "'0s'",
                "expected a length of time above 0",
            ),
            (
                "SELECT time_bucket(INTERVAL '-5m', time) FROM m",
                "line 1, column 20",
                "INTERVAL '-5m'",
                "expected a length of time above 0",
            ),
            ("SELECT a GLOB 'x*' FROM m", "line 1, column 10", "GLOB", "there is no operator GLOB"),
            (
                "SELECT a && b FROM m",
                "line 1, column 8",
                "a && b",
                "the operator && is not supported; write AND",
            ),
            ("SELECT `a` FROM m", "line 1, column 8", "`", "names stand in double quotes"),
            (
                "SELECT 99999999999999999999 FROM m",
                "line 1, column 8",
                "99999999999999999999",
                "does not fit 64 bits",
            ),
            (
                "SELECT INTERVAL '1 month' FROM m",
                "line 1, column 17",
                "'1 month'",
                "no fixed length",
            ),
            (
                "SELECT a AS x, b AS x FROM m",
                "line 1, column 21",
                "x",
                "two columns are called `x`",
            ),
            (
                "SELECT a AS time FROM m; SELECT 5 AS time FROM m",
                "line 1, column 38",
                "time",
                "cannot be an integer",
            ),
            ("SELECT extract(age from time) FROM m", "line 1, column", "", ""),
        ][..16],
    );
}

#[test]
fn windows_and_groups() {
    check(&[
        (
            "SELECT avg(a) FROM m",
            "line 1, column 1",
            "SELECT avg(a) FROM m",
            "write GROUP BY time('10s')",
        ),
        (
            "SELECT avg(a) FROM m GROUP BY host",
            "line 1, column 1",
            "SELECT avg(a) FROM m GROUP BY host",
            "need a window",
        ),
        (
            "SELECT host, avg(a) FROM m GROUP BY time('10s')",
            "line 1, column 8",
            "host",
            "must stand in GROUP BY",
        ),
        (
            "SELECT time, avg(a) FROM m GROUP BY time('10s')",
            "line 1, column 8",
            "time",
            "window_start()",
        ),
        (
            "SELECT avg(a) FROM m GROUP BY time('10x')",
            "line 1, column 36",
            "'10x'",
            "no length of time",
        ),
        (
            "SELECT avg(a) FROM m GROUP BY time('0s')",
            "line 1, column 36",
            "'0s'",
            "longer than nothing",
        ),
        (
            "SELECT avg(a) FROM m GROUP BY time('1s'), tumble('2s')",
            "line 1, column 43",
            "tumble('2s')",
            "a second window",
        ),
        (
            "SELECT avg(max(a)) FROM m GROUP BY time('1s')",
            "line 1, column 12",
            "max(a)",
            "inside another",
        ),
        ("SELECT a FROM m WHERE avg(a) > 1", "line 1, column 23", "avg(a)", "stand in HAVING"),
        ("SELECT a FROM m HAVING a > 1", "line 1, column 24", "a > 1", "HAVING needs GROUP BY"),
        ("SELECT window_start() FROM m", "line 1, column 8", "window_start", "no window"),
        (
            "SELECT *, avg(a) FROM m GROUP BY time('1s')",
            "line 1, column 8",
            "*",
            "cannot be grouped",
        ),
        ("SELECT avg(a) FROM * GROUP BY time('1s')", "line 1, column 20", "*", "needs a name"),
        ("SELECT avg(a) FROM m GROUP BY 2, time('1s')", "line 1, column 31", "2", "1 to 1"),
        (
            "SELECT sum('x') FROM m GROUP BY time('1s')",
            "line 1, column 12",
            "'x'",
            "expected a number",
        ),
        (
            "SELECT sum(a, b) FROM m GROUP BY time('1s')",
            "line 1, column 8",
            "sum(a, b)",
            "expected sum(x)",
        ),
    ]);
}

fn aggregate_of(query: &str) -> Aggregate {
    let statements = match parse::parse(query) {
        Ok(statements) => statements,
        Err(error) => panic!("{}", error.sentence(query)),
    };
    match bind(&statements[0], &Options::default()) {
        Ok(Plan { action: Action::Aggregate(aggregate), .. }) => aggregate,
        Ok(_) => panic!("no window: {query}"),
        Err(error) => panic!("{}", error.sentence(query)),
    }
}

#[test]
fn spellings_of_a_window() {
    const S: i64 = 1_000_000_000;
    for (window, expected) in [
        ("time('10s')", (10 * S, 0)),
        ("time(10s)", (10 * S, 0)),
        ("time(1h30m)", (5400 * S, 0)),
        ("time(INTERVAL '10 seconds')", (10 * S, 0)),
        ("time('1m', '5s')", (60 * S, 5 * S)),
        ("time('1m', -5s)", (60 * S, -5 * S)),
        ("TUMBLE('10s')", (10 * S, 0)),
        ("tumble(INTERVAL '1' MINUTE)", (60 * S, 0)),
        ("date_bin('10s', time)", (10 * S, 0)),
        ("date_bin(INTERVAL '10 seconds', time, '1970-01-01T00:00:03Z')", (10 * S, 3 * S)),
        ("time_bucket('10s', time)", (10 * S, 0)),
        ("time('1d')", (86_400 * S, 0)),
    ] {
        let (size, offset) = expected;
        let found = aggregate_of(&format!("SELECT avg(a) FROM m GROUP BY {window}")).window;
        assert_eq!(found, Window::Tumbling { size, offset }, "{window}");
    }
    for (window, expected) in [
        ("hop('10s', '1m')", Window::Hop { slide: 10 * S, size: 60 * S }),
        ("HOP(10s, 1m)", Window::Hop { slide: 10 * S, size: 60 * S }),
        (
            "hop(INTERVAL '10 seconds', INTERVAL '1' MINUTE)",
            Window::Hop { slide: 10 * S, size: 60 * S },
        ),
        ("hop('7s', '1m30s')", Window::Hop { slide: 7 * S, size: 90 * S }),
        ("hop('10s', '10s')", Window::Tumbling { size: 10 * S, offset: 0 }),
        ("session('30s')", Window::Session { gap: 30 * S }),
        ("session(30s)", Window::Session { gap: 30 * S }),
        ("session(INTERVAL '30 seconds')", Window::Session { gap: 30 * S }),
        ("rows(100)", Window::Rows { count: 100 }),
        ("ROWS(1)", Window::Rows { count: 1 }),
    ] {
        let found = aggregate_of(&format!("SELECT avg(a) FROM m GROUP BY {window}, b")).window;
        assert_eq!(found, expected, "{window}");
    }
}

#[test]
fn windows_that_are_none() {
    for (window, column, text, part) in [
        ("hop('10s')", 31, "hop('10s')", "expected hop('10s', '1m'), the slide and the size"),
        ("hop('1m', '10s')", 35, "'1m'", "the slide comes first, such as hop('10s', '1m')"),
        ("hop('0s', '10s')", 35, "'0s'", "a slide must be longer than nothing"),
        ("hop('10s', '0s')", 42, "'0s'", "a window must be longer than nothing"),
        ("hop(-5s, 10s)", 36, "5s", "a slide must be longer than nothing"),
        ("hop('10s', 5)", 42, "5", "this is no length of time; expected hop('10s', '1m')"),
        ("hop(DISTINCT '1s', '2s')", 31, "hop", "expected hop"),
        ("hop('1ms', '1m')", 31, "hop('1ms', '1m')", "60000 panes, at most 10000 are possible"),
        ("session()", 31, "session", "expected session('30s'), the silence that ends one"),
        ("session('0s')", 39, "'0s'", "longer than nothing"),
        ("session('-1s')", 39, "'-1s'", "longer than nothing"),
        ("session(30)", 39, "30", "no length of time; expected session('30s')"),
        ("session('30s', '1m')", 31, "session('30s', '1m')", "expected session('30s')"),
        ("rows()", 31, "rows", "expected rows(100), the number of points"),
        ("rows(0)", 36, "0", "no number from 1 to 1000000000; expected rows(100)"),
        ("rows(-1)", 37, "1", "expected rows(100)"),
        ("rows('10')", 36, "'10'", "expected rows(100)"),
        ("rows(1.5)", 36, "1.5", "expected rows(100)"),
        ("hop('1s', '2s'), session('1s')", 48, "session('1s')", "there is a second window"),
        ("rows(5), time('1s')", 40, "time('1s')", "there is a second window"),
    ] {
        let query = format!("SELECT sum(a) FROM m GROUP BY {window}");
        let sentence = error(&query);
        let place = format!("line 1, column {column}, at `{text}");
        assert!(sentence.starts_with(&place) && sentence.contains(part), "{query}\n{sentence}");
    }
    check(&[
        ("SELECT hop('1s', '2s') FROM m", "line 1, column 8", "hop('1s', '2s')", "in GROUP BY"),
        (
            "SELECT a FROM m WHERE rows(5) > 1",
            "line 1, column 23",
            "rows(5)",
            "the window stands in GROUP BY",
        ),
    ]);
}

#[test]
fn group_keys_by_name_and_place() {
    for query in [
        "SELECT time_bucket('10s', time) AS t, lower(host) AS h, avg(a) FROM m GROUP BY t, h",
        "SELECT time_bucket('10s', time) AS t, lower(host) AS h, avg(a) FROM m GROUP BY 1, 2",
        "SELECT time_bucket('10s', time) AS t, lower(host) AS h, avg(a) FROM m GROUP BY time_bucket('10s', time), LOWER(host)",
    ] {
        let aggregate = aggregate_of(query);
        assert_eq!(aggregate.keys.len(), 1, "{query}");
        assert!(matches!(aggregate.outputs[0].node, Node::WindowStart), "{query}");
        assert!(matches!(aggregate.outputs[1].node, Node::Key(0)), "{query}");
    }
}

#[test]
fn equal_aggregates_are_computed_once() {
    let aggregate = aggregate_of(
        "SELECT avg(a), avg(a) + 1 AS more, mean(a) AS m, max(a) FROM m GROUP BY time('1s') HAVING avg(a) > 1",
    );
    assert_eq!((aggregate.aggregates.len(), aggregate.inputs.len()), (2, 1));
    let names: Vec<&str> = aggregate.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, ["avg(a)", "more", "m", "max(a)"]);
}

#[test]
fn names_of_columns_tell_filters_and_distinct_apart() {
    let aggregate = aggregate_of(
        "SELECT count(*), COUNT(*) filter (where a>1), count(distinct b), sum(b) FILTER (WHERE a > 1),
         partial(avg(b)), merge(QUANTILE, c, 0.5) FROM m GROUP BY time('1s')",
    );
    let names: Vec<&str> = aggregate.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "count(*)",
            "count(*) FILTER (WHERE a > 1)",
            "count(DISTINCT b)",
            "sum(b) FILTER (WHERE a > 1)",
            "partial(avg(b))",
            "merge(QUANTILE, c, 0.5)",
        ]
    );
    assert_eq!(aggregate.inputs.len(), 4);
}

#[test]
fn hostile_queries_end_in_an_error() {
    let deep = "(".repeat(5000) + "a" + &")".repeat(5000);
    for query in [
        format!("SELECT {deep} FROM m"),
        format!("SELECT {} FROM m", "- ".repeat(3000) + "a"),
        format!("SELECT {} FROM m", vec!["a"; 3000].join(" + ")),
        format!("SELECT {} FROM m", "NOT ".repeat(3000) + "a"),
        format!("SELECT {} FROM m", "CASE WHEN a THEN ".repeat(500)),
        format!("SELECT a FROM m WHERE a ~ '{}'", "(a{1000}){1000}"),
        "x".repeat(100_000),
        "SELECT a FROM m;".repeat(100),
    ] {
        assert!(!error(&query).is_empty());
    }
    let long = vec!["a = 1"; 1500].join(" OR ");
    assert!(parse::parse(&format!("SELECT a FROM m WHERE {long}")).is_ok());
}

/// What joins refuse, each with its place and the form that works.
#[test]
fn joins_that_cannot_be_honoured() {
    let on = "ON a.k = b.k AND b.time BETWEEN a.time AND a.time + INTERVAL '5s'";
    let cases = [
        ("a RIGHT JOIN b", "b", "the sources the other way round with LEFT JOIN"),
        ("a FULL JOIN b", "b", "two statements with LEFT JOIN"),
        ("a LEFT SEMI JOIN b", "b", "SEMI JOIN is not supported; the form that works is a [LEFT]"),
        ("a LEFT ANTI JOIN b", "b", "WHERE b.time IS NULL"),
        ("a JOIN (SELECT 1) AS b", "SELECT 1) AS b", "a subquery is not supported"),
        (
            "a JOIN a",
            "a",
            "both sources are called `a`; give them names, such as a AS a JOIN a AS b",
        ),
        ("a JOIN measurements('x*')", "measurements", "write measurements('a*') AS a"),
        ("* JOIN b", "*", "write measurements('a*') AS a"),
    ];
    for (from, text, part) in cases {
        let query = format!("SELECT a.v FROM {from} {on}");
        let sentence = error(&query);
        assert!(sentence.contains(&format!("at `{text}`: ")), "{query}\n  got: {sentence}");
        assert!(sentence.contains(part), "{query}\n  got: {sentence}");
    }
    check(&[
        ("SELECT a.v FROM a CROSS JOIN b", "line 1, column 30", "b", "has no bound in time"),
        ("SELECT a.v FROM a NATURAL JOIN b", "line 1, column 32", "b", "NATURAL"),
        (
            "SELECT a.v FROM a JOIN b",
            "line 1, column 24",
            "b",
            "add AND b.time BETWEEN a.time AND a.time + INTERVAL '5s'",
        ),
        (
            "SELECT a.v FROM a JOIN b USING (k)",
            "line 1, column 24",
            "b",
            "the join has no bound in time",
        ),
        (
            "SELECT a.v FROM a JOIN b ON b.time >= a.time",
            "line 1, column 29",
            "b.time >= a.time",
            "no bound for later partners",
        ),
        (
            "SELECT a.v FROM a JOIN b ON b.time < a.time",
            "line 1, column 29",
            "b.time < a.time",
            "no bound for earlier partners",
        ),
        (
            "SELECT a.v FROM a JOIN b ON b.time BETWEEN a.time + INTERVAL '1s' AND a.time",
            "line 1, column 29",
            "b.time BETWEEN a.time + INTERVAL '1s' AND a.time",
            "the lower is above the upper",
        ),
        (
            "SELECT a.v FROM a JOIN b ON a.k = b.k JOIN c ON a.k = c.k",
            "line 1, column 44",
            "c",
            "a third source is not supported; write CREATE STREAM",
        ),
        (
            "SELECT a.v FROM a ASOF JOIN b MATCH_CONDITION (a.time <= b.time) ON a.k = b.k",
            "line 1, column 48",
            "a.time <= b.time",
            "MATCH_CONDITION (a.time >= b.time), or with >",
        ),
        (
            "SELECT a.v FROM a ASOF JOIN b MATCH_CONDITION (a.v >= b.v) ON a.k = b.k",
            "line 1, column 48",
            "a.v >= b.v",
            "MATCH_CONDITION (a.time >= b.time)",
        ),
        (
            "SELECT a.v FROM a ASOF JOIN b MATCH_CONDITION (a.time >= b.time) ON a.k < b.k",
            "line 1, column 69",
            "a.k < b.k",
            "in an ASOF JOIN a condition on both sources is an equality or a bound in time",
        ),
        (
            "SELECT a.v FROM a ASOF JOIN b ON a.k = b.k",
            "line 1, column 31",
            "ON",
            "MATCH_CONDITION",
        ),
    ]);
    let queries = [
        ("SELECT v FROM a JOIN b", 8, "v", "columns name theirs: a.v or b.v"),
        ("SELECT tag('v') AS x FROM a JOIN b", 8, "tag('v')", "a.tag('v') or b.tag('v')"),
        ("SELECT a.v, c.v FROM a JOIN b", 13, "c.v", "no source `c`, expected `a` or `b`"),
        ("SELECT * FROM a JOIN b", 8, "*", "write a.x, b.y AS z"),
        ("SELECT a.v, b.v FROM a JOIN b", 13, "b.v", "two columns are called `v`"),
        ("SELECT a.time, b.time FROM a JOIN b", 16, "b.time", "two columns are called `time`"),
        ("SELECT a.v FROM x a JOIN y b WHERE x.v > 1", 0, "x.v", "`x` is called `a` here"),
    ];
    for (query, column, text, part) in queries {
        let (query, filter) = query.split_once(" WHERE").unwrap_or((query, ""));
        let filter = if filter.is_empty() { String::new() } else { format!(" WHERE{filter}") };
        let sentence = error(&format!("{query} {on}{filter}"));
        let place = format!("column {column}, ");
        assert!(column == 0 || sentence.contains(&place), "{query}\n  got: {sentence}");
        assert!(sentence.contains(&format!("at `{text}`: ")), "{query}\n  got: {sentence}");
        assert!(sentence.contains(part), "{query}\n  got: {sentence}");
    }
    let conditions = [
        ("LEFT JOIN", "a.v < b.v", "in a LEFT JOIN a condition on both sources"),
        ("JOIN", "count(a.v) > 1", "an aggregate cannot stand in ON"),
        ("JOIN", "lower(a.s) = b.time", "text cannot be compared with a time"),
        ("JOIN", "v = 1", "columns name theirs: a.v or b.v"),
    ];
    for (kind, condition, part) in conditions {
        let sentence = error(&format!("SELECT a.v FROM a {kind} b {on} AND {condition}"));
        assert!(sentence.contains(part), "{condition}\n  got: {sentence}");
    }
    let globs = format!("SELECT a.v FROM measurements('x*') a JOIN b {on}");
    assert!(error(&globs).contains("need a name; write CREATE STREAM name AS SELECT"));
}
