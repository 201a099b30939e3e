//! Series without anything escaped. If their tags are sorted and distinct too, they stand in the text
//! as their canonical key. Nearly all do, and then a new series costs one look at its bytes and one
//! copy.

use headwater_plugin_api::batch::Limits;
use headwater_plugin_api::batch::hash::bytes_hash;
use headwater_plugin_api::batch::layout::{Series, Tag};

use crate::number::read::word;

/// Longer series, and those with more tags, are read the long way.
const BYTES_MAX: usize = 512;
const TAGS_MAX: usize = 24;

/// What a part's length takes in the words that are hashed.
const LENGTH: usize = 4;
/// Copies are of this many bytes at once.
const BLOCK: usize = 16;
const WORDS_MAX: usize = BYTES_MAX + LENGTH * (2 * TAGS_MAX + 1) + BLOCK;

/// The parts of such a series, as places in the text.
pub struct Plain {
    /// Places and the hash; the lengths of block and key are those of the text.
    pub series: Series,
    /// Whether it stands in the text as its canonical key.
    pub is_canonical: bool,
    tags: [Tag; TAGS_MAX],
    /// What is hashed.
    words: [u8; WORDS_MAX],
}

impl Default for Plain {
    fn default() -> Self {
        Plain {
            series: Series::default(),
            is_canonical: true,
            tags: [Tag::default(); TAGS_MAX],
            words: [0; WORDS_MAX],
        }
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES << 7;

/// The high bit of each byte that is `byte`.
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    let differs = word ^ (ONES * byte as u64);
    !(((differs & !HIGH) + !HIGH) | differs) & HIGH
}

/// The high bit of each byte below a space.
#[inline(always)]
fn control(word: u64) -> u64 {
    !(((word & !HIGH) + (ONES * 0x60)) | word) & HIGH
}

impl Plain {
    /// Whether all that is found here is within the limits.
    pub fn is_within(limits: &Limits) -> bool {
        let names = limits.name_bytes.min(limits.tag_value_bytes).min(limits.point_bytes);
        names as usize >= BYTES_MAX && limits.tags as usize >= TAGS_MAX
    }

    /// Finds the parts of the series that stands in `text` from `start` to `end`. False if it must be
    /// read the long way, to be taken or refused.
    #[inline]
    pub fn find(&mut self, text: &[u8], start: usize, end: usize) -> bool {
        self.parts(text, start, end).and_then(|()| self.hashed(text, start)).is_some()
    }

    #[inline(always)]
    fn parts(&mut self, text: &[u8], start: usize, end: usize) -> Option<()> {
        let len = end.checked_sub(start).filter(|&len| (1..=BYTES_MAX).contains(&len))?;
        // Where the part that is being read begins, and how many separators came before it: commas
        // stand before keys and equals signs before values, in turns.
        let mut part = 0;
        let mut separators = 0;
        let mut not_ascii = 0;
        let mut at = 0;
        while at < len {
            let mut eight = word(text, start + at);
            if at + 8 > len {
                // What stands behind the series must not be seen.
                let kept = u64::MAX >> (64 - 8 * (len - at));
                eight = (eight & kept) | ((ONES * b'a' as u64) & !kept);
            }
            let commas = equal(eight, b',');
            let equals = equal(eight, b'=');
            if equal(eight, b'\\') | control(eight) != 0 {
                return None;
            }
            not_ascii |= eight & HIGH;
            let mut stops = commas | equals;
            while stops != 0 {
                let stop = stops & stops.wrapping_neg();
                let place = at + stops.trailing_zeros() as usize / 8;
                let is_comma = commas & stop != 0;
                if place == part || is_comma != (separators % 2 == 0) {
                    return None;
                }
                self.end_part(separators, part, place)?;
                separators += 1;
                part = place + 1;
                stops ^= stop;
            }
            at += 8;
        }
        if part == len || separators % 2 != 0 {
            return None;
        }
        self.end_part(separators, part, len)?;
        let raw = text.get(start..end)?;
        if not_ascii != 0 && std::str::from_utf8(raw).is_err() {
            return None;
        }
        self.series.text_len = len as u32;
        self.series.key_len = len as u32;
        self.series.tag_count = separators as u32 / 2;
        self.is_canonical = self.is_sorted(text, start);
        if !self.is_canonical {
            self.sort(text, start);
        }
        Some(())
    }

    /// Sorts the tags by key; of equal keys the last one stays.
    #[inline(never)]
    fn sort(&mut self, text: &[u8], start: usize) {
        let key = |tag: &Tag| {
            let from = start + tag.key as usize;
            text.get(from..from + tag.key_len as usize).unwrap_or_default()
        };
        let tags = self.tags.get_mut(..self.series.tag_count as usize).unwrap_or_default();
        let mut count = 0;
        for at in 0..tags.len() {
            let tag = tags[at];
            let mut place = count;
            while place > 0 && key(&tags[place - 1]) > key(&tag) {
                place -= 1;
            }
            if place > 0 && key(&tags[place - 1]) == key(&tag) {
                tags[place - 1] = tag;
                continue;
            }
            tags.copy_within(place..count, place + 1);
            tags[place] = tag;
            count += 1;
        }
        self.series.tag_count = count as u32;
    }

    /// Writes the canonical key of a series that does not stand in the text so, and makes the places
    /// those in the key.
    pub fn write_canonical(&mut self, text: &[u8], key: &mut Vec<u8>) {
        key.extend_from_slice(text.get(..self.series.name_len as usize).unwrap_or_default());
        for tag in self.tags.iter_mut().take(self.series.tag_count as usize) {
            let pair = tag.key as usize - 1..(tag.value + tag.value_len) as usize;
            tag.key = key.len() as u32 + 1;
            tag.value = tag.key + tag.key_len + 1;
            key.extend_from_slice(text.get(pair).unwrap_or_default());
        }
        self.series.text_len = key.len() as u32;
        self.series.key_len = key.len() as u32;
    }

    #[inline(always)]
    fn end_part(&mut self, separators: usize, part: usize, end: usize) -> Option<()> {
        let (from, len) = (part as u32, (end - part) as u32);
        let Some(tag) = separators.checked_sub(1) else {
            self.series.name_len = len;
            return Some(());
        };
        let place = self.tags.get_mut(tag / 2)?;
        if tag % 2 == 0 {
            (place.key, place.key_len) = (from, len);
        } else {
            (place.value, place.value_len) = (from, len);
        }
        Some(())
    }

    /// The tags.
    pub fn tags(&self) -> &[Tag] {
        self.tags.get(..self.series.tag_count as usize).unwrap_or_default()
    }

    #[inline(always)]
    fn is_sorted(&self, text: &[u8], start: usize) -> bool {
        let mut before = 0;
        let mut last: &[u8] = &[];
        for tag in self.tags() {
            let from = start + tag.key as usize;
            let kept = if tag.key_len >= 8 { u64::MAX } else { (1 << (8 * tag.key_len)) - 1 };
            let begins = (word(text, from) & kept).swap_bytes();
            let key = text.get(from..from + tag.key_len as usize).unwrap_or_default();
            if begins < before || (begins == before && last >= key) {
                return false;
            }
            before = begins;
            last = key;
        }
        true
    }

    /// Adds the hash that is the same in every batch: over each part with its length before it.
    #[inline(always)]
    fn hashed(&mut self, text: &[u8], start: usize) -> Option<()> {
        let words = &mut self.words;
        let mut end = 0;
        let mut put = |from: u32, len: u32| -> Option<()> {
            words.get_mut(end..end + LENGTH)?.copy_from_slice(&len.to_le_bytes());
            end += LENGTH;
            let from = start + from as usize;
            let mut done = 0;
            while done < len as usize {
                let block: &[u8; BLOCK] = text.get(from + done..)?.first_chunk()?;
                *words.get_mut(end + done..)?.first_chunk_mut()? = *block;
                done += BLOCK;
            }
            end += len as usize;
            Some(())
        };
        put(0, self.series.name_len)?;
        for at in 0..self.series.tag_count as usize {
            let tag = *self.tags.get(at)?;
            put(tag.key, tag.key_len)?;
            put(tag.value, tag.value_len)?;
        }
        self.series.hash = bytes_hash(words.get(..end)?);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::batch::{SeriesRef, SeriesStore};

    #[test]
    fn what_is_found_is_the_canonical_series() {
        let pieces = [
            "cpu",
            "a",
            "b",
            "host",
            "server0001",
            ",",
            "=",
            ",a=",
            ",host=x",
            "\\",
            "ü",
            "\t",
            "longer_than_eight",
            ",longer_than_ei=1",
            "\r",
        ];
        let mut random = crate::testing::Random::new(5);
        let mut found = 0;
        let mut plain = Plain::default();
        for round in 0..100_000 {
            let mut text = String::new();
            if round % 2 == 0 {
                text.push_str("cpu");
                for key in ["a", "b", "c", "host", "host2", "longer_than_eight", "longer_than_nine"]
                {
                    if random.below(3) > 0 {
                        text.push_str(&format!(",{key}={}", random.below(1_000_000_000)));
                    }
                }
            }
            for _ in 0..random.below(4) {
                text.push_str(random.pick(&pieces));
            }
            let len = text.len();
            let mut padded = text.clone().into_bytes();
            padded.extend_from_slice(&[b'='; 32]);
            if !plain.find(&padded, 0, len) {
                continue;
            }
            found += 1;
            let mut key = text.clone().into_bytes();
            if !plain.is_canonical {
                key.clear();
                plain.write_canonical(text.as_bytes(), &mut key);
            }
            let series = SeriesRef::new(&key, plain.tags(), &plain.series);
            let mut tags: Vec<(&str, &str)> = Vec::new();
            for pair in text.split(',').skip(1) {
                let (key, value) = pair.split_once('=').unwrap();
                tags.retain(|tag| tag.0 != key);
                tags.push((key, value));
            }
            tags.sort();
            let mut store = SeriesStore::new();
            let index = store.intern(series.name(), &tags, &Limits::DEFAULT).unwrap();
            assert!(store.get(index).same_as(&series), "{text:?}");
            assert!(series.tags().eq(tags));
        }
        assert!(found > 20_000, "{found}");
    }

    #[test]
    fn what_is_not_plain_is_left_to_others() {
        for text in [
            "",
            "cpu\\ x",
            "cpu,",
            "cpu,a",
            "cpu,a=",
            "cpu,=b",
            ",a=b",
            "cpu,a=b=c",
            "cp=u",
            "cpu,a=b,",
            "c\tu",
            "cpu,a=x\r",
        ] {
            let mut padded = text.as_bytes().to_vec();
            padded.extend_from_slice(&[b'x'; 32]);
            assert!(!Plain::default().find(&padded, 0, text.len()), "{text:?}");
        }
    }
}
