//! The processor and the aggregator of the 1.0 fixture, and what delivery handles hear of them.

use std::sync::{Arc, Mutex};

use headwater_plugin_api::abi::instance::{AggregatorInstance, ProcessorInstance};
use headwater_plugin_api::abi::serve::{self, Settle};
use headwater_plugin_api::plugin::{Control, ErrorKind, Outcome};
use headwater_plugin_api::testkit::{Collected, Driven, TestHost};

use crate::PANICS;
use crate::host::raw;
use crate::loader::Registry;
use crate::old_data::batch;

pub fn check(registry: &Registry) {
    pass_and_narrow(registry);
    edit(registry);
    rename(registry);
    hold(registry);
    go_wrong(registry);
    deliver(registry);
    total(registry);
}

pub fn stage(registry: &Registry, mode: &str) -> Driven<ProcessorInstance> {
    let plugin = registry.processor("abi_stage").unwrap().plugin;
    let host = Arc::new(TestHost::default());
    let config = format!("mode = \"{mode}\"");
    let instance = ProcessorInstance::make(&plugin, &config, raw(&host, registry)).unwrap();
    assert_eq!(host.state.lock().unwrap().get("mode").unwrap(), mode.as_bytes());
    Driven { instance, host }
}

fn run(registry: &Registry, mode: &str) -> Collected {
    let (collected, result) = stage(registry, mode).process(0, batch(registry, 4));
    result.unwrap();
    collected
}

fn times(collected: &Collected) -> Vec<i64> {
    collected.batches.iter().flat_map(|b| b.points().map(|p| p.time())).collect()
}

fn pass_and_narrow(registry: &Registry) {
    let given = batch(registry, 4);
    let before = headwater_plugin_api::testkit::lines([&given]);
    let arena = given.tables().arena().as_ptr();
    let (passed, result) = stage(registry, "pass").process(0, given);
    result.unwrap();
    assert_eq!(passed.points(), before);
    assert_eq!(passed.batches[0].tables().arena().as_ptr(), arena, "passed through without a copy");
    assert_eq!(run(registry, "rebuild").points(), before);
    let filtered = run(registry, "filter");
    assert_eq!(times(&filtered), [100, 102]);
    let split = run(registry, "split");
    assert_eq!(split.batches.len(), 2);
    assert_eq!(times(&split), [100, 102, 101, 103]);
}

fn edit(registry: &Registry) {
    let given = batch(registry, 2);
    let kept = given.clone();
    let before = headwater_plugin_api::testkit::lines([&kept]);
    let (edited, result) = stage(registry, "edit").process(0, given);
    result.unwrap();
    let expected: Vec<String> = [(0, 1100), (1, 1101)]
        .map(|(i, time)| {
            format!(
                "all\\,\\ kinds,b\\=c=d\\ e,host=h{i} f=2.5,i={}i,u={}u,on={},text=\"edited\" {time}",
                -i,
                u64::MAX - i as u64,
                i == 0
            )
        })
        .into();
    assert_eq!(edited.points(), expected);
    assert_eq!(edited.batches[0].time_range(), (1100, 1101));
    let after = headwater_plugin_api::testkit::lines([&kept]);
    assert_eq!(after, before, "a clone does not see the edit");
}

fn rename(registry: &Registry) {
    let renamed = run(registry, "rename");
    let key = "all\\,\\ kinds,host=h0,site=x\\ y";
    let text = "text=\"a \\\"quoted\\\" ünïcode text\"";
    let expected = [
        format!("{key} f=0,integer=0i,u=18446744073709551615u,{text} 100"),
        format!("{key} f=0.5,integer=-2i,u=18446744073709551613u,{text} 102"),
    ];
    assert_eq!(renamed.points(), expected);
}

fn hold(registry: &Registry) {
    let mut stage = stage(registry, "hold");
    let (nothing, result) = stage.process(0, batch(registry, 1));
    result.unwrap();
    assert!(nothing.batches.is_empty());
    let (held, next) = stage.tick(50);
    assert_eq!((held.batches.len(), next.unwrap()), (1, Some(60)));
    stage.process(0, batch(registry, 1)).1.unwrap();
    let (nothing, result) = stage.control(60, Control::Flush);
    result.unwrap();
    assert!(nothing.batches.is_empty());
    let (held, result) = stage.control(60, Control::Stop);
    result.unwrap();
    assert_eq!(held.batches.len(), 1);
}

fn go_wrong(registry: &Registry) {
    let (collected, result) = stage(registry, "panic").process(0, batch(registry, 1));
    assert_eq!(*result.unwrap_err().kind(), ErrorKind::Panicked);
    assert!(collected.batches.is_empty());
    assert_eq!(std::mem::take(&mut *PANICS.lock().unwrap()).len(), 1);
    let (_, result) = stage(registry, "fail").process(0, batch(registry, 2));
    assert_eq!(*result.unwrap_err().kind(), ErrorKind::Partial(vec![(0, 1)]));
    let plugin = registry.processor("abi_stage").unwrap().plugin;
    let host = Arc::new(TestHost::default());
    let made = ProcessorInstance::make(&plugin, "mode = \"fly\"", raw(&host, registry));
    let error = made.err().unwrap();
    assert_eq!(error.message(), "there is no mode `fly`");
}

#[derive(Default)]
struct Ledger(Mutex<(i64, Vec<Outcome>)>);

impl Settle for Ledger {
    fn retained(&self) {
        self.0.lock().unwrap().0 += 1;
    }
    fn settled(&self, outcome: Outcome) {
        self.0.lock().unwrap().1.push(outcome);
    }
}

fn deliver(registry: &Registry) {
    let check = |mode: &str, expected: &[Outcome]| {
        let ledger = Arc::new(Ledger::default());
        let mut given = batch(registry, 4);
        given.set_delivery(Some(serve::delivery(Arc::clone(&ledger) as _)));
        let (collected, _) = stage(registry, mode).process(0, given);
        for mut batch in collected.batches {
            if let Some(delivery) = batch.take_delivery() {
                delivery.settle(Outcome::Delivered);
            }
        }
        let mut ledger = ledger.0.lock().unwrap();
        assert_eq!(ledger.0 + 1, ledger.1.len() as i64, "{mode}: each clone settles once");
        ledger.1.sort();
        assert_eq!(ledger.1, expected, "{mode}");
    };
    use Outcome::{Delivered, Dropped};
    check("pass", &[Delivered]);
    check("filter", &[Delivered]);
    check("split", &[Delivered, Delivered]);
    check("rebuild", &[Dropped]);
    check("fail", &[Dropped]);
    check("panic", &[Dropped]);
    PANICS.lock().unwrap().clear();
}

fn total(registry: &Registry) {
    let plugin = registry.aggregator("abi_total").unwrap().plugin;
    let host = Arc::new(TestHost::default());
    let instance =
        AggregatorInstance::make(&plugin, "field = \"f\"", raw(&host, registry)).unwrap();
    let mut total = Driven { instance, host };
    let mut given = batch(registry, 4);
    total.apply(0, &given).unwrap();
    given.retain(|_, row| row.time == 103);
    total.apply(0, &given).unwrap();
    assert_eq!(given.len(), 1);
    let (collected, next) = total.tick(9);
    assert_eq!(next.unwrap(), None);
    assert_eq!(collected.points(), ["total sum=2.25,points=5u 9"]);
    total.control(9, Control::Stop).1.unwrap();
}
