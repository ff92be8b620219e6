//! What came out at the far sides, judged against what was fed.

use std::fmt;

use sluicegate::internals::testbed::generator::{Generator, GeneratorScratch};
use sluicegate::internals::testbed::oracle::{
    DocumentVerdict, Enrichment, OutputOracle, OutputVerdict, Write, check_documents,
};

use super::bench::{Bench, PARTITIONS};
use super::setup::Setup;

/// How the far sides stand.
pub struct Outcome {
    /// The output topic, where there is a relay.
    pub output: Option<OutputVerdict>,
    /// The index, where there is one.
    pub documents: Option<DocumentVerdict>,
    /// Records of the output topic that lost their headers.
    pub without_headers: usize,
    /// Group, committed offsets and ends of every partition.
    commits: Vec<(String, Vec<Option<i64>>, Vec<i64>)>,
}

impl Outcome {
    /// Reads everything back and compares it with the first `records` records.
    pub fn of(bench: &Bench, setup: &Setup, records: u64) -> Outcome {
        let mut outcome = Outcome { output: None, documents: None, without_headers: 0, commits: Vec::new() };
        if setup.relay.is_some() {
            let oracle = expected(&bench.generator, records);
            for record in bench.downstream_client().read_all(&setup.output).unwrap() {
                oracle.observe(record.partition, record.key.as_deref(), record.value.as_deref());
                let names: Vec<&str> = record.headers.iter().map(|(name, _)| name.as_str()).collect();
                outcome.without_headers += usize::from(names != ["trace", "origin"]);
            }
            outcome.output = Some(oracle.verdict());
        }
        if setup.index.is_some() {
            outcome.documents = Some(documents(bench, &setup.documents, records));
        }
        let upstream = bench.upstream_client();
        let ends: Vec<i64> = upstream.offsets(&setup.input).unwrap().iter().map(|(_, end)| *end).collect();
        for group in setup.relay.iter().chain(&setup.index) {
            let committed = upstream.committed(group, &setup.input).unwrap();
            outcome.commits.push((group.clone(), committed, ends.clone()));
        }
        outcome
    }

    /// Nothing missing, nothing foreign, order kept, everything committed; repetitions only where `repeated`.
    ///
    /// # Panics
    /// With all of it and `tail` when anything is not so.
    pub fn assert_whole(&self, repeated: bool, tail: &str) {
        let topic = self.output.as_ref().is_none_or(|output| {
            if repeated { output.is_at_least_once() && output.order_violations == 0 } else { output.is_exact() }
        });
        let index = self.documents.as_ref().is_none_or(DocumentVerdict::is_exact);
        assert!(topic && index && self.is_committed() && self.without_headers == 0, "{self}\n{tail}");
    }

    fn is_committed(&self) -> bool {
        let all = |committed: &[Option<i64>], ends: &[i64]| committed.iter().zip(ends).all(|(c, end)| *c == Some(*end));
        self.commits.iter().all(|(_, committed, ends)| all(committed, ends))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(output) = &self.output {
            writeln!(f, "output topic: {output}; {} without their headers", self.without_headers)?;
        }
        if let Some(documents) = &self.documents {
            writeln!(f, "index: {documents}")?;
        }
        for (group, committed, ends) in &self.commits {
            writeln!(f, "{group}: committed {committed:?} of {ends:?}")?;
        }
        Ok(())
    }
}

/// An oracle that expects the first `records` records.
fn expected(generator: &Generator, records: u64) -> OutputOracle {
    let oracle = OutputOracle::new(i32::from(PARTITIONS));
    let mut scratch = GeneratorScratch::default();
    for index in 0..records {
        let record = generator.record(index, &mut scratch);
        oracle.expect(&record, Generator::partition(&record, i32::from(PARTITIONS)));
    }
    oracle
}

fn documents(bench: &Bench, index: &str, records: u64) -> DocumentVerdict {
    let found = bench.elasticsearch_client().documents(index).unwrap();
    let table = bench.generator.lookup_table();
    let enrichment = Enrichment { table: &table, prefix: "user:", field: "user", into: "user_info" };
    let document = |id: &str| found.get(id).map(|document| document.source.clone().into_bytes());
    check_documents(&bench.generator, records, Write::Merge, Some(enrichment), document, found.len() as u64)
}
