//! `latency.hlog`: an HdrHistogram V2 interval log, one line a stage and interval; and the totals of the whole run.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use enum_map::EnumMap;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError, Tag};

use super::latency::{Stage, empty_histogram};

/// Histograms of one pipeline, by [`Stage`].
pub type StageHistograms = EnumMap<Stage, Histogram<u64>>;

/// Length of the log's intervals in the first hour.
const INTERVAL: Duration = Duration::from_secs(1);
/// After this time a line a second would only grow the file.
const FINE_FOR: Duration = Duration::from_secs(3_600);
/// Length of the intervals afterwards.
const COARSE_INTERVAL: Duration = Duration::from_secs(10);

/// Collects every pipeline's histograms over an interval, writes a line for each stage that has values, and keeps the
/// totals. Values are microseconds; the log's readable maximum is in milliseconds.
pub struct LatencyLog<W: Write> {
    out: Option<W>,
    serializer: V2DeflateSerializer,
    started: Instant,
    interval_start: Instant,
    pipelines: Vec<Pages>,
}

struct Pages {
    tags: EnumMap<Stage, String>,
    interval: StageHistograms,
    total: StageHistograms,
}

impl<W: Write> LatencyLog<W> {
    /// A log of these pipelines that starts now. Tags are the stages' names; of several pipelines, `pipeline.stage`.
    /// Without `out` only the totals are kept.
    ///
    /// # Errors
    /// What the writer answers to the head.
    pub fn new(mut out: Option<W>, pipelines: &[Arc<str>], now: Instant, wall: SystemTime) -> io::Result<Self> {
        if let Some(out) = &mut out {
            write_head(out, wall)?;
        }
        let alone = pipelines.len() == 1;
        let pages = |name: &Arc<str>| Pages {
            tags: EnumMap::from_fn(|stage| tag(name, stage, alone)),
            interval: EnumMap::from_fn(|_| empty_histogram()),
            total: EnumMap::from_fn(|_| empty_histogram()),
        };
        Ok(Self {
            out,
            serializer: V2DeflateSerializer::new(),
            started: now,
            interval_start: now,
            pipelines: pipelines.iter().map(pages).collect(),
        })
    }

    /// Adds what was recorded of a pipeline (by its place in `new`) and stage to the running interval.
    pub fn add(&mut self, pipeline: usize, stage: Stage, recorded: &Histogram<u64>) {
        if let Some(pages) = self.pipelines.get_mut(pipeline) {
            merge(&mut pages.interval[stage], recorded);
        }
    }

    /// Writes the interval when it is over.
    ///
    /// # Errors
    /// What the writer answers, once: the log ends there, the totals are kept all the same.
    pub fn turn(&mut self, now: Instant) -> io::Result<()> {
        let fine = now.saturating_duration_since(self.started) < FINE_FOR;
        let length = if fine { INTERVAL } else { COARSE_INTERVAL };
        if now.saturating_duration_since(self.interval_start) < length {
            return Ok(());
        }
        self.close_interval(now)
    }

    /// Writes the last interval; the totals by pipeline and stage, and what the writer answered.
    pub fn finish(mut self, now: Instant) -> (Vec<StageHistograms>, io::Result<()>) {
        let written = self.close_interval(now);
        (self.pipelines.into_iter().map(|pages| pages.total).collect(), written)
    }

    fn close_interval(&mut self, now: Instant) -> io::Result<()> {
        let start = self.interval_start.saturating_duration_since(self.started);
        let length = now.saturating_duration_since(self.interval_start);
        self.interval_start = now;
        let mut written = Ok(());
        for pages in &mut self.pipelines {
            for (stage, interval) in &mut pages.interval {
                if interval.is_empty() {
                    continue;
                }
                if let (Some(out), true) = (&mut self.out, written.is_ok()) {
                    written = write_line(out, &mut self.serializer, interval, start, length, &pages.tags[stage]);
                }
                merge(&mut pages.total[stage], interval);
                interval.reset();
            }
        }
        // Flushed so that a killed process leaves whole lines; a writer that failed is not asked again.
        let written = written.and_then(|()| self.out.as_mut().map_or(Ok(()), Write::flush));
        if written.is_err() {
            self.out = None;
        }
        written
    }
}

/// The tag of a stage: characters that end a tag in the log become `_`.
fn tag(pipeline: &str, stage: Stage, alone: bool) -> String {
    if alone {
        return stage.name().to_owned();
    }
    format!("{pipeline}.{}", stage.name()).replace([',', ' ', '\r', '\n'], "_")
}

fn merge(into: &mut Histogram<u64>, from: &Histogram<u64>) {
    // Both have the bounds of `empty_histogram`, so adding cannot fail.
    if let Err(error) = into.add(from) {
        tracing::error!("failed to merge latency histograms: {error}");
    }
}

const MICROS_PER_MILLI: f64 = 1e3;

fn write_head(out: &mut impl Write, wall: SystemTime) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment("[values in microseconds, Interval_Max in milliseconds]")
        .with_start_time(wall)
        .with_base_time(wall)
        .with_max_value_divisor(MICROS_PER_MILLI)
        .begin_log_with(out, &mut serializer)?;
    writeln!(out, r#""StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram""#)
}

fn write_line(
    out: &mut impl Write,
    serializer: &mut V2DeflateSerializer,
    histogram: &Histogram<u64>,
    start: Duration,
    length: Duration,
    tag: &str,
) -> io::Result<()> {
    // A builder without a head writes nothing but the line, and can be had anew for each: the writer only borrows. The
    // divisor would be written again as a comment, so the line goes through a buffer and the comment is cut off.
    let mut line = Vec::with_capacity(1024);
    IntervalLogWriterBuilder::new()
        .with_max_value_divisor(MICROS_PER_MILLI)
        .begin_log_with(&mut line, serializer)?
        .write_histogram(histogram, start, length, Tag::new(tag))
        .map_err(|error| match error {
            IntervalLogWriterError::SerializeError(error) => io::Error::other(error.to_string()),
            IntervalLogWriterError::IoError(error) => error,
        })?;
    let head = line.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    out.write_all(&line[head..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    fn recorded(values: &[u64]) -> Histogram<u64> {
        let mut histogram = empty_histogram();
        values.iter().for_each(|value| histogram.saturating_record(*value));
        histogram
    }

    fn decode(text: &str) -> Histogram<u64> {
        let bytes = base64_decode(text);
        Deserializer::new().deserialize(&mut bytes.as_slice()).expect("a V2 histogram")
    }

    fn base64_decode(text: &str) -> Vec<u8> {
        let value = |byte: u8| match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            other => panic!("not base64: {other}"),
        };
        let digits: Vec<u32> = text.bytes().filter(|byte| *byte != b'=').map(|byte| value(byte).into()).collect();
        let mut out = Vec::new();
        for group in digits.chunks(4) {
            let bits = group.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - group.len()));
            out.extend(&[(bits >> 16) as u8, (bits >> 8) as u8, bits as u8][..group.len() - 1]);
        }
        out
    }

    #[test]
    fn the_log_reads_back_with_the_librarys_reader() {
        let begin = Instant::now();
        let wall = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        let mut text = Vec::new();
        let names = ["relay".into(), "in, dex".into()];
        let mut log = LatencyLog::new(Some(&mut text), &names, begin, wall).expect("memory");
        log.add(0, Stage::EndToEnd, &recorded(&[1_000, 2_000, 4_000]));
        log.turn(begin + Duration::from_millis(999)).expect("not yet");
        log.add(0, Stage::EndToEnd, &recorded(&[8_000]));
        log.turn(begin + Duration::from_millis(1_000)).expect("memory");
        log.add(1, Stage::Queue, &recorded(&[77]));
        let (totals, written) = log.finish(begin + Duration::from_millis(1_500));
        written.expect("memory");

        assert_eq!(totals[0][Stage::EndToEnd], recorded(&[1_000, 2_000, 4_000, 8_000]));
        assert_eq!(totals[1][Stage::Queue].len(), 1);
        let entries: Vec<_> = IntervalLogIterator::new(&text).map(|entry| entry.expect("parses")).collect();
        let [LogEntry::StartTime(start), LogEntry::BaseTime(base), LogEntry::Interval(first), LogEntry::Interval(last)] =
            entries.as_slice()
        else {
            panic!("{entries:?}")
        };
        assert_eq!((start, base), (&Duration::from_millis(1_700_000_000_250), start));
        assert_eq!(first.tag().map(|tag| tag.as_str()), Some("relay.end_to_end"));
        assert_eq!((first.start_timestamp(), first.duration()), (Duration::ZERO, Duration::from_secs(1)));
        assert!((first.max() - 8.0).abs() < 0.01, "milliseconds: {}", first.max());
        assert_eq!(decode(first.encoded_histogram()), recorded(&[1_000, 2_000, 4_000, 8_000]));
        assert_eq!(last.tag().map(|tag| tag.as_str()), Some("in__dex.queue"));
        assert_eq!((last.start_timestamp(), last.duration()), (Duration::from_secs(1), Duration::from_millis(500)));
    }

    #[test]
    fn one_pipeline_has_plain_tags_and_totals_need_no_file() {
        let now = Instant::now();
        let mut text = Vec::new();
        let mut log = LatencyLog::new(Some(&mut text), &["only".into()], now, SystemTime::now()).expect("memory");
        log.add(0, Stage::Age, &recorded(&[5]));
        log.finish(now).1.expect("memory");
        let lines = String::from_utf8(text).expect("text");
        assert!(lines.lines().last().is_some_and(|line| line.starts_with("Tag=age,0.000,")), "{lines}");

        let mut log =
            LatencyLog::<Vec<u8>>::new(None, &["only".into()], now, SystemTime::now()).expect("nothing written");
        log.add(0, Stage::Age, &recorded(&[5]));
        assert_eq!(log.finish(now).0[0][Stage::Age].len(), 1);
    }

    struct Full;

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if bytes.starts_with(b"Tag=") { Err(io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_told_once_and_costs_no_totals() {
        let begin = Instant::now();
        let mut log = LatencyLog::new(Some(Full), &["p".into()], begin, SystemTime::now()).expect("the head fits");
        for second in 1..=3 {
            log.add(0, Stage::Age, &recorded(&[5]));
            let written = log.turn(begin + Duration::from_secs(second));
            assert_eq!(written.is_err(), second == 1);
        }
        let (totals, written) = log.finish(begin + Duration::from_secs(4));
        assert!(written.is_ok());
        assert_eq!(totals[0][Stage::Age].len(), 3);
    }

    #[test]
    fn after_an_hour_lines_come_every_ten_seconds() {
        let begin = Instant::now();
        let mut text = Vec::new();
        let mut log = LatencyLog::new(Some(&mut text), &["p".into()], begin, SystemTime::now()).expect("memory");
        for second in 3_590..=3_640_u64 {
            log.add(0, Stage::Request, &recorded(&[10]));
            log.turn(begin + Duration::from_secs(second)).expect("memory");
        }
        let (totals, written) = log.finish(begin + Duration::from_secs(3_640));
        written.expect("memory");
        assert_eq!(totals[0][Stage::Request].len(), 51);
        let text = String::from_utf8(text).expect("text");
        let starts: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("Tag=request,")?.split(',').next()).collect();
        let fine = [
            "0.000", "3590.000", "3591.000", "3592.000", "3593.000", "3594.000", "3595.000", "3596.000", "3597.000",
            "3598.000",
        ];
        assert_eq!(starts[..10], fine);
        assert_eq!(starts[10..], ["3599.000", "3609.000", "3619.000", "3629.000", "3639.000"]);
    }
}
