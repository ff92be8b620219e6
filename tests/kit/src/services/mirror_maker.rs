//! MirrorMaker 2 of Apache Kafka, which copies topics between clusters: its jars and a JDK that runs them. Whoever
//! wants it to run starts it.

use std::path::PathBuf;

use super::cache::Cache;
use super::error::ServiceError;
use super::java::Java;
use super::maven::{Artefact, Contents};

/// Its version, that of the brokers here.
pub const VERSION: &str = "4.1.1";

/// What is fetched.
const ARTEFACT: Artefact = Artefact {
    name: "mirror-maker-4.1.1",
    download: "35 MB",
    contents: Contents::Jars(&[
        "org.apache.kafka:connect-mirror:4.1.1",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
        "org.apache.logging.log4j:log4j-core:2.24.3",
    ]),
};

/// Where it is.
#[derive(Clone, Debug)]
pub struct MirrorMaker {
    /// The Java launcher.
    pub java: PathBuf,
    /// For Java's option `-cp`.
    pub class_path: String,
}

/// Fetches it unless it is in the cache.
///
/// # Errors
/// Java, Maven or the jars cannot be had.
pub fn obtain() -> Result<MirrorMaker, ServiceError> {
    let cache = Cache::of_user()?;
    let java = Java::find(&cache)?;
    let jars = ARTEFACT.obtain(&cache, &java)?;
    Ok(MirrorMaker { java: java.program(), class_path: format!("{}/*", jars.display()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_version_everywhere() {
        let Contents::Jars(coordinates) = ARTEFACT.contents else { panic!("jars are fetched") };
        assert!(ARTEFACT.name.ends_with(VERSION));
        assert!(coordinates[0].ends_with(&format!(":{VERSION}")));
    }
}
