//! What kind of server it is, and what that changes in a bulk request's path. Pure.

use std::fmt::Write;

use serde_json::Value;

use crate::config::plan::{ElasticsearchSinkPlan, ServerKind};

use super::answer::FILTER_PATH;
use super::bulk::constant_index;

/// Family and generation of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerVersion {
    /// OpenSearch; otherwise Elasticsearch.
    pub opensearch: bool,
    /// Major version.
    pub major: u8,
    /// Minor version, when known.
    pub minor: Option<u8>,
}

impl ServerVersion {
    /// What is taken for granted when nobody says: the path every server since 7.0 understands.
    pub const ASSUMED: Self = Self { opensearch: false, major: 8, minor: None };

    /// What the configuration says; `None` = ask the server.
    #[must_use]
    pub fn configured(kind: ServerKind) -> Option<Self> {
        match kind {
            ServerKind::Auto => None,
            ServerKind::Elasticsearch(major) => Some(Self { opensearch: false, major, minor: None }),
            ServerKind::OpenSearch(major) => Some(Self { opensearch: true, major, minor: None }),
        }
    }

    /// From the answer to `GET /`.
    #[must_use]
    pub fn from_root(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let opensearch = value["version"]["distribution"].as_str() == Some("opensearch");
        Self::parse(value["version"]["number"].as_str()?, opensearch)
    }

    /// From the answer to `GET /_nodes?filter_path=nodes.*.version`: the oldest node counts. Versions below 5 are
    /// OpenSearch's.
    #[must_use]
    pub fn from_nodes(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let nodes = value["nodes"].as_object()?;
        let parsed = nodes.values().filter_map(|node| {
            let server = Self::parse(node["version"].as_str()?, false)?;
            Some(Self { opensearch: server.major < 5, ..server })
        });
        parsed.min_by_key(|server| (server.major, server.minor))
    }

    fn parse(number: &str, opensearch: bool) -> Option<Self> {
        let mut parts = number.split(['.', '-']);
        let major = parts.next()?.parse().ok()?;
        Some(Self { opensearch, major, minor: parts.next().and_then(|minor| minor.parse().ok()) })
    }

    /// Mapping types exist and must be named.
    #[must_use]
    pub fn needs_type(self) -> bool {
        !self.opensearch && self.major <= 6
    }

    /// Data streams exist (7.9 and later, OpenSearch).
    #[must_use]
    pub fn knows_data_streams(self) -> bool {
        self.opensearch || self.major > 7 || (self.major == 7 && self.minor.is_none_or(|minor| minor >= 9))
    }

    fn knows_require_alias(self) -> bool {
        self.opensearch || self.major > 7 || (self.major == 7 && self.minor.is_none_or(|minor| minor >= 10))
    }

    /// Path and query of bulk requests. On 6.x the path names the type also when the index differs by record: `_index`
    /// in the action line overrides the path's, the type stays.
    #[must_use]
    pub fn bulk_path(self, plan: &ElasticsearchSinkPlan) -> String {
        let mut path = String::new();
        match (constant_index(plan), self.needs_type()) {
            (Some(index), true) => path = format!("{}/{}/", encode(&index), encode(&plan.doc_type)),
            (Some(index), false) => path = format!("{}/", encode(&index)),
            (None, true) => path = format!("{}/{}/", "sluicegate-no-index", encode(&plan.doc_type)),
            (None, false) => {}
        }
        // Writing to a String cannot fail.
        let _ = write!(path, "_bulk?filter_path={FILTER_PATH}");
        if let Some(pipeline) = &plan.ingest_pipeline {
            let _ = write!(path, "&pipeline={}", encode(pipeline));
        }
        if plan.require_alias && self.knows_require_alias() {
            path.push_str("&require_alias=true");
        }
        path
    }

    /// Whether `require_alias` was asked for and this server does not know it.
    #[must_use]
    pub fn ignores_require_alias(self, plan: &ElasticsearchSinkPlan) -> bool {
        plan.require_alias && !self.knows_require_alias()
    }
}

impl std::fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.opensearch { "OpenSearch " } else { "Elasticsearch " })?;
        match self.minor {
            Some(minor) => write!(f, "{}.{minor}", self.major),
            None => write!(f, "{}", self.major),
        }
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::elasticsearch::fixtures::sink_plan;

    fn server(opensearch: bool, major: u8, minor: u8) -> ServerVersion {
        ServerVersion { opensearch, major, minor: Some(minor) }
    }

    #[test]
    fn is_recognised_by_what_it_answers() {
        let root = |version: &str| format!(r#"{{"name":"n","version":{version},"tagline":"…"}}"#);
        let table = [
            (root(r#"{"number":"6.8.2","build_flavor":"oss"}"#), Some(server(false, 6, 8))),
            (root(r#"{"number":"7.10.2"}"#), Some(server(false, 7, 10))),
            (root(r#"{"number":"9.2.4-SNAPSHOT"}"#), Some(server(false, 9, 2))),
            (root(r#"{"distribution":"opensearch","number":"2.19.1"}"#), Some(server(true, 2, 19))),
            (root(r#"{"distribution":"opensearch","number":"7.10.2"}"#), Some(server(true, 7, 10))),
            (r#"{"error":"Incorrect HTTP method","status":405}"#.to_owned(), None),
            ("<html>".to_owned(), None),
        ];
        for (body, want) in table {
            assert_eq!(ServerVersion::from_root(body.as_bytes()), want, "{body}");
        }
        let nodes = br#"{"nodes":{"a":{"version":"7.17.1"},"b":{"version":"6.8.2"}}}"#;
        assert_eq!(ServerVersion::from_nodes(nodes), Some(server(false, 6, 8)), "a rolling upgrade: the oldest counts");
        assert_eq!(ServerVersion::from_nodes(br#"{"nodes":{"a":{"version":"3.4.0"}}}"#), Some(server(true, 3, 4)));
        assert_eq!(ServerVersion::from_nodes(br#"{"nodes":{}}"#), None);
    }

    #[test]
    fn the_path_names_what_the_generation_wants() {
        let mut plan = sink_plan("items");
        plan.doc_type = "itmes".to_owned();
        let path = |server: ServerVersion, plan: &ElasticsearchSinkPlan| {
            let path = server.bulk_path(plan);
            path.replace(&format!("filter_path={FILTER_PATH}"), "F")
        };
        assert_eq!(path(server(false, 6, 8), &plan), "items/itmes/_bulk?F");
        for newer in [server(false, 7, 0), server(false, 8, 19), server(false, 9, 2), server(true, 1, 3)] {
            assert_eq!(path(newer, &plan), "items/_bulk?F", "{newer}");
        }
        plan.ingest_pipeline = Some("a b".to_owned());
        plan.require_alias = true;
        assert_eq!(path(server(false, 7, 10), &plan), "items/_bulk?F&pipeline=a%20b&require_alias=true");
        assert_eq!(path(server(false, 7, 9), &plan), "items/_bulk?F&pipeline=a%20b");
        assert_eq!(path(server(false, 6, 8), &plan), "items/itmes/_bulk?F&pipeline=a%20b");
        let by_record = ElasticsearchSinkPlan { ingest_pipeline: None, ..sink_plan("{key}") };
        assert_eq!(
            path(server(false, 8, 1), &by_record),
            "_bulk?F&require_alias=true".replace("&require_alias=true", "")
        );
        assert_eq!(path(server(false, 6, 8), &by_record), "sluicegate-no-index/_doc/_bulk?F");
        let odd = sink_plan("<logs-{now/d}>");
        assert_eq!(path(server(false, 8, 1), &odd), "%3Clogs-%7Bnow%2Fd%7D%3E/_bulk?F");
    }
}
