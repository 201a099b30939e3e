//! Binds calls to functions: their arguments are of the right kinds, and literal ones can be read.

use regex::{Regex, RegexBuilder};

use super::err;
use super::expr::{Binder, Scope};
use super::names::{is_aggregate, unknown};
use crate::ast::{Call, Expr, ExprKind, Literal};
use crate::error::{Area, Result, SqlError};
use crate::eval::functions::{self, Arg, Function};
use crate::plan::*;
use crate::vector::Kind;

/// Bytes that a compiled regular expression may take.
const MAX_REGEX: usize = 1 << 20;

impl Binder {
    pub(super) fn call(&mut self, call: &Call, area: Area, scope: Scope) -> Result<Node> {
        if call.over.is_some() {
            return self.over(call, area, scope);
        }
        if is_aggregate(&call.name) {
            return self.aggregate(call, area, scope);
        }
        if let Some(at) = call.distinct {
            return err(at, "DISTINCT belongs into an aggregate, such as count(DISTINCT x)");
        }
        if let Some(filter) = &call.filter {
            return err(
                filter.area,
                "FILTER belongs to an aggregate, such as count(*) FILTER (WHERE condition)",
            );
        }
        match call.name.as_str() {
            "window_start" | "window_end" => {
                if !call.args.is_empty() || call.star {
                    return err(area, format!("expected {}()", call.name));
                }
                return match scope {
                    Scope::Group { .. } if call.name == "window_start" => Ok(Node::WindowStart),
                    Scope::Group { .. } => Ok(Node::WindowEnd),
                    Scope::Point { clause } => err(area, format!("there is no window in {clause}")),
                    Scope::Row { .. } => err(area, "there is no window in a statement with OVER"),
                };
            }
            "time" | "tumble" | "hop" | "session" | "rows" => {
                return err(
                    area,
                    "the window stands in GROUP BY; its columns are window_start() and window_end()",
                );
            }
            crate::ast::ARRAY => {
                return err(
                    area,
                    "a list stands in histogram(x, ARRAY[1, 5, 10]); elsewhere write x IN (1, 5, 10)",
                );
            }
            "regexp_replace" => return self.regexp_replace(call, area, scope),
            "regexp_extract" => return self.regexp_extract(call, area, scope),
            _ => {}
        }
        let Some(signature) = functions::find(&call.name) else { return unknown(&call.name, area) };
        let count = call.args.len();
        if call.star
            || count < signature.min
            || signature.arg(count.max(1) - 1).is_none() && count > 0
        {
            return err(area, format!("expected {}", signature.usage()));
        }
        let mut args = Vec::with_capacity(count);
        let mut chosen = Kind::Null;
        let same_kind = matches!(
            signature.function,
            Function::Least | Function::Greatest | Function::Coalesce | Function::NullIf
        );
        for (at, expr) in call.args.iter().enumerate() {
            let node = self.bind(expr, scope)?;
            let kind = self.kind(&node);
            let arg = signature.arg(at).unwrap_or(Arg::Any);
            if !arg.takes(kind) {
                return err(
                    expr.area,
                    format!("this is {}; expected {}", kind.name(), signature.usage()),
                );
            }
            if same_kind && !matches!(node, Node::Const(Const::Text(_))) {
                chosen = self.together(chosen, &node, expr.area)?;
            }
            self.literal_arg(&node, arg, expr.area)?;
            args.push(node);
        }
        self.units(signature.function, &args, call, area)?;
        self.stretch(signature.function, &args, call, area)?;
        zone(signature.function, &args, call)?;
        Ok(Node::Call(signature.function, args))
    }

    /// Literal texts that stand for times and lengths of time are read now, so that they fail now.
    fn literal_arg(&self, node: &Node, arg: Arg, area: Area) -> Result<()> {
        let Node::Const(Const::Text(text)) = node else { return Ok(()) };
        match arg {
            Arg::Time if crate::time::parse(text).is_none() => {
                err(area, "expected a time such as '2024-05-01T12:00:00Z'")
            }
            Arg::Interval if crate::duration::parse(text).is_none() => err(
                area,
                "expected a length of time such as '10s'; months and years have no fixed length",
            ),
            _ => Ok(()),
        }
    }

    /// A stretch of time that is written down is longer than nothing.
    fn stretch(&self, function: Function, args: &[Node], call: &Call, area: Area) -> Result<()> {
        let nanos = match (function, args.first()) {
            (Function::DateBin, Some(Node::Const(Const::Text(text)))) => {
                crate::duration::parse(text)
            }
            (Function::DateBin, Some(Node::Const(Const::Interval(nanos)))) => Some(*nanos),
            _ => None,
        };
        if nanos.is_none_or(|nanos| nanos > 0) {
            return Ok(());
        }
        let at = call.args.first().map_or(area, |arg| arg.area);
        err(at, "expected a length of time above 0, such as '10s'")
    }

    fn units(&self, function: Function, args: &[Node], call: &Call, area: Area) -> Result<()> {
        let known: &[&str] = match function {
            Function::DateTrunc => crate::time::TRUNCATE_UNITS,
            Function::Extract => crate::time::EXTRACT_PARTS,
            _ => return Ok(()),
        };
        let Some(Node::Const(Const::Text(unit))) = args.first() else { return Ok(()) };
        if known.contains(&crate::time::unit(unit)) {
            return Ok(());
        }
        let at = call.args.first().map_or(area, |arg| arg.area);
        err(at, format!("`{unit}` is not known; expected one of {}", known.join(", ")))
    }

    fn regexp_replace(&mut self, call: &Call, area: Area, scope: Scope) -> Result<Node> {
        const USAGE: &str = "expected regexp_replace(text, 'pattern', text [, 'g'])";
        let (value, pattern, with, flags) = match call.args.as_slice() {
            [value, pattern, with] => (value, pattern, with, ""),
            [value, pattern, with, flags] => {
                (value, pattern, with, literal_text(flags, "'g' or 'i'")?)
            }
            _ => return err(area, USAGE),
        };
        if flags.chars().any(|flag| !matches!(flag, 'g' | 'i')) {
            return err(
                call.args[3].area,
                "expected the flags 'g' (all matches) and 'i' (letter case does not matter)",
            );
        }
        let pattern = regex(pattern, flags.contains('i'))?;
        let value_node = self.boxed(value, scope)?;
        self.expect(&value_node, value.area, &[Kind::Text], "text")?;
        let with_node = self.boxed(with, scope)?;
        self.expect(&with_node, with.area, &[Kind::Text], "text")?;
        Ok(Node::Replace { value: value_node, pattern, with: with_node, all: flags.contains('g') })
    }

    fn regexp_extract(&mut self, call: &Call, area: Area, scope: Scope) -> Result<Node> {
        const USAGE: &str = "expected regexp_extract(text, 'pattern' [, group])";
        let (value, pattern, group) = match call.args.as_slice() {
            [value, pattern] => (value, pattern, None),
            [value, pattern, group] => (value, pattern, Some(group)),
            _ => return err(area, USAGE),
        };
        let regex = regex(pattern, false)?;
        let group = match group.map(|group| (&group.kind, group.area)) {
            None => 0,
            Some((ExprKind::Literal(Literal::Int(group)), at)) => {
                match usize::try_from(*group).ok().filter(|group| *group < regex.captures_len()) {
                    Some(group) => group,
                    None => {
                        return err(
                            at,
                            format!("the pattern has {} groups", regex.captures_len() - 1),
                        );
                    }
                }
            }
            Some((_, at)) => return err(at, USAGE),
        };
        let value_node = self.boxed(value, scope)?;
        self.expect(&value_node, value.area, &[Kind::Text], "text")?;
        Ok(Node::Extract { value: value_node, pattern: regex, group })
    }
}

/// A time zone is a constant that the system knows.
fn zone(function: Function, args: &[Node], call: &Call) -> Result<()> {
    let at = match function {
        Function::DateTrunc | Function::Extract => 2,
        Function::DateBin => 3,
        _ => return Ok(()),
    };
    let (Some(node), Some(expr)) = (args.get(at), call.args.get(at)) else { return Ok(()) };
    let Node::Const(Const::Text(name)) = node else {
        return err(expr.area, "expected a quoted time zone, such as 'Europe/Berlin'");
    };
    if functions::dates::zone(name).is_some() {
        return Ok(());
    }
    let hint = match functions::dates::zone("Europe/Berlin") {
        Some(_) => "expected a name such as 'Europe/Berlin'",
        None => "there are none in /usr/share/zoneinfo: install the package tzdata",
    };
    err(expr.area, format!("`{name}` is no time zone that this system knows; {hint}"))
}

/// The text of a literal.
pub fn literal_text<'e>(expr: &'e Expr, expected: &str) -> Result<&'e str> {
    match &expr.kind {
        ExprKind::Literal(Literal::Text(text)) => Ok(text),
        _ => err(expr.area, format!("expected {expected}")),
    }
}

/// A regular expression from its literal.
pub fn regex(pattern: &Expr, fold: bool) -> Result<Box<Regex>> {
    let text = literal_text(pattern, "a quoted regular expression")?;
    let built = RegexBuilder::new(text).case_insensitive(fold).size_limit(MAX_REGEX).build();
    built.map(Box::new).map_err(|error| {
        let sentence = match error {
            regex::Error::CompiledTooBig(_) => "it is too large (the limit is 1 MiB compiled): write a shorter one, or smaller repetitions".to_owned(),
            other => other.to_string().lines().last().unwrap_or_default().replace("error: ", ""),
        };
        SqlError::new(pattern.area, format!("this is no regular expression: {sentence}"))
    })
}
