//! The machinery of `demo` and `bench` with the real engine and the real bulk endpoint.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::model::TopicPartition;
use crate::pipeline::{self, Engine, EngineOptions};
use crate::telemetry::reporter::Collected;
use crate::testbed::bulk_endpoint::{BulkEndpoint, EndpointOptions};

use super::machinery::{BulkServer, EngineEnding, Machinery, Order, PATIENCE, RunningEngine, StageLatency};

/// The machinery of the command.
#[must_use]
pub fn machinery() -> Machinery<'static> {
    Machinery { engine: &start_engine, endpoint: &start_endpoint, patience: PATIENCE }
}

/// Starts the engine of the process.
///
/// # Errors
/// What kept it from starting.
pub fn start_engine(order: Order) -> Result<RunningEngine, String> {
    let Order { plan, lookups, report, settings, warm_up } = order;
    let options = EngineOptions { lookups, report: Some(report), settings, warm_up, ..EngineOptions::default() };
    let engine = Engine::start(plan, options).map_err(|error| error.to_string())?;
    let (positions, stop) = (engine.positions(), engine.stop_handle());
    let (measured, counted) = (engine.board().clone(), engine.board().clone());
    let engine = Rc::new(RefCell::new(Some(engine)));
    let watched = engine.clone();
    Ok(RunningEngine {
        position: Arc::new(move |pipeline, topic, partition| {
            positions(pipeline, &TopicPartition { topic: topic.into(), partition })
        }),
        ended: Box::new(move || watched.borrow_mut().as_mut().is_none_or(Engine::has_ended)),
        measure: Box::new(move || measured.measure()),
        resolved: Box::new(move || counted.pipelines.iter().map(|one| one.metrics.conservation().resolved()).sum()),
        stop: Box::new(move || stop.drain()),
        join: Box::new(move || {
            let engine = engine.borrow_mut().take();
            ending(engine.map(Engine::join))
        }),
    })
}

fn ending(ending: Option<pipeline::Ending>) -> EngineEnding {
    let Some(ending) = ending else { unreachable!("an engine is joined once") };
    EngineEnding {
        exit: ending.exit,
        halt: ending.halt.map(|halt| halt.message),
        tallies: ending.tallies,
        latencies: ending.collected.as_ref().map(latencies).unwrap_or_default(),
        run_file: ending.run_file.and_then(|run| serde_json::to_value(run).ok()).unwrap_or_default(),
    }
}

fn latencies(collected: &Collected) -> Vec<StageLatency> {
    let of = |one: &crate::telemetry::reporter::CollectedPipeline| {
        let name = one.view.name.to_string();
        one.totals
            .iter()
            .map(move |(stage, histogram)| StageLatency { pipeline: name.clone(), stage, histogram: histogram.clone() })
            .collect::<Vec<_>>()
    };
    collected.pipelines.iter().flat_map(of).collect()
}

fn start_endpoint() -> Result<BulkServer, String> {
    let endpoint = BulkEndpoint::start(EndpointOptions { store: true, ..EndpointOptions::default() })
        .map_err(|error| error.to_string())?;
    let endpoint = Rc::new(endpoint);
    let (documents, counted) = (endpoint.clone(), endpoint.clone());
    Ok(BulkServer {
        url: endpoint.url(),
        document: Box::new(move |index, id| documents.document(index, id).map(|document| document.source)),
        count: Box::new(move |index| counted.count(index) as u64),
    })
}
