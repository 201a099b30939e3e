//! The texts that the guards read: the same bytes on every machine.

use headwater_tests::load::{Form, Load};

/// How many rounds a text has lines for: a round never reads what another read before.
pub const ROUNDS: usize = 3;

/// A text, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Text {
    /// The design's line: 800 series, 4 tags, 5 fields.
    Typical,
    /// Every line a series of its own.
    NewSeries,
    /// Doubles of full length.
    LongFloats,
    /// Fields that come and go from line to line.
    Shapes,
    /// A hundred fields.
    ManyFields,
    /// A string of a thousand bytes.
    LongStrings,
    /// JSON objects, one a line.
    Json,
}

impl Text {
    /// Lines of one round.
    pub fn lines(self) -> usize {
        match self {
            Text::ManyFields => 1_500,
            Text::LongStrings => 4_000,
            Text::NewSeries | Text::LongFloats | Text::Shapes => 10_000,
            Text::Typical | Text::Json => 20_000,
        }
    }

    /// The lines of all rounds.
    pub fn make(self) -> Vec<u8> {
        let points = (self.lines() * ROUNDS) as u64;
        let load = Load { points, ..Load::default() };
        match self {
            Text::Typical => load.text(),
            Text::NewSeries => Load { series: points, ..load }.text(),
            Text::LongFloats => Load { digits: 17, ..load }.text(),
            Text::ManyFields => Load { fields: 100, ..load }.text(),
            Text::LongStrings => Load { fields: 6, kinds: "t".into(), text: 1_000, ..load }.text(),
            Text::Json => Load { form: Form::Json, ..load }.text(),
            Text::Shapes => Load { fields: 8, sparse: true, ..load }.text(),
        }
    }
}

/// The texts of the rounds: each holds its own lines.
pub fn rounds(text: &[u8], lines: usize) -> Vec<std::ops::Range<usize>> {
    let mut rounds = Vec::with_capacity(ROUNDS);
    let (mut start, mut seen) = (0, 0);
    for (at, _) in text.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        seen += 1;
        if seen % lines == 0 {
            rounds.push(start..at + 1);
            start = at + 1;
        }
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_lines_for_all_rounds_and_is_the_same_each_time() {
        for text in [Text::Shapes, Text::ManyFields, Text::LongStrings, Text::NewSeries] {
            let bytes = text.make();
            let rounds = rounds(&bytes, text.lines());
            assert_eq!(rounds.len(), ROUNDS, "{text:?}");
            assert_eq!(rounds[ROUNDS - 1].end, bytes.len(), "{text:?}");
            assert_eq!(bytes, text.make(), "{text:?}");
        }
    }
}
