//! Each bound is reached: what happens then, and where it is counted. Those of snapshots are reached in
//! `fluent.rs`.

use super::*;

const SUMS: &str = "CREATE STREAM w AS SELECT sum(v) AS v FROM m GROUP BY time('10s')";

#[test]
fn when_one_more_window_opens_the_oldest_closes_early() {
    let mut s = stage("max_windows = 2", SUMS);
    // The first source is behind: it holds all windows open.
    s.feed(0, &["m v=1 -1000"]);
    assert_eq!(s.feed_from(0, 2, &["m v=2 -980"]), [""; 0]);
    assert_eq!(s.feed_from(0, 2, &["m v=3 -960"]), ["w v=1 -1000"]);
    assert_eq!((s.metric("windows_early"), s.metric("points_late")), (1, 0));
    // It was emitted: what comes for it now is late.
    s.feed(0, &["m v=4 -1000", "m v=5 -980"]);
    assert_eq!((s.metric("windows_early"), s.metric("points_late")), (1, 1));
    assert_eq!(s.stop(1), ["w v=7 -980", "w v=3 -960"]);
}

#[test]
fn a_batch_may_open_twice_as_many_and_the_oldest_close_in_its_middle() {
    let mut s = stage("max_windows = 2", SUMS);
    let lines: Vec<String> = (0..9).map(|at| format!("m v=1 {}", at * 10 - 1000)).collect();
    let made = s.feed(0, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(made.len(), 7);
    s.stop(1);
    assert_eq!(s.made.len(), 9, "{:?}", s.made);
    assert_eq!((s.metric("windows_early"), s.metric("points_no_window")), (7, 0));
}

#[test]
fn points_find_no_room_while_emitted_windows_take_late_points() {
    let options = "max_windows = 2\nlate = 'update'\ngrace = '1h'";
    let hop = "CREATE STREAM w AS SELECT sum(v) AS v FROM m GROUP BY hop('10s', '20s')";
    // Of hop() there are at least four times as many as overlap; a point opens one more before it.
    for (query, windows, points) in [(SUMS, 2, 2), (hop, 8, 7)] {
        let mut s = stage(options, query);
        let times = |from: i64, count: i64| -> Vec<String> {
            (0..count).map(|at| format!("m v=1 {}", from + at * 10)).collect()
        };
        let feed = |s: &mut Stage, now: i64, lines: Vec<String>| {
            s.feed(now, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        };
        feed(&mut s, 100, times(0, points));
        s.tick(110);
        assert_eq!((s.made.len(), s.metric("windows_open")), (windows, windows as u64));
        // As many new ones find room beside those, the rest does not.
        feed(&mut s, 500, times(300, points + 1));
        assert_eq!(s.metric("points_no_window"), 1, "{query}");
        s.tick(520);
        s.stop(520);
        assert_eq!(s.made.len(), 2 * windows, "{:?}", s.made);
        assert_eq!((s.metric("windows_early"), s.metric("points_late")), (0, 0));
    }
}

#[test]
fn hopping_windows_are_bounded_but_all_that_overlap_have_room() {
    let query = "CREATE STREAM w AS SELECT count(*) AS n FROM m GROUP BY hop('10s', '1m')";
    let mut s = stage("max_windows = 1", query);
    s.feed(0, &["m v=1 -30000"]);
    for at in 0..100 {
        s.feed_from(0, 2, &[&format!("m v=1 {}", at * 100 - 20_000)]);
        s.tick(0);
        assert!(s.metric("windows_open") <= 24, "{}", s.metric("windows_open"));
    }
    assert_eq!(s.metric("windows_early"), 606 - 24);
    s.stop(1);
    assert_eq!(s.made.len(), 606);
}

#[test]
fn as_many_windows_as_nobody_could_hold_are_refused() {
    for (windows, most) in [(0, "0"), (65_537, "65537")] {
        let error = refused(&format!("query = 'SELECT a FROM m'\nmax_windows = {windows}"));
        let text = error.to_string();
        assert!(text.contains(most), "{text}");
        assert!(text.contains("expected 1 to 65536"), "{text}");
    }
}

#[test]
fn queries_are_bounded() {
    let sum = |terms: usize| format!("SELECT a{} AS x FROM m", " + 1".repeat(terms));
    let nested = format!("SELECT {}a{} AS x FROM m", "(".repeat(200), ")".repeat(200));
    for (query, expected) in [
        (format!("SELECT a FROM m {}", " ".repeat(65_536)), "the limit is 65536"),
        ("SELECT a FROM m;".repeat(65), "more than 64 statements"),
        (format!("SELECT {} FROM m", "a, ".repeat(5000)), "more than 8000 words"),
        (sum(200), "more than 128 operators in a row"),
        (nested, "nest"),
        ("SELECT a FROM m WHERE t ~ '([a-z]{500}){500}'".to_owned(), "it is too large"),
    ] {
        let error = refused(&format!("query = '''{query}'''")).to_string();
        assert!(error.contains(expected), "{expected}: {:.200}", error);
    }
    for query in [sum(100), "SELECT a FROM m;".repeat(64)] {
        stage("", &query);
    }
}

#[test]
fn keys_go_by_their_first_65535_bytes() {
    let mut s = stage("", "CREATE STREAM w AS SELECT count(*) AS n FROM m GROUP BY time('10s'), t");
    let text = |len: usize, end: &str| format!("m t=\"{}{end}\" 1", "x".repeat(len));
    let lines = [text(65_535, "a"), text(65_535, "b"), text(65_534, "a"), text(65_534, "b")];
    s.feed(1, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    s.stop(2);
    let counts: Vec<&str> = s.made.iter().map(|line| &line[line.find("n=").unwrap()..]).collect();
    assert_eq!(counts.len(), 3, "{counts:?}");
    assert_eq!(counts.iter().filter(|count| count.starts_with("n=2i")).count(), 1, "{counts:?}");
    assert_eq!(s.metric("failures_size"), 2);
}

#[test]
fn of_many_sources_the_one_that_is_silent_longest_is_forgotten() {
    let mut s = stage("", SUMS);
    // It is behind and holds its window open, as long as it is remembered.
    s.feed_from(0, 1, &["m v=1 -1000"]);
    for source in 2..=4096 {
        assert_eq!(s.feed_from(1, source, &["m v=1 -500"]), [""; 0]);
    }
    assert_eq!(s.feed_from(1, 4097, &["m v=1 -500"]), ["w v=1 -1000"]);
    assert_eq!(s.stop(1), ["w v=4096 -500"]);
    assert_eq!(s.metric("points_late"), 0);
}

/// Feeds points in batches of a hundred, a tick after every tenth, and looks at the memory each time.
struct Load {
    stage: Stage,
    most: u64,
    worst: u64,
    fed: u64,
    /// Nothing is remembered in silence.
    forgetful: bool,
    /// Time closes no window.
    lasting: bool,
}

const MIB: u64 = 1 << 20;

impl Load {
    fn new(options: &str, query: &str) -> Load {
        let options = format!("max_state = '1MiB'\nmax_groups = 10000000\n{options}");
        Load {
            stage: stage(&options, query),
            most: MIB,
            worst: 0,
            fed: 0,
            forgetful: !query.contains("session("),
            lasting: query.contains("rows("),
        }
    }

    /// Feeds so many batches at a second; `fill` makes each point of its number.
    fn feed(&mut self, now: i64, batches: u64, fill: impl Fn(u64) -> (String, String)) {
        for at in 0..batches {
            let mut builder = BatchBuilder::default();
            for _ in 0..100 {
                let (tag, text) = fill(self.fed);
                let number = self.fed as f64;
                let point = builder.point("m").tag("host", &tag).field("v", number);
                point.field("s", text.as_str()).finish((T + now) * S).unwrap();
                self.fed += 1;
            }
            let mut batch = builder.finish().unwrap();
            batch.set_origin(1);
            let (got, result) = self.stage.sql.process((T + now) * S, batch);
            result.unwrap();
            self.stage.take(&got.batches);
            if at % 10 == 9 {
                self.stage.tick(now);
                self.worst = self.worst.max(self.stage.metric("state_bytes"));
            }
        }
    }

    /// Points in rows: the sum of their column `n`.
    fn in_rows(&self) -> u64 {
        let n = |line: &String| -> u64 {
            let from = line.find("n=").unwrap() + 2;
            let number: String = line[from..].chars().take_while(char::is_ascii_digit).collect();
            number.parse().unwrap()
        };
        self.stage.made.iter().map(n).sum()
    }

    /// Points that were refused.
    fn refused(&self) -> u64 {
        let counts = ["points_overflow", "points_late", "points_no_window"];
        counts.iter().map(|name| self.stage.metric(name)).sum()
    }

    /// All points are in so many rows, or counted: these counters, and no others, tell of any.
    fn check(mut self, copies: u64, counted: &[&str]) {
        assert!(self.worst < self.most * 3 / 2, "{} bytes", self.worst);
        assert!(self.worst > self.most / 2, "{} bytes: too little to show anything", self.worst);
        let held = self.stage.metric("state_bytes");
        for now in 100..200 {
            while {
                let (got, next) = self.stage.sql.tick((T + now) * S);
                self.stage.take(&got.batches);
                next.unwrap().is_some_and(|next| next <= (T + now) * S)
            } {}
        }
        let left = self.stage.metric("state_bytes");
        self.stage.stop(201);
        self.stage.tick(221);
        let left = if self.lasting { self.stage.metric("state_bytes") } else { left };
        // Which sessions were emitted is remembered of a thousand.
        let kept = if self.forgetful { MIB / 8 } else { MIB / 4 };
        assert!(left < kept, "{left} of {held} bytes are left");
        let in_rows = self.in_rows();
        let refused = self.refused();
        assert_eq!(in_rows, (self.fed - refused) * copies);
        for name in ["points_overflow", "points_late", "windows_early", "points_forgotten"] {
            let count = self.stage.metric(name);
            assert_eq!(count > 0, counted.contains(&name), "{name}: {count}");
        }
        // And new groups are taken as if nothing had been.
        self.stage.made.clear();
        let before = self.stage.metric("points_overflow");
        self.stage.feed(1000, &["m,host=new v=1,s=\"x\" 1000"]);
        self.stage.stop(1001);
        assert_eq!(self.stage.made.len() as u64, copies);
        assert_eq!(self.stage.metric("points_overflow"), before);
    }
}

/// A text of its own for each number.
fn text(number: u64, len: usize) -> String {
    format!("{number:010}{}", "x".repeat(len))
}

const FORMS: [&str; 4] = ["time('10s')", "hop('10s', '30s')", "session('5s')", "rows(100000)"];

#[test]
fn endless_new_groups_are_refused_when_there_is_no_memory() {
    for form in FORMS {
        let query = format!(
            "CREATE STREAM w AS SELECT host, count(*) AS n, avg(v) AS a FROM m GROUP BY {form}, host"
        );
        let mut load = Load::new("tags = ['host']", &query);
        load.feed(1, 400, |number| (format!("host{number}"), String::new()));
        // Those that are known go on, if no more memory is needed.
        let refused = load.stage.metric("points_overflow");
        assert!(refused > 20_000, "{form}: {refused}");
        load.feed(1, 10, |number| (format!("host{}", number % 1000), String::new()));
        assert_eq!(load.stage.metric("points_overflow"), refused, "{form}");
        let copies = if form.starts_with("hop") { 3 } else { 1 };
        load.check(copies, &["points_overflow"]);
    }
}

#[test]
fn endless_new_groups_let_all_windows_begin_anew_if_that_is_wished() {
    for form in FORMS {
        let query = format!(
            "CREATE STREAM w AS SELECT host, count(*) AS n, avg(v) AS a FROM m GROUP BY {form}, host"
        );
        let mut load = Load::new("tags = ['host']\noverflow = 'flush'", &query);
        load.feed(1, 400, |number| (format!("host{number}"), String::new()));
        let copies = if form.starts_with("hop") { 3 } else { 1 };
        load.check(copies, &["windows_early"]);
    }
}

#[test]
fn what_known_groups_take_lets_the_oldest_windows_close() {
    // Long texts, values of DISTINCT, sketches that grow: the same few groups throughout.
    let texts = "max(s) AS m";
    let distinct = "count(DISTINCT v) AS d, count(DISTINCT s) AS e";
    let sketches = "quantile(v * v * v, 0.9) AS q, approx_distinct(v) AS a";
    for (overflow, groups, aggregates, len, batches) in [
        ("drop", 300, texts, 2, 60),
        ("flush", 300, texts, 2, 60),
        ("drop", 20, distinct, 0, 400),
        ("flush", 20, distinct, 0, 400),
        ("drop", 400, sketches, 0, 400),
    ] {
        for form in FORMS {
            let query = format!(
                "CREATE STREAM w AS SELECT host, count(*) AS n, {aggregates} FROM m GROUP BY {form}, host"
            );
            let options = format!("tags = ['host']\noverflow = '{overflow}'\ndelay = '1m'");
            let mut load = Load::new(&options, &query);
            for now in 0..6 {
                load.feed(now * 9, batches / 6, |number| {
                    (format!("host{}", number % groups), text(number, len * number as usize))
                });
            }
            // A session is refused where others would go on.
            let acts =
                if form.starts_with("session") { "points_overflow" } else { "windows_early" };
            assert!(
                load.stage.metric(acts) + load.stage.metric("windows_early") > 0,
                "{overflow} {groups} {form}: {}",
                load.worst
            );
            assert!(load.worst < MIB * 3 / 2, "{overflow} {groups} {form}: {}", load.worst);
            load.stage.stop(100);
            // Of hopping windows, points may miss some, or come for some again.
            if !form.starts_with("hop") {
                assert_eq!(load.in_rows() + load.refused(), load.fed, "{overflow} {groups} {form}");
            }
            load.stage.tick(130);
            let left = load.stage.metric("state_bytes");
            assert!(left < MIB / 4, "{overflow} {groups} {form}: {left}");
        }
    }
}

#[test]
fn joins_and_over_answer_their_oldest_points_early() {
    let over = "CREATE STREAM w AS SELECT host, 1 AS n, max(s) OVER (PARTITION BY host ROWS 9 PRECEDING) AS a FROM m";
    let all = "CREATE STREAM w AS SELECT host, 1 AS n, max(s) OVER (PARTITION BY host) AS a FROM m";
    let join = "CREATE STREAM w AS SELECT m.host AS host, 1 AS n, m.s AS s FROM m LEFT JOIN o ON m.host = o.host AND o.time BETWEEN m.time AND m.time + INTERVAL '30s'";
    for overflow in ["drop", "flush"] {
        for query in [over, all, join] {
            for groups in [20, 1_000_000] {
                let options = format!("tags = ['host']\noverflow = '{overflow}'\ndelay = '1m'");
                let mut load = Load::new(&options, query);
                for now in 0..6 {
                    load.feed(now * 9, 20, |number| {
                        (format!("host{}", number % groups), text(number, 500))
                    });
                }
                let stage = &mut load.stage;
                let refused = stage.metric("points_overflow");
                let early = stage.metric("windows_early");
                assert_eq!(refused > 0, overflow == "drop" && groups > 20, "{query}: {refused}");
                assert!(early > 0 || refused > 0, "{overflow} {groups} {query}");
                assert!(load.worst < MIB * 3 / 2, "{overflow} {groups} {query}: {}", load.worst);
                stage.stop(60);
                let late = stage.metric("points_late");
                assert_eq!(stage.made.len() as u64 + refused + late, load.fed, "{query}");
            }
        }
    }
}

#[test]
fn the_memory_is_that_of_all_statements() {
    let one = |name: &str| {
        format!(
            "CREATE STREAM {name} AS SELECT host, count(*) AS n FROM m GROUP BY time('10s'), host;"
        )
    };
    let queries: String = ["a", "b", "c", "d"].map(one).concat();
    let mut load = Load::new("tags = ['host']", &queries);
    load.feed(1, 200, |number| (format!("host{number}"), String::new()));
    assert!(load.stage.metric("points_overflow") > 40_000);
    assert!(load.worst < MIB * 3 / 2, "{}", load.worst);
    load.stage.stop(20);
    let refused = load.stage.metric("points_overflow");
    assert_eq!(load.stage.made.len() as u64 + refused, load.fed * 4);
}
