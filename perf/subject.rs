//! The engine as a subject: its configuration as a user would write it, and the code path of `sluicegate run`.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use clap::Parser as _;
use serde_json::{Value, json};
use sluicegate::cli::{self, Cli};

use crate::machine::SUBJECT_CORE;

/// The word by which this program starts itself as the engine.
pub const AS_ENGINE: &str = "--as-engine";

/// The configuration's `limits.memory`, in MiB.
pub const BUDGET_MIB: u64 = 256;

/// One pipeline from a topic to a target.
pub struct Pipeline<'a> {
    /// Brokers of the source.
    pub brokers: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// Consumer group.
    pub group: &'a str,
    /// Where to.
    pub target: Target<'a>,
}

/// Where a pipeline writes.
pub enum Target<'a> {
    /// A topic of this cluster.
    Topic(&'a str, &'a str),
    /// An index behind this URL.
    Index(&'a str, &'a str),
}

/// Both pipelines as the first example of the documentation has them, every setting that costs or saves work at its default.
pub fn configuration(pipelines: &[Pipeline<'_>]) -> Value {
    let list = |brokers: &str| brokers.split(',').map(str::to_owned).collect::<Vec<_>>();
    let mut root = json!({ "version": 1, "limits": { "memory": format!("{BUDGET_MIB}MiB") }, "pipelines": {} });
    root["telemetry"] = json!({ "listen": "127.0.0.1:0" });
    for pipeline in pipelines {
        root["connections"]["kafka"]["upstream"] = json!({ "brokers": list(pipeline.brokers) });
        let (name, sink) = match pipeline.target {
            Target::Topic(brokers, topic) => {
                root["connections"]["kafka"]["downstream"] = json!({ "brokers": list(brokers) });
                ("relay", json!({ "kafka": { "connection": "downstream", "topic": topic } }))
            }
            Target::Index(url, index) => {
                root["connections"]["elasticsearch"]["search"] = json!({ "nodes": [url] });
                let sink = json!({ "elasticsearch": {
                    "connection": "search", "index": index, "type": "itmes", "id": "{/id}", "action": "upsert",
                } });
                ("index", sink)
            }
        };
        root["pipelines"][name] = json!({
            "source": { "kafka": { "connection": "upstream", "topics": [pipeline.topic], "group": pipeline.group } },
            "steps": [{ "select": "/result" }],
            "sink": sink,
        });
    }
    root
}

/// The engine, alone on the subjects' core, until the end of its topics.
///
/// # Errors
/// The path of this program is not known.
pub fn command(configuration: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new("taskset");
    command.args(["-c", &SUBJECT_CORE.to_string()]).arg(std::env::current_exe().context("where is this program?")?);
    command.arg(AS_ENGINE).arg(configuration);
    Ok(command)
}

/// Is the engine: `sluicegate run -c FILE --until end`.
pub fn engine(words: &[String]) -> ExitCode {
    let mut line = vec!["sluicegate", "--log-format", "text", "run", "--until", "end"];
    line.extend(words.iter().flat_map(|file| ["-c", file]));
    let outcome = Cli::try_parse_from(line).map_err(|error| error.to_string());
    match outcome.and_then(|cli| cli::dispatch(&cli).map_err(|failure| failure.to_string())) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluicegate::config;

    #[test]
    fn the_configuration_is_accepted() {
        let pipelines = [
            Pipeline { brokers: "a:1,b:2", topic: "in", group: "relay", target: Target::Topic("c:3", "out") },
            Pipeline { brokers: "a:1,b:2", topic: "in", group: "index", target: Target::Index("http://d:4", "items") },
        ];
        let text = configuration(&pipelines).to_string();
        let surroundings =
            config::Surroundings { environment: &|_| None, property: &|_, _| Ok(()), tls: false, cores: 1 };
        let loaded =
            config::load_text(&text, "perf.json", surroundings).unwrap_or_else(|findings| panic!("{findings}"));
        assert_eq!(loaded.plan.pipelines.len(), 2);
        assert_eq!(loaded.plan.memory_bytes as u64, BUDGET_MIB << 20);
    }
}
