//! The types a `CAST` may name.

use document::Fault;
use sqlparser::ast::{CharacterLength, DataType, ExactNumberInfo};

use super::node::Kind;
use super::prepare::fault;

pub(super) fn kind(named: &DataType, column: usize) -> Result<Kind, Fault> {
    Ok(match named {
        DataType::Signed | DataType::SignedInteger | DataType::Int(_) | DataType::Integer(_) | DataType::BigInt(_) => {
            Kind::Signed
        }
        DataType::Unsigned | DataType::UnsignedInteger => Kind::Unsigned,
        DataType::Char(length) | DataType::Character(length) | DataType::Varchar(length) => {
            Kind::Char(characters(length.as_ref()))
        }
        DataType::Decimal(digits) | DataType::Numeric(digits) | DataType::Dec(digits) => decimal(digits, column)?,
        DataType::Double(_) | DataType::Float(_) | DataType::Real => Kind::Number,
        DataType::Date => Kind::Date,
        DataType::Datetime(_) => Kind::DateTime,
        DataType::Time(..) => Kind::Time,
        other => {
            return Err(fault(column, format!("{other} is not a type of CAST"))
                .hint("types: SIGNED UNSIGNED CHAR DECIMAL(digits,places) DOUBLE DATE DATETIME TIME"));
        }
    })
}

fn characters(length: Option<&CharacterLength>) -> Option<usize> {
    match length {
        Some(CharacterLength::IntegerLength { length, .. }) => usize::try_from(*length).ok(),
        Some(CharacterLength::Max) | None => None,
    }
}

/// MySQL's default is ten digits, none of them places.
fn decimal(digits: &ExactNumberInfo, column: usize) -> Result<Kind, Fault> {
    let (digits, places) = match digits {
        ExactNumberInfo::None => (10, 0),
        ExactNumberInfo::Precision(digits) => (*digits, 0),
        ExactNumberInfo::PrecisionAndScale(digits, places) => (*digits, *places),
    };
    match (u32::try_from(digits), u32::try_from(places)) {
        (Ok(digits), Ok(places)) if digits <= 65 && places <= digits.min(30) => Ok(Kind::Decimal(digits, places)),
        _ => Err(fault(column, "DECIMAL takes up to 65 digits, up to 30 of them places")),
    }
}
