//! `test` and `try` as people and programs meet them: exit codes, outputs, and what `--update` changes.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const CONFIG: &str = "\
connections:
  kafka: { up: { brokers: [\"127.0.0.1:1\"] } }
  elasticsearch: { search: { nodes: [\"http://127.0.0.1:1\"] } }
  redis: { cache: { url: \"redis://127.0.0.1:1\" } }
startup: { timeout: 1s }
pipelines:
  relay:
    source: { kafka: { connection: up, topics: [events], group: relay } }
    steps: [{ select: /result }, { where: [{ field: /id, exists: true }] }]
    sink: { kafka: { connection: up, topic: \"clean-{topic}\" } }
  index:
    source: { kafka: { connection: up, topics: [events], group: index } }
    steps:
      - lookup: { redis: cache, key: \"user:{/user}\", fields: [name], into: /who }
      - lookup: { redis: cache, table: codes, field: \"{/code}\", into: /label, on_miss: drop }
    sink: { elasticsearch: { connection: search, index: \"items-{/code}\", id: \"{/id}\", action: index } }
";

/// A directory with the configuration and these tests beside it.
fn directory(tests: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("c.yaml"), CONFIG).expect("written");
    if !tests.is_empty() {
        fs::write(directory.path().join("c.test.yaml"), tests).expect("written");
    }
    directory
}

fn sluicegate(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command.args(arguments).args(["-c", "c.yaml"]).current_dir(directory).env_remove("NO_COLOR");
    command
}

/// Exit code, stdout and stderr.
fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    told(&sluicegate(directory, arguments).output().expect("the binary starts"))
}

fn feed(directory: &Path, arguments: &[&str], lines: &str) -> (Option<i32>, String, String) {
    let mut command = sluicegate(directory, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    // A command that ends before it has read all is what some tests are about.
    let _ = child.stdin.take().expect("a pipe").write_all(lines.as_bytes());
    told(&child.wait_with_output().expect("ends"))
}

const TESTS: &str = "\
tests:
  - name: as it was
    pipeline: relay
    input: { key: k, value: { result: { id: 12345678901234567890 } }, headers: { trace: t1 } }
    expect: { value: { id: 12345678901234567890 }, key: k, headers: { trace: t1 }, topic: clean-events }
  - name: a digit is wrong
    pipeline: relay
    input: { value: { result: { id: 12345678901234567890 } } }
    expect: { value: { id: 12345678901234567891 } } # said wrongly
  - name: bytes
    pipeline: relay
    input: { text: '{\"result\": {\"id\" : 1}}' }
    expect: { text: '{\"id\": 1}' }
  - name: drops what has no id
    pipeline: relay
    input: { value: { result: {} } }
    expect: { outcome: dropped }
  - name: refused
    pipeline: relay
    input: { value: {} }
    expect: { reason: missing, step: \"steps[0].select\" }
  - name: looked up
    pipeline: index
    input: { value: { id: 7, user: u1, code: 5 } }
    lookups: { cache: { \"user:u1\": { name: Ann, age: 3 }, codes: { 5: five } } }
    expect:
      lines: |
        {\"index\":{\"_id\":\"7\",\"_index\":\"items-5\"}}
        {\"id\":7,\"user\":\"u1\",\"code\":5,\"who\":{\"name\":\"Ann\"},\"label\":\"five\"}
  - name: not in the table
    pipeline: index
    input: { value: { id: 7, user: u1, code: 6 } }
    expect: { outcome: dropped }
";

#[test]
fn results_are_told_with_places_and_differences() {
    let directory = directory(TESTS);
    let (code, out, errors) = run(directory.path(), &["test"]);
    assert_eq!((code, errors.as_str()), (Some(1), ""), "{out}");
    for part in [
        "ok    relay: as it was\n      delivered to topic clean-events, key k, headers trace=t1\n        {\"id\":12345678901234567890}\n",
        "FAIL  c.test.yaml:6:5: relay: a digit is wrong: value at /id: expected 12345678901234567891, found 12345678901234567890\n",
        "FAIL  c.test.yaml:10:5: relay: bytes: value at byte 5 differs\n",
        "        expected  {\"id\": 1}\n        found     {\"id\" : 1}\n                       ^\n",
        "ok    index: looked up\n      delivered to index items-5, id 7\n        {\"index\":",
        "7 tests: 5 passed, 2 failed in ",
    ] {
        assert!(out.contains(part), "{part}\nis not in\n{out}");
    }
    let (code, out, _) = run(directory.path(), &["test", "--quiet", "index"]);
    assert_eq!((code, out.lines().count()), (Some(0), 1), "{out}");
    let (code, _, errors) = run(directory.path(), &["test", "indx"]);
    assert!(code == Some(2) && errors.contains("the configuration has: relay, index"), "{errors}");
    let (code, out, _) = run(directory.path(), &["test", "--color", "always"]);
    assert!(code == Some(1) && out.contains("\u{1b}[1;31mFAIL\u{1b}[0m"), "{out}");
}

#[test]
fn results_for_programs() {
    let directory = directory(TESTS);
    let (code, out, _) = run(directory.path(), &["test", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("one object");
    assert_eq!((code, &json["passed"], &json["failed"]), (Some(1), &5.into(), &2.into()));
    let wrong = &json["tests"][1];
    assert_eq!(
        (&wrong["file"], &wrong["line"], &wrong["result"]),
        (&"c.test.yaml".into(), &6.into(), &"failed".into())
    );
    assert_eq!(wrong["differences"][0]["pointer"], "/id");
    assert_eq!(json["tests"][2]["differences"][0]["byte"], 5);
    assert_eq!(json["tests"][4]["outputs"][0]["reason"], "missing");
    assert_eq!(json["tests"][5]["outputs"][0]["index"], "items-5");
    let (code, out, _) = run(directory.path(), &["test", "--format", "junit"]);
    assert_eq!(code, Some(1));
    assert!(out.starts_with(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"sluicegate\" tests=\"7\" failures=\"2\""
    ));
    assert!(
        out.contains("<testcase name=\"bytes\" classname=\"relay\" file=\"c.test.yaml\" line=\"10\" time="),
        "{out}"
    );
    assert_eq!((out.matches("<failure ").count(), out.matches("</testcase>").count()), (2, 2), "{out}");
}

#[test]
fn a_test_aimed_at_nothing_fails() {
    let nothing = "tests: [{ name: a, pipeline: relay, input: { value: { result: { id: 1 } } }, expect: }]\n";
    let (code, out, _) = run(directory(nothing).path(), &["test"]);
    assert!(code == Some(1) && out.contains("FAIL  c.test.yaml:1:9: relay: a: it expects nothing: write"), "{out}");
    let unknown = "tests: [{ name: a, pipeline: rely, input: {}, expect: { value: 1 } }]\n";
    let (code, out, errors) = run(directory(unknown).path(), &["test"]);
    assert_eq!((code, out.as_str()), (Some(78), ""));
    assert!(
        errors.contains("c.test.yaml:1:30: tests[0].pipeline") && errors.contains("did you mean `relay`"),
        "{errors}"
    );
    let (code, out, errors) = run(directory("").path(), &["test"]);
    assert!(code == Some(0) && out.starts_with("0 tests") && errors.starts_with("no tests"), "{errors}");
}

#[test]
fn update_writes_expectations_and_nothing_else() {
    let tests = TESTS.to_owned()
        + "  # none yet\n  - name: new\n    pipeline: index\n    input: { value: { id: 8, user: $$u, code: 5 } }\n    lookups: { cache: { codes: { 5: five } } }\n    expect:\n";
    let directory = directory(&tests);
    let path = directory.path().join("c.test.yaml");
    let (code, out, errors) = run(directory.path(), &["test", "--update", "--quiet"]);
    assert_eq!((code, errors.as_str()), (Some(0), "c.test.yaml: 3 expectations written\n"), "{out}");
    let expected = tests
        .replace("{ value: { id: 12345678901234567891 } } # said", "{ value: { id: 12345678901234567890 } } # said")
        .replace("{ text: '{\"id\": 1}' }", "{ text: \"{\\\"id\\\" : 1}\" }")
        + "      index: \"items-5\"\n      action: { index: { _id: \"8\", _index: \"items-5\" } }\n      document: { id: 8, user: \"$$u\", code: 5, label: \"five\" }\n";
    assert_eq!(fs::read_to_string(&path).expect("a file"), expected);
    let (code, out, _) = run(directory.path(), &["test"]);
    assert!(code == Some(0) && out.contains("8 tests: 8 passed, 0 failed"), "{out}");
    let (_, _, errors) = run(directory.path(), &["test", "--update"]);
    assert_eq!((errors.as_str(), fs::read_to_string(&path).expect("a file")), ("", expected), "nothing to do");
}

#[test]
fn what_cannot_be_updated_is_told_and_left() {
    let tests = "x: &a { value: 1 }\ntests: [{ name: a, pipeline: relay, input: { value: { result: { id: 1 } } }, expect: *a }]\n";
    let directory = directory("");
    let config = format!("{CONFIG}{}", tests.replace("x: &a { value: 1 }\n", "").replace("*a", "!!map { value: 1 }"));
    fs::write(directory.path().join("c.yaml"), &config).expect("written");
    let (code, out, errors) = run(directory.path(), &["test", "--update"]);
    assert!(code == Some(1) && errors.contains("c.yaml:17:9: a: not updated: "), "{out}{errors}");
    assert_eq!(fs::read_to_string(directory.path().join("c.yaml")).expect("a file"), config);
}

#[test]
fn lines_go_through_a_pipeline() {
    let directory = directory("");
    let lines = "{\"result\":{\"id\": 1}}\n\n{\"result\":{}}\r\n{\"x\":1}\nnope\n{\"result\":{\"id\":\n";
    let (code, out, errors) = feed(directory.path(), &["try", "relay"], lines);
    assert_eq!((code, out.as_str()), (Some(65), "{\"id\": 1}\n"), "{errors}");
    let rows: Vec<&str> = errors.lines().collect();
    assert_eq!(rows[0], "line 4: rejected: missing at steps[0].select: /result is missing");
    assert!(rows[1].starts_with("line 5: rejected: invalid_json at parse: "), "{errors}");
    assert!(rows[2].starts_with("line 6: rejected: invalid_json at parse: "), "{errors}");
    assert_eq!(rows[3..], ["5 records: 1 delivered, 1 dropped, 3 rejected"]);
    let (code, _, errors) = feed(directory.path(), &["try", "relay", "--verbose"], "{\"result\":{}}\n");
    assert_eq!((code, errors.as_str()), (Some(0), "line 1: dropped\n1 record: 0 delivered, 1 dropped, 0 rejected\n"));
    let (code, out, _) = feed(directory.path(), &["try", "relay", "--format", "json"], lines);
    let objects: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((code, objects.len()), (Some(65), 5));
    assert_eq!(
        (&objects[0]["topic"], &objects[1]["outcome"], &objects[2]["line"]),
        (&"clean-events".into(), &"dropped".into(), &4.into())
    );
    for (arguments, code) in [(&["try", "rely"][..], 2), (&["try"], 2), (&["try", "index"], 2)] {
        assert_eq!(feed(directory.path(), arguments, "").0, Some(code), "{arguments:?}");
    }
}

#[test]
fn lines_of_kcat_have_keys() {
    let directory = directory("");
    let envelope = r#"{"topic":"in","partition":1,"offset":5,"tstype":"create","ts":1,"broker":1,"headers":["h","1"],"key":"k1","payload":"{\"result\":{\"id\":1}}"}"#;
    let lines = format!("{envelope}\n{{}}\n");
    let (code, out, errors) = feed(directory.path(), &["try", "relay", "--topic-format", "--with-key"], &lines);
    assert_eq!((code, out.as_str()), (Some(65), "k1\t{\"id\":1}\n"));
    assert!(
        errors.starts_with("line 2: rejected at input: it is no line of kcat -J: missing field `payload`"),
        "{errors}"
    );
    let (_, out, _) = feed(directory.path(), &["try", "relay", "--topic-format", "--format", "json"], &lines);
    assert!(
        out.contains("\"topic\":\"clean-in\"") && out.contains("\"headers\":[{\"name\":\"h\",\"value\":\"1\"}]"),
        "{out}"
    );
    let lines = "k2\t{\"result\":{\"id\":2}}\n\t{\"result\":{\"id\":3}}\nk4\t\n";
    let (code, out, _) = feed(directory.path(), &["try", "relay", "--topic-format=key-value", "--with-key"], lines);
    assert_eq!((code, out.as_str()), (Some(0), "k2\t{\"id\":2}\n\t{\"id\":3}\nk4\tnull\n"));
}

#[test]
fn look_ups_come_from_a_file_or_are_missed() {
    let directory = directory("");
    let file = directory.path().join("redis.yaml");
    fs::write(&file, "cache: { \"user:u1\": { name: Ann }, codes: { 5: five } }\n").expect("written");
    let record = "{\"id\":7,\"user\":\"u1\",\"code\":5}\n";
    let (code, out, errors) =
        feed(directory.path(), &["try", "index", "--lookups", "redis.yaml", "--with-key"], record);
    let expected = "7\t{\"id\":7,\"user\":\"u1\",\"code\":5,\"who\":{\"name\":\"Ann\"},\"label\":\"five\"}\n";
    assert_eq!((code, out.as_str()), (Some(0), expected), "{errors}");
    fs::write(&file, "").expect("written");
    let (code, out, errors) = feed(directory.path(), &["try", "index", "--lookups", "redis.yaml"], record);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{errors}");
    assert!(errors.contains("0 delivered, 1 dropped"), "{errors}");
    fs::write(&file, "cahce: {}").expect("written");
    let (code, _, errors) = feed(directory.path(), &["try", "index", "--lookups", "redis.yaml"], record);
    assert!(code == Some(78) && errors.contains("redis.yaml:1:1: cahce") && errors.contains("`cache`"), "{errors}");
    let (code, _, errors) = feed(directory.path(), &["try", "index", "--connect-lookups"], record);
    assert!(code == Some(69) && errors.contains("startup.timeout"), "{errors}");
}

#[test]
fn an_endless_stream_is_answered_line_by_line() {
    let directory = directory("");
    let mut command = sluicegate(directory.path(), &["try", "relay"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let (mut input, mut output) =
        (child.stdin.take().expect("a pipe"), BufReader::new(child.stdout.take().expect("a pipe")));
    for id in 0..3 {
        writeln!(input, "{{\"result\":{{\"id\":{id}}}}}").expect("written");
        let mut line = String::new();
        output.read_line(&mut line).expect("read");
        assert_eq!(line, format!("{{\"id\":{id}}}\n"), "answered while stdin is open");
    }
    drop(output);
    // The reader is gone, as soon as no process that is just being started holds its end: from then on whatever is
    // written ends the command, and that is no failure.
    while child.try_wait().expect("asked").is_none() {
        let _ = writeln!(input, "{{\"result\":{{\"id\":9}}}}");
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    drop(input);
    let mut errors = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut errors).expect("text");
    assert_eq!((child.wait().expect("ends").code(), errors.as_str()), (Some(0), ""));
}

/// The blocks of a page in order: the word behind the three backquotes that open it, and what is inside.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    page.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n')).collect()
}

/// Lines without what a clock said.
fn timeless(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.split(" in 0.").next().unwrap_or(line)).collect()
}

/// The page's files are written and its commands are run, in order, and what they print is what it says.
#[test]
fn the_page_about_testing_shows_what_happens() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/testing.md")).expect("the page");
    let directory = tempfile::tempdir().expect("a directory");
    let program = PathBuf::from(env!("CARGO_BIN_EXE_sluicegate"));
    let path = format!("{}:/usr/bin:/bin", program.parent().expect("a folder").display());
    let mut commands = 0;
    for (kind, block) in blocks(&page) {
        if kind == "yaml" {
            let (name, text) = block.split_once('\n').expect("a first line");
            fs::write(directory.path().join(name.trim_start_matches("# ")), text).expect("written");
            continue;
        }
        for part in block.split("$ ").skip(1) {
            let (command, expected) = part.split_once('\n').expect("a command's line");
            let mut shell = Command::new("sh");
            let shell = shell.args(["-c", &format!("{{ {command}; }} 2>&1")]).current_dir(directory.path());
            let output = shell.env("PATH", &path).output().expect("a shell");
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(timeless(&shown), timeless(expected), "{command}\n{shown}");
            commands += 1;
        }
    }
    assert_eq!(commands, 7);
}

/// A record may have several ends: outputs in order, and rejects with the item's number.
#[test]
fn items_are_printed_in_order_and_rejected_by_number() {
    let directory = directory("");
    let text =
        CONFIG.replace("steps: [{ select: /result },", "steps: [{ explode: /result }, { jq: 'select(.id != 5)' },");
    fs::write(directory.path().join("c.yaml"), text).expect("written");
    let lines = "{\"result\":[{\"id\":1.50},7,{\"id\":5},{\"id\":2}]}\n{\"result\":[]}\n";
    let (code, out, err) = feed(directory.path(), &["try", "relay"], lines);
    assert_eq!((code, out.as_str()), (Some(65), "{\"id\":1.50}\n{\"id\":2}\n"), "{err}");
    assert!(err.contains("line 1 item 1: rejected: program_error at steps[1].jq: cannot index 7"), "{err}");
    let (_, out, _) = feed(directory.path(), &["try", "relay", "--format", "json"], lines);
    let ends: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let shown: Vec<_> =
        ends.iter().map(|end| (end["line"].as_u64(), end["outcome"].as_str(), end["item"].as_str())).collect();
    let (delivered, rejected, dropped) = (Some("delivered"), Some("rejected"), Some("dropped"));
    let of_first = |outcome, item| (Some(1), outcome, item);
    assert_eq!(
        shown,
        [of_first(delivered, None), of_first(rejected, Some("1")), of_first(delivered, None), (Some(2), dropped, None)]
    );
}

/// Every configuration of `config/examples` is valid, without a warning, and passes the tests that stand in it.
#[test]
fn the_examples_are_valid_and_pass_their_tests() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let mut seen = 0;
    for entry in fs::read_dir(&examples).expect("a directory") {
        let file = entry.expect("an entry").path();
        for command in [&["check", "--deny-warnings"][..], &["test", "--quiet"]] {
            let mut run = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
            let (code, out, err) = told(&run.args(command).arg("-c").arg(&file).output().expect("the binary starts"));
            assert_eq!(code, Some(0), "{} {command:?}\n{out}{err}", file.display());
        }
        seen += 1;
    }
    assert!(seen >= 14, "{seen} examples");
}
