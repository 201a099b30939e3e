//! Family `files`: what is read from files and written to them.

mod encoding;
mod file;
mod file_output;
mod paths;
mod tail;

headwater_plugin_api::family! {
    name: "files",
    inputs: [file::File],
    services: [tail::Tail],
    outputs: [file_output::FileOutput],
}
