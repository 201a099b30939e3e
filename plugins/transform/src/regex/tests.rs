use super::*;
use headwater_plugin_api::batch::BatchBuilder;
use headwater_plugin_api::testkit::{self, Collected};

/// A line of an access log: text, numbers and tags.
fn requests() -> Batch {
    let mut builder = BatchBuilder::default();
    for (time, verb, code, request) in [
        (1, "GET", "200", "/api/search/?category=plugins&q=regex&sort=asc"),
        (2, "GET", "404", "/favicon.ico"),
        (3, "POST", "200", "/api/users?id=7"),
    ] {
        let point = builder.point("nginx_requests").tag("verb", verb).tag("resp_code", code);
        let point = point.field("request", request).field("client_ip", "127.0.0.1");
        point.field("resp_bytes", 270_i64 * time).finish(time).unwrap();
    }
    builder.finish().unwrap()
}

fn collect(config: &str, batch: Batch) -> Collected {
    let mut regex = testkit::processor::<Regex>(config).unwrap();
    let (collected, result) = regex.process(0, batch);
    result.unwrap();
    assert_eq!(regex.host.metric("errors"), 0);
    collected
}

fn run(config: &str) -> Vec<String> {
    collect(config, requests()).points()
}

fn one(tags: &[(&str, &str)], fields: &[(&str, &str)]) -> Batch {
    let mut builder = BatchBuilder::default();
    let point = builder.point("m").tags(tags.iter().copied());
    fields.iter().fold(point, |point, (key, value)| point.field(key, *value)).finish(0).unwrap();
    builder.finish().unwrap()
}

/// The first and only point that comes of `config`.
fn first(config: &str, tags: &[(&str, &str)], fields: &[(&str, &str)]) -> String {
    let points = collect(config, one(tags, fields)).points();
    assert_eq!(points.len(), 1);
    points[0].strip_suffix(" 0").unwrap().to_owned()
}

#[test]
fn tags_fields_and_field_names_together() {
    let config = r#"
        [[tags]]
        key = "resp_code"
        pattern = "^(\\d)\\d\\d$"
        replacement = "${1}xx"
        [[fields]]
        key = "request"
        pattern = "^/api(?P<method>/[\\w/]+)\\S*"
        replacement = "${method}"
        result_key = "method"
        [[fields]]
        key = "request"
        pattern = ".*category=(\\w+).*"
        replacement = "${1}"
        result_key = "search_category"
        [[field_rename]]
        pattern = "^client_(\\w+)$"
        replacement = "${1}"
    "#;
    assert_eq!(
        run(config),
        [
            "nginx_requests,resp_code=2xx,verb=GET \
             request=\"/api/search/?category=plugins&q=regex&sort=asc\",ip=\"127.0.0.1\",\
             resp_bytes=270i,method=\"/search/\",search_category=\"plugins\" 1",
            "nginx_requests,resp_code=4xx,verb=GET \
             request=\"/favicon.ico\",ip=\"127.0.0.1\",resp_bytes=540i 2",
            "nginx_requests,resp_code=2xx,verb=POST \
             request=\"/api/users?id=7\",ip=\"127.0.0.1\",resp_bytes=810i,method=\"/users\" 3",
        ]
    );
}

#[test]
fn appending_to_a_tag() {
    let config = r#"
        [[tags]]
        key = "resp_code"
        pattern = '^2\d\d$'
        replacement = " OK"
        result_key = "verb"
        append = true
    "#;
    let keys: Vec<String> =
        run(config).iter().map(|line| line.split(" request").next().unwrap().to_owned()).collect();
    assert_eq!(
        keys,
        [
            "nginx_requests,resp_code=200,verb=GET\\ OK",
            "nginx_requests,resp_code=404,verb=GET",
            "nginx_requests,resp_code=200,verb=POST\\ OK",
        ]
    );
    let to_new = "tags = [{ key = 'a', pattern = '.', replacement = '$0$0', result_key = 'b', append = true }]";
    assert_eq!(first(to_new, &[("a", "x")], &[("f", "")]), "m,a=x,b=xx f=\"\"");
    let to_itself = "tags = [{ key = 'a', pattern = '.', replacement = '-$0', append = true }]";
    assert_eq!(first(to_itself, &[("a", "x")], &[("f", "")]), "m,a=x-x f=\"\"");
}

#[test]
fn named_groups_become_fields() {
    let config = r#"
        [[fields]]
        key = "request"
        pattern = '^/api/(?P<method>\w+)[/?].*category=(?P<category>\w+)&(?:.*)'
    "#;
    let points = run(config);
    assert!(
        points[0].ends_with("resp_bytes=270i,method=\"search\",category=\"plugins\" 1"),
        "{points:?}"
    );
    assert_eq!(points[1..], testkit::lines([&requests()])[1..]);
}

#[test]
fn named_groups_become_tags() {
    let config = "tags = [{ key = 'h*', pattern = '^(?P<role>[a-z]+)(?P<number>\\d*)$' }]";
    assert_eq!(
        first(config, &[("host", "web01"), ("role", "old")], &[("f", "")]),
        "m,host=web01,number=01,role=web f=\"\""
    );
    // An empty group makes nothing.
    assert_eq!(first(config, &[("host", "web")], &[("f", "")]), "m,host=web,role=web f=\"\"");
    let config = "tags = [{ key = 'a', pattern = '(?P<b>.)', append = true }]";
    assert_eq!(first(config, &[("a", "x"), ("b", "y")], &[("f", "")]), "m,a=x,b=yx f=\"\"");
}

#[test]
fn without_replacement_matches_are_deleted_unless_all_groups_are_named() {
    let config = r"fields = [{ key = 'a', pattern = '(?P<x>\d)(\d)' }]";
    assert_eq!(first(config, &[], &[("a", "b12c34")]), "m a=\"bc\"");
    let config = r"fields = [{ key = 'a', pattern = '\d' }]";
    assert_eq!(first(config, &[], &[("a", "12")]), "m a=\"\"");
    let config = r"tags = [{ key = 'a', pattern = '\d' }]";
    assert_eq!(first(config, &[("a", "12"), ("b", "1")], &[("f", "")]), "m,b=1 f=\"\"");
    let config = r"fields = [{ key = 'a', pattern = '(?P<x>\d)', result_key = 'y' }]";
    assert_eq!(first(config, &[], &[("a", "b1")]), "m a=\"b1\",y=\"b\"");
}

#[test]
fn measurements() {
    let config = r#"metric_rename = [{ pattern = '^(\w+)_.*$', replacement = "${1}" }]"#;
    assert!(run(config).iter().all(|line| line.starts_with("nginx,resp_code=")));
    // An empty name is none.
    let config = "metric_rename = [{ pattern = '.*' }]";
    assert_eq!(first(config, &[], &[("f", "")]), "m f=\"\"");
}

#[test]
fn tag_keys() {
    let tags = [("search_a", "1"), ("search_b", "2"), ("b", "3")];
    let keep = "tag_rename = [{ pattern = '^search_(.)$', replacement = '$1' }]";
    assert_eq!(first(keep, &tags, &[("f", "")]), "m,a=1,b=3,search_b=2 f=\"\"");
    let overwrite =
        "tag_rename = [{ pattern = '^search_(.)$', replacement = '$1', result_key = 'overwrite' }]";
    assert_eq!(first(overwrite, &tags, &[("f", "")]), "m,a=1,b=2 f=\"\"");
    let onto_itself =
        "tag_rename = [{ pattern = '(.)$', replacement = '$1', result_key = 'overwrite' }]";
    assert_eq!(first(onto_itself, &tags, &[("f", "")]), "m,b=3,search_a=1,search_b=2 f=\"\"");
}

#[test]
fn field_keys() {
    let fields = [("search_a", "1"), ("search_b", "2"), ("b", "3")];
    let keep = "field_rename = [{ pattern = '^search_(.)$', replacement = '$1' }]";
    assert_eq!(first(keep, &[], &fields), "m a=\"1\",search_b=\"2\",b=\"3\"");
    let overwrite = "field_rename = [{ pattern = '^search_(.)$', replacement = '$1', result_key = 'overwrite' }]";
    assert_eq!(first(overwrite, &[], &fields), "m a=\"1\",b=\"2\"");
    let to_nothing = "field_rename = [{ pattern = '.*' }]";
    assert_eq!(first(to_nothing, &[], &[("a", "1")]), "m a=\"1\"");
}

#[test]
fn keys_are_globs_and_each_field_is_its_own_target() {
    let config = "fields = [{ key = 'x_*', pattern = 'a', replacement = 'b' }]";
    assert_eq!(
        first(config, &[], &[("x_1", "a"), ("y", "a"), ("x_2", "aa")]),
        "m x_1=\"b\",y=\"a\",x_2=\"bb\""
    );
    let config = "tags = [{ key = '*', pattern = 'a', replacement = 'b' }]";
    assert_eq!(first(config, &[("s", "a"), ("t", "c")], &[("f", "a")]), "m,s=b,t=c f=\"a\"");
}

#[test]
fn later_conversions_see_what_earlier_ones_made() {
    let config = r#"
        tags = [
            { key = "a", pattern = "^1$", replacement = "2" },
            { key = "a", pattern = "^2$", replacement = "3", result_key = "b" },
            { key = "b", pattern = "^3$", replacement = "4" },
        ]
        fields = [
            { key = "a", pattern = "^1$", replacement = "2" },
            { key = "a", pattern = "^2$", replacement = "3", result_key = "b" },
            { key = "b", pattern = "^3$", replacement = "4" },
        ]
        tag_rename = [{ pattern = "^b$", replacement = "c" }]
        field_rename = [{ pattern = "^b$", replacement = "c" }]
        metric_rename = [{ pattern = "^m$", replacement = "n" }, { pattern = "^n$", replacement = "o" }]
    "#;
    assert_eq!(first(config, &[("a", "1")], &[("a", "1")]), "o,a=2,c=4 a=\"2\",c=\"4\"");
}

#[test]
fn numbers_are_no_text() {
    let mut builder = BatchBuilder::default();
    let point = builder.point("m").field("i", 1_i64).field("u", 1_u64).field("f", 1.0);
    point.field("b", true).field("t", "1").finish(0).unwrap();
    let point = builder.point("m").field("t", 1_i64).field("i", "1");
    point.finish(1).unwrap();
    let batch = builder.finish().unwrap();
    let in_place = "fields = [{ key = '*', pattern = '1', replacement = '2' }]";
    let expected = ["m i=1i,u=1u,f=1,b=true,t=\"2\" 0", "m t=1i,i=\"2\" 1"];
    assert_eq!(collect(in_place, batch.clone()).points(), expected);
    let made = "fields = [{ key = '*', pattern = '1', replacement = '2', result_key = 'u' }]";
    let expected = ["m i=1i,u=\"2\",f=1,b=true,t=\"1\" 0", "m t=1i,i=\"1\",u=\"2\" 1"];
    assert_eq!(collect(made, batch).points(), expected);
}

#[test]
fn a_shared_batch_stays_as_it_was() {
    let batch = requests();
    let before = testkit::lines([&batch]);
    for config in [
        "fields = [{ key = 'request', pattern = '.', replacement = 'x' }]",
        "fields = [{ key = 'request', pattern = '.', replacement = 'x', result_key = 'y' }]",
        "tags = [{ key = 'verb', pattern = '.', replacement = 'x' }]\n\
         field_rename = [{ pattern = 'request', replacement = 'r' }]",
    ] {
        assert_ne!(collect(config, batch.clone()).points(), before);
        assert_eq!(testkit::lines([&batch]), before);
    }
}

#[test]
fn only_live_rows_are_made_anew_and_the_envelope_stays() {
    let mut batch = requests();
    batch.retain(|_, row| row.time != 2);
    batch.set_origin(5);
    batch.set_sequence(6);
    let config = "fields = [{ key = 'request', pattern = '^/(\\w+)', replacement = '$1', result_key = 'top' }]";
    let collected = collect(config, batch);
    let [made] = collected.batches.as_slice() else { panic!("one batch") };
    assert_eq!((made.len(), made.tables().rows().len()), (2, 2));
    assert_eq!((made.origin(), made.sequence(), made.time_range()), (5, 6, (1, 3)));
    assert_eq!(made.series_count(), 2);
}

#[test]
fn values_that_would_be_too_long_stay_and_are_counted() {
    let long = "x".repeat(100_000);
    let batch = || one(&[], &[("a", &long)]);
    let in_place =
        format!("fields = [{{ key = 'a', pattern = 'x', replacement = '{}' }}]", "y".repeat(50));
    let made = in_place.replace(" }]", ", result_key = 'b' }]");
    for config in [in_place, made] {
        let mut regex = testkit::processor::<Regex>(&config).unwrap();
        let (collected, result) = regex.process(0, batch());
        result.unwrap();
        assert_eq!(collected.points(), testkit::lines([&batch()]));
        assert_eq!(regex.host.metric("errors"), 1);
        let logs = regex.host.logs.lock().unwrap();
        assert!(logs[0].1.contains("too long"), "{logs:?}");
    }
}

#[test]
fn what_is_wrong_with_the_options() {
    let check = |config: &str, part: &str| {
        let error = testkit::processor::<Regex>(config).err().unwrap();
        assert!(error.message().contains(part), "{config}: {error}");
    };
    check("tags = [{ pattern = 'x' }]", "table 1 of `tags` lacks `key`");
    check(
        "fields = [{ key = 'a', pattern = 'x' }, { key = 'x' }]",
        "table 2 of `fields` lacks `pattern`",
    );
    check("tag_rename = [{ replacement = 'x' }]", "table 1 of `tag_rename` lacks `pattern`");
    check("fields = [{ key = 'a', pattern = '(x' }]", "`(x` is not a regular expression");
    check("fields = [{ key = 'a', pattern = 'x', append = true }]", "only tags can be appended to");
    check("tag_rename = [{ pattern = 'x', result_key = 'both' }]", "both");
    check("metric_rename = [{ pattern = 'x', result_key = 'keep' }]", "remove it");
    check("tags = [{ key = '[a', pattern = 'x' }]", "is not closed");
}

#[test]
fn a_batch_that_outgrows_its_bound_is_split() {
    let mut builder = BatchBuilder::default();
    let text = "x".repeat(1000);
    for time in 0..2000 {
        builder.point("m").field("a", text.as_str()).finish(time).unwrap();
    }
    let batch = builder.finish().unwrap();
    let config = format!(
        "fields = [{{ key = 'a', pattern = 'x', replacement = '{}', result_key = 'b' }}]",
        "y".repeat(20)
    );
    let collected = collect(&config, batch);
    assert!(collected.batches.len() > 1);
    assert!(collected.batches.iter().all(|batch| batch.byte_size() < 18 << 20));
    assert_eq!(collected.batches.iter().map(Batch::len).sum::<usize>(), 2000);
    let points = collected.batches.iter().flat_map(Batch::points);
    assert!(points.map(|p| p.time()).eq(0..2000));
}
