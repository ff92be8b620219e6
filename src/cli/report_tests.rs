//! The command over run files of a scripted run.

use super::*;
use crate::telemetry::run_files::tests::scripted;
use clap::Parser;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    report: ReportArgs,
}

fn run_in(directory: &std::path::Path, slower: u64) -> PathBuf {
    let (board, collected) = scripted(directory, 8, slower);
    let run = RunFile::new(&board, &collected, serde_json::Value::Null);
    run_files::write(directory, &run, &collected).expect("written");
    directory.to_owned()
}

fn report(arguments: &[&str]) -> Result<String, ReportError> {
    let line = Line::try_parse_from([&["report"], arguments].concat()).expect("a command line");
    let mut out = Vec::new();
    run(&line.report, &mut out)?;
    Ok(String::from_utf8(out).expect("text"))
}

#[test]
fn one_run_in_every_form() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = run_in(directory.path(), 1);
    let path = path.to_str().expect("a name");
    let text = report(&[path]).expect("text");
    assert!(text.contains("relay (running)"), "{text}");
    assert!(text.contains("consumed 8000 = delivered 7992"), "{text}");
    assert!(text.contains("8 rejects (missing)"), "{text}");
    assert!(text.lines().any(|line| line.trim_start().starts_with("end_to_end")), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&report(&[path, "--format", "json"]).expect("json")).expect("JSON");
    assert_eq!(json["pipelines"]["relay"]["delivered"], 7_992);
    assert!(report(&[path, "--format", "html"]).expect("html").starts_with("<!doctype html>"));
    let svg = report(&[path, "--format", "svg", "--pipeline", "relay"]).expect("svg");
    assert!(svg.starts_with("<svg") && svg.contains("99.9 %"), "{svg}");
}

#[test]
fn two_runs_are_compared() {
    let (first, second) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let (first, second) = (run_in(first.path(), 1), run_in(second.path(), 2));
    let paths = [first.to_str().expect("a name"), second.to_str().expect("a name")];
    let text = report(&paths).expect("text");
    assert!(text.contains("2.000") && text.contains("ratio"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&report(&[paths[0], paths[1], "--format", "json"]).expect("json")).expect("JSON");
    assert!(json["pipelines"]["relay"]["stages"].is_array(), "{json}");
    let html = report(&[paths[0], paths[1], "--format", "html"]).expect("html");
    assert!(html.contains("two runs") && html.contains("<svg"), "{html}");
    let svg = report(&[paths[0], paths[1], "--format", "svg", "--pipeline", "relay"]).expect("svg");
    assert_eq!(svg.matches("class=\"line ").count(), 2);
}

#[test]
fn an_unclear_picture_names_the_choices() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = run_in(directory.path(), 1);
    for more in [&[][..], &["--pipeline", "nobody"][..]] {
        let arguments = [&[path.to_str().expect("a name"), "--format", "svg"][..], more].concat();
        let error = report(&arguments).expect_err("unclear");
        assert!(error.to_string().contains("index, relay"), "{error}");
        assert_eq!(error.exit(), Exit::Usage);
    }
}

#[test]
fn a_missing_file_and_a_closed_pipe() {
    let error = report(&["/nonexistent/run.json"]).expect_err("missing");
    assert!(error.to_string().contains("/nonexistent/run.json"), "{error}");
    assert_eq!(error.exit(), Exit::Failure);

    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = run_in(directory.path(), 1);
    let line = Line::try_parse_from(["report", path.to_str().expect("a name")]).expect("a command line");
    run(&line.report, &mut Closed).expect("`report | head` is no failure");
}
