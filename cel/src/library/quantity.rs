//! Amounts of resources: `quantity('1.5Gi')`.
//!
//! Upstream: apiserver/pkg/cel/library/quantity.go; apimachinery/pkg/api/resource/quantity.go for what is one. What matters
//! here beside the number is how upstream holds it: as an integer with a decimal exponent, or, when it does not fit, as a
//! decimal of any length, which is never an integer to it.

use std::any::Any;
use std::cmp::Ordering;

use crate::functions::{Cost, Row, global, member};
use crate::types::Type;
use crate::value::{EvalError, Object, Outcome, Value};

use super::{int, mismatch, object, text};

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    global("quantity", "string_to_quantity", "string", "kubernetes.Quantity", |a| parse(text(&a[0])?).map(Value::object)).cost(Cost::Scan(1)),
    global("isQuantity", "is_quantity_string", "string", "bool", |a| Ok(Value::Bool(parse(text(&a[0])?).is_ok()))).cost(Cost::Scan(1)),
    global("sign", "quantity_sign", "kubernetes.Quantity", "int", |a| Ok(Value::Int(given(a, 0)?.mantissa.signum() as i64))).cost(Cost::Fixed(1)),
    member("isGreaterThan", "quantity_is_greater_than", "kubernetes.Quantity, kubernetes.Quantity", "bool", |a| order(a).map(|o| Value::Bool(o.is_gt()))).cost(Cost::Fixed(1)),
    member("isLessThan", "quantity_is_less_than", "kubernetes.Quantity, kubernetes.Quantity", "bool", |a| order(a).map(|o| Value::Bool(o.is_lt()))).cost(Cost::Fixed(1)),
    member("compareTo", "quantity_compare_to", "kubernetes.Quantity, kubernetes.Quantity", "int", |a| order(a).map(|o| Value::Int(o as i64))).cost(Cost::Fixed(1)),
    member("asApproximateFloat", "quantity_get_float", "kubernetes.Quantity", "double", |a| Ok(Value::Double(given(a, 0)?.float()))).cost(Cost::Fixed(1)),
    member("asInteger", "quantity_get_int", "kubernetes.Quantity", "int", as_integer).cost(Cost::Fixed(1)),
    member("isInteger", "quantity_is_integer", "kubernetes.Quantity", "bool", |a| Ok(Value::Bool(given(a, 0)?.integer().is_some()))).cost(Cost::Fixed(1)),
    member("add", "quantity_add", "kubernetes.Quantity, kubernetes.Quantity", "kubernetes.Quantity", |a| Ok(Value::object(given(a, 0)?.plus(*given(a, 1)?)))).cost(Cost::Fixed(1)),
    member("add", "quantity_add_int", "kubernetes.Quantity, int", "kubernetes.Quantity", |a| Ok(Value::object(given(a, 0)?.plus(Quantity::whole(int(&a[1])?))))).cost(Cost::Fixed(1)),
    member("sub", "quantity_sub", "kubernetes.Quantity, kubernetes.Quantity", "kubernetes.Quantity", |a| Ok(Value::object(given(a, 0)?.plus(given(a, 1)?.negated())))).cost(Cost::Fixed(1)),
    member("sub", "quantity_sub_int", "kubernetes.Quantity, int", "kubernetes.Quantity", |a| Ok(Value::object(given(a, 0)?.plus(Quantity::whole(int(&a[1])?).negated())))).cost(Cost::Fixed(1)),
];

const FORMAT: &str = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const NUMERIC: &str = "unable to parse numeric part of quantity";
const SUFFIX: &str = "unable to parse quantity's suffix";

/// A smaller part than this there is not.
const SMALLEST: i32 = -9;

/// An amount as a value: `mantissa * 10^exponent`.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    mantissa: i128,
    exponent: i32,
    /// Upstream holds it as a decimal of any length.
    is_long: bool,
    /// It was added or subtracted. Upstream holds such a one by reference, and compares nothing with it.
    is_result: bool,
}

/// What a suffix says.
enum Suffix {
    /// Times ten to the power of.
    Decimal(i32),
    /// Times two to the power of.
    Binary(u32),
}

impl Object for Quantity {
    fn value_type(&self) -> Type {
        Type::object("kubernetes.Quantity")
    }

    fn equals(&self, other: &Value) -> Result<bool, EvalError> {
        match object::<Quantity>(other)? {
            other if other.is_result => mismatch(),
            other => Ok(self.order(*other).is_eq()),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Quantity {
    /// Out of its text: `100m`, `1.5Gi`, `1e3`.
    pub fn parse(text: &str) -> Result<Quantity, EvalError> {
        parse(text)
    }

    fn whole(value: i64) -> Quantity {
        Quantity { mantissa: i128::from(value), exponent: 0, is_long: false, is_result: false }
    }

    fn negated(self) -> Quantity {
        // Upstream lets the smallest integer be its own opposite.
        if !self.is_long && self.mantissa == i128::from(i64::MIN) {
            return self;
        }
        Quantity { mantissa: -self.mantissa, ..self }
    }

    fn order(self, other: Quantity) -> Ordering {
        let signs = self.mantissa.signum().cmp(&other.mantissa.signum());
        if signs.is_ne() || self.mantissa == 0 {
            return signs;
        }
        match aligned(self, other) {
            Some((a, b, _)) => a.cmp(&b),
            None => {
                let magnitude = |q: Quantity| q.mantissa.unsigned_abs().ilog10() as i32 + q.exponent;
                let order = magnitude(self).cmp(&magnitude(other));
                if self.mantissa < 0 { order.reverse() } else { order }
            }
        }
    }

    fn plus(self, other: Quantity) -> Quantity {
        Quantity { is_result: true, ..self.sum(other) }
    }

    fn sum(self, other: Quantity) -> Quantity {
        if !self.is_long && !other.is_long && self.mantissa == 0 {
            return other;
        }
        if !self.is_long && !other.is_long && other.mantissa == 0 {
            return self;
        }
        match aligned(self, other) {
            Some((a, b, exponent)) => {
                let mantissa = a.saturating_add(b);
                let fits = [a, b, mantissa].iter().all(|value| i64::try_from(*value).is_ok());
                Quantity { mantissa, exponent, is_long: self.is_long || other.is_long || !fits, ..self }
            }
            // So far apart that the smaller one is lost.
            None if self.order(other).is_lt() == (other.mantissa > 0) => Quantity { is_long: true, ..other },
            None => Quantity { is_long: true, ..self },
        }
    }

    fn integer(self) -> Option<i64> {
        if self.is_long || self.exponent < 0 {
            return None;
        }
        let factor = 10i64.checked_pow(self.exponent as u32)?;
        i64::try_from(self.mantissa).ok()?.checked_mul(factor)
    }

    fn float(self) -> f64 {
        // The power as it is read from text is the nearest there is, which a product of tens is not.
        let power: f64 = format!("1e{}", self.exponent).parse().unwrap_or(f64::INFINITY);
        if self.exponent == 0 { self.mantissa as f64 } else { self.mantissa as f64 * power }
    }
}

/// Both by the smaller of their exponents, when that can be written down.
fn aligned(a: Quantity, b: Quantity) -> Option<(i128, i128, i32)> {
    let exponent = a.exponent.min(b.exponent);
    let scaled = |q: Quantity| {
        let by = u32::try_from(q.exponent - exponent).ok()?;
        if q.mantissa == 0 { Some(0) } else { q.mantissa.checked_mul(10i128.checked_pow(by)?) }
    };
    Some((scaled(a)?, scaled(b)?, exponent))
}

fn given(arguments: &[Value], index: usize) -> Result<&Quantity, EvalError> {
    object(&arguments[index])
}

fn order(arguments: &[Value]) -> Result<Ordering, EvalError> {
    Ok(given(arguments, 0)?.order(*given(arguments, 1)?))
}

fn as_integer(arguments: &[Value]) -> Outcome {
    let integer = given(arguments, 0)?.integer();
    integer.map(Value::Int).ok_or_else(|| EvalError::new("cannot convert value to integer"))
}

fn parse(text: &str) -> Result<Quantity, EvalError> {
    parse_text(text).map_err(EvalError::new)
}

fn parse_text(text: &str) -> Result<Quantity, &'static str> {
    if text.is_empty() {
        return Err(FORMAT);
    }
    let (negative, unsigned) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole_len = digits(unsigned);
    let whole = unsigned[..whole_len].trim_start_matches('0');
    let mut rest = &unsigned[whole_len..];
    let mut part = "";
    if let Some(after) = rest.strip_prefix('.') {
        let len = digits(after);
        (part, rest) = (&after[..len], &after[len..]);
    }
    check_suffix(rest)?;
    // Nothing but zeros, or nothing at all, is nothing.
    if rest.is_empty() && part.is_empty() && whole.is_empty() && !unsigned.contains('.') {
        return Ok(Quantity::whole(0));
    }
    let has_digits = whole_len > 0 || !part.is_empty();
    let suffix = suffix(rest).ok_or(SUFFIX)?;
    let number = Number { whole: if whole.is_empty() { "0" } else { whole }, part, has_digits };
    let quantity = match number.short(&suffix)? {
        Some(quantity) => quantity,
        None => number.long(&suffix)?,
    };
    Ok(if negative { quantity.negated() } else { quantity })
}

fn check_suffix(rest: &str) -> Result<(), &'static str> {
    let letters = rest.bytes().take_while(|b| b"eEinumkKMGTP".contains(b)).count();
    let after = rest[letters..].strip_prefix(['+', '-']).unwrap_or(&rest[letters..]);
    if after.bytes().all(|b| b.is_ascii_digit()) { Ok(()) } else { Err(FORMAT) }
}

fn suffix(text: &str) -> Option<Suffix> {
    Some(match text {
        "" => Suffix::Decimal(0),
        "n" => Suffix::Decimal(-9),
        "u" => Suffix::Decimal(-6),
        "m" => Suffix::Decimal(-3),
        "k" => Suffix::Decimal(3),
        "M" => Suffix::Decimal(6),
        "G" => Suffix::Decimal(9),
        "T" => Suffix::Decimal(12),
        "P" => Suffix::Decimal(15),
        "E" => Suffix::Decimal(18),
        "Ki" => Suffix::Binary(10),
        "Mi" => Suffix::Binary(20),
        "Gi" => Suffix::Binary(30),
        "Ti" => Suffix::Binary(40),
        "Pi" => Suffix::Binary(50),
        "Ei" => Suffix::Binary(60),
        _ => Suffix::Decimal(text.strip_prefix(['e', 'E'])?.parse::<i64>().ok()? as i32),
    })
}

struct Number<'a> {
    whole: &'a str,
    part: &'a str,
    has_digits: bool,
}

impl Number<'_> {
    /// As an integer with an exponent, when it is short enough for that.
    fn short(&self, suffix: &Suffix) -> Result<Option<Quantity>, &'static str> {
        let len = (self.whole.len() + self.part.len()) as i64;
        let (precision, factor, scale) = match suffix {
            Suffix::Decimal(exponent) => (18 - len, 1, *exponent),
            Suffix::Binary(bits) if self.part.is_empty() => {
                (15 - self.whole.len() as i64 - i64::from(bits * 3 / 10) - 1, 1i64 << bits, 0)
            }
            Suffix::Binary(_) => (-1, 1, 0),
        };
        let scale = i64::from(scale) - self.part.len() as i64;
        if precision < 0 || scale < i64::from(SMALLEST) {
            return Ok(None);
        }
        let value: i64 = format!("{}{}", self.whole, self.part).parse().map_err(|_| NUMERIC)?;
        let mantissa = value.checked_mul(factor);
        Ok(mantissa.map(|m| Quantity { mantissa: i128::from(m), exponent: scale as i32, ..Quantity::whole(0) }))
    }

    /// As a decimal: rounded up to the smallest part there is.
    fn long(&self, suffix: &Suffix) -> Result<Quantity, &'static str> {
        if !self.has_digits {
            return Err(NUMERIC);
        }
        let digits = format!("{}{}", self.whole, self.part);
        let significant = digits.trim_start_matches('0');
        // Longer ones than can be held keep their size and lose their end.
        let kept = &significant[..significant.len().min(30)];
        let mantissa: i128 = if kept.is_empty() { 0 } else { kept.parse().map_err(|_| NUMERIC)? };
        let mut exponent = (significant.len() - kept.len()) as i32 - self.part.len() as i32;
        let mut mantissa = mantissa;
        match suffix {
            Suffix::Decimal(by) => exponent = exponent.saturating_add(*by),
            Suffix::Binary(bits) => mantissa = mantissa.saturating_mul(1i128 << bits),
        }
        while exponent < SMALLEST {
            let up = i128::from(mantissa % 10 != 0 || (exponent < SMALLEST - 40 && mantissa != 0));
            mantissa = mantissa / 10 + up;
            exponent = if exponent < SMALLEST - 40 { SMALLEST - 1 } else { exponent + 1 };
        }
        // Upstream writes all of them down to the smallest part.
        let finest =
            u32::try_from(exponent - SMALLEST).ok().and_then(|by| mantissa.checked_mul(10i128.checked_pow(by)?));
        if let Some(finest) = finest.filter(|finest| *finest != 0) {
            (mantissa, exponent) = (finest, SMALLEST);
        }
        let quantity = Quantity { mantissa, exponent, is_long: true, ..Quantity::whole(0) };
        let most = Quantity { is_long: true, ..Quantity::whole(i64::MAX) };
        let is_binary = matches!(suffix, Suffix::Binary(_));
        Ok(if is_binary && quantity.order(most).is_gt() { most } else { quantity })
    }
}
