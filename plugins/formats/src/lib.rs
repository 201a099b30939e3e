//! Family `formats`: the parsers and serializers of text formats.

pub mod influx;
mod number;
mod slots;
#[cfg(test)]
mod testing;

headwater_plugin_api::family! {
    name: "formats",
    parsers: [influx::InfluxParser],
    serializers: [influx::InfluxSerializer],
}
