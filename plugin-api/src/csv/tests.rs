use super::*;
use crate::batch::Value;

/// A file as a table reads it, and `headwater sql`: the columns with their values, or the first thing that is wrong.
fn read(file: &[u8]) -> Result<Vec<(String, String)>, String> {
    let data = &file[start(file)..];
    let mut cells = Vec::new();
    let mut records = Records::new(data, delimiter(data).unwrap_or(b','), true, &mut cells);
    let mut rows: Vec<Vec<(String, bool)>> = Vec::new();
    let mut columns = Vec::new();
    while let Some(read) = records.next() {
        let record = read.map_err(|broken| format!("{}: {}", broken.at, broken.what))?;
        if columns.is_empty() {
            columns = names(record.text, record.cells)?;
        } else if record.cells.len() != columns.len() {
            return Err(wrong_count(record.cells.len(), columns.len()));
        } else {
            let row = record.cells.iter();
            let row = row.map(|cell| (cell.text(record.text).into_owned(), cell.quoted));
            rows.push(row.collect());
        }
    }
    let values = |at: usize| {
        let mut kinds = Kinds::default();
        rows.iter().for_each(|row| kinds.see(&row[at].0));
        let kind = kinds.kind().unwrap_or(Kind::Text);
        let shown = rows.iter().map(|row| match kind.read(&row[at].0, row[at].1).unwrap() {
            None => "NULL".to_owned(),
            Some(Value::F64(value)) => format!("{value:?}"),
            Some(Value::I64(value)) => format!("{value}i"),
            Some(Value::U64(value)) => format!("{value}u"),
            Some(Value::Bool(value)) => format!("{value}"),
            Some(Value::Text(text)) => format!("{text:?}"),
            Some(other) => format!("{other:?}"),
        });
        shown.collect::<Vec<_>>().join(" ")
    };
    Ok(columns.into_iter().enumerate().map(|(at, name)| (name, values(at))).collect())
}

#[test]
fn what_cells_are() {
    for (cells, expected) in [
        // Whole numbers.
        (&["1", "-2", "0"][..], "1i -2i 0i"),
        (&[" 1", "2 "], "1i 2i"),
        (&["\"1\"", "2"], "1i 2i"),
        (&["-1", "18446744073709551615"], "-1i 18446744073709551615u"),
        (&["1", "18446744073709551616"], "\"1\" \"18446744073709551616\""),
        (&["1", "", "NaN"], "1i NULL NULL"),
        // Floats.
        (&["1", "2.5"], "1.0 2.5"),
        (&[".5", "5.", "-1e-9", "1E3"], "0.5 5.0 -1e-9 1000.0"),
        (&["0.5", "18446744073709551616"], "0.5 1.8446744073709552e19"),
        (&["0.5", "nan", "\"\"", " "], "0.5 NULL NULL NULL"),
        // Neither.
        (&["1", "007"], "\"1\" \"007\""),
        (&["+49", "1e999", "0x1f", "1_000", "inf"], "\"+49\" \"1e999\" \"0x1f\" \"1_000\" \"inf\""),
        (&["1", "x"], "\"1\" \"x\""),
        // True and false.
        (&["true", "False", "TRUE", ""], "true false true NULL"),
        (&["true", "tRUE"], "\"true\" \"tRUE\""),
        (&["true", "0"], "\"true\" \"0\""),
        (&["true", "NaN"], "\"true\" \"NaN\""),
        // Text.
        (&[" a", "b ", "\" c\""], "\" a\" \"b \" \" c\""),
        (&["a", "", "\"\""], "\"a\" NULL \"\""),
        (&["\"a, b\"", "\"say \"\"x\"\"\"", "5\" tube"], r#""a, b" "say \"x\"" "5\" tube""#),
        (&["\"a\nb\"", "\"a\r\nb\""], r#""a\nb" "a\r\nb""#),
        // Nothing.
        (&["", "\"\""], "NULL \"\""),
        (&["", ""], "NULL NULL"),
        (&["NaN", ""], "\"NaN\" NULL"),
    ] {
        for (line_end, last) in [("\n", "\n"), ("\r\n", "\r\n"), ("\n", "")] {
            let lines: Vec<String> = cells.iter().map(|cell| format!("{cell},7")).collect();
            let text = format!("c,n{line_end}{}{last}", lines.join(line_end));
            let columns = read(text.as_bytes()).unwrap();
            assert_eq!(columns[0].1, expected, "{text:?}");
            assert_eq!(columns[1].1, vec!["7i"; cells.len()].join(" "), "{text:?}");
        }
    }
}

#[test]
fn what_files_are() {
    let ab = [("a".to_owned(), "1i".to_owned()), ("b".to_owned(), "2i".to_owned())];
    for text in [
        "a,b\n1,2\n",
        "a,b\r\n1,2\r\n",
        "a,b\n1,2",
        "\u{feff}a,b\n1,2\n",
        "\u{feff}\n\r\n\na,b\n1,2\n",
        "a,b\n\n\r\n1,2\n\n\n",
        "a;b\n1;2\n",
        "a\tb\n1\t2\n",
        "a|b\n1|2\n",
        " a , b\n1,2\n",
        "\"a\",\"b\"\n\"1\",\"2\"\n",
        "\u{feff}\"a\",b\n1,2\n",
    ] {
        assert_eq!(read(text.as_bytes()).unwrap(), ab, "{text:?}");
    }
    let one = |text: &str, name: &str, values: &str| {
        assert_eq!(read(text.as_bytes()).unwrap(), [(name.to_owned(), values.to_owned())]);
    };
    one("a\nx\n\n\"\"\n", "a", "\"x\" \"\"");
    one("\" a\"\n", " a", "");
    assert_eq!(read(b"").unwrap(), []);
    assert_eq!(read(b"\xef\xbb\xbf\r\n").unwrap(), []);
    let utf8 = "it is not UTF-8; save the file as UTF-8";
    let goes_on = "behind a closing quote, the cell goes on; write quotes within a cell twice";
    for (text, expected) in [
        (&b"a,,b\n"[..], "column 2 has no name in the header"),
        (b"a,\"\"\n", "column 2 has no name in the header"),
        (b"a,b, a\n", "columns 1 and 3 are both called \"a\""),
        (b"a,b\n1\n", "1 cell, and the header names 2"),
        (b"a,b\n1,2,3\n", "3 cells, and the header names 2"),
        (b"a\n\"x\"y\n", &format!("5: {goes_on}")),
        (b"a\n\"x\n", "2: the quote that opens here is not closed"),
        (b"a\nx\n\n\xff\n", &format!("5: {utf8}")),
    ] {
        assert_eq!(read(text).unwrap_err(), expected, "{:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn what_is_broken_costs_a_line() {
    let data = b"\n\"x\"y\n\xe4,\n\nc,d\n\"e";
    let mut cells = Vec::new();
    let mut records = Records::new(data, b',', true, &mut cells);
    let mut places = Vec::new();
    let mut texts = Vec::new();
    while let Some(read) = records.next() {
        match read {
            Ok(record) => texts.push((record.at, record.text)),
            Err(broken) => places.push((broken.start, broken.at, broken.end)),
        }
    }
    assert_eq!(places, [(1, 4, 6), (6, 6, 9), (14, 14, 16)]);
    assert_eq!(texts, [(10, "c,d\n")]);
}

#[test]
fn delimiters() {
    for (line, expected) in [
        ("a,b;c,d\n;;;;", Some(b',')),
        ("a;b", Some(b';')),
        ("a\tb\tc,d", Some(b'\t')),
        ("a|b", Some(b'|')),
        ("\"a,b,c\";d", Some(b';')),
        ("a;b,c", Some(b',')),
        ("\"a\n,\";b\n,,,", Some(b';')),
        ("a", None),
        ("", None),
    ] {
        assert_eq!(delimiter(line.as_bytes()), expected, "{line}");
    }
}

/// In whatever pieces data comes, its records are the same.
#[test]
fn pieces_do_not_matter() {
    let data = "ä,\"b\n\"\"ö\"\"\",c\r\n\r\n1,2\n\"q\"\r\n\"x\"y\nlast,\"ü\"".as_bytes();
    let read = |size: usize| {
        let (mut out, mut cells) = (Vec::new(), Vec::new());
        let (mut from, mut to) = (0, 0);
        while to < data.len() {
            to = (to + size).min(data.len());
            let mut records = Records::new(&data[from..to], b',', to == data.len(), &mut cells);
            while let Some(read) = records.next() {
                out.push(match read {
                    Ok(record) => (from + record.at, record.text.to_owned()),
                    Err(broken) => (from + broken.at, broken.what.to_owned()),
                });
            }
            from += records.position();
        }
        assert_eq!(from, data.len());
        out
    };
    let whole = read(data.len());
    assert_eq!(whole.len(), 5);
    for size in 1..data.len() {
        assert_eq!(read(size), whole, "{size}");
    }
}
