//! Keeps a fault that repeats from filling the log: a source's line that came a moment ago is
//! counted instead, and the count is told when the moment is over.
//!
//! Lines that differ in their numbers alone (a line number, a port, a process) are one template: a
//! few of them are shown, so that what varies can be seen, then they are counted too.

use std::collections::HashMap;
use std::sync::Arc;

use headwater_plugin_api::plugin::Level;

use super::log_line::Source;

/// How long a line's repeats are counted instead of shown.
pub const WINDOW_NS: i64 = 30_000_000_000;

/// Lines of one template that are shown in a window, if they differ.
pub const SHOWN_MAX: usize = 5;

/// Templates that are remembered; with more, the oldest is forgotten.
pub const TEMPLATES_MAX: usize = 256;

/// Bytes of a message that are remembered for the line with the count.
const REMEMBERED_BYTES: usize = 512;

/// What was counted and not shown.
#[derive(Debug, PartialEq, Eq)]
pub struct Repeated {
    pub source: Arc<Source>,
    pub level: Level,
    /// The latest of the lines.
    pub message: String,
    pub count: u64,
}

#[derive(Default)]
pub struct Repeats {
    templates: HashMap<u64, Template>,
    /// When the first window ends.
    due_ns: Option<i64>,
}

struct Template {
    begin_ns: i64,
    shown: [u64; SHOWN_MAX],
    shown_count: usize,
    hidden: u64,
    source: Arc<Source>,
    level: Level,
    message: String,
}

impl Repeats {
    /// Whether a line is to be shown.
    pub fn admit(
        &mut self,
        now_ns: i64,
        source: &Arc<Source>,
        level: Level,
        message: &str,
        ended: &mut Vec<Repeated>,
    ) -> bool {
        self.end_due(now_ns, ended);
        let (template, exact) = hashes(source, level, message);
        if !self.templates.contains_key(&template) && self.templates.len() >= TEMPLATES_MAX {
            self.forget_oldest(ended);
        }
        let entry = self.templates.entry(template).or_insert_with(|| Template {
            begin_ns: now_ns,
            shown: [0; SHOWN_MAX],
            shown_count: 0,
            hidden: 0,
            source: source.clone(),
            level,
            message: String::new(),
        });
        self.due_ns = Some(self.due_ns.unwrap_or(i64::MAX).min(entry.begin_ns + WINDOW_NS));
        if entry.shown_count < SHOWN_MAX && !entry.shown[..entry.shown_count].contains(&exact) {
            entry.shown[entry.shown_count] = exact;
            entry.shown_count += 1;
            return true;
        }
        entry.hidden += 1;
        entry.message.clear();
        entry.message.push_str(&message[..message.floor_char_boundary(REMEMBERED_BYTES)]);
        false
    }

    /// Ends the windows that are over.
    pub fn end_due(&mut self, now_ns: i64, ended: &mut Vec<Repeated>) {
        let Some(due_ns) = self.due_ns else { return };
        // A clock that was set back must not hide lines until it has caught up.
        if (due_ns - WINDOW_NS..due_ns).contains(&now_ns) {
            return;
        }
        let mut next_due = i64::MAX;
        self.templates.retain(|_, template| {
            if (0..WINDOW_NS).contains(&(now_ns.saturating_sub(template.begin_ns))) {
                next_due = next_due.min(template.begin_ns + WINDOW_NS);
                return true;
            }
            template.end(ended);
            false
        });
        self.due_ns = (next_due != i64::MAX).then_some(next_due);
    }

    /// Ends all windows.
    pub fn end_all(&mut self, ended: &mut Vec<Repeated>) {
        let mut templates: Vec<Template> = self.templates.drain().map(|(_, t)| t).collect();
        templates.sort_by_key(|template| template.begin_ns);
        templates.iter_mut().for_each(|template| template.end(ended));
        self.due_ns = None;
    }

    fn forget_oldest(&mut self, ended: &mut Vec<Repeated>) {
        let oldest = self.templates.iter().min_by_key(|(key, t)| (t.begin_ns, **key));
        if let Some((&key, _)) = oldest
            && let Some(mut template) = self.templates.remove(&key)
        {
            template.end(ended);
        }
    }
}

impl Template {
    fn end(&mut self, ended: &mut Vec<Repeated>) {
        if self.hidden > 0 {
            ended.push(Repeated {
                source: self.source.clone(),
                level: self.level,
                message: std::mem::take(&mut self.message),
                count: self.hidden,
            });
        }
    }
}

/// Hashes of the line's template, in which each number is a 0, and of the line (FNV-1a).
fn hashes(source: &Source, level: Level, message: &str) -> (u64, u64) {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let parts = [&source.category, &source.plugin, &source.alias];
    let mut template = mix(0xcbf2_9ce4_8422_2325, level as u8);
    for part in parts {
        template = part.bytes().fold(template, mix);
        template = mix(template, 0xff);
    }
    let mut exact = template;
    let mut in_number = false;
    for byte in message.bytes() {
        exact = mix(exact, byte);
        let digit = byte.is_ascii_digit();
        if !(digit && in_number) {
            template = mix(template, if digit { b'0' } else { byte });
        }
        in_number = digit;
    }
    (template, exact)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    struct Case {
        repeats: Repeats,
        source: Arc<Source>,
        ended: Vec<Repeated>,
    }

    impl Case {
        fn new() -> Case {
            Case {
                repeats: Repeats::default(),
                source: Arc::new(Source::agent()),
                ended: Vec::new(),
            }
        }

        fn admit(&mut self, now: i64, message: &str) -> bool {
            let source = self.source.clone();
            self.repeats.admit(now * SECOND, &source, Level::Error, message, &mut self.ended)
        }

        fn ended(&mut self) -> Vec<(String, u64)> {
            self.ended.drain(..).map(|ended| (ended.message, ended.count)).collect()
        }
    }

    #[test]
    fn the_same_line_is_shown_once_in_a_window() {
        let mut case = Case::new();
        assert!(case.admit(0, "refused"));
        for now in 1..30 {
            assert!(!case.admit(now, "refused"));
        }
        assert_eq!(case.ended(), []);
        assert!(case.admit(30, "refused"));
        assert_eq!(case.ended(), [("refused".to_owned(), 29)]);
        assert!(case.admit(61, "refused"));
        assert_eq!(case.ended(), [], "a line that came once has no count");
    }

    #[test]
    fn other_levels_and_sources_are_other_lines() {
        let mut case = Case::new();
        assert!(case.admit(0, "refused"));
        let source = case.source.clone();
        assert!(case.repeats.admit(0, &source, Level::Warning, "refused", &mut case.ended));
        let other = Arc::new(Source { alias: "b".into(), ..Source::agent() });
        assert!(case.repeats.admit(0, &other, Level::Error, "refused", &mut case.ended));
        assert!(case.admit(0, "refuse"));
    }

    #[test]
    fn of_lines_that_differ_in_numbers_a_few_are_shown() {
        let mut case = Case::new();
        let shown = (0..100).filter(|n| case.admit(1, &format!("line {n}: no field"))).count();
        assert_eq!(shown, SHOWN_MAX);
        case.repeats.end_due(31 * SECOND, &mut case.ended);
        assert_eq!(case.ended(), [("line 99: no field".to_owned(), 95)]);
    }

    #[test]
    fn windows_end_without_another_line() {
        let mut case = Case::new();
        case.admit(0, "a");
        case.admit(10, "b");
        case.admit(11, "b");
        case.admit(12, "a");
        case.repeats.end_due(29 * SECOND, &mut case.ended);
        assert_eq!(case.ended(), []);
        case.repeats.end_due(30 * SECOND, &mut case.ended);
        assert_eq!(case.ended(), [("a".to_owned(), 1)]);
        case.repeats.end_all(&mut case.ended);
        assert_eq!(case.ended(), [("b".to_owned(), 1)]);
        case.repeats.end_all(&mut case.ended);
        assert_eq!(case.ended(), []);
    }

    #[test]
    fn a_clock_that_is_set_back_ends_windows() {
        let mut case = Case::new();
        case.admit(1_000_000, "a");
        case.admit(1_000_000, "a");
        assert!(case.admit(5, "a"));
        assert_eq!(case.ended(), [("a".to_owned(), 1)]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut case = Case::new();
        for n in 0..10 * TEMPLATES_MAX {
            let word: String = n.to_string().bytes().map(|b| (b + 64) as char).collect();
            assert!(case.admit(0, &word));
            assert!(!case.admit(0, &word));
        }
        assert_eq!(case.repeats.templates.len(), TEMPLATES_MAX);
        assert_eq!(case.ended.len(), 9 * TEMPLATES_MAX, "what is forgotten is told");
        let long = "ü".repeat(1_000_000);
        assert!(case.admit(0, &long));
        assert!(!case.admit(0, &long));
        let held = case.repeats.templates.values().map(|t| t.message.capacity()).max();
        assert!(held.unwrap() <= 2 * REMEMBERED_BYTES);
    }
}
