//! The hidden door: what the tests, the test kit, the measurements, the benchmarks and the fuzz targets use of the
//! engine. It is no interface: any of it may change with any commit. The modules behind it are private, so that the
//! compiler reports what nothing uses any more.

pub mod cli {
    pub use crate::cli::Cli;
    pub mod property {
        pub use crate::cli::property::accepted;
    }
}
pub mod config {
    pub use crate::config::{Inputs, Surroundings, load, load_text, parse_template};
    pub mod plan {
        pub use crate::config::plan::{
            Action, Auth, BreakerPlan, CachePlan, ConcurrencyMode, DocumentId, ElasticsearchConnection,
            ElasticsearchSinkPlan, KafkaConnection, KafkaSinkPlan, OnDamaged, OnHalt, OnIndexFault, OnMissingTopic,
            OnReject, OnTombstone, OnTooLarge, PipelinePlan, Plan, Pointer, RetryPlan, SelectPlan, ServerKind,
            SinkPlan, SourcePlan, Start, StepKind, StepPlan, Template, TemplateSegment,
        };
    }
    pub mod schema {
        pub use crate::config::schema::schema;
    }
    pub mod show {
        pub use crate::config::show::{json, text};
    }
}
pub mod enrich {
    pub use crate::enrich::{Cache, CacheTurn, CachedKey, Enricher, Lookups};
}
pub mod librdkafka {
    pub use crate::librdkafka::{Consumer, Event, MessageBatch, RecordBatch, Reply, START_EARLIEST};
    pub mod producer {
        pub use crate::librdkafka::producer::{DeliveryReport, Producer};
        pub mod message {
            pub use crate::librdkafka::producer::message::{Message, Span, headers};
        }
    }
}
pub mod model {
    pub use crate::model::{
        Charge, Encode, Epoch, Exit, GiveUp, ItemPath, Kept, MemoryShare, Offset, Outcome, OwnedRecord, Part,
        PartitionId, PartitionTable, Place, Position, Prepared, Record, Records, Reject, RejectReason, Report,
        ReportSender, RewindCause, Run, Sequence, Ticket, TicketId, TopicPartition, Wake,
    };
}
pub mod mutants {
    pub use crate::mutants::{Mutant, VARIABLE};
}
pub mod pipeline {
    pub use crate::pipeline::{Ending, Engine, EngineOptions};
}
pub mod preprocess {
    pub use crate::preprocess::{Program, Tombstones};
    pub mod tape {
        pub use crate::preprocess::tape::Parser;
    }
    pub mod worker {
        pub use crate::preprocess::worker::{Preprocessor, Worker};
    }
}
pub mod sink {
    pub mod dead_letter {
        pub mod envelope {
            pub use crate::sink::dead_letter::envelope::{append_headers, append_line};
        }
    }
    pub mod elasticsearch {
        pub use crate::sink::elasticsearch::{BulkEncoder, ItemFault, read_answer};
    }
    pub mod kafka {
        pub use crate::sink::kafka::KafkaEncoder;
        pub mod settings {
            pub use crate::sink::kafka::settings::{ProducerSettings, properties};
        }
    }
    pub mod sequencer {
        pub use crate::sink::sequencer::Sequencer;
    }
}
pub mod source {
    pub use crate::source::{InFlight, Source, SourceContext, SourceEnd, Until};
    pub mod ledger {
        pub use crate::source::ledger::{Ledger, Settled};
    }
    pub mod properties {
        pub use crate::source::properties::consumer;
    }
}
pub mod telemetry {
    pub mod board {
        pub use crate::telemetry::board::{Board, BuildInfo};
    }
    pub mod families {
        pub use crate::telemetry::families::families;
    }
    pub mod handles {
        pub use crate::telemetry::handles::Handles;
    }
    pub mod process {
        pub use crate::telemetry::process::Machine;
    }
    pub mod run_files {
        pub mod axis {
            pub use crate::telemetry::run_files::axis::{Axis, Range, Unit};
        }
        pub mod chart {
            pub use crate::telemetry::run_files::chart::escape;
        }
    }
}
pub mod testbed {
    pub mod bulk_endpoint {
        pub use crate::testbed::bulk_endpoint::{
            BulkEndpoint, EndpointEvent, EndpointOptions, EndpointVersion, EndpointWatch, ItemAnswer, LogEntry,
            ScriptedFault, id_digest,
        };
    }
    pub mod feeder {
        pub use crate::testbed::feeder::{FeedHooks, FeedPlan, Feeder};
    }
    pub mod generator {
        pub use crate::testbed::generator::{
            Generated, Generator, GeneratorScratch, LoadShape, LookupUser, Poison, RecordFate,
        };
    }
    pub mod kafka {
        pub use crate::testbed::kafka::MockKafka;
    }
    pub mod oracle {
        pub use crate::testbed::oracle::{
            DocumentVerdict, Enrichment, OutputOracle, OutputVerdict, Write, check_documents,
        };
    }
    pub mod tap {
        pub use crate::testbed::tap::{Tap, Tapped};
    }
}
