//! Drives an output as the agent does: through its function table, with the agent's influx
//! serializer.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use headwater_formats::influx::InfluxSerializer;
use headwater_plugin_api::abi::instance::{OutputInstance, SerializerInstance};
use headwater_plugin_api::abi::serve::{self, HostServices};
use headwater_plugin_api::abi::shim;
use headwater_plugin_api::batch::{Batch, BatchBuilder};
use headwater_plugin_api::plugin::{Context, Error, ErrorKind, Level, Output};
use headwater_plugin_api::testkit::TestHost;
use headwater_tests::points::{self, Point};

/// Longer than any write here takes.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Host {
    inner: TestHost,
    me: std::sync::Weak<Host>,
}

impl HostServices for Host {
    fn log(&self, level: Level, message: &str) {
        self.inner.log(level, message);
    }
    fn now(&self) -> i64 {
        self.inner.now()
    }
    fn counter(&self, name: &str, gauge: bool) -> &'static AtomicU64 {
        self.inner.counter(name, gauge)
    }
    fn load_state(&self, key: &str) -> Option<Vec<u8>> {
        self.inner.load_state(key)
    }
    fn save_state(&self, key: &str, state: &[u8]) -> Result<(), Error> {
        self.inner.save_state(key, state)
    }
    fn secret(&self, reference: &str) -> Result<String, Error> {
        match reference {
            "@{test:password}" => Ok("secret".into()),
            other => self.inner.secret(other),
        }
    }
    fn serializer(&self, name: &str, config: &str) -> Result<SerializerInstance, Error> {
        assert_eq!(name, "influx");
        let plugin = shim::serializer::<InfluxSerializer>("0.0.0");
        let host = self.me.upgrade().expect("the host lives");
        SerializerInstance::make(&plugin, config, serve::host(host))
    }
    fn self_metrics(&self) -> Option<Batch> {
        None
    }
}

/// An output that is connected.
pub struct Driver {
    instance: OutputInstance,
    host: Arc<Host>,
}

impl Driver {
    /// Makes and connects one.
    pub fn new<P: Output>(config: &str) -> Driver {
        Driver::made::<P>(config).connected().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Makes one.
    pub fn made<P: Output>(config: &str) -> Driver {
        let host = Arc::new_cyclic(|me| Host { inner: TestHost::default(), me: me.clone() });
        let plugin = shim::output::<P>("0.0.0");
        let shared: Arc<dyn HostServices> = Arc::<Host>::clone(&host);
        let instance = OutputInstance::make(&plugin, config, serve::host(shared))
            .unwrap_or_else(|error| panic!("{config}: {error}"));
        Driver { instance, host }
    }

    /// Connects it.
    pub fn connected(mut self) -> Result<Driver, Error> {
        self.connect()?;
        Ok(self)
    }

    /// Connects it, or connects it again.
    pub fn connect(&mut self) -> Result<(), Error> {
        let cx = context(TIMEOUT);
        self.instance.base.init(&cx)?;
        self.instance.base.connect(&cx)
    }

    /// Makes one attempt.
    pub fn write(&mut self, batches: &[Batch]) -> Result<(), Error> {
        self.write_within(TIMEOUT, batches)
    }

    /// Makes one attempt that has to end in time.
    pub fn write_within(&mut self, timeout: Duration, batches: &[Batch]) -> Result<(), Error> {
        self.instance.write(&context(timeout), batches)
    }

    /// Log lines so far.
    pub fn log(&self) -> Vec<String> {
        let logs = self.host.inner.logs.lock().unwrap();
        logs.iter().map(|(_, line)| line.clone()).collect()
    }
}

fn context(timeout: Duration) -> Context<'static> {
    Context::new(0, Some(timeout), None)
}

/// A batch of points.
pub fn batch(build: impl FnOnce(&mut BatchBuilder)) -> Batch {
    let mut builder = BatchBuilder::default();
    build(&mut builder);
    builder.finish().unwrap()
}

/// So many points of three series, from a time on, a second apart.
pub fn run(count: i64, first_s: i64) -> Batch {
    batch(|builder| {
        for i in 0..count {
            let host = format!("h{}", i % 3);
            let point = builder.point("run").tag("host", &host).field("v", i as f64 / 4.0);
            point.field("n", i).finish((first_s + i) * 1_000_000_000).unwrap();
        }
    })
}

/// What batches hold, as test points.
pub fn contents(batches: &[Batch]) -> Vec<Point> {
    use headwater_plugin_api::batch::Value as In;
    use points::Value as Out;
    let mut all = Vec::new();
    for point in batches.iter().flat_map(Batch::points) {
        let tags = point.series().tags().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let fields = point.fields().map(|(key, value)| {
            let value = match value {
                In::F64(v) => Out::F64(v),
                In::I64(v) => Out::I64(v),
                In::U64(v) => Out::U64(v),
                In::Bool(v) => Out::Bool(v),
                In::Text(v) => Out::Text(v.to_owned()),
                In::Unknown { kind, .. } => panic!("kind {kind}"),
            };
            (key.to_owned(), value)
        });
        all.push(Point {
            name: point.series().name().to_owned(),
            tags,
            fields: fields.collect(),
            time: Some(point.time()),
        });
    }
    all
}

/// Fails with the differences if the points are not the same.
#[track_caller]
pub fn same(expected: &[Point], found: &[Point]) {
    if let Err(differences) = points::compare(expected, found) {
        panic!("{differences}");
    }
}

/// The rows that a write refused.
#[track_caller]
pub fn refused_rows(result: Result<(), Error>) -> (Vec<(u32, u32)>, String) {
    let error = result.expect_err("nothing was refused");
    match error.kind() {
        ErrorKind::Partial(rows) => (rows.clone(), error.message().to_owned()),
        other => panic!("{other:?}: {error}"),
    }
}
