//! `sluicegate try`: lines on stdin through a pipeline's program and encoder, what comes out on stdout.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::test::machine;
use super::{DataFormat, Failure, Global};
use crate::config::plan::{PipelinePlan, Plan};
use crate::enrich::{Lookups, NotReady};
use crate::model::{Exit, Halt, OwnedRecord};
use crate::pipeline::{OfflineEnd, OfflinePipeline, OfflineRun};
use crate::telemetry::handles::Handles;

mod input;
mod lines;
mod output;

use input::{InputForm, RecordDefaults};
use lines::{Line, LineReader};

/// Most lines that go through the program at once; a look-up asks for their keys together.
const BATCH_LINES: usize = 500;
/// Most bytes of them, but for the last line.
const BATCH_BYTES: usize = 4 << 20;
/// Between two attempts to reach the look-ups' server at start.
const AGAIN: Duration = Duration::from_millis(500);

/// Arguments of `try`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Every line of stdin is a value (NDJSON); blank lines are passed over. Its record has no \
    key and no headers, the first topic the pipeline names, partition 0, the line's number from 0 as offset, and the \
    current time as timestamp.\n\n\
    --topic-format reads what kcat prints: without a value, or with `=envelope`, the lines of `kcat -C -J`; with \
    `=key-value` those of `kcat -C -f '%k\\t%s\\n'`, in which an empty key or value is a null one.\n\n\
    Each output is one line on stdout, its value alone; a tombstone is `null`. Each reject is a line on stderr: the \
    input's line, the reason, the step, and what is wrong. Output is flushed whenever stdin has no further line yet.\n\n\
    Exit codes: 0 done, 65 something was rejected, 69 Redis did not answer at start, 77 it refuses our credentials, 78 \
    the configuration or the file of look-ups is invalid.")]
pub struct TryArgs {
    /// The pipeline
    #[arg(value_name = "PIPELINE")]
    pub pipeline: String,
    /// Read lines with key and headers as kcat prints them
    #[arg(long, value_enum, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "envelope")]
    pub topic_format: Option<TopicFormat>,
    /// Print key, TAB, value; for Elasticsearch the document's id is the key
    #[arg(long)]
    pub with_key: bool,
    /// What look-ups find: a YAML, TOML or JSON file of connections, hashes, fields
    #[arg(long, value_name = "FILE", conflicts_with = "connect_lookups")]
    pub lookups: Option<PathBuf>,
    /// Look up in the configured Redis
    #[arg(long)]
    pub connect_lookups: bool,
    /// Also tell of each dropped record on stderr
    #[arg(short, long)]
    pub verbose: bool,
    /// text (values), or json: one object for each output, drop and reject, with everything the sink would get
    #[arg(long, value_enum, default_value_t)]
    pub format: DataFormat,
}

/// What kcat printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TopicFormat {
    /// `kcat -J`: one JSON object with topic, partition, offset, ts, headers, key and payload.
    Envelope,
    /// `kcat -f '%k\t%s\n'`: key, TAB, value.
    KeyValue,
}

/// Reads stdin to its end.
///
/// # Errors
/// An invalid configuration, an unknown pipeline, look-ups nobody answers, or streams that break.
pub fn run(global: &Global, args: &TryArgs) -> Result<Exit, Failure> {
    super::logging::init(global, super::logging::DEMO)?;
    if global.config.iter().any(|path| path.as_os_str() == "-") {
        return Err(Failure::Usage("stdin holds the records: give the configuration as a file".to_owned()));
    }
    let loaded = global.load()?;
    let plan = super::pipeline_named(&loaded.plan, &args.pipeline)?;
    let lookups = lookups(args, plan, &loaded.plan)?;
    let pipeline =
        OfflinePipeline::new(plan).map_err(|error| Failure::unexpected(format!("pipeline {}: {error}", plan.name)))?;
    let form = match args.topic_format {
        None => InputForm::Values,
        Some(TopicFormat::Envelope) => InputForm::Envelopes,
        Some(TopicFormat::KeyValue) => InputForm::KeyValues,
    };
    let defaults = RecordDefaults { topic: plan.source.sample_topic().to_owned() };
    let reader = LineReader::new(io::stdin().lock(), form.most_bytes(plan.value_bytes));
    let out = BufWriter::new(io::stdout().lock());
    let mut lines = TryRun { run: pipeline.with(lookups), args, form, defaults, out, told: Told::default() };
    lines.read_all(reader)?;
    let told = lines.told;
    tell(&told.sum());
    Ok(if told.rejected > 0 { Exit::Rejected } else { Exit::Done })
}

/// A line on stderr; one nobody reads changes nothing.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    records: u64,
    delivered: u64,
    dropped: u64,
    rejected: u64,
}

impl Told {
    fn sum(self) -> String {
        let Self { records, delivered, dropped, rejected } = self;
        let records = if records == 1 { "1 record".to_owned() } else { format!("{records} records") };
        format!("{records}: {delivered} delivered, {dropped} dropped, {rejected} rejected")
    }
}

/// A pipeline that lines go through.
struct TryRun<'run, W: Write> {
    run: OfflineRun,
    args: &'run TryArgs,
    form: InputForm,
    defaults: RecordDefaults,
    out: W,
    told: Told,
}

impl<W: Write> TryRun<'_, W> {
    fn read_all(&mut self, mut reader: LineReader<impl io::Read>) -> Result<(), Failure> {
        let (mut numbers, mut records, mut bytes) = (Vec::new(), Vec::new(), 0);
        loop {
            let next = reader
                .next_line()
                .map_err(|error| Failure::unexpected(format!("standard input cannot be read: {}", error.kind())))?;
            let ended = next.is_none();
            if let Some((number, line)) = next {
                match self.record(number, line) {
                    Ok(Some(record)) => {
                        bytes += record.value.as_ref().map_or(0, Vec::len);
                        numbers.push(number);
                        records.push(record);
                    }
                    Ok(None) => {}
                    // What comes before it is told first.
                    Err(why) => {
                        self.pass(&mut numbers, &mut records)?;
                        self.unreadable(number, &why)?;
                    }
                }
            }
            if ended || records.len() >= BATCH_LINES || bytes >= BATCH_BYTES || !reader.has_line() {
                self.pass(&mut numbers, &mut records)?;
                self.out.flush()?;
                bytes = 0;
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// The record of a line; `None` for a blank one.
    fn record(&self, number: u64, line: Line) -> Result<Option<OwnedRecord>, String> {
        match line {
            Line::Whole(line) => self.form.record(line, number, now_ms(), &self.defaults),
            Line::TooLong(most) => Err(format!("it is longer than {most} bytes, which `limits.value` allows for")),
        }
    }

    /// Puts records through the program and prints their ends.
    fn pass(&mut self, numbers: &mut Vec<u64>, records: &mut Vec<OwnedRecord>) -> Result<(), Failure> {
        if records.is_empty() {
            return Ok(());
        }
        let ends = self.run.ends(records).map_err(halted)?;
        for (number, ends) in numbers.drain(..).zip(ends) {
            self.told.records += 1;
            for end in ends {
                self.end(number, &end)?;
            }
        }
        records.clear();
        Ok(())
    }

    fn end(&mut self, number: u64, end: &OfflineEnd) -> Result<(), Failure> {
        let as_json = self.args.format == DataFormat::Json;
        if as_json {
            let mut members = machine::end(end);
            members["line"] = number.into();
            writeln!(self.out, "{members}")?;
        }
        match end {
            OfflineEnd::Sent(sent) => {
                self.told.delivered += 1;
                if !as_json {
                    self.out.write_all(&output::line(sent, self.args.with_key))?;
                }
            }
            OfflineEnd::Dropped => {
                self.told.dropped += 1;
                if self.args.verbose && !as_json {
                    self.aside(&format!("line {number}: dropped"))?;
                }
            }
            OfflineEnd::Rejected { item, reject } => {
                self.told.rejected += 1;
                if !as_json {
                    let item = if item.is_whole() { String::new() } else { format!(" item {item}") };
                    self.aside(&format!("line {number}{item}: rejected: {reject}"))?;
                }
            }
        }
        Ok(())
    }

    fn unreadable(&mut self, number: u64, why: &str) -> Result<(), Failure> {
        self.told.records += 1;
        self.told.rejected += 1;
        if self.args.format == DataFormat::Json {
            let members = serde_json::json!({
                "line": number, "outcome": "rejected", "reason": null, "step": "input", "detail": why,
            });
            writeln!(self.out, "{members}")?;
            return Ok(());
        }
        self.aside(&format!("line {number}: rejected at input: {why}"))
    }

    /// A line on stderr, behind what stands before it on stdout.
    fn aside(&mut self, line: &str) -> Result<(), Failure> {
        self.out.flush()?;
        tell(line);
        Ok(())
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn halted(halt: Halt) -> Failure {
    Failure::Other { exit: halt.exit, message: halt.message }
}

/// Where look-ups find something.
fn lookups(args: &TryArgs, plan: &PipelinePlan, all: &Plan) -> Result<Arc<Lookups>, Failure> {
    if plan.lookups().next().is_none() {
        return Ok(Lookups::in_memory(Vec::new()));
    }
    if args.connect_lookups {
        return connected(plan, all.startup_timeout);
    }
    let Some(path) = &args.lookups else {
        let message = format!(
            "pipeline {} looks things up: say what it finds with `--lookups FILE` (an empty file: nothing), or ask \
             the configured Redis with `--connect-lookups`",
            plan.name
        );
        return Err(Failure::Usage(message));
    };
    let mut known: Vec<&str> = plan.lookups().map(|lookup| &*lookup.connection.name).collect();
    known.sort_unstable();
    known.dedup();
    let content = crate::config::load_lookups(path, &known, super::surroundings()).map_err(Failure::Config)?;
    Ok(Lookups::on_content(plan.lookups(), &content))
}

/// The look-ups of the pipeline's own servers, once these have answered.
fn connected(plan: &PipelinePlan, within: Duration) -> Result<Arc<Lookups>, Failure> {
    let deadline = Instant::now() + within;
    let plans: Vec<_> = plan.lookups().cloned().collect();
    let handles = Handles::new(&plan.name, 0, Arc::default());
    let lookups = Lookups::open(&plans, plan.retry, handles).map_err(halted)?;
    loop {
        match lookups.probe() {
            Ok(()) => break,
            Err(NotReady::Halt(halt)) => return Err(halted(halt)),
            Err(NotReady::Waiting(why)) if Instant::now() >= deadline => {
                let message = format!("did not answer within startup.timeout: {why}");
                return Err(Failure::Other { exit: Exit::Unavailable, message });
            }
            Err(NotReady::Waiting(_)) => std::thread::park_timeout(AGAIN),
        }
    }
    // Nothing joins that thread: it ends with the look-ups.
    drop(lookups.spawn_refresh().map_err(halted)?);
    Ok(lookups)
}
