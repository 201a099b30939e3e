//! One accumulator of one group: for frames, whose values come and go one by one.

use super::Input;
use super::codec::{Read, Reader, put};
use super::held::{Held, column};
use super::kernel::To;
use super::part::Part;
use crate::error::Failures;
use crate::plan::{AggregateCall, AggregateFunction};

/// What a function is read from, over some values.
pub struct One {
    part: Part,
    function: AggregateFunction,
    /// There is nothing in it yet.
    empty: bool,
}

impl One {
    pub fn new(function: AggregateFunction) -> One {
        One { part: Part::new(&AggregateCall::new(function, None)), function, empty: true }
    }

    /// One without values for the same functions.
    pub fn fresh(&self) -> One {
        One::new(self.function)
    }

    pub fn byte_size(&self) -> usize {
        size_of::<One>() + self.part.byte_size()
    }

    /// Adds values of any kinds; `time` tells when each was.
    pub fn add(&mut self, values: &[&Held], time: &dyn Fn(usize) -> i64, failures: &mut Failures) {
        let mut from = 0;
        while from < values.len() {
            let tag = values[from].tag();
            let len = values[from..].iter().take_while(|held| held.tag() == tag).count();
            if tag != 0 {
                let column = column(values[from..from + len].iter().copied());
                let input = Input {
                    groups: &vec![0; len],
                    len: 1,
                    time: &|row| time(from + row),
                    series: &|_| 0,
                };
                self.part.add(&column, &input, failures);
                self.empty = false;
            }
            from += len;
        }
    }

    /// Adds what another one collected.
    pub fn merge(&mut self, other: &One) {
        if !other.empty {
            self.part.merge(&other.part, 1, To(None));
            self.empty = false;
        }
    }

    pub fn finish(&self, function: AggregateFunction, failures: &mut Failures) -> Held {
        let result = self.part.finish(function, &[0], failures);
        Held::of(result.cell(0))
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        let mut bytes = Vec::new();
        if !self.empty {
            self.part.write_one(0, &mut bytes);
        }
        put(out, bytes.len() as u64);
        out.extend_from_slice(&bytes);
    }

    /// Reads what one for the same functions wrote.
    pub fn read(&mut self, from: &mut Reader<'_>) -> Read<()> {
        let length = from.count(1)?;
        let bytes = from.bytes(length)?;
        if !bytes.is_empty() {
            self.part.read_one(&mut Reader::new(bytes))?;
            self.empty = false;
        }
        Ok(())
    }
}
