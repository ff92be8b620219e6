//! Elasticsearch and OpenSearch connections.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::Checker;
use super::connection::client_files;
use crate::config::plan::{Auth, ElasticsearchConnection, ServerKind};
use crate::config::url::{UrlUser, host_and_port, user_info};
use crate::config::written::connection::{Elasticsearch, NodeUrl, WrittenAuth};
use crate::leaf::nearest;
use crate::leaf::pointer::PointerRefusal;
use crate::leaf::tree::join;

const SERVERS: [(&str, ServerKind); 8] = [
    ("auto", ServerKind::Auto),
    ("elasticsearch-6", ServerKind::Elasticsearch(6)),
    ("elasticsearch-7", ServerKind::Elasticsearch(7)),
    ("elasticsearch-8", ServerKind::Elasticsearch(8)),
    ("elasticsearch-9", ServerKind::Elasticsearch(9)),
    ("opensearch-1", ServerKind::OpenSearch(1)),
    ("opensearch-2", ServerKind::OpenSearch(2)),
    ("opensearch-3", ServerKind::OpenSearch(3)),
];

fn server(text: &str) -> Option<ServerKind> {
    SERVERS.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind)
}

/// A node's URL taken apart.
struct Url<'text> {
    /// Scheme, host, port and path without a slash at the end.
    base: String,
    secure: bool,
    host: &'text str,
    /// User name and password, percent-decoded.
    user: Option<UrlUser>,
}

/// The reason a text is not a node's URL never quotes it.
fn url(text: &str) -> Result<Url<'_>, PointerRefusal> {
    let refuse = |reason: &str| Err(PointerRefusal::new(reason, "write `http://host:9200` or `https://host:9200`"));
    if text.trim() != text {
        return refuse("the URL begins or ends with a blank or a line end");
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return refuse("not a URL: the scheme is missing");
    };
    let secure = match scheme {
        "https" => true,
        "http" => false,
        _ => return refuse("the scheme is neither `http` nor `https`"),
    };
    let (user, rest) = user_info(rest)?;
    if rest.contains([',', ';', ' ']) && rest.contains("://") {
        return Err(PointerRefusal::new(
            "several nodes in one URL",
            "write a list: `[\"http://host1:9200\", \"http://host2:9200\"]`",
        ));
    }
    if rest.contains(['?', '#', ' ']) {
        return refuse("a node's URL has no query, fragment or blanks");
    }
    let (host, place) = rest.split_once('/').map_or((rest, ""), |(authority, place)| (authority, place));
    if host.contains([',', ';']) {
        let remedy = "write each with its scheme: `http://host1:9200,http://host2:9200`, or a list";
        return Err(PointerRefusal::new("several nodes in one URL", remedy));
    }
    host_and_port(host, "write `http://host:9200` or `https://host:9200`")?;
    let place = place.trim_end_matches('/');
    let base = if place.is_empty() { format!("{scheme}://{host}") } else { format!("{scheme}://{host}/{place}") };
    Ok(Url { base, secure, host, user })
}

fn is_local(host: &str) -> bool {
    ["localhost", "127.", "[::1]"].iter().any(|local| host.starts_with(local))
}

impl Checker<'_> {
    pub(super) fn search_connection_findings(&self, name: &str, search: &Elasticsearch) {
        let path = join("connections.elasticsearch", name);
        self.positive(&format!("{path}.request_timeout"), search.request_timeout, Duration::from_secs(3_600));
        if server(&search.server).is_none() {
            let names: Vec<_> = SERVERS.iter().map(|(name, _)| *name).collect();
            self.error(
                &format!("{path}.server"),
                format!("`{}` is not a known server", search.server),
                nearest::remedy(&search.server, &names, "known here"),
            );
        }
        self.auth(&path, search);
        self.nodes(&path, search);
        let Some(tls) = &search.tls else { return };
        self.tls(&format!("{path}.tls"), tls);
        if !search.nodes.is_empty() && search.nodes.iter().all(|node| node.0.starts_with("http://")) {
            self.warn(&format!("{path}.tls"), "has no effect: no node is `https`", "write the nodes with `https://`");
        }
    }

    fn auth(&self, path: &str, search: &Elasticsearch) {
        match &search.auth {
            None => {}
            Some(WrittenAuth::Basic(basic)) => {
                self.secret(&format!("{path}.auth.basic.password"), &basic.password);
                let odd = |one: char| one == ':' || one.is_control();
                if basic.username.is_empty() || basic.username.contains(odd) || basic.username.trim() != basic.username
                {
                    self.error(
                        &format!("{path}.auth.basic.username"),
                        "a user name is not empty, has no `:` and no line end, and neither begins nor ends with a blank",
                        "give the user's name",
                    );
                }
            }
            Some(WrittenAuth::ApiKey(key)) => {
                self.secret(&format!("{path}.auth.api_key"), key);
            }
            Some(WrittenAuth::Bearer(token)) => {
                self.secret(&format!("{path}.auth.bearer"), token);
            }
        }
    }

    fn nodes(&self, path: &str, search: &Elasticsearch) {
        if search.nodes.is_empty() {
            self.error(&format!("{path}.nodes"), "the list is empty", "write `[\"http://host:9200\"]`");
        }
        let mut users = Vec::new();
        for (number, NodeUrl(text)) in search.nodes.iter().enumerate() {
            let path = format!("{path}.nodes[{number}]");
            match url(text) {
                Err(refusal) => self.error(&path, refusal.reason, refusal.remedy),
                Ok(url) => {
                    if (url.user.is_some() || search.auth.is_some()) && !url.secure && !is_local(url.host) {
                        self.warn(&path, "credentials travel in clear to this node", "use `https://`");
                    }
                    if search.nodes[..number].iter().any(|NodeUrl(earlier)| earlier == text) {
                        self.warn(&path, "the node is listed twice", "remove one");
                    }
                    users.push((path, url.user));
                }
            }
        }
        self.users_of_nodes(&users, search.auth.is_some());
    }

    fn users_of_nodes(&self, users: &[(String, Option<(String, String)>)], auth: bool) {
        for (path, user) in users {
            if user.is_none() {
                continue;
            }
            if auth {
                self.error(path, "credentials stand here and in `auth`", "remove them from the URL");
            } else if users.iter().any(|(_, other)| other.is_some() && other != user) {
                self.error(
                    path,
                    "nodes of one connection have different credentials",
                    "write them once, in `auth: { basic: … }`",
                );
            } else if self.index.variables(path).is_empty() {
                self.warn(
                    path,
                    "a password stands in the configuration itself",
                    "write `auth: { basic: { username: …, password: { env: NAME } } }`",
                );
            }
        }
    }

    /// The connection of an Elasticsearch sink.
    pub(super) fn search(&self, path: &str, name: &str) -> Option<ElasticsearchConnection> {
        let search = self.named(path, "elasticsearch", name, &self.written.connections.elasticsearch)?;
        let urls: Vec<Url<'_>> = search.nodes.iter().map(|NodeUrl(text)| url(text).ok()).collect::<Option<_>>()?;
        let auth = match &search.auth {
            Some(WrittenAuth::Basic(basic)) => {
                Auth::Basic { username: basic.username.clone(), password: self.resolved(&basic.password)? }
            }
            Some(WrittenAuth::ApiKey(key)) => Auth::ApiKey(self.resolved(key)?),
            Some(WrittenAuth::Bearer(token)) => Auth::Bearer(self.resolved(token)?),
            None => match urls.iter().find_map(|url| url.user.clone()) {
                Some((username, password)) => Auth::Basic { username, password: SecretString::from(password) },
                None => Auth::None,
            },
        };
        Some(ElasticsearchConnection {
            name: Arc::from(name),
            nodes: urls.into_iter().map(|url| url.base).collect(),
            request_timeout: search.request_timeout.0,
            server: server(&search.server)?,
            auth,
            ca_file: search.tls.as_ref().and_then(|tls| tls.ca_file.clone()),
            client: search.tls.as_ref().and_then(client_files).map(Box::new),
            verify: search.tls.as_ref().is_none_or(|tls| tls.verify),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let parsed = url("https://us%40er:p%2Fw@h:9200/es/").unwrap();
        assert_eq!(parsed.base, "https://h:9200/es");
        assert_eq!(parsed.user, Some(("us@er".to_owned(), "p/w".to_owned())));
        assert!(parsed.secure);
        assert_eq!(url("http://[::1]:9200").unwrap().base, "http://[::1]:9200");
        assert_eq!(url("http://[::1]").unwrap().base, "http://[::1]");
        for bad in [
            "h:9200",
            "ftp://h",
            "http://",
            "http://:9200",
            "http://h:99999",
            "http://h?x",
            "http://u:p/w@h",
            "http://u:%zz@h",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
