//! Checkpoints of stream SQL: whatever bytes, they are put aside or the statements go on from them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use headwater_plugin_api::abi::instance::ProcessorInstance;
use headwater_plugin_api::abi::module::ProcessorPlugin;
use headwater_plugin_api::abi::{serve, shim};
use headwater_plugin_api::batch::{Batch, BatchBuilder};
use headwater_plugin_api::plugin::Control;
use headwater_plugin_api::testkit::{self, Collected, TestHost};
use headwater_sql::sql::Sql;

use super::DEFAULT_TIME;

const SECOND: i64 = 1_000_000_000;
/// Bytes of memory that the rows of a state may have.
const RESULT_MAX: usize = 256 << 20;
/// Magic, version and hash of the query.
const HEAD: usize = 14;

/// What stands before each body: the first byte says which.
const QUERIES: &[(&str, &str)] = &[
    (
        "late = 'update'\ngrace = '1m'",
        "SELECT host, text, count(*) AS n, sum(n) AS s, avg(v) AS a, min(text) AS lo, max(n) AS hi, \
         first(v) AS f, last(on) AS l, stddev(v) AS d, any_value(text) AS y \
         FROM cpu GROUP BY time('10s'), host, text",
    ),
    (
        "",
        "SELECT host, quantile(v, 0.9) AS q, approx_distinct(text) AS d, count(DISTINCT text) AS c, \
         partial(avg(v)) AS p FROM cpu GROUP BY hop('5s', '20s'), host",
    ),
    (
        "late = 'update'\ngrace = '1m'",
        "SELECT host, sum(u) AS s, spread(v) AS d FROM cpu GROUP BY session('3s'), host",
    ),
    (
        "",
        "SELECT on, last(text) AS t, max(u) AS m FROM cpu GROUP BY rows(4), on; \
         CREATE STREAM s AS SELECT host, count(*) AS n FROM cpu GROUP BY time('5s'), host; \
         SELECT sum(n) AS n FROM s GROUP BY time('1m')",
    ),
    (
        "",
        "CREATE SNAPSHOT s WITH (seconds = 60, tag = 't') AS SELECT * FROM STREAM:cpu LIMIT 20; \
         FLUSH SNAPSHOT s AS SELECT * FROM STREAM:cpu WHERE v = 3",
    ),
];

fn points(from: i64) -> Option<Batch> {
    let mut builder = BatchBuilder::default();
    for i in 0..30_i64 {
        let host = format!("h{}", i % 3);
        let mut point = builder.point("cpu").tag("host", &host);
        point = point.field("v", i as f64 / 4.0 - 2.0).field("n", i64::MAX - i);
        if i % 4 != 0 {
            point = point.field("text", "a-B").field("on", i % 4 == 1).field("u", u64::MAX - 9);
        }
        // The points are within all limits.
        let _ = point.finish(DEFAULT_TIME + (from + i) * SECOND);
    }
    builder.finish()
}

/// A processor on a host with a state, or with none.
fn instance(which: usize, state: Option<Vec<u8>>) -> Option<(Arc<TestHost>, ProcessorInstance)> {
    thread_local! {
        static PLUGIN: ProcessorPlugin = shim::processor::<Sql>("0.0.0");
    }
    let (options, query) = QUERIES[which];
    let config = format!("{options}\nquery = '''{query}'''\nname = 'r'\ndrop_original = true\n");
    let host = Arc::new(TestHost::default());
    host.keeps_state.store(true, Ordering::Relaxed);
    if let (Some(state), Ok(mut states)) = (state, host.state.lock()) {
        states.insert("checkpoint".to_owned(), state);
    }
    let services = serve::host(Arc::clone(&host) as _);
    let made = PLUGIN.with(|plugin| ProcessorInstance::make(plugin, &config, services));
    Some((host, made.ok()?))
}

/// A whole checkpoint of a query, after some points.
pub fn whole(which: usize) -> Option<Vec<u8>> {
    let (host, mut processor) = instance(which, None)?;
    let context = testkit::context(DEFAULT_TIME + 31 * SECOND);
    let mut collected = Collected::default();
    serve::with_sink(&mut collected, |sink| processor.process(&context, points(0)?, sink).ok())?;
    serve::with_sink(&mut collected, |sink| processor.control(&context, Control::Stop, sink))
        .ok()?;
    host.state.lock().ok()?.get("checkpoint").cloned()
}

/// Lets a query go on from a checkpoint with that body.
///
/// # Panics
/// If it fails, or makes far more of it than it is.
pub fn check(data: &[u8]) {
    let Some((&which, body)) = data.split_first() else { return };
    thread_local! {
        static HEADS: Vec<Vec<u8>> = (0..QUERIES.len())
            .map(|which| whole(which).and_then(|whole| Some(whole.get(..HEAD)?.to_vec())))
            .collect::<Option<_>>()
            .unwrap_or_default();
    }
    let which = usize::from(which) % QUERIES.len();
    let head = HEADS.with(|heads| heads.get(which).cloned());
    assert!(head.is_some(), "there is no head of {which}");
    let mut state = head.unwrap_or_default();
    state.extend_from_slice(body);
    let Some((host, mut processor)) = instance(which, Some(state)) else { return };
    let mut collected = Collected::default();
    for (now, from) in [(32, 25), (60, 50)] {
        let context = testkit::context(DEFAULT_TIME + now * SECOND);
        let Some(points) = points(from) else { return };
        let result =
            serve::with_sink(&mut collected, |sink| processor.process(&context, points, sink));
        assert!(result.is_ok(), "{result:?}");
        let result = serve::with_sink(&mut collected, |sink| processor.tick(&context, sink));
        assert!(result.is_ok(), "{result:?}");
    }
    // With nothing to store it into, all that is open is emitted.
    host.refuses_state.store(true, Ordering::Relaxed);
    let context = testkit::context(DEFAULT_TIME + 61 * SECOND);
    let result =
        serve::with_sink(&mut collected, |sink| processor.control(&context, Control::Stop, sink));
    assert!(result.is_ok(), "{result:?}");
    let bytes: usize = collected.batches.iter().map(Batch::byte_size).sum();
    assert!(bytes <= RESULT_MAX, "{bytes} bytes of results");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Random;

    fn body(which: usize) -> Vec<u8> {
        let whole = whole(which).unwrap();
        let mut data = vec![which as u8];
        data.extend_from_slice(&whole[HEAD..]);
        data
    }

    #[test]
    fn bent_checkpoints() {
        let mut random = Random::new(3);
        let whole: Vec<Vec<u8>> = (0..QUERIES.len()).map(body).collect();
        for _ in 0..2_000 {
            let mut data = whole[random.below(whole.len() as u64) as usize].clone();
            for _ in 0..=random.below(3) {
                let at = random.below(data.len() as u64) as usize;
                match random.below(4) {
                    0 => data[at] ^= 1 << random.below(8),
                    1 => data[at] = random.bits() as u8,
                    2 => {
                        data.remove(at);
                    }
                    _ => data.truncate(at.max(1)),
                }
            }
            check(&data);
        }
    }

    /// What fuzzing begins with. `HEADWATER_WRITE_SEEDS=1` writes them anew.
    #[test]
    fn the_seeds_are_whole_checkpoints() {
        let folder = crate::paths::root().join("tests/fuzz/seeds/checkpoint");
        for which in 0..QUERIES.len() {
            let (path, body) = (folder.join(which.to_string()), body(which));
            check(&body);
            if std::env::var_os("HEADWATER_WRITE_SEEDS").is_some() {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, &body).unwrap();
            }
            assert_eq!(std::fs::read(&path).unwrap_or_default(), body, "{}", path.display());
        }
    }
}
