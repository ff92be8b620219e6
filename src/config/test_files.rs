//! What `test` and `try` read beside a configuration: files of tests, and files with what Redis holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::{Surroundings, test};
use super::decode;
use super::expand;
use super::load::{self, Inputs, Loaded};
use super::plan::{PipelinePlan, TestPlan};
use super::read::{self, FileFormat};
use super::written::{RedisContent, TestFile};
use crate::leaf::finding::{Finding, Findings, Severity, why};
use crate::leaf::tree::{Index, Node, Origin, TreeValue};
use crate::leaf::{CheckContext, nearest};

/// How the name of a file of tests ends, in front of the extension.
const TEST: &str = "test";

/// Whether a file holds tests and no configuration: `*.test.yaml` or `*.test.yml`.
pub(super) fn holds_tests(path: &Path) -> bool {
    let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    is_yaml && stem(path).is_some_and(|stem| stem.ends_with(&format!(".{TEST}")))
}

fn stem(path: &Path) -> Option<&str> {
    path.file_stem().and_then(|stem| stem.to_str())
}

/// The tests in the files beside the configuration's own: all `*.test.yaml` in their directories, except those that
/// are named after another configuration there (`orders.test.yaml` tests `orders.yaml`).
///
/// # Errors
/// Everything that is wrong with them.
pub fn load_tests(inputs: &Inputs, loaded: &Loaded, surroundings: Surroundings<'_>) -> Result<Vec<TestPlan>, Findings> {
    let (mut tests, mut findings) = (Vec::new(), Vec::new());
    for path in beside(&inputs.paths).map_err(Findings::from)? {
        match file(&path, loaded, surroundings) {
            Ok(more) => tests.extend(more),
            Err(found) => findings.extend(found),
        }
    }
    if findings.is_empty() { Ok(tests) } else { Err(Findings::sorted(findings)) }
}

fn beside(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Finding> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in paths.iter().filter(|path| path.as_os_str() != "-") {
        let directory = match path.is_dir() {
            true => path.clone(),
            false => path.parent().map(Path::to_path_buf).unwrap_or_default(),
        };
        let listed = if directory.as_os_str().is_empty() { Path::new(".") } else { &directory };
        let unreadable = |error: std::io::Error| {
            let origin = load::at(listed);
            Finding::error(origin, "", format!("the directory cannot be read: {}", why(&error)))
                .remedy("check its permissions: tests are looked for beside the configuration")
        };
        for entry in std::fs::read_dir(listed).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            let file = directory.join(&name);
            let hidden = name.to_string_lossy().starts_with('.');
            if !hidden && holds_tests(&file) && !found.contains(&file) && belongs(&file, path, paths) {
                found.push(file);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a file of tests is for this configuration: it is not when another one beside it has its name.
fn belongs(file: &Path, configuration: &Path, all: &[PathBuf]) -> bool {
    if configuration.is_dir() {
        return true;
    }
    let name = stem(file).and_then(|stem| stem.strip_suffix(&format!(".{TEST}"))).unwrap_or_default();
    let others = ["yaml", "yml", "toml", "json"].map(|extension| file.with_file_name(format!("{name}.{extension}")));
    !others.iter().any(|other| other.is_file() && !all.iter().any(|path| path.file_name() == other.file_name()))
}

/// The tests of one file. What is only warned of shows when they are run.
fn file(path: &Path, loaded: &Loaded, surroundings: Surroundings<'_>) -> Result<Vec<TestPlan>, Vec<Finding>> {
    let root = tree(path, surroundings)?;
    let written: TestFile = decode::decode(&root)?;
    if written.tests.is_empty() {
        let finding = Finding::error(load::at(path), "tests", "the list is empty");
        return Err(vec![finding.remedy("add a test, or remove the file")]);
    }
    checked(&root, &written, loaded)
}

/// The tests under `tests:` in a text, which may be that of a configuration.
///
/// # Errors
/// Everything that is wrong with them.
pub fn tests_in(
    text: &str,
    format: FileFormat,
    loaded: &Loaded,
    surroundings: Surroundings<'_>,
) -> Result<Vec<TestPlan>, Findings> {
    let mut root = read::read(text, format, &Arc::from(""))?;
    if let TreeValue::Map(entries) = &mut root.value {
        entries.retain(|entry| entry.key == "tests");
    }
    root.name_paths("");
    let findings = expand::expand(&mut root, surroundings.environment);
    if !findings.is_empty() {
        return Err(Findings::sorted(findings));
    }
    let read = decode::decode(&root).and_then(|written: TestFile| checked(&root, &written, loaded));
    read.map_err(Findings::sorted)
}

fn checked(root: &Node, written: &TestFile, loaded: &Loaded) -> Result<Vec<TestPlan>, Vec<Finding>> {
    let index = Index::new(root);
    let context = CheckContext::new(&index);
    let pipelines: Vec<&PipelinePlan> = loaded.plan.pipelines.iter().collect();
    let names: Vec<&str> = pipelines.iter().map(|pipeline| &*pipeline.name).collect();
    let tests = test::check(&written.tests, &names, &pipelines, &context);
    let findings = context.into_findings();
    if findings.iter().any(|finding| finding.severity == Severity::Error) { Err(findings) } else { Ok(tests) }
}

/// Reads what Redis holds: by connection the hashes by name, and of each its fields. Other connections than the `known`
/// ones are refused.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn load_lookups(path: &Path, known: &[&str], surroundings: Surroundings<'_>) -> Result<RedisContent, Findings> {
    let root = tree(path, surroundings).map_err(Findings::sorted)?;
    let content = decode::decode(&root).map_err(Findings::sorted)?;
    let TreeValue::Map(entries) = &root.value else { return Ok(content) };
    let unknown = entries.iter().filter(|entry| !known.contains(&entry.key.as_str()));
    let findings: Vec<Finding> = unknown
        .map(|entry| {
            let reason = format!("the pipeline looks nothing up in a connection `{}`", entry.key);
            let remedy = nearest::remedy(&entry.key, known, "connections it looks up in");
            Finding::error(entry.key_origin.clone(), entry.node.path.clone(), reason).remedy(remedy)
        })
        .collect();
    if findings.is_empty() { Ok(content) } else { Err(Findings(findings)) }
}

/// One file as a tree, its variables filled in.
fn tree(path: &Path, surroundings: Surroundings<'_>) -> Result<Node, Vec<Finding>> {
    let source = load::file(path).map_err(|finding| vec![finding])?;
    let mut root = read::read(&source.text, source.format, &source.file).map_err(|finding| vec![finding])?;
    root.name_paths("");
    let findings = expand::expand(&mut root, surroundings.environment);
    if findings.is_empty() { Ok(root) } else { Err(findings) }
}

/// Reads a text again in which tests were changed: whether it is still the same but for what is expected.
///
/// # Errors
/// Why it is not.
pub fn same_but_for_expectations(before: &str, after: &str, format: FileFormat) -> Result<(), String> {
    let file: Arc<str> = Arc::from("");
    let read = |text: &str| read::read(text, format, &file).map_err(|finding| finding.reason);
    let (mut old, mut new) = (read(before)?, read(after)?);
    for root in [&mut old, &mut new] {
        root.name_paths("");
        forget(root);
    }
    if old == new { Ok(()) } else { Err("something else than `expect` would change".to_owned()) }
}

/// Forgets where everything stands, and what is expected.
fn forget(node: &mut Node) {
    node.origin = Origin::Default;
    let is_test = node.path.starts_with("tests[") && node.path.ends_with(']') && !node.path.contains('.');
    match &mut node.value {
        TreeValue::Scalar(_) => {}
        TreeValue::List(items) => items.iter_mut().for_each(forget),
        TreeValue::Map(entries) => {
            for entry in entries {
                entry.key_origin = Origin::Default;
                if is_test && entry.key == "expect" {
                    entry.node.value = TreeValue::List(Vec::new());
                }
                forget(&mut entry.node);
            }
        }
    }
}
