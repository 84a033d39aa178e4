//! What an instance costs per hour, as an exact whole number of nano dollars.
//!
//! Where prices come from is not known here; nor is any currency but the US dollar, in which AWS lists them.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign},
    str::FromStr,
};

use super::text::Excerpt;

const NANOS_PER_DOLLAR: u64 = 1_000_000_000;
const DECIMALS: usize = 9;

/// A price in US dollars per hour. Sums saturate at about 18 billion dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Price(u64);

impl Price {
    /// For free.
    pub const ZERO: Self = Self(0);

    /// A price in nano dollars per hour.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The price in nano dollars per hour.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The price of `count` instances.
    #[must_use]
    pub const fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }
}

impl Add for Price {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Price {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Price {
    fn sum<I: Iterator<Item = Self>>(prices: I) -> Self {
        prices.fold(Self::ZERO, Add::add)
    }
}

/// `$0.1785/h`: as many decimals as there are, and at least two.
impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:09}", self.0 % NANOS_PER_DOLLAR);
        let significant = decimals.trim_end_matches('0');
        write!(f, "${}.{significant:0<2}/h", self.0 / NANOS_PER_DOLLAR)
    }
}

/// Text that is no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("price \"{}\" is not a decimal number from 0 to 18446744073", Excerpt(.text))]
pub struct ParsePriceError {
    /// The text as it was given.
    pub text: String,
}

impl FromStr for Price {
    type Err = ParsePriceError;

    /// Reads a plain decimal number of dollars, as the AWS price list has them: `0.1785000000`. What is finer than a nano dollar is
    /// rounded up.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParsePriceError { text: text.to_owned() };
        let (dollars, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number =
            |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        if !is_number(dollars) || !is_number(decimals) {
            return Err(error());
        }
        let (nanos, finer) = decimals.split_at_checked(DECIMALS).unwrap_or((decimals, ""));
        let nanos: u64 = format!("{nanos:0<DECIMALS$}").parse().map_err(|_| error())?;
        let dollars: u64 = dollars.parse().map_err(|_| error())?;
        dollars
            .checked_mul(NANOS_PER_DOLLAR)
            .and_then(|dollars| dollars.checked_add(nanos))
            .and_then(|price| price.checked_add(u64::from(finer.bytes().any(|digit| digit != b'0'))))
            .map(Self)
            .ok_or_else(error)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prices_are_read_and_shown_exactly() {
        let cases = [
            ("0.1785000000", 178_500_000, "$0.1785/h"),
            ("0", 0, "$0.00/h"),
            ("2", 2_000_000_000, "$2.00/h"),
            ("125.5", 125_500_000_000, "$125.50/h"),
            ("0.0000000001", 1, "$0.000000001/h"),
            ("0.1000000009", 100_000_001, "$0.100000001/h"),
            ("18446744073.709551615", u64::MAX, "$18446744073.709551615/h"),
        ];
        for (text, nanos, shown) in cases {
            let price: Price = text.parse().unwrap();
            assert_eq!(price.nanos(), nanos, "{text}");
            assert_eq!(price.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn text_that_is_no_price_is_refused() {
        for text in [
            "",
            "-1",
            "+1",
            "1.",
            ".5",
            "1.2.3",
            "1e3",
            "$1",
            " 1",
            "1,5",
            "18446744073.709551616",
            "99999999999999999999",
        ] {
            assert!(text.parse::<Price>().is_err(), "{text}");
        }
    }

    #[test]
    fn sums_are_exact_and_saturate() {
        let eight: Price = "0.1785".parse::<Price>().unwrap().times(8);
        assert_eq!(eight.to_string(), "$1.428/h");
        assert_eq!([eight, eight].into_iter().sum::<Price>().to_string(), "$2.856/h");
        assert_eq!(Price::from_nanos(u64::MAX) + eight, Price::from_nanos(u64::MAX));
        assert_eq!(eight.times(u64::MAX), Price::from_nanos(u64::MAX));
    }

    proptest! {
        #[test]
        fn a_price_that_is_shown_reads_back(nanos in any::<u64>()) {
            let shown = Price::from_nanos(nanos).to_string();
            let text = shown.trim_start_matches('$').trim_end_matches("/h");
            prop_assert_eq!(text.parse(), Ok(Price::from_nanos(nanos)));
        }

        #[test]
        fn any_text_is_a_price_or_refused_without_panic(text in any::<String>()) {
            if let Err(error) = text.parse::<Price>() {
                prop_assert!(!error.to_string().contains(char::is_control));
            }
        }
    }
}
