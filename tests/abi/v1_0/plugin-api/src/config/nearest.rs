//! Finds the name that a misspelt one was probably meant to be.

/// Longer words are not compared: nobody mistypes a name that long, and the table below stays
/// small.
const WORD_MAX: usize = 64;

/// The candidate closest to `word` by edit distance, if it is close enough to be a likely
/// misspelling.
///
/// A swap of two neighbours counts as one edit, and `-`, `_`, blanks and letter case do not count.
/// One edit is allowed for each three letters, at least one. Of equals, the first candidate wins.
pub fn nearest<'a, S>(word: &str, candidates: impl IntoIterator<Item = &'a S>) -> Option<&'a str>
where
    S: AsRef<str> + ?Sized + 'a,
{
    let word = normal(word)?;
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in candidates {
        let candidate = candidate.as_ref();
        let Some(other) = normal(candidate) else { continue };
        let limit = (word.len().min(other.len()) / 3).max(1);
        if word.len().abs_diff(other.len()) > limit {
            continue;
        }
        let distance = distance(&word, &other);
        if distance <= limit && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn normal(word: &str) -> Option<Vec<char>> {
    let letters: Vec<char> = word
        .chars()
        .filter(|c| !matches!(c, '_' | '-' | ' '))
        .flat_map(char::to_lowercase)
        .take(WORD_MAX + 1)
        .collect();
    (!letters.is_empty() && letters.len() <= WORD_MAX).then_some(letters)
}

/// Edit distance with swaps of neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut row: Vec<usize> = vec![0; b.len() + 1];
    for i in 1..=a.len() {
        row[0] = i;
        for j in 1..=b.len() {
            let replace = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        std::mem::swap(&mut before, &mut above);
        std::mem::swap(&mut above, &mut row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_likely_misspellings_only() {
        let keys = ["interval", "percpu", "totalcpu", "collect_cpu_time", "url", "urls"];
        let check = |word: &str, expected: Option<&str>| assert_eq!(nearest(word, &keys), expected);
        check("intervall", Some("interval"));
        check("itnerval", Some("interval"));
        check("per_cpu", Some("percpu"));
        check("PerCPU", Some("percpu"));
        check("collect-cpu-tiem", Some("collect_cpu_time"));
        check("uri", Some("url"));
        check("url", Some("url"));
        check("flush", None);
        check("", None);
        check("x", None);
        check(&"interval".repeat(100), None);
    }

    #[test]
    fn a_swap_is_one_edit() {
        let count = |a: &str, b: &str| {
            distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
        };
        assert_eq!(count("ab", "ba"), 1);
        assert_eq!(count("kitten", "sitting"), 3);
        assert_eq!(count("", "abc"), 3);
        assert_eq!(count("abc", "abc"), 0);
    }
}
