//! Quantities: `100m`, `1.5Gi`, `2e3`: exact decimals that remember how they were written.
//!
//! Small numbers (an `i64` and a power of ten, which is nearly all of them) are computed in place; what does not fit falls
//! back to decimal digits of any length. Upstream: apimachinery/pkg/api/resource.

mod decimal;
mod parse;
#[cfg(test)]
mod tests;

use std::{cmp::Ordering, fmt};

use ecow::EcoString;

use crate::Value;
use decimal::Decimal;

/// A fixed-point number with its notation. Compares by value, whatever the notation.
#[derive(Clone, Debug)]
pub struct Quantity {
    amount: Amount,
    format: Format,
    /// The text it was read from, when upstream takes that for canonical.
    text: Option<EcoString>,
}

/// How a quantity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `12e6`
    DecimalExponent,
    /// `12Mi`
    BinarySi,
    /// `12M`
    DecimalSi,
}

/// Why a text is no quantity; the messages are upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// `value * 10^scale`.
#[derive(Clone, Debug)]
enum Amount {
    Small { value: i64, scale: i32 },
    Big(Decimal),
}

pub const NANO: i32 = -9;
pub const MICRO: i32 = -6;
pub const MILLI: i32 = -3;

// === impl Quantity ===

impl Quantity {
    pub const ZERO: Quantity =
        Quantity { amount: Amount::Small { value: 0, scale: 0 }, format: Format::DecimalSi, text: None };

    pub fn new(value: i64, format: Format) -> Quantity {
        Quantity::small(value, 0, format)
    }

    /// `value / 1000`.
    pub fn from_milli(value: i64, format: Format) -> Quantity {
        Quantity::small(value, MILLI, format)
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Quantity, ParseError> {
        parse::parse(text)
    }

    /// Reads a member of an object, whose decoder has checked it: missing or wrong is zero.
    pub fn of(value: &Value) -> Quantity {
        match value {
            Value::Str(s) => Quantity::parse(s.trim()).unwrap_or(Quantity::ZERO),
            Value::Int(i) => Quantity::new(*i, Format::DecimalSi),
            _ => Quantity::ZERO,
        }
    }

    pub(super) fn small(value: i64, scale: i32, format: Format) -> Quantity {
        Quantity { amount: Amount::Small { value, scale }, format, text: None }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn is_zero(&self) -> bool {
        self.sign() == 0
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        match &self.amount {
            Amount::Small { value, .. } => value.signum() as i32,
            Amount::Big(decimal) => decimal.sign(),
        }
    }

    /// The number of units, rounded away from zero; beyond an `i64` the nearest one.
    pub fn value(&self) -> i64 {
        self.scaled_value(0)
    }

    /// The number of thousandths, rounded away from zero. Where upstream overflows this is the last whole number of
    /// units that fits.
    pub fn milli_value(&self) -> i64 {
        self.scaled_value(MILLI)
    }

    /// The number of `10^scale`, rounded away from zero.
    pub fn scaled_value(&self, scale: i32) -> i64 {
        let max = match scale {
            MILLI => i64::MAX / 1000 * 1000,
            _ => i64::MAX,
        };
        let fits = |wide: i128| i64::try_from(wide).unwrap_or(if wide < 0 { -max } else { max });
        match &self.amount {
            Amount::Small { value, scale: own } => match own.saturating_sub(scale) {
                0 => *value,
                up @ 1..=18 => fits(i128::from(*value) * pow10(up)),
                1.. => fits(i128::from(value.signum()) * i128::MAX),
                down => divide_up(*value, -i64::from(down)),
            },
            Amount::Big(decimal) => fits(decimal.rounded_up(scale).to_units(scale)),
        }
    }

    /// With nothing below `10^scale`, away from zero. Upstream: `RoundUp`.
    pub fn rounded_up(&self, scale: i32) -> Quantity {
        let amount = match &self.amount {
            Amount::Small { scale: own, .. } if *own >= scale => return self.clone(),
            Amount::Small { value, scale: own } => {
                Amount::Small { value: divide_up(*value, i64::from(scale) - i64::from(*own)), scale }
            }
            Amount::Big(decimal) => decimal.rounded_up(scale).into_amount(),
        };
        Quantity { amount, format: self.format, text: None }
    }

    /// The nearest float. Upstream: `AsApproximateFloat64`.
    pub fn to_f64(&self) -> f64 {
        match &self.amount {
            Amount::Small { value, scale: 0 } => *value as f64,
            Amount::Small { value, scale } => format!("{value}e{scale}").parse().unwrap_or(0.0),
            Amount::Big(decimal) => decimal.to_string().parse().unwrap_or(0.0),
        }
    }

    /// The sum. Zero takes the other's notation.
    pub fn add(&self, other: &Quantity) -> Quantity {
        let format = if self.is_zero() { other.format } else { self.format };
        Quantity { amount: self.amount.plus(&other.amount), format, text: None }
    }

    pub fn sub(&self, other: &Quantity) -> Quantity {
        self.add(&other.neg_with(if self.is_zero() { other.format } else { self.format }))
    }

    pub fn neg(&self) -> Quantity {
        self.neg_with(self.format)
    }

    /// This many times as much.
    pub fn times(&self, factor: i64) -> Quantity {
        let amount = match &self.amount {
            Amount::Small { value, scale } => match value.checked_mul(factor) {
                Some(value) => Amount::Small { value, scale: *scale },
                None => Amount::Big(self.amount.to_decimal().times(factor)),
            },
            Amount::Big(decimal) => Amount::Big(decimal.times(factor)),
        };
        Quantity { amount, format: self.format, text: None }
    }

    fn neg_with(&self, format: Format) -> Quantity {
        let amount = match &self.amount {
            Amount::Small { value, scale } => match value.checked_neg() {
                Some(value) => Amount::Small { value, scale: *scale },
                None => Amount::Big(self.amount.to_decimal().neg()),
            },
            Amount::Big(decimal) => Amount::Big(decimal.neg()),
        };
        Quantity { amount, format, text: None }
    }

    /// Whether it is a whole number of units.
    pub fn is_whole(&self) -> bool {
        match &self.amount {
            Amount::Small { scale: 0.., .. } => true,
            Amount::Small { value, scale } => *scale >= -18 && i128::from(*value) % pow10(-*scale) == 0 || *value == 0,
            Amount::Big(decimal) => decimal.is_multiple_of(0),
        }
    }

    /// The number without its suffix, and the suffix. Upstream: `CanonicalizeBytes`.
    fn canonical(&self) -> (String, String) {
        if self.is_zero() {
            return ("0".into(), String::new());
        }
        let small = |n: i64| self.cmp(&Quantity::new(n, Format::DecimalSi));
        let binary = self.format == Format::BinarySi
            && self.is_whole()
            && !(small(-1024) == Ordering::Greater && small(1024) == Ordering::Less);
        if binary {
            let (number, exponent) = self.amount.without_factors_of_1024();
            return (number, BINARY.get(exponent as usize).map_or("", |s| s).into());
        }
        let (number, exponent) = self.amount.without_factors_of_1000();
        let suffix = match self.format {
            Format::DecimalExponent if exponent != 0 => format!("e{exponent}"),
            Format::DecimalExponent => String::new(),
            // Upstream drops what it has no suffix for.
            _ => DECIMAL.iter().find(|(_, e)| *e == exponent).map_or("", |(s, _)| s).into(),
        };
        (number, suffix)
    }
}

/// Suffixes of powers of ten.
pub(super) const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

/// Suffixes of powers of 1024, by exponent.
pub(super) const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// The canonical form.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => f.write_str(text),
            None => {
                let (number, suffix) = self.canonical();
                write!(f, "{number}{suffix}")
            }
        }
    }
}

impl From<Quantity> for Value {
    fn from(quantity: Quantity) -> Value {
        Value::str_of(quantity.to_string())
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        match (&self.amount, &other.amount) {
            (Amount::Small { value: a, scale: x }, Amount::Small { value: b, scale: y }) => {
                compare_small((*a, *x), (*b, *y))
            }
            (a, b) => a.to_decimal().compare(&b.to_decimal()),
        }
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Quantity {}

// === impl Amount ===

impl Amount {
    fn to_decimal(&self) -> Decimal {
        match self {
            Amount::Small { value, scale } => Decimal::from_int(i128::from(*value), *scale),
            Amount::Big(decimal) => decimal.clone(),
        }
    }

    fn plus(&self, other: &Amount) -> Amount {
        if let (Amount::Small { value: a, scale: x }, Amount::Small { value: b, scale: y }) = (self, other)
            && let Some((value, scale)) = add_small((*a, *x), (*b, *y))
        {
            return Amount::Small { value, scale };
        }
        Amount::Big(self.to_decimal().plus(&other.to_decimal()))
    }

    /// The digits with the largest exponent that is a multiple of three and leaves no fraction.
    fn without_factors_of_1000(&self) -> (String, i32) {
        match self {
            Amount::Small { value, scale } => {
                let (mut value, mut exponent) = (i128::from(*value), *scale);
                while value % 10 == 0 {
                    value /= 10;
                    exponent = exponent.saturating_add(1);
                }
                while exponent % 3 != 0 {
                    value *= 10;
                    exponent -= 1;
                }
                (value.to_string(), exponent)
            }
            Amount::Big(decimal) => decimal.without_factors_of_1000(),
        }
    }

    /// A whole number's digits with the largest power of 1024 that divides it.
    fn without_factors_of_1024(&self) -> (String, i32) {
        let whole = match self {
            Amount::Small { value, scale } if *scale <= 18 => match *scale {
                up @ 0.. => i128::from(*value).checked_mul(pow10(up)),
                down => Some(i128::from(*value) / pow10((-down).min(38))),
            },
            Amount::Small { .. } => None,
            Amount::Big(decimal) => Some(decimal.to_units(0)).filter(|n| n.abs() != i128::MAX),
        };
        let Some(mut whole) = whole else { return (self.to_decimal().to_units(0).to_string(), 0) };
        let mut exponent = 0;
        while whole % 1024 == 0 {
            whole /= 1024;
            exponent += 1;
        }
        (whole.to_string(), exponent)
    }
}

fn compare_small((a, x): (i64, i32), (b, y): (i64, i32)) -> Ordering {
    match i64::from(x) - i64::from(y) {
        0 => a.cmp(&b),
        up @ 1..=18 => (i128::from(a) * pow10(up as i32)).cmp(&i128::from(b)),
        up @ -18..=-1 => i128::from(a).cmp(&(i128::from(b) * pow10(-up as i32))),
        // One is so much larger a unit that its sign decides.
        19.. if a != 0 => a.cmp(&0),
        19.. => 0.cmp(&b),
        _ if b != 0 => 0.cmp(&b),
        _ => a.cmp(&0),
    }
}

fn add_small((a, x): (i64, i32), (b, y): (i64, i32)) -> Option<(i64, i32)> {
    if b == 0 {
        return Some((a, x));
    }
    if a == 0 {
        return Some((b, y));
    }
    let scale = x.min(y);
    let up = |value: i64, from: i32| match from.checked_sub(scale)? {
        by @ 0..=18 => i64::try_from(i128::from(value) * pow10(by)).ok(),
        _ => None,
    };
    Some((up(a, x)?.checked_add(up(b, y)?)?, scale))
}

/// `10^n` for `n` up to 38.
fn pow10(n: i32) -> i128 {
    10i128.pow(n as u32)
}

/// `value / 10^by`, away from zero.
fn divide_up(value: i64, by: i64) -> i64 {
    if by > 18 {
        return value.signum();
    }
    let divisor = pow10(by as i32) as i64;
    value / divisor + (value % divisor).signum()
}
