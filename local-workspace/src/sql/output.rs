//! The columns that a SELECT list makes: what `*` stands for, what a column is called, what a number or a name refers to.

use sqlparser::ast::{Expr, Ident, Spanned, Value, ValueWithSpan, WildcardAdditionalOptions};

use super::failure::Failure;
use super::scope::{Bound, Scope, Source};

pub(crate) fn star(
    scope: &Scope<'_>,
    source: Option<&str>,
    options: &WildcardAdditionalOptions,
) -> Result<Vec<(String, Bound)>, Failure> {
    let mut except: Vec<&Ident> = Vec::new();
    if let Some(list) = &options.opt_except {
        except.push(&list.first_element);
        except.extend(&list.additional_elements);
    }
    let wanted = |one: &&Source| source.is_none_or(|name| one.name.eq_ignore_ascii_case(name));
    let columns = scope.sources.iter().filter(wanted).flat_map(|source| &source.columns);
    let all: Vec<_> = columns
        .filter(|column| source.is_some() || !column.hidden)
        .filter(|column| !except.iter().any(|name| name.value.eq_ignore_ascii_case(&column.name)))
        .map(|column| (column.name.clone(), column.bound.clone()))
        .collect();
    if all.is_empty() {
        let text = "Cannot expand the star: there is nothing to select from.";
        return Err(Failure::bad("INVALID_USAGE_OF_STAR_OR_REGEX", "42000", text));
    }
    Ok(all)
}

pub(crate) fn name_of(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundIdentifier(path) => path.last().map(|i| i.value.clone()).unwrap_or_default(),
        Expr::Function(function) => {
            let text = expr.to_string();
            let name = function.name.to_string();
            let rest = text.strip_prefix(&name).unwrap_or_default();
            let rest = if rest == "(*)" { "(1)" } else { rest };
            format!("{}{rest}", name.to_lowercase())
        }
        Expr::Cast { expr, .. } => name_of(expr),
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => text.clone(),
        other => other.to_string(),
    }
}

/// The column that a number in ORDER BY or GROUP BY stands for.
pub(crate) fn position<'a>(
    expr: &Expr,
    output: &'a [(String, Bound)],
) -> Result<Option<&'a Bound>, Failure> {
    let Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) = expr else {
        return Ok(None);
    };
    let column = text.parse().ok().and_then(|n: usize| output.get(n.checked_sub(1)?));
    match column {
        Some((_, bound)) => Ok(Some(bound)),
        None => {
            let text = format!(
                "Position {text} is not in the select list (valid range is [1, {}]).",
                output.len()
            );
            Err(Failure::bad("GROUP_BY_POS_OUT_OF_RANGE", "42805", &text).at(expr.span()))
        }
    }
}

pub(crate) fn column_named<'a>(ident: &Ident, output: &'a [(String, Bound)]) -> Option<&'a Bound> {
    let mut found = output.iter().filter(|(name, _)| name.eq_ignore_ascii_case(&ident.value));
    found.next().map(|(_, bound)| bound)
}
