//! Family `formats`: the parsers and serializers of text formats.

pub mod fuzz;
pub mod influx;
pub mod json;
mod number;
mod slots;
#[cfg(test)]
mod testing;

headwater_plugin_api::family! {
    name: "formats",
    parsers: [influx::InfluxParser, json::JsonParser],
    serializers: [influx::InfluxSerializer, json::JsonSerializer],
}
