//! Functions that take any bytes and panic where the code under test and an independent reading of
//! them differ. Fuzzing and the short seeded runs in `cargo test` call the same ones.

pub mod batch;
pub mod influx;
pub mod json;

use headwater_plugin_api::plugin::Parser;
use headwater_plugin_api::testkit::{self, Collected};

/// What a new parser makes of a text.
///
/// # Panics
/// If it gives the whole text up: bad records cost themselves alone.
pub fn parse<P: Parser>(config: &str, text: &[u8]) -> Collected {
    let mut parser = match testkit::parser::<P>(config) {
        Ok(parser) => parser,
        Err(error) => panic!("the parser refuses its options: {error}"),
    };
    let (collected, result) = parser.parse(text, DEFAULT_TIME);
    assert!(result.is_ok(), "the parser gave up: {result:?}\n{:?}", String::from_utf8_lossy(text));
    collected
}

/// The time of points that carry none.
pub const DEFAULT_TIME: i64 = 1_600_000_000_000_000_000;

/// The text of a failure.
pub fn shown(text: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(text))
}

#[cfg(test)]
pub mod seeded {
    //! Texts from pieces, the same in each run.

    use crate::load::Random;

    /// Calls `check` with so many texts of up to `pieces_max` pieces.
    pub fn run(seed: u64, texts: usize, pieces: &[&[u8]], pieces_max: u64, check: fn(&[u8])) {
        let mut random = Random::new(seed);
        let mut text = Vec::new();
        for _ in 0..texts {
            text.clear();
            for _ in 0..random.below(pieces_max) + 1 {
                text.extend_from_slice(pieces[random.below(pieces.len() as u64) as usize]);
            }
            check(&text);
            // One byte changed, taken out, or cut off there.
            if !text.is_empty() {
                let at = random.below(text.len() as u64) as usize;
                match random.below(3) {
                    0 => text[at] = random.bits() as u8,
                    1 => drop(text.remove(at)),
                    _ => text.truncate(at),
                }
                check(&text);
            }
        }
    }
}
