//! Expressions: from the syntax tree to SQLite's words with types. Functions and queries have files of their own.

use rusqlite::types::Value as Stored;
use sqlparser::ast::{
    AccessExpr, CaseWhen, CastKind, Expr, Ident, Spanned, Subscript, Value, ValueWithSpan,
};

use super::catalog::{Catalog, Place, literal};
use super::coerce::{cast, ordered, unify_all};
use super::decimal;
use super::failure::Failure;
use super::operators::{binary, compare, truth, unary};
use super::scope::{Bound, Scope};
use super::select::Relation;
use super::types::Type;
use super::{Parameter, values};

/// Turns one statement into SQLite's words.
pub(crate) struct Binder<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) place: &'a Place,
    pub(crate) parameters: &'a [Parameter],
    /// Values of the parameters that were used, in the order of `?1`, `?2` and so on.
    pub(crate) values: Vec<Stored>,
    /// The one moment of the statement.
    pub(crate) now: String,
    pub(crate) user: &'a str,
    pub(crate) ctes: Vec<(String, String, Relation)>,
    pub(crate) sources: usize,
}

impl Binder<'_> {
    pub(crate) fn expr(&mut self, expr: &Expr, scope: &Scope<'_>) -> Result<Bound, Failure> {
        match expr {
            Expr::Identifier(ident) => self.identifier(ident, scope),
            Expr::CompoundIdentifier(path) => compound(path, scope),
            Expr::CompoundFieldAccess { root, access_chain } => {
                let root = self.expr(root, scope)?;
                access_chain
                    .iter()
                    .try_fold(root, |bound, access| self.access(&bound, access, scope))
            }
            Expr::Value(value) => self.value(value),
            Expr::TypedString(typed) => {
                let text = self.value(&typed.value)?;
                let kind = Type::of(&typed.data_type)?;
                Ok(Bound::new(cast(&text, &kind, false)?, kind))
            }
            Expr::Nested(inner) => self.expr(inner, scope),
            Expr::UnaryOp { op, expr } => unary(*op, &self.expr(expr, scope)?),
            Expr::BinaryOp { left, op, right } => match self.shifted(left, op, right, scope) {
                Some(shifted) => shifted,
                None => binary(op, &self.expr(left, scope)?, &self.expr(right, scope)?),
            },
            Expr::Cast { kind, expr, data_type, .. } => {
                let (bound, to) = (self.expr(expr, scope)?, Type::of(data_type)?);
                let tolerant = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
                Ok(Bound::new(cast(&bound, &to, tolerant)?, to))
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), scope)
            }
            Expr::Function(function) => self.call(function, scope),
            Expr::Subquery(query) => {
                let relation = self.query(query, Some(scope))?;
                let [(_, kind)] = relation.columns.as_slice() else {
                    let text = "Scalar subquery must return only one column.";
                    return Err(Failure::bad("INVALID_SUBQUERY_EXPRESSION", "42823", text));
                };
                Ok(Bound::new(format!("({})", relation.sql), kind.clone()))
            }
            Expr::Exists { subquery, negated } => {
                let sql = self.query(subquery, Some(scope))?.sql;
                Ok(Bound::new(format!("({}EXISTS ({sql}))", not(*negated)), Type::Boolean))
            }
            _ => self.spelled(expr, scope).or_else(|| self.predicate(expr, scope)).unwrap_or_else(
                || Err(Failure::unsupported(&format!("the expression {expr}")).at(expr.span())),
            ),
        }
    }

    /// Functions with a syntax of their own.
    fn spelled(&mut self, expr: &Expr, scope: &Scope<'_>) -> Option<Result<Bound, Failure>> {
        let mut args: Vec<&Expr> = Vec::new();
        let name = match expr {
            Expr::Extract { field, expr, .. } => {
                args.push(expr);
                field.to_string().to_lowercase()
            }
            Expr::Ceil { expr, .. } => {
                args.push(expr);
                "ceil".to_owned()
            }
            Expr::Floor { expr, .. } => {
                args.push(expr);
                "floor".to_owned()
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                args.push(expr);
                args.extend(substring_from.as_deref());
                args.extend(substring_for.as_deref());
                "substring".to_owned()
            }
            Expr::Trim { expr, trim_where, .. } => {
                args.push(expr);
                match trim_where {
                    Some(sqlparser::ast::TrimWhereField::Leading) => "ltrim".to_owned(),
                    Some(sqlparser::ast::TrimWhereField::Trailing) => "rtrim".to_owned(),
                    _ => "trim".to_owned(),
                }
            }
            Expr::Struct { values, .. } => {
                args.extend(values);
                "struct".to_owned()
            }
            _ => return None,
        };
        Some(self.scalar(&name, &args, scope))
    }

    fn predicate(&mut self, expr: &Expr, scope: &Scope<'_>) -> Option<Result<Bound, Failure>> {
        Some(match expr {
            Expr::IsNull(inner) => self.suffix(inner, "IS NULL", scope),
            Expr::IsNotNull(inner) => self.suffix(inner, "IS NOT NULL", scope),
            Expr::IsTrue(inner) => self.suffix(inner, "IS TRUE", scope),
            Expr::IsNotTrue(inner) => self.suffix(inner, "IS NOT TRUE", scope),
            Expr::IsFalse(inner) => self.suffix(inner, "IS FALSE", scope),
            Expr::IsNotFalse(inner) => self.suffix(inner, "IS NOT FALSE", scope),
            Expr::IsDistinctFrom(a, b) => self.sides("IS NOT", a, b, scope),
            Expr::IsNotDistinctFrom(a, b) => self.sides("IS", a, b, scope),
            Expr::Between { expr, negated, low, high } => {
                self.between(expr, *negated, low, high, scope)
            }
            Expr::InList { expr, list, negated } => self.in_list(expr, list, *negated, scope),
            Expr::InSubquery { expr, subquery, negated } => {
                self.in_subquery(expr, subquery, *negated, scope)
            }
            Expr::Like { negated, expr, pattern, any: false, .. } => {
                self.like(expr, pattern, *negated, "", scope)
            }
            Expr::ILike { negated, expr, pattern, any: false, .. } => {
                self.like(expr, pattern, *negated, "lower", scope)
            }
            _ => return None,
        })
    }

    fn suffix(&mut self, expr: &Expr, suffix: &str, scope: &Scope<'_>) -> Result<Bound, Failure> {
        let sql = self.expr(expr, scope)?.sql;
        Ok(Bound::new(format!("({sql} {suffix})"), Type::Boolean))
    }

    fn sides(&mut self, op: &str, a: &Expr, b: &Expr, scope: &Scope<'_>) -> Result<Bound, Failure> {
        compare(op, &self.expr(a, scope)?, &self.expr(b, scope)?)
    }

    fn between(
        &mut self,
        expr: &Expr,
        negated: bool,
        low: &Expr,
        high: &Expr,
        scope: &Scope<'_>,
    ) -> Result<Bound, Failure> {
        let bound = self.expr(expr, scope)?;
        let low = compare(">=", &bound, &self.expr(low, scope)?)?.sql;
        let high = compare("<=", &bound, &self.expr(high, scope)?)?.sql;
        Ok(Bound::new(format!("({}({low} AND {high}))", not(negated)), Type::Boolean))
    }

    fn in_list(
        &mut self,
        expr: &Expr,
        list: &[Expr],
        negated: bool,
        scope: &Scope<'_>,
    ) -> Result<Bound, Failure> {
        let all = std::iter::once(expr).chain(list);
        let all = all.map(|one| self.expr(one, scope)).collect::<Result<Vec<_>, _>>()?;
        let (sql, kind) = unify_all(&all, "IN")?;
        let (first, rest) = sql.split_first().ok_or_else(|| Failure::internal("empty IN"))?;
        let sql = format!("({} {}IN ({}))", ordered(first, &kind), not(negated), rest.join(", "));
        Ok(Bound::new(sql, Type::Boolean))
    }

    fn in_subquery(
        &mut self,
        expr: &Expr,
        subquery: &sqlparser::ast::Query,
        negated: bool,
        scope: &Scope<'_>,
    ) -> Result<Bound, Failure> {
        let bound = self.expr(expr, scope)?;
        let relation = self.query(subquery, Some(scope))?;
        let [(_, kind)] = relation.columns.as_slice() else {
            return Err(Failure::unsupported("IN with more than one column"));
        };
        let column = Bound::new("c0", kind.clone());
        let (left, right, kind) = super::coerce::unify(&bound, &column, "IN")?;
        let (left, rows) = (ordered(&left, &kind), relation.sql);
        let sql = format!("({left} {}IN (SELECT {right} FROM ({rows})))", not(negated));
        Ok(Bound::new(sql, Type::Boolean))
    }

    fn like(
        &mut self,
        expr: &Expr,
        pattern: &Expr,
        negated: bool,
        case: &str,
        scope: &Scope<'_>,
    ) -> Result<Bound, Failure> {
        let mut text = |expr: &Expr| cast(&self.expr(expr, scope)?, &Type::String, false);
        let (text, pattern) = (text(expr)?, text(pattern)?);
        let sql = format!("({case}({text}) {}LIKE {case}({pattern}) ESCAPE '\\')", not(negated));
        Ok(Bound::new(sql, Type::Boolean))
    }

    fn identifier(&mut self, ident: &Ident, scope: &Scope<'_>) -> Result<Bound, Failure> {
        scope.plain(ident).or_else(|unresolved| {
            // A few functions need no parentheses.
            let name = ident.value.to_lowercase();
            let bare =
                ["current_timestamp", "current_date", "current_user", "session_user", "user"];
            match ident.quote_style {
                None if bare.contains(&name.as_str()) => self.scalar(&name, &[], scope),
                _ => Err(unresolved),
            }
        })
    }

    fn access(
        &mut self,
        bound: &Bound,
        access: &AccessExpr,
        scope: &Scope<'_>,
    ) -> Result<Bound, Failure> {
        match access {
            AccessExpr::Dot(Expr::Identifier(field)) => field_of(bound, &field.value),
            AccessExpr::Subscript(Subscript::Index { index }) => {
                let index = self.expr(index, scope)?;
                element(bound, &index)
            }
            _ => Err(Failure::unsupported(&format!("the access {access}"))),
        }
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
        scope: &Scope<'_>,
    ) -> Result<Bound, Failure> {
        let operand = operand.map(|operand| self.expr(operand, scope)).transpose()?;
        let mut tests = Vec::new();
        let mut results = Vec::new();
        for when in conditions {
            let condition = self.expr(&when.condition, scope)?;
            tests.push(match &operand {
                Some(operand) => compare("=", operand, &condition)?.sql,
                None => truth(&condition)?,
            });
            results.push(self.expr(&when.result, scope)?);
        }
        if let Some(otherwise) = otherwise {
            results.push(self.expr(otherwise, scope)?);
        }
        let (results, kind) = unify_all(&results, "CASE")?;
        let mut sql = "(CASE".to_owned();
        for (test, result) in tests.iter().zip(&results) {
            sql.push_str(&format!(" WHEN {test} THEN {result}"));
        }
        if let Some(otherwise) = results.get(tests.len()) {
            sql.push_str(&format!(" ELSE {otherwise}"));
        }
        Ok(Bound::new(sql + " END)", kind))
    }

    fn value(&mut self, value: &ValueWithSpan) -> Result<Bound, Failure> {
        Ok(match &value.value {
            Value::Number(text, _) => number(text),
            Value::SingleQuotedString(text)
            | Value::DoubleQuotedString(text)
            | Value::SingleQuotedRawStringLiteral(text)
            | Value::DoubleQuotedRawStringLiteral(text) => Bound::new(literal(text), Type::String),
            Value::HexStringLiteral(hex) => Bound::new(format!("x'{hex}'"), Type::Binary),
            Value::Boolean(value) => Bound::new(u8::from(*value).to_string(), Type::Boolean),
            Value::Null => Bound::new("NULL", Type::Void),
            Value::Placeholder(marker) => {
                return self.parameter(marker).map_err(|failure| failure.at(value.span));
            }
            other => return Err(Failure::unsupported(&format!("the literal {other}"))),
        })
    }

    fn parameter(&mut self, marker: &str) -> Result<Bound, Failure> {
        let Some(name) = marker.strip_prefix(':') else {
            return Err(Failure::unsupported("positional parameters; use :name"));
        };
        let Some(parameter) = self.parameters.iter().find(|one| one.name == name) else {
            let text = format!(
                "Found the unbound parameter: {name}. Please, fix `args` and provide a mapping of the parameter to \
                 either a SQL literal or collection constructor functions such as `map()`, `array()`, `struct()`."
            );
            return Err(Failure::bad("UNBOUND_SQL_PARAMETER", "42P02", &text));
        };
        let stored = match &parameter.value {
            None => Stored::Null,
            Some(text) => values::cast(text.as_str().into(), &parameter.kind)?,
        };
        self.values.push(stored);
        Ok(Bound::new(format!("?{}", self.values.len()), parameter.kind.clone()))
    }
}

pub(crate) fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

fn number(text: &str) -> Bound {
    if text.contains(['e', 'E']) {
        return Bound::new(text, Type::Double);
    }
    match (text.parse::<i32>(), text.parse::<i64>()) {
        (Ok(_), _) => Bound::new(text, Type::Int),
        (_, Ok(_)) => Bound::new(text, Type::Long),
        // Exact, so it is text from here on; trailing points and the like are put right.
        _ => match decimal::literal(text) {
            Type::Decimal(precision, scale) => {
                let exact = decimal::from_text(text, precision, scale);
                let exact = exact.unwrap_or_else(|_| text.to_owned());
                Bound::new(literal(&exact), Type::Decimal(precision, scale))
            }
            kind => Bound::new(text, kind),
        },
    }
}

/// `source.column`, `column.field`, or a longer path whose last parts are one of these.
fn compound(path: &[Ident], scope: &Scope<'_>) -> Result<Bound, Failure> {
    if let [.., source, column] = path
        && let Some(bound) = scope.qualified(&source.value, &column.value)
    {
        return Ok(bound);
    }
    let unresolved = || scope.unresolved(&path.iter().collect::<Vec<_>>());
    let (first, fields) = path.split_first().ok_or_else(unresolved)?;
    let root = scope.plain(first).map_err(|_| unresolved())?;
    fields.iter().try_fold(root, |bound, field| field_of(&bound, &field.value))
}

fn field_of(bound: &Bound, name: &str) -> Result<Bound, Failure> {
    let kind = match &bound.kind {
        Type::Struct(fields) => {
            fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, kind)| kind)
        }
        Type::Map(_, value) => Some(&**value),
        _ => None,
    };
    let Some(kind) = kind else {
        let text = format!("No such struct field `{name}` in \"{}\".", bound.kind.text());
        return Err(Failure::bad("FIELD_NOT_FOUND", "42704", &text));
    };
    let path = literal(&format!("$.\"{name}\""));
    Ok(Bound::new(format!("json_extract({}, {path})", bound.sql), kind.clone()))
}

fn element(bound: &Bound, index: &Bound) -> Result<Bound, Failure> {
    let (path, kind) = match &bound.kind {
        Type::Array(item) => (format!("'$[' || {} || ']'", index.sql), item),
        Type::Map(_, value) => (format!("'$.\"' || {} || '\"'", index.sql), value),
        other => return Err(super::coerce::differ("[]", &[other])),
    };
    Ok(Bound::new(format!("json_extract({}, {path})", bound.sql), (**kind).clone()))
}
