//! The shapes that a parser has met: a tree whose paths are lists of (field key, kind).
//!
//! A line's fields walk down the tree. The way that the series' last line went is tried first,
//! step by step, by comparing the bytes of `key=`; where a line leaves it, the tree goes on from
//! there. A new key is checked, unescaped and stored once; a known one is known by its bytes.

use headwater_plugin_api::batch::BatchBuilder;
use headwater_plugin_api::batch::hash::bytes_hash;

use crate::number::read::double_word;
use crate::slots::Slots;

/// Nodes in the tree, more than one point may have fields. When there are more, all is forgotten.
const NODES_MAX: usize = 32_768;
/// Steps in all plans.
const STEPS_MAX: usize = 65_536;
/// Bytes of all keys.
const KEY_BYTES_MAX: usize = 1 << 20;

/// The node of no fields.
pub const ROOT: u32 = 0;

/// A field as it is expected: its key's first bytes, and how its value is read.
#[derive(Clone, Copy)]
pub struct Step {
    word: u128,
    mask: u128,
    /// Bytes of the key as it stands in the text, with its equals sign.
    pub len: u32,
    key: u32,
    /// The node that the step leads to.
    pub node: u32,
    /// The kind of the value.
    pub kind: u8,
}

impl Step {
    /// Whether the key stands at `at`, as far as 16 bytes tell.
    #[inline(always)]
    pub fn begins(&self, text: &[u8], at: usize) -> bool {
        (double_word(text, at) ^ self.word) & self.mask == 0
    }
}

struct Node {
    step: Step,
    parent: u32,
    /// The child that was taken last.
    guess: u32,
    /// Fields up to here.
    depth: u32,
    /// Its plan plus one, 0 if no line ended here yet.
    plan: u32,
    /// If a key is repeated on the way: the node without the repetitions.
    distinct: u32,
    /// The batch that knows the shape, and what it calls it.
    epoch: u64,
    shape: u32,
}

struct Key {
    /// The first 16 bytes as they stand in texts, zeros behind its end.
    word: u128,
    hash: u64,
    raw: (u32, u32),
    text: (u32, u32),
    epoch: u64,
    symbol: u32,
}

/// The tree is full: forget all, and read the line again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// The tree, its keys and plans.
pub struct Shapes {
    nodes: Vec<Node>,
    children: Slots,
    keys: Vec<Key>,
    key_slots: Slots,
    /// Keys as they stand in texts, with their equals signs.
    raw: Vec<u8>,
    /// Keys without escapes.
    text: String,
    plans: Vec<(u32, u32)>,
    steps: Vec<Step>,
    path: Vec<u32>,
    symbols: Vec<(u32, u8)>,
}

impl Default for Shapes {
    fn default() -> Self {
        let mut shapes = Shapes {
            nodes: Vec::new(),
            children: Slots::default(),
            keys: Vec::new(),
            key_slots: Slots::default(),
            raw: Vec::new(),
            text: String::new(),
            plans: Vec::new(),
            steps: Vec::new(),
            path: Vec::new(),
            symbols: Vec::new(),
        };
        shapes.clear();
        shapes
    }
}

fn short_hash(word: u128) -> u64 {
    let product = (word as u64 ^ 0x9e37_79b9_7f4a_7c15) as u128
        * ((word >> 64) as u64 ^ 0xbf58_476d_1ce4_e5b9) as u128;
    (product as u64 ^ (product >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn child_hash(node: u32, key: u32, kind: u8) -> u64 {
    let mixed = (u64::from(node) << 32 | u64::from(key)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29 ^ u64::from(kind)).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31)
}

impl Shapes {
    /// Forgets all and keeps the memory. The batch under construction must be finished first: it
    /// would get the same shapes twice.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.children.clear();
        self.keys.clear();
        self.key_slots.clear();
        self.raw.clear();
        self.text.clear();
        self.plans.clear();
        self.steps.clear();
        self.nodes.push(Node {
            step: Step { word: 0, mask: 0, len: 0, key: 0, node: ROOT, kind: 0 },
            parent: ROOT,
            guess: ROOT,
            depth: 0,
            plan: 0,
            distinct: ROOT,
            epoch: 0,
            shape: 0,
        });
    }

    /// The steps of a plan; none if there is no such plan.
    #[inline(always)]
    pub fn steps(&self, plan: u32) -> &[Step] {
        let Some(&(first, count)) = self.plans.get(plan as usize) else { return &[] };
        self.steps.get(first as usize..(first + count) as usize).unwrap_or_default()
    }

    /// Whether the rest of a key that is longer than 16 bytes stands in the text too.
    #[inline(always)]
    pub fn continues(&self, step: &Step, text: &[u8], at: usize) -> bool {
        step.len <= 16 || self.long_continues(step, text, at)
    }

    fn long_continues(&self, step: &Step, text: &[u8], at: usize) -> bool {
        let Some(key) = self.keys.get(step.key as usize) else { return false };
        let (from, to) = key.raw;
        text.get(at + 16..at + step.len as usize) == self.raw.get(from as usize + 16..to as usize)
    }

    /// The step that was taken from `node` last.
    #[inline]
    pub fn guess(&self, node: u32) -> Option<&Step> {
        let guess = self.nodes.get(node as usize)?.guess;
        (guess != ROOT).then(|| &self.nodes[guess as usize].step)
    }

    /// The key that stands in a text from `start` to `end`, with its equals sign, if it is known.
    #[inline]
    pub fn find_key(&self, text: &[u8], start: usize, end: usize) -> Option<u32> {
        let len = end - start;
        if len > 16 {
            let raw = text.get(start..end)?;
            return self.find_long(bytes_hash(raw), raw);
        }
        let word = double_word(text, start) & (u128::MAX >> ((128 - 8 * len) & 127));
        self.key_slots.find(short_hash(word), |index| self.keys[index as usize].word == word)
    }

    fn find_long(&self, hash: u64, raw: &[u8]) -> Option<u32> {
        self.key_slots.find(hash, |index| {
            let (from, to) = self.keys[index as usize].raw;
            &self.raw[from as usize..to as usize] == raw
        })
    }

    /// Stores a key that was checked: as it stands in texts, with its equals sign, and unescaped.
    pub fn add_key(&mut self, raw: &[u8], text: &str, force: bool) -> Result<u32, Full> {
        let mut first = [0; 16];
        let len = raw.len().min(16);
        first[..len].copy_from_slice(&raw[..len]);
        let word = u128::from_le_bytes(first);
        let hash = if raw.len() <= 16 { short_hash(word) } else { bytes_hash(raw) };
        if let Some(known) = self.find_long(hash, raw) {
            return Ok(known);
        }
        if !force && self.raw.len() > KEY_BYTES_MAX {
            return Err(Full);
        }
        let index = self.keys.len() as u32;
        let raw_start = self.raw.len() as u32;
        let text_start = self.text.len() as u32;
        self.raw.extend_from_slice(raw);
        self.text.push_str(text);
        self.keys.push(Key {
            word,
            hash,
            raw: (raw_start, self.raw.len() as u32),
            text: (text_start, self.text.len() as u32),
            epoch: 0,
            symbol: 0,
        });
        let keys = &self.keys;
        self.key_slots.insert(hash, index, |index| keys[index as usize].hash);
        Ok(index)
    }

    /// The child of `node` with this key and kind, which is made if it is new.
    #[inline]
    pub fn child(&mut self, node: u32, key: u32, kind: u8, force: bool) -> Result<u32, Full> {
        let found = self.children.find(child_hash(node, key, kind), |index| {
            let child = &self.nodes[index as usize];
            child.parent == node && child.step.key == key && child.step.kind == kind
        });
        let child = match found {
            Some(child) => child,
            None => self.add_child(node, key, kind, force)?,
        };
        self.nodes[node as usize].guess = child;
        Ok(child)
    }

    #[inline(never)]
    fn add_child(&mut self, node: u32, key: u32, kind: u8, force: bool) -> Result<u32, Full> {
        if !force && self.nodes.len() >= NODES_MAX {
            return Err(Full);
        }
        let index = self.nodes.len() as u32;
        let (from, to) = self.keys[key as usize].raw;
        let len = to - from;
        let mask = if len >= 16 { u128::MAX } else { (1 << (8 * len)) - 1 };
        let word = self.keys[key as usize].word;
        let step = Step { word, mask, len, key, node: index, kind };
        let parent = &self.nodes[node as usize];
        let repeated = parent.distinct != node || self.on_the_way(node, key);
        let depth = parent.depth + 1;
        self.nodes.push(Node {
            step,
            parent: node,
            guess: ROOT,
            depth,
            plan: 0,
            distinct: index,
            epoch: 0,
            shape: 0,
        });
        let nodes = &self.nodes;
        self.children.insert(child_hash(node, key, kind), index, |index| {
            let node = &nodes[index as usize];
            child_hash(node.parent, node.step.key, node.step.kind)
        });
        if repeated {
            // Of repeated fields the last counts, at the place of the first.
            let mut fields: Vec<(u32, u8)> = Vec::new();
            for node in self.way(index) {
                let step = self.nodes[node as usize].step;
                match fields.iter_mut().find(|field| field.0 == step.key) {
                    Some(field) => field.1 = step.kind,
                    None => fields.push((step.key, step.kind)),
                }
            }
            let mut distinct = ROOT;
            for (key, kind) in fields {
                distinct = self.child(distinct, key, kind, true)?;
            }
            self.nodes[index as usize].distinct = distinct;
        }
        Ok(index)
    }

    fn on_the_way(&self, mut node: u32, key: u32) -> bool {
        while node != ROOT {
            let step = &self.nodes[node as usize];
            if step.step.key == key {
                return true;
            }
            node = step.parent;
        }
        false
    }

    /// The nodes from the first field to `node`.
    fn way(&self, mut node: u32) -> Vec<u32> {
        let mut way = Vec::with_capacity(self.depth(node));
        while node != ROOT {
            way.push(node);
            node = self.nodes[node as usize].parent;
        }
        way.reverse();
        way
    }

    /// How many fields lie on the way to `node`.
    #[inline]
    pub fn depth(&self, node: u32) -> usize {
        self.nodes[node as usize].depth as usize
    }

    /// The plan that leads to `node`.
    #[inline]
    pub fn plan(&mut self, node: u32, force: bool) -> Result<u32, Full> {
        match self.nodes[node as usize].plan.checked_sub(1) {
            Some(plan) => Ok(plan),
            None => self.add_plan(node, force),
        }
    }

    fn add_plan(&mut self, node: u32, force: bool) -> Result<u32, Full> {
        if !force && self.steps.len() + self.depth(node) > STEPS_MAX {
            return Err(Full);
        }
        let first = self.steps.len();
        let mut at = node;
        while at != ROOT {
            let node = &self.nodes[at as usize];
            self.steps.push(node.step);
            at = node.parent;
        }
        self.steps[first..].reverse();
        let plan = self.plans.len() as u32;
        self.plans.push((first as u32, (self.steps.len() - first) as u32));
        self.nodes[node as usize].plan = plan + 1;
        Ok(plan)
    }

    /// What the batch under construction calls the shape of `node`. Where keys are repeated, the
    /// row's payloads, which begin at `first`, are put in order.
    #[inline(always)]
    pub fn shape(&mut self, node: u32, builder: &mut BatchBuilder, first: usize) -> u32 {
        let known = &self.nodes[node as usize];
        if known.epoch == builder.epoch() {
            return known.shape;
        }
        self.enter_shape(node, builder, first)
    }

    #[inline(never)]
    fn enter_shape(&mut self, node: u32, builder: &mut BatchBuilder, first: usize) -> u32 {
        let distinct = self.nodes[node as usize].distinct;
        if distinct != node {
            self.drop_repeated(node, builder, first);
            return self.shape(distinct, builder, first);
        }
        self.path.clear();
        let mut at = node;
        while at != ROOT {
            self.path.push(at);
            at = self.nodes[at as usize].parent;
        }
        self.symbols.clear();
        for &at in self.path.iter().rev() {
            let step = &self.nodes[at as usize].step;
            let key = &mut self.keys[step.key as usize];
            if key.epoch != builder.epoch() {
                let (from, to) = key.text;
                key.symbol = builder.push_symbol(&self.text[from as usize..to as usize]);
                key.epoch = builder.epoch();
            }
            self.symbols.push((key.symbol, step.kind));
        }
        let shape = builder.push_shape(self.symbols.iter().copied());
        let known = &mut self.nodes[node as usize];
        known.shape = shape;
        known.epoch = builder.epoch();
        shape
    }

    fn drop_repeated(&self, node: u32, builder: &mut BatchBuilder, first: usize) {
        let way = self.way(node);
        let values = builder.values();
        let mut kept: Vec<(u32, u64)> = Vec::with_capacity(way.len());
        for (node, &value) in way.iter().zip(&values[first..]) {
            let key = self.nodes[*node as usize].step.key;
            match kept.iter_mut().find(|kept| kept.0 == key) {
                Some(kept) => kept.1 = value,
                None => kept.push((key, value)),
            }
        }
        values.truncate(first);
        for (_, value) in kept {
            values.push(value);
        }
    }
}
