//! A stop and restart changes no value, and none's kind.

use super::*;

/// The rows of these batches, which come so many seconds apart, sorted; with a stop and restart before
/// the batches of these numbers.
fn rows(query: &str, apart: i64, batches: &[&[&str]], restarts: &[usize]) -> Vec<String> {
    let host = host();
    let mut stage = stage_on(&host, "", query);
    let (mut made, mut now) = (Vec::new(), 1);
    for (number, lines) in batches.iter().enumerate() {
        if restarts.contains(&number) {
            stage.stop(now);
            made.append(&mut stage.made);
            stage = stage_on(&host, "", query);
        }
        stage.feed(now, lines);
        now += apart;
        stage.tick(now);
        assert_eq!(stage.warnings(), [""; 0], "{query}");
    }
    // With nothing to store it into, all that is open is emitted.
    host.refuses_state.store(true, Ordering::Relaxed);
    stage.stop(now);
    made.append(&mut stage.made);
    made.sort();
    made
}

/// What is emitted is the same, whenever it was stopped.
fn check(query: &str, apart: i64, batches: &[&[&str]]) -> Vec<String> {
    let wanted = rows(query, apart, batches, &[]);
    let all: Vec<usize> = (1..batches.len()).collect();
    assert_eq!(rows(query, apart, batches, &all), wanted, "{query}");
    for restart in all {
        assert_eq!(rows(query, apart, batches, &[restart]), wanted, "{query}, {restart}");
    }
    wanted
}

#[test]
fn signs_of_other_groups_do_not_show() {
    let columns = "host, sum(x) AS s, max(x) AS m, min(x) AS lo, spread(x) AS d, first(x) AS f, \
                   last(x) AS l, partial(sum(x)) AS p, partial(min(x)) AS q, partial(spread(x)) AS r";
    let batches: [&[&str]; 4] = [
        &["m,host=i x=1i 0", "m,host=u x=2u 0", "m,host=b x=3i 0", "m,host=n y=1i 0"],
        &["m,host=b x=4u 1", "m,host=i x=5i 1", "m,host=f x=1i 1"],
        // A group that had no value, and one that was not there.
        &["m,host=n x=6i 2", "m,host=o x=7i 2", "m,host=f x=1.5 2"],
        &["m,host=u x=8i 3", "m,host=v x=9u 3"],
    ];
    for form in ["session('10s')", "rows(2)", "rows(5)", "time('10s')", "hop('5s', '10s')"] {
        let query = format!("CREATE STREAM s AS SELECT {columns} FROM m GROUP BY {form}, host");
        let made = check(&query, 0, &batches);
        if form.starts_with("session") {
            let wanted = [
                "s,host=b s=7u,m=4u,lo=3u,d=1u,f=3i,l=4u,",
                "s,host=f s=2.5,m=1.5,lo=1,d=0.5,f=1i,l=1.5,",
                "s,host=i s=6i,m=5i,lo=1i,d=4i,f=1i,l=5i,",
                "s,host=n s=6i,m=6i,lo=6i,d=0i,f=6i,l=6i,",
                "s,host=o s=7i,m=7i,lo=7i,d=0i,f=7i,l=7i,",
                "s,host=u s=10u,m=8u,lo=2u,d=6u,f=2u,l=8i,",
                "s,host=v s=9u,m=9u,lo=9u,d=0u,f=9u,l=9u,",
            ];
            assert_eq!(made.len(), wanted.len(), "{made:#?}");
            for (made, wanted) in made.iter().zip(wanted) {
                assert!(made.starts_with(wanted), "{made}, not {wanted}");
            }
        }
    }
}

/// Squares of numbers that lie out of range are no number, and no damage.
#[test]
fn numbers_out_of_range() {
    let columns = "host, stddev(x) OVER w AS d, sum(x) OVER w AS s, count(x) OVER w AS n";
    let query = format!("SELECT {columns} FROM m WINDOW w AS (PARTITION BY host)");
    let batches: [&[&str]; 3] = [
        &["m,host=a x=1e308 0", "m,host=b x=1 0"],
        &["m,host=a x=-1.7e308 10", "m,host=b x=2 10"],
        &["m,host=a x=3 20", "m,host=b x=3 20"],
    ];
    let made = check(&query, 10, &batches);
    assert!(made.iter().any(|row| row.contains("host=\"a\"") && row.contains("n=3i")), "{made:?}");
    let query =
        "SELECT host, stddev(x) AS d, sum(x) AS s, count(x) AS n FROM m GROUP BY time('1m'), host";
    check(query, 10, &batches);
}
