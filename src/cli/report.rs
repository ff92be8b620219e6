//! `report FILE…`: run files → text, JSON, HTML or SVG; two runs are compared percentile by percentile.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::model::Exit;
use crate::telemetry::run_files::{self, RunFile, RunFilesError, compare, html, text};

/// What `report` is asked for.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// One run, or two to compare: a run.json, or a directory that holds one.
    #[arg(value_name = "FILE", required = true, num_args = 1..=2)]
    pub files: Vec<PathBuf>,
    /// Form of the output. SVG is the percentile curve of one pipeline.
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
    /// The pipeline to draw; needed for SVG when a run has several.
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// Tables for a terminal.
    Text,
    /// The run file's members, or the comparison's.
    Json,
    /// A self-contained page.
    Html,
    /// The percentile curves, a picture of its own.
    Svg,
}

/// `report` failed.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A run file could not be read.
    #[error(transparent)]
    Files(#[from] RunFilesError),
    /// The output could not be written.
    #[error("failed to write the report: {0}")]
    Output(#[from] io::Error),
    /// It is not clear what to draw.
    #[error("failed to choose a pipeline to draw: the run has {}; name one of them with --pipeline", names.join(", "))]
    Pipeline {
        /// Pipelines there are.
        names: Vec<String>,
    },
}

impl ReportError {
    /// The exit code of this failure.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Files(_) | Self::Output(_) => Exit::Failure,
            Self::Pipeline { .. } => Exit::Usage,
        }
    }
}

/// Reads the runs and writes the report to `out`.
///
/// # Errors
/// [`ReportError`]; a reader that closed `out` early is none.
pub fn run(args: &ReportArgs, out: &mut impl Write) -> Result<(), ReportError> {
    let runs = args.files.iter().map(|path| run_files::read(path)).collect::<Result<Vec<_>, _>>()?;
    let rendered = match runs.as_slice() {
        [first, second] => of_two(args, first, second)?,
        all => all.first().map_or_else(|| Ok(String::new()), |run| of_one(args, run))?,
    };
    match out.write_all(rendered.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn of_one(args: &ReportArgs, run: &RunFile) -> Result<String, ReportError> {
    Ok(match args.format {
        ReportFormat::Text => text::run(run),
        ReportFormat::Json => json(run)?,
        ReportFormat::Html => html::page(run),
        ReportFormat::Svg => {
            let name = chosen(args, run.pipelines.keys())?;
            let chart = run.pipelines.get(&name).map(|pipeline| html::percentile_chart(&name, pipeline));
            chart.map_or_else(String::new, |chart| chart.svg(true)) + "\n"
        }
    })
}

fn of_two(args: &ReportArgs, first: &RunFile, second: &RunFile) -> Result<String, ReportError> {
    let both = compare::compare(first, second);
    Ok(match args.format {
        ReportFormat::Text => text::comparison(&both),
        ReportFormat::Json => json(&both)?,
        ReportFormat::Html => html::comparison(&both, first, second),
        ReportFormat::Svg => {
            let name = chosen(args, both.pipelines.keys())?;
            html::comparison_chart(&name, first, second).svg(true) + "\n"
        }
    })
}

fn json(value: &impl serde::Serialize) -> Result<String, ReportError> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
    Ok(text + "\n")
}

/// The pipeline named, or the only one.
fn chosen<'a>(args: &ReportArgs, names: impl Iterator<Item = &'a String>) -> Result<String, ReportError> {
    let names: Vec<String> = names.cloned().collect();
    let found = match (&args.pipeline, names.as_slice()) {
        (Some(wanted), names) => names.iter().find(|name| *name == wanted).cloned(),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    };
    found.ok_or(ReportError::Pipeline { names })
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
