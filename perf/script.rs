//! The replaced script as a subject: its virtual environment, made when missing, and its command lines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::install;
use crate::machine::{below_perf, pinned};
use crate::subject::{Pipeline, Target};

/// The newest Python its Kafka client runs on.
const PYTHON: &str = "python3.11";
const REQUIREMENTS: &str = "script/requirements.txt";

/// The interpreter of a virtual environment with the script's client versions, outside the checkout.
///
/// # Errors
/// No Python 3.11, or the packages cannot be had.
pub fn python() -> anyhow::Result<PathBuf> {
    let folder = install::folder("script")?;
    let (wanted, python) = (below_perf(REQUIREMENTS), folder.join("bin/python"));
    let (installed, text) = (folder.join("installed.txt"), fs::read_to_string(&wanted)?);
    if python.exists() && fs::read_to_string(&installed).is_ok_and(|installed| installed == text) {
        return Ok(python);
    }
    eprintln!("making the script's virtual environment in {}", folder.display());
    install::finish(Command::new(PYTHON).args(["-m", "venv"]).arg(&folder))
        .with_context(|| format!("{PYTHON} is needed for the script: kafka-python 2.0.2 runs on nothing newer"))?;
    install::finish(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(&wanted))?;
    fs::write(&installed, text)?;
    Ok(python)
}

/// The script on one pipeline's work, alone on the subjects' core, until `records` are done.
pub fn command(python: &Path, pipeline: &Pipeline<'_>, records: u64) -> Command {
    let mut command = pinned(python);
    command.arg(below_perf(match pipeline.target {
        Target::Topic(..) => "script/relay.py",
        Target::Index(..) => "script/index.py",
    }));
    command.args(["--brokers", pipeline.brokers, "--topic", pipeline.topic, "--group", pipeline.group]);
    command.args(["--records", &records.to_string()]);
    match pipeline.target {
        Target::Topic(brokers, topic) => command.args(["--to-brokers", brokers, "--to-topic", topic]),
        Target::Index(url, index) => command.args(["--nodes", url, "--index", index]),
    };
    command
}
