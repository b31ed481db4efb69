//! Functions of our own inside SQLite: casts, exact arithmetic and what SQLite does differently from Databricks.

use std::sync::Arc;

use bigdecimal::BigDecimal;
use jiff::civil::Date;
use rusqlite::functions::{Aggregate, Context, FunctionFlags, WindowAggregate};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error};

use super::decimal::{self, Operation};
use super::failure::{Failure, division_by_zero, overflow};
use super::types::Type;
use super::{parse_type, values};

const FLAGS: FunctionFlags = FunctionFlags::SQLITE_UTF8.union(FunctionFlags::SQLITE_DETERMINISTIC);

const OPERATIONS: &[Operation] = &[
    Operation::Add,
    Operation::Subtract,
    Operation::Multiply,
    Operation::Divide,
    Operation::Remainder,
];

/// Adds all of them, and the collation `DEC` that orders decimals by value.
pub(crate) fn register(connection: &Connection) -> Result<(), Error> {
    connection.create_collation("DEC", decimal::compare)?;
    connection.create_scalar_function("cast_to", 3, FLAGS, cast_to)?;
    for operation in OPERATIONS {
        let operation = *operation;
        let name = format!("dec_{}", operation.name());
        connection.create_scalar_function(name.as_str(), 4, FLAGS, move |context| {
            decimals(context, operation)
        })?;
        let name = format!("int_{}", operation.name());
        connection.create_scalar_function(name.as_str(), 3, FLAGS, move |context| {
            integers(context, operation)
        })?;
    }
    connection.create_scalar_function("real_divide", 2, FLAGS, |context| {
        match (context.get::<Option<f64>>(0)?, context.get::<Option<f64>>(1)?) {
            (Some(_), Some(0.0)) => Err(failed(division_by_zero())),
            (Some(a), Some(b)) => Ok(Some(a / b)),
            _ => Ok(None),
        }
    })?;
    connection.create_window_function("dec_sum", 3, FLAGS, Total { average: false })?;
    connection.create_window_function("dec_avg", 3, FLAGS, Total { average: true })?;
    text(connection)?;
    dates(connection)
}

fn failed(failure: Failure) -> Error {
    Error::UserFunctionError(Box::new(failure))
}

/// `cast_to(value, type, try)`.
fn cast_to(context: &Context<'_>) -> Result<Value, Error> {
    let kind: Arc<Type> = context.get_or_create_aux(1, |text| {
        parse_type(text.as_str().map_err(|e| Failure::internal(&e.to_string()))?)
    })?;
    let tolerant: bool = context.get(2)?;
    match values::cast(context.get_raw(0), &kind) {
        Err(_) if tolerant => Ok(Value::Null),
        cast => cast.map_err(failed),
    }
}

fn digits(context: &Context<'_>, at: usize) -> Result<(u8, u8), Error> {
    Ok((context.get(at)?, context.get(at + 1)?))
}

fn number(value: ValueRef<'_>) -> Option<BigDecimal> {
    match value {
        ValueRef::Integer(number) => Some(BigDecimal::from(number)),
        ValueRef::Text(text) => decimal::parse(std::str::from_utf8(text).ok()?),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => None,
    }
}

/// `dec_…(a, b, precision, scale)`.
fn decimals(context: &Context<'_>, operation: Operation) -> Result<Option<String>, Error> {
    let (a, b) = (number(context.get_raw(0)), number(context.get_raw(1)));
    let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
    let (precision, scale) = digits(context, 2)?;
    let result = operation.apply(&a, &b).and_then(|value| decimal::fit(&value, precision, scale));
    result.map(Some).map_err(failed)
}

/// `int_…(a, b, bits)`: 64-bit arithmetic that fails where SQLite would go over to doubles.
fn integers(context: &Context<'_>, operation: Operation) -> Result<Option<i64>, Error> {
    let (a, b) = (context.get::<Option<i64>>(0)?, context.get::<Option<i64>>(1)?);
    let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
    let bits: u8 = context.get(2)?;
    if b == 0 && matches!(operation, Operation::Divide | Operation::Remainder) {
        return Err(failed(division_by_zero()));
    }
    let result = match operation {
        Operation::Add => a.checked_add(b),
        Operation::Subtract => a.checked_sub(b),
        Operation::Multiply => a.checked_mul(b),
        Operation::Divide => a.checked_div(b),
        Operation::Remainder => Some(a.wrapping_rem(b)),
    };
    let fits = |number: &i64| bits > 32 || i32::try_from(*number).is_ok();
    let kind = if bits > 32 { "long" } else { "integer" };
    result.filter(fits).map(Some).ok_or_else(|| failed(overflow(kind)))
}

/// `dec_sum` and `dec_avg` of `(value, precision, scale)`.
struct Total {
    average: bool,
}

#[derive(Default)]
struct Running {
    sum: BigDecimal,
    count: u64,
    digits: (u8, u8),
}

impl Total {
    fn result(&self, running: Option<&Running>) -> Result<Option<String>, Error> {
        let Some(running) = running.filter(|running| running.count > 0) else { return Ok(None) };
        let (precision, scale) = running.digits;
        let value = match self.average {
            true => &running.sum / BigDecimal::from(running.count),
            false => running.sum.clone(),
        };
        decimal::fit(&value, precision, scale).map(Some).map_err(failed)
    }
}

impl Aggregate<Running, Option<String>> for Total {
    fn init(&self, context: &mut Context<'_>) -> Result<Running, Error> {
        Ok(Running { digits: digits(context, 1)?, ..Running::default() })
    }

    fn step(&self, context: &mut Context<'_>, running: &mut Running) -> Result<(), Error> {
        if let Some(value) = number(context.get_raw(0)) {
            running.sum += value;
            running.count += 1;
        }
        Ok(())
    }

    fn finalize(
        &self,
        _: &mut Context<'_>,
        running: Option<Running>,
    ) -> Result<Option<String>, Error> {
        self.result(running.as_ref())
    }
}

impl WindowAggregate<Running, Option<String>> for Total {
    fn value(&self, running: Option<&mut Running>) -> Result<Option<String>, Error> {
        self.result(running.as_deref())
    }

    fn inverse(&self, context: &mut Context<'_>, running: &mut Running) -> Result<(), Error> {
        if let Some(value) = number(context.get_raw(0)) {
            running.sum -= value;
            running.count -= 1;
        }
        Ok(())
    }
}

fn text(connection: &Connection) -> Result<(), Error> {
    // SQLite's own know ASCII only.
    one_text(connection, "upper", |text| text.to_uppercase())?;
    one_text(connection, "lower", |text| text.to_lowercase())?;
    one_text(connection, "reverse", |text| text.chars().rev().collect())?;
    one_text(connection, "initcap", |text| {
        let mut start = true;
        let mut result = String::with_capacity(text.len());
        for letter in text.chars() {
            if start {
                result.extend(letter.to_uppercase());
            } else {
                result.extend(letter.to_lowercase());
            }
            start = letter == ' ';
        }
        result
    })?;
    connection.create_scalar_function("repeat", 2, FLAGS, |context| {
        let times: Option<i64> = context.get(1)?;
        let text: Option<String> = context.get(0)?;
        let times = times.map(|times| usize::try_from(times).unwrap_or(0));
        match (text, times) {
            (Some(text), Some(times)) if text.len().saturating_mul(times) > 64 * 1024 * 1024 => {
                Err(failed(Failure::unsupported("texts of more than 64 MiB")))
            }
            (text, times) => Ok(text.zip(times).map(|(text, times)| text.repeat(times))),
        }
    })?;
    connection.create_scalar_function("raise_error", 1, FLAGS, |context| {
        let text: Option<String> = context.get(0)?;
        let text = text.unwrap_or_default();
        Err::<Option<String>, _>(failed(Failure::bad("USER_RAISED_EXCEPTION", "P0001", &text)))
    })
}

fn one_text(
    connection: &Connection,
    name: &str,
    change: impl Fn(&str) -> String + Send + 'static,
) -> Result<(), Error> {
    connection.create_scalar_function(name, 1, FLAGS, move |context| {
        Ok(context.get::<Option<String>>(0)?.map(|text| change(&text)))
    })
}

fn dates(connection: &Connection) -> Result<(), Error> {
    connection.create_scalar_function("date_add", 2, FLAGS, |context| {
        let (day, days) = (day(context, 0)?, context.get::<Option<i64>>(1)?);
        let moved = day
            .zip(days)
            .and_then(|(day, n)| day.checked_add(jiff::Span::new().try_days(n).ok()?).ok());
        Ok(moved.map(|day| day.to_string()))
    })?;
    connection.create_scalar_function("datediff", 2, FLAGS, |context| {
        let (end, start) = (day(context, 0)?, day(context, 1)?);
        Ok(end.zip(start).map(|(end, start)| i64::from((end - start).get_days())))
    })
}

fn day(context: &Context<'_>, at: usize) -> Result<Option<Date>, Error> {
    let text: Option<String> = context.get(at)?;
    Ok(text.and_then(|text| text.get(..10)?.parse().ok()))
}
