//! Functions that take any bytes and panic where the code under test and an independent reading of
//! them differ. Fuzzing and the short seeded runs in `cargo test` call the same ones.

pub mod batch;
pub mod checkpoint;
pub mod influx;
pub mod json;
pub mod sql;

use std::sync::Arc;

use headwater_plugin_api::abi::instance::{Chunk, PADDING, ParserInstance};
use headwater_plugin_api::abi::module::ParserPlugin;
use headwater_plugin_api::abi::serve;
use headwater_plugin_api::testkit::{self, Collected, TestHost};

/// What a new parser makes of a text. The plugin's table is the caller's: one lives as long as the
/// process.
///
/// # Panics
/// If it gives the whole text up: bad records cost themselves alone.
pub fn parse(plugin: &ParserPlugin, config: &str, text: &[u8]) -> Collected {
    let host = serve::host(Arc::new(TestHost::default()) as _);
    let mut parser = match ParserInstance::make(plugin, config, host) {
        Ok(parser) => parser,
        Err(error) => panic!("the parser refuses its options: {error}"),
    };
    let mut padded = text.to_vec();
    padded.resize(text.len() + PADDING, 0);
    let chunk = Chunk { padded: &padded, last: true, default_time_ns: DEFAULT_TIME, origin: 1 };
    let mut collected = Collected::default();
    let result = serve::with_sink(&mut collected, |sink| {
        parser.parse(&testkit::context(DEFAULT_TIME), &chunk, sink)
    });
    assert!(result.is_ok(), "the parser gave up: {result:?}\n{}", shown(text));
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
