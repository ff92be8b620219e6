//! Held to an oracle that does it at length: both numbers as long whole numbers of one scale.

use proptest::prelude::*;

use super::*;

/// Sign and digits of the number times 10^`scale`, padded to 400 digits: text order is number order.
fn long(text: &str, scale: i64) -> (bool, String) {
    let (negative, text) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i64 = exponent.parse().expect("small");
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let zeros = usize::try_from(scale + exponent - fraction.len() as i64).expect("the scale is large enough");
    let digits = format!("{whole}{fraction}{}", "0".repeat(zeros));
    let padded = format!("{digits:0>400}");
    assert_eq!(padded.len(), 400, "{text}");
    let zero = padded.bytes().all(|digit| digit == b'0');
    (negative && !zero, padded)
}

fn expected(left: &str, right: &str) -> Ordering {
    match (long(left, 150), long(right, 150)) {
        ((false, left), (false, right)) => left.cmp(&right),
        ((true, left), (true, right)) => right.cmp(&left),
        ((left, _), (right, _)) => right.cmp(&left),
    }
}

fn spelling() -> impl Strategy<Value = String> {
    let near = (-3_i128..4, prop::sample::select(vec![1_u128 << 53, 1 << 63, 1 << 64, 1_763_556_497_161_513_791, 100]))
        .prop_map(|(off, base)| (base as i128 + off).to_string());
    let free = "[-+]?[0-9]{1,30}(\\.[0-9]{1,30})?([eE][-+]?[0-9]{1,2})?";
    prop_oneof![
        near.clone(),
        near.clone().prop_map(|whole| format!("-{whole}")),
        (near.clone(), 0_usize..4).prop_map(|(whole, zeros)| format!("{whole}.{}", "0".repeat(zeros + 1))),
        (near, 1_usize..19).prop_map(|(whole, places)| match whole.len().checked_sub(places) {
            Some(at) if at > 0 => format!("{}.{}e{places}", &whole[..at], &whole[at..]),
            Some(_) | None => whole,
        }),
        "-?(0|[1-9][0-9]{0,2})(\\.[0-9]{1,2})?(e[-+]?[0-3])?",
        free,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn agrees_with_long_whole_numbers(left in spelling(), right in spelling()) {
        prop_assert_eq!(compare(left.as_bytes(), right.as_bytes()), Some(expected(&left, &right)));
        let constant = Decimal::new(&right).expect("a number");
        prop_assert_eq!(constant.order_of(left.as_bytes()), Some(expected(&left, &right)));
        prop_assert_eq!(compare(constant.text().as_bytes(), right.as_bytes()), Some(Ordering::Equal));
        if let Ok(whole) = left.parse::<i128>() {
            prop_assert_eq!(constant.order_of_whole(whole, || left.as_bytes()), Some(expected(&left, &right)));
        }
    }
}

#[test]
fn neighbours_that_a_double_does_not_tell_apart() {
    use Ordering::{Equal, Greater, Less};
    for (left, right, order) in [
        ("9007199254740993", "9007199254740992.0", Greater),
        ("1763556497161513792", "1763556497161513791", Greater),
        ("18446744073709551616", "18446744073709551615", Greater),
        ("-18446744073709551617", "-18446744073709551616", Less),
        ("0.1", "0.10", Equal),
        ("0.1", "0.1000000000000000055511151231257827", Less),
        ("0.30000000000000004", "0.3", Greater),
        ("1e2", "100", Equal),
        ("1E+2", "100.000", Equal),
        ("123456789012345678901234567890e-10", "12345678901234567890.1234567890", Equal),
        ("-0", "0.0e5", Equal),
        ("-0.0", "0.00000001", Less),
        ("1e-400", "0", Greater),
        ("1e-400", "2e-401", Greater),
        ("1e99999999999999999999999", "9e999", Greater),
        ("99e-1", "9.9", Equal),
        ("-5", "3", Less),
    ] {
        assert_eq!(compare(left.as_bytes(), right.as_bytes()), Some(order), "{left} {right}");
        assert_eq!(compare(right.as_bytes(), left.as_bytes()), Some(order.reverse()), "{right} {left}");
    }
}

#[test]
fn what_is_a_number_and_how_it_is_kept() {
    for (text, kept) in [
        ("007", Some("7")),
        ("+5", Some("5")),
        (".5", Some("0.5")),
        ("5.", Some("5")),
        ("-0", Some("-0")),
        ("1.10E+05", Some("1.10e+05")),
        ("18446744073709551616", Some("18446744073709551616")),
        ("", None),
        ("-", None),
        (".", None),
        ("e5", None),
        ("1e", None),
        ("1e+", None),
        ("1_000", None),
        ("0x10", None),
        ("nan", None),
        (".inf", None),
        ("1:20", None),
        ("1 ", None),
        ("--1", None),
    ] {
        assert_eq!(Decimal::new(text).as_ref().map(Decimal::text), kept, "{text}");
    }
    assert!(Decimal::new("1e308").expect("a number").is_in_range());
    assert!(!Decimal::new("-1e400").expect("a number").is_in_range());
    assert!(!Decimal::new(&"9".repeat(400)).expect("a number").is_in_range());
}
