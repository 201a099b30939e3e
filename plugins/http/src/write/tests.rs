use std::collections::BTreeSet;
use std::time::Duration;

use headwater_plugin_api::batch::{Batch, BatchBuilder};
use headwater_plugin_api::testkit;

use super::*;
use crate::points::tests::{TestLines, batches};

#[test]
fn answers_and_what_they_mean() {
    let own = |status, text: &str| verdict(&Answer::of(status, text));
    for status in [200, 201, 202, 204, 206, 207, 208] {
        assert_eq!(own(status, ""), Verdict::Written);
    }
    let table = [
        (400, "partial write: points beyond retention policy dropped=3", Verdict::Dropped(3)),
        (
            400,
            "partial write: field type conflict: input field \"v\" on measurement \"m\" is type string, already exists as type float dropped=1",
            Verdict::Dropped(1),
        ),
        (
            422,
            "failure writing points to database: partial write: x dropped=12",
            Verdict::Dropped(12),
        ),
        (500, "partial write: points beyond retention policy dropped=2", Verdict::Dropped(2)),
        (400, "unable to parse 'm v=': missing field value", Verdict::Unreadable),
        (
            400,
            "partial write: unable to parse 'm v=': missing field value dropped=0",
            Verdict::Unreadable,
        ),
        (400, "partial write of line protocol occurred", Verdict::Unreadable),
        (400, "field type conflict", Verdict::Unreadable),
        (400, "invalid precision", Verdict::Refused),
        (405, "", Verdict::Refused),
        (406, "", Verdict::Refused),
        (410, "gone", Verdict::Refused),
        (422, "outside of retention", Verdict::Refused),
        (401, "authorization failed", Verdict::Unauthorized),
        (403, "user is not authorized to write to database \"x\"", Verdict::Closed),
        (404, "database not found: \"x\"", Verdict::Closed),
        (404, "bucket \"x\" not found", Verdict::Closed),
        (500, "retention policy not found: \"x\"", Verdict::Closed),
        (500, "database not found: x", Verdict::Closed),
        (413, "", Verdict::TooLarge),
        (500, "hinted handoff queue not empty", Verdict::Written),
        (408, "", Verdict::Failed),
        (429, "", Verdict::Failed),
        (500, "timeout", Verdict::Failed),
        (502, "", Verdict::Failed),
        (503, "", Verdict::Failed),
        (504, "", Verdict::Failed),
        (302, "", Verdict::Failed),
    ];
    for (status, text, expected) in table {
        assert_eq!(own(status, text), expected, "{status} {text}");
    }
    let foreign = |status, text: &str| verdict(&Answer::new(status, None, text.as_bytes()));
    // What a proxy or the wrong service says is no word about the points.
    assert_eq!(foreign(400, "Client sent an HTTP request to an HTTPS server."), Verdict::Failed);
    assert_eq!(foreign(404, "404 page not found"), Verdict::Failed);
    assert_eq!(foreign(403, "<html>forbidden</html>"), Verdict::Failed);
    assert_eq!(foreign(413, "<html>"), Verdict::TooLarge);
    assert_eq!(foreign(401, ""), Verdict::Unauthorized);
}

/// A server that keeps lines as InfluxDB does.
#[derive(Default)]
struct Server {
    written: BTreeSet<String>,
    requests: usize,
    /// Parts of lines that it refuses.
    bad: Vec<&'static str>,
    /// How it words that.
    style: Style,
    bytes_max: Option<usize>,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Style {
    /// Quotes the lines, and writes the good ones.
    #[default]
    Quoting,
    /// Tells the number, and writes the good ones.
    Counting,
    /// Says nothing and writes nothing.
    Mute,
}

impl Server {
    fn take(&mut self, body: &[u8]) -> Answer {
        self.requests += 1;
        if self.bytes_max.is_some_and(|max| body.len() > max) {
            return Answer::of(413, "request too large");
        }
        let text = std::str::from_utf8(body).unwrap();
        let (bad, good): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| self.bad.iter().any(|bad| line.contains(bad)));
        if bad.is_empty() || self.style != Style::Mute {
            self.written.extend(good.iter().map(|line| (*line).to_owned()));
        }
        if bad.is_empty() {
            return Answer::of(204, "");
        }
        let text = match self.style {
            Style::Quoting => {
                let quotes: Vec<String> =
                    bad.iter().map(|line| format!("unable to parse '{line}': no good")).collect();
                format!("partial write: {} dropped=0", quotes.join("\n"))
            }
            Style::Counting => format!("partial write: max values dropped={}", bad.len()),
            Style::Mute => "partial write of line protocol occurred".to_owned(),
        };
        Answer::of(400, &text)
    }
}

struct Outcome {
    refused: Vec<RowId>,
    unnamed: u64,
    result: Result<(), Stop>,
}

fn write(server: &mut Server, batches: &[Batch]) -> Outcome {
    let (cx, mut lines, mut buffer) = (testkit::context(0), TestLines, Vec::new());
    let mut attempt = Attempt::new(&cx, &mut lines, &mut buffer);
    let result = attempt.write(Points::new(batches), &mut |body| Ok(server.take(body)));
    attempt.refused.sort_unstable();
    Outcome { refused: attempt.refused.clone(), unnamed: attempt.unnamed, result }
}

fn is_whole(server: &Server, batches: &[Batch], refused: usize) {
    assert_eq!(server.written.len(), testkit::lines(batches).len() - refused);
}

#[test]
fn good_points_take_one_request() {
    let (mut server, batches) = (Server::default(), batches(50));
    let outcome = write(&mut server, &batches);
    assert_eq!((outcome.result, outcome.refused, server.requests), (Ok(()), vec![], 1));
    is_whole(&server, &batches, 0);
}

#[test]
fn quoted_lines_are_found_without_search() {
    let batches = batches(50);
    let mut server = Server { bad: vec!["v=7i", "v=88i"], ..Server::default() };
    let outcome = write(&mut server, &batches);
    assert_eq!(outcome.result, Ok(()));
    assert_eq!(outcome.refused, [(0, 7), (1, 38)]);
    assert_eq!(server.requests, 2);
    is_whole(&server, &batches, 2);
}

#[test]
fn counted_or_untold_refusals_are_searched_for() {
    for style in [Style::Counting, Style::Mute] {
        let batches = batches(500);
        let mut server = Server { bad: vec!["v=77i", "v=701i"], style, ..Server::default() };
        let outcome = write(&mut server, &batches);
        assert_eq!(outcome.result, Ok(()));
        assert_eq!(outcome.refused, [(0, 77), (1, 201)]);
        assert!(server.requests <= 2 * 2 * 10 + 1, "{}", server.requests);
        is_whole(&server, &batches, 2);
    }
}

#[test]
fn a_whole_series_that_is_refused_is_counted_when_the_search_takes_too_long() {
    let batches = batches(500);
    let mut server = Server { bad: vec!["t=1 "], style: Style::Counting, ..Server::default() };
    let outcome = write(&mut server, &batches);
    assert_eq!(outcome.result, Ok(()));
    assert_eq!(outcome.refused.len() as u64 + outcome.unnamed, 333);
    assert!(server.requests <= REQUESTS_MAX + 20, "{}", server.requests);
    is_whole(&server, &batches, 333);
    // Without a count, what is in doubt is refused together; nothing good is lost unsaid.
    let mut server = Server { bad: vec!["t=1 "], style: Style::Mute, ..Server::default() };
    let outcome = write(&mut server, &batches);
    assert_eq!((outcome.unnamed, outcome.refused.len()), (0, 1000 - server.written.len()));
    assert!(server.requests <= REQUESTS_MAX + 20, "{}", server.requests);
}

#[test]
fn many_destinations_leave_room_for_the_search() {
    let batches = batches(4);
    let (cx, mut lines, mut buffer) = (testkit::context(0), TestLines, Vec::new());
    let mut attempt = Attempt::new(&cx, &mut lines, &mut buffer);
    for _ in 0..2 * REQUESTS_MAX {
        attempt.write(Points::new(&batches), &mut |_| Ok(Answer::of(204, ""))).unwrap();
    }
    let mut server = Server { bad: vec!["v=5i"], style: Style::Mute, ..Server::default() };
    attempt.write(Points::new(&batches), &mut |body| Ok(server.take(body))).unwrap();
    assert_eq!(attempt.refused, [(1, 1)]);
}

#[test]
fn everything_is_refused_at_once_if_the_count_says_so() {
    let batches = batches(50);
    let mut server = Server { bad: vec!["m"], style: Style::Counting, ..Server::default() };
    let outcome = write(&mut server, &batches);
    assert_eq!((outcome.refused.len(), server.requests), (100, 1));
}

#[test]
fn large_requests_are_halved_down_to_one_point() {
    let mut builder = BatchBuilder::default();
    for i in 0..64 {
        let text = if i == 40 { "x".repeat(2000) } else { "y".repeat(100) };
        builder.point("m").field("t", text.as_str()).finish(i).unwrap();
    }
    let batches = [builder.finish().unwrap()];
    let mut server = Server { bytes_max: Some(1000), ..Server::default() };
    let outcome = write(&mut server, &batches);
    assert_eq!((outcome.result, outcome.refused), (Ok(()), vec![(0, 40)]));
    is_whole(&server, &batches, 1);
}

#[test]
fn a_conflict_of_types_names_its_points() {
    let mut builder = BatchBuilder::default();
    for i in 0..100 {
        let point = builder.point(if i % 2 == 0 { "a" } else { "b" });
        let point = if i % 10 == 0 { point.field("v", "text") } else { point.field("v", 1.0) };
        let point = if i % 7 == 0 { point.field("w", true) } else { point };
        point.finish(i).unwrap();
    }
    let batches = [builder.finish().unwrap()];
    // Refuses text in `v`, then flags in `w`; names the last that it met, as InfluxDB does.
    let mut requests = 0;
    let mut send = |body: &[u8]| {
        requests += 1;
        let text = std::str::from_utf8(body).unwrap();
        let w =
            text.lines().filter(|line| line.contains("w=true") && line.starts_with('a')).count();
        let v = text.lines().filter(|line| line.contains("v=\"text\"")).count();
        let both = text
            .lines()
            .filter(|l| l.contains("w=true") && l.starts_with('a') && l.contains("v=\""))
            .count();
        let what = match (v, w) {
            (0, 0) => return Ok(Answer::of(204, "")),
            (0, _) => ("w", "boolean"),
            _ => ("v", "string"),
        };
        Ok(Answer::of(
            400,
            &format!(
                "partial write: field type conflict: input field \"{}\" on measurement \"a\" is type {}, \
             already exists as type integer dropped={}",
                what.0,
                what.1,
                v + w - both
            ),
        ))
    };
    let (cx, mut lines, mut buffer) = (testkit::context(0), TestLines, Vec::new());
    let mut attempt = Attempt::new(&cx, &mut lines, &mut buffer);
    attempt.write(Points::new(&batches), &mut send).unwrap();
    let mut rows: Vec<u32> = attempt.refused.iter().map(|(_, row)| *row).collect();
    rows.sort_unstable();
    let expected: Vec<u32> =
        (0..100).filter(|i| i % 10 == 0 || (i % 7 == 0 && i % 2 == 0)).collect();
    assert_eq!(rows, expected);
    assert_eq!(requests, 2);
}

#[test]
fn what_ends_an_attempt() {
    let stop = |answer: Answer| {
        let batches = batches(2);
        let (cx, mut lines, mut buffer) = (testkit::context(0), TestLines, Vec::new());
        let mut attempt = Attempt::new(&cx, &mut lines, &mut buffer);
        attempt.write(Points::new(&batches), &mut |_| Ok(answer.clone())).unwrap_err()
    };
    let later = Answer { retry_after: Some("7".into()), ..Answer::of(429, "slow down") };
    assert_eq!(
        stop(later),
        Stop::Error(Error::new(
            ErrorKind::RetryAfter(Duration::from_secs(7)),
            "429 too many requests: slow down"
        ))
    );
    assert_eq!(stop(Answer::of(503, "")), Stop::Error(Error::failed("503 unavailable")));
    assert_eq!(
        stop(Answer::of(401, "who?")),
        Stop::Error(Error::not_connected("401 unauthorized: who?"))
    );
    assert_eq!(
        stop(Answer::of(404, "database not found: \"x\"")),
        Stop::Closed("404 not found: database not found: \"x\"".into())
    );
}

#[test]
fn a_failure_midway_keeps_what_was_refused() {
    let batches = batches(8);
    let mut server = Server { bad: vec!["v=0i"], ..Server::default() };
    let (cx, mut lines, mut buffer) = (testkit::context(0), TestLines, Vec::new());
    let mut attempt = Attempt::new(&cx, &mut lines, &mut buffer);
    let mut requests = 0;
    let result = attempt.write(Points::new(&batches), &mut |body| {
        requests += 1;
        if requests > 1 { Err(Error::failed("gone")) } else { Ok(server.take(body)) }
    });
    assert_eq!(result, Err(Stop::Error(Error::failed("gone"))));
    assert_eq!(attempt.refused, [(0, 0)]);
}

#[test]
fn lines_are_compared_whole() {
    assert!(has_line("a\nb\nc", "b"));
    assert!(has_line("a\nb\n", "a"));
    assert!(!has_line("ab\nbc\n", "b"));
    assert!(has_line("xb\nb\n", "b"));
    assert!(has_line("m s=\"x\ny\" 1\n", "m s=\"x\ny\" 1"));
    assert!(!has_line("a\n", ""));
}

#[test]
fn what_the_agent_is_told() {
    let (cx, mut lines, mut buffer) = (testkit::context(0), TestLines, Vec::new());
    let mut conclude = |rows: &[RowId], total| {
        let mut attempt = Attempt::new(&cx, &mut lines, &mut buffer);
        if !rows.is_empty() {
            attempt.refuse_for(rows.to_vec(), || "why".into());
        }
        attempt.conclude(total)
    };
    assert_eq!(conclude(&[], 3), Ok(()));
    let partial = ErrorKind::Partial(vec![(0, 1), (1, 0)]);
    assert_eq!(conclude(&[(1, 0), (0, 1), (1, 0)], 3), Err(Error::new(partial, "why")));
    assert_eq!(conclude(&[(1, 0), (0, 1)], 2), Err(Error::refused("why")));
}
