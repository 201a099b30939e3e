//! Memory comes back after many series, and stays where it is under a steady load.

use super::*;

const QUERY: &str = "CREATE STREAM w AS SELECT host, count(*) AS n, avg(v) AS a, min(v) AS low,
                     max(v) AS high FROM * GROUP BY time('10s'), host";

impl Stage {
    /// Points of so many hosts from one on, in batches as parsers make them.
    pub fn hosts(&mut self, now: i64, hosts: std::ops::Range<usize>) {
        let mut builder = BatchBuilder::default();
        for first in hosts.clone().step_by(10_000) {
            for host in first..hosts.end.min(first + 10_000) {
                let name = format!("host{host}");
                let point = builder.point("m").tag("host", &name).field("v", host as f64);
                point.finish((T + now) * S).unwrap();
            }
            let mut batch = builder.finish().unwrap();
            batch.set_origin(1);
            self.sql.process((T + now) * S, batch).1.unwrap();
        }
    }

    /// Ticks each second, and again where more is to come; the rows that came.
    pub fn ticks(&mut self, seconds: std::ops::Range<i64>) -> usize {
        seconds.map(|now| self.ticks_at(now).iter().sum::<usize>()).sum()
    }

    /// Ticks until nothing more is to come at that time; the rows of each tick.
    pub fn ticks_at(&mut self, now: i64) -> Vec<usize> {
        let mut rows = Vec::new();
        loop {
            let (made, next) = self.sql.tick((T + now) * S);
            rows.push(made.points().len());
            if next.unwrap().is_none_or(|next| next > (T + now) * S) {
                return rows;
            }
        }
    }

    fn bytes(&self) -> u64 {
        self.metric("state_bytes")
    }
}

#[test]
fn silence_after_many_series_gives_all_back() {
    let mut s = stage("max_groups = 1000000", QUERY);
    s.ticks(0..1);
    assert_eq!(s.bytes(), 0);
    s.hosts(1, 0..100_000);
    s.ticks(1..2);
    assert!(s.bytes() > 5_000_000, "{}", s.bytes());
    assert_eq!(s.ticks(2..20), 100_000);
    s.ticks(20..22);
    assert!(s.bytes() < 20_000, "{}", s.bytes());
    assert_eq!(s.metric("groups"), 0);
    // And all is as it was.
    s.hosts(31, 5..8);
    assert_eq!(
        s.tick(41),
        [
            "w,host=host5 n=1i,a=5,low=5,high=5 30",
            "w,host=host6 n=1i,a=6,low=6,high=6 30",
            "w,host=host7 n=1i,a=7,low=7,high=7 30",
        ]
    );
}

#[test]
fn silence_gives_back_what_many_series_took_though_others_go_on() {
    let mut s = stage("max_groups = 1000000", &QUERY.replace("FROM *", "FROM m"));
    s.hosts(1, 0..9_000);
    s.ticks(1..2);
    assert!(s.bytes() > 1_000_000, "{}", s.bytes());
    let mut rows = 0;
    for now in 2..40 {
        let other = format!("other,host=a v=1 {now}");
        rows += s.feed(now, &[other.as_str()]).len() + s.ticks(now..now + 1);
    }
    assert_eq!(rows, 9_000);
    assert!(s.bytes() < 20_000, "{}", s.bytes());
}

#[test]
fn fewer_series_after_many_need_less() {
    let mut s = stage("max_groups = 1000000", QUERY);
    s.hosts(1, 0..100_000);
    let mut rows = 0;
    for round in 1..4 {
        s.hosts(round * 10, 0..2_000);
        rows += s.ticks(round * 10 + 1..round * 10 + 10);
    }
    rows += s.ticks(40..42);
    assert_eq!(rows, 106_000);
    // What the cache of series may hold stays.
    assert!(s.bytes() < 2_000_000, "{}", s.bytes());
}

#[test]
fn a_window_that_is_open_keeps_its_groups_in_silence() {
    let mut s = stage("", &QUERY.replace("10s", "10m"));
    s.hosts(1, 0..5_000);
    assert_eq!(s.ticks(2..60), 0);
    assert_eq!(s.metric("groups"), 5_000);
    s.hosts(60, 0..5_000);
    s.ticks(61..62);
    assert_eq!(s.metric("groups"), 5_000);
    assert_eq!(s.ticks(601..602), 5_000);
    assert!(s.sql.tick((T + 640) * S).0.points().is_empty());
    assert!(s.bytes() < 20_000, "{}", s.bytes());
}

#[test]
fn a_steady_load_keeps_its_memory() {
    let mut s = stage("", QUERY);
    let mut held = Vec::new();
    for round in 0..6 {
        s.hosts(round * 10 + 1, 0..5_000);
        s.ticks(round * 10 + 2..round * 10 + 10);
        held.push(s.bytes());
    }
    assert!(held[1..].iter().all(|bytes| *bytes == held[1]), "{held:?}");
}

#[test]
fn a_query_without_windows_rests_too() {
    let mut s = stage("", "SELECT host, v * 2 AS d FROM m");
    s.hosts(1, 0..10_000);
    s.ticks(1..2);
    assert!(s.bytes() > 500_000, "{}", s.bytes());
    let (_, next) = s.sql.tick((T + 2) * S);
    assert!(next.unwrap().is_some(), "it asks to be called again");
    s.ticks(21..22);
    assert_eq!(s.bytes(), 0);
    assert_eq!(s.sql.tick((T + 22) * S).1.unwrap(), None);
}

#[test]
fn many_rows_come_some_thousand_a_call() {
    let mut s = stage("", QUERY);
    s.hosts(1, 0..10_000);
    let steps = s.ticks_at(13);
    assert_eq!(steps, [4096, 4096, 1808]);
    // What a call leaves is emitted at the stop, and by what comes next.
    s.hosts(21, 0..10_000);
    assert_eq!(s.sql.tick((T + 33) * S).0.points().len(), 4096);
    assert_eq!(s.metric("windows_open"), 1);
    let rest = s.feed(33, &["m,host=host1 v=1 33", "m,host=host1 v=1 21"]);
    assert_eq!(rest.len(), 4096);
    assert_eq!(s.metric("points_late"), 1, "the window takes no more points");
    let (made, result) = s.sql.control((T + 33) * S, Control::Stop);
    result.unwrap();
    assert_eq!(made.points().len(), 1808 + 1);
    assert_eq!(s.ticks_at(34), [0]);
}

#[test]
fn new_groups_find_room_while_rows_are_to_come() {
    let mut s = stage("max_groups = 10000", QUERY);
    s.hosts(1, 0..10_000);
    assert_eq!(s.sql.tick((T + 13) * S).0.points().len(), 4096);
    // The groups of the closed window make room, once their rows are out.
    let mut builder = BatchBuilder::default();
    for host in 20_000..20_003 {
        let point = builder.point("m").tag("host", &format!("h{host}")).field("v", 1.0);
        point.finish((T + 14) * S).unwrap();
    }
    let (made, result) = s.sql.process((T + 14) * S, builder.finish().unwrap());
    result.unwrap();
    assert_eq!(made.points().len(), 10_000 - 4096);
    assert_eq!(s.metric("points_overflow"), 0);
    assert_eq!(s.ticks(15..30), 3);
}

#[test]
fn a_later_statement_waits_for_all_rows() {
    let query = format!(
        "{QUERY}; CREATE STREAM all_hosts AS SELECT count(*) AS hosts, sum(n) AS n FROM w GROUP BY time('10s')"
    );
    let mut s = stage("", &query);
    s.hosts(1, 0..10_000);
    let mut sums = Vec::new();
    for now in 2..40 {
        loop {
            let (made, next) = s.sql.tick((T + now) * S);
            let made = made.batches.iter().flat_map(|batch| batch.points().map(line));
            sums.extend(made.filter(|line| line.starts_with("all_hosts")));
            if next.unwrap().is_none_or(|next| next > (T + now) * S) {
                break;
            }
        }
    }
    assert_eq!(sums, ["all_hosts hosts=10000i,n=10000i 0"]);
}
