//! The gate: instructions of the pure stages under callgrind, compared with `benches/instructions.txt`.
//!
//! This program starts itself again under `valgrind --tool=callgrind`. That run works through every pure stage twice to
//! let buffers grow, and once between two functions before whose calls callgrind writes a file with what it has counted
//! and starts anew.
//!
//! The processor valgrind shows to a program is its own and the same on every host with AVX2, so the code that is
//! chosen at run time (simd-json, memchr, the C library's copies) is the same too. Which path ran is part of the
//! baseline, and counts of another path are not compared. Another compiler or C library moves counts a little: where
//! that passes the tolerance, renew the baseline in a commit of its own.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::baseline::{Counts, TOLERANCE_PERCENT, compare as against};
use crate::input::SIZES;
use crate::preprocess::{BARE, SELECT};
use crate::stage::Stage;

const BASELINE: &str = "benches/instructions.txt";

/// Compares with the baseline; fails when a stage has grown, is new or is gone.
pub fn compare() -> ExitCode {
    conclude(counted().and_then(|now| {
        let path = baseline_path();
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        judge(&Counts::parse(&text)?, &now)
    }))
}

/// Writes what is counted now as the new baseline.
pub fn renew() -> ExitCode {
    conclude(counted().and_then(|now| {
        let path = baseline_path();
        std::fs::write(&path, now.render()).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{} stages written to {}", now.stages.len(), path.display());
        ratios(&now);
        Ok(())
    }))
}

fn conclude(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("instructions: {message}");
            ExitCode::FAILURE
        }
    }
}

fn baseline_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(BASELINE)
}

fn judge(before: &Counts, now: &Counts) -> Result<(), String> {
    if before.path != now.path {
        return Err(format!(
            "the baseline was counted with simd-json's {} code, this machine runs {}: compare on a machine of that kind",
            before.path, now.path
        ));
    }
    let lines = against(before, now);
    println!("{:<34} {:>12} {:>12}", "instructions per record", "baseline", "now");
    let cell = |count: Option<f64>| count.map_or_else(|| "-".to_owned(), |count| format!("{count:.1}"));
    for line in &lines {
        println!("{:<34} {:>12} {:>12}  {}", line.stage, cell(line.before), cell(line.now), line.change.label());
    }
    ratios(now);
    let failed = lines.iter().filter(|line| line.change.fails()).count();
    if failed > 0 {
        return Err(format!(
            "{failed} stages grew by more than {TOLERANCE_PERCENT} %, are new or are gone. On purpose? Then renew the \
             baseline. It was compiled by {}, this is {}",
            before.compiler, now.compiler
        ));
    }
    Ok(())
}

/// Shows what `select` costs beside the bare parse. Its growth is what fails, at every size.
fn ratios(counts: &Counts) {
    let count = |group: &str, bytes: usize| counts.stages.get(&format!("{group}/{bytes}")).copied();
    for bytes in SIZES {
        if let (Some(select), Some(bare)) = (count(SELECT, bytes), count(BARE, bytes)) {
            println!("{SELECT} / {BARE} at {bytes} bytes: {:.3}", select / bare);
        }
    }
}

/// Runs this program under callgrind.
fn counted() -> Result<Counts, String> {
    let directory = tempfile::tempdir().map_err(|error| format!("no scratch directory: {error}"))?;
    let out = directory.path().join("out");
    let this = std::env::current_exe().map_err(|error| format!("where am I? {error}"))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-before=*counting_begins*", "--dump-before=*counting_ends*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(this)
        .arg("count")
        .output()
        .map_err(|error| format!("valgrind does not start ({error}); it is Debian's package valgrind"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the counted run ended with {}: {}", output.status, said.trim_end()));
    }
    let said = String::from_utf8(output.stdout).map_err(|error| format!("the counted run said {error}"))?;
    let mut lines = said.lines();
    let path = lines.next().unwrap_or_default().to_owned();
    let mut stages = BTreeMap::new();
    for (number, line) in lines.enumerate() {
        let (stage, records) = line.split_once(' ').ok_or_else(|| format!("the counted run said {line}"))?;
        let records: f64 = records.parse().map_err(|_| format!("the counted run said {line}"))?;
        // The first of each pair of files tells of what came before the round.
        let instructions = instructions(&directory.path().join(format!("out.{}", 2 * number + 2)))?;
        stages.insert(stage.to_owned(), instructions as f64 / records);
    }
    Ok(Counts { path, compiler: compiler(), stages })
}

/// The count in a file of callgrind.
fn instructions(file: &Path) -> Result<u64, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let ends = text.lines().any(|line| line.starts_with("desc: Trigger: ") && line.contains("counting_ends"));
    let count = text.lines().find_map(|line| line.strip_prefix("summary: ")?.trim().parse().ok());
    count.filter(|_| ends).ok_or_else(|| format!("{} is no count of a round", file.display()))
}

fn compiler() -> String {
    let said =
        Command::new("rustc").arg("--version").output().ok().and_then(|output| String::from_utf8(output.stdout).ok());
    said.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// The run under callgrind: says which path it takes, then each stage and its records in the order of the files.
pub fn count(stages: impl Iterator<Item = Stage>) -> ExitCode {
    println!("{:?}", simd_json::Deserializer::algorithm());
    for Stage { group, case, records, mut run, .. } in stages {
        black_box(run() + run());
        counting_begins();
        black_box(run());
        counting_ends();
        println!("{group}/{case} {records}");
    }
    ExitCode::SUCCESS
}

/// Named for callgrind.
#[inline(never)]
fn counting_begins() {
    black_box("begins");
}

/// Named for callgrind. Its body differs, or the two would become one function.
#[inline(never)]
fn counting_ends() {
    black_box("ends");
}
