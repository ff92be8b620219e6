//! `timestamp`: dates and times of records, read in several formats and written in one. The other bytes of the record
//! stay untouched (class P).
//!
//! A moment is a number of nanoseconds since the epoch, exact and wider than any date. It is of the years 0000 to 9999,
//! which RFC 3339 can write: what a format reads outside of them does not fit, so that of `[epoch_s, epoch_ms]` a
//! number of milliseconds takes the second. A leap second, `:60`, is the second before it: there is none in a count
//! since the epoch.

use std::io::Write as _;

use jiff::SignedDuration;
use jiff::civil::{DateTime, Time};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::{DateTimeParser, Pieces};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use super::super::compile::Compiler;
use super::super::constants::EditPath;
use super::super::document::Value;
use super::super::draft::Draft;
use super::super::ending::StepEnding;
use super::super::look::Look;
use super::super::program::CostClass;
use super::pointers::{below, goes_below, no_place};
use super::unconverted::{self, OnUnconverted, Unconverted};
use super::{Change, StepOperation};
use crate::leaf::{CheckContext, Pointer, nearest};
use crate::model::{StepName, floor_scaled};

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
const NANOS_PER_SECOND: i128 = 1_000_000_000;
/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59.999999999Z.
const FIRST: i128 = -62_167_219_200 * NANOS_PER_SECOND;
const LAST: i128 = 253_402_300_800 * NANOS_PER_SECOND - 1;

/// Reads a date or time and writes it in one format. A missing value is left alone, and null stays null.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimestampStep {
    /// RFC 6901 pointer to the date: a string or a number.
    pub from: String,
    /// How it may be written; the first that fits wins. `rfc3339` (also with a blank for the `T`, without an offset,
    /// and a date alone); `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns` (numbers and strings of digits, with a
    /// fraction, below 0); or a strptime pattern such as `%d/%b/%Y:%H:%M:%S %z`, which names the day; without a time it
    /// is midnight.
    #[serde(default = "rfc3339")]
    #[schemars(length(min = 1))]
    pub formats: Vec<String>,
    /// The zone of dates that name none, such as `Europe/Berlin` or `+02:00`; an offset or a zone inside a date beats
    /// it. A time that a clock change skips is read with the offset before the change, one that comes twice is the
    /// first. Default: `time_zone` of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// RFC 6901 pointer to where it goes. Default: `from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// How it is written.
    #[serde(default)]
    pub output: DateOutput,
    /// What happens where no format fits.
    #[serde(default)]
    pub otherwise: OnUnconverted,
}

fn rfc3339() -> Vec<String> {
    vec!["rfc3339".to_owned()]
}

/// How a date is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DateOutput {
    /// A string such as `2024-11-03T22:41:48.123Z`, in UTC, with 3, 6 or 9 digits of a second where there are any.
    #[default]
    Rfc3339,
    /// A whole number of seconds since the epoch; a fraction is cut off downwards.
    EpochS,
    /// The same in milliseconds.
    EpochMs,
    /// The same in microseconds.
    EpochUs,
    /// The same in nanoseconds; only of the years 1678 to 2261, so that it fits into 64 bits.
    EpochNs,
}

/// A date that is read and written.
#[derive(Debug, Clone)]
pub struct TimestampPlan {
    /// Where it is read.
    pub from: Pointer,
    /// Where it is written.
    pub into: Pointer,
    /// How it may be written.
    pub formats: Vec<DateFormat>,
    /// The zone of dates that name none.
    pub zone: TimeZone,
    /// How it is written.
    pub output: DateOutput,
    /// What happens where no format fits.
    pub otherwise: OnUnconverted,
}

/// How a date may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DateFormat {
    /// A name.
    Named(DateFormatName),
    /// A checked strptime pattern.
    Pattern(String),
}

/// Formats with names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum DateFormatName {
    /// RFC 3339, and what is short of it in records.
    Rfc3339,
    /// Seconds since the epoch.
    EpochS,
    /// Milliseconds.
    EpochMs,
    /// Microseconds.
    EpochUs,
    /// Nanoseconds.
    EpochNs,
}

impl DateFormatName {
    fn text(self) -> &'static str {
        self.into()
    }
}

impl TimestampStep {
    pub(super) fn check(&self, path: &str, context: &CheckContext<'_>) -> Option<TimestampPlan> {
        let member = |key: &str, text: &str| below(context, &format!("{path}.{key}"), text);
        let from = member("from", &self.from);
        let into = match &self.into {
            Some(text) => member("into", text),
            None => from.clone(),
        };
        let list = format!("{path}.formats");
        if self.formats.is_empty() {
            context.error(&list, "the list is empty: nothing would fit", "name a format, such as `rfc3339`");
        }
        let check = |(number, text): (usize, &String)| DateFormat::check(text, &format!("{list}[{number}]"), context);
        let formats: Vec<_> = self.formats.iter().enumerate().map(check).collect();
        let zone = self.zone(&format!("{path}.timezone"), context);
        if let (Some(from), Some(into)) = (&from, &into)
            && goes_below(context, &format!("{path}.into"), from, into)
        {
            return None;
        }
        Some(TimestampPlan {
            from: from?,
            into: into?,
            formats: formats.into_iter().collect::<Option<Vec<_>>>().filter(|formats| !formats.is_empty())?,
            zone: zone?,
            output: self.output,
            otherwise: self.otherwise,
        })
    }

    fn zone(&self, path: &str, context: &CheckContext<'_>) -> Option<TimeZone> {
        let Some(name) = &self.timezone else { return Some(context.zone.borrow().clone()) };
        if let Ok(zone) = DateTimeParser::new().parse_time_zone(name) {
            return Some(zone);
        }
        let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let near = nearest::nearest(name, names.iter().map(String::as_str));
        let near = near.map_or_else(String::new, |near| format!("{} ", nearest::did_you_mean(near)));
        let remedy = format!("{near}write a name such as `Europe/Berlin`, `UTC`, or an offset such as `+02:00`");
        context.error(path, format!("`{name}` is no time zone"), remedy);
        None
    }
}

/// What a pattern is tried with: a day and a time that no part of which can be mistaken for another.
const SAMPLE: DateTime = DateTime::constant(2004, 2, 29, 23, 58, 57, 123_456_789);

impl DateFormat {
    fn check(text: &str, path: &str, context: &CheckContext<'_>) -> Option<Self> {
        if let Some(name) = DateFormatName::VARIANTS.iter().find(|name| name.text() == text) {
            return Some(Self::Named(*name));
        }
        let pattern = "or write a strptime pattern such as `%Y-%m-%d %H:%M:%S`";
        if !text.contains('%') {
            let names: Vec<&str> = DateFormatName::VARIANTS.iter().map(|name| name.text()).collect();
            let remedy = format!("{}, {pattern}", nearest::remedy(text, &names, "known here"));
            context.error(path, format!("unknown format `{text}`"), remedy);
            return None;
        }
        let refused = fault_of_pattern(text);
        if let Some((reason, remedy)) = refused {
            context.error(path, format!("`{text}` {reason}"), remedy);
            return None;
        }
        Some(Self::Pattern(text.to_owned()))
    }

    /// The moment that `text` names; nothing where it does not fit.
    fn moment(&self, text: &str, is_number: bool, zone: &TimeZone) -> Option<i128> {
        let power = match self {
            Self::Pattern(pattern) => return moment_by_pattern(pattern, text, zone),
            Self::Named(DateFormatName::Rfc3339) => {
                return if is_number { None } else { moment_by_rfc3339(text, zone) };
            }
            Self::Named(DateFormatName::EpochS) => 9,
            Self::Named(DateFormatName::EpochMs) => 6,
            Self::Named(DateFormatName::EpochUs) => 3,
            Self::Named(DateFormatName::EpochNs) => 0,
        };
        floor_scaled(text.as_bytes(), power)
    }
}

/// What is wrong with a pattern and what to write. A date is written with it and read again, which finds what the
/// library knows in one direction only and what leaves the date open.
fn fault_of_pattern(pattern: &str) -> Option<(String, String)> {
    const OFFERED: &str = "`%Y %m %d %H %M %S %.f %z` and their like";
    let fault = |reason: String, remedy: &str| Some((reason, remedy.to_owned()));
    let sample = match SAMPLE.to_zoned(TimeZone::UTC) {
        Ok(sample) => BrokenDownTime::from(&sample),
        Err(error) => return fault(format!("cannot be tried: {error}"), "write another one"),
    };
    let mut text = String::new();
    if let Err(error) = sample.format(pattern, &mut text) {
        return fault(format!("is no strptime pattern: {error}"), &format!("write {OFFERED}; a per cent sign is `%%`"));
    }
    let read = match BrokenDownTime::parse(pattern, &text) {
        Ok(read) => read,
        Err(error) => {
            let reason = format!("cannot be read: {error}");
            return fault(reason, &format!("write {OFFERED}; a zone is read by `%z` (offset) or `%Q` (name)"));
        }
    };
    if read.timestamp().is_some() {
        return fault("counts seconds since the epoch".to_owned(), "write `epoch_s`, which takes fractions too");
    }
    match read.to_datetime() {
        Err(_) if read.to_date().is_err() => {
            let remedy = "add the day with its year: `%Y-%m-%d`, `%F`, `%Y-%j` or `%G-W%V-%u`";
            fault("does not name the day".to_owned(), remedy)
        }
        Err(error) => fault(format!("leaves the time open: {error}"), "add the greater unit: `%H`, `%H:%M`"),
        Ok(found) if found.date() != SAMPLE.date() || (read.hour().is_some() && found.hour() != SAMPLE.hour()) => {
            fault("leaves the hour or the day open".to_owned(), "add `%p` to the hours of half a day, or write `%H`")
        }
        Ok(_) => None,
    }
}

fn moment_by_pattern(pattern: &str, text: &str, zone: &TimeZone) -> Option<i128> {
    let read = BrokenDownTime::parse(pattern, text).ok()?;
    let civil = read.to_datetime().ok()?;
    match (read.offset(), read.iana_time_zone()) {
        (Some(offset), _) => Some(moment_at(civil, offset)),
        (None, Some(name)) => Some(moment_in(civil, &TimeZone::get(name).ok()?)),
        (None, None) => Some(moment_in(civil, zone)),
    }
}

/// Of RFC 3339, of the same without an offset or with a zone in brackets, and of a date alone.
fn moment_by_rfc3339(text: &str, zone: &TimeZone) -> Option<i128> {
    // The library also takes `20241103` and years of six digits, which are no less a number.
    let is_date = text.as_bytes().first().is_some_and(u8::is_ascii_digit) && text.as_bytes().get(4) == Some(&b'-');
    let pieces = is_date.then(|| Pieces::parse(text).ok()).flatten()?;
    let civil = DateTime::from_parts(pieces.date(), pieces.time().unwrap_or(Time::midnight()));
    match (pieces.to_numeric_offset(), pieces.time_zone_annotation()) {
        (Some(offset), _) => Some(moment_at(civil, offset)),
        (None, Some(annotation)) => Some(moment_in(civil, &annotation.to_time_zone().ok()?)),
        (None, None) => Some(moment_in(civil, zone)),
    }
}

/// Not by way of the library's timestamps, which end a day before the calendar does.
fn moment_at(civil: DateTime, offset: Offset) -> i128 {
    civil.duration_since(EPOCH).as_nanos() - i128::from(offset.seconds()) * NANOS_PER_SECOND
}

/// What the library calls compatible: in a gap the offset before it holds, and of two the earlier one.
fn moment_in(civil: DateTime, zone: &TimeZone) -> i128 {
    let offset = match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Gap { before, .. } | AmbiguousOffset::Fold { before, .. } => before,
    };
    moment_at(civil, offset)
}

#[derive(Debug)]
pub(in crate::preprocess) struct CompiledTimestamp {
    plan: TimestampPlan,
    path: EditPath,
}

impl CompiledTimestamp {
    pub(super) fn run(&self, draft: &mut Draft<'_>, place: &StepName, room: &mut Vec<u8>) -> Result<(), StepEnding> {
        let TimestampPlan { from, into, otherwise, .. } = &self.plan;
        let Some(found) = draft.find(draft.root, &from.members) else { return Ok(()) };
        room.clear();
        let converted = self.plan.convert(draft.value(found), draft.spelling(found), room);
        let converted = converted.map(|()| (from != into || room != draft.spelling(found)).then(|| draft.make(room)));
        match unconverted::put_or_reject(converted, *otherwise, draft, place, from)? {
            Some(value) => draft.put_at(&self.path, value).map_err(|fault| no_place(draft, place, into, fault)),
            None => Ok(()),
        }
    }
}

impl TimestampPlan {
    pub(super) fn compile(&self, compiler: &mut Compiler) -> Option<(StepOperation, CostClass)> {
        compiler.read(&self.from);
        compiler.change(&self.into);
        let timestamp = CompiledTimestamp { plan: self.clone(), path: compiler.constants.path(&self.into)? };
        Some((StepOperation::Change(Change::Timestamp(timestamp)), CostClass::Splice))
    }

    /// Appends the date `value`, which is spelled so in the record, as JSON text of the output; nothing where it is
    /// refused.
    ///
    /// # Errors
    /// Why it cannot be converted.
    pub fn convert(&self, value: Value<'_>, spelling: &[u8], out: &mut Vec<u8>) -> Result<(), Unconverted> {
        let (text, is_number) = match value {
            Value::Null => {
                out.extend_from_slice(spelling);
                return Ok(());
            }
            Value::String(text) => (text.trim_ascii(), false),
            Value::Negative(_) | Value::Unsigned(_) | Value::Float(_) => {
                (std::str::from_utf8(spelling).unwrap_or_default(), true)
            }
            Value::Bool(_) | Value::Object { .. } | Value::Array => return Err(Unconverted::Kind(value.kind())),
        };
        let mut fault = Unconverted::NoFormat;
        for format in &self.formats {
            match format.moment(text, is_number, &self.zone) {
                Some(moment) if (FIRST..=LAST).contains(&moment) => return self.output.write(moment, out),
                Some(_) => fault = Unconverted::OutOfYears,
                None => {}
            }
        }
        Err(fault)
    }
}

impl DateOutput {
    fn write(self, moment: i128, out: &mut Vec<u8>) -> Result<(), Unconverted> {
        let unit = match self {
            Self::Rfc3339 => return write_rfc3339(moment, out),
            Self::EpochS => NANOS_PER_SECOND,
            Self::EpochMs => 1_000_000,
            Self::EpochUs => 1_000,
            Self::EpochNs => 1,
        };
        let count = i64::try_from(moment.div_euclid(unit)).map_err(|_| Unconverted::TooManyNanos)?;
        // Writing to memory does not fail.
        let _ = write!(out, "{count}");
        Ok(())
    }
}

fn write_rfc3339(moment: i128, out: &mut Vec<u8>) -> Result<(), Unconverted> {
    let seconds = i64::try_from(moment.div_euclid(NANOS_PER_SECOND)).map_err(|_| Unconverted::OutOfYears)?;
    let nanos = moment.rem_euclid(NANOS_PER_SECOND);
    let civil = EPOCH.checked_add(SignedDuration::from_secs(seconds)).map_err(|_| Unconverted::OutOfYears)?;
    let (year, month, day) = (civil.year(), civil.month(), civil.day());
    let (hour, minute, second) = (civil.hour(), civil.minute(), civil.second());
    // Writing to memory does not fail.
    let _ = write!(out, "\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    let _ = match nanos {
        0 => Ok(()),
        _ if nanos % 1_000_000 == 0 => write!(out, ".{:03}", nanos / 1_000_000),
        _ if nanos % 1_000 == 0 => write!(out, ".{:06}", nanos / 1_000),
        _ => write!(out, ".{nanos:09}"),
    };
    out.extend_from_slice(b"Z\"");
    Ok(())
}

#[cfg(test)]
#[path = "timestamp_tests.rs"]
mod tests;
