//! Works on one bulk request: splits it, applies it, writes the answer. Pure but for the shared state.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::documents::{External, Refused};
use super::script::{ItemAnswer, LogEntry};
use super::watch::{EndpointEvent, Worked};
use super::{EndpointState, id_digest, lock};

/// A whole answer.
#[derive(Debug, Clone)]
pub struct HttpAnswer {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: String,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
    /// `Location`.
    pub location: Option<String>,
}

impl HttpAnswer {
    pub fn new(status: u16, body: String) -> Self {
        Self { status, body, retry_after: None, location: None }
    }

    pub fn error(status: u16, kind: &str, reason: &str) -> Self {
        let error = serde_json::json!({ "type": kind, "reason": reason });
        let body =
            serde_json::json!({ "error": { "root_cause": [error], "type": kind, "reason": reason }, "status": status });
        Self::new(status, body.to_string())
    }
}

#[derive(Deserialize)]
struct RequestedAction {
    #[serde(rename = "_id", default)]
    id: Option<String>,
    #[serde(rename = "_index", default)]
    index: Option<String>,
    #[serde(default)]
    version: Option<i64>,
    #[serde(default)]
    version_type: Option<String>,
}

#[derive(Deserialize)]
struct Update<'a> {
    #[serde(borrow)]
    doc: &'a RawValue,
    #[serde(default)]
    doc_as_upsert: bool,
}

struct RequestItem<'a> {
    verb: &'static str,
    index: String,
    id: String,
    version: Option<External>,
    body: &'a [u8],
    update: Option<Update<'a>>,
}

/// Refuses what a real server of this version refuses by the path alone.
pub fn judge_path(state: &EndpointState, segments: &[&str]) -> Option<HttpAnswer> {
    let version = state.options.version;
    match segments {
        [_, _, "_bulk"] if version.refuses_type() => {
            let text = format!("no handler found for uri [/{}] and method [POST]", segments.join("/"));
            Some(HttpAnswer::new(400, serde_json::json!({ "error": text }).to_string()))
        }
        ["_bulk"] | [_, "_bulk"] if version.needs_type() => {
            let reason = "Validation Failed: 1: type is missing;";
            Some(HttpAnswer::error(400, "action_request_validation_exception", reason))
        }
        ["_bulk"] | [_, "_bulk"] | [_, _, "_bulk"] => None,
        _ => Some(HttpAnswer::error(405, "method_not_allowed", "Incorrect HTTP method")),
    }
}

/// Counts the items of a request without looking into them. `by_position` items are answered so and not counted; at
/// most `limit` items are worked on.
pub fn count_only(
    state: &EndpointState,
    number: u64,
    body: &[u8],
    by_position: &[(usize, ItemAnswer)],
    limit: usize,
) -> HttpAnswer {
    let mut lines = memchr::memchr_iter(b'\n', body);
    let mut out = String::with_capacity(body.len() / 8 + 40);
    let mut worked = Vec::new();
    let (mut start, mut at, mut ids, mut counted) = (0, 0, 0_u64, 0);
    while let Some(end) = lines.next().filter(|_| at < limit) {
        let action = &body[start..end];
        let verb = verb_of(action);
        let text = end + 1;
        start = if verb == "delete" { text } else { lines.next().map_or(body.len(), |end| end + 1) };
        let scripted = by_position.iter().find(|(position, _)| *position == at).map(|(_, answer)| answer);
        let status = scripted.map_or(200, |answer| answer.status);
        match scripted {
            Some(answer) => write_item(&mut out, at, verb, answer),
            None => {
                let comma = if at > 0 { "," } else { "" };
                let done = if verb == "create" { "\":{\"status\":201}}" } else { "\":{\"status\":200}}" };
                out.extend([comma, "{\"", verb, done]);
                let id = id_of(action);
                ids = ids.wrapping_add(id.map_or(0, id_digest));
                counted += 1;
                if let Some(look) = state.options.look.filter(|_| verb != "delete") {
                    look(id.unwrap_or_default(), body[text..start].strip_suffix(b"\n").unwrap_or(&body[text..start]));
                }
            }
        }
        if state.options.watch.is_some() {
            worked.push(Worked { body: &body[text..start], status });
        }
        at += 1;
    }
    state.ids.fetch_add(ids, Ordering::AcqRel);
    state.items.fetch_add(counted, Ordering::AcqRel);
    if let Some(watch) = &state.options.watch {
        watch.hear(&EndpointEvent::Worked(number, &worked));
    }
    HttpAnswer::new(200, format!("{{\"errors\":{},\"items\":[{out}]}}", counted != at as u64))
}

/// Counts a single `_update`: what a client does that knows no bulk requests.
pub fn count_update(state: &EndpointState, index: &str, kind: &str, id: &str) -> HttpAnswer {
    state.ids.fetch_add(id_digest(id.as_bytes()), Ordering::AcqRel);
    state.items.fetch_add(1, Ordering::AcqRel);
    let answer = serde_json::json!({ "_index": index, "_type": kind, "_id": id, "_version": 1, "result": "created" });
    HttpAnswer::new(201, answer.to_string())
}

/// The id in an action line as bulk clients write it: no blanks around the colon, no escapes.
fn id_of(line: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"\"_id\":\"";
    let rest = &line[memchr::memmem::find(line, NAME)? + NAME.len()..];
    Some(&rest[..memchr::memchr(b'"', rest)?])
}

fn verb_of(line: &[u8]) -> &'static str {
    ["index", "create", "update", "delete"]
        .into_iter()
        .find(|verb| line.get(2..).is_some_and(|rest| rest.starts_with(verb.as_bytes())))
        .unwrap_or("index")
}

/// Applies a request. `by_position` items are answered so and not applied; at most `limit` items are worked on.
pub fn apply(
    state: &EndpointState,
    number: u64,
    path_index: Option<&str>,
    body: &[u8],
    by_position: &[(usize, ItemAnswer)],
    limit: usize,
) -> HttpAnswer {
    let items = match parse(state, path_index, body) {
        Ok(items) => items,
        Err(answer) => return answer,
    };
    let mut out = String::with_capacity(items.len() * 30 + 40);
    let mut errors = false;
    for (at, item) in items.iter().take(limit).enumerate() {
        let scripted = by_position.iter().find(|(position, _)| *position == at).map(|(_, answer)| answer.clone());
        let answer = scripted.or_else(|| ruled(state, item)).unwrap_or_else(|| write(state, item));
        errors |= !answer.kind.is_empty();
        if state.options.log {
            lock(&state.log).push(LogEntry {
                request: number,
                index: item.index.clone(),
                id: item.id.clone(),
                action: item.verb.to_owned(),
                body: item.body.to_vec(),
                status: answer.status,
                at: std::time::SystemTime::now(),
                told: None,
            });
        }
        write_item(&mut out, at, item.verb, &answer);
    }
    state.items.fetch_add(items.len().min(limit) as u64, Ordering::AcqRel);
    HttpAnswer::new(200, format!("{{\"errors\":{errors},\"items\":[{out}]}}"))
}

fn write_item(out: &mut String, at: usize, verb: &str, answer: &ItemAnswer) {
    let comma = if at > 0 { "," } else { "" };
    // Writing to a String cannot fail.
    let _ = if answer.kind.is_empty() {
        write!(out, "{comma}{{\"{verb}\":{{{}\"status\":{}}}}}", answer.members, answer.status)
    } else {
        let error = serde_json::json!({ "type": answer.kind, "reason": answer.reason });
        write!(out, "{comma}{{\"{verb}\":{{\"status\":{},\"error\":{error}}}}}", answer.status)
    };
}

fn ruled(state: &EndpointState, item: &RequestItem<'_>) -> Option<ItemAnswer> {
    let rules = lock(&state.rules);
    rules.by_index.get(&item.index).or_else(|| rules.by_id.get(&item.id)).cloned()
}

fn write(state: &EndpointState, item: &RequestItem<'_>) -> ItemAnswer {
    let ok = |status| {
        let members = match (item.verb, status) {
            ("index", 201) => "\"result\":\"created\",",
            ("index", _) => "\"result\":\"updated\",",
            _ => "",
        };
        ItemAnswer::taken(status, members)
    };
    let RequestItem { verb, index, id, version, body, update } = item;
    let is_object = || serde_json::from_slice::<&RawValue>(body).is_ok_and(|raw| raw.get().starts_with('{'));
    let done = match *verb {
        "delete" => state.documents.delete(index, id, *version),
        "update" => match update {
            Some(update) => state.documents.update(index, id, update.doc.get(), update.doc_as_upsert),
            None => return ItemAnswer::error(400, "x_content_parse_exception", "unreadable update"),
        },
        _ if !is_object() => return ItemAnswer::error(400, "mapper_parsing_exception", "failed to parse"),
        "create" => state.documents.create(index, id, body),
        _ => state.documents.index(index, id, body, *version),
    };
    match done {
        Ok(status) => ok(status),
        Err(Refused::NotFound) => ok(404),
        Err(Refused::Conflict) => ItemAnswer::error(
            409,
            "version_conflict_engine_exception",
            "version conflict, current version is higher or equal",
        ),
        Err(Refused::Missing) => ItemAnswer::error(404, "document_missing_exception", "document missing"),
    }
}

/// Splits a request; what real servers refuse as a whole is refused as a whole.
fn parse<'a>(
    state: &EndpointState,
    path_index: Option<&str>,
    body: &'a [u8],
) -> Result<Vec<RequestItem<'a>>, HttpAnswer> {
    if body.last() != Some(&b'\n') {
        let reason = "The bulk request must be terminated by a newline [\\n]";
        return Err(HttpAnswer::error(400, "illegal_argument_exception", reason));
    }
    let poison = lock(&state.rules).poison.clone();
    let spoiled = |reason: &str| {
        if state.options.version.needs_type() {
            HttpAnswer::error(500, "json_parse_exception", reason)
        } else {
            HttpAnswer::error(400, "x_content_parse_exception", reason)
        }
    };
    let mut items = Vec::new();
    let mut lines = body[..body.len() - 1].split(|byte| *byte == b'\n');
    while let Some(line) = lines.next() {
        let verb = verb_of(line);
        let action = std::str::from_utf8(line).ok().and_then(|line| {
            let inside = line.strip_prefix("{\"")?.strip_prefix(verb)?.strip_prefix("\":")?.strip_suffix('}')?;
            serde_json::from_str::<RequestedAction>(inside).ok()
        });
        let Some(action) = action else {
            let reason = format!("Malformed action/metadata line [{}]", items.len() + 1);
            return Err(HttpAnswer::error(400, "illegal_argument_exception", &reason));
        };
        let body = if verb == "delete" { &[][..] } else { lines.next().unwrap_or_default() };
        let made = || format!("made-{}", state.ids_made.fetch_add(1, Ordering::AcqRel));
        let id = action.id.unwrap_or_else(|| if matches!(verb, "index" | "create") { made() } else { String::new() });
        let update = if verb == "update" { serde_json::from_slice::<Update<'_>>(body).ok() } else { None };
        if poison.contains(&id) || (verb == "update" && update.is_none()) {
            return Err(spoiled("[1:9] [UpdateRequest] failed to parse field [doc]"));
        }
        let index = action.index.or_else(|| path_index.map(str::to_owned)).unwrap_or_default();
        let or_equal = action.version_type.as_deref() == Some("external_gte");
        let version = action.version.map(|version| External { version, or_equal });
        items.push(RequestItem { verb, index, id, version, body, update });
    }
    Ok(items)
}
