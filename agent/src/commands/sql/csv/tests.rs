use headwater_plugin_api::config::GlobSet;

use super::*;
use crate::commands::sql::request::TimeKey;

#[derive(Default)]
struct Heard(Vec<String>);

impl Listener for Heard {
    fn refused(&mut self, (from, len): (usize, usize), at: usize, message: &str) {
        assert!(at >= from && at <= from + len);
        self.0.push(format!("{at}: {message}"));
    }

    fn remark(&mut self, at: usize, message: &str) {
        self.0.push(format!("remark {at}: {message}"));
    }
}

fn lines(batches: &[Batch]) -> Vec<String> {
    let points = batches.iter().flat_map(Batch::points);
    let line = |point: headwater_plugin_api::batch::PointRef<'_>| {
        let fields: Vec<String> =
            point.fields().map(|(key, value)| format!("{key}={value:?}")).collect();
        format!("{} {} {}", point.series().key(), fields.join(","), point.time())
    };
    points.map(line).collect()
}

/// Points and complaints, of a file that comes in chunks of whole records of about that size.
fn parsed(text: &str, wishes: &Wishes, size: usize) -> (Vec<String>, Vec<String>) {
    let mut csv =
        Csv::new("m".into(), csv::delimiter(text.as_bytes()).unwrap_or(b','), wishes.clone());
    let mut heard = Heard::default();
    let (mut out, mut from, mut to) = (Vec::new(), 0, 0);
    while from < text.len() {
        to = (to + size).min(text.len());
        let end = csv.cut(&text.as_bytes()[from..to], to == text.len());
        out.extend(csv.parse(&text.as_bytes()[from..from + end], 99, &mut heard).unwrap());
        from += end;
    }
    (lines(&out), heard.0)
}

fn good(text: &str, wishes: &Wishes) -> Vec<String> {
    let (lines, heard) = parsed(text, wishes, usize::MAX >> 1);
    assert!(heard.is_empty(), "{heard:?}");
    lines
}

#[test]
fn columns_have_one_kind() {
    let text = "time,host,n,f,mixed,on,zip,empty\n\
                1700000000,a,1,1.5,1,true,007,\n\
                1700000001,,-2,2,x,false,12,\n\
                \n\
                1700000002.5,\"b,\"\"c\"\"\",18446744073709551615,NaN,,,\"\",\n";
    let tags = Wishes { tags: GlobSet::new(&["host"]).unwrap(), ..Wishes::default() };
    assert_eq!(
        good(text, &tags),
        [
            "m,host=a n=I64(1),f=F64(1.5),mixed=Text(\"1\"),on=Bool(true),zip=Text(\"007\") \
             1700000000000000000",
            "m n=I64(-2),f=F64(2.0),mixed=Text(\"x\"),on=Bool(false),zip=Text(\"12\") \
             1700000001000000000",
            "m,host=b\\,\"c\" n=U64(18446744073709551615),zip=Text(\"\") 1700000002500000000",
        ]
    );
}

#[test]
fn times() {
    let wishes = |key: &str, format: Option<&str>| Wishes {
        time: Some(TimeKey { key: key.into(), format: format.map(Into::into) }),
        ..Wishes::default()
    };
    let second = 1_700_000_000_000_000_000_i64;
    for (cell, format, expected) in [
        ("1700000000000", None, second),
        ("1700000000", Some("unix_ms"), second / 1000),
        ("2023-11-14T22:13:20Z", None, second),
        ("2023-11-14 22:13:20.5", None, second + 500_000_000),
        ("2023-11-14 23:13:20+01:00", None, second),
        ("2023-11-15", None, second + 6_400_000_000_000),
        ("14.11.2023 22:13", Some("02.01.2006 15:04"), second - 20_000_000_000),
    ] {
        let text = format!("at,v\n{cell},1\n");
        assert_eq!(good(&text, &wishes("at", format)), [format!("m v=I64(1) {expected}")]);
    }
    assert_eq!(good("at,v\n1,2\n", &Wishes::default()), ["m at=I64(1),v=I64(2) 99"]);
    let mut csv = Csv::new("m".into(), b',', wishes("at", None));
    let error = csv.look(b"at,v\nsoon,1\n").unwrap_err();
    assert!(error.contains("\"soon\" is no time of a known form"), "{error}");
    assert!(error.contains("--time at:ms"), "{error}");
    assert_eq!(csv.look(b"at,v"), Ok(false));
}

#[test]
fn what_is_left_out_has_a_place() {
    let text =
        "time,v,s\n1,2,x\nsoon,3,x\n,4,x\n4,no,x\n5,6\n6,7,x,y\n7,\"8,x\n8,\"9\"9,x\n9,1,\"x\"\n";
    let (lines, heard) = parsed(
        text,
        &Wishes { types: vec![("v".into(), Kind::Float)], ..Wishes::default() },
        1 << 20,
    );
    assert_eq!(lines.len(), 2, "{lines:?}");
    let column = |name: &str, kind: &str| {
        format!("{name} is a column of kind {kind}, and this is none; --types {name}=text takes it")
    };
    let expected = [
        (
            text.find("soon").unwrap(),
            "the time is no number; correct it, or the option for the time's format".to_owned(),
        ),
        (text.find(",4").unwrap(), "the time is empty".to_owned()),
        (text.find("no,").unwrap(), column("v", "float")),
        (text.find("6\n").unwrap(), "2 cells, and the header names 3".to_owned()),
        (text.find("y\n").unwrap(), "4 cells, and the header names 3".to_owned()),
    ];
    for ((at, what), heard) in expected.iter().zip(&heard) {
        assert_eq!(*heard, format!("{at}: {what}"));
    }
    // The quote is closed by the one in the next line.
    assert_eq!(heard.len(), 6, "{heard:?}");
    assert!(heard[5].contains("the cell goes on"), "{heard:?}");
}

#[test]
fn a_kind_may_turn_out_wider() {
    let mut text = String::from("n,b\n1,true\n2,false\n");
    let first = text.len();
    text.push_str("2.5,maybe\n3,true\n3.5,true\n");
    let (lines, heard) = parsed(&text, &Wishes::default(), first);
    assert_eq!(
        heard,
        [
            format!(
                "remark {first}: n had integers alone so far, and is read as float from here on; \
                 --types n=float reads all of it so"
            )
            .replace(&format!("remark {first}"), "remark 0"),
            "4: b is a column of kind boolean, and this is none; --types b=text takes it"
                .to_owned(),
        ]
    );
    assert_eq!(
        lines[1..],
        [
            "m n=I64(2),b=Bool(false) 99",
            "m n=F64(3.0),b=Bool(true) 99",
            "m n=F64(3.5),b=Bool(true) 99"
        ]
    );
    let types = |kind| Wishes { types: vec![("n".into(), kind)], ..Wishes::default() };
    let (lines, _) = parsed("n\n1\n", &types(Kind::Float), 100);
    assert_eq!(lines, ["m n=F64(1.0) 99"]);
    let (_, heard) = parsed("n\n1.5\n", &types(Kind::Integer), 100);
    assert_eq!(heard.len(), 1, "what was said holds: {heard:?}");
}

#[test]
fn a_column_may_be_empty_at_first() {
    let first = "n,x,y\n1,,NaN\n2, ,\n8,,\n8,,\n8,,\n8,,\n";
    let text = format!("{first}3,,\n4,7,\n5,0.5,true\n6,,no\n");
    let (lines, heard) = parsed(&text, &Wishes::default(), first.len());
    assert!(heard.is_empty(), "{heard:?}");
    let expected = [
        "m n=I64(1),y=Text(\"NaN\") 99",
        "m n=I64(2),x=Text(\" \") 99",
        "m n=I64(8) 99",
        "m n=I64(8) 99",
        "m n=I64(8) 99",
        "m n=I64(8) 99",
        "m n=I64(3) 99",
        "m n=I64(4),x=F64(7.0) 99",
        "m n=I64(5),x=F64(0.5),y=Text(\"true\") 99",
        "m n=I64(6),y=Text(\"no\") 99",
    ];
    assert_eq!(lines, expected);
}

/// In whatever chunks the file comes, the points are the same, as long as the first shows the kinds.
#[test]
fn chunks_do_not_matter() {
    let mut text = String::from("\u{feff}\"a\n\";\"b\nc\";d\r\n");
    for n in 0..40 {
        text.push_str(&format!("{n};\"x\n\"\"{n}\"\"\";{}.5\r\n", n * 3));
    }
    let whole = good(&text, &Wishes::default());
    assert_eq!(whole.len(), 40);
    assert_eq!(whole[7], "m a\n=I64(7),b\nc=Text(\"x\\n\\\"7\\\"\"),d=F64(21.5) 99");
    for size in 1..80 {
        assert_eq!(parsed(&text, &Wishes::default(), size), (whole.clone(), vec![]), "{size}");
    }
}

#[test]
fn a_file_that_begins_anew_has_its_header_again() {
    let mut csv = Csv::new("m".into(), b',', Wishes::default());
    let mut heard = Heard::default();
    let mut read =
        |csv: &mut Csv, text: &str| lines(&csv.parse(text.as_bytes(), 1, &mut heard).unwrap());
    assert_eq!(read(&mut csv, "a,b\n1,2.5\n"), ["m a=I64(1),b=F64(2.5) 1"]);
    assert_eq!(read(&mut csv, "2,3\n"), ["m a=I64(2),b=F64(3.0) 1"]);
    csv.restart();
    assert_eq!(read(&mut csv, "b,c\n4,5\n"), ["m b=F64(4.0),c=I64(5) 1"]);
    assert_eq!(csv.parse(b"", 1, &mut Heard::default()).unwrap().len(), 0);
}

/// Any text is read without a panic, and in whatever chunks, the same is left out of it.
#[test]
fn any_text() {
    let mut state = 7_u64;
    let mut below = |bound: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let pieces = ["a", "1", ",", ",", "\"", "\"\"", "\n", "\n", "\r\n", "\r", "é", "\u{feff}", " "];
    let mut records = 0;
    for _ in 0..20_000 {
        let mut text = String::from("x,y\n");
        (0..below(30)).for_each(|_| text.push_str(pieces[below(pieces.len())]));
        let types = ["x", "y"].map(|name| (name.to_owned(), Kind::Text)).into();
        let wishes = Wishes { types, ..Wishes::default() };
        let whole = parsed(&text, &wishes, 1 << 20);
        records += whole.0.len();
        let size = 1 + below(8);
        let (lines, heard) = parsed(&text, &wishes, size);
        assert_eq!((&lines, heard.len()), (&whole.0, whole.1.len()), "{text:?} by {size}");
    }
    assert!(records > 1000, "{records}");
}
