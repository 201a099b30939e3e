//! Reads what callgrind writes: instructions, and calls into the allocator.
//!
//! The file lists for each function (`fn=`) the calls it makes (`cfn=`, then `calls=count position`).
//! A name stands once in full, `(7) malloc`, and later as `(7)`; callers and callees share the numbers.

use std::collections::HashMap;

/// What a program did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instructions.
    pub instructions: u64,
    /// Calls that ask the allocator for a block or a larger one.
    pub allocations: u64,
}

/// The arguments of valgrind, with the file that it writes.
pub fn arguments(file: &str) -> Vec<String> {
    vec!["--tool=callgrind".into(), format!("--callgrind-out-file={file}")]
}

const ALLOCATORS: [&str; 6] =
    ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"];

/// Whether a function hands out memory. Callgrind marks depths of recursion, `malloc'2`, and keeps
/// versions of symbols, `malloc@@GLIBC_2.2.5`.
fn allocates(name: &str) -> bool {
    let end = name.find(['\'', '@']).unwrap_or(name.len());
    ALLOCATORS.contains(&&name[..end])
}

/// Reads a file of callgrind's.
///
/// # Errors
/// It is none, or it counts something else than instructions.
pub fn read(text: &str) -> Result<Counts, String> {
    let mut names: HashMap<&str, bool> = HashMap::new();
    let mut caller_allocates = false;
    let mut callee_allocates = false;
    let mut allocations = 0;
    let mut instructions = None;
    for (at, line) in text.lines().enumerate() {
        let fail = |what: &str| format!("line {}, `{line:.80}`: {what}", at + 1);
        if let Some(name) = line.strip_prefix("fn=") {
            caller_allocates = resolve(&mut names, name).ok_or_else(|| fail("unknown name"))?;
        } else if let Some(name) = line.strip_prefix("cfn=") {
            callee_allocates = resolve(&mut names, name).ok_or_else(|| fail("unknown name"))?;
        } else if let Some(calls) = line.strip_prefix("calls=") {
            let count = calls.split(' ').next().and_then(|count| count.parse::<u64>().ok());
            let count = count.ok_or_else(|| fail("no count of calls"))?;
            // `calloc` may ask `malloc`: that is one allocation.
            if callee_allocates && !caller_allocates {
                allocations += count;
            }
        } else if let Some(events) = line.strip_prefix("events:") {
            if events.split_whitespace().next() != Some("Ir") {
                return Err(fail("the first event is not `Ir`, instructions"));
            }
        } else if let Some(total) =
            line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:"))
        {
            let total = total.split_whitespace().next().and_then(|total| total.parse().ok());
            instructions = Some(total.ok_or_else(|| fail("no total"))?);
        }
    }
    let instructions = instructions.ok_or("there is no total: it is not a file of callgrind's")?;
    Ok(Counts { instructions, allocations })
}

/// Whether a function that is written `(7) malloc`, `(7)` or `malloc` hands out memory.
fn resolve<'a>(names: &mut HashMap<&'a str, bool>, written: &'a str) -> Option<bool> {
    let Some((number, name)) = written.strip_prefix('(').and_then(|rest| rest.split_once(')'))
    else {
        return Some(allocates(written));
    };
    match name.strip_prefix(' ') {
        Some(name) => {
            let answer = allocates(name);
            names.insert(number, answer);
            Some(answer)
        }
        None => names.get(number).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# callgrind format
version: 1
creator: callgrind-3.19.0
pid: 1
cmd:  ./guards run rename 1
part: 1

positions: line
events: Ir
summary: 1000

ob=(1) /bin/guards
fl=(1) a.rs
fn=(1) work
10 500
cob=(2) /lib/libc.so.6
cfi=(2) malloc.c
cfn=(2) malloc
calls=7 0
10 70
cfn=(3) calloc
calls=2 0
11 40
cfn=(4) malloc_usable_size
calls=100 0
12 100

fn=(3)
1 20
cfn=(2)
calls=2 0
1 20

fn=(5) work'2
3 100
cfn=(6) malloc'2
calls=3 0
3 30
cfn=(2)
calls=4 0
3 40
cfn=realloc@@GLIBC_2.2.5
calls=1 0
3 10

totals: 1000
";

    #[test]
    fn calls_from_outside_the_allocator_count_each_once() {
        let counts = read(FILE).unwrap();
        // 7 malloc and 2 calloc of `work`, 3 + 4 malloc and 1 realloc of its second depth; what
        // calloc asks of malloc is not counted again.
        assert_eq!(counts, Counts { instructions: 1000, allocations: 17 });
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for (from, to, expected) in [
            ("events: Ir", "events: Cycles", "line 9"),
            ("calls=7", "calls=x", "no count of calls"),
            ("cfn=(2)\ncalls=4", "cfn=(9)\ncalls=4", "unknown name"),
        ] {
            let error = read(&FILE.replace(from, to)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(read("hello\n").unwrap_err().contains("not a file of callgrind's"));
        assert!(read("").is_err());
    }
}
