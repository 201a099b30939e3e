//! The plan as the processor logs it: JSON on one line, read into what the command prints rows by.

use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_while1};
use nom::character::complete::{char, i64};
use nom::combinator::{map, map_opt, value};
use nom::multi::{fold_many0, separated_list0};
use nom::sequence::{delimited, preceded, separated_pair};
use nom::{IResult, Parser};

/// One statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statement {
    /// What its rows are called; none if each point's measurement decides.
    pub name: Option<String>,
    pub reads: String,
    pub window: Option<String>,
    /// The shortest time from one window to the next.
    pub step_ns: Option<i64>,
    /// Whether each row has all that its point has.
    pub star: bool,
    pub columns: Vec<Column>,
    pub work: Vec<Work>,
}

/// A column of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub role: Role,
    /// Its values are nanoseconds since the epoch.
    pub time: bool,
}

/// Where a row has the value of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is the row's time.
    Time,
    Tag,
    /// A tag if it is text, else a field.
    Key,
    Field,
}

/// What is worked out, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// `series`, `point` or `window`.
    pub per: String,
    pub text: String,
    /// Where one of these is a field, it is worked out for each point.
    pub unless: Vec<String>,
}

/// Reads a plan; none if the text is something else.
pub fn read(text: &str) -> Option<Vec<Statement>> {
    let (rest, plan) = json(text).ok()?;
    if !rest.is_empty() {
        return None;
    }
    plan.get("statements")?.list()?.iter().map(statement).collect()
}

fn statement(json: &Json) -> Option<Statement> {
    let columns = json.get("columns")?.list()?.iter().map(|column| {
        let role = match column.get("role")?.text()? {
            "time" => Role::Time,
            "tag" => Role::Tag,
            "key" => Role::Key,
            _ => Role::Field,
        };
        let name = column.get("name")?.text()?.to_owned();
        Some(Column { name, role, time: column.get("time")? == &Json::Bool(true) })
    });
    let work = json.get("work")?.list()?.iter().map(|work| {
        let unless = work.get("unless")?.list()?;
        Some(Work {
            per: work.get("per")?.text()?.to_owned(),
            text: work.get("text")?.text()?.to_owned(),
            unless: unless.iter().filter_map(Json::text).map(ToOwned::to_owned).collect(),
        })
    });
    Some(Statement {
        name: json.get("name")?.text().map(ToOwned::to_owned),
        reads: json.get("reads")?.text()?.to_owned(),
        window: json.get("window")?.text().map(ToOwned::to_owned),
        step_ns: match json.get("step_ns")? {
            Json::Int(step) => Some(*step),
            _ => None,
        },
        star: json.get("star")? == &Json::Bool(true),
        columns: columns.collect::<Option<_>>()?,
        work: work.collect::<Option<_>>()?,
    })
}

/// As much of JSON as a plan needs.
#[derive(Debug, Clone, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    fn get(&self, wanted: &str) -> Option<&Json> {
        let Json::Object(members) = self else { return None };
        members.iter().find(|(key, _)| key == wanted).map(|(_, value)| value)
    }

    fn text(&self) -> Option<&str> {
        if let Json::Text(text) = self { Some(text) } else { None }
    }

    fn list(&self) -> Option<&[Json]> {
        if let Json::List(list) = self { Some(list) } else { None }
    }
}

fn json(input: &str) -> IResult<&str, Json> {
    let comma = || char(',');
    alt((
        value(Json::Null, tag("null")),
        value(Json::Bool(true), tag("true")),
        value(Json::Bool(false), tag("false")),
        map(i64, Json::Int),
        map(text, Json::Text),
        map(delimited(char('['), separated_list0(comma(), json), char(']')), Json::List),
        map(
            delimited(
                char('{'),
                separated_list0(comma(), separated_pair(text, char(':'), json)),
                char('}'),
            ),
            Json::Object,
        ),
    ))
    .parse(input)
}

fn text(input: &str) -> IResult<&str, String> {
    let unicode = map_opt(take(4_usize), |digits: &str| {
        u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).map(String::from)
    });
    let escaped = preceded(
        char('\\'),
        alt((preceded(char('u'), unicode), map(alt((tag("\""), tag("\\"))), String::from))),
    );
    let plain = map(take_while1(|c| c != '"' && c != '\\'), String::from);
    let piece = alt((plain, escaped));
    delimited(char('"'), fold_many0(piece, String::new, |all, part| all + &part), char('"'))
        .parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan() {
        let text = concat!(
            r#"{"statements":[{"name":null,"reads":"cpu","window":"time('1m')","step_ns":60,"star":false,"#,
            r#""columns":[{"name":"a\"\\\u0009","text":"x","role":"key","time":true},"#,
            r#"{"name":"","text":"y","role":"window_end","time":false}],"#,
            r#""work":[{"per":"series","text":"WHERE x","unless":["x"]}]}]}"#,
        );
        let column = |name: &str, role, time| Column { name: name.into(), role, time };
        let expected = Statement {
            name: None,
            reads: "cpu".into(),
            window: Some("time('1m')".into()),
            step_ns: Some(60),
            star: false,
            columns: vec![column("a\"\\\t", Role::Key, true), column("", Role::Field, false)],
            work: vec![Work {
                per: "series".into(),
                text: "WHERE x".into(),
                unless: vec!["x".into()],
            }],
        };
        assert_eq!(read(text), Some(vec![expected]));
    }

    #[test]
    fn something_else() {
        for text in ["", "no plan", "{}", "{\"statements\":[{}]}", "{\"statements\":[]} more"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
