//! Outputs against real servers: what was written is read back and compared point by point.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;
mod driver;
mod influxdb;
mod refusals;
mod security;
mod trouble;
mod victoria_metrics;
