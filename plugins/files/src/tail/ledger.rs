//! What of a path was read and not delivered yet, and from where to read on after a restart.
//!
//! Parts settle in any order. The position that counts is the one before the first part that has
//! not settled.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use headwater_plugin_api::plugin::Outcome;

/// A part that was given up holds the position, so that it is read again after a restart; but not for
/// longer than so many later ones.
const HELD_MAX: usize = 1000;

/// Bytes at the beginning of a file by which it is known again.
const FINGERPRINT_MAX: u64 = 1024;

/// Files that lie one behind the other under one path, the rotated ones first.
const GENERATIONS_MAX: usize = 64;

/// Files looked at in the search for one that was renamed.
const SIBLINGS_MAX: usize = 10_000;

/// Device and inode.
pub type Identity = (u64, u64);

/// Of an open file.
pub fn identity(file: &File) -> std::io::Result<Identity> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Where a file was read to, and how to know it again: inodes are used again by other files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Device and inode.
    pub identity: Identity,
    /// Where to read on.
    pub position: u64,
    length: u64,
    hash: u64,
}

impl Mark {
    /// Of a file that was read up to there.
    pub fn of(file: &File, position: u64) -> std::io::Result<Mark> {
        let length = position.min(FINGERPRINT_MAX);
        Ok(Mark { identity: identity(file)?, position, length, hash: hash(file, length)? })
    }

    /// Whether it is of this file, which has not been cut off since.
    pub fn fits(&self, file: &File) -> bool {
        identity(file).is_ok_and(|identity| identity == self.identity)
            && file.metadata().is_ok_and(|metadata| metadata.len() >= self.position)
            && hash(file, self.length).is_ok_and(|hash| hash == self.hash)
    }

    fn to_line(&self) -> String {
        let (device, inode) = self.identity;
        format!("{} {device} {inode} {} {:016x}\n", self.position, self.length, self.hash)
    }

    fn from_line(line: &str) -> Option<Mark> {
        let mut words = line.split(' ');
        let mut number = || words.next()?.parse().ok();
        let (position, device, inode, length) = (number()?, number()?, number()?, number()?);
        let hash = u64::from_str_radix(words.next()?, 16).ok()?;
        let fits = length <= FINGERPRINT_MAX && words.next().is_none();
        fits.then_some(Mark { identity: (device, inode), position, length, hash })
    }
}

/// FNV-1a, which is the same in every version of the agent.
fn hash(file: &File, length: u64) -> std::io::Result<u64> {
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0)?;
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    Ok(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

const HEADER: &str = "tail 1\n";

/// What was saved for a path: the file that was being read, then those that came behind it.
pub fn parse_state(state: &[u8]) -> Option<Vec<Mark>> {
    let lines = std::str::from_utf8(state).ok()?.strip_prefix(HEADER)?;
    lines.lines().take(GENERATIONS_MAX).map(Mark::from_line).collect()
}

/// Finds the files of saved marks, under the path or, renamed, beside it. Of those found the first is
/// to be read from its position.
pub fn locate(path: &Path, marks: &[Mark]) -> Vec<(File, u64)> {
    let mut found: Vec<Option<(File, u64)>> = marks.iter().map(|_| None).collect();
    let mut look = |candidate: &Path| {
        let Ok(metadata) = candidate.metadata() else { return };
        let identity = (metadata.dev(), metadata.ino());
        let Some(at) = marks.iter().position(|mark| mark.identity == identity) else { return };
        if found[at].is_none()
            && let Ok(file) = super::open(candidate)
            && marks[at].fits(&file)
        {
            found[at] = Some((file, marks[at].position));
        }
    };
    look(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Ok(entries) = std::fs::read_dir(folder.unwrap_or(Path::new("."))) {
        for entry in entries.flatten().take(SIBLINGS_MAX) {
            look(&entry.path());
        }
    }
    found.into_iter().flatten().collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    Not,
    Done,
    GivenUp,
}

#[derive(Debug)]
struct Part {
    generation: u64,
    position: u64,
    lines: usize,
    settled: Settled,
}

#[derive(Debug)]
struct Generation {
    number: u64,
    file: Arc<File>,
    position: u64,
}

/// The ledger of one path.
#[derive(Debug, Default)]
pub struct Ledger {
    parts: VecDeque<Part>,
    /// The token of the first part.
    first: u64,
    /// Parts in the queue that have settled.
    settled: usize,
    lines: usize,
    /// The first is the one with the position that counts.
    generations: VecDeque<Generation>,
    next_generation: u64,
    changed: bool,
}

impl Ledger {
    /// A file is read from there; what is added from now on is of it.
    pub fn begin(&mut self, file: Arc<File>, position: u64) {
        let number = self.next_generation;
        self.next_generation += 1;
        self.generations.push_back(Generation { number, file, position });
        self.changed = true;
        if self.generations.len() > GENERATIONS_MAX {
            self.generations.pop_front();
        }
        self.forget_done();
    }

    /// A part was read, up to there; gives its token.
    pub fn add(&mut self, position: u64, lines: usize) -> u64 {
        let generation = self.next_generation.saturating_sub(1);
        self.lines += lines;
        self.parts.push_back(Part { generation, position, lines, settled: Settled::Not });
        self.first + self.parts.len() as u64 - 1
    }

    /// Lines that were read and have not settled.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// Whether anything that was read has not settled.
    pub fn is_outstanding(&self) -> bool {
        self.settled < self.parts.len()
    }

    /// A part has settled.
    pub fn settle(&mut self, token: u64, outcome: Outcome) {
        let at = token.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let Some(part) = at.and_then(|at| self.parts.get_mut(at)) else { return };
        if part.settled != Settled::Not {
            return;
        }
        // What is lost stays lost: to read it again would bring all behind it twice.
        part.settled = match outcome {
            Outcome::Aborted => Settled::GivenUp,
            _ => Settled::Done,
        };
        self.lines -= part.lines;
        self.settled += 1;
        while let Some(part) = self.parts.front() {
            match part.settled {
                Settled::Not => break,
                Settled::GivenUp if self.settled <= HELD_MAX => break,
                _ => {}
            }
            let (generation, position) = (part.generation, part.position);
            self.parts.pop_front();
            self.first += 1;
            self.settled -= 1;
            self.reach(generation, position);
        }
        self.forget_done();
    }

    fn reach(&mut self, generation: u64, position: u64) {
        while self.generations.front().is_some_and(|first| first.number < generation) {
            self.generations.pop_front();
        }
        if let Some(first) = self.generations.front_mut()
            && first.number == generation
        {
            first.position = position;
        }
        self.changed = true;
    }

    /// Lets go of files that nothing is outstanding of and that others have followed.
    fn forget_done(&mut self) {
        let needed = self.parts.front().map_or(self.next_generation, |part| part.generation + 1);
        while self.generations.len() > 1
            && self.generations.front().is_some_and(|first| first.number + 1 < needed)
        {
            self.generations.pop_front();
            self.changed = true;
        }
    }

    /// What to save, if it has changed since it was asked for last.
    pub fn state(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut state = HEADER.to_owned();
        for generation in &self.generations {
            if let Ok(mark) = Mark::of(&generation.file, generation.position) {
                state.push_str(&mark.to_line());
            }
        }
        Some(state.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::tests::Folder;

    fn positions(ledger: &mut Ledger) -> Vec<u64> {
        let state = ledger.state().unwrap();
        parse_state(&state).unwrap().iter().map(|mark| mark.position).collect()
    }

    #[test]
    fn the_position_is_that_before_what_is_outstanding() {
        let folder = Folder::new("ledger");
        let path = folder.write("a", vec![b'x'; 5000]);
        let mut ledger = Ledger::default();
        ledger.begin(Arc::new(File::open(&path).unwrap()), 100);
        assert_eq!(positions(&mut ledger), [100]);
        assert_eq!(ledger.state(), None, "unchanged");
        let tokens: Vec<u64> = (1..=4).map(|n| ledger.add(100 + n * 100, 10)).collect();
        assert_eq!(ledger.lines(), 40);
        ledger.settle(tokens[1], Outcome::Delivered);
        ledger.settle(tokens[1], Outcome::Delivered);
        assert_eq!((ledger.lines(), ledger.state()), (30, None));
        ledger.settle(tokens[0], Outcome::Dropped);
        assert_eq!(positions(&mut ledger), [300]);
        ledger.settle(tokens[3], Outcome::DeadLettered);
        ledger.settle(tokens[2], Outcome::Lost);
        assert_eq!(positions(&mut ledger), [500]);
        ledger.settle(99, Outcome::Delivered);
        assert_eq!(ledger.lines(), 0);
    }

    #[test]
    fn what_was_given_up_is_read_again_after_a_restart() {
        let folder = Folder::new("ledger-held");
        let path = folder.write("a", vec![b'x'; 5000]);
        let mut ledger = Ledger::default();
        ledger.begin(Arc::new(File::open(&path).unwrap()), 0);
        let given_up = ledger.add(1, 1);
        ledger.settle(given_up, Outcome::Aborted);
        let later: Vec<u64> = (0..HELD_MAX as u64).map(|n| ledger.add(2 + n, 1)).collect();
        for token in &later[..HELD_MAX - 1] {
            ledger.settle(*token, Outcome::Delivered);
        }
        assert_eq!(positions(&mut ledger), [0]);
        ledger.settle(later[HELD_MAX - 1], Outcome::Delivered);
        assert_eq!(positions(&mut ledger), [1 + HELD_MAX as u64]);
    }

    #[test]
    fn rotated_files_are_kept_until_they_are_delivered() {
        let folder = Folder::new("ledger-rotated");
        let open = |name: &str| {
            folder.write(name, vec![b'x'; 50]);
            Arc::new(File::open(folder.path(name)).unwrap())
        };
        let mut ledger = Ledger::default();
        ledger.begin(open("a"), 0);
        let first = ledger.add(50, 1);
        ledger.begin(open("b"), 0);
        let second = ledger.add(20, 1);
        assert_eq!(positions(&mut ledger), [0, 0]);
        ledger.settle(second, Outcome::Delivered);
        assert_eq!(ledger.state(), None);
        ledger.settle(first, Outcome::Delivered);
        assert_eq!(positions(&mut ledger), [20]);
        ledger.begin(open("c"), 0);
        assert_eq!(positions(&mut ledger), [0], "nothing of b is outstanding");
    }

    #[test]
    fn files_are_known_again() {
        let folder = Folder::new("ledger-marks");
        let path = folder.write("a", "first line\nsecond line\n");
        let mark = Mark::of(&File::open(&path).unwrap(), 11).unwrap();
        assert_eq!(Mark::from_line(mark.to_line().trim_end()), Some(mark.clone()));
        let fits = || mark.fits(&File::open(&path).unwrap());
        assert!(fits());
        std::fs::write(&path, "first line\n").unwrap();
        assert!(fits(), "cut off behind the position");
        std::fs::write(&path, "first").unwrap();
        assert!(!fits());
        std::fs::write(&path, "other line\nand more\n").unwrap();
        assert!(!fits(), "the inode of another file");

        std::fs::write(&path, "first line\nsecond line\n").unwrap();
        let marks = [mark];
        assert_eq!(locate(&path, &marks).len(), 1);
        std::fs::rename(&path, folder.path("a.1")).unwrap();
        folder.write("a", "new\n");
        let found = locate(&path, &marks);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1, 11);
        std::fs::remove_file(folder.path("a.1")).unwrap();
        assert!(locate(&path, &marks).is_empty());
    }

    #[test]
    fn a_state_that_is_none_is_refused() {
        for state in ["", "tail 2\n", "tail 1\nx\n", "tail 1\n1 2 3 4\n", "tail 1\n1 2 3 9999 0\n"]
        {
            assert_eq!(parse_state(state.as_bytes()), None, "{state:?}");
        }
        assert_eq!(parse_state(b"tail 1\n"), Some(vec![]));
    }
}
