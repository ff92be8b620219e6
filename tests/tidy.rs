//! House rules, checked in the source text: who may import whom, where foreign crates and `unsafe` live, how long a
//! file is, and that every metric and every configuration key is documented.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use sluicegate::internals::mutants::Mutant;
use sluicegate::internals::telemetry::board::{Board, BuildInfo};
use sluicegate::internals::telemetry::families::families;

#[path = "mutants/killers.rs"]
mod killers;
#[path = "mutants/patches.rs"]
mod patches;

/// Components and what each may import. `model` imports nothing of ours; what stands further down may use what is
/// above. A part of a component that imports more than the rest is a component of its own here.
const COMPONENTS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("librdkafka", &["model"]),
    ("telemetry", &["model"]),
    ("leaf", &["model"]),
    // Steps with their written forms and checks, hence below `config`.
    ("preprocess", &["model", "leaf"]),
    ("config", &["model", "leaf", "preprocess"]),
    ("source", &["model", "librdkafka", "telemetry", "config"]),
    ("enrich", &["model", "telemetry", "config"]),
    // The thread that runs the steps, hence above `enrich`.
    ("preprocess/worker", &["model", "librdkafka", "telemetry", "preprocess", "enrich"]),
    ("sink", &["model", "librdkafka", "telemetry", "config"]),
    ("testbed", &["model", "librdkafka", "telemetry", "config", "source", "enrich", "preprocess", "sink"]),
    // Tests only.
    ("simulation", &[]),
    (
        "pipeline",
        &["model", "librdkafka", "telemetry", "config", "source", "enrich", "preprocess", "preprocess/worker", "sink"],
    ),
    (
        "cli",
        &[
            "model",
            "librdkafka",
            "telemetry",
            "config",
            "source",
            "enrich",
            "preprocess",
            "sink",
            "testbed",
            "pipeline",
        ],
    ),
];

/// Foreign crates and the places that may name them.
const FENCES: &[(&str, &[&str])] = &[
    ("rdkafka", &["src/librdkafka", "src/source", "src/sink/kafka", "src/sink/dead_letter", "src/testbed"]),
    ("elasticsearch", &["src/sink/elasticsearch/client.rs", "src/sink/elasticsearch/node_client.rs"]),
    ("reqwest", &["src/sink/elasticsearch/redirect.rs"]),
    ("redis", &["src/enrich", "src/testbed"]),
    ("axum", &["src/telemetry/http.rs"]),
    ("hyper", &["src/telemetry/http.rs"]),
    ("prometheus_client", &["src/telemetry"]),
    ("simd_json", &["src/preprocess", "src/sink/elasticsearch", "src/testbed"]),
    ("serde_saphyr", &["src/config"]),
    ("jaq_core", &["src/preprocess/jq"]),
    ("jaq_std", &["src/preprocess/jq"]),
    ("jaq_json", &["src/preprocess/jq"]),
];

/// The most production lines of a file.
const LONGEST: usize = 400;
/// Files that may be longer, with the most they may have and why.
const LONGER: &[(&str, usize, &str)] = &[];

/// A source file: its path from the package's root, all of its text, and the part that is not tests.
struct Source {
    path: String,
    text: String,
    production: String,
}

/// Every Rust file below `directory`, in order.
fn sources(directory: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(Path::new(directory), &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file is readable");
            let path = path.to_str().expect("UTF-8").replace('\\', "/");
            let production = if is_test_file(&path) { String::new() } else { without_tests(&text) };
            Source { path, text, production }
        })
        .collect()
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            // The fuzz targets are a workspace of their own, with build output and a corpus.
            if !["target", "corpus", "artifacts"].iter().any(|name| path.ends_with(name)) {
                collect(&path, paths);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Files that their parents declare under `#[cfg(test)]`.
fn is_test_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == "tests.rs"
        || name.ends_with("_tests.rs")
        || path.contains("/tests/")
        || path.starts_with("src/simulation/")
        || ["fixtures.rs", "rig.rs", "test_plans.rs"].contains(&name)
}

/// The text up to the module of tests, which is the last thing in a file.
fn without_tests(text: &str) -> String {
    let end = ["#[cfg(test)]\nmod tests", "#[cfg(test)]\npub(crate) mod tests", "#[cfg(test)]\n#[path"]
        .iter()
        .filter_map(|start| text.find(start))
        .min()
        .unwrap_or(text.len());
    text[..end].to_owned()
}

/// The text without comments; strings stay.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// The words that follow `start` in `text`, each as `(place, word)`.
fn words_after<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(start)
        .map(|(at, _)| &text[at + start.len()..])
        .map(|rest| &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())])
        .filter(|word| !word.is_empty())
        .collect()
}

/// Whether the text uses the crate `name`: `name::…` where nothing stands before it that makes it another path.
fn uses_crate(text: &str, name: &str) -> bool {
    let path = format!("{name}::");
    text.match_indices(&path).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == ':'))
    }) && !imports_own_module(text, name)
}

/// Whether `name` is a module of ours here (`use crate::sink::{elasticsearch, …}`, `mod redis`).
fn imports_own_module(text: &str, name: &str) -> bool {
    let imported = |line: &str| {
        let ours = ["use crate::", "use super::", "use self::", "pub use "].iter().any(|start| line.starts_with(start));
        ours && line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == name)
    };
    text.lines().map(str::trim).any(|line| imported(line) || line.ends_with(&format!("mod {name};")))
}

/// The component of a source file: the folder, or the part of it that is a component of its own.
fn component_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/")?;
    let (folder, _) = rest.split_once('/')?;
    Some(part_of(rest).unwrap_or(folder))
}

/// The part that is a component of its own and holds `path`, such as `preprocess/worker/batch`.
fn part_of(path: &str) -> Option<&'static str> {
    let parts = COMPONENTS.iter().map(|(component, _)| *component).filter(|component| component.contains('/'));
    parts.into_iter().find(|part| path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// The components that a file of `component` imports: by `crate::…`, and parts of its own component by their names.
fn imports<'a>(component: &str, production: &'a str) -> Vec<&'a str> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut found = words_after(production, "crate::");
    for (at, start) in production.match_indices("crate::") {
        let rest = &production[at + start.len()..];
        let path = rest[..rest.find(|c| !is_path(c)).unwrap_or(rest.len())].replace("::", "/");
        found.extend(part_of(&path));
    }
    for (part, _) in COMPONENTS {
        let Some((folder, name)) = part.split_once('/') else { continue };
        let named = production.contains(&format!("{name}::"));
        if folder == component && named {
            found.push(part);
        }
    }
    found
}

fn none(faults: &[String], rule: &str) {
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

#[test]
fn imports_go_one_way() {
    let mut faults = Vec::new();
    for source in sources("src") {
        let Some(component) = component_of(&source.path) else { continue };
        let Some((_, allowed)) = COMPONENTS.iter().find(|(name, _)| *name == component) else {
            faults.push(format!("{}: the component {component} is not in this test's list", source.path));
            continue;
        };
        let production = code(&source.production);
        for other in imports(component, &production) {
            let is_component = COMPONENTS.iter().any(|(name, _)| *name == other);
            if is_component && other != component && !allowed.contains(&other) {
                faults.push(format!("{}: {component} must not import {other}", source.path));
            }
        }
    }
    none(
        &faults,
        "imports go model ← leaf ← preprocess ← config ← source, enrich, sink ← preprocess/worker ← pipeline ← cli",
    );
}

#[test]
fn foreign_crates_stay_in_their_rooms() {
    let mut faults = Vec::new();
    for source in sources("src") {
        let production = code(&source.production);
        for (name, places) in FENCES {
            let allowed = places.iter().any(|place| source.path.starts_with(place));
            if !allowed && uses_crate(&production, name) {
                faults.push(format!("{}: {name} is only used in {}", source.path, places.join(", ")));
            }
        }
    }
    none(&faults, "a foreign crate is used in one component, so that it can be changed there");
}

#[test]
fn unsafe_code_is_in_one_room() {
    let mut faults = Vec::new();
    for source in sources("src").iter().chain(&sources("tests")).chain(&sources("benches")) {
        let text = code(&source.text);
        // The lint's own name and words in strings are no code.
        let used = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|form| text.contains(form));
        let itself = source.path == "tests/tidy.rs";
        // A counting allocator can only be written so.
        let counts = text.contains("unsafe impl GlobalAlloc") && is_test_file(&source.path);
        if used && !itself && !counts && !source.path.starts_with("src/librdkafka/") {
            faults.push(source.path.clone());
        }
    }
    none(&faults, "`unsafe` stands only in src/librdkafka");
}

#[test]
fn every_module_says_what_it_is_for() {
    let mut faults = Vec::new();
    for source in sources("src").iter().chain(&sources("tests")).chain(&sources("benches")) {
        if !source.text.starts_with("//! ") {
            faults.push(source.path.clone());
        }
    }
    none(&faults, "a module starts with a line `//! …`");
}

#[test]
fn files_are_short() {
    let mut faults = Vec::new();
    let all = sources("src");
    for source in &all {
        let lines = source.production.lines().count();
        let longer = LONGER.iter().find(|(path, ..)| *path == source.path);
        let most = longer.map_or(LONGEST, |(_, most, _)| *most);
        if lines > most {
            faults.push(format!("{}: {lines} lines, at most {most}", source.path));
        }
        if longer.is_some() && lines <= LONGEST {
            faults.push(format!("{}: {lines} lines; it needs no exception any more", source.path));
        }
    }
    for (path, _, reason) in LONGER {
        if !all.iter().any(|source| source.path == *path) || reason.is_empty() {
            faults.push(format!("{path}: an exception without a file or a reason"));
        }
    }
    none(&faults, "a file has at most 400 lines that are not tests");
}

/// The most lines of a function, the table of a seed's draws and the tests' own endpoint aside.
const LONGEST_FUNCTION: usize = 58;

/// The functions of `production` with their lines from signature to brace; the formatter has put both at one indent.
fn function_lengths(production: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = production.lines().collect();
    let mut lengths = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let (_, rest) = line.split_at(line.len() - line.trim_start().len());
        let indent = &line[..line.len() - rest.len()];
        let words: Vec<&str> = rest.split(' ').take_while(|word| *word != "=").take(5).collect();
        let Some(name) = words.iter().position(|word| *word == "fn").and_then(|at| words.get(at + 1)) else { continue };
        let name = name.split(['(', '<']).next().unwrap_or(name);
        // A trait's function without a body ends before anything of its indent begins.
        let end = lines[at..].iter().position(|line| {
            let is_brace = line.strip_prefix(indent) == Some("}");
            is_brace || (line.starts_with(indent) && !line[indent.len()..].starts_with(' ') && line.ends_with(';'))
        });
        lengths.push((name, end.map_or(1, |end| end + 1)));
    }
    lengths
}

#[test]
fn functions_are_short() {
    let excepted = ["src/simulation/", "src/testbed/"];
    let mut faults = Vec::new();
    for source in sources("src").iter().filter(|source| !excepted.iter().any(|path| source.path.starts_with(path))) {
        let long = function_lengths(&source.production).into_iter().filter(|(_, lines)| *lines > LONGEST_FUNCTION);
        faults.extend(long.map(|(name, lines)| format!("{}: {name} has {lines} lines", source.path)));
    }
    none(&faults, "a function has at most 58 lines");
}

/// The formatter breaks code at this width and leaves comments alone. A table's row is one line, however wide.
const WIDEST: usize = 120;

#[test]
fn comments_are_no_wider_than_code() {
    let mut faults = Vec::new();
    for source in ["src", "tests", "perf", "benches"].iter().flat_map(|folder| sources(folder)) {
        for (number, line) in (1..).zip(source.text.lines()) {
            let Some(comment) = line.trim_start().strip_prefix("//") else { continue };
            let is_row = comment.trim_start_matches(['/', '!', ' ']).starts_with('|');
            let width = line.chars().count();
            if width > WIDEST && !is_row {
                faults.push(format!("{}:{number}: {width} characters", source.path));
            }
        }
    }
    none(&faults, "a comment is at most 120 characters wide");
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let mut faults = Vec::new();
    let texts = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "docs/guarantees.md",
        "docs/failures.md",
        "docs/measuring.md",
        "docs/metrics.md",
        "docs/testing.md",
        "tests/fuzz/README.md",
        "Cargo.toml",
        ".ci/run",
    ]
    .map(|path| (path.to_owned(), fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))));
    let sources = sources("src").into_iter().chain(sources("tests")).chain(sources("benches"));
    for (path, text) in sources.map(|source| (source.path, source.text)).chain(texts) {
        for home in ["/root", "/work", "/home/", "/Users/"] {
            let found = text.match_indices(home).any(|(at, _)| {
                let before = text[..at].chars().next_back();
                let after = text[at + home.len()..].chars().next();
                let starts = before.is_none_or(|c| !(c.is_alphanumeric() || "_./*}".contains(c)));
                starts && (home.ends_with('/') || after == Some('/'))
            });
            if found && path != "tests/tidy.rs" {
                faults.push(format!("{path}: names {home}"));
            }
        }
    }
    none(&faults, "no file holds a path of one machine");
}

/// Names of all metrics as they are scraped.
fn metric_names() -> BTreeSet<String> {
    let build = BuildInfo { version: String::new(), commit: String::new(), librdkafka: String::new() };
    let board = Board::new(build, String::new(), Vec::new());
    let name = |name: &str, kind: &str| {
        let total = if kind == "counter" { "_total" } else { "" };
        format!("sluicegate_{name}{total}")
    };
    families(&board, None, 0).iter().map(|family| name(family.name, family.kind.as_str())).collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let names = metric_names();
    assert!(names.len() > 30, "{names:?}");
    let page = fs::read_to_string("docs/metrics.md").expect("docs/metrics.md");
    let documented: BTreeSet<String> =
        words_after(&page, "`sluicegate_").into_iter().map(|word| format!("sluicegate_{word}")).collect();
    let missing: Vec<_> = names.difference(&documented).cloned().collect();
    let invented: Vec<_> = documented.difference(&names).cloned().collect();
    none(&missing, "metrics docs/metrics.md does not name");
    none(&invented, "metrics docs/metrics.md names and nobody exposes");
}

/// All names under `properties` of a JSON Schema.
fn keys_of(schema: &serde_json::Value, keys: &mut BTreeSet<String>) {
    if let Some(properties) = schema.get("properties").and_then(serde_json::Value::as_object) {
        keys.extend(properties.keys().cloned());
    }
    match schema {
        serde_json::Value::Object(members) => members.values().for_each(|member| keys_of(member, keys)),
        serde_json::Value::Array(elements) => elements.iter().for_each(|element| keys_of(element, keys)),
        _ => {}
    }
}

#[test]
fn every_configuration_key_is_in_the_commented_file() {
    let mut keys = BTreeSet::new();
    keys_of(&sluicegate::internals::config::schema::schema(), &mut keys);
    assert!(keys.len() > 60 && keys.contains("brokers") && keys.contains("retry_on_conflict"), "{keys:?}");
    let file = fs::read_to_string("config/sluicegate.yaml").expect("config/sluicegate.yaml");
    let words: BTreeSet<&str> = file.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let missing: Vec<_> = keys.iter().filter(|key| !words.contains(key.as_str())).cloned().collect();
    none(&missing, "keys that config/sluicegate.yaml does not explain");
}

/// `file::test` in backquotes.
fn cited_tests(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    text.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.split_once("::")).filter(move |(file, test)| {
        is_word(file) && is_word(test) && file.starts_with(|c: char| c.is_ascii_lowercase())
    })
}

#[test]
fn every_test_the_guarantees_name_exists() {
    let mut tests = BTreeSet::new();
    for source in sources("src").iter().chain(&sources("tests")) {
        let stem = Path::new(&source.path).file_stem().and_then(|stem| stem.to_str()).expect("UTF-8").to_owned();
        // What follows an attribute of a test; property tests have their attributes inside a macro, like others.
        for part in source.text.split("#[test]").chain(source.text.split("#[tokio::test")).skip(1) {
            if let Some(name) = words_after(part, "fn ").first() {
                tests.insert((stem.clone(), (*name).to_owned()));
            }
        }
    }
    let text = fs::read_to_string("docs/guarantees.md").expect("docs/guarantees.md");
    let cited: BTreeSet<(String, String)> =
        cited_tests(&text).map(|(file, test)| (file.to_owned(), test.to_owned())).collect();
    assert!(cited.len() > 40, "{cited:?}");
    let missing: Vec<_> = cited.difference(&tests).map(|(file, test)| format!("{file}::{test}")).collect();
    none(&missing, "docs/guarantees.md names tests that are not there");
}

/// Files that decide: they are given the time and touch nothing (I7).
const PURE: &[&str] = &[
    "src/cli/test/compare.rs",
    "src/cli/test/json.rs",
    "src/cli/test/junit.rs",
    "src/cli/test/machine.rs",
    "src/cli/test/text.rs",
    "src/cli/test/update/render.rs",
    "src/cli/try_out/input.rs",
    "src/cli/try_out/output.rs",
    "src/config/check/test.rs",
    "src/config/pattern.rs",
    "src/config/pattern/parse.rs",
    "src/config/rewrite.rs",
    "src/librdkafka/words.rs",
    "src/model/backoff.rs",
    "src/model/conservation.rs",
    "src/model/decimal.rs",
    "src/source/commit.rs",
    "src/source/damage.rs",
    "src/source/flow.rs",
    "src/source/group_waits.rs",
    "src/source/hold.rs",
    "src/source/ledger.rs",
    "src/source/partition.rs",
    "src/source/pauses.rs",
    "src/source/properties.rs",
    "src/source/recreation.rs",
    "src/source/silence.rs",
    "src/source/start.rs",
    "src/source/statistics.rs",
    "src/source/until.rs",
    "src/source/wanted.rs",
    "src/sink/sequencer.rs",
    "src/sink/reject/breaker.rs",
    "src/sink/dead_letter/envelope.rs",
    "src/sink/elasticsearch/alike.rs",
    "src/sink/elasticsearch/answer.rs",
    "src/sink/elasticsearch/bulk.rs",
    "src/sink/elasticsearch/chain.rs",
    "src/sink/elasticsearch/concurrency.rs",
    "src/sink/elasticsearch/lane.rs",
    "src/sink/elasticsearch/nodes.rs",
    "src/sink/elasticsearch/pacing.rs",
    "src/sink/elasticsearch/patience.rs",
    "src/sink/elasticsearch/refused.rs",
    "src/sink/elasticsearch/settle.rs",
    "src/sink/elasticsearch/target.rs",
    "src/sink/elasticsearch/verdict.rs",
    "src/sink/elasticsearch/words.rs",
    "src/sink/kafka/encode.rs",
    "src/sink/kafka/failing.rs",
    "src/sink/kafka/lot.rs",
    "src/sink/kafka/patience.rs",
    "src/sink/kafka/roll.rs",
    "src/sink/kafka/suspects.rs",
    "src/sink/kafka/tickets.rs",
    "src/sink/kafka/verdict.rs",
    "src/preprocess/document.rs",
    "src/preprocess/ending.rs",
    "src/preprocess/evaluate.rs",
    "src/preprocess/moment.rs",
    "src/preprocess/program.rs",
    "src/preprocess/splice.rs",
    "src/preprocess/steps/filter.rs",
    "src/preprocess/steps/lookup.rs",
    "src/preprocess/steps/lookup/question.rs",
    "src/preprocess/steps/mod.rs",
    "src/preprocess/steps/require.rs",
    "src/preprocess/steps/select.rs",
    "src/preprocess/tape.rs",
    "src/preprocess/telltale.rs",
    "src/preprocess/template.rs",
    "src/enrich/cache.rs",
    "src/enrich/content.rs",
    "src/enrich/fault.rs",
    "src/enrich/patience.rs",
    "src/enrich/reply.rs",
    "src/telemetry/notice.rs",
    "src/telemetry/watch.rs",
];

/// What reads a clock, waits, draws lots or talks to the world.
const WORLD: &[&str] =
    &["Instant::now(", "SystemTime::now(", ".elapsed()", "std::fs", "std::net", "std::thread", "tokio::", "fastrand::"];

#[test]
fn pure_files_are_given_the_time_and_touch_nothing() {
    let all = sources("src");
    let mut faults = Vec::new();
    for path in PURE {
        let Some(source) = all.iter().find(|source| source.path == *path) else {
            faults.push(format!("{path}: does not exist"));
            continue;
        };
        let production = code(&source.production);
        faults.extend(WORLD.iter().filter(|word| production.contains(**word)).map(|word| format!("{path}: {word}")));
    }
    none(&faults, "a file that decides takes `now` as an argument");
}

#[test]
fn only_the_source_thread_has_the_consumer_and_the_ledger() {
    let mut faults = Vec::new();
    for source in sources("src") {
        let production = code(&source.production);
        let makes = ["Consumer::open(", "Ledger::default()"].iter().any(|call| production.contains(call));
        // Blocking calls of channels and threads; parking on its own wake-up is how the source waits.
        let blocks =
            [".recv()", ".recv_timeout(", "thread::sleep", ".block_on("].iter().any(|call| production.contains(call));
        let own = source.path.starts_with("src/source/");
        if makes && !own && !source.path.starts_with("src/librdkafka/") {
            faults.push(format!("{}: makes a consumer or a ledger", source.path));
        }
        if own && blocks {
            faults.push(format!("{}: blocks", source.path));
        }
    }
    none(&faults, "one thread owns the consumer and the ledger, and it never blocks (I3, I6)");
}

/// Channels without a bound of their own, and what bounds them.
const UNBOUNDED: &[(&str, &str)] = &[
    ("src/pipeline/engine.rs", "one notice a thread, and one a pipeline when its watchdog runs out"),
    ("src/sink/reject.rs", "every letter is charged to the byte budget; while that is spent the source drains nothing"),
];

#[test]
fn every_channel_is_bounded() {
    let mut faults = Vec::new();
    for source in sources("src") {
        let production = code(&source.production);
        let unbounded =
            ["flume::unbounded", "unbounded_channel", "mpsc::channel"].iter().any(|make| production.contains(make));
        let excused = UNBOUNDED.iter().any(|(path, why)| *path == source.path && !why.is_empty());
        if unbounded != excused {
            faults.push(format!("{}: unbounded {unbounded}, excused {excused}", source.path));
        }
    }
    none(&faults, "a channel has a bound, or something else bounds what is in it (I5)");
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    let page = fs::read_to_string("ARCHITECTURE.md").expect("ARCHITECTURE.md");
    let texts: Vec<String> = sources("src").into_iter().chain(sources("tests")).map(|source| source.text).collect();
    let mut faults = Vec::new();
    for number in 1..=13 {
        let start = format!("| I{number} |");
        let Some(row) = page.lines().find(|line| line.starts_with(&start)) else {
            faults.push(format!("I{number} has no row"));
            continue;
        };
        let tests = row.rsplit('|').nth(1).unwrap_or_default();
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            faults.push(format!("I{number} names no test"));
        }
        for name in names {
            let called = format!("fn {}(", name.rsplit("::").next().unwrap_or(name));
            if !texts.iter().any(|text| text.contains(&called)) {
                faults.push(format!("I{number}: there is no test {name}"));
            }
        }
    }
    none(&faults, "each invariant has a test that would fail without it");
}

#[test]
fn every_known_bug_is_in_the_code_or_in_a_patch_that_applies() {
    let patched = patches::patched(Path::new(".")).unwrap_or_else(|error| panic!("{error:#}"));
    let mut used = BTreeSet::new();
    for source in sources("src") {
        let text = patched.get(Path::new(&source.path)).unwrap_or(&source.text);
        used.extend(words_after(text, "Mutant::").into_iter().map(str::to_owned));
    }
    used.remove("ALL");
    let known: BTreeSet<_> = Mutant::ALL.iter().map(|mutant| format!("{mutant:?}")).collect();
    let faults: Vec<_> = known.symmetric_difference(&used).cloned().collect();
    none(&faults, "what src/mutants.rs lists can be switched on, and nothing else");
}

#[test]
fn every_known_bug_names_tests_that_exist() {
    let texts: Vec<String> = sources("src").into_iter().chain(sources("tests")).map(|source| source.text).collect();
    let mut faults = Vec::new();
    for mutant in Mutant::ALL {
        let killers = killers::killers(*mutant);
        if killers.is_empty() {
            faults.push(format!("{} names no test", mutant.name()));
        }
        for (_, filter) in killers {
            let path = filter.trim_end_matches("::");
            let name = path.rsplit("::").next().unwrap_or(path);
            let forms = [format!("fn {name}"), format!("mod {name}")];
            if !texts.iter().any(|text| forms.iter().any(|form| text.contains(form))) {
                faults.push(format!("{}: there is no test {filter}", mutant.name()));
            }
        }
    }
    none(&faults, "each known bug has a test that fails with it");
}

/// Every `yaml` block of a page.
fn yaml_blocks(page: &str) -> Vec<String> {
    page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

#[test]
fn configurations_in_the_documentation_are_valid() {
    use sluicegate::internals::config::{Inputs, Surroundings, load};
    let readme = fs::read_to_string("README.md").expect("README.md");
    let blocks = yaml_blocks(&readme);
    assert!(blocks.len() >= 2, "README.md shows both kinds of pipeline");
    let directory = tempfile::tempdir().expect("a directory");
    for block in blocks {
        let path = directory.path().join("pipelines.yaml");
        fs::write(&path, &block).expect("written");
        let inputs = Inputs { paths: vec![path], sets: Vec::new() };
        let environment = |_: &str| None;
        let surroundings = Surroundings {
            environment: &environment,
            property: &sluicegate::internals::cli::property::accepted,
            tls: false,
            cores: 2,
        };
        let loaded = load(&inputs, surroundings);
        assert!(loaded.is_ok(), "{block}\n{}", loaded.err().map(|findings| findings.to_string()).unwrap_or_default());
    }
}

/// The most that can be reached from outside by a path: [`reachable_names`].
const MOST_REACHABLE: usize = 299;

/// The names that the lists of `pub use` in `text` export.
fn exported(text: &str) -> Vec<&str> {
    let lists = text.split("pub use ").skip(1).filter_map(|rest| rest.split(';').next());
    let names = lists.flat_map(|list| {
        let (_, last) = list.split_once('{').or(list.rsplit_once("::")).unwrap_or(("", list));
        last.trim_end_matches('}').split(',')
    });
    names.map(str::trim).filter(|name| !name.is_empty()).collect()
}

/// The type of an inherent `impl` that begins in this line.
fn implemented(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl").filter(|rest| !rest.contains(" for "))?;
    let mut depth = 0;
    let generics = rest.char_indices().find(|(_, c)| {
        depth += i32::from(*c == '<') - i32::from(*c == '>');
        depth == 0
    });
    let rest = generics.and_then(|(end, c)| rest.get(end + c.len_utf8()..)).map_or(rest, str::trim_start);
    rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().filter(|name| !name.is_empty())
}

/// The public functions and constants in inherent `impl` blocks of `text`, as `Type::name`; the formatter has put a
/// block's members four spaces in.
fn public_members(text: &str) -> Vec<String> {
    let mut members = Vec::new();
    let mut of = None;
    for line in text.lines() {
        if line.starts_with("impl") {
            of = implemented(line);
        } else if line.starts_with('}') {
            of = None;
        }
        let Some((name, member)) = of.zip(line.strip_prefix("    pub ")) else { continue };
        let member = member.split(['(', '<', ':']).next().unwrap_or(member);
        members.push(format!("{name}::{}", member.rsplit(' ').next().unwrap_or(member)));
    }
    members
}

/// What a path from outside can name: what `lib.rs` and the door export, and the public functions and constants of the
/// types among it. Not counted are fields, variants, members of traits and of the macro in `mutants.rs`, and types that
/// only a signature shows.
fn reachable_names(sources: &[Source]) -> BTreeSet<String> {
    let doors = sources.iter().filter(|source| ["src/lib.rs", "src/internals.rs"].contains(&source.path.as_str()));
    let texts: Vec<String> = doors.map(|source| code(&source.text)).collect();
    let names: BTreeSet<&str> = texts.iter().flat_map(|text| exported(text)).collect();
    let members = sources.iter().flat_map(|source| public_members(&source.production));
    let own = members.filter(|member| member.split("::").next().is_some_and(|of| names.contains(of)));
    own.chain(names.iter().map(|name| (*name).to_owned())).collect()
}

#[test]
fn few_names_can_be_reached_from_outside() {
    let sources = sources("src");
    let root = sources.iter().find(|source| source.path == "src/lib.rs").expect("src/lib.rs");
    assert_eq!(words_after(&code(&root.text), "pub mod "), ["internals"], "one door, and it is hidden");
    let names = reachable_names(&sources);
    assert!(names.contains("run_line") && names.contains("Engine::start"), "{names:?}");
    assert!(names.len() <= MOST_REACHABLE, "{} names, at most {MOST_REACHABLE}: {names:#?}", names.len());
}

#[test]
fn the_hidden_door_has_what_is_used_and_is_used_by_nothing_inside() {
    let inside = sources("src");
    let door = inside.iter().find(|source| source.path == "src/internals.rs").map(|source| code(&source.text));
    let door = door.expect("src/internals.rs");
    let outside: Vec<_> = ["tests", "perf", "benches"].iter().flat_map(|folder| sources(folder)).collect();
    let users: String =
        outside.iter().map(|source| code(&source.text)).filter(|text| text.contains("internals")).collect();
    let used: BTreeSet<&str> = users.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let unused: Vec<_> = exported(&door).into_iter().filter(|name| !used.contains(name)).map(str::to_owned).collect();
    none(&unused, "names in src/internals.rs that nothing outside uses");
    let through =
        inside.iter().filter(|source| code(&source.text).contains("internals::")).map(|source| source.path.clone());
    none(&through.collect::<Vec<_>>(), "the engine does not use its own hidden door");
}

/// The rules themselves must notice: each is shown a fault.
#[test]
fn the_rules_find_what_they_look_for() {
    assert_eq!(words_after("use crate::sink::x; crate::model", "crate::"), ["sink", "model"]);
    assert!(uses_crate("use rdkafka::bindings as rk;", "rdkafka"));
    assert!(uses_crate("let v = rdkafka::util::version();", "rdkafka"));
    assert!(!uses_crate("use crate::librdkafka::Consumer;", "rdkafka"), "another word");
    assert!(
        !uses_crate("use crate::sink::{elasticsearch, kafka};\nelasticsearch::Wire::new()", "elasticsearch"),
        "ours"
    );
    assert_eq!(code("a // unsafe {\nb"), "a \nb");
    let functions =
        "fn a() {\n    b\n}\n    fn c(\n        &self,\n    ) -> D;\n    pub(super) async fn e<F>() {\n    }";
    assert_eq!(function_lengths(functions), [("a", 3), ("c", 3), ("e", 2)]);
    assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests {\n    crate::cli::x\n}"), "a\n");
    assert_eq!(component_of("src/sink/kafka/sink.rs"), Some("sink"));
    assert_eq!(component_of("src/main.rs"), None);
    assert_eq!(component_of("src/preprocess/worker/batch.rs"), Some("preprocess/worker"));
    assert_eq!(component_of("src/preprocess/steps/select.rs"), Some("preprocess"));
    let uses_part = "use crate::preprocess::worker::Worker;";
    assert_eq!(imports("pipeline", uses_part), ["preprocess", "preprocess/worker"]);
    assert_eq!(imports("preprocess", "use super::worker::Worker;"), ["preprocess/worker"]);
    assert_eq!(exported("mod a;\npub use a::b;\npub mod c {\n    pub use crate::c::{D,\n e};\n}"), ["b", "D", "e"]);
    assert_eq!(implemented("impl<M: Messages<Of<u8>>> Lane<M> {"), Some("Lane"));
    assert_eq!(implemented("impl fmt::Display for Lane {"), None);
    let block = "impl Lane {\n    pub const MOST: u8 = 1;\n    pub fn new<A>(a: A) -> Self {\n    fn own() {\n}\npub fn free() {";
    assert_eq!(public_members(block), ["Lane::MOST", "Lane::new"]);
    assert!(is_test_file("src/sink/kafka/tests/waits.rs") && !is_test_file("src/sink/kafka/sink.rs"));
}

#[test]
fn a_type_name_stands_for_one_thing() {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources("src") {
        for line in code(&source.production).lines().map(str::trim_start) {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub(super) ")).unwrap_or(line);
            let kinds = ["struct ", "enum ", "trait ", "union "];
            let Some(rest) = kinds.iter().find_map(|kind| line.strip_prefix(kind)) else { continue };
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            places.entry(name).or_default().insert(source.path.clone());
        }
    }
    assert!(places.len() > 500, "{}", places.len());
    let twice = places.iter().filter(|(_, files)| files.len() > 1);
    let faults: Vec<_> = twice.map(|(name, files)| format!("{name}: {files:?}")).collect();
    none(&faults, "a type name stands for one thing in src");
}
