//! Servers, by name.

use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::ExposeSecret;
use serde::de::{Deserializer, Error as _};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::Named;
use crate::leaf::quantity::Interval;
use crate::leaf::secret::{Secret, SecretUrl, is_sensitive, mask_url};

/// Servers, by kind and name.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Connections {
    /// Kafka clusters.
    pub kafka: Named<Kafka>,
    /// Clusters that speak Elasticsearch's `_bulk`: Elasticsearch and OpenSearch.
    pub elasticsearch: Named<Elasticsearch>,
    /// Redis servers for look-ups.
    pub redis: Named<Redis>,
}

/// A Kafka cluster.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// `host:port` of some brokers; the others are learnt from them. A list, or one text with commas.
    #[schemars(schema_with = "super::scalar::texts")]
    pub brokers: Vec<String>,
    /// TLS; `{}` turns it on with the system's certificate authorities. Needs a build with the feature `tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<KafkaTls>,
    /// Log-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
    /// Any other property of librdkafka. Properties that would break the delivery guarantee or the memory bound are
    /// refused.
    #[serde(default)]
    pub librdkafka: Properties,
}

/// TLS towards Kafka.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaTls {
    /// PEM file with certificate authorities; default: the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// PEM file with the client's private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Passphrase of `key_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_password: Option<Secret>,
    /// Whether the brokers' certificates and names are verified.
    pub verify: bool,
}

impl Default for KafkaTls {
    fn default() -> Self {
        Self { ca_file: None, cert_file: None, key_file: None, key_password: None, verify: true }
    }
}

/// Log-in to Kafka.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    /// How.
    pub mechanism: Mechanism,
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// How a log-in to Kafka is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Mechanism {
    /// User name and password in clear; use it with TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Salted challenge, SHA-256. Needs a build with the feature `tls`.
    #[serde(rename = "SCRAM-SHA-256")]
    Scram256,
    /// Salted challenge, SHA-512. Needs a build with the feature `tls`.
    #[serde(rename = "SCRAM-SHA-512")]
    Scram512,
}

/// Mechanisms people ask for that are not built in, and what to write instead.
pub const NOT_BUILT_IN: [(&str, &str); 4] = [
    (
        "OAUTHBEARER",
        "write SCRAM-SHA-512 or PLAIN with `tls` (Event Hubs: user `$ConnectionString`; MSK: a SCRAM secret), or a client \
         certificate in `tls: { cert_file, key_file }`",
    ),
    (
        "AWS_MSK_IAM",
        "write SCRAM-SHA-512 with `tls` and a SCRAM secret, or a client certificate in `tls: { cert_file, key_file }`",
    ),
    ("GSSAPI", "write SCRAM-SHA-512 with `tls`, or a client certificate in `tls: { cert_file, key_file }`"),
    ("KERBEROS", "write SCRAM-SHA-512 with `tls`, or a client certificate in `tls: { cert_file, key_file }`"),
];

/// What to write for a mechanism that is not built in.
#[must_use]
pub fn instead_of(mechanism: &str) -> Option<&'static str> {
    let known = |(name, _): &&(&str, &str)| name.eq_ignore_ascii_case(mechanism.trim());
    NOT_BUILT_IN.iter().find(known).map(|(_, instead)| *instead)
}

impl<'de> Deserialize<'de> for Mechanism {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let all = [Self::Plain, Self::Scram256, Self::Scram512];
        let found = all.into_iter().find(|one| one.name() == name);
        found.ok_or_else(|| match instead_of(&name) {
            Some(instead) => D::Error::custom(format!("a mechanism that is not built in: {instead}")),
            None => D::Error::unknown_variant(&name, &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]),
        })
    }
}

impl Mechanism {
    /// librdkafka's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram256 => "SCRAM-SHA-256",
            Self::Scram512 => "SCRAM-SHA-512",
        }
    }
}

/// Properties of librdkafka; values of those that may be secret do not show.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Properties(pub Named<Secret>);

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.0.len()))?;
        for (name, value) in &self.0.0 {
            match value {
                Secret::Literal(text) if !is_sensitive(name) => map.serialize_entry(name, text.expose_secret())?,
                secret @ (Secret::Literal(_) | Secret::Env(_) | Secret::File(_)) => {
                    map.serialize_entry(name, secret)?
                }
            }
        }
        map.end()
    }
}

impl JsonSchema for Properties {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Properties".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let inner = generator.subschema_for::<Secret>();
        json_schema!({ "type": "object", "additionalProperties": inner })
    }
}

/// Servers that speak `_bulk`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Elasticsearch {
    /// Base URLs of the nodes, `http://host:9200` or `https://…`. Requests are spread over those that answer.
    /// A list, or one text with commas.
    #[schemars(schema_with = "super::scalar::one_or_many::<NodeUrl>")]
    pub nodes: Vec<NodeUrl>,
    /// Longest time one bulk request may take. Generous on purpose: what timed out may still be written.
    #[serde(default = "request_timeout")]
    pub request_timeout: Interval,
    /// What the servers are: `auto` asks them; or `elasticsearch-6` to `-9`, `opensearch-1` to `-3`.
    #[serde(default = "auto")]
    pub server: String,
    /// How sluicegate identifies itself; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<WrittenAuth>,
    /// Settings for `https` nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

fn request_timeout() -> Interval {
    Interval::seconds(60)
}

fn auto() -> String {
    "auto".to_owned()
}

/// URL of a node; credentials in it do not show.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct NodeUrl(pub String);

impl fmt::Debug for NodeUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", mask_url(&self.0))
    }
}

impl Serialize for NodeUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&mask_url(&self.0))
    }
}

/// How sluicegate identifies itself to Elasticsearch.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Auth")]
pub enum WrittenAuth {
    /// User name and password.
    Basic(Basic),
    /// Encoded API key: `id:key` in Base64, as Kibana shows it.
    ApiKey(Secret),
    /// Bearer token.
    Bearer(Secret),
}

/// User name and password.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// TLS towards Elasticsearch or Redis.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with certificate authorities; default: the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// PEM file with the client's private key, not encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Whether the servers' certificates and names are verified.
    pub verify: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self { ca_file: None, cert_file: None, key_file: None, verify: true }
    }
}

/// A Redis server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// `redis://[user:password@]host:port[/database]`, or `rediss://…` for TLS.
    pub url: SecretUrl,
    /// Longest time one round trip may take.
    #[serde(default = "redis_timeout")]
    pub timeout: Interval,
    /// Settings for a `rediss://` URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

fn redis_timeout() -> Interval {
    Interval::seconds(1)
}
