//! Values of several kinds in one column: what is in other rows must not show in a row.

use super::*;

/// A grouped text is a tag and a grouped number a field, whatever the other groups' are.
#[test]
fn a_key_is_what_its_own_value_is() {
    let points = [
        "m code=5i 0",
        "m code=\"x\" 0",
        "m code=2.5 0",
        "m code=true 0",
        "m,code=y b=1 0",
        "m b=1 0",
        "m code=18446744073709551615u 0",
    ];
    let mut wanted = vec![
        "s code=5i,n=1i 0",
        "s,code=x n=1i 0",
        "s code=2.5,n=1i 0",
        "s code=true,n=1i 0",
        "s,code=y n=1i 0",
        "s n=1i 0",
        "s code=18446744073709551615u,n=1i 0",
    ];
    wanted.sort_unstable();
    for form in ["time('10s')", "hop('10s', '10s')", "session('10s')", "rows(5)"] {
        let query =
            format!("CREATE STREAM s AS SELECT code, count(*) AS n FROM m GROUP BY {form}, code");
        let mut together = stage("", &query);
        together.feed(0, &points);
        let mut made = together.stop(0);
        made.sort();
        assert_eq!(made, wanted, "{form}");
        let mut alone = Vec::new();
        for point in points {
            let mut s = stage("", &query);
            s.feed(0, &[point]);
            alone.extend(s.stop(0));
        }
        alone.sort();
        assert_eq!(alone, wanted, "{form}");
    }
}

/// Two keys, and expressions of them.
#[test]
fn keys_of_several_kinds_in_expressions() {
    let query = "CREATE STREAM s AS SELECT code, zone, code || '!' AS text, count(*) AS n
                 FROM m GROUP BY time('10s'), code, zone";
    let mut s = stage("", query);
    s.feed(
        0,
        &["m,zone=a code=5i 0", "m code=\"x\",zone=7i 0", "m,zone=b code=\"x\" 0", "m code=6i 0"],
    );
    let mut made = s.stop(0);
    made.sort();
    assert_eq!(
        made,
        [
            "s code=6i,text=\"6!\",n=1i 0",
            "s,code=x zone=7i,text=\"x!\",n=1i 0",
            "s,code=x,zone=b text=\"x!\",n=1i 0",
            "s,zone=a code=5i,text=\"5!\",n=1i 0",
        ]
    );
}

/// An integer is unsigned if a value of its own session, or of its own points, was.
#[test]
fn signs_of_other_sessions_do_not_show() {
    let columns =
        "host, sum(x) AS s, max(x) AS m, min(x) AS lo, spread(x) AS d, first(x) AS f, last(x) AS l";
    for form in ["session('10s')", "rows(2)"] {
        let query = format!("CREATE STREAM s AS SELECT {columns} FROM m GROUP BY {form}, host");
        let mut s = stage("", &query);
        let lines = ["m,host=i x=1i 0", "m,host=u x=2u 0", "m,host=b x=3i 0", "m,host=b x=4u 1"];
        s.feed(1, &lines);
        s.stop(1);
        s.made.sort();
        assert_eq!(
            s.made,
            [
                "s,host=b s=7u,m=4u,lo=3u,d=1u,f=3i,l=4u 0",
                "s,host=i s=1i,m=1i,lo=1i,d=0i,f=1i,l=1i 0",
                "s,host=u s=2u,m=2u,lo=2u,d=0u,f=2u,l=2u 0",
            ],
            "{form}"
        );
        // Those that were closed before leave nothing behind.
        s.made.clear();
        s.feed(100, &["m,host=i x=1i 100", "m,host=v x=2u 109"]);
        s.feed(109, &["m,host=w x=2u 109"]);
        s.tick(112);
        s.stop(113);
        s.made.sort();
        assert_eq!(s.made[0], "s,host=i s=1i,m=1i,lo=1i,d=0i,f=1i,l=1i 100", "{form}");
    }
}
