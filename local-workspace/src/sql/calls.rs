//! Function calls: scalar functions by name, aggregates and windows.

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    SelectItem, Spanned, WindowSpec, WindowType,
};

use super::bind::Binder;
use super::catalog::literal;
use super::coerce::{cast, differ, ordered, unify_all};
use super::decimal::{Operation, bounded};
use super::failure::Failure;
use super::operators::{arithmetic, truth};
use super::scope::{Bound, Scope};
use super::types::Type;

const AGGREGATES: &[&str] = &[
    "any_value",
    "array_agg",
    "avg",
    "collect_list",
    "count",
    "count_if",
    "first",
    "last",
    "max",
    "mean",
    "min",
    "sum",
];

/// Functions that only make sense over a window.
const WINDOW_ONLY: &[&str] =
    &["row_number", "rank", "dense_rank", "ntile", "lag", "lead", "first_value", "last_value"];

impl Binder<'_> {
    pub(crate) fn call(
        &mut self,
        function: &Function,
        scope: &Scope<'_>,
    ) -> Result<Bound, Failure> {
        let name = function.name.to_string().to_lowercase();
        let bound = if AGGREGATES.contains(&name.as_str()) {
            self.aggregate(&name, function, scope)
        } else if WINDOW_ONLY.contains(&name.as_str()) {
            self.window_only(&name, function, scope)
        } else {
            self.scalar(&name, &arguments(function)?, scope)
        };
        let bound = bound.map_err(|failure| match failure.sql_state.as_deref() {
            Some("42883") => failure.at(function.name.span()),
            _ => failure,
        })?;
        let filter = match &function.filter {
            Some(condition) => {
                format!(" FILTER (WHERE {})", truth(&self.expr(condition, scope)?)?)
            }
            None => String::new(),
        };
        let over = match &function.over {
            Some(WindowType::WindowSpec(window)) => self.window(window, scope)?,
            Some(WindowType::NamedWindow(_)) => return Err(Failure::unsupported("named windows")),
            None => String::new(),
        };
        Ok(Bound::new(format!("{}{filter}{over}", bound.sql), bound.kind))
    }

    fn aggregate(
        &mut self,
        name: &str,
        function: &Function,
        scope: &Scope<'_>,
    ) -> Result<Bound, Failure> {
        let distinct = match &function.args {
            FunctionArguments::List(list)
                if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) =>
            {
                "DISTINCT "
            }
            _ => "",
        };
        if name == "count" && is_star(function) {
            return Ok(Bound::new("count(*)", Type::Long));
        }
        let args = arguments(function)?;
        let [first, ..] = args.as_slice() else { return Err(wrong_count(name, args.len())) };
        let arg = self.expr(first, scope)?;
        let sql = &arg.sql;
        Ok(match (name, &arg.kind) {
            ("count", _) => Bound::new(format!("count({distinct}{sql})"), Type::Long),
            ("count_if", _) => {
                let test = truth(&arg)?;
                Bound::new(format!("count(CASE WHEN {test} THEN 1 END)"), Type::Long)
            }
            ("min" | "max", kind) => {
                Bound::new(format!("{name}({})", ordered(sql, kind)), kind.clone())
            }
            ("any_value" | "first" | "last", kind) => {
                Bound::new(format!("max({sql})"), kind.clone())
            }
            ("collect_list" | "array_agg", kind) => {
                let item = json_value(&arg);
                Bound::new(
                    format!("json_group_array({distinct}{item})"),
                    Type::Array(kind.clone().into()),
                )
            }
            ("sum", kind) if kind.is_integer() => {
                Bound::new(format!("sum({distinct}{sql})"), Type::Long)
            }
            ("sum" | "avg" | "mean", Type::Decimal(..)) if !distinct.is_empty() => {
                return Err(Failure::unsupported("sum and avg of DISTINCT decimals"));
            }
            ("sum", Type::Decimal(p, s)) => decimal_total("dec_sum", sql, bounded(p + 10, *s)),
            ("avg" | "mean", Type::Decimal(p, s)) => {
                decimal_total("dec_avg", sql, bounded(p + 4, s + 4))
            }
            ("sum", _) => {
                let real = cast(&arg, &Type::Double, false)?;
                Bound::new(format!("sum({distinct}{real})"), Type::Double)
            }
            (_, kind) if kind.is_nested() || *kind == Type::Boolean => {
                return Err(differ(name, &[kind]));
            }
            _ => {
                let real = cast(&arg, &Type::Double, false)?;
                Bound::new(format!("avg({distinct}{real})"), Type::Double)
            }
        })
    }

    fn window_only(
        &mut self,
        name: &str,
        function: &Function,
        scope: &Scope<'_>,
    ) -> Result<Bound, Failure> {
        let args = arguments(function)?;
        let args = args.iter().map(|arg| self.expr(arg, scope)).collect::<Result<Vec<_>, _>>()?;
        let kind = match (name, args.first()) {
            ("lag" | "lead" | "first_value" | "last_value", Some(first)) => first.kind.clone(),
            _ => Type::Int,
        };
        let args: Vec<_> = args.into_iter().map(|arg| arg.sql).collect();
        Ok(Bound::new(format!("{name}({})", args.join(", ")), kind))
    }

    fn window(&mut self, window: &WindowSpec, scope: &Scope<'_>) -> Result<String, Failure> {
        let mut parts = Vec::new();
        if !window.partition_by.is_empty() {
            let by = window.partition_by.iter().map(|expr| Ok(self.expr(expr, scope)?.sql));
            parts.push(format!(
                "PARTITION BY {}",
                by.collect::<Result<Vec<_>, Failure>>()?.join(", ")
            ));
        }
        if !window.order_by.is_empty() {
            parts.push(format!("ORDER BY {}", self.order_terms(&window.order_by, &[], scope)?));
        }
        if let Some(frame) = &window.window_frame {
            let end = frame.end_bound.as_ref();
            parts.push(match end {
                Some(end) => format!("{} BETWEEN {} AND {end}", frame.units, frame.start_bound),
                None => format!("{} {}", frame.units, frame.start_bound),
            });
        }
        Ok(format!(" OVER ({})", parts.join(" ")))
    }

    /// A function of the values of one row.
    pub(crate) fn scalar(
        &mut self,
        name: &str,
        args: &[&Expr],
        scope: &Scope<'_>,
    ) -> Result<Bound, Failure> {
        let args = args.iter().map(|arg| self.expr(arg, scope)).collect::<Result<Vec<_>, _>>()?;
        if let Some(fixed) = self.of_the_session(name, &args) {
            return Ok(fixed);
        }
        if let Some(bound) = super::nested::call(name, &args)? {
            return Ok(bound);
        }
        if let Some(bound) = cast_by_name(name, &args)? {
            return Ok(bound);
        }
        let text = |at: usize| match args.get(at) {
            Some(arg) => cast(arg, &Type::String, false),
            None => Err(wrong_count(name, args.len())),
        };
        let whole = |at: usize| match args.get(at) {
            Some(arg) => cast(arg, &Type::Long, false),
            None => Err(wrong_count(name, args.len())),
        };
        let string = |sql: String| Ok(Bound::new(sql, Type::String));
        match (name, args.as_slice()) {
            ("upper" | "lower" | "trim" | "ltrim" | "rtrim" | "reverse" | "initcap", [_]) => {
                string(format!("{name}({})", text(0)?))
            }
            ("ucase", [_]) => string(format!("upper({})", text(0)?)),
            ("lcase", [_]) => string(format!("lower({})", text(0)?)),
            ("repeat", [_, _]) => string(format!("repeat({}, {})", text(0)?, whole(1)?)),
            ("length" | "len" | "char_length" | "character_length", [_]) => {
                Ok(Bound::new(format!("length({})", text(0)?), Type::Int))
            }
            ("concat", [_, ..]) => {
                let parts = (0..args.len()).map(text).collect::<Result<Vec<_>, _>>()?;
                string(format!("({})", parts.join(" || ")))
            }
            ("concat_ws", [_, ..]) => {
                let parts = (0..args.len()).map(text).collect::<Result<Vec<_>, _>>()?;
                string(format!("concat_ws({})", parts.join(", ")))
            }
            ("replace", [_, _, _]) => {
                string(format!("replace({}, {}, {})", text(0)?, text(1)?, text(2)?))
            }
            ("substring" | "substr", [_, _]) => {
                string(format!("substr({}, {})", text(0)?, whole(1)?))
            }
            ("substring" | "substr", [_, _, _]) => {
                string(format!("substr({}, {}, {})", text(0)?, whole(1)?, whole(2)?))
            }
            ("left", [_, _]) => string(format!("substr({}, 1, {})", text(0)?, whole(1)?)),
            ("instr", [_, _]) => {
                Ok(Bound::new(format!("instr({}, {})", text(0)?, text(1)?), Type::Int))
            }
            ("raise_error", [_]) => {
                Ok(Bound::new(format!("raise_error({})", text(0)?), Type::Void))
            }
            ("typeof", [arg]) => string(literal(&arg.kind.text().to_lowercase())),
            ("coalesce" | "nvl" | "ifnull" | "greatest" | "least", [_, ..]) => choice(name, &args),
            ("nullif", [a, b]) => {
                let (left, right, kind) = super::coerce::unify(a, b, name)?;
                Ok(Bound::new(
                    format!("nullif({}, {right})", ordered(&left, &kind)),
                    a.kind.clone(),
                ))
            }
            ("if" | "iff", [condition, a, b]) => {
                let (a, b, kind) = super::coerce::unify(a, b, name)?;
                Ok(Bound::new(format!("iif({}, {a}, {b})", truth(condition)?), kind))
            }
            ("date_add" | "dateadd", [_, _]) => self.day_math("", &args),
            ("date_sub", [_, _]) => self.day_math("-", &args),
            ("datediff" | "date_diff", [a, b]) => {
                let (a, b) = (cast(a, &Type::Date, false)?, cast(b, &Type::Date, false)?);
                Ok(Bound::new(format!("datediff({a}, {b})"), Type::Int))
            }
            ("year" | "month" | "day" | "dayofmonth" | "hour" | "minute" | "second", [arg]) => {
                part(name, arg)
            }
            _ => super::numbers::call(name, &args),
        }
    }

    /// What is the same for the whole statement.
    fn of_the_session(&self, name: &str, args: &[Bound]) -> Option<Bound> {
        let text = |text: &str| Some(Bound::new(literal(text), Type::String));
        match (name, args) {
            ("current_timestamp" | "now", []) => {
                Some(Bound::new(literal(&self.now), Type::Timestamp))
            }
            ("current_date" | "curdate", []) => {
                Some(Bound::new(literal(self.now.get(..10).unwrap_or_default()), Type::Date))
            }
            ("current_user" | "session_user" | "user", []) => text(self.user),
            ("current_catalog", []) => text(&self.place.catalog),
            ("current_schema" | "current_database", []) => text(&self.place.schema),
            ("current_timezone", []) => text("Etc/UTC"),
            ("version", []) => text("local-workspace"),
            _ => None,
        }
    }

    fn day_math(&self, sign: &str, args: &[Bound]) -> Result<Bound, Failure> {
        let [day, days] = args else { return Err(wrong_count("date_add", args.len())) };
        let (day, days) = (cast(day, &Type::Date, false)?, cast(days, &Type::Int, false)?);
        Ok(Bound::new(format!("date_add({day}, {sign}({days}))"), Type::Date))
    }
}

fn decimal_total(name: &str, sql: &str, kind: Type) -> Bound {
    let (precision, scale) = kind.as_decimal().unwrap_or_default();
    Bound::new(format!("{name}({sql}, {precision}, {scale})"), kind)
}

fn choice(name: &str, args: &[Bound]) -> Result<Bound, Failure> {
    let (sql, kind) = unify_all(args, name)?;
    let name = match (name, sql.len()) {
        // SQLite wants two of what Databricks takes one of.
        (_, 1) => return Ok(Bound::new(sql.concat(), kind)),
        ("greatest", _) => "max",
        ("least", _) => "min",
        _ => "coalesce",
    };
    let sql: Vec<_> = sql.iter().map(|sql| ordered(sql, &kind)).collect();
    Ok(Bound::new(format!("{name}({})", sql.join(", ")), kind))
}

/// `string(x)`, `int(x)`, `to_date(x)` and the like.
fn cast_by_name(name: &str, args: &[Bound]) -> Result<Option<Bound>, Failure> {
    let [arg] = args else { return Ok(None) };
    let kind = match name {
        "string" => Type::String,
        "boolean" => Type::Boolean,
        "tinyint" => Type::Byte,
        "smallint" => Type::Short,
        "int" => Type::Int,
        "bigint" => Type::Long,
        "float" => Type::Float,
        "double" => Type::Double,
        "date" | "to_date" => Type::Date,
        "timestamp" | "to_timestamp" => Type::Timestamp,
        "decimal" => Type::Decimal(10, 0),
        _ => return Ok(None),
    };
    Ok(Some(Bound::new(cast(arg, &kind, false)?, kind)))
}

/// A part of a date or timestamp, by its place in the text.
fn part(name: &str, arg: &Bound) -> Result<Bound, Failure> {
    let (start, length) = match name {
        "year" => (1, 4),
        "month" => (6, 2),
        "hour" => (12, 2),
        "minute" => (15, 2),
        "second" => (18, 2),
        _ => (9, 2),
    };
    let time = cast(arg, &Type::Timestamp, false)?;
    Ok(Bound::new(format!("CAST(substr({time}, {start}, {length}) AS INTEGER)"), Type::Int))
}

/// As an argument of SQLite's JSON functions.
pub(crate) fn json_value(bound: &Bound) -> String {
    match &bound.kind {
        Type::Boolean => {
            format!("json(CASE {} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END)", bound.sql)
        }
        // Digits stay as they are: they are JSON already.
        Type::Decimal(..) => format!("json({})", bound.sql),
        kind if kind.is_nested() => format!("json({})", bound.sql),
        _ => bound.sql.clone(),
    }
}

pub(crate) fn wrong_count(name: &str, count: usize) -> Failure {
    let text = format!("The `{name}` does not take {count} parameters.");
    Failure::bad("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", "42605", &text)
}

pub(crate) fn unknown(name: &str) -> Failure {
    let text = format!(
        "Cannot resolve routine `{name}` on search path [`system`.`builtin`, `system`.`session`, `main`.`default`]."
    );
    Failure::bad("UNRESOLVED_ROUTINE", "42883", &text)
}

/// Plain arguments of a call.
pub(crate) fn arguments(function: &Function) -> Result<Vec<&Expr>, Failure> {
    match &function.args {
        FunctionArguments::None => Ok(Vec::new()),
        FunctionArguments::List(list) => list
            .args
            .iter()
            .map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
                other => Err(Failure::unsupported(&format!("the argument {other}"))),
            })
            .collect(),
        FunctionArguments::Subquery(_) => Err(Failure::unsupported("a subquery as an argument")),
    }
}

fn is_star(function: &Function) -> bool {
    let FunctionArguments::List(list) = &function.args else { return false };
    matches!(
        list.args.as_slice(),
        [FunctionArg::Unnamed(FunctionArgExpr::Wildcard | FunctionArgExpr::WildcardWithOptions(_))]
    )
}

/// Whether an item of a SELECT list aggregates rows.
pub(crate) fn has_aggregate(item: &SelectItem) -> bool {
    let found = sqlparser::ast::visit_expressions(item, |expr| {
        let aggregate = matches!(expr, Expr::Function(function)
            if function.over.is_none() && AGGREGATES.contains(&function.name.to_string().to_lowercase().as_str()));
        if aggregate {
            std::ops::ControlFlow::Break(())
        } else {
            std::ops::ControlFlow::Continue(())
        }
    });
    found.is_break()
}

/// `mod`, which is an operator too.
pub(crate) fn remainder(a: &Bound, b: &Bound) -> Result<Bound, Failure> {
    arithmetic(Operation::Remainder, "%", a, b)
}
