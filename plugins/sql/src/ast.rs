//! A statement as it was written: our own tree, each node with its place in the query.

use crate::error::Area;

/// One statement of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The name in `CREATE STREAM name AS`.
    pub stream: Option<Name>,
    /// What rows of several measurements are called if neither that nor an option says so.
    pub otherwise: Option<String>,
    /// The value of the tag `tag` that `WITH (tag = 't')` gives the rows.
    pub tag: Option<Name>,
    /// What it does with the snapshot that it names.
    pub snapshot: Option<Snapshot>,
    pub items: Vec<Item>,
    pub source: Source,
    pub join: Option<Join>,
    pub filter: Option<Expr>,
    pub group_by: Vec<Expr>,
    pub having: Option<Expr>,
    /// The windows that the WINDOW clause names.
    pub windows: Vec<(Name, Over)>,
    pub area: Area,
}

/// What a statement does with a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub enum Snapshot {
    /// The newest points are kept: so many, or of so many nanoseconds.
    Keep { limit: Option<u64>, length: Option<i64> },
    /// They are given out.
    Flush,
}

/// A name with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Name {
    pub text: String,
    pub area: Area,
}

/// One column of the SELECT list.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// `*`
    Star(Area),
    /// `a.*`
    StarOf(Name),
    Expr {
        expr: Expr,
        alias: Option<Name>,
    },
}

/// What FROM names.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    pub kind: SourceKind,
    pub alias: Option<Name>,
    pub area: Area,
}

/// The second source.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    pub right: Source,
    /// Points of the first source without a partner are kept.
    pub keeps_left: bool,
    /// The condition in `ASOF JOIN … MATCH_CONDITION (…)`.
    pub asof: Option<Expr>,
    pub on: Option<Expr>,
    /// The names in `USING (…)`.
    pub using: Vec<Name>,
    pub area: Area,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SourceKind {
    /// One measurement or stream.
    Name(String),
    /// `measurements('a', 'b*')`
    Globs(Vec<String>),
    /// `*`
    All,
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub area: Area,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    Literal(Literal),
    Column {
        scope: Scope,
        name: String,
        quoted: bool,
    },
    /// `cpu.host`: a column of one of the sources.
    Qualified {
        source: String,
        scope: Scope,
        name: String,
        quoted: bool,
    },
    Negate(Box<Expr>),
    Not(Box<Expr>),
    /// All of them, at least two.
    And(Vec<Expr>),
    /// Any of them, at least two.
    Or(Vec<Expr>),
    Compare {
        op: CompareOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Arith {
        op: ArithOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Concat {
        left: Box<Expr>,
        right: Box<Expr>,
    },
    IsNull {
        expr: Box<Expr>,
        negated: bool,
    },
    /// `IS [NOT] TRUE`, `IS [NOT] FALSE`
    IsBool {
        expr: Box<Expr>,
        value: bool,
        negated: bool,
    },
    /// `IS [NOT] DISTINCT FROM`
    Distinct {
        left: Box<Expr>,
        right: Box<Expr>,
        negated: bool,
    },
    In {
        expr: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    Between {
        expr: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
        negated: bool,
    },
    Like {
        expr: Box<Expr>,
        pattern: Box<Expr>,
        escape: Option<char>,
        negated: bool,
        fold: bool,
    },
    Matches {
        expr: Box<Expr>,
        pattern: Box<Expr>,
        negated: bool,
        fold: bool,
    },
    Case {
        operand: Option<Box<Expr>>,
        whens: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Cast {
        expr: Box<Expr>,
        to: CastTo,
    },
    Call(Call),
}

/// What the call is named that stands for `ARRAY[…]`.
pub const ARRAY: &str = "array[]";

/// A function call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// In lower case.
    pub name: String,
    pub args: Vec<Expr>,
    /// `count(*)`
    pub star: bool,
    /// The place of DISTINCT among the arguments.
    pub distinct: Option<Area>,
    /// The condition in `FILTER (WHERE condition)`.
    pub filter: Option<Box<Expr>>,
    /// What stands behind OVER.
    pub over: Option<Box<Over>>,
    /// The place of a clause that is not honoured, with its name.
    pub clause: Option<(&'static str, Area)>,
}

/// The window of a window function.
#[derive(Debug, Clone, PartialEq)]
pub struct Over {
    /// The window of the WINDOW clause that holds all else.
    pub window: Option<Name>,
    pub partition_by: Vec<Expr>,
    pub frame: Option<Frame>,
    pub area: Area,
}

/// From where to the current row a frame reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Frame {
    /// Points of so many nanoseconds before, or all; those of the same time included.
    Range(Option<i64>),
    /// So many points before, or all.
    Rows(Option<u64>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    /// Within one of the 64-bit types.
    Int(i128),
    Float(f64),
    Text(String),
    /// Nanoseconds.
    Interval(i64),
    /// Nanoseconds since the epoch.
    Time(i64),
}

/// Where a column is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The field if there is one, else the tag.
    Any,
    Tag,
    Field,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArithOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
}

/// What CAST makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CastTo {
    /// A signed 64-bit integer.
    Int,
    /// An unsigned 64-bit integer.
    UInt,
    Float,
    Text,
    Bool,
    Time,
    Interval,
}
