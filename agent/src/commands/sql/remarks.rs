//! What the processor counted, in words for whoever reads the rows.

/// One thing to say.
#[derive(Debug, PartialEq, Eq)]
pub struct Remark {
    pub text: String,
    /// Something of the input is not in the rows.
    pub left_out: bool,
}

/// Counters of points that are not in the rows.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "points_late",
        "came after their window was closed and are left out; sort the input by time, or keep \
         windows open longer, such as --option delay=1h",
    ),
    (
        "points_future",
        "are too far ahead of the clock and are left out; with --follow, --option max_future=1h takes more",
    ),
    (
        "points_overflow",
        "belong to more groups than there is room for and are left out; raise --option max_groups or max_state",
    ),
    ("points_no_window", "found no room for their window and are left out"),
];

/// Counters of rows that are not printed, and of windows.
const ODD: &[(&str, &str)] = &[
    ("rows_empty", "rows have NULL in all fields, so that they are no points: not printed"),
    ("rows_refused", "rows are beyond the limits of points: not printed"),
    ("windows_early", "windows were closed early for want of room"),
    (
        "points_forgotten",
        "points left the frames of OVER early for want of room; raise --option max_rows",
    ),
];

/// What failed in expressions, whose value was NULL then.
const FAILURES: &[(&str, &str)] = &[
    ("overflow", "a number that fits no 64-bit type"),
    ("division_by_zero", "a division by zero"),
    ("kinds", "operands of kinds that do not go together"),
    ("cast", "a text that is no number, time or the like"),
    ("domain", "a function outside its domain"),
    ("size", "a text longer than is allowed"),
    ("state", "what was to be merged is no state of that aggregate"),
    ("room", "more distinct values than there was room for"),
];

/// What is to be said of counters that are not zero.
pub fn of(counts: &[(String, u64)]) -> Vec<Remark> {
    let mut out = Vec::new();
    for (name, count) in counts {
        let known = |list: &[(&str, &'static str)]| {
            list.iter().find(|(known, _)| known == name).map(|(_, words)| *words)
        };
        if let Some(kind) = name.strip_prefix("failures_") {
            let known = FAILURES.iter().find(|(known, _)| *known == kind);
            let words = known.map_or(kind, |(_, words)| words);
            let text = format!("{count} times NULL instead of a value: {words}");
            out.push(Remark { text, left_out: false });
        } else if let Some(words) = known(LEFT_OUT) {
            out.push(Remark { text: format!("{count} points {words}"), left_out: true });
        } else if name.starts_with("points_") {
            out.push(Remark { text: format!("{name}: {count}"), left_out: true });
        } else if let Some(words) = known(ODD) {
            out.push(Remark { text: format!("{count} {words}"), left_out: false });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_counters() {
        let counts: Vec<(String, u64)> = [
            ("rows_emitted", 9),
            ("points_late", 3),
            ("points_unheard_of", 2),
            ("failures_cast", 1),
            ("windows_early", 4),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into();
        let remarks = of(&counts);
        let texts: Vec<&str> = remarks.iter().map(|remark| remark.text.as_str()).collect();
        assert_eq!(remarks.len(), 4, "{texts:?}");
        assert!(texts[0].starts_with("3 points came after their window was closed"));
        assert_eq!(texts[1], "points_unheard_of: 2");
        assert!(texts[2].starts_with("1 times NULL") && texts[2].ends_with("or the like"));
        let left_out: Vec<bool> = remarks.iter().map(|remark| remark.left_out).collect();
        assert_eq!(left_out, [true, true, false, false]);
    }
}
