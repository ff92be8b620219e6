//! The demo's account: sums, verdicts, latencies, and whether all of it is right (pure).

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::{Conservation, Exit};
use crate::testbed::feeder::Fed;
use crate::testbed::oracle::{DocumentVerdict, OutputVerdict};

use crate::cli::figures::{self, EngineEnding};
use crate::cli::progress::grouped;

/// What one pipeline was fed and did.
pub(super) struct PipelineAccount {
    pub(super) name: String,
    pub(super) fed: Fed,
    /// From the first record fed to the last one resolved.
    pub(super) elapsed: Duration,
    pub(super) sum: Conservation,
}

/// The whole run.
pub(super) struct DemoAccount {
    pub(super) pipelines: Vec<PipelineAccount>,
    pub(super) output: OutputVerdict,
    pub(super) documents: DocumentVerdict,
    /// What went wrong while feeding and waiting.
    pub(super) trouble: Vec<String>,
    pub(super) ending: EngineEnding,
}

impl PipelineAccount {
    fn faults(&self) -> Vec<String> {
        let Self { name, fed, sum, .. } = self;
        let mut faults = figures::sum_faults(name, sum);
        if sum.delivered != fed.records {
            faults.push(format!("{name}: {} records were fed, but {} delivered", fed.records, sum.delivered));
        }
        faults
    }

    fn rate(&self) -> u64 {
        (self.fed.records as f64 / self.elapsed.as_secs_f64().max(0.001)) as u64
    }
}

impl DemoAccount {
    /// Everything that is not as it must be.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = self.trouble.clone();
        if self.ending.exit != Exit::Done {
            let why = self.ending.halt.as_deref().unwrap_or("no reason given");
            faults.push(format!("the engine ended with exit {}: {why}", self.ending.exit.code()));
        }
        faults.extend(self.pipelines.iter().flat_map(PipelineAccount::faults));
        let rewound: u64 = self.pipelines.iter().map(|pipeline| pipeline.sum.rewound).sum();
        if !(self.output.is_exact() || (rewound > 0 && self.output.is_at_least_once())) {
            faults.push(format!("the output topic is wrong: {}", self.output));
        }
        if !self.documents.is_exact() {
            faults.push(format!("the documents are wrong: {}", self.documents));
        }
        faults
    }

    /// How the process must end.
    pub(super) fn exit(&self) -> Exit {
        match (self.ending.exit, self.faults().is_empty()) {
            (Exit::Done, true) => Exit::Done,
            (Exit::Done, false) => Exit::Failure,
            (other, _) => other,
        }
    }

    /// The summary for people.
    pub(super) fn text(&self, report: &Path) -> String {
        let mut text = String::new();
        for pipeline in &self.pipelines {
            text.push_str(&pipeline_text(pipeline));
        }
        // Writing into a String cannot fail.
        let _ = writeln!(text, "\noutput topic: {}", self.output);
        let _ = writeln!(text, "documents:    {}", self.documents);
        text.push_str(&figures::latency_table(&self.ending.latencies));
        text.push_str(&figures::verdict(
            &self.faults(),
            "every record is accounted for, and everything that came out is what was generated",
            report,
        ));
        text
    }

    /// The run file's members and what the demo found.
    pub(super) fn json(&self) -> Value {
        self.ending.run_file_with("demo", self.demo_json())
    }

    fn demo_json(&self) -> Value {
        let pipelines: Vec<Value> = self.pipelines.iter().map(pipeline_json).collect();
        let (output, documents) = (&self.output, &self.documents);
        json!({
            "pipelines": pipelines,
            "output": {
                "expected": output.expected, "verified": output.verified, "missing": output.missing,
                "repeated": output.duplicates, "unexpected": output.unexpected,
                "out_of_order": output.order_violations, "misordered_keys": output.misordered_keys,
            },
            "documents": {
                "expected": documents.expected, "equal": documents.equal, "missing": documents.missing,
                "different": documents.different, "extra": documents.extra,
            },
            "latencies": figures::latency_json(&self.ending.latencies),
            "faults": self.faults(),
            "correct": self.exit() == Exit::Done,
        })
    }
}

fn pipeline_text(pipeline: &PipelineAccount) -> String {
    format!(
        "{}: {} records in {:.1} s, {} records/s, {} MB/s\n  {}\n",
        pipeline.name,
        grouped(pipeline.fed.records),
        pipeline.elapsed.as_secs_f64(),
        grouped(pipeline.rate()),
        (pipeline.fed.bytes as f64 / 1e6 / pipeline.elapsed.as_secs_f64().max(0.001)) as u64,
        pipeline.sum,
    )
}

fn pipeline_json(pipeline: &PipelineAccount) -> Value {
    let mut object = json!({
        "name": pipeline.name, "fed": pipeline.fed.records, "fed_bytes": pipeline.fed.bytes,
        "seconds": pipeline.elapsed.as_secs_f64(), "records_per_second": pipeline.rate(),
    });
    if let (Some(object), Value::Object(sum)) = (object.as_object_mut(), json!(pipeline.sum)) {
        object.extend(sum);
    }
    object
}
