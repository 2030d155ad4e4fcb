use super::*;

fn decimal(text: &str) -> Decimal {
    read(text).expect("within the limit").expect("a number")
}

fn limited<T: std::fmt::Debug>(result: Result<T, Fault>) {
    assert_eq!(result.expect_err("over the limit").code, Code::Limit);
}

#[test]
fn numbers_keep_their_places() {
    for (text, expected) in [
        ("12.0", "12.0"),
        ("1.10", "1.10"),
        ("-0.50", "-0.50"),
        ("100", "100"),
        ("1e3", "1000"),
        ("1.5e1", "15"),
        ("1.25e-2", "0.0125"),
        ("+7", "7"),
        (".5", "0.5"),
        ("0.00", "0.00"),
        ("0012", "12"),
        ("9999999999999999999999999999", "9999999999999999999999999999"),
        ("1.0000000000000000000000000000000", "1.000000000000000000000000000"),
        ("1000000000000000000000000000.00", "1000000000000000000000000000"),
        ("0e99999999999999999999", "0"),
    ] {
        assert_eq!(decimal(text).to_string(), expected, "{text}");
    }
    for text in ["", "-", ".", "x", "1x", "1 ", " 1", "1e", "--1", "１"] {
        assert_eq!(read(text), Ok(None), "{text}");
    }
    for text in
        ["10000000000000000000000000000", "1e28", "1e-29", "1e999999999999999999999", "1.0000000000000000000000000001"]
    {
        limited(read(text));
    }
    assert_eq!(decimal("1.000000000000000000000000001e1").to_string(), "10.00000000000000000000000001");
}

#[test]
fn text_counts_by_the_number_it_begins_with() {
    for (text, expected) in
        [("12abc", "12"), (" -3.5kg", "-3.5"), ("abc", "0"), ("", "0"), ("1e2x", "100"), ("5e", "5"), ("中文", "0")]
    {
        assert_eq!(read_leading(text), Ok(decimal(expected)), "{text}");
    }
}

#[test]
fn json_numbers_come_back_byte_by_byte() {
    for text in ["12.0", "0.10", "-7", "123456789.123456789012", "0"] {
        let number: Number = serde_json::from_str(text).expect("a JSON number");
        assert_eq!(to_json(of_json(&number).expect("within the limit")).to_string(), text);
    }
    assert_eq!(to_json(decimal("-0.0")).to_string(), "0.0");
    assert_eq!(shortest(decimal("100.00")), "100");
    assert_eq!(shortest(decimal("-0.0")), "0");
}

#[test]
fn arithmetic_keeps_places_by_rule() {
    assert_eq!(add(decimal("1.5"), decimal("2.50")).expect("fits").to_string(), "4.00");
    assert_eq!(subtract(decimal("1"), decimal("0.10")).expect("fits").to_string(), "0.90");
    assert_eq!(multiply(decimal("0.13"), decimal("100")).expect("fits").to_string(), "13.00");
    assert_eq!(divide(decimal("100"), decimal("3")).expect("fits").expect("not zero").to_string(), "33.3333");
    assert_eq!(divide(decimal("99.90"), decimal("3")).expect("fits").expect("not zero").to_string(), "33.300000");
    assert_eq!(divide(decimal("-2"), decimal("3")).expect("fits").expect("not zero").to_string(), "-0.6667");
    assert_eq!(divide(decimal("1"), decimal("0.00003")).expect("fits").expect("not zero").to_string(), "33333.3333");
    assert_eq!(divide(decimal("1"), decimal("0.00")), Ok(None));
    assert_eq!(divide_to(decimal("1.2345"), decimal("1"), 2).expect("fits").expect("not zero").to_string(), "1.23");
    assert_eq!(divide_to(decimal("1.235"), decimal("1"), 2).expect("fits").expect("not zero").to_string(), "1.24");
    assert_eq!(divide_whole(decimal("7.5"), decimal("2")), Ok(Some(decimal("3"))));
    assert_eq!(divide_whole(decimal("-7.5"), decimal("0.2")), Ok(Some(decimal("-37"))));
    assert_eq!(divide_whole(decimal("7"), decimal("0")), Ok(None));
    assert_eq!(remainder(decimal("-7.5"), decimal("2")), Ok(Some(decimal("-1.5"))));
    assert_eq!(remainder(decimal("5"), decimal("0.3")), Ok(Some(decimal("0.2"))));
    assert_eq!(remainder(decimal("5.25"), decimal("3")), Ok(Some(decimal("2.25"))));
    assert_eq!(remainder(decimal("5"), decimal("0")), Ok(None));
}

#[test]
fn rounding_is_half_away_from_zero() {
    for (text, places, expected) in [
        ("2.5", 0, "3"),
        ("-2.5", 0, "-3"),
        ("1.005", 2, "1.01"),
        ("1.004999", 2, "1.00"),
        ("1250", -2, "1300"),
        ("1249", -2, "1200"),
        ("49", -2, "0"),
        ("1.5", 3, "1.5"),
        ("7", -40, "0"),
    ] {
        assert_eq!(round(decimal(text), places).expect("fits").to_string(), expected, "{text}");
    }
    assert_eq!(truncate(decimal("-1.999"), 2).expect("fits").to_string(), "-1.99");
    assert_eq!(truncate(decimal("1999"), -2).expect("fits").to_string(), "1900");
    assert_eq!(with_places(decimal("12.5"), 2).to_string(), "12.50");
}

#[test]
fn what_does_not_fit_is_a_limit_and_never_rounded() {
    let large = decimal("9999999999999999999999999999");
    limited(add(large, decimal("1")));
    limited(add(large, decimal("0.1")));
    limited(multiply(large, decimal("1.1")));
    limited(multiply(decimal("0.00000000000001"), decimal("0.000000000000001")));
    limited(divide(decimal("9999999999999999999999999998"), decimal("3")));
    // Twos and fives make tens: the product is short although the factors are long.
    let (twos, fives) = (decimal("1237940039285380274899124224"), decimal("0.1818989403545856475830078125"));
    assert_eq!(shortest(multiply(twos, fives).expect("fits")), "225179981368524800000000000");
}
