//! Instructions per point, counted by callgrind.

use std::path::Path;

use headwater_tests::load::Load;

use crate::rows::Row;
use crate::run::run;

/// The difference of two loads leaves the start and the first chunks out.
const FEW: u64 = 50_000;
const MANY: u64 = 250_000;

/// Instructions that one more point costs.
pub fn per_point(program: &Path, row: &Row, workers: usize, load: &Load) -> Result<f64, String> {
    let few = total(program, row, workers, &load.with_points(FEW))?;
    let many = total(program, row, workers, &load.with_points(MANY))?;
    Ok((many as f64 - few as f64) / (MANY - FEW) as f64)
}

fn total(program: &Path, row: &Row, workers: usize, load: &Load) -> Result<u64, String> {
    let arguments: Vec<String> =
        ["--tool=callgrind", "--callgrind-out-file=/dev/null"].map(String::from).to_vec();
    let text = row.load(load).text();
    let expected = row.expected(&text);
    let (_, agent, _) =
        run(program, row, workers, &text, Some(&expected), load.points, Some(&arguments))?;
    let log = agent.log();
    let collected = log.lines().rev().find_map(|line| line.split_once("Collected :"));
    collected
        .and_then(|(_, number)| number.trim().parse().ok())
        .ok_or_else(|| format!("callgrind told no count:\n{log}"))
}
