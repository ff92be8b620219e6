//! `sluicegate check`: everything about the configuration that can be known without a server.

use std::sync::Arc;

use serde_json::{Value, json};

use super::output::{colors, finding, print, print_json};
use super::{DataFormat, Failure, Global, connect};
use crate::config::plan::{PipelinePlan, StepPlan};
use crate::config::{Finding, Findings, Loaded, Severity};
use crate::model::Exit;
use crate::pipeline::compile;
use crate::preprocess::{CostClass, Program};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Form of what is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: DataFormat,
    /// Also reach every server and say what was found
    #[arg(long)]
    pub connect: bool,
    /// Show each pipeline's stages and what they cost
    #[arg(long)]
    pub explain: bool,
    /// Treat warnings as errors
    #[arg(long)]
    pub deny_warnings: bool,
}

/// Checks, prints all findings to stdout and says how the process ends.
///
/// # Errors
/// When the result cannot be printed, or servers cannot be probed.
pub fn run(global: &Global, args: &CheckArgs) -> Result<Exit, Failure> {
    let (loaded, mut findings) = match global.load_to_run() {
        Ok(loaded) => {
            let findings = loaded.warnings.clone();
            (Some(loaded), Findings::sorted(findings))
        }
        Err(Failure::Config(findings)) => (None, findings),
        Err(other @ (Failure::Usage(_) | Failure::Other { .. } | Failure::Closed)) => return Err(other),
    };
    let programs = loaded.as_ref().map(|loaded| compiled(loaded, &mut findings.0)).unwrap_or_default();
    let explained = (args.explain && loaded.is_some()).then_some(&programs[..]);
    let worst = if args.deny_warnings { Severity::Warning } else { Severity::Error };
    let valid = !findings.0.iter().any(|finding| finding.severity <= worst);
    let reached = match &loaded {
        Some(loaded) if args.connect => connect::probe_all(&loaded.plan),
        Some(_) | None => Vec::new(),
    };
    let warned = args.deny_warnings && reached.iter().any(|server| server.warning);
    let unreached = warned || reached.iter().any(|server| !server.ok && !server.misfit);
    let misfit = reached.iter().any(|server| server.misfit);
    match args.format {
        DataFormat::Text => {
            let servers: String = reached.iter().map(|server| format!("{server}\n")).collect();
            let checked = text(&findings, loaded.as_ref(), valid, explained, colors(global.color, &std::io::stdout()));
            print(&(servers + &checked))?;
        }
        DataFormat::Json => {
            let mut value = as_json(&findings, loaded.as_ref(), valid, explained);
            if args.connect {
                value["servers"] = json!(reached);
            }
            print_json(&value)?;
        }
    }
    Ok(match (valid, unreached, misfit) {
        (false, _, _) => Exit::Config,
        (true, true, _) => Exit::Unavailable,
        (true, false, true) => Exit::Protocol,
        (true, false, false) => Exit::Done,
    })
}

/// A pipeline and its program, compiled as `run` does.
type Compiled<'run> = (&'run PipelinePlan, Arc<Program>);

/// Compiles every pipeline; what cannot be compiled is a finding.
fn compiled<'run>(loaded: &'run Loaded, findings: &mut Vec<Finding>) -> Vec<Compiled<'run>> {
    let mut programs = Vec::new();
    for plan in &loaded.plan.pipelines {
        match compile(plan) {
            Ok(program) => programs.push((plan, program)),
            Err(error) => {
                let path = format!("pipelines.{}.{}", plan.name, error.place);
                findings.push(Finding::error(loaded.index.nearest(&path), &path, error.problem));
            }
        }
    }
    programs
}

/// The cost class of a step within its pipeline.
fn cost(program: &Program, step: &StepPlan) -> Option<String> {
    let (_, class) = program.costs().iter().find(|(place, _)| *place == step.place)?;
    let words = match class {
        CostClass::Untouched => "bytes untouched",
        CostClass::Slice => "a slice of the original bytes",
        CostClass::Splice => "the original bytes with something spliced in",
        CostClass::Rebuilt => "the document is rebuilt and parsed again",
    };
    Some(format!("class {}: {words}", class.letter()))
}

fn text(
    findings: &Findings,
    loaded: Option<&Loaded>,
    valid: bool,
    explained: Option<&[Compiled<'_>]>,
    color: bool,
) -> String {
    let mut out: String = findings.0.iter().map(|one| finding(one, color) + "\n\n").collect();
    if let Some(programs) = explained {
        programs.iter().for_each(|(pipeline, program)| out.push_str(&explain(pipeline, program)));
        out.push('\n');
    }
    let pipelines =
        loaded.map_or_else(String::new, |loaded| format!(": {}", counted(loaded.plan.pipelines.len(), "pipeline")));
    let verdict = if valid { "valid" } else { "invalid" };
    let errors = findings.errors();
    let warnings = findings.0.len() - errors;
    let mut parts = Vec::new();
    if errors > 0 {
        parts.push(counted(errors, "error"));
    }
    if warnings > 0 {
        parts.push(counted(warnings, "warning"));
    }
    let found = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    out + &format!("configuration is {verdict}{pipelines}{found}\n")
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// One pipeline's stages, a line each.
#[must_use]
pub fn explain(pipeline: &PipelinePlan, program: &Program) -> String {
    let mut out = format!("pipeline {}\n", pipeline.name);
    let mut line = |stage: &str, what: String| out.push_str(&format!("  {stage:<20} {what}\n"));
    let source = &pipeline.source;
    line(
        "source",
        format!(
            "kafka `{}`, topics {}, group `{}`{}",
            source.connection.name,
            source.topics.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            source.group,
            source.format.made().map(|made| format!("; {made}")).unwrap_or_default()
        ),
    );
    line("preprocess", format!("{}, {} MiB for records", counted(pipeline.workers, "worker"), pipeline.memory.0 >> 20));
    for step in &pipeline.steps {
        line(&step.place, cost(program, step).unwrap_or_default());
    }
    line("sink", pipeline.sink.summary());
    out.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn as_json(findings: &Findings, loaded: Option<&Loaded>, valid: bool, explained: Option<&[Compiled<'_>]>) -> Value {
    let mut value = json!({
        "valid": valid,
        "findings": findings.0.iter().map(Finding::to_json).collect::<Vec<_>>(),
        "pipelines": loaded.map(|loaded| loaded.plan.pipelines.iter().map(|pipeline| pipeline.name.to_string()).collect::<Vec<_>>()),
        "variables": loaded.map(|loaded| loaded.index.all_variables()),
        "hash": loaded.map(|loaded| loaded.plan.hash.clone()),
    });
    if let Some(programs) = explained {
        value["explain"] = programs
            .iter()
            .map(|(pipeline, program)| {
                let steps: Vec<Value> = pipeline
                    .steps
                    .iter()
                    .map(|step| json!({ "step": step.place.as_ref(), "cost": cost(program, step) }))
                    .collect();
                json!({ "pipeline": pipeline.name.as_ref(), "workers": pipeline.workers, "memory_bytes": pipeline.memory.0, "steps": steps })
            })
            .collect();
    }
    value
}
