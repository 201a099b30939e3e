//! One attempt to write points, and finding out which of them the server refuses for good.
//!
//! InfluxDB writes the good points of a request and refuses the others, but names them only in
//! part. What it says is used first: lines it quotes, a field whose type does not fit. Otherwise the
//! points are sent again in halves, so that refused ones end up alone; a point written twice is the
//! same point. The number of requests is bounded ([`REQUESTS_MAX`]): what is then still in doubt is
//! refused together, or, if the server told that its good points are written, counted only.

use headwater_plugin_api::batch::layout::kind;
use headwater_plugin_api::plugin::{Context, Error, ErrorKind};

use crate::answer::Answer;
use crate::points::{Lines, Points, RowId};

/// Requests of an attempt, beyond the first one to each destination, after which nothing is sent in
/// halves again.
pub const REQUESTS_MAX: usize = 128;

/// What an answer means for the points of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All are written.
    Written,
    /// All but so many are written; those are refused for good.
    Dropped(u64),
    /// Some are refused for good; what became of the others is not told.
    Unreadable,
    /// All are refused for good.
    Refused,
    /// They are too many, or the only one is too large.
    TooLarge,
    /// Their database or bucket is not there, or not ours to write to.
    Closed,
    /// The server does not know us.
    Unauthorized,
    /// It did not work; the same may work later.
    Failed,
}

/// Reads an answer of any InfluxDB, or of what speaks like one.
pub fn verdict(answer: &Answer) -> Verdict {
    if answer.is_success() {
        return Verdict::Written;
    }
    match answer.status {
        401 => return Verdict::Unauthorized,
        413 => return Verdict::TooLarge,
        408 | 425 | 429 => return Verdict::Failed,
        _ if !answer.is_own => return Verdict::Failed,
        _ => {}
    }
    let text = answer.text.as_str();
    let says = |words: &str| text.contains(words);
    if says("unable to parse") {
        return Verdict::Unreadable;
    }
    if let Some(dropped) = dropped(text) {
        return Verdict::Dropped(dropped);
    }
    if says("partial write") || says("field type conflict") {
        return Verdict::Unreadable;
    }
    if says("database not found") || says("retention policy not found") {
        return Verdict::Closed;
    }
    if says("hinted handoff queue not empty") {
        return Verdict::Written;
    }
    match answer.status {
        403 | 404 => Verdict::Closed,
        400..500 => Verdict::Refused,
        _ => Verdict::Failed,
    }
}

/// The number behind `dropped=`, with which such a text ends.
fn dropped(text: &str) -> Option<u64> {
    let (_, number) = text.rsplit_once("dropped=")?;
    let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..end].parse().ok()
}

/// Why writing ended early.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// See [`Verdict::Closed`]: concerns this destination alone.
    Closed(String),
    /// Concerns the whole server.
    Error(Error),
}

/// One attempt: what it uses and what it found out.
pub struct Attempt<'w> {
    pub cx: &'w Context<'w>,
    pub lines: &'w mut dyn Lines,
    /// Where lines are put together.
    pub buffer: &'w mut Vec<u8>,
    /// Requests so far, without the first one to each destination.
    pub requests: usize,
    /// Rows that are refused for good, in no order.
    pub refused: Vec<RowId>,
    /// Points that are refused for good and could not be told from others.
    pub unnamed: u64,
    /// The server's first refusal.
    pub reason: Option<String>,
}

impl<'w> Attempt<'w> {
    pub fn new(cx: &'w Context<'w>, lines: &'w mut dyn Lines, buffer: &'w mut Vec<u8>) -> Self {
        let (refused, reason) = (Vec::new(), None);
        Attempt { cx, lines, buffer, requests: 0, refused, unnamed: 0, reason }
    }

    /// Writes points to one destination by `send`, whose errors are those of the connection.
    ///
    /// # Errors
    /// [`Stop`]; points that were refused before stay refused.
    pub fn write(
        &mut self,
        points: Points<'_>,
        send: &mut dyn FnMut(&[u8]) -> Result<Answer, Error>,
    ) -> Result<(), Stop> {
        let mut open = vec![points];
        let mut is_first = true;
        while let Some(points) = open.pop() {
            self.buffer.clear();
            points.append_to(self.cx, self.lines, self.buffer).map_err(Stop::Error)?;
            if self.buffer.is_empty() {
                continue;
            }
            self.requests += usize::from(!is_first);
            is_first = false;
            let answer = send(self.buffer).map_err(Stop::Error)?;
            self.heed(&points, &answer, &mut open)?;
        }
        Ok(())
    }

    /// Does what an answer asks for: refuses rows, and opens again what must be sent again.
    fn heed<'a>(
        &mut self,
        points: &Points<'_>,
        answer: &Answer,
        open: &mut Vec<Points<'a>>,
    ) -> Result<(), Stop> {
        let alone = points.len() == 1;
        match verdict(answer) {
            Verdict::Written | Verdict::Dropped(0) => {}
            Verdict::Refused => self.refuse(points.rows(), answer),
            Verdict::Unreadable | Verdict::TooLarge | Verdict::Dropped(_) if alone => {
                self.refuse(points.rows(), answer);
            }
            Verdict::Dropped(count) if count >= points.len() as u64 => {
                self.refuse(points.rows(), answer);
            }
            Verdict::Dropped(count) => {
                let rows = conflicting_rows(points, &answer.text);
                if !rows.is_empty() && rows.len() as u64 <= count {
                    if (rows.len() as u64) < count {
                        open.push(points.without(&rows));
                    }
                    self.refuse(rows, answer);
                } else if self.may_search() {
                    open.extend(points.split(2).into_iter().rev());
                } else {
                    self.unnamed += count;
                    self.reason.get_or_insert_with(|| answer.sentence());
                }
            }
            Verdict::Unreadable => {
                let rows = self.quoted_rows(points, &answer.text)?;
                if !rows.is_empty() {
                    open.push(points.without(&rows));
                    self.refuse(rows, answer);
                } else {
                    self.halve_or_refuse(points, answer, open);
                }
            }
            Verdict::TooLarge => self.halve_or_refuse(points, answer, open),
            Verdict::Closed => return Err(Stop::Closed(answer.sentence())),
            Verdict::Unauthorized => {
                return Err(Stop::Error(Error::not_connected(answer.sentence())));
            }
            Verdict::Failed => {
                let kind = answer.pause().map_or(ErrorKind::Failed, ErrorKind::RetryAfter);
                return Err(Stop::Error(Error::new(kind, answer.sentence())));
            }
        }
        Ok(())
    }

    fn may_search(&self) -> bool {
        self.requests < REQUESTS_MAX
    }

    fn halve_or_refuse<'a>(
        &mut self,
        points: &Points<'_>,
        answer: &Answer,
        open: &mut Vec<Points<'a>>,
    ) {
        if self.may_search() {
            open.extend(points.split(2).into_iter().rev());
        } else {
            self.refuse(points.rows(), answer);
        }
    }

    fn refuse(&mut self, rows: Vec<RowId>, answer: &Answer) {
        self.refuse_for(rows, || answer.sentence());
    }

    /// Takes note of rows that are refused for good, and why.
    pub fn refuse_for(&mut self, rows: Vec<RowId>, reason: impl FnOnce() -> String) {
        self.refused.extend(rows);
        self.reason.get_or_insert_with(reason);
    }

    /// What came of the attempt, for the agent.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] or [`ErrorKind::Partial`] if rows are refused for good.
    pub fn conclude(mut self, total: usize) -> Result<(), Error> {
        if self.refused.is_empty() {
            return Ok(());
        }
        let reason = self.reason.take().unwrap_or_default();
        self.refused.sort_unstable();
        self.refused.dedup();
        let kind = match self.refused.len() >= total {
            true => ErrorKind::Refused,
            false => ErrorKind::Partial(self.refused),
        };
        Err(Error::new(kind, reason))
    }

    /// The rows whose lines the server quotes as `unable to parse '...': reason`, in order.
    fn quoted_rows(&mut self, points: &Points<'_>, text: &str) -> Result<Vec<RowId>, Stop> {
        let quotes = text.split("unable to parse '").skip(1);
        let lines: Vec<&str> = quotes.filter_map(|rest| Some(rest.rsplit_once("': ")?.0)).collect();
        let mut rows = Vec::new();
        self.search(points, &lines, &mut rows)?;
        Ok(rows)
    }

    /// Narrows the points down to those that are written as one of `lines`.
    pub fn search(
        &mut self,
        points: &Points<'_>,
        lines: &[&str],
        rows: &mut Vec<RowId>,
    ) -> Result<(), Stop> {
        if lines.is_empty() || points.is_empty() {
            return Ok(());
        }
        self.buffer.clear();
        points.append_to(self.cx, self.lines, self.buffer).map_err(Stop::Error)?;
        let text = String::from_utf8_lossy(self.buffer);
        let hits: Vec<&str> = lines.iter().copied().filter(|line| has_line(&text, line)).collect();
        if hits.is_empty() {
            return Ok(());
        }
        if points.len() == 1 {
            rows.extend(points.rows());
            return Ok(());
        }
        points.split(2).iter().try_for_each(|half| self.search(half, &hits, rows))
    }
}

/// Whether `line` stands in `text` from the beginning of a line to the end of one.
fn has_line(text: &str, line: &str) -> bool {
    !line.is_empty()
        && text.match_indices(line).any(|(at, _)| {
            let (before, behind) = (&text[..at], &text[at + line.len()..]);
            (before.is_empty() || before.ends_with('\n'))
                && (behind.is_empty() || behind.starts_with('\n'))
        })
}

/// The rows that carry the field of which the server says `input field "f" on measurement "m" is
/// type t, already exists as type u`, in order; none if it says nothing of the kind.
fn conflicting_rows(points: &Points<'_>, text: &str) -> Vec<RowId> {
    let Some((measurement, field, kinds)) = conflict(text) else { return Vec::new() };
    let mut rows = Vec::new();
    for (at, batch) in points.views() {
        let shapes: Vec<bool> = (0..batch.shape_count() as u32)
            .map(|shape| {
                batch.shape(shape).field(field).is_some_and(|(kind, _)| kinds.contains(&kind))
            })
            .collect();
        rows.extend(batch.rows().filter_map(|(index, row)| {
            let hit = shapes.get(row.shape as usize).is_some_and(|hit| *hit)
                && batch.series(row.series).name() == measurement;
            hit.then_some((at, index as u32))
        }));
    }
    rows
}

/// Measurement, field, and the kinds that are written as the type that does not fit.
fn conflict(text: &str) -> Option<(&str, &str, &'static [u8])> {
    let (field, rest) = text.split_once("input field \"")?.1.split_once("\" on measurement \"")?;
    let (measurement, rest) = rest.split_once("\" is type ")?;
    let kinds: &[u8] = match rest.split([',', ' ']).next()? {
        "float" => &[kind::F64],
        "integer" => &[kind::I64, kind::U64],
        "unsigned" => &[kind::U64],
        "boolean" => &[kind::BOOL],
        "string" => &[kind::TEXT],
        _ => return None,
    };
    Some((measurement, field, kinds))
}

#[cfg(test)]
mod tests;
