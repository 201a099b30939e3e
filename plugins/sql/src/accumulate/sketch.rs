//! A sketch of the distribution of numbers, after Masson, Rim and Lee (DDSketch): how many fell into
//! each bin, of bins whose ends lie in one ratio.
//!
//! 36 bins make a doubling, so that the middle of a bin is within 0.97 % of all its numbers. The bin
//! of a number is read from its bits: the exponent counts doublings, and the highest six bits of the
//! mantissa find one bin or the border to the next.

use super::codec::{Broken, Read, Reader, put, put_float};

/// Bins of a doubling.
const PER_DOUBLING: u32 = 36;
/// The 36th root of 2: the ratio of a bin's ends.
const RATIO: f64 = 1.019_440_643_702_144_8;
/// A bin's value divided by its lower end: as far from the one end as from the other, relatively.
const MIDDLE: f64 = 2.0 * RATIO / (1.0 + RATIO);
const MANTISSA: u64 = (1 << 52) - 1;
/// Bins of a normal float, one above another.
const BINS: u32 = PER_DOUBLING * 2047;
/// How many bins there are for each sign, 17 powers of ten: what is smaller than that beside the
/// greatest counts as the smallest that is kept.
const SPAN: u32 = 2048;
/// Bins that are added at a time.
const STEP: u32 = 32;

/// Where in a doubling each bin begins, as mantissas.
const BORDERS: [u64; PER_DOUBLING as usize] = {
    let mut borders = [0; PER_DOUBLING as usize];
    let (mut at, mut value) = (1, 1.0_f64);
    while at < PER_DOUBLING as usize {
        value *= RATIO;
        borders[at] = value.to_bits() & MANTISSA;
        at += 1;
    }
    borders
};

/// By the mantissa's highest six bits: the bin in which such numbers begin, and the border in reach.
const CELLS: [(u8, u64); 64] = {
    let mut cells = [(0, u64::MAX); 64];
    let mut cell = 0;
    while cell < 64 {
        let mut bin = 0;
        while bin + 1 < PER_DOUBLING as usize && BORDERS[bin + 1] <= (cell as u64) << 46 {
            bin += 1;
        }
        let border = if bin + 1 < PER_DOUBLING as usize { BORDERS[bin + 1] } else { u64::MAX };
        cells[cell] = (bin as u8, border);
        cell += 1;
    }
    cells
};

/// The bin of a normal float, whatever its sign.
#[inline]
fn bin(value: f64) -> u32 {
    let bits = value.to_bits();
    let (first, border) = CELLS[(bits >> 46 & 63) as usize];
    let exponent = (bits >> 52) as u32 & 2047;
    exponent * PER_DOUBLING + u32::from(first) + u32::from(bits & MANTISSA >= border)
}

/// What stands for the numbers of a bin.
fn middle(bin: u32) -> f64 {
    let (exponent, part) = (bin / PER_DOUBLING, bin % PER_DOUBLING);
    f64::from_bits(u64::from(exponent) << 52 | BORDERS[part as usize]) * MIDDLE
}

/// How many numbers fell into each bin; 4 bytes each until one needs more.
#[derive(Debug, Clone)]
enum Counts {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

impl Counts {
    fn len(&self) -> usize {
        match self {
            Counts::Narrow(list) => list.len(),
            Counts::Wide(list) => list.len(),
        }
    }

    fn get(&self, at: usize) -> u64 {
        match self {
            Counts::Narrow(list) => list[at].into(),
            Counts::Wide(list) => list[at],
        }
    }

    #[inline]
    fn add(&mut self, at: usize, more: u64) {
        if let Counts::Narrow(list) = self {
            let sum = u64::from(list[at]) + more.min(1 << 40);
            if let Ok(sum) = u32::try_from(sum) {
                list[at] = sum;
                return;
            }
            *self = Counts::Wide(list.iter().map(|count| u64::from(*count)).collect());
        }
        if let Counts::Wide(list) = self {
            list[at] = list[at].saturating_add(more);
        }
    }

    /// Puts so many empty bins in front and behind.
    fn extend(&mut self, front: usize, behind: usize) {
        fn grown<T: Copy + Default>(list: &[T], front: usize, behind: usize) -> Vec<T> {
            let mut out = Vec::with_capacity(front + list.len() + behind);
            out.resize(front, T::default());
            out.extend_from_slice(list);
            out.resize(front + list.len() + behind, T::default());
            out
        }
        match self {
            Counts::Narrow(list) => *list = grown(list, front, behind),
            Counts::Wide(list) => *list = grown(list, front, behind),
        }
    }

    /// Takes the first bins away; what was in them.
    fn take_front(&mut self, count: usize) -> u64 {
        match self {
            Counts::Narrow(list) => list.drain(..count).map(u64::from).sum(),
            Counts::Wide(list) => list.drain(..count).fold(0, u64::saturating_add),
        }
    }

    fn byte_size(&self) -> usize {
        match self {
            Counts::Narrow(list) => list.capacity() * 4,
            Counts::Wide(list) => list.capacity() * 8,
        }
    }
}

/// The bins of one sign, from one to another without gaps.
#[derive(Debug, Clone)]
struct Store {
    first: u32,
    /// The highest bin with numbers: none lies more than [`SPAN`] below it.
    highest: u32,
    counts: Counts,
}

impl Store {
    const EMPTY: Store = Store { first: 0, highest: 0, counts: Counts::Narrow(Vec::new()) };

    #[inline]
    fn add_within(&mut self, bin: u32) -> bool {
        let at = bin.wrapping_sub(self.first) as usize;
        if let Counts::Narrow(list) = &mut self.counts
            && bin <= self.highest
            && let Some(count) = list.get_mut(at)
            && *count < u32::MAX
        {
            *count += 1;
            return true;
        }
        false
    }

    /// Makes room for bins where there are none yet.
    fn make_room(&mut self, bins: impl Iterator<Item = u32> + Clone) {
        let (Some(first), Some(highest)) = (bins.clone().min(), bins.max()) else { return };
        let lowest = highest.saturating_sub(SPAN - 1);
        (self.first, self.highest) = (first.max(lowest), highest);
        self.reach(highest, lowest);
    }

    fn add(&mut self, bin: u32, more: u64) {
        let at = bin.wrapping_sub(self.first);
        if bin > self.highest || at as usize >= self.counts.len() {
            return self.add_outside(bin, more);
        }
        self.counts.add(at as usize, more);
    }

    #[cold]
    fn add_outside(&mut self, bin: u32, more: u64) {
        let is_empty = self.counts.len() == 0;
        self.highest = if is_empty { bin } else { self.highest.max(bin) };
        let lowest = self.highest.saturating_sub(SPAN - 1);
        let bin = bin.max(lowest);
        if is_empty {
            self.first = bin;
        } else if self.first < lowest {
            let gone = ((lowest - self.first) as usize).min(self.counts.len());
            let moved = self.counts.take_front(gone);
            self.first = lowest;
            if moved > 0 {
                self.reach(lowest, lowest);
                self.counts.add(0, moved);
            }
        }
        self.reach(bin, lowest);
        self.counts.add((bin - self.first) as usize, more);
    }

    /// Makes room for a bin, none below `lowest`.
    fn reach(&mut self, bin: u32, lowest: u32) {
        let front = match self.first.checked_sub(bin) {
            None | Some(0) => 0,
            Some(front) => front.next_multiple_of(STEP).min(self.first - lowest),
        };
        let end = self.first + self.counts.len() as u32;
        let behind = (bin + 1).saturating_sub(end).next_multiple_of(STEP);
        if front > 0 || behind > 0 {
            self.counts.extend(front as usize, behind as usize);
            self.first -= front;
        }
    }

    /// The bins with numbers, upwards.
    fn bins(&self) -> impl DoubleEndedIterator<Item = (u32, u64)> {
        let all = (0..self.counts.len()).map(|at| (self.first + at as u32, self.counts.get(at)));
        all.filter(|(_, count)| *count > 0)
    }

    /// The bin in which the number of a rank lies, from the highest downwards or from the lowest
    /// upwards. `seen` is how many were seen before and becomes how many with it.
    fn find(&self, downwards: bool, seen: &mut u64, rank: u64) -> Option<u32> {
        fn position<'c, T: Copy + Into<u64> + 'c>(
            mut counts: impl Iterator<Item = &'c T>,
            seen: &mut u64,
            rank: u64,
        ) -> Option<usize> {
            counts.position(|count| {
                *seen = seen.saturating_add((*count).into());
                *seen > rank
            })
        }
        let at = match (&self.counts, downwards) {
            (Counts::Narrow(list), false) => position(list.iter(), seen, rank),
            (Counts::Narrow(list), true) => position(list.iter().rev(), seen, rank),
            (Counts::Wide(list), false) => position(list.iter(), seen, rank),
            (Counts::Wide(list), true) => position(list.iter().rev(), seen, rank),
        }?;
        let at = if downwards { self.counts.len() - 1 - at } else { at };
        Some(self.first + at as u32)
    }

    fn merge(&mut self, other: &Store) {
        let Some((first, _)) = other.bins().next() else { return };
        // The highest first: what lies too low is known at once.
        self.add(other.highest, 0);
        let lowest = self.highest.saturating_sub(SPAN - 1);
        self.reach(first.max(lowest), lowest);
        if let (Counts::Narrow(own), Counts::Narrow(more)) = (&mut self.counts, &other.counts) {
            let from = self.first.max(other.first);
            let (below, more) = more.split_at(more.len().min((from - other.first) as usize));
            let own = &mut own[(from - self.first) as usize..];
            let pairs = || own.iter().zip(more);
            if !pairs().fold(false, |over, (own, more)| over | own.checked_add(*more).is_none()) {
                own.iter_mut().zip(more).for_each(|(own, more)| *own += more);
                let below = below.iter().map(|count| u64::from(*count)).sum();
                return self.add(from, below);
            }
        }
        other.bins().rev().for_each(|(bin, count)| self.add(bin, count));
    }

    fn write(&self, out: &mut Vec<u8>) {
        put(out, self.bins().count() as u64);
        let mut next = 0;
        for (bin, count) in self.bins() {
            put(out, (bin - next).into());
            put(out, count);
            next = bin + 1;
        }
    }

    fn read(from: &mut Reader<'_>) -> Read<Store> {
        let expected = from.count(2)?;
        if expected > SPAN as usize {
            return Err(Broken);
        }
        let mut bins: Vec<(u32, u64)> = Vec::with_capacity(expected);
        let mut next = 0_u32;
        for _ in 0..expected {
            let gap = u32::try_from(from.number()?).map_err(|_| Broken)?;
            let bin = next.checked_add(gap).filter(|bin| *bin < BINS).ok_or(Broken)?;
            let count = from.number()?;
            if bin < PER_DOUBLING || count == 0 {
                return Err(Broken);
            }
            bins.push((bin, count));
            next = bin + 1;
        }
        let mut store = Store::EMPTY;
        if let (Some(first), Some(last)) = (bins.first(), bins.last())
            && last.0 - first.0 >= SPAN
        {
            return Err(Broken);
        }
        bins.iter().rev().for_each(|(bin, count)| store.add(*bin, *count));
        Ok(store)
    }
}

/// A sketch of at least one number.
#[derive(Debug, Clone)]
pub struct Sketch {
    count: u64,
    /// Zeros, and what is as small as the numbers without leading one.
    zeros: u64,
    least: f64,
    greatest: f64,
    negative: Store,
    positive: Store,
}

impl Sketch {
    pub fn new() -> Self {
        Sketch {
            count: 0,
            zeros: 0,
            least: f64::INFINITY,
            greatest: f64::NEG_INFINITY,
            negative: Store::EMPTY,
            positive: Store::EMPTY,
        }
    }

    /// A sketch of finite numbers, with room for them at once.
    pub fn of(list: &[f64]) -> Self {
        let mut sketch = Sketch::new();
        let above = list.iter().filter(|value| **value >= f64::MIN_POSITIVE);
        sketch.positive.make_room(above.map(|value| bin(*value)));
        let below = list.iter().filter(|value| **value <= -f64::MIN_POSITIVE);
        sketch.negative.make_room(below.map(|value| bin(*value)));
        list.iter().for_each(|value| sketch.add(*value));
        sketch
    }

    /// Adds a finite number if no memory is needed for it; whether it did.
    #[inline]
    pub fn add_within(&mut self, value: f64) -> bool {
        let store = if value >= f64::MIN_POSITIVE {
            &mut self.positive
        } else if value <= -f64::MIN_POSITIVE {
            &mut self.negative
        } else {
            return false;
        };
        if !store.add_within(bin(value)) {
            return false;
        }
        self.count = self.count.saturating_add(1);
        self.least = self.least.min(value);
        self.greatest = self.greatest.max(value);
        true
    }

    /// Adds a finite number.
    pub fn add(&mut self, value: f64) {
        if self.add_within(value) {
            return;
        }
        self.count = self.count.saturating_add(1);
        self.least = self.least.min(value);
        self.greatest = self.greatest.max(value);
        if value >= f64::MIN_POSITIVE {
            self.positive.add(bin(value), 1);
        } else if value <= -f64::MIN_POSITIVE {
            self.negative.add(bin(value), 1);
        } else {
            self.zeros = self.zeros.saturating_add(1);
        }
    }

    /// Bytes of memory held on the heap.
    pub fn heap(&self) -> usize {
        self.negative.counts.byte_size() + self.positive.counts.byte_size()
    }

    pub fn merge(&mut self, other: &Sketch) {
        self.count = self.count.saturating_add(other.count);
        self.zeros = self.zeros.saturating_add(other.zeros);
        self.least = self.least.min(other.least);
        self.greatest = self.greatest.max(other.greatest);
        self.negative.merge(&other.negative);
        self.positive.merge(&other.positive);
    }

    /// The number below which that part of all lies; between two neighbours in proportion.
    pub fn quantile(&self, part: f64) -> f64 {
        let rank = part * (self.count.saturating_sub(1)) as f64;
        let (low, seen) = self.at(rank.floor() as u64);
        let next = rank.ceil() as u64;
        let high = if next < seen { low } else { self.at(next).0 };
        low + (high - low) * rank.fract()
    }

    /// The number of that rank, counted from 0 upwards, and up to which rank it is the same.
    fn at(&self, rank: u64) -> (f64, u64) {
        if rank == 0 || rank + 1 >= self.count {
            let value = if rank == 0 { self.least } else { self.greatest };
            return (value, rank + 1);
        }
        let mut seen = 0;
        let value = match self.negative.find(true, &mut seen, rank) {
            Some(bin) => -middle(bin),
            None => {
                seen = seen.saturating_add(self.zeros);
                let zero = seen > rank;
                match if zero { None } else { self.positive.find(false, &mut seen, rank) } {
                    Some(bin) => middle(bin),
                    None if zero => 0.0,
                    None => self.greatest,
                }
            }
        };
        (value.max(self.least).min(self.greatest), seen)
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        put(out, self.zeros);
        put_float(out, self.least);
        put_float(out, self.greatest);
        self.negative.write(out);
        self.positive.write(out);
    }

    pub fn read(from: &mut Reader<'_>) -> Read<Sketch> {
        let zeros = from.number()?;
        let (least, greatest) = (from.finite()?, from.finite()?);
        let (negative, positive) = (Store::read(from)?, Store::read(from)?);
        let bins = negative.bins().chain(positive.bins()).map(|(_, count)| count);
        let count = bins.fold(zeros, u64::saturating_add);
        let sketch = Sketch { count, zeros, least, greatest, negative, positive };
        if count > 0 && sketch.least <= sketch.greatest { Ok(sketch) } else { Err(Broken) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_holds_one_border_at_most() {
        for window in BORDERS.windows(2) {
            assert!(window[1] - window[0] > 1 << 46);
        }
        assert!((1 << 52) - BORDERS[35] > 1 << 46);
        assert!((RATIO.powi(36) - 2.0).abs() < 1e-13);
    }

    #[test]
    fn every_number_is_within_one_percent_of_its_bins_value() {
        let mut worst = 0.0_f64;
        let mut check = |value: f64| {
            let bin = bin(value);
            assert!((PER_DOUBLING..BINS).contains(&bin), "{value:e}");
            worst = worst.max((middle(bin) / value - 1.0).abs());
        };
        // Both sides of each border, in doublings from the smallest to the greatest.
        for exponent in [1, 2, 500, 1022, 1023, 1024, 1100, 2045, 2046_u64] {
            for border in BORDERS {
                let bits = exponent << 52 | border;
                check(f64::from_bits(bits));
                check(f64::from_bits(bits + 1));
                if bits > 1 << 52 {
                    check(f64::from_bits(bits - 1));
                }
            }
        }
        let mut value = 1e-9;
        while value < 1e9 {
            check(value);
            value *= 1.000_37;
        }
        check(f64::MIN_POSITIVE);
        check(f64::MAX);
        assert!(worst < 0.009_7, "{worst}");
        assert_eq!(bin(-5.0), bin(5.0));
    }

    #[test]
    fn bins_rise_with_the_numbers() {
        let mut value = 1e-300;
        let mut last = bin(value);
        while value < 1e300 {
            value *= 1.003;
            let next = bin(value);
            assert!(next == last || next == last + 1, "{value:e}");
            last = next;
        }
    }

    #[test]
    fn what_is_far_too_small_counts_as_the_smallest_kept() {
        let mut list = vec![1e-300, 1e-20, 1.0, 1e3, 1e10];
        let whole = |list: &[f64]| {
            let mut sketch = Sketch::new();
            list.iter().for_each(|value| sketch.add(*value));
            let mut out = Vec::new();
            sketch.write(&mut out);
            (sketch, out)
        };
        let (sketch, expected) = whole(&list);
        assert!(sketch.heap() <= 4 * (SPAN + STEP) as usize, "{}", sketch.heap());
        assert!(sketch.quantile(0.5) > 0.99 && sketch.quantile(0.5) < 1.01);
        assert_eq!(sketch.quantile(1.0), 1e10);
        assert!(sketch.quantile(0.25) < 1e-6);
        for turn in 0..5 {
            list.rotate_left(1);
            assert_eq!(whole(&list).1, expected, "{turn}");
            let (mut a, b) = (whole(&list[..turn]).0, whole(&list[turn..]).0);
            a.merge(&b);
            let mut out = Vec::new();
            a.write(&mut out);
            assert_eq!(out, expected, "{turn}");
        }
    }

    #[test]
    fn counts_beyond_32_bits() {
        let mut sketch = Sketch::new();
        (0..100).for_each(|value| sketch.add(value.into()));
        for _ in 0..40 {
            sketch.merge(&sketch.clone());
        }
        assert_eq!(sketch.count, 100 << 40);
        assert!((sketch.quantile(0.5) / 49.5 - 1.0).abs() < 0.02);
        let mut out = Vec::new();
        sketch.write(&mut out);
        let read = Sketch::read(&mut Reader::new(&out)).unwrap();
        assert_eq!((read.count, read.quantile(0.9)), (sketch.count, sketch.quantile(0.9)));
    }
}
