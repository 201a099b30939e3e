//! A million series for a while, then silence: what becomes of the memory.

use std::path::Path;
use std::time::{Duration, Instant};

use headwater_tests::agent::{Agent, Setup};
use headwater_tests::load::Load;
use rustix::process::Signal;

use crate::case::Group;
use crate::counters::Counters;
use crate::feed;
use crate::figure::{Bar, Figure, Limit, Spread};
use crate::outcome::Outcome;

/// A way through the agent that remembers series.
pub struct Soak {
    pub name: &'static str,
    pub about: &'static str,
    stages: &'static str,
}

pub const SOAKS: &[Soak] = &[
    Soak {
        name: "a million series, then silence: passthrough",
        about: "resident memory before, at the most, and after, socket -> /dev/null",
        stages: "",
    },
    Soak {
        name: "a million series, then silence: SQL window",
        about: "the same with a group of two aggregates for each series, each 10 s",
        stages: "[[processors.sql]]\nmax_groups = 1000000\nquery = '''\nCREATE STREAM by_series AS\n\
                 SELECT zid, host, cpu, count(*) AS n, avg(usage_user) AS mean\nFROM cpu\n\
                 GROUP BY time('10s'), zid, host, cpu\n'''\n",
    },
];

/// Memory is back if it is within a fifth of where it began.
const BACK: f64 = 1.2;

/// The points before, and the time after them in which the agent comes to rest.
const FEW: u64 = 200_000;
const REST: Duration = Duration::from_secs(25);

/// How long memory may take to come back.
const SILENCE_MAX: Duration = Duration::from_secs(60);

const SERIES: u64 = 1_000_000;

impl Soak {
    pub fn measure(&self, program: &Path, base: &Load, time: Duration) -> Result<Outcome, String> {
        let config = format!(
            "[agent]\nomit_hostname = true\nflush_interval = \"100ms\"\n\
             [[inputs.socket_listener]]\nservice_address = \"tcp://127.0.0.1:0\"\n{}\n\
             [[inputs.internal]]\ninterval = \"1s\"\n\
             [[outputs.file]]\nfiles = [\"@/internal\"]\nnamepass = [\"internal_*\"]\n\
             [[outputs.file]]\nalias = \"main\"\nfiles = [\"/dev/null\"]\nnamedrop = [\"internal_*\"]\n",
            self.stages
        );
        let mut agent = Setup::of(program, &config).start();
        let to = agent.tcp();
        let failed = |agent: &Agent, error| format!("{}: {error}\n{}", self.name, agent.log());
        let counted = |agent: &mut Agent, points: u64| {
            agent.until("the count of all points", |agent| {
                (Counters::read(&agent.read("internal")).gathered == points).then_some(())
            });
        };
        // It begins with an agent that has worked, whose code and tables are there, and that rests.
        let few = Load { points: FEW, ..base.clone() };
        let before = feed::stream(to, few.lines(), time).map_err(|error| failed(&agent, error))?;
        counted(&mut agent, before);
        std::thread::sleep(REST);
        let resident = |agent: &Agent| agent.memory("VmRSS").unwrap_or_default() as f64;
        let start = resident(&agent);
        // All series come within one window.
        let load = Load {
            points: u64::MAX,
            series: SERIES,
            step_ns: 10_000_000_000 / SERIES as i64,
            start_ns: base.start_ns + 3_600_000_000_000,
            ..base.clone()
        };
        let sent = feed::stream(to, load.lines(), time).map_err(|error| failed(&agent, error))?;
        counted(&mut agent, before + sent);
        let silence = Instant::now();
        let mut after = resident(&agent);
        while after > start * BACK && silence.elapsed() < SILENCE_MAX {
            std::thread::sleep(Duration::from_millis(100));
            after = resident(&agent);
        }
        let silence = silence.elapsed();
        let peak = agent.peak() as f64;
        agent.signal(Signal::TERM);
        let (status, _) = agent.wait();
        if !status.success() {
            return Err(format!("{}: {status}\n{}", self.name, agent.log()));
        }
        let mut outcome = Outcome::new(self.name, Group::Soak);
        for (figure, value) in [
            (Figure::StartBytes, start),
            (Figure::PeakBytes, peak),
            (Figure::AfterBytes, after),
            (Figure::AfterRatio, after / start),
            (Figure::SilenceSeconds, silence.as_secs_f64() * 1e3),
        ] {
            outcome.set(figure, Spread::exact(value));
        }
        outcome.bars.push(Bar { figure: Figure::AfterRatio, limit: Limit::AtMost(BACK) });
        let series = sent.min(SERIES);
        outcome.checked = format!("{sent} points of {series} series counted");
        Ok(outcome)
    }
}
