//! Statements of stream SQL: what their parts cost.

use headwater_tests::load::Load;

use crate::case::{Case, Check, Group, Shape};
use crate::cases::PLAIN;

/// A load whose points have so many series.
static TEN_SERIES: Shape = Shape {
    name: "10 series",
    change: |load| Load { series: 10, ..load.clone() },
    parse_bar: None,
};
static TEN_THOUSAND_SERIES: Shape = Shape {
    name: "10,000 series to a window",
    change: |load| Load { series: 10_000, ..load.clone() },
    parse_bar: None,
};
static MILLION_SERIES: Shape = Shape {
    name: "1,000,000 series to a window",
    change: |load| Load { series: 1_000_000, ..load.clone() },
    parse_bar: None,
};

macro_rules! sql {
    ($query:expr, $options:expr) => {
        concat!(
            "[[processors.sql]]\nname = \"r\"\ndrop_original = true\n",
            $options,
            "\nquery = '''\n",
            $query,
            "\n'''\n"
        )
    };
    ($query:expr) => {
        sql!($query, "")
    };
}

macro_rules! four {
    () => {
        "count(*) AS n, avg(usage_user) AS mean, min(usage_user) AS low, max(usage_user) AS high"
    };
}

const STATEMENT: Case = Case { group: Group::Sql, check: Check::Counts(1), ..PLAIN };

pub const TUMBLING: &str = "SQL: tumbling";
pub const HOPPING: &str = "SQL: hop('10s', '1m')";
pub const WITH_WHERE: &str = "SQL: WHERE on tags";
pub const WITHOUT_CHECKPOINT: &str = "SQL: 1,000,000 groups";
pub const WITH_CHECKPOINT: &str = "SQL: 1,000,000 groups, checkpoints";

const fn of(name: &'static str, about: &'static str, stages: &'static str) -> Case {
    Case { name, about, stages, ..STATEMENT }
}

const MILLION_GROUPS: &str = sql!(
    "SELECT zid, host, cpu, count(*) AS n, avg(usage_user) AS mean FROM cpu GROUP BY time('1h'), zid, host, cpu",
    "max_groups = 1000000\nmax_state = \"4GiB\""
);

pub static CASES: &[Case] = &[
    Case {
        check: Check::Windows,
        ..of(
            TUMBLING,
            "four aggregates by host, each 10 s",
            sql!(concat!("SELECT host, ", four!(), " FROM cpu GROUP BY time('10s'), host")),
        )
    },
    of(
        "SQL: 1 aggregate",
        "count by host, each 10 s",
        sql!("SELECT host, count(*) AS n FROM cpu GROUP BY time('10s'), host"),
    ),
    Case {
        check: Check::Windows,
        ..of(
            "SQL: 16 aggregates",
            "four of each of four fields by host, each 10 s",
            sql!(concat!(
                "SELECT host, ",
                four!(),
                ", sum(usage_system) AS a, avg(usage_system) AS b, min(usage_system) AS c, max(usage_system) AS d, \
                 first(usage_idle) AS e, last(usage_idle) AS f, stddev(usage_idle) AS g, spread(usage_idle) AS h, \
                 sum(ctx) AS i, min(ctx) AS j, max(ctx) AS k, avg(usage_iowait) AS l \
                 FROM cpu GROUP BY time('10s'), host"
            )),
        )
    },
    Case {
        check: Check::Windows,
        ..of(
            WITH_WHERE,
            "the first one's, of points that conditions on tags alone let pass",
            sql!(concat!(
                "SELECT host, ",
                four!(),
                " FROM cpu WHERE host LIKE 'server%' AND region <> '' GROUP BY time('10s'), host"
            )),
        )
    },
    Case {
        check: Check::Counts(6),
        ..of(
            HOPPING,
            "the first one's over the last minute, every 10 s",
            sql!(concat!("SELECT host, ", four!(), " FROM cpu GROUP BY hop('10s', '1m'), host")),
        )
    },
    of(
        "SQL: session",
        "the first one's, ended by 30 s of silence",
        sql!(concat!("SELECT host, ", four!(), " FROM cpu GROUP BY session('30s'), host")),
    ),
    of(
        "SQL: quantile",
        "a sketch by host, each 10 s",
        sql!(
            "SELECT host, count(*) AS n, quantile(usage_user, 0.95) AS p FROM cpu GROUP BY time('10s'), host"
        ),
    ),
    Case {
        check: Check::Counts(16),
        ..of("SQL: 16 statements", "the second one's, sixteen times over one stream", SIXTEEN)
    },
    Case {
        check: Check::Rows,
        ..of(
            "SQL: OVER",
            "a moving average of 10 points by series, a row for each point",
            sql!(
                "SELECT host, cpu, avg(usage_user) OVER (PARTITION BY host, cpu ORDER BY time ROWS 9 PRECEDING) AS mean FROM cpu"
            ),
        )
    },
    Case {
        check: Check::Joined,
        ..of(
            "SQL: ASOF JOIN",
            "each point with the one before it of its series",
            sql!(
                "SELECT a.host, a.cpu, a.usage_user - b.usage_user AS more FROM cpu a ASOF JOIN cpu b \
                 MATCH_CONDITION (a.time > b.time) ON a.host = b.host AND a.cpu = b.cpu",
                "max_age = \"10s\""
            ),
        )
    },
    Case {
        shape: &TEN_SERIES,
        ..of("SQL: 10 groups", "count and avg by series, each hour", MILLION_GROUPS)
    },
    Case { shape: &TEN_THOUSAND_SERIES, ..of("SQL: 10,000 groups", "the same", MILLION_GROUPS) },
    Case {
        shape: &MILLION_SERIES,
        counted: false,
        ..of(WITHOUT_CHECKPOINT, "the same", MILLION_GROUPS)
    },
    Case {
        shape: &MILLION_SERIES,
        counted: false,
        agent_options: "statefile = \"@/state\"\n",
        stages: sql!(
            "SELECT zid, host, cpu, count(*) AS n, avg(usage_user) AS mean FROM cpu GROUP BY time('1h'), zid, host, cpu",
            "max_groups = 1000000\nmax_state = \"4GiB\"\nidle = \"1s\"\ncheckpoint = \"1s\""
        ),
        ..of(WITH_CHECKPOINT, "the same, with a checkpoint each second", "")
    },
    Case {
        agent_options: "statefile = \"@/state\"\n",
        check: Check::Windows,
        ..of(
            "SQL: tumbling, checkpoints",
            "the first one's with a checkpoint each 100 ms",
            sql!(
                concat!("SELECT host, ", four!(), " FROM cpu GROUP BY time('10s'), host"),
                "idle = \"1s\"\ncheckpoint = \"100ms\""
            ),
        )
    },
];

macro_rules! repeated {
    ($($number:literal)*) => {
        concat!($("CREATE STREAM s", $number, " AS SELECT host, count(*) AS n FROM cpu GROUP BY time('10s'), host;\n"),*)
    };
}

const SIXTEEN: &str = sql!(repeated!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16));
