//! Runs a plan: inputs on their schedule, workers on their sources, stages, outputs, and an orderly
//! stop.

mod budget;
mod build;
mod calls;
mod clock;
mod core;
mod host;
mod input;
mod modify;
mod order;
mod output;
mod polled;
mod reactor;
mod run;
mod service;
mod shared;
mod slot;
mod source;
mod stage;
mod test_output;
#[cfg(test)]
mod tests;

pub use run::{Mode, RunRequest, check, run};
