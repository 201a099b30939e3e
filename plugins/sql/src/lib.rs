//! Family `sql`.

mod accumulate;
mod ast;
mod bind;
mod canonical;
mod duration;
mod error;
mod eval;
mod key;
mod parse;
mod plan;
mod time;
mod vector;

headwater_plugin_api::family! {
    name: "sql",
}
