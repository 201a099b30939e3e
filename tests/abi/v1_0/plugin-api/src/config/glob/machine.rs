//! Runs a pattern over a text by following all of its states at once.

use super::pattern::Node;

/// As many states as fit the sets that stand on the stack.
const STACK_WORDS: usize = 4;

#[derive(Clone)]
pub struct Machine {
    states: Box<[State]>,
    /// For each state, the set of states reached from it without a character, itself included.
    reached: Box<[u64]>,
    /// Length of one set.
    words: usize,
    separators: Box<[char]>,
}

#[derive(Clone)]
enum State {
    Char(char),
    One,
    Class {
        negated: bool,
        ranges: Box<[(char, char)]>,
    },
    /// Takes any number of characters and leads on to the next state without one.
    Star {
        crosses: bool,
    },
    /// Leads to other states without a character.
    Fork(Vec<u32>),
    End,
}

impl Machine {
    pub fn new(nodes: &[Node], separators: &str) -> Self {
        let mut states = Vec::new();
        push_nodes(nodes, &mut states);
        states.push(State::End);
        let words = states.len().div_ceil(64);
        let mut reached = vec![0u64; states.len() * words];
        let mut pending = Vec::new();
        for (start, set) in reached.chunks_exact_mut(words).enumerate() {
            pending.push(start);
            while let Some(state) = pending.pop() {
                let (word, bit) = (state / 64, 1u64 << (state % 64));
                if set[word] & bit != 0 {
                    continue;
                }
                set[word] |= bit;
                match &states[state] {
                    State::Star { .. } => pending.push(state + 1),
                    State::Fork(targets) => {
                        pending.extend(targets.iter().map(|&target| target as usize))
                    }
                    _ => {}
                }
            }
        }
        Self {
            states: states.into(),
            reached: reached.into(),
            words,
            separators: separators.chars().collect(),
        }
    }

    pub fn matches(&self, text: &str) -> bool {
        let words = self.words;
        if words <= STACK_WORDS {
            let (mut now, mut next) = ([0u64; STACK_WORDS], [0u64; STACK_WORDS]);
            self.run(text, &mut now[..words], &mut next[..words])
        } else {
            let mut sets = vec![0u64; 2 * words];
            let (now, next) = sets.split_at_mut(words);
            self.run(text, now, next)
        }
    }

    fn run<'a>(&self, text: &str, mut now: &'a mut [u64], mut next: &'a mut [u64]) -> bool {
        now.copy_from_slice(&self.reached[..self.words]);
        for c in text.chars() {
            next.fill(0);
            let separator = self.separators.contains(&c);
            for (word, &set) in now.iter().enumerate() {
                let mut set = set;
                while set != 0 {
                    let state = word * 64 + set.trailing_zeros() as usize;
                    set &= set - 1;
                    if let Some(target) = self.step(state, c, separator) {
                        let reached = &self.reached[target * self.words..][..self.words];
                        next.iter_mut().zip(reached).for_each(|(next, reached)| *next |= reached);
                    }
                }
            }
            if next.iter().all(|&set| set == 0) {
                return false;
            }
            std::mem::swap(&mut now, &mut next);
        }
        let end = self.states.len() - 1;
        now[end / 64] & (1 << (end % 64)) != 0
    }

    fn step(&self, state: usize, c: char, separator: bool) -> Option<usize> {
        let (takes, target) = match &self.states[state] {
            State::Char(own) => (*own == c, state + 1),
            State::One => (!separator, state + 1),
            State::Class { negated, ranges } => {
                let inside = ranges.iter().any(|&(from, to)| from <= c && c <= to);
                (inside != *negated, state + 1)
            }
            State::Star { crosses } => (*crosses || !separator, state),
            State::Fork(_) | State::End => (false, state),
        };
        takes.then_some(target)
    }
}

fn push_nodes(nodes: &[Node], states: &mut Vec<State>) {
    for node in nodes {
        match node {
            Node::Char(c) => states.push(State::Char(*c)),
            Node::One => states.push(State::One),
            Node::Star { crosses } => states.push(State::Star { crosses: *crosses }),
            Node::Class { negated, ranges } => {
                states.push(State::Class { negated: *negated, ranges: ranges.clone().into() });
            }
            Node::Either(branches) => push_branches(branches, states),
        }
    }
}

/// A fork to each branch; at the end of each branch, a fork to what follows.
fn push_branches(branches: &[Vec<Node>], states: &mut Vec<State>) {
    let fork = states.len();
    states.push(State::Fork(Vec::new()));
    let mut starts = Vec::with_capacity(branches.len());
    let mut ends = Vec::with_capacity(branches.len());
    for branch in branches {
        starts.push(states.len() as u32);
        push_nodes(branch, states);
        ends.push(states.len());
        states.push(State::Fork(Vec::new()));
    }
    let after = states.len() as u32;
    states[fork] = State::Fork(starts);
    for end in ends {
        states[end] = State::Fork(vec![after]);
    }
}
