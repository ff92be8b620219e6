//! Looking into a test's Elasticsearch: indices, counts, every document.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use super::error::ServiceError;
use super::http::{self, HttpReply};
use super::service::Service;

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Documents a page when reading an index whole.
const PAGE: usize = 5_000;
/// Characters of an answer in an error.
const ANSWER_CHARACTERS: usize = 400;

/// A document as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// `_version`.
    pub version: i64,
    /// `_routing`, when the document was written with one.
    pub routing: Option<String>,
    /// `_source`, byte for byte as the server returns it.
    pub source: String,
}

/// Plain requests to one node.
#[derive(Clone, Debug)]
pub struct ElasticsearchClient {
    address: String,
}

impl ElasticsearchClient {
    /// A client for a service.
    pub fn new(service: &Service) -> ElasticsearchClient {
        ElasticsearchClient::at(service.endpoint())
    }

    /// A client for `http://host:port`; anything after that is ignored.
    pub fn at(endpoint: &str) -> ElasticsearchClient {
        let bare = endpoint.strip_prefix("http://").unwrap_or(endpoint);
        ElasticsearchClient { address: bare.split('/').next().unwrap_or_default().to_owned() }
    }

    /// Any request; `body` is sent as `application/json`. Every status is an answer, not an error.
    ///
    /// # Errors
    /// No connection, no answer within 120 s, or an answer that is not HTTP.
    pub fn request(&self, method: &str, path: &str, body: Option<&str>) -> Result<HttpReply, ServiceError> {
        let body = body.map(|text| ("application/json", text.as_bytes()));
        http::request(&self.address, method, path, body, LIMIT)
            .map_err(|cause| ServiceError::request(format!("{method} {path}"), &self.address, cause))
    }

    /// The server's version number, asked the way every version and gateway answers.
    ///
    /// # Errors
    /// As [`ElasticsearchClient::request`], or another answer than expected.
    pub fn version(&self) -> Result<String, ServiceError> {
        let answer = self.answer("GET", "/_nodes?filter_path=nodes.*.version", None)?;
        let nodes = answer["nodes"].as_object();
        let first = nodes.and_then(|nodes| nodes.values().next()).and_then(|node| node["version"].as_str());
        first.map(str::to_owned).ok_or_else(|| ServiceError::request("read the version", &self.address, &answer))
    }

    /// Makes an index; `body` holds `settings` and `mappings` as that server version writes them (6.x: under a type).
    ///
    /// # Errors
    /// As [`ElasticsearchClient::request`], or the server refuses.
    pub fn create_index(&self, index: &str, body: &str) -> Result<(), ServiceError> {
        self.answer("PUT", &format!("/{index}"), Some(body)).map(|_| ())
    }

    /// Removes an index.
    ///
    /// # Errors
    /// As [`ElasticsearchClient::request`], or the server refuses.
    pub fn delete_index(&self, index: &str) -> Result<(), ServiceError> {
        self.answer("DELETE", &format!("/{index}"), None).map(|_| ())
    }

    /// Sends newline-delimited JSON to `_bulk` and returns the parsed answer.
    ///
    /// # Errors
    /// As [`ElasticsearchClient::request`], or the whole request is refused.
    pub fn bulk(&self, lines: &str) -> Result<Value, ServiceError> {
        let body = Some(("application/x-ndjson", lines.as_bytes()));
        let reply = http::request(&self.address, "POST", "/_bulk", body, LIMIT)
            .map_err(|cause| ServiceError::request("POST /_bulk", &self.address, cause))?;
        self.judge("POST /_bulk", reply)
    }

    /// Number of documents, everything acknowledged so far included.
    ///
    /// # Errors
    /// As [`ElasticsearchClient::request`], or the index is missing.
    pub fn count(&self, index: &str) -> Result<u64, ServiceError> {
        self.answer("POST", &format!("/{index}/_refresh"), None)?;
        let answer = self.answer("GET", &format!("/{index}/_count"), None)?;
        answer["count"].as_u64().ok_or_else(|| ServiceError::request("count", &self.address, &answer))
    }

    /// Every document of an index by id, everything acknowledged so far included.
    ///
    /// # Errors
    /// As [`ElasticsearchClient::request`], the index is missing, or an answer is not a page of hits.
    pub fn documents(&self, index: &str) -> Result<BTreeMap<String, Document>, ServiceError> {
        self.answer("POST", &format!("/{index}/_refresh"), None)?;
        let first = format!(r#"{{"size":{PAGE},"version":true,"sort":["_doc"]}}"#);
        let mut page = self.page(&format!("/{index}/_search?scroll=2m"), &first)?;
        let mut all = BTreeMap::new();
        while !page.hits.hits.is_empty() {
            for hit in page.hits.hits {
                let source = hit.source.get().to_owned();
                all.insert(hit.id, Document { version: hit.version, routing: hit.routing, source });
            }
            let next = serde_json::json!({ "scroll": "2m", "scroll_id": page.scroll }).to_string();
            page = self.page("/_search/scroll", &next)?;
        }
        // Left open it would count against the server's limit of scrolls for two minutes.
        let close = serde_json::json!({ "scroll_id": page.scroll }).to_string();
        self.request("DELETE", "/_search/scroll", Some(&close))?;
        Ok(all)
    }

    fn page(&self, path: &str, body: &str) -> Result<Page, ServiceError> {
        let action = format!("POST {path}");
        let reply = self.request("POST", path, Some(body))?;
        if reply.status != 200 {
            return Err(self.refused(&action, &reply));
        }
        serde_json::from_slice(&reply.body).map_err(|cause| ServiceError::request(action, &self.address, cause))
    }

    /// A request that must succeed, its answer parsed.
    fn answer(&self, method: &str, path: &str, body: Option<&str>) -> Result<Value, ServiceError> {
        let reply = self.request(method, path, body)?;
        self.judge(&format!("{method} {path}"), reply)
    }

    fn judge(&self, action: &str, reply: HttpReply) -> Result<Value, ServiceError> {
        if !(200..300).contains(&reply.status) {
            return Err(self.refused(action, &reply));
        }
        serde_json::from_slice(&reply.body).map_err(|cause| ServiceError::request(action, &self.address, cause))
    }

    fn refused(&self, action: &str, reply: &HttpReply) -> ServiceError {
        let text: String = String::from_utf8_lossy(&reply.body).chars().take(ANSWER_CHARACTERS).collect();
        ServiceError::request(action, &self.address, format!("HTTP {}: {text}", reply.status))
    }
}

/// A page of a scroll.
#[derive(serde::Deserialize)]
struct Page {
    #[serde(rename = "_scroll_id")]
    scroll: String,
    hits: Hits,
}

#[derive(serde::Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

#[derive(serde::Deserialize)]
struct Hit {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_version")]
    version: i64,
    #[serde(rename = "_routing")]
    routing: Option<String>,
    #[serde(rename = "_source")]
    source: Box<RawValue>,
}
