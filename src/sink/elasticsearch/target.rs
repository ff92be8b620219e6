//! Faults of the target, told from faults of a record: what a server says when the index, the alias, the pipeline or
//! our own settings are wrong, whichever record it says it of. Pure.
//!
//! They are known by the error's type and, where many faults share one (`illegal_argument_exception`), by how its
//! reason begins. Only beginnings count: further on a reason quotes the record, and a record must not be able to pass
//! for a fault of the target. The texts are those of Elasticsearch 6.8 to 9 and OpenSearch 1 to 3.

use crate::config::plan::{ElasticsearchSinkPlan, OnIndexFault};
use crate::model::{Exit, Halt};
use crate::mutants::{self, Mutant};

use super::answer::ServerError;
use super::bulk::constant_index;

/// What the configuration says about faults of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// What a fault of the target does.
    pub on_index_fault: OnIndexFault,
    /// All records go to one index: what is wrong with it is wrong for all of them.
    pub fixed_index: bool,
    /// Records carry a routing value.
    pub routed: bool,
    /// Rejects in a row that trip the breaker; 0: none do.
    pub in_a_row: u32,
}

impl Terms {
    /// The terms of a sink.
    #[must_use]
    pub fn of(plan: &ElasticsearchSinkPlan, in_a_row: u32) -> Self {
        Self {
            on_index_fault: plan.on_index_fault,
            fixed_index: constant_index(plan).is_some(),
            routed: plan.routing.is_some(),
            in_a_row,
        }
    }
}

/// What is wrong with the target, or with what this sink asks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetFault {
    /// No such index, and none may be made.
    Missing,
    /// `require_alias`, and the name is no alias.
    NoAlias,
    /// A closed index.
    Closed,
    /// A block on the index or the cluster.
    Blocked,
    /// The block that a server sets itself when a disk is full (flood-stage watermark).
    Flooded,
    /// Our role may not write there.
    Forbidden,
    /// The cluster takes no further shards.
    NoRoom,
    /// A shard holds as many documents as it can.
    ShardFull,
    /// An alias over several indices, none of which is the one to write to.
    NoWriteIndex,
    /// The ingest pipeline is not there.
    NoPipeline,
    /// No node runs ingest pipelines.
    NoIngestNode,
    /// The mapping has as many fields as it may have.
    FieldLimit,
    /// A data stream, which takes `create` only.
    CreateOnly,
    /// The index behind a data stream was named.
    BackingIndex,
    /// The mapping demands a routing value.
    RoutingRequired,
    /// The target takes no routing value.
    RoutingRefused,
    /// A time series, which makes its ids itself.
    IdRefused,
    /// A time series, which takes neither updates nor deletes.
    ActionRefused,
    /// The index has another mapping type.
    OtherType,
    /// The name cannot be an index's.
    InvalidName,
    /// The index keeps no `_source`, so nothing can be merged into its documents.
    NoSource,
}

/// What ends a fault of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// A change on the server: records wait, and go on without a restart.
    Server,
    /// A change of our configuration: waiting cures nothing.
    Configuration,
}

impl TargetFault {
    /// The fault a server's error tells of, if it is one of the target.
    #[must_use]
    pub fn of(error: &ServerError, terms: Terms) -> Option<Self> {
        if mutants::on(Mutant::TargetFaultBlamesTheRecord) {
            return None;
        }
        match error.kind.as_str() {
            "index_not_found_exception" if error.reason.contains("[require_alias]") => Some(Self::NoAlias),
            "index_not_found_exception" => Some(Self::Missing),
            "index_closed_exception" => Some(Self::Closed),
            "cluster_block_exception" if is_flood_stage(&error.reason) => Some(Self::Flooded),
            "cluster_block_exception" | "index_create_block_exception" => Some(Self::Blocked),
            "security_exception" => Some(Self::Forbidden),
            // How 7 and later say that the cluster has no room for another shard.
            "validation_exception" => Some(Self::NoRoom),
            "type_missing_exception" => Some(Self::OtherType),
            "document_source_missing_exception" => Some(Self::NoSource),
            "invalid_index_name_exception" if terms.fixed_index => Some(Self::InvalidName),
            // A routing template that renders nothing is the record's own fault.
            "routing_missing_exception" if !terms.routed => Some(Self::RoutingRequired),
            _ => parts(&error.reason).find_map(by_reason),
        }
    }

    /// What ends it.
    #[must_use]
    pub fn cure(self) -> Cure {
        match self {
            Self::Missing
            | Self::NoAlias
            | Self::Closed
            | Self::Blocked
            | Self::Flooded
            | Self::Forbidden
            | Self::NoRoom
            | Self::ShardFull
            | Self::NoWriteIndex
            | Self::NoPipeline
            | Self::NoIngestNode
            | Self::FieldLimit => Cure::Server,
            Self::CreateOnly
            | Self::BackingIndex
            | Self::RoutingRequired
            | Self::RoutingRefused
            | Self::IdRefused
            | Self::ActionRefused
            | Self::OtherType
            | Self::InvalidName
            | Self::NoSource => Cure::Configuration,
        }
    }

    /// What it is, where no server has said it yet.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Missing => "the index does not exist",
            Self::NoAlias => "is no alias, and `require_alias` demands one",
            Self::Closed => "the index is closed",
            Self::Blocked => "writes are blocked",
            Self::Flooded => "writes are blocked because a disk is full (index.blocks.read_only_allow_delete)",
            Self::Forbidden => "these credentials may not write there",
            Self::NoRoom => "the cluster takes no further shards",
            Self::ShardFull => "a shard is full",
            Self::NoWriteIndex => "an alias without an index to write to",
            Self::NoPipeline => "an ingest pipeline does not exist",
            Self::NoIngestNode => "no node runs ingest pipelines",
            Self::FieldLimit => "the mapping has as many fields as it may have",
            Self::CreateOnly => "a data stream, and the sink's action is another than `create`",
            Self::BackingIndex => "an index behind a data stream",
            Self::RoutingRequired => "the mapping demands a routing value, and the sink has none",
            Self::RoutingRefused => "takes no routing value, and the sink has one",
            Self::IdRefused => "an index in time-series mode, and the sink sends ids",
            Self::ActionRefused => {
                "an index in time-series mode, and the sink's action is another than `create` or `index`"
            }
            Self::OtherType => "has another mapping type",
            Self::InvalidName => "is no name for an index",
            Self::NoSource => "keeps no `_source`, so nothing can be merged into its documents",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Missing => "create the index, or allow its creation (action.auto_create_index, an index template)",
            Self::NoAlias => "make the name an alias, or leave out `require_alias`",
            Self::Closed => "open the index",
            Self::Blocked => "lift the block (index.blocks.*, cluster.blocks.*, disk space)",
            Self::Flooded => {
                "free disk space or add a node; from Elasticsearch 7.4 on and in OpenSearch the block then goes away by itself, \
                 before it must be lifted by hand: set index.blocks.read_only_allow_delete of the index to null"
            }
            Self::Forbidden => "give the role of these credentials the privileges to write there",
            Self::NoRoom => "delete indices, add nodes, or raise cluster.max_shards_per_node",
            Self::ShardFull => "roll the alias over to a new index, or use more shards",
            Self::NoWriteIndex => "set \"is_write_index\": true for one index of the alias",
            Self::NoPipeline => "create the ingest pipeline, or correct `pipeline` or the index's default_pipeline",
            Self::NoIngestNode => "give a node the role `ingest`",
            Self::FieldLimit => {
                "raise index.mapping.total_fields.limit (or nested_fields.limit), or set the mapping's `dynamic` to false; \
                 where single records bring too many fields, write `on_index_fault: reject`"
            }
            Self::CreateOnly => "a data stream takes `action: create` only: write that, and `on_tombstone: drop`",
            Self::BackingIndex => "name the data stream in `index`, not the index behind it",
            Self::RoutingRequired => "write `routing` with the value the mapping demands",
            Self::RoutingRefused => {
                "leave out `routing`, or allow it (allow_custom_routing in the data stream's template)"
            }
            Self::IdRefused => "an index in time-series mode makes its ids itself: write `id: none`",
            Self::ActionRefused => {
                "an index in time-series mode takes neither updates nor deletes: write `action: create`"
            }
            Self::OtherType => "write the mapping type of the index in `type`",
            Self::InvalidName => "correct `index`",
            Self::NoSource => "write `action: index`, or let the index keep its `_source`",
        }
    }

    /// The halt of a pipeline whose settings do not fit the target.
    #[must_use]
    pub fn halt(self, error: &ServerError) -> Halt {
        Halt { exit: Exit::Protocol, message: format!("{}; none of these records was rejected", self.told(error)) }
    }

    /// The server's words and the remedy, for the alert while records wait.
    #[must_use]
    pub fn told(self, error: &ServerError) -> String {
        format!("{}: {}; {}", error.kind, error.reason, self.remedy())
    }
}

/// The parts of a reason that are the server's own words from their beginning: the reason and its cause, without what
/// wrappers put before them.
fn parts(reason: &str) -> impl Iterator<Item = &str> {
    // A quoted value could hold anything, also what looks like a cause.
    let own = reason.split("Preview of field").next().unwrap_or_default();
    own.split("; caused by: ").map(|part| {
        let part =
            part.split_once("] failed to parse: ").filter(|(at, _)| is_position(at)).map_or(part, |(_, rest)| rest);
        let part = part.strip_prefix("failed to parse: ").unwrap_or(part);
        part.split_once("Exception: ").filter(|(class, _)| !class.contains(' ')).map_or(part, |(_, rest)| rest)
    })
}

/// `[1:20`, as the newer parsers begin.
fn is_position(text: &str) -> bool {
    text.strip_prefix('[').is_some_and(|inside| inside.bytes().all(|byte| byte.is_ascii_digit() || byte == b':'))
}

fn is_flood_stage(reason: &str) -> bool {
    // The reason names the index before it names the block, and an index's name holds no bracket.
    ["[FORBIDDEN/12/", "[TOO_MANY_REQUESTS/12/"].iter().any(|block| reason.contains(block))
}

fn by_reason(part: &str) -> Option<TargetFault> {
    let part = part.to_ascii_lowercase();
    let begins = |texts: &[&str]| texts.iter().any(|text| part.starts_with(text));
    let ends = |text: &str| part.trim_end_matches('.').ends_with(text);
    if begins(&["no write index is defined for alias"]) || ends("can't execute a single index op") {
        Some(TargetFault::NoWriteIndex)
    } else if begins(&["only write ops with an op_type of create are allowed in data streams"]) {
        Some(TargetFault::CreateOnly)
    } else if begins(&["index request with op_type="]) && part.contains("backing indices is disallowed") {
        Some(TargetFault::BackingIndex)
    } else if begins(&["index request targeting data stream", "specifying routing is not supported because"]) {
        Some(TargetFault::RoutingRefused)
    } else if begins(&["_id must be unset"]) {
        Some(TargetFault::IdRefused)
    } else if begins(&["update is not supported because the dest", "delete is not supported because the dest"])
        || begins(&["[update] is not supported because the dest", "[delete] is not supported because the dest"])
    {
        Some(TargetFault::ActionRefused)
    } else if begins(&["pipeline with id [", "pipeline processor configured for non-existent pipeline"]) {
        Some(TargetFault::NoPipeline)
    } else if begins(&["there are no ingest nodes in this cluster"]) {
        Some(TargetFault::NoIngestNode)
    } else if begins(&["limit of total fields [", "limit of nested fields ["]) {
        Some(TargetFault::FieldLimit)
    } else if begins(&["number of documents in the "]) {
        Some(TargetFault::ShardFull)
    } else if begins(&["rejecting mapping update to ["]) && part.contains("would have more than 1 type") {
        Some(TargetFault::OtherType)
    } else if begins(&["validation failed: 1: this action would add ["]) {
        Some(TargetFault::NoRoom)
    } else {
        None
    }
}
