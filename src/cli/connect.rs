//! `check --connect`: reaches every server of a configuration and says what it found.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::plan::{Downstream, ElasticsearchConnection, KafkaConnection, PipelinePlan, Plan, SinkPlan};
use crate::enrich::{Lookups, NotReady};
use crate::sink::elasticsearch::{Cluster, TargetFinding, Unidentified, inspect};
use crate::source::probe;
use crate::telemetry::handles::Handles;

/// Bound of one question.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What was found of one server.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reached {
    /// Which: `kafka upstream`, `elasticsearch search http://…`.
    pub server: String,
    /// Whether a pipeline could run with it.
    pub ok: bool,
    /// Whether it could, but probably not as meant.
    pub warning: bool,
    /// It answers, and what is there does not fit the pipeline.
    #[serde(skip)]
    pub misfit: bool,
    /// What it said.
    pub found: String,
}

impl Reached {
    fn ok(server: String, found: impl Into<String>) -> Self {
        Self { server, ok: true, warning: false, misfit: false, found: found.into() }
    }

    fn failed(server: String, found: impl Into<String>) -> Self {
        Self { server, ok: false, warning: false, misfit: false, found: found.into() }
    }
}

impl std::fmt::Display for Reached {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = match (self.ok, self.warning) {
            (true, false) => "ok  ",
            (true, true) => "warn",
            (false, _) => "FAIL",
        };
        write!(out, "{mark} {}: {}", self.server, self.found)
    }
}

/// Asks every server once.
#[must_use]
pub fn probe_all(plan: &Plan) -> Vec<Reached> {
    let mut asked = BTreeSet::new();
    let mut findings = Vec::new();
    for pipeline in &plan.pipelines {
        findings.extend(source(pipeline));
        let kafka = pipeline.downstream().filter_map(Downstream::kafka);
        findings.extend(kafka.filter(|one| asked.insert(format!("kafka {}", one.name))).map(reach));
        let elasticsearch = pipeline.downstream().filter_map(Downstream::search);
        findings
            .extend(elasticsearch.filter(|one| asked.insert(format!("elasticsearch {}", one.name))).flat_map(search));
        findings.extend(target(pipeline));
        findings.extend(lookups(pipeline));
    }
    findings
}

fn source(pipeline: &PipelinePlan) -> Option<Reached> {
    let server = format!("kafka {} (source of {})", pipeline.source.connection.name, pipeline.name);
    Some(match probe::find(&pipeline.source, ANSWER_WITHIN) {
        Ok(found) => {
            let counted = format!("{} topics, {} partitions to read", found.topics, found.partitions.len());
            if found.unmatched.is_empty() {
                return Some(Reached::ok(server, counted));
            }
            let none = found.unmatched.join("`, `");
            Reached {
                warning: true,
                ..Reached::ok(server, format!("{counted}; no topic matches `{none}`: a run would wait for one"))
            }
        }
        Err(found) => Reached::failed(server, found),
    })
}

fn reach(connection: &KafkaConnection) -> Reached {
    let server = format!("kafka {}", connection.name);
    match probe::answers(connection, ANSWER_WITHIN) {
        Ok(()) => Reached::ok(server, "answers"),
        Err(why) => Reached::failed(server, why.to_string()),
    }
}

/// The index, alias or data stream an Elasticsearch sink writes to, where it is the same for all records.
fn target(pipeline: &PipelinePlan) -> Vec<Reached> {
    let SinkPlan::Elasticsearch(sink) = &pipeline.sink else { return Vec::new() };
    // What keeps a connection from being opened is told by `search`.
    let Ok((runtime, cluster)) = open(&sink.connection) else { return Vec::new() };
    if !runtime.block_on(cluster.answers()) {
        return Vec::new();
    }
    let server =
        format!("elasticsearch {} index {} (sink of {})", sink.connection.name, sink.index.text, pipeline.name);
    let reached =
        |TargetFinding { ok, text }| Reached { server: server.clone(), ok, warning: false, misfit: !ok, found: text };
    runtime.block_on(inspect(&cluster, sink)).into_iter().map(reached).collect()
}

fn open(connection: &ElasticsearchConnection) -> Result<(tokio::runtime::Runtime, Cluster), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    Ok((runtime, Cluster::new(connection).map_err(|fault| fault.to_string())?))
}

fn search(connection: &ElasticsearchConnection) -> Vec<Reached> {
    let name = format!("elasticsearch {}", connection.name);
    let (runtime, cluster) = match open(connection) {
        Ok(opened) => opened,
        Err(found) => return vec![Reached::failed(name.clone(), found)],
    };
    let one = |(node, answer): (String, Result<_, Unidentified>)| {
        let server = format!("{name} {node}");
        match answer {
            Ok(found) => Reached::ok(server, format!("{found}")),
            Err(Unidentified::Unclear(found)) => Reached::ok(server, found),
            Err(Unidentified::Unreachable(found) | Unidentified::Refused(found)) => Reached::failed(server, found),
        }
    };
    runtime.block_on(cluster.survey()).into_iter().map(one).collect()
}

fn lookups(pipeline: &PipelinePlan) -> Option<Reached> {
    let plans: Vec<_> = pipeline.lookups().cloned().collect();
    if plans.is_empty() {
        return None;
    }
    let server = format!("redis (look-ups of {})", pipeline.name);
    let handles = Handles::new(&pipeline.name, 0, std::sync::Arc::default());
    let answer = Lookups::open(&plans, pipeline.retry, handles).map_err(|halt| halt.message).and_then(|lookups| {
        lookups.probe().map_err(|not_ready| match not_ready {
            NotReady::Waiting(why) => why,
            NotReady::Halt(halt) => halt.message,
        })
    });
    Some(match answer {
        Ok(()) => Reached::ok(server, "answers"),
        Err(found) => Reached::failed(server, found),
    })
}
