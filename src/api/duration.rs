//! Durations as Go writes them (`1h30m`, `0s`), and the word `Never`.
//!
//! The text that a person wrote is kept and written back verbatim, so that GitOps tools see no
//! difference. Reading an object therefore never fails over a duration; asking for its value may, and
//! says why.

use std::borrow::Cow;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DurationError {
    /// Not of the form `<number><unit>…`, for example `1h30m`.
    #[error("{text:?} is not a duration: expected numbers with units, such as 1h30m")]
    Syntax {
        /// The whole text.
        text: String,
    },
    /// A unit other than h, m, s, ms, us, ns.
    #[error("{text:?} is not a duration: unknown unit {unit:?}, expected h, m, s, ms, us or ns")]
    Unit {
        /// The whole text.
        text: String,
        /// The part that is no unit.
        unit: String,
    },
    /// More than Go's `time.Duration` holds, about 292 years.
    #[error("{text:?} is not a duration: longer than 2562047h47m16s")]
    Range {
        /// The whole text.
        text: String,
    },
}

/// A duration that cannot be switched off, for example `terminationGracePeriod`.
///
/// Schema: one or more numbers with `h`, `m` or `s`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GoDuration(String);

/// A duration that the word `Never` switches off, for example `expireAfter`.
///
/// Schema: as [`GoDuration`], or `Never`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NillableDuration(String);

/// The word that switches a [`NillableDuration`] off.
pub const NEVER: &str = "Never";

impl GoDuration {
    /// The value. Fails on text that the schema refuses, or that overflows.
    pub fn value(&self) -> Result<SignedDuration, DurationError> {
        parse(&self.0)
    }

    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl NillableDuration {
    /// The value, `None` for `Never`. Fails on text that the schema refuses, or that overflows.
    pub fn value(&self) -> Result<Option<SignedDuration>, DurationError> {
        if self.0 == NEVER { Ok(None) } else { parse(&self.0).map(Some) }
    }

    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for GoDuration {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<&str> for NillableDuration {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl JsonSchema for GoDuration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "GoDuration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9]+(s|m|h))+$" })
    }
}

impl JsonSchema for NillableDuration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "NillableDuration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(([0-9]+(s|m|h))+|Never)$" })
    }
}

/// Reads what Go's `time.ParseDuration` reads: an optional sign, then decimal numbers each with a unit,
/// or a lone `0`. Fractions of a nanosecond are cut off.
///
/// Also used for the `karpenter.sh/do-not-disrupt` annotation of pods.
pub fn parse(text: &str) -> Result<SignedDuration, DurationError> {
    let syntax = || DurationError::Syntax { text: text.to_owned() };
    let range = || DurationError::Range { text: text.to_owned() };
    let (negative, unsigned) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if unsigned == "0" {
        return Ok(SignedDuration::ZERO);
    }
    if unsigned.is_empty() {
        return Err(syntax());
    }
    let mut nanos: i128 = 0;
    let mut rest = unsigned;
    while !rest.is_empty() {
        let (whole, after_whole) = split_digits(rest);
        let (fraction, after_number) = match after_whole.strip_prefix('.') {
            Some(after_point) => split_digits(after_point),
            None => ("", after_whole),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(syntax());
        }
        let unit_length = after_number.find(|c: char| c == '.' || c.is_ascii_digit());
        let (unit, after_unit) = after_number.split_at(unit_length.unwrap_or(after_number.len()));
        let scale = match unit {
            "" => return Err(syntax()),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(DurationError::Unit { text: text.to_owned(), unit: unit.to_owned() }),
        };
        let part = scaled(whole, fraction, scale).ok_or_else(range)?;
        nanos = nanos.checked_add(part).filter(|sum| *sum <= i128::from(i64::MAX)).ok_or_else(range)?;
        rest = after_unit;
    }
    let nanos = i64::try_from(nanos).map_err(|_| range())?;
    Ok(SignedDuration::from_nanos(if negative { -nanos } else { nanos }))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `whole.fraction × scale` in nanoseconds; `None` beyond what an `i64` holds.
fn scaled(whole: &str, fraction: &str, scale: i128) -> Option<i128> {
    let mut value: i128 = 0;
    for digit in whole.bytes() {
        value = value * 10 + i128::from(digit - b'0');
        if value > i128::from(i64::MAX) {
            return None;
        }
    }
    let mut nanos = value * scale;
    // An hour has 13 decimal digits of nanoseconds: what comes after cannot change a whole nanosecond.
    let mut unit = scale;
    let mut remainder: i128 = 0;
    let mut divisor: i128 = 1;
    for digit in fraction.bytes().take(18) {
        remainder = remainder * 10 + i128::from(digit - b'0');
        divisor *= 10;
    }
    unit *= remainder;
    nanos += unit / divisor;
    Some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_read_as_go_reads_it() {
        let cases = [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("5s", Some(5_000_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("720h", Some(2_592_000_000_000_000)),
            ("1.5h", Some(5_400_000_000_000)),
            (".5s", Some(500_000_000)),
            ("1.s", Some(1_000_000_000)),
            ("-1m", Some(-60_000_000_000)),
            ("+1m", Some(60_000_000_000)),
            ("3ns2us1ms", Some(1_002_003)),
            ("0.0000000001s", Some(0)),
            ("2562047h47m16.854775807s", Some(i64::MAX)),
            ("2562047h47m16.854775808s", None),
            ("99999999999999999999h", None),
            ("", None),
            ("-", None),
            ("1", None),
            ("h", None),
            (".h", None),
            ("1d", None),
            ("1h 30m", None),
            ("Never", None),
        ];
        for (text, expected) in cases {
            let nanos = parse(text).ok().map(|d| i64::try_from(d.as_nanos()).expect("fits an i64"));
            assert_eq!(nanos, expected, "{text}");
        }
    }

    #[test]
    fn an_error_names_the_text_and_what_was_expected() {
        let cases = [
            ("1h30", "\"1h30\" is not a duration: expected numbers with units, such as 1h30m"),
            ("2d", "\"2d\" is not a duration: unknown unit \"d\", expected h, m, s, ms, us or ns"),
            ("9999999999h", "\"9999999999h\" is not a duration: longer than 2562047h47m16s"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).expect_err("refused").to_string(), expected);
        }
    }

    #[test]
    fn never_is_no_duration_at_all_and_the_text_survives() {
        assert_eq!(NillableDuration::from("Never").value(), Ok(None));
        assert_eq!(NillableDuration::from("90s").value(), Ok(Some(SignedDuration::from_secs(90))));
        assert!(GoDuration::from("Never").value().is_err());
        let read: NillableDuration = serde_json::from_str("\"60m\"").expect("a string");
        assert_eq!(serde_json::to_string(&read).expect("a string"), "\"60m\"");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn whole_hours_minutes_and_seconds_add_up(h in 0_i64..10_000, m in 0_i64..10_000, s in 0_i64..10_000) {
            let parsed = parse(&format!("{h}h{m}m{s}s")).expect("valid");
            prop_assert_eq!(parsed, SignedDuration::from_secs(h * 3600 + m * 60 + s));
        }
    }
}
