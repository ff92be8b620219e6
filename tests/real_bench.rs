//! `bench` as a process on a configured pipeline with real servers.

use std::time::Duration;

use crate::support::bench::{PARTITIONS, bench};
use crate::support::process::Process;
use crate::support::setup::Setup;
use crate::support::unique;

const RUN: Duration = Duration::from_secs(120);
const BEFORE: u64 = 10_000;

#[test]
fn bench_measures_a_configured_pipeline_and_leaves_its_group_alone() {
    let Some(bench) = bench("bench_measures_a_configured_pipeline_and_leaves_its_group_alone") else { return };
    let setup = Setup::new(&bench, &unique("events"));
    // Records that are there already are not the bench's.
    bench.feed(&setup.input, BEFORE, None).join().unwrap();
    let arguments =
        ["--produce", "--rate", "2000/s", "--seconds", "3", "--warmup", "1", "--report", "report", "--pipeline"];
    let upstream = bench.upstream_client();
    for pipeline in ["relay", "index"] {
        let ends = |sum: i64, (_, end): (i64, i64)| sum + end;
        let before = upstream.offsets(&setup.input).unwrap().into_iter().fold(0, ends);
        assert!(before >= BEFORE as i64);
        let arguments = [&arguments[..], &[pipeline]].concat();
        let ended = Process::of("bench", pipeline, &setup.yaml(), &arguments).wait(RUN).assert_code(0);
        let fed = upstream.offsets(&setup.input).unwrap().into_iter().fold(0, ends) - before;
        assert!((6_000..=40_000).contains(&fed), "{fed} records were fed\n{}", ended.tail());
        assert_eq!(ended.count(pipeline, "delivered") as i64, fed, "{pipeline}");
        let age = &ended.run_file()["pipelines"][pipeline]["percentiles"]["age"];
        let (p50, counted) = (age["p50_ms"].as_f64().unwrap(), age["count"].as_u64().unwrap());
        assert!(p50 > 0.0 && counted > 0 && counted < fed as u64, "of {fed}, warm-up included: {age}");
    }
    for group in setup.relay.iter().chain(&setup.index) {
        let committed = upstream.committed(group, &setup.input).unwrap();
        assert_eq!(committed, vec![None; usize::from(PARTITIONS)], "{group}");
    }
}
