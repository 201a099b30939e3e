//! Series without anything escaped. If their tags are sorted and distinct too, they stand in the text
//! as their canonical key. Nearly all do, and then a new series costs one look at its bytes and one
//! copy.

use headwater_plugin_api::batch::Limits;
use headwater_plugin_api::batch::hash::bytes_hash;
use headwater_plugin_api::batch::layout::{Series, Tag};

/// Longer series, and those with more tags, are read the long way.
const BYTES_MAX: usize = 512;
const TAGS_MAX: usize = 24;

/// Bytes that are looked at, and copied, at once.
const BLOCK: usize = 16;
/// What a part's length takes in the words that are hashed.
const LENGTH: usize = 4;
/// Room for the words of the longest series, a power of two.
const WORDS_MAX: usize = 1024;
const _: () = assert!(BYTES_MAX + LENGTH * (2 * TAGS_MAX + 1) < WORDS_MAX);

/// The parts of such a series, as places in the text.
pub struct Plain {
    /// Places and the hash; the lengths of block and key are those of the text.
    pub series: Series,
    /// Whether it stands in the text as its canonical key.
    pub is_canonical: bool,
    is_ascii: bool,
    tags: [Tag; TAGS_MAX],
    /// The series and what stands behind it in its last block. Here and in the words, no place is so
    /// near the end that a block from it would not fit: that spares the checks.
    text: [u8; BYTES_MAX + BLOCK],
    /// A bit for each byte of the text that is a comma or an equals sign.
    separators: [u8; BYTES_MAX / 8],
    /// Where they stand, and the end.
    places: [u32; 2 * TAGS_MAX + 1],
    /// What is hashed.
    words: [u8; WORDS_MAX + LENGTH + BLOCK],
}

impl Default for Plain {
    fn default() -> Self {
        Plain {
            series: Series::default(),
            is_canonical: true,
            is_ascii: true,
            tags: [Tag::default(); TAGS_MAX],
            text: [0; BYTES_MAX + BLOCK],
            separators: [0; BYTES_MAX / 8],
            places: [0; 2 * TAGS_MAX + 1],
            words: [0; WORDS_MAX + LENGTH + BLOCK],
        }
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES << 7;

/// The high bit of each byte that is a comma or an equals sign, and of each that ends a series or must
/// be looked at more closely: spaces and what is below, backslashes, what is not ASCII. Only if there
/// is nothing of the latter, the separators are true.
#[inline(always)]
fn ascii_marks(word: u64) -> (u64, u64) {
    // As long as all is ASCII, no byte borrows from the next one.
    let equal = |byte: u8| HIGH.wrapping_sub(word ^ (ONES * u64::from(byte)));
    let at_most_space = !word.wrapping_add(ONES * (0x7f - b' ' as u64));
    let separators = (equal(b',') | equal(b'=')) & HIGH;
    (separators, (at_most_space | equal(b'\\') | word) & HIGH)
}

/// As [`ascii_marks`], true for all words; what is not ASCII is not told.
#[inline(always)]
fn marks(word: u64) -> (u64, u64) {
    let differs = |byte: u8| {
        let differs = word ^ (ONES * u64::from(byte));
        ((differs & !HIGH) + (HIGH - ONES)) | differs
    };
    let above_space = ((word & !HIGH) + ONES * (0x7f - b' ' as u64)) | word;
    let separators = !(differs(b',') & differs(b'=')) & HIGH;
    (separators, !(above_space & differs(b'\\')) & HIGH)
}

/// The high bits of eight bytes, side by side.
#[inline(always)]
fn gathered(high: u64) -> u8 {
    (high.wrapping_mul(0x0002_0408_1020_4081) >> 56) as u8
}

impl Plain {
    /// Whether all that is found here is within the limits.
    pub fn is_within(limits: &Limits) -> bool {
        let names = limits.name_bytes.min(limits.tag_value_bytes).min(limits.point_bytes);
        names as usize >= BYTES_MAX && limits.tags as usize >= TAGS_MAX
    }

    /// Looks for the space behind the series that begins at `start`. `None` if it must be read the
    /// long way, to be taken or refused.
    #[inline(never)]
    pub fn space(&mut self, text: &[u8], start: usize) -> Option<usize> {
        self.is_ascii = true;
        let words = text.get(start..)?.as_chunks::<8>().0.iter();
        let kept = self.text.as_chunks_mut::<8>().0.iter_mut();
        for (index, ((eight, kept), kept_marks)) in
            words.zip(kept).zip(&mut self.separators).enumerate()
        {
            *kept = *eight;
            let word = u64::from_le_bytes(*eight);
            let (mut separators, mut ends) = ascii_marks(word);
            if ends != 0 {
                (separators, ends) = marks(word);
                self.is_ascii &= word & HIGH == 0;
            }
            *kept_marks = gathered(separators);
            if ends != 0 {
                let end = ends.trailing_zeros() as usize / 8;
                return (eight.get(end) == Some(&b' ')).then_some(start + 8 * index + end);
            }
        }
        None
    }

    /// Finds the parts of the series of `len` bytes of which [`space`](Self::space) has told the end
    /// just before. False if it must be read the long way.
    #[inline]
    pub fn find(&mut self, len: usize) -> bool {
        self.parts(len).is_some()
    }

    #[inline(never)]
    fn parts(&mut self, len: usize) -> Option<()> {
        let places = &mut self.places;
        let mut count = 0;
        // Separators, and the series' beginning and end, that stand side by side.
        let (mut before, mut empty) = (1, 0);
        let mut at = 0;
        for marks in self.separators.as_chunks::<8>().0 {
            let mut marks = u64::from_le_bytes(*marks);
            let is_last = len - at < 64;
            if is_last {
                let end = 1 << (len - at);
                marks = (marks & (end - 1)) | end;
            }
            empty |= marks & (marks << 1 | before);
            before = marks >> 63;
            while marks != 0 {
                *places.get_mut(count)? = (at + marks.trailing_zeros() as usize) as u32;
                count += 1;
                marks &= marks - 1;
            }
            if is_last {
                break;
            }
            at += 64;
        }
        let (&name_len, pairs) = places.get(..count)?.split_first()?;
        let (pairs, []) = pairs.as_chunks::<2>() else { return None };
        if !self.is_ascii && std::str::from_utf8(self.text.get(..len)?).is_err() {
            return None;
        }
        self.series.name_len = name_len;
        self.series.text_len = len as u32;
        self.series.key_len = len as u32;
        self.series.tag_count = pairs.len() as u32;
        let text = &self.text;
        // What stands where commas should, and where equals signs should: one has a bit that the other
        // has not.
        let (mut commas, mut equals_signs) = (b',', b'=');
        let (mut last_key, mut is_sorted) = (0, true);
        let mut comma = name_len;
        for (tag, &[equals, next]) in self.tags.iter_mut().zip(pairs) {
            let (key, value) = (comma + 1, equals + 1);
            let (key_len, value_len) = (equals - key, next - value);
            *tag = Tag { key, key_len, value, value_len };
            commas |= near(text, comma)[0];
            equals_signs &= near(text, equals)[0];
            // As many bytes of the key as a word holds.
            let begins = u64::from_be_bytes(*near(text, key).first_chunk()?);
            let begins = begins & u64::MAX.wrapping_shl(64 - 8 * key_len.min(8));
            is_sorted &= last_key < begins;
            last_key = begins;
            comma = next;
        }
        if empty != 0 || commas != b',' || equals_signs != b'=' {
            return None;
        }
        self.is_canonical = is_sorted || self.is_sorted();
        if !self.is_canonical {
            self.sort();
        }
        self.hash()
    }

    /// Sorts the tags by key; of equal keys the last one stays.
    #[inline(never)]
    fn sort(&mut self) {
        let text = &self.text;
        let key = |tag: &Tag| {
            let from = tag.key as usize;
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

    /// The tags.
    pub fn tags(&self) -> &[Tag] {
        self.tags.get(..self.series.tag_count as usize).unwrap_or_default()
    }

    #[inline(never)]
    fn is_sorted(&self) -> bool {
        self.tags().is_sorted_by(|a, b| self.key(a) < self.key(b))
    }

    fn key(&self, tag: &Tag) -> &[u8] {
        self.text.get(tag.key as usize..(tag.key + tag.key_len) as usize).unwrap_or_default()
    }

    /// Adds the hash of the sorted tags.
    #[inline(always)]
    fn hash(&mut self) -> Option<()> {
        let mut words = Words { bytes: &mut self.words, end: 0 };
        words.put(&self.text, 0, self.series.name_len);
        for tag in self.tags.get(..self.series.tag_count as usize)? {
            words.put(&self.text, tag.key, tag.key_len);
            words.put(&self.text, tag.value, tag.value_len);
        }
        let end = words.end;
        self.series.hash = bytes_hash(self.words.get(..end)?);
        Some(())
    }
}

/// A block from a place within the longest series.
#[inline(always)]
fn near(text: &[u8; BYTES_MAX + BLOCK], at: u32) -> &[u8; BLOCK] {
    const { assert!(BYTES_MAX.is_power_of_two()) }
    match text[at as usize % BYTES_MAX..].first_chunk() {
        Some(block) => block,
        None => &[0; BLOCK],
    }
}

/// What is hashed, so that the hash is the same in every batch: each part with its length before it.
struct Words<'a> {
    bytes: &'a mut [u8; WORDS_MAX + LENGTH + BLOCK],
    end: usize,
}

impl Words<'_> {
    #[inline(always)]
    fn put(&mut self, text: &[u8; BYTES_MAX + BLOCK], from: u32, len: u32) {
        const { assert!(WORDS_MAX.is_power_of_two()) }
        let mut put = |at: usize, from: u32| {
            if let Some(to) = self.bytes[at % WORDS_MAX..].first_chunk_mut::<BLOCK>() {
                *to = *near(text, from);
            }
        };
        // The length, and behind it the part, which is mostly short.
        let start = self.end + LENGTH;
        put(start, from);
        let mut done = BLOCK as u32;
        while done < len {
            put(start + done as usize, from + done);
            done += BLOCK as u32;
        }
        self.end = start + len as usize;
        if let Some(to) = self.bytes[(start - LENGTH) % WORDS_MAX..].first_chunk_mut::<LENGTH>() {
            *to = len.to_le_bytes();
        }
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
            "_longer_than_sixteen_bytes_and_longer_than_thirty_two",
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
            let mut padded = text.clone().into_bytes();
            padded.push(b' ');
            padded.extend_from_slice(&[b'='; 32]);
            if !plain.space(&padded, 0).is_some_and(|end| plain.find(end)) {
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
    fn series_of_all_lengths_are_found_up_to_the_bound() {
        let mut plain = Plain::default();
        for len in 7..600 {
            // One long value, many short tags, and something in between.
            for value in [1, 3, 15, 16, 17, 40, 600] {
                let mut text = String::from("m,t0=");
                let mut tags = 1;
                while text.len() < len {
                    let used = text.len() - text.rfind('=').unwrap() - 1;
                    if used >= value && len - text.len() > 6 {
                        text.push_str(&format!(",t{}=", char::from(b'A' + tags)));
                        tags += 1;
                    } else {
                        text.push('v');
                    }
                }
                let sorted = text.replacen("t0", "t", 1);
                for text in [&text, &sorted] {
                    let mut padded = text.clone().into_bytes();
                    padded.push(b' ');
                    // Separators behind it must not count.
                    padded.extend_from_slice(&[b','; 32]);
                    let found = plain.space(&padded, 0).is_some_and(|end| plain.find(end));
                    let is_short = text.len() < BYTES_MAX && usize::from(tags) <= TAGS_MAX;
                    assert_eq!(found, is_short, "{text}");
                    if !found {
                        continue;
                    }
                    let series = SeriesRef::new(text.as_bytes(), plain.tags(), &plain.series);
                    let pairs: Vec<(&str, &str)> =
                        text.split(',').skip(1).map(|pair| pair.split_once('=').unwrap()).collect();
                    assert!(plain.is_canonical && series.tags().eq(pairs.iter().copied()));
                    let mut store = SeriesStore::new();
                    let index = store.intern("m", &pairs, &Limits::DEFAULT).unwrap();
                    assert!(store.get(index).same_as(&series), "{text}");
                }
            }
        }
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
            padded.push(b' ');
            padded.extend_from_slice(&[b'x'; 32]);
            let mut plain = Plain::default();
            let space = plain.space(&padded, 0);
            assert!(!space.is_some_and(|end| plain.find(end)), "{text:?}");
        }
    }
}
