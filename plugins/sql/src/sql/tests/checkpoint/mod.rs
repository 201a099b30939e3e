//! Checkpoints: what goes on after a crash, what is acknowledged when, and what becomes of a state that
//! does not fit.

use std::sync::atomic::Ordering;

use headwater_plugin_api::testkit::TestHost;

use super::*;

mod kills;
mod values;

const QUERY: &str =
    "CREATE STREAM s AS SELECT host, sum(x) AS x, count(*) AS n FROM m GROUP BY time('10s'), host";

fn host() -> Arc<TestHost> {
    let host = Arc::new(TestHost::default());
    host.keeps_state.store(true, Ordering::Relaxed);
    host
}

/// A stage on a host that others may have had before.
fn stage_on(host: &Arc<TestHost>, options: &str, query: &str) -> Stage {
    let config = format!("drop_original = true\n{options}\nquery = '''{query}'''");
    match testkit::processor_on::<Sql>(host, &config) {
        Ok(sql) => Stage { sql, made: Vec::new() },
        Err(error) => panic!("{error}"),
    }
}

/// Waits for what the thread that stores does.
fn until(what: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !what() {
        assert!(start.elapsed().as_secs() < 60, "nothing came of it");
        std::thread::yield_now();
    }
}

fn has_state(host: &TestHost) -> bool {
    host.state.lock().unwrap().contains_key("checkpoint")
}

fn is(told: &Mutex<Vec<Outcome>>, outcomes: &[Outcome]) -> bool {
    told.lock().unwrap().as_slice() == outcomes
}

#[test]
fn windows_go_on_after_a_crash() {
    let (host, made) = (host(), ["s,host=a x=7i,n=3i 0", "s,host=b x=5i,n=1i 0"]);
    {
        let mut s = stage_on(&host, "", QUERY);
        s.feed(1, &["m,host=a x=1i 0", "m,host=b x=5i 1"]);
        s.tick(2);
        let told = s.feed_watched(3, &["m,host=a x=2i 3"]);
        assert_eq!(s.tick(7), [""; 0]);
        until(|| is(&told, &[Outcome::Delivered]));
        // What comes now is in no checkpoint: who sent it keeps it.
        let told = s.feed_watched(8, &["m,host=a x=4i 8"]);
        drop(s);
        assert!(is(&told, &[Outcome::Aborted]));
    }
    let mut s = stage_on(&host, "", QUERY);
    assert_eq!(s.tick(30), [""; 0], "who fed the window may come back");
    s.feed(31, &["m,host=a x=4i 8"]);
    assert_eq!(s.tick(34), [""; 0]);
    assert_eq!(s.tick(40), made);
}

#[test]
fn counters_go_on_after_a_restart() {
    let query =
        "CREATE STREAM s AS SELECT host, increase(v) AS up FROM m GROUP BY time('10s'), host";
    let host = host();
    {
        let mut s = stage_on(&host, "", query);
        s.feed(1, &["m,host=a v=1i 0", "m,host=a v=5i 1"]);
        assert_eq!(s.tick(11), ["s,host=a up=4i 0"]);
        s.feed(12, &["m,host=a v=6i 12"]);
        assert_eq!(s.stop(18), [""; 0]);
    }
    let mut s = stage_on(&host, "", query);
    s.feed(40, &["m,host=a v=2i 41"]);
    let mut made = s.tick(60);
    made.extend(s.tick(80));
    assert_eq!(made, ["s,host=a up=1i 10", "s,host=a up=2i 40"]);
}

#[test]
fn a_window_waits_for_its_sources_as_long_as_idle() {
    let host = host();
    stop_with_an_open_window(&host);
    let mut s = stage_on(&host, "idle = '20s'", QUERY);
    assert_eq!(s.tick(60), [""; 0]);
    assert_eq!(s.tick(79), [""; 0]);
    assert_eq!(s.tick(80), ["s,host=a x=1i,n=1i 0"]);
}

fn stop_with_an_open_window(host: &Arc<TestHost>) {
    let mut s = stage_on(host, "", QUERY);
    let told = s.feed_watched(1, &["m,host=a x=1i 0"]);
    assert_eq!(s.stop(2), [""; 0], "the window goes on after the next start");
    assert!(is(&told, &[Outcome::Delivered]) && has_state(host));
}

#[test]
fn an_orderly_stop_emits_where_there_is_no_checkpoint() {
    let mut s = stage_on(&host(), "checkpoint = ''", QUERY);
    s.feed(1, &["m,host=a x=1i 0"]);
    assert_eq!(s.stop(2), ["s,host=a x=1i,n=1i 0"]);
    // Nor where nothing outlives the process.
    let nowhere = Arc::new(TestHost::default());
    let mut s = stage_on(&nowhere, "", QUERY);
    s.feed(1, &["m,host=a x=1i 0"]);
    assert_eq!(s.stop(2), ["s,host=a x=1i,n=1i 0"]);
    assert!(!has_state(&nowhere));
}

#[test]
fn what_was_emitted_stays_late_after_a_restart() {
    let host = host();
    {
        let mut s = stage_on(&host, "", QUERY);
        s.feed(1, &["m,host=a x=1i 0"]);
        assert_eq!(s.tick(11), ["s,host=a x=1i,n=1i 0"]);
        s.stop(12);
    }
    let mut s = stage_on(&host, "", QUERY);
    s.feed(13, &["m,host=a x=1i 1", "m,host=a x=1i 12"]);
    assert_eq!(s.metric("points_late"), 1);
}

#[test]
fn rows_that_no_output_took_are_sent_again() {
    let host = host();
    {
        let mut s = stage_on(&host, "", QUERY);
        s.feed(1, &["m,host=a x=1i 0"]);
        let (got, _) = s.sql.tick((T + 11) * S);
        assert_eq!(s.take(&got.batches), ["s,host=a x=1i,n=1i 0"]);
        until(|| has_state(&host));
        let told = s.feed_watched(12, &["m,host=a x=2i 12"]);
        for now in 16.. {
            assert_eq!(s.tick(now), [""; 0]);
            if s.metric("checkpoints") == 2 {
                break;
            }
        }
        until(|| is(&told, &[Outcome::Delivered]));
        drop(s);
        drop(got);
    }
    let mut s = stage_on(&host, "", QUERY);
    assert_eq!(s.tick(17), ["s,host=a x=1i,n=1i 0"]);
    assert_eq!(s.tick(18), [""; 0], "once");
    assert_eq!(s.tick(40), ["s,host=a x=2i,n=1i 10"]);
    // Here they were taken at once: the checkpoint does without them.
    s.stop(41);
    let mut s = stage_on(&host, "", QUERY);
    assert_eq!(s.tick(42), [""; 0]);
}

#[test]
fn rows_that_settle_after_the_stop_do_not_come_again() {
    let host = host();
    let mut s = stage_on(&host, "", QUERY);
    s.feed(1, &["m,host=a x=1i 0"]);
    let (got, _) = s.sql.tick((T + 11) * S);
    assert_eq!(got.batches.len(), 1);
    s.stop(12);
    // Outputs write what waits, then the stages end.
    drop(got);
    s.sql.instance.base.stop(&testkit::context((T + 12) * S)).unwrap();
    let mut s = stage_on(&host, "", QUERY);
    assert_eq!(s.tick(13), [""; 0]);
}

#[test]
fn the_state_of_another_query_is_put_aside_and_taken_up_again() {
    let host = host();
    stop_with_an_open_window(&host);
    let other = QUERY.replace("sum(x)", "max(x)");
    {
        let mut s = stage_on(&host, "", &other);
        s.feed(3, &["m,host=b x=9i 3"]);
        assert!(
            s.warnings().iter().any(|line| line.contains("of another query")),
            "{:?}",
            s.warnings()
        );
        assert_eq!(s.stop(4), [""; 0]);
    }
    {
        // Laid out otherwise it is the same query.
        let mut s = stage_on(&host, "", &QUERY.replace(' ', "\n  "));
        assert_eq!(s.tick(60), [""; 0]);
        assert_eq!(s.tick(66), ["s,host=a x=1i,n=1i 0"]);
        s.stop(67);
    }
    let mut s = stage_on(&host, "", &other);
    s.tick(70);
    assert_eq!(s.tick(76), ["s,host=b x=9i,n=1i 0"]);
}

#[test]
fn a_damaged_state_is_put_aside_and_told() {
    let whole = {
        let host = host();
        stop_with_an_open_window(&host);
        host.state.lock().unwrap().remove("checkpoint").unwrap()
    };
    for len in 0..whole.len() {
        let host = host();
        host.state.lock().unwrap().insert("checkpoint".into(), whole[..len].to_vec());
        let mut s = stage_on(&host, "", QUERY);
        s.feed(3, &["m,host=b x=9i 3"]);
        assert_eq!(s.warnings().len(), 1, "{len}");
        assert_eq!(host.state.lock().unwrap()["checkpoint.aside"], whole[..len]);
        assert_eq!(s.tick(11), ["s,host=b x=9i,n=1i 0"], "{len}");
    }
}

#[test]
fn a_store_out_of_order_keeps_the_points_with_their_senders() {
    let host = host();
    let mut s = stage_on(&host, "", &QUERY.replace("10s", "1h"));
    s.tick(0);
    host.refuses_state.store(true, Ordering::Relaxed);
    let first = s.feed_watched(1, &["m,host=a x=1i 0"]);
    s.tick(5);
    until(|| s.metric("checkpoint_errors") == 1);
    assert!(is(&first, &[]));
    host.refuses_state.store(false, Ordering::Relaxed);
    // A later one answers for them, although nothing came since.
    for now in 2.. {
        s.tick(now * 5);
        if s.metric("checkpoints") == 2 {
            break;
        }
    }
    until(|| is(&first, &[Outcome::Delivered]));
    // At the stop the windows are emitted instead.
    host.refuses_state.store(true, Ordering::Relaxed);
    let second = s.feed_watched(20, &["m,host=a x=2i 20"]);
    assert_eq!(s.stop(21), ["s,host=a x=3i,n=2i 0"]);
    drop(s);
    assert!(is(&second, &[Outcome::Aborted]));
}

#[test]
fn rows_that_are_delivered_settle_nothing() {
    let host = host();
    let mut s = stage_on(&host, "checkpoint = '1m'", QUERY);
    let told = s.feed_watched(1, &["m,host=a x=1i 0"]);
    let (mut got, _) = s.sql.tick((T + 11) * S);
    got.batches
        .iter_mut()
        .filter_map(Batch::take_delivery)
        .for_each(|d| d.settle(Outcome::Delivered));
    assert!(is(&told, &[]), "a crash now would go back to before the window's points");
    s.tick(61);
    until(|| is(&told, &[Outcome::Delivered]));
}

#[test]
fn options_that_cannot_be_are_refused() {
    for (value, expected) in
        [("0s", "too short"), ("10ms", "too short"), ("often", "\"\" is for no")]
    {
        let config = format!("query = '''{QUERY}'''\ncheckpoint = '{value}'");
        let error = refused(&config).to_string();
        assert!(error.contains(expected), "{value}: {error}");
    }
}

#[test]
fn snapshots_go_on_after_a_crash() {
    let query = "CREATE SNAPSHOT s AS SELECT * FROM STREAM:m LIMIT 2; \
                 FLUSH SNAPSHOT s AS SELECT * FROM STREAM:alarm;";
    let host = host();
    {
        let mut s = stage_on(&host, "", query);
        s.feed(1, &["m x=1i 0", "m x=2i 1"]);
        let told = s.feed_watched(3, &["m x=3i 3"]);
        assert!(is(&told, &[]), "no checkpoint answers for it yet");
        s.tick(8);
        until(|| is(&told, &[Outcome::Delivered]));
        let told = s.feed_watched(9, &["m x=4i 9"]);
        drop(s);
        assert!(is(&told, &[Outcome::Aborted]));
    }
    let mut s = stage_on(&host, "", query);
    assert_eq!(s.feed(20, &["alarm x=1i 20"]), ["s x=2i 1", "s x=3i 3"]);
}
