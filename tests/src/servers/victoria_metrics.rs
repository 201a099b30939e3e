//! VictoriaMetrics 1.79.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value as Json;

use super::web::{self, Place};
use super::{Server, program, tcp_port};
use crate::paths::Folder;

/// A running server.
pub struct VictoriaMetrics {
    server: Server,
    /// Where it listens.
    pub port: u16,
}

/// A sample: name, labels, milliseconds, value.
pub type Sample = (String, BTreeMap<String, String>, i64, f64);

impl VictoriaMetrics {
    /// Starts one with an empty folder.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> VictoriaMetrics {
        let (folder, port) = (Folder::new(), tcp_port());
        let mut command = Command::new(program("victoria-metrics", "victoria-metrics"));
        command.arg(format!("-storageDataPath={}", folder.join("data").display()));
        command.arg(format!("-httpListenAddr=127.0.0.1:{port}"));
        command.args([
            "-retentionPeriod=100y",
            "-search.latencyOffset=0s",
            "-search.disableCache",
            "-memory.allowedBytes=64MB",
        ]);
        let server = Server::start("victoria-metrics", command, folder, || {
            let answer = web::ask(&Place::from(port), "GET", "/health", "");
            answer.is_ok_and(|(status, _)| status == 200)
        });
        VictoriaMetrics { server, port }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All samples that can be found now.
    ///
    /// # Panics
    /// If it cannot be asked.
    pub fn samples(&self) -> Vec<Sample> {
        let place = Place::from(self.port);
        let ask = |target: &str| {
            let (status, text) = web::ask(&place, "GET", target, "").unwrap_or_else(|error| {
                panic!("{target}: {error}. The log:\n{}", self.server.log())
            });
            assert_eq!(status, 200, "{target}: {text}");
            text
        };
        ask("/internal/force_flush");
        let mut samples = Vec::new();
        for line in ask("/api/v1/export?match[]={__name__!=%22%22}").lines() {
            let json: Json =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let mut labels: BTreeMap<String, String> = json["metric"]
                .as_object()
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect();
            let name = labels.remove("__name__").unwrap_or_default();
            let times = json["timestamps"].as_array().into_iter().flatten();
            let values = json["values"].as_array().into_iter().flatten();
            for (time, value) in times.zip(values) {
                if let (Some(time), Some(value)) = (time.as_i64(), value.as_f64()) {
                    samples.push((name.clone(), labels.clone(), time, value));
                }
            }
        }
        samples.sort_by(|a, b| (&a.0, &a.1, a.2).cmp(&(&b.0, &b.1, b.2)));
        samples
    }
}
