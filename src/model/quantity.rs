//! Exact Kubernetes quantities: parsing, canonical printing, order and arithmetic.
//!
//! A quantity is a whole number of nano units in 128 bits, never a float. Text and rounding follow Kubernetes'
//! `resource.Quantity`; what differs is listed at [`Quantity`]. What a resource's name means is not known here.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    iter::Sum,
    ops::{Add, AddAssign, Neg, Sub, SubAssign},
    str::FromStr,
};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::text::Excerpt;

#[cfg(test)]
mod tests;

const NANOS_PER_UNIT: i128 = 1_000_000_000;
const NANOS_PER_MILLI: i128 = 1_000_000;

/// Kubernetes caps a binary quantity at 2^63−1 units when it parses one.
const MAX_BINARY_NANOS: i128 = i64::MAX as i128 * NANOS_PER_UNIT;

const DECIMAL_SUFFIXES: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY_SUFFIXES: [(&str, u32); 6] =
    [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

/// How a quantity was written, and therefore how it is printed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Powers of 1000: `250m`, `4`, `2G`.
    #[default]
    DecimalSi,
    /// Powers of 1024: `512Mi`.
    BinarySi,
    /// Powers of ten: `12e6`.
    DecimalExponent,
}

/// An exact amount of a resource, as Kubernetes writes it: `250m`, `1.5Gi`, `2e3`.
///
/// Equality, order and hash look at the amount alone: `1` and `1000m` are equal. Arithmetic with `+`, `-` and
/// [`times`](Self::times) saturates at about ±1.7·10²⁹ units, far beyond any machine; [`checked_add`](Self::checked_add) and
/// [`checked_sub`](Self::checked_sub) tell. The result is printed in the format of the left side, or of the other if the left
/// is zero.
///
/// Differences from Kubernetes: text without a single digit (`m`, `.`, `-`) is refused, where Kubernetes reads zero; amounts
/// beyond the limit saturate instead of growing; and a binary sum beyond 2^63−1 is printed in decimal, because its binary
/// form would not parse back to the same amount.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quantity {
    /// Never `i128::MIN`, so that every quantity has a negation.
    nanos: i128,
    format: Format,
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self::from_nanos(0);
    /// The largest amount; arithmetic and parsing saturate here.
    pub const MAX: Self = Self::from_nanos(i128::MAX);

    /// An amount in nano units, printed in decimal.
    #[must_use]
    pub const fn from_nanos(nanos: i128) -> Self {
        Self { nanos: if nanos == i128::MIN { -i128::MAX } else { nanos }, format: Format::DecimalSi }
    }

    /// An amount in milli units (millicores), printed in decimal.
    #[must_use]
    pub const fn from_milli(milli: i64) -> Self {
        Self::from_nanos(milli as i128 * NANOS_PER_MILLI)
    }

    /// An amount in whole units, printed in decimal.
    #[must_use]
    pub const fn from_units(units: i64) -> Self {
        Self::from_nanos(units as i128 * NANOS_PER_UNIT)
    }

    /// An amount in bytes, printed in powers of 1024.
    #[must_use]
    pub const fn from_bytes(bytes: i64) -> Self {
        Self::from_units(bytes).with_format(Format::BinarySi)
    }

    /// The same amount, printed in `format`.
    #[must_use]
    pub const fn with_format(self, format: Format) -> Self {
        Self { nanos: self.nanos, format }
    }

    /// The format in which this quantity is printed.
    #[must_use]
    pub const fn format(self) -> Format {
        self.format
    }

    /// The amount in nano units, exactly.
    #[must_use]
    pub const fn nanos(self) -> i128 {
        self.nanos
    }

    /// The amount in milli units, rounded away from zero as Kubernetes' `MilliValue` does, and clamped to 64 bits.
    #[must_use]
    pub fn milli(self) -> i64 {
        clamp_to_i64(divide_away_from_zero(self.nanos, NANOS_PER_MILLI))
    }

    /// The amount in whole units, rounded away from zero as Kubernetes' `Value` does, and clamped to 64 bits.
    #[must_use]
    pub fn units(self) -> i64 {
        clamp_to_i64(divide_away_from_zero(self.nanos, NANOS_PER_UNIT))
    }

    /// The amount rounded away from zero to whole milli units, the precision to which the API server rounds what people request.
    #[must_use]
    pub fn rounded_to_milli(self) -> Self {
        let milli = divide_away_from_zero(self.nanos, NANOS_PER_MILLI);
        Self { nanos: milli.saturating_mul(NANOS_PER_MILLI), format: self.format }.bounded()
    }

    /// Whether the amount is exactly zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Whether the amount is below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// The sum, or nothing if it is out of range.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let nanos = self.nanos.checked_add(other.nanos).filter(|nanos| *nanos != i128::MIN)?;
        Some(Self { nanos, format: self.format_with(other) })
    }

    /// The difference, or nothing if it is out of range.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(-other)
    }

    /// The amount taken `count` times, saturating.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self { nanos: self.nanos.saturating_mul(i128::from(count)), format: self.format }.bounded()
    }

    fn format_with(self, other: Self) -> Format {
        if self.is_zero() { other.format } else { self.format }
    }

    fn bounded(self) -> Self {
        Self { nanos: self.nanos.max(-i128::MAX), format: self.format }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Hash for Quantity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.nanos.hash(state);
    }
}

impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { nanos: self.nanos.saturating_add(other.nanos), format: self.format_with(other) }.bounded()
    }
}

impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl SubAssign for Quantity {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Neg for Quantity {
    type Output = Self;

    fn neg(self) -> Self {
        Self { nanos: -self.nanos, format: self.format }
    }
}

impl Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(quantities: I) -> Self {
        quantities.fold(Self::ZERO, Add::add)
    }
}

/// Prints the canonical form: no fraction, and the largest suffix that keeps the amount exact.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        match self.format {
            Format::BinarySi if self.has_binary_form() => {
                let (mut mantissa, mut suffix) = (self.nanos / NANOS_PER_UNIT, "");
                for (larger, _) in BINARY_SUFFIXES {
                    if mantissa % 1024 != 0 {
                        break;
                    }
                    (mantissa, suffix) = (mantissa / 1024, larger);
                }
                write!(f, "{mantissa}{suffix}")
            }
            format => {
                let (mut mantissa, mut exponent) = (self.nanos, -9);
                while mantissa % 1000 == 0 {
                    (mantissa, exponent) = (mantissa / 1000, exponent + 3);
                }
                write!(f, "{mantissa}")?;
                let suffix = DECIMAL_SUFFIXES.iter().find(|(_, power)| *power == exponent);
                match (format, suffix) {
                    (Format::DecimalExponent, _) if exponent == 0 => Ok(()),
                    (Format::DecimalSi | Format::BinarySi, Some((suffix, _))) => f.write_str(suffix),
                    (Format::DecimalExponent, _) | (_, None) => write!(f, "e{exponent}"),
                }
            }
        }
    }
}

impl Quantity {
    /// Small amounts are printed in decimal, so that nobody reads 1000 as a binary number; so are amounts with a fraction.
    fn has_binary_form(self) -> bool {
        self.nanos.unsigned_abs() >= 1024 * NANOS_PER_UNIT.unsigned_abs()
            && self.nanos.unsigned_abs() <= MAX_BINARY_NANOS.unsigned_abs()
            && self.nanos % NANOS_PER_UNIT == 0
    }
}

/// Text that is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseQuantityError {
    /// The text holds no digit before its suffix.
    #[error("quantity \"{}\" does not start with a number; write it like 500m, 1.5 or 2Gi", Excerpt(.text))]
    NoNumber {
        /// The text as it was given.
        text: String,
    },
    /// What follows the number is none of Kubernetes' suffixes.
    #[error(
        "quantity \"{}\" has the unknown suffix \"{}\"; use one of n u m k M G T P E Ki Mi Gi Ti Pi Ei, or an exponent like e3",
        Excerpt(.text),
        Excerpt(.suffix)
    )]
    UnknownSuffix {
        /// The text as it was given.
        text: String,
        /// What follows the number.
        suffix: String,
    },
}

impl FromStr for Quantity {
    type Err = ParseQuantityError;

    /// Reads `<sign><number><suffix>`. An amount finer than a nano is rounded away from zero.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, rest) = split_digits(unsigned);
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), split_digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(ParseQuantityError::NoNumber { text: text.to_owned() });
        }
        let magnitude = match Suffix::parse(suffix) {
            Some(Suffix::Decimal(power, format)) => {
                Self { nanos: decimal_nanos(whole, fraction, power), format }
            }
            Some(Suffix::Binary(power)) => {
                let nanos = binary_nanos(whole, fraction, power).min(MAX_BINARY_NANOS);
                let below_one = nanos < NANOS_PER_UNIT && nanos != 0;
                Self { nanos, format: if below_one { Format::DecimalSi } else { Format::BinarySi } }
            }
            None => {
                return Err(ParseQuantityError::UnknownSuffix {
                    text: text.to_owned(),
                    suffix: suffix.to_owned(),
                });
            }
        };
        Ok(if negative { -magnitude } else { magnitude })
    }
}

enum Suffix {
    Decimal(i64, Format),
    Binary(u32),
}

impl Suffix {
    fn parse(text: &str) -> Option<Self> {
        if let Some((_, power)) = DECIMAL_SUFFIXES.iter().find(|(suffix, _)| *suffix == text) {
            return Some(Self::Decimal(i64::from(*power), Format::DecimalSi));
        }
        if let Some((_, power)) = BINARY_SUFFIXES.iter().find(|(suffix, _)| *suffix == text) {
            return Some(Self::Binary(*power));
        }
        let exponent = text.strip_prefix(['e', 'E'])?.parse().ok()?;
        Some(Self::Decimal(exponent, Format::DecimalExponent))
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `whole.fraction` × 10^`power` in nanos, rounded up and saturated.
fn decimal_nanos(whole: &str, fraction: &str, power: i64) -> i128 {
    let mut digits = whole.bytes().chain(fraction.bytes()).map(|digit| i128::from(digit - b'0'));
    if digits.clone().all(|digit| digit == 0) {
        return 0;
    }
    // So many digits stand before the point once the amount is written in nanos.
    let mut before_point =
        i64::try_from(whole.len()).unwrap_or(i64::MAX).saturating_add(power.saturating_add(9));
    let mut nanos: i128 = 0;
    while before_point > 0 {
        before_point -= 1;
        let digit = digits.next().unwrap_or(0);
        match nanos.checked_mul(10).and_then(|nanos| nanos.checked_add(digit)) {
            Some(larger) => nanos = larger,
            None => return i128::MAX,
        }
    }
    if digits.any(|digit| digit != 0) { nanos.saturating_add(1) } else { nanos }
}

/// `whole.fraction` × 2^`power` in nanos, rounded up and saturated. `power` is at most 60.
fn binary_nanos(whole: &str, fraction: &str, power: u32) -> i128 {
    let whole_nanos = whole
        .bytes()
        .try_fold(0_i128, |units, digit| units.checked_mul(10)?.checked_add(i128::from(digit - b'0')))
        .and_then(|units| units.checked_mul(NANOS_PER_UNIT)?.checked_mul(1 << power));
    let Some(whole_nanos) = whole_nanos else { return i128::MAX };

    // Long multiplication of the fraction in limbs of nine digits, least significant first. The most significant limb counts
    // nanos; anything left in the others is finer than a nano.
    let (mut carry, mut nanos, mut finer) = (0_i128, 0_i128, false);
    for limb in fraction.as_bytes().chunks(9).rev() {
        finer |= nanos != 0;
        let value = (0..9)
            .fold(0_i128, |value, i| value * 10 + limb.get(i).map_or(0, |digit| i128::from(digit - b'0')));
        let product = (value << power) + carry;
        (nanos, carry) = (product % NANOS_PER_UNIT, product / NANOS_PER_UNIT);
    }
    whole_nanos.saturating_add(carry * NANOS_PER_UNIT + nanos).saturating_add(i128::from(finer))
}

fn divide_away_from_zero(dividend: i128, divisor: i128) -> i128 {
    let quotient = dividend / divisor;
    if dividend % divisor == 0 { quotient } else { quotient + dividend.signum() }
}

fn clamp_to_i64(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// Surrounding white space is allowed here, as it is where Kubernetes decodes a quantity from JSON.
impl TryFrom<&ApiQuantity> for Quantity {
    type Error = ParseQuantityError;

    fn try_from(quantity: &ApiQuantity) -> Result<Self, Self::Error> {
        quantity.0.trim().parse()
    }
}

impl From<Quantity> for ApiQuantity {
    fn from(quantity: Quantity) -> Self {
        Self(quantity.to_string())
    }
}
