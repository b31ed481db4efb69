//! What a query reads from: tables, subqueries, `range`, joins and lateral views.

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Join, JoinConstraint, JoinOperator, LateralView,
    ObjectName, TableAlias, TableFactor, TableWithJoins,
};

use super::bind::Binder;
use super::catalog::{Column, idents, no_table};
use super::coerce::cast;
use super::failure::Failure;
use super::operators::{compare, truth};
use super::scope::{Bound, Scope, Source, Visible};
use super::select::Relation;
use super::types::Type;

impl Binder<'_> {
    /// The FROM clause, with its sources added to the scope; empty without one.
    pub(crate) fn from(
        &mut self,
        tables: &[TableWithJoins],
        scope: &mut Scope<'_>,
    ) -> Result<String, Failure> {
        let mut parts = Vec::new();
        for table in tables {
            let mut sql = self.factor(&table.relation, scope)?;
            for join in &table.joins {
                sql.push_str(&self.join(join, scope)?);
            }
            parts.push(sql);
        }
        Ok(if parts.is_empty() { String::new() } else { format!(" FROM {}", parts.join(", ")) })
    }

    fn factor(&mut self, factor: &TableFactor, scope: &mut Scope<'_>) -> Result<String, Failure> {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                self.table(name, alias.as_ref(), scope)
            }
            TableFactor::Table { name, alias, args: Some(args), .. } => {
                self.table_function(name, &args.args, alias.as_ref(), scope)
            }
            TableFactor::Function { name, alias, args, .. } => {
                self.table_function(name, args, alias.as_ref(), scope)
            }
            TableFactor::Derived { subquery, alias, .. } => {
                let relation = self.query(subquery, scope.outer)?.renamed(alias.as_ref());
                Ok(self.derived(&relation, alias.as_ref(), scope))
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                let inner = std::slice::from_ref(&**table_with_joins);
                let sql = self.from(inner, scope)?;
                Ok(format!("({})", sql.trim_start_matches(" FROM ")))
            }
            other => Err(Failure::unsupported(&format!("FROM {other}"))),
        }
    }

    fn derived(
        &mut self,
        relation: &Relation,
        alias: Option<&TableAlias>,
        scope: &mut Scope<'_>,
    ) -> String {
        let physical = self.fresh("s");
        let name = alias.map(|alias| alias.name.value.as_str()).unwrap_or_default();
        scope.sources.push(relation.source(name, &physical));
        format!("({}) AS {physical}", relation.sql)
    }

    fn table(
        &mut self,
        name: &ObjectName,
        alias: Option<&TableAlias>,
        scope: &mut Scope<'_>,
    ) -> Result<String, Failure> {
        let last = idents(name).last().map(|ident| ident.value.clone()).unwrap_or_default();
        let visible = alias.map_or(last.as_str(), |alias| alias.name.value.as_str());
        if let [only] = idents(name).as_slice() {
            let lower = only.value.to_lowercase();
            let cte = self.ctes.iter().rev().find(|(cte, ..)| *cte == lower);
            if let Some((_, physical, relation)) = cte.cloned() {
                let relation = relation.renamed(alias);
                let here = self.fresh("s");
                scope.sources.push(relation.source(visible, &here));
                return Ok(format!("{physical} AS {here}"));
            }
        }
        let full = self.place.full(name)?;
        let place = self.place;
        let (table, columns) = match self.catalog.find(name, place) {
            Ok((table, columns)) => (table.physical(), columns),
            Err(missing) => match self.information(&full.0, &full.1, &full.2) {
                Some(relation) => return Ok(self.derived(&relation.renamed(alias), alias, scope)),
                None => return Err(missing),
            },
        };
        let here = self.fresh("s");
        scope.sources.push(stored(visible, &here, columns, alias));
        Ok(format!("{table} AS {here}"))
    }

    fn table_function(
        &mut self,
        name: &ObjectName,
        args: &[FunctionArg],
        alias: Option<&TableAlias>,
        scope: &mut Scope<'_>,
    ) -> Result<String, Failure> {
        let mut values = Vec::new();
        for arg in args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg else {
                return Err(Failure::unsupported("named arguments of table functions"));
            };
            values.push(self.expr(expr, scope)?);
        }
        match name.to_string().to_lowercase().as_str() {
            "range" => {
                let sql = range(&values)?;
                let relation = Relation { sql, columns: vec![("id".to_owned(), Type::Long)] };
                Ok(self.derived(&relation.renamed(alias), alias, scope))
            }
            "explode" => {
                self.explode(values.first(), alias.map(|a| a.name.value.as_str()), None, scope)
            }
            _ => Err(no_table(name)),
        }
    }

    fn join(&mut self, join: &Join, scope: &mut Scope<'_>) -> Result<String, Failure> {
        let (word, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                ("JOIN", constraint)
            }
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                ("LEFT JOIN", constraint)
            }
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                ("RIGHT JOIN", constraint)
            }
            JoinOperator::FullOuter(constraint) => ("FULL JOIN", constraint),
            JoinOperator::CrossJoin(constraint) => ("CROSS JOIN", constraint),
            _ => return Err(Failure::unsupported("semi, anti and lateral joins")),
        };
        let before = scope.sources.len();
        let factor = self.factor(&join.relation, scope)?;
        let on = match constraint {
            JoinConstraint::On(condition) => truth(&self.expr(condition, scope)?)?,
            JoinConstraint::Using(names) => {
                let mut tests = Vec::new();
                for name in names {
                    tests.push(using(&name.to_string(), before, scope)?);
                }
                tests.join(" AND ")
            }
            JoinConstraint::Natural => return Err(Failure::unsupported("NATURAL JOIN")),
            JoinConstraint::None => return Ok(format!(" {word} {factor}")),
        };
        Ok(format!(" {word} {factor} ON {on}"))
    }

    /// `LATERAL VIEW explode(array) name AS column`.
    pub(crate) fn lateral(
        &mut self,
        view: &LateralView,
        scope: &mut Scope<'_>,
    ) -> Result<String, Failure> {
        let Expr::Function(function) = &view.lateral_view else {
            return Err(Failure::unsupported("this LATERAL VIEW"));
        };
        let args = super::calls::arguments(function)?;
        let (true, Some(array)) =
            (function.name.to_string().eq_ignore_ascii_case("explode"), args.first())
        else {
            return Err(Failure::unsupported("LATERAL VIEW with other functions than explode"));
        };
        let array = self.expr(array, scope)?;
        let name = view.lateral_view_name.to_string();
        let column = view.lateral_col_alias.first().map(|ident| ident.value.as_str());
        let word = if view.outer { " LEFT JOIN " } else { " JOIN " };
        Ok(format!("{word}{}", self.explode(Some(&array), Some(&name), column, scope)?))
    }

    fn explode(
        &mut self,
        array: Option<&Bound>,
        name: Option<&str>,
        column: Option<&str>,
        scope: &mut Scope<'_>,
    ) -> Result<String, Failure> {
        let Some(Bound { sql, kind: Type::Array(item) }) = array else {
            return Err(Failure::unsupported("explode of anything but an array"));
        };
        let here = self.fresh("s");
        scope.sources.push(Source {
            name: name.unwrap_or_default().to_owned(),
            columns: vec![Visible {
                name: column.unwrap_or("col").to_owned(),
                bound: Bound::new(format!("{here}.value"), (**item).clone()),
                hidden: false,
            }],
        });
        Ok(format!("json_each({sql}) AS {here}"))
    }
}

/// A table's columns under the name they are seen by.
pub(crate) fn stored(
    name: &str,
    here: &str,
    columns: &[Column],
    alias: Option<&TableAlias>,
) -> Source {
    let given = alias.map(|alias| alias.columns.as_slice()).unwrap_or_default();
    let columns = columns.iter().enumerate().map(|(n, column)| Visible {
        name: given.get(n).map_or(&column.name, |given| &given.name.value).clone(),
        bound: Bound::new(
            format!("{here}.{}", super::catalog::quoted(&column.name)),
            column.kind.clone(),
        ),
        hidden: false,
    });
    Source { name: name.to_owned(), columns: columns.collect() }
}

/// `range(end)`, `range(start, end)` or `range(start, end, step)`.
fn range(args: &[Bound]) -> Result<String, Failure> {
    let args =
        args.iter().map(|arg| cast(arg, &Type::Long, false)).collect::<Result<Vec<_>, _>>()?;
    let (start, end, step) = match args.as_slice() {
        [end] => ("0", end.as_str(), "1"),
        [start, end] => (start.as_str(), end.as_str(), "1"),
        [start, end, step] => (start.as_str(), end.as_str(), step.as_str()),
        _ => return Err(Failure::unsupported("range with so many arguments")),
    };
    // SQLite's series includes its end, a range does not; and it only goes up.
    Ok(match step {
        "1" => format!("SELECT value AS c0 FROM generate_series({start}, {end} - 1)"),
        _ => {
            let count = format!("({end} - {start} + {step} - sign({step})) / {step}");
            format!("SELECT {start} + value * {step} AS c0 FROM generate_series(0, {count} - 1)")
        }
    })
}

/// The test for one column of USING; the right side's column goes out of sight.
fn using(name: &str, before: usize, scope: &mut Scope<'_>) -> Result<String, Failure> {
    let missing = || {
        let text = format!("USING column `{name}` cannot be resolved on both sides of the join.");
        Failure::bad("UNRESOLVED_USING_COLUMN_FOR_JOIN", "42703", &text)
    };
    let named = |column: &Visible| column.name.eq_ignore_ascii_case(name) && !column.hidden;
    let (left, right) = scope.sources.split_at_mut(before);
    let left = left.iter().flat_map(|source| &source.columns).find(|column| named(column));
    let right =
        right.iter_mut().flat_map(|source| &mut source.columns).find(|column| named(column));
    let (left, right) = (left.ok_or_else(missing)?, right.ok_or_else(missing)?);
    right.hidden = true;
    Ok(compare("=", &left.bound, &right.bound)?.sql)
}
