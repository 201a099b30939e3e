//! The self-metrics that the agent keeps for its plugins, under Telegraf's names.

use super::metrics::{AGENT_MEASUREMENT, Counter, Gauge, MeanTime, Metrics};

impl Metrics {
    /// The agent's own.
    pub fn agent(&self) -> AgentMetrics {
        AgentMetrics::new(self)
    }

    /// Those of an input; alias may be "".
    pub fn gather(&self, input: &str, alias: &str) -> GatherMetrics {
        let all = self.agent();
        let tags = [("input", input), ("alias", alias)];
        let counter = |field| self.counter("internal_gather", &tags, field);
        GatherMetrics {
            errors: counter("errors"),
            gather_errors: counter("gather_errors").with_total(all.gather_errors),
            gather_timeouts: counter("gather_timeouts").with_total(all.gather_timeouts),
            gather_time_ns: self.mean_time("internal_gather", &tags, "gather_time_ns"),
            metrics_gathered: counter("metrics_gathered").with_total(all.metrics_gathered),
            startup_errors: counter("startup_errors"),
            lines_refused: counter("lines_refused"),
            bytes_read: counter("bytes_read"),
        }
    }

    /// Those of an output; alias may be "".
    pub fn write(&self, output: &str, alias: &str) -> WriteMetrics {
        let all = self.agent();
        let tags = [("output", output), ("alias", alias)];
        let counter = |field| self.counter("internal_write", &tags, field);
        WriteMetrics {
            buffer_limit: self.gauge("internal_write", &tags, "buffer_limit"),
            buffer_size: self.gauge("internal_write", &tags, "buffer_size"),
            errors: counter("errors"),
            metrics_added: counter("metrics_added"),
            metrics_dropped: counter("metrics_dropped").with_total(all.metrics_dropped),
            metrics_filtered: counter("metrics_filtered"),
            metrics_rejected: counter("metrics_rejected").with_total(all.metrics_rejected),
            metrics_written: counter("metrics_written").with_total(all.metrics_written),
            startup_errors: counter("startup_errors"),
            write_errors: counter("write_errors").with_total(all.write_errors),
            write_time_ns: self.mean_time("internal_write", &tags, "write_time_ns"),
        }
    }

    /// Those of an aggregator; alias may be "".
    pub fn aggregate(&self, aggregator: &str, alias: &str) -> AggregateMetrics {
        let tags = [("aggregator", aggregator), ("alias", alias)];
        let counter = |field| self.counter("internal_aggregate", &tags, field);
        AggregateMetrics {
            errors: counter("errors"),
            metrics_dropped: counter("metrics_dropped"),
            metrics_filtered: counter("metrics_filtered"),
            metrics_pushed: counter("metrics_pushed"),
            push_time_ns: counter("push_time_ns"),
        }
    }

    /// Those of a processor; alias may be "".
    pub fn process(&self, processor: &str, alias: &str) -> ProcessMetrics {
        let tags = [("processor", processor), ("alias", alias)];
        ProcessMetrics { errors: self.counter("internal_process", &tags, "errors") }
    }

    /// Those of a parser, by the name of its format.
    pub fn parser(&self, format: &str) -> ParserMetrics {
        let counter = |field| self.counter("internal_parser", &[("type", format)], field);
        ParserMetrics {
            errors: counter("errors"),
            metrics_parsed: counter("metrics_parsed"),
            parse_time_ns: counter("parse_time_ns"),
        }
    }

    /// Those of a serializer, by the name of its format.
    pub fn serializer(&self, format: &str) -> SerializerMetrics {
        let counter = |field| self.counter("internal_serializer", &[("type", format)], field);
        SerializerMetrics {
            errors: counter("errors"),
            metrics_serialized: counter("metrics_serialized"),
            bytes_serialized: counter("bytes_serialized"),
            serialization_time_ns: counter("serialization_time_ns"),
        }
    }
}

/// Measurement `internal_agent`: sums over all plugins, kept by adding to the plugins' own.
#[derive(Debug, Clone, Copy)]
pub struct AgentMetrics {
    pub gather_errors: Counter,
    pub gather_timeouts: Counter,
    pub metrics_gathered: Counter,
    pub metrics_written: Counter,
    pub metrics_rejected: Counter,
    pub metrics_dropped: Counter,
    pub write_errors: Counter,
}

impl AgentMetrics {
    fn new(metrics: &Metrics) -> AgentMetrics {
        let counter = |field| metrics.counter(AGENT_MEASUREMENT, &[], field);
        AgentMetrics {
            gather_errors: counter("gather_errors"),
            gather_timeouts: counter("gather_timeouts"),
            metrics_gathered: counter("metrics_gathered"),
            metrics_written: counter("metrics_written"),
            metrics_rejected: counter("metrics_rejected"),
            metrics_dropped: counter("metrics_dropped"),
            write_errors: counter("write_errors"),
        }
    }
}

/// Measurement `internal_gather`, tags `input` and `alias`.
#[derive(Debug, Clone, Copy)]
pub struct GatherMetrics {
    /// Errors that the input logged.
    pub errors: Counter,
    pub gather_errors: Counter,
    /// Gathers that were not over when the next was due.
    pub gather_timeouts: Counter,
    pub gather_time_ns: MeanTime,
    pub metrics_gathered: Counter,
    pub startup_errors: Counter,
    /// Records that the parser refused.
    pub lines_refused: Counter,
    /// Bytes that the parser was given.
    pub bytes_read: Counter,
}

/// Measurement `internal_write`, tags `output` and `alias`.
#[derive(Debug)]
pub struct WriteMetrics {
    /// Points for which the buffer has room.
    pub buffer_limit: Gauge,
    /// Points in the buffer.
    pub buffer_size: Gauge,
    /// Errors that the output logged.
    pub errors: Counter,
    pub metrics_added: Counter,
    /// Points that were lost to a full buffer.
    pub metrics_dropped: Counter,
    /// Points that the output's selectors did not take.
    pub metrics_filtered: Counter,
    /// Points that were refused for good.
    pub metrics_rejected: Counter,
    pub metrics_written: Counter,
    pub startup_errors: Counter,
    pub write_errors: Counter,
    pub write_time_ns: MeanTime,
}

/// Measurement `internal_aggregate`, tags `aggregator` and `alias`.
#[derive(Debug, Clone, Copy)]
pub struct AggregateMetrics {
    pub errors: Counter,
    /// Points outside of all windows that may still be fed.
    pub metrics_dropped: Counter,
    pub metrics_filtered: Counter,
    /// Points that were emitted.
    pub metrics_pushed: Counter,
    pub push_time_ns: Counter,
}

/// Measurement `internal_process`, tags `processor` and `alias`.
#[derive(Debug, Clone, Copy)]
pub struct ProcessMetrics {
    pub errors: Counter,
}

/// Measurement `internal_parser`, tag `type`.
#[derive(Debug, Clone, Copy)]
pub struct ParserMetrics {
    pub errors: Counter,
    pub metrics_parsed: Counter,
    pub parse_time_ns: Counter,
}

/// Measurement `internal_serializer`, tag `type`.
#[derive(Debug, Clone, Copy)]
pub struct SerializerMetrics {
    pub errors: Counter,
    pub metrics_serialized: Counter,
    pub bytes_serialized: Counter,
    pub serialization_time_ns: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::testkit::lines;
    use std::time::Duration;

    #[test]
    fn names_as_dashboards_know_them() {
        let metrics = Metrics::new("1");
        let gather = metrics.gather("cpu", "");
        gather.gather_time_ns.add(Duration::from_nanos(5));
        let write = metrics.write("file", "x");
        write.buffer_limit.set(10_000);
        metrics.aggregate("basicstats", "");
        metrics.process("rename", "");
        metrics.parser("influx");
        metrics.serializer("json");
        assert_eq!(
            lines(&metrics.snapshot(1)),
            [
                "internal_agent,version=1 gather_errors=0i,gather_timeouts=0i,metrics_gathered=0i,\
                 metrics_written=0i,metrics_rejected=0i,metrics_dropped=0i,write_errors=0i 1",
                "internal_gather,input=cpu,version=1 errors=0i,gather_errors=0i,gather_timeouts=0i,\
                 gather_time_ns=5i,metrics_gathered=0i,startup_errors=0i,lines_refused=0i,\
                 bytes_read=0i 1",
                "internal_write,alias=x,output=file,version=1 buffer_limit=10000i,buffer_size=0i,\
                 errors=0i,metrics_added=0i,metrics_dropped=0i,metrics_filtered=0i,\
                 metrics_rejected=0i,metrics_written=0i,startup_errors=0i,write_errors=0i,\
                 write_time_ns=0i 1",
                "internal_aggregate,aggregator=basicstats,version=1 errors=0i,metrics_dropped=0i,\
                 metrics_filtered=0i,metrics_pushed=0i,push_time_ns=0i 1",
                "internal_process,processor=rename,version=1 errors=0i 1",
                "internal_parser,type=influx,version=1 errors=0i,metrics_parsed=0i,\
                 parse_time_ns=0i 1",
                "internal_serializer,type=json,version=1 errors=0i,metrics_serialized=0i,\
                 bytes_serialized=0i,serialization_time_ns=0i 1",
            ]
        );
    }

    #[test]
    fn the_agent_sums_its_plugins() {
        let metrics = Metrics::new("1");
        metrics.gather("cpu", "").metrics_gathered.add(3);
        metrics.gather("mem", "a").metrics_gathered.add(4);
        metrics.gather("mem", "a").gather_errors.add(1);
        let write = metrics.write("file", "");
        write.metrics_written.add(5);
        write.metrics_dropped.add(1);
        write.metrics_rejected.add(1);
        write.write_errors.add(2);
        let agent = metrics.agent();
        let sums = [
            agent.metrics_gathered,
            agent.gather_errors,
            agent.metrics_written,
            agent.metrics_dropped,
            agent.metrics_rejected,
            agent.write_errors,
        ];
        assert_eq!(sums.map(|sum| sum.get()), [7, 1, 5, 1, 1, 2]);
        assert_eq!(write.metrics_written.get(), 5);
        assert_eq!(metrics.gather("mem", "a").metrics_gathered.get(), 4);
    }
}
