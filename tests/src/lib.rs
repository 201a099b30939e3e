//! What crosses crates: end-to-end tests, conformance, benchmarks.
//!
//! It talks to people at terminals, and a test that cannot go on stops with a panic.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, clippy::expect_used)]

pub mod agent;
pub mod callgrind;
pub mod digest;
pub mod load;
pub mod oracles;
pub mod paths;
pub mod points;
pub mod servers;
pub mod wait;
