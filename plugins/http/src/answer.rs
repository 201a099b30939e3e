//! What a server answered, as text and as numbers.

use std::time::Duration;

/// The longest pause that a server may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// The pause if a server asks for one in words that are not understood.
const PAUSE_UNREADABLE: Duration = Duration::from_secs(10);

/// Bytes of a server's text that an error message quotes.
const QUOTE_BYTES_MAX: usize = 400;

/// An answer to a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The header `Location`.
    pub location: Option<String>,
    /// What the server says is wrong, in full; empty if it says nothing.
    pub text: String,
    /// Whether the words are the database's own, not those of a proxy or of another service.
    pub is_own: bool,
}

impl Answer {
    /// Reads status and body; `error_header` is what InfluxDB says in a header of its own.
    pub fn new(status: u16, error_header: Option<&str>, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        let own = json_string(&body, "error")
            .or_else(|| json_string(&body, "message"))
            .or_else(|| error_header.map(str::to_owned));
        let is_own = own.is_some();
        let text = own.unwrap_or_else(|| body.trim().to_owned());
        Answer { status, text, is_own, ..Answer::default() }
    }

    #[cfg(test)]
    pub fn of(status: u16, error: &str) -> Self {
        Answer { status, text: error.to_owned(), is_own: true, ..Answer::default() }
    }

    /// Whether the server took everything.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// How long to leave the server alone, if it says so.
    pub fn pause(&self) -> Option<Duration> {
        let text = self.retry_after.as_deref()?.trim();
        if text.is_empty() {
            return None;
        }
        let seconds = text.parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0);
        Some(
            seconds.map_or(PAUSE_UNREADABLE, |s| {
                Duration::from_secs_f64(s.min(PAUSE_MAX.as_secs_f64()))
            }),
        )
    }

    /// Status and text for a person.
    pub fn sentence(&self) -> String {
        let mut sentence = format!("{} {}", self.status, reason(self.status));
        if let Some(location) = &self.location {
            sentence.push_str(" to ");
            sentence.push_str(location);
        }
        if !self.text.is_empty() {
            sentence.push_str(": ");
            shorten(&self.text, &mut sentence);
        }
        sentence
    }
}

/// Appends a text; of a long one its beginning and its end, where the reason stands.
fn shorten(text: &str, out: &mut String) {
    if text.len() <= QUOTE_BYTES_MAX {
        out.push_str(text);
        return;
    }
    let (mut head, mut tail) = (QUOTE_BYTES_MAX / 2, text.len() - QUOTE_BYTES_MAX / 2);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    out.push_str(&text[..head]);
    out.push_str(" ... ");
    out.push_str(&text[tail..]);
}

/// The usual words of the codes that servers of this family send.
fn reason(status: u16) -> &'static str {
    match status {
        301 | 302 | 303 | 307 | 308 => "redirected",
        400 => "bad request",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not found",
        405 => "method not allowed",
        408 => "request timeout",
        413 => "request too large",
        422 => "unprocessable",
        429 => "too many requests",
        500 => "internal server error",
        502 => "bad gateway",
        503 => "unavailable",
        504 => "gateway timeout",
        _ => "",
    }
}

/// The text of the first member `"key": "..."` of a JSON object, wherever it stands. A text that is
/// cut off counts as far as it goes.
pub fn json_string(json: &str, key: &str) -> Option<String> {
    let quoted = format!("\"{key}\"");
    let mut rest = json;
    loop {
        let at = rest.find(&quoted)?;
        rest = &rest[at + quoted.len()..];
        let value = rest.trim_start().strip_prefix(':').map(str::trim_start);
        if let Some(value) = value.and_then(|value| value.strip_prefix('"')) {
            return Some(unescape(value));
        }
    }
}

/// A JSON string from behind its opening quote.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\\']) {
        out.push_str(&rest[..at]);
        if rest.as_bytes()[at] == b'"' {
            return out;
        }
        let Some(c) = rest[at + 1..].chars().next() else { return out };
        rest = &rest[at + 1 + c.len_utf8()..];
        match c {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'u' => {
                let Some(unit) = code_unit(rest) else { return out };
                rest = &rest[4..];
                let low = rest.strip_prefix("\\u").and_then(code_unit);
                match (unit, low) {
                    (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => {
                        rest = &rest[6..];
                        let c = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                        out.push(char::from_u32(c).unwrap_or('\u{fffd}'));
                    }
                    _ => out.push(char::from_u32(unit).unwrap_or('\u{fffd}')),
                }
            }
            other => out.push(other),
        }
    }
    out.push_str(rest);
    out
}

fn code_unit(text: &str) -> Option<u32> {
    let digits = text.get(..4)?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_words_are_found() {
        let check = |header: Option<&str>, body: &str, text: &str| {
            assert_eq!(Answer::new(400, header, body.as_bytes()).text, text, "{body}");
        };
        check(
            None,
            r#"{"error":"unable to parse 'a b \"c\"\n': bad"}"#,
            "unable to parse 'a b \"c\"\n': bad",
        );
        check(
            None,
            r#"{"code": "invalid", "message" : "no\u0020\ud83d\ude00\ud800x"}"#,
            "no \u{1f600}\u{fffd}x",
        );
        check(Some("from the header"), "<html>", "from the header");
        check(None, " plain text\n", "plain text");
        check(None, "", "");
        check(None, r#"{"error":"cut o"#, "cut o");
        check(None, r#"{"error":"cut \u00"#, "cut ");
        check(None, r#"{"error":"cut \"#, "cut ");
        check(None, r#"{"error":1,"message":"m"}"#, "m");
        check(None, r#"{"error": {"error": "inner"}}"#, "inner");
    }

    #[test]
    fn pauses() {
        let pause =
            |text: &str| Answer { retry_after: Some(text.into()), ..Answer::default() }.pause();
        assert_eq!(pause("3"), Some(Duration::from_secs(3)));
        assert_eq!(pause("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(pause("100000"), Some(Duration::from_secs(600)));
        assert_eq!(pause("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(pause("-1"), Some(Duration::from_secs(10)));
        assert_eq!(pause("nan"), Some(Duration::from_secs(10)));
        assert_eq!(pause(" "), None);
        assert_eq!(Answer::default().pause(), None);
    }

    #[test]
    fn sentences_are_bounded() {
        let answer = Answer::new(400, None, format!("{}: reason", "é".repeat(1000)).as_bytes());
        let sentence = answer.sentence();
        assert!(sentence.starts_with("400 bad request: éé") && sentence.ends_with("éé: reason"));
        assert!(sentence.contains("é ... é") && sentence.len() < 450, "{sentence}");
        assert_eq!(Answer::new(503, None, b"").sentence(), "503 unavailable");
        let moved =
            Answer { status: 301, location: Some("https://x/".into()), ..Answer::default() };
        assert_eq!(moved.sentence(), "301 redirected to https://x/");
    }
}
