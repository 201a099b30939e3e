pub mod config;

fn main() {}
