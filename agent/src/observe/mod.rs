//! What the agent tells about itself: its log and its self-metrics.

pub mod log;
mod log_file;
mod log_line;
pub mod metrics;
pub mod panics;
mod plugin_metrics;
mod repeats;
#[cfg(test)]
pub mod testing;
pub mod time;
pub mod zone;

pub use log::{Log, LogOptions, Logger};
pub use log_file::Rotation;
pub use log_line::Format;
pub use metrics::{Counter, InstanceMetrics, Metrics};
pub use plugin_metrics::{GatherMetrics, ParserMetrics, SerializerMetrics, WriteMetrics};
pub use zone::Zone;
