//! Several lines that make one event, such as a message with its stack trace.

use headwater_plugin_api::config::Duration;
use headwater_plugin_api::plugin::Error;
use regex::bytes::{Regex, RegexBuilder};

/// The longest event; a longer one is handed on in parts.
pub const EVENT_MAX: usize = 128 * 1024;

headwater_plugin_api::choice! {
    /// Where a line that matches belongs.
    pub enum Which {
        /// To the lines before it.
        Previous = "previous",
        /// To the line behind it.
        Next = "next",
    }
}

headwater_plugin_api::choice! {
    /// Which quotes hold lines together.
    pub enum Quotation {
        /// None.
        Ignore = "ignore",
        /// `'`
        Single = "single-quotes",
        /// `"`
        Double = "double-quotes",
        /// The backtick.
        Backtick = "backticks",
    }
}

headwater_plugin_api::config! {
    /// How lines are put together to events.
    pub struct MultilineConfig {
        /// A regular expression: lines in which it is found belong to other lines. Empty, without
        /// `quotation`: each line is an event.
        pub pattern: String = String::new(),
        /// Whether such lines belong to the "previous" line or to the "next" one.
        pub match_which_line: Which = Which::Previous,
        /// Whether the lines meant are those in which the pattern is not found.
        pub invert_match: bool = false,
        /// Whether line ends within an event are kept.
        pub preserve_newline: bool = false,
        /// Lines end no event within such quotes: "ignore", "single-quotes", "double-quotes" or
        /// "backticks". A quote behind a backslash is none.
        pub quotation: Quotation = Quotation::Ignore,
        /// An event is over when nothing has followed for so long.
        pub timeout: Duration = Duration::from_secs(5),
    }
}

impl MultilineConfig {
    /// What the options make; `None` if each line is an event.
    ///
    /// # Errors
    /// The pattern is none.
    pub fn assembler(&self) -> Result<Option<Assembler>, Error> {
        let quote = match self.quotation {
            Quotation::Ignore => None,
            Quotation::Single => Some(b'\''),
            Quotation::Double => Some(b'"'),
            Quotation::Backtick => Some(b'`'),
        };
        if self.pattern.is_empty() && quote.is_none() {
            return Ok(None);
        }
        let pattern = match self.pattern.as_str() {
            "" => None,
            text => Some(RegexBuilder::new(text).size_limit(1 << 20).build().map_err(|error| {
                Error::config("multiline.pattern", format!("\"{text}\" is no pattern: {error}"))
            })?),
        };
        Ok(Some(Assembler {
            pattern,
            invert: self.invert_match,
            next: self.match_which_line == Which::Next,
            keeps_newline: self.preserve_newline,
            quote,
            in_quote: false,
            event: Event::default(),
        }))
    }
}

/// One or more lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// The text.
    pub text: Vec<u8>,
    /// Where the file goes on behind it.
    pub end: u64,
    /// Its lines.
    pub lines: usize,
}

/// Puts events together line by line.
#[derive(Debug, Clone)]
pub struct Assembler {
    pattern: Option<Regex>,
    invert: bool,
    next: bool,
    keeps_newline: bool,
    quote: Option<u8>,
    in_quote: bool,
    event: Event,
}

impl Assembler {
    /// Whether the beginning of an event waits for what follows.
    pub fn is_waiting(&self) -> bool {
        self.event.lines > 0
    }

    /// Takes a line without its end; `end` is where the file goes on behind it. Events that are
    /// complete are handed to `done`.
    pub fn push(&mut self, line: &[u8], end: u64, mut done: impl FnMut(Event)) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.event.text.len() + line.len() + 1 > EVENT_MAX
            && let Some(event) = self.flush()
        {
            done(event);
        }
        let was_quoted = self.in_quote;
        if self.quote.is_some_and(|quote| is_odd(line, quote)) {
            self.in_quote = !self.in_quote;
        }
        let found = self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(line));
        let belongs = self.pattern.is_some() && found != self.invert;
        if self.next {
            self.add(line, end);
            if !self.in_quote && !belongs {
                self.flush().map(done);
            }
        } else {
            // A line that begins within quotes belongs to those before it in any case.
            if !was_quoted
                && !belongs
                && let Some(event) = self.flush()
            {
                done(event);
            }
            self.add(line, end);
        }
    }

    fn add(&mut self, line: &[u8], end: u64) {
        if self.event.lines > 0 && self.keeps_newline {
            self.event.text.push(b'\n');
        }
        self.event.text.extend_from_slice(line);
        self.event.end = end;
        self.event.lines += 1;
    }

    /// The event as far as it has come.
    pub fn flush(&mut self) -> Option<Event> {
        let event = std::mem::take(&mut self.event);
        (event.lines > 0).then_some(event)
    }

    /// Forgets what was begun, for another file.
    pub fn reset(&mut self) {
        self.event = Event::default();
        self.in_quote = false;
    }
}

/// Whether a line opens or closes more quotes than it closes or opens.
fn is_odd(line: &[u8], quote: u8) -> bool {
    let (mut odd, mut escaped) = (false, false);
    for byte in line {
        odd ^= *byte == quote && !escaped;
        escaped = *byte == b'\\' && !escaped;
    }
    odd
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of lines, the last one flushed.
    fn events(toml: &str, lines: &[&str]) -> Vec<String> {
        let config: MultilineConfig = headwater_plugin_api::config::parse(toml).unwrap();
        let mut assembler = config.assembler().unwrap().unwrap();
        let (mut events, mut end) = (Vec::new(), 0);
        for line in lines {
            end += line.len() as u64 + 1;
            assembler.push(line.as_bytes(), end, |event| events.push(event));
        }
        events.extend(assembler.flush());
        assert!(!assembler.is_waiting());
        assert_eq!(events.iter().map(|event| event.lines).sum::<usize>(), lines.len());
        assert_eq!(events.last().unwrap().end, end);
        events.into_iter().map(|event| String::from_utf8(event.text).unwrap()).collect()
    }

    #[test]
    fn lines_belong_to_the_previous_one() {
        assert_eq!(
            events(r"pattern = '^\s'", &["a", " b", "\tc\r", "d", "e", " f"]),
            ["a b\tc", "d", "e f"]
        );
        assert_eq!(
            events("pattern = '^[0-9]'\ninvert_match = true", &["1 a", "b", "2 c", "3 d", "e"]),
            ["1 ab", "2 c", "3 de"]
        );
        assert_eq!(
            events("pattern = '^ '\npreserve_newline = true", &["a", " b", "c"]),
            ["a\n b", "c"]
        );
    }

    #[test]
    fn lines_belong_to_the_next_one() {
        let toml = r#"pattern = '=>$'
            match_which_line = "next""#;
        assert_eq!(events(toml, &["a=>", "b=>", "c", "d", "e=>", "f"]), ["a=>b=>c", "d", "e=>f"]);
        assert_eq!(events(toml, &["a=>"]), ["a=>"]);
    }

    #[test]
    fn quotes_hold_lines_together() {
        for which in ["previous", "next"] {
            let toml = format!(
                "quotation = 'double-quotes'\npreserve_newline = true\nmatch_which_line = '{which}'"
            );
            assert_eq!(
                events(&toml, &["a \"b", "c", "d\" e", "f", "g \"h\" i", "j \"\\\"k", "l\""]),
                ["a \"b\nc\nd\" e", "f", "g \"h\" i", "j \"\\\"k\nl\""],
                "{which}"
            );
        }
        assert_eq!(events("quotation = 'backticks'", &["`a'", "b`"]), ["`a'b`"]);
        assert_eq!(events("quotation = 'single-quotes'", &["'a\\\\'", "b"]), ["'a\\\\'", "b"]);
    }

    #[test]
    fn events_are_bounded() {
        let line = "x".repeat(EVENT_MAX / 2);
        let parts = events("pattern = '^x'", &[&line, &line, &line]);
        assert!(parts.len() > 1);
        assert!(parts.iter().all(|part| part.len() <= EVENT_MAX));
        assert_eq!(parts.concat().len(), 3 * line.len());
    }

    #[test]
    fn nothing_is_put_together_unless_asked_for() {
        assert!(MultilineConfig::default().assembler().unwrap().is_none());
        let bad = MultilineConfig { pattern: "(".into(), ..MultilineConfig::default() };
        assert!(bad.assembler().unwrap_err().message().contains("\"(\""));
    }
}
