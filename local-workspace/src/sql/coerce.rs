//! Bringing an expression from one type to another, and two to the type they share.

use super::catalog::literal;
use super::failure::Failure;
use super::scope::Bound;
use super::types::Type;

/// The expression as SQL of another type. `tolerant` makes NULL of what does not fit, as `try_cast` does.
pub(crate) fn cast(bound: &Bound, to: &Type, tolerant: bool) -> Result<String, Failure> {
    let (sql, from) = (&bound.sql, &bound.kind);
    let same = from == to || *from == Type::Void || *to == Type::Void;
    // Nested values are JSON text, whatever they hold.
    let nested = from.is_nested() && (to.is_nested() || *to == Type::String);
    let widening = from.is_integer() && to.is_integer() && from.common(to).as_ref() == Some(to);
    let already_text =
        *to == Type::String && matches!(from, Type::Decimal(..) | Type::Date | Type::Timestamp);
    if same || nested || widening || already_text {
        return Ok(sql.clone());
    }
    if from.is_nested() || (to.is_nested() && *from != Type::String) {
        return Err(mismatch(from, to));
    }
    match (from, to) {
        (Type::Boolean, Type::String) => {
            Ok(format!("(CASE {sql} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END)"))
        }
        (Type::Timestamp, Type::Date) => Ok(format!("substr({sql}, 1, 10)")),
        (Type::Date, Type::Timestamp) => Ok(format!("({sql} || 'T00:00:00.000Z')")),
        (Type::Date | Type::Timestamp, to) if to.is_number() => Err(mismatch(from, to)),
        (from, Type::Double | Type::Float) if from.is_number() => {
            Ok(format!("CAST({sql} AS REAL)"))
        }
        _ => {
            let tolerant = u8::from(tolerant);
            Ok(format!("cast_to({sql}, {}, {tolerant})", literal(&to.text())))
        }
    }
}

fn mismatch(from: &Type, to: &Type) -> Failure {
    let text = format!("Cannot cast \"{}\" to \"{}\".", from.text(), to.text());
    Failure::bad("DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION", "42K09", &text)
}

/// Both in their common type.
pub(crate) fn unify(a: &Bound, b: &Bound, what: &str) -> Result<(String, String, Type), Failure> {
    let kind = a.kind.common(&b.kind).ok_or_else(|| differ(what, &[&a.kind, &b.kind]))?;
    Ok((cast(a, &kind, false)?, cast(b, &kind, false)?, kind))
}

/// All in their common type.
pub(crate) fn unify_all(all: &[Bound], what: &str) -> Result<(Vec<String>, Type), Failure> {
    let kinds: Vec<&Type> = all.iter().map(|bound| &bound.kind).collect();
    let mut kind = Type::Void;
    for next in &kinds {
        kind = kind.common(next).ok_or_else(|| differ(what, &kinds))?;
    }
    let sql = all.iter().map(|bound| cast(bound, &kind, false)).collect::<Result<_, _>>()?;
    Ok((sql, kind))
}

pub(crate) fn differ(what: &str, kinds: &[&Type]) -> Failure {
    let kinds: Vec<_> = kinds.iter().map(|kind| format!("\"{}\"", kind.text())).collect();
    let text = format!(
        "Cannot resolve \"{what}\" due to data type mismatch: the types {} do not go together.",
        kinds.join(" and ")
    );
    Failure::bad("DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES", "42K09", &text)
}

/// With the collation that compares decimals by value.
pub(crate) fn ordered(sql: &str, kind: &Type) -> String {
    match kind {
        Type::Decimal(..) => format!("{sql} COLLATE DEC"),
        _ => sql.to_owned(),
    }
}
