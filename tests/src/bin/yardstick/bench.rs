//! Measures what the command line asks for, one load after the other, its rows in turns.

use std::path::{Path, PathBuf};

use headwater_tests::paths::{self, Folder};

use crate::case::{Case, Check, Group, Shape};
use crate::cases::{DESIGN, cases};
use crate::compare;
use crate::figure::{Bar, Figure, Limit, Spread};
use crate::live;
use crate::made::Made;
use crate::operator;
use crate::options::Options;
use crate::outcome::Outcome;
use crate::reference::Sample;
use crate::rest;
use crate::run::Job;
use crate::soak;
use crate::verify::{self, Expected};
use headwater_tests::callgrind::Counts;

/// The loads whose difference callgrind counts: the start and the first chunks fall out.
const FEW: u64 = 50_000;
const MANY: u64 = 250_000;

pub struct Bench<'a> {
    options: &'a Options,
    program: PathBuf,
    folder: Folder,
}

/// A shape's load with all that is measured over it.
struct Round<'a> {
    shape: &'static Shape,
    cases: Vec<&'static Case>,
    made: &'a Made,
    sample: Sample,
    expected: Vec<Expected>,
}

/// What is measured in this process.
#[derive(Clone, Copy)]
struct Alone {
    parser: bool,
    window: bool,
}

/// The name of the row of a shape's reference work.
fn reference_name(shape: &Shape, made: &Made) -> String {
    let parser = if made.is_json() { "serde_json, value tree" } else { "crate, bare parse" };
    format!("{parser}: {}", shape.name)
}

/// The name of the row of the agent's parser alone.
pub fn parser_name(shape: &Shape) -> String {
    format!("parser alone: {}", shape.name)
}

impl<'a> Bench<'a> {
    pub fn new(options: &'a Options) -> Result<Bench<'a>, String> {
        let program = match &options.agent {
            Some(agent) => absolute(agent)?,
            None => paths::agent().to_path_buf(),
        };
        Ok(Bench { options, program, folder: Folder::new() })
    }

    fn say(&self, text: &str) {
        if !self.options.plain {
            say(text);
        }
    }

    /// Everything.
    pub fn measure(&self) -> Result<Vec<Outcome>, String> {
        let mut outcomes = Vec::new();
        let mut shapes: Vec<&'static Shape> = Vec::new();
        for case in cases() {
            if !shapes.iter().any(|shape| shape.name == case.shape.name) {
                shapes.push(case.shape);
            }
        }
        for shape in shapes {
            let wanted: Vec<&'static Case> = cases()
                .filter(|case| case.shape.name == shape.name)
                .filter(|case| self.options.wants(case.group, case.name))
                .collect();
            let group = if shape.name == DESIGN.name { Group::Core } else { Group::Shape };
            let alone = Alone {
                parser: shape.parse_bar.is_some() && self.options.wants(group, &parser_name(shape)),
                window: shape.name == DESIGN.name && self.options.wants(group, operator::NAME),
            };
            // Bars are multiples of the crate's speed on the design's line.
            let asked = cases()
                .any(|case| self.options.wants(case.group, case.name) && !case.bars.is_empty());
            let any = !wanted.is_empty() || alone.parser || alone.window;
            if any || (asked && shape.name == DESIGN.name) {
                outcomes.extend(self.round(shape, wanted, alone)?);
            }
        }
        outcomes.sort_by_key(|outcome| outcome.group as u8);
        let pairs = compare::pairs(&outcomes);
        outcomes.extend(pairs);
        if let Some(other) = &self.options.static_agent {
            outcomes.extend(self.against_static(&absolute(other)?)?);
        }
        outcomes.extend(self.rest());
        Ok(outcomes)
    }

    /// One load: rows and the reference in turns.
    fn round(
        &self,
        shape: &'static Shape,
        cases: Vec<&'static Case>,
        alone: Alone,
    ) -> Result<Vec<Outcome>, String> {
        self.say(&format!("making the load: {}", shape.name));
        let made = Made::new(shape, &self.options.load, &self.folder)?;
        let mut expected = Vec::new();
        for case in &cases {
            expected.push(verify::expected(case.check, &made)?);
        }
        let round = Round { shape, cases, made: &made, sample: Sample::of(&made)?, expected };
        let mut rates = Vec::new();
        let mut parser_rates = Vec::new();
        let mut window_nanos = Vec::new();
        let mut runs: Vec<Vec<Vec<(Figure, f64)>>> = vec![Vec::new(); round.cases.len()];
        let mut checked = vec![String::new(); round.cases.len()];
        let mut failed: Vec<Option<String>> = vec![None; round.cases.len()];
        for number in 1..=self.options.runs {
            let turn = format!("run {number} of {}", self.options.runs);
            self.say(&format!("{turn}: {}", reference_name(shape, &made)));
            rates.push(round.sample.reference_rate()?);
            if alone.parser {
                parser_rates.push(round.sample.parser_rate()?);
            }
            if alone.window {
                window_nanos.push(round.sample.window_nanos()?);
            }
            for (index, (case, expected)) in round.cases.iter().zip(&round.expected).enumerate() {
                self.say(&format!("{turn}: {}", case.name));
                // A row that fails does not cost the others.
                if failed[index].is_some() {
                    continue;
                }
                match self.job(&self.program, case, &made, expected).measure() {
                    Ok(ran) => {
                        runs[index].push(ran.figures);
                        checked[index] = ran.checked;
                    }
                    Err(error) => failed[index] = Some(error),
                }
            }
        }
        let mut outcomes = self.references(&round, rates, parser_rates);
        if let Some(spread) = Spread::of(window_nanos) {
            let mut outcome = Outcome::new(operator::NAME, Group::Core);
            outcome.set(Figure::NanosPerPoint, spread);
            outcome.bars.push(Bar {
                figure: Figure::NanosPerPoint,
                limit: Limit::AtMost(operator::BAR_NS),
            });
            outcome.checked = "the rows' counts add up".into();
            outcomes.push(outcome);
        }
        let reference = outcomes[0].median(Figure::PointsPerCpuSecond).unwrap_or(f64::NAN);
        for (index, case) in round.cases.iter().enumerate() {
            let mut outcome = Outcome::new(case.name, case.group);
            outcome.failed = failed[index].take();
            if outcome.failed.is_some() {
                outcomes.push(outcome);
                continue;
            }
            outcome.set_runs(&runs[index]);
            if let Some(rate) = outcome.figures.get(&Figure::PointsPerCpuSecond).copied() {
                outcome.set(Figure::ReferenceRatio, divided(&rate, reference));
            }
            if self.options.callgrind && case.counted {
                self.say(&format!("counting instructions: {}", case.name));
                match self.counted(&self.program, case) {
                    Ok((instructions, allocations)) => {
                        let (instructions, allocations) =
                            (Spread::exact(instructions), Spread::exact(allocations));
                        outcome.set(Figure::InstructionsPerPoint, instructions);
                        outcome.set(Figure::AllocationsPerPoint, allocations);
                    }
                    Err(error) => outcome.failed = Some(error),
                }
            }
            outcome.bars = case.bars.to_vec();
            outcome.checked = std::mem::take(&mut checked[index]);
            outcomes.push(outcome);
        }
        // The next load needs the room.
        std::fs::remove_file(&made.path)
            .map_err(|error| format!("{}: {error}", made.path.display()))?;
        Ok(outcomes)
    }

    fn job<'b>(
        &self,
        program: &'b Path,
        case: &'b Case,
        made: &'b Made,
        expected: &'b Expected,
    ) -> Job<'b> {
        Job { program, case, workers: self.options.workers, made, expected }
    }

    /// The rows of the reference work and of the parser alone.
    fn references(&self, round: &Round<'_>, rates: Vec<f64>, ours: Vec<f64>) -> Vec<Outcome> {
        let group = match round.shape.name == DESIGN.name || round.made.is_json() {
            true => Group::Core,
            false => Group::Shape,
        };
        let bytes = round.made.bytes_per_point();
        let row = |name: String, rates: Vec<f64>| -> Option<Outcome> {
            let spread = Spread::of(rates)?;
            let mut outcome = Outcome::new(name, group);
            outcome.set(Figure::PointsPerCpuSecond, spread);
            outcome.set(Figure::BytesPerSecond, divided(&spread, 1.0 / bytes));
            outcome.checked = "lines of both".into();
            Some(outcome)
        };
        let reference = row(reference_name(round.shape, round.made), rates);
        let rate = reference.as_ref().and_then(|o| o.median(Figure::PointsPerCpuSecond));
        let mut outcomes: Vec<Outcome> = reference.into_iter().collect();
        if let (Some(mut parser), Some(rate)) = (row(parser_name(round.shape), ours), rate) {
            if let Some(spread) = parser.figures.get(&Figure::PointsPerCpuSecond).copied() {
                parser.set(Figure::ReferenceRatio, divided(&spread, rate));
            }
            parser.bars.extend(
                round
                    .shape
                    .parse_bar
                    .map(|bar| Bar { figure: Figure::ReferenceRatio, limit: Limit::AtLeast(bar) }),
            );
            outcomes.push(parser);
        }
        outcomes
    }

    /// Instructions and allocations that one more point costs.
    fn counted(&self, program: &Path, case: &Case) -> Result<(f64, f64), String> {
        let count = |points: u64| -> Result<(u64, Counts), String> {
            let base = self.options.load.with_points(points);
            let made = Made::new(case.shape, &base, &self.folder)?;
            let expected = verify::expected(case.check, &made)?;
            let counted = self.job(program, case, &made, &expected).count()?;
            let _ = std::fs::remove_file(&made.path);
            Ok((made.points(), counted))
        };
        let ((few, less), (many, more)) = (count(FEW)?, count(MANY)?);
        let per_point = |less: u64, more: u64| (more as f64 - less as f64) / (many - few) as f64;
        Ok((
            per_point(less.instructions, more.instructions),
            per_point(less.allocations, more.allocations),
        ))
    }

    /// What loading the families as libraries costs, in instructions.
    fn against_static(&self, other: &Path) -> Result<Vec<Outcome>, String> {
        let mut outcomes = Vec::new();
        let cases = cases().filter(|case| {
            case.group == Group::Core && case.counted && case.check != Check::Counted
        });
        for case in cases {
            let name = format!("dynamic against static: {}", case.name);
            if !self.options.wants(Group::Scale, &name) {
                continue;
            }
            self.say(&format!("counting instructions: {name}"));
            let (dynamic, _) = self.counted(&self.program, case)?;
            let (fixed, _) = self.counted(other, case)?;
            let mut outcome = Outcome::new(name, Group::Scale);
            outcome.set(Figure::InstructionsPerPoint, Spread::exact(dynamic));
            outcome.set(Figure::Speedup, Spread::exact(dynamic / fixed));
            outcome.bars.push(Bar { figure: Figure::Speedup, limit: Limit::AtMost(1.03) });
            outcome.checked = format!("{dynamic:.0} and {fixed:.0} instructions a point");
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    /// Rows that no load makes.
    fn rest(&self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut add = |name: &str, group: Group, measured: Result<Outcome, String>| {
            outcomes.push(Outcome::or_failed(name, group, measured));
        };
        if self.options.wants(Group::Sql, live::NAME) {
            self.say(live::NAME);
            add(live::NAME, Group::Sql, live::measure(&self.program, &self.options.load));
        }
        if self.options.wants(Group::Idle, rest::SIZE) {
            add(rest::SIZE, Group::Idle, rest::size(&self.program));
        }
        if self.options.wants(Group::Idle, rest::START) {
            self.say(rest::START);
            add(rest::START, Group::Idle, rest::start(&self.program));
        }
        for row in rest::RESTS.iter().filter(|row| self.options.wants(Group::Idle, row.name)) {
            let time = self.options.idle.max(row.interval);
            self.say(&format!("{}: {} s", row.name, time.as_secs()));
            add(row.name, Group::Idle, row.measure(&self.program, time));
        }
        for row in soak::SOAKS.iter().filter(|row| self.options.wants(Group::Soak, row.name)) {
            let time = self.options.soak;
            self.say(&format!("{}: {} s", row.name, time.as_secs()));
            add(row.name, Group::Soak, row.measure(&self.program, &self.options.load, time));
        }
        outcomes
    }
}

#[expect(clippy::print_stderr, reason = "the table alone goes to standard output")]
fn say(text: &str) {
    eprintln!("{text}");
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))
}

/// A spread in another unit, of which one is so much.
fn divided(spread: &Spread, by: f64) -> Spread {
    compare::ratio(spread, &Spread::exact(by))
}

/// The crate's speed on the design's line, if it was measured.
pub fn crate_rate(outcomes: &[Outcome]) -> Option<f64> {
    let name = format!("crate, bare parse: {}", DESIGN.name);
    outcomes.iter().find(|outcome| outcome.name == name)?.median(Figure::PointsPerCpuSecond)
}

/// Everything there is, in words.
pub fn list() -> String {
    let mut text = String::new();
    let mut parsed: Vec<&Shape> = Vec::new();
    for group in Group::ALL {
        text.push_str(&format!("{}: {}\n", group.word(), group.about()));
        let mut say = |name: &str, about: &str| text.push_str(&format!("  {name:<46} {about}\n"));
        for case in cases().filter(|case| case.group == *group) {
            if case.shape.parse_bar.is_some()
                && !parsed.iter().any(|shape| shape.name == case.shape.name)
            {
                parsed.push(case.shape);
                say(&parser_name(case.shape), "in process, one core, against the crate");
            }
            say(case.name, case.about);
        }
        match group {
            Group::Core => say(operator::NAME, operator::ABOUT),
            Group::Shape => {}
            Group::Sql => say(live::NAME, live::ABOUT),
            Group::Scale => {
                say("two workers against one: ...", "pairs of the rows above");
                say("dynamic against static: ...", "with --static: instructions of core rows");
            }
            Group::Idle => {
                say(rest::SIZE, rest::SIZE_ABOUT);
                say(rest::START, rest::START_ABOUT);
                rest::RESTS.iter().for_each(|row| say(row.name, row.about));
            }
            Group::Soak => soak::SOAKS.iter().for_each(|row| say(row.name, row.about)),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_everything() {
        let text = list();
        for case in cases() {
            assert!(text.contains(case.name), "{}", case.name);
        }
        for name in [rest::SIZE, rest::START, rest::RESTS[0].name, soak::SOAKS[0].name] {
            assert!(text.contains(name), "{name}");
        }
        assert_eq!(text.matches("parser alone: ").count(), 4);
    }
}
