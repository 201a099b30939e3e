//! The operators and functions with arguments of fixed kinds, as both sides write them.
//!
//! An integer is `numeric` in PostgreSQL, cut to our range by `hw_int`: so overflow is NULL there too. What
//! PostgreSQL raises an error for is NULL in `hw_...` functions (see `prelude.sql`).

use super::node::tight::{self, ADD, ANY, ATOM, COMPARE, MUL, OTHER, POW, SIGN};
use crate::table::Kind::{self, Bool, Float, Int, Span, Text, Time};

/// What stands at a place of a form, and how tightly it must hold together.
#[derive(Debug, Clone, Copy)]
pub enum Slot {
    Of(Kind, u8),
    /// An integer or a float, which PostgreSQL gets as `float8`.
    Number(u8),
    /// A small integer, `int4` in PostgreSQL.
    Small,
    /// An integer from 0 to 3.
    Tiny,
    /// A literal text of one to three characters.
    Piece,
}

/// An operator or a function.
#[derive(Debug)]
pub struct Form {
    pub kind: Kind,
    pub ours: &'static str,
    pub theirs: &'static str,
    pub slots: &'static [Slot],
    pub tight: u8,
    pub rough: bool,
}

const fn form(
    kind: Kind,
    tight: u8,
    ours: &'static str,
    theirs: &'static str,
    slots: &'static [Slot],
) -> Form {
    Form { kind, ours, theirs, slots, tight, rough: false }
}

const fn rough(ours: &'static str, theirs: &'static str) -> Form {
    Form { kind: Float, ours, theirs, slots: &[Number(ANY)], tight: ATOM, rough: true }
}

use Slot::{Number, Of, Piece, Small, Tiny};

const I: Slot = Of(Int, ANY);
const S: Slot = Of(Text, ANY);
const T: Slot = Of(Time, ANY);
const N: Slot = Number(ANY);

pub const FORMS: &[Form] = &[
    // Integers
    form(Int, ADD, "{0} + {1}", "hw_int({0} + {1})", &[Of(Int, ADD), Of(Int, MUL)]),
    form(Int, ADD, "{0} - {1}", "hw_int({0} - {1})", &[Of(Int, ADD), Of(Int, MUL)]),
    form(Int, MUL, "{0} * {1}", "hw_int({0} * {1})", &[Of(Int, MUL), Of(Int, POW)]),
    form(Int, MUL, "{0} / {1}", "hw_int(div({0}, nullif({1}, 0)))", &[Of(Int, MUL), Of(Int, POW)]),
    form(Int, MUL, "{0} % {1}", "mod({0}, nullif({1}, 0))", &[Of(Int, MUL), Of(Int, POW)]),
    form(Int, SIGN, "- {0}", "hw_int(- {0})", &[Of(Int, SIGN)]),
    form(Int, SIGN, "+ {0}", "{0}", &[Of(Int, SIGN)]),
    form(Int, ATOM, "abs({0})", "hw_int(abs({0}))", &[I]),
    form(Int, ATOM, "mod({0}, {1})", "mod({0}, nullif({1}, 0))", &[I, I]),
    form(Int, ATOM, "CAST({0} AS BIGINT)", "hw_int64({0})", &[I]),
    form(Int, ATOM, "CAST({0} AS BIGINT)", "hw_int64_of_float({0})", &[Of(Float, ANY)]),
    form(Int, ATOM, "CAST({0} AS BIGINT)", "hw_int64_of_text({0})", &[S]),
    form(Int, ATOM, "CAST({0} AS BIGINT)", "({0})::int::numeric", &[Of(Bool, ANY)]),
    form(Int, tight::CAST, "{0}::BIGINT", "hw_int64({0})", &[Of(Int, tight::CAST)]),
    form(Int, ATOM, "CAST({0} AS UBIGINT)", "hw_uint64({0})", &[I]),
    form(Int, ATOM, "length({0})", "length({0})::numeric", &[S]),
    form(Int, ATOM, "char_length({0})", "char_length({0})::numeric", &[S]),
    form(Int, ATOM, "octet_length({0})", "octet_length({0})::numeric", &[S]),
    form(Int, ATOM, "strpos({0}, {1})", "strpos({0}, {1})::numeric", &[S, S]),
    form(
        Int,
        ATOM,
        "position({0} IN {1})",
        "strpos({1}, {0})::numeric",
        &[Of(Text, ATOM), Of(Text, ATOM)],
    ),
    // Floats
    form(Float, ADD, "{0} + {1}", "hw_add({0}, {1})", &[Of(Float, ADD), Number(MUL)]),
    form(Float, ADD, "{0} - {1}", "hw_add({0}, -({1}))", &[Number(ADD), Of(Float, MUL)]),
    form(Float, MUL, "{0} * {1}", "hw_multiply({0}, {1})", &[Number(MUL), Of(Float, POW)]),
    form(Float, MUL, "{0} / {1}", "hw_divide({0}, {1})", &[Of(Float, MUL), Number(POW)]),
    form(Float, MUL, "{0} / {1}", "hw_divide({0}, {1})", &[Number(MUL), Of(Float, POW)]),
    form(Float, POW, "{0} ^ {1}", "hw_power({0}, {1})", &[Number(tight::CAST), Number(SIGN)]),
    form(Float, SIGN, "- {0}", "(- {0})", &[Of(Float, SIGN)]),
    form(Float, ATOM, "abs({0})", "abs({0})", &[Of(Float, ANY)]),
    form(Float, ATOM, "sign({0})", "sign({0})", &[N]),
    form(Float, ATOM, "round({0})", "round({0})", &[N]),
    form(Float, ATOM, "round({0}, {1})", "hw_round({0}, {1})", &[N, Small]),
    form(Float, ATOM, "floor({0})", "floor({0})", &[N]),
    form(Float, ATOM, "ceil({0})", "ceil({0})", &[N]),
    form(Float, ATOM, "ceiling({0})", "ceiling({0})", &[N]),
    form(Float, ATOM, "trunc({0})", "trunc({0})", &[N]),
    form(Float, ATOM, "sqrt({0})", "hw_sqrt({0})", &[N]),
    form(Float, ATOM, "exp({0})", "hw_exp({0})", &[N]),
    form(Float, ATOM, "ln({0})", "hw_ln({0})", &[N]),
    form(Float, ATOM, "log10({0})", "hw_log10({0})", &[N]),
    form(Float, ATOM, "log({0})", "hw_log10({0})", &[N]),
    form(Float, ATOM, "pow({0}, {1})", "hw_power({0}, {1})", &[N, N]),
    form(Float, ATOM, "power({0}, {1})", "hw_power({0}, {1})", &[N, N]),
    form(Float, ATOM, "sin({0})", "sin({0})", &[N]),
    form(Float, ATOM, "cos({0})", "cos({0})", &[N]),
    form(Float, ATOM, "tan({0})", "tan({0})", &[N]),
    form(Float, ATOM, "atan({0})", "atan({0})", &[N]),
    form(Float, ATOM, "atan2({0}, {1})", "atan2({0}, {1})", &[N, N]),
    form(Float, ATOM, "pi()", "pi()", &[]),
    rough("cbrt({0})", "cbrt({0})"),
    rough("log2({0})", "hw_log2({0})"),
    rough("degrees({0})", "hw_degrees({0})"),
    rough("radians({0})", "hw_radians({0})"),
    form(Float, ATOM, "CAST({0} AS DOUBLE PRECISION)", "({0})::float8", &[I]),
    form(Float, ATOM, "CAST({0} AS DOUBLE)", "hw_float_of_text({0})", &[S]),
    form(Float, tight::CAST, "{0}::FLOAT8", "({0})::float8", &[Of(Int, tight::CAST)]),
    form(Float, ATOM, "to_unixtime({0})", "extract(epoch from {0})::float8", &[T]),
    // Text
    form(Text, OTHER, "{0} || {1}", "{0} || {1}", &[Of(Text, OTHER), Of(Text, ADD)]),
    form(Text, OTHER, "{0} || {1}", "{0} || {1}", &[Of(Text, OTHER), Of(Int, ADD)]),
    form(Text, OTHER, "{0} || {1}", "{0} || {1}", &[Of(Bool, ATOM), Of(Text, ADD)]),
    form(Text, ATOM, "lower({0})", "lower({0})", &[S]),
    form(Text, ATOM, "upper({0})", "upper({0})", &[S]),
    form(Text, ATOM, "trim({0})", "trim({0})", &[S]),
    form(Text, ATOM, "btrim({0}, {1})", "btrim({0}, {1})", &[S, Piece]),
    form(Text, ATOM, "ltrim({0})", "ltrim({0})", &[S]),
    form(Text, ATOM, "ltrim({0}, {1})", "ltrim({0}, {1})", &[S, S]),
    form(Text, ATOM, "rtrim({0}, {1})", "rtrim({0}, {1})", &[S, Piece]),
    form(Text, ATOM, "trim(BOTH {1} FROM {0})", "trim(both {1} from {0})", &[S, Piece]),
    form(Text, ATOM, "trim(LEADING {1} FROM {0})", "trim(leading {1} from {0})", &[S, Piece]),
    form(Text, ATOM, "trim(TRAILING {1} FROM {0})", "trim(trailing {1} from {0})", &[S, Piece]),
    form(Text, ATOM, "substr({0}, {1})", "substr({0}, {1})", &[S, Small]),
    form(Text, ATOM, "substr({0}, {1}, {2})", "hw_substr({0}, {1}, {2})", &[S, Small, Small]),
    form(
        Text,
        ATOM,
        "substring({0} FROM {1} FOR {2})",
        "hw_substr({0}, {1}, {2})",
        &[S, Small, Small],
    ),
    form(Text, ATOM, "left({0}, {1})", "left({0}, {1})", &[S, Small]),
    form(Text, ATOM, "right({0}, {1})", "right({0}, {1})", &[S, Small]),
    form(Text, ATOM, "replace({0}, {1}, {2})", "replace({0}, {1}, {2})", &[S, Piece, Piece]),
    form(Text, ATOM, "replace({0}, {1}, {2})", "replace({0}, {1}, {2})", &[S, S, Piece]),
    form(
        Text,
        ATOM,
        "split_part({0}, {1}, {2})",
        "hw_split_part({0}, {1}, {2})",
        &[S, Piece, Small],
    ),
    form(
        Text,
        ATOM,
        "concat({0}, {1}, {2})",
        "concat({0}, {1}, ({2})::text)",
        &[S, I, Of(Bool, ANY)],
    ),
    form(Text, ATOM, "concat({0}, {1})", "concat({0}, {1})", &[S, S]),
    form(
        Text,
        ATOM,
        "concat_ws({0}, {1}, {2}, {3})",
        "concat_ws({0}, {1}, {2}, {3})",
        &[S, S, I, S],
    ),
    form(Text, ATOM, "reverse({0})", "reverse({0})", &[S]),
    form(Text, ATOM, "repeat({0}, {1})", "repeat({0}, {1})", &[S, Tiny]),
    form(Text, ATOM, "lpad({0}, {1})", "lpad({0}, {1})", &[S, Small]),
    form(Text, ATOM, "lpad({0}, {1}, {2})", "lpad({0}, {1}, {2})", &[S, Small, S]),
    form(Text, ATOM, "rpad({0}, {1}, {2})", "rpad({0}, {1}, {2})", &[S, Small, S]),
    form(Text, ATOM, "CAST({0} AS TEXT)", "({0})::text", &[I]),
    form(Text, ATOM, "CAST({0} AS TEXT)", "({0})::text", &[Of(Bool, ANY)]),
    form(Text, ATOM, "CAST({0} AS TEXT)", "({0})::text", &[S]),
    // Of some greater ones PostgreSQL takes another of the shortest forms, or not quite the shortest.
    form(
        Text,
        ATOM,
        "CAST(CASE WHEN abs({0}) < 1e12 THEN {0} END AS TEXT)",
        "hw_text_of_float(CASE WHEN abs({0}) < 1e12 THEN {0} END)",
        &[Of(Float, ANY)],
    ),
    form(Text, ATOM, "CAST({0} AS TEXT)", "hw_text_of_time({0})", &[T]),
    form(Text, tight::CAST, "{0}::TEXT", "{0}::text", &[Of(Int, tight::CAST)]),
    // Truth values
    form(Bool, ATOM, "starts_with({0}, {1})", "starts_with({0}, {1})", &[S, S]),
    form(Bool, ATOM, "ends_with({0}, {1})", "hw_ends_with({0}, {1})", &[S, S]),
    form(Bool, ATOM, "contains({0}, {1})", "(strpos({0}, {1}) > 0)", &[S, S]),
    form(Bool, ATOM, "CAST({0} AS BOOLEAN)", "(({0}) <> 0)", &[I]),
    form(Bool, ATOM, "CAST({0} AS BOOLEAN)", "hw_bool_of_text({0})", &[S]),
    form(Bool, COMPARE, "{0} = {1}", "{0} = {1}", &[Number(LIKE), Of(Float, LIKE)]),
    form(Bool, COMPARE, "{0} < {1}", "{0} < {1}", &[Of(Float, LIKE), Number(LIKE)]),
    form(Bool, COMPARE, "{0} >= {1}", "{0} >= {1}", &[Number(LIKE), Of(Float, LIKE)]),
    form(Bool, tight::NOT, "NOT {0}", "NOT {0}", &[Of(Bool, tight::NOT)]),
    // Times
    form(Time, ADD, "{0} + {1}", "hw_time({0} + {1})", &[Of(Time, ADD), Of(Span, MUL)]),
    form(Time, ADD, "{0} + {1}", "hw_time({0} + {1})", &[Of(Span, ADD), Of(Time, MUL)]),
    form(Time, ADD, "{0} - {1}", "hw_time({0} - {1})", &[Of(Time, ADD), Of(Span, MUL)]),
    form(Time, ATOM, "from_unixtime({0})", "hw_time_of_seconds({0})", &[I]),
    form(Time, ATOM, "to_timestamp({0})", "hw_time_of_seconds({0})", &[I]),
    form(Time, ATOM, "CAST({0} AS TIMESTAMP)", "hw_time_of_text({0})", &[S]),
    // Lengths of time
    form(Span, ADD, "{0} - {1}", "hw_span({0} - {1})", &[Of(Time, ADD), Of(Time, MUL)]),
    form(Span, ADD, "{0} + {1}", "hw_span({0} + {1})", &[Of(Span, ADD), Of(Span, MUL)]),
    form(Span, MUL, "{0} * {1}", "hw_span({0} * {1})", &[Of(Span, MUL), Small]),
    form(Span, MUL, "{1} * {0}", "hw_span({1} * {0})", &[Of(Span, POW), Small]),
    form(Span, SIGN, "- {0}", "hw_span(- {0})", &[Of(Span, SIGN)]),
];

const LIKE: u8 = tight::LIKE;
