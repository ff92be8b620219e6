//! The scenarios of sluicegate's performance, on real servers, beside raw loops, the script it replaces, and its peers.
//!
//! `cargo perf SCENARIO…|all [--records N] [--rounds N]`. `all` takes at most an hour, and longer once where the peers
//! must be built: a scenario whose minutes are over begins no further round. Servers are started, or taken from the
//! variables the tests use (`SLUICEGATE_TEST_KAFKA_IN`, `_KAFKA_OUT`, `_ELASTICSEARCH`, `_REDIS`). Servers, bulk
//! endpoint and this program run on every core but the first; what is measured has the first one to itself. Rates, CPU
//! and memory are seen from outside: at the sink and in `/proc`. Each run adds a line to `perf/history.ndjson`, and
//! `perf/REPORT.md` is made from that file, so a scenario can be run alone.

mod allocations;
mod check;
mod curve;
mod curve_tables;
mod curves;
mod expected;
mod goals;
mod history;
mod install;
mod latency;
mod lookups;
mod machine;
mod memory;
mod open_loop;
mod outage;
mod paired;
mod peers;
mod picture;
mod process;
mod raw;
mod report;
mod run;
mod scale;
mod scenario;
mod script;
mod servers;
mod sink;
mod source;
mod statistics;
mod stub;
mod subject;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Parser;

use scenario::Scenario;

/// As in the binary: it serves librdkafka as well.
#[global_allocator]
static ALLOCATOR: jemallocator::Jemalloc = jemallocator::Jemalloc;

/// Measures sluicegate beside the script it replaces.
#[derive(Debug, clap::Parser)]
#[command(name = "perf")]
struct Args {
    /// Scenarios to run, or `all`, or `peers` for both with peers; or `report`, which runs nothing and writes the
    /// report of the runs there are
    #[arg(required = true)]
    scenarios: Vec<String>,
    /// Records for the engine; the script gets 1/200 of them [default: by scenario]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1_000..))]
    records: Option<u64>,
    /// Rounds; each is all subjects in order, then backwards
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds the sink is away in `outage`; the goal's own length is 600
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    outage: u64,
    /// Install Debian packages that peers need and that are missing, as root
    #[arg(long)]
    install: bool,
    /// Also ten times the records in `scale`
    #[arg(long)]
    long: bool,
}

/// The word for the report alone.
const REPORT: &str = "report";
/// The word for both scenarios with peers.
const PEERS: &str = "peers";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let ended = match words.first().map(String::as_str) {
        // This program starts itself for the parts that must be processes of their own.
        Some(subject::AS_ENGINE) => {
            let ended = subject::engine(&words[1..]);
            allocations::tell();
            return ended;
        }
        Some(open_loop::AS_BENCH) => return open_loop::bench(&words[1..]),
        Some(stub::AS_STUB) => stub::serve(&words[1..]),
        Some(raw::AS_RAW) => {
            let ended = raw::run(&words[1..]);
            allocations::tell();
            ended
        }
        Some(_) | None => measure(&Args::parse()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("perf: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> anyhow::Result<()> {
    if args.scenarios == [REPORT] {
        return report::write(&history::read()?);
    }
    let scenarios = chosen(&args.scenarios)?;
    let bench = machine::Bench::take(peers::Peers::obtain(&scenarios, args.install))?;
    let (mut wrong, mut failed) = (Vec::new(), Vec::new());
    for scenario in scenarios {
        eprintln!("\n== {}: {}", scenario.name(), scenario.question());
        let records = args.records.unwrap_or(scenario.records());
        let lines = match run_one(scenario, records, args, &bench) {
            Ok(lines) => lines,
            // The others may still be measured.
            Err(error) => {
                eprintln!("perf: scenario {}: {error:#}", scenario.name());
                failed.push(scenario.name());
                continue;
            }
        };
        let ours = lines.iter().filter(|line| !line.is_correct() && !peers::is_name(&line.subject));
        wrong.extend(ours.map(|line| line.subject.clone() + " in " + &line.scenario));
        if cfg!(debug_assertions) {
            eprintln!("a debug build: nothing is written down");
        } else {
            history::append(&lines)?;
            report::write(&history::read()?)?;
        }
        println!("{}", report::section(scenario, &lines));
    }
    if !failed.is_empty() {
        bail!("not measured, as told above: {}", failed.join(", "));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("records are missing, repeated or changed in the output of {}", wrong.join(", "))
}

fn run_one(
    scenario: Scenario,
    records: u64,
    args: &Args,
    bench: &machine::Bench,
) -> anyhow::Result<Vec<history::Line>> {
    match scenario {
        Scenario::Consume
        | Scenario::Relay
        | Scenario::IndexStub
        | Scenario::IndexEs
        | Scenario::Lookups
        | Scenario::PeersKafka
        | Scenario::PeersBulk => paired::measure(scenario, records, args.rounds, bench),
        Scenario::Outage => outage::measure(records, Duration::from_secs(args.outage), bench),
        Scenario::Scale => scale::measure(records, args.rounds, args.long, bench),
        Scenario::Latency => latency::at_half(args.rounds, bench),
        Scenario::Concurrency => latency::concurrency(args.rounds, bench),
        Scenario::Memory => memory::measure(records, bench),
        Scenario::Curves => curves::measure(records, args.rounds, bench),
    }
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<Scenario>> {
    if names.iter().any(|name| name == "all") {
        return Ok(Scenario::ALL.to_vec());
    }
    let known = || Scenario::ALL.map(Scenario::name).join(", ");
    let mut scenarios = Vec::new();
    for name in names {
        let is_meant = |one: &Scenario| one.name() == name || (name == PEERS && one.has_peers());
        let meant = Scenario::ALL.into_iter().filter(is_meant);
        let before = scenarios.len();
        scenarios.extend(meant);
        if scenarios.len() == before {
            bail!("no scenario {name}; there are: {}, {PEERS}, all", known());
        }
    }
    Ok(scenarios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_scenarios() {
        let named = |words: &[&str]| chosen(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(named(&["relay", "memory"]).expect("known"), [Scenario::Relay, Scenario::Memory]);
        assert_eq!(named(&["peers"]).expect("known"), [Scenario::PeersKafka, Scenario::PeersBulk]);
        assert_eq!(named(&["relay", "all"]).expect("known"), Scenario::ALL);
        let text = named(&["relay", "peer"]).expect_err("unknown").to_string();
        assert!(text.contains("no scenario peer;") && text.contains("peers-bulk"), "{text}");
    }
}
