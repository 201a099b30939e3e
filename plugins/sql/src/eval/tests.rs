//! Expressions over one point, through the whole processor: `a` is 7, `b` 2, `f` 1.5, `z` 0, `u` the
//! greatest unsigned integer, `i` the least and `j` the greatest signed one, `t` and `s` are texts,
//! `yes` and `no` Booleans; `nothing` is NULL; `host` is a tag.

use headwater_plugin_api::batch::{BatchBuilder, Value};
use headwater_plugin_api::testkit;

use crate::sql::Sql;

fn field(expr: &str) -> (Option<String>, u64) {
    let query = format!("SELECT {expr} AS r, 1 AS one FROM m");
    let mut sql = match testkit::processor::<Sql>(&format!("query = '''{query}'''")) {
        Ok(sql) => sql,
        Err(error) => panic!("{expr}: {error}"),
    };
    let mut builder = BatchBuilder::default();
    let point = builder.point("m").tag("host", "web-1").field("a", 7_i64).field("b", 2_i64);
    let point = point.field("f", 1.5).field("z", 0_i64).field("u", u64::MAX);
    let point =
        point.field("i", i64::MIN).field("j", i64::MAX).field("t", "Text").field("s", "a,b,c");
    point.field("yes", true).field("no", false).finish(1_700_000_000_250_000_000).unwrap();
    let (got, result) = sql.process(1_700_000_001_000_000_000, builder.finish().unwrap());
    result.unwrap();
    let made = got.batches.iter().flat_map(|batch| batch.points());
    let made = made.into_iter().find(|point| point.series().name() == "m_sql").unwrap();
    let text = made.field("r").map(|value| match value {
        Value::F64(v) => format!("{v:?}"),
        Value::I64(v) => format!("{v}"),
        Value::U64(v) => format!("{v}u"),
        Value::Bool(v) => format!("{v}"),
        Value::Text(v) => format!("'{v}'"),
        Value::Unknown { .. } => "?".into(),
    });
    let failed = ["overflow", "division_by_zero", "kinds", "cast", "domain", "size"]
        .iter()
        .map(|kind| sql.host.metric(&format!("failures_{kind}")))
        .sum();
    (text, failed)
}

/// Expressions with their values, none of which fails.
fn check(cases: &[(&str, &str)]) {
    for (expr, expected) in cases {
        let (got, failed) = field(expr);
        assert_eq!(got.as_deref().unwrap_or("NULL"), *expected, "{expr}");
        assert_eq!(failed, 0, "{expr}");
    }
}

/// Expressions that are NULL because they fail, which is counted once.
fn fails(cases: &[&str]) {
    for expr in cases {
        assert_eq!(field(expr), (None, 1), "{expr}");
    }
}

#[test]
fn arithmetic_is_that_of_postgres() {
    check(&[
        ("a / b", "3"),
        ("-a / b", "-3"),
        ("a % b", "1"),
        ("-a % b", "-1"),
        ("a / 2.0", "3.5"),
        ("a + f", "8.5"),
        ("a - b - 1", "4"),
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4", "20"),
        ("-f", "-1.5"),
        ("2 ^ 10", "1024.0"),
        ("'5' + a", "12"),
    ]);
}

#[test]
fn integers_keep_all_their_bits_and_what_fits_no_type_is_null() {
    check(&[
        ("j + 1", "9223372036854775808u"),
        ("u - 1", "18446744073709551614u"),
        ("u - u", "0u"),
        ("i + u", "9223372036854775807u"),
        ("j - 1", "9223372036854775806"),
        ("z - j - 1", "-9223372036854775808"),
        ("9007199254740993", "9007199254740993"),
        ("u > j", "true"),
        ("i < u", "true"),
        ("u", "18446744073709551615u"),
        ("-j", "-9223372036854775807"),
    ]);
    fails(&["u + 1", "i - 1", "u * u", "-u", "i * 2 * 2 - u"]);
}

#[test]
fn division_by_zero_is_null() {
    fails(&["a / z", "f / z", "a % z", "1 / 0", "mod(a, 0)"]);
    check(&[("CASE WHEN z <> 0 THEN a / z ELSE -1 END", "-1"), ("z <> 0 AND a / z > 1", "false")]);
}

#[test]
fn three_valued_logic() {
    let values = [("TRUE", "yes"), ("FALSE", "no"), ("NULL", "nothing = 1")];
    let and = ["true", "false", "NULL", "false", "false", "false", "NULL", "false", "NULL"];
    let or = ["true", "true", "true", "true", "false", "NULL", "true", "NULL", "NULL"];
    for (row, (x, x_field)) in values.iter().enumerate() {
        for (column, (y, y_field)) in values.iter().enumerate() {
            for (a, b) in [(x, y), (x_field, y_field), (x, y_field)] {
                check(&[
                    (&format!("({a}) AND ({b})"), and[row * 3 + column]),
                    (&format!("({a}) OR ({b})"), or[row * 3 + column]),
                ]);
            }
        }
    }
    check(&[
        ("NOT yes", "false"),
        ("NOT (nothing = 1)", "NULL"),
        ("nothing = nothing", "NULL"),
        ("nothing IS NULL", "true"),
        ("nothing IS NOT NULL", "false"),
        ("a IS NULL", "false"),
        ("(nothing > 1) IS TRUE", "false"),
        ("(nothing > 1) IS NOT TRUE", "true"),
        ("(nothing > 1) IS NOT FALSE", "true"),
        ("(nothing > 1) IS UNKNOWN", "true"),
        ("nothing IS DISTINCT FROM a", "true"),
        ("nothing IS NOT DISTINCT FROM NULL", "true"),
        ("a IS DISTINCT FROM 7", "false"),
        ("nothing + 1", "NULL"),
    ]);
}

#[test]
fn lists_and_ranges() {
    check(&[
        ("a IN (1, 7)", "true"),
        ("a IN (1, 2)", "false"),
        ("a IN (1, NULL)", "NULL"),
        ("a IN (7, NULL)", "true"),
        ("a NOT IN (1, NULL)", "NULL"),
        ("a NOT IN (1, 2)", "true"),
        ("nothing IN (1)", "NULL"),
        ("a BETWEEN 7 AND 9", "true"),
        ("a NOT BETWEEN 7 AND 9", "false"),
        ("a BETWEEN 8 AND nothing", "false"),
        ("a BETWEEN 1 AND nothing", "NULL"),
        ("f IN (1.5, 2)", "true"),
        ("host IN ('web-1', 'web-2')", "true"),
    ]);
}

#[test]
fn comparisons_mix_kinds_as_sql_does() {
    check(&[
        ("a = 7.0", "true"),
        ("a > f", "true"),
        ("a = '7'", "true"),
        ("'Text' = t", "true"),
        ("t < 'Z'", "true"),
        ("yes = 'on'", "true"),
        ("time > '2023-01-01'", "true"),
        ("time < now()", "true"),
        ("measurement = 'm'", "true"),
        ("7 < a", "false"),
        ("no < yes", "true"),
    ]);
    fails(&["a = t", "t > f", "yes = a", "t + 1", "NOT t", "a LIKE 'x'"]);
}

#[test]
fn choices() {
    check(&[
        ("CASE WHEN a > 5 THEN 'high' WHEN a > 1 THEN 'mid' ELSE 'low' END", "'high'"),
        ("CASE a WHEN 1 THEN 'one' WHEN 7 THEN 'seven' END", "'seven'"),
        ("CASE WHEN nothing > 1 THEN 1 END", "NULL"),
        ("CASE WHEN no THEN 1 ELSE 2.5 END", "2.5"),
        ("CASE WHEN yes THEN 1 ELSE 2.5 END", "1.0"),
        ("COALESCE(nothing, a, b)", "7"),
        ("COALESCE(nothing, 'none')", "'none'"),
        ("NULLIF(a, 7)", "NULL"),
        ("NULLIF(a, 8)", "7"),
        ("LEAST(a, f, nothing)", "1.5"),
        ("GREATEST(a, b, 5)", "7"),
        ("GREATEST(nothing, NULL)", "NULL"),
    ]);
}

#[test]
fn casts() {
    check(&[
        ("CAST(f AS BIGINT)", "2"),
        ("2.5::int", "2"),
        ("'42'::bigint", "42"),
        ("a::text", "'7'"),
        ("f::text", "'1.5'"),
        ("yes::text", "'true'"),
        ("'1e3'::double precision", "1000.0"),
        ("a::double", "7.0"),
        ("'t'::boolean", "true"),
        ("'Tru'::boolean", "true"),
        ("'of'::boolean", "false"),
        ("a::boolean", "true"),
        ("nothing::text", "NULL"),
        ("CAST(u AS TEXT)", "'18446744073709551615'"),
        ("time::text", "'2023-11-14T22:13:20.25Z'"),
        ("TIMESTAMP '1970-01-01T00:00:01Z'", "1000000000"),
        ("'1970-01-02'::timestamp", "86400000000000"),
    ]);
    fails(&[
        "t::bigint",
        "u::bigint",
        "'x'::double",
        "t::timestamp",
        "1e300::bigint",
        "t::boolean",
        "'o'::boolean",
    ]);
}

#[test]
fn mathematics() {
    check(&[
        ("abs(-7)", "7"),
        ("abs(-f)", "1.5"),
        ("round(2.5)", "2.0"),
        ("round(3.5)", "4.0"),
        ("round(1.005, 2)", "1.01"),
        ("round(-2.345, 1)", "-2.3"),
        ("round(1234.5, -2)", "1200.0"),
        ("round(1e15, 0)", "1000000000000000.0"),
        ("round(-9223372036854775808, -4)", "-9.22337203685478e18"),
        ("round(2.4999999999999996, 0)", "2.0"),
        ("round(-0.04, 1)", "0.0"),
        ("round(7, -1)", "10.0"),
        ("round(4, -1)", "0.0"),
        ("round(9.9996, 3)", "10.0"),
        ("round(50000000000000.125, 2)", "50000000000000.13"),
        ("round(f, 400)", "1.5"),
        ("floor(-1.5)", "-2.0"),
        ("ceil(1.2)", "2.0"),
        ("ceiling(f)", "2.0"),
        ("trunc(-1.7)", "-1.0"),
        ("sqrt(16)", "4.0"),
        ("exp(0)", "1.0"),
        ("ln(1)", "0.0"),
        ("log10(1000)", "3.0"),
        ("pow(2, 3)", "8.0"),
        ("power(2, 0.5) = sqrt(2)", "true"),
        ("mod(a, 4)", "3"),
        ("sign(-3.2)", "-1.0"),
        ("sqrt(nothing)", "NULL"),
    ]);
    fails(&["sqrt(-1)", "ln(0)", "exp(1000)", "abs(t)"]);
}

#[test]
fn text() {
    check(&[
        ("lower(t)", "'text'"),
        ("upper(host)", "'WEB-1'"),
        ("lower('ΟΔΟΣ İx')", "'οδοσ ix'"),
        ("upper('größe')", "'GRÖßE'"),
        ("trim('  x ')", "'x'"),
        ("trim(BOTH 'x' FROM 'xaxx')", "'a'"),
        ("ltrim('xxa', 'x')", "'a'"),
        ("length('größe')", "5"),
        ("octet_length('größe')", "7"),
        ("substr(t, 2)", "'ext'"),
        ("substring(t from 2 for 2)", "'ex'"),
        ("substr(t, 0, 2)", "'T'"),
        ("substr(t, 9)", "''"),
        ("left(t, 2)", "'Te'"),
        ("left(t, -1)", "'Tex'"),
        ("right(t, 2)", "'xt'"),
        ("replace(s, ',', ';')", "'a;b;c'"),
        ("split_part(s, ',', 2)", "'b'"),
        ("split_part(s, ',', -1)", "'c'"),
        ("split_part(s, ',', 9)", "''"),
        ("concat(t, a, nothing, yes)", "'Text7true'"),
        ("concat_ws('-', t, nothing, a)", "'Text-7'"),
        ("t || '-' || a", "'Text-7'"),
        ("t || nothing", "NULL"),
        ("starts_with(host, 'web')", "true"),
        ("ends_with(host, '-2')", "false"),
        ("contains(host, 'b-')", "true"),
        ("position('x' in t)", "3"),
        ("reverse('abc')", "'cba'"),
        ("repeat('ab', 3)", "'ababab'"),
        ("lpad('7', 3, '0')", "'007'"),
        ("rpad('abc', 2)", "'ab'"),
        ("regexp_replace(s, '[a-b]', 'x')", "'x,b,c'"),
        ("regexp_replace(s, '([a-b])', '<\\1>', 'g')", "'<a>,<b>,c'"),
        ("regexp_replace(t, 'TEXT', '$0', 'i')", "'$0'"),
        ("regexp_extract(host, '([a-z]+)-([0-9]+)', 2)", "'1'"),
        ("regexp_extract(host, 'x')", "NULL"),
    ]);
    fails(&["repeat('x', 2000000)", "split_part(s, ',', 0)", "substr(s, 1, -1)"]);
}

#[test]
fn patterns() {
    check(&[
        ("host LIKE 'web-%'", "true"),
        ("host LIKE 'web_1'", "true"),
        ("host NOT LIKE 'WEB%'", "true"),
        ("host ILIKE 'WEB%'", "true"),
        ("nothing LIKE 'x'", "NULL"),
        ("'50%' LIKE '50!%' ESCAPE '!'", "true"),
        ("host ~ '^web-[0-9]$'", "true"),
        ("host !~ 'db'", "true"),
        ("host ~* 'WEB'", "true"),
        ("field('a') = 7", "true"),
        ("tag('host')", "'web-1'"),
        ("field('host')", "NULL"),
        ("tag('a')", "NULL"),
    ]);
}

#[test]
fn times() {
    check(&[
        ("time + INTERVAL '1 second' - time", "1000000000"),
        ("time - INTERVAL '250ms'", "1700000000000000000"),
        ("date_trunc('minute', time)", "1699999980000000000"),
        ("date_bin('10s', time)", "1700000000000000000"),
        ("time_bucket('1 hour', time, '1970-01-01T00:30:00Z')", "1699997400000000000"),
        ("extract(hour from time)", "22.0"),
        ("extract(second from time)", "20.25"),
        ("date_part('year', time)", "2023.0"),
        ("to_unixtime(time)", "1700000000.25"),
        ("to_unixtime(TIMESTAMP '1969-12-31T23:59:59.999999Z')", "-1e-6"),
        ("from_unixtime(a)", "7000000000"),
        ("from_unixtime(1.25)", "1250000000"),
        ("INTERVAL '1h' / 2", "1800000000000"),
        ("INTERVAL '1s' * 90", "90000000000"),
        (
            "(TIMESTAMP '2030-01-01T00:00:00.000000007Z' - TIMESTAMP '1990-01-01') * 3",
            "3786912000000000021",
        ),
        ("3 * (INTERVAL '400 days 1ns')", "103680000000000003"),
        ("INTERVAL '400 days 3ns' / 2", "17280000000000002"),
        ("INTERVAL '-1ns' / 2", "0"),
        ("INTERVAL '7ns' / -2", "-4"),
        ("INTERVAL '8ns' / -3", "-3"),
        ("now() - time", "750000000"),
        ("INTERVAL '90 seconds' = '1m30s'", "true"),
    ]);
}
