//! What is known of an expression's kind before there are points.

use super::expr::Binder;
use crate::ast::{ArithOp, CastTo, Scope as ColumnScope};
use crate::eval::functions::{self, Function};
use crate::plan::*;
use crate::vector::Kind;

impl Binder {
    pub fn arith_kind(&self, op: ArithOp, a: Kind, b: Kind) -> Option<Kind> {
        use ArithOp::{Add, Div, Mul, Sub};
        use Kind::{Any, Float, Int, Interval, Null, Time};
        Some(match (a, op, b) {
            (Int, _, Int) => Int,
            (Int | Float, _, Int | Float) => Float,
            (Time, Add | Sub, Interval) | (Interval, Add, Time) => Time,
            (Time, Sub, Time) | (Interval, Add | Sub, Interval) => Interval,
            (Interval, Mul | Div, Int | Float) | (Int | Float, Mul, Interval) => Interval,
            (Any | Null, _, Any | Null | Int | Float) | (Int | Float, _, Any | Null) => Any,
            (Any | Null, Add | Sub | Mul, Interval) | (Interval, _, Any | Null) => Any,
            (Any | Null, Sub, Time) | (Time, Add | Sub, Any | Null) | (Any | Null, Add, Time) => {
                Any
            }
            _ => return None,
        })
    }

    /// What is known of a node's kind.
    pub fn kind(&self, node: &Node) -> Kind {
        match node {
            Node::Const(value) => match value {
                Const::Null => Kind::Null,
                Const::Bool(_) => Kind::Bool,
                Const::Int(_) => Kind::Int,
                Const::Float(_) => Kind::Float,
                Const::Text(_) => Kind::Text,
                Const::Time(_) => Kind::Time,
                Const::Interval(_) => Kind::Interval,
            },
            Node::Column(number) => match self.columns.get(*number) {
                Some(Column { scope: ColumnScope::Tag, .. }) => Kind::Text,
                _ => Kind::Any,
            },
            Node::Time | Node::Moment(_) | Node::WindowStart | Node::WindowEnd => Kind::Time,
            Node::Measurement | Node::Concat(..) | Node::Replace { .. } | Node::Extract { .. } => {
                Kind::Text
            }
            Node::Key(number) => {
                self.key_nodes.get(*number).map_or(Kind::Any, |node| self.kind(node))
            }
            Node::Aggregate(number) => match self.aggregates.get(*number) {
                Some(call) => self.aggregate_kind(call),
                None => Kind::Any,
            },
            Node::Carried(number) => {
                self.carried.get(*number).map_or(Kind::Any, |node| self.kind(node))
            }
            Node::Over(number) => {
                self.over.get(*number).map_or(Kind::Any, |call| self.over_kind(call))
            }
            Node::Negate(a) => self.kind(a),
            Node::Not(_)
            | Node::And(_)
            | Node::Or(_)
            | Node::Compare(..)
            | Node::IsNull(..)
            | Node::IsBool(..)
            | Node::Distinct(..)
            | Node::In(..)
            | Node::Between { .. }
            | Node::Like { .. }
            | Node::Matches { .. } => Kind::Bool,
            Node::Arith(op, a, b) => {
                self.arith_kind(*op, self.kind(a), self.kind(b)).unwrap_or(Kind::Any)
            }
            Node::Case { whens, otherwise } => {
                let mut nodes: Vec<&Node> = whens.iter().map(|(_, then)| then).collect();
                nodes.extend(otherwise.as_deref());
                self.chosen(&nodes)
            }
            Node::Cast(_, to) => match to {
                CastTo::Int | CastTo::UInt => Kind::Int,
                CastTo::Float => Kind::Float,
                CastTo::Text => Kind::Text,
                CastTo::Bool => Kind::Bool,
                CastTo::Time => Kind::Time,
                CastTo::Interval => Kind::Interval,
            },
            Node::Call(function, args) => match function {
                Function::Abs => self.kind(&args[0]),
                Function::Mod => {
                    let (a, b) = (self.kind(&args[0]), self.kind(&args[1]));
                    self.arith_kind(ArithOp::Mod, a, b).unwrap_or(Kind::Any)
                }
                Function::Least | Function::Greatest | Function::Coalesce => {
                    self.chosen(&args.iter().collect::<Vec<_>>())
                }
                Function::NullIf => self.kind(&args[0]),
                other => {
                    let signature = functions::CATALOGUE.iter().find(|s| s.function == *other);
                    signature.map_or(Kind::Any, |signature| signature.result)
                }
            },
        }
    }

    fn chosen(&self, nodes: &[&Node]) -> Kind {
        let kinds = nodes.iter().map(|node| self.kind(node));
        kinds.fold(Kind::Null, |a, b| choice(a, b).unwrap_or(Kind::Any))
    }

    pub fn aggregate_kind(&self, call: &AggregateCall) -> Kind {
        use AggregateFunction as A;
        let input = call
            .input
            .and_then(|number| self.inputs.get(number))
            .map_or(Kind::Any, |n| self.kind(n));
        if call.partial {
            return Kind::Text;
        }
        match call.function {
            A::Count | A::ApproxDistinct => Kind::Int,
            A::Avg
            | A::Stddev
            | A::StddevPop
            | A::Variance
            | A::VariancePop
            | A::Quantile(_)
            | A::ExactQuantile(_)
            | A::Forecast(_)
            | A::Rate => Kind::Float,
            A::Histogram(_) | A::TopK(_) | A::StringAgg(_) => Kind::Text,
            // What a state holds is seen when it is read.
            _ if call.merges => Kind::Any,
            A::Spread if input == Kind::Time => Kind::Interval,
            A::Sum
            | A::Spread
            | A::Min
            | A::Max
            | A::First
            | A::Last
            | A::AnyValue
            | A::Mode
            | A::Increase
            | A::Delta => input,
        }
    }
}

/// The kind of what may be a value of either kind; `None` if they do not go together.
pub fn choice(a: Kind, b: Kind) -> Option<Kind> {
    match (a, b) {
        (a, b) if a == b => Some(a),
        (Kind::Null, other) | (other, Kind::Null) => Some(other),
        (Kind::Any, _) | (_, Kind::Any) => Some(Kind::Any),
        (Kind::Int, Kind::Float) | (Kind::Float, Kind::Int) => Some(Kind::Float),
        _ => None,
    }
}
