//! Holds a large output against its input without keeping either: lines in any order, each counted
//! as often as it comes.

/// Lines in any order: how many, and a sum over a hash of each one's series, values and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    /// Lines.
    pub lines: u64,
    sum: u64,
}

fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25).rotate_left(29)
}

fn mix_bytes(hash: u64, bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(mix(hash, bytes.len() as u64), |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(hash, u64::from_le_bytes(word))
    })
}

/// Key, fields and time of a line of the load, which has no escapes.
pub fn parts(line: &str) -> Option<(&str, &str, Option<&str>)> {
    let (key, rest) = line.split_once(' ')?;
    match rest.split_once(' ') {
        Some((fields, time)) => Some((key, fields, Some(time))),
        None => Some((key, rest, None)),
    }
}

fn hash(key: &str, fields: &str, time: Option<&str>) -> u64 {
    let mut hash = mix_bytes(1, key.as_bytes());
    for field in fields.split(',') {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        hash = mix_bytes(hash, key.as_bytes());
        // Doubles may be written in another way; everything else stands as it came.
        hash = match value.parse::<f64>() {
            Ok(double) => mix(hash, double.to_bits()),
            Err(_) => mix_bytes(hash, value.as_bytes()),
        };
    }
    mix_bytes(hash, time.unwrap_or_default().as_bytes())
}

/// A hash of one line's series, values and time; `None` if it is no line.
pub fn hash_of(line: &str) -> Option<u64> {
    let (key, fields, time) = parts(line)?;
    Some(hash(key, fields, time))
}

impl Digest {
    /// Adds a line that stands as it came.
    pub fn add(&mut self, line: &str) {
        if let Some(hash) = hash_of(line) {
            self.lines += 1;
            self.sum = self.sum.wrapping_add(hash);
        }
    }
}

/// The lines, each series as `edit` gives it; those for which it gives none are left out.
pub fn digest_with<'a>(text: &'a [u8], edit: impl Fn(&'a str) -> Option<String>) -> Digest {
    let mut digest = Digest::default();
    for line in std::str::from_utf8(text).unwrap_or_default().lines() {
        let Some((key, fields, time)) = parts(line) else { continue };
        let Some(key) = edit(key) else { continue };
        digest.lines += 1;
        digest.sum = digest.sum.wrapping_add(hash(&key, fields, time));
    }
    digest
}

/// The lines as they stand.
pub fn digest(text: &[u8]) -> Digest {
    digest_with(text, |key| Some(key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_count_and_not_their_writing_or_order() {
        let one = b"a,b=c d=1.50,e=7i 1\na,b=c d=2,e=8i 2\n";
        let other = b"a,b=c d=2.0,e=8i 2\na,b=c d=1.5,e=7i 1\n";
        assert_eq!(digest(one), digest(other));
        for (from, to) in
            [("d=1.5", "d=1.6"), ("e=7i", "e=8i"), ("a,b=c", "a,b=d"), ("7i 1", "7i 3")]
        {
            let changed = String::from_utf8_lossy(other).replace(from, to);
            assert_ne!(digest(one), digest(changed.as_bytes()), "{from} -> {to}");
        }
        assert_ne!(digest(one), digest(b"a,b=c d=1.5,e=7i 1\n"));
        let mut added = Digest::default();
        for line in String::from_utf8_lossy(one).lines() {
            added.add(line);
        }
        assert_eq!(added, digest(one));
    }
}
