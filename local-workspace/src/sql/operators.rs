//! Operators: arithmetic by the types of its sides, comparison and logic.

use sqlparser::ast::{BinaryOperator, UnaryOperator};

use super::coerce::{cast, differ, ordered, unify};
use super::decimal::Operation;
use super::failure::Failure;
use super::scope::Bound;
use super::types::Type;

pub(crate) fn binary(op: &BinaryOperator, a: &Bound, b: &Bound) -> Result<Bound, Failure> {
    use BinaryOperator as Op;
    match op {
        Op::Plus if a.kind == Type::Date && b.kind.is_integer() => {
            Ok(Bound::new(format!("date_add({}, {})", a.sql, b.sql), Type::Date))
        }
        Op::Minus if a.kind == Type::Date && b.kind.is_integer() => {
            Ok(Bound::new(format!("date_add({}, -{})", a.sql, b.sql), Type::Date))
        }
        Op::Plus => arithmetic(Operation::Add, "+", a, b),
        Op::Minus => arithmetic(Operation::Subtract, "-", a, b),
        Op::Multiply => arithmetic(Operation::Multiply, "*", a, b),
        Op::Divide => arithmetic(Operation::Divide, "/", a, b),
        Op::Modulo => arithmetic(Operation::Remainder, "%", a, b),
        Op::StringConcat => {
            let (a, b) = (cast(a, &Type::String, false)?, cast(b, &Type::String, false)?);
            Ok(Bound::new(format!("({a} || {b})"), Type::String))
        }
        Op::And | Op::Or => {
            let (a, b) = (truth(a)?, truth(b)?);
            Ok(Bound::new(format!("({a} {op} {b})"), Type::Boolean))
        }
        Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => {
            compare(&op.to_string(), a, b)
        }
        Op::Spaceship => compare("IS", a, b),
        _ => Err(Failure::unsupported(&format!("the operator {op}"))),
    }
}

pub(crate) fn compare(op: &str, a: &Bound, b: &Bound) -> Result<Bound, Failure> {
    let (a, b, kind) = unify(a, b, op)?;
    Ok(Bound::new(format!("({} {op} {b})", ordered(&a, &kind)), Type::Boolean))
}

/// What stands where a condition is asked for.
pub(crate) fn truth(bound: &Bound) -> Result<String, Failure> {
    match bound.kind {
        Type::Boolean | Type::Void => Ok(bound.sql.clone()),
        Type::String => cast(bound, &Type::Boolean, false),
        _ => Err(differ("condition", &[&bound.kind, &Type::Boolean])),
    }
}

pub(crate) fn arithmetic(
    operation: Operation,
    sign: &str,
    a: &Bound,
    b: &Bound,
) -> Result<Bound, Failure> {
    // Text in arithmetic counts as a double, and NULL takes the type of the other side.
    let number = |bound: &Bound, other: &Bound| match &bound.kind {
        Type::String => Ok(Bound::new(cast(bound, &Type::Double, false)?, Type::Double)),
        Type::Void if other.kind.is_number() => Ok(Bound::new("NULL", other.kind.clone())),
        Type::Void => Ok(Bound::new("NULL", Type::Double)),
        kind if kind.is_number() => Ok(bound.clone()),
        _ => Err(differ(sign, &[&a.kind, &b.kind])),
    };
    let (a, b) = (number(a, b)?, number(b, a)?);
    let integers = a.kind.is_integer() && b.kind.is_integer();
    if integers && operation != Operation::Divide {
        let kind = a.kind.common(&b.kind).unwrap_or(Type::Long);
        let bits = if kind == Type::Long { 64 } else { 32 };
        let sql = format!("int_{}({}, {}, {bits})", operation.name(), a.sql, b.sql);
        return Ok(Bound::new(sql, if bits == 64 { Type::Long } else { Type::Int }));
    }
    if let (false, Some(p1), Some(p2)) = (integers, digits(&a), digits(&b)) {
        let kind = operation.result(p1, p2);
        let Type::Decimal(precision, scale) = kind else { return Err(differ(sign, &[&a.kind])) };
        let name = operation.name();
        let sql = format!("dec_{name}({}, {}, {precision}, {scale})", a.sql, b.sql);
        return Ok(Bound::new(sql, kind));
    }
    let (a, b) = (cast(&a, &Type::Double, false)?, cast(&b, &Type::Double, false)?);
    let sql = match operation {
        Operation::Divide => format!("real_divide({a}, {b})"),
        Operation::Remainder => format!("mod({a}, {b})"),
        _ => format!("({a} {sign} {b})"),
    };
    Ok(Bound::new(sql, Type::Double))
}

/// Digits of a side of a decimal operation; an integer literal has only those it is written with.
fn digits(bound: &Bound) -> Option<(u8, u8)> {
    let literal = bound.kind.is_integer() && bound.sql.bytes().all(|byte| byte.is_ascii_digit());
    if literal {
        return Some((u8::try_from(bound.sql.len()).ok()?, 0));
    }
    bound.kind.as_decimal()
}

pub(crate) fn unary(op: UnaryOperator, bound: &Bound) -> Result<Bound, Failure> {
    match op {
        UnaryOperator::Plus => Ok(bound.clone()),
        UnaryOperator::Not | UnaryOperator::BangNot => {
            Ok(Bound::new(format!("(NOT {})", truth(bound)?), Type::Boolean))
        }
        UnaryOperator::Minus => match &bound.kind {
            Type::Decimal(precision, scale) => {
                let sql = format!("dec_subtract(0, {}, {precision}, {scale})", bound.sql);
                Ok(Bound::new(sql, bound.kind.clone()))
            }
            kind if kind.is_number() => Ok(Bound::new(format!("(-{})", bound.sql), kind.clone())),
            _ => arithmetic(Operation::Subtract, "-", &Bound::new("0", Type::Int), bound),
        },
        _ => Err(Failure::unsupported(&format!("the operator {op}"))),
    }
}
