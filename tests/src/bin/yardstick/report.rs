//! The table.

use crate::figure::{Figure, Spread};
use crate::outcome::Outcome;
use crate::saved::{Saved, change};

/// The columns of rows that process points.
const COLUMNS: &[(Figure, &str, &str, usize)] = &[
    (Figure::PointsPerSecond, "points/s", "wall", 9),
    (Figure::PointsPerCpuSecond, "points", "per CPU-s", 9),
    (Figure::BytesPerSecond, "MB", "per s", 6),
    (Figure::InstructionsPerPoint, "instr.", "a point", 8),
    (Figure::AllocationsPerPoint, "allocs", "a point", 8),
    (Figure::PeakBytes, "peak", "resident", 9),
    (Figure::ReferenceRatio, "times", "reference", 9),
];

/// With `--detail`, below a row.
const DETAIL: &[Figure] = &[
    Figure::CallsPerMegabyte,
    Figure::ReadPerByte,
    Figure::WrittenPerByte,
    Figure::SwitchesPerMegabyte,
];

const NAME_WIDTH: usize = 46;

pub struct Report<'a> {
    pub crate_rate: Option<f64>,
    pub against: Option<&'a Saved>,
    pub detail: bool,
}

impl Report<'_> {
    /// The whole table as text.
    pub fn text(&self, title: &str, outcomes: &[Outcome]) -> String {
        let mut text = format!("{title}\n");
        let mut group = None;
        let rows: Vec<&Outcome> = outcomes.iter().filter(|o| is_row(o)).collect();
        if !rows.is_empty() {
            text.push_str(&self.head());
        }
        for outcome in rows {
            if group.replace(outcome.group).is_some_and(|before| before != outcome.group) {
                text.push('\n');
            }
            self.row(&mut text, outcome);
        }
        for outcome in outcomes.iter().filter(|outcome| !is_row(outcome)) {
            self.list(&mut text, outcome);
        }
        text
    }

    fn head(&self) -> String {
        let mut lines = [String::new(), String::new()];
        for (number, line) in lines.iter_mut().enumerate() {
            line.push_str(&format!("\n{:<NAME_WIDTH$}", ""));
            for (figure, over, under, width) in COLUMNS {
                let word = if number == 0 { over } else { under };
                line.push_str(&format!(" {word:>width$}"));
                if has_spread(*figure) {
                    line.push_str(&format!(" {:>5}", if number == 1 { "+- %" } else { "" }));
                }
            }
        }
        format!("{}{}  bar: verdict; what of the output was checked\n", lines[0], lines[1])
    }

    fn row(&self, text: &mut String, outcome: &Outcome) {
        text.push_str(&format!("{:<NAME_WIDTH$}", outcome.name));
        for (figure, _, _, width) in COLUMNS {
            let spread = outcome.figures.get(figure);
            let shown = spread.map_or(String::new(), |spread| figure.show(spread.median));
            text.push_str(&format!(" {shown:>width$}"));
            if has_spread(*figure) {
                let far = spread.map_or(String::new(), |spread| format!("{:.0}", spread.percent()));
                text.push_str(&format!(" {far:>5}"));
            }
        }
        let mut end: Vec<String> = self.bars(outcome);
        if let Some(dropped) = outcome.median(Figure::PointsDropped) {
            end.push(format!("{} dropped", Figure::PointsDropped.show(dropped)));
        }
        end.push(match &outcome.failed {
            Some(error) => format!("FAILED: {}", error.lines().next().unwrap_or_default()),
            None => outcome.checked.clone(),
        });
        text.push_str(&format!("  {}\n", end.join("; ")));
        if let Some(before) = self.against
            && before.cases.contains_key(&outcome.name)
        {
            text.push_str(&format!("{:<NAME_WIDTH$}", "  against the saved run"));
            for (figure, _, _, width) in COLUMNS {
                let width = width + if has_spread(*figure) { 6 } else { 0 };
                let changed = self.change(outcome, *figure).unwrap_or_default();
                text.push_str(&format!(" {changed:>width$}"));
            }
            text.push('\n');
        }
        if self.detail {
            let shown: Vec<String> = DETAIL
                .iter()
                .filter_map(|figure| {
                    let value = outcome.median(*figure)?;
                    let changed = self.change(outcome, *figure);
                    let changed = changed.map_or(String::new(), |changed| format!(" ({changed})"));
                    Some(format!("{} {}{changed}", figure.show(value), figure.title()))
                })
                .collect();
            if !shown.is_empty() {
                text.push_str(&format!("    {}\n", shown.join(", ")));
            }
        }
    }

    /// Figures that have no column, one a line.
    fn list(&self, text: &mut String, outcome: &Outcome) {
        text.push_str(&format!("\n{}: {}\n", outcome.name, outcome.checked));
        for (figure, spread) in &outcome.figures {
            let bar = outcome.bars.iter().find(|bar| bar.figure == *figure);
            let bar = bar.map_or(String::new(), |bar| bar.say(spread.median, self.crate_rate));
            let changed = self.change(outcome, *figure).unwrap_or_default();
            let ends =
                if spread.low == spread.high { String::new() } else { ends(*figure, spread) };
            let line = format!(
                "  {:<26} {:>10} {ends:<24} {changed:>10}  {bar}",
                figure.title(),
                figure.show(spread.median),
            );
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }

    fn change(&self, outcome: &Outcome, figure: Figure) -> Option<String> {
        let before = self.against?.figure(&outcome.name, figure)?;
        Some(change(before, outcome.figures.get(&figure)?))
    }

    fn bars(&self, outcome: &Outcome) -> Vec<String> {
        let say = |bar: &crate::figure::Bar| {
            let said = bar.say(outcome.median(bar.figure)?, self.crate_rate);
            (!said.is_empty()).then_some(said)
        };
        outcome.bars.iter().filter_map(say).collect()
    }
}

fn is_row(outcome: &Outcome) -> bool {
    outcome.figures.contains_key(&Figure::PointsPerCpuSecond) || outcome.failed.is_some()
}

fn has_spread(figure: Figure) -> bool {
    matches!(figure, Figure::PointsPerSecond | Figure::PointsPerCpuSecond)
}

fn ends(figure: Figure, spread: &Spread) -> String {
    format!("({} .. {})", figure.show(spread.low), figure.show(spread.high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Group;
    use crate::figure::{Bar, Limit};

    #[test]
    fn rows_tell_figures_bars_and_changes() {
        let mut row = Outcome::new("socket -> file", Group::Core);
        let rate = Spread { median: 3e6, low: 2.7e6, high: 3.15e6 };
        row.set(Figure::PointsPerCpuSecond, rate);
        row.set(Figure::PeakBytes, Spread::exact(30.0 * 1_048_576.0));
        row.set(Figure::CallsPerMegabyte, Spread::exact(8.0));
        row.bars = vec![
            Bar { figure: Figure::PointsPerCpuSecond, limit: Limit::CrateTimes(4.0) },
            Bar { figure: Figure::PeakBytes, limit: Limit::AtMost(12.0 * 1_048_576.0) },
        ];
        row.checked = "2 lines, their sum".into();
        let mut failed = Outcome::new("other", Group::Core);
        failed.failed = Some("a line is missing\nlog".into());
        let mut idle = Outcome::new("idle", Group::Idle);
        idle.set(Figure::Threads, Spread::exact(5.0));
        let mut before = row.clone();
        before.set(Figure::PointsPerCpuSecond, Spread::exact(2e6));
        let before = Saved::of("", &[before]);
        let report = Report { crate_rate: Some(7e5), against: Some(&before), detail: true };
        let text = report.text("title", &[row, failed, idle]);
        for words in [
            "title\n",
            ">= 2.80 M (4 x crate): met",
            "<= 12.0 MiB: BELOW HALF",
            "2 lines, their sum\n",
            "FAILED: a line is missing\n",
            " 3.00 M    10",
            "+50.0 %*",
            "8 read and write calls a MB (+0.0 %)",
            "\nidle: \n",
        ] {
            assert!(text.contains(words), "{words:?} is not in\n{text}");
        }
    }
}
