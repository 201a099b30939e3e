//! A bound statement: what runs. Names are resolved to numbers, functions to kernels, aggregates are
//! told apart from what is computed per point and per group.

use std::sync::Arc;

use headwater_plugin_api::config::GlobSet;
use regex::Regex;

use crate::ast::{ArithOp, CastTo, CompareOp, Frame, Scope};
use crate::error::Area;
use crate::eval::functions::Function;
use crate::eval::like::Like;
use crate::table::TableSource;

/// A column that a statement reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub scope: Scope,
    /// It stands in double quotes.
    pub quoted: bool,
    pub area: Area,
}

/// An expression whose names are resolved.
#[derive(Debug, Clone)]
pub enum Node {
    Const(Const),
    /// By its number in [`Plan::columns`].
    Column(usize),
    /// The point's time.
    Time,
    /// The point's measurement.
    Measurement,
    /// A group key, by its number in [`Aggregate::keys`].
    Key(usize),
    /// An aggregate's result, by its number in [`Aggregate::aggregates`].
    Aggregate(usize),
    /// What a row with window functions takes from its point, by its number in [`Over::carried`].
    Carried(usize),
    /// A window function's result, by its number in [`Over::calls`].
    Over(usize),
    WindowStart,
    WindowEnd,
    Negate(Box<Node>),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Compare(CompareOp, Box<Node>, Box<Node>),
    Arith(ArithOp, Box<Node>, Box<Node>),
    Concat(Box<Node>, Box<Node>),
    IsNull(Box<Node>, bool),
    /// Whether it is (TRUE or FALSE), negated.
    IsBool(Box<Node>, bool, bool),
    /// IS NOT DISTINCT FROM if negated.
    Distinct(Box<Node>, Box<Node>, bool),
    In(Box<Node>, Vec<Node>, bool),
    Between {
        value: Box<Node>,
        low: Box<Node>,
        high: Box<Node>,
        negated: bool,
    },
    Like {
        value: Box<Node>,
        pattern: Box<Like>,
        negated: bool,
    },
    Matches {
        value: Box<Node>,
        pattern: Box<Regex>,
        negated: bool,
    },
    Case {
        whens: Vec<(Node, Node)>,
        otherwise: Option<Box<Node>>,
    },
    Cast(Box<Node>, CastTo),
    /// Nanoseconds since the epoch as a time.
    Moment(Box<Node>),
    Call(Function, Vec<Node>),
    /// A call with a regular expression that was compiled beforehand.
    Replace {
        value: Box<Node>,
        pattern: Box<Regex>,
        with: Box<Node>,
        all: bool,
    },
    Extract {
        value: Box<Node>,
        pattern: Box<Regex>,
        group: usize,
    },
}

/// A value that stands in the statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Const {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Time(i64),
    Interval(i64),
}

/// What a statement reads.
#[derive(Debug, Clone)]
pub enum Reads {
    Name(String),
    Globs(GlobSet),
    All,
    /// What the sides of a join read.
    Sides(Box<[Reads; 2]>),
}

/// The name of joined rows, which no other statement sees.
pub const HIDDEN: &str = "\0join";

impl Reads {
    /// Whether joined rows are read.
    pub fn is_hidden(&self) -> bool {
        matches!(self, Reads::Name(name) if name == HIDDEN)
    }

    /// Whether points of that measurement are read.
    pub fn matches(&self, measurement: &str) -> bool {
        match self {
            Reads::Name(name) => name == measurement,
            Reads::Globs(globs) => globs.matches(measurement),
            Reads::All => true,
            Reads::Sides(sides) => sides.iter().any(|side| side.matches(measurement)),
        }
    }
}

/// How results are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResultName {
    Fixed(String),
    /// The measurement of the point with `_sql` behind it.
    Derived,
}

/// A column of the result.
#[derive(Debug, Clone)]
pub struct Output {
    pub name: String,
    pub node: Node,
    pub role: Role,
}

/// What a column of the result becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Field,
    /// The options say so.
    Tag,
    /// A tag if it is text, else a field.
    Key,
    /// A tag if it is text, else nothing: a group key that was not selected.
    HiddenKey,
    /// The time of the result.
    Time,
}

/// What is done with the points that are read.
#[derive(Debug, Clone)]
pub enum Action {
    /// Each point becomes one.
    Project { star: bool, outputs: Vec<Output> },
    /// The points of each window and group become one.
    Aggregate(Aggregate),
    /// Each point becomes one, which knows of those before it.
    Over(Over),
    /// Points of two sources become one: rows that another statement reads.
    Join(Box<Join>),
    /// Points are held by a join.
    Side(Side),
    /// The newest points are held until they are asked for.
    Snapshot(Box<Snapshot>),
    /// They are asked for: part of the snapshot of that name.
    Flush,
}

/// A snapshot.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub name: String,
    /// Which points are held, and which ask for them: each an [`Action::Side`].
    pub keeps: Plan,
    pub flushes: Vec<Plan>,
    /// So many points.
    pub limit: Option<u64>,
    /// Those of so many nanoseconds before the newest.
    pub length: Option<i64>,
    /// A tag that all get.
    pub tag: Option<Output>,
}

/// A join of two sources.
#[derive(Debug, Clone)]
pub struct Join {
    /// What is done with the points of each source: an [`Action::Side`].
    pub sides: [Plan; 2],
    /// A point of the first source has one partner at most, the latest.
    pub asof: bool,
    /// Points of the first source without a partner are kept.
    pub keeps_left: bool,
    /// A partner's time less the point's own lies from the first to the second, nanoseconds.
    pub bounds: (i64, i64),
    /// What the partner's time is called, if it is asked for.
    pub partner_time: Option<String>,
    /// The stream that the statement behind makes.
    pub stream: String,
    /// For people: the keys, the bounds, the conditions that were pushed down.
    pub told: Vec<(&'static str, String)>,
}

/// One source of a join.
#[derive(Debug, Clone)]
pub struct Side {
    /// What must be equal on both sides; NULL equals nothing.
    pub keys: Vec<Node>,
    /// What joined rows take over.
    pub carried: Vec<Carried>,
}

/// A column of one source in joined rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// What it is called there.
    pub name: String,
    /// By its number in [`Plan::columns`]; none for the measurement.
    pub column: Option<usize>,
}

/// A window. Times are nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// One beside the other.
    Tumbling { size: i64, offset: i64 },
    /// One every `slide`; `size` is longer.
    Hop { slide: i64, size: i64 },
    /// Until a group is silent for so long.
    Session { gap: i64 },
    /// So many points of a group.
    Rows { count: u64 },
}

/// A statement with a window.
#[derive(Debug, Clone)]
pub struct Aggregate {
    pub window: Window,
    pub keys: Vec<Node>,
    /// What the aggregates are computed over, each once.
    pub inputs: Vec<Node>,
    pub aggregates: Vec<AggregateCall>,
    pub having: Option<Node>,
    pub outputs: Vec<Output>,
}

/// A statement with window functions.
#[derive(Debug, Clone)]
pub struct Over {
    /// PARTITION BY.
    pub keys: Vec<Node>,
    /// What the functions are computed over, each once.
    pub inputs: Vec<Node>,
    /// What a row takes from its point.
    pub carried: Vec<Node>,
    pub calls: Vec<OverCall>,
    /// The row takes all tags and fields of its point.
    pub star: bool,
    /// Where the measurement stands among `carried`, if it names the row.
    pub measurement: Option<usize>,
    pub outputs: Vec<Output>,
}

/// A window function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverCall {
    pub function: OverFunction,
    /// By its number in [`Over::inputs`]; none for `count(*)` and `row_number()`.
    pub input: Option<usize>,
    pub frame: Frame,
}

/// What is computed over a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverFunction {
    Aggregate(AggregateFunction),
    RowNumber,
    /// The value so many rows before; the default by its number in [`Over::carried`].
    Lag {
        back: u64,
        default: Option<usize>,
    },
    FirstValue,
    LastValue,
}

/// An aggregate over one of the inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AggregateCall {
    pub function: AggregateFunction,
    /// By its number in [`Aggregate::inputs`]; none for `count(*)`. A FILTER is part of the input,
    /// which is NULL where its condition does not hold.
    pub input: Option<usize>,
    /// Each value counts once; the bytes that the values of a window may take.
    pub distinct: Option<usize>,
    /// The input is text with states that `partial` emitted.
    pub merges: bool,
    /// The result is text with the state.
    pub partial: bool,
    /// Bytes that values which are kept one by one may take in a window.
    pub room: usize,
}

/// What [`AggregateCall::room`] is unless the options say otherwise.
const ROOM: usize = 64 << 20;

impl AggregateCall {
    /// A plain call.
    pub fn new(function: AggregateFunction, input: Option<usize>) -> Self {
        AggregateCall { function, input, distinct: None, merges: false, partial: false, room: ROOM }
    }
}

/// A number from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Share(u64);

impl Share {
    pub const HALF: Share = Share(0.5_f64.to_bits());

    pub fn new(value: f64) -> Option<Share> {
        // A negative zero is a zero.
        (0.0..=1.0).contains(&value).then(|| Share((value + 0.0).to_bits()))
    }

    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// The upper limits of a histogram's buckets, upwards. They stand in place, so that calls can be copied.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    count: u8,
    bits: [u64; Limits::MOST],
}

impl Limits {
    /// How many there may be.
    pub const MOST: usize = 20;
    /// None, until the arguments tell.
    pub const NONE: Limits = Limits { count: 0, bits: [0; Limits::MOST] };

    /// Numbers that rise; `None` if they do not, or are none or too many.
    pub fn new(values: &[f64]) -> Option<Limits> {
        let rise = values.windows(2).all(|pair| pair[0] < pair[1]);
        if values.is_empty() || values.len() > Limits::MOST || !rise {
            return None;
        }
        let mut made = Limits { count: values.len() as u8, bits: [0; Limits::MOST] };
        for (bits, value) in made.bits.iter_mut().zip(values) {
            // A negative zero is a zero.
            *bits = (value + 0.0).to_bits();
        }
        values.iter().all(|value| value.is_finite()).then_some(made)
    }

    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    pub fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        self.bits[..self.len()].iter().map(|bits| f64::from_bits(*bits))
    }
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// What stands between texts that are put together. It stands in place, as [`Limits`] do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Separator {
    length: u8,
    bytes: [u8; Separator::MOST],
}

impl Separator {
    /// Bytes that it may have.
    pub const MOST: usize = 16;
    /// Nothing, until the arguments tell.
    pub const NONE: Separator = Separator { length: 0, bytes: [0; Separator::MOST] };

    /// `None` if it is too long.
    pub fn new(text: &str) -> Option<Separator> {
        let mut bytes = [0; Separator::MOST];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Separator { length: text.len() as u8, bytes })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

/// Aggregates of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// Rows, or values that are not NULL.
    Count,
    Sum,
    Avg,
    Min,
    Max,
    First,
    Last,
    Stddev,
    StddevPop,
    Variance,
    VariancePop,
    Spread,
    AnyValue,
    /// The value below which that share of all lies, within 1 %.
    Quantile(Share),
    /// How many different values there are, within 2 %.
    ApproxDistinct,
    /// What a line through the values is so many nanoseconds behind the latest.
    Forecast(i64),
    /// How many values there are up to each limit, as JSON.
    Histogram(Limits),
    /// The value that is there most often.
    Mode,
    /// So many of those that are there most often, as JSON.
    TopK(u16),
    /// The value below which that share of all lies.
    ExactQuantile(Share),
    /// All values as one text, in the order of their times.
    StringAgg(Separator),
    /// What a counter went up by, its series one by one.
    Increase,
    /// The same for each second.
    Rate,
    /// By how much the last values differ from the first.
    Delta,
}

/// A statement that is ready to run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub reads: Reads,
    pub name: ResultName,
    pub columns: Vec<Column>,
    /// What must hold for a point, all of it.
    pub filters: Vec<Node>,
    pub action: Action,
    /// The join whose rows it reads.
    pub join: Option<Box<Plan>>,
    /// The table that is joined to its points.
    pub table: Option<TableJoin>,
}

/// A table that is joined to points.
#[derive(Debug, Clone)]
pub struct TableJoin {
    pub source: Arc<TableSource>,
    /// What must be equal, of the point; NULL equals nothing.
    pub keys: Vec<Node>,
    /// The table's columns that must equal them.
    pub key_columns: Vec<String>,
    pub columns: Vec<TableColumn>,
    /// Points without a row are kept.
    pub keeps_left: bool,
    /// For people.
    pub told: Vec<(&'static str, String)>,
}

/// A column of a table that a statement reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// What it is called in [`Plan::columns`].
    pub name: String,
    /// What it is called in the table.
    pub of: String,
}

impl Node {
    /// Calls `f` for this node and all below it.
    pub fn visit(&self, f: &mut impl FnMut(&Node)) {
        f(self);
        match self {
            Node::Const(_)
            | Node::Column(_)
            | Node::Time
            | Node::Measurement
            | Node::Key(_)
            | Node::Aggregate(_)
            | Node::Carried(_)
            | Node::Over(_)
            | Node::WindowStart
            | Node::WindowEnd => {}
            Node::Negate(a)
            | Node::Not(a)
            | Node::IsNull(a, _)
            | Node::IsBool(a, ..)
            | Node::Cast(a, _)
            | Node::Moment(a)
            | Node::Like { value: a, .. }
            | Node::Matches { value: a, .. }
            | Node::Extract { value: a, .. } => a.visit(f),
            Node::Compare(_, a, b)
            | Node::Arith(_, a, b)
            | Node::Concat(a, b)
            | Node::Distinct(a, b, _)
            | Node::Replace { value: a, with: b, .. } => {
                a.visit(f);
                b.visit(f);
            }
            Node::And(list) | Node::Or(list) | Node::Call(_, list) => {
                list.iter().for_each(|node| node.visit(f));
            }
            Node::In(a, list, _) => {
                a.visit(f);
                list.iter().for_each(|node| node.visit(f));
            }
            Node::Between { value, low, high, .. } => {
                value.visit(f);
                low.visit(f);
                high.visit(f);
            }
            Node::Case { whens, otherwise } => {
                for (when, then) in whens {
                    when.visit(f);
                    then.visit(f);
                }
                if let Some(node) = otherwise {
                    node.visit(f);
                }
            }
        }
    }

    /// Whether its value may differ between two points of a series even if it reads tags alone.
    pub fn needs_point(&self) -> bool {
        let mut needs = false;
        self.visit(&mut |node| {
            needs |= matches!(node, Node::Time | Node::Call(Function::Now, _));
        });
        needs
    }
}
