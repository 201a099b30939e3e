//! The inputs, parser, serializer and output of the 1.0 fixture.

use std::sync::Arc;
use std::time::Duration;

use headwater_plugin_api::abi::instance::{
    InputInstance, OutputInstance, ParserInstance, SerializerInstance, ServiceInstance,
};
use headwater_plugin_api::abi::module::capability;
use headwater_plugin_api::abi::serve;
use headwater_plugin_api::batch::{Batch, BatchBuilder, layout::metric_kind};
use headwater_plugin_api::plugin::{
    Context, Error, ErrorKind, Framing, Level, Outcome, Settlement,
};
use headwater_plugin_api::testkit::{Driven, TestHost, TestIntake, context};

use crate::PANICS;
use crate::host::raw;
use crate::loader::{InputKind, Listed, PluginKind, Registry};

pub fn check(registry: &Registry, listed: &[Listed]) {
    listing(registry, listed);
    source(registry);
    faults(registry);
    service(registry);
    parser(registry);
    serializer(registry);
    output(registry);
}

fn listing(registry: &Registry, listed: &[Listed]) {
    let names: Vec<_> = listed.iter().map(|p| (p.kind, p.name.as_str())).collect();
    let expected = [
        (PluginKind::Input, "abi_service"),
        (PluginKind::Input, "abi_source"),
        (PluginKind::Parser, "abi_lines"),
        (PluginKind::Serializer, "abi_text"),
        (PluginKind::Processor, "abi_stage"),
        (PluginKind::Aggregator, "abi_total"),
        (PluginKind::Output, "abi_ledger"),
    ];
    assert_eq!(names, expected);
    assert!(listed.iter().all(|plugin| plugin.version == "1.2.3"));
    assert_eq!(listed[1].summary, "Points of every kind of value.");
    let schema = registry.schema(PluginKind::Input, "abi_source").unwrap();
    assert!(schema.contains("points") && schema.contains("ancient"), "{schema}");
    let sample = registry.sample(PluginKind::Output, "abi_ledger").unwrap();
    assert!(sample.contains("[[outputs.abi_ledger]]"), "{sample}");
}

fn make(registry: &Registry, config: &str) -> Result<Driven<InputInstance>, Error> {
    let InputKind::Gathered(plugin) = registry.input("abi_source").unwrap().plugin else {
        panic!("abi_source is gathered");
    };
    assert_eq!(plugin.descriptor.capabilities(), capability::FINITE);
    let host = Arc::new(TestHost::default());
    let instance = InputInstance::make(&plugin, config, raw(&host, registry))?;
    Ok(Driven { instance, host })
}

/// What the source of the fixture makes at a time.
pub fn batch(registry: &Registry, points: usize) -> Batch {
    let mut source = make(registry, &format!("points = {points}")).unwrap();
    let (mut collected, result) = source.gather(100);
    result.unwrap();
    collected.batches.remove(0)
}

fn source(registry: &Registry) {
    let mut source = make(registry, "points = 3\npause = \"1m\"").unwrap();
    source.instance.base.init(&context(0)).unwrap();
    let (collected, result) = source.gather(100);
    result.unwrap();
    let key = "all\\,\\ kinds,b\\=c=d\\ e,host=";
    let text = "text=\"a \\\"quoted\\\" ünïcode text\"";
    let expected = [
        format!("{key}h0 f=0,i=0i,u=18446744073709551615u,on=true,{text} 100"),
        format!("{key}h1 f=0.25,i=-1i,u=18446744073709551614u,on=false,{text} 101"),
        format!("{key}h0 f=0.5,i=-2i,u=18446744073709551613u,on=true,{text} 102"),
    ];
    assert_eq!(collected.points(), expected);
    let batch = &collected.batches[0];
    assert_eq!(batch.series(0).kind(), metric_kind::GAUGE);
    assert_eq!((batch.series_count(), batch.shape_count(), batch.time_range()), (2, 1, (100, 102)));
    let tags = vec![("from".to_owned(), "bytes".to_owned())];
    assert_eq!(collected.bytes, [(b"line one\nline two\n".to_vec(), tags)]);
    assert_eq!((source.host.metric("gathers"), source.host.metric("last") as i64), (1, -3));
    let logs = source.host.logs.lock().unwrap();
    let expected = [
        (Level::Information, "the source is ready".to_owned()),
        (Level::Debug, "3 points at 1234".to_owned()),
    ];
    assert_eq!(*logs, expected);
    drop(logs);
    assert_eq!(
        source.instance.base.snapshot(&context(0)).unwrap(),
        Some(vec![1, 0, 0, 0, 0, 0, 0, 0])
    );
    source.instance.base.restore(&context(0), &[5, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    assert_eq!(source.host.metric("gathers"), 6);
    assert!(source.instance.base.restore(&context(0), &[5]).is_err());
    source.instance.base.pause(&context(0)).unwrap();
    source.instance.base.stop(&context(0)).unwrap();
}

fn faults(registry: &Registry) {
    let check = |config: &str, key: &str, words: &str| {
        let error = make(registry, config).err().unwrap();
        let ErrorKind::BadConfig { key: Some(found), span } = error.kind() else {
            panic!("{error:?}");
        };
        assert_eq!(found, key);
        assert!(error.message().contains(words), "{error}");
        span.clone()
    };
    let span = check("points = 4\npoinst = 4", "poinst", "did you mean `points`?").unwrap();
    assert!(&"points = 4\npoinst = 4"[span.clone()] == "poinst", "{span:?}");
    let span = check("points = \"many\"", "points", "").unwrap();
    assert_eq!(&"points = \"many\""[span], "\"many\"");
    check("ancient = 1", "ancient", "it means nothing any more");
    check("points = -1", "points", "-1 points cannot be");

    let mut source = make(registry, "fault = \"panic\"").unwrap();
    let (_, result) = source.gather(1);
    let error = result.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Panicked);
    assert_eq!(error.message(), "the fixture was told to panic");
    let panics = std::mem::take(&mut *PANICS.lock().unwrap());
    let [panic] = &panics[..] else { panic!("{panics:?}") };
    assert!(panic.starts_with("the fixture was told to panic at ") && panic.contains("inputs.rs:"));

    let mut source = make(registry, "fault = \"later\"").unwrap();
    let error = source.gather(1).1.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::RetryAfter(Duration::from_millis(1500)));
}

fn service(registry: &Registry) {
    let InputKind::Service(plugin) = registry.input("abi_service").unwrap().plugin else {
        panic!("abi_service runs by itself");
    };
    assert_eq!(plugin.descriptor.capabilities(), capability::PARSED);
    let host = Arc::new(TestHost::default());
    let mut instance =
        ServiceInstance::make(&plugin, "text = \"abcdef\"", raw(&host, registry)).unwrap();
    let intake = Arc::new(TestIntake::default());
    instance.start(&context(5), serve::intake(Arc::clone(&intake) as _)).unwrap();
    let [(number, spec)] = &intake.sources()[..] else { panic!("one source") };
    assert_eq!((&*spec.name, spec.framing, spec.start), ("memory", Framing::Lines, 7));
    assert_eq!(spec.tags, [("k".to_owned(), "v".to_owned())]);
    assert!(spec.finite && spec.acknowledged && !spec.lossy && spec.descriptor.is_none());
    assert_eq!(intake.take_woken(), [*number]);
    let batches = intake.take_batches();
    assert_eq!(batches[0].origin(), *number);
    assert_eq!(headwater_plugin_api::testkit::lines(&batches), ["pushed n=1i 5"]);
    let pushed = intake.take_pushed();
    assert_eq!((&pushed[0].data[..], pushed[0].token), (&b"message"[..], Some(9)));
    assert_eq!(intake.read(*number, 4, 0).unwrap().bytes, b"abcd");
    let last = intake.read(*number, 4, 0).unwrap();
    assert_eq!((&last.bytes[..], last.read), (&b"ef"[..], headwater_plugin_api::plugin::Read::End));
    let settlement = Settlement { source: *number, token: 13, outcome: Outcome::Delivered };
    instance.settled(&context(6), &[settlement]);
    let expected = format!("source {number} token 13 Delivered");
    assert_eq!(host.logs.lock().unwrap()[0], (Level::Information, expected));
    instance.base.pause(&context(7)).unwrap();
    drop(instance);
    assert_eq!(Arc::strong_count(&intake), 1, "the plugin gave its intake back");
}

fn parser(registry: &Registry) {
    let plugin = registry.parser("abi_lines").unwrap().plugin;
    assert_eq!(plugin.descriptor.capabilities(), capability::SPLITTABLE | capability::STATELESS);
    let host = Arc::new(TestHost::default());
    let instance =
        ParserInstance::make(&plugin, "separator = \"=\"", raw(&host, registry)).unwrap();
    assert_eq!(instance.cut(b"a=1\nb=2\nc", false), 8);
    assert_eq!(instance.cut(b"a=1\nb=2\nc", true), 9);
    let mut parser = Driven { instance, host };
    let (collected, result) = parser.parse(b"a=1\nbad\nb=2.5\n", 77);
    result.unwrap();
    assert_eq!(collected.points(), ["a v=1 77", "b v=2.5 77"]);
    assert_eq!(collected.lines, 3);
    let [bad] = &collected.bad[..] else { panic!("{:?}", collected.bad) };
    assert_eq!((bad.offset, bad.len, bad.at), (4, 4, 5));
    assert_eq!(bad.message, "it is not a name and a number");
}

fn serializer(registry: &Registry) {
    let plugin = registry.serializer("abi_text").unwrap().plugin;
    let host = Arc::new(TestHost::default());
    let instance = SerializerInstance::make(&plugin, "", raw(&host, registry)).unwrap();
    let mut serializer = Driven { instance, host };
    let mut builder = BatchBuilder::default();
    builder.point("m").tag("t", "v").field("a", 1.5).field("b", "x").finish(3).unwrap();
    builder.point("m").field("a", 2.5).finish(4).unwrap();
    let mut batch = builder.finish().unwrap();
    assert_eq!(serializer.serialize(&batch).unwrap(), b"m,t=v a=1.5 b=\"x\" 3\nm a=2.5 4\n");
    batch.retain(|_, row| row.time == 4);
    assert_eq!(serializer.serialize(&batch).unwrap(), b"m a=2.5 4\n");
}

fn output(registry: &Registry) {
    let plugin = registry.output("abi_ledger").unwrap().plugin;
    let host = Arc::new(TestHost::default());
    let config = "refuse = 102\nserializer = \"abi_text\"\ntoken = \"@{store:key}\"";
    let mut instance = OutputInstance::make(&plugin, config, raw(&host, registry)).unwrap();
    let batches = [batch(registry, 2), batch(registry, 4)];
    let cx = Context::new(100, Some(Duration::from_secs(1)), None);
    assert_eq!(*instance.write(&cx, &batches).unwrap_err().kind(), ErrorKind::NotConnected);
    let error = instance.base.connect(&context(0)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotConnected);
    instance.base.connect(&cx).unwrap();
    let error = instance.write(&cx, &batches).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Partial(vec![(1, 2)]));
    assert_eq!(host.metric("points"), 5);
    let bytes = host.metric("bytes");
    assert!(bytes > 200, "{bytes}");
    instance.write_bytes(&cx, b"12345").unwrap();
    assert_eq!(host.metric("bytes"), bytes + 5);
    let config = "serializer = \"missing\"";
    let error = OutputInstance::make(&plugin, config, raw(&host, registry)).err().unwrap();
    assert!(error.message().contains("there is no serializer `missing`"), "{error}");
}
