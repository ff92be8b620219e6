//! The binary as people and supervisors meet it: exit codes, streams, broken pipes.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn sluicegate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("NO_COLOR");
    command
}

fn run(arguments: &[&str]) -> Output {
    sluicegate(arguments).output().expect("the binary starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn exit_codes() {
    let table: [(&[&str], i32); 16] = [
        (&["check", "-c", "config/sluicegate.yaml"], 0),
        (&["check", "-c", "config/minimal.yaml"], 0),
        (&["check", "-c", "config/minimal.yaml", "--set", "limits.memory=1KiB"], 78),
        (&["check", "-c", "no/such.yaml"], 78),
        (&["config", "show", "-c", "no/such.yaml"], 78),
        (&["run", "-c", "no/such.yaml"], 78),
        (&["run", "nobody", "-c", "config/minimal.yaml"], 2),
        (&["run", "--until", "soon", "-c", "config/minimal.yaml"], 2),
        (&["test", "-c", "config/sluicegate.yaml"], 0),
        (&["test", "nobody", "-c", "config/sluicegate.yaml"], 2),
        (&["test", "-c", "no/such.yaml"], 78),
        (&["try", "nobody", "-c", "config/minimal.yaml"], 2),
        (&["nonsense"], 2),
        (&["check", "--nonsense"], 2),
        (&["--help"], 0),
        (&["--version"], 0),
    ];
    for (arguments, expected) in table {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}\n{}{}", stdout(&output), stderr(&output));
    }
}

#[test]
fn findings_are_data() {
    let output = run(&["check", "-c", "config/minimal.yaml", "--set", "pipelines.index.sink.elasticsearch.lanes=0"]);
    assert!(stdout(&output).contains("--set pipelines.index.sink.elasticsearch.lanes"), "{}", stdout(&output));
    assert!(stderr(&output).is_empty(), "{}", stderr(&output));
    let output = run(&["check", "--format", "json", "-c", "config/minimal.yaml", "--set", "limits.memroy=1GiB"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["valid"], false);
    assert_eq!(json["findings"][0]["path"], "limits.memroy");
    assert_eq!(json["findings"][0]["set"], "limits.memroy");
    assert!(json["findings"][0]["remedy"].as_str().expect("a remedy").contains("`memory`"));
}

#[test]
fn warnings_count_only_when_denied() {
    let literal = "connections.redis.l.url=redis://:pw@h:1";
    assert_eq!(run(&["check", "-c", "config/minimal.yaml", "--set", literal]).status.code(), Some(0));
    let denied = run(&["check", "-c", "config/minimal.yaml", "--set", literal, "--deny-warnings"]);
    assert_eq!(denied.status.code(), Some(78));
    assert!(stdout(&denied).contains("1 warning"), "{}", stdout(&denied));
}

#[test]
fn librdkafka_refuses_what_it_does_not_know() {
    let output =
        run(&["check", "-c", "config/minimal.yaml", "--set", "connections.kafka.upstream.librdkafka.no.such=1"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stdout(&output).contains("connections.kafka.upstream.librdkafka.\"no.such\""), "{}", stdout(&output));
}

#[test]
fn standard_input_is_yaml() {
    let mut child =
        sluicegate(&["check", "-c", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("a pipe").write_all(b"pipelines: {x: 1}").expect("written");
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(78));
    assert!(stdout(&output).contains("<stdin>:1:"), "{}", stdout(&output));
}

#[test]
fn a_reader_that_stops_early_is_no_failure() {
    for arguments in
        [&["config", "schema"][..], &["config", "reference"], &["completions", "bash"], &["man"], &["--help"]]
    {
        let mut child = sluicegate(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        drop(child.stdout.take());
        let mut words = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut words).expect("text");
        let status = child.wait().expect("ends");
        assert_eq!((status.code(), words.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn colour_only_when_asked_for() {
    let arguments = ["check", "-c", "no/such.yaml"];
    assert!(!stdout(&run(&arguments)).contains('\u{1b}'));
    let forced = run(&["check", "-c", "no/such.yaml", "--color", "always"]);
    assert!(stdout(&forced).starts_with("\u{1b}[1;31merror"), "{}", stdout(&forced));
}

#[test]
fn init_writes_once_and_what_it_writes_is_valid() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("new.yaml");
    let path = path.to_str().expect("UTF-8");
    assert_eq!(run(&["init", path]).status.code(), Some(0));
    assert_eq!(run(&["check", "-c", path]).status.code(), Some(0));
    let again = run(&["init", path]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("--force"), "{}", stderr(&again));
    assert_eq!(run(&["init", path, "--minimal", "--force"]).status.code(), Some(0));
    assert_eq!(std::fs::read(path).expect("a file"), std::fs::read("config/minimal.yaml").expect("a file"));
    assert_eq!(run(&["init", "-"]).stdout, std::fs::read("config/sluicegate.yaml").expect("a file"));
}

#[test]
fn what_is_generated_is_what_it_says() {
    let schema: serde_json::Value = serde_json::from_slice(&run(&["config", "schema"]).stdout).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(stdout(&run(&["config", "reference"])).starts_with("# Configuration reference"));
    assert!(stdout(&run(&["man"])).contains(".TH"));
    let version: serde_json::Value =
        serde_json::from_slice(&run(&["version", "--verbose", "--format", "json"]).stdout).expect("JSON");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(version["allocator"].as_str().expect("text").starts_with("jemalloc"));
    let directory = tempfile::tempdir().expect("a directory");
    let pages = directory.path().join("man");
    assert_eq!(run(&["man", "--out", pages.to_str().expect("UTF-8")]).status.code(), Some(0));
    assert!(Path::new(&pages).join("sluicegate-check.1").exists());
}

#[test]
fn shown_configurations_load_again() {
    let shown = run(&["config", "show", "-c", "config/sluicegate.yaml"]);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("shown.yaml");
    std::fs::write(&path, &shown.stdout).expect("written");
    let again = run(&["config", "show", "-c", path.to_str().expect("UTF-8")]);
    let values = |output: &Output| -> Vec<String> {
        stdout(output).lines().map(|line| line.split(" # ").next().unwrap_or_default().trim_end().to_owned()).collect()
    };
    assert_eq!(values(&shown)[1..], values(&again)[1..], "{}", stderr(&again));
}
