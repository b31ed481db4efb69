//! Dates and timestamps plus or minus an INTERVAL, by SQLite's date functions.

use sqlparser::ast::{BinaryOperator, DateTimeField, Expr, Interval};

use super::bind::Binder;
use super::coerce::{cast, differ};
use super::failure::Failure;
use super::scope::{Bound, Scope};
use super::types::Type;

impl Binder<'_> {
    /// `time + INTERVAL n UNIT` or `time - INTERVAL n UNIT`; `None` for other operations.
    pub(crate) fn shifted(
        &mut self,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
        scope: &Scope<'_>,
    ) -> Option<Result<Bound, Failure>> {
        let (time, interval, sign) = match (left, op, right) {
            (time, BinaryOperator::Plus, Expr::Interval(interval))
            | (Expr::Interval(interval), BinaryOperator::Plus, time) => (time, interval, ""),
            (time, BinaryOperator::Minus, Expr::Interval(interval)) => (time, interval, "-"),
            _ => return None,
        };
        Some(self.shift(time, interval, sign, scope))
    }

    fn shift(
        &mut self,
        time: &Expr,
        interval: &Interval,
        sign: &str,
        scope: &Scope<'_>,
    ) -> Result<Bound, Failure> {
        let time = self.expr(time, scope)?;
        let count = cast(&self.expr(&interval.value, scope)?, &Type::Long, false)?;
        let (unit, factor, of_a_day) = match &interval.leading_field {
            Some(DateTimeField::Year | DateTimeField::Years) => ("years", 1, false),
            Some(DateTimeField::Month | DateTimeField::Months) => ("months", 1, false),
            Some(DateTimeField::Week(_) | DateTimeField::Weeks) => ("days", 7, false),
            Some(DateTimeField::Day | DateTimeField::Days) => ("days", 1, false),
            Some(DateTimeField::Hour | DateTimeField::Hours) => ("hours", 1, true),
            Some(DateTimeField::Minute | DateTimeField::Minutes) => ("minutes", 1, true),
            Some(DateTimeField::Second | DateTimeField::Seconds) => ("seconds", 1, true),
            _ => return Err(Failure::unsupported(&format!("{interval}"))),
        };
        // With `floor` the 31st of January plus a month is the last of February, as in Databricks.
        let change = format!("({sign}({count}) * {factor}) || ' {unit}', 'floor'");
        match &time.kind {
            Type::Date if !of_a_day => {
                Ok(Bound::new(format!("date({}, {change})", time.sql), Type::Date))
            }
            Type::Date | Type::Timestamp | Type::String => {
                let time = cast(&time, &Type::Timestamp, false)?;
                let sql = format!("strftime('%Y-%m-%dT%H:%M:%fZ', {time}, {change})");
                Ok(Bound::new(sql, Type::Timestamp))
            }
            other => Err(differ("INTERVAL", &[other])),
        }
    }
}
