//! Databricks SQL types: their names on the wire, and which type two types have in common.

use std::fmt::Write;

use serde_json::{Value, json};
use sqlparser::ast::{ArrayElemTypeDef, DataType, ExactNumberInfo};

use super::failure::Failure;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Type {
    Void,
    Boolean,
    Byte,
    Short,
    Int,
    Long,
    Float,
    Double,
    /// Precision and scale.
    Decimal(u8, u8),
    String,
    Binary,
    Date,
    Timestamp,
    Array(Box<Type>),
    Map(Box<Type>, Box<Type>),
    Struct(Vec<(String, Type)>),
}

/// Most digits of a DECIMAL.
pub(crate) const MOST_DIGITS: u8 = 38;

impl Type {
    /// `type_name` of a result's manifest.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Type::Void => "NULL",
            Type::Boolean => "BOOLEAN",
            Type::Byte => "BYTE",
            Type::Short => "SHORT",
            Type::Int => "INT",
            Type::Long => "LONG",
            Type::Float => "FLOAT",
            Type::Double => "DOUBLE",
            Type::Decimal(..) => "DECIMAL",
            Type::String => "STRING",
            Type::Binary => "BINARY",
            Type::Date => "DATE",
            Type::Timestamp => "TIMESTAMP",
            Type::Array(_) => "ARRAY",
            Type::Map(..) => "MAP",
            Type::Struct(_) => "STRUCT",
        }
    }

    /// `type_text` of a result's manifest, which is also how SQL spells the type.
    pub(crate) fn text(&self) -> String {
        match self {
            Type::Void => "VOID".to_owned(),
            Type::Byte => "TINYINT".to_owned(),
            Type::Short => "SMALLINT".to_owned(),
            Type::Long => "BIGINT".to_owned(),
            Type::Decimal(precision, scale) => format!("DECIMAL({precision},{scale})"),
            Type::Array(item) => format!("ARRAY<{}>", item.text()),
            Type::Map(key, value) => format!("MAP<{}, {}>", key.text(), value.text()),
            Type::Struct(fields) => {
                let mut text = String::from("STRUCT<");
                for (n, (name, kind)) in fields.iter().enumerate() {
                    let comma = if n == 0 { "" } else { ", " };
                    // Writing to a string does not fail.
                    let _ = write!(text, "{comma}{name}: {}", kind.text());
                }
                text + ">"
            }
            simple => simple.name().to_owned(),
        }
    }

    /// The type in Spark's JSON form, which tables of commands use.
    pub(crate) fn json(&self) -> Value {
        match self {
            Type::Void => "void".into(),
            Type::Int => "integer".into(),
            Type::Decimal(precision, scale) => format!("decimal({precision},{scale})").into(),
            Type::Array(item) => {
                json!({ "type": "array", "elementType": item.json(), "containsNull": true })
            }
            Type::Map(key, value) => json!({
                "type": "map", "keyType": key.json(), "valueType": value.json(),
                "valueContainsNull": true,
            }),
            Type::Struct(fields) => {
                let field = |(name, kind): &(String, Type)| json!({ "name": name, "type": kind.json(), "nullable": true, "metadata": {} });
                json!({ "type": "struct", "fields": fields.iter().map(field).collect::<Vec<_>>() })
            }
            simple => simple.name().to_lowercase().into(),
        }
    }

    pub(crate) fn is_integer(&self) -> bool {
        matches!(self, Type::Byte | Type::Short | Type::Int | Type::Long)
    }

    pub(crate) fn is_fractional(&self) -> bool {
        matches!(self, Type::Float | Type::Double)
    }

    pub(crate) fn is_number(&self) -> bool {
        self.is_integer() || self.is_fractional() || matches!(self, Type::Decimal(..))
    }

    pub(crate) fn is_nested(&self) -> bool {
        matches!(self, Type::Array(_) | Type::Map(..) | Type::Struct(_))
    }

    /// Column type of SQLite that keeps the values of this type as they are.
    pub(crate) fn affinity(&self) -> &'static str {
        match self {
            Type::Boolean | Type::Byte | Type::Short | Type::Int | Type::Long => "INTEGER",
            Type::Float | Type::Double => "REAL",
            Type::Binary => "BLOB",
            _ => "TEXT",
        }
    }

    /// Precision and scale that hold every value of a number type exactly.
    pub(crate) fn as_decimal(&self) -> Option<(u8, u8)> {
        match self {
            Type::Byte => Some((3, 0)),
            Type::Short => Some((5, 0)),
            Type::Int => Some((10, 0)),
            Type::Long => Some((20, 0)),
            Type::Decimal(precision, scale) => Some((*precision, *scale)),
            _ => None,
        }
    }

    /// The type that values of both types are brought to before they are compared or joined.
    pub(crate) fn common(&self, other: &Type) -> Option<Type> {
        match (self, other) {
            (a, b) if a == b => Some(a.clone()),
            (Type::Void, kind) | (kind, Type::Void) => Some(kind.clone()),
            (a, b) if a.is_integer() && b.is_integer() => {
                Some(if a.rank() >= b.rank() { a.clone() } else { b.clone() })
            }
            (a, b) if a.is_number() && b.is_number() => match (a.as_decimal(), b.as_decimal()) {
                (Some((p1, s1)), Some((p2, s2))) => {
                    let scale = s1.max(s2);
                    let digits = (p1 - s1).max(p2 - s2);
                    Some(Type::Decimal((digits + scale).min(MOST_DIGITS), scale))
                }
                _ => Some(Type::Double),
            },
            (Type::Date, Type::Timestamp) | (Type::Timestamp, Type::Date) => Some(Type::Timestamp),
            (Type::Array(a), Type::Array(b)) => Some(Type::Array(a.common(b)?.into())),
            // Text gives way to what it is compared with, as ANSI mode has it.
            (Type::String, kind) | (kind, Type::String) if kind.is_integer() => Some(Type::Long),
            (Type::String, kind) | (kind, Type::String) if kind.is_number() => Some(Type::Double),
            (Type::String, kind @ (Type::Boolean | Type::Date | Type::Timestamp))
            | (kind @ (Type::Boolean | Type::Date | Type::Timestamp), Type::String) => {
                Some(kind.clone())
            }
            _ => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Type::Byte => 1,
            Type::Short => 2,
            Type::Int => 3,
            _ => 4,
        }
    }

    /// The type that a statement, or a parameter, spells.
    pub(crate) fn of(spelled: &DataType) -> Result<Type, Failure> {
        Ok(match spelled {
            DataType::Boolean | DataType::Bool => Type::Boolean,
            DataType::TinyInt(_) => Type::Byte,
            DataType::SmallInt(_) => Type::Short,
            DataType::Int(_) | DataType::Integer(_) => Type::Int,
            DataType::BigInt(_) => Type::Long,
            DataType::Float(_) | DataType::Real => Type::Float,
            DataType::Double(_) | DataType::DoublePrecision => Type::Double,
            DataType::Decimal(info) | DataType::Numeric(info) | DataType::Dec(info) => {
                decimal(info)?
            }
            DataType::String(_)
            | DataType::Text
            | DataType::Varchar(_)
            | DataType::Char(_)
            | DataType::Character(_) => Type::String,
            DataType::Binary(_) => Type::Binary,
            DataType::Date => Type::Date,
            DataType::Timestamp(..) | DataType::TimestampNtz(_) => Type::Timestamp,
            DataType::Array(
                ArrayElemTypeDef::AngleBracket(item) | ArrayElemTypeDef::Parenthesis(item),
            ) => Type::Array(Type::of(item)?.into()),
            DataType::Map(key, value, _) => {
                Type::Map(Type::of(key)?.into(), Type::of(value)?.into())
            }
            DataType::Struct(fields, _) => Type::Struct(
                fields
                    .iter()
                    .map(|field| {
                        let name = field.field_name.as_ref().map(|name| name.value.clone());
                        Ok((name.unwrap_or_default(), Type::of(&field.field_type)?))
                    })
                    .collect::<Result<_, Failure>>()?,
            ),
            DataType::Custom(name, _) => match name.to_string().to_uppercase().as_str() {
                "LONG" => Type::Long,
                "BYTE" => Type::Byte,
                "SHORT" => Type::Short,
                "VOID" => Type::Void,
                _ => return Err(unknown(spelled)),
            },
            _ => return Err(unknown(spelled)),
        })
    }
}

fn decimal(info: &ExactNumberInfo) -> Result<Type, Failure> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => (10, 0),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(precision @ 1..=MOST_DIGITS), Ok(scale)) if scale <= precision => {
            Ok(Type::Decimal(precision, scale))
        }
        _ => Err(Failure::bad(
            "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION",
            "22003",
            &format!("Decimal precision {precision} with scale {scale} exceeds max precision 38."),
        )),
    }
}

fn unknown(spelled: &DataType) -> Failure {
    Failure::bad("UNSUPPORTED_DATATYPE", "0A000", &format!("Unsupported data type \"{spelled}\"."))
}
