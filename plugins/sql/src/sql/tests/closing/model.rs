//! The closing rule as a model that looks at everything each time, against the real one: random sources,
//! live, behind and finite, and a clock that steps.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// A form of windows; times are nanoseconds.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Windows of `size` that begin every `slide`.
    Grid {
        slide: i64,
        size: i64,
    },
    Session {
        gap: i64,
    },
}

#[derive(Debug, Clone, Copy)]
struct Rule {
    shape: Shape,
    delay: i64,
    idle: i64,
    hold: i64,
    max_future: i64,
}

struct Source {
    event_time: i64,
    seen: i64,
    live: bool,
    finite: bool,
}

/// An open window; of a session its first and last point, else its start and end.
#[derive(Debug, Clone)]
struct Open {
    from: i64,
    to: i64,
    /// Points by host; a session has one host.
    points: BTreeMap<u64, i64>,
    fed: bool,
    /// When the clock first was past its end and delay.
    held: Option<i64>,
}

/// Start, host, points.
type Row = (i64, u64, i64);

struct Model {
    rule: Rule,
    now: i64,
    sources: BTreeMap<u64, Source>,
    open: Vec<Open>,
    /// Starts of windows that were emitted.
    emitted: BTreeSet<i64>,
    /// Host, first and last point of sessions that were emitted.
    sessions: Vec<(u64, i64, i64)>,
    late: u64,
    future: u64,
    rows: Vec<Row>,
}

impl Model {
    fn new(rule: Rule) -> Self {
        Model {
            rule,
            now: i64::MIN,
            sources: BTreeMap::new(),
            open: Vec::new(),
            emitted: BTreeSet::new(),
            sessions: Vec::new(),
            late: 0,
            future: 0,
            rows: Vec::new(),
        }
    }

    fn clock(&mut self, now: i64) {
        if now < self.now {
            // What came "later" counts as having come now.
            self.sources.values_mut().for_each(|source| source.seen = source.seen.min(now));
            self.open.iter_mut().for_each(|w| w.held = w.held.map(|held| held.min(now)));
        }
        self.now = now;
    }

    fn source(&mut self, origin: u64) -> &mut Source {
        let fresh = Source { event_time: i64::MIN, seen: self.now, live: false, finite: false };
        self.sources.entry(origin).or_insert(fresh)
    }

    fn feed(&mut self, now: i64, origin: u64, points: &[(u64, i64)]) {
        self.clock(now);
        let limit = now + self.rule.max_future;
        let delay = self.rule.delay;
        let latest = points.iter().map(|(_, time)| *time).filter(|time| *time <= limit).max();
        let source = self.source(origin);
        source.seen = now;
        if let Some(latest) = latest {
            source.event_time = source.event_time.max(latest);
            source.live = now - latest <= delay;
        }
        let fed = !source.live;
        for &(host, time) in points {
            if time > limit {
                self.future += 1;
                continue;
            }
            match self.rule.shape {
                Shape::Grid { slide, size } => self.place(slide, size, fed, host, time),
                Shape::Session { gap } => self.extend(gap, fed, host, time),
            }
        }
        self.close();
    }

    fn place(&mut self, slide: i64, size: i64, fed: bool, host: u64, time: i64) {
        let mut missed = false;
        let mut from = time.div_euclid(slide) * slide;
        while from + size > time {
            if self.emitted.contains(&from) {
                missed = true;
            } else {
                let at = self.open.iter().position(|w| w.from == from).unwrap_or_else(|| {
                    let points = BTreeMap::new();
                    self.open.push(Open { from, to: from + size, points, fed: false, held: None });
                    self.open.len() - 1
                });
                self.open[at].fed |= fed;
                *self.open[at].points.entry(host).or_default() += 1;
            }
            from -= slide;
        }
        self.late += u64::from(missed);
    }

    fn extend(&mut self, gap: i64, fed: bool, host: u64, time: i64) {
        let near = |from: i64, to: i64| time >= from - gap && time <= to + gap;
        let is_near = |w: &Open| w.points.contains_key(&host) && near(w.from, w.to);
        let (joined, others): (Vec<Open>, Vec<Open>) = self.open.drain(..).partition(is_near);
        self.open = others;
        let late = self.sessions.iter().any(|(of, from, to)| *of == host && near(*from, *to));
        if joined.is_empty() && late {
            self.late += 1;
            return;
        }
        let from = joined.iter().map(|w| w.from).chain([time]).min().unwrap();
        let to = joined.iter().map(|w| w.to).chain([time]).max().unwrap();
        let n = 1 + joined.iter().map(|w| w.points[&host]).sum::<i64>();
        // What another end makes of it is held from when that is past.
        let same = joined.len() == 1 && joined[0].to == to;
        let held = joined.first().and_then(|w| w.held).filter(|_| same);
        let fed = fed || joined.iter().any(|w| w.fed);
        self.open.push(Open { from, to, points: BTreeMap::from([(host, n)]), fed, held });
    }

    fn control(&mut self, now: i64, message: Control) {
        self.clock(now);
        match message {
            Control::Begin { origin, finite } => {
                let source = self.source(origin);
                (source.finite, source.seen) = (finite, now);
            }
            Control::End { origin: 0 } => self.sources.clear(),
            Control::End { origin } => drop(self.sources.remove(&origin)),
            Control::Progress { origin, time_ns } => {
                let delay = self.rule.delay;
                let source = self.source(origin);
                source.event_time = source.event_time.max(time_ns);
                source.live = now - time_ns <= delay;
                source.seen = now;
            }
            Control::Idle { origin } => {
                for (own, source) in &mut self.sources {
                    if *own == origin || origin == 0 {
                        source.seen = i64::MIN;
                    }
                }
            }
            _ => {}
        }
        self.close();
    }

    fn tick(&mut self, now: i64) {
        self.clock(now);
        self.close();
    }

    fn close(&mut self) {
        let Rule { shape, delay, idle, hold, .. } = self.rule;
        let now = self.now;
        let (sources, mut due) = (&self.sources, Vec::new());
        self.open.retain_mut(|w| {
            let end = match shape {
                Shape::Grid { .. } => w.to,
                Shape::Session { gap } => w.to + gap + 1,
            };
            let ready = end + delay;
            if now < ready {
                return true;
            }
            let held = *w.held.get_or_insert(now);
            let lets_go = |source: &Source| {
                source.live
                    || source.event_time >= ready
                    || now >= source.seen.saturating_add(idle)
                    || !source.finite && now >= held + hold
            };
            let is_due = !w.fed || sources.values().all(lets_go);
            if is_due {
                due.push(w.clone());
            }
            !is_due
        });
        for w in due {
            self.emit(w);
        }
    }

    fn emit(&mut self, w: Open) {
        for (host, n) in &w.points {
            self.rows.push((w.from, *host, *n));
            if let Shape::Session { .. } = self.rule.shape {
                self.sessions.push((*host, w.from, w.to));
            }
        }
        self.emitted.insert(w.from);
    }

    fn stop(&mut self) {
        for w in std::mem::take(&mut self.open) {
            self.emit(w);
        }
    }
}

fn read(batches: &[Batch]) -> Vec<Row> {
    let points = batches.iter().flat_map(|batch| batch.points());
    let row = |point: PointRef<'_>| {
        let Some(headwater_plugin_api::batch::Value::I64(n)) = point.field("n") else { panic!() };
        let host = point.series().tag("host").unwrap()[1..].parse().unwrap();
        (point.time() - T * S, host, n)
    };
    points.map(row).collect()
}

/// A source as the test plays it: how far its points are behind the clock, or where it reads.
struct Player {
    origin: u64,
    behind: i64,
    reads_at: Option<i64>,
}

/// Plays random sources to both; what was done, if they differ.
fn play(rule: Rule, by: &str, steps: bool, seed: u64) -> Result<u64, String> {
    let ms = |nanos: i64| format!("'{}ms'", nanos / 1_000_000);
    let options = format!(
        "delay = {}\nidle = {}\nhold = {}\nmax_future = {}",
        ms(rule.delay),
        ms(rule.idle),
        ms(rule.hold),
        ms(rule.max_future)
    );
    let query = format!("SELECT host, count(*) AS n FROM m GROUP BY {by}, host");
    let mut s = stage(&options, &query);
    let mut model = Model::new(rule);
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut below = |n: i64| random.below(n as u64) as i64;
    let mut players: Vec<Player> = (1..=1 + below(4) as u64)
        .map(|origin| Player {
            origin,
            behind: [0, 0, 2, 8, 100][below(5) as usize] * S,
            reads_at: None,
        })
        .collect();
    let (mut now, mut made) = (0, Vec::new());
    let mut told = Vec::new();
    for step in 0..400 {
        now += match below(60) {
            0 if steps => -below(900) * S,
            1 if steps => below(900) * S,
            0..=30 => below(40) * S / 10,
            _ => below(4) * S / 10,
        };
        let at = below(players.len() as i64) as usize;
        let player = &mut players[at];
        let origin = player.origin;
        let what = below(20);
        let text;
        match what {
            0..=10 => {
                let time = player.reads_at.unwrap_or(now - player.behind);
                let points: Vec<(u64, i64)> = (0..1 + below(4))
                    .map(|_| (below(3) as u64, time - below(40) * S / 10 + below(15) * S / 10))
                    .collect();
                if let Some(at) = &mut player.reads_at {
                    *at += below(80) * S / 10;
                }
                text = format!("feed {origin} {points:?}");
                let mut builder = BatchBuilder::default();
                for (host, time) in &points {
                    let host = format!("h{host}");
                    let point = builder.point("m").tag("host", &host).field("a", 1.0);
                    point.finish(T * S + time).unwrap();
                }
                let mut batch = builder.finish().unwrap();
                batch.set_origin(origin);
                made.extend(read(&s.sql.process(T * S + now, batch).0.batches));
                model.feed(now, origin, &points);
            }
            11..=14 => {
                let message = match below(7) {
                    0 => {
                        player.reads_at = Some(now - below(4000) * S);
                        Control::Begin { origin, finite: true }
                    }
                    1 | 2 if player.reads_at.take().is_some() => Control::End { origin },
                    3 => Control::Idle { origin },
                    4 => Control::Progress { origin, time_ns: now - below(100) * S },
                    5 => Control::End { origin: below(30) as u64 },
                    _ => Control::Flush,
                };
                text = format!("{message:?}");
                let real = match message {
                    Control::Progress { origin, time_ns } => {
                        Control::Progress { origin, time_ns: T * S + time_ns }
                    }
                    other => other,
                };
                made.extend(read(&s.sql.control(T * S + now, real).0.batches));
                model.control(now, message);
            }
            _ => text = "tick".to_owned(),
        }
        told.push(format!("{step}: {} {text}", now as f64 / 1e9));
        // What a call leaves to be looked at again it asks for a millisecond later.
        for _ in 0..2 {
            now += 1_000_000;
            made.extend(read(&s.sql.tick(T * S + now).0.batches));
            model.tick(now);
        }
        made.sort_unstable();
        model.rows.sort_unstable();
        if made != model.rows {
            let only = |a: &[Row], b: &[Row]| {
                let list = a.iter().filter(|row| !b.contains(row));
                list.map(|row| format!("{:?}", (row.0 as f64 / 1e9, row.1, row.2)))
                    .collect::<Vec<_>>()
            };
            let (ours, theirs) = (only(&made, &model.rows), only(&model.rows, &made));
            return Err(format!("real {ours:?}, model {theirs:?}\n{}", told.join("\n")));
        }
        let refused = (s.metric("points_late"), s.metric("points_future"));
        if refused != (model.late, model.future) {
            let theirs = (model.late, model.future);
            return Err(format!("refused {refused:?}, model {theirs:?}\n{}", told.join("\n")));
        }
    }
    made.extend(read(&s.sql.control(T * S + now, Control::Stop).0.batches));
    model.stop();
    made.sort_unstable();
    model.rows.sort_unstable();
    if made == model.rows { Ok(made.len() as u64) } else { Err("the stop".into()) }
}

fn compare(shape: Shape, by: &str) {
    let mut rows = 0;
    for seed in 1..=60 {
        let mut random = Random(seed * 7919);
        let mut pick = |list: &[i64]| list[random.below(list.len() as u64) as usize] * S / 10;
        let rule = Rule {
            shape,
            delay: pick(&[0, 10, 30]),
            idle: pick(&[20, 50, 300]),
            hold: pick(&[10, 80, 6000]),
            max_future: pick(&[0, 10, 600]),
        };
        match play(rule, by, seed % 3 == 0, seed) {
            Ok(made) => rows += made,
            Err(what) => panic!("{by}, seed {seed}, {rule:?}: {what}"),
        }
    }
    assert!(rows > 1500, "{rows}");
}

#[test]
fn tumbling_windows_close_as_the_model_says() {
    compare(Shape::Grid { slide: 5 * S, size: 5 * S }, "time('5s')");
}

#[test]
fn hopping_windows_close_as_the_model_says() {
    compare(Shape::Grid { slide: 2 * S, size: 5 * S }, "hop('2s', '5s')");
    compare(Shape::Grid { slide: 5 * S, size: 5 * S }, "hop('5s', '5s')");
}

#[test]
fn sessions_close_as_the_model_says() {
    compare(Shape::Session { gap: 2 * S }, "session('2s')");
    compare(Shape::Session { gap: 8 * S }, "session('8s')");
}
