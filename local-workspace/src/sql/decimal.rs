//! Exact decimals: text in, arithmetic with up to 38 digits, text out. Types of results follow Spark's rules.

use std::cmp::Ordering;
use std::str::FromStr;

use bigdecimal::{BigDecimal, RoundingMode, Zero};

use super::failure::{Failure, cast_failed, division_by_zero, out_of_range};
use super::types::{MOST_DIGITS, Type};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Add => "add",
            Operation::Subtract => "subtract",
            Operation::Multiply => "multiply",
            Operation::Divide => "divide",
            Operation::Remainder => "remainder",
        }
    }

    /// Precision and scale of a result; `DecimalPrecision` of Spark.
    pub(crate) fn result(self, (p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> Type {
        let (precision, scale) = match self {
            Operation::Add | Operation::Subtract => {
                let scale = s1.max(s2);
                ((p1 - s1).max(p2 - s2) + scale + 1, scale)
            }
            Operation::Multiply => (p1 + p2 + 1, s1 + s2),
            Operation::Divide => {
                let scale = (s1 + p2 + 1).max(6);
                (p1 - s1 + s2 + scale, scale)
            }
            Operation::Remainder => {
                let scale = s1.max(s2);
                ((p1 - s1).min(p2 - s2) + scale, scale)
            }
        };
        bounded(precision, scale)
    }

    pub(crate) fn apply(self, a: &BigDecimal, b: &BigDecimal) -> Result<BigDecimal, Failure> {
        match self {
            Operation::Add => Ok(a + b),
            Operation::Subtract => Ok(a - b),
            Operation::Multiply => Ok(a * b),
            Operation::Divide | Operation::Remainder if b.is_zero() => Err(division_by_zero()),
            // A hundred digits, from which the result is rounded.
            Operation::Divide => Ok(a / b),
            Operation::Remainder => Ok(a % b),
        }
    }
}

/// A type that would need more than 38 digits gives up digits of its fraction, but not the first six.
pub(crate) fn bounded(precision: u8, scale: u8) -> Type {
    if precision <= MOST_DIGITS {
        return Type::Decimal(precision, scale);
    }
    let whole = precision - scale;
    let kept = scale.min(6).max(MOST_DIGITS.saturating_sub(whole));
    Type::Decimal(MOST_DIGITS, kept)
}

pub(crate) fn parse(text: &str) -> Option<BigDecimal> {
    BigDecimal::from_str(text.trim()).ok()
}

/// Rounds half up to a scale; fails where the digits do not suffice.
pub(crate) fn fit(value: &BigDecimal, precision: u8, scale: u8) -> Result<String, Failure> {
    let rounded = value.with_scale_round(i64::from(scale), RoundingMode::HalfUp);
    if rounded.digits() > u64::from(precision) && !rounded.is_zero() {
        let kind = Type::Decimal(precision, scale).text();
        return Err(out_of_range(&value.to_plain_string(), &kind));
    }
    Ok(rounded.to_plain_string())
}

pub(crate) fn from_text(text: &str, precision: u8, scale: u8) -> Result<String, Failure> {
    let value =
        parse(text).ok_or_else(|| cast_failed(text, &Type::Decimal(precision, scale).text()))?;
    fit(&value, precision, scale)
}

/// Order of two texts by their values; texts that are no numbers come first.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    if a == b { Ordering::Equal } else { parse(a).cmp(&parse(b)) }
}

/// The type of a literal, by its digits.
pub(crate) fn literal(text: &str) -> Type {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| u8::try_from(text.len()).unwrap_or(u8::MAX);
    let (whole, scale) = (digits(whole.trim_start_matches('0')), digits(fraction));
    bounded(whole.saturating_add(scale).max(1), scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_the_digits_of_spark() {
        let kind = |operation: Operation, a, b| operation.result(a, b).text();
        assert_eq!(kind(Operation::Add, (12, 2), (10, 0)), "DECIMAL(13,2)");
        assert_eq!(kind(Operation::Multiply, (12, 2), (12, 2)), "DECIMAL(25,4)");
        assert_eq!(kind(Operation::Divide, (12, 2), (12, 2)), "DECIMAL(27,15)");
        assert_eq!(kind(Operation::Multiply, (38, 10), (38, 10)), "DECIMAL(38,6)");
        assert_eq!(kind(Operation::Divide, (38, 10), (38, 10)), "DECIMAL(38,6)");
    }

    #[test]
    fn rounding_is_half_up_and_overflow_fails() {
        assert_eq!(from_text("2.345", 12, 2).unwrap(), "2.35");
        assert_eq!(from_text("-2.345", 12, 2).unwrap(), "-2.35");
        assert_eq!(from_text("1e2", 12, 2).unwrap(), "100.00");
        assert_eq!(from_text("1000", 4, 2).unwrap_err().sql_state.as_deref(), Some("22003"));
        assert_eq!(from_text("ten", 4, 2).unwrap_err().sql_state.as_deref(), Some("22018"));
    }

    #[test]
    fn thirty_eight_digits_stay() {
        let most = "99999999999999999999999999999999999.999";
        assert_eq!(from_text(most, 38, 3).unwrap(), most);
    }

    #[test]
    fn order_is_by_value() {
        assert_eq!(compare("9.00", "10.00"), Ordering::Less);
        assert_eq!(compare("1.0", "1.00"), Ordering::Equal);
        assert_eq!(compare("-2", "-10"), Ordering::Greater);
    }

    #[test]
    fn literals_have_their_own_digits() {
        assert_eq!(literal("1.5").text(), "DECIMAL(2,1)");
        assert_eq!(literal("0.05").text(), "DECIMAL(2,2)");
        assert_eq!(literal("123456789012345678901").text(), "DECIMAL(21,0)");
    }
}
