//! The reference page: each of its examples is run.

use super::*;
use crate::bind::names::AGGREGATES;
use crate::eval::functions::CATALOGUE;
use headwater_plugin_api::batch::Value;

const PAGE: &str = include_str!("../../../REFERENCE.md");

/// The fenced blocks of the page: language and text, in order.
fn blocks() -> Vec<(&'static str, &'static str)> {
    PAGE.split("\n```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap()).collect()
}

fn block(language: &str) -> &'static str {
    blocks().iter().find(|(found, _)| *found == language).unwrap().1
}

/// A point from line protocol with its time in nanoseconds, texts with blanks included.
fn point(text: &str) -> Batch {
    let (key, rest) = text.trim().split_once(' ').unwrap();
    let (fields, time) = rest.rsplit_once(' ').unwrap();
    let mut builder = BatchBuilder::default();
    let mut names = key.split(',');
    let mut point = builder.point(names.next().unwrap());
    for tag in names {
        let (name, value) = tag.split_once('=').unwrap();
        point = point.tag(name, value);
    }
    for field in fields.split(',') {
        let (name, value) = field.split_once('=').unwrap();
        point = match (value.strip_prefix('"'), value.strip_suffix('i'), value.parse::<bool>()) {
            (Some(text), ..) => point.field(name, text.trim_end_matches('"')),
            (_, Some(int), _) => point.field(name, int.parse::<i64>().unwrap()),
            (.., Ok(on)) => point.field(name, on),
            _ => point.field(name, value.parse::<f64>().unwrap()),
        };
    }
    point.finish(time.parse().unwrap()).unwrap();
    builder.finish().unwrap()
}

/// The column `x` of the first row, as the page writes values.
fn value(batches: &[Batch]) -> String {
    let Some(point) = batches.iter().flat_map(Batch::points).next() else { return "no row".into() };
    match point.field("x") {
        None => point.series().tag("x").map_or("NULL".into(), |text| format!("'{text}'")),
        Some(Value::F64(value)) => format!("{value:?}"),
        Some(Value::I64(value)) => value.to_string(),
        Some(Value::U64(value)) => value.to_string(),
        Some(Value::Bool(value)) => value.to_string(),
        Some(Value::Text(text)) => format!("'{text}'"),
        Some(other) => format!("{other:?}"),
    }
}

/// Examples of the tables between two headings: the example and its result.
fn examples(from: &str, to: &str) -> Vec<(String, &'static str)> {
    let part = PAGE.split_once(from).unwrap().1;
    let part = part.split_once(to).map_or(part, |(part, _)| part);
    let cell = |text: &'static str| text.trim().strip_prefix('`')?.strip_suffix('`');
    part.lines()
        .filter_map(|line| {
            let line = line.strip_prefix('|')?.strip_suffix(" |")?;
            let (rest, result) = line.rsplit_once(" | ")?;
            let (_, example) = rest.rsplit_once(" | ")?;
            Some((cell(example)?.replace("\\|", "|"), cell(result)?))
        })
        .collect()
}

#[test]
fn expressions_give_what_the_page_says() {
    let examples = examples("## Expressions", "\n## Windows");
    assert!(examples.len() > 60, "{}", examples.len());
    let mut wrong = Vec::new();
    for (expression, wanted) in examples {
        let mut s = stage("", &format!("SELECT {expression} AS x, 1 AS one FROM m"));
        let (made, result) = s.sql.process(1_770_091_507_000_000_000, point(block("point")));
        result.unwrap();
        let got = value(&made.batches);
        if got != wanted {
            wrong.push(format!("{expression}: {got}, the page says {wanted}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn aggregates_give_what_the_page_says() {
    let examples = examples("## Aggregates", "`partial(f(x))`");
    assert!(examples.len() > 20, "{}", examples.len());
    let mut wrong = Vec::new();
    for (expression, wanted) in examples {
        let query = format!("SELECT {expression} AS x, count(*) AS n FROM m GROUP BY time('10s')");
        let mut s = stage("", &query);
        s.feed(0, &block("aggregated").trim().lines().collect::<Vec<_>>());
        let (made, result) = s.sql.control(T * S, Control::Stop);
        result.unwrap();
        let got = value(&made.batches);
        if got != wanted {
            wrong.push(format!("{expression}: {got}, the page says {wanted}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn statements_give_what_the_page_says() {
    let blocks = blocks();
    let mut run = 0;
    for three in blocks.windows(3) {
        let [("sql", query), ("points", points), (kind @ ("rows" | "last"), rows)] = three else {
            continue;
        };
        let mut s = stage("", query);
        let mut made = s.feed(0, &points.trim().lines().collect::<Vec<_>>());
        made.extend(s.stop(0));
        let wanted: Vec<&str> = rows.trim().lines().collect();
        let skipped = if *kind == "last" { made.len() - wanted.len() } else { 0 };
        assert_eq!(made[skipped..], wanted, "{query}");
        run += 1;
    }
    assert_eq!(run, blocks.iter().filter(|(language, _)| *language == "sql").count());
    assert!(run >= 5);
}

#[test]
fn the_page_names_every_function_and_option() {
    let names = CATALOGUE.iter().flat_map(|signature| signature.names);
    let names = names.chain(AGGREGATES.iter().map(|(name, _)| name));
    let missing: Vec<&&str> = names.filter(|name| !PAGE.contains(&format!("`{name}"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Whether a text calls a function.
fn calls(text: &str, name: &str) -> bool {
    if matches!(name, "->" | "->>" | "current_timestamp") {
        return text.contains(name);
    }
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(is_part) && text[at + name.len()..].starts_with('('))
}

#[test]
fn the_page_has_an_example_of_every_function() {
    let expressions = examples("## Expressions", "\n## Windows");
    let aggregates = examples("## Aggregates", "`partial(f(x))`");
    let statements = blocks().into_iter().filter(|(language, _)| *language == "sql");
    let mut texts: Vec<String> = expressions.into_iter().map(|(text, _)| text).collect();
    texts.extend(aggregates.into_iter().map(|(text, _)| text));
    texts.extend(statements.map(|(_, text)| text.to_owned()));
    let names = CATALOGUE.iter().flat_map(|signature| signature.names);
    let names = names.chain(AGGREGATES.iter().map(|(name, _)| name));
    let missing: Vec<&&str> =
        names.filter(|name| !texts.iter().any(|text| calls(text, name))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
