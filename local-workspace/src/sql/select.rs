//! Queries: SELECT, WITH, set operations and VALUES. Every relation names its columns `c0`, `c1` and so on in SQLite.

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, LimitClause, OrderBy, OrderByExpr, OrderByKind, OrderBySort,
    Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator,
    SetQuantifier, TableAlias,
};

use super::bind::Binder;
use super::coerce::{cast, ordered, unify_all};
use super::failure::Failure;
use super::operators::truth;
use super::output::{column_named, name_of, position, star};
use super::scope::{Bound, Scope, Source, Visible};
use super::types::Type;

/// A query in SQLite's words, with the names and types that Databricks gives its columns.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    pub(crate) sql: String,
    pub(crate) columns: Vec<(String, Type)>,
}

impl Relation {
    /// As a source of which SQLite knows the name.
    pub(crate) fn source(&self, name: &str, physical: &str) -> Source {
        let columns = self.columns.iter().enumerate().map(|(n, (name, kind))| Visible {
            name: name.clone(),
            bound: Bound::new(format!("{physical}.c{n}"), kind.clone()),
            hidden: false,
        });
        Source { name: name.to_owned(), columns: columns.collect() }
    }

    /// With the column names that an alias gives.
    pub(crate) fn renamed(mut self, alias: Option<&TableAlias>) -> Relation {
        let names = alias.map(|alias| alias.columns.as_slice()).unwrap_or_default();
        for ((name, _), given) in self.columns.iter_mut().zip(names) {
            name.clone_from(&given.name.value);
        }
        self
    }
}

impl Binder<'_> {
    pub(crate) fn query(
        &mut self,
        query: &Query,
        outer: Option<&Scope<'_>>,
    ) -> Result<Relation, Failure> {
        let known = self.ctes.len();
        let with = self.with(query, outer)?;
        let body = self.body(&query.body, query.order_by.as_ref(), outer);
        let mut relation = body.and_then(|relation| self.limited(relation, query))?;
        self.ctes.truncate(known);
        relation.sql.insert_str(0, &with);
        Ok(relation)
    }

    fn with(&mut self, query: &Query, outer: Option<&Scope<'_>>) -> Result<String, Failure> {
        let Some(with) = &query.with else { return Ok(String::new()) };
        if with.recursive {
            return Err(Failure::unsupported("WITH RECURSIVE"));
        }
        let mut parts = Vec::new();
        for cte in &with.cte_tables {
            let relation = self.query(&cte.query, outer)?.renamed(Some(&cte.alias));
            let physical = self.fresh("w");
            parts.push(format!("{physical} AS ({})", relation.sql));
            self.ctes.push((cte.alias.name.value.to_lowercase(), physical, relation));
        }
        Ok(format!("WITH {} ", parts.join(", ")))
    }

    /// A name that nothing else has.
    pub(crate) fn fresh(&mut self, letter: &str) -> String {
        self.sources += 1;
        format!("{letter}{}", self.sources)
    }

    fn body(
        &mut self,
        body: &SetExpr,
        order: Option<&OrderBy>,
        outer: Option<&Scope<'_>>,
    ) -> Result<Relation, Failure> {
        if let SetExpr::Select(select) = body {
            return self.select(select, order, outer);
        }
        let relation = match body {
            SetExpr::Query(query) => self.query(query, outer)?,
            SetExpr::Values(values) => self.values(&values.rows, outer)?,
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                let left = self.body(left, None, outer)?;
                let right = self.body(right, None, outer)?;
                combined(*op, *set_quantifier, &left, &right)?
            }
            other => return Err(Failure::unsupported(&format!("{other} as a query"))),
        };
        let Some(order) = order else { return Ok(relation) };
        let physical = self.fresh("s");
        let mut scope = Scope::inside(outer);
        scope.sources.push(relation.source("", &physical));
        let output = scope.sources.first().map(|source| source.columns.clone()).unwrap_or_default();
        let output: Vec<_> = output.into_iter().map(|column| (column.name, column.bound)).collect();
        let order = self.order_by(order, &output, &scope)?;
        let sql = format!("SELECT * FROM ({}) AS {physical} {order}", relation.sql);
        Ok(Relation { sql, columns: relation.columns })
    }

    fn values(
        &mut self,
        rows: &[sqlparser::ast::Parens<Vec<Expr>>],
        outer: Option<&Scope<'_>>,
    ) -> Result<Relation, Failure> {
        let scope = Scope::inside(outer);
        let mut columns: Vec<Vec<Bound>> = Vec::new();
        for (n, row) in rows.iter().enumerate() {
            let cells = row.content.iter().map(|cell| self.expr(cell, &scope));
            let cells = cells.collect::<Result<Vec<_>, _>>()?;
            if n == 0 {
                columns = vec![Vec::new(); cells.len()];
            }
            if columns.len() != cells.len() {
                let text = "Each row of an inline table must have the same number of columns.";
                return Err(Failure::bad(
                    "INVALID_INLINE_TABLE.NUM_COLUMNS_MISMATCH",
                    "42000",
                    text,
                ));
            }
            columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
        }
        let unified = columns.iter().map(|column| unify_all(column, "VALUES"));
        let unified = unified.collect::<Result<Vec<_>, _>>()?;
        let row = |n: usize| {
            let cells = unified
                .iter()
                .enumerate()
                .filter_map(|(c, (cells, _))| Some(format!("{} AS c{c}", cells.get(n)?)));
            format!("SELECT {}", cells.collect::<Vec<_>>().join(", "))
        };
        let sql = (0..rows.len()).map(row).collect::<Vec<_>>().join(" UNION ALL ");
        let columns = unified.into_iter().enumerate();
        let columns = columns.map(|(n, (_, kind))| (format!("col{}", n + 1), kind)).collect();
        Ok(Relation { sql, columns })
    }

    fn select(
        &mut self,
        select: &Select,
        order: Option<&OrderBy>,
        outer: Option<&Scope<'_>>,
    ) -> Result<Relation, Failure> {
        if select.qualify.is_some() || select.top.is_some() || select.into.is_some() {
            return Err(Failure::unsupported("QUALIFY, TOP and INTO"));
        }
        let mut scope = Scope::inside(outer);
        let mut from = self.from(&select.from, &mut scope)?;
        for view in &select.lateral_views {
            from.push_str(&self.lateral(view, &mut scope)?);
        }
        let filter = match &select.selection {
            Some(condition) => format!(" WHERE {}", truth(&self.expr(condition, &scope)?)?),
            None => String::new(),
        };
        let mut output: Vec<(String, Bound)> = Vec::new();
        for item in &select.projection {
            self.item(item, &mut scope, &mut output)?;
        }
        let group = self.group_by(&select.group_by, &select.projection, &output, &scope)?;
        let having = match &select.having {
            Some(condition) => format!(" HAVING {}", truth(&self.expr(condition, &scope)?)?),
            None => String::new(),
        };
        let order = match order {
            Some(order) => self.order_by(order, &output, &scope)?,
            None => String::new(),
        };
        let distinct = match &select.distinct {
            Some(Distinct::Distinct) => "DISTINCT ",
            Some(Distinct::On(_)) => return Err(Failure::unsupported("DISTINCT ON")),
            Some(Distinct::All) | None => "",
        };
        let list = output.iter().enumerate();
        let list: Vec<_> = list.map(|(n, (_, bound))| format!("{} AS c{n}", bound.sql)).collect();
        let sql =
            format!("SELECT {distinct}{}{from}{filter}{group}{having}{order}", list.join(", "));
        let columns = output.into_iter().map(|(name, bound)| (name, bound.kind)).collect();
        Ok(Relation { sql, columns })
    }

    fn item(
        &mut self,
        item: &SelectItem,
        scope: &mut Scope<'_>,
        output: &mut Vec<(String, Bound)>,
    ) -> Result<(), Failure> {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let bound = self.expr(expr, scope)?;
                output.push((name_of(expr), bound));
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                let bound = self.expr(expr, scope)?;
                scope.aliases.push((alias.value.clone(), bound.clone()));
                output.push((alias.value.clone(), bound));
            }
            SelectItem::Wildcard(options) => output.extend(star(scope, None, options)?),
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) => {
                let name = name.0.last().map(ToString::to_string).unwrap_or_default();
                output.extend(star(scope, Some(&name), options)?);
            }
            other => return Err(Failure::unsupported(&format!("{other} in SELECT"))),
        }
        Ok(())
    }

    fn group_by(
        &mut self,
        group: &GroupByExpr,
        projection: &[SelectItem],
        output: &[(String, Bound)],
        scope: &Scope<'_>,
    ) -> Result<String, Failure> {
        let mut terms = Vec::new();
        match group {
            GroupByExpr::Expressions(exprs, modifiers) if modifiers.is_empty() => {
                for expr in exprs {
                    terms.push(match position(expr, output)? {
                        Some(bound) => bound.sql.clone(),
                        None => self.expr(expr, scope)?.sql,
                    });
                }
            }
            // Databricks groups by all that is no aggregate.
            GroupByExpr::All(modifiers) if modifiers.is_empty() => {
                for (item, (_, bound)) in projection.iter().zip(output) {
                    if !super::calls::has_aggregate(item) {
                        terms.push(bound.sql.clone());
                    }
                }
            }
            _ => return Err(Failure::unsupported("ROLLUP, CUBE and GROUPING SETS")),
        }
        Ok(if terms.is_empty() { String::new() } else { format!(" GROUP BY {}", terms.join(", ")) })
    }

    fn order_by(
        &mut self,
        order: &OrderBy,
        output: &[(String, Bound)],
        scope: &Scope<'_>,
    ) -> Result<String, Failure> {
        let OrderByKind::Expressions(terms) = &order.kind else {
            return Err(Failure::unsupported("ORDER BY ALL"));
        };
        Ok(format!(" ORDER BY {}", self.order_terms(terms, output, scope)?))
    }

    pub(crate) fn order_terms(
        &mut self,
        terms: &[OrderByExpr],
        output: &[(String, Bound)],
        scope: &Scope<'_>,
    ) -> Result<String, Failure> {
        let mut parts = Vec::new();
        for term in terms {
            let named = match &term.expr {
                Expr::Identifier(ident) => column_named(ident, output),
                expr => position(expr, output)?,
            };
            let bound = match named {
                Some(bound) => bound.clone(),
                None => self.expr(&term.expr, scope)?,
            };
            let direction = match &term.options.sort {
                Some(OrderBySort::Desc) => " DESC",
                _ => "",
            };
            // Nulls come first in ascending order, in both engines.
            let nulls = match term.options.nulls_first {
                Some(true) => " NULLS FIRST",
                Some(false) => " NULLS LAST",
                None => "",
            };
            parts.push(format!("{}{direction}{nulls}", ordered(&bound.sql, &bound.kind)));
        }
        Ok(parts.join(", "))
    }

    fn limited(&mut self, mut relation: Relation, query: &Query) -> Result<Relation, Failure> {
        let (limit, offset) = match &query.limit_clause {
            None => return Ok(relation),
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(other) => return Err(Failure::unsupported(&format!("{other}"))),
        };
        let scope = Scope::default();
        let mut whole = |expr: &Expr| {
            let bound = self.expr(expr, &scope)?;
            cast(&bound, &Type::Long, false)
        };
        let limit = limit.map(&mut whole).transpose()?.unwrap_or_else(|| "-1".to_owned());
        relation.sql.push_str(&format!(" LIMIT {limit}"));
        if let Some(offset) = offset {
            relation.sql.push_str(&format!(" OFFSET {}", whole(offset)?));
        }
        Ok(relation)
    }
}

fn combined(
    op: SetOperator,
    quantifier: SetQuantifier,
    left: &Relation,
    right: &Relation,
) -> Result<Relation, Failure> {
    let all = match quantifier {
        SetQuantifier::All => " ALL",
        SetQuantifier::None | SetQuantifier::Distinct => "",
        _ => return Err(Failure::unsupported("set operations BY NAME")),
    };
    let word = match op {
        SetOperator::Union => "UNION",
        SetOperator::Except | SetOperator::Minus => "EXCEPT",
        SetOperator::Intersect => "INTERSECT",
    };
    if left.columns.len() != right.columns.len() {
        let text =
            format!("{word} can only be performed on inputs with the same number of columns.");
        return Err(Failure::bad("NUM_COLUMNS_MISMATCH", "42826", &text));
    }
    let mut columns = Vec::new();
    for ((name, a), (_, b)) in left.columns.iter().zip(&right.columns) {
        let kind = a.common(b).ok_or_else(|| super::coerce::differ(word, &[a, b]))?;
        columns.push((name.clone(), kind));
    }
    let side = |relation: &Relation| {
        let cells =
            relation.columns.iter().zip(&columns).enumerate().map(|(n, ((_, from), (_, to)))| {
                let cell = cast(&Bound::new(format!("c{n}"), from.clone()), to, false)?;
                Ok(format!("{cell} AS c{n}"))
            });
        let cells = cells.collect::<Result<Vec<_>, Failure>>()?.join(", ");
        Ok::<_, Failure>(format!("SELECT {cells} FROM ({})", relation.sql))
    };
    // SQLite takes set operations from left to right; being a source keeps each in its parentheses.
    let sql = format!("SELECT * FROM ({} {word}{all} {})", side(left)?, side(right)?);
    Ok(Relation { sql, columns })
}
