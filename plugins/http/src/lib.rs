//! Family `http`: what goes over HTTP.
//!
//! Calls are synchronous: each instance waits for its requests on the family's one small runtime.

mod answer;
mod client;
pub mod influxdb;
pub mod influxdb_v2;
mod points;
mod rate;
mod route;
mod tls;
mod udp;
mod write;

headwater_plugin_api::family! {
    name: "http",
    outputs: [influxdb::InfluxDb, influxdb_v2::InfluxDbV2],
}
