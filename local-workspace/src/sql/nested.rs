//! Arrays, maps and structs, which are JSON text inside and on the wire.

use super::calls::{json_value, wrong_count};
use super::catalog::literal;
use super::coerce::{cast, unify_all};
use super::failure::Failure;
use super::scope::Bound;
use super::types::Type;

/// A function that makes or reads a nested value; `None` for other names.
pub(crate) fn call(name: &str, args: &[Bound]) -> Result<Option<Bound>, Failure> {
    Ok(Some(match (name, args) {
        ("array", _) => {
            let (sql, kind) = unify_all(args, name)?;
            let items = sql.into_iter().map(|sql| json_value(&Bound::new(sql, kind.clone())));
            let items = items.collect::<Vec<_>>().join(", ");
            Bound::new(format!("json_array({items})"), Type::Array(kind.into()))
        }
        ("struct", _) => {
            let names = (1..=args.len()).map(|n| format!("col{n}"));
            structure(names.zip(args))
        }
        ("named_struct", _) => {
            let pairs = pairs(name, args)?;
            structure(pairs.into_iter().map(|(name, value)| (unquoted(name), value)))
        }
        ("map", _) => {
            let pairs = pairs(name, args)?;
            let values: Vec<Bound> = pairs.iter().map(|(_, value)| (*value).clone()).collect();
            let (values, kind) = unify_all(&values, name)?;
            let mut items = Vec::new();
            for ((key, _), value) in pairs.iter().zip(values) {
                items.push(cast(key, &Type::String, false)?);
                items.push(json_value(&Bound::new(value, kind.clone())));
            }
            let sql = format!("json_object({})", items.join(", "));
            Bound::new(sql, Type::Map(Type::String.into(), kind.into()))
        }
        ("size" | "cardinality" | "array_size", [Bound { sql, kind: Type::Array(_) }]) => {
            Bound::new(format!("json_array_length({sql})"), Type::Int)
        }
        ("to_json", [arg]) if arg.kind.is_nested() => Bound::new(arg.sql.clone(), Type::String),
        _ => return Ok(None),
    }))
}

fn structure<'a>(fields: impl Iterator<Item = (String, &'a Bound)>) -> Bound {
    let mut items = Vec::new();
    let mut kinds = Vec::new();
    for (name, value) in fields {
        items.push(literal(&name));
        items.push(json_value(value));
        kinds.push((name, value.kind.clone()));
    }
    Bound::new(format!("json_object({})", items.join(", ")), Type::Struct(kinds))
}

fn pairs<'a>(name: &str, args: &'a [Bound]) -> Result<Vec<(&'a Bound, &'a Bound)>, Failure> {
    let (pairs, rest) = args.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(wrong_count(name, args.len()));
    }
    Ok(pairs.iter().map(|[key, value]| (key, value)).collect())
}

/// The text of a literal.
fn unquoted(bound: &Bound) -> String {
    bound.sql.trim_matches('\'').replace("''", "'")
}
