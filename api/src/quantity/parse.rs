//! Reading a quantity, with upstream's leniencies: `.`, `-` and `k` are zero, a sign or leading zeros stay in the text.
//!
//! Upstream: `ParseQuantity`, `parseQuantityString`.

use super::{BINARY, DECIMAL, Decimal, Format, NANO, ParseError, Quantity};

/// The parts of a text: sign, digits before and after the point (leading zeros gone), suffix.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    /// Everything before the suffix.
    number: &'a str,
    suffix: &'a str,
}

/// What a suffix means: a power of ten, or of two.
enum Unit {
    Ten(i32, Format),
    Two(u32),
}

/// More decimal digits than this may not fit an `i64`.
const SMALL_DIGITS_MAX: i32 = 18;

pub(super) fn parse(text: &str) -> Result<Quantity, ParseError> {
    match text {
        "" => return Err(ParseError::Format),
        "0" => return Ok(Quantity { text: Some("0".into()), ..Quantity::ZERO }),
        _ => {}
    }
    let parts = split(text)?;
    let unit = unit_of(parts.suffix).ok_or(ParseError::Suffix)?;
    match small(text, &parts, &unit)? {
        Some(quantity) => Ok(quantity),
        None => big(&parts, unit),
    }
}

fn split(text: &str) -> Result<Parts<'_>, ParseError> {
    let bytes = text.as_bytes();
    let scan = |from: usize, while_: &dyn Fn(u8) -> bool| {
        bytes[from..].iter().position(|b| !while_(*b)).map_or(bytes.len(), |n| from + n)
    };
    let digit = |b: u8| b.is_ascii_digit();
    let sign = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let start = scan(sign, &|b| b == b'0');
    let whole_end = scan(start, &digit);
    let mut end = whole_end;
    let mut fraction = "";
    if bytes.get(end) == Some(&b'.') {
        end = scan(end + 1, &digit);
        fraction = &text[whole_end + 1..end];
    }
    let mut suffix_end = scan(end, &|b| b"eEinumkKMGTP".contains(&b));
    if matches!(bytes.get(suffix_end), Some(b'-' | b'+')) {
        suffix_end += 1;
    }
    if scan(suffix_end, &digit) != bytes.len() {
        return Err(ParseError::Format);
    }
    let whole = if whole_end == start { "0" } else { &text[start..whole_end] };
    // Nothing but zeros is plainly zero, whatever the sign.
    let number = if start == bytes.len() { "0" } else { &text[..end] };
    Ok(Parts { negative: bytes[0] == b'-', whole, fraction, number, suffix: &text[end..] })
}

fn unit_of(suffix: &str) -> Option<Unit> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Some(Unit::Ten(*exponent, Format::DecimalSi));
    }
    if let Some(i) = BINARY.iter().position(|s| *s == suffix) {
        return Some(Unit::Two(i as u32 * 10));
    }
    let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    // Go truncates to 32 bits.
    Some(Unit::Ten(exponent as i32, Format::DecimalExponent))
}

/// The quantity when it fits an `i64` by upstream's estimate.
fn small(text: &str, parts: &Parts<'_>, unit: &Unit) -> Result<Option<Quantity>, ParseError> {
    let digits = (parts.whole.len() + parts.fraction.len()) as i32;
    let (scale, mantissa, spare, format) = match unit {
        Unit::Ten(exponent, format) => (*exponent, 1, SMALL_DIGITS_MAX - digits, *format),
        Unit::Two(exponent) if parts.fraction.is_empty() => {
            (0, 1i64 << exponent, 14 - digits - *exponent as i32 * 3 / 10, Format::BinarySi)
        }
        Unit::Two(_) => return Ok(None),
    };
    let scale = scale.wrapping_sub(parts.fraction.len() as i32);
    if spare < 0 || scale < NANO {
        return Ok(None);
    }
    let value: i64 = digits_value(parts).ok_or(ParseError::Numeric)?;
    let Some(result) = value.checked_mul(mantissa) else { return Ok(None) };
    let mut quantity = Quantity::small(if parts.negative { -result } else { result }, scale, format);
    let canonical = match format {
        Format::BinarySi => value & 7 != 0,
        _ => scale % 3 == 0 && is_short(parts),
    };
    if canonical {
        quantity.text = Some(text.into());
    }
    Ok(Some(quantity))
}

fn digits_value(parts: &Parts<'_>) -> Option<i64> {
    parts
        .whole
        .bytes()
        .chain(parts.fraction.bytes())
        .try_fold(0i64, |n, b| n.checked_mul(10)?.checked_add(i64::from(b - b'0')))
}

/// Whether the digits neither begin with zero nor end with three of them.
fn is_short(parts: &Parts<'_>) -> bool {
    let mut last = parts.whole.bytes().chain(parts.fraction.bytes()).rev();
    let zeros = last.by_ref().take(3).filter(|b| *b == b'0').count();
    let digits = parts.whole.len() + parts.fraction.len();
    !parts.whole.starts_with('0') && (digits < 3 || zeros < 3)
}

/// The quantity with all its digits, rounded up to nanos; binary ones are capped at the largest `i64`.
fn big(parts: &Parts<'_>, unit: Unit) -> Result<Quantity, ParseError> {
    let digits = parts.number.trim_start_matches(['-', '+']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err(ParseError::Numeric);
    }
    let places = -(fraction.len() as i32);
    let number = Decimal::from_digits(whole.bytes().chain(fraction.bytes()), places);
    let (mut amount, mut format) = match unit {
        Unit::Ten(exponent, format) => (number.shifted(exponent), format),
        Unit::Two(exponent) => (number.times(1i64 << exponent), Format::BinarySi),
    };
    amount = amount.rounded_up(NANO);
    if format == Format::BinarySi {
        let max = Decimal::from_int(i64::MAX.into(), 0);
        if amount.compare(&max).is_gt() {
            amount = max;
        }
        if amount.sign() > 0 && amount.compare(&Decimal::from_int(1, 0)).is_lt() {
            format = Format::DecimalSi;
        }
    }
    if parts.negative {
        amount = amount.neg();
    }
    Ok(Quantity { amount: amount.into_amount(), format, text: None })
}
