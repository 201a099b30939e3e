use super::*;

fn glob(pattern: &str, separators: &str) -> Glob {
    Glob::with_separators(pattern, separators).unwrap()
}

#[test]
fn telegrafs_notation() {
    let yes =
        |pattern: &str, text: &str| assert!(glob(pattern, "").matches(text), "{pattern} {text}");
    let no =
        |pattern: &str, text: &str| assert!(!glob(pattern, "").matches(text), "{pattern} {text}");
    yes("cpu", "cpu");
    no("cpu", "cpu0");
    no("cpu", "CPU");
    yes("cpu*", "cpu");
    yes("cpu*", "cpu0");
    yes("*_bytes", "read_bytes");
    yes("*io*", "diskio_time");
    yes("a*b", "ab");
    no("aba*ba", "aba");
    yes("aba*aba", "abaaba");
    no("aba*aba", "ababa");
    yes("c?u", "cpu");
    yes("c?u", "cäu");
    no("c?u", "cu");
    yes("cpu[0-9]", "cpu7");
    no("cpu[!0-9]", "cpu7");
    yes("cpu[!0-9]", "cpuX");
    yes("[a-zA-Z_]x", "_x");
    yes("[a-]", "-");
    yes("[\\]]", "]");
    yes("[ä-ü]", "ö");
    yes("{cpu,mem}", "mem");
    no("{cpu,mem}", "cpumem");
    yes("{cpu,mem*}_x", "memory_x");
    yes("{a{b,c},d}e", "ace");
    yes("{a,}b", "b");
    yes("{}", "");
    yes("\\*", "*");
    no("\\*", "x");
    yes("a,b}", "a,b}");
    yes("a]", "a]");
    yes("{a\\,b,c}", "a,b");
    yes("", "");
    no("", "a");
    yes("*", "");
    yes("**", "a.b");
}

#[test]
fn separators_stop_single_stars() {
    let yes =
        |pattern: &str, text: &str| assert!(glob(pattern, "./").matches(text), "{pattern} {text}");
    let no =
        |pattern: &str, text: &str| assert!(!glob(pattern, "./").matches(text), "{pattern} {text}");
    yes("a.*.c", "a.b.c");
    no("a.*.c", "a.b.b.c");
    yes("a.**.c", "a.b.b.c");
    no("*", "a/b");
    yes("**", "a/b");
    no("a?b", "a.b");
    yes("a[./]b", "a.b");
    yes("*.{x,**}", "a.b.c");
}

#[test]
fn errors_tell_the_place() {
    let check = |pattern: &str, part: &str| {
        let message = Glob::new(pattern).unwrap_err().message;
        assert!(message.contains(part), "{pattern}: {message}");
    };
    check("ab[c", "the set `[` is not closed (character 3)");
    check("ä[]", "the set is empty; a literal bracket is written `\\[` (character 2)");
    check("[!]", "the set is empty");
    check("[z-a]", "runs backwards (character 1)");
    check("a{b,{c}", "the brace `{` is not closed (character 2)");
    check("a{b,[c}", "the set `[` is not closed (character 5)");
    check("a\\", "nothing follows the `\\` (character 2)");
    check(&"{".repeat(100), "nested more than 16 deep (character 17)");
    check(&"a".repeat(5000), "the limit is 4096");
}

/// Tries everything: right by its shortness, and exponential.
fn oracle(pattern: &[char], text: &[char], separators: &[char]) -> bool {
    let Some((&first, rest)) = pattern.split_first() else { return text.is_empty() };
    let one = |rest: &[char], takes: &dyn Fn(char) -> bool| {
        text.first().is_some_and(|&c| takes(c)) && oracle(rest, &text[1..], separators)
    };
    match first {
        '*' => {
            let stars = 1 + rest.iter().take_while(|&&c| c == '*').count();
            (0..=text.len()).any(|end| {
                (stars > 1 || !text[..end].iter().any(|c| separators.contains(c)))
                    && oracle(&pattern[stars..], &text[end..], separators)
            })
        }
        '?' => one(rest, &|c| !separators.contains(&c)),
        '\\' => one(&rest[1..], &|c| c == rest[0]),
        '[' => {
            let close = rest.iter().position(|&c| c == ']').unwrap();
            let negated = rest[0] == '!';
            let set = &rest[usize::from(negated)..close];
            let inside = |c: char| match set {
                [from, '-', to] => (*from..=*to).contains(&c),
                set => set.contains(&c),
            };
            one(&rest[close + 1..], &|c| inside(c) != negated)
        }
        '{' => {
            let mut depth = 1;
            let mut start = 0;
            let mut branches = Vec::new();
            let mut at = 0;
            while depth > 0 {
                match rest[at] {
                    '\\' => {
                        at += 2;
                        continue;
                    }
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 || (depth == 1 && rest[at] == ',') {
                    branches.push(&rest[start..at]);
                    start = at + 1;
                }
                at += 1;
            }
            // A star at the end of a branch must not run into one behind the brace: the two are not
            // `**`.
            branches.iter().any(|branch| {
                (0..=text.len()).any(|end| {
                    oracle(branch, &text[..end], separators)
                        && oracle(&rest[at..], &text[end..], separators)
                })
            })
        }
        c => one(rest, &|other| other == c),
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }

    fn pattern(&mut self, depth: u32, out: &mut String) {
        for _ in 0..self.below(5) {
            match self.below(if depth < 3 { 13 } else { 11 }) {
                0..=4 => out.push(['a', 'b', 'c', '.', 'ä'][self.below(5) as usize]),
                5 => out.push('?'),
                6 | 7 => out.push('*'),
                8 => out.push_str("**"),
                9 => {
                    out.push_str(["[ab]", "[!a]", "[a-c]", "[!b-ü]", "[.]"][self.below(5) as usize])
                }
                10 => out.push_str(["\\*", "\\{", "\\,", "\\."][self.below(4) as usize]),
                _ => {
                    out.push('{');
                    for branch in 0..=self.below(3) {
                        if branch > 0 {
                            out.push(',');
                        }
                        self.pattern(depth + 1, out);
                    }
                    out.push('}');
                }
            }
        }
    }
}

#[test]
fn matches_as_the_oracle_does() {
    let mut random = Random(3);
    let mut matched = 0;
    for round in 0..4000 {
        let mut pattern = String::new();
        random.pattern(0, &mut pattern);
        let separators = if round % 2 == 0 { "" } else { "." };
        let glob = glob(&pattern, separators);
        let (pattern_chars, separator_chars): (Vec<_>, Vec<_>) =
            (pattern.chars().collect(), separators.chars().collect());
        for _ in 0..12 {
            let text: Vec<char> = (0..random.below(7))
                .map(|_| ['a', 'b', 'c', '.', 'ä', '*', '{', ','][random.below(8) as usize])
                .collect();
            let expected = oracle(&pattern_chars, &text, &separator_chars);
            let text: String = text.iter().collect();
            assert_eq!(glob.matches(&text), expected, "{pattern} {text} separators {separators:?}");
            matched += usize::from(expected);
        }
    }
    assert!(matched > 2000, "{matched}");
}

#[test]
fn any_text_as_a_pattern_is_read_or_refused() {
    let mut random = Random(11);
    for _ in 0..20_000 {
        let pattern: String = (0..random.below(12))
            .map(|_| {
                ['{', '}', '[', ']', '!', '-', '\\', '*', ',', 'a', 'ß', '?']
                    [random.below(12) as usize]
            })
            .collect();
        if let Ok(glob) = Glob::with_separators(&pattern, "-") {
            glob.matches("a{ß}[-!*a]");
        }
    }
}

#[test]
fn hostile_patterns_take_bounded_time() {
    let text = "a".repeat(2000);
    assert!(!glob(&format!("{}b", "*a".repeat(200)), "").matches(&text));
    assert!(!glob(&format!("{}b", "{a,*a,**}".repeat(50)), "").matches(&text));
    assert!(glob(&"{a,*a,**}".repeat(50), "").matches(&text));
}
