//! The interface of Headwater plugins.
//!
//! - [`batch`]: the points that travel.
//! - [`plugin`]: the traits, by kind, that an author implements.
//! - [`config`]: the options of a plugin.
//! - [`csv`]: records of CSV, and what the cells of a column are.
//! - [`abi`]: what crosses between the agent and a library. Authors need not look at it.
//! - [`testkit`]: what tests of plugins need.
//! - [`time`]: times as text and numbers, by the formats that Telegraf's options name.
//! - [`window`]: windows in event time and tables of groups, for stages that have a memory.

#[allow(unsafe_code)]
pub mod abi;
pub mod batch;
pub mod config;
pub mod csv;
pub mod plugin;
pub mod testkit;
pub mod time;
pub mod window;
