//! Files, directories and flags → a checked configuration, or all that is wrong with it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::{self, Surroundings};
use super::decode;
use super::expand;
use super::lists;
use super::merge;
use super::plan::{Plan, SinkPlan};
use super::read::{self, FileFormat, MAX_BYTES};
use super::set;
use super::test_files;
use super::written::Configuration;
use super::written::sink::Sink;
use crate::leaf::finding::{Finding, Findings, Severity, why};
use crate::leaf::tree::{Index, Node, Origin};

/// Name of standard input in messages.
const STDIN: &str = "<stdin>";

/// Where a configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Files, directories, or `-` for YAML on standard input; in the order given.
    pub paths: Vec<PathBuf>,
    /// `path.to.key=value`, applied last.
    pub sets: Vec<String>,
}

/// A configuration that may run.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// As true.
    pub plan: Plan,
    /// As written, with defaults.
    pub(crate) written: Configuration,
    /// Where everything was written.
    pub(crate) index: Index,
    /// What is allowed but probably not meant.
    pub(crate) warnings: Vec<Finding>,
}

/// Reads, merges, expands, decodes and checks. Reads secret files; reaches no server.
///
/// # Errors
/// All findings of the stage that failed: reading, decoding or checking.
pub fn load(inputs: &Inputs, surroundings: Surroundings<'_>) -> Result<Loaded, Findings> {
    let mut findings = Vec::new();
    let mut root = Node::empty_map(Origin::Default);
    for path in &inputs.paths {
        match sources(path) {
            Ok(sources) => sources.into_iter().for_each(|source| add(&mut root, source, &mut findings)),
            Err(finding) => findings.push(finding),
        }
    }
    stop_at(findings)?;
    finish(root, &inputs.sets, surroundings)
}

/// Loads one YAML text; `file` is its name in messages.
///
/// # Errors
/// As [`load`].
pub fn load_text(text: &str, file: &str, surroundings: Surroundings<'_>) -> Result<Loaded, Findings> {
    load_text_and_sets(text, file, &[], surroundings)
}

/// The same with `path.to.key=value` applied last.
///
/// # Errors
/// As [`load`].
pub fn load_text_and_sets(
    text: &str,
    file: &str,
    sets: &[String],
    surroundings: Surroundings<'_>,
) -> Result<Loaded, Findings> {
    let root = read::read(text, FileFormat::Yaml, &Arc::from(file))?;
    finish(root, sets, surroundings)
}

fn finish(mut root: Node, sets: &[String], surroundings: Surroundings<'_>) -> Result<Loaded, Findings> {
    let mut findings: Vec<Finding> = sets.iter().filter_map(|flag| set::apply(&mut root, flag).err()).collect();
    root.name_paths("");
    findings.extend(expand::expand(&mut root, surroundings.environment));
    stop_at(findings)?;
    let mut lists = lists::split(&mut root);
    let mut written: Configuration = match decode::decode(&root) {
        Ok(written) if lists.is_empty() => written,
        decoded => {
            // Of a text that cannot be a list the more is known here; what is found elsewhere is told beside it.
            let known = |one: Finding| match lists.iter().position(|list| list.path == one.path) {
                Some(at) => lists.remove(at),
                None => one,
            };
            let mut findings: Vec<Finding> = decoded.err().unwrap_or_default().into_iter().map(known).collect();
            findings.extend(lists);
            return Err(Findings::sorted(findings));
        }
    };
    for (_, pipeline) in &mut written.pipelines.0 {
        pipeline.workers.get_or_insert_with(|| check::default_workers(surroundings.cores));
    }
    let index = Index::new(&root);
    let (plan, findings) = check::check(&written, &index, surroundings);
    match plan {
        Some(plan) => {
            fill_in(&mut written, &plan);
            Ok(Loaded { plan, written, index, warnings: findings })
        }
        None => Err(Findings::sorted(findings)),
    }
}

/// Defaults that depend on other values, so that `config show` shows them.
fn fill_in(written: &mut Configuration, plan: &Plan) {
    for ((_, written), plan) in written.pipelines.0.iter_mut().zip(&plan.pipelines) {
        if let (Sink::Elasticsearch(sink), SinkPlan::Elasticsearch(plan)) = (&mut written.sink, &plan.sink) {
            sink.on_tombstone = Some(plan.on_tombstone);
        }
    }
}

fn stop_at(findings: Vec<Finding>) -> Result<(), Findings> {
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        Err(Findings::sorted(findings))
    } else {
        Ok(())
    }
}

/// A text to read.
pub(super) struct ConfigText {
    pub(super) file: Arc<str>,
    pub(super) format: FileFormat,
    pub(super) text: String,
}

fn add(root: &mut Node, source: ConfigText, findings: &mut Vec<Finding>) {
    match read::read(&source.text, source.format, &source.file) {
        Ok(tree) => {
            if root.origin == Origin::Default {
                root.origin = tree.origin.clone();
            }
            merge::merge(root, tree, findings);
        }
        Err(finding) => findings.push(finding),
    }
}

pub(super) fn at(path: &Path) -> Origin {
    Origin::File { file: Arc::from(path.to_string_lossy()), line: 1, column: 1 }
}

/// The texts behind one `-c`.
fn sources(path: &Path) -> Result<Vec<ConfigText>, Finding> {
    if path == Path::new("-") {
        let text = read_bounded(&mut std::io::stdin().lock()).map_err(|reason| {
            Finding::error(Origin::Default, "", format!("standard input cannot be read: {reason}"))
                .remedy("pipe a YAML configuration into `-c -`")
        })?;
        return Ok(vec![ConfigText { file: Arc::from(STDIN), format: FileFormat::Yaml, text }]);
    }
    if !path.is_dir() {
        return file(path).map(|source| vec![source]);
    }
    let unreadable = |error: std::io::Error| {
        Finding::error(at(path), "", format!("the directory cannot be read: {}", why(&error)))
            .remedy("check its permissions")
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let hidden = file.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if format_of(&file).is_some() && !file.is_dir() && !hidden && !test_files::holds_tests(&file) {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(Finding::error(at(path), "", "the directory holds no configuration")
            .remedy("put `.yaml`, `.yml`, `.toml` or `.json` files into it"));
    }
    files.sort();
    files.iter().map(|path| file(path)).collect()
}

fn format_of(path: &Path) -> Option<FileFormat> {
    path.extension().and_then(|extension| FileFormat::of_extension(&extension.to_string_lossy()))
}

pub(super) fn file(path: &Path) -> Result<ConfigText, Finding> {
    let format = format_of(path).ok_or_else(|| {
        Finding::error(at(path), "", "the format cannot be told from the file's extension")
            .remedy("name it `.yaml`, `.yml`, `.toml` or `.json`")
    })?;
    let text = std::fs::File::open(path)
        .map_err(|error| why(&error))
        .and_then(|mut file| read_bounded(&mut file))
        .map_err(|reason| {
            Finding::error(at(path), "", format!("cannot be read: {reason}"))
                .remedy("name another file with `-c`; `sluicegate init` writes a commented one")
        })?;
    Ok(ConfigText { file: Arc::from(path.to_string_lossy()), format, text })
}

fn read_bounded(from: &mut dyn Read) -> Result<String, String> {
    let mut text = String::new();
    from.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| why(&error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("larger than {} MiB", MAX_BYTES >> 20));
    }
    Ok(text)
}
