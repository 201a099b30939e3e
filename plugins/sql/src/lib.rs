//! Family `sql`.

mod ast;
mod duration;
mod error;
mod parse;
mod time;

headwater_plugin_api::family! {
    name: "sql",
}
