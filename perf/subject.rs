//! Who is measured, and the engine as a subject: its configuration as a user would write it, the code path of
//! `sluicegate run`.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::machine::pinned;
use crate::peers::Peer;
use crate::raw::Loop;

/// The word by which this program starts itself as the engine.
pub const AS_ENGINE: &str = "--as-engine";

/// The configuration's `limits.memory`, in MiB.
pub const BUDGET_MIB: u64 = 256;

/// Who runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// sluicegate.
    Engine,
    /// Its source alone.
    EngineSource,
    /// It, with look-ups that its cache answers.
    WarmLookups,
    /// It, with look-ups that Redis answers, each key once.
    ColdLookups,
    /// What it replaces.
    Script,
    /// The least a consumer can do, by batches.
    RawSum,
    /// The same, by messages.
    RawPoll,
    /// Consume and produce, bytes copied.
    RawCopy,
    /// The same with `result` parsed out.
    RawResult,
    /// Consume, parse, bulk bodies.
    RawBulk,
    /// Bulk bodies made beforehand.
    Replay,
    /// Another program.
    Peer(Peer),
}

impl Subject {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::EngineSource => "engine-source",
            Self::WarmLookups => "engine-warm",
            Self::ColdLookups => "engine-cold",
            Self::Script => "script",
            Self::RawSum => "raw-sum",
            Self::RawPoll => "raw-poll",
            Self::RawCopy => "raw-copy",
            Self::RawResult => "raw-result",
            Self::RawBulk => "raw-bulk",
            Self::Replay => "replay",
            Self::Peer(peer) => peer.name(),
        }
    }

    /// The loop it is, where it is one.
    pub fn raw(self) -> Option<Loop> {
        match self {
            Self::EngineSource => Some(Loop::Source),
            Self::RawSum => Some(Loop::Sum),
            Self::RawPoll => Some(Loop::Poll),
            Self::RawCopy => Some(Loop::Copy),
            Self::RawResult => Some(Loop::Result),
            Self::RawBulk => Some(Loop::Bulk),
            Self::Replay => Some(Loop::Replay),
            Self::Engine | Self::WarmLookups | Self::ColdLookups | Self::Script | Self::Peer(_) => None,
        }
    }
}

/// One pipeline from a topic to a target.
#[derive(Debug, Clone, Copy)]
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
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// A topic of this cluster.
    Topic(&'a str, &'a str),
    /// An index behind this URL.
    Index(&'a str, &'a str),
}

/// Both pipelines as the first example of the documentation has them, every setting that costs or saves work at its
/// default.
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

/// Into an index as the peers write it: whole documents, no mapping type.
pub fn as_peers_write(mut root: Value) -> Value {
    if let Some(sink) = root["pipelines"]["index"]["sink"]["elasticsearch"].as_object_mut() {
        sink.remove("type");
        sink.insert("action".to_owned(), json!("index"));
    }
    root
}

/// As many requests at once as there are lanes, from the first one on.
pub fn with_fixed_requests(mut root: Value, requests: usize) -> Value {
    if let Some(sink) = root["pipelines"]["index"]["sink"]["elasticsearch"].as_object_mut() {
        sink.insert("concurrency".to_owned(), json!("fixed"));
        sink.insert("lanes".to_owned(), json!(requests));
    }
    root
}

/// Adds a look-up by this key to the pipeline into an index, and an endpoint for its metrics on this port.
pub fn with_lookup(mut root: Value, redis: &str, key: &str, metrics_port: u16) -> Value {
    root["connections"]["redis"]["lookups"] = json!({ "url": redis });
    let step =
        json!({ "lookup": { "redis": "lookups", "key": key, "fields": ["name", "tier"], "into": "/user_info" } });
    if let Some(steps) = root["pipelines"]["index"]["steps"].as_array_mut() {
        steps.push(step);
    }
    root["telemetry"]["listen"] = json!(format!("127.0.0.1:{metrics_port}"));
    root
}

/// The engine, alone on the subjects' core, until the end of its topics.
///
/// # Errors
/// The path of this program is not known.
pub fn command(configuration: &Path) -> anyhow::Result<Command> {
    let mut command = pinned(std::env::current_exe().context("where is this program?")?);
    command.arg(AS_ENGINE).arg(configuration);
    Ok(command)
}

/// Is the engine: `sluicegate run -c FILE --until end`.
pub fn engine(words: &[String]) -> ExitCode {
    let mut line = vec!["sluicegate", "--log-format", "text", "run", "--until", "end"];
    line.extend(words.iter().flat_map(|file| ["-c", file]));
    sluicegate::run_line(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluicegate::internals::config;

    fn accepted(root: &Value) -> config::plan::Plan {
        let surroundings =
            config::Surroundings { environment: &|_| None, property: &|_, _| Ok(()), tls: false, cores: 1 };
        let loaded = config::load_text(&root.to_string(), "perf.json", surroundings);
        loaded.unwrap_or_else(|findings| panic!("{findings}")).plan
    }

    #[test]
    fn the_configuration_is_accepted() {
        let pipelines = [
            Pipeline { brokers: "a:1,b:2", topic: "in", group: "relay", target: Target::Topic("c:3", "out") },
            Pipeline { brokers: "a:1,b:2", topic: "in", group: "index", target: Target::Index("http://d:4", "items") },
        ];
        let plan = accepted(&configuration(&pipelines));
        assert_eq!(plan.pipelines.len(), 2);
        assert_eq!(plan.memory_bytes as u64, BUDGET_MIB << 20);
        let plan = accepted(&with_lookup(configuration(&pipelines[1..]), "redis://e:5", "user:{/user}", 6));
        let written = as_peers_write(configuration(&pipelines[1..]));
        assert_eq!(accepted(&written).pipelines.len(), 1);
        assert!(written.to_string().contains(r#""action":"index""#) && !written.to_string().contains("itmes"));
        let fixed = accepted(&with_fixed_requests(configuration(&pipelines[1..]), 7));
        let config::plan::SinkPlan::Elasticsearch(sink) = &fixed.pipelines[0].sink else { panic!("an index") };
        assert_eq!((sink.lanes, sink.concurrency), (7, config::plan::ConcurrencyMode::Fixed));
        assert_eq!(plan.pipelines[0].steps.len(), 2, "the look-up comes behind the select");
    }
}
