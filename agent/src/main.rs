//! Headwater: a telemetry agent that processes streams where they spring.

mod commands;
mod config;
mod delivery;
mod loader;
mod observe;
mod pipeline;
mod state;

fn main() -> std::process::ExitCode {
    commands::main()
}
