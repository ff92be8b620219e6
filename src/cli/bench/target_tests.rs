//! What may be benched, and what is refused with which words.

use crate::config::plan::SinkPlan;
use clap::Parser;

use super::*;
use crate::cli::Cli;
use crate::model::MemoryShare;

const CONFIG: &str = r#"
connections:
  kafka:
    up: { brokers: ["127.0.0.1:1"] }
    down: { brokers: ["127.0.0.1:2"] }
pipelines:
  one:
    source: { kafka: { connection: up, topics: [events], group: g, instance_id: a } }
    sink: { kafka: { connection: down, topic: clean } }
  many:
    source: { kafka: { connection: up, topics: [a, b], group: g } }
    sink: { kafka: { connection: down, topic: clean } }
  pattern:
    source: { kafka: { connection: up, topics: ["^events-.*"], group: g } }
    sink: { kafka: { connection: down, topic: clean } }
"#;

fn open(line: &[&str]) -> Result<BenchTarget, Failure> {
    let cli = Cli::try_parse_from([&["sluicegate", "bench"], line].concat()).expect("a valid line");
    let crate::cli::Command::Bench(args) = &cli.command else { panic!("bench") };
    BenchTarget::open(&cli.global, args)
}

fn refusal(line: &[&str]) -> String {
    match open(line) {
        Err(failure) => {
            assert_eq!(failure.exit(), crate::model::Exit::Usage, "{failure}");
            failure.to_string()
        }
        Ok(_) => panic!("{line:?} was accepted"),
    }
}

#[test]
fn real_servers_are_flooded_only_when_asked_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("c.yaml");
    std::fs::write(&path, CONFIG).expect("written");
    let path = path.to_str().expect("a name");
    let told = refusal(&["-c", path, "--pipeline", "one"]);
    for part in ["made-up records", "topic `events` of connection up", "topic `clean` of connection down", "--produce"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    let table = [
        (vec!["-c", path, "--produce"], "one, many, pattern"),
        (vec!["-c", path, "--produce", "--pipeline", "none"], "one, many, pattern"),
        (vec!["-c", path, "--produce", "--pipeline", "many"], "one topic"),
        (vec!["-c", path, "--produce", "--pipeline", "pattern"], "one topic"),
        (vec!["-c", path, "--produce", "--pipeline", "one", "--sink-requests", "3"], "servers of this process"),
        (vec!["--pipeline", "one"], "no built-in pipeline"),
    ];
    for (line, words) in table {
        let told = refusal(&line);
        assert!(told.contains(words), "{line:?}: {told}");
    }
}

#[test]
fn it_reads_in_a_group_of_its_own_from_the_end_on() {
    let surroundings = crate::cli::surroundings();
    let mut plan = crate::config::load_text(CONFIG, "t.yaml", surroundings).expect("valid").plan;
    let chosen = choose(&mut plan, Some("one")).expect("there");
    read_alone(chosen);
    assert!(chosen.source.group.starts_with("g-bench-"), "{}", chosen.source.group);
    assert_eq!((chosen.source.start, chosen.source.instance_id.clone()), (Start::Latest, None));
}

#[test]
fn sets_reach_the_built_in_pipelines_and_are_checked() {
    let set = |value: &str| format!("pipelines.index.sink.elasticsearch.lanes={value}");
    let target = open(&["--pipeline", "index", "--set", &set("16")]).expect("opens");
    let SinkPlan::Elasticsearch(sink) = &target.plan.pipelines[0].sink else { panic!("a bulk sink") };
    assert_eq!((target.plan.pipelines.len(), sink.lanes, sink.doc_type.as_str()), (1, 16, "itmes"));
    assert_eq!(target.plan.pipelines[0].memory, MemoryShare(256 << 20), "all of it");
    let refused = open(&["--pipeline", "index", "--set", &set("0")]).err().expect("refused");
    assert!(refused.to_string().contains("lanes"), "{refused}");
}
