use super::*;
use headwater_plugin_api::batch::BatchBuilder;
use headwater_plugin_api::testkit;

#[test]
fn aggregates_by_window_and_tag() {
    let mut sql = testkit::processor::<Sql>("query = '''SELECT host, avg(usage_user), min(usage_user) AS least, max(usage_user) AS most, count(*) AS n FROM cpu GROUP BY time('10s'), host'''").unwrap();
    let mut builder = BatchBuilder::default();
    const S: i64 = 1_000_000_000;
    for i in 0..20_i64 {
        let host = format!("h{}", i % 2);
        builder.point("cpu").tag("host", &host).field("usage_user", i as f64).finish((1000 + i) * S).unwrap();
    }
    let batch = builder.finish().unwrap();
    let (got, result) = sql.process(1020 * S, batch);
    result.unwrap();
    assert_eq!(got.points().len(), 20);
    let (got, next) = sql.tick(1021 * S);
    println!("{next:?}");
    assert_eq!(got.points(), [""]);
}
