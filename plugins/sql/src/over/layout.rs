//! What the window functions of a statement have in common: their frames, what is computed over each,
//! and which inputs are looked back at.

use super::slide::{Family, Slide};
use crate::ast::Frame;
use crate::plan::{AggregateFunction, Over, OverFunction};

pub struct Layout {
    pub inputs: usize,
    pub carried: usize,
    /// The different frames.
    pub frames: Vec<Frame>,
    pub slides: Vec<Slid>,
    pub calls: Vec<Call>,
    /// How far back in time a row sees, if time bounds all frames: a point further back changes nothing.
    pub reach: Option<i64>,
    /// The inputs that are looked back at.
    pub kept: Vec<usize>,
    /// Some frame has a start, so that rows are kept.
    pub looks_back: bool,
}

/// What is computed over a frame.
pub struct Slid {
    pub frame: usize,
    pub input: Option<usize>,
    /// Where the input stands in a row of the history.
    pub column: Option<usize>,
    pub family: Family,
}

/// How a function's results are read.
pub struct Call {
    pub read: Read,
    /// By the number of the frame.
    pub frame: usize,
}

#[derive(Clone, Copy)]
pub enum Read {
    Slide {
        slide: usize,
        function: AggregateFunction,
    },
    RowNumber,
    Lag {
        back: u64,
        input: usize,
        column: usize,
        default: Option<usize>,
    },
    /// The value of the frame's first row.
    First {
        column: usize,
    },
    Last {
        input: usize,
    },
}

impl Layout {
    pub fn new(over: &Over) -> Layout {
        let mut made = Layout {
            inputs: over.inputs.len(),
            carried: over.carried.len(),
            frames: Vec::new(),
            slides: Vec::new(),
            calls: Vec::new(),
            reach: Some(0),
            kept: Vec::new(),
            looks_back: false,
        };
        for call in &over.calls {
            let frame = made.frame(call.frame);
            made.reach = match (made.reach, call.frame) {
                (Some(reach), Frame::Range(Some(back))) => Some(reach.max(back)),
                _ => None,
            };
            let bounded = made.is_bounded(frame);
            made.looks_back |= bounded;
            let input = call.input.unwrap_or_default();
            let read = match call.function {
                OverFunction::RowNumber => Read::RowNumber,
                OverFunction::LastValue => Read::Last { input },
                OverFunction::Lag { back, default } => {
                    Read::Lag { back, input, column: made.keep(input), default }
                }
                OverFunction::FirstValue if bounded => Read::First { column: made.keep(input) },
                OverFunction::FirstValue => {
                    let function = AggregateFunction::AnyValue;
                    let slide = made.slide(frame, call.input, Family::Opening, bounded);
                    Read::Slide { slide, function }
                }
                OverFunction::Aggregate(function) => {
                    let family = Family::of(function);
                    let slide = made.slide(frame, call.input, family, bounded);
                    Read::Slide { slide, function }
                }
            };
            made.calls.push(Call { read, frame });
        }
        made
    }

    fn frame(&mut self, frame: Frame) -> usize {
        if let Some(known) = self.frames.iter().position(|known| *known == frame) {
            return known;
        }
        self.frames.push(frame);
        self.frames.len() - 1
    }

    /// Whether rows leave the frame.
    pub fn is_bounded(&self, frame: usize) -> bool {
        matches!(self.frames.get(frame), Some(Frame::Range(Some(_)) | Frame::Rows(Some(_))))
    }

    /// Whether rows of one time enter the frame together.
    pub fn has_peers(&self, frame: usize) -> bool {
        matches!(self.frames.get(frame), Some(Frame::Range(_)))
    }

    fn keep(&mut self, input: usize) -> usize {
        if let Some(known) = self.kept.iter().position(|known| *known == input) {
            return known;
        }
        self.kept.push(input);
        self.kept.len() - 1
    }

    fn slide(
        &mut self,
        frame: usize,
        input: Option<usize>,
        family: Family,
        bounded: bool,
    ) -> usize {
        let same = |slid: &Slid| (slid.frame, slid.input, slid.family) == (frame, input, family);
        if let Some(known) = self.slides.iter().position(same) {
            return known;
        }
        let column = input.filter(|_| bounded).map(|input| self.keep(input));
        self.slides.push(Slid { frame, input, column, family });
        self.slides.len() - 1
    }

    /// The frames of a run that has no rows.
    pub fn fresh(&self) -> Vec<Slide> {
        let fresh = |slid: &Slid| Slide::new(slid.family, self.is_bounded(slid.frame));
        self.slides.iter().map(fresh).collect()
    }

    /// Values of a point that waits for its row: inputs, then what the row takes over.
    pub fn width(&self) -> usize {
        self.inputs + self.carried
    }

    /// Values of a row: what it takes over, then the results.
    pub fn row_width(&self) -> usize {
        self.carried + self.calls.len()
    }
}
