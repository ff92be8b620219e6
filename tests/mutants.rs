//! Runs the tests against each known bug of `src/mutants.rs` and prints how many were killed.
//!
//! `cargo run --features mutants --example mutants [-- NAME…]`. The tests are built in a copy of the checkout that has
//! the patches beside this file in it; it lies in the target directory, and is kept for the next run. First the named
//! tests must pass without a bug; then each bug is switched on and at least one of its tests must fail. A test that has
//! not ended after [`LIMIT`] counts as failed. Exit 0 only if every bug was killed.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sluicegate::internals::mutants::{Mutant, VARIABLE};

#[path = "mutants/killers.rs"]
mod killers;
#[path = "mutants/patches.rs"]
mod patches;
#[path = "mutants/scratch.rs"]
mod scratch;

use killers::{Binary, killers};

/// For the tests of one bug.
const LIMIT: Duration = Duration::from_secs(240);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Passed,
    Failed,
    TimedOut,
    NothingRan,
}

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |mutant: &&Mutant| names.is_empty() || names.iter().any(|name| name == mutant.name());
    let mutants: Vec<Mutant> = Mutant::ALL.iter().filter(wanted).copied().collect();
    if mutants.is_empty() {
        eprintln!("no such mutant; there are: {}", Mutant::ALL.iter().map(|m| m.name()).collect::<Vec<_>>().join(" "));
        return ExitCode::from(2);
    }
    let built = match build() {
        Ok(built) => built,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut sound = true;
    let mut tests: Vec<_> = mutants.iter().flat_map(|mutant| killers(*mutant)).copied().collect();
    tests.sort_unstable();
    tests.dedup();
    for (binary, filter) in tests {
        let end = run(&built, binary, filter, None);
        if end != End::Passed {
            println!("{filter}: {end:?} without any mutant");
            sound = false;
        }
    }
    if !sound {
        return ExitCode::FAILURE;
    }
    let mut killed = 0;
    for mutant in &mutants {
        let started = Instant::now();
        let mut by = None;
        for (binary, filter) in killers(*mutant) {
            let end = run(&built, *binary, filter, Some(*mutant));
            if matches!(end, End::Failed | End::TimedOut) {
                by = Some(format!("{filter}{}", if end == End::TimedOut { " (did not end)" } else { "" }));
                break;
            }
        }
        killed += usize::from(by.is_some());
        let verdict = by.map_or_else(|| "SURVIVED".to_owned(), |by| format!("killed by {by}"));
        println!("{:<32} {:>4} s  {verdict}", mutant.name(), started.elapsed().as_secs());
    }
    println!("{killed}/{} killed", mutants.len());
    if killed == mutants.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the tests are run with.
struct Built {
    /// The copy of the checkout, where they find their files.
    scratch: PathBuf,
    binaries: BTreeMap<Binary, String>,
}

/// Builds the test binaries with all bugs in them.
fn build() -> anyhow::Result<Built> {
    // This program is `<target directory>/<profile>/examples/mutants`.
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3).context("the program does not lie in a target directory")?;
    let scratch = target.join("mutants");
    scratch::update(Path::new(env!("CARGO_MANIFEST_DIR")), &scratch)?;
    // Not the feature that this program is built with: cargo would take the checkout's library, without patches, for
    // the copy's.
    let arguments =
        ["test", "--features", "mutants-patched", "--lib", "--test", "tests", "--no-run", "--message-format=json"];
    let mut command = Command::new("cargo");
    // What `cargo run` tells us of this package would make other packages' build scripts run again.
    for (name, _) in std::env::vars_os() {
        let tells = |name: &str| {
            name == "OUT_DIR" || ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.starts_with(start))
        };
        if name.to_str().is_some_and(tells) {
            command.env_remove(name);
        }
    }
    command.args(arguments).arg("--target-dir").arg(target).current_dir(&scratch);
    let output = command.stderr(Stdio::inherit()).output().context("failed to run cargo")?;
    ensure!(output.status.success(), "the tests do not build with all known bugs in them");
    let mut binaries = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let Some(path) = message["executable"].as_str() else { continue };
        match message["target"]["kind"][0].as_str() {
            Some("lib") => binaries.insert(Binary::Unit, path.to_owned()),
            Some("test") => binaries.insert(Binary::Integration, path.to_owned()),
            Some(_) | None => None,
        };
    }
    ensure!(binaries.len() == 2, "cargo does not say where the test binaries are");
    Ok(Built { scratch, binaries })
}

fn run(built: &Built, binary: Binary, filter: &str, mutant: Option<Mutant>) -> End {
    let mut command = Command::new(&built.binaries[&binary]);
    command.args([filter, "--test-threads", "2"]).current_dir(&built.scratch);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    // What a bug on purpose finds is no regression to keep.
    command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    match mutant {
        Some(mutant) => command.env(VARIABLE, mutant.name()),
        None => command.env_remove(VARIABLE),
    };
    let Ok(mut child) = command.spawn() else { return End::NothingRan };
    // Read beside the wait: a full pipe would hold the tests up.
    let mut pipe = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(pipe) = &mut pipe {
            // What is no UTF-8 ends the text; only the summary is looked for.
            let _ = pipe.read_to_string(&mut text);
        }
        text
    });
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::park_timeout(Duration::from_millis(20)),
            Ok(None) | Err(_) => {
                kill(&mut child);
                return End::TimedOut;
            }
        }
    };
    let text = reader.join().unwrap_or_default();
    if text.contains("running 0 tests") {
        End::NothingRan
    } else if status.success() {
        End::Passed
    } else {
        End::Failed
    }
}

/// Kills the tests and the engines they have started, which would go on without them.
fn kill(tests: &mut Child) {
    // Where there is no `kill`, the tests alone die.
    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", tests.id())]).status();
    let _ = tests.kill();
    let _ = tests.wait();
}
