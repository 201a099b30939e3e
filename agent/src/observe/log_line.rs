//! One log line, as text or as JSON, from what is told about it.

use std::fmt::Write;

use headwater_plugin_api::plugin::Level;

use super::time::{Precision, push_rfc3339};
use super::zone::Zone;

/// Longer messages are cut and say so.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// How lines are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// `2026-11-21T09:00:00Z E! [inputs.cpu] message`
    Text,
    /// One JSON object a line, the message under this key.
    Structured { message_key: String },
}

impl Format {
    /// The message's key if none is set.
    pub const MESSAGE_KEY: &str = "msg";

    /// JSON with the usual keys.
    pub fn structured() -> Format {
        Format::Structured { message_key: Self::MESSAGE_KEY.to_owned() }
    }
}

/// Who tells something: a plugin, or the agent with an empty category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `inputs`, `outputs` and so on.
    pub category: String,
    pub plugin: String,
    /// Empty if there is none.
    pub alias: String,
}

impl Source {
    pub fn agent() -> Source {
        Source { category: String::new(), plugin: "agent".to_owned(), alias: String::new() }
    }

    /// `inputs.cpu::alias`
    pub fn name(&self) -> String {
        let mut out = String::new();
        if !self.category.is_empty() {
            out.push_str(&self.category);
            out.push('.');
        }
        out.push_str(&self.plugin);
        if !self.alias.is_empty() {
            out.push_str("::");
            out.push_str(&self.alias);
        }
        out
    }
}

/// The message without what is too much of it.
pub fn bounded(message: &str) -> std::borrow::Cow<'_, str> {
    if message.len() <= MESSAGE_BYTES_MAX {
        return message.into();
    }
    let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
    format!("{} ... ({} bytes more)", &message[..end], message.len() - end).into()
}

/// What a line tells.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    pub time_ns: i64,
    pub level: Level,
    pub source: &'a Source,
    pub message: &'a str,
    /// Further lines that this one stands for.
    pub repeated: u64,
}

/// Appends a line with its line end.
pub fn push_line(out: &mut String, format: &Format, zone: &Zone, line: &Line<'_>) {
    let &Line { time_ns, level, source, message, repeated } = line;
    match format {
        Format::Text => {
            push_rfc3339(out, time_ns, zone, Precision::Seconds);
            let _ = write!(out, " {} [", indicator(level));
            push_plain(out, &source.name());
            out.push_str("] ");
            push_plain(out, &bounded(message));
            if repeated > 0 {
                let _ = write!(out, " ... repeated {repeated} times");
            }
        }
        Format::Structured { message_key } => {
            out.push_str("{\"time\":\"");
            push_rfc3339(out, time_ns, zone, Precision::Nanoseconds);
            let _ = write!(out, "\",\"level\":\"{}\",", level_word(level));
            push_json(out, message_key);
            out.push(':');
            push_json(out, &bounded(message));
            for (key, value) in [
                ("category", &source.category),
                ("plugin", &source.plugin),
                ("alias", &source.alias),
            ] {
                if !value.is_empty() {
                    let _ = write!(out, ",\"{key}\":");
                    push_json(out, value);
                }
            }
            if repeated > 0 {
                let _ = write!(out, ",\"repeated\":{repeated}");
            }
            out.push('}');
        }
    }
    out.push('\n');
}

fn indicator(level: Level) -> &'static str {
    match level {
        Level::Error => "E!",
        Level::Warning => "W!",
        Level::Information => "I!",
        Level::Debug => "D!",
    }
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warning => "WARN",
        Level::Information => "INFO",
        Level::Debug => "DEBUG",
    }
}

/// Whoever writes a message cannot begin a line of their own with it, nor steer a terminal.
fn push_plain(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\t' => out.push('\t'),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
}

fn push_json(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: i64 = 1_795_251_600_500_000_000;

    fn cpu(alias: &str) -> Source {
        Source { category: "inputs".into(), plugin: "cpu".into(), alias: alias.into() }
    }

    fn line(format: &Format, level: Level, source: &Source, message: &str, n: u64) -> String {
        let mut out = String::new();
        let line = Line { time_ns: TIME, level, source, message, repeated: n };
        push_line(&mut out, format, &Zone::utc(), &line);
        out
    }

    #[test]
    fn text_lines() {
        let text =
            |level, source: &Source, message: &str| line(&Format::Text, level, source, message, 0);
        assert_eq!(text(Level::Error, &cpu(""), "no"), "2026-11-21T09:00:00Z E! [inputs.cpu] no\n");
        assert_eq!(
            text(Level::Warning, &cpu("a"), "no"),
            "2026-11-21T09:00:00Z W! [inputs.cpu::a] no\n"
        );
        assert_eq!(
            text(Level::Debug, &Source::agent(), "x"),
            "2026-11-21T09:00:00Z D! [agent] x\n"
        );
        assert_eq!(
            text(Level::Information, &cpu("a\nb"), "one\ntwo\t\u{1b}[31m"),
            "2026-11-21T09:00:00Z I! [inputs.cpu::a\\nb] one\\ntwo\t\\u{1b}[31m\n"
        );
        assert_eq!(
            line(&Format::Text, Level::Error, &cpu(""), "no", 7),
            "2026-11-21T09:00:00Z E! [inputs.cpu] no ... repeated 7 times\n"
        );
    }

    #[test]
    fn structured_lines() {
        assert_eq!(
            line(&Format::structured(), Level::Error, &cpu("x"), "a \"b\" \\ \n\u{7} \u{85} ü", 0),
            "{\"time\":\"2026-11-21T09:00:00.5Z\",\"level\":\"ERROR\",\"msg\":\"a \\\"b\\\" \\\\ \\n\\u0007 \\u0085 ü\",\
             \"category\":\"inputs\",\"plugin\":\"cpu\",\"alias\":\"x\"}\n"
        );
        let key = Format::Structured { message_key: "message".into() };
        assert_eq!(
            line(&key, Level::Information, &Source::agent(), "on", 2),
            "{\"time\":\"2026-11-21T09:00:00.5Z\",\"level\":\"INFO\",\"message\":\"on\",\"plugin\":\"agent\",\"repeated\":2}\n"
        );
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let long = "ü".repeat(MESSAGE_BYTES_MAX);
        let cut = line(&Format::Text, Level::Error, &cpu(""), &long, 0);
        assert!(cut.len() < MESSAGE_BYTES_MAX + 100);
        assert!(cut.ends_with("ü ... (16384 bytes more)\n"), "{}", &cut[cut.len() - 40..]);
    }
}
