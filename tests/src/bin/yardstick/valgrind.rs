//! Instructions and allocations, counted by callgrind: figures that no neighbour disturbs.

use std::collections::HashMap;

/// What one run took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    pub instructions: u64,
    /// Calls into the allocator.
    pub allocations: u64,
}

/// Functions of the C library that hand out memory.
const ALLOCATORS: [&str; 6] =
    ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"];

/// The arguments of valgrind, with the file that it writes.
pub fn arguments(file: &str) -> Vec<String> {
    vec!["--tool=callgrind".into(), format!("--callgrind-out-file={file}")]
}

fn is_allocator(name: &str) -> bool {
    // A recursive call has a number behind its name.
    let name = name.split_once('\'').map_or(name, |(name, _)| name);
    ALLOCATORS.contains(&name)
}

/// Reads what callgrind wrote.
///
/// Calls stand as `cfn=` (the called function) and `calls=` (how often) below the `fn=` that calls.
/// A name is written once, as `(12) malloc`, then `(12)` stands for it. Calls that one allocating
/// function makes to another are part of one allocation.
pub fn parse(text: &str) -> Result<Counted, String> {
    let mut known: HashMap<&str, bool> = HashMap::new();
    let (mut within, mut into) = (false, false);
    let mut counted = Counted::default();
    let mut total = None;
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=').or_else(|| line.split_once(": ")) else {
            continue;
        };
        match key {
            "fn" => within = named(&mut known, value),
            "cfn" => into = named(&mut known, value),
            "calls" if into && !within => {
                let count = value.split(' ').next().and_then(|count| count.parse::<u64>().ok());
                counted.allocations +=
                    count.ok_or_else(|| format!("callgrind wrote {line:?}, not calls=N"))?;
            }
            // The second is written if there is no first.
            "totals" | "summary" => total = value.split(' ').next().and_then(|n| n.parse().ok()),
            _ => {}
        }
    }
    counted.instructions =
        total.ok_or("callgrind wrote no total: was the agent killed before its end?")?;
    Ok(counted)
}

/// Whether a name, or the number that stands for it, is an allocator's.
fn named<'a>(known: &mut HashMap<&'a str, bool>, value: &'a str) -> bool {
    match value.split_once(' ') {
        Some((number, name)) if number.starts_with('(') => {
            let is = is_allocator(name);
            known.insert(number, is);
            is
        }
        _ => known.get(value).copied().unwrap_or_else(|| is_allocator(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# callgrind format
events: Ir
fl=(1) main.rs
fn=(1) main
5 12
cob=(2) /lib/libc.so.6
cfi=(3) ???
cfn=(12) malloc
calls=3 0
5 90
cfn=(13) free
calls=7 0
5 70
fn=(14) calloc
9 1
cfn=(12)
calls=100 0
9 500
fn=(15) other
1 1
cfn=(12)
calls=2 +3
1 1
cfn=(14)
calls=4 -1
1 1
cfn=(16) realloc'2
calls=10 1
1 1
cfn=(17) my_malloc
calls=1000 1
1 1
totals: 123456
";

    #[test]
    fn calls_into_the_allocator_count_and_not_those_within() {
        let counted = parse(TEXT).unwrap();
        assert_eq!(counted, Counted { instructions: 123_456, allocations: 3 + 2 + 4 + 10 });
    }

    #[test]
    fn the_summary_stands_in_for_the_total() {
        assert_eq!(parse("summary: 77\nfn=malloc\n1 1\n").unwrap().instructions, 77);
        assert!(parse("fn=(1) main\n1 2\n").unwrap_err().contains("no total"));
        assert!(parse("cfn=malloc\ncalls=x 1\ntotals: 1\n").unwrap_err().contains("calls=N"));
    }
}
