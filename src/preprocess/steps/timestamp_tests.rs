//! What each format reads and each output writes, what is written wrong, and the forms.

use super::super::fixtures::{allocated_by, on};
use super::*;
use crate::leaf::tree::Index;

/// The plan, or what a reader sees of the findings.
fn checked(written: &str) -> Result<TimestampPlan, String> {
    let step: TimestampStep = serde_json::from_str(written).map_err(|error| error.to_string())?;
    let index = Index::default();
    let context = CheckContext::new(&index);
    let plan = step.check("steps[0].timestamp", &context);
    let findings: Vec<_> = context.into_findings().iter().map(ToString::to_string).collect();
    assert_eq!(plan.is_none(), !findings.is_empty(), "{written}: {findings:?}");
    plan.ok_or_else(|| findings.join("\n"))
}

fn plan(keys: &str) -> TimestampPlan {
    let written = format!(r#"{{"from":"/t",{keys}}}"#);
    checked(&written).unwrap_or_else(|found| panic!("{written}: {found}"))
}

/// The JSON text of a date by `plan`.
fn converted(plan: &TimestampPlan, json: &str) -> Result<String, Unconverted> {
    on(json, |doc| {
        let mut out = b"before:".to_vec();
        let result = plan.convert(doc.value(doc.root()), doc.bytes(doc.root()), &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        let written = text.strip_prefix("before:").expect("what was there before").to_owned();
        assert!(result.is_ok() || written.is_empty(), "{json}: a refused value leaves nothing: {written}");
        result.map(|()| written)
    })
}

/// Rows of a date as JSON and what it becomes, without the quotes around a string.
fn reads(keys: &str, rows: &[(&str, Result<&str, Unconverted>)]) {
    let plan = plan(keys);
    for (json, expected) in rows {
        let found = converted(&plan, json).map(|text| text.trim_matches('"').to_owned());
        assert_eq!(found, expected.map(str::to_owned), "{keys}: {json}");
    }
}

const NO_FORMAT: Result<&str, Unconverted> = Err(Unconverted::NoFormat);
const OUT_OF_YEARS: Result<&str, Unconverted> = Err(Unconverted::OutOfYears);

#[test]
fn rfc3339_and_what_is_short_of_it() {
    reads(
        r#""timezone":"Europe/Berlin""#,
        &[
            (r#""2024-11-03T22:41:48Z""#, Ok("2024-11-03T22:41:48Z")),
            (r#""2024-11-03t22:41:48z""#, Ok("2024-11-03T22:41:48Z")),
            (r#""2024-11-03T22:41:48+02:00""#, Ok("2024-11-03T20:41:48Z")),
            (r#""2024-11-03T22:41:48-0530""#, Ok("2024-11-04T04:11:48Z")),
            (r#""2024-11-03 22:41:48Z""#, Ok("2024-11-03T22:41:48Z")),
            (r#""2024-11-03T22:41Z""#, Ok("2024-11-03T22:41:00Z")),
            (r#"" 2024-11-03T22:41:48Z\n""#, Ok("2024-11-03T22:41:48Z")),
            (r#""2024\u002d11-03T22:41:48Z""#, Ok("2024-11-03T22:41:48Z")),
            (r#""2024-11-03T22:41:48.1Z""#, Ok("2024-11-03T22:41:48.100Z")),
            (r#""2024-11-03T22:41:48.123Z""#, Ok("2024-11-03T22:41:48.123Z")),
            (r#""2024-11-03T22:41:48.1234Z""#, Ok("2024-11-03T22:41:48.123400Z")),
            (r#""2024-11-03T22:41:48.123456Z""#, Ok("2024-11-03T22:41:48.123456Z")),
            (r#""2024-11-03T22:41:48.123456789Z""#, Ok("2024-11-03T22:41:48.123456789Z")),
            (r#""2024-11-03T22:41:48,5Z""#, Ok("2024-11-03T22:41:48.500Z")),
            (r#""2024-11-03T22:41:48.000Z""#, Ok("2024-11-03T22:41:48Z")),
            // In the zone, where the date names none.
            (r#""2024-11-03T22:41:48""#, Ok("2024-11-03T21:41:48Z")),
            (r#""2024-07-03T22:41:48""#, Ok("2024-07-03T20:41:48Z")),
            (r#""2024-11-03""#, Ok("2024-11-02T23:00:00Z")),
            (r#""2024-11-03T22:41:48[America/New_York]""#, Ok("2024-11-04T03:41:48Z")),
            (r#""2024-11-03T22:41:48-03:00[America/New_York]""#, Ok("2024-11-04T01:41:48Z")),
            (r#""2024-11-03T22:41:48[Moon/Base]""#, NO_FORMAT),
            // The hour that is skipped, and the one that comes twice.
            (r#""2024-03-31T01:59:59""#, Ok("2024-03-31T00:59:59Z")),
            (r#""2024-03-31T02:30:00""#, Ok("2024-03-31T01:30:00Z")),
            (r#""2024-03-31T03:30:00""#, Ok("2024-03-31T01:30:00Z")),
            (r#""2024-10-27T02:30:00""#, Ok("2024-10-27T00:30:00Z")),
            (r#""2024-10-27T02:30:00+01:00""#, Ok("2024-10-27T01:30:00Z")),
            (r#""2024-10-27T03:00:00""#, Ok("2024-10-27T02:00:00Z")),
            // Leap seconds are the second before.
            (r#""2016-12-31T23:59:60Z""#, Ok("2016-12-31T23:59:59Z")),
            (r#""2016-12-31T23:59:60.5Z""#, Ok("2016-12-31T23:59:59.500Z")),
            (r#""2016-12-31T23:59:61Z""#, NO_FORMAT),
            (r#""1969-12-31T23:59:59.9Z""#, Ok("1969-12-31T23:59:59.900Z")),
            (r#""2024-02-29T00:00:00Z""#, Ok("2024-02-29T00:00:00Z")),
            (r#""2023-02-29T00:00:00Z""#, NO_FORMAT),
            (r#""2024-13-03T22:41:48Z""#, NO_FORMAT),
            (r#""2024-11-03T25:41:48Z""#, NO_FORMAT),
            (r#""2024-11-03T22:41:48Zulu""#, NO_FORMAT),
            (r#""20241103T224148Z""#, NO_FORMAT),
            (r#""20241103""#, NO_FORMAT),
            (r#""1730673708""#, NO_FORMAT),
            (r#""yesterday""#, NO_FORMAT),
            (r#""""#, NO_FORMAT),
            ("20241103", NO_FORMAT),
            ("1730673708.5", NO_FORMAT),
            ("null", Ok("null")),
            ("true", Err(Unconverted::Kind("a boolean"))),
            ("{}", Err(Unconverted::Kind("an object"))),
            ("[2024]", Err(Unconverted::Kind("an array"))),
        ],
    );
}

#[test]
fn years_end_with_the_calendar() {
    reads(
        r#""timezone":"-01:00""#,
        &[
            (r#""0000-01-01T00:00:00Z""#, Ok("0000-01-01T00:00:00Z")),
            (r#""0001-01-01T00:00:00Z""#, Ok("0001-01-01T00:00:00Z")),
            (r#""0000-01-01T00:00:00+00:01""#, OUT_OF_YEARS),
            (r#""9999-12-31T23:59:59Z""#, Ok("9999-12-31T23:59:59Z")),
            (r#""9999-12-31T23:59:59.999999999Z""#, Ok("9999-12-31T23:59:59.999999999Z")),
            (r#""9999-12-31T23:59:59-00:01""#, OUT_OF_YEARS),
            (r#""9999-12-31T22:59:59""#, Ok("9999-12-31T23:59:59Z")),
            (r#""9999-12-31T23:00:00""#, OUT_OF_YEARS),
            (r#""9999-12-31""#, Ok("9999-12-31T01:00:00Z")),
            (r#""+010000-01-01T00:00:00Z""#, NO_FORMAT),
            (r#""10000-01-01T00:00:00Z""#, NO_FORMAT),
            (r#""-000001-12-31T00:00:00Z""#, NO_FORMAT),
        ],
    );
    reads(
        r#""formats":["epoch_s"]"#,
        &[
            ("-62167219200", Ok("0000-01-01T00:00:00Z")),
            ("-62167219200.0000000001", OUT_OF_YEARS),
            ("253402300799", Ok("9999-12-31T23:59:59Z")),
            ("253402300799.9999999999", Ok("9999-12-31T23:59:59.999999999Z")),
            ("253402300800", OUT_OF_YEARS),
            ("18446744073709551615", OUT_OF_YEARS),
            ("-9223372036854775808", OUT_OF_YEARS),
            ("1e300", OUT_OF_YEARS),
            ("-1e300", OUT_OF_YEARS),
            (r#""1e999999999""#, OUT_OF_YEARS),
            (r#""99999999999999999999999999999999999999999""#, OUT_OF_YEARS),
        ],
    );
}

#[test]
fn epoch_numbers_are_exact() {
    reads(
        r#""formats":["epoch_s"],"output":"epoch_ms""#,
        &[
            ("1730673708", Ok("1730673708000")),
            ("1.5", Ok("1500")),
            ("0.001", Ok("1")),
            ("0.0019", Ok("1")),
            ("-1", Ok("-1000")),
            ("-1.5", Ok("-1500")),
            ("-0.0001", Ok("-1")),
            ("0", Ok("0")),
            ("-0.0", Ok("0")),
            ("1.7306737081e9", Ok("1730673708100")),
            ("4294967295.999", Ok("4294967295999")),
            (r#""1730673708""#, Ok("1730673708000")),
            (r#"" 1730673708.123 ""#, Ok("1730673708123")),
            (r#""-1.5""#, Ok("-1500")),
            (r#""1730673708s""#, NO_FORMAT),
            (r#""0x10""#, NO_FORMAT),
            (r#""NaN""#, NO_FORMAT),
            (r#""""#, NO_FORMAT),
            (r#""2024-11-03T22:41:48Z""#, NO_FORMAT),
        ],
    );
    reads(
        r#""formats":["epoch_ms"]"#,
        &[
            ("1730673708123", Ok("2024-11-03T22:41:48.123Z")),
            ("-1", Ok("1969-12-31T23:59:59.999Z")),
            ("0.5", Ok("1970-01-01T00:00:00.000500Z")),
        ],
    );
    reads(
        r#""formats":["epoch_us"]"#,
        &[("1730673708123456", Ok("2024-11-03T22:41:48.123456Z")), (r#""-1""#, Ok("1969-12-31T23:59:59.999999Z"))],
    );
    reads(
        r#""formats":["epoch_ns"]"#,
        &[
            ("1730673708123456789", Ok("2024-11-03T22:41:48.123456789Z")),
            ("9223372036854775808", Ok("2262-04-11T23:47:16.854775808Z")),
            ("-9223372036854775809", Ok("1677-09-21T00:12:43.145224191Z")),
            ("1.9", Ok("1970-01-01T00:00:00.000000001Z")),
        ],
    );
}

#[test]
fn every_output_is_written() {
    let date = r#""2024-11-03T22:41:48.123456789Z""#;
    let before = r#""1969-12-31T23:59:59.999999999Z""#;
    for (output, expected, below_zero) in [
        ("rfc3339", date, before),
        ("epoch_s", "1730673708", "-1"),
        ("epoch_ms", "1730673708123", "-1"),
        ("epoch_us", "1730673708123456", "-1"),
        ("epoch_ns", "1730673708123456789", "-1"),
    ] {
        let plan = plan(&format!(r#""output":"{output}""#));
        let found = [date, before].map(|date| converted(&plan, date));
        assert_eq!(found, [Ok(expected.to_owned()), Ok(below_zero.to_owned())], "{output}");
    }
    reads(
        r#""output":"epoch_ns""#,
        &[
            (r#""2262-04-11T23:47:16.854775807Z""#, Ok("9223372036854775807")),
            (r#""2262-04-11T23:47:16.854775808Z""#, Err(Unconverted::TooManyNanos)),
            (r#""1677-09-21T00:12:43.145224192Z""#, Ok("-9223372036854775808")),
            (r#""1677-09-21T00:12:43.145224191Z""#, Err(Unconverted::TooManyNanos)),
            (r#""9999-12-31T23:59:59Z""#, Err(Unconverted::TooManyNanos)),
        ],
    );
    reads(r#""output":"epoch_us""#, &[(r#""9999-12-31T23:59:59.999999Z""#, Ok("253402300799999999"))]);
}

#[test]
fn patterns() {
    for (pattern, text, expected) in [
        ("%d/%b/%Y:%H:%M:%S %z", r#""03/Nov/2024:22:41:48 +0100""#, Ok("2024-11-03T21:41:48Z")),
        ("%a, %d %b %Y %T %z", r#""Sun, 03 Nov 2024 22:41:48 -0500""#, Ok("2024-11-04T03:41:48Z")),
        ("%a, %d %b %Y %T %z", r#""Mon, 03 Nov 2024 22:41:48 -0500""#, NO_FORMAT),
        ("%Y-%m-%d %H:%M:%S", r#""2024-11-03 22:41:48""#, Ok("2024-11-03T21:41:48Z")),
        ("%Y-%m-%d %H:%M:%S%.f", r#""2024-11-03 22:41:48.25""#, Ok("2024-11-03T21:41:48.250Z")),
        ("%Y-%m-%d %H:%M:%S,%3f", r#""2024-11-03 22:41:48,123""#, Ok("2024-11-03T21:41:48.123Z")),
        ("%Y-%m-%d %H:%M:%S %:z", r#""2024-11-03 22:41:48 +05:30""#, Ok("2024-11-03T17:11:48Z")),
        ("%Y-%m-%d %H:%M:%S %Q", r#""2024-11-03 22:41:48 Asia/Tokyo""#, Ok("2024-11-03T13:41:48Z")),
        ("%Y-%m-%d %H:%M:%S %Q", r#""2024-11-03 22:41:48 Moon/Base""#, NO_FORMAT),
        ("%d.%m.%Y", r#""3.11.2024""#, Ok("2024-11-02T23:00:00Z")),
        ("%Y%m%d", r#""20241103""#, Ok("2024-11-02T23:00:00Z")),
        ("%Y%m%d", "20241103", Ok("2024-11-02T23:00:00Z")),
        ("%Y%m%d%H", r#""2024110322""#, Ok("2024-11-03T21:00:00Z")),
        ("%d.%m.%y %H:%M", r#""03.11.24 22:41""#, Ok("2024-11-03T21:41:00Z")),
        ("%d.%m.%y", r#""03.11.68""#, Ok("2068-11-02T23:00:00Z")),
        ("%d.%m.%y", r#""03.11.69""#, Ok("1969-11-02T23:00:00Z")),
        ("%m/%d/%Y %I:%M %p", r#""11/03/2024 10:41 PM""#, Ok("2024-11-03T21:41:00Z")),
        ("%m/%d/%Y %I:%M %p", r#""11/03/2024 12:00 AM""#, Ok("2024-11-02T23:00:00Z")),
        ("%Y-%j", r#""2024-308""#, Ok("2024-11-02T23:00:00Z")),
        ("%G-W%V-%u", r#""2024-W44-7""#, Ok("2024-11-02T23:00:00Z")),
        ("%Y-%m-%dT%H:%M:%S", r#""2024-03-31T02:30:00""#, Ok("2024-03-31T01:30:00Z")),
        ("%Y-%m-%dT%H:%M:%S", r#""2024-10-27T02:30:00""#, Ok("2024-10-27T00:30:00Z")),
        ("%Y-%m-%dT%H:%M:%S%z", r#""2016-12-31T23:59:60+0000""#, Ok("2016-12-31T23:59:59Z")),
        ("%Y-%m-%d", r#""9999-12-31""#, Ok("9999-12-30T23:00:00Z")),
        ("%Y-%m-%d %z", r#""9999-12-31 -0001""#, Ok("9999-12-31T00:01:00Z")),
        ("%Y-%m-%d %H:%M %z", r#""9999-12-31 23:59 -0001""#, OUT_OF_YEARS),
        ("%Y-%m-%d", r#""0000-01-01""#, OUT_OF_YEARS),
        ("%Y-%m-%d", r#""-0001-01-01""#, OUT_OF_YEARS),
        ("%Y-%m-%d", r#""2024-11-03 22:41""#, NO_FORMAT),
        ("%Y-%m-%d", r#""2023-02-29""#, NO_FORMAT),
        ("%Y-%m-%d", r#""""#, NO_FORMAT),
        ("100%% %Y-%m-%d", r#""100% 2024-11-03""#, Ok("2024-11-02T23:00:00Z")),
    ] {
        reads(&format!(r#""timezone":"Europe/Berlin","formats":["{pattern}"]"#), &[(text, expected)]);
    }
}

#[test]
fn the_first_format_that_fits_wins() {
    reads(
        r#""formats":["epoch_s","epoch_ms","epoch_us","epoch_ns","rfc3339","%d.%m.%Y","%m.%d.%Y"]"#,
        &[
            ("1730673708", Ok("2024-11-03T22:41:48Z")),
            ("1730673708123", Ok("2024-11-03T22:41:48.123Z")),
            ("1730673708123456", Ok("2024-11-03T22:41:48.123456Z")),
            (r#""1730673708123456789""#, Ok("2024-11-03T22:41:48.123456789Z")),
            (r#""2024-11-03T22:41:48Z""#, Ok("2024-11-03T22:41:48Z")),
            (r#""03.11.2024""#, Ok("2024-11-03T00:00:00Z")),
            (r#""11.03.2024""#, Ok("2024-03-11T00:00:00Z")),
            (r#""11.13.2024""#, Ok("2024-11-13T00:00:00Z")),
            (r#""13.13.2024""#, NO_FORMAT),
            ("1e40", OUT_OF_YEARS),
        ],
    );
}

#[test]
fn zones_are_in_the_program() {
    let bundled = jiff::tz::TimeZoneDatabase::bundled();
    assert!(bundled.get("Europe/Berlin").is_ok(), "the feature of the library is on");
    for (name, expected) in [
        ("UTC", "2024-11-03T22:41:48Z"),
        ("europe/berlin", "2024-11-03T21:41:48Z"),
        ("America/New_York", "2024-11-04T03:41:48Z"),
        ("Asia/Kolkata", "2024-11-03T17:11:48Z"),
        ("+02:00", "2024-11-03T20:41:48Z"),
        ("-03:30", "2024-11-04T02:11:48Z"),
    ] {
        reads(&format!(r#""timezone":"{name}""#), &[(r#""2024-11-03T22:41:48""#, Ok(expected))]);
    }
    let index = Index::default();
    let context = CheckContext::new(&index);
    context.zone.replace(TimeZone::get("Europe/Berlin").expect("known"));
    let step: TimestampStep = serde_json::from_str(r#"{"from":"/t"}"#).expect("JSON");
    let plan = step.check("steps[0].timestamp", &context).expect("right");
    assert_eq!(plan.zone.iana_name(), Some("Europe/Berlin"), "that of the pipeline");
}

#[test]
fn what_is_written_wrong_is_refused() {
    for (keys, parts) in [
        (r#""formats":[]"#, &["steps[0].timestamp.formats", "empty", "`rfc3339`"][..]),
        (r#""formats":["iso8601"]"#, &["timestamp.formats[0]", "unknown format `iso8601`", "`epoch_ms`", "strptime"]),
        (r#""formats":["rfc3339","epoch_sec"]"#, &["timestamp.formats[1]", "did you mean `epoch_s`?"]),
        (r#""formats":["yyyy-MM-dd"]"#, &["unknown format `yyyy-MM-dd`", "`%Y-%m-%d %H:%M:%S`"]),
        (r#""formats":[""]"#, &["unknown format ``"]),
        (r#""formats":["%!"]"#, &["`%!` is no strptime pattern", "`%%`"]),
        (r#""formats":["%Y-%m-%d %"]"#, &["is no strptime pattern"]),
        (r#""formats":["%Y-%m-%d %Z"]"#, &["cannot be read", "`%z`"]),
        (r#""formats":["%H:%M:%S"]"#, &["does not name the day", "`%F`"]),
        (r#""formats":["%b %d %H:%M:%S"]"#, &["does not name the day", "year"]),
        (r#""formats":["%Y-%m"]"#, &["does not name the day"]),
        (r#""formats":["%%"]"#, &["does not name the day"]),
        (r#""formats":["%F :%M"]"#, &["leaves the time open", "`%H:%M`"]),
        (r#""formats":["%F %I:%M"]"#, &["the hour", "`%p`"]),
        (r#""formats":["%s"]"#, &["write `epoch_s`"]),
        (r#""formats":["%s.%f"]"#, &["write `epoch_s`"]),
        (r#""formats":"rfc3339""#, &["sequence"]),
        (r#""timezone":"Europe/Berln""#, &["timestamp.timezone", "`Europe/Berln`", "did you mean `Europe/Berlin`?"]),
        (r#""timezone":"CETX""#, &["is no time zone", "`+02:00`"]),
        (r#""timezone":"""#, &["is no time zone"]),
        (r#""into":"when""#, &["timestamp.into", "write `/when`"]),
        (r#""into":"""#, &["timestamp.into", "whole record"]),
        (r#""output":"iso""#, &["unknown variant `iso`", "`epoch_ms`"]),
        (r#""otherwise":"drop""#, &["unknown variant `drop`", "`null`"]),
        (r#""zone":"UTC""#, &["unknown field `zone`", "`timezone`"]),
    ] {
        let written = format!(r#"{{"from":"/t",{keys}}}"#);
        let found = checked(&written).err().unwrap_or_else(|| panic!("accepted: {written}"));
        assert!(parts.iter().all(|part| found.contains(part)), "{written}: {parts:?}\n{found}");
    }
    for (written, parts) in [
        ("{}", &["missing field `from`"][..]),
        (r#"{"from":"t"}"#, &["timestamp.from", "write `/t`"]),
        (r#"{"from":""}"#, &["timestamp.from", "whole record"]),
        (r#"{"from":"t","into":"u","formats":["x"],"timezone":"y"}"#, &["write `/t`", "write `/u`", "`x`", "`y`"]),
    ] {
        let found = checked(written).err().unwrap_or_else(|| panic!("accepted: {written}"));
        assert!(parts.iter().all(|part| found.contains(part)), "{written}: {parts:?}\n{found}");
    }
}

#[test]
fn defaults() {
    let plan = checked(r#"{"from":"/a/t"}"#).expect("right");
    assert_eq!((plan.from.to_string(), plan.into.to_string()), ("/a/t".to_owned(), "/a/t".to_owned()));
    assert_eq!(plan.formats, [DateFormat::Named(DateFormatName::Rfc3339)]);
    assert_eq!((plan.output, plan.otherwise), (DateOutput::Rfc3339, OnUnconverted::Reject));
    assert_eq!(plan.zone, TimeZone::UTC);
    let plan = checked(r#"{"from":"/t","into":"/u","otherwise":null,"formats":["epoch_ns","%F"]}"#).expect("right");
    assert_eq!((plan.into.to_string(), plan.otherwise), ("/u".to_owned(), OnUnconverted::Null));
    assert_eq!(plan.formats, [DateFormat::Named(DateFormatName::EpochNs), DateFormat::Pattern("%F".to_owned())]);
}

#[test]
fn nothing_is_allocated_per_date() {
    let mut out = Vec::new();
    for (keys, json) in [
        (r#""timezone":"Europe/Berlin""#, r#""2024-11-03T22:41:48.123456""#),
        (r#""output":"epoch_ns""#, r#""2024-11-03T22:41:48.123456+01:00""#),
        (r#""formats":["epoch_s"]"#, "1730673708.123"),
        (r#""formats":["%d/%b/%Y:%H:%M:%S %z"]"#, r#""03/Nov/2024:22:41:48 +0100""#),
        (r#""formats":["%Y-%m-%d %H:%M:%S%.f"],"timezone":"America/New_York""#, r#""2024-11-03 22:41:48.25""#),
    ] {
        let plan = plan(keys);
        let bytes = on(json, |doc| {
            allocated_by(|| {
                out.clear();
                assert_eq!(plan.convert(doc.value(doc.root()), doc.bytes(doc.root()), &mut out), Ok(()));
            })
        });
        assert_eq!(bytes, 0, "{keys}");
    }
}
