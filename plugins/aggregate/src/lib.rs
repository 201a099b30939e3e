//! Family `aggregate`: the classic aggregators, on event time.

pub mod basicstats;
mod cells;
mod minmax;
mod points;

headwater_plugin_api::family! {
    name: "aggregate",
    aggregators: [basicstats::BasicStats, minmax::MinMax],
}
