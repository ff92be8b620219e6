//! The one integration-test binary.

#[cfg(test)]
mod both_pipelines;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod damaged_batch;
#[cfg(test)]
mod faults_short;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod lookup_table;
#[cfg(test)]
mod members;
#[cfg(test)]
mod named_topics;
#[cfg(test)]
mod races;
#[cfg(test)]
mod real_bench;
#[cfg(test)]
mod real_exits;
#[cfg(test)]
mod real_kafka_sink;
#[cfg(test)]
mod real_sasl;
#[cfg(test)]
mod real_targets;
#[cfg(test)]
mod real_words;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod services_smoke;
#[cfg(test)]
mod start_latest;
#[cfg(test)]
mod support;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tidy;
