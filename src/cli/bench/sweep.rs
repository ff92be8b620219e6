//! Throughput against latency: at full speed first, then in open loops at 10, 20 … 90 % of that.

use std::fmt::Write as _;
use std::io::Write;

use serde_json::{Value, json};

use super::account::BenchAccount;
use super::{BenchArgs, Rate, once};
use crate::cli::figures::millis;
use crate::cli::progress::grouped;
use crate::cli::{DataFormat, Failure, Global};
use crate::model::Exit;

const SHARES_PERCENT: [u32; 9] = [10, 20, 30, 40, 50, 60, 70, 80, 90];

/// Measures at every share and prints one table.
///
/// # Errors
/// As [`super::run`].
pub(super) fn run(global: &Global, args: &BenchArgs, out: &mut dyn Write) -> Result<Exit, Failure> {
    let full = once(global, args, Rate::Max, args.report.join("max"))?;
    let most = full.means().map_or(0.0, |means| means.resolved_per_second);
    let mut accounts = vec![(100, full)];
    for percent in SHARES_PERCENT {
        let rate = (most * f64::from(percent) / 100.0).max(1.0);
        // Without a maximum the rest would measure nothing.
        if most > 0.0 {
            let report = args.report.join(percent.to_string());
            accounts.push((percent, once(global, args, Rate::PerSecond(rate), report)?));
        }
    }
    match args.format {
        DataFormat::Text => write!(out, "{}", table(&accounts))?,
        DataFormat::Json => writeln!(out, "{}", as_json(&accounts))?,
    }
    let failed = accounts.iter().map(|(_, account)| account.exit()).find(|exit| *exit != Exit::Done);
    Ok(failed.unwrap_or(Exit::Done))
}

fn as_json(accounts: &[(u32, BenchAccount)]) -> Value {
    let of_one = |(percent, account): &(u32, BenchAccount)| {
        let mut object = account.measured_json();
        object["percent_of_maximum"] = json!(percent);
        object
    };
    json!({ "sweep": accounts.iter().map(of_one).collect::<Vec<_>>() })
}

fn table(accounts: &[(u32, BenchAccount)]) -> String {
    let mut text = format!(
        "{:>6} {:>12} {:>12} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10}\n",
        "load", "asked/s", "resolved/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "CPU-s/mln"
    );
    for (percent, account) in accounts {
        text.push_str(&row(*percent, account));
    }
    text.push_str(
        "load: share of the maximum, and at `max` as fast as it goes, where latency counts from the poll; else from the \
         moment each record was meant to be produced\n",
    );
    for (percent, account) in accounts {
        for fault in account.faults() {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "WRONG at {percent} %: {fault}");
        }
    }
    if accounts.iter().all(|(_, account)| account.exit() == Exit::Done) {
        text.push_str("every record is accounted for\n");
    }
    text
}

fn row(percent: u32, account: &BenchAccount) -> String {
    let load = account.load.rate.map_or_else(|| "max".to_owned(), |_| format!("{percent} %"));
    let asked = account.load.rate.map_or_else(String::new, |rate| grouped(rate as u64));
    let means = account.means();
    let resolved = means.map_or_else(String::new, |means| grouped(means.resolved_per_second as u64));
    let mut row = format!("{load:>6} {asked:>12} {resolved:>12}");
    for percentile in [50.0, 90.0, 99.0, 99.9, 100.0] {
        let value = account.latency().map_or_else(String::new, |latency| format!("{:.2}", millis(latency, percentile)));
        // Writing into a String cannot fail.
        let _ = write!(row, " {value:>9}");
    }
    let cpu = means.and_then(|means| means.cpu_seconds_per_million);
    let mark = if account.reached() { "" } else { "  (rate not reached)" };
    row + &format!(" {:>10}{mark}\n", cpu.map_or_else(String::new, |cpu| format!("{cpu:.2}")))
}
