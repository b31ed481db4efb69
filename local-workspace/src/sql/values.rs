//! Values between text, SQLite and the wire: casts as Databricks makes them, and how a value is written.

use bigdecimal::BigDecimal;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use rusqlite::types::{Value, ValueRef};

use super::decimal;
use super::failure::{Failure, cast_failed, out_of_range};
use super::types::Type;
use crate::clock;

/// A value of SQLite as one of the type. Booleans are 0 and 1, decimals and times text.
pub(crate) fn cast(value: ValueRef<'_>, kind: &Type) -> Result<Value, Failure> {
    match value {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(number) => from_integer(number, kind),
        ValueRef::Real(number) => from_real(number, kind),
        ValueRef::Text(bytes) => from_text(&String::from_utf8_lossy(bytes), kind),
        ValueRef::Blob(bytes) => match kind {
            Type::Binary => Ok(Value::Blob(bytes.to_vec())),
            kind => from_text(&String::from_utf8_lossy(bytes), kind),
        },
    }
}

fn from_integer(number: i64, kind: &Type) -> Result<Value, Failure> {
    match kind {
        Type::Boolean => Ok(i64::from(number != 0).into()),
        kind if kind.is_integer() => integer(number, kind),
        #[expect(clippy::cast_precision_loss, reason = "that is what a cast to DOUBLE means")]
        kind if kind.is_fractional() => Ok((number as f64).into()),
        Type::Decimal(precision, scale) => {
            Ok(decimal::fit(&BigDecimal::from(number), *precision, *scale)?.into())
        }
        Type::Timestamp => {
            let timestamp = jiff::Timestamp::from_second(number)
                .map_err(|_| out_of_range(&number.to_string(), "TIMESTAMP"))?;
            Ok(clock::iso(timestamp).into())
        }
        _ => Ok(number.to_string().into()),
    }
}

fn from_real(number: f64, kind: &Type) -> Result<Value, Failure> {
    match kind {
        kind if kind.is_fractional() => Ok(number.into()),
        Type::Boolean => Ok(i64::from(number != 0.0).into()),
        Type::String => Ok(double(number).into()),
        kind => from_text(&plain(number), kind),
    }
}

/// A finite double as digits without an exponent.
fn plain(number: f64) -> String {
    format!("{number}")
}

fn from_text(text: &str, kind: &Type) -> Result<Value, Failure> {
    let malformed = || cast_failed(text, &kind.text());
    match kind {
        Type::Boolean => match text.trim().to_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" => Ok(1.into()),
            "false" | "f" | "no" | "n" | "0" => Ok(0.into()),
            _ => Err(malformed()),
        },
        kind if kind.is_integer() => match text.trim().parse() {
            Ok(number) => integer(number, kind),
            // Decimals lose their fraction on the way to an integer.
            Err(_) => decimal::parse(text)
                .map(|number| number.with_scale_round(0, bigdecimal::RoundingMode::Down))
                .and_then(|number| number.to_plain_string().parse().ok())
                .map_or_else(|| Err(malformed()), |number| integer(number, kind)),
        },
        kind if kind.is_fractional() => {
            Ok(text.trim().parse::<f64>().map_err(|_| malformed())?.into())
        }
        Type::Decimal(precision, scale) => Ok(decimal::from_text(text, *precision, *scale)?.into()),
        Type::Date => Ok(date(text).ok_or_else(malformed)?.to_string().into()),
        Type::Timestamp => Ok(timestamp(text).ok_or_else(malformed)?.into()),
        Type::Binary => Ok(Value::Blob(text.as_bytes().to_vec())),
        _ => Ok(text.to_owned().into()),
    }
}

fn integer(number: i64, kind: &Type) -> Result<Value, Failure> {
    let fits = match kind {
        Type::Byte => i8::try_from(number).is_ok(),
        Type::Short => i16::try_from(number).is_ok(),
        Type::Int => i32::try_from(number).is_ok(),
        _ => true,
    };
    if fits { Ok(number.into()) } else { Err(out_of_range(&number.to_string(), &kind.text())) }
}

/// The day of a date or of a timestamp.
fn date(text: &str) -> Option<Date> {
    let text = text.trim();
    let day = text.split(['T', ' ']).next()?;
    day.parse().ok().filter(|_| day.len() == text.len() || timestamp(text).is_some())
}

/// Text without an offset is taken as UTC, the time zone of every session here.
fn timestamp(text: &str) -> Option<String> {
    let text = text.trim();
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Some(clock::iso(timestamp));
    }
    let civil =
        text.parse::<DateTime>().ok().or_else(|| Some(text.parse::<Date>().ok()?.into()))?;
    Some(clock::iso(civil.to_zoned(TimeZone::UTC).ok()?.timestamp()))
}

/// A double as Java writes it, which is what Databricks sends.
pub(crate) fn double(number: f64) -> String {
    let size = number.abs();
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        (if number > 0.0 { "Infinity" } else { "-Infinity" }).to_owned()
    } else if size == 0.0 || (1e-3..1e7).contains(&size) {
        format!("{number:?}")
    } else {
        let text = format!("{number:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if digits.contains('.') => format!("{digits}E{exponent}"),
            Some((digits, exponent)) => format!("{digits}.0E{exponent}"),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_like_java() {
        let written: Vec<_> = [1.0, 0.1, 1e7, 1.5e-4, -2.5e10, 0.0, 100000.0].map(double).into();
        assert_eq!(written, ["1.0", "0.1", "1.0E7", "1.5E-4", "-2.5E10", "0.0", "100000.0"]);
    }

    #[test]
    fn timestamps_have_one_form() {
        for text in
            ["2026-03-12T09:15:44.512+01:00", "2026-03-12 08:15:44.512", "2026-03-12T08:15:44.512Z"]
        {
            assert_eq!(timestamp(text).as_deref(), Some("2026-03-12T08:15:44.512Z"), "{text}");
        }
        assert_eq!(timestamp("2026-03-12").as_deref(), Some("2026-03-12T00:00:00.000Z"));
        assert_eq!(timestamp("noon"), None);
        assert_eq!(date("2026-02-30"), None);
    }
}
