//! A million groups that are open at once: what each holds, and what a checkpoint of them costs.

use std::path::Path;
use std::time::{Duration, SystemTime};

use headwater_tests::agent::{Agent, Setup};
use headwater_tests::load::Load;
use rustix::process::Signal;

use crate::case::Group;
use crate::feed;
use crate::figure::{Bar, Figure, Limit, Spread};
use crate::outcome::Outcome;

pub const NAME: &str = "SQL: a million live groups";
pub const ABOUT: &str = "resident memory of each with two aggregates; a checkpoint of all of them";

const GROUPS: u64 = 1_000_000;
const BAR_BYTES: f64 = 150.0;

const CONFIG: &str = r#"
[agent]
omit_hostname = true
flush_interval = "100ms"
statefile = "@/state"

[[inputs.socket_listener]]
service_address = "tcp://127.0.0.1:0"

[[inputs.internal]]
interval = "1s"

[[processors.sql]]
namepass = ["cpu"]
drop_original = true
max_groups = 1000000
checkpoint = "CHECKPOINT"
query = '''
CREATE STREAM by_series AS
SELECT zid, host, cpu, count(*) AS n, avg(usage_user) AS mean FROM cpu GROUP BY time('1000d'), zid, host, cpu
'''

[[outputs.file]]
files = ["@/internal"]
namepass = ["internal_*"]

[[outputs.file]]
files = ["/dev/null"]
namedrop = ["internal_*"]
"#;

/// The last value of a self-metric of the processor.
fn metric(agent: &Agent, name: &str) -> Option<f64> {
    let text = agent.read("internal");
    let line =
        text.lines().rev().find(|line| line.contains("state_bytes=") && line.contains(name))?;
    let (_, rest) = line.split_once(&format!("{name}="))?;
    rest.split(['i', 'u', ',', ' ']).next()?.parse().ok()
}

fn full(program: &Path, base: &Load, checkpoint: &str) -> Result<(Agent, f64), String> {
    let mut agent = Setup::of(program, &CONFIG.replace("CHECKPOINT", checkpoint)).start();
    let to = agent.tcp();
    agent.until("its first self-metrics", |agent| metric(agent, "groups"));
    let before = agent.memory("VmRSS").unwrap_or_default() as f64;
    // Points of the present keep their window open.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let start_ns = i64::try_from(since.as_nanos()).unwrap_or_default();
    let load = Load { points: GROUPS * 2, series: GROUPS, start_ns, step_ns: 1000, ..base.clone() };
    feed::stream(to, load.lines(), Duration::from_secs(600)).map_err(|error| error.to_string())?;
    agent.until("all groups", |agent| {
        (metric(agent, "groups")? >= GROUPS as f64 && metric(agent, "windows_open")? >= 1.0)
            .then_some(())
    });
    Ok((agent, before))
}

fn end(mut agent: Agent) {
    agent.signal(Signal::KILL);
    agent.wait();
}

pub fn measure(program: &Path, base: &Load) -> Result<Outcome, String> {
    let (mut agent, before) = full(program, base, "")?;
    // Buffers of the burst are given back in some seconds: the least of them counts.
    let mut least = f64::INFINITY;
    let mut looks = 0;
    agent.until("rest", |agent| {
        std::thread::sleep(Duration::from_millis(200));
        least = least.min(agent.memory("VmRSS").unwrap_or_default() as f64);
        looks += 1;
        (looks >= 30).then_some(())
    });
    end(agent);
    let each = (least - before) / GROUPS as f64;
    let (mut agent, _) = full(program, base, "1s")?;
    let large = |agent: &Agent| metric(agent, "checkpoint_bytes").filter(|bytes| *bytes > 1e6);
    let bytes = agent.until("a checkpoint of all groups", large);
    let mut value = |name: &str| agent.until(name, |agent| metric(agent, name));
    let (encode, store) = (value("checkpoint_encode_ns"), value("checkpoint_store_ns"));
    end(agent);
    let mut outcome = Outcome::new(NAME, Group::Sql);
    for (figure, value) in [
        (Figure::GroupBytes, each),
        (Figure::CheckpointBytes, bytes),
        (Figure::EncodeTime, encode / 1e6),
        (Figure::StoreTime, store / 1e6),
    ] {
        outcome.set(figure, Spread::exact(value));
    }
    outcome.bars.push(Bar { figure: Figure::GroupBytes, limit: Limit::AtMost(BAR_BYTES) });
    outcome.checked = format!("{GROUPS} groups counted");
    Ok(outcome)
}
