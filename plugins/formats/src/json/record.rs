//! Reads one record after the other into a batch.

use headwater_plugin_api::batch::{BatchBuilder, Limits, Mark};

use super::events::Events;
use super::roles::{Roles, role};
use super::scan::{Bad, Class, Why, double, string, unescape};
use super::series::{WarmSeries, push_value};
use super::template::Templates;
use crate::number::read::byte;
use headwater_plugin_api::time::TimeFormat;

/// Why a record made no point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It is refused.
    Bad(Bad),
    /// The warm tables are full: finish the batch, forget them, and read the record again.
    Full,
}

impl From<Bad> for Stop {
    fn from(bad: Bad) -> Self {
        Stop::Bad(bad)
    }
}

/// Templates that are tried when the expected one does not fit.
const RECENT: usize = 4;

/// What a parser of JSON remembers.
pub struct Records {
    pub builder: BatchBuilder,
    templates: Templates,
    /// The template of the last record.
    last: u32,
    /// Templates of the records before, the oldest of which is replaced next.
    recent: [u32; RECENT],
    oldest: usize,
    series: WarmSeries,
    events: Events,
    /// The values that make the record's series.
    raw: Vec<u8>,
    text: String,
    roles: Roles,
    time_format: Option<TimeFormat>,
    name: String,
    record_bytes_max: usize,
}

/// What [`Records::fill`] found.
struct Filled {
    end: usize,
    /// Begin, end and class of the time's value.
    time: Option<(usize, usize, Class)>,
}

impl Records {
    pub fn new(
        roles: Roles,
        time_format: Option<TimeFormat>,
        name: String,
        record_bytes_max: usize,
        limits: Limits,
    ) -> Self {
        Records {
            builder: BatchBuilder::new(limits),
            templates: Templates::default(),
            last: 0,
            recent: [0; RECENT],
            oldest: 0,
            series: WarmSeries::default(),
            events: Events::default(),
            raw: Vec::new(),
            text: String::new(),
            roles,
            time_format,
            name,
            record_bytes_max,
        }
    }

    /// Forgets series and templates. The batch must be finished first.
    pub fn forget(&mut self) {
        self.templates.clear();
        self.series.clear();
        self.last = 0;
    }

    /// Reads the object at `start`, adds its point, and gives the place behind it. The text ends at
    /// `limit` with a line end, and readable bytes stand behind it.
    #[inline]
    pub fn record(
        &mut self,
        text: &[u8],
        start: usize,
        limit: usize,
        default_time: i64,
        now_ns: i64,
    ) -> Result<usize, Stop> {
        let mark = self.builder.mark();
        let result = self.point(text, start, limit, &mark, default_time, now_ns);
        if result.is_err() {
            self.builder.roll_back(&mark);
        }
        result
    }

    #[inline(always)]
    fn point(
        &mut self,
        text: &[u8],
        start: usize,
        limit: usize,
        mark: &Mark,
        default_time: i64,
        now_ns: i64,
    ) -> Result<usize, Stop> {
        let first = self.builder.values().len();
        let guess = self.templates.get(self.last).map_or(0, |last| last.next);
        let (index, filled) = match self.fill(text, start, guess)? {
            Some(filled) => (guess, filled),
            None => self.other(text, start, guess, mark)?,
        };
        if filled.end > limit {
            return Err(Stop::Bad(Bad { at: limit, why: Why::Expected("the record's end") }));
        }
        if filled.end - start > self.record_bytes_max {
            return Err(Stop::Bad(Bad { at: start, why: Why::TooLong }));
        }
        self.last = index;
        let time = match &self.time_format {
            None => default_time,
            Some(format) => {
                let Some((from, to, class)) = filled.time else {
                    return Err(Stop::Bad(Bad { at: start, why: Why::NoTime }));
                };
                self.text.clear();
                unescape(&mut self.text, text.get(from..to).unwrap_or_default());
                match format.read(&self.text, class == Class::Text, now_ns) {
                    Ok(time) => time,
                    Err(why) => return Err(Stop::Bad(Bad { at: from, why: Why::Time(why) })),
                }
            }
        };
        let Some(shape) = self.templates.shape(index, &mut self.builder) else {
            return Ok(filled.end);
        };
        let series = match self.series.find(&self.raw, &mut self.builder) {
            Some(series) => series,
            None => self.add_series(index, start)?,
        };
        self.builder.push_row(time, series, shape, first as u32);
        Ok(filled.end)
    }

    #[inline(never)]
    fn add_series(&mut self, template: u32, start: usize) -> Result<u32, Stop> {
        if self.series.is_full() {
            return Err(Stop::Full);
        }
        let keys = self.templates.get(template).map_or(0, |template| template.series_keys);
        let Some(keys) = self.templates.keys(keys) else { return Err(Stop::Full) };
        let limits = *self.builder.limits();
        self.series
            .add(&self.raw, keys, &self.name, &limits, &mut self.builder)
            .map_err(|refused| Stop::Bad(Bad { at: start, why: Why::Refused(refused) }))
    }

    /// Reads the record by a template that was met lately, or a new one.
    #[inline(never)]
    fn other(
        &mut self,
        text: &[u8],
        start: usize,
        guess: u32,
        mark: &Mark,
    ) -> Result<(u32, Filled), Stop> {
        self.builder.roll_back(mark);
        for index in self.recent {
            if index == guess {
                continue;
            }
            if let Some(filled) = self.fill(text, start, index)? {
                if let Some(last) = self.templates.get_mut(self.last) {
                    last.next = index;
                }
                return Ok((index, filled));
            }
            self.builder.roll_back(mark);
        }
        let (index, filled) = self.learn(text, start, mark)?;
        self.recent[self.oldest % RECENT] = index;
        self.oldest += 1;
        Ok((index, filled))
    }

    /// Takes the record apart the long way and reads it by the template that comes of that.
    #[inline(never)]
    fn learn(&mut self, text: &[u8], start: usize, mark: &Mark) -> Result<(u32, Filled), Stop> {
        if self.templates.is_full() {
            return Err(Stop::Full);
        }
        self.events.take_apart(text, start)?;
        let fields_max = self.builder.limits().fields as usize;
        let index = self.templates.of(text, &self.events, &self.roles, fields_max)?;
        if let Some(last) = self.templates.get_mut(self.last) {
            last.next = index;
        }
        match self.fill(text, start, index)? {
            Some(filled) => Ok((index, filled)),
            None => {
                self.builder.roll_back(mark);
                Err(Stop::Bad(Bad { at: start, why: Why::Expected("a record") }))
            }
        }
    }

    /// Reads the record at `start` by a template: payloads go to the batch, what makes the series to
    /// `raw`. `None` if it is not of this template.
    #[inline(always)]
    fn fill(&mut self, text: &[u8], start: usize, index: u32) -> Result<Option<Filled>, Bad> {
        let Some(template) = self.templates.get(index) else { return Ok(None) };
        self.raw.clear();
        self.raw.extend_from_slice(&template.series_keys.to_le_bytes());
        let mut time = None;
        let mut at = start;
        for step in self.templates.steps(template) {
            let Some(value) = self.templates.value(step, text, at) else { return Ok(None) };
            let (from, to);
            match step.class {
                Class::Number => {
                    if !matches!(byte(text, value), b'-' | b'0'..=b'9') {
                        return Ok(None);
                    }
                    let (number, end) = double(text, value)?;
                    if step.role & role::FIELD != 0 {
                        self.builder.values().push(number.to_bits());
                    }
                    (from, to, at) = (value, end, end);
                }
                Class::Text => {
                    if byte(text, value) != b'"' {
                        return Ok(None);
                    }
                    let (close, escaped) = string(text, value)?;
                    if step.role & role::FIELD != 0 {
                        let raw = text.get(value + 1..close).unwrap_or_default();
                        let payload = if escaped {
                            self.text.clear();
                            unescape(&mut self.text, raw);
                            self.builder.push_text(&self.text)
                        } else {
                            // The scan checked it.
                            self.builder.push_text(str::from_utf8(raw).unwrap_or_default())
                        };
                        self.builder.values().push(payload);
                    }
                    (from, to, at) = (value + 1, close, close + 1);
                }
                class => {
                    let word: &[u8] = match class {
                        Class::True => b"true",
                        Class::False => b"false",
                        _ => b"null",
                    };
                    let end = value + word.len();
                    if text.get(value..end) != Some(word) {
                        return Ok(None);
                    }
                    if step.role & role::FIELD != 0 {
                        self.builder.values().push((class == Class::True) as u64);
                    }
                    (from, to, at) = (value, end, end);
                }
            }
            if step.role & !role::FIELD != 0 {
                if step.role & (role::TAG | role::NAME) != 0 {
                    push_value(&mut self.raw, step.class, text, from, to);
                }
                if step.role & role::TIME != 0 {
                    time = Some((from, to, step.class));
                }
            }
        }
        Ok(self.templates.end(template, text, at).map(|end| Filled { end, time }))
    }
}
