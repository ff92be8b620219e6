//! The same work with more partitions, fewer or more records, and by two processes of one group.

use std::time::{Duration, Instant};

use sluicegate_testkit::services::KafkaClient;

use crate::history::Line;
use crate::machine::{Bench, SUBJECT_CORE, on_core};
use crate::paired::show;
use crate::run;
use crate::scenario::Scenario;
use crate::sink::{PARTITIONS, Sink};
use crate::source::Filled;
use crate::stub::{self, Stub};
use crate::subject::{self, Pipeline, Target};

/// Partitions that are compared.
const MANY: [u16; 4] = [1, 4, 16, 64];
const EVERY: Duration = Duration::from_millis(50);

/// The name of a run with so many partitions.
pub fn partitions(count: u16) -> String {
    format!("{count} partitions")
}

/// The name of a run with a tenth, or ten times, of the records.
pub const TENTH: &str = "a tenth";
/// See [`TENTH`].
pub const TENFOLD: &str = "tenfold";
/// The name of a run of two processes.
pub const TWO: &str = "two processes";

/// One kind of run.
struct Kind {
    name: String,
    partitions: u16,
    records: u64,
    processes: usize,
}

/// Runs all kinds in order and backwards, for so many rounds, fewer when the scenario's minutes are over.
///
/// # Errors
/// A server cannot be had, or a run failed.
pub fn measure(records: u64, rounds: u32, long: bool, bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let started = Instant::now();
    let near = KafkaClient::new(bench.servers.near()?);
    let stub = Stub::start(stub::Kind::Counting)?;
    let kinds = kinds(records, long);
    let (mut lines, mut filled) = (Vec::new(), Vec::new());
    for kind in &kinds {
        filled.push(bench.topics.get(&near, kind.partitions, kind.records)?);
    }
    let order = || kinds.iter().zip(&filled);
    for number in 0..rounds {
        if number > 0 && started.elapsed().as_secs_f64() > Scenario::Scale.minutes() * 60.0 {
            break;
        }
        for (kind, filled) in order().chain(order().rev()) {
            let line = one(kind, filled, &near, &stub, lines.len() as u32, bench)?;
            show(&line);
            lines.push(line);
        }
    }
    for filled in filled.iter().filter(|filled| (filled.partitions, filled.records) != (PARTITIONS, records)) {
        bench.topics.forget(&near, filled)?;
    }
    Ok(lines)
}

fn kinds(records: u64, long: bool) -> Vec<Kind> {
    let one = |count| Kind { name: partitions(count), partitions: count, records, processes: 1 };
    let mut kinds: Vec<Kind> = MANY.into_iter().map(one).collect();
    kinds.push(Kind { name: TENTH.to_owned(), partitions: PARTITIONS, records: records / 10, processes: 1 });
    if long {
        kinds.push(Kind { name: TENFOLD.to_owned(), partitions: PARTITIONS, records: records * 10, processes: 1 });
    }
    kinds.push(Kind { name: TWO.to_owned(), partitions: PARTITIONS, records, processes: 2 });
    kinds
}

fn one(
    kind: &Kind,
    filled: &Filled,
    near: &KafkaClient,
    stub: &Stub,
    place: u32,
    bench: &Bench,
) -> anyhow::Result<Line> {
    let group = format!("perf-scale-{:08x}", fastrand::u32(..));
    let target = Target::Index(stub.url(), "items");
    let pipeline = Pipeline { brokers: near.brokers(), topic: &filled.topic, group: &group, target };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("sluicegate.json");
    std::fs::write(&file, subject::configuration(&[pipeline]).to_string())?;
    let command = if kind.processes == 1 {
        subject::command(&file)?
    } else {
        // Both are children of one shell, which stands for them: its CPU is theirs.
        let engine = subject::command(&file)?;
        let words = engine.get_args().skip(5).map(|word| word.to_string_lossy().into_owned());
        let words: Vec<String> = words.map(|word| format!("'{word}'")).collect();
        let other = (SUBJECT_CORE + 1).to_string();
        let alone = "setpriv --pdeathsig KILL taskset -c";
        let both = format!(
            "{alone} {SUBJECT_CORE} {0} & first=$!; {alone} {other} {0} & second=$!; wait $first && wait $second",
            words.join(" ")
        );
        let mut shell = on_core(SUBJECT_CORE, "sh");
        shell.args(["-c", &both]);
        shell
    };
    let sink = Sink::stub(stub);
    let observed = run::watch(command, filled.records, EVERY, || sink.delivered())?;
    let verdict = sink.judge(filled.records)?;
    Line::new((Scenario::Scale, &kind.name, place), (filled.records, verdict), &observed, bench)
}
