//! Functions of numbers, by the type of their argument.

use super::calls::{remainder, unknown};
use super::coerce::{cast, differ};
use super::decimal::bounded;
use super::failure::Failure;
use super::scope::Bound;
use super::types::Type;

/// The last place a function is looked for.
pub(crate) fn call(name: &str, args: &[Bound]) -> Result<Bound, Failure> {
    match (name, args) {
        ("mod", [a, b]) => remainder(a, b),
        ("round" | "bround", [arg]) => round(arg, 0),
        ("round" | "bround", [arg, digits]) => match digits.sql.trim_matches(['(', ')']).parse() {
            Ok(digits) => round(arg, digits),
            Err(_) => Err(Failure::unsupported("round to digits that are not written out")),
        },
        ("abs", [arg]) => abs(arg),
        ("ceil" | "ceiling", [arg]) => whole(arg, "ceil"),
        ("floor", [arg]) => whole(arg, "floor"),
        ("sign" | "signum", [arg]) => {
            let real = cast(arg, &Type::Double, false)?;
            Ok(Bound::new(format!("CAST(sign({real}) AS REAL)"), Type::Double))
        }
        (
            "sqrt" | "exp" | "ln" | "log10" | "log2" | "sin" | "cos" | "tan" | "radians"
            | "degrees",
            [arg],
        ) => {
            let real = cast(arg, &Type::Double, false)?;
            Ok(Bound::new(format!("{name}({real})"), Type::Double))
        }
        ("pow" | "power", [a, b]) => {
            let (a, b) = (cast(a, &Type::Double, false)?, cast(b, &Type::Double, false)?);
            Ok(Bound::new(format!("pow({a}, {b})"), Type::Double))
        }
        ("pi", []) => Ok(Bound::new("pi()", Type::Double)),
        ("rand" | "random", []) => {
            Ok(Bound::new("(abs(random() % 9007199254740992) / 9007199254740992.0)", Type::Double))
        }
        ("uuid", []) => {
            let part = |bytes: u8| format!("lower(hex(randomblob({bytes})))");
            let parts = [4, 2, 2, 2, 6].map(part).join(" || '-' || ");
            Ok(Bound::new(format!("({parts})"), Type::String))
        }
        _ => Err(unknown(name)),
    }
}

fn round(arg: &Bound, digits: i8) -> Result<Bound, Failure> {
    match &arg.kind {
        kind if kind.is_integer() && digits >= 0 => Ok(arg.clone()),
        Type::Decimal(precision, scale) if digits >= 0 => {
            let kept = (*scale).min(digits.unsigned_abs());
            let kind = bounded(precision - scale + kept + u8::from(kept < *scale), kept);
            Ok(Bound::new(cast(arg, &kind, false)?, kind))
        }
        _ if digits < 0 => Err(Failure::unsupported("round to negative digits")),
        _ => {
            let real = cast(arg, &Type::Double, false)?;
            Ok(Bound::new(format!("round({real}, {digits})"), Type::Double))
        }
    }
}

fn abs(arg: &Bound) -> Result<Bound, Failure> {
    match &arg.kind {
        // The sign is the only thing before the digits.
        Type::Decimal(..) => Ok(Bound::new(format!("ltrim({}, '-')", arg.sql), arg.kind.clone())),
        kind if kind.is_number() => Ok(Bound::new(format!("abs({})", arg.sql), kind.clone())),
        kind => Err(differ("abs", &[kind])),
    }
}

fn whole(arg: &Bound, name: &str) -> Result<Bound, Failure> {
    match &arg.kind {
        kind if kind.is_integer() => Ok(arg.clone()),
        Type::Decimal(precision, scale) => {
            let kind = bounded(precision - scale + 1, 0);
            let (digits, _) = kind.as_decimal().unwrap_or_default();
            // Away from the half that rounding would turn on; exact, since one digit more is kept.
            let half = if name == "ceil" { "dec_add" } else { "dec_subtract" };
            let nearly =
                format!("{half}({}, '0.{}', 38, {})", arg.sql, nearly_half(*scale), scale + 1);
            Ok(Bound::new(format!("dec_add({nearly}, 0, {digits}, 0)"), kind))
        }
        _ => {
            let real = cast(arg, &Type::Double, false)?;
            Ok(Bound::new(format!("CAST({name}({real}) AS INTEGER)"), Type::Long))
        }
    }
}

/// Digits just below a half, finer than the scale: a whole number stays, and any fraction goes over.
fn nearly_half(scale: u8) -> String {
    format!("4{}", "9".repeat(usize::from(scale)))
}
