//! Looks at the target of a sink before anything is sent: what the index is, and whether it takes what the sink will
//! ask of it. What is wrong is named by the same [`TargetFault`] a running pipeline would meet. Only for an index that
//! is the same for all records.

use serde_json::Value;

use crate::config::plan::{Action, DocumentId, ElasticsearchSinkPlan, OnTombstone};

use super::bulk::constant_index;
use super::client::Cluster;
use super::server::{ServerVersion, encode};
use super::target::TargetFault;

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFinding {
    /// Whether the pipeline can run with it.
    pub ok: bool,
    /// What it is, and what to do about it.
    pub text: String,
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// It is there.
    Found(Value),
    /// It is not there.
    Absent,
    /// Not allowed to look, or a server that does not know the question.
    Unknown(String),
}

impl Seen {
    fn value(&self) -> Option<&Value> {
        match self {
            Self::Found(value) => Some(value),
            Self::Absent | Self::Unknown(_) => None,
        }
    }
}

/// What the servers say about a target.
#[derive(Debug, Clone)]
pub struct TargetFacts {
    /// `GET /{index}/_alias`
    pub aliases: Seen,
    /// `GET /_data_stream/{index}`
    pub stream: Seen,
    /// `GET /_index_template`, for an index that is not there yet.
    pub templates: Seen,
    /// `GET /{index}/_settings`
    pub settings: Seen,
    /// `GET /{index}/_mapping`
    pub mapping: Seen,
    /// `GET /_cat/indices/{index}`: open or closed.
    pub state: Seen,
    /// `GET /_cluster/settings`, for an index that is not there yet.
    pub cluster: Seen,
    /// `GET /_ingest/pipeline/{name}`, by name.
    pub pipelines: Vec<(String, Seen)>,
}

/// Looks at the target of a sink and judges it. Of an index named by the record only the ingest pipeline can be looked
/// at.
pub async fn inspect(cluster: &Cluster, plan: &ElasticsearchSinkPlan) -> Vec<TargetFinding> {
    let Some(index) = constant_index(plan) else {
        let nothing = Seen::Absent;
        return lost(&pipelines(cluster, plan, &nothing).await).collect();
    };
    let server = match ServerVersion::configured(plan.connection.server) {
        Some(server) => Some(server),
        None => cluster.identify().await.ok(),
    };
    let name = encode(&index);
    let aliases = cluster.ask(&format!("{name}/_alias")).await;
    let settings = cluster.ask(&format!("{name}/_settings?flat_settings=true")).await;
    let mapping = cluster.ask(&format!("{name}/_mapping")).await;
    let state = cluster.ask(&format!("_cat/indices/{name}?h=status&format=json")).await;
    let creation = "_cluster/settings?include_defaults=true&filter_path=*.action.auto_create_index";
    let of_cluster = if aliases == Seen::Absent { cluster.ask(creation).await } else { Seen::Absent };
    let knows_streams = server.is_none_or(ServerVersion::knows_data_streams);
    let (stream, templates) = if knows_streams {
        let stream = cluster.ask(&format!("_data_stream/{name}")).await;
        let templates = if aliases == Seen::Absent { cluster.ask("_index_template").await } else { Seen::Absent };
        (stream, templates)
    } else {
        (Seen::Absent, Seen::Absent)
    };
    let pipelines = pipelines(cluster, plan, &settings).await;
    let typed = server.is_some_and(ServerVersion::needs_type);
    let target = TargetFacts { aliases, stream, templates, settings, mapping, state, cluster: of_cluster, pipelines };
    judge(plan, &index, typed, &target)
}

async fn pipelines(cluster: &Cluster, plan: &ElasticsearchSinkPlan, settings: &Seen) -> Vec<(String, Seen)> {
    let mut pipelines = Vec::new();
    for pipeline in pipelines_of(plan, settings) {
        let seen = cluster.ask(&format!("_ingest/pipeline/{}", encode(&pipeline))).await;
        pipelines.push((pipeline, seen));
    }
    pipelines
}

/// The pipelines that are not there.
fn lost(pipelines: &[(String, Seen)]) -> impl Iterator<Item = TargetFinding> {
    let fault = TargetFault::NoPipeline;
    pipelines.iter().filter(|(_, seen)| *seen == Seen::Absent).map(move |(name, _)| TargetFinding {
        ok: false,
        text: format!("{} ({name}); {}", fault.what(), fault.remedy()),
    })
}

/// Ours and those the index itself names.
fn pipelines_of(plan: &ElasticsearchSinkPlan, settings: &Seen) -> Vec<String> {
    let mut names: Vec<String> = plan.ingest_pipeline.iter().cloned().collect();
    let of_index =
        ["index.default_pipeline", "index.final_pipeline"].into_iter().flat_map(|key| setting(settings, key));
    for name in of_index {
        // Ours takes the place of the default one.
        if name != "_none" && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// A setting of the indexes, where they have it.
fn setting(settings: &Seen, key: &str) -> Vec<String> {
    let indexes = settings.value().and_then(Value::as_object);
    let of = |index: &Value| index["settings"][key].as_str().map(str::to_owned);
    indexes.map(|indexes| indexes.values().filter_map(of).collect()).unwrap_or_default()
}

/// What an index turns out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Absent,
    Index,
    Alias { indexes: usize, writable: bool },
    Stream { routing: bool },
    StreamToBe,
}

fn kind(index: &str, target: &TargetFacts) -> Option<Kind> {
    if let Some(stream) = target.stream.value().and_then(|value| value["data_streams"].get(0)) {
        return Some(Kind::Stream { routing: stream["allow_custom_routing"].as_bool() == Some(true) });
    }
    match &target.aliases {
        Seen::Unknown(_) => None,
        Seen::Absent if is_stream_to_be(index, &target.templates) => Some(Kind::StreamToBe),
        Seen::Absent => Some(Kind::Absent),
        Seen::Found(value) => {
            let indexes = value.as_object()?;
            let links: Vec<&Value> = indexes.values().filter_map(|one| one["aliases"].get(index)).collect();
            let named = |link: &&&Value| link["is_write_index"].as_bool() == Some(true);
            let left_open = links.len() == 1 && links[0]["is_write_index"].as_bool() != Some(false);
            let writable = left_open || links.iter().any(|link| named(&link));
            Some(if links.is_empty() { Kind::Index } else { Kind::Alias { indexes: links.len(), writable } })
        }
    }
}

/// Whether the cluster may make indexes by itself. A list of patterns is left to the first record.
fn may_be_created(cluster: &Seen) -> bool {
    // The strongest that says anything counts.
    let said = ["transient", "persistent", "defaults"].into_iter().find_map(|level| {
        let value = &cluster.value()?[level]["action"]["auto_create_index"];
        value.as_str().map(str::to_owned).or_else(|| value.as_bool().map(|value| value.to_string()))
    });
    said.as_deref() != Some("false")
}

/// Whether the template that would make the index makes a data stream of it.
fn is_stream_to_be(index: &str, templates: &Seen) -> bool {
    let all = templates.value().and_then(|value| value["index_templates"].as_array());
    let matching = all.into_iter().flatten().map(|one| &one["index_template"]).filter(|template| {
        let patterns = template["index_patterns"].as_array();
        patterns.into_iter().flatten().filter_map(Value::as_str).any(|pattern| matches(pattern, index))
    });
    let chosen = matching.max_by_key(|template| template["priority"].as_i64().unwrap_or(0));
    chosen.is_some_and(|template| template["data_stream"].is_object())
}

/// A name against a pattern with `*`.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(start) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = left.find(piece) else { return false };
        left = &left[at + piece.len()..];
    }
    left.ends_with(last)
}

/// Judges what was seen.
#[must_use]
pub fn judge(plan: &ElasticsearchSinkPlan, index: &str, typed: bool, target: &TargetFacts) -> Vec<TargetFinding> {
    let kind = kind(index, target);
    let mut faults = of_kind(plan, kind);
    let closed = |index: &Value| index["status"].as_str() == Some("close");
    if kind == Some(Kind::Index)
        && target.state.value().and_then(Value::as_array).is_some_and(|all| all.iter().any(closed))
    {
        faults.push(TargetFault::Closed);
    }
    if kind == Some(Kind::Absent) && !plan.require_alias && !may_be_created(&target.cluster) {
        faults.push(TargetFault::Missing);
    }
    faults.extend(of_settings(plan, &target.settings));
    faults.extend(of_mapping(plan, typed, &target.mapping));
    faults.dedup();
    let wrong = |fault: TargetFault| TargetFinding { ok: false, text: format!("{}; {}", fault.what(), fault.remedy()) };
    let mut findings: Vec<TargetFinding> = faults.into_iter().map(wrong).collect();
    findings.extend(lost(&target.pipelines));
    if findings.is_empty() {
        findings.push(TargetFinding { ok: true, text: described(plan, kind, target) });
    }
    findings
}

fn of_kind(plan: &ElasticsearchSinkPlan, kind: Option<Kind>) -> Vec<TargetFault> {
    let mut faults = Vec::new();
    match kind {
        Some(Kind::Stream { .. } | Kind::StreamToBe)
            if plan.actions().iter().any(|action| *action != Action::Create) =>
        {
            faults.push(TargetFault::CreateOnly);
        }
        Some(Kind::Stream { routing: false }) if plan.routing.is_some() => faults.push(TargetFault::RoutingRefused),
        Some(Kind::Alias { writable: false, .. }) => faults.push(TargetFault::NoWriteIndex),
        Some(Kind::Absent | Kind::Index) if plan.require_alias => faults.push(TargetFault::NoAlias),
        Some(Kind::Absent | Kind::Index | Kind::Alias { .. } | Kind::Stream { .. } | Kind::StreamToBe) | None => {}
    }
    faults
}

fn of_settings(plan: &ElasticsearchSinkPlan, settings: &Seen) -> Vec<TargetFault> {
    let mut faults = Vec::new();
    if setting(settings, "index.mode").iter().any(|mode| mode == "time_series") {
        if plan.id != DocumentId::Server {
            faults.push(TargetFault::IdRefused);
        }
        if plan.actions().iter().any(|action| !matches!(action, Action::Create | Action::Index)) {
            faults.push(TargetFault::ActionRefused);
        }
        if plan.routing.is_some() {
            faults.push(TargetFault::RoutingRefused);
        }
    }
    let is_set = |block: &str| setting(settings, block).iter().any(|value| value == "true");
    if is_set("index.blocks.read_only_allow_delete") {
        faults.push(TargetFault::Flooded);
    }
    if is_set("index.blocks.write") || is_set("index.blocks.read_only") {
        faults.push(TargetFault::Blocked);
    }
    faults
}

fn of_mapping(plan: &ElasticsearchSinkPlan, typed: bool, mapping: &Seen) -> Vec<TargetFault> {
    let mut faults = Vec::new();
    let indexes = mapping.value().and_then(Value::as_object);
    for mappings in indexes.into_iter().flat_map(|indexes| indexes.values()).map(|index| &index["mappings"]) {
        let types: Vec<(&str, &Value)> = if typed {
            mappings.as_object().into_iter().flatten().map(|(name, mapping)| (name.as_str(), mapping)).collect()
        } else {
            vec![("_doc", mappings)]
        };
        let names_it = |(name, _): &(&str, &Value)| *name == plan.doc_type;
        // `_doc` reaches the documents of any type.
        if typed && plan.doc_type != "_doc" && !types.is_empty() && !types.iter().any(names_it) {
            faults.push(TargetFault::OtherType);
        }
        for (_, mapping) in types {
            if mapping["_routing"]["required"].as_bool() == Some(true) && plan.routing.is_none() {
                faults.push(TargetFault::RoutingRequired);
            }
            let updates = plan.actions().iter().any(|action| matches!(action, Action::Upsert | Action::Update));
            if mapping["_source"]["enabled"].as_bool() == Some(false) && updates {
                faults.push(TargetFault::NoSource);
            }
        }
    }
    faults
}

fn described(plan: &ElasticsearchSinkPlan, kind: Option<Kind>, target: &TargetFacts) -> String {
    let deletes = plan.on_tombstone == OnTombstone::Delete;
    let tombstones =
        if deletes { "; a record without a value would be refused: write `on_tombstone: drop`" } else { "" };
    match kind {
        None => match &target.aliases {
            Seen::Unknown(why) => format!("could not be looked at ({why}); it will show when records are sent"),
            Seen::Found(_) | Seen::Absent => "could not be looked at".to_owned(),
        },
        Some(Kind::Absent) => {
            "does not exist yet; the first record creates it, where the server allows that".to_owned()
        }
        Some(Kind::Index) => "an index".to_owned(),
        Some(Kind::Alias { indexes: 1, .. }) => "an alias of one index".to_owned(),
        Some(Kind::Alias { indexes, .. }) => format!("an alias of {indexes} indexes, one of them to write to"),
        Some(Kind::Stream { .. }) => format!("a data stream, which takes `create`{tombstones}"),
        Some(Kind::StreamToBe) => format!("the first record makes a data stream, which takes `create`{tombstones}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::elasticsearch::fixtures::{sink_plan, template};
    use serde_json::json;

    /// A plain index `x`.
    fn plain() -> TargetFacts {
        TargetFacts {
            aliases: Seen::Found(json!({ "x": { "aliases": {} } })),
            stream: Seen::Absent,
            templates: Seen::Absent,
            settings: Seen::Found(json!({ "x": { "settings": { "index.number_of_shards": "1" } } })),
            mapping: Seen::Found(json!({ "x": { "mappings": {} } })),
            state: Seen::Found(json!([{ "status": "open" }])),
            cluster: Seen::Absent,
            pipelines: Vec::new(),
        }
    }

    fn faults(plan: &ElasticsearchSinkPlan, typed: bool, target: &TargetFacts) -> Vec<String> {
        judge(plan, "x", typed, target).into_iter().filter(|finding| !finding.ok).map(|finding| finding.text).collect()
    }

    fn told(found: &[String], fault: TargetFault) -> bool {
        matches!(found, [one] if one.contains(fault.remedy()))
    }

    #[test]
    fn an_index_that_fits_is_described() {
        let found = judge(&sink_plan("x"), "x", false, &plain());
        assert_eq!(found, [TargetFinding { ok: true, text: "an index".to_owned() }]);
        let hidden = TargetFacts { aliases: Seen::Unknown("403".into()), ..plain() };
        let found = judge(&sink_plan("x"), "x", false, &hidden);
        assert!(found[0].ok && found[0].text.contains("403"), "not allowed to look is no fault: {found:?}");
    }

    #[test]
    fn an_index_that_is_closed_or_may_not_be_made_is_named() {
        let plan = sink_plan("x");
        let closed = TargetFacts { state: Seen::Found(json!([{ "status": "close" }])), ..plain() };
        assert!(told(&faults(&plan, false, &closed), TargetFault::Closed));
        let absent = |cluster: Value| TargetFacts { aliases: Seen::Absent, cluster: Seen::Found(cluster), ..plain() };
        let setting = |value: &str| json!({ "action": { "auto_create_index": value } });
        let never = json!({ "persistent": setting("false"), "defaults": setting("true") });
        assert!(told(&faults(&plan, false, &absent(never)), TargetFault::Missing));
        for cluster in [
            json!({ "defaults": setting("true") }),
            json!({ "defaults": setting("+x*,-*") }),
            json!({ "transient": setting("true"), "defaults": setting("false") }),
            json!({}),
        ] {
            assert!(faults(&plan, false, &absent(cluster.clone())).is_empty(), "{cluster}");
        }
    }

    #[test]
    fn an_alias_needs_an_index_to_write_to() {
        let alias = |links: &[Value]| {
            let indexes =
                links.iter().enumerate().map(|(at, link)| (format!("x-{at}"), json!({"aliases": {"x": link}})));
            TargetFacts { aliases: Seen::Found(Value::Object(indexes.collect())), ..plain() }
        };
        let plan = sink_plan("x");
        let table = [
            (vec![json!({})], true),
            (vec![json!({ "is_write_index": false })], false),
            (vec![json!({}), json!({})], false),
            (vec![json!({ "is_write_index": true }), json!({})], true),
        ];
        for (links, fits) in table {
            let found = faults(&plan, false, &alias(&links));
            assert!(
                if fits { found.is_empty() } else { told(&found, TargetFault::NoWriteIndex) },
                "{links:?}: {found:?}"
            );
        }
        let strict = ElasticsearchSinkPlan { require_alias: true, ..sink_plan("x") };
        assert!(faults(&strict, false, &alias(&[json!({})])).is_empty());
        assert!(told(&faults(&strict, false, &plain()), TargetFault::NoAlias));
        assert!(told(&faults(&strict, false, &TargetFacts { aliases: Seen::Absent, ..plain() }), TargetFault::NoAlias));
    }

    #[test]
    fn a_data_stream_takes_create_only_also_before_it_exists() {
        let exists = TargetFacts { stream: Seen::Found(json!({ "data_streams": [{ "name": "x" }] })), ..plain() };
        let templates = json!({ "index_templates": [
            { "index_template": { "index_patterns": ["*"], "priority": 1 } },
            { "index_template": { "index_patterns": ["y*", "x*"], "priority": 5, "data_stream": {} } },
        ] });
        let to_be = TargetFacts { aliases: Seen::Absent, templates: Seen::Found(templates), ..plain() };
        let create = ElasticsearchSinkPlan { action: Action::Create, ..sink_plan("x") };
        let index = ElasticsearchSinkPlan { action: Action::Index, ..sink_plan("x") };
        for target in [&exists, &to_be] {
            assert!(told(&faults(&sink_plan("x"), false, target), TargetFault::CreateOnly), "the default action");
            assert!(told(&faults(&index, false, target), TargetFault::CreateOnly));
            assert!(faults(&create, false, target).is_empty());
        }
        let routed = ElasticsearchSinkPlan { routing: Some(template("r")), ..create };
        assert!(told(&faults(&routed, false, &exists), TargetFault::RoutingRefused));
        assert!(!matches("x-*-z", "x-y") && matches("x-*-z", "x-y-z") && matches("*", "x") && !matches("x", "xy"));
    }

    #[test]
    fn settings_mappings_and_pipelines_are_looked_at() {
        let plan = sink_plan("x");
        let of = |settings: Value| TargetFacts {
            settings: Seen::Found(json!({ "x": { "settings": settings } })),
            ..plain()
        };
        let mapped =
            |mappings: Value| TargetFacts { mapping: Seen::Found(json!({ "x": { "mappings": mappings } })), ..plain() };
        let series = faults(&plan, false, &of(json!({ "index.mode": "time_series" })));
        assert!(series.iter().any(|text| text.contains(TargetFault::IdRefused.remedy())), "{series:?}");
        let without = ElasticsearchSinkPlan { id: DocumentId::Server, action: Action::Create, ..sink_plan("x") };
        assert!(faults(&without, false, &of(json!({ "index.mode": "time_series" }))).is_empty());
        assert!(told(&faults(&plan, false, &of(json!({ "index.blocks.write": "true" }))), TargetFault::Blocked));
        let required = json!({ "_routing": { "required": true } });
        assert!(told(&faults(&plan, false, &mapped(required.clone())), TargetFault::RoutingRequired));
        assert!(told(&faults(&plan, true, &mapped(json!({ "doc": required }))), TargetFault::RoutingRequired), "6.8");
        assert!(told(
            &faults(&plan, false, &mapped(json!({ "_source": { "enabled": false } }))),
            TargetFault::NoSource
        ));
        let typed = ElasticsearchSinkPlan { doc_type: "itmes".to_owned(), ..sink_plan("x") };
        assert!(told(&faults(&typed, true, &mapped(json!({ "items": {} }))), TargetFault::OtherType));
        assert!(faults(&plan, true, &mapped(json!({ "items": {} }))).is_empty(), "_doc reaches every type");
        let piped = TargetFacts { pipelines: vec![("enrich".to_owned(), Seen::Absent)], ..plain() };
        let found = faults(&plan, false, &piped);
        assert!(told(&found, TargetFault::NoPipeline) && found[0].contains("enrich"), "{found:?}");
        let named = of(json!({ "index.default_pipeline": "a", "index.final_pipeline": "_none" }));
        assert_eq!(pipelines_of(&plan, &named.settings), ["a"]);
    }
}
