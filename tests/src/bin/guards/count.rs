//! Runs guards under callgrind and takes what one more point costs.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::loads::{ROUNDS, Text};
use crate::record::Cost;
use crate::work::Guard;
use headwater_tests::callgrind::{self, Counts};

/// Rounds of the two runs whose difference counts: what start, set-up and the first round cost falls
/// out.
const FEW: usize = 1;
const MANY: usize = ROUNDS;

/// The cost of each guard, `jobs` runs side by side. What callgrind wrote stays in `folder`.
///
/// # Errors
/// The first thing that went wrong.
pub fn costs(guards: &[&Guard], jobs: usize, folder: &Path) -> Result<Vec<Cost>, String> {
    let mut texts: HashMap<Text, String> = HashMap::new();
    for text in guards.iter().map(|guard| guard.text).collect::<HashSet<_>>() {
        let path = folder.join(format!("{text:?}.txt"));
        std::fs::write(&path, text.make())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        texts.insert(text, path.display().to_string());
    }
    let runs: Vec<(&Guard, usize)> =
        guards.iter().flat_map(|guard| [(*guard, FEW), (*guard, MANY)]).collect();
    let results: Mutex<Vec<Result<Counts, String>>> =
        Mutex::new(vec![Err("it did not run".into()); runs.len()]);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some((at, (guard, rounds))) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    runs.get(at).map(|run| (at, run))
                } {
                    let text = texts.get(&guard.text).map_or("", String::as_str);
                    let result = count(guard, *rounds, text, folder);
                    results.lock().unwrap_or_else(PoisonError::into_inner)[at] = result;
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut costs = Vec::new();
    for (guard, counts) in guards.iter().zip(results.chunks(2)) {
        let fail = |error: &String| format!("{}: {error}", guard.name);
        let few = counts[0].as_ref().map_err(fail)?;
        let many = counts[1].as_ref().map_err(fail)?;
        let points = (guard.text.lines() * (MANY - FEW)) as f64;
        costs.push(Cost {
            instructions: (many.instructions as f64 - few.instructions as f64) / points,
            allocations: (many.allocations as f64 - few.allocations as f64) / points,
        });
    }
    Ok(costs)
}

fn count(guard: &Guard, rounds: usize, text: &str, folder: &Path) -> Result<Counts, String> {
    let out = folder.join(format!("{}.{rounds}.callgrind", guard.name));
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args(["run", guard.name, &rounds.to_string(), text])
        // The same environment in every run, as it lies on the program's stack.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("valgrind cannot be run ({error}): apt-get install valgrind"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}\n{words}", output.status));
    }
    let text = std::fs::read(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    callgrind::read(&String::from_utf8_lossy(&text))
        .map_err(|error| format!("{}: {error}", out.display()))
}
