use proptest::prelude::*;

use super::*;

#[track_caller]
fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}

#[test]
fn every_documented_spelling_parses_to_its_exact_amount_and_format() {
    use Format::{BinarySi, DecimalExponent, DecimalSi};
    let cases = [
        ("0", 0, DecimalSi),
        ("00", 0, DecimalSi),
        ("0n", 0, DecimalSi),
        ("0Gi", 0, BinarySi),
        ("5n", 5, DecimalSi),
        ("4u", 4_000, DecimalSi),
        ("3m", 3_000_000, DecimalSi),
        ("9", 9_000_000_000, DecimalSi),
        ("8k", 8_000_000_000_000, DecimalSi),
        ("7M", 7_000_000_000_000_000, DecimalSi),
        ("6G", 6_000_000_000_000_000_000, DecimalSi),
        ("5T", 5_000_000_000_000_000_000_000, DecimalSi),
        ("2P", 2_000_000_000_000_000_000_000_000, DecimalSi),
        ("12E", 12_000_000_000_000_000_000_000_000_000, DecimalSi),
        ("8Ki", 8_192_000_000_000, BinarySi),
        ("7Mi", 7_340_032_000_000_000, BinarySi),
        ("6Gi", 6_442_450_944_000_000_000, BinarySi),
        ("5Ti", (5 << 40) * NANOS_PER_UNIT, BinarySi),
        ("4Pi", (4 << 50) * NANOS_PER_UNIT, BinarySi),
        ("3Ei", (3 << 60) * NANOS_PER_UNIT, BinarySi),
        ("1E-3", 1_000_000, DecimalExponent),
        ("1e3", 1_000_000_000_000, DecimalExponent),
        ("1.3E+6", 1_300_000_000_000_000, DecimalExponent),
        ("0.5e-2", 5_000_000, DecimalExponent),
        ("1e14", 100_000_000_000_000_000_000_000, DecimalExponent),
        ("100.035k", 100_035_000_000_000, DecimalSi),
        ("0.00050k", 500_000_000, DecimalSi),
        ("6.987654321G", 6_987_654_321_000_000_000, DecimalSi),
        ("100.035Ki", 102_435_840_000_000, BinarySi),
        ("0.05Gi", 53_687_091_200_000_000, BinarySi),
        ("0.025Ti", 27_487_790_694_400_000_000, BinarySi),
        (".001", 1_000_000, DecimalSi),
        ("1.", 1_000_000_000, DecimalSi),
        ("1.G", 1_000_000_000_000_000_000, DecimalSi),
        ("+2", 2_000_000_000, DecimalSi),
        ("18446744073709551616", 18_446_744_073_709_551_616_000_000_000, DecimalSi),
    ];
    for (text, nanos, format) in cases {
        assert_eq!(quantity(text).nanos(), nanos, "{text}");
        assert_eq!(quantity(text).format(), format, "{text}");
        if !text.starts_with('+') {
            assert_eq!(quantity(&format!("-{text}")).nanos(), -nanos, "-{text}");
        }
    }
}

#[test]
fn amounts_finer_than_a_nano_are_rounded_away_from_zero() {
    let cases = [
        ("3.001n", 4),
        ("1.1E-9", 2),
        ("0.0000000001", 1),
        ("0.5e-9", 1),
        ("0.00000012345", 124),
        ("0.000000000001Ki", 2),
        (".000000001Ki", 1024),
        ("0.9999999999999999999999999999999999999999", 1_000_000_000),
        ("1e-9223372036854775808", 1),
    ];
    for (text, nanos) in cases {
        assert_eq!(quantity(text).nanos(), nanos, "{text}");
        assert_eq!(quantity(&format!("-{text}")).nanos(), -nanos, "-{text}");
    }
    assert_eq!(quantity("0.000000000001Ki").format(), Format::DecimalSi, "below one, the format changes");
}

#[test]
fn long_binary_fractions_are_exact_to_the_last_digit() {
    // 2^-70 Ei is exactly 2^-10 units; one more digit at the far end is finer than a nano and rounds up.
    let two_to_minus_70 = "0.0000000000000000000008470329472543003390683225006796419620513916015625";
    assert_eq!(quantity(&format!("{two_to_minus_70}Ei")).nanos(), 976_563);
    let two_to_minus_69 = "0.000000000000000000001694065894508600678136645001359283924102783203125";
    assert_eq!(quantity(&format!("{two_to_minus_69}Ei")).nanos(), 1_953_125);
    assert_eq!(quantity(&format!("{two_to_minus_69}000000001Ei")).nanos(), 1_953_126);
}

#[test]
fn absurd_amounts_saturate_instead_of_overflowing() {
    let cap = i128::from(i64::MAX) * NANOS_PER_UNIT;
    for text in ["9Ei", "9223372036854775807Ki", &format!("{}Ki", "9".repeat(100)), "8.0Ei"] {
        assert_eq!(quantity(text).nanos(), cap, "{text}");
    }
    for text in ["1e40", "1e9223372036854775807", &"9".repeat(400)] {
        assert_eq!(quantity(text), Quantity::MAX, "{text}");
        assert_eq!(quantity(&format!("-{text}")), -Quantity::MAX, "-{text}");
    }
    assert_eq!(quantity("0e9223372036854775807"), Quantity::ZERO);
    assert_eq!(Quantity::MAX + Quantity::MAX, Quantity::MAX);
    assert_eq!(-Quantity::MAX - Quantity::MAX, -Quantity::MAX);
    assert_eq!(Quantity::MAX.times(3), Quantity::MAX);
    assert_eq!(Quantity::MAX.checked_add(Quantity::from_nanos(1)), None);
    assert_eq!((-Quantity::MAX).checked_sub(Quantity::from_nanos(1)), None);
    assert_eq!(Quantity::MAX.units(), i64::MAX);
    assert_eq!((-Quantity::MAX).milli(), i64::MIN);
}

#[test]
fn text_that_kubernetes_refuses_is_refused_with_what_is_wrong() {
    let cases = [
        ("", "does not start with a number"),
        (" 1", "does not start with a number"),
        ("aoeu", "does not start with a number"),
        ("--1", "does not start with a number"),
        ("1.5.2", "unknown suffix \".2\""),
        ("1.1.M", "unknown suffix \".M\""),
        ("1+1.0M", "unknown suffix \"+1.0M\""),
        ("1 Gi", "unknown suffix \" Gi\""),
        ("1 ", "unknown suffix \" \""),
        ("0.1mi", "unknown suffix \"mi\""),
        (".5i", "unknown suffix \"i\""),
        ("-3.01e-", "unknown suffix \"e-\""),
        ("1e", "unknown suffix \"e\""),
        ("1e3m", "unknown suffix \"e3m\""),
        ("1Gb", "unknown suffix \"Gb\""),
        ("1gi", "unknown suffix \"gi\""),
        ("0x10", "unknown suffix \"x10\""),
        ("1_000", "unknown suffix \"_000\""),
        ("١", "does not start with a number"),
    ];
    for (text, message) in cases {
        let error = text.parse::<Quantity>().unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn text_without_any_digit_is_refused_though_kubernetes_reads_zero() {
    for text in ["m", ".", "-", "+", "Ki", "e3", "-.G"] {
        assert!(matches!(text.parse::<Quantity>(), Err(ParseQuantityError::NoNumber { .. })), "{text}");
    }
}

#[test]
fn quantities_are_printed_in_canonical_form() {
    let cases = [
        ("1024Mi", "1Gi"),
        ("307200Ki", "300Mi"),
        ("1025024Mi", "1001Gi"),
        ("1.5Gi", "1536Mi"),
        ("1.5", "1500m"),
        ("1000M", "1G"),
        ("0.001T", "1G"),
        ("1080000000n", "1080m"),
        ("1000u", "1m"),
        ("1000E", "1e21"),
        ("1000000E", "1e24"),
        (".001e12", "1e9"),
        ("0.001e0", "1e-3"),
        ("80e-3", "80e-3"),
        ("1e0", "1"),
        ("300e6", "300e6"),
        (".001Ki", "1024m"),
        ("1Ki", "1Ki"),
        ("0.5Ki", "512"),
        ("0Gi", "0"),
        ("-0", "0"),
        ("-1536Mi", "-1536Mi"),
        ("1.0005Ki", "1024512m"),
        ("100m", "100m"),
    ];
    for (text, canonical) in cases {
        assert_eq!(quantity(text).to_string(), canonical, "{text}");
    }
    assert_eq!(Quantity::from_bytes(1025).to_string(), "1025");
    assert_eq!(Quantity::from_bytes(6 << 30).to_string(), "6Gi");
    assert_eq!(Quantity::from_milli(1930).to_string(), "1930m");
}

#[test]
fn a_binary_sum_beyond_the_cap_is_printed_in_decimal_so_that_it_parses_back() {
    let sum = quantity("7Ei") + quantity("7Ei");
    assert_eq!(sum.to_string(), "16140901064495857664");
    assert_eq!(quantity(&sum.to_string()), sum);
}

#[test]
fn a_sum_keeps_the_format_of_its_first_summand_that_is_not_zero() {
    assert_eq!((quantity("0") + quantity("1Gi")).to_string(), "1Gi");
    assert_eq!((quantity("1Gi") + quantity("0")).to_string(), "1Gi");
    assert_eq!((quantity("0") - quantity("1Gi")).to_string(), "-1Gi");
    assert_eq!((quantity("1Gi") + quantity("1G")).to_string(), "2073741824");
    assert_eq!([quantity("250m"), quantity("1.75")].into_iter().sum::<Quantity>().to_string(), "2");
}

#[test]
fn whole_and_milli_values_round_away_from_zero() {
    let cases =
        [("9.01", 9010, 10), ("-9.01", -9010, -10), ("1n", 1, 1), ("-1n", -1, -1), ("2Ki", 2_048_000, 2048)];
    for (text, milli, units) in cases {
        assert_eq!(quantity(text).milli(), milli, "{text}");
        assert_eq!(quantity(text).units(), units, "{text}");
    }
    assert_eq!(quantity("1.0001").rounded_to_milli().to_string(), "1001m");
    assert_eq!(quantity("2Gi").rounded_to_milli().to_string(), "2Gi");
    assert_eq!(Quantity::MAX.rounded_to_milli(), Quantity::MAX);
}

#[test]
fn amounts_are_compared_whatever_their_format() {
    assert_eq!(quantity("1"), quantity("1000m"));
    assert_eq!(quantity("1Ki"), quantity("1.024e3"));
    assert!(quantity("10000T") > quantity("100Gi"));
    assert!(quantity("-1") < quantity("1n"));
}

#[test]
fn api_quantities_may_have_white_space_around_them() {
    assert_eq!(Quantity::try_from(&ApiQuantity(" 1Gi ".into())), Ok(quantity("1Gi")));
    assert!(Quantity::try_from(&ApiQuantity("1 Gi".into())).is_err());
    assert_eq!(ApiQuantity::from(quantity("1024Mi")), ApiQuantity("1Gi".into()));
}

fn any_quantity() -> impl Strategy<Value = Quantity> {
    let nanos = prop_oneof![
        any::<i64>().prop_map(i128::from),
        any::<i128>(),
        (0_i128..2000, 0_u32..28).prop_map(|(mantissa, power)| mantissa * 10_i128.pow(power)),
        (-1100_i128..1100, 0_u32..60).prop_map(|(mantissa, power)| (mantissa << power) * NANOS_PER_UNIT),
    ];
    let format = prop_oneof![Just(Format::DecimalSi), Just(Format::BinarySi), Just(Format::DecimalExponent)];
    (nanos, format).prop_map(|(nanos, format)| Quantity::from_nanos(nanos).with_format(format))
}

proptest! {
    #[test]
    fn printing_and_parsing_gives_the_same_amount_and_the_same_text(original in any_quantity()) {
        let text = original.to_string();
        let parsed: Quantity = text.parse().unwrap();
        prop_assert_eq!(parsed, original);
        // A binary amount that needs no suffix reads as a decimal one: `10000` comes back as `10k`, in Kubernetes too.
        if parsed.format() == original.format() {
            prop_assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn any_text_parses_or_is_refused_without_panic(text in "\\PC{0,40}|[-+0-9.eEinumkKMGTP]{0,60}") {
        if let Ok(parsed) = text.parse::<Quantity>() {
            prop_assert_eq!(parsed.to_string().parse::<Quantity>().unwrap(), parsed);
        }
    }

    #[test]
    fn decimal_text_means_what_exact_arithmetic_says(whole in 0_u64..1_000_000_000, fraction in "[0-9]{0,20}", power in -8_i32..15) {
        let digits: i128 = format!("{whole}{fraction}").parse().unwrap();
        let shift = 9 + power - i32::try_from(fraction.len()).unwrap();
        let expected = if shift >= 0 {
            digits * 10_i128.pow(shift.unsigned_abs())
        } else {
            let divisor = 10_i128.pow(shift.unsigned_abs());
            digits / divisor + i128::from(digits % divisor != 0)
        };
        let text = format!("{whole}.{fraction}e{power}");
        prop_assert_eq!(text.parse::<Quantity>().unwrap().nanos(), expected, "{}", text);
    }

    #[test]
    fn binary_text_means_what_exact_arithmetic_says(whole in 0_u64..1000, fraction in "[0-9]{0,17}", suffix in 0_usize..4) {
        let (suffix, power) = BINARY_SUFFIXES[suffix];
        let digits: i128 = format!("{whole}{fraction}").parse().unwrap();
        let divisor = 10_i128.pow(u32::try_from(fraction.len()).unwrap());
        // Scaled by 2^power first and by 10^9 in two steps, so that nothing overflows.
        let scaled = digits << power;
        let (units, rest) = (scaled / divisor, scaled % divisor);
        let nanos = rest * NANOS_PER_UNIT;
        let expected = units * NANOS_PER_UNIT + nanos / divisor + i128::from(nanos % divisor != 0);
        let text = format!("{whole}.{fraction}{suffix}");
        prop_assert_eq!(text.parse::<Quantity>().unwrap().nanos(), expected, "{}", text);
    }

    #[test]
    fn order_agrees_with_addition_and_negation(a in any_quantity(), b in any_quantity(), c in any_quantity()) {
        if a <= b {
            prop_assert!(a + c <= b + c);
            prop_assert!(-b <= -a);
            prop_assert!(a.milli() <= b.milli());
            prop_assert!(a.units() <= b.units());
        }
        prop_assert_eq!(a + b, b + a);
        prop_assert_eq!(a - a, Quantity::ZERO);
    }

    #[test]
    fn exact_sums_can_be_taken_back(a in any_quantity(), b in any_quantity()) {
        if let Some(sum) = a.checked_add(b) {
            prop_assert_eq!(sum, a + b);
            prop_assert_eq!(sum.checked_sub(b), Some(a));
        }
    }

    #[test]
    fn rounding_never_gives_less_than_was_asked_for(a in any_quantity()) {
        prop_assert!(a.rounded_to_milli().nanos().unsigned_abs() >= a.nanos().unsigned_abs().min(i128::MAX.unsigned_abs()));
        prop_assert_eq!(a.rounded_to_milli().rounded_to_milli(), a.rounded_to_milli());
    }
}
