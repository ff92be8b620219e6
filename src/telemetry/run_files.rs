//! What a run leaves in a directory: `run.json`, `latency.hlog`, `latency-<stage>.hgrm` and `report.html`. Read again
//! by the `report` command.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use strum::VariantArray;

use super::latency::{Stage, empty_histogram};
use super::percentiles::write_hgrm;
use super::reporter::{Collected, LogFile};

pub mod axis;
pub mod chart;
pub mod compare;
pub mod html;
pub mod model;
pub mod text;

pub use model::RunFile;

/// Reading or writing run files failed.
#[derive(Debug, thiserror::Error)]
pub enum RunFilesError {
    /// A file could not be written.
    #[error("failed to write {path}: {source}; check that the directory exists, may be written and has room")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("failed to read {path}: {source}; give a run.json or the directory of a run")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file is no run file of ours.
    #[error(
        "failed to understand {path} as a run file: {source}; was it written by `run --report`, `demo` or `bench`?"
    )]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with line and column.
        source: serde_json::Error,
    },
    /// The run file is of a format this version does not know.
    #[error("failed to understand {path}: format {found} is newer than {known}; use the version that wrote it")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known.
        known: u32,
    },
}

/// Makes the directory and opens `latency.hlog` in it, before the run starts.
///
/// # Errors
/// [`RunFilesError::Write`]; better known before the run than after it.
pub fn open_log(directory: &Path) -> Result<LogFile, RunFilesError> {
    fs::create_dir_all(directory).map_err(writing(directory))?;
    let path = directory.join("latency.hlog");
    let file = File::create(&path).map_err(writing(&path))?;
    Ok(Box::new(BufWriter::new(file)))
}

/// Writes everything but `latency.hlog`, which the reporter has written already; the paths written.
///
/// # Errors
/// [`RunFilesError::Write`] for the first file that failed.
pub fn write(directory: &Path, run: &RunFile, collected: &Collected) -> Result<Vec<PathBuf>, RunFilesError> {
    fs::create_dir_all(directory).map_err(writing(directory))?;
    let mut written = Vec::new();
    for (name, histogram) in histograms(collected) {
        let mut text = Vec::new();
        let path = directory.join(format!("latency-{name}.hgrm"));
        write_hgrm(&histogram, &mut text).map_err(writing(&path))?;
        replace(&path, &text)?;
        written.push(path);
    }
    let path = directory.join("report.html");
    replace(&path, html::page(run).as_bytes())?;
    written.push(path);
    let path = directory.join("run.json");
    let text = serde_json::to_vec_pretty(run).map_err(|error| writing(&path)(io::Error::other(error)))?;
    replace(&path, &text)?;
    written.push(path);
    Ok(written)
}

/// Reads a run: `path` is a `run.json` or a directory that holds one.
///
/// # Errors
/// [`RunFilesError`] naming the file and what is wrong with it.
pub fn read(path: &Path) -> Result<RunFile, RunFilesError> {
    let path = if path.is_dir() { path.join("run.json") } else { path.to_owned() };
    let text = fs::read(&path).map_err(|source| RunFilesError::Read { path: path.clone(), source })?;
    let run: RunFile =
        serde_json::from_slice(&text).map_err(|source| RunFilesError::Parse { path: path.clone(), source })?;
    if run.format > model::FORMAT {
        return Err(RunFilesError::Format { path, found: run.format, known: model::FORMAT });
    }
    Ok(run)
}

/// `(stage, histogram)` over all pipelines, and with several pipelines also `(pipeline.stage, histogram)` of each.
/// Stages in which nothing was timed are left out.
fn histograms(collected: &Collected) -> Vec<(String, Histogram<u64>)> {
    let mut found = Vec::new();
    for &stage in Stage::VARIANTS {
        let mut all = empty_histogram();
        for pipeline in &collected.pipelines {
            let total = &pipeline.totals[stage];
            if total.is_empty() {
                continue;
            }
            // All totals have the bounds of `empty_histogram`; adding cannot fail.
            if let Err(error) = all.add(total) {
                tracing::error!("failed to merge latency histograms: {error}");
            }
            if collected.pipelines.len() > 1 {
                found.push((format!("{}.{}", file_name(&pipeline.view.pipeline.name), stage.name()), total.clone()));
            }
        }
        if !all.is_empty() {
            found.push((stage.name().to_owned(), all));
        }
    }
    found
}

/// A pipeline's name as part of a file name.
fn file_name(pipeline: &str) -> String {
    let safe = |letter: char| if letter.is_alphanumeric() || letter == '-' { letter } else { '_' };
    pipeline.chars().map(safe).collect()
}

/// Writes beside and renames, so that nobody reads half a file.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), RunFilesError> {
    let beside = path.with_extension("part");
    let written = File::create(&beside).and_then(|mut file| file.write_all(bytes));
    written.and_then(|()| fs::rename(&beside, path)).map_err(writing(path))
}

fn writing(path: &Path) -> impl Fn(io::Error) -> RunFilesError + '_ {
    |source| RunFilesError::Write { path: path.to_owned(), source }
}

#[cfg(test)]
#[path = "run_files/tests.rs"]
pub(crate) mod tests;
