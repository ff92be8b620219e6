//! A JDK for the servers: found on the machine, else from Debian.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cache::Cache;
use super::error::ServiceError;
use super::packages;
use super::run::run;

/// Oldest major version Kafka 4 and Elasticsearch 8 run on.
const OLDEST: u32 = 17;
/// Newest major version all of them were seen to run on.
const NEWEST: u32 = 25;
/// Where Debian keeps its Java versions.
const DEBIAN: &str = "/usr/lib/jvm";
/// How long a version question may take on a loaded machine.
const ASK_LIMIT: Duration = Duration::from_secs(60);

/// A JDK that can run every server here.
#[derive(Clone, Debug)]
pub(super) struct Java {
    home: PathBuf,
}

impl Java {
    /// A JDK of version 17 to 25 from `JAVA_HOME`, `PATH` or `/usr/lib/jvm`; as root, else from Debian.
    ///
    /// # Errors
    /// There is none and none can be installed.
    pub(super) fn find(cache: &Cache) -> Result<Java, ServiceError> {
        if let Some(java) = Java::installed() {
            return Ok(java);
        }
        packages::install(cache, "default-jdk-headless", "about 220 MB")?;
        Java::installed().ok_or_else(|| ServiceError::Missing {
            what: format!("a JDK of version {OLDEST} to {NEWEST}"),
            remedy: "install one and set JAVA_HOME to it".to_owned(),
        })
    }

    fn installed() -> Option<Java> {
        candidates().into_iter().find(|home| is_usable(home)).map(|home| Java { home })
    }

    /// What `JAVA_HOME` should be.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// The launcher.
    pub(super) fn program(&self) -> PathBuf {
        self.home.join("bin/java")
    }
}

/// Folders that may be a JDK, best first.
fn candidates() -> Vec<PathBuf> {
    let from_variable = std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let launcher = packages::in_path("java").and_then(|java| fs::canonicalize(java).ok());
    let from_path = launcher.and_then(|java| Some(java.parent()?.parent()?.to_owned()));
    let mut debian: Vec<PathBuf> =
        fs::read_dir(DEBIAN).map(|all| all.flatten().map(|entry| entry.path()).collect()).unwrap_or_default();
    debian.sort();
    from_variable.into_iter().chain(from_path).chain(debian).collect()
}

/// A JDK, not only a runtime: the embedded Elasticsearch node is compiled when it is started.
fn is_usable(home: &Path) -> bool {
    if !packages::is_executable(&home.join("bin/javac")) {
        return false;
    }
    let output = run(Command::new(home.join("bin/java")).arg("-version"), ASK_LIMIT).unwrap_or_default();
    major(&output).is_some_and(|major| (OLDEST..=NEWEST).contains(&major))
}

/// The major version in the output of `java -version`, whose second word group is `version "17.0.15"`.
fn major(output: &str) -> Option<u32> {
    let quoted = output.split_once("version \"")?.1.split('"').next()?;
    let mut numbers = quoted.split(['.', '-', '_', '+']);
    match numbers.next()?.parse().ok()? {
        1 => numbers.next()?.parse().ok(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn major_versions() {
        for (output, version) in [
            ("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment", Some(17)),
            ("Picked up JAVA_TOOL_OPTIONS: -Dx=y\nopenjdk version \"21\" 2023-09-19", Some(21)),
            ("openjdk version \"25-ea\" 2025-09-16", Some(25)),
            ("java version \"1.8.0_292\"", Some(8)),
            ("command not found", None),
            ("version \"x\"", None),
        ] {
            assert_eq!(major(output), version, "{output}");
        }
    }
}
