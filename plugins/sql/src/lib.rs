//! Family `sql`.

mod accumulate;
mod ast;
mod bind;
mod canonical;
mod checkpoint;
mod duration;
mod emit;
mod error;
mod eval;
mod explain;
mod fluent;
mod join;
mod json;
mod key;
mod names;
mod numbers;
mod over;
mod parse;
mod plan;
mod points;
mod series;
pub mod sql;
mod stateful;
mod statement;
mod table;
mod time;
mod vector;
mod watch;
mod window;

headwater_plugin_api::family! {
    name: "sql",
    processors: [sql::Sql],
}
