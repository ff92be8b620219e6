//! `sluicegate test`: the tests of the configuration and of the files beside it, offline.

use std::collections::HashMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use super::output::{colors, print, print_json};
use super::{Failure, Global};
use crate::config::plan::{PipelinePlan, Plan, TestPlan};
use crate::config::{self, Loaded};
use crate::enrich::Lookups;
use crate::model::Exit;
use crate::pipeline::{OfflineEnd, OfflinePipeline};

pub mod compare;
mod json;
mod junit;
pub mod machine;
mod text;
mod update;

use compare::Difference;

/// Arguments of `test`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Tests stand under `tests:` in the configuration, and in files `*.test.yaml` beside it \
    (`orders.test.yaml` only where `orders.yaml` is tested, if there is one). Nothing is connected to: look-ups find \
    what a test says under `lookups`.\n\n\
    Exit codes: 0 all tests passed, 1 a test failed, 78 the configuration or a test is written wrong.\n\n\
    --update rewrites the value of `expect` of each test that fails, in the file it stands in; what is compared stays \
    the same keys, or all of them where nothing was expected. Comments inside of `expect` are lost; every other byte of \
    the file stays. Review the change before you commit it.")]
pub struct TestArgs {
    /// Pipelines whose tests are run [default: all]
    #[arg(value_name = "PIPELINE")]
    pub pipelines: Vec<String>,
    /// Form of what is printed: text, json (one object), or junit (XML, for Jenkins and GitLab)
    #[arg(long, value_enum, default_value_t = TestFormat::Text)]
    pub format: TestFormat,
    /// Print failed tests only
    #[arg(short, long)]
    pub quiet: bool,
    /// Write what came out as the expectation of each test that fails
    #[arg(long)]
    pub update: bool,
}

/// Form of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TestFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// XML that test servers read.
    Junit,
}

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestVerdict {
    /// As expected.
    Passed,
    /// Not as expected.
    Differs(Vec<Difference>),
    /// It expects nothing.
    Aimless,
    /// It could not be run; why.
    Broken(String),
    /// Its expectation was written anew.
    Updated,
}

/// One test that was run.
pub struct TestResult<'run> {
    /// The test.
    pub test: &'run TestPlan,
    /// What became of its record.
    pub ends: Vec<OfflineEnd>,
    /// How it ended.
    pub verdict: TestVerdict,
    /// How long it took.
    pub took: Duration,
}

impl TestResult<'_> {
    fn failed(&self) -> bool {
        match self.verdict {
            TestVerdict::Passed | TestVerdict::Updated => false,
            TestVerdict::Differs(_) | TestVerdict::Aimless | TestVerdict::Broken(_) => true,
        }
    }
}

/// Runs the tests and prints their results.
///
/// # Errors
/// When the configuration or a test is written wrong, a pipeline is unknown, or stdout cannot be written.
pub fn run(global: &Global, args: &TestArgs) -> Result<Exit, Failure> {
    let started = Instant::now();
    let loaded = global.load()?;
    let beside = config::load_tests(&global.inputs(), &loaded, super::surroundings()).map_err(Failure::Config)?;
    let all: Vec<&TestPlan> = loaded.plan.tests.iter().chain(&beside).collect();
    let tests = chosen(&all, &loaded.plan, &args.pipelines)?;
    let mut results = Vec::with_capacity(tests.len());
    let mut pipelines = HashMap::new();
    for test in &tests {
        results.push(result(test, &loaded, &mut pipelines));
    }
    let mut notes: Vec<String> = Vec::new();
    if args.update {
        notes = update::write(&mut results, &loaded, super::surroundings());
    }
    match args.format {
        TestFormat::Text => {
            let color = colors(global.color, &std::io::stdout());
            print(&text::report(&results, args.quiet, color, started.elapsed()))?;
        }
        TestFormat::Json => print_json(&machine::report(&results))?,
        TestFormat::Junit => print(&junit::report(&results))?,
    }
    if results.is_empty() {
        notes.push("no tests: write them under `tests:`, or into a file `*.test.yaml` beside the configuration".into());
    }
    for note in &notes {
        // Notes nobody reads change nothing.
        let _ = writeln!(std::io::stderr(), "{note}");
    }
    Ok(if results.iter().any(TestResult::failed) { Exit::Failure } else { Exit::Done })
}

/// The tests of the named pipelines; all when none is named.
fn chosen<'run>(all: &[&'run TestPlan], plan: &Plan, names: &[String]) -> Result<Vec<&'run TestPlan>, Failure> {
    for name in names {
        super::pipeline_named(plan, name)?;
    }
    let wanted = |test: &TestPlan| names.is_empty() || names.iter().any(|name| **name == *test.pipeline);
    Ok(all.iter().copied().filter(|test| wanted(test)).collect())
}

/// Pipelines that are compiled already, or why they cannot be.
type Compiled<'run> = HashMap<&'run str, (&'run PipelinePlan, Result<OfflinePipeline, String>)>;

fn result<'run>(test: &'run TestPlan, loaded: &'run Loaded, pipelines: &mut Compiled<'run>) -> TestResult<'run> {
    let started = Instant::now();
    let ended = ends(test, loaded, pipelines);
    let (ends, verdict) = match ended {
        Err(why) => (Vec::new(), TestVerdict::Broken(why)),
        Ok(ends) if test.expected.is_empty() => (ends, TestVerdict::Aimless),
        Ok(ends) => {
            let differences = compare::compare(&test.expected, &ends);
            let verdict = if differences.is_empty() { TestVerdict::Passed } else { TestVerdict::Differs(differences) };
            (ends, verdict)
        }
    };
    TestResult { test, ends, verdict, took: started.elapsed() }
}

fn ends<'run>(
    test: &'run TestPlan,
    loaded: &'run Loaded,
    pipelines: &mut Compiled<'run>,
) -> Result<Vec<OfflineEnd>, String> {
    if !pipelines.contains_key(&*test.pipeline) {
        let found = loaded.plan.pipelines.iter().find(|pipeline| pipeline.name == test.pipeline);
        let plan = found.ok_or_else(|| format!("no pipeline is named `{}`", test.pipeline))?;
        let compiled = OfflinePipeline::new(plan).map_err(|error| error.to_string());
        pipelines.insert(&*test.pipeline, (plan, compiled));
    }
    let (plan, compiled) = &pipelines[&*test.pipeline];
    let pipeline = compiled.as_ref().map_err(Clone::clone)?;
    let lookups = Lookups::on_content(plan.lookups(), &test.lookups);
    let ends = pipeline.with(lookups).ends(std::slice::from_ref(&test.input)).map_err(|halt| halt.message)?;
    Ok(ends.into_iter().flatten().collect())
}
