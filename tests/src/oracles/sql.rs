//! Statements of stream SQL: whatever text, it is refused with a place inside it or it runs.

use std::sync::Arc;

use headwater_plugin_api::abi::instance::ProcessorInstance;
use headwater_plugin_api::abi::module::ProcessorPlugin;
use headwater_plugin_api::abi::{serve, shim};
use headwater_plugin_api::batch::{Batch, BatchBuilder};
use headwater_plugin_api::plugin::Control;
use headwater_plugin_api::testkit::{self, Collected, TestHost};
use headwater_sql::sql::Sql;

use super::DEFAULT_TIME;

/// Bytes of memory that the results of a few points may have.
const RESULT_MAX: usize = 64 << 20;

/// Some points with something of each kind in them, and with fields that others lack.
fn points() -> Option<Batch> {
    let mut builder = BatchBuilder::default();
    for i in 0..20_i64 {
        let host = format!("h{}", i % 3);
        let mut point = builder.point(if i % 7 == 6 { "mem" } else { "cpu" }).tag("host", &host);
        if i % 2 == 0 {
            point = point.tag("cpu", "cpu-total");
        }
        let mut point = point.field("v", i as f64 / 4.0 - 2.0).field("n", i64::MAX - i);
        if i % 3 != 0 {
            point = point.field("text", "a-Bé_%").field("on", i % 4 == 1).field("u", u64::MAX);
        }
        // The points are within all limits.
        let _ = point.finish(DEFAULT_TIME + i * 1_000_000_000);
    }
    builder.finish()
}

/// Makes the processor of a query and lets it work.
///
/// # Panics
/// If it is accepted and then fails, or makes far more of the points than they are.
pub fn check(text: &[u8]) {
    thread_local! {
        static PLUGIN: ProcessorPlugin = shim::processor::<Sql>("0.0.0");
    }
    let Ok(query) = std::str::from_utf8(text) else { return };
    // What the configuration's own syntax cannot carry is no query.
    if query.contains("'''") || query.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return;
    }
    let config = format!("query = '''\n{query}'''\ndrop_original = true\n");
    let host = || serve::host(Arc::new(TestHost::default()) as _);
    let made = PLUGIN.with(|plugin| ProcessorInstance::make(plugin, &config, host()));
    let Ok(mut processor) = made else { return };
    let mut collected = Collected::default();
    let now = DEFAULT_TIME + 20_000_000_000;
    let context = testkit::context(now);
    let Some(points) = points() else { return };
    let result = serve::with_sink(&mut collected, |sink| processor.process(&context, points, sink));
    assert!(result.is_ok(), "{query:?}: {result:?}");
    let result =
        serve::with_sink(&mut collected, |sink| processor.control(&context, Control::Stop, sink));
    assert!(result.is_ok(), "{query:?}: {result:?}");
    let bytes: usize = collected.batches.iter().map(Batch::byte_size).sum();
    assert!(bytes <= RESULT_MAX, "{query:?}: {bytes} bytes of results");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::seeded;

    const PIECES: &[&[u8]] = &[
        b"SELECT ",
        b"CREATE STREAM s AS ",
        b"FROM cpu ",
        b"FROM * ",
        b"WHERE ",
        b"GROUP BY ",
        b"HAVING ",
        b"time('10s')",
        b"hop('10s', '1m')",
        b"session('5s')",
        b"rows(3)",
        b"count(*)",
        b"avg(v)",
        b"quantile(v, 0.5)",
        b"count(DISTINCT host)",
        b"FILTER (WHERE v > 0)",
        b" AS x",
        b", ",
        b"host",
        b"\"cpu\"",
        b"v",
        b"n",
        b"text",
        b"on",
        b" + ",
        b" * ",
        b" / ",
        b" || ",
        b"1",
        b"9223372036854775807",
        b"1.5e300",
        b"'a%'",
        b" LIKE ",
        b" ~ ",
        b"(",
        b")",
        b";",
        b" AND ",
        b" OR ",
        b"NOT ",
        b" IS NULL",
        b" IN (1, 2)",
        b" BETWEEN 1 AND n",
        b"CASE WHEN ",
        b" THEN ",
        b" ELSE ",
        b" END",
        b"CAST(",
        b" AS BIGINT)",
        b"::TEXT",
        b"INTERVAL '1 day'",
        b"date_trunc('hour', time)",
        b"regexp_replace(text, '(a+)+$', '')",
        b"repeat(text, 999999999)",
        b"lpad(text, 99999999)",
        b"\n",
        b"--",
        b"/*",
        b"'",
        b"\"",
        b"\xc3\xa9",
        b"FROM STREAM:cpu ",
        b"FROM TAG:'c*' ",
        b"WINDOW TUMBLING (5 SECOND) ",
        b"WINDOW HOPPING (10 SECOND, ADVANCE BY 3 SECOND) ",
        b"CREATE STREAM s WITH (tag='t') AS ",
        b"CREATE SNAPSHOT s WITH (seconds=5) AS SELECT * FROM STREAM:cpu",
        b"FLUSH SNAPSHOT s AS SELECT * FROM STREAM:mem",
        b"SNAPSHOT ",
        b"LIMIT 3 ",
        b"['a']",
        b"@record.contains(",
        b"@record.",
        b":",
        b".5",
        b"RECORD_TAG()",
        b"TIMESERIES_FORECAST(v, 5)",
        b"SELECT v FROM cpu",
        b"SELECT count(*) FROM * GROUP BY time(1s), host;",
    ];

    #[test]
    fn statements_from_pieces() {
        seeded::run(5, 4_000, PIECES, 12, check);
    }

    #[test]
    fn statements_that_run() {
        for query in [
            "SELECT repeat(text, 999999999) AS r FROM cpu",
            "SELECT repeat(repeat(repeat(text, 9999), 9999), 9999) AS r FROM cpu",
            "SELECT host, count(*) AS n, sum(n) AS s FROM * GROUP BY time(1s), host",
            "SELECT MAX(n), RECORD_TIME() FROM STREAM:cpu WINDOW HOPPING (5 SECOND, ADVANCE BY 2 SECOND) GROUP BY text;",
            "SELECT host['a'].b['c'], NOW(), RECORD_TAG() FROM TAG:'*p*' WHERE @record.contains(text) AND text > 5;",
            "CREATE SNAPSHOT s AS SELECT * FROM TAG:'*' LIMIT 3; FLUSH SNAPSHOT s AS SELECT * FROM STREAM:mem WHERE n > 5;",
            "SELECT n + n AS a, u * u AS b, -n AS c, n / 0 AS d FROM *",
        ] {
            check(query.as_bytes());
        }
    }
}
