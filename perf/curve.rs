//! Which curves there are, and what each point changes against the usual setting (pure).

use serde_json::{Value, json};

use crate::source::Contents;

/// Size of a record's value where a curve does not change it.
pub const USUAL_BYTES: usize = 912;

/// Something that is varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// Size of a record's value.
    RecordSize,
    /// Load, as a share of the maximum.
    Latency,
    /// Cores of the engine.
    Cores,
    /// Codec of the topic it reads from, or of the one it writes to.
    Compression,
    /// Most documents of a bulk.
    Documents,
    /// Most bytes of a bulk.
    BulkBytes,
    /// How long a Kafka batch waits for more.
    Linger,
}

/// Which pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// To Kafka.
    Relay,
    /// To the bulk endpoint without storage.
    Index,
}

/// Which side of the engine a codec is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The topic it reads from.
    In,
    /// The topic it writes to.
    Out,
}

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Bytes of a record's value.
    RecordBytes(usize),
    /// As fast as it goes.
    FullSpeed,
    /// Percent of that, in an open loop.
    LoadPercent(u32),
    /// Cores.
    Cores(usize),
    /// No codec on either side.
    Plain,
    /// A codec on one side.
    Compressed(Side, &'static str),
    /// Documents of a bulk.
    Documents(usize),
    /// KiB of a bulk.
    BulkKib(usize),
    /// Milliseconds.
    LingerMs(u32),
}

impl Curve {
    /// All of them, in the order of the report; what a session has no time for is cut off at the end.
    pub const ALL: [Self; 7] = [
        Self::RecordSize,
        Self::Latency,
        Self::Cores,
        Self::Compression,
        Self::Documents,
        Self::BulkBytes,
        Self::Linger,
    ];

    /// Its name, also that of its picture.
    pub fn name(self) -> &'static str {
        match self {
            Self::RecordSize => "record-size",
            Self::Latency => "latency",
            Self::Cores => "cores",
            Self::Compression => "compression",
            Self::Documents => "bulk-documents",
            Self::BulkBytes => "bulk-bytes",
            Self::Linger => "linger",
        }
    }

    /// What is varied, with its unit.
    pub fn axis(self) -> &'static str {
        match self {
            Self::RecordSize => "size of a record's value",
            Self::Latency => "load, share of the maximum",
            Self::Cores => "cores the engine may use",
            Self::Compression => "codec of the topic read from (in) or written to (out)",
            Self::Documents => "most documents of a bulk (batch.records)",
            Self::BulkBytes => "most bytes of a bulk (batch.bytes)",
            Self::Linger => "wait of a Kafka batch for more (linger)",
        }
    }

    /// Where it is measured: at one pipeline where the setting belongs to it alone.
    pub fn routes(self) -> &'static [Route] {
        match self {
            Self::RecordSize | Self::Latency | Self::Cores => &[Route::Relay, Route::Index],
            Self::Compression | Self::Linger => &[Route::Relay],
            Self::Documents | Self::BulkBytes => &[Route::Index],
        }
    }

    /// Its points, in the order in which they are measured.
    pub fn points(self) -> &'static [Point] {
        use Point::{BulkKib, Compressed, Cores, Documents, FullSpeed, LingerMs, LoadPercent, Plain, RecordBytes};
        match self {
            Self::RecordSize => &[
                RecordBytes(128),
                RecordBytes(512),
                RecordBytes(1 << 10),
                RecordBytes(4 << 10),
                RecordBytes(16 << 10),
                RecordBytes(64 << 10),
            ],
            Self::Latency => {
                &[FullSpeed, LoadPercent(10), LoadPercent(30), LoadPercent(50), LoadPercent(70), LoadPercent(90)]
            }
            Self::Cores => &[Cores(1), Cores(2)],
            Self::Compression => &[
                Plain,
                Compressed(Side::In, "lz4"),
                Compressed(Side::In, "zstd"),
                Compressed(Side::Out, "lz4"),
                Compressed(Side::Out, "zstd"),
            ],
            Self::Documents => &[Documents(100), Documents(500), Documents(2_000), Documents(5_000), Documents(20_000)],
            Self::BulkBytes => &[BulkKib(64), BulkKib(256), BulkKib(1 << 10), BulkKib(5 << 10), BulkKib(20 << 10)],
            Self::Linger => &[LingerMs(0), LingerMs(5), LingerMs(20), LingerMs(100)],
        }
    }
}

impl Route {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Index => "index",
        }
    }
}

impl Point {
    /// In tables and pictures.
    pub fn label(self) -> String {
        match self {
            Self::RecordBytes(bytes) if bytes < 1 << 10 => format!("{bytes} B"),
            Self::RecordBytes(bytes) => format!("{} KiB", bytes >> 10),
            Self::FullSpeed => "max".to_owned(),
            Self::LoadPercent(percent) => format!("{percent} %"),
            Self::Cores(count) => count.to_string(),
            Self::Plain => "none".to_owned(),
            Self::Compressed(Side::In, codec) => format!("{codec} in"),
            Self::Compressed(Side::Out, codec) => format!("{codec} out"),
            Self::Documents(count) => count.to_string(),
            Self::BulkKib(kib) if kib < 1 << 10 => format!("{kib} KiB"),
            Self::BulkKib(kib) => format!("{} MiB", kib >> 10),
            Self::LingerMs(ms) => format!("{ms} ms"),
        }
    }

    /// Its place on the axis where that has one; the rest stands side by side.
    pub fn place(self) -> Option<f64> {
        match self {
            Self::RecordBytes(count) | Self::Documents(count) | Self::BulkKib(count) => Some((count as f64).log2()),
            Self::LoadPercent(percent) => Some(f64::from(percent)),
            // The shortest ones would stand upon each other.
            Self::LingerMs(ms) => Some(f64::from(ms + 1).log2()),
            Self::FullSpeed | Self::Cores(_) | Self::Plain | Self::Compressed(..) => None,
        }
    }

    /// What is in the topic it reads: about as many bytes as `records` records of the usual size.
    pub fn contents(self, partitions: u16, records: u64) -> Contents {
        let usual = Contents { partitions, records, value_bytes: USUAL_BYTES, codec: "none" };
        match self {
            Self::RecordBytes(bytes) => {
                let records = (records * USUAL_BYTES as u64).div_ceil(bytes as u64);
                Contents { records, value_bytes: bytes, ..usual }
            }
            Self::Compressed(Side::In, codec) => Contents { codec, ..usual },
            Self::FullSpeed
            | Self::LoadPercent(_)
            | Self::Cores(_)
            | Self::Plain
            | Self::Compressed(Side::Out, _)
            | Self::Documents(_)
            | Self::BulkKib(_)
            | Self::LingerMs(_) => usual,
        }
    }

    /// Cores of the engine, from the first one on.
    pub fn cores(self) -> usize {
        if let Self::Cores(count) = self { count } else { 1 }
    }

    /// Changes the configuration of the pipeline. Where documents limit a bulk its bytes do not, and the other way
    /// round.
    pub fn configure(self, root: &mut Value) {
        let pipelines = &mut root["pipelines"];
        let bulk = |records: usize, kib: usize| json!({ "records": records, "bytes": format!("{kib}KiB") });
        match self {
            Self::Compressed(Side::Out, codec) => {
                pipelines["relay"]["sink"]["kafka"]["compression"] = json!(codec);
            }
            Self::Documents(count) => {
                pipelines["index"]["sink"]["elasticsearch"]["batch"] = bulk(count, 64 << 10);
            }
            Self::BulkKib(kib) => {
                pipelines["index"]["sink"]["elasticsearch"]["batch"] = bulk(1_000_000, kib);
            }
            Self::LingerMs(ms) => {
                pipelines["relay"]["sink"]["kafka"]["linger"] = json!(format!("{ms}ms"));
            }
            Self::RecordBytes(_)
            | Self::FullSpeed
            | Self::LoadPercent(_)
            | Self::Cores(_)
            | Self::Plain
            | Self::Compressed(Side::In, _) => {}
        }
    }
}

/// The name of a run.
pub fn name(curve: Curve, route: Route, point: Point) -> String {
    format!("{}/{}/{}", curve.name(), route.name(), point.label())
}

/// Whether a run with this name has servers and generator in its own process.
pub fn is_open_loop(name: &str) -> bool {
    name.starts_with(Curve::Latency.name())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sluicegate::internals::config;
    use sluicegate::internals::config::plan::SinkPlan;

    use super::*;
    use crate::subject::{self, Pipeline, Target};

    fn planned(route: Route, point: Point) -> SinkPlan {
        let target = match route {
            Route::Relay => Target::Topic("b:2", "out"),
            Route::Index => Target::Index("http://c:3", "items"),
        };
        let pipeline = Pipeline { brokers: "a:1", topic: "in", group: "g", target };
        let mut root = subject::configuration(&[pipeline]);
        point.configure(&mut root);
        let surroundings =
            config::Surroundings { environment: &|_| None, property: &|_, _| Ok(()), tls: false, cores: 1 };
        let loaded = config::load_text(&root.to_string(), "perf.json", surroundings);
        loaded.unwrap_or_else(|findings| panic!("{point:?}: {findings}")).plan.pipelines.remove(0).sink
    }

    #[test]
    fn every_run_has_a_name_of_its_own_and_a_valid_configuration() {
        let mut names = BTreeSet::new();
        for curve in Curve::ALL {
            for route in curve.routes() {
                for point in curve.points() {
                    assert!(names.insert(name(curve, *route, *point)), "{curve:?} {route:?} {point:?}");
                    planned(*route, *point);
                }
            }
        }
        assert!(names.contains("record-size/relay/16 KiB") && names.contains("bulk-bytes/index/64 KiB"), "{names:?}");
        let open = names.iter().filter(|name| is_open_loop(name)).count();
        assert_eq!(open, 2 * Curve::Latency.points().len());
    }

    #[test]
    fn a_point_reaches_the_setting_it_is_named_after() {
        let SinkPlan::Kafka(sink) = planned(Route::Relay, Point::Compressed(Side::Out, "zstd")) else {
            panic!("Kafka")
        };
        assert_eq!((sink.compression.as_str(), sink.linger.as_millis()), ("zstd", 20));
        let SinkPlan::Kafka(sink) = planned(Route::Relay, Point::LingerMs(5)) else { panic!("Kafka") };
        assert_eq!((sink.compression.as_str(), sink.linger.as_millis()), ("none", 5));
        let SinkPlan::Elasticsearch(sink) = planned(Route::Index, Point::Documents(500)) else { panic!("bulk") };
        assert!(sink.batch_records == 500 && sink.batch_bytes >= 500 * 2 * USUAL_BYTES, "documents are the limit");
        let SinkPlan::Elasticsearch(sink) = planned(Route::Index, Point::BulkKib(256)) else { panic!("bulk") };
        assert!(sink.batch_bytes == 256 << 10 && sink.batch_records * 64 > 256 << 10, "bytes are the limit");
    }

    #[test]
    fn records_of_all_sizes_come_to_the_same_bytes() {
        for point in Curve::RecordSize.points() {
            let contents = point.contents(4, 200_000);
            let bytes = contents.records as f64 * contents.value_bytes as f64;
            assert!((bytes / (200_000.0 * USUAL_BYTES as f64) - 1.0).abs() < 0.01, "{contents:?}");
            assert_eq!(point.label(), Point::RecordBytes(contents.value_bytes).label());
        }
        let compressed = Point::Compressed(Side::In, "lz4").contents(4, 10);
        assert_eq!((compressed.codec, compressed.records, compressed.value_bytes), ("lz4", 10, USUAL_BYTES));
        assert_eq!(Point::Compressed(Side::Out, "lz4").contents(4, 10), Point::Plain.contents(4, 10));
    }

    #[test]
    fn points_of_an_axis_stand_in_its_order() {
        for curve in Curve::ALL {
            let places: Vec<f64> = curve.points().iter().filter_map(|point| point.place()).collect();
            assert!(places.is_sorted_by(|a, b| a < b), "{curve:?}: {places:?}");
        }
    }
}
