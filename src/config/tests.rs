//! What people get for what they write: the examples load, and each mistake is named with file, line, key and remedy.

use std::time::Duration;

use super::plan::*;
use super::*;
use crate::leaf::{Constant, ValueForm};
use crate::model::MemoryShare;
use crate::preprocess::steps::filter::{ConditionPlan, Test};

mod bad;
mod canary;
mod sink;
mod snapshots;
mod test_files;

pub(super) fn environment(name: &str) -> Option<String> {
    match name {
        "TOPIC" => Some("from-env".to_owned()),
        "LANES" => Some("7".to_owned()),
        "WORD" => Some("many".to_owned()),
        "REDIS" => Some("redis://h:6379".to_owned()),
        "EMPTY" => Some(String::new()),
        "BROKER_LIST" => Some("a:9092,b:9092 c:9092".to_owned()),
        "NODES" => Some("http://h1:9200, https://us%40er:s3cret@h2:9200".to_owned()),
        "TOPICS" => Some("a,^b{1,2}$, c".to_owned()),
        "PW" => Some("canary-env-1".to_owned()),
        _ => None,
    }
}

pub(super) const SURROUNDINGS: Surroundings<'static> =
    Surroundings { environment: &environment, property: &|_, _| Ok(()), tls: false, cores: 4 };

fn load(text: &str) -> Loaded {
    load_text(text, "t.yaml", SURROUNDINGS).unwrap_or_else(|findings| panic!("{findings}"))
}

const EXAMPLE: &str = include_str!("../../config/sluicegate.yaml");
const MINIMAL: &str = include_str!("../../config/minimal.yaml");

#[test]
fn the_example_is_the_script_it_replaces() {
    let loaded = load(EXAMPLE);
    assert_eq!(loaded.warnings, []);
    let plan = loaded.plan;
    assert_eq!(plan.memory_bytes, 256 << 20);
    assert_eq!(plan.tests.len(), 3);
    let [relay, index] = plan.pipelines.as_slice() else { panic!("{:?}", plan.pipelines) };
    assert_eq!((relay.name.as_ref(), relay.workers, relay.memory), ("relay", 3, MemoryShare(128 << 20)));
    let SinkPlan::Kafka(kafka) = &relay.sink else { panic!() };
    assert_eq!((kafka.linger, kafka.topic.text.as_str()), (Duration::from_millis(20), "events-clean"));
    assert_eq!(relay.source.connection.brokers.len(), 2);
    let SinkPlan::Elasticsearch(search) = &index.sink else { panic!() };
    assert_eq!((search.doc_type.as_str(), search.action, search.lanes), ("itmes", Action::Upsert, 4));
    assert!(matches!(&index.steps[1].kind, StepKind::Lookup(lookup) if lookup.into.members == ["user_info"]));
    assert_eq!(index.steps[1].place.as_ref(), "steps[1].lookup");
    assert!(matches!(&index.on_reject, OnReject::DeadLetterKafka { topic, .. } if topic == "items-dead"));
}

#[test]
fn the_example_shows_the_defaults() {
    let commented_out = ["type: itmes", "id: \"{/id}\"", "action: upsert"];
    let text: String = EXAMPLE
        .lines()
        .filter(|line| !commented_out.iter().any(|part| line.contains(part)))
        .collect::<Vec<_>>()
        .join("\n");
    let SinkPlan::Elasticsearch(example) = load(&text).plan.pipelines.remove(1).sink else { panic!() };
    let SinkPlan::Elasticsearch(minimal) = load(MINIMAL).plan.pipelines.remove(0).sink else { panic!() };
    assert_eq!(
        format!("{:?}", ElasticsearchSinkPlan { connection: minimal.connection.clone(), ..example }),
        format!("{:?}", ElasticsearchSinkPlan { on_tombstone: OnTombstone::Reject, ..minimal }),
    );
}

#[test]
fn the_shortest_pipeline_gets_the_documented_defaults() {
    let loaded = load(MINIMAL);
    assert_eq!(loaded.warnings, []);
    let plan = loaded.plan;
    assert_eq!(plan.listen.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:9598"));
    assert_eq!((plan.memory_bytes, plan.pipelines[0].span_records), (256 << 20, 200_000));
    assert_eq!(
        (plan.startup_timeout, plan.shutdown_timeout, plan.watchdog_timeout),
        (Duration::from_secs(60), Duration::from_secs(30), Duration::from_secs(600))
    );
    let pipeline = &plan.pipelines[0];
    assert!(matches!(pipeline.on_reject, OnReject::Stop));
    assert_eq!(pipeline.breaker, BreakerPlan { ratio: 0.1, window: 1_000, in_a_row: 100, count_redirected: false });
    assert_eq!(pipeline.commit_interval, Duration::from_millis(200));
    assert_eq!(pipeline.retry.in_place, Duration::from_secs(150));
    assert_eq!(
        (pipeline.source.start, pipeline.source.revoke_timeout, pipeline.source.session_timeout),
        (Start::Earliest, Duration::from_secs(2), Duration::from_secs(45))
    );
    let SinkPlan::Elasticsearch(sink) = &pipeline.sink else { panic!() };
    let id = sink.id.template().map(|id| id.text.as_str());
    assert_eq!(
        (sink.doc_type.as_str(), id, sink.action),
        ("_doc", Some("{topic}+{partition}+{offset}"), Action::Index)
    );
    assert_eq!(sink.on_tombstone, OnTombstone::Reject);
    assert_eq!(
        (sink.batch_records, sink.batch_bytes, sink.linger, sink.lanes, sink.retry_on_conflict),
        (5_000, 5 << 20, Duration::from_millis(100), 4, 3)
    );
    assert_eq!(sink.concurrency, ConcurrencyMode::Adaptive);
    assert_eq!(sink.connection.request_timeout, Duration::from_secs(60));
}

#[test]
fn one_configuration_in_three_formats_is_the_same_plan() {
    let directory = tempfile::tempdir().unwrap();
    let toml = "[connections.kafka.upstream]\nbrokers = [\"127.0.0.1:9092\"]\n[connections.elasticsearch.search]\nnodes = [\"http://127.0.0.1:9200\"]\n[pipelines.index.source.kafka]\nconnection = \"upstream\"\ntopics = [\"events\"]\ngroup = \"index\"\n[pipelines.index.sink.elasticsearch]\nconnection = \"search\"\nindex = \"items\"\n";
    let json = r#"{"connections":{"kafka":{"upstream":{"brokers":["127.0.0.1:9092"]}},"elasticsearch":{"search":{"nodes":["http://127.0.0.1:9200"]}}},
        "pipelines":{"index":{"source":{"kafka":{"connection":"upstream","topics":["events"],"group":"index"}},"sink":{"elasticsearch":{"connection":"search","index":"items"}}}}}"#;
    let mut shown = Vec::new();
    for (name, text) in [("a.yaml", MINIMAL), ("a.toml", toml), ("a.json", json)] {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        let inputs = Inputs { paths: vec![path], sets: Vec::new() };
        let loaded = super::load(&inputs, SURROUNDINGS).unwrap_or_else(|findings| panic!("{findings}"));
        shown.push(format!("{:?}", loaded.plan));
    }
    assert_eq!(shown[0], shown[1]);
    assert_eq!(shown[0], shown[2]);
}

#[test]
fn directories_join_by_name_and_flags_come_last() {
    let directory = tempfile::tempdir().unwrap();
    let (connections, pipelines) = MINIMAL.split_once("\npipelines:").unwrap();
    std::fs::write(directory.path().join("10-servers.yaml"), connections).unwrap();
    std::fs::write(directory.path().join("20-index.yml"), format!("pipelines:{pipelines}")).unwrap();
    std::fs::write(directory.path().join("notes.txt"), "not: [yaml").unwrap();
    let sets = vec![
        "pipelines.index.sink.elasticsearch.lanes=9".to_owned(),
        "pipelines.index.sink.elasticsearch.concurrency=fixed".to_owned(),
        "connections.kafka.upstream.librdkafka.fetch.wait.max.ms=7".to_owned(),
        "pipelines.index.steps=[{select: /result}]".to_owned(),
    ];
    let inputs = Inputs { paths: vec![directory.path().to_owned()], sets };
    let loaded = super::load(&inputs, SURROUNDINGS).unwrap_or_else(|findings| panic!("{findings}"));
    let pipeline = &loaded.plan.pipelines[0];
    let SinkPlan::Elasticsearch(sink) = &pipeline.sink else { panic!() };
    assert_eq!((sink.lanes, sink.concurrency), (9, ConcurrencyMode::Fixed));
    assert_eq!(
        loaded.index.origin("pipelines.index.sink.elasticsearch.lanes").to_string(),
        "--set pipelines.index.sink.elasticsearch.lanes"
    );
    assert!(pipeline.source.connection.properties.contains_key("fetch.wait.max.ms"));
    assert_eq!(pipeline.steps.len(), 1);

    std::fs::write(directory.path().join("30-again.yaml"), format!("pipelines:{pipelines}")).unwrap();
    let shown = super::load(&inputs, SURROUNDINGS).unwrap_err().to_string();
    assert!(shown.contains("20-index.yml:") && shown.contains("30-again.yaml:"), "{shown}");
}

#[test]
fn variables_are_filled_in_quoted_or_not() {
    for (topic, lanes) in
        [("${TOPIC}", "${LANES}"), ("\"${TOPIC}\"", "\"${LANES}\""), ("'${NONE:-from-env}'", "${NONE:-7}")]
    {
        let text = MINIMAL
            .replace(
                "{ connection: upstream, topics: [events], group: index }",
                &format!("\n        connection: upstream\n        topics:\n        - {topic}\n        group: index"),
            )
            .replace(
                "{ connection: search, index: items }",
                &format!("\n        connection: search\n        index: items\n        lanes: {lanes}"),
            );
        let pipeline = load(&text).plan.pipelines.remove(0);
        assert_eq!(pipeline.source.topics[0].to_string(), "from-env", "{topic}");
        let SinkPlan::Elasticsearch(sink) = &pipeline.sink else { panic!() };
        assert_eq!(sink.lanes, 7, "{lanes}");
    }
}

/// The conditions of a `where` in each of the three formats.
fn bounds(condition: &str) -> Vec<String> {
    let yaml =
        MINIMAL.replace("    sink:", &format!("    steps: [{{ where: [{{ field: /n, {condition} }}] }}]\n    sink:"));
    let pipeline = load(&yaml).plan.pipelines.remove(0);
    let StepKind::Where(filter) = &pipeline.steps[0].kind else { panic!() };
    let number = |scalar: &Constant| match scalar {
        Constant::Number(number) => format!("number {number}"),
        Constant::String(text) => format!("text {text}"),
        Constant::Bool(value) => format!("{value}"),
    };
    let shown = |condition: &ConditionPlan| match &condition.test {
        Test::Number(_, bound) => vec![bound.to_string()],
        Test::In(list) | Test::NotIn(list) => list.iter().map(number).collect(),
        Test::Exists(_) | Test::Prefix(_) | Test::Matches(_) | Test::Type(_) | Test::Length(_) | Test::Group(..) => {
            Vec::new()
        }
    };
    filter.conditions.iter().flat_map(shown).collect()
}

#[test]
fn numbers_keep_every_digit_that_was_written() {
    for (condition, expected) in [
        ("greater_than: 1763556497161513791", "1763556497161513791"),
        ("less_than: 18446744073709551617", "18446744073709551617"),
        ("at_most: -340282366920938463463374607431768211457.50", "-340282366920938463463374607431768211457.50"),
        ("at_least: 0.1000000000000000000000000001", "0.1000000000000000000000000001"),
        ("at_least: 1E+2", "1e+2"),
        ("less_than: \"${LANES}\"", "7"),
        ("equals: 18446744073709551616", "number 18446744073709551616"),
        ("in: [1.10]", "number 1.10"),
        ("not_in: [0xFFFFFFFFFFFFFFFF]", "number 18446744073709551615"),
        ("equals: \"18446744073709551616\"", "text 18446744073709551616"),
        ("equals: 16e94057", "text 16e94057"),
        ("equals: 007", "text 007"),
        ("equals: 1_000", "text 1_000"),
        ("equals: .inf", "text .inf"),
    ] {
        assert_eq!(bounds(condition), [expected], "{condition}");
    }
    let json = r#"{"connections": {"elasticsearch": {"e": {"nodes": ["http://h:9200"]}}, "kafka": {"k": {"brokers": ["h:1"]}}},
        "pipelines": {"p": {"source": {"kafka": {"connection": "k", "topics": ["t"], "group": "g"}},
        "steps": [{"where": [{"field": "/n", "less_than": 1763556497161513791123456789.5}]}],
        "sink": {"elasticsearch": {"connection": "e", "index": "i"}}}}}"#;
    let toml = "connections.elasticsearch.e.nodes = ['http://h:9200']\nconnections.kafka.k.brokers = ['h:1']\n\
        [pipelines.p]\nsource.kafka = { connection = 'k', topics = ['t'], group = 'g' }\n\
        steps = [{ where = [{ field = '/n', less_than = 1763556497161513791123456789.5 }] }]\n\
        sink.elasticsearch = { connection = 'e', index = 'i' }\n";
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("c.json", json), ("c.toml", toml)] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let inputs = Inputs { paths: vec![path], sets: Vec::new() };
        let plan = super::load(&inputs, SURROUNDINGS).unwrap_or_else(|findings| panic!("{findings}")).plan;
        let shown = format!("{:?}", plan.pipelines[0].steps[0].kind);
        assert!(shown.contains("1763556497161513791123456789.5"), "{name}: {shown}");
    }
}

#[test]
fn text_that_looks_like_another_type_is_text() {
    for name in [
        "16e94057",
        "1e999",
        "-1e400",
        ".inf",
        ".nan",
        "0x1F",
        "0o17",
        "1_000",
        "1:20",
        "2024-11-03",
        "yes",
        "off",
        "007",
        "1.10",
    ] {
        let text = MINIMAL.replace("group: index", &format!("group: {name}"));
        assert_eq!(load(&text).plan.pipelines[0].source.group, name);
        let quoted = MINIMAL.replace("group: index", &format!("group: \"{name}\""));
        assert_eq!(load(&quoted).plan.pipelines[0].source.group, name);
        if name.contains(':') {
            continue;
        }
        let named = MINIMAL.replace("  index:", &format!("  {name}:")).replace("upstream", name);
        assert_eq!(&*load(&named).plan.pipelines[0].name, name, "names are keys");
    }
}

#[test]
fn one_variable_fills_a_list() {
    for (brokers, nodes, topics) in [
        ("[\"${BROKER_LIST}\"]", "[\"${NODES}\"]", "[\"${TOPICS}\"]"),
        ("\"${BROKER_LIST}\"", "\"${NODES}\"", "\"${TOPICS}\""),
        ("\"a:9092, b:9092 c:9092\"", "\"http://h1:9200,https://us%40er:s3cret@h2:9200\"", "\"a ^b{1,2}$ c\""),
        (
            "'[\"a:9092\", \"b:9092\", \"c:9092\"]'",
            "'http://h1:9200;https://us%40er:s3cret@h2:9200'",
            "'\"a;^b{1,2}$;c\"'",
        ),
        (
            "'\"a:9092,b:9092;c:9092\"'",
            "\"['http://h1:9200', 'https://us%40er:s3cret@h2:9200']\"",
            "'[a, \"^b{1,2}$\", c]'",
        ),
        ("[\"a:9092\", \"${NONE:-b:9092,c:9092}\"]", "[\"${NODES}\"]", "[a, \"^b{1,2}$\", \"${NONE:-c}\"]"),
    ] {
        let text = MINIMAL
            .replace("brokers: [\"127.0.0.1:9092\"]", &format!("brokers: {brokers}"))
            .replace("nodes: [\"http://127.0.0.1:9200\"]", &format!("nodes: {nodes}"))
            .replace("topics: [events]", &format!("topics: {topics}"));
        let text = text.replace("{ connection: upstream, topics", "{ connection: upstream,\n        topics");
        let pipeline = load(&text).plan.pipelines.remove(0);
        assert_eq!(pipeline.source.connection.brokers, ["a:9092", "b:9092", "c:9092"], "{brokers}");
        let topics: Vec<String> = pipeline.source.topics.iter().map(ToString::to_string).collect();
        assert_eq!(topics, ["a", "^b{1,2}$", "c"]);
        let SinkPlan::Elasticsearch(sink) = &pipeline.sink else { panic!() };
        assert_eq!(sink.connection.nodes, ["http://h1:9200", "https://h2:9200"]);
    }
    let found = load_text(&MINIMAL.replace("[events]", "\"${EMPTY}\""), "t.yaml", SURROUNDINGS).err();
    assert!(found.is_some_and(|found| found.to_string().contains("the variable `EMPTY` is empty")));
}

#[test]
fn times_in_templates_are_in_the_zone_of_the_pipeline() {
    let text = MINIMAL
        .replace("index: items", "index: \"items-{timestamp:%Y.%m.%d}-{/t:%H}\"")
        .replace("    sink:", "    time_zone: Europe/Berlin\n    sink:");
    let pipeline = load(&text).plan.pipelines.remove(0);
    let SinkPlan::Elasticsearch(sink) = &pipeline.sink else { panic!() };
    let zones = sink.index.segments.iter().filter_map(|segment| match segment {
        TemplateSegment::Formed { form: ValueForm::Time(time), .. } => time.zone.iana_name(),
        _ => None,
    });
    assert_eq!(zones.collect::<Vec<_>>(), ["Europe/Berlin"; 2]);
    let wrong = MINIMAL.replace("    sink:", "    time_zone: Europe/Berln\n    sink:");
    let found = load_text(&wrong, "t.yaml", SURROUNDINGS).err().map(|found| found.to_string()).unwrap_or_default();
    assert!(found.contains("pipelines.index.time_zone") && found.contains("tzdata"), "{found}");
    let now = MINIMAL.replace("index: items", "index: items, id: \"{now:%s}\"");
    assert!(load(&now).warnings.iter().any(|warning| warning.reason.contains("changes with the time")));
}

#[test]
fn credentials_in_a_node_url_become_auth_and_leave_the_url() {
    let text = MINIMAL.replace("http://127.0.0.1:9200", "https://us%40er:s%2Fe@h:9200");
    let loaded = load(&text);
    let SinkPlan::Elasticsearch(sink) = &loaded.plan.pipelines[0].sink else { panic!() };
    assert_eq!(sink.connection.nodes, ["https://h:9200"]);
    let Auth::Basic { username, password } = &sink.connection.auth else { panic!() };
    assert_eq!((username.as_str(), secrecy::ExposeSecret::expose_secret(password)), ("us@er", "s/e"));
    assert_eq!(loaded.warnings.len(), 1);
}

#[test]
fn tls_and_sasl_become_properties() {
    let text = MINIMAL.replace(
        "{ brokers: [\"127.0.0.1:9092\"] }",
        "{ brokers: [\"127.0.0.1:9092\"], tls: {verify: false}, sasl: {mechanism: SCRAM-SHA-512, username: u, password: {env: PW}} }",
    );
    let loaded = load_text(&text, "t.yaml", Surroundings { tls: true, ..SURROUNDINGS }).unwrap();
    let shown: Vec<String> = loaded.plan.pipelines[0]
        .source
        .connection
        .properties
        .iter()
        .map(|(name, value)| format!("{name}={}", secrecy::ExposeSecret::expose_secret(value)))
        .collect();
    assert_eq!(
        shown,
        [
            "enable.ssl.certificate.verification=false",
            "sasl.mechanism=SCRAM-SHA-512",
            "sasl.password=canary-env-1",
            "sasl.username=u",
            "security.protocol=SASL_SSL"
        ]
    );
}

proptest::proptest! {
    /// Whatever is typed anywhere, the answer is a plan or findings with a place; never a panic.
    #[test]
    fn damage_is_answered(at in 0usize..600, text in "[ -~\n\tü…]{1,12}", flag in "[a-z.\\[\\]\"0-9=é]{0,20}") {
        for base in [EXAMPLE, MINIMAL] {
            let at = (0..=(at * base.len() / 600).min(base.len())).rev().find(|at| base.is_char_boundary(*at)).unwrap_or(0);
            let mut damaged = base.to_owned();
            damaged.insert_str(at, &text);
            if let Err(findings) = load_text(&damaged, "t.yaml", SURROUNDINGS) {
                proptest::prop_assert!(findings.errors() > 0);
                for finding in &findings.0 {
                    proptest::prop_assert!(finding.origin.to_string().starts_with("t.yaml:"), "{}", finding);
                }
            }
        }
        let inputs = Inputs { paths: vec!["config/minimal.yaml".into()], sets: vec![flag] };
        let _ = super::load(&inputs, SURROUNDINGS);
    }
}
