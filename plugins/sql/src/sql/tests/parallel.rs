//! Several threads give what one gives.

use std::sync::Barrier;
use std::thread;

use headwater_plugin_api::abi::shared::SharedProcessor;
use headwater_plugin_api::testkit::TestHost;

use super::*;

type SharedStage = Driven<SharedProcessor>;

fn config(options: &str, query: &str) -> String {
    format!("drop_original = true\n{options}\nquery = '''{query}'''")
}

fn shared(options: &str, query: &str) -> SharedStage {
    let stage = testkit::processor::<Sql>(&config(options, query)).unwrap();
    stage.share().unwrap_or_else(|_| panic!("it does not agree: {query}"))
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Batches of random points: their number, and the lines of each; times grow with the number.
fn random_batches(seed: u64, count: u64, hosts: u64) -> Vec<Vec<String>> {
    let mut random = Random(seed);
    let batch = |at: u64| {
        let mut line = |_| {
            let (host, region) = (random.below(hosts), random.below(3));
            let (time, n) = ((at / 2 + random.below(3)).saturating_sub(2), random.below(100));
            let half = random.below(64) as f64 / 4.0;
            format!("m,host=h{host},region=r{region} n={n}i,x={half},t=\"t{}\" {time}", n % 7)
        };
        (0..20).map(&mut line).collect()
    };
    (0..count).map(batch).collect()
}

fn made(batches: &[Batch]) -> Vec<String> {
    batches.iter().flat_map(|b| b.points().map(line)).collect()
}

fn as_batch(lines: &[String]) -> Batch {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut batch = batch(&lines);
    batch.set_origin(1);
    batch
}

/// What one processor makes of it all, in the order of its rows' text.
fn serial(options: &str, query: &str, now: i64, batches: &[Vec<String>]) -> Vec<String> {
    let mut stage = stage(options, query);
    for lines in batches {
        let (got, result) = stage.sql.process((T + now) * S, as_batch(lines));
        result.unwrap();
        stage.take(&got.batches);
    }
    stage.control(now, Control::Stop);
    stage.made.sort_unstable();
    stage.made
}

/// The same by several threads, with ticks between rounds.
fn parallel(
    options: &str,
    query: &str,
    now: i64,
    batches: &[Vec<String>],
    threads: usize,
    round: usize,
) -> (Vec<String>, SharedStage) {
    let mut stage = shared(options, query);
    let mut rows = Vec::new();
    for round in batches.chunks(round) {
        let barrier = Barrier::new(threads);
        let (stage_ref, barrier) = (&stage, &barrier);
        let parts: Vec<Vec<String>> = thread::scope(|scope| {
            let work = |worker: usize| {
                move || {
                    barrier.wait();
                    let mut rows = Vec::new();
                    for lines in round.iter().skip(worker).step_by(threads) {
                        let (got, result) = stage_ref.process((T + now) * S, as_batch(lines));
                        result.unwrap();
                        rows.extend(made(&got.batches));
                    }
                    rows
                }
            };
            let workers: Vec<_> = (0..threads).map(|w| scope.spawn(work(w))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        rows.extend(parts.concat());
        let last = round.iter().map(|lines| as_batch(lines).time_range().1).max().unwrap();
        let (got, result) =
            stage.control((T + now) * S, Control::Reached { origin: 1, time_ns: last });
        result.unwrap();
        assert!(got.batches.is_empty());
        loop {
            let (got, next) = stage.tick((T + now) * S);
            rows.extend(made(&got.batches));
            if next.unwrap().is_none_or(|next| next > (T + now) * S) {
                break;
            }
        }
    }
    let (got, result) = stage.control((T + now) * S, Control::Stop);
    result.unwrap();
    rows.extend(made(&got.batches));
    rows.sort_unstable();
    (rows, stage)
}

const QUERIES: [&str; 7] = [
    "SELECT host, count(*) AS c, sum(n) AS s FROM m GROUP BY hop('2s', '6s'), host",
    "SELECT region, max(x) AS m, count(*) AS c FROM m GROUP BY hop('3s', '7s'), region",
    "SELECT host, count(*) AS c, sum(n) AS s, avg(x) AS a, min(n) AS lo, max(x) AS hi FROM m GROUP BY time('4s'), host",
    "SELECT region, count(DISTINCT n) AS d, median(x) AS q, sum(x) AS s FROM m WHERE n > 10 GROUP BY time('3s'), region",
    "SELECT t, count(*) AS c, min(n) AS f FROM m GROUP BY time('10s'), t HAVING count(*) > 2",
    "SELECT count(*) AS c FROM m GROUP BY time('1s'); SELECT host, n + 1 AS n FROM m WHERE x > 8",
    "CREATE STREAM hot AS SELECT host, x FROM m WHERE x > 4; SELECT host, max(x) AS top, count(*) AS c FROM hot GROUP BY time('5s'), host",
];

#[test]
fn several_threads_make_the_rows_of_one() {
    for (number, query) in QUERIES.iter().enumerate() {
        for (seed, threads) in [(7, 2), (11, 4), (13, 3)] {
            let batches = random_batches(seed + number as u64, 120, 40);
            let expected = serial("delay = '2s'\nhold = '10h'", query, 5000, &batches);
            let (rows, stage) =
                parallel("delay = '4s'\nhold = '10h'", query, 5000, &batches, threads, 12);
            assert_eq!(rows, expected, "{query}, {threads} threads");
            assert_eq!(stage.host.metric("points_late"), 0);
            assert!(!expected.is_empty());
        }
    }
}

#[test]
fn what_needs_its_points_in_order_does_not_agree() {
    for (options, query) in [
        ("", "SELECT host, count(*) FROM m GROUP BY rows(3), host"),
        ("", "SELECT host, count(*) FROM m GROUP BY session('3s'), host"),
        ("late = 'update'\ngrace = '5s'", "SELECT count(*) FROM m GROUP BY time('3s')"),
        ("overflow = 'flush'", "SELECT count(*) FROM m GROUP BY time('3s')"),
        (
            "",
            "CREATE STREAM a AS SELECT count(*) AS c FROM m GROUP BY time('3s'); SELECT sum(c) FROM a GROUP BY time('9s')",
        ),
    ] {
        if let Ok(stage) = testkit::processor::<Sql>(&config(options, query)) {
            assert!(stage.share().is_err(), "{options} {query}");
        } else {
            panic!("{}", refused(&config(options, query)));
        }
    }
}

#[test]
fn windows_wait_for_what_was_overtaken() {
    let query = "SELECT sum(n) AS s FROM m GROUP BY time('10s')";
    let mut stage = shared("hold = '10h'", query);
    let feed = |stage: &SharedStage, line: &str| {
        let (got, result) = stage.process((T + 900) * S, as_batch(&[line.to_owned()]));
        result.unwrap();
        assert!(got.batches.is_empty());
    };
    feed(&stage, "m n=1i 3");
    feed(&stage, "m n=4i 55");
    let (got, _) = stage.tick((T + 900) * S);
    assert!(got.batches.is_empty(), "what came before the second is not known to have come");
    feed(&stage, "m n=2i 8");
    let told = Control::Reached { origin: 1, time_ns: (T + 55) * S };
    stage.control((T + 900) * S, told).1.unwrap();
    let (got, _) = stage.tick((T + 900) * S);
    assert_eq!(made(&got.batches), ["m_sql s=3i 0"]);
    feed(&stage, "m n=2i 9");
    feed(&stage, "m n=8i 56");
    let (got, _) = stage.control((T + 900) * S, Control::Stop);
    assert_eq!(made(&got.batches), ["m_sql s=12i 50"]);
    assert_eq!(stage.host.metric("points_late"), 1);
}

#[test]
fn groups_beyond_the_limit_are_counted_once() {
    let query = "SELECT host, count(*) AS c FROM m GROUP BY time('1h'), host";
    let batches: Vec<Vec<String>> = (0..40)
        .map(|b| (0..10).map(|n| format!("m,host=h{} n=1i {b}", (b * 7 + n) % 50)).collect())
        .collect();
    let (rows, stage) = parallel("max_groups = 30", query, 60, &batches, 4, 8);
    assert_eq!(rows.len(), 30);
    let counted: u64 = rows
        .iter()
        .map(|row| {
            let (_, rest) = row.split_once("c=").unwrap();
            rest.split('i').next().unwrap().parse::<u64>().unwrap()
        })
        .sum();
    assert_eq!(counted + stage.host.metric("points_overflow"), 400);
}

#[test]
fn every_handle_settles_once_and_no_sooner_than_its_rows() {
    for checkpoint in ["''", "'1s'"] {
        let query = "SELECT host, count(*) AS c FROM m GROUP BY time('4s'), host";
        let options = format!("checkpoint = {checkpoint}\nhold = '10h'");
        let stage = shared(&options, query);
        let batches = random_batches(5, 80, 10);
        let told: Vec<_> = thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|worker| {
                    let (batches, stage) = (&batches, &stage);
                    scope.spawn(move || {
                        let lines = batches.iter().skip(worker).step_by(4);
                        let feed = |lines: &Vec<String>| {
                            let (delivery, told) = testkit::delivery();
                            let mut batch = as_batch(lines);
                            batch.set_delivery(delivery);
                            let (got, result) = stage.process((T + 900) * S, batch);
                            result.unwrap();
                            assert!(got.batches.is_empty());
                            told
                        };
                        lines.map(feed).collect::<Vec<_>>()
                    })
                })
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        let settled = |told: &Arc<Mutex<Vec<Outcome>>>| told.lock().unwrap().clone();
        assert!(told.iter().all(|told| settled(told).is_empty()));
        let mut stage = stage;
        let (got, result) = stage.control((T + 900) * S, Control::Stop);
        result.unwrap();
        let open = told.iter().filter(|told| settled(told).is_empty()).count();
        assert_eq!(open, 80);
        for mut batch in got.batches {
            batch.take_delivery().into_iter().for_each(|d| d.settle(Outcome::Delivered));
        }
        assert!(told.iter().all(|told| settled(told) == [Outcome::Delivered]));
    }
}

#[test]
fn a_checkpoint_holds_what_its_acknowledged_batches_brought() {
    let query = "SELECT host, count(*) AS c, sum(n) AS s FROM m GROUP BY time('1h'), host";
    let batches = random_batches(3, 90, 10);
    let expected = serial("", query, 60, &batches);
    let host = Arc::new(TestHost::default());
    host.keeps_state.store(true, std::sync::atomic::Ordering::Relaxed);
    let config = config("checkpoint = '1s'", query);
    let on = |host: &Arc<TestHost>| {
        let stage = testkit::processor_on::<Sql>(host, &config).unwrap();
        stage.share().unwrap_or_else(|_| panic!("it does not agree"))
    };
    let mut waiting: Vec<Vec<String>> = batches;
    let mut rounds = 0;
    // Each life takes a third of what is left, is checkpointed while others go on, and is killed.
    while waiting.len() > 8 {
        rounds += 1;
        let mut stage = on(&host);
        let now = (T + 60 + rounds * 10) * S;
        let take = waiting.len().div_ceil(3);
        let mut told = Vec::new();
        for half in [&waiting[..take / 2], &waiting[take / 2..take]] {
            let stage_ref = &stage;
            told.extend(thread::scope(|scope| {
                let workers: Vec<_> = (0..3)
                    .map(|worker| {
                        scope.spawn(move || {
                            let feed = |lines: &Vec<String>| {
                                let (delivery, told) = testkit::delivery();
                                let mut batch = as_batch(lines);
                                batch.set_delivery(delivery);
                                stage_ref.process(now, batch).1.unwrap();
                                (lines.clone(), told)
                            };
                            half.iter().skip(worker).step_by(3).map(feed).collect::<Vec<_>>()
                        })
                    })
                    .collect();
                workers.into_iter().flat_map(|w| w.join().unwrap()).collect::<Vec<_>>()
            }));
            if told.len() < take {
                stage.tick(now + 2 * S).1.unwrap();
            }
        }
        drop(stage);
        let (mut acknowledged, mut again) = (0, Vec::new());
        for (lines, told) in told {
            match told.lock().unwrap()[..] {
                [Outcome::Delivered] => acknowledged += 1,
                [Outcome::Aborted] => again.push(lines),
                ref other => panic!("{other:?}"),
            }
        }
        assert!(acknowledged > 0 && acknowledged < take, "{acknowledged} of {take}");
        again.extend(waiting.drain(..).skip(take));
        waiting = again;
    }
    let mut stage = on(&host);
    for lines in &waiting {
        stage.process((T + 900) * S, as_batch(lines)).1.unwrap();
    }
    host.refuses_state.store(true, std::sync::atomic::Ordering::Relaxed);
    let (got, _) = stage.control((T + 900) * S, Control::Stop);
    let mut rows = made(&got.batches);
    rows.sort_unstable();
    assert_eq!(rows, expected);
}

#[test]
fn many_windows_at_once_are_bounded_and_complete() {
    let query = "SELECT count(*) AS c FROM m GROUP BY time('1s')";
    let batches: Vec<Vec<String>> = (0..60)
        .map(|b| (0..400).map(|n| format!("m n=1i {}", b * 100 + n % 400)).collect())
        .collect();
    let expected = serial("delay = '400s'\nhold = '10h'", query, 90_000, &batches);
    let (rows, stage) = parallel("delay = '400s'\nhold = '10h'", query, 90_000, &batches, 3, 3);
    assert_eq!(rows, expected);
    assert_eq!(stage.host.metric("windows_early"), 0);
}

#[test]
fn as_many_windows_stay_open_as_the_option_says() {
    let query = "SELECT count(*) AS c FROM m GROUP BY time('1s')";
    let batches: Vec<Vec<String>> =
        (0..20).map(|b| (0..100).map(|n| format!("m n=1i {}", b * 100 + n)).collect()).collect();
    for (max, is_enough) in [(100, false), (2500, true)] {
        let options = format!("max_windows = {max}\ndelay = '1h'\nhold = '10h'");
        let (rows, stage) = parallel(&options, query, 90_000, &batches, 3, 3);
        assert_eq!(stage.host.metric("windows_early") == 0, is_enough, "{max}");
        assert_eq!(rows.len() as u64 + stage.host.metric("points_late"), 2000);
    }
}
