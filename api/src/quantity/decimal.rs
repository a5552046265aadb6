//! Decimals of any length: the fallback of quantities that fit no `i64`.
//!
//! Slow and plain. Sums of numbers that are more than [`SPREAD_MAX`] digits apart keep the larger one, where upstream
//! would fill the memory.

use std::{cmp::Ordering, fmt};

use super::Amount;

/// `digits * 10^scale`, the digits most significant first, without leading zeros; zero has none.
#[derive(Clone, Debug)]
pub(super) struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    scale: i32,
}

const SPREAD_MAX: i64 = 4096;

// === impl Decimal ===

impl Decimal {
    pub(super) fn from_int(value: i128, scale: i32) -> Decimal {
        let mut decimal = Decimal::from_digits(value.unsigned_abs().to_string().bytes(), scale);
        decimal.negative = value < 0;
        decimal
    }

    /// From ASCII digits.
    pub(super) fn from_digits(digits: impl Iterator<Item = u8>, scale: i32) -> Decimal {
        let digits = digits.map(|b| b - b'0').skip_while(|d| *d == 0).collect();
        Decimal { negative: false, digits, scale }
    }

    pub(super) fn sign(&self) -> i32 {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    pub(super) fn neg(&self) -> Decimal {
        Decimal { negative: !self.negative && !self.digits.is_empty(), ..self.clone() }
    }

    /// Times `10^by`.
    pub(super) fn shifted(&self, by: i32) -> Decimal {
        Decimal { scale: self.scale.saturating_add(by), ..self.clone() }
    }

    pub(super) fn times(&self, factor: i64) -> Decimal {
        let by = u128::from(factor.unsigned_abs());
        let mut digits = Vec::with_capacity(self.digits.len() + 20);
        let mut carry = 0u128;
        for digit in self.digits.iter().rev() {
            let n = u128::from(*digit) * by + carry;
            digits.push((n % 10) as u8);
            carry = n / 10;
        }
        while carry > 0 {
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
        let digits: Vec<u8> = digits.into_iter().rev().skip_while(|d| *d == 0).collect();
        Decimal { negative: self.negative != (factor < 0) && !digits.is_empty(), digits, scale: self.scale }
    }

    /// With no more digits than `scale` has, away from zero.
    pub(super) fn rounded_up(&self, scale: i32) -> Decimal {
        let drop = i64::from(scale) - i64::from(self.scale);
        if drop <= 0 || self.digits.is_empty() {
            return self.clone();
        }
        let keep = (self.digits.len() as i64 - drop).max(0) as usize;
        let kept = Decimal { negative: self.negative, digits: self.digits[..keep].to_vec(), scale };
        if self.digits[keep..].iter().all(|d| *d == 0) {
            return kept;
        }
        let up = Decimal { negative: self.negative, digits: vec![1], scale };
        kept.plus(&up)
    }

    /// Whether it has no digits below `scale`.
    pub(super) fn is_multiple_of(&self, scale: i32) -> bool {
        let below = i64::from(scale) - i64::from(self.scale);
        let below = below.clamp(0, self.digits.len() as i64) as usize;
        self.digits.iter().rev().take(below).all(|d| *d == 0)
    }

    /// The number of `10^scale` that it is, its digits below cut off; `±i128::MAX` when that does not fit.
    pub(super) fn to_units(&self, scale: i32) -> i128 {
        let sign = i128::from(self.sign());
        let shift = i64::from(self.scale) - i64::from(scale);
        let keep = if shift < 0 { (self.digits.len() as i64 + shift).max(0) as usize } else { self.digits.len() };
        let zeros = shift.max(0);
        if keep as i64 + zeros > 38 {
            return if keep == 0 { 0 } else { sign * i128::MAX };
        }
        let digits = self.digits[..keep].iter().copied().chain(std::iter::repeat_n(0, zeros as usize));
        let units = digits.fold(0i128, |n, d| n.saturating_mul(10).saturating_add(i128::from(d)));
        sign * units
    }

    pub(super) fn compare(&self, other: &Decimal) -> Ordering {
        match self.sign().cmp(&other.sign()) {
            Ordering::Equal if self.sign() < 0 => other.compare_size(self),
            Ordering::Equal => self.compare_size(other),
            different => different,
        }
    }

    /// Compares magnitudes: first by the place of the first digit, then digit by digit.
    fn compare_size(&self, other: &Decimal) -> Ordering {
        let top = |d: &Decimal| d.digits.len() as i64 + i64::from(d.scale);
        let len = self.digits.len().max(other.digits.len());
        let padded = |d: &Decimal, i: usize| d.digits.get(i).copied().unwrap_or(0);
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (false, false) => top(self).cmp(&top(other)).then_with(|| {
                (0..len).map(|i| padded(self, i).cmp(&padded(other, i))).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
            }),
            (a, b) => b.cmp(&a),
        }
    }

    pub(super) fn plus(&self, other: &Decimal) -> Decimal {
        if self.digits.is_empty() || other.digits.is_empty() {
            return if self.digits.is_empty() { other.clone() } else { self.clone() };
        }
        let (large, small) = if self.compare_size(other).is_ge() { (self, other) } else { (other, self) };
        if (i64::from(large.scale) - i64::from(small.scale)).abs() > SPREAD_MAX {
            return large.clone();
        }
        let scale = large.scale.min(small.scale);
        let a = large.reversed_at(scale);
        let b = small.reversed_at(scale);
        let subtract = large.negative != small.negative;
        let mut digits = Vec::with_capacity(a.len() + 1);
        let mut carry = 0i8;
        for (i, digit) in a.iter().enumerate() {
            let other = b.get(i).copied().unwrap_or(0) as i8;
            let n = *digit as i8 + carry + if subtract { -other } else { other };
            digits.push(n.rem_euclid(10) as u8);
            carry = n.div_euclid(10);
        }
        if carry > 0 {
            digits.push(carry as u8);
        }
        let digits: Vec<u8> = digits.into_iter().rev().skip_while(|d| *d == 0).collect();
        Decimal { negative: large.negative && !digits.is_empty(), digits, scale }
    }

    /// The digits from the least significant on, at a scale that is not above its own.
    fn reversed_at(&self, scale: i32) -> Vec<u8> {
        let zeros = (i64::from(self.scale) - i64::from(scale)) as usize;
        std::iter::repeat_n(0, zeros).chain(self.digits.iter().rev().copied()).collect()
    }

    pub(super) fn without_factors_of_1000(&self) -> (String, i32) {
        let kept = self.digits.iter().rposition(|d| *d != 0).map_or(0, |i| i + 1);
        let mut exponent = self.scale.saturating_add((self.digits.len() - kept) as i32);
        let mut text = String::from(if self.negative { "-" } else { "" });
        text.extend(self.digits[..kept].iter().map(|d| char::from(b'0' + d)));
        while exponent % 3 != 0 {
            text.push('0');
            exponent -= 1;
        }
        (text, exponent)
    }

    /// In place when it fits.
    pub(super) fn into_amount(self) -> Amount {
        match i64::try_from(self.to_units(self.scale)) {
            Ok(value) => Amount::Small { value, scale: self.scale },
            Err(_) => Amount::Big(self),
        }
    }
}

/// `-123e-4`, which `f64` reads.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits: String = self.digits.iter().map(|d| char::from(b'0' + d)).collect();
        let sign = if self.negative { "-" } else { "" };
        write!(f, "{sign}{}e{}", if digits.is_empty() { "0" } else { &digits }, self.scale)
    }
}
